/* Manual pages in roff's man macros. */
#ifndef DG_DATA_MAN_H
#define DG_DATA_MAN_H

#include "data/outline.h"

/* Paragraphs by the macro that begins them, as plain text: fonts are no matter of
 * words. False for pages in other macros (mdoc) and for mere links. */
bool dg_man_outline(const void *bytes, size_t size, dg_outline *o);

#endif
