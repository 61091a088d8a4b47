/* The kernels of ops.h, for every instruction set in use, against plain sums in
 * double precision. Every array ends, and then begins, at a guard page. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mt/core/mem.h"
#include "mt/core/rng.h"
#include "mt/core/safetensors.h"
#include "mt/kernels/isa.h"
#include "mt/kernels/ops.h"
#include "mt/kernels/ops_tables.h"
#include "tests/guard.h"
#include "tests/wide.h"

enum { TABLES = 4 };
static size_t usable(const dg_ops *out[TABLES]) {
  size_t n = 0;
  out[n++] = &wide_ops;
  out[n++] = &dg_ops_generic;
#if defined(__x86_64__)
  if (dg_isa_level() >= DG_ISA_AVX2) out[n++] = &dg_ops_avx2;
  if (dg_isa_level() >= DG_ISA_AVX512) out[n++] = &dg_ops_avx512;
#endif
  return n;
}

/* Arrays of one check, released together. */
typedef struct bench {
  const dg_ops *ops;
  bool at_end;
  dg_rng random;
  guarded arrays[48];
  size_t count;
} bench;

static float *blank(bench *b, size_t n) {
  assert_true(b->count < sizeof b->arrays / sizeof *b->arrays);
  b->arrays[b->count] = guarded_new(n * sizeof(float), b->at_end);
  float *x = b->arrays[b->count++].data;
  for (size_t i = 0; i < n; i++) x[i] = NAN;
  return x;
}

static float *noise(bench *b, size_t n) {
  float *x = blank(b, n);
  for (size_t i = 0; i < n; i++) x[i] = (float)dg_rng_normal(&b->random);
  return x;
}

static float *copy(bench *b, const float *x, size_t n) {
  return memcpy(blank(b, n), x, n * sizeof *x);
}

static void clear(bench *b) {
  while (b->count) guarded_free(&b->arrays[--b->count]);
}

/* Calls check(b, width) for every table, both ends, and widths with every kind of tail. */
static void for_widths(void check(bench *, size_t)) {
  const dg_ops *tables[TABLES];
  size_t kinds = usable(tables);
  for (size_t i = 0; i < kinds; i++)
    for (int end = 0; end < 2; end++)
      for (size_t width = 1; width <= 70; width += width < 36 ? 1 : 7) {
        bench b = {.ops = tables[i], .at_end = end, .random = {dg_rng_key(width, 1), 0}};
        check(&b, width);
        clear(&b);
      }
}

static void close_to(const char *what, double got, double want, double tolerance) {
  if (!(fabs(got - want) <= tolerance * (1 + fabs(want))))
    fail_msg("%s is %.9g, not %.9g", what, got, want);
}

enum { ROWS = 3 };
static const float EPS = 1e-5f;

static void moments(bool rms, size_t n, const float *x, double *mean, double *rstd) {
  double s = 0, q = 0;
  for (size_t i = 0; i < n; i++) s += (double)x[i];
  *mean = rms ? 0 : s / (double)n;
  for (size_t i = 0; i < n; i++) q += ((double)x[i] - *mean) * ((double)x[i] - *mean);
  *rstd = 1 / sqrt(q / (double)n + (double)EPS);
}

static void check_norm(bench *b, size_t n) {
  for (int v = 0; v < 8; v++) {
    bool rms = v & 1, in_place = v & 2;
    float *x = noise(b, ROWS * n), *gain = noise(b, n), *bias = v & 4 ? noise(b, n) : NULL;
    float *y = in_place ? copy(b, x, ROWS * n) : blank(b, ROWS * n);
    float *mean = blank(b, ROWS), *rstd = blank(b, ROWS);
    b->ops->norm(rms, ROWS, n, EPS, in_place ? y : x, gain, bias, y, mean, rstd);
    for (size_t r = 0; r < ROWS; r++) {
      double mu, inverse;
      moments(rms, n, x + r * n, &mu, &inverse);
      if (!rms) close_to("mean", (double)mean[r], mu, 1e-6);
      if (n > 1 || rms) close_to("rstd", (double)rstd[r], inverse, 1e-5);
      for (size_t c = 0; c < n; c++)
        close_to("norm", (double)y[r * n + c],
                 ((double)x[r * n + c] - mu) * inverse * (double)gain[c] +
                     (bias ? (double)bias[c] : 0),
                 2e-5);
    }
    float *again = blank(b, ROWS * n);
    b->ops->norm(rms, ROWS, n, EPS, x, gain, bias, again, NULL, NULL);
    assert_memory_equal(again, y, ROWS * n * sizeof *y);
    clear(b);
  }
}

