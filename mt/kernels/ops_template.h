/* The body of every ops_*.c: plain C over vectors that GCC and Clang lower to what the file
 * is compiled for. Define OPS_TABLE before including. */
#include <math.h>
#include <string.h>

#include "mt/kernels/ops.h"
#include "mt/kernels/unroll.h"

/* Vectors of the machine's own width: wider ones GCC takes apart, comparisons number by
 * number. L floats each. */
#if defined(OPS_LANES)
enum { L = OPS_LANES };
#elif defined(__AVX512F__)
enum { L = 16 };
#elif defined(__AVX__)
enum { L = 8 };
#else
enum { L = 4 };
#endif
typedef float vec __attribute__((vector_size(L * sizeof(float))));
typedef float vec_at __attribute__((vector_size(L * sizeof(float)), aligned(4), may_alias));
typedef int32_t ivec __attribute__((vector_size(L * sizeof(float))));
typedef int32_t ivec_at __attribute__((vector_size(L * sizeof(float)), aligned(4), may_alias));
typedef uint32_t uvec __attribute__((vector_size(L * sizeof(float))));

static inline vec load(const float *p) { return *(const vec_at *)p; }
static inline void store(float *p, vec x) { *(vec_at *)p = x; }
static inline vec splat(float x) { return x - (vec){0}; }
static inline vec load_part(const float *p, size_t n) {
  float t[L] = {0};
  memcpy(t, p, n * sizeof *t);
  return load(t);
}
static inline void store_part(float *p, vec x, size_t n) {
  float t[L];
  store(t, x);
  memcpy(p, t, n * sizeof *t);
}
static inline vec vmask(ivec mask, vec x) { return (vec)(mask & (ivec)x); }
static inline vec vselect(ivec mask, vec a, vec b) {
  return (vec)((mask & (ivec)a) | (~mask & (ivec)b));
}
static inline vec vmax(vec a, vec b) { return vselect(a > b, a, b); }
static inline ivec lane_numbers(void) {
  static const int32_t numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return *(const ivec_at *)numbers;
}
static inline float vsum(vec x) {
  float t[L];
  store(t, x);
  for (int w = L / 2; w; w /= 2)
    for (int i = 0; i < w; i++) t[i] += t[i + w];
  return t[0];
}
static inline float vtop(vec x) {
  float t[L];
  store(t, x);
  for (int w = L / 2; w; w /= 2)
    for (int i = 0; i < w; i++) t[i] = t[i] > t[i + w] ? t[i] : t[i + w];
  return t[0];
}

/* exp to about 1 ulp (Cephes polynomial) of x at most 88.3; 0 below -87.3. */
static inline __attribute__((always_inline)) vec vexp_below(vec x) {
  const vec magic = splat(12582912.0f); /* 1.5 * 2^23: rounds to an integer */
  ivec within = x >= splat(-87.3f);
  x = vmask(within, x);
  vec t = x * splat(1.44269504f) + magic;
  vec n = t - magic;
  x = x - n * splat(0.693359375f) + n * splat(2.12194440e-4f);
  vec y = splat(1.9875691500e-4f);
  y = y * x + splat(1.3981999507e-3f);
  y = y * x + splat(8.3334519073e-3f);
  y = y * x + splat(4.1665795894e-2f);
  y = y * x + splat(1.6666665459e-1f);
  y = y * x + splat(5.0000001201e-1f);
  y = y * x * x + x + splat(1.0f);
  ivec power = ((ivec)t - (ivec)magic) << 23;
  return vmask(within, (vec)((ivec)y + power));
}
static inline vec vexp(vec x) {
  return vexp_below(vselect(x > splat(88.3f), splat(88.3f), x));
}
static inline vec vsigmoid(vec x) { return splat(1) / (splat(1) + vexp(-x)); }
static inline vec vtanh(vec x) { return splat(2) * vsigmoid(splat(2) * x) - splat(1); }
/* Abramowitz & Stegun 7.1.26, absolute error below 1.5e-7. */
static inline vec verf(vec x) {
  ivec negative = x < splat(0);
  vec a = vselect(negative, -x, x);
  vec t = splat(1) / (splat(1) + splat(0.3275911f) * a);
  vec p = ((((splat(1.061405429f) * t - splat(1.453152027f)) * t + splat(1.421413741f)) * t -
            splat(0.284496736f)) * t + splat(0.254829592f)) * t;
  vec y = splat(1) - p * vexp(-a * a);
  return vselect(negative, -y, y);
}

static inline vec vkeep(dg_dropout d, uint32_t index) {
  if (!d.threshold) return splat(d.scale);
  uvec h = (uvec)lane_numbers() + index;
  h = (h ^ d.key) * 0x9E3779B1u;
  h ^= h >> 16;
  h *= 0x85EBCA6Bu;
  h ^= h >> 13;
  h *= 0xC2B2AE35u;
  h ^= h >> 16;
  return vmask((ivec)(h >= d.threshold + (uvec){0}), splat(d.scale));
}

static inline uint32_t mask_index(dg_dropout d, size_t row, size_t width) {
  return (uint32_t)((d.rows ? d.rows[row] : row) * width);
}

