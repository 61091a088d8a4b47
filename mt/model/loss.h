/* Training passes over token-packed batches: no padding anywhere. */
#ifndef DG_MODEL_LOSS_H
#define DG_MODEL_LOSS_H

#include "mt/core/mem.h"
#include "mt/model/model.h"

/* Sequence i is source[source_offsets[i]..source_offsets[i+1]), counted from
 * source_offsets[0], and likewise in `input`, which the decoder reads, and
 * `labels`, what it should say next; -1 is not counted. */
typedef struct dg_batch {
  size_t sequences;
  const int32_t *source, *input, *labels;
  const uint32_t *source_offsets, *target_offsets; /* [sequences+1] */
  const float *begun; /* [source tokens, d_model] by dg_encoder_states, for dg_loss_backward;
                       * or NULL */
  const struct dg_batch *whole; /* what this is some sequences of, in the same arrays, or NULL:
                                 * what is dropped and what is frozen go by it, so that the parts
                                 * add up to it */
} dg_batch;

/* The part of the vocabulary a loss is over: pieces that count exactly, then sampled ones, each
 * standing for `weights` pieces in the softmax and in what smoothing spreads. */
typedef struct dg_loss_classes {
  size_t count, exact;
  const int32_t *ids;      /* [count] */
  const int32_t *class_of; /* [target vocabulary]: place in ids, or -1; labels have one */
  const float *weights;    /* [count - exact] */
} dg_loss_classes;

typedef struct dg_loss_options {
  float label_smoothing;    /* as torch.nn.CrossEntropyLoss: eps/V on every class */
  float dropout;            /* embeddings and sublayer outputs */
  float attention_dropout, activation_dropout, adapter_dropout;
  uint64_t dropout_key;     /* a fresh one each step */
  float rdrop;              /* R-Drop's alpha: each sentence passes twice, with other masks, and
                             * the two predictions are drawn together; 0: one pass */
  const dg_loss_classes *classes; /* NULL: the whole vocabulary. Backward passes alone read them;
                                   * an adapter's new pieces all count besides */
  float gradient_scale;     /* of the summed loss, e.g. 1/tokens of the whole step */
} dg_loss_options;

typedef struct dg_loss {
  double smoothed, nll; /* sums over labels, nats; nll without smoothing */
  double divergence;    /* of the two passes; the loss is smoothed + rdrop/2 divergence */
  size_t labels;
} dg_loss;

/* Adds the batch's loss to *loss. The arena is scratch, reset by the call. No dropout. */
bool dg_loss_forward(const dg_network *n, const dg_batch *b, const dg_loss_options *o,
                     dg_arena *arena, dg_loss *loss, dg_error *err);

/* The same with dropout, and adds gradients to every tensor that has a `grad`. */
bool dg_loss_backward(const dg_network *n, const dg_batch *b, const dg_loss_options *o,
                      dg_arena *arena, dg_loss *loss, dg_error *err);

/* The encoder's first layers in which training changes nothing, for these sources; and what they
 * make of them: the same every time, so that it need not be computed twice. */
size_t dg_encoder_frozen(const dg_network *n, const dg_batch *b);
bool dg_encoder_states(const dg_network *n, const dg_batch *b, size_t layers, dg_arena *arena,
                       float *states, dg_error *err);

/* About what dg_loss_backward keeps of each source and each target token of a batch, in bytes:
 * more where it has a token whose embedding is trained. */
void dg_loss_memory(const dg_network *n, const dg_batch *b, size_t *source, size_t *target);

/* Logits [target tokens, dg_network_classes] of the whole batch, for tests. */
bool dg_logits(const dg_network *n, const dg_batch *b, dg_arena *arena, float *logits,
               dg_error *err);

#endif
