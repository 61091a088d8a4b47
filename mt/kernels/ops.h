/* Row-wise and element-wise kernels, attention, and the optimizer's update, one
 * table of functions per instruction set. Each call is single-threaded and
 * works on the rows it is given; callers split rows over threads. All arrays
 * are fp32 unless said, need no alignment, and do not overlap unless said. */
#ifndef DG_KERNELS_OPS_H
#define DG_KERNELS_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An inverted-dropout mask, a pure function of (key, row, column): the backward pass makes the
 * same one again. threshold 0 drops nothing, what is kept is multiplied by scale. */
typedef struct dg_dropout {
  uint32_t key, threshold; /* dropped when hash < threshold */
  float scale;             /* 1/(1-p) */
  const uint32_t *rows;    /* the rows' numbers in the mask; NULL: as they come */
} dg_dropout;
dg_dropout dg_dropout_make(float p, uint64_t key);

enum { DG_ACT_RELU, DG_ACT_GELU, DG_ACT_GELU_TANH, DG_ACT_SILU };

/* One head of one sequence. Element (i,c) of q is q[i*q_stride+c], and so on. */
typedef struct dg_attention_head {
  size_t queries, keys, width; /* width = head dimension */
  bool causal;                 /* query i sees keys 0..i */
  float scale;
  const float *q, *k, *v;
  size_t q_stride, kv_stride;
  const float *bias; /* added to score (i,j): bias[j - i + queries - 1]; or NULL */
  dg_dropout dropout;
  float *o; /* [queries, width], o_stride */
  size_t o_stride;
  float *lse; /* log of the softmax denominator of query i at lse[i*lse_stride]; may be NULL */
  size_t lse_stride;
  /* backward only: d_q is written, d_k and d_v are added to, with q's and kv's
   * strides; d_bias (or NULL) is added to like bias is read. */
  const float *d_o;
  float *d_q, *d_k, *d_v, *d_bias;
  size_t dq_stride, dkv_stride;
} dg_attention_head;
/* Queries taken at a time. */
enum { DG_ATTENTION_QUERIES = 24 };
/* Floats of scratch an attention call needs. */
size_t dg_attention_scratch(size_t keys, size_t width);

typedef struct dg_adam_step {
  float lr, beta1, beta2, eps, weight_decay; /* decoupled (AdamW) */
  float correction1, correction2;            /* 1/(1-beta^t) */
  float gradient_scale;                      /* clipping factor */
} dg_adam_step;

typedef struct dg_ops {
  /* y = normalize(x)*gain + bias; bias may be NULL; mean/rstd [rows] are kept for
   * the backward pass (mean unused by RMS). y may be x. */
  void (*norm)(bool rms, size_t rows, size_t width, float eps, const float *x, const float *gain,
               const float *bias, float *y, float *mean, float *rstd);
  /* dx = (accumulate ? dx : 0) + d norm/dx applied to dy; dx may be dy when not accumulating. */
  void (*norm_backward)(bool rms, size_t rows, size_t width, const float *x, const float *gain,
                        const float *mean, const float *rstd, const float *dy, float *dx,
                        bool accumulate);
  /* Columns [c0,c1) of d_gain += sum dy*xhat and d_bias += sum dy (each may be NULL). */
  void (*norm_grads)(bool rms, size_t rows, size_t width, size_t c0, size_t c1, const float *x,
                     const float *mean, const float *rstd, const float *dy, float *d_gain,
                     float *d_bias);
  /* Columns [c0,c1): out[c] += sum over rows of x[row,c]. */
  void (*column_sums)(size_t rows, size_t width, size_t c0, size_t c1, const float *x, float *out);
  void (*add_bias)(size_t rows, size_t width, const float *bias, float *y);
  /* h += bias (or NULL); a = dropout(act(h)). Gated: h is [rows, 2*width], h = (u|g),
   * a = dropout(act(u)*g). `row0` numbers the first row for the mask. */
  void (*activate)(int act, bool gated, size_t row0, size_t rows, size_t width, const float *bias,
                   float *h, float *a, dg_dropout dropout);
  /* dh from da; dh may be da when not gated. */
  void (*activate_backward)(int act, bool gated, size_t row0, size_t rows, size_t width,
                            const float *h, const float *da, float *dh, dg_dropout dropout);
  /* y = x + dropout(r + bias); bias may be NULL; y may be x or r. */
  void (*residual)(size_t row0, size_t rows, size_t width, const float *x, const float *r,
                   const float *bias, float *y, dg_dropout dropout);
  /* y = dropout(x); y may be x. Its own backward. */
  void (*drop)(size_t row0, size_t rows, size_t width, const float *x, float *y,
               dg_dropout dropout);
  void (*attention)(const dg_attention_head *h, float *scratch);
  void (*attention_backward)(const dg_attention_head *h, float *scratch);
  /* One query over keys scattered in a cache: key j is k[j], value j is v[j]. */
  void (*attention_cached)(size_t keys, size_t width, float scale, const float *q,
                           const float *const *k, const float *const *v, const float *bias,
                           float *scores, float *o);
  /* Label-smoothed cross-entropy of one row of logits against label; adds to
   * *smoothed and *nll, and when gradient_scale is not 0 replaces the logits by
   * gradient_scale * d loss/d logits. */
  void (*cross_entropy)(size_t classes, float *logits, size_t label, float smoothing,
                        float gradient_scale, double *smoothed, double *nll);
  /* R-Drop (Liang et al. 2021) on two rows of logits of the same label: with the rows'
   * softmax p and q, adds the mean of their cross-entropies to *smoothed and *nll and
   * (KL(p|q) + KL(q|p)) / 2 to *divergence, and replaces the logits by gradient_scale *
   * d (smoothed + alpha/2 divergence)/d logits. */
  void (*rdrop)(size_t classes, float *first, float *second, size_t label, float smoothing,
                float alpha, float gradient_scale, double *smoothed, double *nll,
                double *divergence);
  void (*log_softmax)(size_t classes, float *logits);
  /* The first of x[n] that is greater than bound, or n. */
  size_t (*find_above)(size_t n, const float *x, float bound);
  double (*sum_squares)(size_t n, const float *x);
  /* w, m, v updated from g (Kingma & Ba 2015; Loshchilov & Hutter 2019). */
  void (*adam)(size_t n, const dg_adam_step *s, const float *g, float *w, float *m, float *v);
} dg_ops;

/* The table for dg_isa_level(). */
const dg_ops *dg_ops_get(void);

#endif
