/* Tokenizing against the Python package (tests/goldens/tokenizer.py), sampling
 * against exact probabilities, training, and models that are damaged. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mt/core/file.h"
#include "mt/core/lines.h"
#include "mt/core/mem.h"
#include "mt/core/rng.h"
#include "mt/core/utf8.h"
#include "tokenizer/extend.h"
#include "tokenizer/text.h"
#include "tokenizer/tokenizer.h"

#define DIR "tests/tokenizer/"

typedef struct lines {
  char **text;
  size_t count, capacity;
} lines;

static lines read_lines(const char *path) {
  lines all = {0};
  dg_error err;
  dg_lines *in = dg_lines_open(path, &err);
  if (!in) fail_msg("%s", err.message);
  char *line;
  size_t n;
  while (dg_lines_next(in, &line, &n, &err) > 0) {
    DG_GROW(all.text, all.capacity, all.count + 1);
    all.text[all.count++] = dg_strndup(line, n);
  }
  dg_lines_close(in);
  assert_true(all.count > 0);
  return all;
}

static void free_lines(lines *all) {
  for (size_t i = 0; i < all->count; i++) free(all->text[i]);
  free(all->text);
}

static void unescape(char *s) {
  char *to = s;
  for (; *s; s++) {
    bool escaped = *s == '\\' && s[1];
    if (escaped) s++;
    *to++ = escaped && *s == 't' ? '\t' : *s;
  }
  *to = 0;
}

static lines sentences(void) {
  lines all = read_lines(DIR "sentences.txt");
  for (size_t i = 0; i < all.count; i++) unescape(all.text[i]);
  assert_true(all.count > 250);
  return all;
}

static dg_tokenizer *load(const char *path) {
  dg_error err;
  dg_tokenizer *t = dg_tokenizer_load_file(path, &err);
  if (!t) fail_msg("%s", err.message);
  return t;
}

static void encode(const dg_tokenizer *t, const char *text, dg_tokens *out) {
  dg_error err;
  if (!dg_tokenizer_encode(t, text, strlen(text), out, &err)) fail_msg("%s", err.message);
}

static char *decode(const dg_tokenizer *t, const dg_tokens *tokens) {
  dg_error err;
  int32_t *ids = dg_malloc((tokens->count + 1) * sizeof *ids);
  for (size_t i = 0; i < tokens->count; i++) ids[i] = tokens->items[i].id;
  char *text = dg_tokenizer_decode(t, ids, tokens->count, &err);
  if (!text) fail_msg("%s", err.message);
  free(ids);
  return text;
}

static void assert_same(const dg_tokens *a, const dg_tokens *b) {
  assert_int_equal(a->count, b->count);
  assert_memory_equal(a->items, b->items, a->count * sizeof *a->items);
}

/* --- goldens ----------------------------------------------------------------------------- */

/* The last sentences of the file against a MODEL.tsv. */
static void check_golden(const char *model, const char *golden, bool spans) {
  dg_tokenizer *t = load(model);
  lines texts = sentences(), want = read_lines(golden);
  dg_tokens tokens = {0};
  size_t skip = texts.count - want.count;
  assert_true(texts.count >= want.count);
  for (size_t i = 0; i < want.count; i++) {
    const char *text = texts.text[skip + i];
    encode(t, text, &tokens);
    char *id = want.text[i], *span = strchr(id, '\t') + 1, *decoded = strchr(span, '\t') + 1;
    for (size_t k = 0; k < tokens.count; k++) {
      dg_token *token = &tokens.items[k];
      if (strtol(id, &id, 10) != token->id) fail_msg("token %zu of \"%s\"", k, text);
      if (!spans) continue;
      assert_int_equal(strtol(span, &span, 10), token->begin);
      assert_int_equal(strtol(span + 1, &span, 10), token->end);
    }
    assert_int_equal(*id, '\t');
    char *back = decode(t, &tokens);
    assert_string_equal(back, decoded);
    free(back);
  }
  dg_tokens_free(&tokens);
  free_lines(&texts);
  free_lines(&want);
  dg_tokenizer_free(t);
}

static void test_golden_unigram(void **state) {
  (void)state;
  check_golden(DIR "unigram.model", DIR "unigram.tsv", true);
}

static void test_golden_bpe(void **state) {
  (void)state;
  check_golden(DIR "bpe.model", DIR "bpe.tsv", false);
}

static void test_golden_without_bytes(void **state) {
  (void)state;
  check_golden(DIR "tiny.model", DIR "tiny.tsv", true);
}

static void test_golden_nbest(void **state) {
  (void)state;
  dg_tokenizer *t = load(DIR "unigram.model");
  lines want = read_lines(DIR "nbest.tsv");
  dg_tokens outs[20] = {{0}};
  float scores[20];
  dg_error err;
  for (size_t i = 0; i < want.count; i++) {
    char *rest = want.text[i], *text = strsep(&rest, "\t");
    size_t found = 99, k = 0;
    assert_true(dg_tokenizer_nbest(t, text, strlen(text), 20, outs, scores, &found, &err));
    for (char *one; (one = strsep(&rest, "\t")); k++) {
      assert_true(k < found);
      assert_true(fabs(strtod(one, &one) - (double)scores[k]) < 1e-4);
      for (size_t j = 0; j < outs[k].count; j++)
        assert_int_equal(strtol(one, &one, 10), outs[k].items[j].id);
      assert_int_equal(*one, 0);
    }
    assert_int_equal(k, found);
  }
  size_t found = 99;
  assert_true(dg_tokenizer_nbest(t, "x", 1, 0, outs, scores, &found, &err));
  assert_int_equal(found, 0);
  assert_true(dg_tokenizer_nbest(t, "", 0, 5, outs, NULL, &found, &err));
  assert_int_equal(found, 1);
  assert_int_equal(outs[0].count, 0);
  for (int i = 0; i < 20; i++) dg_tokens_free(&outs[i]);
  free_lines(&want);
  dg_tokenizer_free(t);
  t = load(DIR "bpe.model");
  dg_tokens one = {0};
  assert_false(dg_tokenizer_nbest(t, "x", 1, 1, &one, NULL, &found, &err));
  assert_int_equal(err.status, DG_ERR_UNSUPPORTED);
  dg_tokenizer_free(t);
}