static void check_norm_backward(bench *b, size_t n) {
  for (int v = 0; v < 6; v++) {
    bool rms = v & 1, accumulate = v / 2 == 1, in_place = v / 2 == 2;
    float *x = noise(b, ROWS * n), *gain = noise(b, n), *dy = noise(b, ROWS * n);
    float *mean = blank(b, ROWS), *rstd = blank(b, ROWS), *scratch = blank(b, ROWS * n);
    b->ops->norm(rms, ROWS, n, EPS, x, gain, NULL, scratch, mean, rstd);
    float *before = noise(b, ROWS * n);
    float *dx = in_place     ? copy(b, dy, ROWS * n)
                : accumulate ? copy(b, before, ROWS * n)
                             : blank(b, ROWS * n);
    b->ops->norm_backward(rms, ROWS, n, x, gain, mean, rstd, in_place ? dx : dy, dx, accumulate);
    for (size_t r = 0; r < ROWS; r++) {
      double mu, inverse, s = 0, q = 0;
      moments(rms, n, x + r * n, &mu, &inverse);
      for (size_t c = 0; c < n; c++) {
        double g = (double)dy[r * n + c] * (double)gain[c];
        s += g;
        q += g * ((double)x[r * n + c] - mu) * inverse;
      }
      if (rms) s = 0;
      for (size_t c = 0; c < n; c++) {
        double hat = ((double)x[r * n + c] - mu) * inverse;
        double want = inverse * ((double)dy[r * n + c] * (double)gain[c] - s / (double)n -
                                 hat * q / (double)n);
        if (accumulate) want += (double)before[r * n + c];
        /* Differences cancel where the rows are short and nearly constant. */
        close_to("norm_backward", (double)dx[r * n + c], want, 1e-5 * (1 + inverse * inverse));
      }
    }
    size_t c0 = n / 3, c1 = n - n / 4;
    float *d_gain = noise(b, n), *d_bias = noise(b, n);
    float *gain_before = copy(b, d_gain, n), *bias_before = copy(b, d_bias, n);
    b->ops->norm_grads(rms, ROWS, n, c0, c1, x, mean, rstd, dy, v & 2 ? NULL : d_gain,
                       v & 4 ? NULL : d_bias);
    for (size_t c = 0; c < n; c++) {
      double g = (double)gain_before[c], s = (double)bias_before[c];
      for (size_t r = 0; c >= c0 && c < c1 && r < ROWS; r++) {
        double mu, inverse;
        moments(rms, n, x + r * n, &mu, &inverse);
        if (!(v & 2))
          g += (double)dy[r * n + c] * ((double)x[r * n + c] - mu) * inverse;
        if (!(v & 4)) s += (double)dy[r * n + c];
      }
      close_to("norm gain gradient", (double)d_gain[c], g, n > 1 ? 1e-4 : 1);
      close_to("norm bias gradient", (double)d_bias[c], s, 1e-6);
    }
    clear(b);
  }
}

static void check_sums(bench *b, size_t n) {
  float *x = noise(b, ROWS * n), *bias = noise(b, n), *y = copy(b, x, ROWS * n);
  b->ops->add_bias(ROWS, n, bias, y);
  for (size_t i = 0; i < ROWS * n; i++) assert_true(y[i] == x[i] + bias[i % n]);
  float *sums = noise(b, n), *before = copy(b, sums, n);
  size_t c0 = n / 5, c1 = n - n / 3;
  b->ops->column_sums(ROWS, n, c0, c1, x, sums);
  for (size_t c = 0; c < n; c++) {
    double want = (double)before[c];
    for (size_t r = 0; c >= c0 && c < c1 && r < ROWS; r++) want += (double)x[r * n + c];
    close_to("column_sums", (double)sums[c], want, 1e-6);
  }
  double squares = 0;
  for (size_t i = 0; i < ROWS * n; i++) squares += (double)x[i] * (double)x[i];
  close_to("sum_squares", b->ops->sum_squares(ROWS * n, x), squares, 1e-6);
}

