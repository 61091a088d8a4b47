/* Attention of one head of one sequence; part of ops_template.h. A block of queries is
 * taken at a time, so no full matrix of scores exists (Dao et al. 2022); its products are
 * too small to be worth packing, and run from registers of the machine's own width. */

enum { TILE_ROWS = 6, TILE_VECTORS = 2, QUERIES = DG_ATTENTION_QUERIES };

/* A product whose element (i,p) of A is a[i*ai + p*ap], and whose B and C have rows of
 * neighbours; each sum runs along p. */
typedef struct small_product {
  size_t m, n, k, ai, ap, ldb, ldc;
  bool add; /* to C */
  const float *a, *b;
  float *c;
} small_product;

/* m rows by nv vectors of C, both constants once inlined; the last vector holds `lanes`. */
static inline __attribute__((always_inline)) void tile(const small_product *s, size_t m, size_t nv,
                                                       size_t lanes, const float *a,
                                                       const float *b, float *c) {
  vec sum[TILE_ROWS][TILE_VECTORS], x[TILE_VECTORS];
  UNROLL for (size_t i = 0; i < m; i++)
    UNROLL for (size_t j = 0; j < nv; j++) sum[i][j] = (vec){0};
  size_t part = lanes * sizeof *c;
  for (size_t p = 0; p < s->k; p++, a += s->ap, b += s->ldb) {
    UNROLL for (size_t j = 0; j < nv; j++) {
      if (j + 1 < nv || lanes == L) {
        x[j] = *(const vec_at *)(b + j * L);
      } else {
        x[j] = (vec){0};
        memcpy(&x[j], b + j * L, part);
      }
    }
    UNROLL for (size_t i = 0; i < m; i++)
      UNROLL for (size_t j = 0; j < nv; j++) sum[i][j] += a[i * s->ai] * x[j];
  }
  UNROLL for (size_t i = 0; i < m; i++, c += s->ldc)
    UNROLL for (size_t j = 0; j < nv; j++) {
      if (j + 1 < nv || lanes == L) {
        vec_at *to = (vec_at *)(c + j * L);
        if (s->add) sum[i][j] += *to;
        *to = sum[i][j];
      } else {
        vec old = {0};
        if (s->add) memcpy(&old, c + j * L, part);
        old += sum[i][j];
        memcpy(c + j * L, &old, part);
      }
    }
}

typedef void tile_fn(const small_product *s, size_t lanes, const float *a, const float *b,
                     float *c);
#define TILE(m)                                                                                \
  static void tile_##m##_2(const small_product *s, size_t lanes, const float *a,               \
                           const float *b, float *c) {                                         \
    (void)lanes;                                                                               \
    tile(s, m, 2, L, a, b, c);                                                                 \
  }                                                                                            \
  static void tile_##m##_1(const small_product *s, size_t lanes, const float *a,               \
                           const float *b, float *c) {                                         \
    (void)lanes;                                                                               \
    tile(s, m, 1, L, a, b, c);                                                                 \
  }                                                                                            \
  static void tile_##m##_part(const small_product *s, size_t lanes, const float *a,            \
                              const float *b, float *c) {                                      \
    tile(s, m, 1, lanes, a, b, c);                                                             \
  }
TILE(1) TILE(2) TILE(3) TILE(4) TILE(5) TILE(6)
#define NAMES(m) {tile_##m##_part, tile_##m##_1, tile_##m##_2}
static tile_fn *const tiles[TILE_ROWS][TILE_VECTORS + 1] = {NAMES(1), NAMES(2), NAMES(3),
                                                            NAMES(4), NAMES(5), NAMES(6)};

static void multiply(const small_product *s) {
  for (size_t j = 0, wide; j < s->n; j += wide) {
    size_t left = s->n - j, nv = left / L < TILE_VECTORS ? left / L : TILE_VECTORS;
    wide = nv ? nv * L : left;
    for (size_t i = 0; i < s->m; i += TILE_ROWS) {
      size_t rows = s->m - i < TILE_ROWS ? s->m - i : TILE_ROWS;
      tiles[rows - 1][nv](s, left, s->a + i * s->ai, s->b + j, s->c + i * s->ldc + j);
    }
  }
}

typedef float v4 __attribute__((vector_size(16)));
typedef float v4u __attribute__((vector_size(16), aligned(4), may_alias));

