/* A base cut down to some of its languages: to their tags and to the pieces that text in
 * them needs, with the rows of the embeddings that belong to those. */
#ifndef DG_IMPORT_TRIM_H
#define DG_IMPORT_TRIM_H

#include "mt/model/base.h"

typedef struct dg_trim dg_trim;

/* Languages are codes with commas between. The pieces are those that the lines of the
 * corpus are cut into, and the single characters of the languages' scripts; without a
 * corpus, all pieces in those scripts. `full`, whose model may be an outline, and the
 * source of its weights are borrowed. */
dg_trim *dg_trim_new(const dg_base *full, dg_rows_fn *rows, void *context, const char *languages,
                     const char *const *corpus, size_t corpus_count, dg_error *err);
void dg_trim_free(dg_trim *t);
const dg_base *dg_trim_base(const dg_trim *t); /* its model is an outline */
/* A dg_rows_fn of that base: the context is the trim. */
bool dg_trim_rows(void *trim, const dg_tensor *t, size_t first, size_t count, float *out,
                  dg_error *err);

#endif
