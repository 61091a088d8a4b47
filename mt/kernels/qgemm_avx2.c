#if defined(__x86_64__)
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

enum { V = 8, MR = 4, NV = 2, OFFSET = 0 };
#define MR_IS_8 0
typedef int32_t vec __attribute__((vector_size(32)));

static inline vec load(const int32_t *p) {
  return (vec)_mm256_loadu_si256((const __m256i *)(const void *)p);
}
static inline vec zero(void) { return (vec){0}; }
static inline vec splat(int32_t x) { return (vec)_mm256_set1_epi32(x); }
/* |x| times w with x's sign: two products are at most 2*127*127, which VPMADDUBSW does not
 * saturate. */
static inline vec dot(vec s, vec x, vec w) {
  __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8((__m256i)x),
                                       _mm256_sign_epi8((__m256i)w, (__m256i)x));
  return s + (vec)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}
static inline void finish(vec s, const int32_t *excess, const float *scale, float x_scale,
                          float *y) {
  (void)excess;
  __m256 by = _mm256_mul_ps(_mm256_set1_ps(x_scale), _mm256_loadu_ps(scale));
  _mm256_storeu_ps(y, _mm256_mul_ps(_mm256_cvtepi32_ps((__m256i)s), by));
}

#define QGEMM_TABLE dg_qgemm_avx2
#include "mt/kernels/qgemm_template.h"
#else
typedef int dg_not_this_machine; /* an empty translation unit is not C */
#endif
