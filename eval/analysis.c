#include "eval/analysis.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unicode/uchar.h>
#include <unicode/uscript.h>

#include "eval/ngrams.h"
#include "eval/pytext.h"
#include "mt/core/utf8.h"
#include "tokenizer/placeholders.h"

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

/* Failures of each segment, as bits of flags[]; sources may be NULL. */
static void find_failures(const char *const *hypotheses, const char *const *references,
                          const char *const *sources, size_t segments, unsigned char *flags) {
  size_t counts[SCRIPTS] = {0}, letters = 0;
  bool usual[SCRIPTS];
  for (size_t i = 0; i < segments; i++) letters += count_scripts(references[i], counts);
  for (int i = 0; i < SCRIPTS; i++) usual[i] = 10 * counts[i] >= letters && letters;
  for (size_t i = 0; i < segments; i++) {
    const char *h = hypotheses[i], *r = references[i];
    flags[i] = 0;
    if (dg_py_blank(h)) {
      if (!dg_py_blank(r)) flags[i] = 1 << DG_FAILED_EMPTY;
      continue;
    }
    if (sources && !strcmp(h, sources[i]) && strcmp(r, h)) flags[i] |= 1 << DG_FAILED_UNTRANSLATED;
    if (repeats(h) && !repeats(r)) flags[i] |= 1 << DG_FAILED_REPEATS;
    if (foreign(h, usual, 3) && !foreign(r, usual, 1)) flags[i] |= 1 << DG_FAILED_SCRIPT;
    const char *kept = sources ? sources[i] : r;
    if (!dg_placeholders_same(kept, h) && dg_placeholders_same(kept, r))
      flags[i] |= 1 << DG_FAILED_PLACEHOLDERS;
  }
}

/* --- groups -------------------------------------------------------------------------------- */

typedef struct groups {
  char **labels;
  size_t count;
  size_t *of; /* the group of each segment */
} groups;

static size_t group(groups *g, const char *label) {
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

static void make_groups(dg_group_by by, const char *const *references, size_t segments,
                        const char *const *known, size_t known_count, groups *out) {
  static const range lengths[] = {{10, "1-10"},  {20, "11-20"},   {40, "21-40"},
                                  {80, "41-80"}, {160, "81-160"}, {SIZE_MAX, "161-"}};
  static const range counts[] = {{0, "unseen"},         {1, "once"},   {4, "2-4"},
                                 {19, "5-19"},          {99, "20-99"}, {SIZE_MAX - 1, "100-"},
                                 {SIZE_MAX, "no words"}};
  out->of = dg_calloc(segments, sizeof *out->of);
  frequencies f = {.arena = dg_arena_new(1 << 16)};
  if (by == DG_BY_FREQUENCY)
    count_words(&f, known ? known : references, known ? known_count : segments);
  /* Ranges in their order, though some may turn out empty. */
  if (by == DG_BY_LENGTH)
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) group(out, lengths[i].label);
  if (by == DG_BY_FREQUENCY)
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) group(out, counts[i].label);
  for (size_t i = 0; i < segments; i++) {
    const char *r = references[i];
    out->of[i] = by == DG_BY_LENGTH   ? in_range(lengths, characters(r))
                 : by == DG_BY_SCRIPT ? group(out, script_of(r))
                                      : in_range(counts, rarest(&f, r));
  }
  dg_vocabulary_free(&f.vocabulary);
  free(f.counts);
  dg_arena_free(f.arena);
}

/* --- analyses ------------------------------------------------------------------------------ */

struct dg_analysis {
  dg_analysis_options o;
  size_t segments, systems, metric_count;
  const char **references;
  dg_scorer *const *metrics;
  double **statistics; /* [metric * systems + system] */
  groups groups[DG_GROUPINGS];
  unsigned char **flags; /* failures, by system */
  size_t **worst;        /* by system */
};

static const double *statistics_of(const dg_analysis *a, size_t metric, size_t system) {
  return a->statistics[metric * a->systems + system];
}

typedef struct ranked {
  double score;
  size_t segment;
} ranked;

static int worse_first(const void *a, const void *b) {
  const ranked *x = a, *y = b;
  if (x->score != y->score) return x->score < y->score ? -1 : 1;
  return x->segment < y->segment ? -1 : x->segment > y->segment;
}

static void rank(dg_analysis *a) {
  double sign = dg_scorer_is_error(a->metrics[dg_analysis_ranking(a)]) ? -1 : 1;
  ranked *list = dg_calloc(a->segments, sizeof *list);
  for (size_t s = 0; s < a->systems; s++) {
    for (size_t i = 0; i < a->segments; i++)
      list[i] = (ranked){sign * dg_analysis_segment_score(a, s, i), i};
    qsort(list, a->segments, sizeof *list, worse_first);
    a->worst[s] = dg_calloc(a->o.worst, sizeof **a->worst);
    for (size_t i = 0; i < a->o.worst; i++) a->worst[s][i] = list[i].segment;
  }
  free(list);
}

static bool measure(dg_analysis *a, const char *const *const *systems, const dg_references *refs,
                    dg_threads *threads, dg_error *err) {
  for (size_t m = 0; m < a->metric_count; m++)
    for (size_t s = 0; s < a->systems; s++) {
      double *list =
          dg_alloc_checked(a->segments * dg_scorer_width(a->metrics[m]), sizeof *list, err);
      a->statistics[m * a->systems + s] = list;
      if (!list ||
          !dg_scorer_measure(a->metrics[m], systems[s], refs, a->segments, threads, list, err))
        return false;
    }
  return true;
}

