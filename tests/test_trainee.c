/* What is trained: the languages it brings, where they stand, what they begin as; settings asked
 * for and taken over; its vocabulary. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "mt/core/mem.h"
#include "mt/train/vocabulary.h"

enum { WIDTH = 6 };
static char *path, *adapter_path; /* of files under test */
static dg_base *base;             /* en, es and pt */

static const char *const english[] = {"one red", "two blue", "one blue", "two red", "one one"};

static int next_sentence(void *context, const char **sentence, size_t *n, dg_error *err) {
  (void)err;
  int *i = context;
  if (*i == 40) return 0;
  *sentence = english[(*i)++ % 5];
  *n = strlen(*sentence);
  return 1;
}

/* As a file holds it; source_format NULL: the usual one. */
static dg_base *make_base(const char *source_format, dg_error *err) {
  dg_tokenizer_options o = dg_tokenizer_defaults();
  o.type = DG_TOKENIZER_BPE;
  o.vocab_size = 298; /* all there are: the four words are whole */
  o.character_coverage = 1;
  o.tags = (const char *const[]){"<2en>", "<2es>", "<2pt>"};
  o.tag_count = 3;
  o.quiet = true;
  int at = 0;
  dg_tokenizer *t = dg_tokenizer_train(&o, next_sentence, &at, err);
  if (!t) return NULL;
  dg_model_config c;
  dg_options_defaults(dg_model_config_options, &c);
  c.d_model = WIDTH, c.heads = 2, c.ffn_dim = 5, c.encoder_layers = c.decoder_layers = 1;
  c.vocab_size = dg_tokenizer_size(t);
  if (source_format) {
    snprintf(c.source_format, sizeof c.source_format, "%s", source_format);
    strcpy(c.target_format, "<s> X </s>");
  }
  dg_model *m = dg_model_new(&c, err);
  if (!m) return NULL;
  dg_model_initialize(m, 1);
  dg_base *made = dg_base_new(
      m, t, NULL, (const dg_language[]){{.code = "en"}, {.code = "es"}, {.code = "pt"}}, 3, NULL,
      err);
  char hash[DG_HASH_TEXT];
  bool saved = made && dg_base_save(made, path, DG_STORE_FP32, hash, err);
  dg_base_free(made);
  return saved ? dg_base_load(path, err) : NULL;
}

static int set_up(void **state) {
  (void)state;
  const char *tmp = getenv("TMPDIR");
  path = dg_format("%s/test_trainee-%ld", tmp ? tmp : "/tmp", (long)getpid());
  adapter_path = dg_format("%s.adapter", path);
  dg_error err;
  base = make_base(NULL, &err);
  if (!base) print_error("%s\n", err.message);
  return base ? 0 : -1;
}

static int tear_down(void **state) {
  (void)state;
  dg_base_free(base);
  unlink(path);
  unlink(adapter_path);
  free(path);
  free(adapter_path);
  return 0;
}

/* What is asked for by words: a setting counts as given when it is among them. */
static bool given(void *context, const char *name) {
  return context && strstr(context, name);
}

static dg_trainee trainee(const char **like, size_t like_count, const char *asked) {
  dg_trainee t = {.given = given, .context = (void *)asked,
                  .like = {.items = like, .count = like_count}};
  dg_options_defaults(dg_adapter_config_options, &t.config);
  t.config.width = 4;
  return t;
}

static dg_train_way begin(dg_trainee *t, const char *source, const char *target) {
  dg_error err;
  dg_train_way way = {0};
  if (!dg_trainee_begin(t, base, &err) || !dg_trainee_add(t, source, target, &way, &err))
    fail_msg("%s", err.message);
  return way;
}

static void build(dg_trainee *t) {
  dg_error err;
  if (!dg_trainee_build(t, 1, &err)) fail_msg("%s", err.message);
}

static void assert_told(const dg_trainee *t, const char *word) {
  if (!t->told.text || !strstr(t->told.text, word))
    fail_msg("\"%s\" is not in \"%s\"", word, t->told.text ? t->told.text : "");
}

static int32_t tag_of(const char *code) {
  return dg_base_language(base, code, DG_SIDE_BOTH, NULL)->tag;
}

/* --- languages ------------------------------------------------------------------------------ */

