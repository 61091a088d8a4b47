/* A sentencepiece model with its pieces put where a checkpoint's token ids want them. */
#ifndef DG_IMPORT_PIECES_H
#define DG_IMPORT_PIECES_H

#include "tokenizer/tokenizer.h"

typedef struct dg_pieces dg_pieces;

dg_pieces *dg_pieces_of(dg_tokenizer *original, dg_error *err); /* takes it; NULL gives NULL */
void dg_pieces_free(dg_pieces *p);
size_t dg_pieces_count(const dg_pieces *p); /* pieces of the model itself */
const char *dg_pieces_text(const dg_pieces *p, size_t i);
/* Its control pieces and the unknown one are no text. */
bool dg_pieces_is_special(const dg_pieces *p, size_t i);
bool dg_pieces_is_unknown(const dg_pieces *p, size_t i);

/* Token `id` is piece i of the model, or a name outside it: a control piece, or a word
 * that no text is cut into, but an unknown stretch that spells it is it. The last call
 * counts. False when the id is out of [0,size). */
bool dg_pieces_place(dg_pieces *p, size_t size, size_t id, size_t i);
bool dg_pieces_name(dg_pieces *p, size_t size, size_t id, const char *name);
bool dg_pieces_word(dg_pieces *p, size_t size, size_t id, const char *word);
/* A word added beside the model (DG_WORD...); what stands there, if anything, spells it. */
bool dg_pieces_add_word(dg_pieces *p, size_t size, size_t id, const char *word, unsigned how);
const char *dg_pieces_at(const dg_pieces *p, size_t id); /* what stands there, or NULL */

/* The tokenizer of `size` tokens. Ids never mentioned become fillers; pieces that have no
 * id still cut up text, and mean the unknown one. */
dg_tokenizer *dg_pieces_tokenizer(dg_pieces *p, size_t size, dg_error *err);

#endif