/* The kernels' common mask as numbers: 0 or the scale. */
static float *mask(bench *b, size_t row0, size_t rows, size_t n, dg_dropout d) {
  float *y = blank(b, rows * n);
  for (size_t i = 0; i < rows * n; i++) y[i] = 1;
  b->ops->drop(row0, rows, n, y, y, d);
  return y;
}

static double act(int kind, double x) {
  switch (kind) {
    case DG_ACT_RELU: return x > 0 ? x : 0;
    case DG_ACT_GELU: return x * 0.5 * (1 + erf(x / sqrt(2)));
    case DG_ACT_GELU_TANH:
      return 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
    default: return x / (1 + exp(-x));
  }
}
static double act_slope(int kind, double x) {
  if (kind == DG_ACT_RELU) return x > 0;
  double h = 1e-5;
  return (act(kind, x + h) - act(kind, x - h)) / (2 * h);
}

static void check_activate(bench *b, size_t n) {
  for (int v = 0; v < 16; v++) {
    int kind = v & 3;
    bool gated = v & 4, with_bias = v & 8;
    size_t stride = gated ? 2 * n : n, row0 = 5;
    dg_dropout d = dg_dropout_make(v & 8 ? 0.3f : 0, 99);
    float *keep = mask(b, row0, ROWS, n, d);
    float *x = noise(b, ROWS * stride), *bias = with_bias ? noise(b, stride) : NULL;
    if (n > 2) x[0] = 30, x[1] = -30, x[2] = 0;
    float *h = copy(b, x, ROWS * stride), *a = blank(b, ROWS * n), *da = noise(b, ROWS * n);
    b->ops->activate(kind, gated, row0, ROWS, n, bias, h, a, d);
    float *dh = gated ? blank(b, ROWS * stride) : copy(b, da, ROWS * n);
    b->ops->activate_backward(kind, gated, row0, ROWS, n, h, gated ? da : dh, dh, d);
    for (size_t r = 0; r < ROWS; r++)
      for (size_t c = 0; c < n; c++) {
        size_t e = r * stride + c, f = r * n + c;
        double u = (double)(x[e] + (bias ? bias[c] : 0)), g = 1, m = (double)keep[f];
        assert_true(h[e] == (float)u);
        if (gated) {
          g = (double)(x[e + n] + (bias ? bias[n + c] : 0));
          assert_true(h[e + n] == (float)g);
          close_to("gate gradient", (double)dh[e + n], (double)da[f] * m * act(kind, u), 2e-6);
        }
        close_to("activation", (double)a[f], act(kind, u) * g * m, 2e-6);
        close_to("activation gradient", (double)dh[e], (double)da[f] * m * g * act_slope(kind, u),
                 5e-6);
      }
    clear(b);
  }
}

static void check_residual(bench *b, size_t n) {
  for (int v = 0; v < 8; v++) {
    dg_dropout d = dg_dropout_make(v & 1 ? 0.5f : 0, 4);
    size_t row0 = 11, all = ROWS * n;
    float *keep = mask(b, row0, ROWS, n, d), *x = noise(b, all), *r = noise(b, all);
    float *bias = v & 2 ? noise(b, n) : NULL;
    float *x0 = copy(b, x, all), *r0 = copy(b, r, all),
          *y = v & 4 ? (v & 2 ? x : r) : blank(b, all);
    b->ops->residual(row0, ROWS, n, x, r, bias, y, d);
    for (size_t i = 0; i < all; i++)
      close_to("residual", (double)y[i],
               (double)x0[i] +
                   (double)keep[i] * ((double)r0[i] + (bias ? (double)bias[i % n] : 0)),
               1e-6);
    float *z = blank(b, all);
    b->ops->drop(row0, ROWS, n, x0, z, d);
    for (size_t i = 0; i < all; i++) assert_true(z[i] == x0[i] * keep[i]);
    clear(b);
  }
}

