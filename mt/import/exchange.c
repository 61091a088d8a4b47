#include "mt/import/exchange.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mt/core/file.h"
#include "mt/core/mem.h"

enum { NAME_MOST = 160 };

bool dg_exchange_family(const json_t *card, dg_family *out) {
  const char *name = json_string_value(json_object_get(card, "imported_from"));
  for (int i = DG_FAMILY_M2M100; name && i <= DG_FAMILY_T5; i++)
    if (!strcmp(dg_family_name((dg_family)i), name)) {
      *out = (dg_family)i;
      return true;
    }
  return false;
}

/* --- places --------------------------------------------------------------------------------- */

/* The projections of a layer, and the sublayers. */
static const struct {
  const char *sublayer, *name, *hub;
} sites[] = {
    {"self", "q", NULL},     {"self", "k", NULL},     {"self", "v", NULL},
    {"self", "out", NULL},   {"cross", "q", NULL},    {"cross", "k", NULL},
    {"cross", "v", NULL},    {"cross", "out", NULL},  {"ffn", "in", NULL},
    {"ffn", "gate", NULL},   {"ffn", "out", NULL},    {"self", NULL, "attention_adapters"},
    {"cross", NULL, "cross_attention_adapters"},      {"ffn", NULL, "output_adapters"},
};
enum { PROJECTIONS = 11, SITES = sizeof sites / sizeof *sites };

typedef struct layout {
  dg_family family;
  const dg_model_config *model;
} layout;

static size_t layers_of(const layout *l, bool decoder) {
  return (size_t)(decoder ? l->model->decoder_layers : l->model->encoder_layers);
}

static bool exists(const layout *l, bool decoder, size_t site) {
  if (!decoder && !strcmp(sites[site].sublayer, "cross")) return false;
  return l->model->gated_ffn || !sites[site].name || strcmp(sites[site].name, "gate");
}

/* Our name of a site, and the module that transformers or AdapterHub has there. */
static void name_site(const layout *l, bool decoder, size_t layer, size_t site, char *ours,
                      char *theirs) {
  const char *side = decoder ? "decoder" : "encoder";
  if (site < PROJECTIONS) {
    snprintf(ours, NAME_MOST, "%s.layers.%zu.%s.%s", side, layer, sites[site].sublayer,
             sites[site].name);
    dg_family_module(l->family, l->model->gated_ffn, ours, theirs, NAME_MOST);
    return;
  }
  snprintf(ours, NAME_MOST, "%s.layers.%zu.%s", side, layer, sites[site].sublayer);
  if (l->family != DG_FAMILY_T5) {
    snprintf(theirs, NAME_MOST, "model.%s.layers.%zu.%s.adapters", side, layer, sites[site].hub);
    return;
  }
  size_t sublayer = site - PROJECTIONS; /* T5 numbers them, the encoder without the second */
  if (!decoder && sublayer == 2) sublayer = 1;
  snprintf(theirs, NAME_MOST, "%s.block.%zu.layer.%zu.adapters", side, layer, sublayer);
}

/* --- settings that must be what we compute -------------------------------------------------- */

static bool refuse(const char *name, const json_t *value, const char *why, dg_error *err) {
  char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
  dg_fail(err, DG_ERR_UNSUPPORTED, "\"%s\": %.60s: %s", name, text ? text : "null", why);
  free(text);
  return false;
}

static bool is_nothing(const json_t *j) {
  if (!j || json_is_null(j) || json_is_false(j)) return true;
  if (json_is_object(j)) return json_object_size(j) == 0;
  if (json_is_array(j)) return json_array_size(j) == 0;
  if (json_is_number(j)) return json_number_value(j) == 0;
  return json_is_string(j) && !*json_string_value(j);
}

/* Settings that do not change what a trained adapter computes may say anything; what is not
 * known must say nothing. */
static bool only_known(const json_t *config, const char *const *known, dg_error *err) {
  const char *name;
  json_t *value;
  json_object_foreach((json_t *)config, name, value) {
    size_t i = 0;
    while (known[i] && strcmp(known[i], name)) i++;
    if (!known[i] && !is_nothing(value))
      return refuse(name, value, "this program does not do that", err);
  }
  return true;
}

