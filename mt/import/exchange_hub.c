/* Bottlenecks as AdapterHub has them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mt/import/exchange_sites.h"

enum { KEY = 2 * DG_SITE_NAME };

static const struct {
  const char *hub;
  dg_activation ours;
} activations[] = {{"relu", DG_RELU},          {"gelu", DG_GELU}, {"gelu_new", DG_GELU_TANH},
                   {"gelu_pytorch_tanh", DG_GELU_TANH}, {"swish", DG_SILU}, {"silu", DG_SILU}};

/* What of its many switches we have: three placements. */
static bool read_config(const dg_site_model *m, const json_t *config, dg_adapter_config *ours,
                        dg_error *err) {
  static const char *const known[] = {
      "mh_adapter", "output_adapter", "cross_adapter", "reduction_factor", "non_linearity",
      "original_ln_before", "original_ln_after", "ln_before", "init_weights", "init_weights_seed",
      "is_parallel", "scaling", "residual_before_ln", "adapter_residual_before_ln", "leave_out",
      "dropout", "architecture", "phm_dim", "factorized_phm_W", "shared_W_phm", "shared_phm_rule",
      "factorized_phm_rule", "phm_c_init", "phm_init_range", "learn_phm",
      "hypercomplex_nonlinearity", "phm_rank", "phm_bias", "inv_adapter_reduction_factor",
      "stochastic_depth", NULL};
  if (!dg_exchange_known(config, known, err)) return false;
  bool parallel = dg_exchange_flag(config, "is_parallel", false);
  bool before = dg_exchange_flag(config, "original_ln_before", false);
  bool after = dg_exchange_flag(config, "original_ln_after", true);
  const json_t *residual = json_object_get(config, "residual_before_ln");
  if (json_is_string(residual))
    return dg_exchange_refuse("residual_before_ln", residual, "this program does not do that", err);
  bool own = !residual || json_is_true(residual);
  strcpy(ours->method, "bottleneck");
  ours->placement = parallel ? DG_PLACE_PARALLEL : before ? DG_PLACE_LAYER : DG_PLACE_SUBLAYER;
  /* After a layer: its sum, and before a norm the two ways to say so are one. */
  bool summed = own ? after && m->config->pre_norm : !after;
  if (ours->placement == DG_PLACE_LAYER ? !summed : !after || (!parallel && !own))
    return dg_exchange_refuse("original_ln_after", json_object_get(config, "original_ln_after"),
                              "no placement of this program adds what it does so", err);
  if (ours->placement == DG_PLACE_LAYER &&
      (dg_exchange_flag(config, "mh_adapter", false) ||
       dg_exchange_flag(config, "cross_adapter", false) ||
       !dg_exchange_flag(config, "output_adapter", true)))
    return dg_exchange_refuse("mh_adapter", json_object_get(config, "mh_adapter"),
                              "after attention this program has adapters before the residual sum "
                              "only", err);
  snprintf(ours->sublayers, sizeof ours->sublayers, "%s%s%s",
           dg_exchange_flag(config, "mh_adapter", false) ? "self," : "",
           dg_exchange_flag(config, "cross_adapter", false) ? "cross," : "",
           dg_exchange_flag(config, "output_adapter", true) ? "ffn," : "");
  size_t n = strlen(ours->sublayers);
  if (!n) return dg_exchange_refuse("output_adapter", json_false(), "then there is nothing", err);
  ours->sublayers[n - 1] = 0;
  const json_t *scale = json_object_get(config, "scaling");
  if (scale && !json_is_number(scale))
    return dg_exchange_refuse("scaling", scale, "no number", err);
  ours->scale = scale ? json_number_value(scale) : 1;
  if (!(ours->scale > 0)) return dg_exchange_refuse("scaling", scale, "no scale of anything", err);
  ours->norm = dg_exchange_flag(config, "ln_before", false) ? 1 : 2;
  const json_t *activation = json_object_get(config, "non_linearity");
  const char *name = json_string_value(activation);
  for (size_t i = 0; i < sizeof activations / sizeof *activations; i++)
    if (name && !strcmp(name, activations[i].hub)) {
      ours->activation = activations[i].ours;
      return true;
    }
  return dg_exchange_refuse("non_linearity", activation, "this program does not have it", err);
}

