/* Eight vectors of eight words, rows to columns. Private to the AVX2 files of mt/kernels. */
#ifndef DG_KERNELS_TRANSPOSE_AVX2_H
#define DG_KERNELS_TRANSPOSE_AVX2_H

#include <immintrin.h>

static inline void transpose(__m256 t[8]) {
  __m256 u[8];
  for (int i = 0; i < 8; i += 2) {
    u[i] = _mm256_unpacklo_ps(t[i], t[i + 1]);
    u[i + 1] = _mm256_unpackhi_ps(t[i], t[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) { /* half h of t[i+c]: column 4h+c of rows i..i+3 */
    t[i] = _mm256_shuffle_ps(u[i], u[i + 2], 0x44);
    t[i + 1] = _mm256_shuffle_ps(u[i], u[i + 2], 0xee);
    t[i + 2] = _mm256_shuffle_ps(u[i + 1], u[i + 3], 0x44);
    t[i + 3] = _mm256_shuffle_ps(u[i + 1], u[i + 3], 0xee);
  }
  for (int c = 0; c < 4; c++) {
    __m256 x = t[c], y = t[c + 4];
    t[c] = _mm256_permute2f128_ps(x, y, 0x20);
    t[c + 4] = _mm256_permute2f128_ps(x, y, 0x31);
  }
}

#endif
