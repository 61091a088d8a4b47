#include "mt/kernels/gemm.h"

#include <cblas.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "mt/core/mem.h"
#include "mt/kernels/blocks.h"
#include "mt/kernels/gemm_int16.h"
#include "mt/kernels/gemm_kernels.h"
#include "mt/kernels/isa.h"
#include "mt/kernels/qgemm.h"
#include "mt/kernels/space.h"
#include "mt/kernels/widen.h"

/* Blocks along k are fixed, so that sums do not depend on how C is divided;
 * blocks of B are as wide as a shared cache holds. */
enum { K_WORDS = 256, B_COLUMNS = 48 * 42, SMALL = 1 << 18, CACHE_LINE = 64 };
enum { ROUNDED_LEAST = 48 }; /* rows and columns of a weight in fp32 that is worth rounding */
enum { FAR = 1 << 18 }; /* numbers of a weight that will not be in the caches of a core */

static size_t most(size_t x, size_t y) { return x > y ? x : y; }

static const dg_gemm_kernels *kernels(dg_precision precision) {
#if defined(__x86_64__)
  switch (dg_isa_level()) {
    case DG_ISA_AVX512_BF16:
      return precision == DG_FP32 ? &dg_gemm_avx512 : &dg_gemm_avx512_bf16;
    case DG_ISA_AVX512: return &dg_gemm_avx512;
    case DG_ISA_AVX2: return &dg_gemm_avx2;
    case DG_ISA_GENERIC: break;
  }
#endif
  (void)precision;
  return NULL;
}

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void prepare(void) { openblas_set_num_threads(1); /* parallelism is ours */ }

typedef struct product {
  const dg_gemm_kernels *t;
  bool ta, tb, add;
  size_t m, n, k, lda, ldb, ldc; /* n and k are those of the current block */
  const float *a, *b;
  const dg_matrix *held;        /* B where it is not in fp32 */
  size_t held_row, held_column; /* of it, where the current block begins */
  float *c;
  float *packed_b;              /* the current block, [n, k] */
  float *packed_a;              /* one block a worker */
  size_t rows, columns, across; /* the share of a task, and tasks in a row of them */
} product;

/* Columns [j,end) of a block of B as it is held, not transposed: whole panels are widened to
 * where A will be packed, which is small enough to stay in the second-level cache. */
static void pack_widened(const product *p, size_t j, size_t end, float *wide) {
  const dg_gemm_kernels *t = p->t;
  size_t words = ceiling(p->k, t->per_word), panel = 3 * t->lanes;
  size_t most = t->rows * words / p->k / panel * panel;
  for (size_t n; j < end; j += n) {
    n = least(most, end - j);
    t->widen(p->held, p->ldb, p->held_row, p->k, p->held_column + j, n, wide);
    t->pack_b(false, n, p->k, wide, n, p->packed_b + j * words);
  }
}

static void pack_task(void *context, size_t task, int worker) {
  const product *p = context;
  size_t j = task * p->columns, n = least(p->columns, p->n - j);
  size_t words = ceiling(p->k, p->t->per_word);
  float *to = p->packed_b + j * words;
  if (p->held && !p->tb)
    pack_widened(p, j, j + n, p->packed_a + (size_t)worker * p->t->rows * words);
  else if (p->held)
    p->t->pack_weight(p->held, p->ldb, p->held_row + j, n, p->held_column, p->k, to);
  else
    p->t->pack_b(p->tb, n, p->k, p->b + (p->tb ? j * p->ldb : j), p->ldb, to);
}

static void multiply_task(void *context, size_t task, int worker) {
  const product *p = context;
  size_t i = task / p->across * p->rows, j = task % p->across * p->columns;
  size_t m = least(p->rows, p->m - i), words = ceiling(p->k, p->t->per_word);
  float *a = p->packed_a + (size_t)worker * p->rows * words;
  p->t->pack_a(p->ta, m, p->k, p->a + (p->ta ? i : i * p->lda), p->lda, a);
  p->t->multiply(m, least(p->columns, p->n - j), words, a, p->packed_b + j * words, p->add,
                 p->c + i * p->ldc + j, p->ldc);
}

/* Steps of k in each of its blocks. */
static size_t k_block(const dg_gemm_kernels *t, size_t k) {
  return round_up(ceiling(k, ceiling(k, K_WORDS * t->per_word)), t->per_word);
}

