#if defined(__x86_64__)
#include "mt/kernels/gemm_avx512.h"

/* A word is two bfloat16, the earlier along k in its low half. */
enum { PER_WORD = 2 };
static inline vec dot(vec s, vec a, vec b) {
  return _mm512_dpbf16_ps(s, (__m512bh)a, (__m512bh)b);
}
static inline vec along(const float *x, size_t n) {
  return (vec)_mm512_cvtne2ps_pbh(n > V ? load_part(x + V, n - V) : zero(), load_part(x, n));
}
static inline vec across(const float *x, const float *y, size_t n) {
  const __m512i pairs = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24,
                                         8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  __m512i both = (__m512i)_mm512_cvtne2ps_pbh(y ? load_part(y, n) : zero(), load_part(x, n));
  return (vec)_mm512_permutexvar_epi16(pairs, both);
}

#define GEMM_TABLE dg_gemm_avx512_bf16
#define GEMM_ROWS 192
#include "mt/kernels/gemm_template.h"
#else
typedef int dg_not_this_machine; /* an empty translation unit is not C */
#endif
