/* What each instruction set brings to the matrix product; private to gemm.c and
 * its tests.
 *
 * Operands are packed in 32-bit words: one float, or two bfloat16 neighbours
 * along k. A is packed in panels of `lanes`/2 rows and B in panels of 3*`lanes`
 * columns (the last one narrower, a multiple of `lanes`); inside a panel the
 * words of one step along k lie together. Every element of C is summed in the
 * same order whatever its place in a tile. */
#ifndef DG_KERNELS_GEMM_KERNELS_H
#define DG_KERNELS_GEMM_KERNELS_H

#include <stdbool.h>
#include <stddef.h>

#include "mt/core/error.h"
#include "mt/core/threads.h"
#include "mt/kernels/matrix.h"

typedef struct dg_gemm_kernels {
  size_t lanes;    /* words in a vector */
  size_t per_word; /* steps along k in a word: 1 or 2 */
  size_t rows;     /* rows of A whose packed block stays in the second-level cache */
  /* Element (i,p) of op(A) is a[i*lda+p], or a[p*lda+i] when transposed. Writes
   * m rounded up to `lanes` rows of words. */
  void (*pack_a)(bool transposed, size_t m, size_t k, const float *a, size_t lda, float *words);
  /* Element (p,j) of op(B) is b[p*ldb+j], or b[j*ldb+p] when transposed. */
  void (*pack_b)(bool transposed, size_t n, size_t k, const float *b, size_t ldb, float *words);
  /* The same of rows [row,row+n), transposed, and columns [column,column+k) of a stored matrix. */
  void (*pack_weight)(const dg_matrix *b, size_t cols, size_t row, size_t n, size_t column,
                      size_t k, float *words);
  /* C[m,n] = packed A * packed B (+ C when `add`), k counted in words. */
  void (*multiply)(size_t m, size_t n, size_t k, const float *a, const float *b, bool add, float *c,
                   size_t ldc);
  /* A part of a stored matrix in fp32, its rows `columns` apart. */
  void (*widen)(const dg_matrix *b, size_t cols, size_t row, size_t rows, size_t column,
                size_t columns, float *out);
} dg_gemm_kernels;

/* dg_gemm and dg_gemm_weight with the given kernels; with NULL, BLAS. */
void dg_gemm_with(const dg_gemm_kernels *t, dg_threads *threads, bool transpose_a, bool transpose_b,
                  size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b,
                  size_t ldb, float beta, float *c, size_t ldc);
void dg_gemm_weight_with(const dg_gemm_kernels *t, dg_threads *threads, bool transpose_b, size_t m,
                         size_t n, size_t k, const float *a, size_t lda, const dg_matrix *b,
                         size_t cols, float beta, float *c, size_t ldc);
/* dg_pack_new likewise. */
struct dg_packed *dg_pack_with(const dg_gemm_kernels *t, size_t out, size_t in, const dg_matrix *w,
                               dg_error *err);

#if defined(__x86_64__)
extern const dg_gemm_kernels dg_gemm_avx2, dg_gemm_avx512, dg_gemm_avx512_bf16;
#endif

#endif
