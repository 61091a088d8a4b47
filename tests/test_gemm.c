/* Matrix products against sums in double precision. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "mt/core/mem.h"
#include "mt/core/rng.h"
#include "mt/kernels/gemm.h"
#include "mt/kernels/gemm_int16.h"
#include "mt/kernels/gemm_kernels.h"
#include "mt/kernels/isa.h"
#include "mt/kernels/qgemm.h"
#include "tests/guard.h"
#include "tests/wide.h"

/* The kernels this process may use: BLAS, wide vectors in plain C, then each instruction set. */
enum { TABLES = 6 };
static size_t usable(const dg_gemm_kernels *out[TABLES]) {
  size_t n = 0;
  out[n++] = NULL;
  out[n++] = &wide_gemm;
  out[n++] = &wide_gemm_bf16;
#if defined(__x86_64__)
  const dg_gemm_kernels *all[] = {&dg_gemm_avx2, &dg_gemm_avx512, &dg_gemm_avx512_bf16};
  for (int i = DG_ISA_AVX2; i <= (int)dg_isa_level(); i++) out[n++] = all[i - 1];
#endif
  return n;
}

static bool is_bf16(const dg_gemm_kernels *t) { return t && t->per_word == 2; }

static float bf16(float x) {
  uint32_t u;
  memcpy(&u, &x, 4);
  if (isnan(x)) return x;
  u = (u + 0x7fff + (u >> 16 & 1)) & 0xffff0000u;
  memcpy(&x, &u, 4);
  return x;
}

/* op(A) [m,k], op(B) [k,n] and the C to start from, with exact sums and the sums of magnitudes
 * for plain and for rounded operands. */
typedef struct problem {
  size_t m, n, k;
  float *a, *b, *c;
  double *exact[2], *magnitude;
} problem;

static problem problem_new(size_t m, size_t n, size_t k, uint64_t seed) {
  problem p = {.m = m, .n = n, .k = k};
  p.a = dg_malloc(m * k * sizeof *p.a);
  p.b = dg_malloc(k * n * sizeof *p.b);
  p.c = dg_malloc(m * n * sizeof *p.c);
  dg_rng r = {dg_rng_key(seed, 7), 0};
  for (size_t i = 0; i < m * k; i++) p.a[i] = (float)dg_rng_uniform(&r) - 0.5f;
  for (size_t i = 0; i < k * n; i++) p.b[i] = (float)dg_rng_uniform(&r) - 0.5f;
  for (size_t i = 0; i < m * n; i++) p.c[i] = (float)dg_rng_uniform(&r) - 0.5f;
  p.magnitude = dg_calloc(m * n, sizeof *p.magnitude);
  for (int rounded = 0; rounded < 2; rounded++) {
    double *sums = p.exact[rounded] = dg_calloc(m * n, sizeof *sums);
    for (size_t i = 0; i < m; i++)
      for (size_t q = 0; q < k; q++) {
        float x = p.a[i * k + q];
        for (size_t j = 0; j < n; j++) {
          float y = p.b[q * n + j];
          double t = rounded ? (double)bf16(x) * (double)bf16(y) : (double)x * (double)y;
          sums[i * n + j] += t;
          if (rounded) p.magnitude[i * n + j] += fabs(t);
        }
      }
  }
  return p;
}

static void problem_free(problem *p) {
  free(p->a);
  free(p->b);
  free(p->c);
  free(p->exact[0]);
  free(p->exact[1]);
  free(p->magnitude);
}

/* x [rows, columns] as it is or transposed, in memory bounded by guard pages, each stored row
 * `gap` floats longer than its data (the last one not). */
static guarded lay_out(const float *x, size_t rows, size_t columns, bool transposed, size_t gap,
                       bool at_end, size_t *ld) {
  size_t r = transposed ? columns : rows, c = transposed ? rows : columns;
  *ld = c + gap;
  guarded g = guarded_new(((r - 1) * *ld + c) * sizeof(float), at_end);
  float *to = g.data;
  for (size_t i = 0; i + 1 < r; i++)
    for (size_t j = c; j < *ld; j++) to[i * *ld + j] = NAN;
  for (size_t i = 0; i < r; i++)
    for (size_t j = 0; j < c; j++) to[i * *ld + j] = transposed ? x[j * columns + i] : x[i * c + j];
  return g;
}

