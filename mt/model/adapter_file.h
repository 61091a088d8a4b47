/* Adapter files: an adapter names its base by content hash. */
#ifndef DG_MODEL_ADAPTER_FILE_H
#define DG_MODEL_ADAPTER_FILE_H

#include "mt/model/base.h"

typedef struct dg_adapter_file {
  dg_adapter *adapter;
  char source[DG_LANG_MAX], target[DG_LANG_MAX]; /* the pair it was trained for */
  dg_language *languages; /* its own new languages; tag = vocab_size + row of `extra` */
  size_t language_count;
  char base_hash[DG_HASH_TEXT], hash[DG_HASH_TEXT];
  json_t *card;
} dg_adapter_file;

/* Refuses an adapter made for another base. */
dg_adapter_file *dg_adapter_file_load(const char *path, const dg_base *base, dg_error *err);
bool dg_adapter_file_save(const dg_adapter_file *f, const char *path, dg_storage storage,
                          char hash[DG_HASH_TEXT], dg_error *err);
void dg_adapter_file_free(dg_adapter_file *f);

#endif
