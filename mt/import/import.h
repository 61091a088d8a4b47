/* A directory of a public checkpoint as a base of ours. */
#ifndef DG_IMPORT_IMPORT_H
#define DG_IMPORT_IMPORT_H

#include "mt/model/base.h"

/* config.json, weights, and the tokenizer: sentencepiece.bpe.model, sentencepiece.model or
 * spiece.model, with vocab.json or without. Token ids become those of the checkpoint's
 * own tokenizer, language tags are named by BCP-47 codes. */
dg_base *dg_import(const char *directory, dg_error *err);

#endif
