/* What each instruction set brings to the 8-bit product; private to qgemm.c and
 * its tests. A word holds four neighbours along `in`, zero past its end. */
#ifndef DG_KERNELS_QGEMM_KERNELS_H
#define DG_KERNELS_QGEMM_KERNELS_H

#include "mt/kernels/qgemm.h"

typedef struct dg_qgemm_kernels {
  size_t rows;    /* of x in a panel */
  size_t columns; /* of y in a panel: a multiple of `lanes` */
  size_t lanes;
  uint8_t offset; /* added to x's bytes, for dot products that want them unsigned */
  /* One panel of x[m,in], m <= rows. */
  void (*quantize)(size_t m, size_t in, const float *x, size_t ldx, int32_t *words, float *scale);
  /* y[m,n] from panels of words: x's are [words][rows], W's [words][columns], the last one
   * narrower, a multiple of `lanes`. `excess` is what the offset adds to each column;
   * it and w_scale are padded to a multiple of `lanes`. */
  void (*multiply)(size_t m, size_t n, size_t words, const int32_t *x, const float *x_scale,
                   const int32_t *w, const int32_t *excess, const float *w_scale, float *y,
                   size_t ldy);
} dg_qgemm_kernels;

extern const dg_qgemm_kernels dg_qgemm_generic;
#if defined(__x86_64__)
extern const dg_qgemm_kernels dg_qgemm_avx2, dg_qgemm_avx512_vnni;
#endif

dg_qpacked *dg_qpack_with(const dg_qgemm_kernels *t, size_t out, size_t in, const dg_matrix *w,
                          dg_error *err);

#endif