static void check_product(const dg_gemm_kernels *t, dg_threads *threads, const problem *p, bool ta,
                          bool tb, float beta, size_t gap, bool at_end) {
  size_t lda, ldb, ldc = p->n + gap;
  guarded a = lay_out(p->a, p->m, p->k, ta, gap, at_end, &lda);
  guarded b = lay_out(p->b, p->k, p->n, tb, gap, at_end, &ldb);
  guarded g = guarded_new(((p->m - 1) * ldc + p->n) * sizeof(float), at_end);
  float *c = g.data;
  for (size_t i = 0; i < p->m; i++)
    for (size_t j = 0; j < (i + 1 < p->m ? ldc : p->n); j++)
      c[i * ldc + j] = j >= p->n ? 77.0f : beta == 0 ? NAN : p->c[i * p->n + j];
  dg_gemm_with(t, threads, ta, tb, p->m, p->n, p->k, a.data, lda, b.data, ldb, beta, c, ldc);
  const double *exact = p->exact[is_bf16(t)];
  for (size_t i = 0; i < p->m; i++) {
    for (size_t j = 0; j < p->n; j++) {
      size_t e = i * p->n + j;
      double want = exact[e] + (beta == 0 ? 0 : (double)p->c[e]);
      /* Higham 2002, (3.5): fp32 sums of k terms, in any order. */
      double bound = ((double)p->k + 2) * 0x1p-24 * (p->magnitude[e] + 0.5) * 1.05;
      if (!(fabs((double)c[i * ldc + j] - want) <= bound))
        fail_msg("%zux%zux%zu%s%s beta %g gap %zu: C[%zu,%zu] is %.9g, not %.9g (+-%g)", p->m, p->n,
                 p->k, ta ? " A^T" : "", tb ? " B^T" : "", (double)beta, gap, i, j,
                 (double)c[i * ldc + j], want, bound);
    }
    for (size_t j = p->n; i + 1 < p->m && j < ldc; j++)
      if (c[i * ldc + j] != 77.0f) fail_msg("wrote past row %zu of C", i);
  }
  guarded_free(&a);
  guarded_free(&b);
  guarded_free(&g);
}

static void test_tails(void **state) {
  (void)state;
  const dg_gemm_kernels *t[TABLES];
  size_t kinds = usable(t), lengths[] = {1, 2, 3, 15, 16, 17, 31, 32, 33, 40};
  for (size_t m = 1; m <= 40; m++)
    for (size_t n = 1; n <= 40; n++) {
      size_t k = lengths[(m * 7 + n) % 10];
      problem p = problem_new(m, n, k, m * 100 + n);
      for (size_t i = 0; i < kinds; i++) {
        uint64_t v = dg_hash64(m * 4096 + n * 8 + i);
        check_product(t[i], NULL, &p, v & 1, v & 2, v & 4 ? 1.0f : 0.0f, v & 8 ? 0 : 5, v & 16);
      }
      problem_free(&p);
    }
}

static void test_orientations(void **state) {
  (void)state;
  const dg_gemm_kernels *t[TABLES];
  size_t kinds = usable(t);
  size_t sizes[][3] = {{1, 1, 1},     {7, 49, 600}, {64, 97, 513},   {200, 300, 257},
                       {5, 2100, 40}, {433, 48, 8}, {24, 144, 1030}, {100, 1, 1},
                       {1, 100, 700}};
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    problem p = problem_new(sizes[s][0], sizes[s][1], sizes[s][2], s);
    for (size_t i = 0; i < kinds; i++)
      for (unsigned v = 0; v < 8; v++)
        check_product(t[i], NULL, &p, v & 1, v & 2, v & 4 ? 1.0f : 0.0f, v & 1 ? 0 : 3, v & 2);
    problem_free(&p);
  }
}

static void test_random_sizes_and_threads(void **state) {
  (void)state;
  const dg_gemm_kernels *t[TABLES];
  size_t kinds = usable(t);
  dg_threads *threads = dg_threads_new(3);
  dg_rng r = {dg_rng_key(11, 0), 0};
  for (int s = 0; s < 12; s++) {
    problem p = problem_new(1 + dg_rng_below(&r, 300), 1 + dg_rng_below(&r, 300),
                            1 + dg_rng_below(&r, 300), (uint64_t)s);
    unsigned v = (unsigned)dg_rng_below(&r, 8);
    for (size_t i = 0; i < kinds; i++)
      check_product(t[i], threads, &p, v & 1, v & 2, v & 4 ? 1.0f : 0.0f, v, s % 2);
    problem_free(&p);
  }
  dg_threads_free(threads);
}

