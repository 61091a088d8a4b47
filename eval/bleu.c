#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/pytext.h"
#include "eval/scorer.h"

typedef struct bleu {
  dg_scorer metric;
  dg_bleu_options options;
  dg_splitter *splitter;
  double smooth_value;
} bleu;

static const char *const smoothings[] = {"none", "floor", "add-k", "exp"};

/* --- segments ------------------------------------------------------------------------------ */

/* The words of a segment, which lie in the scratch until the next. */
static bool split(const bleu *m, dg_scratch *s, const char *text, const char **out, size_t *n,
                  dg_error *err) {
  size_t length = strlen(text);
  if (m->options.lowercase) {
    dg_strbuf_clear(&s->lower);
    dg_py_lower(text, length, &s->lower);
    text = s->lower.text ? s->lower.text : "";
    length = s->lower.length;
  }
  return dg_splitter_run(m->splitter, text, dg_py_rstrip(text, length), &s->split, out, n, err);
}

static size_t count_words(const char *text, size_t n) {
  const char *end = text + n, *word;
  size_t count = 0, length;
  while (dg_py_word(&text, end, &word, &length)) count++;
  return count;
}

static bool measure(const dg_scorer *metric, dg_scratch *s, const char *hypothesis,
                    const char *const *references, size_t count, double *out, dg_error *err) {
  const bleu *m = (const bleu *)metric;
  size_t order = (size_t)m->options.order, n;
  const char *text;
  /* All references lie side by side, for the vocabulary points into them. */
  size_t few[16], *ends = count > 16 ? dg_malloc(count * sizeof *ends) : few;
  dg_strbuf_clear(&s->text);
  bool ok = true;
  for (size_t r = 0; ok && r < count; r++) {
    ok = split(m, s, references[r], &text, &n, err);
    if (ok) dg_strbuf_addn(&s->text, text, n);
    ends[r] = s->text.length;
  }
  ok = ok && split(m, s, hypothesis, &text, &n, err);
  if (ok) {
    size_t most = s->text.length / 2 + count; /* words, which white space parts */
    dg_vocabulary_restart(&s->vocabulary, most);
    dg_ngrams_restart(&s->ngrams, order * most);
    size_t closest = 0, best = SIZE_MAX, length = count_words(text, n);
    for (size_t r = 0, from = 0; r < count; from = ends[r++]) {
      dg_items_words(&s->reference, &s->vocabulary, s->text.text + from, ends[r] - from, true);
      if (r)
        dg_ngrams_count_further(&s->ngrams, &s->reference, order);
      else
        dg_ngrams_count(&s->ngrams, &s->reference, order);
      size_t words = s->reference.count;
      size_t difference = words > length ? words - length : length - words;
      if (difference < best || (difference == best && words < closest)) {
        best = difference;
        closest = words;
      }
    }
    size_t matches[DG_BLEU_ORDER_MAX] = {0};
    dg_items_words(&s->hypothesis, &s->vocabulary, text, n, false);
    dg_ngrams_match(&s->ngrams, &s->hypothesis, order, matches);
    out[0] = (double)length;
    out[1] = (double)closest;
    for (size_t k = 0; k < order; k++) {
      out[2 + k] = (double)matches[k];
      out[2 + order + k] = length > k ? (double)(length - k) : 0;
    }
  }
  if (ends != few) free(ends);
  return ok;
}

/* --- scores -------------------------------------------------------------------------------- */

/* x += k in an element of the kind of array that holds it. */
static double plus(double x, double k, dg_numbers numbers) {
  return numbers == DG_INT64     ? trunc(x + k)
         : numbers == DG_FLOAT32 ? (double)(float)(x + k)
                                 : x + k;
}

static void score(const dg_scorer *metric, const double *totals, dg_numbers numbers,
                  dg_score *out) {
  const bleu *m = (const bleu *)metric;
  size_t order = (size_t)m->options.order, effective = order;
  out->system_length = (size_t)totals[0];
  out->reference_length = (size_t)totals[1];
  out->brevity_penalty = 1;
  if (out->system_length < out->reference_length)
    out->brevity_penalty = out->system_length
                               ? exp(1 - (double)out->reference_length / (double)out->system_length)
                               : 0;
  bool any = false;
  for (size_t n = 0; n < order; n++) any |= totals[2 + n] != 0;
  if (!any) return;
  double halving = 1, sum = 0;
  for (size_t n = 0; n < order; n++) {
    double correct = totals[2 + n], total = totals[2 + order + n];
    if (m->options.smoothing == DG_SMOOTH_ADD_K && n > 0) {
      correct = plus(correct, m->smooth_value, numbers);
      total = plus(total, m->smooth_value, numbers);
    }
    if (total == 0) break;
    if (m->options.effective_order) effective = n + 1;
    if (correct != 0) {
      out->precisions[n] = 100.0 * correct / total;
    } else if (m->options.smoothing == DG_SMOOTH_EXP) {
      halving *= 2;
      out->precisions[n] = 100.0 / (halving * total);
    } else if (m->options.smoothing == DG_SMOOTH_FLOOR) {
      out->precisions[n] = 100.0 * m->smooth_value / total;
    }
  }
  for (size_t n = 0; n < effective; n++)
    sum += out->precisions[n] != 0 ? log(out->precisions[n]) : -9999999999.0;
  out->score = out->brevity_penalty * exp(sum / (double)effective);
}