/* --- pieces ------------------------------------------------------------------------------- */

static void test_pieces(void **state) {
  (void)state;
  dg_tokenizer *t = load(DIR "unigram.model");
  assert_int_equal(dg_tokenizer_size(t), 1400);
  assert_int_equal(dg_tokenizer_pad(t), 0);
  assert_int_equal(dg_tokenizer_unk(t), 1);
  assert_int_equal(dg_tokenizer_bos(t), 2);
  assert_int_equal(dg_tokenizer_eos(t), 3);
  assert_string_equal(dg_tokenizer_piece(t, 3), "</s>");
  assert_null(dg_tokenizer_piece(t, -1));
  assert_null(dg_tokenizer_piece(t, 1400));
  assert_int_equal(dg_tokenizer_id(t, "<2gl>"), 4);
  assert_int_equal(dg_tokenizer_id(t, "<unk>"), 1);
  assert_int_equal(dg_tokenizer_id(t, "<2xx>"), -1);
  for (int32_t id = 0; id < 1400; id++) {
    assert_int_equal(dg_tokenizer_id(t, dg_tokenizer_piece(t, id)), id);
    assert_int_equal(dg_tokenizer_is_control(t, id), id == 0 || (id >= 2 && id <= 5));
  }
  assert_false(dg_tokenizer_is_control(t, -1));
  assert_false(dg_tokenizer_is_control(t, 1400));
  /* What looks like a control piece in text is only text. */
  dg_tokens tokens = {0};
  encode(t, "<s> </s> <2gl> <unk> <0x41>", &tokens);
  for (size_t i = 0; i < tokens.count; i++)
    assert_false(tokens.items[i].id < 6 || dg_tokenizer_is_control(t, tokens.items[i].id));
  char *back = decode(t, &tokens);
  assert_string_equal(back, "<s> </s> <2gl> <unk> <0x41>");
  free(back);
  dg_tokens_free(&tokens);

  dg_error err;
  int32_t controls[] = {4, 2, dg_tokenizer_id(t, "<0x41>"), 3, 0};
  back = dg_tokenizer_decode(t, controls, 5, &err);
  assert_string_equal(back, "A");
  free(back);
  /* Bytes that make no character become U+FFFD. */
  int32_t broken[] = {dg_tokenizer_id(t, "<0xE2>"), dg_tokenizer_id(t, "<0x41>")};
  back = dg_tokenizer_decode(t, broken, 2, &err);
  assert_string_equal(back,
                      "\xEF\xBF\xBD"
                      "A");
  free(back);
  back = dg_tokenizer_decode(t, NULL, 0, &err);
  assert_string_equal(back, "");
  free(back);
  int32_t none[] = {1400};
  assert_null(dg_tokenizer_decode(t, none, 1, &err));
  assert_non_null(strstr(err.message, "1399"));
  none[0] = -1;
  assert_null(dg_tokenizer_decode(t, none, 1, &err));
  dg_tokenizer_free(t);
}

/* --- exact detokenization --------------------------------------------------------------- */

static uint32_t random_character(dg_rng *r) {
  static const uint32_t ranges[][2] = {
      {0x20, 0x7E},       {0x20, 0x20},       {0x1, 0x1F},         {0x7F, 0xFF},
      {0x100, 0x24F},     {0x300, 0x36F},     {0x370, 0x5FF},      {0x600, 0x6FF},
      {0x900, 0xDFF},     {0x1100, 0x11FF},   {0x2000, 0x206F},    {0x2070, 0x2580},
      {0x2586, 0x27BF},   {0x3000, 0x30FF},   {0x4E00, 0x9FFF},    {0xAC00, 0xD7A3},
      {0xE000, 0xE0FF},   {0xF900, 0xFDFF},   {0xFE00, 0xFFFD},    {0x10000, 0x1FFFF},
      {0xE0000, 0xE01EF}, {0x1F300, 0x1FAFF}, {0x10FF00, 0x10FFFF}};
  size_t k = dg_rng_below(r, sizeof ranges / sizeof *ranges);
  return ranges[k][0] + (uint32_t)dg_rng_below(r, ranges[k][1] - ranges[k][0] + 1);
}

static void add_utf8(dg_strbuf *b, uint32_t c) {
  if (c < 0x80) {
    dg_strbuf_addc(b, (char)c);
    return;
  }
  int n = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
  static const uint8_t lead[] = {0, 0xC0, 0xE0, 0xF0};
  dg_strbuf_addc(b, (char)(lead[n] | c >> 6 * n));
  while (n-- > 0) dg_strbuf_addc(b, (char)(0x80 | (c >> 6 * n & 0x3F)));
}

static char *random_text(dg_rng *r) {
  dg_strbuf b = {0};
  dg_strbuf_add(&b, "");
  for (size_t n = dg_rng_below(r, 40); n > 0; n--) add_utf8(&b, random_character(r));
  return b.text;
}

/* Single spaces between words and none around, in place. */
static char *one_space(char *s) {
  char *to = s, *begin = s;
  for (; *s; s++)
    if (*s != ' ' || (to > begin && to[-1] != ' ')) *to++ = *s;
  if (to > begin && to[-1] == ' ') to--;
  *to = 0;
  return begin;
}

/* Spans follow the text from left to right and begin and end with characters. */
static void check_spans(const char *text, const dg_tokens *tokens) {
  uint32_t at = 0, last = 0;
  for (size_t i = 0; i < tokens->count; i++) {
    const dg_token *t = &tokens->items[i];
    assert_true(t->begin >= last && t->begin <= t->end && t->end <= strlen(text));
    assert_true(t->begin >= at || (i && t->begin == tokens->items[i - 1].begin));
    assert_true(((uint8_t)text[t->begin] & 0xC0) != 0x80);
    assert_true(((uint8_t)text[t->end] & 0xC0) != 0x80);
    last = t->begin;
    at = t->end;
  }
}