static void run(const dg_gemm_kernels *t, dg_threads *threads, const problem *p, bool ta, bool tb,
                float *c) {
  dg_gemm_with(t, threads, ta, tb, p->m, p->n, p->k, p->a, ta ? p->m : p->k, p->b,
               tb ? p->k : p->n, 0, c, p->n);
}

static void test_threads_change_nothing(void **state) {
  (void)state;
  const dg_gemm_kernels *t[TABLES];
  size_t kinds = usable(t), sizes[][3] = {{900, 700, 600}, {3, 5000, 300}, {2500, 50, 530}};
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    size_t m = sizes[s][0], n = sizes[s][1], k = sizes[s][2];
    problem p = {.m = m, .n = n, .k = k};
    p.a = dg_malloc(m * k * sizeof *p.a);
    p.b = dg_malloc(k * n * sizeof *p.b);
    dg_rng r = {dg_rng_key(s, 0), 0};
    for (size_t i = 0; i < m * k; i++) p.a[i] = (float)dg_rng_normal(&r);
    for (size_t i = 0; i < k * n; i++) p.b[i] = (float)dg_rng_normal(&r);
    float *one = dg_malloc(m * n * sizeof *one), *many = dg_malloc(m * n * sizeof *many);
    for (size_t i = 0; i < kinds; i++)
      for (unsigned v = 0; v < 4; v++) {
        run(t[i], NULL, &p, v & 1, v & 2, one);
        for (int count = 2; count <= 5; count++) {
          dg_threads *threads = dg_threads_new(count);
          memset(many, 0xff, m * n * sizeof *many);
          run(t[i], threads, &p, v & 1, v & 2, many);
          dg_threads_free(threads);
          assert_memory_equal(one, many, m * n * sizeof *one);
        }
      }
    free(one);
    free(many);
    problem_free(&p);
  }
}

/* A sentence's translation must not depend on the others in its batch. */
static void test_rows_do_not_depend_on_each_other(void **state) {
  (void)state;
  const dg_gemm_kernels *t[TABLES];
  size_t kinds = usable(t), m = 45, n = 300, k = 700;
  problem p = problem_new(m, n, k, 3);
  float *all = dg_malloc(m * n * sizeof *all), *row = dg_malloc(n * sizeof *row);
  for (size_t i = 1; i < kinds; i++) { /* BLAS does not promise this */
    run(t[i], NULL, &p, false, true, all);
    for (size_t r = 0; r < m; r++) {
      dg_gemm_with(t[i], NULL, false, true, 1, n, k, p.a + r * k, k, p.b, k, 0, row, n);
      assert_memory_equal(row, all + r * n, n * sizeof *row);
    }
  }
  free(all);
  free(row);
  problem_free(&p);
}

static void test_packed_weights_give_the_same_bits(void **state) {
  (void)state;
  const dg_gemm_kernels *t[TABLES];
  size_t kinds = usable(t), sizes[][3] = {{1, 1, 1}, {1, 16, 2}, {3, 500, 256}, {70, 33, 515},
                                          {8, 5000, 300}, {300, 129, 1025}};
  dg_threads *threads = dg_threads_new(2);
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    size_t m = sizes[s][0], n = sizes[s][1], k = sizes[s][2], ld = k, ldc = n + 2;
    problem p = problem_new(m, n, k, s);
    guarded w = lay_out(p.b, k, n, true, 0, true, &ld);
    float *want = dg_malloc(m * ldc * sizeof *want);
    guarded got = guarded_new((m * ldc - 2) * sizeof(float), true);
    for (size_t i = 0; i < kinds; i++) {
      for (size_t e = 0; e < m * ldc; e++) want[e] = 3;
      for (size_t e = 0; e < m * ldc - 2; e++) ((float *)got.data)[e] = 3;
      dg_gemm_with(t[i], NULL, false, true, m, n, k, p.a, k, w.data, ld, 0, want, ldc);
      dg_matrix held = dg_matrix_fp32(w.data);
      dg_packed *packed = dg_pack_with(t[i], n, k, &held, NULL);
      dg_gemm_packed(threads, m, p.a, k, packed, got.data, ldc);
      dg_pack_free(packed);
      assert_memory_equal(want, got.data, (m * ldc - 2) * sizeof *want);
    }
    guarded_free(&w);
    guarded_free(&got);
    free(want);
    problem_free(&p);
  }
  dg_threads_free(threads);
}

