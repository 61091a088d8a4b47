/* The body of every ops_*.c: plain C over 16-float vectors (GCC and Clang lower
 * them to whatever the file is compiled for). Define OPS_TABLE before including. */
#include <math.h>
#include <string.h>

#include "mt/kernels/ops.h"

/* GCC may leave sums in memory without it, and Clang with it. */
#if defined(__clang__)
#define UNROLL
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif

enum { L = 16 };
typedef float v16 __attribute__((vector_size(64)));
typedef int32_t i16 __attribute__((vector_size(64)));
typedef uint32_t u16 __attribute__((vector_size(64)));
typedef float v16u __attribute__((vector_size(64), aligned(4), may_alias));

static inline v16 load(const float *p) { return *(const v16u *)p; }
static inline void store(float *p, v16 x) { *(v16u *)p = x; }
static inline v16 splat(float x) { return x - (v16){0}; }
static inline v16 load_part(const float *p, size_t n) {
  float t[L] = {0};
  memcpy(t, p, n * sizeof *t);
  return load(t);
}
static inline void store_part(float *p, v16 x, size_t n) {
  float t[L];
  store(t, x);
  memcpy(p, t, n * sizeof *t);
}
static inline v16 select16(i16 mask, v16 a, v16 b) {
  return (v16)((mask & (i16)a) | (~mask & (i16)b));
}
static inline v16 max16(v16 a, v16 b) { return select16(a > b, a, b); }
/* A fixed tree, so that every instruction set adds in the same order. */
static inline float sum16(v16 x) {
  float t[L];
  store(t, x);
  for (int w = 8; w; w /= 2)
    for (int i = 0; i < w; i++) t[i] += t[i + w];
  return t[0];
}
static inline float top16(v16 x) {
  float t[L];
  store(t, x);
  for (int w = 8; w; w /= 2)
    for (int i = 0; i < w; i++) t[i] = t[i] > t[i + w] ? t[i] : t[i + w];
  return t[0];
}

static inline v16 mask16(i16 mask, v16 x) { return (v16)(mask & (i16)x); }

/* exp to about 1 ulp (Cephes polynomial) of x at most 88.3; 0 below -87.3. */
static inline __attribute__((always_inline)) v16 exp_below16(v16 x) {
  const v16 magic = splat(12582912.0f); /* 1.5 * 2^23: rounds to an integer */
  i16 within = x >= splat(-87.3f);
  x = mask16(within, x);
  v16 t = x * splat(1.44269504f) + magic;
  v16 n = t - magic;
  x = x - n * splat(0.693359375f) + n * splat(2.12194440e-4f);
  v16 y = splat(1.9875691500e-4f);
  y = y * x + splat(1.3981999507e-3f);
  y = y * x + splat(8.3334519073e-3f);
  y = y * x + splat(4.1665795894e-2f);
  y = y * x + splat(1.6666665459e-1f);
  y = y * x + splat(5.0000001201e-1f);
  y = y * x * x + x + splat(1.0f);
  i16 power = ((i16)t - (i16)magic) << 23;
  return mask16(within, (v16)((i16)y + power));
}
static inline v16 exp16(v16 x) {
  return exp_below16(select16(x > splat(88.3f), splat(88.3f), x));
}
static inline v16 sigmoid16(v16 x) { return splat(1) / (splat(1) + exp16(-x)); }
static inline v16 tanh16(v16 x) { return splat(2) * sigmoid16(splat(2) * x) - splat(1); }
/* Abramowitz & Stegun 7.1.26, absolute error below 1.5e-7. */
static inline v16 erf16(v16 x) {
  i16 negative = x < splat(0);
  v16 a = select16(negative, -x, x);
  v16 t = splat(1) / (splat(1) + splat(0.3275911f) * a);
  v16 p = ((((splat(1.061405429f) * t - splat(1.453152027f)) * t + splat(1.421413741f)) * t -
            splat(0.284496736f)) * t + splat(0.254829592f)) * t;
  v16 y = splat(1) - p * exp16(-a * a);
  return select16(negative, -y, y);
}

static inline v16 keep16(dg_dropout d, uint32_t index) {
  if (!d.threshold) return splat(d.scale);
  u16 h = (u16){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15} + index;
  h = (h ^ d.key) * 0x9E3779B1u;
  h ^= h >> 16;
  h *= 0x85EBCA6Bu;
  h ^= h >> 13;
  h *= 0xC2B2AE35u;
  h ^= h >> 16;
  return select16((i16)(h >= d.threshold + (u16){0}), splat(d.scale), splat(0));
}

/* Runs BODY for every vector of a row: c is the column, n how many lanes hold
 * data, LOAD/STORE honour n. The whole-vector case is branch-free inside. */
