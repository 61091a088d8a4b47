#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "mt/kernels/blocks.h"
#include "mt/kernels/gemm_int16.h"
#include "mt/kernels/transpose_avx2.h"
#include "mt/kernels/unroll.h"

enum { V = 8, MR = 6, NV = 2, NR = NV * V };

static inline void store(void *p, __m256i x) { _mm256_storeu_si256((__m256i *)p, x); }
static inline __m256i load(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }

static inline __m256i turn(__m256 x, __m256 inverse) {
  return _mm256_cvtps_epi32(_mm256_mul_ps(x, inverse));
}

/* What makes `most` of the largest magnitude, told by its bits: they order as magnitudes do, NaN
 * last. */
static float inverse_of(int32_t top, float most, float *scale) {
  float largest;
  memcpy(&largest, &top, sizeof largest);
  *scale = !isfinite(largest) ? NAN : largest < 1e-30F ? 0 : largest / most;
  return *scale > 0 ? most / largest : 0;
}

/* A line of k numbers; q has zeros up to a multiple of 16. */
static void round_line(size_t k, const float *x, const float *by, float most, int16_t *q,
                       float *scale) {
  float t[DG_INT16_K];
  size_t wide = round_up(k, 16);
  if (by || wide > k) {
    for (size_t p = 0; p < k; p++) t[p] = by ? x[p] * by[p] : x[p];
    for (size_t p = k; p < wide; p++) t[p] = 0;
    x = t;
  }
  __m256i top = _mm256_setzero_si256(), magnitude = _mm256_set1_epi32(0x7fffffff);
  for (size_t p = 0; p < wide; p += V)
    top = _mm256_max_epi32(top, _mm256_and_si256(load(x + p), magnitude));
  int32_t tops[V], highest = 0;
  store(tops, top);
  for (int i = 0; i < V; i++) highest = tops[i] > highest ? tops[i] : highest;
  float factor = inverse_of(highest, most, scale);
  if (factor == 0) { /* NaN times it is no zero */
    memset(q, 0, wide * sizeof *q);
    return;
  }
  __m256 inverse = _mm256_set1_ps(factor);
  for (size_t p = 0; p < wide; p += 16) {
    __m256i low = turn(_mm256_loadu_ps(x + p), inverse);
    __m256i high = turn(_mm256_loadu_ps(x + p + V), inverse);
    store(q + p, _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8));
  }
}

/* Where the words of eight lines go that begin at a multiple of eight: side by side on the right;
 * on the left panels end between two pairs of lines. */
typedef struct place {
  int32_t *pair[V / 2];
  size_t step; /* to the next word of a line */
} place;

static inline place place_of(bool right, size_t n, size_t steps, size_t j, int32_t *words) {
  place to = {.step = MR};
  if (right) {
    size_t first = j / NR * NR;
    to.step = least(NR, round_up(n - first, V));
    to.pair[0] = words + first * steps + (j - first);
  }
  for (size_t q = 0; !right && q < V / 2; q++) {
    size_t line = j + 2 * q, first = line / MR * MR;
    to.pair[q] = words + first * steps + (line - first);
  }
  return to;
}

/* Word s of each. */
static inline void put_words(bool right, const place *to, size_t s, __m256i words) {
  size_t at = s * to->step;
  if (right) {
    store(to->pair[0] + at, words);
    return;
  }
  __m128i low = _mm256_castsi256_si128(words), high = _mm256_extracti128_si256(words, 1);
  _mm_storel_pd((double *)(void *)(to->pair[0] + at), _mm_castsi128_pd(low));
  _mm_storeh_pd((double *)(void *)(to->pair[1] + at), _mm_castsi128_pd(low));
  _mm_storel_pd((double *)(void *)(to->pair[2] + at), _mm_castsi128_pd(high));
  _mm_storeh_pd((double *)(void *)(to->pair[3] + at), _mm_castsi128_pd(high));
}

static void pack_lines(bool right, size_t n, size_t k, const void *const *line, const float *by,
                       float most, int32_t *words, float *scale) {
  size_t steps = (k + 1) / 2;
  int16_t q[V][DG_INT16_K];
  for (size_t j = 0; j < n; j += V) {
    for (size_t i = 0; i < V; i++) {
      if (j + i < n) round_line(k, line[j + i], by, most, q[i], scale + j + i);
      else memset(q[i], 0, round_up(k, 16) * sizeof *q[i]);
    }
    place to = place_of(right, n, steps, j, words);
    for (size_t p = 0; p < steps; p += V) {
      __m256 t[V];
      for (size_t i = 0; i < V; i++) t[i] = _mm256_castsi256_ps(load(q[i] + 2 * p));
      transpose(t);
      for (size_t s = 0; s < least(V, steps - p); s++)
        put_words(right, &to, p + s, _mm256_castps_si256(t[s]));
    }
  }
}

