/* 8-bit products, which are exact, against integers. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mt/core/mem.h"
#include "mt/core/rng.h"
#include "mt/kernels/isa.h"
#include "mt/kernels/qgemm.h"
#include "mt/kernels/qgemm_kernels.h"
#include "tests/guard.h"
#include "tests/wide.h"

enum { TABLES = 4 };
static size_t usable(const dg_qgemm_kernels *out[TABLES]) {
  size_t n = 0;
  out[n++] = &dg_qgemm_generic;
  out[n++] = &wide_qgemm;
#if defined(__x86_64__)
  if (dg_isa_level() >= DG_ISA_AVX2) out[n++] = &dg_qgemm_avx2;
  if (dg_isa_vnni()) out[n++] = &dg_qgemm_avx512_vnni;
#endif
  return n;
}

/* What the header promises, in the simplest words. */
static void reference(size_t rows, size_t out, size_t in, const float *x, size_t ldx,
                      const int8_t *q, const float *scale, float *y) {
  int8_t *v = dg_malloc(in);
  for (size_t i = 0; i < rows; i++, x += ldx) {
    float largest = 0;
    for (size_t p = 0; p < in; p++) largest = fabsf(x[p]) > largest ? fabsf(x[p]) : largest;
    float inverse = 127 / largest;
    for (size_t p = 0; p < in; p++) {
      float scaled = x[p] * inverse;
      v[p] = largest < 1e-30f ? 0 : (int8_t)nearbyintf(scaled);
    }
    float back = largest < 1e-30f ? 0 : largest / 127;
    for (size_t j = 0; j < out; j++) {
      int64_t sum = 0;
      for (size_t p = 0; p < in; p++) sum += v[p] * q[j * in + p];
      y[i * out + j] = (float)sum * (back * scale[j]);
    }
  }
  free(v);
}

static dg_matrix held(const int8_t *q, const float *scale) {
  return (dg_matrix){.block = {{DG_STORE_INT8, q, scale}}};
}

static void check(const dg_qgemm_kernels *t, dg_threads *threads, size_t rows, size_t out,
                  size_t in, bool extreme) {
  dg_rng r = {dg_rng_key(rows * 7919 + out, in), 0};
  size_t ldx = in + 3, ldy = out + 5, nx = (rows - 1) * ldx + in, ny = (rows - 1) * ldy + out;
  guarded gx = guarded_new(nx * sizeof(float), true), gq = guarded_new(out * in, true);
  guarded gs = guarded_new(out * sizeof(float), true), gy = guarded_new(ny * sizeof(float), true);
  float *x = gx.data, *scale = gs.data, *y = gy.data, *want = dg_malloc(rows * out * sizeof *want);
  int8_t *q = gq.data;
  for (size_t i = 0; i < nx; i++) /* equal magnitudes reach the largest sums there are */
    x[i] = extreme ? (dg_rng_next(&r) & 7 ? 2.5f : -2.5f) : (float)dg_rng_normal(&r);
  for (size_t i = 0; i < out * in; i++)
    q[i] = (int8_t)(extreme ? (i / in % 2 ? 127 : -127) : (int)dg_rng_below(&r, 255) - 127);
  for (size_t i = 0; i < out; i++) scale[i] = (float)dg_rng_uniform(&r) * 0.01f;
  for (size_t i = 0; i < ny; i++) y[i] = 77;
  dg_error err = {0};
  dg_matrix stored = held(q, scale);
  assert_true(dg_qpack_fits(out, in, &stored));
  dg_qpacked *w = dg_qpack_with(t, out, in, &stored, &err);
  assert_non_null(w);
  dg_qgemm(threads, rows, x, ldx, w, y, ldy);
  dg_qpack_free(w);
  reference(rows, out, in, x, ldx, q, scale, want);
  for (size_t i = 0; i < rows; i++)
    for (size_t j = 0; j < ldy && i * ldy + j < ny; j++)
      if (y[i * ldy + j] != (j < out ? want[i * out + j] : 77))
        fail_msg("%zux%zux%zu: y[%zu,%zu] is %.9g, not %.9g", rows, out, in, i, j,
                 (double)y[i * ldy + j], (double)(j < out ? want[i * out + j] : 77));
  guarded_free(&gx);
  guarded_free(&gq);
  guarded_free(&gs);
  guarded_free(&gy);
  free(want);
}

