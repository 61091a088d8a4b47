/* The pieces of a tokenizer as a list, and tokenizers made of such lists. */
#ifndef DG_TOKENIZER_PIECES_H
#define DG_TOKENIZER_PIECES_H

#include "tokenizer/tokenizer.h"

typedef enum dg_piece_type { /* numbers of sentencepiece_model.proto */
  DG_PIECE_NORMAL = 1,
  DG_PIECE_UNKNOWN,
  DG_PIECE_CONTROL,
  DG_PIECE_USER,
  DG_PIECE_UNUSED, /* no text is cut into it */
  DG_PIECE_BYTE
} dg_piece_type;

typedef struct dg_piece {
  const char *text;
  float score;
  dg_piece_type type;
  unsigned word; /* DG_WORD..., or 0 */
} dg_piece;

/* All of them, those without an id included: one allocation, texts and all, for the caller to
 * free. NULL with an error. */
dg_piece *dg_tokenizer_list(const dg_tokenizer *t, size_t *count, dg_error *err);

/* A tokenizer that normalises and cuts as `like` does, into these pieces: ids are their places,
 * and only the first `size` have one; the others cut up text, too, and mean the unknown one. */
dg_tokenizer *dg_tokenizer_like(const dg_tokenizer *like, const dg_piece *pieces, size_t count,
                                size_t size, dg_error *err);
/* One whose pieces after "<unk>" are single characters, text being taken as it is. */
dg_tokenizer *dg_tokenizer_of_characters(const char *const *characters, size_t count,
                                         dg_error *err);

#endif
