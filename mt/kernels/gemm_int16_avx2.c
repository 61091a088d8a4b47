#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "mt/kernels/gemm_int16.h"
#include "mt/kernels/transpose_avx2.h"
#include "mt/kernels/unroll.h"

enum { V = 8, MR = 4, NV = 2, NR = NV * V };

static inline size_t least(size_t x, size_t y) { return x < y ? x : y; }
static inline size_t round_up(size_t x, size_t to) { return (x + to - 1) / to * to; }
static inline void store(void *p, __m256i x) { _mm256_storeu_si256((__m256i *)p, x); }
static inline __m256i load(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }

/* A row of k numbers; q has zeros up to a multiple of 16. */
static void round_row(size_t k, const float *x, const float *by, int16_t *q, float *scale) {
  float t[DG_INT16_K];
  size_t wide = round_up(k, 16);
  for (size_t p = 0; p < k; p++) t[p] = by ? x[p] * by[p] : x[p];
  for (size_t p = k; p < wide; p++) t[p] = 0;
  /* Magnitudes order as their bits do, NaN last. */
  __m256i top = _mm256_setzero_si256(), magnitude = _mm256_set1_epi32(0x7fffffff);
  for (size_t p = 0; p < wide; p += V)
    top = _mm256_max_epi32(top, _mm256_and_si256(load(t + p), magnitude));
  int32_t tops[V], most = 0;
  store(tops, top);
  for (int i = 0; i < V; i++) most = tops[i] > most ? tops[i] : most;
  float largest;
  memcpy(&largest, &most, sizeof largest);
  bool zero = !isfinite(largest) || largest < 1e-30F;
  *scale = isfinite(largest) ? (zero ? 0 : largest / 32767) : NAN;
  if (zero) {
    memset(q, 0, wide * sizeof *q);
    return;
  }
  __m256 inverse = _mm256_set1_ps(32767 / largest);
  for (size_t p = 0; p < wide; p += 16) {
    __m256i low = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(t + p), inverse));
    __m256i high = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(t + p + V), inverse));
    store(q + p, _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8));
  }
}

static void pack_left(size_t m, size_t k, const float *x, size_t ldx, const float *by,
                      int32_t *words, float *scale) {
  size_t steps = (k + 1) / 2;
  int16_t q[MR][DG_INT16_K];
  for (size_t i = 0; i < m; i += MR, words += MR * steps) {
    for (size_t r = 0; r < MR; r++) {
      if (i + r < m) round_row(k, x + (i + r) * ldx, by, q[r], scale + i + r);
      else memset(q[r], 0, round_up(k, 16) * sizeof *q[r]);
    }
    for (size_t p = 0; p < steps; p += V) { /* MR rows of V words, turned */
      __m256i w[MR], turned[MR];
      for (size_t r = 0; r < MR; r++) w[r] = load(q[r] + 2 * p);
      for (size_t half = 0; half < 2; half++) {
        __m256i u = half ? _mm256_unpackhi_epi32(w[0], w[1]) : _mm256_unpacklo_epi32(w[0], w[1]);
        __m256i v = half ? _mm256_unpackhi_epi32(w[2], w[3]) : _mm256_unpacklo_epi32(w[2], w[3]);
        turned[2 * half] = _mm256_unpacklo_epi64(u, v); /* words 2 half and 4 + 2 half */
        turned[2 * half + 1] = _mm256_unpackhi_epi64(u, v);
      }
      int32_t *to = words + p * MR;
      for (size_t s = 0; s < least(V, steps - p); s++)
        _mm_storeu_si128((__m128i *)(void *)(to + s * MR),
                         s < MR ? _mm256_castsi256_si128(turned[s])
                                : _mm256_extracti128_si256(turned[s - MR], 1));
    }
  }
}

static inline __m256 widen(const int8_t *x, size_t n) { /* words, whatever they hold */
  int8_t t[2 * V] = {0};
  if (n < 2 * V) x = memcpy(t, x, n);
  return _mm256_castsi256_ps(
      _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)x)));
}

static void pack_columns(size_t n, size_t k, const int8_t *const *column, int32_t *words) {
  size_t steps = (k + 1) / 2;
  for (size_t j = 0; j < n; j += V) {
    size_t first = j / NR * NR, step = least(NR, round_up(n - first, V));
    int32_t *to = words + first * steps + (j - first);
    for (size_t p = 0; p < steps; p += V) {
      __m256 t[V];
      for (size_t i = 0; i < V; i++)
        t[i] = j + i < n ? widen(column[j + i] + 2 * p, least(2 * V, k - 2 * p))
                         : _mm256_setzero_ps();
      transpose(t);
      for (size_t s = 0; s < least(V, steps - p); s++)
        store(to + (p + s) * step, _mm256_castps_si256(t[s]));
    }
  }
}

static void pack_rows(size_t n, size_t k, const int8_t *const *row, int32_t *words) {
  static const int8_t none[V] = {0};
  size_t steps = (k + 1) / 2;
  for (size_t j = 0; j < n; j += V) {
    size_t first = j / NR * NR, step = least(NR, round_up(n - first, V)), held = least(V, n - j);
    int32_t *to = words + first * steps + (j - first);
    for (size_t p = 0; p < steps; p++, to += step) {
      const int8_t *even = row[2 * p] + j, *odd = 2 * p + 1 < k ? row[2 * p + 1] + j : none;
      int8_t t[2][V] = {{0}};
      if (held < V) {
        even = memcpy(t[0], even, held);
        odd = memcpy(t[1], odd, held);
      }
      __m128i pairs = _mm_unpacklo_epi8(_mm_loadl_epi64((const __m128i *)(const void *)even),
                                        _mm_loadl_epi64((const __m128i *)(const void *)odd));
      store(to, _mm256_cvtepi8_epi16(pairs));
    }
  }
}

