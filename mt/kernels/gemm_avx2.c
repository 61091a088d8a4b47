#if defined(__x86_64__)
#include <immintrin.h>
#include <stddef.h>

#include "mt/kernels/transpose_avx2.h"
#include "mt/kernels/widen.h"

enum { V = 8, PER_WORD = 1 };
typedef __m256 vec;

static inline vec load(const float *p) { return _mm256_loadu_ps(p); }
static inline void store(float *p, vec x) { _mm256_storeu_ps(p, x); }
static inline vec zero(void) { return _mm256_setzero_ps(); }
static inline vec splat(float x) { return _mm256_set1_ps(x); }
static inline vec plus(vec x, vec y) { return _mm256_add_ps(x, y); }
static inline vec dot(vec s, vec a, vec b) { return _mm256_fmadd_ps(a, b, s); }
static inline vec of_int8(const void *x, float scale) {
  __m256i q = _mm256_cvtepi8_epi32(_mm_loadl_epi64(x));
  return _mm256_mul_ps(_mm256_cvtepi32_ps(q), splat(scale));
}
static inline vec of_bf16(const void *x) {
  __m256i h = _mm256_cvtepu16_epi32(_mm_loadu_si128(x));
  return _mm256_castsi256_ps(_mm256_slli_epi32(h, 16));
}
static inline vec along(const float *x, size_t n) {
  if (n == V) return load(x);
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_maskload_ps(x, _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane));
}
static inline vec across(const float *x, const float *y, size_t n) {
  (void)y;
  return along(x, n);
}
static inline void store_halves(float *lo, float *hi, vec x) {
  _mm_storeu_ps(lo, _mm256_castps256_ps128(x));
  _mm_storeu_ps(hi, _mm256_extractf128_ps(x, 1));
}
/* TURN_INT8 columns of V rows of bytes, turned before they are widened. */
#define TURN_INT8 16
static inline void turn_int8(const dg_stored_row *rows, size_t p, vec scale, float *to,
                             size_t step) {
  __m128i x[8], y[8];
  for (int i = 0; i < 8; i++) x[i] = _mm_loadu_si128((const void *)(rows[i].at + p));
  for (int i = 0; i < 4; i++) { /* columns 0-7 and 8-15 of rows 2i, 2i+1 */
    y[i] = _mm_unpacklo_epi8(x[2 * i], x[2 * i + 1]);
    y[i + 4] = _mm_unpackhi_epi8(x[2 * i], x[2 * i + 1]);
  }
  for (int i = 0; i < 4; i++) { /* columns 4q to 4q+3 of rows 0-3 in x[2q], of 4-7 in x[2q+1] */
    x[4 * (i / 2) + i % 2] = _mm_unpacklo_epi16(y[2 * i], y[2 * i + 1]);
    x[4 * (i / 2) + i % 2 + 2] = _mm_unpackhi_epi16(y[2 * i], y[2 * i + 1]);
  }
  for (int i = 0; i < 4; i++) { /* columns 2q and 2q+1 in y[q] */
    y[2 * i] = _mm_unpacklo_epi32(x[2 * i], x[2 * i + 1]);
    y[2 * i + 1] = _mm_unpackhi_epi32(x[2 * i], x[2 * i + 1]);
  }
  for (int i = 0; i < 8; i++, to += 2 * step) {
    __m256i even = _mm256_cvtepi8_epi32(y[i]);
    __m256i odd = _mm256_cvtepi8_epi32(_mm_unpackhi_epi64(y[i], y[i]));
    store(to, _mm256_mul_ps(_mm256_cvtepi32_ps(even), scale));
    store(to + step, _mm256_mul_ps(_mm256_cvtepi32_ps(odd), scale));
  }
}

#define GEMM_TABLE dg_gemm_avx2
#define GEMM_ROWS 96
#include "mt/kernels/gemm_template.h"
#else
typedef int dg_not_this_machine; /* an empty translation unit is not C */
#endif