static void test_fuzz_round_trip(void **state) {
  (void)state;
  dg_tokenizer *t = load(DIR "bpe.model");
  dg_tokens tokens = {0};
  dg_rng r = {dg_rng_key(1, 2), 0};
  for (int i = 0; i < 4000; i++) {
    char *text = random_text(&r);
    encode(t, text, &tokens);
    check_spans(text, &tokens);
    for (size_t k = 0; k < tokens.count; k++) assert_int_not_equal(tokens.items[k].id, 1);
    char *back = decode(t, &tokens);
    assert_string_equal(back, one_space(text));
    free(back);
    free(text);
  }
  dg_tokenizer_free(t);
  /* Normalising twice is normalising once, and pieces undo nothing. */
  t = load(DIR "unigram.model");
  dg_tokens again = {0};
  for (int i = 0; i < 4000; i++) {
    char *text = random_text(&r);
    encode(t, text, &tokens);
    check_spans(text, &tokens);
    char *once = decode(t, &tokens);
    encode(t, once, &again);
    char *twice = decode(t, &again);
    assert_string_equal(once, twice);
    assert_int_equal(tokens.count, again.count);
    free(twice);
    free(once);
    free(text);
  }
  dg_tokens_free(&tokens);
  dg_tokens_free(&again);
  dg_tokenizer_free(t);
}

/* Bytes that are not text must do no harm either. */
static void test_fuzz_bytes(void **state) {
  (void)state;
  static const char *const models[] = {DIR "bpe.model", DIR "unigram.model", DIR "tiny.model"};
  dg_tokens tokens = {0};
  dg_rng r = {dg_rng_key(3, 4), 0};
  dg_error err;
  for (int m = 0; m < 3; m++) {
    dg_tokenizer *t = load(models[m]);
    for (int i = 0; i < 1000; i++) {
      char text[48];
      size_t n = dg_rng_below(&r, sizeof text);
      for (size_t k = 0; k < n; k++) text[k] = (char)dg_rng_next(&r);
      assert_true(dg_tokenizer_encode(t, text, n, &tokens, &err));
      char *back = decode(t, &tokens);
      assert_int_equal(dg_utf8_valid_prefix(back, strlen(back)), strlen(back));
      free(back);
      assert_true(dg_tokenizer_sample(t, text, n, -1, 0.3, dg_rng_next(&r), &tokens, &err));
      for (size_t k = 0; k < tokens.count; k++)
        assert_true(tokens.items[k].begin <= tokens.items[k].end && tokens.items[k].end <= n);
    }
    dg_tokenizer_free(t);
  }
  dg_tokens_free(&tokens);
}

/* --- sampling ----------------------------------------------------------------------------- */

static void sample(const dg_tokenizer *t, const char *text, int nbest, double alpha, uint64_t seed,
                   dg_tokens *out) {
  dg_error err;
  if (!dg_tokenizer_sample(t, text, strlen(text), nbest, alpha, seed, out, &err))
    fail_msg("%s", err.message);
}

/* The sure choice is the best segmentation, and no choice changes the text. */
static void test_sample_limits(void **state) {
  (void)state;
  static const char *const models[] = {DIR "unigram.model", DIR "bpe.model", DIR "tiny.model"};
  lines texts = sentences();
  dg_tokens best = {0}, drawn = {0};
  for (int m = 0; m < 3; m++) {
    dg_tokenizer *t = load(models[m]);
    bool bpe = m == 1;
    for (size_t i = 0; i < texts.count; i++) {
      const char *text = texts.text[i];
      encode(t, text, &best);
      sample(t, text, -1, bpe ? 1e-300 : 1e6, i, &drawn);
      assert_same(&best, &drawn);
      sample(t, text, bpe ? -1 : 0, 0, i, &drawn);
      assert_same(&best, &drawn);
      char *want = decode(t, &best);
      for (uint64_t seed = 0; seed < 3; seed++) {
        sample(t, text, -1, 0.2, seed, &drawn);
        check_spans(text, &drawn);
        char *got = decode(t, &drawn);
        assert_string_equal(got, want);
        free(got);
      }
      free(want);
    }
    dg_tokenizer_free(t);
  }
  dg_error err;
  dg_tokenizer *t = load(DIR "bpe.model");
  sample(t, "abc {name}", -1, 1, 7, &drawn); /* no merges: characters, symbols whole */
  assert_int_equal(drawn.count, 6);
  assert_string_equal(dg_tokenizer_piece(t, drawn.items[5].id), "{name}");
  assert_int_equal(drawn.items[5].begin, 4);
  assert_int_equal(drawn.items[5].end, 10);
  assert_false(dg_tokenizer_sample(t, "a", 1, -1, 1.5, 0, &drawn, &err));
  assert_false(dg_tokenizer_sample(t, "a", 1, -1, NAN, 0, &drawn, &err));
  dg_tokenizer_free(t);
  t = load(DIR "unigram.model");
  for (uint64_t seed = 0; seed < 50; seed++) {
    sample(t, "x{name}y", -1, 0, seed, &drawn);
    size_t whole = 0;
    for (size_t k = 0; k < drawn.count; k++)
      whole += !strcmp(dg_tokenizer_piece(t, drawn.items[k].id), "{name}");
    assert_int_equal(whole, 1);
  }
  assert_false(dg_tokenizer_sample(t, "a", 1, -1, -0.1, 0, &drawn, &err));
  assert_false(dg_tokenizer_sample(t, "a", 1, 2000, 0.1, 0, &drawn, &err));
  assert_int_equal(err.status, DG_ERR_USAGE);
  dg_tokenizer_free(t);
  free_lines(&texts);
  dg_tokens_free(&best);
  dg_tokens_free(&drawn);
}

typedef struct worker {
  const dg_tokenizer *t;
  const lines *texts;
  dg_tokens *outs;
  int nbest;
} worker;

static void *sample_all(void *context) {
  worker *w = context;
  dg_error err;
  for (size_t i = 0; i < w->texts->count; i++) {
    const char *text = w->texts->text[i];
    if (!dg_tokenizer_sample(w->t, text, strlen(text), w->nbest, 0.3, i, &w->outs[i], &err))
      return w;
  }
  return NULL;
}