/* Runs BODY for every vector of a row: c is the column, n how many lanes hold
 * data, LOAD/STORE honour n. The whole-vector case is branch-free inside. */
#define FOR_VECTORS(c, n, begin, end)                                            \
  for (size_t c = (begin), n; c < (end) && (n = (end) - c < L ? (end) - c : L); c += L)
static inline vec get(const float *p, size_t n) { return n == L ? load(p) : load_part(p, n); }
static inline void put(float *p, vec x, size_t n) {
  if (n == L)
    store(p, x);
  else
    store_part(p, x, n);
}
/* Lanes past n set to `fill`. */
static inline vec vpad(vec x, size_t n, float fill) {
  return n == L ? x : vselect(lane_numbers() < (int32_t)n + (ivec){0}, x, splat(fill));
}

static void norm(bool rms, size_t rows, size_t width, float eps, const float *x, const float *gain,
                 const float *bias, float *y, float *mean, float *rstd) {
  for (size_t r = 0; r < rows; r++, x += width, y += width) {
    float mu = 0;
    if (!rms) {
      vec s = {0};
      FOR_VECTORS(c, n, 0, width) s += get(x + c, n);
      mu = vsum(s) / (float)width;
    }
    vec q = {0};
    FOR_VECTORS(c, n, 0, width) {
      vec d = vpad(get(x + c, n) - mu, n, 0);
      q += d * d;
    }
    float inverse = 1.0f / sqrtf(vsum(q) / (float)width + eps);
    FOR_VECTORS(c, n, 0, width) {
      vec t = (get(x + c, n) - mu) * inverse * get(gain + c, n);
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
    vec s = {0}, q = {0};
    FOR_VECTORS(c, n, 0, width) {
      vec g = get(dy + c, n) * get(gain + c, n);
      s += g;
      q += g * ((get(x + c, n) - mu) * inverse);
    }
    float sum = rms ? 0 : vsum(s) / (float)width, dot = vsum(q) / (float)width;
    FOR_VECTORS(c, n, 0, width) {
      vec g = get(dy + c, n) * get(gain + c, n);
      vec t = (g - sum - (get(x + c, n) - mu) * inverse * dot) * inverse;
      put(dx + c, accumulate ? get(dx + c, n) + t : t, n);
    }
  }
}

static void norm_grads(bool rms, size_t rows, size_t width, size_t c0, size_t c1, const float *x,
                       const float *mean, const float *rstd, const float *dy, float *d_gain,
                       float *d_bias) {
  FOR_VECTORS(c, n, c0, c1) {
    vec sg = {0}, sb = {0};
    for (size_t r = 0; r < rows; r++) {
      vec g = get(dy + r * width + c, n);
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
    vec s = {0};
    for (size_t r = 0; r < rows; r++) s += get(x + r * width + c, n);
    put(out + c, get(out + c, n) + s, n);
  }
}

static void add_bias(size_t rows, size_t width, const float *bias, float *y) {
  for (size_t r = 0; r < rows; r++, y += width)
    FOR_VECTORS(c, n, 0, width) put(y + c, get(y + c, n) + get(bias + c, n), n);
}

static inline vec act_value(int act, vec x) {
  switch (act) {
    case DG_ACT_RELU: return vmax(x, splat(0));
    case DG_ACT_GELU: return x * splat(0.5f) * (splat(1) + verf(x * splat(0.70710678f)));
    case DG_ACT_GELU_TANH:
      return x * splat(0.5f) *
             (splat(1) + vtanh(splat(0.79788456f) * (x + splat(0.044715f) * x * x * x)));
    default: return x * vsigmoid(x);
  }
}
static inline vec act_slope(int act, vec x) {
  switch (act) {
    case DG_ACT_RELU: return vmask(x > splat(0), splat(1));
    case DG_ACT_GELU:
      return splat(0.5f) * (splat(1) + verf(x * splat(0.70710678f))) +
             x * splat(0.39894228f) * vexp(splat(-0.5f) * x * x);
    case DG_ACT_GELU_TANH: {
      vec t = vtanh(splat(0.79788456f) * (x + splat(0.044715f) * x * x * x));
      return splat(0.5f) * (splat(1) + t) +
             splat(0.5f) * x * (splat(1) - t * t) * splat(0.79788456f) *
                 (splat(1) + splat(3 * 0.044715f) * x * x);
    }
    default: {
      vec s = vsigmoid(x);
      return s * (splat(1) + x * (splat(1) - s));
    }
  }
}

static void activate(int act, bool gated, size_t row0, size_t rows, size_t width,
                     const float *bias, float *h, float *a, dg_dropout dropout) {
  size_t stride = gated ? 2 * width : width;
  for (size_t r = 0; r < rows; r++, h += stride, a += width) {
    uint32_t index = mask_index(dropout, row0 + r, width);
    FOR_VECTORS(c, n, 0, width) {
      vec u = get(h + c, n);
      if (bias) put(h + c, u += get(bias + c, n), n);
      vec y = act_value(act, u);
      if (gated) {
        vec g = get(h + width + c, n);
        if (bias) put(h + width + c, g += get(bias + width + c, n), n);
        y *= g;
      }
      put(a + c, y * vkeep(dropout, index + (uint32_t)c), n);
    }
  }
}

static void activate_backward(int act, bool gated, size_t row0, size_t rows, size_t width,
                              const float *h, const float *da, float *dh, dg_dropout dropout) {
  size_t stride = gated ? 2 * width : width;
  for (size_t r = 0; r < rows; r++, h += stride, dh += stride, da += width) {
    uint32_t index = mask_index(dropout, row0 + r, width);
    FOR_VECTORS(c, n, 0, width) {
      vec u = get(h + c, n), g = get(da + c, n) * vkeep(dropout, index + (uint32_t)c);
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
    uint32_t index = mask_index(dropout, row0 + i, width);
    FOR_VECTORS(c, n, 0, width) {
      vec t = get(r + c, n);
      if (bias) t += get(bias + c, n);
      put(y + c, get(x + c, n) + t * vkeep(dropout, index + (uint32_t)c), n);
    }
  }
}

static void drop(size_t row0, size_t rows, size_t width, const float *x, float *y,
                 dg_dropout dropout) {
  for (size_t i = 0; i < rows; i++, x += width, y += width) {
    uint32_t index = mask_index(dropout, row0 + i, width);
    FOR_VECTORS(c, n, 0, width)
      put(y + c, get(x + c, n) * vkeep(dropout, index + (uint32_t)c), n);
  }
}

#include "mt/kernels/attention_template.h"

/* The log of the sum of exp(x), its greatest term and the plain sum; with e also exp(x - peak). */
typedef struct row_sums {
  float peak, log_sum_exp;
  double sum_exp, plain; /* of exp(x - peak), of x */
} row_sums;
static inline __attribute__((always_inline)) row_sums sums_of(size_t n, const float *x, float *e) {
  vec top = splat(-INFINITY);
  FOR_VECTORS(c, w, 0, n) top = vmax(top, vpad(get(x + c, w), w, -INFINITY));
  row_sums r = {.peak = vtop(top)};
  for (size_t block = 0; block < n; block += 1024) { /* fp32 lanes, fp64 totals */
    size_t end = block + 1024 < n ? block + 1024 : n;
    vec exps = {0}, plain = {0};
    FOR_VECTORS(c, w, block, end) {
      vec t = vpad(get(x + c, w), w, 0);
      vec y = vpad(vexp_below(t - r.peak), w, 0);
      exps += y;
      plain += t;
      if (e) put(e + c, y, w);
    }
    r.sum_exp += (double)vsum(exps);
    r.plain += (double)vsum(plain);
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

static size_t find_above(size_t n, const float *x, float bound) {
  enum { AT_ONCE = 8 * L };
  size_t c = 0;
  for (; c + AT_ONCE <= n; c += AT_ONCE) {
    ivec above = {0};
    for (size_t i = 0; i < AT_ONCE; i += L) above |= load(x + c + i) > splat(bound);
    int32_t lanes[L], any = 0;
    memcpy(lanes, &above, sizeof lanes);
    for (int i = 0; i < L; i++) any |= lanes[i];
    if (any) break;
  }
  while (c < n && !(x[c] > bound)) c++;
  return c;
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
    vec there = {0}, here = {0};
    FOR_VECTORS(c, n, block, end) {
      vec p = get(first + c, n), q = get(second + c, n), d = vpad(p - q, n, 0);
      there += vexp(p) * d;
      here -= vexp(q) * d;
    }
    forward += (double)vsum(there);
    back += (double)vsum(here);
  }
  *divergence += (forward + back) / 2;
  float entropy = gradient_scale / 2, kl = alpha / 4 * gradient_scale;
  float uniform = smoothing / (float)classes * entropy;
  FOR_VECTORS(c, n, 0, classes) {
    vec lp = get(first + c, n), lq = get(second + c, n), d = lp - lq;
    vec p = vexp(lp), q = vexp(lq);
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
    vec s = {0};
    FOR_VECTORS(c, w, block, end) {
      vec t = get(x + c, w);
      s += t * t;
    }
    total += (double)vsum(s);
  }
  return total;
}

static inline vec vsqrt(vec x) {
  float t[L];
  store(t, x);
  for (int i = 0; i < L; i++) t[i] = sqrtf(t[i]);
  return load(t);
}

static void adam(size_t n, const dg_adam_step *s, const float *g, float *w, float *m, float *v) {
  FOR_VECTORS(c, k, 0, n) {
    vec grad = get(g + c, k) * s->gradient_scale, x = get(w + c, k);
    vec a = get(m + c, k) * s->beta1 + grad * (1 - s->beta1);
    vec b = get(v + c, k) * s->beta2 + grad * grad * (1 - s->beta2);
    put(m + c, a, k);
    put(v + c, b, k);
    x -= x * (s->lr * s->weight_decay);
    x -= s->lr * (a * s->correction1) / (vsqrt(b * s->correction2) + s->eps);
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
    .find_above = find_above,
    .sum_squares = sum_squares,
    .adam = adam,
};
