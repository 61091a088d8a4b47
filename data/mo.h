/* Reading GNU message catalogues (.mo): gettext's binary form. */
#ifndef DG_DATA_MO_H
#define DG_DATA_MO_H

#include <stddef.h>

#include "mt/core/error.h"

/* One message. plural is NULL for messages without plural forms; forms holds
 * form_count translations. All strings end in NUL inside the file's bytes. */
typedef struct dg_mo_message {
  const char *id, *plural;
  const char *forms[8];
  size_t form_count;
} dg_mo_message;

typedef void dg_mo_visit(void *context, const dg_mo_message *m);

/* Visits every message except the header entry, in file order. Every offset is
 * checked; a damaged catalogue is an error, and nothing outside it is read. */
bool dg_mo_read(const void *bytes, size_t size, dg_mo_visit *visit, void *context, dg_error *err);

#endif