#define FOR_VECTORS(c, n, begin, end)                                            \
  for (size_t c = (begin), n; c < (end) && (n = (end) - c < L ? (end) - c : L); c += L)
static inline v16 get(const float *p, size_t n) { return n == L ? load(p) : load_part(p, n); }
static inline void put(float *p, v16 x, size_t n) {
  if (n == L)
    store(p, x);
  else
    store_part(p, x, n);
}
/* Lanes past n set to `fill`. */
static inline v16 pad16(v16 x, size_t n, float fill) {
  i16 lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return n == L ? x : select16(lane < (int32_t)n + (i16){0}, x, splat(fill));
}

static void norm(bool rms, size_t rows, size_t width, float eps, const float *x, const float *gain,
                 const float *bias, float *y, float *mean, float *rstd) {
  for (size_t r = 0; r < rows; r++, x += width, y += width) {
    float mu = 0;
    if (!rms) {
      v16 s = {0};
      FOR_VECTORS(c, n, 0, width) s += get(x + c, n);
      mu = sum16(s) / (float)width;
    }
    v16 q = {0};
    FOR_VECTORS(c, n, 0, width) {
      v16 d = pad16(get(x + c, n) - mu, n, 0);
      q += d * d;
    }
    float inverse = 1.0f / sqrtf(sum16(q) / (float)width + eps);
    FOR_VECTORS(c, n, 0, width) {
      v16 t = (get(x + c, n) - mu) * inverse * get(gain + c, n);
      put(y + c, bias ? t + get(bias + c, n) : t, n);
    }
    if (mean) mean[r] = mu;
    if (rstd) rstd[r] = inverse;
  }
}

static void norm_backward(bool rms, size_t rows, size_t width, const float *x, const float *gain,
                          const float *mean, const float *rstd, const float *dy, float *dx,
                          bool accumulate) {
  for (size_t r = 0; r < rows; r++, x += width, dy += width, dx += width) {
    float mu = rms ? 0 : mean[r], inverse = rstd[r];
    v16 s = {0}, q = {0};
    FOR_VECTORS(c, n, 0, width) {
      v16 g = get(dy + c, n) * get(gain + c, n);
      s += g;
      q += g * ((get(x + c, n) - mu) * inverse);
    }
    float sum = rms ? 0 : sum16(s) / (float)width, dot = sum16(q) / (float)width;
    FOR_VECTORS(c, n, 0, width) {
      v16 g = get(dy + c, n) * get(gain + c, n);
      v16 t = (g - sum - (get(x + c, n) - mu) * inverse * dot) * inverse;
      put(dx + c, accumulate ? get(dx + c, n) + t : t, n);
    }
  }
}

static void norm_grads(bool rms, size_t rows, size_t width, size_t c0, size_t c1, const float *x,
                       const float *mean, const float *rstd, const float *dy, float *d_gain,
                       float *d_bias) {
  FOR_VECTORS(c, n, c0, c1) {
    v16 sg = {0}, sb = {0};
    for (size_t r = 0; r < rows; r++) {
      v16 g = get(dy + r * width + c, n);
      sb += g;
      sg += g * ((get(x + r * width + c, n) - (rms ? 0 : mean[r])) * rstd[r]);
    }
    if (d_gain) put(d_gain + c, get(d_gain + c, n) + sg, n);
    if (d_bias) put(d_bias + c, get(d_bias + c, n) + sb, n);
  }
}

static void column_sums(size_t rows, size_t width, size_t c0, size_t c1, const float *x,
                        float *out) {
  FOR_VECTORS(c, n, c0, c1) {
    v16 s = {0};
    for (size_t r = 0; r < rows; r++) s += get(x + r * width + c, n);
    put(out + c, get(out + c, n) + s, n);
  }
}

static void add_bias(size_t rows, size_t width, const float *bias, float *y) {
  for (size_t r = 0; r < rows; r++, y += width)
    FOR_VECTORS(c, n, 0, width) put(y + c, get(y + c, n) + get(bias + c, n), n);
}

