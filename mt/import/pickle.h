/* The pickle of a torch state dict, read without running anything: only the
 * opcodes and globals that tensors need are known, all else is refused by name. */
#ifndef DG_IMPORT_PICKLE_H
#define DG_IMPORT_PICKLE_H

#include <stdint.h>

#include "mt/core/safetensors.h"

typedef struct dg_pickle_tensor {
  char *name, *storage; /* the storage's key */
  dg_dtype dtype;
  size_t storage_count; /* elements of the whole storage */
  size_t offset;        /* of the first element in it */
  size_t dims, shape[DG_ST_DIMS], stride[DG_ST_DIMS];
} dg_pickle_tensor;

typedef struct dg_pickle {
  dg_pickle_tensor *tensors;
  size_t count, capacity;
} dg_pickle;

/* The tensors of the pickled dictionary; its other values are passed over. */
bool dg_pickle_read(const uint8_t *bytes, size_t size, dg_pickle *out, dg_error *err);
void dg_pickle_free(dg_pickle *p);

#endif
