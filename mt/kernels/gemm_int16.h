/* Products of 16-bit integers, for many rows: numbers become integers with one scale for each line
 * and block of k, and their sums are exact. Without units for bfloat16 this is half as fast again
 * as fp32. A right operand held in 8 bits stays as it is stored, and the other then rounds 128
 * times finer than bfloat16; of two operands in fp32 both round, for what is near the largest of
 * its line ten times finer. Private to mt/kernels and its tests. */
#ifndef DG_KERNELS_GEMM_INT16_H
#define DG_KERNELS_GEMM_INT16_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mt/core/threads.h"
#include "mt/kernels/matrix.h"

/* Steps along k that are summed as integers, and the largest of those that numbers become:
 * 512 * 128 * 32767 and 256 * 2896 * 2896 are less than 2^31. */
enum {
  DG_INT16_K = 512,
  DG_INT16_MOST = 32767, /* times 8 bits */
  DG_INT16_BOTH_K = 256,
  DG_INT16_BOTH_MOST = 2896
};

/* A line is a row of the left operand or a column of the right one. Lines are packed in words,
 * each of two 16-bit integers that are neighbours along k, and lie in panels of `rows` lines of the
 * left operand and `columns` of the right one (the last one there narrower, a multiple of `lanes`);
 * inside a panel the words of one step lie together. */
typedef struct dg_int16_kernels {
  size_t rows, columns, lanes;
  /* n lines of k floats, times by[k] (NULL: 1), rounded: about integer * scale of the line, the
   * largest integer being `most`. A line with NaN or infinity becomes zeros with a NaN scale.
   * Lines are written up to a multiple of `lanes`; there is room for whole panels. */
  void (*pack_lines)(bool right, size_t n, size_t k, const void *const *line, const float *by,
                     float most, int32_t *words, float *scale);
  /* The same of lines that lie across k rows. */
  void (*pack_across)(bool right, size_t n, size_t k, const void *const *row, float most,
                      int32_t *words, float *scale);
  /* Of a right operand in 8 bits, int8_t. */
  void (*pack_lines8)(size_t n, size_t k, const void *const *line, int32_t *words);
  void (*pack_across8)(size_t n, size_t k, const void *const *row, int32_t *words);
  /* C[m,n] = sums * (scale of the row * scale of the column) (+ C when `add`). */
  void (*multiply)(size_t m, size_t n, size_t steps, const int32_t *left, const float *left_scale,
                   const int32_t *right, const float *right_scale, bool add, float *c, size_t ldc);
} dg_int16_kernels;

/* Those that are faster than fp32 on this machine, or NULL. */
const dg_int16_kernels *dg_int16_best(void);

/* Whether all of the matrix is held in 8 bits, or all of it in fp32. */
bool dg_int16_fits(const dg_matrix *b);

/* As dg_gemm, of a right operand that fits; one in 8 bits takes no transposed left one. */
void dg_gemm_int16(const dg_int16_kernels *t, dg_threads *threads, bool transpose_a,
                   bool transpose_b, size_t m, size_t n, size_t k, const float *a, size_t lda,
                   const dg_matrix *b, size_t cols, float beta, float *c, size_t ldc);

#if defined(__x86_64__)
extern const dg_int16_kernels dg_int16_avx2;
#endif

#endif
