/* The files of a model by name: a directory, or a zip with them in one folder, as Argos
 * has it. Names inside a zip are only looked up: nothing is written where they say. */
#ifndef DG_IMPORT_PACKAGE_H
#define DG_IMPORT_PACKAGE_H

#include "mt/core/file.h"

typedef struct dg_package dg_package;

/* In a zip the folder is that of `landmark` ("metadata.json"). */
dg_package *dg_package_open(const char *path, const char *landmark, dg_error *err);
void dg_package_close(dg_package *p);
bool dg_package_has(const dg_package *p, const char *name);
/* Its bytes, until dg_package_close; a file of a zip is unpacked into one without a name. */
bool dg_package_map(dg_package *p, const char *name, dg_mapping *out, dg_error *err);
/* "PATH/NAME", for messages; the caller frees it. */
char *dg_package_path(const dg_package *p, const char *name);

#endif
