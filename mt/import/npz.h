/* NumPy archives (numpy.lib.format): arrays by name in a zip. Arrays of objects, which
 * are pickles, are refused. */
#ifndef DG_IMPORT_NPZ_H
#define DG_IMPORT_NPZ_H

#include <stdint.h>

#include "mt/core/safetensors.h"

typedef struct dg_npz dg_npz;

typedef struct dg_npz_array {
  const char *name; /* without ".npy" */
  dg_dtype dtype;
  size_t dims, shape[DG_ST_DIMS], count;
} dg_npz_array;

dg_npz *dg_npz_open(const char *path, dg_error *err);
void dg_npz_close(dg_npz *z);
const dg_npz_array *dg_npz_find(const dg_npz *z, const char *name); /* or NULL */
/* All of it as fp32; the last one read is kept until another is. */
const float *dg_npz_read(dg_npz *z, const dg_npz_array *a, dg_error *err);
/* The bytes of an array of one-byte numbers, with a NUL after them; the caller frees them. */
char *dg_npz_text(dg_npz *z, const dg_npz_array *a, dg_error *err);

#endif