/* As files store them, in three blocks at odd places, alike or not, rows chosen or in order. */
static void test_stored_weights_give_the_same_bits(void **state) {
  (void)state;
  const dg_gemm_kernels *t[TABLES];
  size_t kinds = usable(t), sizes[][3] = {{1, 1, 3}, {5, 7, 30}, {70, 260, 513}, {130, 1030, 300}};
  dg_threads *threads = dg_threads_new(2);
  for (size_t s = 0; s < 4 * 4 * 2; s++) {
    size_t m = sizes[s % 4][0], cols = sizes[s % 4][1], rows = sizes[s % 4][2], held = rows / 3;
    bool mixed = s / 4 % 4 == 3, choose = s / 16;
    dg_rng r = {dg_rng_key(9, s), 0};
    dg_storage types[DG_MATRIX_BLOCKS];
    size_t sizes_of[] = {[DG_STORE_FP32] = 4, [DG_STORE_BF16] = 2, [DG_STORE_INT8] = 1};
    char *stored[DG_MATRIX_BLOCKS];
    float *scale[DG_MATRIX_BLOCKS], *wide = dg_malloc(rows * cols * sizeof *wide);
    int32_t *chosen = dg_malloc(rows * sizeof *chosen);
    dg_matrix w = {.block_rows = held, .chosen = choose ? chosen : NULL};
    for (size_t b = 0; b < DG_MATRIX_BLOCKS; b++) {
      types[b] = (dg_storage)(mixed ? b : s / 4 % 4);
      size_t size = sizes_of[types[b]];
      stored[b] = dg_malloc(held * cols * size);
      scale[b] = dg_malloc(held * sizeof(float));
      for (size_t i = 0; i < held; i++) scale[b][i] = (float)dg_rng_uniform(&r);
      for (size_t i = 0; i < held * cols; i++) {
        float x = (float)dg_rng_normal(&r);
        uint32_t bits;
        memcpy(&bits, &x, 4);
        uint16_t high = (uint16_t)(bits >> 16);
        int8_t q = (int8_t)(x * 30);
        memcpy(stored[b] + i * size, size == 4 ? (void *)&x : size == 2 ? (void *)&high : &q, size);
      }
      w.block[b] = (dg_matrix_block){types[b], stored[b], size == 1 ? scale[b] : NULL};
    }
    for (size_t i = 0; i < rows; i++) { /* what they stand for */
      size_t from = (size_t)(chosen[i] = (int32_t)(choose ? (i * 7 + 2) % rows : i));
      size_t size = sizes_of[types[from / held]];
      for (size_t c = 0; c < cols; c++) {
        const char *x = stored[from / held] + (from % held * cols + c) * size;
        uint16_t high = 0;
        float *to = wide + i * cols + c;
        if (size == 4) memcpy(to, x, 4);
        if (size == 2) memcpy(&high, x, 2);
        uint32_t bits = (uint32_t)high << 16;
        if (size == 2) memcpy(to, &bits, 4);
        if (size == 1) *to = scale[from / held][from % held] * (float)*(const signed char *)x;
      }
    }
    for (int tb = 0; tb < 2; tb++) {
      size_t n = tb ? rows : cols, k = tb ? cols : rows;
      float *a = dg_malloc(m * k * sizeof *a), *want = dg_calloc(m * n, sizeof *want);
      float *got = dg_calloc(m * n, sizeof *got);
      for (size_t i = 0; i < m * k; i++) a[i] = (float)dg_rng_normal(&r);
      for (size_t i = 0; i < kinds; i++) {
        for (size_t e = 0; e < m * n; e++) want[e] = got[e] = (float)e;
        dg_gemm_with(t[i], NULL, false, tb, m, n, k, a, k, wide, cols, 1, want, n);
        dg_gemm_weight_with(t[i], threads, tb, m, n, k, a, k, &w, cols, 1, got, n);
        for (size_t e = 0; e < m * n && !t[i]; e++) /* BLAS sums its own way */
          if (fabs((double)want[e] - (double)got[e]) > 1e-3 + 1e-5 * fabs((double)want[e]))
            fail_msg("size %zu, element %zu: %g, not %g", s, e, (double)got[e], (double)want[e]);
        if (t[i]) assert_memory_equal(want, got, m * n * sizeof *want);
        if (!tb) continue;
        dg_packed *packed = dg_pack_with(t[i], n, k, &w, NULL);
        dg_gemm_with(t[i], NULL, false, true, m, n, k, a, k, wide, cols, 0, want, n);
        dg_gemm_packed(threads, m, a, k, packed, got, n);
        if (t[i]) assert_memory_equal(want, got, m * n * sizeof *want);
        dg_pack_free(packed);
      }
      free(a), free(want), free(got);
    }
    for (size_t b = 0; b < DG_MATRIX_BLOCKS; b++) free(stored[b]), free(scale[b]);
    free(wide), free(chosen);
  }
  dg_threads_free(threads);
}

