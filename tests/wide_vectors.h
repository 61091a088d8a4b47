/* For tests/wide_gemm*.c: as mt/kernels/gemm_avx512.h. */
#ifndef DG_TESTS_WIDE_VECTORS_H
#define DG_TESTS_WIDE_VECTORS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "tests/wide.h"

#pragma GCC diagnostic ignored "-Wpsabi" /* such vectors leave no file */

enum { V = 16 };
#define GEMM_ROWS_8 1
typedef float vec __attribute__((vector_size(64)));
typedef uint32_t vec_bits __attribute__((vector_size(64)));

static inline vec load(const float *p) {
  vec x;
  memcpy(&x, p, sizeof x);
  return x;
}
static inline void store(float *p, vec x) { memcpy(p, &x, sizeof x); }
static inline vec zero(void) { return (vec){0}; }
static inline vec splat(float x) { /* whatever its bits */
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return (vec)(bits + (vec_bits){0});
}
static inline vec plus(vec x, vec y) { return x + y; }
static inline vec load_part(const float *p, size_t n) {
  vec x = {0};
  memcpy(&x, p, (n < V ? n : V) * sizeof *p);
  return x;
}
static inline vec of_int8(const void *x, float scale) {
  int8_t q[V];
  memcpy(q, x, sizeof q);
  vec y;
  for (int i = 0; i < V; i++) y[i] = (float)q[i] * scale;
  return y;
}
static inline vec of_bf16(const void *x) {
  uint16_t h[V];
  uint32_t bits[V];
  memcpy(h, x, sizeof h);
  for (int i = 0; i < V; i++) bits[i] = (uint32_t)h[i] << 16;
  vec y;
  memcpy(&y, bits, sizeof y);
  return y;
}
static inline void store_halves(float *lo, float *hi, vec x) {
  memcpy(lo, &x, sizeof x / 2);
  memcpy(hi, (const char *)&x + sizeof x / 2, sizeof x / 2);
}
static inline void transpose(vec t[V]) {
  uint32_t from[V][V], to[V][V];
  memcpy(from, t, sizeof from);
  for (int i = 0; i < V; i++)
    for (int j = 0; j < V; j++) to[i][j] = from[j][i];
  memcpy(t, to, sizeof to);
}

#endif