/* KEY.NAME.adapter_down.0.weight and so on for one of our tensors. */
static const char *const hub_parts[][2] = {
    {"norm.gain", "adapter_down.0.weight"}, {"norm.bias", "adapter_down.0.bias"},
    {"down.weight", "adapter_down.%d.weight"}, {"down.bias", "adapter_down.%d.bias"},
    {"up.weight", "adapter_up.weight"},     {"up.bias", "adapter_up.bias"},
    {"norm.gain", "adapter_norm_before.weight"}, {"norm.bias", "adapter_norm_before.bias"}};
enum { HUB_PARTS = sizeof hub_parts / sizeof *hub_parts };

static void name_key(const char *module, const char *adapter, size_t part, bool norm,
                     char out[KEY]) {
  char name[40];
  snprintf(name, sizeof name, part == 3 ? "adapter_down.%d.bias" : "adapter_down.%d.weight", norm);
  snprintf(out, KEY, "%s.%s.%s", module, adapter,
           part == 2 || part == 3 ? name : hub_parts[part][1]);
}

/* Our tensor of that part, or NULL when it has none. */
static dg_tensor *tensor_of(const dg_adapter *a, const char *ours, size_t part) {
  char name[KEY];
  bool layer = a->config.placement == DG_PLACE_LAYER; /* its name ends with the layer's number */
  size_t n = layer ? (size_t)(strrchr(ours, '.') - ours) : strlen(ours);
  snprintf(name, sizeof name, "%.*s%s.%s", (int)n, ours, layer ? "" : ".adapter",
           hub_parts[part][0]);
  return dg_params_find(&a->params, name);
}

static dg_sites_found find(const dg_site_model *m, const dg_checkpoint *c, const char *adapter,
                           bool norm, size_t *width) {
  dg_sites_found f = {.tensors = 0};
  *width = 0;
  for (dg_site s = {.model = m, .sublayers = true}; dg_site_next(&s);) {
    char key[KEY];
    name_key(s.module, adapter, 2, norm, key);
    const dg_checkpoint_tensor *down = dg_checkpoint_find(c, key);
    if (!down) continue;
    dg_site_found(&f, &s, norm ? 8 : 4);
    if (down->dims) *width = down->shape[0];
  }
  return f;
}

dg_adapter *dg_hub_read(const dg_site_model *m, const json_t *whole, dg_checkpoint *c,
                        dg_error *err) {
  const json_t *config = json_object_get(whole, "config");
  const char *name = json_string_value(json_object_get(whole, "name"));
  if (!json_is_object(config) || !name) {
    dg_fail(err, DG_ERR_UNSUPPORTED,
            "adapter_config.json is neither PEFT's (\"peft_type\") nor AdapterHub's (\"name\", "
            "\"config\")");
    return NULL;
  }
  dg_adapter_config ours;
  dg_options_defaults(dg_adapter_config_options, &ours);
  if (!read_config(m, config, &ours, err)) return NULL;
  size_t width;
  dg_sites_found f = find(m, c, name, ours.norm == 1, &width);
  if (!f.tensors || f.tensors != dg_checkpoint_count(c) || width > 65536) {
    dg_fail(err, DG_ERR_UNSUPPORTED,
            "%zu of its %zu tensors belong to bottlenecks in the base's layers: this program has "
            "no place for others (or it is of another model)",
            f.tensors, dg_checkpoint_count(c));
    return NULL;
  }
  ours.width = (int)width;
  if (!dg_sites_layers(&f, m, &ours, err)) return NULL;
  dg_adapter *a = dg_adapter_new(m->config, &ours, 0, err);
  bool ok = a != NULL;
  for (dg_site s = {.model = m, .sublayers = true}; ok && dg_site_next(&s);)
    for (size_t part = 0; ok && part < 6 && dg_site_wanted(&f, &s); part++) {
      char key[KEY];
      dg_tensor *t = tensor_of(a, s.ours, part);
      if (!t) continue; /* no norm */
      name_key(s.module, name, part, ours.norm == 1, key);
      ok = dg_exchange_rows(c, key, t, t->value, t->rows, err);
    }
  if (ok) return a;
  dg_adapter_free(a);
  return NULL;
}

