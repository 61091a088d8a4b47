/* LibreOffice's help: a page of HTML for each topic, paragraphs with ids of their own. */
#ifndef DG_DATA_LIBREOFFICE_H
#define DG_DATA_LIBREOFFICE_H

#include "data/outline.h"

/* Headings and paragraphs by id. Marks of emphasis and links give way to their
 * text; of what depends on the system the common variant is kept. */
bool dg_libreoffice_outline(const void *bytes, size_t size, dg_outline *o);

#endif