static bool must_be(const json_t *config, const char *name, const char *value, dg_error *err) {
  const json_t *j = json_object_get(config, name);
  const char *text = json_string_value(j);
  if (!j || json_is_null(j) || (text && !strcmp(text, value))) return true;
  return refuse(name, j, "this program does not do that", err);
}

static bool flag(const json_t *config, const char *name, bool absent) {
  const json_t *j = json_object_get(config, name);
  return !j || json_is_null(j) ? absent : json_is_true(j);
}

static json_t *load_config(const char *directory, dg_error *err) {
  char *path = dg_format("%s/adapter_config.json", directory);
  json_error_t where;
  json_t *j = json_load_file(path, JSON_REJECT_DUPLICATES, &where);
  if (!json_is_object(j)) {
    dg_fail(err, access(path, F_OK) ? DG_ERR_IO : DG_ERR_FORMAT, "%s: %s", path,
            j ? "no object" : where.text);
    json_decref(j);
    j = NULL;
  }
  free(path);
  return j;
}

/* --- weights -------------------------------------------------------------------------------- */

static bool read_into(dg_checkpoint *c, const char *name, dg_tensor *t, float *out, size_t rows,
                      dg_error *err) {
  const dg_checkpoint_tensor *x = dg_checkpoint_find(c, name);
  if (!x) return dg_fail(err, DG_ERR_FORMAT, "tensor %s is missing", name);
  size_t last = x->dims ? x->shape[x->dims - 1] : 1;
  if (x->count != rows * t->cols || (t->rows > 1 && (x->dims != 2 || last != t->cols)))
    return dg_fail(err, DG_ERR_FORMAT, "tensor %s has %zu numbers in rows of %zu, not %zu x %zu",
                   name, x->count, last, rows, t->cols);
  return dg_checkpoint_read(c, x, 0, x->count, out, err);
}

/* Which layers have something: "all", "none", "0,3". */
static bool list_layers(const bool *has, size_t count, char *out, size_t size) {
  size_t n = 0, used = 0;
  for (size_t i = 0; i < count; i++) n += has[i];
  if (n == 0 || n == count) {
    snprintf(out, size, n ? "all" : "none");
    return true;
  }
  for (size_t i = 0; i < count && used < size; i++) {
    size_t last = i;
    while (has[i] && last + 1 < count && has[last + 1]) last++;
    if (!has[i]) continue;
    const char *comma = used ? "," : "";
    used += (size_t)(last > i ? snprintf(out + used, size - used, "%s%zu-%zu", comma, i, last)
                              : snprintf(out + used, size - used, "%s%zu", comma, i));
    i = last;
  }
  return used < size;
}

/* Sites of the file, as our settings: layers and what they have anywhere. */
typedef struct found {
  bool layers[2][256], sites[SITES];
  size_t tensors; /* that they account for */
} found;

static bool set_layers(dg_adapter_config *config, const layout *l, const found *f, dg_error *err) {
  return (list_layers(f->layers[0], layers_of(l, false), config->encoder_layers,
                      sizeof config->encoder_layers) &&
          list_layers(f->layers[1], layers_of(l, true), config->decoder_layers,
                      sizeof config->decoder_layers)) ||
         dg_fail(err, DG_ERR_UNSUPPORTED, "it is in too many layers that are no neighbours");
}

/* --- PEFT ----------------------------------------------------------------------------------- */

/* Patterns are regular expressions for PEFT; plain ends of names are understood. */
static bool pattern_value(const json_t *config, const char *name, const char *module, double *out,
                          dg_error *err) {
  const char *key;
  json_t *value;
  json_object_foreach(json_object_get(config, name), key, value) {
    if (strpbrk(key, "^$*+?()[]{}|\\"))
      return refuse(name, json_object_get(config, name), "only plain names are understood", err);
    size_t n = strlen(key), m = strlen(module);
    if (n > m || strcmp(module + m - n, key) || (n < m && module[m - n - 1] != '.')) continue;
    *out = json_number_value(value);
    return true;
  }
  return true;
}

