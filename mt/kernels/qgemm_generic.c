#include "mt/kernels/qgemm_kernels.h"
#include "mt/kernels/quantize.h"

/* One row and one column a panel: words in order are rows in order. */
static void multiply(size_t m, size_t n, size_t words, const int32_t *x, const float *x_scale,
                     const int32_t *w, const int32_t *excess, const float *w_scale, float *y,
                     size_t ldy) {
  (void)excess;
  for (size_t j = 0; j < n; j++) {
    const int8_t *b = (const int8_t *)(w + j * words);
    for (size_t i = 0; i < m; i++) {
      const int8_t *a = (const int8_t *)(x + i * words);
      int32_t sum = 0;
      for (size_t p = 0; p < 4 * words; p++) sum += (int32_t)a[p] * b[p];
      y[i * ldy + j] = (float)sum * (x_scale[i] * w_scale[j]);
    }
  }
}

static void quantize_row(size_t m, size_t in, const float *x, size_t ldx, int32_t *words,
                         float *scale) {
  quantize_panel(m, in, x, ldx, 1, 0, words, scale);
}

const dg_qgemm_kernels dg_qgemm_generic = {.rows = 1,
                                           .columns = 1,
                                           .lanes = 1,
                                           .offset = 0,
                                           .quantize = quantize_row,
                                           .multiply = multiply};
