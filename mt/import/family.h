/* The families of public encoder-decoders: what their config.json says in terms of
 * ours, and which of their tensors is which of ours. */
#ifndef DG_IMPORT_FAMILY_H
#define DG_IMPORT_FAMILY_H

#include "mt/import/checkpoint.h"
#include "mt/model/model.h"

typedef enum dg_family {
  DG_FAMILY_M2M100,
  DG_FAMILY_MBART,
  DG_FAMILY_MARIAN,
  DG_FAMILY_T5
} dg_family;

/* "m2m_100", as transformers calls its model type. */
const char *dg_family_name(dg_family family);

typedef struct dg_family_config {
  dg_family family;
  dg_model_config model; /* its formats are left at their defaults: they are the tokenizer's */
  int pad, eos, decoder_start; /* token ids */
  int forced_first; /* mBART: the tag of the one language it was made to write, or -1 */
  char tokenizer_class[40]; /* as in config.json, or "" */
} dg_family_config;

/* What is absent, and token ids not in generation_config.json beside it either, has the default
 * of the family's class in transformers, except for sizes, which must be there. A setting this
 * program has no switch for is refused. */
bool dg_family_config_read(const char *config_json, dg_family_config *out, dg_error *err);

/* What transformers calls the module of a projection or norm in a layer, "encoder.layers.0.self.q",
 * under its ...ForConditionalGeneration. */
void dg_family_module(dg_family family, bool gated_ffn, const char *ours, char *out, size_t size);

/* Rows [first,first+count) of one of the model's tensors, t->rows x t->cols. */
bool dg_family_rows(const dg_family_config *f, dg_checkpoint *c, const dg_tensor *t, size_t first,
                    size_t count, float *out, dg_error *err);

#endif