static void test_tails(void **state) {
  (void)state;
  const dg_qgemm_kernels *t[TABLES];
  size_t kinds = usable(t);
  for (size_t e = 0; e < kinds; e++)
    for (size_t rows = 1; rows <= 18; rows++)
      for (size_t out = 1; out <= 100; out += rows % 3 + 1)
        check(t[e], NULL, rows, out, 1 + dg_hash64(rows * 128 + out) % 40, out % 5 == 0);
}

static void test_sizes_and_threads(void **state) {
  (void)state;
  const dg_qgemm_kernels *t[TABLES];
  size_t kinds = usable(t), sizes[][3] = {{1, 3000, 256}, {8, 1024, 256}, {5, 256, 1024},
                                          {64, 512, 300}, {450, 100, 70}, {2, 3, 1000}};
  for (size_t e = 0; e < kinds; e++)
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
      for (int count = 1; count <= 3; count++) {
        dg_threads *threads = dg_threads_new(count);
        check(t[e], threads, sizes[s][0], sizes[s][1], sizes[s][2], s % 2);
        dg_threads_free(threads);
      }
}

static void test_longest_sums_do_not_overflow(void **state) {
  (void)state;
  const dg_qgemm_kernels *t[TABLES];
  size_t kinds = usable(t);
  for (size_t e = 0; e < kinds; e++) check(t[e], NULL, 3, 20, DG_QGEMM_IN_MAX, true);
}

static void test_odd_rows_stay_alone(void **state) {
  (void)state;
  const dg_qgemm_kernels *t[TABLES];
  size_t kinds = usable(t);
  enum { ROWS = 6, OUT = 21, IN = 19 };
  float x[ROWS * IN], scale[OUT], y[ROWS * OUT], want[OUT];
  int8_t q[OUT * IN];
  for (size_t i = 0; i < ROWS * IN; i++) x[i] = (float)(i % 11) - 4.5f;
  for (size_t i = 0; i < OUT * IN; i++) q[i] = (int8_t)((int)(i * 37 % 255) - 127);
  for (size_t i = 0; i < OUT; i++) scale[i] = 0.01f * (float)(i + 1);
  x[1 * IN + 18] = NAN;
  x[2 * IN + 3] = -INFINITY;
  for (size_t p = 0; p < IN; p++) x[3 * IN + p] = 0, x[4 * IN + p] = p % 2 ? 1e-35f : -1e-40f;
  for (size_t e = 0; e < kinds; e++) {
    dg_matrix stored = held(q, scale);
    dg_qpacked *w = dg_qpack_with(t[e], OUT, IN, &stored, NULL);
    dg_qgemm(NULL, ROWS, x, IN, w, y, OUT);
    dg_qpack_free(w);
    for (size_t i = 0; i < ROWS; i++) {
      reference(1, OUT, IN, x + i * IN, IN, q, scale, want);
      for (size_t j = 0; j < OUT; j++)
        assert_true(i == 1 || i == 2 ? isnan(y[i * OUT + j]) : y[i * OUT + j] == want[j]);
    }
  }
}

static void test_quantize_rows(void **state) {
  (void)state;
  enum { ROWS = 50, IN = 77, LD = 80 };
  float x[ROWS * LD], scale[ROWS];
  int8_t q[ROWS * IN];
  dg_rng r = {1, 0};
  for (size_t i = 0; i < ROWS * LD; i++)
    x[i] = i % LD < IN ? (float)dg_rng_normal(&r) * (float)(i / LD + 1) : 1e9f;
  dg_quantize_rows(ROWS, IN, x, LD, q, scale);
  for (size_t i = 0; i < ROWS; i++) {
    int top = 0;
    for (size_t p = 0; p < IN; p++) {
      int v = q[i * IN + p];
      double off = (double)x[i * LD + p] - v * (double)scale[i];
      assert_true(fabs(off) <= 0.5001 * (double)scale[i]);
      top = abs(v) > top ? abs(v) : top;
    }
    assert_int_equal(top, 127);
  }
  /* Halves go to the even neighbour. */
  float ties[4] = {127, 0.5f, 1.5f, -2.5f};
  dg_quantize_rows(1, 4, ties, 4, q, scale);
  assert_true(scale[0] == 1 && q[1] == 0 && q[2] == 2 && q[3] == -2);
}