static void test_sample_is_a_function_of_the_seed(void **state) {
  (void)state;
  static const struct {
    const char *model;
    int nbest;
  } cases[] = {{DIR "unigram.model", -1}, {DIR "unigram.model", 8}, {DIR "bpe.model", -1}};
  lines texts = sentences();
  for (int c = 0; c < 3; c++) {
    dg_tokenizer *t = load(cases[c].model);
    dg_tokens *outs[3];
    worker workers[3];
    pthread_t threads[2];
    for (int k = 0; k < 3; k++) {
      outs[k] = dg_calloc(texts.count, sizeof **outs);
      workers[k] = (worker){t, &texts, outs[k], cases[c].nbest};
    }
    assert_null(sample_all(&workers[2]));
    for (int k = 0; k < 2; k++) pthread_create(&threads[k], NULL, sample_all, &workers[k]);
    for (int k = 0; k < 2; k++) {
      void *result;
      pthread_join(threads[k], &result);
      assert_null(result);
    }
    size_t changed = 0;
    dg_tokens other = {0};
    for (size_t i = 0; i < texts.count; i++) {
      for (int k = 0; k < 2; k++) assert_same(&outs[k][i], &outs[2][i]);
      sample(t, texts.text[i], cases[c].nbest, 0.3, i + 1000, &other);
      changed += other.count != outs[2][i].count;
    }
    assert_true(changed > texts.count / 4);
    dg_tokens_free(&other);
    for (int k = 0; k < 3; k++) {
      for (size_t i = 0; i < texts.count; i++) dg_tokens_free(&outs[k][i]);
      free(outs[k]);
    }
    dg_tokenizer_free(t);
  }
  free_lines(&texts);
}

/* Counts of draws against probabilities: chi-square within 5 standard deviations. */
static void check_distribution(const dg_tokenizer *t, const char *text, int nbest, double alpha,
                               const dg_tokens *outs, const double *p, size_t n) {
  enum { DRAWS = 20000 };
  size_t *counts = dg_calloc(n, sizeof *counts);
  dg_tokens drawn = {0};
  for (uint64_t seed = 0; seed < DRAWS; seed++) {
    sample(t, text, nbest, alpha, seed, &drawn);
    size_t k = 0;
    while (k < n && (outs[k].count != drawn.count ||
                     memcmp(outs[k].items, drawn.items, drawn.count * sizeof *drawn.items)))
      k++;
    assert_true(k < n);
    counts[k]++;
  }
  double chi = 0, rest = 0, rest_count = 0;
  size_t cells = 0;
  for (size_t k = 0; k < n; k++) {
    double want = p[k] * DRAWS;
    if (want < 10) { /* rare ones together */
      rest += want, rest_count += (double)counts[k];
      continue;
    }
    chi += ((double)counts[k] - want) * ((double)counts[k] - want) / want;
    cells++;
  }
  if (rest >= 1)
    chi += (rest_count - rest) * (rest_count - rest) / rest, cells++;
  else
    assert_true(rest_count < 10);
  double freedom = (double)cells - 1;
  assert_true(cells > 2);
  if (chi > freedom + 5 * sqrt(2 * freedom))
    fail_msg("\"%s\": chi-square %g of %g", text, chi, freedom);
  free(counts);
  dg_tokens_free(&drawn);
}

static void test_sample_unigram_distribution(void **state) {
  (void)state;
  dg_tokenizer *t = load(DIR "unigram.model");
  static const char *const texts[] = {"mars", "Galicia", "wé 𓀀 mar", "domingo"};
  static dg_tokens outs[1024];
  float scores[1024];
  double p[1024];
  dg_error err;
  for (int i = 0; i < 4; i++)
    for (int limited = 0; limited < 2; limited++) {
      double alpha = 0.1, sum = 0;
      size_t n = limited ? 4 : 1024, found;
      assert_true(dg_tokenizer_nbest(t, texts[i], strlen(texts[i]), n, outs, scores, &found, &err));
      assert_true(limited ? found == n : found < n); /* else the list is not all there is */
      for (size_t k = 0; k < found; k++) sum += p[k] = exp(alpha * (double)(scores[k] - scores[0]));
      for (size_t k = 0; k < found; k++) p[k] /= sum;
      check_distribution(t, texts[i], limited ? 4 : -1, alpha, outs, p, found);
    }
  for (int i = 0; i < 1024; i++) dg_tokens_free(&outs[i]);
  dg_tokenizer_free(t);
}

/* A word of ASCII letters after its mark: bit i set is a cut before letter i. */
typedef struct word {
  const dg_tokenizer *t;
  const char *text; /* the mark first */
  size_t units;
  double drop;
} word;

static size_t unit_at(size_t i) { return i ? i + 2 : 0; } /* the mark has 3 bytes */

static int32_t part(const word *w, size_t from, size_t to) {
  char piece[64];
  snprintf(piece, sizeof piece, "%.*s", (int)(unit_at(to) - unit_at(from)),
           w->text + unit_at(from));
  return dg_tokenizer_id(w->t, piece);
}

/* Adds to p[] the probability of every end from `cuts`, by trying every set of merges
 * left out. Ids are in the order of merges. */
static void unfold(const word *w, unsigned cuts, double probability, double *p) {
  size_t at[16], count = 0, merge_at[16], merges = 0;
  int32_t merged[16];
  for (size_t i = 0; i <= w->units; i++)
    if (i == w->units || cuts >> i & 1) at[count++] = i;
  for (size_t k = 1; k + 1 < count; k++) {
    int32_t id = part(w, at[k - 1], at[k + 1]);
    if (id >= 0) merged[merges] = id, merge_at[merges++] = at[k];
  }
  for (unsigned kept = 0; kept < 1u << merges; kept++) {
    double q = probability;
    size_t best = merges;
    for (size_t k = 0; k < merges; k++) {
      bool keep = kept >> k & 1;
      q *= keep ? 1 - w->drop : w->drop;
      if (keep && (best == merges || merged[k] < merged[best])) best = k;
    }
    if (best == merges)
      p[cuts] += q;
    else
      unfold(w, cuts & ~(1u << merge_at[best]), q, p);
  }
}

