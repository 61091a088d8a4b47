/* Words that were added to a tokenizer of Hugging Face beside its sentencepiece model, by
 * add_tokens() or add_special_tokens(). */
#ifndef DG_IMPORT_ADDED_H
#define DG_IMPORT_ADDED_H

#include <jansson.h>

#include "mt/import/family.h"
#include "mt/import/pieces.h"

typedef struct dg_added {
  const char *directory; /* for messages */
  dg_family family;
  const json_t *tokenizer_config, *special_tokens, *added_tokens; /* NULL: no such file */
  const json_t *fast; /* tokenizer.json: transformers then prefers the class that reads it */
} dg_added;

/* The text of a token in a JSON file: itself, or its "content"; NULL: it is neither. */
const char *dg_token_text(const json_t *token);

/* Gives the words their ids, which tags and the model's pieces have by now. Tags and the
 * specials that every tokenizer has are none: no text is cut into those. What would be cut or
 * decoded otherwise than in transformers is refused, of OPUS-MT all: it needs no pieces. */
bool dg_added_place(const dg_added *a, dg_pieces *p, size_t size, dg_error *err);

#endif