static char *verbose(const dg_scorer *metric, const dg_score *s) {
  const bleu *m = (const bleu *)metric;
  dg_strbuf out = {0};
  for (int n = 0; n < m->options.order; n++)
    dg_strbuf_addf(&out, "%s%.1f", n ? "/" : "", s->precisions[n]);
  double ratio = s->reference_length ? (double)s->system_length / (double)s->reference_length : 0;
  dg_strbuf_addf(&out, " (BP = %.3f ratio = %.3f hyp_len = %zu ref_len = %zu)", s->brevity_penalty,
                 ratio, s->system_length, s->reference_length);
  return out.text;
}

static void sign(const dg_scorer *metric, bool abbreviated, dg_strbuf *out) {
  const bleu *m = (const bleu *)metric;
  dg_sign(out, abbreviated, "case", "c", m->options.lowercase ? "lc" : "mixed");
  dg_sign(out, abbreviated, "eff", "e", m->options.effective_order ? "yes" : "no");
  dg_sign(out, abbreviated, "tok", "tok", dg_splitter_signature(m->splitter));
  dg_sign(out, abbreviated, "smooth", "s", smoothings[m->options.smoothing]);
  if (m->options.smoothing == DG_SMOOTH_FLOOR || m->options.smoothing == DG_SMOOTH_ADD_K)
    dg_strbuf_addf(out, "[%.2f]", m->smooth_value);
}

static void free_bleu(dg_scorer *metric) {
  bleu *m = (bleu *)metric;
  dg_splitter_free(m->splitter);
  free(m);
}

dg_bleu_options dg_bleu_defaults(void) {
  return (dg_bleu_options){
      .tokenizer = "13a", .smoothing = DG_SMOOTH_EXP, .smooth_value = -1, .order = 4};
}

dg_scorer *dg_scorer_bleu(const dg_bleu_options *o, dg_error *err) {
  static const dg_scorer_kind kind = {sizeof(dg_scratch), NULL, measure, score, verbose, sign,
                                      free_bleu};
  static const double smooth_values[] = {0, 0.1, 1, 0};
  dg_bleu_options options = o ? *o : dg_bleu_defaults();
  if (options.order < 1 || options.order > DG_BLEU_ORDER_MAX) {
    dg_fail(err, DG_ERR_USAGE, "BLEU's order is 1 to %d, not %d", DG_BLEU_ORDER_MAX, options.order);
    return NULL;
  }
  dg_splitter *splitter = dg_splitter_new(options.tokenizer, options.model, err);
  if (!splitter) return NULL;
  bleu *m = dg_calloc(1, sizeof *m);
  m->metric = (dg_scorer){.kind = &kind, .name = "BLEU", .width = 2 + 2 * (size_t)options.order};
  m->options = options;
  m->splitter = splitter;
  m->smooth_value =
      options.smooth_value < 0 ? smooth_values[options.smoothing] : options.smooth_value;
  return &m->metric;
}

/* --- the default options ------------------------------------------------------------------- */

bool dg_bleu_corpus(const char *const *hypotheses, const char *const *references, size_t segments,
                    dg_bleu_score *out, dg_error *err) {
  *out = (dg_bleu_score){0};
  dg_scorer *m = dg_scorer_bleu(NULL, err);
  double totals[DG_STATISTICS_MAX] = {0};
  const dg_references r = {&references, 1};
  bool ok = m && dg_scorer_totals(m, hypotheses, &r, segments, NULL, totals, err);
  if (ok) {
    dg_score s;
    dg_scorer_score(m, totals, DG_EXACT, &s);
    out->score = s.score;
    out->brevity_penalty = s.brevity_penalty;
    out->system_length = s.system_length;
    out->reference_length = s.reference_length;
    for (size_t n = 0; n < 4; n++) {
      out->precisions[n] = s.precisions[n];
      out->counts[n] = (size_t)totals[2 + n];
      out->totals[n] = (size_t)totals[6 + n];
    }
  }
  dg_scorer_free(m);
  return ok;
}

const char *dg_bleu_signature(void) {
  return "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:" DG_SACREBLEU;
}
