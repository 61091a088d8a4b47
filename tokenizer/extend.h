/* More vocabulary for a tokenizer: pieces learned on the text of a language that it cuts into
 * too many. */
#ifndef DG_TOKENIZER_EXTEND_H
#define DG_TOKENIZER_EXTEND_H

#include "tokenizer/tokenizer.h"

/* In the order of their ids; scores are on the scale of the tokenizer they are for. */
typedef struct dg_piece_list {
  size_t count;
  char **texts;
  float *scores;
} dg_piece_list;
void dg_piece_list_free(dg_piece_list *p);

/* Learns up to `most` pieces that t does not have and that shorten the sentences, fewer when
 * there are no more that occur twice. For a unigram model those of one trained on the
 * sentences, their log-probabilities moved by the mean difference over the pieces that both
 * have; for BPE further merges of t's own pieces, ranked after its merges. */
bool dg_piece_list_learn(const dg_tokenizer *t, size_t most, dg_sentence_source *next,
                         void *context, dg_piece_list *out, dg_error *err);

/* t with the pieces after its own. Their ids begin at `first`, past all of t's. */
dg_tokenizer *dg_tokenizer_extend(const dg_tokenizer *t, const dg_piece_list *p, int32_t first,
                                  dg_error *err);

#endif
