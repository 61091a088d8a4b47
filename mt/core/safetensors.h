/* The safetensors container (huggingface.co/docs/safetensors): a JSON header,
 * then tensor bytes. Ours carry a content hash in their metadata, checked when
 * a file is opened: a truncated or altered file is refused. */
#ifndef DG_CORE_SAFETENSORS_H
#define DG_CORE_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mt/core/error.h"
#include "mt/core/hash.h"

typedef enum dg_dtype {
  DG_F32, DG_F16, DG_BF16_T, DG_F64, DG_I8, DG_U8, DG_I16, DG_I32, DG_I64, DG_BOOL
} dg_dtype;
size_t dg_dtype_size(dg_dtype t);
const char *dg_dtype_name(dg_dtype t);

enum { DG_ST_DIMS = 4 };

typedef struct dg_st_tensor {
  const char *name;
  dg_dtype dtype;
  size_t dims, shape[DG_ST_DIMS];
  const void *data; /* inside the mapping; aligned as the file aligns it */
  size_t bytes;
} dg_st_tensor;

typedef struct dg_safetensors dg_safetensors;

/* Maps and validates. A file without our hash is accepted only when
 * `foreign` is true. */
dg_safetensors *dg_safetensors_open(const char *path, bool foreign, dg_error *err);
/* The same, but of the file only its header is read: what it holds may be damaged. */
dg_safetensors *dg_safetensors_peek(const char *path, dg_error *err);
void dg_safetensors_close(dg_safetensors *s);
const char *dg_safetensors_path(const dg_safetensors *s);
/* XXH3-128 over the whole file with the hash's own digits read as zeros. */
const char *dg_safetensors_hash(const dg_safetensors *s); /* "" when foreign */
const char *dg_safetensors_metadata(const dg_safetensors *s, const char *key); /* or NULL */
size_t dg_safetensors_count(const dg_safetensors *s);
const dg_st_tensor *dg_safetensors_at(const dg_safetensors *s, size_t i);
const dg_st_tensor *dg_safetensors_find(const dg_safetensors *s, const char *name);

/* Writes a file without having it in memory: what it holds is declared, then put in
 * any order and in parts, then committed. */
typedef struct dg_st_writer dg_st_writer;
dg_st_writer *dg_st_writer_new(void);
void dg_st_writer_free(dg_st_writer *w); /* uncommitted, it leaves no file */
void dg_st_writer_metadata(dg_st_writer *w, const char *key, const char *value); /* copied */
/* All that a file holds, borrowed; metadata given later replaces its own. */
void dg_st_writer_copy(dg_st_writer *w, const dg_safetensors *s);
/* data is borrowed until the file is begun; NULL: it will be put. */
void dg_st_writer_add(dg_st_writer *w, const char *name, dg_dtype dtype, size_t dims,
                      const size_t *shape, const void *data);
bool dg_st_writer_begin(dg_st_writer *w, const char *path, dg_error *err);
/* n bytes of a declared tensor from its byte `at` on; each byte is put once. */
bool dg_st_writer_put(dg_st_writer *w, const char *name, size_t at, const void *bytes, size_t n,
                      dg_error *err);
/* The file appears under its name; hash (may be NULL) receives its content hash. */
bool dg_st_writer_commit(dg_st_writer *w, char hash[DG_HASH_TEXT], dg_error *err);
/* Begins and commits a file all of whose data was given. */
bool dg_st_writer_write(dg_st_writer *w, const char *path, char hash[DG_HASH_TEXT], dg_error *err);

#endif
