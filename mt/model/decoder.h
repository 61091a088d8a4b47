/* Inference: encode sentences once, then extend hypotheses a token at a time.
 * Search knows no layers, the model knows no search. */
#ifndef DG_MODEL_DECODER_H
#define DG_MODEL_DECODER_H

#include "mt/model/model.h"

/* Hypotheses ("rows") over a batch of encoded sources. All rows have the same
 * length: one call to dg_decoder_step adds one token to each. */
typedef struct dg_decoder dg_decoder;

/* Encodes `sentences` packed sources: the tokens of sentence i are
 * source[offsets[i]..offsets[i+1]), counted from offsets[0]. Room for max_rows rows
 * of up to max_length tokens each. Returns NULL on an id or length the model has no row for. */
dg_decoder *dg_decoder_new(const dg_network *network, const int32_t *source,
                           const uint32_t *offsets, size_t sentences, size_t max_rows,
                           size_t max_length, dg_error *err);
void dg_decoder_free(dg_decoder *d);

/* What each step keeps of each row, in floats. */
size_t dg_decoder_row_floats(const dg_network *n);

/* Row r continues row parents[r] of the previous step (ignored at the first
 * step), reads tokens[r], and attends to source sentence sources[r]. Writes
 * unnormalised logits [rows, dg_network_classes]. rows may differ from step to step,
 * up to max_rows; tokens must be valid ids, and at most max_length steps. */
void dg_decoder_step(dg_decoder *d, size_t rows, const int32_t *tokens, const uint32_t *parents,
                     const uint32_t *sources, float *logits);

/* The encoder's output [source tokens, d_model], for tests and scoring. */
const float *dg_decoder_encoding(const dg_decoder *d);

#endif
