#if defined(__x86_64__)
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

/* VPDPBUSD multiplies unsigned by signed bytes: x goes in with 128 added. */
enum { V = 16, MR = 8, NV = 3, OFFSET = 128 };
#define MR_IS_8 1
/* Lanes of 32 bits: with __m512i, whose lanes are of 64, GCC 12 copies every sum around. */
typedef int32_t vec __attribute__((vector_size(64)));

static inline vec load(const int32_t *p) { return (vec)_mm512_loadu_si512(p); }
static inline vec zero(void) { return (vec){0}; }
static inline vec splat(int32_t x) { return (vec)_mm512_set1_epi32(x); }
static inline vec dot(vec s, vec x, vec w) {
  return (vec)_mm512_dpbusd_epi32((__m512i)s, (__m512i)x, (__m512i)w);
}
static inline void finish(vec s, const int32_t *excess, const float *scale, float x_scale,
                          float *y) {
  __m512 sum = _mm512_cvtepi32_ps((__m512i)(s - load(excess)));
  __m512 by = _mm512_mul_ps(_mm512_set1_ps(x_scale), _mm512_loadu_ps(scale));
  _mm512_storeu_ps(y, _mm512_mul_ps(sum, by));
}

#define QGEMM_TABLE dg_qgemm_avx512_vnni
#include "mt/kernels/qgemm_template.h"
#else
typedef int dg_not_this_machine; /* an empty translation unit is not C */
#endif
