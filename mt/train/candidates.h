/* The pieces a training loss is over when the vocabulary is much larger than the pair needs:
 * those that the corpus's targets have, exactly, and a fresh sample of the others, which stand
 * for all of them. After Jean et al. 2015 ("On Using Very Large Target Vocabulary for Neural
 * Machine Translation") and the importance sampling of Bengio & Senecal 2008; the sample is
 * uniform within strata of the vocabulary, so the estimate of the softmax's denominator has no
 * bias and probabilities stay those of the whole vocabulary. */
#ifndef DG_TRAIN_CANDIDATES_H
#define DG_TRAIN_CANDIDATES_H

#include "mt/train/examples.h"

typedef struct dg_candidates dg_candidates;

/* `sampled` pieces are drawn each time; -1: as many as is sensible. NULL when that spares too
 * little, and every piece should count. With no directions only the labels of the draw count
 * exactly. */
dg_candidates *dg_candidates_new(const dg_examples *e, const dg_direction *directions,
                                 size_t count, size_t vocab, int sampled);
void dg_candidates_free(dg_candidates *c);
size_t dg_candidates_exact(const dg_candidates *c); /* pieces the corpus's targets have */
/* Those of the corpus and of the labels, which segmentations may add to, and a sample that
 * follows from the seed alone. Valid until the next call. */
const dg_loss_classes *dg_candidates_draw(dg_candidates *c, const int32_t *labels, size_t count,
                                          uint64_t seed);

#endif
