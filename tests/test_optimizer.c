/* Steps against torch.optim.AdamW and torch.optim.Muon, rates against the schedules of transformers
 * (tests/goldens/adam.py, muon.py). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mt/core/lines.h"
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
static void close_to(const char *what, int k, size_t n, const float *got, const double *want,
                     double tolerance, double least) {
  for (size_t i = 0; i < n; i++)
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
    dg_optimizer_options o = {.beta1 = options[0], .beta2 = options[1], .eps = options[2],
                              .weight_decay = options[3], .clip = options[4]};
    float w[N], g[N];
    memcpy(w, weights, sizeof w);
    dg_params params = {.total = N, .values = w, .grads = g};
    dg_optimizer adam;
    assert_true(dg_optimizer_init(&adam, &o, &params, NULL, NULL));
    double way = 0; /* 1 - 0.999 in fp32 has an error of 1e-5 that every step repeats */
    for (size_t t = 0; t < STEPS; t++) {
      way += rates[t];
      memcpy(g, gradients + t * N, sizeof g);
      double norm = dg_optimizer_update(&adam, rates[t]);
      assert_true(fabs(norm / norms[t] - 1) < 1e-6);
      assert_int_equal(adam.steps, t + 1);
      assert_memory_equal(g, gradients + t * N, sizeof g);
      close_to("values", k, N, w, values + t * N, 1e-6, 1e-5 * way);
    }
    /* PyTorch's clipping adds 1e-6 to the norm; squares of 1e-7 keep few digits. */
    close_to("m", k, N, adam.m, data(file, DG_F64, N, "m", k), 1e-5, 1e-9);
    close_to("v", k, N, adam.v, data(file, DG_F64, N, "v", k), 2e-5, 1e-15);
    dg_optimizer_free(&adam);
  }
  dg_safetensors_close(file);
}

/* Matrices by Muon, an embedding and a bias by Adam. */
static void test_muon(void **state) {
  (void)state;
  enum { UPDATES = 3, TENSORS = 6, TOTAL = 24 * 10 + 8 * 20 + 12 * 12 + 9 + 9 * 8 + 12 };
  static const struct {
    size_t rows, cols;
    bool hidden;
  } shapes[TENSORS] = {{24, 10, true}, {8, 20, true}, {12, 12, true},
                       {1, 9, true},   {9, 8, false}, {1, 12, false}};
  dg_error err;
  dg_safetensors *file = dg_safetensors_open("tests/train/muon.safetensors", true, &err);
  if (!file) fail_msg("%s", err.message);
  dg_tensor tensors[TENSORS] = {0};
  size_t total = 0;
  for (size_t i = 0; i < TENSORS; i++) {
    tensors[i].rows = shapes[i].rows, tensors[i].cols = shapes[i].cols;
    tensors[i].hidden = shapes[i].hidden, tensors[i].offset = total, tensors[i].rate = 1;
    total += shapes[i].rows * shapes[i].cols;
  }
  assert_int_equal(total, TOTAL);
  const float *gradients = data(file, DG_F32, UPDATES * TOTAL, "gradients", -1);
  for (int k = 0; k < 3; k++) {
    const double *options = data(file, DG_F64, 4, "options", k);
    const double *values = data(file, DG_F64, UPDATES * TOTAL, "values", k);
    dg_optimizer_options o = {.type = DG_OPTIMIZER_MUON, .beta1 = 0.9, .beta2 = 0.98, .eps = 1e-8,
                              .muon_momentum = options[0], .weight_decay = options[1],
                              .clip = options[2]};
    float w[TOTAL], g[TOTAL];
    memcpy(w, data(file, DG_F32, TOTAL, "weights", -1), sizeof w);
    dg_params params = {.tensors = tensors, .count = TENSORS, .total = TOTAL, .values = w,
                        .grads = g};
    dg_optimizer muon;
    assert_true(dg_optimizer_init(&muon, &o, &params, NULL, NULL));
    for (size_t t = 0; t < UPDATES; t++) {
      memcpy(g, gradients + t * TOTAL, sizeof g);
      dg_optimizer_update(&muon, options[3]);
      close_to("values", k, TOTAL, w, values + t * TOTAL, 1e-6, 1e-5 * options[3]);
    }
    close_to("m", k, TOTAL, muon.m, data(file, DG_F64, TOTAL, "m", k), 1e-5, 1e-7);
    dg_optimizer_free(&muon);
  }
  dg_safetensors_close(file);
}

