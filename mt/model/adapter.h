/* What is trained beside a frozen base: small layers and the tags of new languages. */
#ifndef DG_MODEL_ADAPTER_H
#define DG_MODEL_ADAPTER_H

#include "mt/model/config.h"
#include "mt/model/params.h"

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

#endif