#define ROW(at, s0, s1)                         \
  "vpbroadcastd " #at "(%[left]), %[x]\n\t"     \
  "vpmaddwd %[t0], %[x], %[p]\n\t"              \
  "vpmaddwd %[t1], %[x], %[x]\n\t"              \
  "vpaddd %[p], %[" #s0 "], %[" #s0 "]\n\t"     \
  "vpaddd %[x], %[" #s1 "], %[" #s1 "]\n\t"

/* The sums of a whole tile. By hand, for what counts here is the number of instructions, of which
 * six begin in a cycle: GCC 12 moves every sum to and fro between registers, half as many again. */
static inline void whole_sums(size_t steps, const int32_t *left, const int32_t *right,
                              __m256i s[MR][NV]) {
  __m256i t0, t1, x, p;
  __asm__(
      "0:\n\t"
      "vmovdqu (%[right]), %[t0]\n\t"
      "vmovdqu 32(%[right]), %[t1]\n\t"
      ROW(0, a0, a1) ROW(4, b0, b1) ROW(8, c0, c1) ROW(12, d0, d1)
      "add $16, %[left]\n\t"
      "add $64, %[right]\n\t"
      "dec %[steps]\n\t"
      "jnz 0b"
      : [a0] "+x"(s[0][0]), [a1] "+x"(s[0][1]), [b0] "+x"(s[1][0]), [b1] "+x"(s[1][1]),
        [c0] "+x"(s[2][0]), [c1] "+x"(s[2][1]), [d0] "+x"(s[3][0]), [d1] "+x"(s[3][1]),
        [t0] "=&x"(t0), [t1] "=&x"(t1), [x] "=&x"(x), [p] "=&x"(p), [left] "+r"(left),
        [right] "+r"(right), [steps] "+r"(steps)
      :
      : "memory", "cc");
}

/* m rows by nv vectors, both constants once inlined. */
static inline __attribute__((always_inline)) void tile(size_t m, size_t nv, size_t steps,
                                                       const int32_t *left, const float *left_scale,
                                                       const int32_t *right,
                                                       const float *right_scale, bool add, float *c,
                                                       size_t ldc) {
  __m256i s[MR][NV];
  UNROLL for (size_t i = 0; i < m; i++)
    UNROLL for (size_t j = 0; j < nv; j++) s[i][j] = _mm256_setzero_si256();
  bool whole = m == MR && nv == NV;
  if (whole) whole_sums(steps, left, right, s);
  for (size_t p = 0; !whole && p < steps; p++, left += MR, right += nv * V) {
    UNROLL for (size_t i = 0; i < m; i++) {
      __m256i x = _mm256_set1_epi32(left[i]);
      UNROLL for (size_t j = 0; j < nv; j++)
        s[i][j] = _mm256_add_epi32(s[i][j], _mm256_madd_epi16(x, load(right + j * V)));
    }
  }
  UNROLL for (size_t i = 0; i < m; i++, c += ldc)
    UNROLL for (size_t j = 0; j < nv; j++) {
      __m256 scale = _mm256_loadu_ps(right_scale + j * V);
      scale = _mm256_mul_ps(_mm256_set1_ps(left_scale[i]), scale);
      __m256 y = _mm256_mul_ps(_mm256_cvtepi32_ps(s[i][j]), scale);
      _mm256_storeu_ps(c + j * V, add ? _mm256_add_ps(_mm256_loadu_ps(c + j * V), y) : y);
    }
}

typedef void tile_fn(size_t steps, const int32_t *left, const float *left_scale,
                     const int32_t *right, const float *right_scale, bool add, float *c,
                     size_t ldc);
#define TILE(m, nv)                                                                              \
  static void tile_##m##_##nv(size_t steps, const int32_t *left, const float *left_scale,        \
                              const int32_t *right, const float *right_scale, bool add, float *c, \
                              size_t ldc) {                                                      \
    tile(m, nv, steps, left, left_scale, right, right_scale, add, c, ldc);                       \
  }
#define TILES(m) TILE(m, 1) TILE(m, 2)
#define NAMES(m) {tile_##m##_1, tile_##m##_2}
TILES(1) TILES(2) TILES(3) TILES(4)
static tile_fn *const tiles[MR][NV] = {NAMES(1), NAMES(2), NAMES(3), NAMES(4)};

static void multiply(size_t m, size_t n, size_t steps, const int32_t *left, const float *left_scale,
                     const int32_t *right, const float *right_scale, bool add, float *c,
                     size_t ldc) {
  for (size_t j = 0; j < n; j += NR) {
    size_t width = least(NR, n - j), nv = (width + V - 1) / V;
    for (size_t i = 0; i < m; i += MR) {
      size_t height = least(MR, m - i);
      tile_fn *f = tiles[height - 1][nv - 1];
      float *to = c + i * ldc + j, t[MR * NR];
      bool whole = width % V == 0;
      f(steps, left + i * steps, left_scale + i, right + j * steps, right_scale + j, whole && add,
        whole ? to : t, whole ? ldc : NR);
      for (size_t r = 0; !whole && r < height; r++, to += ldc)
        for (size_t q = 0; q < width; q++) to[q] = add ? to[q] + t[r * NR + q] : t[r * NR + q];
    }
  }
}

const dg_int16_kernels dg_int16_avx2 = {.rows = MR,
                                        .columns = NR,
                                        .lanes = V,
                                        .pack_left = pack_left,
                                        .pack_columns = pack_columns,
                                        .pack_rows = pack_rows,
                                        .multiply = multiply};
#else
typedef int dg_not_this_machine; /* an empty translation unit is not C */
#endif