static void test_known(void **state) {
  (void)state;
  static const char *like[] = {"pt"};
  dg_trainee t = trainee(like, 1, NULL);
  dg_train_way way = begin(&t, "eng", "es");
  assert_string_equal(way.pair.source, "en");
  assert_int_equal(way.source_tag, tag_of("en"));
  assert_int_equal(way.target_tag, tag_of("es"));
  assert_int_equal(way.before_target, tag_of("es"));
  bool source, target;
  dg_trainee_new_sides(&t, &source, &target);
  assert_false(source || target || dg_trainee_is_new(&t, "es"));
  build(&t);
  assert_told(&t, "--like pt has no effect");
  assert_null(dg_trainee_relative(&t, "es", DG_SIDE_TARGET));
  dg_trainee_free(&t);
}

static void check_sides(const char *source, const char *target, bool back, bool read, bool said) {
  static const char *like[] = {"es"};
  dg_trainee t = trainee(like, 1, NULL);
  begin(&t, source, target);
  dg_train_way way;
  if (back) assert_true(dg_trainee_add(&t, target, source, &way, NULL));
  bool sides[2];
  dg_trainee_new_sides(&t, &sides[0], &sides[1]);
  assert_int_equal(sides[0], read);
  assert_int_equal(sides[1], said);
  dg_trainee_free(&t);
}

static void test_sides(void **state) {
  (void)state;
  check_sides("en", "gl", false, false, true);
  check_sides("gl", "en", false, true, false);
  check_sides("en", "gl", true, true, true);
  check_sides("gl", "ast", false, true, true);
}

/* A new tag begins as its relatives' mean by their weights; its own entry goes before the one for
 * all; the heaviest speaks for it until it is trained. */
static void test_relatives(void **state) {
  (void)state;
  static const char *like[] = {"en", "glg=pt:1,es:3"};
  dg_trainee t = trainee(like, 2, NULL);
  dg_train_way way = begin(&t, "en", "gl");
  assert_int_equal(way.before_target, tag_of("es"));
  assert_int_equal(way.target_tag, dg_first_tag(&base->model->config));
  assert_true(dg_trainee_is_new(&t, "gl"));
  assert_string_equal(dg_trainee_relative(&t, "gl", DG_SIDE_TARGET)->code, "es");
  build(&t);
  assert_string_equal(t.relatives_text.text, "es");
  float es[WIDTH], pt[WIDTH];
  dg_matrix_rows(&base->model->encoder.embedding, WIDTH, (size_t)tag_of("es"), 1, es);
  dg_matrix_rows(&base->model->encoder.embedding, WIDTH, (size_t)tag_of("pt"), 1, pt);
  for (size_t i = 0; i < WIDTH; i++)
    assert_true(fabsf(t.file->adapter->extra[i] - (0.75f * es[i] + 0.25f * pt[i])) < 1e-6f);
  dg_network n = {.model = base->model};
  dg_trainee_use(&t, false, &n);
  assert_int_equal(n.adapter_count, 0);
  dg_trainee_use(&t, true, &n);
  assert_ptr_equal(n.adapters[0], t.file->adapter);
  dg_trainee_free(&t);
}

static void refuses(const char *source, const char *target, const char *like, const char *word) {
  dg_error err;
  dg_train_way way;
  dg_trainee t = trainee(&like, like != NULL, NULL);
  assert_true(dg_trainee_begin(&t, base, &err));
  if (dg_trainee_add(&t, source, target, &way, &err)) fail_msg("%s-%s passed", source, target);
  if (err.status != DG_ERR_USAGE || !strstr(err.message, word)) fail_msg("%s", err.message);
  dg_trainee_free(&t);
}

static void test_refusals(void **state) {
  (void)state;
  refuses("en", "gl", NULL, "gl");
  refuses("en", "gl", "xx", "--like");
  refuses("en", "gl", "es:0", "a number above 0");
  refuses("en", "gl", "es,es,es,es,es,es,es,es,es,es,es,es,es,es,es,es,es", "more than 16");
  refuses("en", "eng", NULL, "same language");
  dg_error err;
  dg_trainee t = trainee(NULL, 0, NULL);
  strcpy(t.config.method, "full");
  t.init = path;
  assert_false(dg_trainee_begin(&t, base, &err));
  assert_non_null(strstr(err.message, "no --init"));
  dg_trainee_free(&t);
}

/* In a copy of a base that names only what it is to say, each new language that is said has its
 * own row, begun as its relative, and no other weight changes. */
