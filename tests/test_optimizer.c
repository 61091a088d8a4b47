/* Steps against torch.optim.AdamW, rates against the schedules of transformers
 * (tests/goldens/adam.py). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mt/core/file.h"
#include "mt/core/mem.h"
#include "mt/core/rng.h"
#include "mt/core/safetensors.h"
#include "mt/core/threads.h"
#include "mt/train/optimizer.h"

enum { STEPS = 7, N = 37, CASES = 4 };

static const void *data(const dg_safetensors *file, dg_dtype dtype, size_t count,
                        const char *name, int k) {
  char full[64];
  snprintf(full, sizeof full, k < 0 ? "%s" : "%s.%d", name, k);
  const dg_st_tensor *t = dg_safetensors_find(file, full);
  if (!t) fail_msg("no %s", full);
  assert_int_equal(t->dtype, dtype);
  assert_int_equal(t->bytes, count * dg_dtype_size(dtype));
  return t->data;
}

/* Adam divides: what is small counts as much as what is large. */
static void close_to(const char *what, int k, const float *got, const double *want,
                     double tolerance, double least) {
  for (size_t i = 0; i < N; i++)
    if (!(fabs((double)got[i] - want[i]) <= tolerance * fabs(want[i]) + least))
      fail_msg("%s.%d[%zu] is %.9g, not %.9g", what, k, i, (double)got[i], want[i]);
}

static void test_steps(void **state) {
  (void)state;
  dg_error err;
  dg_safetensors *file = dg_safetensors_open("tests/train/adam.safetensors", true, &err);
  if (!file) fail_msg("%s", err.message);
  const float *weights = data(file, DG_F32, N, "weights", -1);
  const float *gradients = data(file, DG_F32, STEPS * N, "gradients", -1);
  for (int k = 0; k < CASES; k++) {
    const double *options = data(file, DG_F64, 5, "options", k);
    const double *rates = data(file, DG_F64, STEPS, "rates", k);
    const double *values = data(file, DG_F64, STEPS * N, "values", k);
    const double *norms = data(file, DG_F64, STEPS, "norms", k);
    dg_adam_options o = {options[0], options[1], options[2], options[3], options[4]};
    float w[N], g[N];
    memcpy(w, weights, sizeof w);
    dg_params params = {.total = N, .values = w, .grads = g};
    dg_adam adam;
    assert_true(dg_adam_init(&adam, N, NULL));
    double way = 0; /* 1 - 0.999 in fp32 has an error of 1e-5 that every step repeats */
    for (size_t t = 0; t < STEPS; t++) {
      way += rates[t];
      memcpy(g, gradients + t * N, sizeof g);
      double norm = dg_adam_update(&adam, &o, rates[t], &params, NULL);
      assert_true(fabs(norm / norms[t] - 1) < 1e-6);
      assert_int_equal(adam.steps, t + 1);
      assert_memory_equal(g, gradients + t * N, sizeof g);
      close_to("values", k, w, values + t * N, 1e-6, 1e-5 * way);
    }
    /* PyTorch's clipping adds 1e-6 to the norm; squares of 1e-7 keep few digits. */
    close_to("m", k, adam.m, data(file, DG_F64, N, "m", k), 1e-5, 1e-9);
    close_to("v", k, adam.v, data(file, DG_F64, N, "v", k), 2e-5, 1e-15);
    dg_adam_free(&adam);
  }
  dg_safetensors_close(file);
}

static void test_not_finite(void **state) {
  (void)state;
  const float bad[] = {NAN, INFINITY, -INFINITY};
  for (size_t i = 0; i < 3; i++) {
    float w[20], g[20], before[20];
    for (size_t k = 0; k < 20; k++) w[k] = before[k] = g[k] = 1 + (float)k;
    dg_params params = {.total = 20, .values = w, .grads = g};
    dg_adam adam;
    dg_adam_options o = {0.9, 0.98, 1e-9, 0.1, 1};
    assert_true(dg_adam_init(&adam, 20, NULL));
    g[17] = bad[i];
    assert_true(!isfinite(dg_adam_update(&adam, &o, 0.1, &params, NULL)));
    assert_memory_equal(w, before, sizeof w);
    assert_int_equal(adam.steps, 0);
    for (size_t k = 0; k < 20; k++) assert_true(adam.m[k] == 0 && adam.v[k] == 0);
    g[17] = 18;
    assert_true(isfinite(dg_adam_update(&adam, &o, 0.1, &params, NULL)) != 0);
    assert_true(w[0] < before[0]);
    dg_adam_free(&adam);
  }
}