/* With DG_INT8 what is held in 8 bits is multiplied in 8 bits, everything else as with DG_BF16. */
static void test_packed_in_8_bits(void **state) {
  (void)state;
  enum { M = 5, N = 70, K = 33 };
  float b[N * K], scale[N], a[M * K], want[M * N], got[M * N];
  int8_t q[N * K];
  dg_rng r = {4, 0};
  for (size_t i = 0; i < N * K; i++) b[i] = (float)dg_rng_normal(&r);
  for (size_t i = 0; i < M * K; i++) a[i] = (float)dg_rng_normal(&r);
  dg_quantize_rows(N, K, b, K, q, scale);
  const dg_matrix held = {.block = {{DG_STORE_INT8, q, scale}}}, floats = dg_matrix_fp32(b);
  for (int eight = 0; eight < 3; eight++) {
    const dg_matrix *w = eight ? &held : &floats;
    if (eight == 2) q[7] = -128; /* which the products in 8 bits do not take */
    dg_packed *packed = dg_pack_new(DG_INT8, N, K, w, NULL);
    dg_gemm_packed(NULL, M, a, K, packed, got, N);
    dg_pack_free(packed);
    if (eight == 1 && dg_isa_level() != DG_ISA_GENERIC) {
      dg_qpacked *x = dg_qpack_new(N, K, w, NULL);
      dg_qgemm(NULL, M, a, K, x, want, N);
      dg_qpack_free(x);
    } else {
      dg_gemm_weight(NULL, DG_BF16, true, M, N, K, a, K, w, K, 0, want, N);
    }
    assert_memory_equal(got, want, sizeof got);
  }
}

/* A number as the 16-bit products read it: in `most`ths of the largest of its line's block. */
static double rounded_to(double x, double largest, float most) {
  return (double)lrintf((float)x * (most / (float)largest));
}

typedef struct rounded_problem {
  bool ta, tb, eight;
  size_t m, n, k, cols;
  const float *a;
  dg_matrix b;
} rounded_problem;

static double element(const rounded_problem *p, bool left, size_t line, size_t at, double *scale) {
  *scale = 1;
  if (left) {
    double by = 1;
    if (p->eight && !p->tb) element(p, false, 0, at, &by);
    return (double)(float)((double)p->a[p->ta ? at * p->m + line : line * p->k + at] * by);
  }
  size_t row = p->tb ? line : at, column = p->tb ? at : line;
  if (p->b.chosen) row = (size_t)p->b.chosen[row];
  const dg_matrix_block *block = &p->b.block[row / p->b.block_rows];
  row %= p->b.block_rows;
  if (!p->eight) return (double)((const float *)block->data)[row * p->cols + column];
  *scale = (double)((const float *)block->scale)[row];
  return ((const int8_t *)block->data)[row * p->cols + column];
}

