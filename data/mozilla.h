/* Mozilla's language packs: Fluent, properties and DTD files inside zip archives. */
#ifndef DG_DATA_MOZILLA_H
#define DG_DATA_MOZILLA_H

#include "data/source.h"

/* A dg_source's `read`: .xpi and .ja archives below root against the en-US of
 * those below english_root. */
void dg_mozilla_read(const char *root, const char *english_root, const dg_pair_sink *sink);

#endif
