/* Vector helpers common to the AVX-512 matrix products. */
#ifndef DG_KERNELS_GEMM_AVX512_H
#define DG_KERNELS_GEMM_AVX512_H

#include <immintrin.h>
#include <stddef.h>

enum { V = 16 };
#define GEMM_ROWS_8 1
typedef __m512 vec;

static inline vec load(const float *p) { return _mm512_loadu_ps(p); }
static inline void store(float *p, vec x) { _mm512_storeu_ps(p, x); }
static inline vec zero(void) { return _mm512_setzero_ps(); }
static inline vec splat(float x) { return _mm512_set1_ps(x); }
static inline vec plus(vec x, vec y) { return _mm512_add_ps(x, y); }
/* The first n floats, the rest zero. */
static inline vec load_part(const float *p, size_t n) {
  return n >= V ? load(p) : _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}
static inline vec of_int8(const void *x, float scale) {
  __m512i q = _mm512_cvtepi8_epi32(_mm_loadu_si128(x));
  return _mm512_mul_ps(_mm512_cvtepi32_ps(q), splat(scale));
}
static inline vec of_bf16(const void *x) {
  __m512i h = _mm512_cvtepu16_epi32(_mm256_loadu_si256(x));
  return _mm512_castsi512_ps(_mm512_slli_epi32(h, 16));
}
static inline void store_halves(float *lo, float *hi, vec x) {
  _mm256_storeu_ps(lo, _mm512_castps512_ps256(x));
  _mm256_storeu_ps(hi, _mm512_extractf32x8_ps(x, 1));
}
static inline vec unpack_low(vec x, vec y) {
  return _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(x), _mm512_castps_pd(y)));
}
static inline vec unpack_high(vec x, vec y) {
  return _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(x), _mm512_castps_pd(y)));
}

static inline void transpose(vec t[V]) {
  vec u[V];
  for (int i = 0; i < V; i += 2) {
    u[i] = _mm512_unpacklo_ps(t[i], t[i + 1]);
    u[i + 1] = _mm512_unpackhi_ps(t[i], t[i + 1]);
  }
  for (int i = 0; i < V; i += 4) { /* quarter q of t[i+c]: column 4q+c of rows i..i+3 */
    t[i] = unpack_low(u[i], u[i + 2]);
    t[i + 1] = unpack_high(u[i], u[i + 2]);
    t[i + 2] = unpack_low(u[i + 1], u[i + 3]);
    t[i + 3] = unpack_high(u[i + 1], u[i + 3]);
  }
  for (int c = 0; c < 4; c++) {
    vec even = _mm512_shuffle_f32x4(t[c], t[c + 4], 0x88);
    vec odd = _mm512_shuffle_f32x4(t[c], t[c + 4], 0xdd);
    vec even2 = _mm512_shuffle_f32x4(t[c + 8], t[c + 12], 0x88);
    vec odd2 = _mm512_shuffle_f32x4(t[c + 8], t[c + 12], 0xdd);
    u[c] = _mm512_shuffle_f32x4(even, even2, 0x88);
    u[c + 8] = _mm512_shuffle_f32x4(even, even2, 0xdd);
    u[c + 4] = _mm512_shuffle_f32x4(odd, odd2, 0x88);
    u[c + 12] = _mm512_shuffle_f32x4(odd, odd2, 0xdd);
  }
  for (int i = 0; i < V; i++) t[i] = u[i];
}

#endif
