/* Weights of an encoder-decoder, of its adapters, and the network they form. */
#ifndef DG_MODEL_MODEL_H
#define DG_MODEL_MODEL_H

#include <stdint.h>

#include "mt/core/threads.h"
#include "mt/kernels/gemm.h"
#include "mt/model/config.h"

/* A named matrix (rows 1 for vectors). `grad` is NULL when it is frozen. */
typedef struct dg_tensor {
  char name[80];
  size_t rows, cols, offset; /* in floats, inside the block */
  float *value, *grad;
} dg_tensor;

/* Tensors laid one after another in one block, so that an optimizer, a
 * checkpoint or a hash walks one array. Projections that are multiplied
 * together (q, k, v) are adjacent by construction. */
typedef struct dg_params {
  dg_tensor *tensors;
  size_t count, total; /* total floats, padding included */
  float *values, *grads;
} dg_params;

dg_tensor *dg_params_find(const dg_params *p, const char *name); /* NULL if absent */
size_t dg_params_count(const dg_params *p); /* numbers, without the padding between tensors */
void dg_params_zero_grads(dg_params *p);

typedef struct dg_linear {
  size_t out, in;
  const float *weight, *bias; /* [out,in], [out] or NULL */
  float *weight_grad, *bias_grad;
} dg_linear;

typedef struct dg_norm {
  const float *gain, *bias; /* bias NULL: none */
  float *gain_grad, *bias_grad;
} dg_norm;

typedef struct dg_attention {
  dg_norm norm;
  dg_linear q, kv, qkv; /* views of the same adjacent tensors */
  dg_linear out;
} dg_attention;

typedef struct dg_ffn {
  dg_norm norm;
  dg_linear in; /* [ffn_dim or 2*ffn_dim (activated half first) , d_model] */
  dg_linear out;
} dg_ffn;

typedef struct dg_layer {
  dg_attention self, cross; /* cross only in the decoder */
  dg_ffn ffn;
} dg_layer;

typedef struct dg_stack {
  dg_layer *layers;
  size_t count;
  const float *embedding; /* [vocab_size, d_model] */
  float *embedding_grad;
  const float *positions; /* [max_positions, d_model] or NULL */
  float *positions_grad;
  const float *relative; /* [heads, relative_buckets] or NULL */
  float *relative_grad;
  dg_norm embedding_norm, final_norm;
} dg_stack;

typedef struct dg_model {
  dg_model_config config;
  dg_params params;
  dg_stack encoder, decoder;
  dg_linear output; /* weight is the decoder embedding when tied */
  float *sinusoids; /* computed, not a parameter */
} dg_model;

/* All weights zero. NULL when the configuration asks for more than memory has. */
dg_model *dg_model_new(const dg_model_config *config, dg_error *err);
/* Names and sizes of the weights and no weights: every `value` is NULL. */
dg_model *dg_model_outline(const dg_model_config *config, dg_error *err);
void dg_model_initialize(dg_model *m, uint64_t seed); /* Xavier and scaled normal */
bool dg_model_train(dg_model *m, dg_error *err);      /* allocates gradients, zeroed */
/* From now on a write to the weights faults: a frozen base stays frozen. */
bool dg_model_freeze(dg_model *m, dg_error *err);
void dg_model_free(dg_model *m);

/* Serial bottleneck adapters after every layer (Bapna & Firat 2019):
 * x + W_up relu(W_down LN(x) + b_down) + b_up, with W_up and b_up zero at first:
 * a narrow pre-norm feed-forward sublayer, `in` being down and `out` up. */

/* Embedding rows for tokens the base does not know (ids vocab_size, ...): the
 * tag of a new language. They are read as input, never predicted. */
typedef struct dg_adapter {
  size_t d_model, width, encoder_layers, decoder_layers, extra_tokens;
  dg_params params;
  dg_ffn *encoder, *decoder; /* one a layer */
  const float *extra; /* [extra_tokens, d_model] */
  float *extra_grad;
} dg_adapter;

dg_adapter *dg_adapter_new(const dg_model_config *config, size_t width, size_t extra_tokens,
                           dg_error *err);
void dg_adapter_initialize(dg_adapter *a, uint64_t seed); /* leaves `extra` zero */
bool dg_adapter_train(dg_adapter *a, dg_error *err);      /* allocates gradients, zeroed */
void dg_adapter_free(dg_adapter *a);

enum { DG_ADAPTERS_MAX = 4 };

/* What computes: a model, adapters stacked in order, and the means. Borrows all. */
typedef struct dg_network {
  const dg_model *model;
  const dg_adapter *adapters[DG_ADAPTERS_MAX];
  size_t adapter_count;
  dg_threads *threads;
  dg_precision precision;
  const struct dg_packed_model *packed; /* of this model and precision, or NULL */
} dg_network;

#endif
