/* The body of every gemm_*.c, after Goto & van de Geijn 2008 and Van Zee & van
 * de Geijn 2015 (BLIS). The including file defines GEMM_TABLE, GEMM_ROWS, the
 * constants V (words in a vector) and PER_WORD, the type `vec`, and
 *   load, store, zero, splat    whole vectors of words
 *   dot(s, a, b)                s + a*b, in fp32
 *   along(x, n)                 V words from n <= V*PER_WORD floats in a row
 *   across(x, y, n)             n <= V words from floats of step p at x and p+1 at y (or NULL)
 *   store_halves(lo, hi, v)     V/2 words to each
 *   transpose(v[V])             in place */
#include <string.h>

#include "mt/kernels/gemm_kernels.h"
#include "mt/kernels/unroll.h"
#include "mt/kernels/widen.h"

enum { MR = V / 2, NV = 3, NR = NV * V };

static inline size_t least(size_t x, size_t y) { return x < y ? x : y; }
static inline size_t round_up(size_t x, size_t to) { return (x + to - 1) / to * to; }

/* V lanes (rows of op(A) or columns of op(B)), of which n hold data: the first
 * half of each step's words goes to `low`, the rest to `high`. */
static void pack_along(size_t n, size_t k, const float *x, size_t ld, float *low, float *high,
                       size_t step) {
  vec t[V];
  size_t p = 0;
  for (; n == V && p + V * PER_WORD <= k; p += V * PER_WORD) {
    for (size_t i = 0; i < V; i++) t[i] = along(x + i * ld + p, V * PER_WORD);
    transpose(t);
    for (size_t i = 0; i < V; i++, low += step, high += step) store_halves(low, high, t[i]);
  }
  for (; p < k; p += V * PER_WORD) {
    size_t steps = least(k - p, V * PER_WORD), words = (steps + PER_WORD - 1) / PER_WORD;
    for (size_t i = 0; i < V; i++) t[i] = i < n ? along(x + i * ld + p, steps) : zero();
    transpose(t);
    for (size_t i = 0; i < words; i++, low += step, high += step) store_halves(low, high, t[i]);
  }
}

static void pack_across(size_t n, size_t k, const float *x, size_t ld, float *low, float *high,
                        size_t step) {
  size_t p = 0;
  for (; n == V && p + PER_WORD <= k; p += PER_WORD, low += step, high += step)
    store_halves(low, high, across(x + p * ld, x + (p + PER_WORD - 1) * ld, V));
  for (; p < k; p += PER_WORD, low += step, high += step)
    store_halves(low, high,
                 across(x + p * ld, p + PER_WORD <= k ? x + (p + PER_WORD - 1) * ld : NULL, n));
}

static void pack_a(bool transposed, size_t m, size_t k, const float *a, size_t lda, float *words) {
  size_t steps = (k + PER_WORD - 1) / PER_WORD;
  for (size_t i = 0; i < m; i += V) {
    float *low = words + i * steps, *high = low + MR * steps;
    if (transposed)
      pack_across(least(V, m - i), k, a + i, lda, low, high, MR);
    else
      pack_along(least(V, m - i), k, a + i * lda, lda, low, high, MR);
  }
}

static void pack_b(bool transposed, size_t n, size_t k, const float *b, size_t ldb, float *words) {
  size_t steps = (k + PER_WORD - 1) / PER_WORD;
  for (size_t j = 0; j < n; j += V) {
    size_t first = j / NR * NR, step = least(NR, round_up(n - first, V));
    float *low = words + first * steps + (j - first), *high = low + MR;
    if (transposed)
      pack_along(least(V, n - j), k, b + j * ldb, ldb, low, high, step);
    else
      pack_across(least(V, n - j), k, b + j, ldb, low, high, step);
  }
}

static void widen(const dg_matrix *b, size_t cols, size_t row, size_t rows, size_t column,
                  size_t columns, float *out) {
  for (size_t r = 0; r < rows; r++, out += columns)
    dg_widen_row(b, cols, row + r, column, columns, out);
}

/* m rows by nv vectors of C, both constants once inlined: the sums live in registers. */
static inline __attribute__((always_inline)) void tile(size_t m, size_t nv, size_t k,
                                                       const float *a, const float *b, bool add,
                                                       float *c, size_t ldc) {
  vec s[MR][NV];
  UNROLL for (size_t i = 0; i < m; i++)
    UNROLL for (size_t j = 0; j < nv; j++) s[i][j] = zero();
  for (size_t p = 0; p < k; p++, a += MR, b += nv * V) {
    vec t[NV];
    UNROLL for (size_t j = 0; j < nv; j++) t[j] = load(b + j * V);
    UNROLL for (size_t i = 0; i < m; i++) {
      vec x = splat(a[i]);
      UNROLL for (size_t j = 0; j < nv; j++) s[i][j] = dot(s[i][j], x, t[j]);
    }
  }
  UNROLL for (size_t i = 0; i < m; i++, c += ldc)
    UNROLL for (size_t j = 0; j < nv; j++)
      store(c + j * V, add ? plus(load(c + j * V), s[i][j]) : s[i][j]);
}

typedef void tile_fn(size_t k, const float *a, const float *b, bool add, float *c, size_t ldc);
#define TILE(m, nv)                                                                         \
  static void tile_##m##_##nv(size_t k, const float *a, const float *b, bool add, float *c, \
                              size_t ldc) {                                                 \
    tile(m, nv, k, a, b, add, c, ldc);                                                      \
  }
#define TILES(m) TILE(m, 1) TILE(m, 2) TILE(m, 3)
TILES(1) TILES(2) TILES(3) TILES(4)
#if GEMM_ROWS_8
TILES(5) TILES(6) TILES(7) TILES(8)
#endif
#define NAMES(m) {tile_##m##_1, tile_##m##_2, tile_##m##_3}
static tile_fn *const tiles[MR][NV] = {
    NAMES(1), NAMES(2), NAMES(3), NAMES(4),
#if GEMM_ROWS_8
    NAMES(5), NAMES(6), NAMES(7), NAMES(8),
#endif
};

static void multiply(size_t m, size_t n, size_t k, const float *a, const float *b, bool add,
                     float *c, size_t ldc) {
  for (size_t j = 0; j < n; j += NR) {
    size_t width = least(NR, n - j), nv = (width + V - 1) / V;
    for (size_t i = 0; i < m; i += MR) {
      size_t height = least(MR, m - i);
      tile_fn *f = tiles[height - 1][nv - 1];
      float *to = c + i * ldc + j;
      if (width % V == 0) {
        f(k, a + i * k, b + j * k, add, to, ldc);
        continue;
      }
      float t[MR * NR];
      f(k, a + i * k, b + j * k, false, t, NR);
      for (size_t r = 0; r < height; r++, to += ldc)
        for (size_t q = 0; q < width; q++) to[q] = add ? to[q] + t[r * NR + q] : t[r * NR + q];
    }
  }
}

const dg_gemm_kernels GEMM_TABLE = {.lanes = V,
                                    .per_word = PER_WORD,
                                    .rows = GEMM_ROWS,
                                    .pack_a = pack_a,
                                    .pack_b = pack_b,
                                    .multiply = multiply,
                                    .widen = widen};