/* [keys, width] with a row stride -> [width, padded keys]: keys become neighbours. */
static void transpose(const float *x, size_t stride, size_t keys, size_t width, size_t padded,
                      float *t) {
  size_t j = 0;
  for (; j + 4 <= keys; j += 4) {
    size_t c = 0;
    for (; c + 4 <= width; c += 4) {
      const float *from = x + j * stride + c;
      float *to = t + c * padded + j;
      v4 r0 = *(const v4u *)from, r1 = *(const v4u *)(from + stride);
      v4 r2 = *(const v4u *)(from + 2 * stride), r3 = *(const v4u *)(from + 3 * stride);
      v4 a = __builtin_shufflevector(r0, r1, 0, 4, 1, 5);
      v4 b = __builtin_shufflevector(r2, r3, 0, 4, 1, 5);
      v4 d = __builtin_shufflevector(r0, r1, 2, 6, 3, 7);
      v4 e = __builtin_shufflevector(r2, r3, 2, 6, 3, 7);
      *(v4u *)to = __builtin_shufflevector(a, b, 0, 1, 4, 5);
      *(v4u *)(to + padded) = __builtin_shufflevector(a, b, 2, 3, 6, 7);
      *(v4u *)(to + 2 * padded) = __builtin_shufflevector(d, e, 0, 1, 4, 5);
      *(v4u *)(to + 3 * padded) = __builtin_shufflevector(d, e, 2, 3, 6, 7);
    }
    for (; c < width; c++)
      for (size_t i = 0; i < 4; i++) t[c * padded + j + i] = x[(j + i) * stride + c];
  }
  for (size_t c = 0; c < width; c++) {
    for (size_t i = j; i < keys; i++) t[c * padded + i] = x[i * stride + c];
    for (size_t i = keys; i < padded; i++) t[c * padded + i] = 0;
  }
}

static inline size_t round_up(size_t n) { return (n + L - 1) / L * L; }

static inline size_t keys_seen(const dg_attention_head *h, size_t query) {
  return h->causal && query + 1 < h->keys ? query + 1 : h->keys;
}

/* Scales and biases the scores s of query i over keys [0,seen); lanes beyond are -inf. */
static void finish_scores(const dg_attention_head *h, size_t i, size_t seen, float *s) {
  const float *bias = h->bias ? h->bias + h->queries - 1 - i : NULL;
  FOR_VECTORS(j, n, 0, seen) {
    vec t = load(s + j) * h->scale;
    if (bias) t += get(bias + j, n);
    store(s + j, vpad(t, n, -INFINITY));
  }
}

static inline dg_dropout row_dropout(dg_dropout d, size_t i) {
  d.key += (uint32_t)i * 0x85EBCA77u;
  return d;
}

static void clear(float *x, size_t from, size_t to) {
  for (size_t j = from; j < to; j += L) store(x + j, (vec){0});
}

static void attention(const dg_attention_head *h, float *scratch) {
  size_t padded = round_up(h->keys);
  float *kt = scratch, *weights = kt + h->width * padded;
  transpose(h->k, h->kv_stride, h->keys, h->width, padded, kt);
  for (size_t first = 0, end; first < h->queries; first = end) {
    end = first + QUERIES < h->queries ? first + QUERIES : h->queries;
    size_t most = keys_seen(h, end - 1), used = round_up(most);
    multiply(&(small_product){.m = end - first, .n = used, .k = h->width, .ai = h->q_stride,
                              .ap = 1, .ldb = padded, .ldc = padded,
                              .a = h->q + first * h->q_stride, .b = kt, .c = weights});
    for (size_t i = first; i < end; i++) {
      float *s = weights + (i - first) * padded;
      size_t seen = keys_seen(h, i);
      finish_scores(h, i, seen, s);
      vec top = splat(-INFINITY), sum = {0};
      for (size_t j = 0; j < seen; j += L) top = vmax(top, load(s + j));
      float peak = vtop(top);
      for (size_t j = 0; j < seen; j += L) {
        vec e = vexp_below(load(s + j) - peak);
        sum += e;
        store(s + j, e);
      }
      float total = vsum(sum), inverse = 1 / total;
      dg_dropout d = row_dropout(h->dropout, i);
      for (size_t j = 0; j < seen; j += L)
        store(s + j, load(s + j) * inverse * vkeep(d, (uint32_t)j));
      clear(s, round_up(seen), used);
      if (h->lse) h->lse[i * h->lse_stride] = peak + logf(total);
    }
    multiply(&(small_product){.m = end - first, .n = h->width, .k = most, .ai = padded, .ap = 1,
                              .ldb = h->kv_stride, .ldc = h->o_stride, .a = weights, .b = h->v,
                              .c = h->o + first * h->o_stride});
  }
}