/* Sums of a block of k: products of integers are exact. */
static void add_block(const rounded_problem *p, size_t first, size_t count, double *want,
                      double *size) {
  float most = p->eight ? DG_INT16_MOST : DG_INT16_BOTH_MOST;
  double *lines[2], *scales[2], unused;
  for (int right = 0; right < 2; right++) {
    size_t n = right ? p->n : p->m;
    lines[right] = dg_malloc(n * count * sizeof(double));
    scales[right] = dg_malloc(n * sizeof(double));
    for (size_t i = 0; i < n; i++) {
      double *x = lines[right] + i * count, largest = 0;
      for (size_t e = 0; e < count; e++) {
        x[e] = element(p, !right, i, first + e, right && p->tb ? &scales[1][i] : &unused);
        largest = fmax(largest, fabs(x[e]));
      }
      if (right && p->eight) {
        if (!p->tb) scales[right][i] = 1;
        continue;
      }
      for (size_t e = 0; e < count; e++) x[e] = rounded_to(x[e], largest, most);
      scales[right][i] = largest / (double)most;
    }
  }
  for (size_t i = 0; i < p->m; i++)
    for (size_t j = 0; j < p->n; j++) {
      double sum = 0, most_sum = 0;
      for (size_t e = 0; e < count; e++) {
        sum += lines[0][i * count + e] * lines[1][j * count + e];
        most_sum += fabs(lines[0][i * count + e] * lines[1][j * count + e]);
      }
      assert_true(most_sum < 2147483648.0);
      want[i * p->n + j] += sum * scales[0][i] * scales[1][j];
      size[i * p->n + j] += fabs(sum) * scales[0][i] * scales[1][j];
    }
  for (int right = 0; right < 2; right++) free(lines[right]), free(scales[right]);
}

static void check_rounded(const dg_int16_kernels *t, dg_threads *threads, rounded_problem *p,
                          float *a) {
  size_t m = p->m, n = p->n, k = p->k, longest = p->eight ? DG_INT16_K : DG_INT16_BOTH_K;
  size_t blocks = (k + longest - 1) / longest, step = ((k + blocks - 1) / blocks + 1) / 2 * 2;
  size_t lda = p->ta ? m : k;
  float *got = dg_calloc(2 * m * n, sizeof *got);
  double *want = dg_calloc(m * n, sizeof *want), *size = dg_calloc(m * n, sizeof *size);
  for (size_t q = 0; q < k; q += step) add_block(p, q, k - q < step ? k - q : step, want, size);
  for (int add = 0; add < 2; add++) { /* on one thread and on two, the same bits */
    for (int two = 0; two < 2; two++)
      dg_gemm_int16(t, two ? threads : NULL, p->ta, p->tb, m, n, k, a, lda, &p->b, p->cols,
                    (float)add, got + (size_t)two * m * n, n);
    assert_memory_equal(got, got + m * n, m * n * sizeof *got);
    for (size_t e = 0; e < m * n; e++)
      if (fabs((double)got[e] - (1 + add) * want[e]) > 1e-6 * (1 + add) * size[e])
        fail_msg("%zu x %zu x %zu, element %zu: %.9g, not %.9g", m, n, k, e, (double)got[e],
                 want[e]);
  }
  /* NaN and infinity stay in their rows; zeros are zeros. */
  size_t down = p->ta ? 1 : k, along = p->ta ? m : 1;
  a[0] = NAN;
  if (m > 2) {
    a[down] = -INFINITY;
    for (size_t e = 0; e < k; e++) a[2 * down + e * along] = 0;
  }
  dg_gemm_int16(t, threads, p->ta, p->tb, m, n, k, a, lda, &p->b, p->cols, 0, got, n);
  for (size_t e = 0; e < n; e++) {
    assert_true(isnan(got[e]));
    if (m > 2) assert_true(isnan(got[n + e]) && got[2 * n + e] == 0);
    if (m > 3) assert_true(isfinite(got[3 * n + e]));
  }
  free(got), free(want), free(size);
}