static bool check_peft(const json_t *config, dg_error *err) {
  static const char *const known[] = {
      "peft_type", "task_type", "auto_mapping", "base_model_name_or_path", "revision",
      "inference_mode", "r", "target_modules", "exclude_modules", "lora_alpha", "lora_dropout",
      "bias", "use_rslora", "init_lora_weights", "layers_to_transform", "layers_pattern",
      "rank_pattern", "alpha_pattern", "megatron_core", "loftq_config", "qalora_group_size",
      "runtime_config", "peft_version", "eva_config", "corda_config", "ensure_weight_tying", NULL};
  const json_t *start = json_object_get(config, "init_lora_weights");
  const char *way = json_string_value(start);
  if (way && strcasecmp(way, "gaussian") && strcasecmp(way, "eva") && strcasecmp(way, "orthogonal"))
    return refuse("init_lora_weights", start, "it may have changed the base's weights", err);
  return must_be(config, "peft_type", "LORA", err) && must_be(config, "bias", "none", err) &&
         only_known(config, known, err);
}

static void peft_key(const char *module, char which, char *out) {
  snprintf(out, 2 * NAME_MOST, "base_model.model.%s.lora_%c.weight", module, which);
}

static found find_peft(const layout *l, const dg_checkpoint *c, size_t *rank) {
  found f = {.tensors = 0};
  *rank = 0;
  for (int side = 0; side < 2; side++)
    for (size_t layer = 0; layer < layers_of(l, side); layer++)
      for (size_t site = 0; site < PROJECTIONS; site++) {
        if (!exists(l, side, site)) continue;
        char ours[NAME_MOST], module[NAME_MOST], key[2 * NAME_MOST];
        name_site(l, side, layer, site, ours, module);
        peft_key(module, 'A', key);
        const dg_checkpoint_tensor *a = dg_checkpoint_find(c, key);
        if (!a) continue;
        f.layers[side][layer] = f.sites[site] = true;
        f.tensors += 2;
        if (a->dims && a->shape[0] > *rank) *rank = a->shape[0];
      }
  return f;
}

/* A module's own rank and scale in terms of the adapter's: rows of zeros, and in B. */
static bool read_module(const layout *l, const json_t *config, dg_checkpoint *c, dg_adapter *a,
                        bool decoder, size_t layer, size_t site, dg_error *err) {
  char ours[NAME_MOST], module[NAME_MOST], key[2 * NAME_MOST];
  char name[NAME_MOST + 16];
  name_site(l, decoder, layer, site, ours, module);
  peft_key(module, 'A', key);
  const dg_checkpoint_tensor *x = dg_checkpoint_find(c, key);
  if (!x) return true; /* of another layer only: B stays zero */
  size_t rank = x->dims ? x->shape[0] : 0, most = (size_t)a->config.rank;
  if (!rank) return dg_fail(err, DG_ERR_FORMAT, "tensor %s has no rows", key);
  snprintf(name, sizeof name, "%s.lora_a.weight", ours);
  dg_tensor *down = dg_params_find(&a->params, name);
  snprintf(name, sizeof name, "%s.lora_b.weight", ours);
  dg_tensor *up = dg_params_find(&a->params, name);
  memset(down->value, 0, down->rows * down->cols * sizeof(float));
  if (!read_into(c, key, down, down->value, rank, err)) return false;
  peft_key(module, 'B', key);
  dg_tensor narrow = {.rows = up->rows, .cols = rank};
  float *b = dg_alloc_checked(up->rows * rank, sizeof *b, err);
  bool ok = b && read_into(c, key, &narrow, b, up->rows, err);
  double alpha = json_number_value(json_object_get(config, "lora_alpha"));
  ok = ok && pattern_value(config, "alpha_pattern", module, &alpha, err);
  if (ok) {
    bool root = a->config.rslora;
    double own = alpha / (root ? sqrt((double)rank) : (double)rank);
    double all = a->config.alpha / (root ? sqrt((double)most) : (double)most);
    bool same = rank == most && alpha == a->config.alpha;
    for (size_t r = 0; r < up->rows; r++)
      for (size_t k = 0; k < rank; k++)
        up->value[r * most + k] = same ? b[r * rank + k]
                                       : (float)((double)b[r * rank + k] * own / all);
  }
  free(b);
  return ok;
}

