/* The weights of a public checkpoint, a tensor at a time: safetensors files, or
 * what torch.save wrote (a zip with a pickle), whole or in shards. Nothing a
 * checkpoint says is run, and only what is being read is in memory. */
#ifndef DG_IMPORT_CHECKPOINT_H
#define DG_IMPORT_CHECKPOINT_H

#include "mt/core/safetensors.h"

typedef struct dg_checkpoint dg_checkpoint;

typedef struct dg_checkpoint_tensor {
  const char *name;
  dg_dtype dtype; /* as stored */
  size_t dims, shape[DG_ST_DIMS], count;
} dg_checkpoint_tensor;

/* The first there is in the directory of model.safetensors,
 * model.safetensors.index.json, pytorch_model.bin, pytorch_model.bin.index.json. */
dg_checkpoint *dg_checkpoint_open(const char *directory, dg_error *err);
/* The same of adapter_model.safetensors, adapter_model.bin, adapter.safetensors,
 * pytorch_adapter.bin. */
dg_checkpoint *dg_checkpoint_open_adapter(const char *directory, dg_error *err);
void dg_checkpoint_close(dg_checkpoint *c);
size_t dg_checkpoint_count(const dg_checkpoint *c);
const dg_checkpoint_tensor *dg_checkpoint_at(const dg_checkpoint *c, size_t i); /* by name */
const dg_checkpoint_tensor *dg_checkpoint_find(const dg_checkpoint *c, const char *name);
/* Its numbers [first,first+n), row by row, as fp32. Parts read in order cost one pass over
 * the file; damage shows at the latest when the last is read. Only floating-point
 * tensors can be read. */
bool dg_checkpoint_read(dg_checkpoint *c, const dg_checkpoint_tensor *t, size_t first, size_t n,
                        float *out, dg_error *err);

#endif
