/* What a metric is made of; for eval/ alone. */
#ifndef DG_EVAL_SCORER_H
#define DG_EVAL_SCORER_H

#include "eval/metrics.h"
#include "eval/ngrams.h"
#include "eval/splitter.h"
#include "mt/core/mem.h"

#define DG_SACREBLEU "2.6.0" /* whose scores these are */

/* Buffers of one thread. Each metric's own struct of them, zero at first, begins with this. */
typedef struct dg_scratch {
  dg_split_buffers split;
  dg_strbuf lower, text; /* the vocabulary points into them */
  dg_items hypothesis, reference;
  dg_vocabulary vocabulary;
  dg_ngrams ngrams;
} dg_scratch;

typedef struct dg_scorer_kind {
  size_t scratch_bytes;
  void (*scratch_free)(dg_scratch *scratch); /* what is the metric's own; or NULL */
  /* The statistics of a segment; it has one reference at least. */
  bool (*measure)(const dg_scorer *m, dg_scratch *scratch, const char *hypothesis,
                  const char *const *references, size_t count, double *out, dg_error *err);
  void (*score)(const dg_scorer *m, const double *totals, dg_numbers numbers, dg_score *out);
  char *(*verbose)(const dg_scorer *m, const dg_score *s); /* or NULL */
  void (*sign)(const dg_scorer *m, bool abbreviated, dg_strbuf *out);
  void (*free)(dg_scorer *m);
} dg_scorer_kind;

/* Each metric's own struct begins with this. */
struct dg_scorer {
  const dg_scorer_kind *kind;
  char name[24];
  size_t width;
  bool is_error;
};

/* The statistics of a whole text, added to totals[width]. */
bool dg_scorer_totals(const dg_scorer *m, const char *const *hypotheses, const dg_references *r,
                      size_t segments, dg_threads *threads, double *totals, dg_error *err);

/* "|name:value" of a signature, or "|short:value". */
void dg_sign(dg_strbuf *out, bool abbreviated, const char *name, const char *letter,
             const char *value);

#endif
