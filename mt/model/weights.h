/* What base and adapter files have in common: how tensors, languages and their
 * metadata lie in a safetensors file. */
#ifndef DG_MODEL_WEIGHTS_H
#define DG_MODEL_WEIGHTS_H

#include <jansson.h>

#include "mt/core/safetensors.h"
#include "mt/model/params.h"
#include "tokenizer/lang.h"

typedef enum dg_side { DG_SIDE_BOTH, DG_SIDE_SOURCE, DG_SIDE_TARGET } dg_side;

typedef struct dg_language {
  char code[DG_LANG_MAX]; /* canonical BCP-47; as a source "mul" stands for any */
  int32_t tag;            /* token id of its tag; -1: no format of the base tells it */
  dg_side side;           /* where it may stand */
} dg_language;

/* As people write them: fp32, bf16, int8; in the order of dg_storage, then NULL. */
extern const char *const dg_storage_names[];
bool dg_storage_find(const char *name, dg_storage *out);

/* Rows [first,first+count) of t; asked for from the first to the last, a few at a time. */
typedef bool dg_rows_fn(void *context, const dg_tensor *t, size_t first, size_t count, float *out,
                        dg_error *err);
bool dg_weights_in_memory(void *context, const dg_tensor *t, size_t first, size_t count,
                          float *out, dg_error *err); /* a dg_rows_fn: those of t->held */
/* Adds the tensors to a writer that has the rest, and writes the file. Refuses values that
 * are not finite. */
bool dg_weights_write(dg_st_writer *w, const dg_params *p, dg_rows_fn *rows, void *context,
                      const char *path, dg_storage storage, char hash[DG_HASH_TEXT],
                      dg_error *err);
/* Points every tensor's `held` at its numbers in the file, which are looked at. Errors do not
 * name the file: dg_weights_blame puts it in front. */
bool dg_weights_find(const dg_safetensors *s, dg_params *p, dg_error *err);
/* The same, and dequantises them to `value`. */
bool dg_weights_read(const dg_safetensors *s, dg_params *p, dg_error *err);
bool dg_weights_missing(const char *name, dg_error *err);
/* Names the file; what the file said wrong is no mistake of the caller's. */
void dg_weights_blame(dg_error *err, const char *path);

/* Begins a file of this format ("dragoman.base") and our version; tells whether it is one,
 * `what` ("a base") being its name in words. */
void dg_weights_begin(dg_st_writer *w, const char *format);
bool dg_weights_check(const dg_safetensors *s, const char *format, const char *what,
                      dg_error *err);

void dg_weights_add_json(dg_st_writer *w, const char *key, const json_t *j);
/* A new reference to the metadata of this key and type. */
json_t *dg_weights_json(const dg_safetensors *s, const char *key, json_type type, dg_error *err);
/* A file as cards name it: without its path, which would tell where its maker keeps files. */
json_t *dg_card_file(const char *path);
void dg_weights_add_languages(dg_st_writer *w, const dg_language *languages, size_t count);
/* Their codes and sides; the caller frees the list. */
dg_language *dg_weights_languages(const dg_safetensors *s, size_t *count, dg_error *err);

#endif
