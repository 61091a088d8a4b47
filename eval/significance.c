#include "eval/significance.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/numpy_random.h"
#include "mt/core/mem.h"

/* --- means as numpy and Python take them ------------------------------------------------------ */

/* numpy's pairwise summation: its order of additions decides the last digit. */
static double pairwise(const double *x, size_t n) {
  if (n < 8) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i];
    return sum;
  }
  if (n > 128) {
    size_t half = n / 2 - n / 2 % 8;
    return pairwise(x, half) + pairwise(x + half, n - half);
  }
  double r[8];
  memcpy(r, x, sizeof r);
  size_t i = 8;
  for (; i + 8 <= n; i += 8)
    for (size_t k = 0; k < 8; k++) r[k] += x[i + k];
  double sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
  for (; i < n; i++) sum += x[i];
  return sum;
}

static double numpy_mean(const double *x, size_t n) { return pairwise(x, n) / (double)n; }

/* statistics.mean() is exact but for its last rounding: a sum in two parts. */
static double exact_mean(const double *x, size_t n) {
  double high = 0, low = 0;
  for (size_t i = 0; i < n; i++) {
    double sum = high + x[i], part = sum - high;
    low += (high - (sum - part)) + (x[i] - part);
    high = sum;
  }
  double mean = (high + low) / (double)n;
  double rest = fma(-mean, (double)n, high) + low;
  return mean + rest / (double)n;
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Sorts the scores. */
static dg_interval interval(double *scores, size_t n, double (*mean)(const double *, size_t)) {
  qsort(scores, n, sizeof *scores, ascending);
  size_t lower = n / 40;
  return (dg_interval){mean(scores, n), 0.5 * (scores[n - lower - 1] - scores[lower])};
}

/* --- bootstrap ---------------------------------------------------------------------------------
 */

enum { DRAWS = 1 << 22 }; /* indices drawn before they are used, roughly */

typedef struct bootstrap {
  const dg_scorer *metric;
  size_t width, padded, segments, systems;
  float **statistics; /* [systems][segments * padded], as numpy holds them */
  const uint32_t *indices;
  size_t first;    /* trial of the first row of indices */
  double **scores; /* [systems][trials] */
} bootstrap;

static float *to_floats(const double *statistics, size_t segments, size_t width, size_t padded) {
  float *out = dg_calloc(segments * padded, sizeof *out);
  for (size_t i = 0; i < segments; i++)
    for (size_t k = 0; k < width; k++) out[i * padded + k] = (float)statistics[i * width + k];
  return out;
}

/* numpy adds rows one after another in single precision; so must we, once sums pass 2^24. */
static void resample(void *context, size_t task, int worker) {
  (void)worker;
  const bootstrap *b = context;
  size_t trial = task / b->systems, system = task % b->systems, padded = b->padded;
  const uint32_t *index = b->indices + trial * b->segments;
  const float *rows = b->statistics[system];
  float sums[DG_STATISTICS_MAX + 4] = {0};
  double totals[DG_STATISTICS_MAX];
  dg_score score;
#define ADD_ROWS(n)                                                              \
  do {                                                                           \
    float s[n] = {0};                                                            \
    for (size_t i = 0; i < b->segments; i++)                                     \
      for (size_t k = 0; k < (n); k++) s[k] += rows[(size_t)index[i] * (n) + k]; \
    memcpy(sums, s, sizeof s);                                                   \
  } while (0)
  if (padded == 4)
    ADD_ROWS(4);
  else if (padded == 12)
    ADD_ROWS(12);
  else if (padded == 20)
    ADD_ROWS(20);
  else if (padded == 24)
    ADD_ROWS(24);
  else
    for (size_t i = 0; i < b->segments; i++)
      for (size_t k = 0; k < padded; k++) sums[k] += rows[(size_t)index[i] * padded + k];
#undef ADD_ROWS
  for (size_t k = 0; k < b->width; k++) totals[k] = (double)sums[k];
  dg_scorer_score(b->metric, totals, DG_FLOAT32, &score);
  b->scores[system][b->first + trial] = score.score;
}

static bool drawable(size_t segments, int trials, dg_error *err) {
  if (!segments) return dg_fail(err, DG_ERR_USAGE, "there are no segments to score");
  if (segments > UINT32_MAX)
    return dg_fail(err, DG_ERR_UNSUPPORTED, "%zu segments are too many to resample", segments);
  if (trials < 1) return dg_fail(err, DG_ERR_USAGE, "a test needs one trial at least");
  if (trials > DG_TRIALS_MOST)
    return dg_fail(err, DG_ERR_USAGE, "%d trials: %d are the most", trials, DG_TRIALS_MOST);
  return true;
}

/* Scores of each system in each trial, all systems drawn alike. */
static bool bootstrap_scores(const dg_scorer *m, const double *const *statistics, size_t systems,
                             size_t segments, size_t trials, uint64_t seed, dg_threads *threads,
                             double **scores, dg_error *err) {
  size_t block = DRAWS / segments + 1;
  if (block > trials) block = trials;
  uint32_t *indices = dg_alloc_checked(block * segments, sizeof *indices, err);
  if (!indices) return false;
  bootstrap b = {.metric = m,
                 .width = dg_scorer_width(m),
                 .segments = segments,
                 .systems = systems,
                 .indices = indices,
                 .scores = scores};
  b.padded = (b.width + 3) / 4 * 4;
  b.statistics = dg_calloc(systems, sizeof *b.statistics);
  for (size_t s = 0; s < systems; s++)
    b.statistics[s] = to_floats(statistics[s], segments, b.width, b.padded);
  dg_numpy_random r = dg_numpy_random_new(seed);
  for (; b.first < trials; b.first += block) {
    size_t now = trials - b.first < block ? trials - b.first : block;
    dg_numpy_random_choice(&r, segments, indices, now * segments);
    dg_parallel(threads, now * systems, resample, &b);
  }
  for (size_t s = 0; s < systems; s++) free(b.statistics[s]);
  free(b.statistics);
  free(indices);
  return true;
}

static double *measure(const dg_scorer *m, const char *const *hypotheses, const dg_references *r,
                       size_t segments, dg_threads *threads, dg_score *score, dg_error *err) {
  double totals[DG_STATISTICS_MAX] = {0};
  double *statistics = dg_alloc_checked(segments * dg_scorer_width(m), sizeof *statistics, err);
  if (!statistics) return NULL;
  if (!dg_scorer_measure(m, hypotheses, r, segments, threads, statistics, err)) {
    free(statistics);
    return NULL;
  }
  dg_scorer_add(m, statistics, segments, totals);
  dg_scorer_score(m, totals, DG_EXACT, score);
  return statistics;
}

bool dg_bootstrap(const dg_scorer *m, const char *const *hypotheses, const dg_references *r,
                  size_t segments, int trials, uint64_t seed, dg_threads *threads, dg_score *score,
                  dg_interval *out, dg_error *err) {
  if (!drawable(segments, trials, err)) return false;
  double *statistics = measure(m, hypotheses, r, segments, threads, score, err);
  if (!statistics) return false;
  double *scores = dg_calloc((size_t)trials, sizeof *scores);
  bool ok = bootstrap_scores(m, (const double *const *)&statistics, 1, segments, (size_t)trials,
                             seed, threads, &scores, err);
  if (ok) *out = interval(scores, (size_t)trials, exact_mean);
  free(scores);
  free(statistics);
  return ok;
}

/* --- paired tests -------------------------------------------------------------------------------
 */

static double p_value(const double *statistics, size_t n, double difference) {
  size_t beyond = 0;
  for (size_t i = 0; i < n; i++) beyond += statistics[i] > difference;
  return (double)(beyond + 1) / (double)(n + 1);
}

static bool compare_bootstrap(const dg_scorer *m, const double *const *statistics, size_t systems,
                              size_t segments, size_t trials, uint64_t seed, dg_threads *threads,
                              dg_comparison *out, dg_error *err) {
  double **scores = dg_calloc(systems, sizeof *scores);
  double *differences = dg_calloc(trials, sizeof *differences);
  for (size_t s = 0; s < systems; s++) scores[s] = dg_calloc(trials, sizeof **scores);
  bool ok = bootstrap_scores(m, statistics, systems, segments, trials, seed, threads, scores, err);
  for (size_t s = systems; ok && s-- > 0;) { /* the baseline last: an interval is sorted */
    for (size_t t = 0; t < trials; t++) differences[t] = fabs(scores[s][t] - scores[0][t]);
    double mean = numpy_mean(differences, trials);
    for (size_t t = 0; t < trials; t++) differences[t] -= mean;
    if (s) out[s].p_value = p_value(differences, trials, fabs(out[0].score - out[s].score));
    out[s].interval = interval(scores[s], trials, numpy_mean);
  }
  for (size_t s = 0; s < systems; s++) free(scores[s]);
  free(scores);
  free(differences);
  return ok;
}

typedef struct randomization {
  const dg_scorer *metric;
  size_t width, segments, trials;
  uint64_t seed;
  const double *baseline, *system;
  double total[DG_STATISTICS_MAX]; /* of both together */
  double *differences;
} randomization;

enum { AR_TASK = 16 };

/* Trial t chooses by bits [t * segments, (t + 1) * segments) of the generator's 32-bit draws,
 * lowest first, of whom each segment is taken. */
static void randomize(void *context, size_t task, int worker) {
  (void)worker;
  const randomization *c = context;
  size_t end = (task + 1) * AR_TASK < c->trials ? (task + 1) * AR_TASK : c->trials;
  uint64_t position = (uint64_t)task * AR_TASK * c->segments;
  dg_numpy_random r = dg_numpy_random_new(c->seed);
  dg_numpy_random_skip(&r, position / 64);
  uint32_t bits = 0;
  if (position % 64 >= 32) dg_numpy_random_32(&r);
  if (position % 32) bits = dg_numpy_random_32(&r) >> position % 32;
  /* TER's lengths may be fractions, of which rounding makes or breaks a tie: they are added as
   * numpy's matrix products do, each system's segments apart. (Of more than 256 segments its
   * BLAS may add blocks, whose size hangs on the processor.) */
  const bool whole = !dg_scorer_is_error(c->metric);
  const dg_numbers numbers = whole ? DG_INT64 : DG_EXACT;
  const double *systems[2] = {c->system, c->baseline};
  for (size_t t = task * AR_TASK; t < end; t++) {
    double taken[2][DG_STATISTICS_MAX] = {{0}}, left[2][DG_STATISTICS_MAX] = {{0}};
    double *a = taken[0], *b = left[0];
    size_t width = c->width;
    for (size_t i = 0; i < c->segments; i++, position++, bits >>= 1) {
      if (position % 32 == 0) bits = dg_numpy_random_32(&r);
      const size_t which = bits & 1;
      const double *row = systems[which] + i * width;
      for (size_t k = 0; k < width; k++) taken[which][k] += row[k];
      if (whole) continue;
      row = systems[!which] + i * width;
      for (size_t k = 0; k < width; k++) left[!which][k] += row[k];
    }
    for (size_t k = 0; k < width; k++) {
      a[k] += taken[1][k];
      b[k] = whole ? c->total[k] - a[k] : b[k] + left[1][k];
    }
    dg_score first, second;
    dg_scorer_score(c->metric, a, numbers, &first);
    dg_scorer_score(c->metric, b, numbers, &second);
    c->differences[t] = fabs(first.score - second.score);
  }
}

static void compare_randomization(const dg_scorer *m, const double *const *statistics,
                                  size_t systems, size_t segments, size_t trials, uint64_t seed,
                                  dg_threads *threads, dg_comparison *out) {
  randomization c = {.metric = m,
                     .width = dg_scorer_width(m),
                     .segments = segments,
                     .trials = trials,
                     .seed = seed,
                     .baseline = statistics[0],
                     .differences = dg_calloc(trials, sizeof(double))};
  for (size_t s = 1; s < systems; s++) {
    c.system = statistics[s];
    memset(c.total, 0, sizeof c.total);
    dg_scorer_add(m, statistics[0], segments, c.total);
    dg_scorer_add(m, statistics[s], segments, c.total);
    dg_parallel(threads, (trials + AR_TASK - 1) / AR_TASK, randomize, &c);
    out[s].p_value = p_value(c.differences, trials, fabs(out[0].score - out[s].score));
  }
  free(c.differences);
}

bool dg_compare(const dg_scorer *m, const char *const *const *systems, size_t system_count,
                const dg_references *r, size_t segments, dg_paired_test test, int trials,
                uint64_t seed, dg_threads *threads, dg_comparison *out, dg_error *err) {
  if (!drawable(segments, trials, err)) return false;
  double **statistics = dg_calloc(system_count, sizeof *statistics);
  const double *const *read = (const double *const *)statistics;
  bool ok = true;
  for (size_t s = 0; ok && s < system_count; s++) {
    dg_score score;
    ok = (statistics[s] = measure(m, systems[s], r, segments, threads, &score, err)) != NULL;
    if (!ok) break;
    out[s] = (dg_comparison){.score = score.score, .p_value = 1};
    out[s].gain = dg_scorer_is_error(m) ? out[0].score - score.score : score.score - out[0].score;
  }
  if (ok && test == DG_PAIRED_BOOTSTRAP)
    ok =
        compare_bootstrap(m, read, system_count, segments, (size_t)trials, seed, threads, out, err);
  else if (ok)
    compare_randomization(m, read, system_count, segments, (size_t)trials, seed, threads, out);
  for (size_t s = 0; s < system_count; s++) free(statistics[s]);
  free(statistics);
  return ok;
}

bool dg_is_significant(const dg_comparison *c) { return c->p_value < 0.05; }

bool dg_is_gain(const dg_comparison *c) { return c->gain > 0 && dg_is_significant(c); }
