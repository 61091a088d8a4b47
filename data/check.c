#include "data/check.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unicode/uchar.h>
#include <xxhash.h>

#include "data/clean.h"
#include "mt/core/rng.h"
#include "mt/core/utf8.h"
#include "tokenizer/lang.h"
#include "tokenizer/text.h"

enum {
  TRIGRAMS = 1 << 16,     /* slots they are hashed into */
  TRIGRAM_PAIRS_LEAST = 200,
  TRIGRAM_LETTERS_LEAST = 12, /* a shorter text tells nothing */
  COPY_WORDS_LEAST = 3,
  LENGTH_LEAST = 20, /* characters of both sides: short texts vary */
  COLUMN_LINES = 2000 /* that say what a column is in */
};
static const double length_factor = 3;   /* from the usual ratio */
static const double language_margin = 0.5; /* nats a trigram */
static const double mostly = 0.8, partly = 0.1; /* of a column */

const char *dg_problem_name(dg_problem p) {
  static const char *const names[DG_PROBLEMS] = {"none",    "empty",  "copy",    "duplicate",
                                                 "leak",    "script", "swapped", "language",
                                                 "foreign", "length"};
  return names[p];
}

const char *dg_problem_title(dg_problem p) {
  static const char *const titles[DG_PROBLEMS] = {
      "sound",
      "with an empty side",
      "whose target is the source",
      "that came before",
      "whose sentence is in the dev or test text",
      "in another script than the language's",
      "with swapped sides",
      "with both sides in the same language",
      "with a side in a third language",
      "one side of which is far too long for the other"};
  return titles[p];
}

/* --- trigrams ------------------------------------------------------------------------------- */

/* Lower-case letters; anything else ends a word. */
static uint32_t letter(uint32_t c) {
  if (c < 0x80) return isalpha((int)c) ? c | 32 : ' ';
  return u_isalpha((UChar32)c) ? (uint32_t)u_foldCase((UChar32)c, U_FOLD_CASE_DEFAULT) : ' ';
}

typedef void trigram_fn(void *context, size_t slot);

static void trigrams(const char *text, trigram_fn *f, void *context) {
  uint64_t a = ' ', b = ' ';
  for (const char *p = text, *end = text + strlen(text); p < end;) {
    uint64_t c = letter(dg_utf8_next(&p, end));
    if (c == ' ' && b == ' ') continue;
    f(context, (size_t)(dg_hash64(a << 42 ^ b << 21 ^ c) % TRIGRAMS));
    a = b, b = c;
  }
}

typedef struct column {
  double *counts, total;
} column;

static void count(void *context, size_t slot) {
  column *c = context;
  c->counts[slot]++;
  c->total++;
}

/* How much more one text looks like column 0 than like column 1. */
typedef struct likeness {
  const column *columns;
  double sum;
  size_t n;
} likeness;

static double cost(const column *c, size_t slot) {
  return -log((c->counts[slot] + 0.5) / (c->total + 0.5 * TRIGRAMS));
}

static void compare(void *context, size_t slot) {
  likeness *l = context;
  l->sum += cost(&l->columns[1], slot) - cost(&l->columns[0], slot);
  l->n++;
}

/* Nats a trigram; 0 when the text is too short to say. */
static double like_source(const column columns[2], const char *text) {
  likeness l = {.columns = columns};
  trigrams(text, compare, &l);
  return l.n < TRIGRAM_LETTERS_LEAST ? 0 : l.sum / (double)l.n;
}

/* --- identified languages ------------------------------------------------------------------- */

/* What a column should be in, and which others it is in. */
typedef struct tongue {
  const char *code;
  dg_lang_share foreign[DG_LANG_SHARES];
  size_t count;
  bool mostly; /* the first of them */
} tongue;

static const char *side(const dg_pair *p, int k) { return k ? p->target : p->source; }

