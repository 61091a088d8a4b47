#include "mt/kernels/gemm.h"

#include <cblas.h>
#include <pthread.h>

/* Parallelism is ours: blocks of C are handed to the pool, one BLAS call each. */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static void single_threaded(void) { openblas_set_num_threads(1); }

typedef struct product {
  CBLAS_TRANSPOSE ta, tb;
  size_t m, n, k, lda, ldb, ldc, rows, columns, across;
  const float *a, *b;
  float beta, *c;
} product;

static size_t least(size_t x, size_t y) { return x < y ? x : y; }

static void block(void *context, size_t task, int worker) {
  (void)worker;
  const product *p = context;
  size_t i = task / p->across * p->rows, j = task % p->across * p->columns;
  const float *a = p->a + (p->ta == CblasTrans ? i : i * p->lda);
  const float *b = p->b + (p->tb == CblasTrans ? j * p->ldb : j);
  cblas_sgemm(CblasRowMajor, p->ta, p->tb, (blasint)least(p->rows, p->m - i),
              (blasint)least(p->columns, p->n - j), (blasint)p->k, 1, a, (blasint)p->lda, b,
              (blasint)p->ldb, p->beta, p->c + i * p->ldc + j, (blasint)p->ldc);
}

void dg_gemm(dg_threads *threads, dg_precision precision, bool transpose_a, bool transpose_b,
             size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb,
             float beta, float *c, size_t ldc) {
  (void)precision;
  if (!m || !n) return;
  if (!k) {
    for (size_t i = 0; i < m && beta == 0; i++)
      for (size_t j = 0; j < n; j++) c[i * ldc + j] = 0;
    return;
  }
  pthread_once(&once, single_threaded);
  product p = {.ta = transpose_a ? CblasTrans : CblasNoTrans,
               .tb = transpose_b ? CblasTrans : CblasNoTrans,
               .m = m, .n = n, .k = k, .lda = lda, .ldb = ldb, .ldc = ldc,
               .rows = 512, .columns = 512, .a = a, .b = b, .beta = beta, .c = c};
  p.across = (n + p.columns - 1) / p.columns;
  dg_parallel(threads, (m + p.rows - 1) / p.rows * p.across, block, &p);
}