static void test_int16_products(void **state) {
  (void)state;
  const dg_int16_kernels *t = NULL;
#if defined(__x86_64__)
  if (dg_isa_level() >= DG_ISA_AVX2) t = &dg_int16_avx2;
#endif
  if (!t) {
    print_message("# skip no 16-bit products for this machine\n");
    skip();
  }
  dg_threads *threads = dg_threads_new(2);
  static const size_t sizes[][3] = {{1, 1, 3},     {5, 7, 30},     {13, 24, 45},  {70, 260, 513},
                                    {130, 1030, 300}, {7, 2050, 36}, {101, 64, 1101}};
  for (size_t s = 0; s < 7 * 2 * 2; s++) {
    size_t m = sizes[s % 7][0], cols = sizes[s % 7][1], rows = sizes[s % 7][2], held = rows / 3;
    dg_rng r = {dg_rng_key(12, s), 0};
    int8_t *q = dg_malloc(rows * cols);
    float *scale = dg_malloc(rows * sizeof *scale), *x = dg_malloc(rows * cols * sizeof *x);
    int32_t *chosen = dg_malloc(rows * sizeof *chosen);
    for (size_t i = 0; i < rows * cols; i++) {
      q[i] = (int8_t)(dg_rng_below(&r, 255) - 127);
      x[i] = (float)dg_rng_normal(&r);
    }
    for (size_t i = 0; i < rows; i++) {
      scale[i] = 0.01f + (float)dg_rng_uniform(&r);
      chosen[i] = (int32_t)((i * 7 + 2) % rows);
    }
    rounded_problem p = {.eight = s < 14, .m = m, .cols = cols};
    p.b = (dg_matrix){.block_rows = held, .chosen = s % 14 < 7 ? NULL : chosen};
    for (size_t b = 0; b < DG_MATRIX_BLOCKS; b++)
      p.b.block[b] = p.eight
                         ? (dg_matrix_block){DG_STORE_INT8, q + b * held * cols, scale + b * held}
                         : (dg_matrix_block){DG_STORE_FP32, x + b * held * cols, NULL};
    assert_true(dg_int16_fits(&p.b));
    for (int way = 0; way < 4; way++) {
      p.ta = way & 1, p.tb = way & 2;
      p.n = p.tb ? rows : cols, p.k = p.tb ? cols : rows;
      if (p.eight && p.ta) continue;
      float *a = dg_malloc(m * p.k * sizeof *a);
      for (size_t i = 0; i < m * p.k; i++) a[i] = (float)dg_rng_normal(&r);
      p.a = a;
      check_rounded(t, threads, &p, a);
      free(a);
    }
    free(q), free(scale), free(x), free(chosen);
  }
  dg_matrix mixed = dg_matrix_fp32((float[]){1});
  float c[4] = {1, 2, 3, 4};
  dg_gemm_int16(t, NULL, false, true, 2, 2, 0, NULL, 0, &mixed, 0, 1, c, 2);
  assert_true(c[0] == 1 && c[3] == 4);
  dg_gemm_int16(t, NULL, false, true, 2, 2, 0, NULL, 0, &mixed, 0, 0, c, 2);
  assert_true(c[0] == 0 && c[3] == 0);
  mixed.block[1] = (dg_matrix_block){DG_STORE_INT8, c, c};
  assert_false(dg_int16_fits(&mixed));
  dg_threads_free(threads);
}

static void test_special_values_stay_in_their_row_and_column(void **state) {
  (void)state;
  const dg_gemm_kernels *t[TABLES];
  size_t kinds = usable(t), m = 21, n = 53, k = 37;
  problem p = problem_new(m, n, k, 5);
  p.a[4 * k + 36] = INFINITY;
  p.b[36 * n + 52] = NAN;
  float *c = dg_malloc(m * n * sizeof *c);
  for (size_t e = 0; e < kinds; e++) {
    run(t[e], NULL, &p, false, false, c);
    for (size_t i = 0; i < m; i++)
      for (size_t j = 0; j < n; j++) {
        float x = c[i * n + j];
        if (j == 52)
          assert_true(isnan(x));
        else if (i == 4)
          assert_true(isinf(x) && (x > 0) == (p.b[36 * n + j] > 0));
        else
          assert_true(isfinite(x));
      }
  }
  free(c);
  problem_free(&p);
}

static void test_empty(void **state) {
  (void)state;
  const dg_gemm_kernels *t[TABLES];
  size_t kinds = usable(t);
  for (size_t i = 0; i < kinds; i++) {
    float c[6] = {1, 2, 3, 4, 5, 6};
    dg_gemm_with(t[i], NULL, false, true, 0, 3, 2, NULL, 2, NULL, 2, 0, c, 3);
    dg_gemm_with(t[i], NULL, false, true, 2, 0, 2, NULL, 2, NULL, 2, 0, c, 3);
    dg_gemm_with(t[i], NULL, false, true, 2, 3, 0, NULL, 2, NULL, 2, 1, c, 3);
    assert_true(c[0] == 1 && c[5] == 6);
    dg_gemm_with(t[i], NULL, false, true, 2, 2, 0, NULL, 2, NULL, 2, 0, c, 3);
    assert_true(c[0] == 0 && c[1] == 0 && c[2] == 3 && c[3] == 0 && c[4] == 0 && c[5] == 6);
  }
}