/* From lines spread over the column. */
static void listen(tongue *t, const dg_parallel_text *p, int k, dg_lang_share *looks) {
  size_t n = p->count < COLUMN_LINES ? p->count : COLUMN_LINES;
  dg_strbuf text = {0};
  dg_lang_share found[DG_LANG_SHARES];
  for (size_t i = 0; i < n; i++)
    dg_strbuf_addf(&text, "%s\n", side(&p->pairs[i * p->count / n], k));
  size_t count = text.length ? dg_lang_identify(text.text, text.length, found) : 0;
  free(text.text);
  if (count && found[0].share >= mostly) *looks = found[0];
  for (size_t i = 0; i < count && dg_lang_identifiable(t->code); i++)
    if (found[i].share >= partly && !dg_lang_alike(found[i].code, t->code)) {
      t->mostly = t->mostly || (i == 0 && found[i].share >= mostly);
      t->foreign[t->count++] = found[i];
    }
}

static bool is_foreign(const tongue *t, const char *text) {
  if (!t->count) return false;
  dg_lang_share found[DG_LANG_SHARES];
  size_t count = dg_lang_identify(text, strlen(text), found);
  if (t->mostly) return !count || !dg_lang_alike(found[0].code, t->code);
  for (size_t i = 0; count && i < t->count; i++)
    if (!strcmp(found[0].code, t->foreign[i].code) && found[0].share >= 1 - partly) return true;
  return false;
}

/* --- one pair ------------------------------------------------------------------------------- */

typedef struct checker {
  char scripts[2][5];
  column columns[2];
  tongue tongues[2];
  double usual; /* log of the usual length of the target over the source's */
  uint64_t languages; /* a pair of others is another pair */
  dg_key_set *seen;
  const dg_key_set *held_out;
} checker;

static size_t characters(const char *s) { return dg_utf8_count(s, strlen(s)); }

static double log_ratio(const dg_pair *p) {
  return log((double)(characters(p->target) + 1) / (double)(characters(p->source) + 1));
}

static bool in_script(const char *text, const char *script) {
  return dg_text_in_script(text, strlen(text), script);
}

static dg_problem script_problem(const checker *c, const dg_pair *p) {
  bool wrong = !in_script(p->source, c->scripts[0]) || !in_script(p->target, c->scripts[1]);
  if (!wrong) return DG_PROBLEM_NONE;
  bool crossed = strcmp(c->scripts[0], c->scripts[1]) && in_script(p->source, c->scripts[1]) &&
                 in_script(p->target, c->scripts[0]);
  return crossed ? DG_PROBLEM_SWAPPED : DG_PROBLEM_SCRIPT;
}

static dg_problem language_problem(const checker *c, const dg_pair *p) {
  if (!c->columns[0].counts) return DG_PROBLEM_NONE;
  double source = like_source(c->columns, p->source), target = like_source(c->columns, p->target);
  bool source_wrong = source < -language_margin, target_wrong = target > language_margin;
  return source_wrong && target_wrong   ? DG_PROBLEM_SWAPPED
         : source_wrong || target_wrong ? DG_PROBLEM_LANGUAGE
                                        : DG_PROBLEM_NONE;
}

static uint64_t pair_key(const char *source, const char *target) {
  return dg_hash64(XXH3_64bits(source, strlen(source))) ^ XXH3_64bits(target, strlen(target));
}

static dg_problem foreign_problem(const checker *c, const dg_pair *p) {
  const tongue *t = c->tongues;
  bool source = is_foreign(&t[0], p->source), target = is_foreign(&t[1], p->target);
  if (!source && !target) return DG_PROBLEM_NONE;
  bool crossed = source && target && dg_lang_alike(t[0].foreign[0].code, t[1].code) &&
                 dg_lang_alike(t[1].foreign[0].code, t[0].code);
  return crossed ? DG_PROBLEM_SWAPPED : DG_PROBLEM_FOREIGN;
}

