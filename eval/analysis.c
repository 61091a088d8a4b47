#include "eval/analysis.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unicode/uchar.h>
#include <unicode/uscript.h>

#include "eval/ngrams.h"
#include "eval/pytext.h"
#include "mt/core/utf8.h"

enum { SCRIPTS = USCRIPT_CODE_LIMIT };

/* --- failures ------------------------------------------------------------------------------ */

static size_t count_scripts(const char *text, size_t *counts) {
  size_t letters = 0;
  for (const char *s = text, *end = s + strlen(s); s < end;) {
    UChar32 c = (UChar32)dg_utf8_next(&s, end);
    if (!u_isalpha(c)) continue;
    UErrorCode status = U_ZERO_ERROR;
    UScriptCode script = uscript_getScript(c, &status);
    if (U_FAILURE(status) || script <= USCRIPT_INHERITED || (int)script >= SCRIPTS) continue;
    counts[script]++;
    letters++;
  }
  return letters;
}

static bool foreign(const char *text, const bool *usual, size_t least) {
  size_t counts[SCRIPTS] = {0}, letters = count_scripts(text, counts), inside = 0;
  for (int i = 0; i < SCRIPTS; i++) inside += usual[i] ? counts[i] : 0;
  return letters >= least && 2 * inside < letters;
}

/* Three times the same one to eight words in a row, or six times the same one to eight bytes
 * without a blank that make twelve at least. */
static bool repeats(const char *text) {
  const char *words[1024], *s = text, *end = text + strlen(text);
  size_t lengths[1024], n = 0;
  while (n < 1024 && dg_py_word(&s, end, &words[n], &lengths[n])) n++;
  for (size_t unit = 1; unit <= 8; unit++) {
    size_t run = 0;
    for (size_t i = unit; i < n; i++) {
      bool same = lengths[i] == lengths[i - unit] && !memcmp(words[i], words[i - unit], lengths[i]);
      run = same ? run + 1 : 0;
      if (run >= 2 * unit) return true;
    }
  }
  size_t bytes = strlen(text);
  for (size_t unit = 1; unit <= 8; unit++) {
    size_t run = 0, most = 5 * unit < 12 - unit ? 12 - unit : 5 * unit;
    for (size_t i = unit; i < bytes; i++) {
      run = text[i] == text[i - unit] && text[i] != ' ' ? run + 1 : 0;
      if (run >= most) return true;
    }
  }
  return false;
}

static bool blank(const char *s) { return dg_py_lstrip(s, strlen(s)) == strlen(s); }

void dg_failures(const char *const *hypotheses, const char *const *references,
                 const char *const *sources, size_t segments, unsigned char *flags) {
  size_t counts[SCRIPTS] = {0}, letters = 0;
  bool usual[SCRIPTS];
  for (size_t i = 0; i < segments; i++)
    letters += references[i] ? count_scripts(references[i], counts) : 0;
  for (int i = 0; i < SCRIPTS; i++) usual[i] = 10 * counts[i] >= letters && letters;
  for (size_t i = 0; i < segments; i++) {
    const char *h = hypotheses[i], *r = references[i] ? references[i] : "";
    flags[i] = 0;
    if (blank(h)) {
      if (!blank(r)) flags[i] = DG_FAILED_EMPTY;
      continue;
    }
    if (sources && !strcmp(h, sources[i]) && strcmp(r, h)) flags[i] |= DG_FAILED_UNTRANSLATED;
    if (repeats(h) && !repeats(r)) flags[i] |= DG_FAILED_REPEATS;
    if (foreign(h, usual, 3) && !foreign(r, usual, 1)) flags[i] |= DG_FAILED_SCRIPT;
  }
}

/* --- groups -------------------------------------------------------------------------------- */

static size_t group(dg_groups *g, const char *label) {
  for (size_t i = 0; i < g->count; i++)
    if (!strcmp(g->labels[i], label)) return i;
  g->labels = dg_realloc(g->labels, (g->count + 1) * sizeof *g->labels);
  g->labels[g->count] = dg_strdup(label);
  return g->count++;
}

typedef struct range {
  size_t most;
  const char *label;
} range;

static size_t in_range(const range *list, size_t n) {
  size_t i = 0;
  while (n > list[i].most) i++;
  return i;
}

static size_t characters(const char *text) {
  size_t n = 0;
  for (const char *s = text, *end = s + strlen(s); s < end;)
    n += !dg_py_space(dg_utf8_next(&s, end));
  return n;
}

/* Words without the punctuation about them, lower case. */
static bool next_word(const char **s, const char *end, dg_strbuf *word) {
  const char *at;
  size_t n;
  while (dg_py_word(s, end, &at, &n)) {
    while (n && !((unsigned char)*at & 0x80) && !u_isalnum(*at)) at++, n--;
    while (n && !((unsigned char)at[n - 1] & 0x80) && !u_isalnum(at[n - 1])) n--;
    if (!n) continue;
    dg_strbuf_clear(word);
    dg_py_lower(at, n, word);
    return true;
  }
  return false;
}

typedef struct frequencies {
  dg_vocabulary vocabulary;
  size_t *counts, capacity;
  dg_arena *arena; /* the words */
} frequencies;

