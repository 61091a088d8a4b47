/* Whether a difference of scores is chance: paired bootstrap resampling (Koehn 2004) and
 * paired approximate randomization (Riezler & Maxwell 2005), and bootstrap confidence
 * intervals, drawn and counted as sacreBLEU does with numpy. */
#ifndef DG_EVAL_SIGNIFICANCE_H
#define DG_EVAL_SIGNIFICANCE_H

#include "eval/metrics.h"

/* 95% confidence interval: mean and half its width. */
typedef struct dg_interval {
  double mean, half;
} dg_interval;

/* Of one text, from the statistics of its segments. */
bool dg_bootstrap(const dg_scorer *m, const double *statistics, size_t segments, int trials,
                  uint64_t seed, dg_threads *threads, dg_interval *out, dg_error *err);

typedef enum dg_paired_test { DG_PAIRED_BOOTSTRAP, DG_PAIRED_RANDOMIZATION } dg_paired_test;

typedef struct dg_comparison {
  double score;
  dg_interval interval; /* of the bootstrap only */
  double p_value;       /* against the baseline; 1 for itself */
} dg_comparison;

/* Compares statistics[1..] with those of the baseline, statistics[0]. */
bool dg_compare(const dg_scorer *m, const double *const *statistics, size_t systems,
                size_t segments, dg_paired_test test, int trials, uint64_t seed,
                dg_threads *threads, dg_comparison *out, dg_error *err);

#endif
