#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval/pytext.h"
#include "eval/scorer.h"
#include "mt/core/utf8.h"

enum { ORDER_MAX = DG_STATISTICS_MAX / 3 };

typedef struct chrf {
  dg_scorer metric;
  dg_chrf_options options;
  size_t order; /* characters' and words' together */
} chrf;

/* The hits of one order are [hypothesis, reference, both]. */
static double f_score(const chrf *m, const double *statistics, dg_numbers numbers) {
  const double eps = 1e-16, factor = (double)m->options.beta * m->options.beta;
  double sum = 0, precision = 0, recall = 0;
  int effective = 0;
  for (size_t i = 0; i < m->order; i++) {
    double hyp = statistics[3 * i], ref = statistics[3 * i + 1], both = statistics[3 * i + 2];
    double p = hyp > 0 ? both / hyp : eps, r = ref > 0 ? both / ref : eps;
    if (numbers == DG_FLOAT32) {
      if (hyp > 0) p = (double)(float)p;
      if (ref > 0) r = (double)(float)r;
    }
    double below = factor * p + r;
    sum += below > 0 ? (1 + factor) * p * r / below : eps;
    if (hyp > 0 && ref > 0) {
      precision += p;
      recall += r;
      effective++;
    }
  }
  if (m->options.eps_smoothing) return 100 * sum / (double)m->order;
  if (!effective) return 0;
  precision /= effective;
  recall /= effective;
  if (precision + recall == 0) return 0;
  double f = (1 + factor) * precision * recall;
  f /= factor * precision + recall;
  return 100 * f;
}

static void score(const dg_scorer *metric, const double *totals, dg_numbers numbers,
                  dg_score *out) {
  out->score = f_score((const chrf *)metric, totals, numbers);
}

/* --- segments ------------------------------------------------------------------------------ */

typedef struct scratch {
  dg_scratch common;
  dg_items words; /* of the hypothesis */
} scratch;

static void scratch_free(dg_scratch *s) { free(((scratch *)s)->words.list); }

static const char *prepare(const chrf *m, dg_strbuf *lower, const char *text, size_t *n) {
  *n = strlen(text);
  if (!m->options.lowercase) return text;
  dg_strbuf_clear(lower);
  dg_py_lower(text, *n, lower);
  *n = lower->length;
  return lower->text ? lower->text : "";
}

static void read_points(const chrf *m, dg_items *to, const char *text, size_t n) {
  const char *s = text, *end = text + n;
  DG_GROW(to->list, to->capacity, n);
  uint32_t *out = to->list;
  while (s < end) {
    uint32_t c = dg_utf8_next(&s, end);
    if (m->options.whitespace || !dg_py_space(c)) *out++ = c;
  }
  to->count = n ? (size_t)(out - to->list) : 0;
}

static bool punctuation(char c) {
  return c >= '!' && c <= '~' && !(c >= '0' && c <= '9') && !(c >= 'A' && c <= 'Z') &&
         !(c >= 'a' && c <= 'z');
}

/* Words, of which one ASCII punctuation mark is set apart, the last or else the first. */
static void read_words(dg_vocabulary *v, dg_items *to, const char *text, size_t n, bool add) {
  const char *end = text + n, *word;
  size_t length;
  to->count = 0;
  while (dg_py_word(&text, end, &word, &length)) {
    size_t parts[2] = {length, 0};
    const char *next = word;
    dg_utf8_next(&next, word + length);
    if (next < word + length) { /* of more than one character */
      if (punctuation(word[length - 1]))
        parts[0] = length - 1, parts[1] = 1;
      else if (punctuation(*word))
        parts[0] = 1, parts[1] = length - 1;
    }
    dg_items_add(to, dg_vocabulary_id(v, word, parts[0], add));
    if (parts[1]) dg_items_add(to, dg_vocabulary_id(v, word + parts[0], parts[1], add));
  }
}

/* Hits of the orders 1..order. */
static void hits(dg_ngrams *t, const dg_items *hypothesis, const dg_items *reference, size_t order,
                 double *out) {
  size_t both[ORDER_MAX] = {0};
  dg_ngrams_restart(t, order * reference->count);
  dg_ngrams_count(t, reference, order);
  dg_ngrams_match(t, hypothesis, order, both);
  for (size_t n = 0; n < order; n++) {
    size_t hyp = hypothesis->count > n ? hypothesis->count - n : 0;
    size_t ref = reference->count > n ? reference->count - n : 0;
    out[3 * n] = ref ? (double)hyp : 0; /* counts only where the reference has some */
    out[3 * n + 1] = (double)ref;
    out[3 * n + 2] = (double)both[n];
  }
}

