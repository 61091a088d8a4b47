/* Where adapters of other projects stand in a base's layers, and what their two layouts share.
 * Private to mt/import. */
#ifndef DG_IMPORT_EXCHANGE_SITES_H
#define DG_IMPORT_EXCHANGE_SITES_H

#include <jansson.h>

#include "mt/core/safetensors.h"
#include "mt/import/family.h"
#include "mt/model/adapter.h"

enum { DG_SITE_NAME = 160, DG_PROJECTIONS = 11, DG_SUBLAYERS = 3 };

typedef struct dg_site_model {
  dg_family family;
  const dg_model_config *config;
} dg_site_model;

/* One projection or sublayer of one layer. Begins as {.model = ..., .sublayers = ...}. */
typedef struct dg_site {
  const dg_site_model *model;
  bool sublayers; /* it goes over those (self, cross, ffn), else over projections */
  bool begun, decoder;
  size_t layer, place;       /* in its side; in dg_site_projection or among the sublayers */
  char ours[DG_SITE_NAME];   /* "decoder.layers.0.cross.q", "decoder.layers.0.cross" */
  char module[DG_SITE_NAME]; /* what transformers or AdapterHub has there */
} dg_site;

/* The next that the model has, layer after layer, the encoder's first; false at the end. */
bool dg_site_next(dg_site *s);
/* "self.q" */
const char *dg_site_projection(size_t place);

/* What of a file was found where: which layers have something, and which sites anywhere. */
typedef struct dg_sites_found {
  bool layers[2][256], places[DG_PROJECTIONS];
  size_t tensors; /* that they account for */
} dg_sites_found;

void dg_site_found(dg_sites_found *f, const dg_site *s, size_t tensors);
/* Whether an adapter of what was found has something here. */
bool dg_site_wanted(const dg_sites_found *f, const dg_site *s);
bool dg_sites_layers(const dg_sites_found *f, const dg_site_model *m, dg_adapter_config *out,
                     dg_error *err);

/* Fails, with the setting and why. */
bool dg_exchange_refuse(const char *name, const json_t *value, const char *why, dg_error *err);
/* Settings that do not change what a trained adapter computes (`known`, NULL-terminated) may say
 * anything; what is not known must say nothing. */
bool dg_exchange_known(const json_t *config, const char *const *known, dg_error *err);
bool dg_exchange_flag(const json_t *config, const char *name, bool absent);
/* The tensor of that name as `rows` rows of t's columns. */
bool dg_exchange_rows(dg_checkpoint *c, const char *name, const dg_tensor *t, float *out,
                      size_t rows, dg_error *err);
json_t *dg_exchange_number(double x); /* an integer where it is one */

/* The layouts. Reading gives an adapter; writing adds tensors and gives adapter_config.json. */
dg_adapter *dg_peft_read(const dg_site_model *m, const json_t *config, dg_checkpoint *c,
                         dg_error *err);
json_t *dg_peft_write(const dg_site_model *m, const dg_adapter *a, const char *base_name,
                      dg_st_writer *w);
dg_adapter *dg_hub_read(const dg_site_model *m, const json_t *config, dg_checkpoint *c,
                        dg_error *err);
json_t *dg_hub_write(const dg_site_model *m, const dg_adapter *a, const char *base_name,
                     dg_st_writer *w);

#endif
