/* Corpus metrics as sacreBLEU 2.x computes them (Post 2018; Popovic 2015). */
#ifndef DG_EVAL_METRICS_H
#define DG_EVAL_METRICS_H

#include <stddef.h>

#include "mt/core/error.h"

typedef struct dg_bleu_score {
  double score;         /* 0..100 */
  double precisions[4]; /* percent, n = 1..4 */
  double brevity_penalty;
  size_t counts[4], totals[4], system_length, reference_length;
} dg_bleu_score;

typedef struct dg_chrf_score {
  double score; /* 0..100 */
} dg_chrf_score;

/* Corpus BLEU: tokenize 13a, smoothing exp, case-sensitive, one reference a
 * segment; sacreBLEU's defaults. */
bool dg_bleu_corpus(const char *const *hypotheses, const char *const *references, size_t segments,
                    dg_bleu_score *out, dg_error *err);

/* Corpus chrF2: character order 6, word order 0, beta 2; sacreBLEU's defaults. */
bool dg_chrf_corpus(const char *const *hypotheses, const char *const *references, size_t segments,
                    dg_chrf_score *out, dg_error *err);

/* "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.x" and the like; static. */
const char *dg_bleu_signature(void);
const char *dg_chrf_signature(void);

#endif