static bool measure(const dg_scorer *metric, dg_scratch *s, const char *hypothesis,
                    const char *const *references, size_t count, double *out, dg_error *err) {
  (void)err;
  const chrf *m = (const chrf *)metric;
  dg_items *hypothesis_words = &((scratch *)s)->words;
  size_t chars = (size_t)m->options.char_order, words = (size_t)m->options.word_order, hn;
  double best = -1, tried[DG_STATISTICS_MAX];
  const char *h = prepare(m, &s->lower, hypothesis, &hn);
  if (chars) read_points(m, &s->hypothesis, h, hn);
  for (size_t r = 0; r < count; r++) {
    size_t rn;
    const char *ref = prepare(m, &s->text, references[r], &rn);
    double *to = count == 1 ? out : tried;
    if (chars) {
      read_points(m, &s->reference, ref, rn);
      hits(&s->ngrams, &s->hypothesis, &s->reference, chars, to);
    }
    if (words) {
      dg_vocabulary_restart(&s->vocabulary, rn + 2);
      read_words(&s->vocabulary, &s->reference, ref, rn, true);
      read_words(&s->vocabulary, hypothesis_words, h, hn, false);
      hits(&s->ngrams, hypothesis_words, &s->reference, words, to + 3 * chars);
    }
    if (count == 1) break;
    double f = f_score(m, tried, DG_EXACT);
    if (f > best) {
      best = f;
      memcpy(out, tried, m->metric.width * sizeof *out);
    }
  }
  return true;
}

/* --- the metric ---------------------------------------------------------------------------- */

static void sign(const dg_scorer *metric, bool abbreviated, dg_strbuf *out) {
  const dg_chrf_options *o = &((const chrf *)metric)->options;
  char number[16];
  dg_sign(out, abbreviated, "case", "c", o->lowercase ? "lc" : "mixed");
  dg_sign(out, abbreviated, "eff", "e", o->eps_smoothing ? "no" : "yes");
  snprintf(number, sizeof number, "%d", o->char_order);
  dg_sign(out, abbreviated, "nc", "nc", number);
  snprintf(number, sizeof number, "%d", o->word_order);
  dg_sign(out, abbreviated, "nw", "nw", number);
  dg_sign(out, abbreviated, "space", "s", o->whitespace ? "yes" : "no");
}

static void free_chrf(dg_scorer *m) { free(m); }

dg_chrf_options dg_chrf_defaults(void) { return (dg_chrf_options){.char_order = 6, .beta = 2}; }

dg_scorer *dg_scorer_chrf(const dg_chrf_options *o, dg_error *err) {
  static const dg_scorer_kind kind = {sizeof(scratch), scratch_free, measure, score, NULL, sign,
                                      free_chrf};
  dg_chrf_options options = o ? *o : dg_chrf_defaults();
  int order = options.char_order + options.word_order;
  if (options.char_order < 0 || options.word_order < 0 || options.word_order > 8 || order < 1 ||
      order > ORDER_MAX) {
    dg_fail(err, DG_ERR_USAGE,
            "chrF's orders, %d of characters and %d of words, are not 1 to %d together, of words 8 "
            "at most",
            options.char_order, options.word_order, ORDER_MAX);
    return NULL;
  }
  if (options.beta < 0 || options.beta > 10000) {
    dg_fail(err, DG_ERR_USAGE, "chrF's beta %d is not in 0..10000", options.beta);
    return NULL;
  }
  chrf *m = dg_calloc(1, sizeof *m);
  m->order = (size_t)order;
  m->metric = (dg_scorer){.kind = &kind, .width = 3 * m->order};
  snprintf(m->metric.name, sizeof m->metric.name, "chrF%d%.*s", options.beta, options.word_order,
           "++++++++");
  m->options = options;
  return &m->metric;
}

/* --- the default options ------------------------------------------------------------------- */

bool dg_chrf_corpus(const char *const *hypotheses, const char *const *references, size_t segments,
                    dg_chrf_score *out, dg_error *err) {
  *out = (dg_chrf_score){0};
  dg_scorer *m = dg_scorer_chrf(NULL, err);
  const dg_references r = {&references, 1};
  dg_score s;
  bool ok = m && dg_scorer_corpus(m, hypotheses, &r, segments, NULL, &s, err);
  if (ok) out->score = s.score;
  dg_scorer_free(m);
  return ok;
}

const char *dg_chrf_signature(void) {
  return "nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:" DG_SACREBLEU;
}