enum { MANY = 100003 };

static float *three_steps(dg_threads *threads) {
  float *w = dg_malloc(MANY * sizeof *w), *g = dg_malloc(MANY * sizeof *g);
  dg_params params = {.total = MANY, .values = w, .grads = g};
  dg_adam adam;
  dg_adam_options o = {0.9, 0.98, 1e-9, 0.01, 1};
  dg_rng r = {.key = 3};
  assert_true(dg_adam_init(&adam, MANY, NULL));
  for (size_t i = 0; i < MANY; i++) w[i] = (float)dg_rng_normal(&r);
  for (int step = 0; step < 3; step++) {
    double squares = 0;
    for (size_t i = 0; i < MANY; i++) {
      g[i] = (float)dg_rng_normal(&r);
      squares += (double)g[i] * (double)g[i];
    }
    double norm = dg_adam_update(&adam, &o, 0.01, &params, threads);
    assert_true(fabs(norm / sqrt(squares) - 1) < 1e-6);
  }
  for (size_t i = 0; i < MANY; i++) assert_true(adam.v[i] > 0); /* none left out */
  dg_adam_free(&adam);
  free(g);
  return w;
}

/* Bit for bit, with any number of threads. */
static void test_threads(void **state) {
  (void)state;
  float *alone = three_steps(NULL);
  for (int n = 2; n < 4; n++) {
    dg_threads *threads = dg_threads_new(n);
    float *together = three_steps(threads);
    assert_memory_equal(alone, together, MANY * sizeof *alone);
    free(together);
    dg_threads_free(threads);
  }
  free(alone);
}

static void test_schedules(void **state) {
  (void)state;
  dg_error err;
  dg_lines *lines = dg_lines_open("tests/train/schedules.tsv", &err);
  if (!lines) fail_msg("%s", err.message);
  char *line, name[32];
  size_t n, read = 0;
  while (dg_lines_next(lines, &line, &n, &err) > 0) {
    unsigned long warmup, updates, step;
    double share;
    assert_int_equal(sscanf(line, "%31s %lu %lu %lu %lf", name, &warmup, &updates, &step, &share),
                     5);
    dg_schedule_type type = !strcmp(name, "cosine")         ? DG_SCHEDULE_COSINE
                            : !strcmp(name, "inverse_sqrt") ? DG_SCHEDULE_INVERSE_SQRT
                                                            : DG_SCHEDULE_CONSTANT;
    double rate = dg_schedule(type, 0.25, warmup, updates, 0, step);
    if (!(fabs(rate - 0.25 * share) < 1e-12)) fail_msg("%s: %.9g", line, rate);
    read++;
  }
  dg_lines_close(lines);
  assert_true(read > 50);
  /* A cooldown of 100 updates: as without it, then down as 1 - sqrt, to 0 and no further. */
  static const double want[][2] = {{900, 2}, {901, 1.8}, {904, 1.6}, {925, 1}, {964, 0.4}, {1000, 0},
                                   {1001, 0}, {2000, 0}};
  for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
    double rate = dg_schedule(DG_SCHEDULE_CONSTANT, 2, 10, 1000, 100, (uint64_t)want[i][0]);
    if (!(fabs(rate - want[i][1]) < 1e-12)) fail_msg("update %.0f: %.9g", want[i][0], rate);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_steps),
      cmocka_unit_test(test_not_finite),
      cmocka_unit_test(test_threads),
      cmocka_unit_test(test_schedules),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
