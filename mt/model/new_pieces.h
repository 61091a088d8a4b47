/* The new vocabulary that an adapter brings for some languages: sentences in these are cut up
 * by the base's tokenizer with the adapter's pieces, all others by the base's own. */
#ifndef DG_MODEL_NEW_PIECES_H
#define DG_MODEL_NEW_PIECES_H

#include "mt/model/base.h"
#include "tokenizer/extend.h"

/* Zero: none. */
typedef struct dg_new_pieces {
  dg_piece_list list; /* piece k has the id dg_first_extra + k */
  char (*languages)[DG_LANG_MAX];
  size_t language_count;
  dg_tokenizer *source, *target; /* the base's with the list, one and the same or one a side */
} dg_new_pieces;
void dg_new_pieces_free(dg_new_pieces *p);

/* Adds a language, canonical, unless it is there. */
void dg_new_pieces_for(dg_new_pieces *p, const char *language);
/* Makes the tokenizers of a filled list. */
bool dg_new_pieces_extend(dg_new_pieces *p, const dg_base *b, dg_error *err);
/* Adds the list and the languages, without tokenizers. */
void dg_new_pieces_add(dg_new_pieces *to, const dg_new_pieces *from);
bool dg_new_pieces_equal(const dg_new_pieces *a, const dg_new_pieces *b);

/* A new object; and back, with tokenizers. */
json_t *dg_new_pieces_json(const dg_new_pieces *p);
bool dg_new_pieces_read(dg_new_pieces *p, const json_t *j, const dg_base *b, dg_error *err);

/* The tokenizer of a language on a side (source or target); p may be NULL. Borrowed. */
dg_tokenizer *dg_new_pieces_tokenizer(const dg_new_pieces *p, const dg_base *b,
                                      const char *language, dg_side side);

#endif
