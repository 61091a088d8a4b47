#include "tests/wide_vectors.h"

enum { PER_WORD = 1 };
static inline vec dot(vec s, vec a, vec b) { return s + a * b; }
static inline vec along(const float *x, size_t n) { return load_part(x, n); }
static inline vec across(const float *x, const float *y, size_t n) {
  (void)y;
  return load_part(x, n);
}

#define GEMM_TABLE wide_gemm
#define GEMM_ROWS 192
#include "mt/kernels/gemm_template.h"