static void test_sample_bpe_distribution(void **state) {
  (void)state;
  dg_tokenizer *t = load(DIR "bpe.model");
  static const char *const texts[] = {"mar", "2024", "espan", "and"};
  for (int i = 0; i < 4; i++) {
    char marked[32];
    snprintf(marked, sizeof marked, "\xe2\x96\x81%s", texts[i]);
    word w = {t, marked, strlen(texts[i]) + 1, 0.3};
    double p[64] = {0}, sum = 0;
    dg_tokens outs[64] = {{0}};
    unfold(&w, (1u << w.units) - 1, 1, p);
    for (unsigned cuts = 1; cuts < 1u << w.units; cuts += 2) {
      size_t from = 0;
      for (size_t to = 1; to <= w.units; to++) {
        if (to < w.units && !(cuts >> to & 1)) continue;
        DG_GROW(outs[cuts].items, outs[cuts].capacity, outs[cuts].count + 1);
        outs[cuts].items[outs[cuts].count++] =
            (dg_token){part(&w, from, to), (uint32_t)(from ? from - 1 : 0), (uint32_t)(to - 1)};
        from = to;
      }
    }
    for (unsigned cuts = 0; cuts < 64; cuts++) sum += p[cuts];
    assert_true(fabs(sum - 1) < 1e-12);
    check_distribution(t, texts[i], -1, w.drop, outs, p, 64);
    for (int k = 0; k < 64; k++) dg_tokens_free(&outs[k]);
  }
  dg_tokenizer_free(t);
}

/* --- training ------------------------------------------------------------------------------ */

typedef struct source {
  const lines *texts;
  size_t next, fail_at;
} source;

static int next_text(void *context, const char **text, size_t *n, dg_error *err) {
  source *s = context;
  if (s->next == s->fail_at) {
    dg_fail(err, DG_ERR_IO, "the disk is gone");
    return -1;
  }
  if (s->next == s->texts->count) return 0;
  *text = s->texts->text[s->next++];
  *n = strlen(*text);
  return 1;
}

static dg_tokenizer *train(const dg_tokenizer_options *o, const lines *texts, dg_error *err) {
  source s = {texts, 0, SIZE_MAX};
  return dg_tokenizer_train(o, next_text, &s, err);
}

static const char *const tags[] = {"<2gl>", "<2pt-BR>", "__an__"};
static const char *const symbols[] = {"%s", ",", "\"", "a\"b,c", "{}"};

static dg_tokenizer_options options(dg_tokenizer_type type, int32_t vocab_size) {
  dg_tokenizer_options o = dg_tokenizer_defaults();
  o.type = type;
  o.vocab_size = vocab_size;
  o.character_coverage = 0.98;
  o.quiet = true;
  o.tags = tags;
  o.tag_count = 3;
  o.user_symbols = symbols;
  o.user_symbol_count = 5;
  return o;
}

static void test_train(void **state) {
  (void)state;
  lines texts = sentences(), normal = read_lines(DIR "normal.tsv");
  assert_int_equal(texts.count, normal.count);
  dg_error err;
  dg_tokens tokens = {0};
  for (int type = 0; type < 2; type++) {
    dg_tokenizer_options o = options((dg_tokenizer_type)type, 1500);
    dg_tokenizer *t = train(&o, &texts, &err);
    if (!t) fail_msg("%s", err.message);
    assert_int_equal(dg_tokenizer_size(t), 1500);
    static const char *const first[] = {"<pad>",    "<unk>",  "<s>",   "</s>", "<2gl>",
                                        "<2pt-BR>", "__an__", "%s",    ",",    "\"",
                                        "a\"b,c",   "{}",     "<0x00>"};
    for (int32_t id = 0; id < 13; id++) {
      assert_string_equal(dg_tokenizer_piece(t, id), first[id]);
      assert_int_equal(dg_tokenizer_is_control(t, id), id != 1 && id < 7);
    }
    /* Decoding gives the normalised text, exactly. */
    for (size_t i = 0; i < texts.count; i++) {
      encode(t, texts.text[i], &tokens);
      check_spans(texts.text[i], &tokens);
      char *back = decode(t, &tokens);
      assert_string_equal(back, normal.text[i]);
      free(back);
    }
    encode(t, "50%s a\"b,c", &tokens);
    assert_int_equal(tokens.items[tokens.count - 1].id, 10);
    for (size_t i = 0; i < tokens.count; i++) /* digits stand alone */
      if (tokens.items[i].begin < 2) assert_true(tokens.items[i].end - tokens.items[i].begin < 2);
    dg_tokenizer *again = train(&o, &texts, &err);
    size_t n[2];
    const void *a = dg_tokenizer_bytes(t, &n[0]), *b = dg_tokenizer_bytes(again, &n[1]);
    assert_int_equal(n[0], n[1]);
    assert_memory_equal(a, b, n[0]);
    dg_tokenizer_free(again);
    dg_tokenizer_free(t);
  }
  dg_tokens_free(&tokens);
  free_lines(&texts);
  free_lines(&normal);
}

static void test_train_largest_vocabulary(void **state) {
  (void)state;
  lines texts = sentences();
  dg_error err;
  for (int type = 0; type < 2; type++) {
    dg_tokenizer_options o = options((dg_tokenizer_type)type, 90000);
    assert_null(train(&o, &texts, &err));
    assert_int_equal(err.status, DG_ERR_USAGE);
    assert_int_equal(sscanf(err.message, "the text yields %d", &o.vocab_size), 1);
    assert_true(o.vocab_size > 1500 && o.vocab_size < 30000);
    dg_tokenizer *t = train(&o, &texts, &err);
    if (!t) fail_msg("%s", err.message);
    dg_tokenizer_free(t);
    o.vocab_size++;
    assert_null(train(&o, &texts, &err));
  }
  free_lines(&texts);
}

static void assert_refused(dg_tokenizer_options o, const lines *texts, const char *remedy) {
  dg_error err;
  dg_tokenizer *t = train(&o, texts, &err);
  assert_null(t);
  if (!strstr(err.message, remedy)) fail_msg("\"%s\" does not say \"%s\"", err.message, remedy);
  assert_null(strchr(err.message, '\n'));
}

