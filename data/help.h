/* Help in Mallard (.page) and DocBook, as GNOME, MATE, Xfce and KDE install it, and
 * manuals in HTML. */
#ifndef DG_DATA_HELP_H
#define DG_DATA_HELP_H

#include "data/outline.h"

/* Paragraphs by the path of elements around them. Inline elements stay as tags
 * without attributes; entities of the document's own that are plain text are put in
 * place, nothing outside the bytes is read. */
bool dg_help_outline(const void *bytes, size_t size, dg_outline *o);
bool dg_help_place(const char *path, dg_strbuf *locale, dg_strbuf *document);

/* The same for HTML, of whose inline tags those stay that a translator would move. */
bool dg_html_outline(const void *bytes, size_t size, dg_outline *o);
bool dg_html_place(const char *path, dg_strbuf *locale, dg_strbuf *document);

#endif
