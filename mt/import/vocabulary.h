/* The vocabulary of a checkpoint: the strings of its token ids. */
#ifndef DG_IMPORT_VOCABULARY_H
#define DG_IMPORT_VOCABULARY_H

#include <stdint.h>

#include "mt/import/pieces.h"

typedef struct dg_vocabulary {
  char **tokens; /* by id; NULL where there is none */
  size_t count, capacity;
} dg_vocabulary;

/* A file's contents; what it is, `path` tells: .json ({token: id} or a list), .yml or .yaml
 * (Marian's), else a token a line. Errors name it. */
bool dg_vocabulary_read(const char *path, const uint8_t *bytes, size_t size, dg_vocabulary *out,
                        dg_error *err);
bool dg_vocabulary_load(const char *path, dg_vocabulary *out, dg_error *err);
void dg_vocabulary_free(dg_vocabulary *v);
/* -1 when absent. */
long dg_vocabulary_find(const dg_vocabulary *v, const char *token);

/* Puts the model's pieces where the vocabulary has them; its unknown piece is `unknown`.
 * <...>, >>...<< and fillers that are no pieces become control pieces, other tokens words. */
bool dg_vocabulary_place(const dg_vocabulary *v, const char *unknown, dg_pieces *p, size_t size,
                         dg_error *err);

#endif