static void test_dropout(void **state) {
  (void)state;
  const dg_ops *tables[TABLES];
  size_t kinds = usable(tables);
  enum { N = 300, R = 400 };
  static float first[N * R];
  dg_dropout none = dg_dropout_make(0, 1), d = dg_dropout_make(0.1f, 1234);
  assert_true(none.threshold == 0 && none.scale == 1);
  for (size_t t = 0; t < kinds; t++) {
    bench b = {.ops = tables[t], .at_end = true};
    float *m = mask(&b, 0, R, N, d);
    if (!t) memcpy(first, m, sizeof first);
    assert_memory_equal(first, m, sizeof first); /* the same mask on every CPU */
    double kept = 0, columns = 0, rows = 0;
    for (size_t i = 0; i < N * R; i++) {
      assert_true(m[i] == 0 || m[i] == d.scale);
      kept += m[i] != 0;
      if (i % N) columns += (m[i] != 0) == (m[i - 1] != 0);
      if (i >= N) rows += (m[i] != 0) == (m[i - N] != 0);
    }
    /* 0.9, and agreement of neighbours 0.9^2 + 0.1^2, within 5 standard deviations. */
    close_to("share kept", kept / (N * R), 0.9, 0.003);
    close_to("neighbours in a row", columns / ((N - 1) * R), 0.82, 0.004);
    close_to("neighbours in a column", rows / (N * (R - 1)), 0.82, 0.004);
    float *part = mask(&b, 123, 5, N, d); /* rows may be split over threads */
    assert_memory_equal(part, m + 123 * N, 5 * N * sizeof *part);
    float *other = mask(&b, 0, R, N, dg_dropout_make(0.1f, 1235));
    double same = 0;
    for (size_t i = 0; i < N * R; i++) same += (m[i] != 0) == (other[i] != 0);
    close_to("agreement of two keys", same / (N * R), 0.82, 0.004);
    clear(&b);
  }
}

/* The dropout mask of an attention head: with equal scores and V the identity, the output
 * is the mask over the number of keys seen. */
static float *attention_mask(bench *b, const dg_attention_head *like) {
  size_t q = like->queries, k = like->keys;
  float *zero = blank(b, k), *eye = blank(b, k * k), *o = blank(b, q * k);
  for (size_t i = 0; i < k; i++) zero[i] = 0;
  for (size_t i = 0; i < k * k; i++) eye[i] = i / k == i % k;
  dg_attention_head h = {.queries = q, .keys = k, .width = k, .scale = 0, .q = zero, .k = eye,
                         .v = eye, .q_stride = 0, .kv_stride = k, .dropout = like->dropout,
                         .o = o, .o_stride = k};
  b->ops->attention(&h, blank(b, dg_attention_scratch(k, k)));
  for (size_t i = 0; i < q * k; i++) o[i] *= (float)k;
  return o;
}

