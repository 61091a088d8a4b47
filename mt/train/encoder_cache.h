/* States of the encoder's frozen first layers, computed once a sentence and kept on disk from
 * epoch to epoch: all of its work when only the decoder is adapted. */
#ifndef DG_TRAIN_ENCODER_CACHE_H
#define DG_TRAIN_ENCODER_CACHE_H

#include "mt/train/examples.h"

typedef struct dg_encoder_cache dg_encoder_cache;

/* In a file without a name in the folder of `beside`, of so many MB at most, and half of what its
 * disk has left: sentences beyond them are computed every time. NULL when there is nothing to keep
 * (some source reaches the first layer's gradient) or nowhere to keep it. Borrows what it is
 * given. */
dg_encoder_cache *dg_encoder_cache_new(const dg_network *n, const dg_examples *e,
                                       const dg_direction *directions, size_t count,
                                       const char *beside, int megabytes);
void dg_encoder_cache_free(dg_encoder_cache *c);

/* What `begun` of a batch of these pairs, without noise, is to be; valid until the next call. */
const float *dg_encoder_cache_states(dg_encoder_cache *c, const dg_sampled *pairs,
                                     const dg_batch *b, dg_error *err);
size_t dg_encoder_cache_layers(const dg_encoder_cache *c);
size_t dg_encoder_cache_computed(const dg_encoder_cache *c); /* sentences, so far */

#endif