static void test_full_with_tags_unsaid(void **state) {
  (void)state;
  static const char *like[] = {"gl=pt", "ast=es", "an=es"};
  dg_error err;
  dg_base *usual = base;
  base = make_base("<tgt> X </s>", &err);
  assert_non_null(base);
  dg_trainee t = trainee(like, 3, NULL);
  strcpy(t.config.method, "full");
  dg_train_way ways[3] = {begin(&t, "gl", "es")};
  for (int i = 1; i < 3; i++)
    assert_true(dg_trainee_add(&t, i == 1 ? "en" : "es", i == 1 ? "ast" : "an", &ways[i], &err));
  build(&t);
  const dg_params *before = &base->model->params, *after = dg_trainee_params(&t);
  int grown = 0;
  for (size_t k = 0; k < before->count; k++) {
    const dg_tensor *from = &before->tensors[k], *to = &after->tensors[k];
    grown += to->rows != from->rows;
    for (size_t r = 0; r < to->rows; r++) {
      float row[64];
      size_t from_row = r < from->rows       ? r
                        : r == (size_t)ways[1].target_tag ? (size_t)tag_of("es")
                        : r == (size_t)ways[2].target_tag ? (size_t)tag_of("es")
                                                          : (size_t)tag_of("pt");
      dg_matrix_rows(&(dg_matrix){.block = {from->held}}, from->cols, from_row, 1, row);
      assert_memory_equal(to->value + r * to->cols, row, from->cols * sizeof *row);
    }
  }
  assert_int_equal(grown, 1);
  const dg_language *said = dg_base_language(t.whole, "ast", DG_SIDE_TARGET, &err);
  assert_non_null(said);
  assert_int_equal(said->tag, ways[1].target_tag);
  dg_trainee_free(&t);
  dg_base_free(base);
  base = usual;
}

/* --- settings ------------------------------------------------------------------------------- */

/* What was not asked for is as in what it begins from, weights too. */
static void test_init(void **state) {
  (void)state;
  static const char *like[] = {"es"};
  dg_error err;
  dg_trainee t = trainee(like, 1, NULL);
  begin(&t, "en", "gl");
  build(&t);
  dg_params *p = dg_trainee_params(&t);
  for (size_t i = 0; i < p->total; i++) p->values[i] = (float)(i % 7) / 8;
  t.storage = DG_STORE_FP32;
  if (!dg_trainee_save(&t, json_object(), adapter_path, &err)) fail_msg("%s", err.message);
  assert_string_equal(json_string_value(json_object_get(dg_trainee_card(&t), "like")), "es");
  for (int asks = 0; asks < 2; asks++) {
    dg_trainee next = trainee(like, 1, asks ? "width" : NULL);
    next.config.width = 3;
    next.init = adapter_path;
    begin(&next, "en", "gl");
    assert_int_equal(next.config.width, asks ? 3 : 4);
    assert_int_equal(dg_trainee_given(&next, "width"), asks);
    bool built = dg_trainee_build(&next, 2, &err);
    assert_int_equal(built, !asks); /* weights of another width are no beginning */
    if (asks) {
      assert_non_null(strstr(err.message, "leave out width"));
    } else {
      assert_told(&next, "begins from");
      const dg_params *q = dg_trainee_params(&next);
      assert_int_equal(q->count, p->count);
      for (size_t i = 0; i < p->count; i++)
        assert_memory_equal(q->tensors[i].value, p->tensors[i].value,
                            p->tensors[i].rows * p->tensors[i].cols * sizeof(float));
    }
    dg_trainee_free(&next);
  }
  dg_trainee_free(&t);
}

/* --- vocabulary ----------------------------------------------------------------------------- */

static void add_pairs(dg_parallel_text *text) {
  for (size_t i = 0; i < 20; i++)
    dg_parallel_add(text, english[i % 5], i % 4 ? "vermello azulado" : "azulado");
}