static void check_attention(bench *b, size_t width) {
  static const size_t shapes[][2] = {{1, 1},   {5, 5},  {3, 17}, {20, 16},
                                     {19, 33}, {2, 70}, {34, 34}};
  for (size_t s = 0; s < 14; s++) {
    size_t queries = shapes[s / 2][0], keys = shapes[s / 2][1], pad = 3;
    bool full = s % 2;
    float *bias = full ? noise(b, queries + keys - 1) : NULL;
    float *d_bias = full ? noise(b, queries + keys - 1) : NULL;
    float *d_bias0 = full ? copy(b, d_bias, queries + keys - 1) : NULL;
    size_t qs = width + pad, ks = width + 2 * pad, os = width + 1;
    size_t nq = (queries - 1) * qs + width, nk = (keys - 1) * ks + width;
    size_t no = (queries - 1) * os + width;
    float *q = noise(b, nq), *k = noise(b, nk), *v = noise(b, nk), *o = blank(b, no);
    float *lse = blank(b, 2 * queries - 1), *d_o = noise(b, no), *d_q = blank(b, nq);
    float *d_k = noise(b, nk), *d_v = noise(b, nk);
    float *d_k0 = copy(b, d_k, nk), *d_v0 = copy(b, d_v, nk);
    dg_attention_head h = {.queries = queries, .keys = keys, .width = width,
                           .causal = queries == keys && !full, .scale = 0.7f / sqrtf((float)width),
                           .q = q, .k = k, .v = v, .q_stride = qs, .kv_stride = ks, .bias = bias,
                           .dropout = dg_dropout_make(full ? 0.2f : 0, 77), .o = o, .o_stride = os,
                           .lse = lse, .lse_stride = 2, .d_o = d_o, .d_q = d_q, .d_k = d_k,
                           .d_v = d_v, .d_bias = d_bias, .dq_stride = qs, .dkv_stride = ks};
    float *scratch = blank(b, dg_attention_scratch(keys, width));
    float *keep = attention_mask(b, &h);
    b->ops->attention(&h, scratch);
    b->ops->attention_backward(&h, scratch);

    double *dk = dg_calloc(keys * width, sizeof *dk), *dv = dg_calloc(keys * width, sizeof *dv);
    double *db = dg_calloc(queries + keys, sizeof *db), *p = dg_calloc(keys, sizeof *p);
    double *dp = dg_calloc(keys, sizeof *dp);
    for (size_t i = 0; i < queries; i++) {
      size_t seen = h.causal ? i + 1 : keys;
      double sum = 0, delta = 0;
      for (size_t j = 0; j < seen; j++) {
        double dot = 0;
        for (size_t c = 0; c < width; c++) dot += (double)q[i * qs + c] * (double)k[j * ks + c];
        p[j] = exp(dot * (double)h.scale + (bias ? (double)bias[j + queries - 1 - i] : 0));
        sum += p[j];
      }
      close_to("lse", (double)lse[2 * i], log(sum), 3e-6);
      for (size_t j = 0; j < seen; j++) {
        double m = (double)keep[i * keys + j];
        p[j] /= sum;
        dp[j] = 0;
        for (size_t c = 0; c < width; c++) {
          dp[j] += (double)d_o[i * os + c] * (double)v[j * ks + c] * m;
          dv[j * width + c] += p[j] * m * (double)d_o[i * os + c];
        }
        delta += p[j] * dp[j];
      }
      for (size_t c = 0; c < width; c++) {
        double want = 0, dq = 0;
        for (size_t j = 0; j < seen; j++) {
          double ds = p[j] * (dp[j] - delta);
          want += p[j] * (double)keep[i * keys + j] * (double)v[j * ks + c];
          dq += ds * (double)h.scale * (double)k[j * ks + c];
          dk[j * width + c] += ds * (double)h.scale * (double)q[i * qs + c];
        }
        close_to("attention", (double)o[i * os + c], want, 1e-5);
        close_to("attention d_q", (double)d_q[i * qs + c], dq, 3e-5);
      }
      for (size_t j = 0; j < seen; j++) db[j + queries - 1 - i] += p[j] * (dp[j] - delta);
      for (size_t c = width; i + 1 < queries && c < os; c++) assert_true(isnan(o[i * os + c]));
    }
    for (size_t j = 0; j < keys; j++)
      for (size_t c = 0; c < ks && j * ks + c < nk; c++) {
        size_t e = j * ks + c, f = j * width + c;
        if (c < width) {
          close_to("attention d_k", (double)d_k[e], (double)d_k0[e] + dk[f], 3e-5);
          close_to("attention d_v", (double)d_v[e], (double)d_v0[e] + dv[f], 3e-5);
        } else {
          assert_true(d_k[e] == d_k0[e] && d_v[e] == d_v0[e]);
        }
      }
    for (size_t e = 0; d_bias && e < queries + keys - 1; e++)
      close_to("attention d_bias", (double)d_bias[e], (double)d_bias0[e] + db[e], 5e-5);
    free(dk);
    free(dv);
    free(db);
    free(p);
    free(dp);
    clear(b);
  }
}

static void check_attention_cached(bench *b, size_t width) {
  static const size_t lengths[] = {1, 2, 15, 16, 17, 50};
  for (size_t s = 0; s < 12; s++) {
    size_t keys = lengths[s / 2];
    const float *k[50], *v[50];
    float *store = noise(b, 2 * keys * width), *q = noise(b, width);
    float *bias = s % 2 ? noise(b, keys) : NULL, *scores = blank(b, keys), *o = blank(b, width);
    for (size_t j = 0; j < keys; j++) { /* scattered: in reverse */
      k[j] = store + (2 * (keys - j) - 1) * width;
      v[j] = store + 2 * (keys - j - 1) * width;
    }
    b->ops->attention_cached(keys, width, 0.3f, q, k, v, bias, scores, o);
    double p[50], sum = 0;
    for (size_t j = 0; j < keys; j++) {
      double dot = 0;
      for (size_t c = 0; c < width; c++) dot += (double)q[c] * (double)k[j][c];
      sum += p[j] = exp(dot * (double)0.3f + (bias ? (double)bias[j] : 0));
    }
    for (size_t c = 0; c < width; c++) {
      double want = 0;
      for (size_t j = 0; j < keys; j++) want += p[j] / sum * (double)v[j][c];
      close_to("attention_cached", (double)o[c], want, 1e-5);
    }
    clear(b);
  }
}

