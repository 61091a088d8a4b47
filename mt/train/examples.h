/* Tokenised parallel text and the order in which training meets it. */
#ifndef DG_TRAIN_EXAMPLES_H
#define DG_TRAIN_EXAMPLES_H

#include "data/parallel.h"
#include "mt/model/base.h"
#include "mt/model/loss.h"

/* One direction of one corpus: what a batch is drawn from. */
typedef struct dg_direction {
  size_t corpus;
  bool reversed;                  /* the corpus's second side is the source */
  int32_t source_tag, target_tag; /* token ids */
  bool marked;                    /* the source begins with `mark`: it is a translation */
  int32_t mark;                   /* back (Caswell et al. 2019) */
} dg_direction;

/* Sentence pairs as token ids. A pair is stored once however many directions read it. */
typedef struct dg_examples dg_examples;

/* Borrows the base and, for batches with sampled segmentations, the pairs. Sequences longer
 * than max_tokens (with what surrounds them), or than the base can read, are left out. */
dg_examples *dg_examples_new(const dg_base *base, size_t max_tokens);
size_t dg_examples_most(const dg_examples *e); /* tokens that a sequence may have */
void dg_examples_free(dg_examples *e);

/* Tokenises the pairs, on several threads; *corpus numbers them. tokenizers: of the first side
 * and the second, borrowed; NULL: the base's. */
bool dg_examples_add(dg_examples *e, const dg_parallel_text *pairs,
                     const dg_tokenizer *const tokenizers[2], dg_threads *threads,
                     size_t *corpus, dg_error *err);
size_t dg_examples_count(const dg_examples *e, size_t corpus);   /* pairs kept */
size_t dg_examples_skipped(const dg_examples *e, size_t corpus); /* empty or too long */
uint64_t dg_examples_hash(const dg_examples *e); /* of all token ids, to recognise a resumed run */

/* How a pair is varied each time it is met; a pure function of the seed. */
typedef struct dg_noise {
  double subword_alpha; /* of dg_tokenizer_sample; 0: the best segmentation */
  double word_dropout;  /* share of tokens read, source and target, that become unknown */
  uint64_t seed;
} dg_noise;

/* Whether the corpora's tokenizers sample segmentations with this subword_alpha. */
bool dg_examples_sample(const dg_examples *e, double subword_alpha, dg_error *err);

/* A batch with storage of its own; zero-initialise, reuse, free. */
typedef struct dg_batch_buffer {
  dg_batch batch;
  int32_t *source, *input, *labels;
  uint32_t *source_offsets, *target_offsets;
  size_t sequences, capacity, source_capacity, target_capacity;
  dg_tokens tokens; /* scratch of dg_batch_add */
  int32_t *ids;
  size_t ids_capacity;
} dg_batch_buffer;
void dg_batch_clear(dg_batch_buffer *b);
/* noise may be NULL. */
void dg_batch_add(dg_batch_buffer *b, const dg_examples *e, const dg_direction *d, size_t pair,
                  const dg_noise *noise);
void dg_batch_free(dg_batch_buffer *b);
size_t dg_batch_targets(const dg_batch_buffer *b); /* target tokens */
size_t dg_batch_sources(const dg_batch_buffer *b);

/* Which pair comes next: directions are drawn with probability ~ size^(1/T),
 * each walks its own shuffled pairs, epoch after epoch. Drawn pairs are pooled,
 * bucketed by length and cut into updates of about `update_tokens` target
 * tokens, which are then shuffled. Everything follows from the seed and the
 * position, so a position is all a checkpoint needs. */
typedef struct dg_sampler dg_sampler;

typedef struct dg_sampled {
  uint32_t direction, pair;
} dg_sampled;

dg_sampler *dg_sampler_new(const dg_examples *e, const dg_direction *directions, size_t count,
                           double temperature, size_t update_tokens, uint64_t seed);
void dg_sampler_free(dg_sampler *s);
/* The pairs of the next update; valid until the next call. */
const dg_sampled *dg_sampler_next(dg_sampler *s, size_t *count);
/* Pairs met so far over pairs there are, directions counted apart. */
double dg_sampler_epochs(const dg_sampler *s);

/* The position as numbers (words of them), and back. */
size_t dg_sampler_words(const dg_sampler *s);
void dg_sampler_save(const dg_sampler *s, uint64_t *words);
bool dg_sampler_restore(dg_sampler *s, const uint64_t *words, dg_error *err);

#endif