/* Words that fall to bits come whole, in the new language alone, begun as the mean of the bits. */
static void test_pieces(void **state) {
  (void)state;
  static const char *like[] = {"es"};
  dg_error err;
  dg_parallel_text text = {0};
  add_pairs(&text);
  dg_trainee t = trainee(like, 1, "new_pieces");
  t.config.new_pieces = 30;
  dg_train_way way = begin(&t, "en", "gl");
  dg_train_text texts[] = {{&text, &way.pair}};
  if (!dg_train_pieces(&t, texts, 1, &err)) fail_msg("%s", err.message);
  assert_told(&t, "new pieces for gl");
  assert_in_range(t.config.new_pieces, 2, 30);
  assert_true(t.tokens_per_word[0] > 4 && t.tokens_per_word[1] < 1.01);
  build(&t);
  dg_tokens tokens = {0};
  dg_tokenizer *gl = dg_trainee_tokenizer(&t, true, "gl", DG_SIDE_TARGET);
  assert_true(dg_tokenizer_encode(gl, "azulado", 7, &tokens, NULL));
  assert_int_equal(tokens.count, 1);
  int32_t id = tokens.items[0].id, first = (int32_t)dg_first_extra(&base->model->config);
  assert_in_range(id, first, first + t.config.new_pieces - 1);
  assert_ptr_equal(dg_trainee_tokenizer(&t, true, "en", DG_SIDE_SOURCE), base->tokenizer);
  assert_ptr_equal(dg_trainee_tokenizer(&t, false, "gl", DG_SIDE_TARGET), base->tokenizer);
  const char *piece = dg_tokenizer_piece(gl, id);
  assert_true(dg_tokenizer_cut(base->tokenizer, piece, strlen(piece), &tokens, NULL));
  assert_true(tokens.count > 4);
  double mean[WIDTH] = {0};
  for (size_t i = 0; i < tokens.count; i++) {
    float row[WIDTH];
    dg_matrix_rows(&base->model->encoder.embedding, WIDTH, (size_t)tokens.items[i].id, 1, row);
    for (size_t c = 0; c < WIDTH; c++) mean[c] += row[c] / (double)tokens.count;
  }
  const float *row = t.file->adapter->pieces.target + (size_t)(id - first) * WIDTH;
  for (size_t c = 0; c < WIDTH; c++) assert_true(fabs(row[c] - mean[c]) < 1e-6);
  dg_tokens_free(&tokens);
  dg_parallel_free(&text);
  dg_trainee_free(&t);
}

/* Of the side where the new language stands the commonest pieces, the commonest first. */
static void test_embeddings(void **state) {
  (void)state;
  static const char *like[] = {"es"};
  dg_error err;
  dg_parallel_text text = {0};
  for (size_t i = 0; i < 9; i++) dg_parallel_add(&text, "one one one one one one", "two two red");
  for (int side = 0; side < 2; side++) {
    dg_trainee t = trainee(like, 1, "new_pieces embeddings");
    t.config.new_pieces = 0, t.config.embeddings = 2;
    dg_train_way way = side ? begin(&t, "en", "gl") : begin(&t, "gl", "en");
    dg_train_text texts[] = {{&text, &way.pair}};
    if (!dg_train_pieces(&t, texts, 1, &err) || !dg_train_embeddings(&t, texts, 1, &err))
      fail_msg("%s", err.message);
    assert_int_equal(t.config.embedding_side, side ? DG_EMBED_TARGET : DG_EMBED_SOURCE);
    assert_told(&t, "have embeddings that learn");
    dg_tokens word = {0};
    assert_true(dg_tokenizer_encode(base->tokenizer, side ? "two" : "one", 3, &word, NULL));
    assert_int_equal(word.count, 1);
    assert_int_equal(t.changed[0], word.items[0].id);
    assert_int_equal(t.config.embeddings, side ? 2 : 1); /* nothing else is in the sources */
    build(&t);
    assert_int_equal(t.file->adapter->changes.ids[0], word.items[0].id);
    dg_tokens_free(&word);
    dg_trainee_free(&t);
  }
  dg_parallel_free(&text);
}

/* Where the base knows all it is the targets; both, where these are sources too. */
static void test_embeddings_of_known(void **state) {
  (void)state;
  dg_error err;
  dg_parallel_text text = {0};
  add_pairs(&text);
  for (int back = 0; back < 2; back++) {
    dg_trainee t = trainee(NULL, 0, "new_pieces embeddings");
    t.config.new_pieces = 0, t.config.embeddings = 3;
    dg_train_way way = begin(&t, "en", "es"), other;
    if (back) assert_true(dg_trainee_add(&t, "es", "en", &other, &err));
    dg_train_text texts[] = {{&text, &way.pair}};
    if (!dg_train_pieces(&t, texts, 1, &err) || !dg_train_embeddings(&t, texts, 1, &err))
      fail_msg("%s", err.message);
    assert_int_equal(t.config.embedding_side, back ? DG_EMBED_BOTH : DG_EMBED_TARGET);
    assert_int_equal(t.config.embeddings, 3);
    dg_trainee_free(&t);
  }
  dg_parallel_free(&text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_known),      cmocka_unit_test(test_sides),
      cmocka_unit_test(test_relatives),  cmocka_unit_test(test_refusals),
      cmocka_unit_test(test_full_with_tags_unsaid),
      cmocka_unit_test(test_init),       cmocka_unit_test(test_pieces),
      cmocka_unit_test(test_embeddings), cmocka_unit_test(test_embeddings_of_known),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