static void test_train_refusals(void **state) {
  (void)state;
  lines texts = sentences();
  dg_tokenizer_options good = options(DG_TOKENIZER_UNIGRAM, 1500), o = good;
  char empty[6][16] = {"", " ", "—", "\xe2\x96\x81", "\xe2\x96\x85 here", "\x01\x02"}, *list[6];
  for (int i = 0; i < 6; i++) list[i] = empty[i];
  lines none = {0}, little = {list, 6, 6};
  for (int type = 0; type < 2; type++) { /* the trainer would abort */
    o.type = (dg_tokenizer_type)type;
    assert_refused(o, &none, "no text");
    assert_refused(o, &little, "no text");
  }
  o = good, o.vocab_size = 268;
  assert_refused(o, &texts, "268");
  o.vocab_size = -5;
  assert_refused(o, &texts, "too small");
  o.vocab_size = 280;
  assert_refused(o, &texts, "characters take");
  o = good, o.normalization = "nfxd";
  assert_refused(o, &texts, "nfxd");
  o = good, o.character_coverage = 0.5;
  assert_refused(o, &texts, "coverage");
  static const char *const wrong[] = {"<s>", "%s", "two words", "", "\xff", "\xe2\x96\x81"};
  for (size_t i = 0; i < 6; i++) {
    const char *two[] = {"<2gl>", wrong[i]};
    o = good, o.tags = two, o.tag_count = 2;
    assert_refused(o, &texts, i == 1 ? "the symbol" : i == 0 ? "already" : "the tag");
  }
  char *nested[66];
  for (int i = 0; i < 66; i++) {
    nested[i] = dg_malloc((size_t)i + 2);
    memset(nested[i], '#', (size_t)i + 1);
    nested[i][i + 1] = 0;
  }
  o = good, o.user_symbols = (const char *const *)nested, o.user_symbol_count = 66;
  assert_refused(o, &texts, "64");
  for (int i = 0; i < 66; i++) free(nested[i]);

  source broken = {&texts, 0, 100};
  dg_error err;
  for (size_t sampled = 0; sampled < 2; sampled++, broken.next = 0) {
    o = good, o.max_sentences = sampled * 50;
    assert_null(dg_tokenizer_train(&o, next_text, &broken, &err));
    assert_string_equal(err.message, "the disk is gone");
  }
  free_lines(&texts);
}

/* Lines that the trainer would skip or die of, and sampling of lines. */
static void test_train_odd_corpora(void **state) {
  (void)state;
  lines texts = sentences();
  dg_error err;
  enum { LONG = 99999 };
  char *run = dg_malloc(LONG + 1), *words = dg_malloc(LONG + 1);
  for (size_t i = 0; i < LONG; i++) {
    run[i] = (char)('a' + i % 7 * (i % 11) % 26);
    words[i] = i % 6 == 5 ? ' ' : (char)('a' + i * i % 23);
  }
  run[LONG] = words[LONG] = 0;
  char block[] = "\xe2\x96\x85", accent[] = "caf\xc3\xa9", *hard[] = {run, block, words, accent};
  lines odd = {hard, 4, 4};
  for (int type = 0; type < 2; type++) {
    dg_tokenizer_options o = options((dg_tokenizer_type)type, 340);
    o.character_coverage = 1;
    dg_tokenizer *t = train(&o, &odd, &err);
    if (!t) fail_msg("%s", err.message);
    assert_true(dg_tokenizer_id(t, "q") >= 0 && dg_tokenizer_id(t, "\xc3\xa9") >= 0);
    dg_tokens tokens = {0};
    encode(t, run, &tokens);
    assert_true(tokens.count > LONG / 17); /* pieces have 16 characters at most */
    sample(t, words, -1, 0.1, 1, &tokens);
    char *back = decode(t, &tokens);
    assert_string_equal(back, words);
    free(back);
    dg_tokens_free(&tokens);
    dg_tokenizer_free(t);
  }
  /* The sample is the same each time, in order, and not the first lines only. */
  dg_tokenizer_options o = options(DG_TOKENIZER_UNIGRAM, 1500);
  size_t n[3];
  dg_tokenizer *t[3];
  for (int k = 0; k < 3; k++) {
    o.max_sentences = k < 2 ? 120 : texts.count;
    t[k] = train(&o, &texts, &err);
    if (!t[k]) fail_msg("%s", err.message);
  }
  const void *a = dg_tokenizer_bytes(t[0], &n[0]), *b = dg_tokenizer_bytes(t[1], &n[1]);
  assert_int_equal(n[0], n[1]);
  assert_memory_equal(a, b, n[0]);
  lines first = {texts.text, 120, 120};
  o.max_sentences = 0;
  dg_tokenizer *head = train(&o, &first, &err), *all = train(&o, &texts, &err);
  if (!head || !all) fail_msg("%s", err.message);
  b = dg_tokenizer_bytes(head, &n[1]);
  assert_true(n[0] != n[1] || memcmp(a, b, n[0]));
  a = dg_tokenizer_bytes(t[2], &n[0]), b = dg_tokenizer_bytes(all, &n[1]);
  assert_int_equal(n[0], n[1]);
  assert_memory_equal(a, b, n[0]);
  for (int k = 0; k < 3; k++) dg_tokenizer_free(t[k]);
  dg_tokenizer_free(head);
  dg_tokenizer_free(all);
  free(run);
  free(words);
  free_lines(&texts);
}

/* --- damage ------------------------------------------------------------------------------- */

/* Everything a loaded model can be asked must end well. */
static void exercise(const dg_tokenizer *t, const lines *texts) {
  dg_tokens tokens = {0};
  dg_error err;
  for (size_t i = 0; i < texts->count; i++) {
    const char *text = texts->text[i];
    size_t n = strlen(text), found;
    if (dg_tokenizer_encode(t, text, n, &tokens, &err)) {
      int32_t id = tokens.count ? tokens.items[0].id : 0;
      free(dg_tokenizer_decode(t, &id, 1, &err));
    }
    dg_tokenizer_sample(t, text, n, -1, 0.5, i, &tokens, &err);
    dg_tokens best = {0};
    dg_tokenizer_nbest(t, text, n, 1, &best, NULL, &found, &err);
    dg_tokens_free(&best);
  }
  for (int32_t id = 0; id < dg_tokenizer_size(t); id += 7)
    free(dg_tokenizer_decode(t, &id, 1, &err));
  dg_tokens_free(&tokens);
}

