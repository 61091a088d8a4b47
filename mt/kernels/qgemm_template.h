/* The body of qgemm_avx2.c and qgemm_avx512_vnni.c. The including file defines
 * QGEMM_TABLE, the constants V (lanes), MR, NV and OFFSET, the type `vec` of
 * int32 lanes, and
 *   load, zero, splat           whole vectors of words
 *   dot(s, x, w)                s + the four products of each lane
 *   finish(s, excess, scale, x_scale, y)   y[0,V) = (s - excess) * (x_scale * scale) */
#include <string.h>

#include "mt/kernels/blocks.h"
#include "mt/kernels/qgemm_kernels.h"
#include "mt/kernels/quantize.h"
#include "mt/kernels/unroll.h"

enum { NR = NV * V };

/* m rows by nv vectors, both constants once inlined. */
static inline __attribute__((always_inline)) void tile(size_t m, size_t nv, size_t words,
                                                       const int32_t *x, const float *x_scale,
                                                       const int32_t *w, const int32_t *excess,
                                                       const float *w_scale, float *y, size_t ldy) {
  vec s[MR][NV];
  UNROLL for (size_t i = 0; i < m; i++)
    UNROLL for (size_t j = 0; j < nv; j++) s[i][j] = zero();
  for (size_t p = 0; p < words; p++, x += MR, w += nv * V) {
    vec t[NV];
    UNROLL for (size_t j = 0; j < nv; j++) t[j] = load(w + j * V);
    UNROLL for (size_t i = 0; i < m; i++) {
      vec b = splat(x[i]);
      UNROLL for (size_t j = 0; j < nv; j++) s[i][j] = dot(s[i][j], b, t[j]);
    }
  }
  UNROLL for (size_t i = 0; i < m; i++)
    UNROLL for (size_t j = 0; j < nv; j++)
      finish(s[i][j], excess + j * V, w_scale + j * V, x_scale[i], y + i * ldy + j * V);
}

typedef void tile_fn(size_t words, const int32_t *x, const float *x_scale, const int32_t *w,
                     const int32_t *excess, const float *w_scale, float *y, size_t ldy);
#define TILE(m, nv)                                                                              \
  static void tile_##m##_##nv(size_t words, const int32_t *x, const float *x_scale,              \
                              const int32_t *w, const int32_t *excess, const float *w_scale,     \
                              float *y, size_t ldy) {                                            \
    tile(m, nv, words, x, x_scale, w, excess, w_scale, y, ldy);                                  \
  }

#if MR_IS_8
#define TILES(m) TILE(m, 1) TILE(m, 2) TILE(m, 3)
#define NAMES(m) {tile_##m##_1, tile_##m##_2, tile_##m##_3}
TILES(1) TILES(2) TILES(3) TILES(4) TILES(5) TILES(6) TILES(7) TILES(8)
static tile_fn *const tiles[MR][NV] = {NAMES(1), NAMES(2), NAMES(3), NAMES(4),
                                       NAMES(5), NAMES(6), NAMES(7), NAMES(8)};
#else
#define TILES(m) TILE(m, 1) TILE(m, 2)
#define NAMES(m) {tile_##m##_1, tile_##m##_2}
TILES(1) TILES(2) TILES(3) TILES(4)
static tile_fn *const tiles[MR][NV] = {NAMES(1), NAMES(2), NAMES(3), NAMES(4)};
#endif

static void multiply(size_t m, size_t n, size_t words, const int32_t *x, const float *x_scale,
                     const int32_t *w, const int32_t *excess, const float *w_scale, float *y,
                     size_t ldy) {
  for (size_t j = 0; j < n; j += NR) {
    size_t width = least(NR, n - j), nv = (width + V - 1) / V;
    for (size_t i = 0; i < m; i += MR) {
      size_t height = least(MR, m - i);
      tile_fn *f = tiles[height - 1][nv - 1];
      float *to = y + i * ldy + j, t[MR * NR];
      bool whole = width % V == 0;
      f(words, x + i * words, x_scale + i, w + j * words, excess + j, w_scale + j, whole ? to : t,
        whole ? ldy : NR);
      for (size_t r = 0; !whole && r < height; r++)
        memcpy(to + r * ldy, t + r * NR, width * sizeof *t);
    }
  }
}

static void quantize_rows(size_t m, size_t in, const float *x, size_t ldx, int32_t *words,
                          float *scale) {
  quantize_panel(m, in, x, ldx, MR, OFFSET, words, scale);
}

const dg_qgemm_kernels QGEMM_TABLE = {.rows = MR,
                                      .columns = NR,
                                      .lanes = V,
                                      .offset = OFFSET,
                                      .quantize = quantize_rows,
                                      .multiply = multiply};