/* Divides C[m,n] into tasks, a few for each thread. */
static void divide(product *p, size_t threads) {
  size_t panel = 3 * p->t->lanes, wanted = threads > 1 ? 4 * threads : 1;
  p->rows = least(p->t->rows, round_up(p->m, p->t->lanes));
  p->rows = most(least(p->rows, round_up(ceiling(p->m, wanted), p->t->lanes)),
                 least(p->rows, 2 * panel));
  size_t down = ceiling(p->m, p->rows);
  p->columns = round_up(ceiling(p->n, ceiling(wanted, down)), panel);
  p->across = ceiling(p->n, p->columns);
}

/* C (+)= A * packed B, over the current block of k. */
static void multiply(dg_threads *threads, product *p) {
  divide(p, (size_t)dg_threads_count(threads));
  dg_parallel(threads, ceiling(p->m, p->rows) * p->across, multiply_task, p);
}

/* Rows of a weight lie too far apart for the CPU to foresee what is read next. */
static void fetch(const product *p, size_t row, size_t rows, size_t column, size_t columns) {
  for (size_t r = row; r < row + rows; r++) {
    dg_stored_row line = {DG_STORE_FP32, 1, NULL};
    if (p->held) line = dg_find_row(p->held, p->ldb, r, column);
    else line.at = (const char *)(p->b + r * p->ldb + column);
    for (size_t i = 0; i < columns * dg_storage_size(line.type); i += CACHE_LINE)
      __builtin_prefetch(line.at + i, 0, 2);
  }
}

/* Few rows times a weight: each panel of B is needed once, by who packs it, and stays in the
 * first-level cache between. */
static void panels_task(void *context, size_t task, int worker) {
  const product *p = context;
  const dg_gemm_kernels *t = p->t;
  size_t panel = 3 * t->lanes, step = k_block(t, p->k), tall = round_up(p->m, t->lanes);
  size_t end = least(p->n, (task + 1) * p->columns);
  bool far = p->n * p->k > FAR;
  float *b = p->packed_b + (size_t)worker * panel * (step / t->per_word);
  for (size_t j = task * p->columns; j < end; j += panel)
    for (size_t q = 0; q < p->k; q += step) {
      size_t n = least(panel, end - j), k = least(step, p->k - q), next = j + panel;
      if (far && next < end) fetch(p, next, least(panel, end - next), q, k);
      if (p->held) t->pack_weight(p->held, p->ldb, j, n, q, k, b);
      else t->pack_b(true, n, k, p->b + j * p->ldb + q, p->ldb, b);
      t->multiply(p->m, n, ceiling(k, t->per_word), p->packed_a + tall * (q / t->per_word), b,
                  p->add || q, p->c + j, p->ldc);
    }
}

static void few_rows(dg_threads *threads, product *p) {
  const dg_gemm_kernels *t = p->t;
  size_t workers = (size_t)dg_threads_count(threads), panel = 3 * t->lanes;
  size_t step = k_block(t, p->k), tall = round_up(p->m, t->lanes);
  size_t room = workers * panel * (step / t->per_word);
  p->packed_b = dg_gemm_space(room + tall * ceiling(p->k, t->per_word));
  p->packed_a = p->packed_b + room;
  for (size_t q = 0; q < p->k; q += step)
    t->pack_a(p->ta, p->m, least(step, p->k - q), p->a + (p->ta ? q * p->lda : q), p->lda,
              p->packed_a + tall * (q / t->per_word));
  p->columns = round_up(ceiling(p->n, 4 * workers), panel);
  dg_parallel(threads, ceiling(p->n, p->columns), panels_task, p);
}

static void clear(size_t m, size_t n, float *c, size_t ldc) {
  for (size_t i = 0; i < m; i++) memset(c + i * ldc, 0, n * sizeof *c);
}

/* BLAS, in blocks of C that do not depend on the number of threads. */
typedef struct blas_product {
  CBLAS_TRANSPOSE ta, tb;
  size_t m, n, k, lda, ldb, ldc, across;
  const float *a, *b;
  const dg_matrix *held; /* B where it is not in fp32 */
  float beta, *c;
} blas_product;
enum { BLAS_BLOCK = 512 };

/* A block of C, of B as it is held a block at a time. */
static void blas_held(const blas_product *p, size_t i, size_t j) {
  size_t m = least(BLAS_BLOCK, p->m - i), n = least(BLAS_BLOCK, p->n - j);
  bool tb = p->tb == CblasTrans;
  float *b = dg_gemm_space(BLAS_BLOCK * BLAS_BLOCK);
  for (size_t q = 0; q < p->k; q += BLAS_BLOCK) {
    size_t k = least(BLAS_BLOCK, p->k - q), rows = tb ? n : k, columns = tb ? k : n;
    for (size_t r = 0; r < rows; r++)
      dg_widen_row(p->held, p->ldb, (tb ? j : q) + r, tb ? q : j, columns, b + r * columns);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, p->tb, (blasint)m, (blasint)n, (blasint)k, 1,
                p->a + i * p->lda + q, (blasint)p->lda, b, (blasint)columns, q ? 1 : p->beta,
                p->c + i * p->ldc + j, (blasint)p->ldc);
  }
}