static void test_bf16_rounding(void **state) {
  (void)state;
#if defined(__x86_64__)
  if (dg_isa_level() >= DG_ISA_AVX512_BF16) {
    enum { N = 4000 };
    static float x[N], y[N], one[1] = {1};
    dg_rng r = {dg_rng_key(9, 9), 0};
    const uint32_t chosen[] = {0x3f808000, 0x3f818000, 0x3f807fff, 0x3f808001, 0x7f7fffff,
                               0x7f800000, 0xff800000, 0x7fc00000, 0xff800001, 0x7fffffff,
                               0x80000000, 0x00000000, 0x00800000, 0xff7fffff};
    for (size_t i = 0; i < N; i++) {
      uint32_t u = i < sizeof chosen / sizeof *chosen ? chosen[i] : (uint32_t)dg_rng_next(&r);
      if (!(u & 0x7f800000)) u &= 0x80000000; /* denormals: below */
      memcpy(&x[i], &u, 4);
    }
    for (int transposed = 0; transposed < 2; transposed++) { /* both ways of packing */
      dg_gemm_with(&dg_gemm_avx512_bf16, NULL, transposed, false, N, 1, 1, x, transposed ? N : 1,
                   one, 1, 0, y, 1);
      for (size_t i = 0; i < N; i++) {
        float want = bf16(x[i]);
        if (isnan(want) ? !isnan(y[i]) : y[i] != want)
          fail_msg("%a rounds to %a, not %a", (double)x[i], (double)y[i], (double)want);
      }
    }
    float tiny = 0x1p-130f;
    dg_gemm_with(&dg_gemm_avx512_bf16, NULL, false, false, 1, 1, 1, &tiny, 1, one, 1, 0, y, 1);
    assert_true(y[0] == 0); /* VCVTNE2PS2BF16 reads denormals as zero */
    return;
  }
#endif
  print_message("# skip no bf16 dot product in use on this machine\n");
  skip();
}

/* What a process started with DRAGOMAN_ISA=value makes of it: the level, or -1 when refused. */
static int level_with(const char *value, dg_status *status) {
  int fds[2], answer[2];
  assert_int_equal(pipe(fds), 0);
  pid_t child = fork();
  if (!child) {
    dg_error err = {0};
    setenv("DRAGOMAN_ISA", value, 1);
    bool fine = dg_isa_check(&err);
    answer[0] = fine ? (int)dg_isa_level() : -1;
    answer[1] = (int)err.status;
    _exit(write(fds[1], answer, sizeof answer) != sizeof answer);
  }
  close(fds[1]);
  assert_int_equal(read(fds[0], answer, sizeof answer), sizeof answer);
  close(fds[0]);
  assert_int_equal(waitpid(child, NULL, 0), child);
  *status = (dg_status)answer[1];
  return answer[0];
}

/* Must be the first test: a level, once chosen, is kept. */
static void test_isa_override(void **state) {
  (void)state;
  dg_status status;
  int best = level_with("", &status);
  assert_true(best >= DG_ISA_GENERIC && best <= DG_ISA_AVX512_BF16);
  for (int i = 0; i <= DG_ISA_AVX512_BF16; i++) {
    int got = level_with(dg_isa_name((dg_isa)i), &status);
    assert_int_equal(got, i <= best ? i : -1);
    if (i > best) assert_int_equal(status, DG_ERR_UNSUPPORTED);
  }
  assert_int_equal(level_with("sse9", &status), -1);
  assert_int_equal(status, DG_ERR_USAGE);
  assert_int_equal(level_with("AVX2", &status), -1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_isa_override),
      cmocka_unit_test(test_tails),
      cmocka_unit_test(test_orientations),
      cmocka_unit_test(test_random_sizes_and_threads),
      cmocka_unit_test(test_threads_change_nothing),
      cmocka_unit_test(test_rows_do_not_depend_on_each_other),
      cmocka_unit_test(test_packed_weights_give_the_same_bits),
      cmocka_unit_test(test_stored_weights_give_the_same_bits),
      cmocka_unit_test(test_packed_in_8_bits),
      cmocka_unit_test(test_int16_products),
      cmocka_unit_test(test_special_values_stay_in_their_row_and_column),
      cmocka_unit_test(test_empty),
      cmocka_unit_test(test_bf16_rounding),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