static inline v16 act_value(int act, v16 x) {
  switch (act) {
    case DG_ACT_RELU: return max16(x, splat(0));
    case DG_ACT_GELU: return x * splat(0.5f) * (splat(1) + erf16(x * splat(0.70710678f)));
    case DG_ACT_GELU_TANH:
      return x * splat(0.5f) *
             (splat(1) + tanh16(splat(0.79788456f) * (x + splat(0.044715f) * x * x * x)));
    default: return x * sigmoid16(x);
  }
}
static inline v16 act_slope(int act, v16 x) {
  switch (act) {
    case DG_ACT_RELU: return select16(x > splat(0), splat(1), splat(0));
    case DG_ACT_GELU:
      return splat(0.5f) * (splat(1) + erf16(x * splat(0.70710678f))) +
             x * splat(0.39894228f) * exp16(splat(-0.5f) * x * x);
    case DG_ACT_GELU_TANH: {
      v16 t = tanh16(splat(0.79788456f) * (x + splat(0.044715f) * x * x * x));
      return splat(0.5f) * (splat(1) + t) +
             splat(0.5f) * x * (splat(1) - t * t) * splat(0.79788456f) *
                 (splat(1) + splat(3 * 0.044715f) * x * x);
    }
    default: {
      v16 s = sigmoid16(x);
      return s * (splat(1) + x * (splat(1) - s));
    }
  }
}

static void activate(int act, bool gated, size_t row0, size_t rows, size_t width,
                     const float *bias, float *h, float *a, dg_dropout dropout) {
  size_t stride = gated ? 2 * width : width;
  for (size_t r = 0; r < rows; r++, h += stride, a += width) {
    uint32_t index = (uint32_t)((row0 + r) * width);
    FOR_VECTORS(c, n, 0, width) {
      v16 u = get(h + c, n);
      if (bias) put(h + c, u += get(bias + c, n), n);
      v16 y = act_value(act, u);
      if (gated) {
        v16 g = get(h + width + c, n);
        if (bias) put(h + width + c, g += get(bias + width + c, n), n);
        y *= g;
      }
      put(a + c, y * keep16(dropout, index + (uint32_t)c), n);
    }
  }
}

static void activate_backward(int act, bool gated, size_t row0, size_t rows, size_t width,
                              const float *h, const float *da, float *dh, dg_dropout dropout) {
  size_t stride = gated ? 2 * width : width;
  for (size_t r = 0; r < rows; r++, h += stride, dh += stride, da += width) {
    uint32_t index = (uint32_t)((row0 + r) * width);
    FOR_VECTORS(c, n, 0, width) {
      v16 u = get(h + c, n), g = get(da + c, n) * keep16(dropout, index + (uint32_t)c);
      if (gated) {
        put(dh + width + c, g * act_value(act, u), n);
        g *= get(h + width + c, n);
      }
      put(dh + c, g * act_slope(act, u), n);
    }
  }
}

static void residual(size_t row0, size_t rows, size_t width, const float *x, const float *r,
                     const float *bias, float *y, dg_dropout dropout) {
  for (size_t i = 0; i < rows; i++, x += width, r += width, y += width) {
    uint32_t index = (uint32_t)((row0 + i) * width);
    FOR_VECTORS(c, n, 0, width) {
      v16 t = get(r + c, n);
      if (bias) t += get(bias + c, n);
      put(y + c, get(x + c, n) + t * keep16(dropout, index + (uint32_t)c), n);
    }
  }
}

static void drop(size_t row0, size_t rows, size_t width, const float *x, float *y,
                 dg_dropout dropout) {
  for (size_t i = 0; i < rows; i++, x += width, y += width) {
    uint32_t index = (uint32_t)((row0 + i) * width);
    FOR_VECTORS(c, n, 0, width)
      put(y + c, get(x + c, n) * keep16(dropout, index + (uint32_t)c), n);
  }
}

#include "mt/kernels/attention_template.h"

/* The log of the sum of exp(x), its greatest term and the plain sum; with e also exp(x - peak). */
typedef struct row_sums {
  float peak, log_sum_exp;
  double sum_exp, plain; /* of exp(x - peak), of x */
} row_sums;
static inline __attribute__((always_inline)) row_sums sums_of(size_t n, const float *x, float *e) {
  v16 top = splat(-INFINITY);
  FOR_VECTORS(c, w, 0, n) top = max16(top, pad16(get(x + c, w), w, -INFINITY));
  row_sums r = {.peak = top16(top)};
  for (size_t block = 0; block < n; block += 1024) { /* fp32 lanes, fp64 totals */
    size_t end = block + 1024 < n ? block + 1024 : n;
    v16 exps = {0}, plain = {0};
    FOR_VECTORS(c, w, block, end) {
      v16 t = pad16(get(x + c, w), w, 0);
      v16 y = pad16(exp_below16(t - r.peak), w, 0);
      exps += y;
      plain += t;
      if (e) put(e + c, y, w);
    }
    r.sum_exp += (double)sum16(exps);
    r.plain += (double)sum16(plain);
  }
  r.log_sum_exp = r.peak + (float)log(r.sum_exp);
  return r;
}

