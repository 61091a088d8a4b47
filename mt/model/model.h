/* Weights of an encoder-decoder, and the network it forms with adapters. */
#ifndef DG_MODEL_MODEL_H
#define DG_MODEL_MODEL_H

#include <stdint.h>

#include "mt/core/threads.h"
#include "mt/kernels/gemm.h"
#include "mt/model/adapter.h"
#include "mt/model/config.h"
#include "mt/model/params.h"

typedef struct dg_attention {
  dg_norm norm;
  dg_linear q, kv, qkv; /* views of the same adjacent tensors */
  dg_linear out;
} dg_attention;

typedef struct dg_layer {
  dg_attention self, cross; /* cross only in the decoder */
  dg_ffn ffn;
} dg_layer;

typedef struct dg_stack {
  dg_layer *layers;
  size_t count;
  size_t vocab;           /* vocab_size, or that of the target */
  dg_matrix embedding;    /* [vocab, d_model] */
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
/* For an outline whose tensors' `held` point into a file, which must outlive the model: weights
 * stay there as they are stored. */
bool dg_model_hold(dg_model *m, dg_error *err);
void dg_model_initialize(dg_model *m, uint64_t seed); /* Xavier and scaled normal */
bool dg_model_train(dg_model *m, dg_error *err);      /* allocates gradients, zeroed */
/* From now on a write to the weights faults: a frozen base stays frozen. */
bool dg_model_freeze(dg_model *m, dg_error *err);
void dg_model_free(dg_model *m);

enum { DG_ADAPTERS_MAX = 8 };

/* What computes: a model, adapters stacked in order, and the means. Borrows all. */
typedef struct dg_network {
  const dg_model *model;
  const dg_adapter *adapters[DG_ADAPTERS_MAX];
  size_t adapter_count;
  dg_threads *threads;
  dg_precision precision;
  const struct dg_packed_model *packed; /* of this model and precision, or NULL */
} dg_network;

/* Columns of the network's logits, each the id of a piece: the base's, then an adapter's. */
size_t dg_network_classes(const dg_network *n);

#endif