static dg_adapter *read_peft(const layout *l, const json_t *config, dg_checkpoint *c,
                             dg_error *err) {
  if (!check_peft(config, err)) return NULL;
  dg_adapter_config ours;
  dg_options_defaults(dg_adapter_config_options, &ours);
  size_t rank;
  found f = find_peft(l, c, &rank);
  for (size_t i = 0; i < dg_checkpoint_count(c); i++) {
    const char *name = dg_checkpoint_at(c, i)->name;
    if (dg_ends_with(name, ".lora_A.weight") || dg_ends_with(name, ".lora_B.weight")) continue;
    dg_fail(err, DG_ERR_UNSUPPORTED, "tensor %s is no LoRA matrix: this program does not do that",
            name);
    return NULL;
  }
  if (!f.tensors || f.tensors != dg_checkpoint_count(c)) {
    dg_fail(err, DG_ERR_UNSUPPORTED,
            "%zu of its %zu matrices belong to projections in the base's layers: others cannot "
            "have LoRA here (or it is of another model)",
            f.tensors, dg_checkpoint_count(c));
    return NULL;
  }
  const json_t *alpha = json_object_get(config, "lora_alpha");
  if (rank > 65536) {
    dg_fail(err, DG_ERR_UNSUPPORTED, "a rank of %zu is no low rank", rank);
    return NULL;
  }
  if (!json_is_number(alpha) || json_number_value(alpha) <= 0) {
    refuse("lora_alpha", alpha, "no scale of anything", err);
    return NULL;
  }
  strcpy(ours.method, "lora");
  ours.rank = (int)rank;
  ours.alpha = json_number_value(alpha);
  ours.rslora = flag(config, "use_rslora", false);
  if (!set_layers(&ours, l, &f, err)) return NULL;
  size_t used = 0;
  for (size_t i = 0; i < PROJECTIONS; i++)
    if (f.sites[i])
      used += (size_t)snprintf(ours.projections + used, sizeof ours.projections - used, "%s%s.%s",
                               used ? "," : "", sites[i].sublayer, sites[i].name);
  dg_adapter *a = dg_adapter_new(l->model, &ours, 0, err);
  if (!a) return NULL;
  dg_adapter_initialize(a, 1);
  bool ok = true;
  for (int side = 0; side < 2; side++)
    for (size_t layer = 0; layer < layers_of(l, side); layer++)
      for (size_t site = 0; site < PROJECTIONS && f.layers[side][layer]; site++)
        if (ok && f.sites[site] && exists(l, side, site))
          ok = read_module(l, config, c, a, side, layer, site, err);
  if (ok) return a;
  dg_adapter_free(a);
  return NULL;
}

static json_t *number(double x) {
  return x == floor(x) && fabs(x) < 1e9 ? json_integer((json_int_t)x) : json_real(x);
}

static json_t *peft_config(const layout *l, const dg_adapter *a, const char *base_name,
                           dg_st_writer *w) {
  json_t *modules = json_array();
  for (int side = 0; side < 2; side++)
    for (size_t layer = 0; layer < layers_of(l, side); layer++)
      for (size_t site = 0; site < PROJECTIONS; site++) {
        char ours[NAME_MOST], module[NAME_MOST], key[2 * NAME_MOST], name[NAME_MOST + 16];
        if (!exists(l, side, site)) continue;
        name_site(l, side, layer, site, ours, module);
        for (int up = 0; up < 2; up++) {
          snprintf(name, sizeof name, "%s.lora_%c.weight", ours, up ? 'b' : 'a');
          const dg_tensor *t = dg_params_find(&a->params, name);
          if (!t) break;
          peft_key(module, up ? 'B' : 'A', key);
          dg_st_writer_add(w, key, DG_F32, 2, (size_t[]){t->rows, t->cols}, t->value);
          if (up) json_array_append_new(modules, json_string(module));
        }
      }
  return json_pack(
      "{s:s,s:s,s:s,s:b,s:i,s:o,s:f,s:o,s:s,s:b,s:b,s:b}", "peft_type", "LORA", "task_type",
      "SEQ_2_SEQ_LM", "base_model_name_or_path", base_name, "inference_mode", 1, "r",
      a->config.rank, "lora_alpha", number(a->config.alpha), "lora_dropout", 0.0, "target_modules",
      modules, "bias", "none", "use_rslora", a->config.rslora, "fan_in_fan_out", 0, "use_dora", 0);
}

