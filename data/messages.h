/* Files of messages: Fluent, Java properties, DTD. Each visits the messages of a file's text in
 * order. Damaged lines are passed over. */
#ifndef DG_DATA_MESSAGES_H
#define DG_DATA_MESSAGES_H

#include <stddef.h>

typedef void dg_message_visit(void *context, const char *id, const char *text);

/* Fluent: "id", or "id.attribute". Of a select expression the default variant is
 * kept; { "literals" } give way to their text; other placeables are spelled { name }. */
void dg_fluent_read(const char *text, size_t size, dg_message_visit *visit, void *context);
void dg_properties_read(const char *text, size_t size, dg_message_visit *visit, void *context);
void dg_dtd_read(const char *text, size_t size, dg_message_visit *visit, void *context);

#endif
