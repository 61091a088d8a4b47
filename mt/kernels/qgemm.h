/* Products with 8-bit weights, for decoding: a quarter of the memory traffic of
 * fp32, which is what a product of few rows spends its time on. */
#ifndef DG_KERNELS_QGEMM_H
#define DG_KERNELS_QGEMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mt/core/error.h"
#include "mt/core/threads.h"
#include "mt/kernels/matrix.h"

enum { DG_QGEMM_IN_MAX = 65536 }; /* longer sums could leave int32 */

/* Rounds each row of x to 8 bits: x[i,p] is about q[i*in+p]*scale[i], |q| <= 127. A row whose
 * largest magnitude is below 1e-30 becomes zeros; one that holds NaN or infinity becomes
 * zeros with a NaN scale. */
void dg_quantize_rows(size_t rows, size_t in, const float *x, size_t ldx, int8_t *q, float *scale);

/* A weight [out,in] in the layout the CPU's dot product wants; a copy. */
typedef struct dg_qpacked dg_qpacked;

/* Whether all of the matrix is held in 8 bits, none of them -128, and `in` within
 * DG_QGEMM_IN_MAX. */
bool dg_qpack_fits(size_t out, size_t in, const dg_matrix *w);
/* Of a matrix that fits. NULL with an error when memory runs out. */
dg_qpacked *dg_qpack_new(size_t out, size_t in, const dg_matrix *w, dg_error *err);
void dg_qpack_free(dg_qpacked *w);

/* y[rows,out] = x[rows,in] W^T with x rounded as by dg_quantize_rows: the sum over `in` is
 * exact, then y = (float)sum * (scale of x's row * scale of W's row). Bit for bit the
 * same on every CPU, for any number of threads, and whatever the other rows are. */
void dg_qgemm(dg_threads *threads, size_t rows, const float *x, size_t ldx, const dg_qpacked *w,
              float *y, size_t ldy);

#endif
