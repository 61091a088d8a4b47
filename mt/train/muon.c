#include "mt/train/muon.h"

#include <math.h>

#include "mt/kernels/ops.h"

enum { ITERATIONS = 5 };

static size_t shorter(size_t rows, size_t cols) { return rows < cols ? rows : cols; }

size_t dg_muon_scratch(size_t rows, size_t cols) {
  size_t n = shorter(rows, cols);
  return 2 * (rows * cols + n * n);
}

/* U V^T for x = U S V^T, nearly: Newton-Schulz takes singular values in (0,1] to about [0.7,1.2]
 * by an odd polynomial with the steepest slope at 0 (Jordan et al. 2024). Returns where the
 * result is: x, or `scratch`, which has room for as many floats and two Gram matrices. */
static float *orthogonalize(dg_precision precision, size_t rows, size_t cols, float *x,
                            float *scratch) {
  const float a = 3.4445f, b = -4.7750f, c = 2.0315f;
  size_t n = shorter(rows, cols), size = rows * cols;
  bool tall = rows > cols;
  float *next = scratch, *gram = scratch + size, *square = gram + n * n;
  float norm = (float)sqrt(dg_ops_get()->sum_squares(size, x)); /* no singular value is larger */
  float scale = 1 / fmaxf(norm, 1e-7f);
  for (size_t i = 0; i < size; i++) x[i] *= scale;
  for (int k = 0; k < ITERATIONS; k++) {
    /* x becomes (aI + bG + cG^2) x with G = x x^T, or the same from the right. */
    dg_gemm(NULL, precision, tall, !tall, n, n, tall ? rows : cols, x, cols, x, cols, 0, gram, n);
    dg_gemm(NULL, precision, false, false, n, n, n, gram, n, gram, n, 0, square, n);
    for (size_t i = 0; i < n * n; i++) square[i] = b * gram[i] + c * square[i];
    for (size_t i = 0; i < n; i++) square[i * n + i] += a;
    if (tall) dg_gemm(NULL, precision, false, false, rows, n, n, x, n, square, n, 0, next, n);
    else dg_gemm(NULL, precision, false, false, n, cols, n, square, n, x, cols, 0, next, cols);
    float *swap = x;
    x = next, next = swap;
  }
  return x;
}

void dg_muon(const dg_muon_step *s, size_t rows, size_t cols, const float *g, float *w, float *m,
             float *scratch) {
  size_t size = rows * cols;
  for (size_t i = 0; i < size; i++) {
    float grad = g[i] * s->gradient_scale;
    m[i] += (1 - s->momentum) * (grad - m[i]);
    scratch[i] = grad + s->momentum * (m[i] - grad); /* Nesterov's */
  }
  const float *o = orthogonalize(s->precision, rows, cols, scratch, scratch + size);
  float step = s->lr * 0.2f * sqrtf((float)(rows > cols ? rows : cols));
  for (size_t i = 0; i < size; i++) w[i] -= w[i] * (s->lr * s->weight_decay) + step * o[i];
}
