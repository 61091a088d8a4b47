/* The encoder and the decoder over whole sentences, forward and backward.
 * Private to mt/model. */
#ifndef DG_MODEL_STACK_H
#define DG_MODEL_STACK_H

#include "mt/model/layers.h"

typedef struct dg_layer_saved {
  dg_attention_saved self, cross;
  dg_ffn_saved ffn, after[DG_ADAPTERS_MAX];
} dg_layer_saved;

/* One stack's walk over one batch; lives in the pass's arena. */
typedef struct dg_stack_walk {
  const dg_stack *stack;
  bool decoder;
  dg_packed_text text;
  dg_attention_context self, cross;
  size_t lowest; /* nothing is trained below this depth; DG_DEPTH_NONE: nothing at all */
  dg_norm embedding_norm, final_norm;
  const float *embedded; /* before embedding_norm */
  float *embedded_mean, *embedded_rstd;
  dg_dropout embedded_drop;
  dg_layer_saved *layers;
  const float *last; /* before final_norm */
  float *last_mean, *last_rstd;
} dg_stack_walk;

/* Whether ids and lengths fit the network's encoder or decoder; names what does not. */
bool dg_text_check(const dg_network *n, const dg_stack *stack, const dg_packed_text *t,
                   dg_error *err);

/* The lowest depth of a stack at which something is trained that this text reaches. */
size_t dg_network_lowest(const dg_network *n, bool decoder, const dg_packed_text *text);

/* Layers that lie below a depth as a whole. */
size_t dg_layers_below(const dg_stack *stack, size_t depth);
/* The first encoder layers as in translation; [text.total, d_model]. */
float *dg_encoder_begin(dg_pass *p, const dg_packed_text *text, size_t layers);

/* [text.total, d_model]. memory (with memory_text) is the encoder's output, NULL
 * for the encoder itself. Of layers below `lowest` nothing is kept for a backward pass; in the
 * encoder they have no dropout, so that their states are the same whenever a sentence is met:
 * `begun` holds these, or is NULL. */
float *dg_stack_forward(dg_pass *p, const dg_stack *stack, const dg_packed_text *text,
                        const float *memory, const dg_packed_text *memory_text, size_t lowest,
                        const float *begun, dg_stack_walk *w);
/* Down to w->lowest. g, the gradient of the output, is consumed; d_memory (NULL: not wanted;
 * wanted, w->lowest is dg_depth(0, DG_CROSS) at most) is added to. */
void dg_stack_backward(dg_pass *p, const dg_stack_walk *w, float *g, float *d_memory);

/* A stack's norm after the embedding, or its last, with what adapters add. */
dg_norm dg_stack_norm(dg_pass *p, const dg_stack *stack, bool embedding);

/* What a token at a position of its sentence is as the stack's input: a row of the model's
 * embedding, or of an adapter's for ids past the vocabulary, scaled, and its position's. */
void dg_embed_token(const dg_network *n, const dg_stack *stack, int32_t id, size_t at, float *out);

/* Relative-position biases by distance, [heads][2*span-1], into `out`. */
void dg_relative_biases(const dg_model_config *c, const float *table, bool bidirectional,
                        size_t span, float *out);

#endif
