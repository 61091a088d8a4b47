/* Rows of floats to 8 bits; compiled once per instruction set, with the same results. Private to
 * mt/kernels. */
#ifndef DG_KERNELS_QUANTIZE_H
#define DG_KERNELS_QUANTIZE_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "mt/kernels/blocks.h"

/* What multiplies a row into [-127,127], and what multiplies it back. */
static inline float row_scale(size_t n, const float *x, float *scale) {
  uint32_t top = 0; /* magnitudes order as their bits do, and integers vectorise */
  for (size_t p = 0; p < n; p++) {
    uint32_t u;
    memcpy(&u, x + p, sizeof u);
    u &= 0x7fffffff;
    top = u > top ? u : top;
  }
  float largest;
  memcpy(&largest, &top, sizeof largest);
  *scale = isfinite(largest) ? largest / 127 : NAN;
  if (isfinite(largest) && largest >= 1e-30f) return 127 / largest;
  if (isfinite(largest)) *scale = 0;
  return 0;
}

static inline void quantize(size_t n, const float *x, float inverse, int8_t *q) {
  if (inverse == 0) { /* and x may hold NaN */
    memset(q, 0, n);
    return;
  }
  for (size_t p = 0; p < n; p++) {
#ifdef __SSE4_1__ /* one instruction, and no sum that could be fused with the product */
    q[p] = (int8_t)(int32_t)nearbyintf(x[p] * inverse);
#else
    float t = x[p] * inverse + 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    int32_t u;
    memcpy(&u, &t, sizeof u);
    q[p] = (int8_t)u;
#endif
  }
}

/* m rows to words, `rows` of which lie together, `offset` added to their bytes. */
static inline void quantize_panel(size_t m, size_t in, const float *x, size_t ldx, size_t rows,
                                  uint8_t offset, int32_t *words, float *scale) {
  for (size_t i = 0; i < m; i++, x += ldx) {
    int32_t *to = words + i;
    float inverse = row_scale(in, x, &scale[i]);
    for (size_t k = 0; k < in; k += 256) {
      int8_t q[256] = {0};
      size_t n = least(256, in - k);
      quantize(n, x + k, inverse, q);
      for (size_t e = 0; e < n; e++) q[e] = (int8_t)(q[e] ^ offset); /* +128, modulo 256 */
      for (size_t e = 0; e < n; e += 4, to += rows) memcpy(to, q + e, 4);
    }
  }
}

#endif
