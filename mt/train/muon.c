#include "mt/train/muon.h"

#include <math.h>
#include <string.h>

#include "mt/kernels/gemm.h"
#include "mt/kernels/ops.h"

enum { ITERATIONS = 5, STRIP = 64, TILE = 16 };

static size_t least(size_t x, size_t y) { return x < y ? x : y; }

size_t dg_muon_scratch(size_t rows, size_t cols) {
  size_t n = least(rows, cols);
  return 2 * rows * cols + 4 * n * n;
}

/* C[n,n] = op(A) op(B), known to be symmetric: what is above the diagonal is copied. */
static void symmetric_product(bool ta, bool tb, size_t n, size_t k, const float *a, size_t lda,
                              const float *b, size_t ldb, float *c) {
  for (size_t i = 0; i < n; i += STRIP) {
    size_t rows = least(STRIP, n - i);
    dg_gemm(NULL, DG_FP32, ta, tb, rows, i + rows, k, ta ? a + i : a + i * lda, lda, b, ldb, 0,
            c + i * n, n);
  }
  for (size_t i = 0; i < n; i += TILE)
    for (size_t j = 0; j <= i; j += TILE)
      for (size_t q = j; q < least(j + TILE, n); q++)
        for (size_t r = i; r < least(i + TILE, n); r++)
          if (r > q) c[q * n + r] = c[r * n + q];
}

static void multiply(size_t n, const float *a, const float *b, float *c) {
  symmetric_product(false, false, n, n, a, n, b, n, c);
}

/* o = U V^T for x = U S V^T, nearly: Newton-Schulz takes singular values in (0,1] to about
 * [0.7,1.2] by odd polynomials with the steepest slope at 0 (Jordan et al. 2024). A step is x to
 * p(x x^T) x, and all p commute: they are multiplied first, small symmetric matrices, and with x
 * last. In fp32, for what bfloat16 makes of the smallest eigenvalues would grow 10^5 times. */
static void orthogonalize(size_t rows, size_t cols, float *x, float *scratch, float *o) {
  const float a = 3.4445f, b = -4.7750f, c = 2.0315f;
  size_t n = least(rows, cols), size = rows * cols, square = n * n;
  bool tall = rows > cols;
  float *gram = scratch, *p = gram + square, *q = p + square, *spare = q + square;
  float norm = (float)sqrt(dg_ops_get()->sum_squares(size, x)); /* no singular value is larger */
  float scale = 1 / fmaxf(norm, 1e-7f);
  for (size_t i = 0; i < size; i++) x[i] *= scale;
  symmetric_product(tall, !tall, n, tall ? rows : cols, x, cols, x, cols, gram);
  for (int k = 1; k <= ITERATIONS; k++) {
    multiply(n, gram, gram, p);
    for (size_t i = 0; i < square; i++) p[i] = b * gram[i] + c * p[i];
    for (size_t i = 0; i < n; i++) p[i * n + i] += a;
    if (k == 1) {
      memcpy(q, p, square * sizeof *q);
    } else {
      multiply(n, p, q, spare);
      float *swap = q;
      q = spare, spare = swap;
    }
    if (k == ITERATIONS) break;
    multiply(n, p, gram, spare); /* of p x */
    multiply(n, p, spare, gram);
  }
  if (tall) dg_gemm(NULL, DG_FP32, false, false, rows, n, n, x, n, q, n, 0, o, n);
  else dg_gemm(NULL, DG_FP32, false, false, n, cols, n, q, n, x, cols, 0, o, cols);
}

void dg_muon(const dg_muon_step *s, size_t rows, size_t cols, const float *g, float *w, float *m,
             float *scratch) {
  size_t size = rows * cols;
  float *x = scratch, *o = x + size;
  for (size_t i = 0; i < size; i++) {
    float grad = g[i] * s->gradient_scale;
    m[i] += (1 - s->momentum) * (grad - m[i]);
    x[i] = grad + s->momentum * (m[i] - grad); /* Nesterov's */
  }
  orthogonalize(rows, cols, x, o + size, o);
  float step = s->lr * 0.2f * sqrtf((float)(rows > cols ? rows : cols));
  for (size_t i = 0; i < size; i++) w[i] -= w[i] * (s->lr * s->weight_decay) + step * o[i];
}
