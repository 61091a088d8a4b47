/* The sublayers of a layer, forward and backward, on token-packed rows. Private to mt/model. */
#ifndef DG_MODEL_LAYERS_H
#define DG_MODEL_LAYERS_H

#include "mt/model/parts.h"
#include "mt/model/pass.h"

/* Sentences packed one after another. */
typedef struct dg_packed_text {
  size_t count, total, longest;
  const int32_t *ids;
  const uint32_t *offsets; /* [count+1] */
} dg_packed_text;
dg_packed_text dg_pack_text(size_t count, const int32_t *ids, const uint32_t *offsets);

float dg_attention_scale(const dg_model_config *c); /* of queries times keys */

/* How a sublayer is built: the base's way, or an adapter's. */
typedef struct dg_style {
  bool pre_norm, rms, gated;
  float eps;
  int activation;
  float dropout, activation_dropout, scale; /* scale: of what joins the residual stream */
} dg_style;
dg_style dg_base_style(const dg_pass *p);
dg_style dg_block_style(const dg_pass *p, const dg_block *b);

typedef struct dg_sublayer_saved {
  const float *x;           /* input */
  dg_norm norm;             /* with what adapters add */
  float *n, *mean, *rstd;   /* pre-norm: normalised x */
  float *sum;               /* post-norm: what is normalised into the output */
  dg_dropout drop;
  const float *scale;       /* of keys and values, or of hidden units; or NULL */
  float *unscaled;          /* what it multiplied */
  dg_product_saved product[3];
  float *projection;        /* what blocks read, when there are some */
  struct dg_ffn_saved *blocks; /* one an adapter */
} dg_sublayer_saved;

typedef struct dg_ffn_saved {
  dg_sublayer_saved sub;
  float *h, *a; /* before and after the activation */
  dg_dropout drop;
} dg_ffn_saved;

/* x [rows, d_model] -> a new [rows, d_model], `onto` plus what comes of x. */
float *dg_ffn_forward(dg_pass *p, const dg_style *style, const dg_ffn *f, const dg_parts *parts,
                      size_t rows, const float *x, const float *onto, dg_ffn_saved *s);
/* g is the gradient of the output and so that of `onto`; dx (which may be g, or NULL: not
 * wanted) is added that of x. */
void dg_ffn_backward(dg_pass *p, const dg_style *style, const dg_ffn *f, const dg_parts *parts,
                     size_t rows, const dg_ffn_saved *s, float *g, float *dx);

/* A block after a layer: x plus what comes of it; g becomes the gradient of x. */
float *dg_block_forward(dg_pass *p, const dg_block *b, size_t rows, const float *x,
                        dg_ffn_saved *s);
void dg_block_backward(dg_pass *p, const dg_block *b, size_t rows, const dg_ffn_saved *s,
                       float *g);

typedef struct dg_attention_saved {
  dg_sublayer_saved sub;
  float *q, *kv; /* self-attention: both inside one [rows, 3*inner] */
  size_t q_stride, kv_stride;
  float *o, *lse;
  dg_dropout drop;
} dg_attention_saved;

/* Where keys and values come from and what is added to scores. */
typedef struct dg_attention_context {
  dg_packed_text queries, keys;
  const float *memory;    /* [keys.total, d_model], or NULL: self-attention */
  bool causal;
  const float *relative;  /* [heads][2*relative_span-1] by key-query distance, or NULL */
  float *relative_grad;   /* the same shape, added to, or NULL */
  size_t relative_span;
} dg_attention_context;

float *dg_attention_forward(dg_pass *p, const dg_style *style, const dg_attention *a,
                            const dg_parts *parts, const dg_attention_context *c, const float *x,
                            dg_attention_saved *s);
/* d_memory (NULL: not wanted) is added to. Without `inward` (nothing below is
 * trained) g is left undefined. */
void dg_attention_backward(dg_pass *p, const dg_style *style, const dg_attention *a,
                           const dg_parts *parts, const dg_attention_context *c,
                           const dg_attention_saved *s, float *g, float *d_memory, bool inward);

/* Keys and values [rows, 2*inner] of the encoder's output. */
void dg_attention_memory(dg_pass *p, const dg_attention *a, const dg_parts *parts, size_t rows,
                         const float *memory, float *kv, dg_sublayer_saved *s);

/* The numbers that these two keep of a row for the backward pass; attention, of what it attends to,
 * besides, in *memory (NULL: to itself). */
size_t dg_ffn_kept(bool pre_norm, const dg_ffn *f, const dg_parts *parts);
size_t dg_attention_kept(bool pre_norm, const dg_attention *a, const dg_parts *parts,
                         size_t *memory);

/* The sublayer around an attention that the caller does: `in` projects normalised
 * rows to q [rows, in->out], attend turns them into o [rows, inner]. */
typedef void dg_attend_fn(void *context, const float *q, float *o);
float *dg_attention_around(dg_pass *p, const dg_style *style, const dg_attention *a,
                           const dg_parts *parts, const dg_linear *in, size_t rows,
                           const float *x, dg_attend_fn *attend, void *context);

#endif