static void blas_task(void *context, size_t task, int worker) {
  (void)worker;
  const blas_product *p = context;
  size_t i = task / p->across * BLAS_BLOCK, j = task % p->across * BLAS_BLOCK;
  if (p->held) {
    blas_held(p, i, j);
    return;
  }
  const float *a = p->a + (p->ta == CblasTrans ? i : i * p->lda);
  const float *b = p->b + (p->tb == CblasTrans ? j * p->ldb : j);
  cblas_sgemm(CblasRowMajor, p->ta, p->tb, (blasint)least(BLAS_BLOCK, p->m - i),
              (blasint)least(BLAS_BLOCK, p->n - j), (blasint)p->k, 1, a, (blasint)p->lda, b,
              (blasint)p->ldb, p->beta, p->c + i * p->ldc + j, (blasint)p->ldc);
}

/* B is `b`, or `held`. */
static void any_product(const dg_gemm_kernels *t, dg_threads *threads, bool ta, bool tb, size_t m,
                        size_t n, size_t k, const float *a, size_t lda, const float *b,
                        const dg_matrix *held, size_t ldb, float beta, float *c, size_t ldc) {
  if (!m || !n) return;
  if (!k) {
    if (beta == 0) clear(m, n, c, ldc);
    return;
  }
  pthread_once(&once, prepare);
  if (m * n * k < SMALL) threads = NULL;
  if (!t) {
    blas_product p = {ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, m, n, k, lda,
                      ldb, ldc, ceiling(n, BLAS_BLOCK), a, b, held, beta, c};
    dg_parallel(threads, ceiling(m, BLAS_BLOCK) * p.across, blas_task, &p);
    return;
  }
  size_t workers = (size_t)dg_threads_count(threads), step = k_block(t, k);
  size_t words = step / t->per_word, wide = least(round_up(n, t->lanes), B_COLUMNS);
  product p = {.t = t, .ta = ta, .tb = tb, .m = m, .lda = lda, .ldb = ldb, .ldc = ldc,
               .held = held};
  if (tb && m <= t->rows) {
    p.n = n, p.k = k, p.a = a, p.b = b, p.c = c, p.add = beta != 0;
    few_rows(threads, &p);
    return;
  }
  p.packed_b = dg_gemm_space((wide + workers * t->rows) * words);
  p.packed_a = p.packed_b + wide * words;
  for (size_t j = 0; j < n; j += B_COLUMNS)
    for (size_t q = 0; q < k; q += step) {
      p.n = least(B_COLUMNS, n - j);
      p.k = least(step, k - q);
      p.a = a + (ta ? q * lda : q);
      if (held) p.held_row = tb ? j : q, p.held_column = tb ? q : j;
      else p.b = b + (tb ? j * ldb + q : q * ldb + j);
      p.c = c + j;
      p.add = beta != 0 || q;
      p.columns = round_up(ceiling(p.n, 4 * workers), 3 * t->lanes);
      dg_parallel(threads, ceiling(p.n, p.columns), pack_task, &p);
      multiply(threads, &p);
    }
}

void dg_gemm_with(const dg_gemm_kernels *t, dg_threads *threads, bool transpose_a, bool transpose_b,
                  size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b,
                  size_t ldb, float beta, float *c, size_t ldc) {
  any_product(t, threads, transpose_a, transpose_b, m, n, k, a, lda, b, NULL, ldb, beta, c, ldc);
}

void dg_gemm_weight_with(const dg_gemm_kernels *t, dg_threads *threads, bool transpose_b, size_t m,
                         size_t n, size_t k, const float *a, size_t lda, const dg_matrix *b,
                         size_t cols, float beta, float *c, size_t ldc) {
  const float *floats = dg_matrix_floats(b);
  any_product(t, threads, false, transpose_b, m, n, k, a, lda, floats, floats ? NULL : b, cols,
              beta, c, ldc);
}

/* What rounds the operands to 16-bit integers, or NULL. */
static const dg_int16_kernels *rounding(dg_precision precision, const dg_matrix *b, size_t out,
                                        size_t in) {
  if (precision != DG_ROUNDED || !dg_int16_fits(b)) return NULL;
  bool small = least(out, in) < ROUNDED_LEAST && b->block[0].type == DG_STORE_FP32;
  return small ? NULL : dg_int16_best();
}

