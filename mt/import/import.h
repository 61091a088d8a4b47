/* A public checkpoint as a base of ours. */
#ifndef DG_IMPORT_IMPORT_H
#define DG_IMPORT_IMPORT_H

#include "mt/model/base.h"

typedef struct dg_import_options {
  dg_storage storage;
  const char *languages; /* those that stay, codes with commas between; NULL: all */
  const char *const *corpus; /* text of them: only the pieces it needs stay */
  size_t corpus_count;
  bool (*stop)(void *context); /* asked now and then: true gives it up; or NULL */
  void (*progress)(void *context, size_t weights, size_t all); /* or NULL */
  void *context;
  /* Languages, as codes with commas between, of a model that tells them neither by tags nor
   * in its files; or NULL. */
  const char *source, *target;
  const char *prefix; /* what the model reads before each sentence; NULL: as its config.json says */
} dg_import_options;

typedef struct dg_import_report {
  char prefix[DG_FORMAT_MAX];           /* that the base puts before each sentence, or "" */
  bool other_prefixes;                  /* the files have some for other pairs alone */
  size_t languages, pieces, weights;  /* of the base */
  size_t all_pieces, all_weights;     /* of the checkpoint */
  char hash[DG_HASH_TEXT];            /* of the base */
} dg_import_report;

/* Writes the base of a directory: config.json, weights, and the tokenizer:
 * sentencepiece.bpe.model, sentencepiece.model or spiece.model, with vocab.json or
 * without, or a tokenizer.json alone; OPUS-MT has source.spm, target.spm and vocab.json.
 * Token ids become those of the checkpoint's own tokenizer, language tags are named by
 * BCP-47 codes. Directories of CTranslate2, Argos packages and Marian's .npz with the
 * vocabularies beside it are read, too. Weights go from file to file, a few rows at a time. */
bool dg_import(const char *path, const char *base, const dg_import_options *o,
               dg_import_report *report, dg_error *err);

#endif
