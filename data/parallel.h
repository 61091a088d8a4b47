/* Reading parallel text: TSV ("source<TAB>target", further columns ignored), a
 * pair of aligned plain files ("a.en,a.gl"), or either gzipped. */
#ifndef DG_DATA_PARALLEL_H
#define DG_DATA_PARALLEL_H

#include <stddef.h>

#include "mt/core/error.h"

typedef struct dg_pair {
  const char *source, *target; /* NUL-terminated, inside the corpus */
} dg_pair;

/* Sentence pairs held in memory, in file order. */
typedef struct dg_parallel_text {
  dg_pair *pairs;
  size_t count, capacity;
  struct dg_text_block *blocks; /* the strings' storage */
} dg_parallel_text;

/* Appends the pairs of one specification to *p (zero-initialised before the
 * first). Files of different lengths, or a TSV line with fewer than two
 * columns, are errors naming the line. A NULL specification part is not
 * allowed. On failure *p holds what it held before plus some pairs read;
 * dg_parallel_free releases it either way. */
bool dg_parallel_read(dg_parallel_text *p, const char *specification, dg_error *err);
/* Whether reading a specification reads this file. */
bool dg_parallel_reads(const char *specification, const char *path);
void dg_parallel_add(dg_parallel_text *p, const char *source, const char *target);
/* The same with its sides exchanged; its strings are p's. */
dg_parallel_text dg_parallel_turned(const dg_parallel_text *p);
void dg_parallel_free(dg_parallel_text *p);

#endif