static void check_cross_entropy(bench *b, size_t n) {
  for (int v = 0; v < 4; v++) {
    float smoothing = v & 1 ? 0.1f : 0, scale = v & 2 ? 0.25f : 0;
    float *x = noise(b, n), *y = copy(b, x, n), *z = copy(b, x, n);
    size_t label = n / 2;
    double smoothed = 10, nll = 20, sum = 0, plain = 0, e = (double)smoothing, count = (double)n;
    if (n > 4) x[1] = y[1] = z[1] = -400, x[2] = y[2] = z[2] = 60; /* neither under- nor overflow */
    b->ops->cross_entropy(n, y, label, smoothing, scale, &smoothed, &nll);
    b->ops->log_softmax(n, z);
    for (size_t c = 0; c < n; c++) {
      sum += exp((double)x[c]);
      plain += (double)x[c];
    }
    double lse = log(sum), loss = lse - (double)x[label];
    close_to("nll", nll, 20 + loss, 3e-6);
    close_to("smoothed", smoothed, 10 + (1 - e) * loss + e * (lse - plain / count), 3e-6);
    for (size_t c = 0; c < n; c++) {
      double gradient = exp((double)x[c] - lse) - e / count - (c == label ? 1 - e : 0);
      close_to("cross_entropy gradient", (double)y[c],
               scale == 0 ? (double)x[c] : (double)scale * gradient, 3e-6);
      close_to("log_softmax", (double)z[c], (double)x[c] - lse, 1e-6);
    }
    clear(b);
  }
}

static void check_find_above(bench *b, size_t n) {
  float *x = noise(b, n), top = -INFINITY;
  for (size_t c = 0; c < n; c += 7) x[c] = NAN; /* above nothing */
  for (size_t c = 0; c < n; c++) top = x[c] > top ? x[c] : top;
  const float bounds[] = {-INFINITY, 0, 1, nextafterf(top, -INFINITY), top, INFINITY, NAN};
  for (size_t k = 0; k < sizeof bounds / sizeof *bounds; k++)
    for (size_t first = 0; first < n; first += n / 3 + 1) {
      size_t want = first;
      while (want < n && !(x[want] > bounds[k])) want++;
      assert_int_equal(first + b->ops->find_above(n - first, x + first, bounds[k]), want);
    }
  clear(b);
}

static void check_adam(bench *b, size_t n) {
  dg_adam_step s = {.lr = 0.01f, .beta1 = 0.9f, .beta2 = 0.98f, .eps = 1e-6f, .weight_decay = 0.05f,
                    .correction1 = 2.5f, .correction2 = 9.0f, .gradient_scale = 0.5f};
  float *g = noise(b, n), *w = noise(b, n), *m = noise(b, n), *v = noise(b, n);
  for (size_t i = 0; i < n; i++) v[i] *= v[i];
  float *w0 = copy(b, w, n), *m0 = copy(b, m, n), *v0 = copy(b, v, n);
  b->ops->adam(n, &s, g, w, m, v);
  for (size_t i = 0; i < n; i++) {
    double d = 0.5 * (double)g[i];
    double first = (double)s.beta1 * (double)m0[i] + (1 - (double)s.beta1) * d;
    double second = (double)s.beta2 * (double)v0[i] + (1 - (double)s.beta2) * d * d;
    double x = (double)w0[i] * (1 - (double)s.lr * (double)s.weight_decay);
    x -= (double)s.lr * 2.5 * first / (sqrt(9 * second) + (double)s.eps);
    close_to("adam m", (double)m[i], first, 1e-6);
    close_to("adam v", (double)v[i], second, 1e-6);
    close_to("adam w", (double)w[i], x, 1e-6);
  }
}

#define OVER_WIDTHS(name) \
  static void test_##name(void **state) { (void)state; for_widths(check_##name); }
OVER_WIDTHS(norm)
OVER_WIDTHS(norm_backward)
OVER_WIDTHS(sums)
OVER_WIDTHS(activate)
OVER_WIDTHS(residual)
OVER_WIDTHS(attention)
OVER_WIDTHS(attention_cached)
OVER_WIDTHS(cross_entropy)
OVER_WIDTHS(adam)

