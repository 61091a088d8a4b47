/* Matrix products, the engine's main cost. All matrices are row-major fp32 in
 * memory; `precision` says how the products are formed. Accumulation is always
 * fp32. Results do not depend on the number of threads. */
#ifndef DG_KERNELS_GEMM_H
#define DG_KERNELS_GEMM_H

#include <stdbool.h>
#include <stddef.h>

#include "mt/core/error.h"
#include "mt/core/threads.h"
#include "mt/kernels/matrix.h"

typedef enum dg_precision {
  DG_FP32,   /* operands as they are */
  DG_BF16,   /* operands rounded to bfloat16 (nearest even); DG_FP32 where the CPU has no bf16 dot
                product */
  DG_ROUNDED, /* the same, but where the CPU has AVX2 alone operands that are not small are rounded
                 to 16-bit integers: faster for the many rows of training */
  DG_INT8     /* DG_BF16, but what multiplies a packed weight that is held in 8 bits is rounded to
                 8 bits, too (dg_qgemm) */
} dg_precision;

/* C[m,n] = beta*C + op(A)*op(B) (beta is 0 or 1), where op(A) is [m,k]: A itself, or with
 * transpose_a the transpose of the [k,m] matrix stored at A; likewise op(B) is
 * [k,n]. lda, ldb, ldc are the distances in floats between stored rows. When
 * beta is 0, C is not read. The three shapes of a linear layer y = x W^T with
 * W stored [out,in]:
 *   forward          y[rows,out]   transpose_b on W
 *   input gradient   dx[rows,in]   no transposition
 *   weight gradient  dW[out,in]    transpose_a on dy, beta 1  */
void dg_gemm(dg_threads *threads, dg_precision precision, bool transpose_a, bool transpose_b,
             size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb,
             float beta, float *c, size_t ldc);

/* The same with B a weight as it is held, its stored rows `cols` wide. But for DG_ROUNDED, which
 * takes 8 bits as they are, this is what dg_gemm makes of its numbers in fp32, bit for bit where
 * our own kernels run. */
void dg_gemm_weight(dg_threads *threads, dg_precision precision, bool transpose_b, size_t m,
                    size_t n, size_t k, const float *a, size_t lda, const dg_matrix *b, size_t cols,
                    float beta, float *c, size_t ldc);

/* A weight W [out,in] laid out once for y = x W^T with few rows, where packing W
 * for every product would cost more than the product (decoding). The result is bit for bit that of
 * dg_gemm but for DG_INT8; DG_ROUNDED is packed as DG_BF16. */
typedef struct dg_packed dg_packed;

/* What W borrows must outlive the handle, which need not copy it. NULL with an error when
 * memory runs out. */
dg_packed *dg_pack_new(dg_precision precision, size_t out, size_t in, const dg_matrix *w,
                       dg_error *err);
void dg_pack_free(dg_packed *w);
/* Whether that is a weight of 8 bits, which stays as small as it is. */
bool dg_packs_in_8_bits(dg_precision precision, size_t out, size_t in, const dg_matrix *w);
/* y[rows,out] = x[rows,in] W^T. */
void dg_gemm_packed(dg_threads *threads, size_t rows, const float *x, size_t ldx,
                    const dg_packed *w, float *y, size_t ldy);

#endif
