#include "tests/wide_vectors.h"

/* A word is two bfloat16, the earlier along k in its low half. */
enum { PER_WORD = 2 };

static uint32_t bf16(float x) {
  uint32_t u;
  memcpy(&u, &x, sizeof u);
  return x == x ? (u + 0x7fff + (u >> 16 & 1)) >> 16 : u >> 16 | 64;
}
static vec pairs(const float *even, size_t evens, const float *odd, size_t odds, size_t step) {
  uint32_t pair[V] = {0};
  for (size_t i = 0; i < V; i++) {
    if (i < evens) pair[i] = bf16(even[i * step]);
    if (i < odds) pair[i] |= bf16(odd[i * step]) << 16;
  }
  vec x;
  memcpy(&x, pair, sizeof x);
  return x;
}
static inline vec along(const float *x, size_t n) { return pairs(x, (n + 1) / 2, x + 1, n / 2, 2); }
static inline vec across(const float *x, const float *y, size_t n) {
  return pairs(x, n, y, y ? n : 0, 1);
}
static inline vec dot(vec s, vec a, vec b) {
  const vec_bits later = 0xffff0000u + (vec_bits){0};
  vec_bits x = (vec_bits)a, y = (vec_bits)b;
  return s + (vec)(x & later) * (vec)(y & later) + (vec)(x << 16) * (vec)(y << 16);
}

#define GEMM_TABLE wide_gemm_bf16
#define GEMM_ROWS 192
#include "mt/kernels/gemm_template.h"