/* --- AdapterHub ----------------------------------------------------------------------------- */

static const struct {
  const char *hub;
  dg_activation ours;
} activations[] = {{"relu", DG_RELU},          {"gelu", DG_GELU}, {"gelu_new", DG_GELU_TANH},
                   {"gelu_pytorch_tanh", DG_GELU_TANH}, {"swish", DG_SILU}, {"silu", DG_SILU}};

/* What of its many switches we have: three placements. */
static bool read_hub_config(const layout *l, const json_t *config, dg_adapter_config *ours,
                            dg_error *err) {
  static const char *const known[] = {
      "mh_adapter", "output_adapter", "cross_adapter", "reduction_factor", "non_linearity",
      "original_ln_before", "original_ln_after", "ln_before", "init_weights", "init_weights_seed",
      "is_parallel", "scaling", "residual_before_ln", "adapter_residual_before_ln", "leave_out",
      "dropout", "architecture", "phm_dim", "factorized_phm_W", "shared_W_phm", "shared_phm_rule",
      "factorized_phm_rule", "phm_c_init", "phm_init_range", "learn_phm",
      "hypercomplex_nonlinearity", "phm_rank", "phm_bias", "inv_adapter_reduction_factor",
      "stochastic_depth", NULL};
  if (!only_known(config, known, err)) return false;
  bool parallel = flag(config, "is_parallel", false);
  bool before = flag(config, "original_ln_before", false);
  bool after = flag(config, "original_ln_after", true);
  const json_t *residual = json_object_get(config, "residual_before_ln");
  if (json_is_string(residual))
    return refuse("residual_before_ln", residual, "this program does not do that", err);
  bool own = !residual || json_is_true(residual);
  strcpy(ours->method, "bottleneck");
  ours->placement = parallel ? DG_PLACE_PARALLEL : before ? DG_PLACE_LAYER : DG_PLACE_SUBLAYER;
  /* After a layer: its sum, and before a norm the two ways to say so are one. */
  bool summed = own ? after && l->model->pre_norm : !after;
  if (ours->placement == DG_PLACE_LAYER ? !summed : !after || (!parallel && !own))
    return refuse("original_ln_after", json_object_get(config, "original_ln_after"),
                  "no placement of this program adds what it does so", err);
  if (ours->placement == DG_PLACE_LAYER &&
      (flag(config, "mh_adapter", false) || flag(config, "cross_adapter", false) ||
       !flag(config, "output_adapter", true)))
    return refuse("mh_adapter", json_object_get(config, "mh_adapter"),
                  "after attention this program has adapters before the residual sum only", err);
  snprintf(ours->sublayers, sizeof ours->sublayers, "%s%s%s",
           flag(config, "mh_adapter", false) ? "self," : "",
           flag(config, "cross_adapter", false) ? "cross," : "",
           flag(config, "output_adapter", true) ? "ffn," : "");
  size_t n = strlen(ours->sublayers);
  if (!n) return refuse("output_adapter", json_false(), "then there is nothing", err);
  ours->sublayers[n - 1] = 0;
  const json_t *scale = json_object_get(config, "scaling");
  if (scale && !json_is_number(scale)) return refuse("scaling", scale, "no number", err);
  ours->scale = scale ? json_number_value(scale) : 1;
  if (!(ours->scale > 0)) return refuse("scaling", scale, "no scale of anything", err);
  ours->norm = flag(config, "ln_before", false) ? 1 : 2;
  const json_t *activation = json_object_get(config, "non_linearity");
  const char *name = json_string_value(activation);
  for (size_t i = 0; i < sizeof activations / sizeof *activations; i++)
    if (name && !strcmp(name, activations[i].hub)) {
      ours->activation = activations[i].ours;
      return true;
    }
  return refuse("non_linearity", activation, "this program does not have it", err);
}

