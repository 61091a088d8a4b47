/* Beam search over many sentences at once. It knows no model: a step function
 * continues hypotheses and returns logits. */
#ifndef DG_DECODE_BEAM_H
#define DG_DECODE_BEAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mt/core/threads.h"

/* As dg_decoder_step: row r continues row parents[r] of the step before, reads
 * tokens[r] and belongs to sentence sources[r]; logits is [rows, vocab]. */
typedef void dg_step_fn(void *context, size_t rows, const int32_t *tokens, const uint32_t *parents,
                        const uint32_t *sources, float *logits);

typedef struct dg_beam_options {
  size_t beam, nbest;    /* nbest <= beam */
  double length_penalty; /* hypotheses rank by log-probability / length^penalty */
  size_t vocab;
  int32_t end;           /* the token that ends a hypothesis */
  const bool *banned;    /* [vocab]: never produced; or NULL */
} dg_beam_options;

typedef struct dg_beam_sentence {
  const int32_t *prefix; /* what the decoder is given to read first; at least one token */
  size_t prefix_length;
  size_t min_length, max_length; /* tokens after the prefix, the end not counted */
} dg_beam_sentence;

typedef struct dg_hypothesis {
  int32_t *ids; /* after the prefix, without the end; owned by the caller */
  size_t length;
  double score;           /* what it was ranked by */
  double log_probability; /* of ids and the end */
} dg_hypothesis;

/* Fills results[i*nbest..], best first; unused ones have ids NULL. A sentence
 * stops when it has `beam` finished hypotheses and its best candidate, ended
 * now, would not rank among them (the rule of Hugging Face's generate). Equal
 * scores: the lower token id first. */
void dg_beam_search(dg_step_fn *step, void *context, const dg_beam_options *o,
                    const dg_beam_sentence *sentences, size_t count, dg_threads *threads,
                    dg_hypothesis *results);

#endif