/* Eight numbers of a row of n, or what there is of them. */
static inline __m256 load_part(const float *x, size_t at, size_t n) {
  if (n - at >= V) return _mm256_loadu_ps(x + at);
  __m256i all = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_maskload_ps(x + at, _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(n - at)), all));
}

static void pack_across(bool right, size_t n, size_t k, const void *const *row, float most,
                        int32_t *words, float *scale) {
  enum { STRIP = 8 }; /* vectors: then a row is read in whole cache lines */
  size_t steps = (k + 1) / 2;
  __m256i magnitude = _mm256_set1_epi32(0x7fffffff), top[STRIP];
  place to[STRIP];
  __m256 inverse[STRIP];
  for (size_t j = 0; j < n; j += STRIP * V) {
    size_t vectors = least(STRIP, (n - j + V - 1) / V);
    for (size_t v = 0; v < STRIP; v++) top[v] = _mm256_setzero_si256();
    for (size_t p = 0; p < k; p++)
      for (size_t v = 0; v < vectors; v++) {
        __m256i x = _mm256_castps_si256(load_part(row[p], j + v * V, n));
        top[v] = _mm256_max_epi32(top[v], _mm256_and_si256(x, magnitude));
      }
    for (size_t v = 0; v < vectors; v++) {
      int32_t tops[V];
      float factors[V], unused;
      to[v] = place_of(right, n, steps, j + v * V, words);
      store(tops, top[v]);
      for (size_t i = 0; i < V; i++) {
        size_t at = j + v * V + i;
        factors[i] = inverse_of(tops[i], most, at < n ? scale + at : &unused);
      }
      inverse[v] = _mm256_loadu_ps(factors);
    }
    for (size_t s = 0; s < steps; s++)
      for (size_t v = 0; v < vectors; v++) {
        size_t at = j + v * V;
        __m256i even = turn(load_part(row[2 * s], at, n), inverse[v]);
        __m256i odd = _mm256_setzero_si256();
        if (2 * s + 1 < k) odd = turn(load_part(row[2 * s + 1], at, n), inverse[v]);
        put_words(right, &to[v], s, _mm256_blend_epi16(even, _mm256_slli_epi32(odd, 16), 0xaa));
      }
  }
}

/* Words, whatever they hold, of sixteen numbers of a line of n, or of what there is of them. */
static inline __m256 widen(const int8_t *x, size_t at, size_t n) {
  int8_t t[2 * V] = {0};
  x = n - at < 2 * V ? memcpy(t, x + at, n - at) : x + at;
  return _mm256_castsi256_ps(
      _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)x)));
}

static void pack_lines8(size_t n, size_t k, const void *const *line, int32_t *words) {
  size_t steps = (k + 1) / 2;
  for (size_t j = 0; j < n; j += V) {
    place to = place_of(true, n, steps, j, words);
    for (size_t p = 0; p < steps; p += V) {
      __m256 t[V];
      for (size_t i = 0; i < V; i++)
        t[i] = j + i < n ? widen(line[j + i], 2 * p, k) : _mm256_setzero_ps();
      transpose(t);
      for (size_t s = 0; s < least(V, steps - p); s++)
        put_words(true, &to, p + s, _mm256_castps_si256(t[s]));
    }
  }
}

static void pack_across8(size_t n, size_t k, const void *const *row, int32_t *words) {
  static const int8_t none[V] = {0};
  size_t steps = (k + 1) / 2;
  for (size_t j = 0; j < n; j += V) {
    place to = place_of(true, n, steps, j, words);
    size_t held = least(V, n - j);
    for (size_t p = 0; p < steps; p++) {
      const int8_t *even = row[2 * p], *odd = 2 * p + 1 < k ? row[2 * p + 1] : NULL;
      even += j;
      odd = odd ? odd + j : none;
      int8_t t[2][V] = {{0}};
      if (held < V) {
        even = memcpy(t[0], even, held);
        odd = memcpy(t[1], odd, held);
      }
      __m128i pairs = _mm_unpacklo_epi8(_mm_loadl_epi64((const __m128i *)(const void *)even),
                                        _mm_loadl_epi64((const __m128i *)(const void *)odd));
      put_words(true, &to, p, _mm256_cvtepi8_epi16(pairs));
    }
  }
}

#define ZERO(r)                          \
  "vpxor %[" #r "0], %[" #r "0], %[" #r "0]\n\t" \
  "vpxor %[" #r "1], %[" #r "1], %[" #r "1]\n\t"