enum { ROWS = 16, COLUMNS = 48 };

/* By the power method, of a symmetric positive matrix. */
static double largest_eigenvalue(double (*a)[ROWS]) {
  double x[ROWS], norm = 0;
  for (size_t i = 0; i < ROWS; i++) x[i] = 1 + 0.1 * (double)i;
  for (int step = 0; step < 2000; step++) {
    double y[ROWS] = {0}, squares = 0;
    for (size_t i = 0; i < ROWS; i++) {
      for (size_t j = 0; j < ROWS; j++) y[i] += a[i][j] * x[j];
      squares += y[i] * y[i];
    }
    norm = sqrt(squares);
    for (size_t i = 0; i < ROWS; i++) x[i] = y[i] / norm;
  }
  return norm;
}

/* All singular values of a step are about 1, whatever those of the gradient. */
static void test_orthogonal(void **state) {
  (void)state;
  for (int tall = 0; tall < 2; tall++) {
    float w[ROWS * COLUMNS] = {0}, g[ROWS * COLUMNS];
    dg_rng r = {.key = 5};
    for (size_t i = 0; i < ROWS * COLUMNS; i++) g[i] = 1e-3f * (float)dg_rng_normal(&r);
    dg_tensor matrix = {.rows = ROWS, .cols = COLUMNS, .hidden = true, .rate = 1};
    if (tall) matrix.rows = COLUMNS, matrix.cols = ROWS;
    dg_params params = {.tensors = &matrix, .count = 1, .total = ROWS * COLUMNS, .values = w,
                        .grads = g};
    dg_optimizer muon;
    dg_optimizer_options o = {.type = DG_OPTIMIZER_MUON, .muon_momentum = 0.95};
    assert_true(dg_optimizer_init(&muon, &o, &params, NULL, NULL));
    dg_optimizer_update(&muon, 1 / (0.2 * sqrt(COLUMNS)));
    double gram[ROWS][ROWS] = {{0}}, rest[ROWS][ROWS];
    size_t across = tall ? 1 : COLUMNS, along = tall ? ROWS : 1;
    for (size_t i = 0; i < ROWS; i++)
      for (size_t j = 0; j < ROWS; j++) {
        for (size_t c = 0; c < COLUMNS; c++)
          gram[i][j] += (double)w[i * across + c * along] * (double)w[j * across + c * along];
        rest[i][j] = (i == j ? 2 : 0) - gram[i][j];
      }
    double most = sqrt(largest_eigenvalue(gram)), least = sqrt(2 - largest_eigenvalue(rest));
    if (!(least > 0.6 && most < 1.3)) fail_msg("singular values from %g to %g", least, most);
    dg_optimizer_free(&muon);
  }
}

