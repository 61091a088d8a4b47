#include <string.h>

#include "tests/wide.h"

#pragma GCC diagnostic ignored "-Wpsabi" /* such vectors leave no file */

/* As mt/kernels/qgemm_avx512_vnni.c. */
enum { V = 16, MR = 8, NV = 3, OFFSET = 128 };
#define MR_IS_8 1
typedef int32_t vec __attribute__((vector_size(64)));

static inline vec load(const int32_t *p) {
  vec x;
  memcpy(&x, p, sizeof x);
  return x;
}
static inline vec zero(void) { return (vec){0}; }
static inline vec splat(int32_t x) { return x - (vec){0}; }
static inline vec dot(vec s, vec x, vec w) { /* VPDPBUSD: unsigned by signed */
  uint8_t u[4 * V];
  int8_t q[4 * V];
  memcpy(u, &x, sizeof u);
  memcpy(q, &w, sizeof q);
  for (int i = 0; i < 4 * V; i++) s[i / 4] += (int32_t)u[i] * q[i];
  return s;
}
static inline void finish(vec s, const int32_t *excess, const float *scale, float x_scale,
                          float *y) {
  vec sum = s - load(excess);
  for (int i = 0; i < V; i++) y[i] = (float)sum[i] * (x_scale * scale[i]);
}

#define QGEMM_TABLE wide_qgemm
#include "mt/kernels/qgemm_template.h"