/* KEY.NAME.adapter_down.0.weight and so on for one of our tensors. */
static const char *const hub_parts[][2] = {
    {"norm.gain", "adapter_down.0.weight"}, {"norm.bias", "adapter_down.0.bias"},
    {"down.weight", "adapter_down.%d.weight"}, {"down.bias", "adapter_down.%d.bias"},
    {"up.weight", "adapter_up.weight"},     {"up.bias", "adapter_up.bias"},
    {"norm.gain", "adapter_norm_before.weight"}, {"norm.bias", "adapter_norm_before.bias"}};
enum { HUB_PARTS = sizeof hub_parts / sizeof *hub_parts };

static void hub_key(const char *module, const char *adapter, size_t part, bool norm, char *out) {
  char name[40];
  snprintf(name, sizeof name, part == 3 ? "adapter_down.%d.bias" : "adapter_down.%d.weight", norm);
  snprintf(out, 2 * NAME_MOST, "%s.%s.%s", module, adapter,
           part == 2 || part == 3 ? name : hub_parts[part][1]);
}

/* Our tensor of that part, or NULL when it has none. */
static dg_tensor *hub_tensor(const dg_adapter *a, const char *ours, size_t part) {
  char name[2 * NAME_MOST];
  bool layer = a->config.placement == DG_PLACE_LAYER; /* its name ends with the layer's number */
  size_t n = layer ? (size_t)(strrchr(ours, '.') - ours) : strlen(ours);
  snprintf(name, sizeof name, "%.*s%s.%s", (int)n, ours, layer ? "" : ".adapter",
           hub_parts[part][0]);
  return dg_params_find(&a->params, name);
}

static found find_hub(const layout *l, const dg_checkpoint *c, const char *adapter, bool norm,
                      size_t *width) {
  found f = {.tensors = 0};
  *width = 0;
  for (int side = 0; side < 2; side++)
    for (size_t layer = 0; layer < layers_of(l, side); layer++)
      for (size_t site = PROJECTIONS; site < SITES; site++) {
        if (!exists(l, side, site)) continue;
        char ours[NAME_MOST], module[NAME_MOST], key[2 * NAME_MOST];
        name_site(l, side, layer, site, ours, module);
        hub_key(module, adapter, 2, norm, key);
        const dg_checkpoint_tensor *down = dg_checkpoint_find(c, key);
        if (!down) continue;
        f.layers[side][layer] = f.sites[site] = true;
        f.tensors += norm ? 8 : 4;
        if (down->dims) *width = down->shape[0];
      }
  return f;
}

static dg_adapter *read_hub(const layout *l, const json_t *whole, dg_checkpoint *c,
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
  if (!read_hub_config(l, config, &ours, err)) return NULL;
  size_t width;
  found f = find_hub(l, c, name, ours.norm == 1, &width);
  if (!f.tensors || f.tensors != dg_checkpoint_count(c) || width > 65536) {
    dg_fail(err, DG_ERR_UNSUPPORTED,
            "%zu of its %zu tensors belong to bottlenecks in the base's layers: this program has "
            "no place for others (or it is of another model)",
            f.tensors, dg_checkpoint_count(c));
    return NULL;
  }
  ours.width = (int)width;
  if (!set_layers(&ours, l, &f, err)) return NULL;
  dg_adapter *a = dg_adapter_new(l->model, &ours, 0, err);
  bool ok = a != NULL;
  for (int side = 0; side < 2; side++)
    for (size_t layer = 0; layer < layers_of(l, side); layer++)
      for (size_t site = PROJECTIONS; site < SITES && f.layers[side][layer]; site++)
        for (size_t part = 0; ok && part < 6; part++) {
          char at[NAME_MOST], module[NAME_MOST], key[2 * NAME_MOST];
          if (!f.sites[site] || !exists(l, side, site)) continue;
          name_site(l, side, layer, site, at, module);
          dg_tensor *t = hub_tensor(a, at, part);
          if (!t) continue; /* no norm */
          hub_key(module, name, part, ours.norm == 1, key);
          ok = read_into(c, key, t, t->value, t->rows, err);
        }
  if (ok) return a;
  dg_adapter_free(a);
  return NULL;
}

