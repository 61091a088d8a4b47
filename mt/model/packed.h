/* A model's weights laid out once for products with few rows: decoding reads them at every step.
 * Results are bit for bit those without, but for DG_INT8. Of a large model only what stays in 8 bits
 * is laid out, in place of the file's pages; the rest is left as it is held. */
#ifndef DG_MODEL_PACKED_H
#define DG_MODEL_PACKED_H

#include "mt/model/model.h"

typedef struct dg_packed_model dg_packed_model;

/* Packs the weights as they are now; they must outlive it and not change. Set it as `packed` of
 * networks of this model and precision. About as large as the weights in fp32, or with DG_INT8 as
 * those stored in 8 bits. NULL with an error when memory runs out. */
dg_packed_model *dg_packed_model_new(const dg_model *m, dg_precision precision, dg_error *err);
/* The same, where more than `most` weights are large. */
dg_packed_model *dg_packed_model_limited(const dg_model *m, dg_precision precision, size_t most,
                                         dg_error *err);
void dg_packed_model_free(dg_packed_model *p);

/* The packed form of a layer of the model, or NULL. */
const dg_packed *dg_packed_model_find(const dg_packed_model *p, const dg_linear *l);

#endif