/* Against PyTorch: tests/goldens/rdrop.py. */
static void test_rdrop(void **state) {
  (void)state;
  dg_error err;
  dg_safetensors *s = dg_safetensors_open("tests/train/rdrop.safetensors", true, &err);
  if (!s) fail_msg("%s", err.message);
  const dg_st_tensor *logits = dg_safetensors_find(s, "logits");
  size_t rows = logits->shape[1], classes = logits->shape[2];
  const float *x = logits->data, *o = dg_safetensors_find(s, "options")->data;
  const int32_t *labels = dg_safetensors_find(s, "labels")->data;
  const double *losses = dg_safetensors_find(s, "losses")->data;
  const double *grads = dg_safetensors_find(s, "grads")->data;
  const dg_ops *tables[TABLES];
  size_t kinds = usable(tables);
  for (size_t t = 0; t < kinds; t++) {
    bench b = {.ops = tables[t], .at_end = true, .random = {3, 0}};
    for (size_t r = 0; r < rows; r++) {
      float *first = copy(&b, x + r * classes, classes);
      float *second = copy(&b, x + (rows + r) * classes, classes);
      double smoothed = 1, nll = 2, divergence = 3;
      tables[t]->rdrop(classes, first, second, (size_t)labels[r], o[0], o[1], 0.25f, &smoothed,
                       &nll, &divergence);
      close_to("rdrop smoothed", smoothed, 1 + losses[3 * r], 1e-6);
      close_to("rdrop nll", nll, 2 + losses[3 * r + 1], 1e-6);
      close_to("rdrop divergence", divergence, 3 + losses[3 * r + 2], 2e-6);
      for (size_t c = 0; c < classes; c++) {
        close_to("rdrop gradient", (double)first[c], 0.25 * grads[r * classes + c], 3e-6);
        close_to("rdrop gradient", (double)second[c], 0.25 * grads[(rows + r) * classes + c], 3e-6);
      }
      clear(&b);
    }
  }
  dg_safetensors_close(s);
}

static void test_long_rows(void **state) {
  (void)state;
  const dg_ops *tables[TABLES];
  size_t kinds = usable(tables);
  for (size_t t = 0; t < kinds; t++) {
    bench b = {.ops = tables[t], .at_end = true, .random = {3, 0}};
    check_cross_entropy(&b, 16001);
    check_norm(&b, 1025);
    check_sums(&b, 5003);
    const size_t sizes[] = {1, 2, 31, 32, 33, 127, 128, 129, 300, 5003};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) check_find_above(&b, sizes[k]);
    clear(&b);
  }
}

/* The exponential every softmax is made of: the gradient at the wrong classes is it alone. */
static void test_exponential(void **state) {
  (void)state;
  const dg_ops *tables[TABLES];
  size_t kinds = usable(tables);
  enum { N = 4000 };
  for (size_t t = 0; t < kinds; t++) {
    float x[N] = {8}, y[N] = {8};
    double smoothed = 0, nll = 0, sum = exp(8);
    for (size_t i = 1; i < N; i++) {
      x[i] = y[i] = 7 - 90 * (float)i / N;
      sum += exp((double)x[i]);
    }
    float lse = (float)log(sum);
    tables[t]->cross_entropy(N, y, 0, 0, 1, &smoothed, &nll);
    for (size_t i = 1; i < N; i++) {
      double want = exp((double)x[i]) / sum;
      if (x[i] - lse < -87.2f) { /* about the least normal float */
        assert_true(y[i] >= 0 && y[i] < 2e-38f);
        continue;
      }
      if (!(fabs((double)y[i] / want - 1) < 3e-7 + 6e-8 * 90))
        fail_msg("exp(%g) is %.9g, not %.9g", (double)(x[i] - lse), (double)y[i], want);
    }
  }
}

static void test_table_in_use(void **state) {
  (void)state;
  const dg_ops *tables[TABLES];
  assert_ptr_equal(dg_ops_get(), tables[usable(tables) - 1]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_norm),          cmocka_unit_test(test_norm_backward),
      cmocka_unit_test(test_sums),          cmocka_unit_test(test_activate),
      cmocka_unit_test(test_residual),      cmocka_unit_test(test_dropout),
      cmocka_unit_test(test_attention),     cmocka_unit_test(test_attention_cached),
      cmocka_unit_test(test_cross_entropy), cmocka_unit_test(test_rdrop),
      cmocka_unit_test(test_adam),          cmocka_unit_test(test_long_rows),
      cmocka_unit_test(test_exponential),   cmocka_unit_test(test_table_in_use),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