static bool has_norm(const dg_adapter_config *c) {
  return c->norm == 1 || (c->norm == 0 && c->placement != DG_PLACE_SUBLAYER);
}

static json_t *hub_config(const layout *l, const dg_adapter *a, const char *base_name,
                          dg_st_writer *w) {
  static const char *const classes[] = {"M2M100ForConditionalGeneration",
                                        "MBartForConditionalGeneration", "MarianMTModel",
                                        "T5ForConditionalGeneration"};
  const dg_adapter_config *c = &a->config;
  bool norm = has_norm(c), used[SITES] = {false}, layer_place = c->placement == DG_PLACE_LAYER;
  json_t *leave_out = json_array();
  size_t number_of_layer = 0;
  for (int side = 0; side < 2; side++)
    for (size_t layer = 0; layer < layers_of(l, side); layer++, number_of_layer++) {
      bool any = false;
      for (size_t site = layer_place ? SITES - 1 : PROJECTIONS; site < SITES; site++)
        for (size_t part = 0; part < HUB_PARTS; part++) {
          char ours[NAME_MOST], module[NAME_MOST], key[2 * NAME_MOST];
          if (!exists(l, side, site)) continue;
          name_site(l, side, layer, site, ours, module);
          const dg_tensor *t = hub_tensor(a, ours, part);
          if (!t) continue;
          any = used[site] = true;
          hub_key(module, "dragoman", part, norm, key);
          bool vector = t->rows == 1 && part != 2 && part != 4;
          dg_st_writer_add(w, key, DG_F32, vector ? 1 : 2,
                           vector ? (size_t[]){t->cols, 0} : (size_t[]){t->rows, t->cols},
                           t->value);
        }
      if (!any) json_array_append_new(leave_out, json_integer((json_int_t)number_of_layer));
    }
  size_t i = 0;
  while (activations[i].ours != c->activation) i++;
  /* AdapterHub divides the width by this and rounds down. */
  double factor = a->d_model % (size_t)c->width == 0 ? (double)(a->d_model / (size_t)c->width)
                                                     : (double)a->d_model / (c->width + 0.5);
  double scale = c->scale > 0 ? c->scale : c->placement == DG_PLACE_PARALLEL ? 4 : 1;
  json_t *config = json_pack(
      "{s:b,s:b,s:b,s:o,s:s,s:b,s:b,s:b,s:b,s:b,s:b,s:b,s:f,s:o,s:f,s:s,s:n,s:b,s:b}",
      "mh_adapter", used[PROJECTIONS], "cross_adapter", used[PROJECTIONS + 1], "output_adapter",
      used[PROJECTIONS + 2], "reduction_factor", number(factor), "non_linearity",
      activations[i].hub, "original_ln_before", layer_place, "original_ln_after", !layer_place,
      "residual_before_ln", !layer_place, "adapter_residual_before_ln", 0, "ln_before", norm,
      "ln_after", 0, "is_parallel", c->placement == DG_PLACE_PARALLEL, "scaling", scale,
      "leave_out", leave_out, "dropout", 0.0, "init_weights", "bert", "inv_adapter", "use_gating",
      0, "phm_layer", 0);
  return json_pack("{s:o,s:n,s:I,s:s,s:s,s:s,s:s,s:s}", "config", config, "config_id",
                   "hidden_size", (json_int_t)a->d_model, "model_class", classes[l->family],
                   "model_name", base_name, "model_type", dg_family_name(l->family), "name",
                   "dragoman",
                   "version", "adapters.1.3.0");
}