static dg_tokenizer *load_bytes(const void *bytes, size_t n) {
  dg_error err = {DG_OK, ""};
  void *exact = dg_malloc(n ? n : 1); /* so that reading on is noticed */
  memcpy(exact, bytes, n);
  dg_tokenizer *t = dg_tokenizer_load(exact, n, &err);
  free(exact);
  if (!t) assert_true(err.status != DG_OK && *err.message && !strchr(err.message, '\n'));
  return t;
}

static void test_damaged_foreign_model(void **state) {
  (void)state;
  lines texts = sentences();
  lines few = {texts.text + texts.count - 30, 30, 30};
  dg_mapping map;
  dg_error err;
  assert_true(dg_map(DIR "tiny.model", &map, &err));
  size_t refused = 0;
  for (size_t n = 0; n < map.size; n++) {
    dg_tokenizer *t = load_bytes(map.data, n);
    refused += !t;
    if (t) exercise(t, &few);
    dg_tokenizer_free(t);
  }
  assert_true(refused > map.size / 2);
  uint8_t *copy = dg_malloc(map.size);
  memcpy(copy, map.data, map.size);
  for (size_t bit = 0; bit < 8 * map.size; bit++) {
    copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
    dg_tokenizer *t = load_bytes(copy, map.size);
    if (t && bit % 5 == 0) exercise(t, &few);
    dg_tokenizer_free(t);
    copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
  }
  free(copy);
  dg_unmap(&map);
  free_lines(&texts);
}

/* Normalisation rules of their real size, without the checksum that would protect
 * them. The rules come last in a model. */
static void test_damaged_rules(void **state) {
  (void)state;
  lines texts = sentences();
  dg_tokenizer_options o = options(DG_TOKENIZER_BPE, 1500);
  dg_error err;
  dg_tokenizer *t = train(&o, &texts, &err);
  if (!t) fail_msg("%s", err.message);
  size_t n;
  const void *bytes = dg_tokenizer_bytes(t, &n);
  uint8_t *copy = dg_malloc(n);
  memcpy(copy, bytes, n);
  dg_tokenizer_free(t);
  n -= 11;
  t = load_bytes(copy, n);
  assert_non_null(t); /* whole, but for the checksum */
  dg_tokenizer_free(t);
  assert_true(n > 200000);
  dg_rng r = {dg_rng_key(5, 6), 0};
  size_t refused = 0;
  for (int i = 0; i < 400; i++) {
    size_t at = n - 1 - dg_rng_below(&r, 200000);
    uint8_t old = copy[at];
    copy[at] ^= (uint8_t)(1u << dg_rng_below(&r, 8));
    t = load_bytes(copy, n);
    refused += !t;
    if (t && i % 8 == 0) exercise(t, &texts);
    dg_tokenizer_free(t);
    copy[at] = old;
  }
  assert_true(refused > 40);
  free(copy);
  free_lines(&texts);
}

static void test_damaged_own_model(void **state) {
  (void)state;
  lines texts = sentences();
  dg_tokenizer_options o = options(DG_TOKENIZER_UNIGRAM, 350);
  o.normalization = "identity";
  dg_error err;
  lines few = {texts.text, 4, 4};
  dg_tokenizer *t = train(&o, &few, &err);
  if (!t) fail_msg("%s", err.message);
  size_t n;
  const void *bytes = dg_tokenizer_bytes(t, &n);
  uint8_t *copy = dg_malloc(n);
  memcpy(copy, bytes, n);
  dg_tokenizer_free(t);
  for (size_t size = 0; size < n; size++) {
    t = load_bytes(copy, size);
    if (t) assert_int_equal(size, n - 11); /* all of it except the checksum */
    dg_tokenizer_free(t);
  }
  for (size_t bit = 0; bit < 8 * n; bit++) {
    copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
    assert_null(load_bytes(copy, n));
    copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
  }
  t = load_bytes(copy, n);
  assert_non_null(t);
  dg_tokenizer_free(t);
  free(copy);
  assert_null(dg_tokenizer_load_file(DIR "sentences.txt", &err));
  assert_non_null(strstr(err.message, "sentences.txt"));
  assert_null(dg_tokenizer_load_file(DIR "absent.model", &err));
  assert_int_equal(err.status, DG_ERR_IO);
  free_lines(&texts);
}

typedef struct told {
  const char *const *texts;
  size_t count, next;
} told;

static int next_told(void *context, const char **text, size_t *n, dg_error *err) {
  (void)err;
  told *t = context;
  if (t->next == 3 * t->count) return 0;
  *text = t->texts[t->next++ % t->count];
  *n = strlen(*text);
  return 1;
}

/* Added pieces shorten what they were learned on, and mean what they say; other text is cut
 * up as it was. */