#define ROW(ahead, i, r)                                   \
  "vpbroadcastd 24*" #ahead "+4*" #i "(%[left]), %[x]\n\t" \
  "vpmaddwd %[t0], %[x], %[p]\n\t"                         \
  "vpmaddwd %[t1], %[x], %[x]\n\t"                         \
  "vpaddd %[p], %[" #r "0], %[" #r "0]\n\t"                \
  "vpaddd %[x], %[" #r "1], %[" #r "1]\n\t"
#define STEP(ahead)                                    \
  "vmovdqu 64*" #ahead "(%[right]), %[t0]\n\t"         \
  "vmovdqu 64*" #ahead "+32(%[right]), %[t1]\n\t"      \
  ROW(ahead, 0, a) ROW(ahead, 1, b) ROW(ahead, 2, c)   \
  ROW(ahead, 3, d) ROW(ahead, 4, e) ROW(ahead, 5, f)
#define ADVANCE(count)               \
  "add $24*" #count ", %[left]\n\t"  \
  "add $64*" #count ", %[right]\n\t"

/* The sums of a whole tile, in all sixteen registers. By hand, for what counts here is the number
 * of instructions, of which six begin in a cycle, and of loads: GCC 12 moves every sum to and fro
 * between registers, half as many again. */
static inline void whole_sums(size_t steps, const int32_t *left, const int32_t *right,
                              __m256i s[MR][NV]) {
  __m256i t0, t1, x, p;
  __asm__(
      ZERO(a) ZERO(b) ZERO(c) ZERO(d) ZERO(e) ZERO(f)
      "test $1, %[steps]\n\t"
      "jz 1f\n\t"
      STEP(0)
      ADVANCE(1)
      "1:\n\t"
      "shr $1, %[steps]\n\t"
      "jz 2f\n\t"
      ".p2align 5\n"
      "0:\n\t"
      STEP(0)
      STEP(1)
      ADVANCE(2)
      "dec %[steps]\n\t"
      "jnz 0b\n"
      "2:"
      : [a0] "=&x"(s[0][0]), [a1] "=&x"(s[0][1]), [b0] "=&x"(s[1][0]), [b1] "=&x"(s[1][1]),
        [c0] "=&x"(s[2][0]), [c1] "=&x"(s[2][1]), [d0] "=&x"(s[3][0]), [d1] "=&x"(s[3][1]),
        [e0] "=&x"(s[4][0]), [e1] "=&x"(s[4][1]), [f0] "=&x"(s[5][0]), [f1] "=&x"(s[5][1]),
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
  bool whole = m == MR && nv == NV;
  if (whole) whole_sums(steps, left, right, s);
  UNROLL for (size_t i = 0; !whole && i < m; i++)
    UNROLL for (size_t j = 0; j < nv; j++) s[i][j] = _mm256_setzero_si256();
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
      __m256 sum = _mm256_cvtepi32_ps(s[i][j]); /* rounded once, wherever in a tile it stands */
      _mm256_storeu_ps(c + j * V, add ? _mm256_fmadd_ps(sum, scale, _mm256_loadu_ps(c + j * V))
                                      : _mm256_mul_ps(sum, scale));
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
TILES(1) TILES(2) TILES(3) TILES(4) TILES(5) TILES(6)
static tile_fn *const tiles[MR][NV] = {NAMES(1), NAMES(2), NAMES(3), NAMES(4), NAMES(5), NAMES(6)};

static void multiply(size_t m, size_t n, size_t steps, const int32_t *left, const float *left_scale,
                     const int32_t *right, const float *right_scale, bool add, float *c,
                     size_t ldc) {
  for (size_t j = 0; j < n; j += NR) {
    size_t width = least(NR, n - j), nv = (width + V - 1) / V;
    for (size_t i = 0; i < m; i += MR) {
      size_t height = least(MR, m - i);
      tile_fn *f = tiles[height - 1][nv - 1];
      float *to = c + i * ldc + j;
      if (width % V == 0) {
        f(steps, left + i * steps, left_scale + i, right + j * steps, right_scale + j, add, to, ldc);
        continue;
      }
      float t[MR * NR] = {0};
      for (size_t r = 0; add && r < height; r++)
        memcpy(t + r * NR, to + r * ldc, width * sizeof *t);
      f(steps, left + i * steps, left_scale + i, right + j * steps, right_scale + j, add, t, NR);
      for (size_t r = 0; r < height; r++) memcpy(to + r * ldc, t + r * NR, width * sizeof *t);
    }
  }
}

const dg_int16_kernels dg_int16_avx2 = {.rows = MR,
                                        .columns = NR,
                                        .lanes = V,
                                        .pack_lines = pack_lines,
                                        .pack_across = pack_across,
                                        .pack_lines8 = pack_lines8,
                                        .pack_across8 = pack_across8,
                                        .multiply = multiply};
#else
typedef int dg_not_this_machine; /* an empty translation unit is not C */
#endif
