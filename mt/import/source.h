/* What every format of checkpoint is read into: all that a base is made of. */
#ifndef DG_IMPORT_SOURCE_H
#define DG_IMPORT_SOURCE_H

#include "mt/import/family.h"
#include "mt/import/import.h"
#include "mt/import/tags.h"

typedef struct dg_source {
  const char *format; /* for the card: "ctranslate2"; NULL: the family's name */
  dg_family_config config; /* with its formats */
  dg_tokenizer *tokenizer, *target_tokenizer; /* the second NULL: one for both sides */
  dg_languages languages;
  dg_rows_fn *rows; /* of the weights */
  void *weights;
  void (*close)(void *weights);
} dg_source;

/* Where positions are computed, not stored: no length is the most there can be. */
enum { DG_OPEN_POSITIONS = 1024 };
/* Decoders that start from a zero embedding do so here from a token added to the target's
 * vocabulary: its embedding is zero, and this its logit. */
static const float dg_source_never = -1e4F;

/* Readers of formats: zero-initialised in, released by dg_source_free even on failure. */
bool dg_source_marian_npz(dg_source *s, const char *path, const dg_import_options *o,
                          dg_error *err);
/* A directory with model.bin, or an Argos zip of one. */
bool dg_source_ctranslate2(dg_source *s, const char *path, const dg_import_options *o,
                           dg_error *err);
void dg_source_free(dg_source *s);

/* The sides' languages of a model that says none or not enough: the user's word, else what
 * OPUS-MT calls the sides (may be NULL). Without a target it is an error, and so is the user's
 * word where tags say all. */
bool dg_source_set_sides(dg_source *s, const dg_import_options *o, const char *from,
                         const char *to, dg_error *err);

/* Tokenizers of a model with >>xxx<< tags or none, from vocabularies (target NULL: that of
 * the source) and sentencepiece models, which are consumed. The decoder starts with
 * `start`. */
typedef struct dg_vocabulary dg_vocabulary;
bool dg_source_marian_tokenizers(dg_source *s, const dg_vocabulary *source,
                                 const dg_vocabulary *target, dg_pieces *source_pieces,
                                 dg_pieces *target_pieces, dg_error *err);

#endif
