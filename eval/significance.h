/* Whether a difference of scores is chance: paired bootstrap resampling (Koehn 2004) and
 * paired approximate randomization (Riezler & Maxwell 2005), and bootstrap confidence
 * intervals, drawn and counted as sacreBLEU does with numpy. */
#ifndef DG_EVAL_SIGNIFICANCE_H
#define DG_EVAL_SIGNIFICANCE_H

#include "eval/metrics.h"

/* What sacreBLEU draws unless told otherwise. */
enum { DG_BOOTSTRAP_TRIALS = 1000, DG_RANDOMIZATION_TRIALS = 10000, DG_TRIALS_SEED = 12345 };

/* 95% confidence interval: mean and half its width. */
typedef struct dg_interval {
  double mean, half;
} dg_interval;

/* A text's score and its interval. */
bool dg_bootstrap(const dg_scorer *m, const char *const *hypotheses, const dg_references *r,
                  size_t segments, int trials, uint64_t seed, dg_threads *threads, dg_score *score,
                  dg_interval *interval, dg_error *err);

typedef enum dg_paired_test { DG_PAIRED_BOOTSTRAP, DG_PAIRED_RANDOMIZATION } dg_paired_test;

typedef struct dg_comparison {
  double score;
  double gain;          /* over the baseline: above 0 when better, errors too */
  dg_interval interval; /* of the bootstrap only */
  double p_value;       /* against the baseline; 1 for itself */
} dg_comparison;

enum { DG_TRIALS_MOST = 10000000 };

/* Compares the texts of systems[1..] with the baseline's, systems[0]. */
bool dg_compare(const dg_scorer *m, const char *const *const *systems, size_t system_count,
                const dg_references *r, size_t segments, dg_paired_test test, int trials,
                uint64_t seed, dg_threads *threads, dg_comparison *out, dg_error *err);

/* The difference is more than chance (p < 0.05); and it is a gain. */
bool dg_is_significant(const dg_comparison *c);
bool dg_is_gain(const dg_comparison *c);

#endif
