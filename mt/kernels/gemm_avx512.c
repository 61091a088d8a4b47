#if defined(__x86_64__)
#include "mt/kernels/gemm_avx512.h"

enum { PER_WORD = 1 };
static inline vec dot(vec s, vec a, vec b) { return _mm512_fmadd_ps(a, b, s); }
static inline vec along(const float *x, size_t n) { return load_part(x, n); }
static inline vec across(const float *x, const float *y, size_t n) {
  (void)y;
  return load_part(x, n);
}

#define GEMM_TABLE dg_gemm_avx512
#define GEMM_ROWS 192
#include "mt/kernels/gemm_template.h"
#else
typedef int dg_not_this_machine; /* an empty translation unit is not C */
#endif