static dg_problem judge(const checker *c, const dg_pair *p) {
  if (dg_text_is_blank(p->source) || dg_text_is_blank(p->target)) return DG_PROBLEM_EMPTY;
  if (!strcmp(p->source, p->target) && dg_word_count(p->source) >= COPY_WORDS_LEAST)
    return DG_PROBLEM_COPY;
  uint64_t key = pair_key(p->source, p->target) ^ c->languages;
  if (!dg_key_set_add(c->seen, key)) return DG_PROBLEM_DUPLICATE;
  if (c->held_out && dg_held_out(c->held_out, p)) return DG_PROBLEM_LEAK;
  dg_problem problem = script_problem(c, p);
  if (!problem) problem = foreign_problem(c, p);
  if (!problem) problem = language_problem(c, p);
  if (problem) return problem;
  bool unusual = characters(p->source) + characters(p->target) >= LENGTH_LEAST &&
                 fabs(log_ratio(p) - c->usual) > log(length_factor);
  return unusual ? DG_PROBLEM_LENGTH : DG_PROBLEM_NONE;
}

/* --- all pairs ------------------------------------------------------------------------------ */

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median_ratio(const dg_parallel_text *p) {
  double *list = dg_calloc(p->count + 1, sizeof *list);
  size_t n = 0;
  for (size_t i = 0; i < p->count; i++)
    if (!dg_text_is_blank(p->pairs[i].source) && !dg_text_is_blank(p->pairs[i].target))
      list[n++] = log_ratio(&p->pairs[i]);
  if (n) qsort(list, n, sizeof *list, ascending);
  double median = n ? list[n / 2] : 0;
  free(list);
  return median;
}

static void count_trigrams(checker *c, const dg_parallel_text *p) {
  if (p->count < TRIGRAM_PAIRS_LEAST) return;
  for (int k = 0; k < 2; k++) c->columns[k].counts = dg_calloc(TRIGRAMS, sizeof(double));
  for (size_t i = 0; i < p->count; i++) {
    if (!strcmp(p->pairs[i].source, p->pairs[i].target)) continue;
    trigrams(p->pairs[i].source, count, &c->columns[0]);
    trigrams(p->pairs[i].target, count, &c->columns[1]);
  }
}

void dg_check_pairs(const dg_parallel_text *p, const char *source, const char *target,
                    dg_key_set *seen, const dg_key_set *held_out, dg_check *out) {
  checker c = {.usual = median_ratio(p), .languages = pair_key(source, target), .seen = seen,
               .held_out = held_out};
  dg_lang_script(source, c.scripts[0]);
  dg_lang_script(target, c.scripts[1]);
  count_trigrams(&c, p);
  *out = (dg_check){.problems = dg_calloc(p->count + 1, 1)};
  for (int k = 0; k < 2; k++) {
    c.tongues[k].code = k ? target : source;
    listen(&c.tongues[k], p, k, &out->looks[k]);
  }
  for (size_t i = 0; i < p->count; i++) {
    dg_problem problem = judge(&c, &p->pairs[i]);
    out->problems[i] = (unsigned char)problem;
    if (!out->counts[problem]++) out->first[problem] = i;
  }
  free(c.columns[0].counts);
  free(c.columns[1].counts);
}

void dg_check_free(dg_check *c) {
  free(c->problems);
  *c = (dg_check){0};
}

void dg_hold_out(dg_key_set *held_out, const dg_pair *p) {
  uint64_t keys[2] = {dg_sentence_key(p->source), dg_sentence_key(p->target)};
  for (int k = 0; k < 2; k++)
    if (keys[k]) dg_key_set_add(held_out, keys[k]); /* 0: no letters */
}

bool dg_held_out(const dg_key_set *held_out, const dg_pair *p) {
  uint64_t keys[2] = {dg_sentence_key(p->source), dg_sentence_key(p->target)};
  return (keys[0] && dg_key_set_has(held_out, keys[0])) ||
         (keys[1] && dg_key_set_has(held_out, keys[1]));
}

void dg_parallel_remove(dg_parallel_text *p, const unsigned char *leave) {
  size_t kept = 0;
  for (size_t i = 0; i < p->count; i++)
    if (!leave[i]) p->pairs[kept++] = p->pairs[i];
  p->count = kept;
}
