/* The manifest of a corpus: which packages it was made of. */
#ifndef DG_DATA_MANIFEST_H
#define DG_DATA_MANIFEST_H

#include "mt/core/error.h"

#include <stddef.h>

#define DG_MANIFEST_COLUMNS "package\tversion\txxh3-128\tlicence\tpairs"

/* One archive. */
typedef struct dg_origin {
  char *package, *version, *hash;
  size_t pairs;
} dg_origin;

/* Zero-initialise; release with dg_manifest_free. */
typedef struct dg_manifest {
  dg_origin *items;
  size_t count, capacity;
} dg_manifest;

/* Adds what a file says; errors name its line. */
bool dg_manifest_read(dg_manifest *m, const char *path, dg_error *err);
/* NULL when it is not there. */
const dg_origin *dg_manifest_find(const dg_manifest *m, const char *package);
void dg_manifest_free(dg_manifest *m);

#endif
