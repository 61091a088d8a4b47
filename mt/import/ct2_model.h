/* A CTranslate2 model between the steps of its import. Private to mt/import. */
#ifndef DG_IMPORT_CT2_MODEL_H
#define DG_IMPORT_CT2_MODEL_H

#include <jansson.h>

#include "mt/import/ctranslate2.h"
#include "mt/import/package.h"
#include "mt/import/source.h"

typedef struct dg_ct2_model {
  dg_package *package;
  const char *folder; /* of model.bin in it: "" or "model/" */
  dg_ct2 *ct2;
  json_t *config; /* config.json, NULL before version 6 */
  dg_model_config shape;
  bool zero_start; /* an id past the target's vocabulary was added to begin with */
} dg_ct2_model;

/* The variable of that name, or NULL. */
const dg_ct2_variable *dg_ct2_part(const dg_ct2_model *m, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
const dg_ct2_variable *dg_ct2_embeddings(const dg_ct2_model *m, bool decoder);
/* Rows of a variable, as bytes of the mapped file, are not needed again soon. */
void dg_ct2_forget(const dg_ct2_variable *v, size_t first, size_t rows);

/* Whether a variable's name is of something that is known here. */
bool dg_ct2_known(const char *name, dg_error *err);
/* m->shape and m->zero_start, from the variables. */
bool dg_ct2_shape(dg_ct2_model *m, dg_error *err);
/* A dg_source's `rows`, of a dg_ct2_model. */
bool dg_ct2_weights(void *context, const dg_tensor *t, size_t first, size_t count, float *out,
                    dg_error *err);
/* The source's family, formats, languages and tokenizers, from the vocabularies. */
bool dg_ct2_tokenizers(dg_ct2_model *m, dg_source *s, dg_error *err);

#endif
