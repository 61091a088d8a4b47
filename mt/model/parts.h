/* What the adapters of a network add to one sublayer of the base. Private to mt/model. */
#ifndef DG_MODEL_PARTS_H
#define DG_MODEL_PARTS_H

#include "mt/model/pass.h"

/* One a network's adapter, in stacking order. */
typedef struct dg_parts {
  size_t count;
  const dg_sublayer_part *at[DG_ADAPTERS_MAX];
} dg_parts;

typedef struct dg_layer_parts {
  dg_parts self, cross, ffn;
  size_t after_count;
  const dg_block *after[DG_ADAPTERS_MAX];
} dg_layer_parts;
dg_layer_parts dg_network_parts(const dg_network *n, bool decoder, size_t layer);

/* Of the blocks at a sublayer; NULL when it has none. */
const dg_block *dg_parts_block(const dg_parts *parts, size_t k);
bool dg_parts_have_blocks(const dg_parts *parts);

/* The base's vectors with what is added to them: the base's own pointers when nothing is,
 * else in the pass's arena. Gradient pointers stay the base's. */
dg_norm dg_parts_norm(dg_pass *p, const dg_norm *base, size_t width, size_t count,
                      const dg_norm *const *added);
dg_norm dg_sublayer_norm(dg_pass *p, const dg_norm *base, size_t width, const dg_parts *parts);
const float *dg_parts_bias(dg_pass *p, const dg_linear *l, const dg_parts *parts,
                           dg_product product);
/* Of keys and values, or of hidden units; NULL when there is none. */
const float *dg_parts_scale(dg_pass *p, size_t width, const dg_parts *parts);

typedef struct dg_low_rank_saved {
  float *low; /* scaled low-rank rows */
  dg_dropout drop;
} dg_low_rank_saved;
typedef struct dg_product_saved {
  dg_low_rank_saved *parts; /* one an adapter; NULL where nothing is kept */
} dg_product_saved;

/* Room for what the backward pass needs, where this pass has one. */
void dg_product_keep(dg_pass *p, const dg_parts *parts, dg_product product, size_t rows,
                     dg_product_saved *saved);
/* dg_linear_forward and dg_linear_backward with what is added. Without the bias, but the
 * backward pass adds the gradients of biases too. */
void dg_product_forward(dg_pass *p, const dg_linear *l, const dg_parts *parts, dg_product product,
                        size_t rows, const float *x, float *y, dg_product_saved *saved);
void dg_product_backward(dg_pass *p, const dg_linear *l, const dg_parts *parts, dg_product product,
                         size_t rows, const float *x, const float *dy, float beta, float *dx,
                         const dg_product_saved *saved);
/* Whether its gradients need its input. */
bool dg_product_keeps_input(const dg_linear *l, const dg_parts *parts, dg_product product);

/* y = x * scale by columns; rows are x_stride and y_stride apart; y may be x. */
void dg_scale_columns(dg_pass *p, size_t rows, size_t width, const float *scale, const float *x,
                      size_t x_stride, float *y, size_t y_stride);
bool dg_parts_train_scale(const dg_parts *parts);
/* Adds the gradients of the factors of y = x * scale. */
void dg_scale_gradients(dg_pass *p, const dg_parts *parts, size_t rows, size_t width,
                        const float *x, size_t x_stride, const float *dy, size_t dy_stride);

#endif