/* What Muon updates are the products of layers, in a base and in adapters. */
static void test_hidden(void **state) {
  (void)state;
  dg_error err;
  dg_model_config c;
  dg_options_defaults(dg_model_config_options, &c);
  c.vocab_size = 100, c.d_model = 16, c.heads = 2, c.ffn_dim = 24;
  c.encoder_layers = c.decoder_layers = 2;
  c.position = DG_POSITION_LEARNED, c.max_positions = 32, c.tie_output = false, c.gated_ffn = true;
  dg_adapter_config ac;
  dg_options_defaults(dg_adapter_config_options, &ac);
  snprintf(ac.method, sizeof ac.method, "bottleneck+lora+ia3+bitfit");
  ac.new_pieces = 3;
  dg_model *m = dg_model_outline(&c, &err);
  dg_adapter *a = dg_adapter_new(&c, &ac, 2, &err);
  if (!m || !a) fail_msg("%s", err.message);
  const dg_params *all[] = {&m->params, &a->params};
  /* Attention has 4 in a layer and a gated feed-forward sublayer 3; LoRA 2 for each of them,
   * and a bottleneck 2 in a layer. */
  static const size_t want[] = {2 * 7 + 2 * 11, 2 * (2 * 7 + 2 * 11) + 4 * 2};
  for (size_t k = 0; k < 2; k++) {
    size_t found = 0;
    for (size_t i = 0; i < all[k]->count; i++) {
      const dg_tensor *t = &all[k]->tensors[i];
      bool named = strstr(t->name, ".layers.") && dg_ends_with(t->name, ".weight");
      if (t->hidden != named) fail_msg("%s", t->name);
      found += t->hidden;
    }
    assert_int_equal(found, want[k]);
  }
  dg_model_free(m);
  dg_adapter_free(a);
}

static void test_not_finite(void **state) {
  (void)state;
  const float bad[] = {NAN, INFINITY, -INFINITY};
  for (size_t i = 0; i < 6; i++) {
    float w[20], g[20], before[20];
    for (size_t k = 0; k < 20; k++) w[k] = before[k] = g[k] = 1 + (float)k;
    dg_tensor matrix = {.rows = 4, .cols = 5, .hidden = true, .rate = 1};
    dg_params params = {.tensors = &matrix, .count = 1, .total = 20, .values = w, .grads = g};
    dg_optimizer z;
    dg_optimizer_options o = {.type = i < 3 ? DG_OPTIMIZER_ADAM : DG_OPTIMIZER_MUON, .beta1 = 0.9,
                              .beta2 = 0.98, .eps = 1e-9, .weight_decay = 0.1, .muon_momentum = 0.9,
                              .clip = 1};
    assert_true(dg_optimizer_init(&z, &o, &params, NULL, NULL));
    g[17] = bad[i % 3];
    assert_true(!isfinite(dg_optimizer_update(&z, 0.1)));
    assert_memory_equal(w, before, sizeof w);
    assert_int_equal(z.steps, 0);
    for (size_t k = 0; k < 20; k++) assert_true(z.m[k] == 0 && z.v[k] == 0);
    g[17] = 18;
    assert_true(isfinite(dg_optimizer_update(&z, 0.1)) != 0);
    assert_true(isfinite(w[0]) && w[0] != before[0]);
    dg_optimizer_free(&z);
  }
}

enum { MANY = 100003 };

