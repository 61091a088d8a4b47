/* Base files: everything needed to translate, in one safetensors file: the weights,
 * their configuration, the tokenizer, the languages and a card. */
#ifndef DG_MODEL_BASE_H
#define DG_MODEL_BASE_H

#include "mt/model/model.h"
#include "mt/model/weights.h"
#include "tokenizer/tokenizer.h"

enum { DG_PREFIX_MOST = 16 }; /* items of a target format before X */

typedef struct dg_base {
  dg_model *model;
  dg_tokenizer *tokenizer, *target_tokenizer; /* one and the same, or one a side */
  dg_language *languages;
  size_t language_count;
  json_t *card;               /* what it was trained and measured on; an object */
  char hash[DG_HASH_TEXT];    /* of the file it was loaded from */
  dg_safetensors *file;       /* where its weights are held, or NULL */
} dg_base;

/* Takes ownership of model, tokenizers and card (even on failure); target_tokenizer NULL:
 * one tokenizer serves both sides. Of the languages codes, in any spelling, and sides are
 * read; their tags are looked up in the tokenizer by config.tag_format. */
dg_base *dg_base_new(dg_model *model, dg_tokenizer *tokenizer, dg_tokenizer *target_tokenizer,
                     const dg_language *languages, size_t language_count, json_t *card,
                     dg_error *err);
/* Maps the file and freezes: weights stay in it as they are stored. */
dg_base *dg_base_load(const char *path, dg_error *err);
/* A base to train all of, in memory, fp32: a copy with further languages, canonical codes that
 * it does not know. Their tags are new pieces after the last, their rows zero. */
dg_base *dg_base_copy(const dg_base *b, const dg_language *more, size_t more_count,
                      dg_error *err);
bool dg_base_save(const dg_base *b, const char *path, dg_storage storage,
                  char hash[DG_HASH_TEXT], dg_error *err);
/* Saves a base whose weights are not in memory: `b` needs only the outline of its model. */
bool dg_base_write(const dg_base *b, dg_rows_fn *rows, void *context, const char *path,
                   dg_storage storage, char hash[DG_HASH_TEXT], dg_error *err);
void dg_base_free(dg_base *b);
/* The language with this code in any spelling that may stand on that side (DG_SIDE_BOTH: on
 * either). A bare code is the language in its usual
 * script (CLDR's likely one), or in the only one the base has it in; of several others
 * none is chosen: an error lists them. Unknown: an error that lists the nearest codes and
 * says how to add a language. */
const dg_language *dg_base_language(const dg_base *b, const char *code, dg_side side,
                                    dg_error *err);

/* Token sequences of a sentence in its formats (config.source_format ...), X
 * being ids[0,n). NULL ids leave X out: for the target that gives the forced
 * prefix (the items before X, 1 to DG_PREFIX_MOST). Returns the count written, at most capacity; a
 * longer sentence is cut so that what follows X fits. */
size_t dg_format_source(const dg_base *b, int32_t source_tag, int32_t target_tag,
                        const int32_t *ids, size_t n, int32_t *out, size_t capacity);
size_t dg_format_target(const dg_base *b, int32_t source_tag, int32_t target_tag,
                        const int32_t *ids, size_t n, int32_t *out, size_t capacity);

#endif
