/* Mozilla's language packs: Fluent, properties and DTD files inside zip archives. */
#ifndef DG_DATA_MOZILLA_H
#define DG_DATA_MOZILLA_H

#include <stddef.h>

#include "data/source.h"

typedef void dg_message_visit(void *context, const char *id, const char *text);

/* Each visits the messages of a file's text in order. Damaged lines are passed over. */

/* Fluent: "id", or "id.attribute". Of a select expression the default variant is
 * kept; { "literals" } give way to their text; other placeables are spelled { name }. */
void dg_fluent_read(const char *text, size_t size, dg_message_visit *visit, void *context);
void dg_properties_read(const char *text, size_t size, dg_message_visit *visit, void *context);
void dg_dtd_read(const char *text, size_t size, dg_message_visit *visit, void *context);

/* A dg_source's `read`: .xpi and .ja archives below root against the en-US of
 * those below english_root. */
void dg_mozilla_read(const char *root, const char *english_root, const dg_pair_sink *sink);

#endif