/* --- directories ---------------------------------------------------------------------------- */

dg_adapter *dg_exchange_read(const char *directory, dg_family family,
                             const dg_model_config *model, dg_error *err) {
  layout l = {family, model};
  json_t *config = load_config(directory, err);
  dg_checkpoint *c = config ? dg_checkpoint_open_adapter(directory, err) : NULL;
  dg_adapter *a = NULL;
  if (c) {
    bool peft = json_object_get(config, "peft_type");
    a = peft ? read_peft(&l, config, c, err) : read_hub(&l, config, c, err);
    for (size_t i = 0; a && i < a->params.total; i++)
      if (!isfinite(a->params.values[i])) {
        dg_fail(err, DG_ERR_FORMAT, "its weights hold a NaN or infinity");
        dg_adapter_free(a);
        a = NULL;
      }
    if (!a) dg_error_context(err, "%s", directory);
  }
  dg_checkpoint_close(c);
  json_decref(config);
  return a;
}

static bool write_json(const char *path, const json_t *j, dg_error *err) {
  char *json = json_dumps(j, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
  char *text = dg_format("%s\n", json);
  bool ok = dg_output_whole(path, text, strlen(text), err);
  free(text);
  free(json);
  return ok;
}

bool dg_exchange_write(const dg_adapter *a, dg_family family, dg_exchange layout_of,
                       const char *base_name, const char *path, dg_error *err) {
  layout l = {family, &a->model};
  bool peft = layout_of == DG_EXCHANGE_PEFT;
  const char *wanted = peft ? "lora" : "bottleneck";
  if (strcmp(a->config.method, wanted))
    return dg_fail(err, DG_ERR_UNSUPPORTED,
                   "the adapter's method is %s, and %s has a place for %s alone", a->config.method,
                   peft ? "PEFT" : "AdapterHub", wanted);
  if (a->config.new_pieces)
    return dg_fail(err, DG_ERR_UNSUPPORTED,
                   "the adapter has %d new pieces, which %s has no place for",
                   a->config.new_pieces, peft ? "PEFT" : "AdapterHub");
  if (a->config.embeddings)
    return dg_fail(err, DG_ERR_UNSUPPORTED,
                   "the adapter changes %d embeddings of the base, which %s has no place for",
                   a->config.embeddings, peft ? "PEFT" : "AdapterHub");
  if (a->extra_tokens)
    return dg_fail(err, DG_ERR_UNSUPPORTED,
                   "the adapter has %zu tokens of its own (a new language's tag), which %s has no "
                   "place for",
                   a->extra_tokens, peft ? "PEFT" : "AdapterHub");
  if (!access(path, F_OK))
    return dg_fail(err, DG_ERR_USAGE, "%s exists already: name a new directory", path);
  char *directory = dg_strdup(path);
  for (size_t n = strlen(directory); n > 1 && directory[n - 1] == '/'; n--) directory[n - 1] = 0;
  char *making = dg_format("%s.tmp-%ld", directory, (long)getpid());
  char *weights =
      dg_format("%s/%s", making, peft ? "adapter_model.safetensors" : "adapter.safetensors");
  char *settings = dg_format("%s/adapter_config.json", making);
  dg_st_writer *w = dg_st_writer_new();
  dg_st_writer_metadata(w, "format", "pt");
  char *base = dg_utf8_repair(base_name);
  json_t *config = peft ? peft_config(&l, a, base, w) : hub_config(&l, a, base, w);
  free(base);
  bool ok = !mkdir(making, 0777) || dg_fail_errno(err, "%s", making);
  ok = ok && dg_st_writer_write(w, weights, NULL, err) && write_json(settings, config, err);
  ok = ok && (!rename(making, directory) || dg_fail_errno(err, "%s", directory));
  if (!ok) {
    unlink(weights);
    unlink(settings);
    rmdir(making);
  }
  dg_st_writer_free(w);
  json_decref(config);
  free(directory);
  free(making);
  free(weights);
  free(settings);
  return ok;
}