static void test_what_fits(void **state) {
  (void)state;
  int8_t q[6] = {1, 2, 3, 4, -127, 6};
  float scale[2] = {1, 1}, wide[3] = {1, 2, 3};
  dg_matrix stored = held(q, scale);
  assert_true(dg_qpack_fits(2, 3, &stored));
  assert_false(dg_qpack_fits(0, DG_QGEMM_IN_MAX + 1, &stored));
  q[4] = -128;
  assert_false(dg_qpack_fits(2, 3, &stored));
  assert_true(dg_qpack_fits(1, 3, &stored));
  dg_matrix floats = dg_matrix_fp32(wide);
  assert_false(dg_qpack_fits(1, 3, &floats));
  dg_matrix mixed = {.block = {{DG_STORE_INT8, q, scale}, {DG_STORE_FP32, wide, NULL}},
                     .block_rows = 1};
  assert_false(dg_qpack_fits(2, 3, &mixed));
  mixed.block[1] = mixed.block[0];
  assert_true(dg_qpack_fits(2, 3, &mixed));
}

/* Rows of several blocks one below the other are rows of one matrix. */
static void test_blocks(void **state) {
  (void)state;
  enum { ROWS = 3, OUT = 30, IN = 21 };
  int8_t q[OUT * IN];
  float scale[OUT], x[ROWS * IN], y[ROWS * OUT], want[ROWS * OUT];
  for (size_t i = 0; i < OUT * IN; i++) q[i] = (int8_t)((int)(i * 37 % 255) - 127);
  for (size_t i = 0; i < OUT; i++) scale[i] = 0.01f * (float)(i + 1);
  for (size_t i = 0; i < ROWS * IN; i++) x[i] = (float)(i % 11) - 4.5f;
  dg_matrix stored = {.block_rows = OUT / 3};
  for (size_t b = 0; b < 3; b++)
    stored.block[b] = (dg_matrix_block){DG_STORE_INT8, q + b * OUT / 3 * IN, scale + b * OUT / 3};
  dg_qpacked *w = dg_qpack_new(OUT, IN, &stored, NULL);
  dg_qgemm(NULL, ROWS, x, IN, w, y, OUT);
  dg_qpack_free(w);
  reference(ROWS, OUT, IN, x, IN, q, scale, want);
  assert_memory_equal(y, want, sizeof y);
}

static void test_nothing(void **state) {
  (void)state;
  int8_t q[1] = {1};
  float scale[2] = {1, 1}, y[2] = {5, 5};
  dg_matrix stored = held(q, scale);
  dg_qpacked *none = dg_qpack_new(0, 3, &stored, NULL), *zero = dg_qpack_new(2, 0, &stored, NULL);
  dg_qgemm(NULL, 1, scale, 2, none, y, 2);
  assert_true(y[0] == 5 && y[1] == 5);
  dg_qgemm(NULL, 0, scale, 2, zero, y, 2);
  assert_true(y[0] == 5 && y[1] == 5);
  dg_qgemm(NULL, 1, scale, 2, zero, y, 2);
  assert_true(y[0] == 0 && y[1] == 0);
  dg_qpack_free(none);
  dg_qpack_free(zero);
  dg_qpack_free(NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_tails),
      cmocka_unit_test(test_sizes_and_threads),
      cmocka_unit_test(test_longest_sums_do_not_overflow),
      cmocka_unit_test(test_odd_rows_stay_alone),
      cmocka_unit_test(test_quantize_rows),
      cmocka_unit_test(test_what_fits),
      cmocka_unit_test(test_blocks),
      cmocka_unit_test(test_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
