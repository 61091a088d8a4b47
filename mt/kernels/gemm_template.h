/* The body of every gemm_*.c but those of 16-bit integers, after Goto & van de Geijn 2008 and Van
 * Zee & van de Geijn 2015 (BLIS). The including file defines GEMM_TABLE, GEMM_ROWS, the
 * constants V (words in a vector) and PER_WORD, the type `vec`, and
 *   load, store, zero, splat    whole vectors of words
 *   dot(s, a, b)                s + a*b, in fp32
 *   of_int8(x, scale), of_bf16(x)   V floats of stored ones
 *   along(x, n)                 V words from n <= V*PER_WORD floats in a row
 *   across(x, y, n)             n <= V words from floats of step p at x and p+1 at y (or NULL)
 *   store_halves(lo, hi, v)     V/2 words to each
 *   transpose(v[V])             in place */
#include <string.h>

#include "mt/kernels/blocks.h"
#include "mt/kernels/gemm_kernels.h"
#include "mt/kernels/unroll.h"
#include "mt/kernels/widen.h"

enum { MR = V / 2, NV = 3, NR = NV * V };

/* Up to V rows to pack along: floats of step ld, or stored rows, all of one type or mixed. */
enum { FLOATS = -2, MIXED = -1 };
typedef struct lines {
  const float *x;
  size_t ld;
  const dg_stored_row *rows;
} lines;

/* V words from n numbers of line i, its number p first. */
static inline __attribute__((always_inline)) vec along_line(int type, const lines *l, size_t i,
                                                            size_t p, size_t n) {
  if (type == FLOATS) return along(l->x + i * l->ld + p, n);
  const dg_stored_row *r = l->rows + i;
  dg_storage s = type == MIXED ? r->type : (dg_storage)type;
  const char *x = r->at + p * dg_storage_size(s);
  if (s == DG_STORE_FP32) return along((const float *)(const void *)x, n);
  float wide[V * PER_WORD];
  if (n < V * PER_WORD) dg_widen(s, r->scale, n, x, wide);
  else
    for (size_t e = 0; e < n; e += V)
      store(wide + e, s == DG_STORE_INT8 ? of_int8(x + e, r->scale) : of_bf16(x + 2 * e));
  return along(wide, n);
}

/* V lanes (rows of op(A) or columns of op(B)), of which n hold data: the first
 * half of each step's words goes to `low`, the rest to `high`. Steps [p,k). */
static inline __attribute__((always_inline)) void pack_lines(int type, size_t n, size_t p,
                                                             size_t k, lines l, float *low,
                                                             float *high, size_t step) {
  vec t[V];
  for (; n == V && p + V * PER_WORD <= k; p += V * PER_WORD) {
    for (size_t i = 0; i < V; i++) t[i] = along_line(type, &l, i, p, V * PER_WORD);
    transpose(t);
    for (size_t i = 0; i < V; i++, low += step, high += step) store_halves(low, high, t[i]);
  }
  for (; p < k; p += V * PER_WORD) {
    size_t steps = least(k - p, V * PER_WORD), words = (steps + PER_WORD - 1) / PER_WORD;
    for (size_t i = 0; i < V; i++) t[i] = i < n ? along_line(type, &l, i, p, steps) : zero();
    transpose(t);
    for (size_t i = 0; i < words; i++, low += step, high += step) store_halves(low, high, t[i]);
  }
}

static void pack_along(size_t n, size_t k, const float *x, size_t ld, float *low, float *high,
                       size_t step) {
  pack_lines(FLOATS, n, 0, k, (lines){x, ld, NULL}, low, high, step);
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

/* In a panel of B both halves lie together. */
static void pack_int8(size_t n, size_t k, const dg_stored_row *rows, float *to, size_t step) {
  size_t p = 0;
#ifdef TURN_INT8
  if (n == V) {
    float scale[V];
    for (size_t i = 0; i < V; i++) scale[i] = rows[i].scale;
    for (vec s = load(scale); p + TURN_INT8 <= k; p += TURN_INT8, to += TURN_INT8 * step)
      turn_int8(rows, p, s, to, step);
  }
#endif
  pack_lines(DG_STORE_INT8, n, p, k, (lines){.rows = rows}, to, to + MR, step);
}

static void pack_weight(const dg_matrix *b, size_t cols, size_t row, size_t n, size_t column,
                        size_t k, float *words) {
  size_t steps = (k + PER_WORD - 1) / PER_WORD;
  for (size_t j = 0; j < n; j += V) {
    size_t first = j / NR * NR, step = least(NR, round_up(n - first, V)), count = least(V, n - j);
    float *low = words + first * steps + (j - first);
    dg_stored_row rows[V];
    int type = MIXED;
    for (size_t i = 0; i < count; i++) {
      rows[i] = dg_find_row(b, cols, row + j + i, column);
      type = !i || type == (int)rows[i].type ? (int)rows[i].type : MIXED;
    }
    lines l = {.rows = rows};
    if (type == DG_STORE_INT8) pack_int8(count, k, rows, low, step);
    else if (type == DG_STORE_BF16) pack_lines(DG_STORE_BF16, count, 0, k, l, low, low + MR, step);
    else pack_lines(MIXED, count, 0, k, l, low, low + MR, step);
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
                                    .pack_weight = pack_weight,
                                    .multiply = multiply,
                                    .widen = widen};