void dg_gemm(dg_threads *threads, dg_precision precision, bool transpose_a, bool transpose_b,
             size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb,
             float beta, float *c, size_t ldc) {
  const dg_matrix held = dg_matrix_fp32(b);
  const dg_int16_kernels *t = rounding(precision, &held, transpose_a ? m : k, n);
  if (t)
    dg_gemm_int16(t, threads, transpose_a, transpose_b, m, n, k, a, lda, &held, ldb, beta, c, ldc);
  else
    dg_gemm_with(kernels(precision), threads, transpose_a, transpose_b, m, n, k, a, lda, b, ldb,
                 beta, c, ldc);
}

void dg_gemm_weight(dg_threads *threads, dg_precision precision, bool transpose_b, size_t m,
                    size_t n, size_t k, const float *a, size_t lda, const dg_matrix *b, size_t cols,
                    float beta, float *c, size_t ldc) {
  const dg_int16_kernels *t = rounding(precision, b, n, k);
  if (t) dg_gemm_int16(t, threads, false, transpose_b, m, n, k, a, lda, b, cols, beta, c, ldc);
  else
    dg_gemm_weight_with(kernels(precision), threads, transpose_b, m, n, k, a, lda, b, cols, beta, c,
                        ldc);
}

struct dg_packed {
  const dg_gemm_kernels *t; /* NULL: BLAS reads the weight itself */
  size_t out, in;
  dg_matrix w;
  float *words;      /* one block of k after another */
  dg_qpacked *eight; /* in place of these */
};

dg_packed *dg_pack_with(const dg_gemm_kernels *t, size_t out, size_t in, const dg_matrix *w,
                        dg_error *err) {
  dg_packed *p = dg_malloc(sizeof *p);
  *p = (dg_packed){.t = t, .out = out, .in = in, .w = *w};
  if (!t || !in || !out) return p;
  size_t wide = round_up(out, t->lanes), step = k_block(t, in);
  p->words = dg_alloc_checked(wide * ceiling(in, t->per_word), sizeof *p->words, err);
  if (!p->words) {
    free(p);
    return NULL;
  }
  for (size_t q = 0; q < in; q += step)
    t->pack_weight(w, in, 0, out, q, least(step, in - q), p->words + wide * (q / t->per_word));
  return p;
}

bool dg_packs_in_8_bits(dg_precision precision, size_t out, size_t in, const dg_matrix *w) {
  return precision == DG_INT8 && kernels(precision) && dg_qpack_fits(out, in, w);
}

dg_packed *dg_pack_new(dg_precision precision, size_t out, size_t in, const dg_matrix *w,
                       dg_error *err) {
  const dg_gemm_kernels *t = kernels(precision);
  if (!dg_packs_in_8_bits(precision, out, in, w)) return dg_pack_with(t, out, in, w, err);
  dg_qpacked *eight = dg_qpack_new(out, in, w, err);
  if (!eight) return NULL;
  dg_packed *p = dg_malloc(sizeof *p);
  *p = (dg_packed){.t = t, .out = out, .in = in, .w = *w, .eight = eight};
  return p;
}

void dg_pack_free(dg_packed *w) {
  if (!w) return;
  dg_qpack_free(w->eight);
  free(w->words);
  free(w);
}

void dg_gemm_packed(dg_threads *threads, size_t rows, const float *x, size_t ldx,
                    const dg_packed *w, float *y, size_t ldy) {
  const dg_gemm_kernels *t = w->t;
  if (w->eight) {
    dg_qgemm(threads, rows, x, ldx, w->eight, y, ldy);
    return;
  }
  if (!w->words) {
    dg_gemm_weight_with(t, threads, true, rows, w->out, w->in, x, ldx, &w->w, w->in, 0, y, ldy);
    return;
  }
  if (!rows) return;
  if (rows * w->out * w->in < SMALL) threads = NULL;
  size_t wide = round_up(w->out, t->lanes), step = k_block(t, w->in);
  product p = {.t = t, .m = rows, .n = w->out, .lda = ldx, .c = y, .ldc = ldy};
  p.packed_a = dg_gemm_space((size_t)dg_threads_count(threads) * t->rows * (step / t->per_word));
  for (size_t q = 0; q < w->in; q += step) {
    p.k = least(step, w->in - q);
    p.a = x + q;
    p.packed_b = w->words + wide * (q / t->per_word);
    p.add = q;
    multiply(threads, &p);
  }
}