/* Scores are computed anew and not kept from the forward pass. */
static void attention_backward(const dg_attention_head *h, float *scratch) {
  size_t padded = round_up(h->keys), block = QUERIES * padded;
  float *kt = scratch, *vt = kt + h->width * padded;
  float *weights = vt + h->width * padded, *gradients = weights + block;
  transpose(h->k, h->kv_stride, h->keys, h->width, padded, kt);
  transpose(h->v, h->kv_stride, h->keys, h->width, padded, vt);
  for (size_t first = 0, end; first < h->queries; first = end) {
    end = first + QUERIES < h->queries ? first + QUERIES : h->queries;
    size_t rows = end - first, most = keys_seen(h, end - 1), used = round_up(most);
    const float *q = h->q + first * h->q_stride, *d_o = h->d_o + first * h->o_stride;
    small_product p = {.m = rows, .n = used, .k = h->width, .ai = h->q_stride, .ap = 1,
                       .ldb = padded, .ldc = padded, .a = q, .b = kt, .c = weights};
    multiply(&p);
    p.ai = h->o_stride, p.a = d_o, p.b = vt, p.c = gradients;
    multiply(&p);
    for (size_t i = first; i < end; i++) {
      float *s = weights + (i - first) * padded, *g = gradients + (i - first) * padded;
      size_t seen = keys_seen(h, i);
      float lse = h->lse[i * h->lse_stride];
      finish_scores(h, i, seen, s);
      dg_dropout d = row_dropout(h->dropout, i);
      vec dot = {0};
      for (size_t j = 0; j < seen; j += L) {
        vec w = vexp_below(load(s + j) - lse), dw = load(g + j) * vkeep(d, (uint32_t)j);
        dot += w * dw;
        store(s + j, w);
        store(g + j, dw);
      }
      float delta = vsum(dot);
      float *d_bias = h->d_bias ? h->d_bias + h->queries - 1 - i : NULL;
      for (size_t j = 0; j < seen; j += L) {
        vec w = load(s + j), ds = w * (load(g + j) - delta);
        if (d_bias) {
          size_t n = seen - j < L ? seen - j : L;
          put(d_bias + j, get(d_bias + j, n) + ds, n);
        }
        store(g + j, ds * h->scale);
        store(s + j, w * vkeep(d, (uint32_t)j));
      }
      clear(s, round_up(seen), used);
      clear(g, round_up(seen), used);
    }
    multiply(&(small_product){.m = rows, .n = h->width, .k = most, .ai = padded, .ap = 1,
                              .ldb = h->kv_stride, .ldc = h->dq_stride, .a = gradients,
                              .b = h->k, .c = h->d_q + first * h->dq_stride});
    small_product t = {.m = most, .n = h->width, .k = rows, .ai = 1, .ap = padded,
                       .ldb = h->q_stride, .ldc = h->dkv_stride, .add = true, .a = gradients,
                       .b = q, .c = h->d_k};
    multiply(&t);
    t.ldb = h->o_stride, t.a = weights, t.b = d_o, t.c = h->d_v;
    multiply(&t);
  }
}

static void attention_cached(size_t keys, size_t width, float scale, const float *q,
                             const float *const *k, const float *const *v, const float *bias,
                             float *s, float *o) {
  float peak = -INFINITY;
  for (size_t j = 0; j < keys; j++) {
    vec a = {0};
    FOR_VECTORS(c, n, 0, width) a += get(q + c, n) * get(k[j] + c, n);
    s[j] = vsum(a) * scale + (bias ? bias[j] : 0);
    if (s[j] > peak) peak = s[j];
  }
  vec sum = {0};
  FOR_VECTORS(j, n, 0, keys) {
    vec e = vpad(vexp_below(get(s + j, n) - peak), n, 0);
    sum += e;
    put(s + j, e, n);
  }
  float inverse = 1 / vsum(sum);
  FOR_VECTORS(c, n, 0, width) {
    vec a = {0};
    for (size_t j = 0; j < keys; j++) a += s[j] * get(v[j] + c, n);
    put(o + c, a * inverse, n);
  }
}
