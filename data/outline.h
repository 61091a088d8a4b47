/* Documents as outlines, lists of keyed paragraphs, by which a translation is
 * laid beside its original. */
#ifndef DG_DATA_OUTLINE_H
#define DG_DATA_OUTLINE_H

#include <stdint.h>

#include "data/source.h"
#include "mt/core/mem.h"

typedef struct dg_paragraph {
  uint64_t key; /* where it stands (path of elements, macro) or its own id */
  size_t text;  /* offset into the outline's text */
} dg_paragraph;

/* Zero-initialise; dg_outline_free leaves it so. */
typedef struct dg_outline {
  dg_paragraph *list;
  size_t count, capacity;
  dg_strbuf text;
} dg_outline;

void dg_outline_add(dg_outline *o, uint64_t key, const char *text);
const char *dg_outline_text(const dg_outline *o, size_t i);
void dg_outline_free(dg_outline *o);

/* A key for a thing called `name` inside what has the key `parent`. */
uint64_t dg_outline_key(uint64_t parent, const char *name);

/* How a translation's paragraphs find their originals. */
typedef enum dg_alignment {
  DG_ALIGN_ALL,    /* the same keys in the same order, else the document is dropped */
  DG_ALIGN_SIGNED, /* likewise, but translators may have signed at the end */
  DG_ALIGN_IDS     /* keys are ids: the same id, wherever it stands */
} dg_alignment;

typedef struct dg_document_kind {
  /* Is this file, its path relative to the package's root, such a document?
   * Sets its locale ("en" for originals) and its name without language. */
  bool (*place)(const char *path, dg_strbuf *locale, dg_strbuf *document);
  /* Adds the paragraphs of a file; false when it is damaged. */
  bool (*outline)(const void *bytes, size_t size, dg_outline *o);
  dg_alignment alignment;
} dg_document_kind;

/* Visits the pairs of two outlines; false (and none) if they do not match. */
bool dg_outline_align(const dg_outline *english, const dg_outline *other, dg_alignment how,
                      const char *locale, const char *document, const dg_pair_sink *sink);

/* Reads all documents of a kind, gzipped or plain; a dg_source's `read`. */
void dg_read_documents(const dg_document_kind *kind, const char *root, const char *english_root,
                       const dg_pair_sink *sink);

#endif
