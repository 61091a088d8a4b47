/* Products with 8-bit weights held as stored, for many rows: activations become 16-bit integers,
 * one scale for each row and block of k, and sums are of integers. Without units for bfloat16
 * this is as much faster than fp32, and rounds 128 times finer. Private to mt/kernels and its
 * tests. */
#ifndef DG_KERNELS_GEMM_INT16_H
#define DG_KERNELS_GEMM_INT16_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mt/core/threads.h"
#include "mt/kernels/matrix.h"

/* Steps along k that are summed as integers: 512 * 127 * 32767 is less than 2^31. */
enum { DG_INT16_K = 512 };

/* Operands are packed in words, each of two 16-bit integers that are neighbours along k. The left
 * one lies in panels of `rows` rows and the right one in panels of `columns` columns (the last
 * one narrower, a multiple of `lanes`); inside a panel the words of one step lie together. */
typedef struct dg_int16_kernels {
  size_t rows, columns, lanes;
  /* x[m,k], its columns times by[k] (NULL: 1), rounded: about integer * scale of its row. A row
   * with NaN or infinity becomes zeros with a NaN scale. Writes whole panels. */
  void (*pack_left)(size_t m, size_t k, const float *x, size_t ldx, const float *by,
                    int32_t *words, float *scale);
  /* From n rows of k numbers, each a column; or from k rows of n. */
  void (*pack_columns)(size_t n, size_t k, const int8_t *const *column, int32_t *words);
  void (*pack_rows)(size_t n, size_t k, const int8_t *const *row, int32_t *words);
  /* C[m,n] = sums * (scale of the row * scale of the column) (+ C when `add`). */
  void (*multiply)(size_t m, size_t n, size_t steps, const int32_t *left, const float *left_scale,
                   const int32_t *right, const float *right_scale, bool add, float *c, size_t ldc);
} dg_int16_kernels;

/* Those that are faster than fp32 on this machine, or NULL. */
const dg_int16_kernels *dg_int16_best(void);

/* Whether all of the matrix is held in 8 bits. */
bool dg_int16_fits(const dg_matrix *b);

/* As dg_gemm_weight, of a matrix that fits. */
void dg_gemm_int16(const dg_int16_kernels *t, dg_threads *threads, bool transpose_b, size_t m,
                   size_t n, size_t k, const float *a, size_t lda, const dg_matrix *b, size_t cols,
                   float beta, float *c, size_t ldc);

#if defined(__x86_64__)
extern const dg_int16_kernels dg_int16_avx2;
#endif

#endif
