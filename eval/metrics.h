/* BLEU, chrF and TER of segments, texts and samples of them, as sacreBLEU 2.x computes
 * them (Papineni et al. 2002; Popovic 2015, 2017; Snover et al. 2006; Post 2018). */
#ifndef DG_EVAL_METRICS_H
#define DG_EVAL_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "mt/core/error.h"
#include "mt/core/threads.h"

enum { DG_BLEU_ORDER_MAX = 16, DG_STATISTICS_MAX = 3 * 64 };

typedef enum dg_smoothing {
  DG_SMOOTH_NONE,
  DG_SMOOTH_FLOOR,
  DG_SMOOTH_ADD_K,
  DG_SMOOTH_EXP
} dg_smoothing;

typedef struct dg_bleu_options {
  const char *tokenizer, *model; /* see eval/splitter.h */
  dg_smoothing smoothing;
  double smooth_value; /* of floor and add-k; negative: their own, 0.1 and 1 */
  int order;
  bool lowercase, effective_order;
} dg_bleu_options;

typedef struct dg_chrf_options {
  int char_order, word_order, beta;
  bool lowercase, whitespace, eps_smoothing;
} dg_chrf_options;

typedef struct dg_ter_options {
  bool normalized, no_punct, asian_support, case_sensitive;
} dg_ter_options;

/* A metric with its options; immutable. NULL options are sacreBLEU's defaults. */
typedef struct dg_scorer dg_scorer;

dg_bleu_options dg_bleu_defaults(void);
dg_chrf_options dg_chrf_defaults(void);
dg_scorer *dg_scorer_bleu(const dg_bleu_options *o, dg_error *err);
dg_scorer *dg_scorer_chrf(const dg_chrf_options *o, dg_error *err);
dg_scorer *dg_scorer_ter(const dg_ter_options *o, dg_error *err);
void dg_scorer_free(dg_scorer *m);

const char *dg_scorer_name(const dg_scorer *m); /* "BLEU", "chrF2++", "TER" */
bool dg_scorer_is_error(const dg_scorer *m);    /* the lower, the better */

/* What belongs to a signature besides the metric's options. */
typedef struct dg_trials {
  int references;               /* a segment; -1 when their number differs */
  int bootstrap, randomization; /* trials; 0: none */
  const char *seed;             /* NULL: none */
} dg_trials;

/* "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0", or abbreviated; the
 * caller frees it. */
char *dg_scorer_signature(const dg_scorer *m, const dg_trials *trials, bool abbreviated);

/* lists[r][i] is a translation of segment i, or NULL when it has no r-th one. */
typedef struct dg_references {
  const char *const *const *lists;
  size_t count;
} dg_references;

/* References of each segment, -1 when their number differs. */
int dg_references_number(const dg_references *r, size_t segments);

/* Scores come from statistics: numbers of each segment (dg_scorer_width of them) that
 * are summed over segments. */
size_t dg_scorer_width(const dg_scorer *m);
bool dg_scorer_measure(const dg_scorer *m, const char *const *hypotheses, const dg_references *r,
                       size_t segments, dg_threads *threads, double *statistics, dg_error *err);
void dg_scorer_add(const dg_scorer *m, const double *statistics, size_t segments, double *totals);

/* How sacreBLEU holds the sums: exactly, or as numpy arrays when it resamples. */
typedef enum dg_numbers { DG_EXACT, DG_INT64, DG_FLOAT32 } dg_numbers;

typedef struct dg_score {
  double score;                         /* 0..100; TER may be more */
  double precisions[DG_BLEU_ORDER_MAX]; /* of BLEU, percent */
  double brevity_penalty;
  size_t system_length, reference_length;
  double edits, edit_length; /* of TER */
} dg_score;

void dg_scorer_score(const dg_scorer *m, const double *totals, dg_numbers numbers, dg_score *out);

/* "89.5/67.6/45.2/28.6 (BP = ...", NULL for none; the caller frees it. */
char *dg_scorer_verbose(const dg_scorer *m, const dg_score *s);

/* All of a text at once. */
bool dg_scorer_corpus(const dg_scorer *m, const char *const *hypotheses, const dg_references *r,
                      size_t segments, dg_threads *threads, dg_score *out, dg_error *err);

/* --- with the default options and one reference ------------------------------------------- */

typedef struct dg_bleu_score {
  double score;         /* 0..100 */
  double precisions[4]; /* percent, n = 1..4 */
  double brevity_penalty;
  size_t counts[4], totals[4], system_length, reference_length;
} dg_bleu_score;

typedef struct dg_chrf_score {
  double score; /* 0..100 */
} dg_chrf_score;

bool dg_bleu_corpus(const char *const *hypotheses, const char *const *references, size_t segments,
                    dg_bleu_score *out, dg_error *err);
bool dg_chrf_corpus(const char *const *hypotheses, const char *const *references, size_t segments,
                    dg_chrf_score *out, dg_error *err);
/* The signatures of these two; static. */
const char *dg_bleu_signature(void);
const char *dg_chrf_signature(void);

#endif