dg_analysis *dg_analysis_new(const dg_analysis_options *o, const char *const *const *systems,
                             size_t system_count, const dg_references *refs, size_t segments,
                             dg_scorer *const *metrics, size_t metric_count, dg_threads *threads,
                             dg_error *err) {
  dg_analysis *a = dg_calloc(1, sizeof *a);
  *a = (dg_analysis){.o = *o,
                     .segments = segments,
                     .systems = system_count,
                     .metric_count = metric_count,
                     .references = dg_calloc(segments, sizeof *a->references),
                     .metrics = metrics,
                     .statistics = dg_calloc(metric_count * system_count, sizeof *a->statistics),
                     .flags = dg_calloc(system_count, sizeof *a->flags),
                     .worst = dg_calloc(system_count, sizeof *a->worst)};
  if (a->o.worst > segments) a->o.worst = segments;
  if (!measure(a, systems, refs, threads, err)) {
    dg_analysis_free(a);
    return NULL;
  }
  for (size_t i = 0; i < segments; i++) {
    a->references[i] = "";
    for (size_t k = refs->count; k-- > 0;)
      if (refs->lists[k][i]) a->references[i] = refs->lists[k][i];
  }
  for (dg_group_by by = 0; by < DG_GROUPINGS; by++)
    if (o->by[by])
      make_groups(by, a->references, segments, o->known, o->known_count, &a->groups[by]);
  for (size_t s = 0; s < system_count; s++) {
    a->flags[s] = dg_calloc(segments, 1);
    find_failures(systems[s], a->references, o->sources, segments, a->flags[s]);
  }
  rank(a);
  return a;
}

void dg_analysis_free(dg_analysis *a) {
  if (!a) return;
  for (size_t i = 0; i < a->metric_count * a->systems; i++) free(a->statistics[i]);
  for (size_t s = 0; s < a->systems; s++) {
    free(a->flags[s]);
    free(a->worst[s]);
  }
  for (dg_group_by by = 0; by < DG_GROUPINGS; by++) {
    groups *g = &a->groups[by];
    for (size_t i = 0; i < g->count; i++) free(g->labels[i]);
    free(g->labels);
    free(g->of);
  }
  free(a->statistics);
  free(a->flags);
  free(a->worst);
  free(a->references);
  free(a);
}

const char *dg_analysis_reference(const dg_analysis *a, size_t segment) {
  return a->references[segment];
}

size_t dg_analysis_failures(const dg_analysis *a, size_t system, dg_failure kind) {
  size_t n = 0;
  for (size_t i = 0; i < a->segments; i++) n += a->flags[system][i] >> kind & 1;
  return n;
}

size_t dg_analysis_groups(const dg_analysis *a, dg_group_by by) { return a->groups[by].count; }

const char *dg_analysis_group(const dg_analysis *a, dg_group_by by, size_t group,
                              size_t *segments) {
  *segments = 0;
  for (size_t i = 0; i < a->segments; i++) *segments += a->groups[by].of[i] == group;
  return a->groups[by].labels[group];
}

double dg_analysis_group_score(const dg_analysis *a, dg_group_by by, size_t group, size_t metric,
                               size_t system) {
  const dg_scorer *m = a->metrics[metric];
  const double *list = statistics_of(a, metric, system);
  double totals[DG_STATISTICS_MAX] = {0};
  for (size_t i = 0; i < a->segments; i++)
    if (a->groups[by].of[i] == group) dg_scorer_add(m, list + i * dg_scorer_width(m), 1, totals);
  dg_score s;
  dg_scorer_score(m, totals, DG_EXACT, &s);
  return s.score;
}

size_t dg_analysis_ranking(const dg_analysis *a) {
  for (size_t m = 0; m < a->metric_count; m++)
    if (!strncmp(dg_scorer_name(a->metrics[m]), "chrF", 4)) return m;
  return a->metric_count - 1;
}

double dg_analysis_segment_score(const dg_analysis *a, size_t system, size_t segment) {
  size_t metric = dg_analysis_ranking(a);
  const dg_scorer *m = a->metrics[metric];
  dg_score s;
  dg_scorer_score(m, statistics_of(a, metric, system) + segment * dg_scorer_width(m), DG_EXACT, &s);
  return s.score;
}

const size_t *dg_analysis_worst(const dg_analysis *a, size_t system, size_t *count) {
  *count = a->o.worst;
  return a->worst[system];
}

/* --- differences --------------------------------------------------------------------------- */

enum { WORDS_MAX = 400 };

typedef struct word_list {
  const char *at[WORDS_MAX];
  size_t n[WORDS_MAX], count;
} word_list;

/* The first of a text; what is left over. */
static const char *read_list(const char *text, word_list *w) {
  const char *end = text + strlen(text);
  w->count = 0;
  while (w->count < WORDS_MAX && dg_py_word(&text, end, &w->at[w->count], &w->n[w->count]))
    w->count++;
  return text;
}

static bool same_word(const word_list *a, size_t i, const word_list *b, size_t j) {
  return a->n[i] == b->n[j] && !memcmp(a->at[i], b->at[j], a->n[i]);
}

void dg_word_diff(const char *reference, const char *hypothesis, const char *const marks[4],
                  void (*put)(dg_strbuf *out, const char *text, size_t n), dg_strbuf *out) {
  word_list *r = dg_malloc(sizeof *r), *h = dg_malloc(sizeof *h);
  read_list(reference, r);
  const char *rest = read_list(hypothesis, h);
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
  if (*rest) put(out, rest, strlen(rest));
  free(common);
  free(r);
  free(h);
}