static bool has_norm(const dg_adapter_config *c) {
  return c->norm == 1 || (c->norm == 0 && c->placement != DG_PLACE_SUBLAYER);
}

/* Adds what stands at a site; false: nothing does. */
static bool write_site(const dg_site *s, const dg_adapter *a, bool norm, dg_st_writer *w) {
  bool any = false;
  for (size_t part = 0; part < HUB_PARTS; part++) {
    char key[KEY];
    const dg_tensor *t = tensor_of(a, s->ours, part);
    if (!t) continue;
    any = true;
    name_key(s->module, "dragoman", part, norm, key);
    bool vector = t->rows == 1 && part != 2 && part != 4;
    dg_st_writer_add(w, key, DG_F32, vector ? 1 : 2,
                     vector ? (size_t[]){t->cols, 0} : (size_t[]){t->rows, t->cols}, t->value);
  }
  return any;
}

/* Layers without, which AdapterHub numbers over encoder and decoder. */
static json_t *leave_out(const dg_site_model *m, const dg_sites_found *f) {
  json_t *list = json_array();
  int encoder = m->config->encoder_layers, all = encoder + m->config->decoder_layers;
  for (int i = 0; i < all; i++)
    if (!f->layers[i >= encoder][i < encoder ? i : i - encoder])
      json_array_append_new(list, json_integer(i));
  return list;
}

json_t *dg_hub_write(const dg_site_model *m, const dg_adapter *a, const char *base_name,
                     dg_st_writer *w) {
  static const char *const classes[] = {"M2M100ForConditionalGeneration",
                                        "MBartForConditionalGeneration", "MarianMTModel",
                                        "T5ForConditionalGeneration"};
  enum { SELF, CROSS, FFN };
  const dg_adapter_config *c = &a->config;
  bool norm = has_norm(c), layer_place = c->placement == DG_PLACE_LAYER;
  dg_sites_found f = {.tensors = 0};
  for (dg_site s = {.model = m, .sublayers = true}; dg_site_next(&s);)
    if ((!layer_place || s.place == FFN) && write_site(&s, a, norm, w)) dg_site_found(&f, &s, 1);
  size_t i = 0;
  while (activations[i].ours != c->activation) i++;
  /* AdapterHub divides the width by this and rounds down. */
  double factor = a->d_model % (size_t)c->width == 0 ? (double)(a->d_model / (size_t)c->width)
                                                     : (double)a->d_model / (c->width + 0.5);
  double scale = c->scale > 0 ? c->scale : c->placement == DG_PLACE_PARALLEL ? 4 : 1;
  json_t *config = json_pack(
      "{s:b,s:b,s:b,s:o,s:s,s:b,s:b,s:b,s:b,s:b,s:b,s:b,s:f,s:o,s:f,s:s,s:n,s:b,s:b}",
      "mh_adapter", f.places[SELF], "cross_adapter", f.places[CROSS], "output_adapter",
      f.places[FFN], "reduction_factor", dg_exchange_number(factor), "non_linearity",
      activations[i].hub, "original_ln_before", layer_place, "original_ln_after", !layer_place,
      "residual_before_ln", !layer_place, "adapter_residual_before_ln", 0, "ln_before", norm,
      "ln_after", 0, "is_parallel", c->placement == DG_PLACE_PARALLEL, "scaling", scale,
      "leave_out", leave_out(m, &f), "dropout", 0.0, "init_weights", "bert", "inv_adapter",
      "use_gating", 0, "phm_layer", 0);
  return json_pack("{s:o,s:n,s:I,s:s,s:s,s:s,s:s,s:s}", "config", config, "config_id",
                   "hidden_size", (json_int_t)a->d_model, "model_class", classes[m->family],
                   "model_name", base_name, "model_type", dg_family_name(m->family), "name",
                   "dragoman",
                   "version", "adapters.1.3.0");
}
