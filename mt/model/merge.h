/* Several adapters of one base as one. */
#ifndef DG_MODEL_MERGE_H
#define DG_MODEL_MERGE_H

#include "mt/model/adapter_file.h"

/* The weighted mean of `count` adapters of the same declaration; weights may have any sum but
 * 0. A new language's tag is the mean of those that have it; pairs and languages are all of
 * theirs, new pieces must be the same. For LoRA the matrices are averaged, not their products.
 * Its card tells of what it was made. NULL with an error naming what differs. */
dg_adapter_file *dg_adapter_merge(const dg_adapter_file *const *files, const char *const *names,
                                  const double *weights, size_t count, dg_error *err);

#endif
