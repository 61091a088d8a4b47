/* Text that some models were trained to read before each sentence: T5's "translate English to
 * German: ". It becomes a part of the source's format. */
#ifndef DG_IMPORT_PREFIX_H
#define DG_IMPORT_PREFIX_H

#include <jansson.h>

#include "mt/import/tags.h"

/* What config.json says for the one pair of `languages`, as transformers' pipelines find it: of
 * the task "translation_en_to_de", else of the model. NULL in *out where it says nothing; one
 * for each of several pairs is an error. Borrowed from `config`. */
bool dg_prefix_find(const json_t *config, const dg_languages *languages, const char **out,
                    dg_error *err);

/* Whether it says any, of whatever pair. */
bool dg_prefix_any(const json_t *config);

/* Puts the pieces of a prefix before the sentence in the source's format. */
bool dg_prefix_put(dg_model_config *c, const dg_tokenizer *t, const char *prefix, dg_error *err);

#endif