/* With rates of their own for two tensors, from 50,000 and from 88,000 on. */
static float *three_steps(dg_optimizer_type type, dg_threads *threads, double learning_rate,
                          float rate) {
  float *w = dg_malloc(MANY * sizeof *w), *g = dg_malloc(MANY * sizeof *g);
  dg_tensor tensors[] = {{.rows = 130, .cols = 70, .offset = 16, .hidden = true, .rate = 1},
                         {.rows = 1, .cols = 40000, .offset = 9200, .rate = 1},
                         {.rows = 60, .cols = 300, .offset = 50000, .hidden = true, .rate = rate},
                         {.rows = 128, .cols = 128, .offset = 68000, .hidden = true, .rate = 1},
                         {.rows = 120, .cols = 100, .offset = 88000, .rate = rate}};
  dg_params params = {.tensors = tensors, .count = sizeof tensors / sizeof *tensors, .total = MANY,
                      .values = w, .grads = g};
  dg_optimizer z;
  dg_optimizer_options o = {.type = type, .beta1 = 0.9, .beta2 = 0.98, .eps = 1e-9,
                            .weight_decay = 0.01, .muon_momentum = 0.95, .clip = 1};
  dg_rng r = {.key = 3};
  assert_true(dg_optimizer_init(&z, &o, &params, threads, NULL));
  for (size_t i = 0; i < MANY; i++) w[i] = (float)dg_rng_normal(&r);
  for (int step = 0; step < 3; step++) {
    double squares = 0;
    for (size_t i = 0; i < MANY; i++) {
      g[i] = (float)dg_rng_normal(&r);
      squares += (double)g[i] * (double)g[i];
    }
    double norm = dg_optimizer_update(&z, learning_rate);
    assert_true(fabs(norm / sqrt(squares) - 1) < 1e-6);
  }
  /* Each number by one of the two, none left out. */
  for (size_t i = 0; i < MANY; i++) {
    bool by_muon = false;
    for (size_t k = 0; k < params.count && type == DG_OPTIMIZER_MUON; k++) {
      const dg_tensor *t = &tensors[k];
      by_muon = by_muon || (t->hidden && i >= t->offset && i < t->offset + t->rows * t->cols);
    }
    assert_true(by_muon ? z.m[i] != 0 && z.v[i] == 0 : z.v[i] > 0);
  }
  dg_optimizer_free(&z);
  free(g);
  return w;
}

/* Bit for bit, with any number of threads. */
static void test_threads(void **state) {
  (void)state;
  for (dg_optimizer_type type = DG_OPTIMIZER_ADAM; type <= DG_OPTIMIZER_MUON; type++) {
    float *alone = three_steps(type, NULL, 0.01, 1);
    for (int n = 2; n < 4; n++) {
      dg_threads *threads = dg_threads_new(n);
      float *together = three_steps(type, threads, 0.01, 1);
      assert_memory_equal(alone, together, MANY * sizeof *alone);
      free(together);
      dg_threads_free(threads);
    }
    free(alone);
  }
}

/* A tensor with half the rate learns as all do at half the rate, and its neighbours as before. */
static void test_rates(void **state) {
  (void)state;
  for (dg_optimizer_type type = DG_OPTIMIZER_ADAM; type <= DG_OPTIMIZER_MUON; type++) {
    float *all = three_steps(type, NULL, 0.01, 1), *half = three_steps(type, NULL, 0.005, 1);
    float *some = three_steps(type, NULL, 0.01, 0.5F);
    size_t differ = 0;
    for (size_t i = 0; i < MANY; i++) {
      bool of_its_own = (i >= 50000 && i < 68000) || (i >= 88000 && i < 100000);
      assert_true(some[i] == (of_its_own ? half : all)[i]);
      differ += half[i] != all[i];
    }
    assert_true(differ > MANY - 100);
    free(all);
    free(half);
    free(some);
  }
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
  assert_true(dg_schedule(DG_SCHEDULE_INVERSE_SQRT, 2, 0, 1000, 0, 0) <= 0); /* as yet */
  /* A cooldown of 100 updates: as without it, then down as 1 - sqrt, to 0 and no further. */
  static const double want[][2] = {{900, 2},   {901, 1.8}, {904, 1.6}, {925, 1},
                                   {964, 0.4}, {1000, 0},  {1001, 0},  {2000, 0}};
  for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
    double rate = dg_schedule(DG_SCHEDULE_CONSTANT, 2, 10, 1000, 100, (uint64_t)want[i][0]);
    if (!(fabs(rate - want[i][1]) < 1e-12)) fail_msg("update %.0f: %.9g", want[i][0], rate);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_steps),
      cmocka_unit_test(test_muon),
      cmocka_unit_test(test_orthogonal),
      cmocka_unit_test(test_hidden),
      cmocka_unit_test(test_not_finite),
      cmocka_unit_test(test_threads),
      cmocka_unit_test(test_rates),
      cmocka_unit_test(test_schedules),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