static void cross_entropy(size_t classes, float *logits, size_t label, float smoothing,
                          float gradient_scale, double *smoothed, double *nll) {
  float logit = logits[label];
  row_sums r = sums_of(classes, logits, gradient_scale == 0 ? NULL : logits);
  double lse = (double)r.log_sum_exp, loss = lse - (double)logit;
  *nll += loss;
  *smoothed += (1.0 - (double)smoothing) * loss +
               (double)smoothing * (lse - r.plain / (double)classes);
  if (gradient_scale == 0) return;
  float uniform = smoothing / (float)classes * gradient_scale;
  float scale = (float)((double)gradient_scale / r.sum_exp);
  FOR_VECTORS(c, n, 0, classes) put(logits + c, get(logits + c, n) * scale - uniform, n);
  logits[label] -= (1 - smoothing) * gradient_scale;
}

static void log_softmax(size_t classes, float *logits) {
  float lse = sums_of(classes, logits, NULL).log_sum_exp;
  FOR_VECTORS(c, n, 0, classes) put(logits + c, get(logits + c, n) - lse, n);
}

static void rdrop(size_t classes, float *first, float *second, size_t label, float smoothing,
                  float alpha, float gradient_scale, double *smoothed, double *nll,
                  double *divergence) {
  double losses[2] = {0, 0};
  cross_entropy(classes, first, label, smoothing, 0, &losses[0], &losses[1]);
  cross_entropy(classes, second, label, smoothing, 0, &losses[0], &losses[1]);
  *smoothed += losses[0] / 2;
  *nll += losses[1] / 2;
  log_softmax(classes, first);
  log_softmax(classes, second);
  double forward = 0, back = 0; /* KL(p|q), KL(q|p) */
  for (size_t block = 0; block < classes; block += 1024) {
    size_t end = block + 1024 < classes ? block + 1024 : classes;
    v16 there = {0}, here = {0};
    FOR_VECTORS(c, n, block, end) {
      v16 p = get(first + c, n), q = get(second + c, n), d = pad16(p - q, n, 0);
      there += exp16(p) * d;
      here -= exp16(q) * d;
    }
    forward += (double)sum16(there);
    back += (double)sum16(here);
  }
  *divergence += (forward + back) / 2;
  float entropy = gradient_scale / 2, kl = alpha / 4 * gradient_scale;
  float uniform = smoothing / (float)classes * entropy;
  FOR_VECTORS(c, n, 0, classes) {
    v16 lp = get(first + c, n), lq = get(second + c, n), d = lp - lq;
    v16 p = exp16(lp), q = exp16(lq);
    put(first + c, p * entropy - uniform + (p * (d - (float)forward) + p - q) * kl, n);
    put(second + c, q * entropy - uniform - (q * (d + (float)back) + p - q) * kl, n);
  }
  first[label] -= (1 - smoothing) * entropy;
  second[label] -= (1 - smoothing) * entropy;
}

static double sum_squares(size_t n, const float *x) {
  double total = 0;
  for (size_t block = 0; block < n; block += 1024) {
    size_t end = block + 1024 < n ? block + 1024 : n;
    v16 s = {0};
    FOR_VECTORS(c, w, block, end) {
      v16 t = get(x + c, w);
      s += t * t;
    }
    total += (double)sum16(s);
  }
  return total;
}

static inline v16 sqrt16(v16 x) {
  float t[L];
  store(t, x);
  for (int i = 0; i < L; i++) t[i] = sqrtf(t[i]);
  return load(t);
}

static void adam(size_t n, const dg_adam_step *s, const float *g, float *w, float *m, float *v) {
  FOR_VECTORS(c, k, 0, n) {
    v16 grad = get(g + c, k) * s->gradient_scale, x = get(w + c, k);
    v16 a = get(m + c, k) * s->beta1 + grad * (1 - s->beta1);
    v16 b = get(v + c, k) * s->beta2 + grad * grad * (1 - s->beta2);
    put(m + c, a, k);
    put(v + c, b, k);
    x -= x * (s->lr * s->weight_decay);
    x -= s->lr * (a * s->correction1) / (sqrt16(b * s->correction2) + s->eps);
    put(w + c, x, k);
  }
}

const dg_ops OPS_TABLE = {
    .norm = norm,
    .norm_backward = norm_backward,
    .norm_grads = norm_grads,
    .column_sums = column_sums,
    .add_bias = add_bias,
    .activate = activate,
    .activate_backward = activate_backward,
    .residual = residual,
    .drop = drop,
    .attention = attention,
    .attention_backward = attention_backward,
    .attention_cached = attention_cached,
    .cross_entropy = cross_entropy,
    .rdrop = rdrop,
    .log_softmax = log_softmax,
    .sum_squares = sum_squares,
    .adam = adam,
};