static void count_words(frequencies *f, const char *const *lines, size_t count) {
  size_t bytes = 0;
  for (size_t i = 0; i < count; i++) bytes += lines[i] ? strlen(lines[i]) : 0;
  dg_vocabulary_restart(&f->vocabulary, bytes / 4 + 64);
  dg_strbuf word = {0};
  for (size_t i = 0; i < count; i++) {
    const char *s = lines[i] ? lines[i] : "", *end = s + strlen(s);
    while (next_word(&s, end, &word)) {
      uint32_t id = dg_vocabulary_id(&f->vocabulary, word.text, word.length, false);
      if (!id) {
        char *kept = dg_arena_alloc(f->arena, word.length + 1, 1);
        memcpy(kept, word.text, word.length + 1);
        id = dg_vocabulary_id(&f->vocabulary, kept, word.length, true);
        size_t before = f->capacity;
        DG_GROW(f->counts, f->capacity, (size_t)id + 1);
        for (size_t k = before; k < f->capacity; k++) f->counts[k] = 0;
      }
      f->counts[id]++;
    }
  }
  free(word.text);
}

static size_t rarest(frequencies *f, const char *text) {
  dg_strbuf word = {0};
  size_t least = SIZE_MAX;
  for (const char *s = text, *end = s + strlen(s); next_word(&s, end, &word);) {
    uint32_t id = dg_vocabulary_id(&f->vocabulary, word.text, word.length, false);
    size_t n = id ? f->counts[id] : 0;
    if (n < least) least = n;
  }
  free(word.text);
  return least;
}

static const char *script_of(const char *text) {
  size_t counts[SCRIPTS] = {0};
  if (!count_scripts(text, counts)) return "no letters";
  int most = 0;
  for (int i = 0; i < SCRIPTS; i++)
    if (counts[i] > counts[most]) most = i;
  return uscript_getName((UScriptCode)most);
}

void dg_groups_make(dg_group_by by, const char *const *references, size_t segments,
                    const char *const *known, size_t known_count, dg_groups *out) {
  static const range lengths[] = {{10, "1-10"},  {20, "11-20"},   {40, "21-40"},
                                  {80, "41-80"}, {160, "81-160"}, {SIZE_MAX, "161-"}};
  static const range counts[] = {{0, "unseen"},         {1, "once"},   {4, "2-4"},
                                 {19, "5-19"},          {99, "20-99"}, {SIZE_MAX - 1, "100-"},
                                 {SIZE_MAX, "no words"}};
  *out = (dg_groups){.of = dg_calloc(segments ? segments : 1, sizeof *out->of)};
  frequencies f = {.arena = dg_arena_new(1 << 16)};
  if (by == DG_BY_FREQUENCY)
    count_words(&f, known ? known : references, known ? known_count : segments);
  /* Ranges in their order, though some may turn out empty. */
  if (by == DG_BY_LENGTH)
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) group(out, lengths[i].label);
  if (by == DG_BY_FREQUENCY)
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) group(out, counts[i].label);
  for (size_t i = 0; i < segments; i++) {
    const char *r = references[i] ? references[i] : "";
    out->of[i] = by == DG_BY_LENGTH   ? in_range(lengths, characters(r))
                 : by == DG_BY_SCRIPT ? group(out, script_of(r))
                                      : in_range(counts, rarest(&f, r));
  }
  dg_vocabulary_free(&f.vocabulary);
  free(f.counts);
  dg_arena_free(f.arena);
}

void dg_groups_free(dg_groups *g) {
  for (size_t i = 0; i < g->count; i++) free(g->labels[i]);
  free(g->labels);
  free(g->of);
  *g = (dg_groups){0};
}

/* --- differences --------------------------------------------------------------------------- */

enum { WORDS_MAX = 400 };

typedef struct word_list {
  const char *at[WORDS_MAX];
  size_t n[WORDS_MAX], count;
} word_list;

static void read_list(const char *text, word_list *w) {
  const char *end = text + strlen(text);
  w->count = 0;
  while (w->count < WORDS_MAX && dg_py_word(&text, end, &w->at[w->count], &w->n[w->count]))
    w->count++;
}

static bool same_word(const word_list *a, size_t i, const word_list *b, size_t j) {
  return a->n[i] == b->n[j] && !memcmp(a->at[i], b->at[j], a->n[i]);
}

void dg_word_diff(const char *reference, const char *hypothesis, const char *const marks[4],
                  void (*put)(dg_strbuf *out, const char *text, size_t n), dg_strbuf *out) {
  word_list *r = dg_malloc(sizeof *r), *h = dg_malloc(sizeof *h);
  read_list(reference, r);
  read_list(hypothesis, h);
  size_t width = h->count + 1, i = 0, j = 0;
  /* Longest common subsequence of what follows (i, j). */
  uint16_t *common = dg_calloc((r->count + 1) * width, sizeof *common);
  for (size_t a = r->count; a-- > 0;)
    for (size_t b = h->count; b-- > 0;) {
      uint16_t below = common[(a + 1) * width + b], right = common[a * width + b + 1];
      common[a * width + b] = same_word(r, a, h, b)
                                  ? (uint16_t)(common[(a + 1) * width + b + 1] + 1)
                                  : (below > right ? below : right);
    }
  int state = 0; /* 0 equal, 1 missing, 2 too much */
  bool first = true;
  while (i < r->count || j < h->count) {
    int next = i < r->count && j < h->count && same_word(r, i, h, j) ? 0
               : j == h->count ||
                       (i < r->count && common[(i + 1) * width + j] >= common[i * width + j + 1])
                   ? 1
                   : 2;
    if (state && state != next) dg_strbuf_add(out, marks[2 * state - 1]);
    if (!first) dg_strbuf_addc(out, ' ');
    if (next && state != next) dg_strbuf_add(out, marks[2 * next - 2]);
    const word_list *from = next == 2 ? h : r;
    size_t k = next == 2 ? j : i;
    put(out, from->at[k], from->n[k]);
    i += next != 2;
    j += next != 1;
    state = next;
    first = false;
  }
  if (state) dg_strbuf_add(out, marks[2 * state - 1]);
  free(common);
  free(r);
  free(h);
}