static void extends(const char *path, bool bytes_spell) {
  static const char *const texts[] = {"квітка на вікні", "вікно на схід", "вікно та квітка",
                                      "на вікні квітка та вікно"};
  enum { FIRST = 5000, MOST = 12 };
  dg_tokenizer *t = load(path);
  dg_error err;
  dg_piece_list list, again;
  told once = {texts, 4, 0}, twice = once;
  if (!dg_piece_list_learn(t, MOST, next_told, &once, &list, &err)) fail_msg("%s", err.message);
  if (list.count < 3 || list.count > MOST) fail_msg("%s: %zu pieces", path, list.count);
  assert_true(dg_piece_list_learn(t, MOST, next_told, &twice, &again, &err));
  assert_int_equal(again.count, list.count);
  for (size_t i = 0; i < list.count; i++) {
    assert_string_equal(list.texts[i], again.texts[i]);
    assert_true(list.scores[i] == again.scores[i]);
    assert_int_equal(dg_tokenizer_id(t, list.texts[i]), -1);
  }
  dg_piece_list_free(&again);
  dg_tokenizer *with = dg_tokenizer_extend(t, &list, FIRST, &err);
  assert_non_null(with);
  assert_int_equal(dg_tokenizer_size(with), FIRST + (int32_t)list.count);
  assert_null(dg_tokenizer_piece(with, dg_tokenizer_size(t)));
  assert_null(dg_tokenizer_piece(with, FIRST - 1));
  assert_null(dg_tokenizer_piece(with, FIRST + (int32_t)list.count));
  for (int32_t i = 0; i < (int32_t)list.count; i++) {
    assert_string_equal(dg_tokenizer_piece(with, FIRST + i), list.texts[i]);
    assert_int_equal(dg_tokenizer_id(with, list.texts[i]), FIRST + i);
    assert_false(dg_tokenizer_is_control(with, FIRST + i));
  }
  size_t n;
  const void *bytes = dg_tokenizer_bytes(with, &n);
  dg_tokenizer *read = dg_tokenizer_load(bytes, n, &err);
  assert_non_null(read);
  dg_tokens before = {0}, after = {0}, cut = {0};
  size_t tokens[2] = {0};
  for (size_t i = 0; i < 4; i++) {
    encode(t, texts[i], &before);
    encode(read, texts[i], &after);
    tokens[0] += before.count, tokens[1] += after.count;
    for (size_t k = 0; k < after.count; k++)
      assert_true(after.items[k].id != dg_tokenizer_unk(t));
    char *text = decode(read, &after);
    assert_string_equal(text, texts[i]);
    free(text);
    for (uint64_t seed = 0; seed < 8; seed++) { /* sampled ones, too */
      sample(with, texts[i], -1, 0.3, seed, &cut);
      text = decode(with, &cut);
      assert_string_equal(text, texts[i]);
      free(text);
    }
  }
  if (bytes_spell && 3 * tokens[1] >= 2 * tokens[0])
    fail_msg("%s: %zu tokens, %zu before", path, tokens[1], tokens[0]);
  lines others = sentences();
  size_t same = 0;
  for (size_t i = 0; i < others.count; i++) {
    encode(t, others.text[i], &before);
    encode(with, others.text[i], &after);
    bool equal = before.count == after.count;
    for (size_t k = 0; equal && k < before.count; k++)
      equal = before.items[k].id == after.items[k].id;
    same += equal;
    /* Cutting up normalised text is encoding, except for user symbols. */
    char *normal = dg_tokenizer_normalize(t, others.text[i], strlen(others.text[i]), &err);
    assert_non_null(normal);
    assert_true(dg_tokenizer_cut(t, normal, strlen(normal), &cut, &err));
    equal = cut.count == before.count;
    for (size_t k = 0; equal && k < cut.count; k++) equal = cut.items[k].id == before.items[k].id;
    if (!equal && bytes_spell && !strchr(others.text[i], '{')) fail_msg("%s", others.text[i]);
    free(normal);
  }
  assert_true(10 * same > 9 * others.count);
  told sparse = {texts, 1, 3}; /* no text */
  assert_false(dg_piece_list_learn(with, MOST, next_told, &sparse, &again, &err));
  dg_tokens_free(&before);
  dg_tokens_free(&after);
  dg_tokens_free(&cut);
  free_lines(&others);
  dg_piece_list_free(&list);
  dg_tokenizer_free(read);
  dg_tokenizer_free(with);
  dg_tokenizer_free(t);
}

static void test_extended(void **state) {
  (void)state;
  extends(DIR "unigram.model", true);
  extends(DIR "bpe.model", true);
  extends(DIR "tiny.model", false); /* a run of unknowns was one token */
}

/* Text that looks like a control piece makes none, and stays text. */
static void test_reserved(void **state) {
  (void)state;
  static const char *const paths[] = {DIR "unigram.model", DIR "bpe.model"};
  static const char *const texts[] = {"unha <s>cousa</s> vella", "a <s>porta</s> da casa",
                                      "</s></s> <s><s>", "outra <s>cousa</s>"};
  for (int i = 0; i < 2; i++) {
    dg_tokenizer *t = load(paths[i]);
    dg_error err;
    dg_piece_list list;
    told all = {texts, 4, 0};
    if (!dg_piece_list_learn(t, 60, next_told, &all, &list, &err)) fail_msg("%s", err.message);
    assert_true(list.count > 0);
    for (size_t k = 0; k < list.count; k++) assert_int_equal(dg_tokenizer_id(t, list.texts[k]), -1);
    dg_tokenizer *with = dg_tokenizer_extend(t, &list, 5000, &err);
    assert_non_null(with);
    dg_tokens tokens = {0};
    for (size_t k = 0; k < 4; k++) {
      if (!dg_tokenizer_encode(with, texts[k], strlen(texts[k]), &tokens, &err))
        fail_msg("%s: \"%s\": %s", paths[i], texts[k], err.message);
      for (size_t n = 0; n < tokens.count; n++)
        assert_false(dg_tokenizer_is_control(with, tokens.items[n].id));
    }
    dg_tokens_free(&tokens);
    dg_tokenizer_free(with);
    free(list.texts[0]);
    list.texts[0] = dg_strdup("</s>");
    assert_null(dg_tokenizer_extend(t, &list, 5000, &err));
    assert_non_null(strstr(err.message, "</s>"));
    dg_piece_list_free(&list);
    dg_tokenizer_free(t);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_golden_unigram),
      cmocka_unit_test(test_golden_bpe),
      cmocka_unit_test(test_golden_without_bytes),
      cmocka_unit_test(test_golden_nbest),
      cmocka_unit_test(test_pieces),
      cmocka_unit_test(test_fuzz_round_trip),
      cmocka_unit_test(test_fuzz_bytes),
      cmocka_unit_test(test_sample_limits),
      cmocka_unit_test(test_sample_is_a_function_of_the_seed),
      cmocka_unit_test(test_sample_unigram_distribution),
      cmocka_unit_test(test_sample_bpe_distribution),
      cmocka_unit_test(test_train),
      cmocka_unit_test(test_train_largest_vocabulary),
      cmocka_unit_test(test_train_refusals),
      cmocka_unit_test(test_train_odd_corpora),
      cmocka_unit_test(test_extended),
      cmocka_unit_test(test_reserved),
      cmocka_unit_test(test_damaged_foreign_model),
      cmocka_unit_test(test_damaged_rules),
      cmocka_unit_test(test_damaged_own_model),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
