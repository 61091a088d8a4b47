/* One walk through the network, and what it does to rows, forward and backward. Private to
 * mt/model. A NULL gradient pointer means frozen: no work is done for it. */
#ifndef DG_MODEL_PASS_H
#define DG_MODEL_PASS_H

#include "mt/core/mem.h"
#include "mt/kernels/ops.h"
#include "mt/model/model.h"

/* Buffers live in the arena. */
typedef struct dg_pass {
  const dg_network *network;
  const dg_ops *ops;
  dg_arena *arena;
  bool save; /* keep what the backward pass needs */
  struct {
    float residual, attention, activation, adapter;
    uint64_t key;
  } dropout;
  uint64_t site; /* numbers the dropout masks in the order they are met */
  const uint32_t *rows, *memory_rows; /* numbers of a stack's rows, and of those it attends to, in
                                       * the masks; NULL: as they come */
} dg_pass;

float *dg_pass_floats(dg_pass *p, size_t rows, size_t cols);
dg_dropout dg_pass_dropout(dg_pass *p, float rate);

/* y = dropped x; y may be x. */
void dg_drop(const dg_pass *p, size_t rows, size_t width, const float *x, float *y,
             dg_dropout drop);
/* y = onto + dropped (x + bias); bias may be NULL, y one of the others. */
void dg_residual(const dg_pass *p, size_t rows, size_t width, const float *onto, const float *x,
                 const float *bias, float *y, dg_dropout drop);

void dg_norm_forward(const dg_pass *p, bool rms, float eps, const dg_norm *n, size_t rows,
                     size_t width, const float *x, float *y, float *mean, float *rstd);
/* Adds the gradients of a norm's own parameters. */
void dg_norm_gradients(const dg_pass *p, bool rms, const dg_norm *n, size_t rows, size_t width,
                       const float *x, const float *mean, const float *rstd, const float *dy);
/* Those; then dx (+)= ...; dx may be dy when not accumulating. */
void dg_norm_backward(const dg_pass *p, bool rms, const dg_norm *n, size_t rows, size_t width,
                      const float *x, const float *mean, const float *rstd, const float *dy,
                      float *dx, bool accumulate);

/* y = x W^T, without the bias. */
void dg_linear_forward(const dg_pass *p, const dg_linear *l, size_t rows, const float *x, float *y);
/* Adds parameter gradients (x is read only for them); dx = beta*dx + dy W. */
void dg_linear_backward(const dg_pass *p, const dg_linear *l, size_t rows, const float *x,
                        const float *dy, float beta, float *dx);
void dg_bias_forward(const dg_pass *p, size_t rows, size_t width, const float *bias, float *y);
void dg_bias_backward(const dg_pass *p, size_t rows, size_t width, const float *dy,
                      float *bias_grad);

/* y [rows, width] = dropped activation of h + bias, which is written to h: [rows, width], or twice
 * as wide when gated. */
void dg_activate(const dg_pass *p, int activation, bool gated, size_t rows, size_t width,
                 const float *bias, float *h, float *y, dg_dropout drop);
void dg_activate_backward(const dg_pass *p, int activation, bool gated, size_t rows, size_t width,
                          const float *h, const float *dy, float *dh, dg_dropout drop);

#endif
