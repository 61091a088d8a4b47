/* LoRA as PEFT has it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mt/core/mem.h"
#include "mt/import/exchange_sites.h"

enum { KEY = 2 * DG_SITE_NAME, OURS = DG_SITE_NAME + 16 };

static bool must_be(const json_t *config, const char *name, const char *value, dg_error *err) {
  const json_t *j = json_object_get(config, name);
  const char *text = json_string_value(j);
  if (!j || json_is_null(j) || (text && !strcmp(text, value))) return true;
  return dg_exchange_refuse(name, j, "this program does not do that", err);
}

/* Patterns are regular expressions for PEFT; plain ends of names are understood. */
static bool pattern_value(const json_t *config, const char *name, const char *module, double *out,
                          dg_error *err) {
  const char *key;
  json_t *value;
  json_object_foreach(json_object_get(config, name), key, value) {
    if (strpbrk(key, "^$*+?()[]{}|\\"))
      return dg_exchange_refuse(name, json_object_get(config, name),
                                "only plain names are understood", err);
    size_t n = strlen(key), m = strlen(module);
    if (n > m || strcmp(module + m - n, key) || (n < m && module[m - n - 1] != '.')) continue;
    *out = json_number_value(value);
    return true;
  }
  return true;
}

static bool check(const json_t *config, dg_error *err) {
  static const char *const known[] = {
      "peft_type", "task_type", "auto_mapping", "base_model_name_or_path", "revision",
      "inference_mode", "r", "target_modules", "exclude_modules", "lora_alpha", "lora_dropout",
      "bias", "use_rslora", "init_lora_weights", "layers_to_transform", "layers_pattern",
      "rank_pattern", "alpha_pattern", "megatron_core", "loftq_config", "qalora_group_size",
      "runtime_config", "peft_version", "eva_config", "corda_config", "ensure_weight_tying", NULL};
  const json_t *start = json_object_get(config, "init_lora_weights");
  const char *way = json_string_value(start);
  if (way && strcasecmp(way, "gaussian") && strcasecmp(way, "eva") && strcasecmp(way, "orthogonal"))
    return dg_exchange_refuse("init_lora_weights", start, "it may have changed the base's weights",
                              err);
  return must_be(config, "peft_type", "LORA", err) && must_be(config, "bias", "none", err) &&
         dg_exchange_known(config, known, err);
}

static void name_key(const char *module, char which, char out[KEY]) {
  snprintf(out, KEY, "base_model.model.%s.lora_%c.weight", module, which);
}

static dg_sites_found find(const dg_site_model *m, const dg_checkpoint *c, size_t *rank) {
  dg_sites_found f = {.tensors = 0};
  *rank = 0;
  for (dg_site s = {.model = m}; dg_site_next(&s);) {
    char key[KEY];
    name_key(s.module, 'A', key);
    const dg_checkpoint_tensor *a = dg_checkpoint_find(c, key);
    if (!a) continue;
    dg_site_found(&f, &s, 2);
    if (a->dims && a->shape[0] > *rank) *rank = a->shape[0];
  }
  return f;
}

/* A module's own rank and scale in terms of the adapter's: rows of zeros, and in B. */
static bool read_module(const dg_site *s, const json_t *config, dg_checkpoint *c, dg_adapter *a,
                        dg_error *err) {
  char key[KEY], name[OURS];
  name_key(s->module, 'A', key);
  const dg_checkpoint_tensor *x = dg_checkpoint_find(c, key);
  if (!x) return true; /* of another layer only: B stays zero */
  size_t rank = x->dims ? x->shape[0] : 0, most = (size_t)a->config.rank;
  if (!rank) return dg_fail(err, DG_ERR_FORMAT, "tensor %s has no rows", key);
  snprintf(name, sizeof name, "%s.lora_a.weight", s->ours);
  dg_tensor *down = dg_params_find(&a->params, name);
  snprintf(name, sizeof name, "%s.lora_b.weight", s->ours);
  dg_tensor *up = dg_params_find(&a->params, name);
  memset(down->value, 0, down->rows * down->cols * sizeof(float));
  if (!dg_exchange_rows(c, key, down, down->value, rank, err)) return false;
  name_key(s->module, 'B', key);
  dg_tensor narrow = {.rows = up->rows, .cols = rank};
  float *b = dg_alloc_checked(up->rows * rank, sizeof *b, err);
  bool ok = b && dg_exchange_rows(c, key, &narrow, b, up->rows, err);
  double alpha = json_number_value(json_object_get(config, "lora_alpha"));
  ok = ok && pattern_value(config, "alpha_pattern", s->module, &alpha, err);
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

dg_adapter *dg_peft_read(const dg_site_model *m, const json_t *config, dg_checkpoint *c,
                         dg_error *err) {
  if (!check(config, err)) return NULL;
  dg_adapter_config ours;
  dg_options_defaults(dg_adapter_config_options, &ours);
  size_t rank;
  dg_sites_found f = find(m, c, &rank);
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
    dg_exchange_refuse("lora_alpha", alpha, "no scale of anything", err);
    return NULL;
  }
  strcpy(ours.method, "lora");
  ours.rank = (int)rank;
  ours.alpha = json_number_value(alpha);
  ours.rslora = dg_exchange_flag(config, "use_rslora", false);
  if (!dg_sites_layers(&f, m, &ours, err)) return NULL;
  size_t used = 0;
  for (size_t i = 0; i < DG_PROJECTIONS; i++)
    if (f.places[i])
      used += (size_t)snprintf(ours.projections + used, sizeof ours.projections - used, "%s%s",
                               used ? "," : "", dg_site_projection(i));
  dg_adapter *a = dg_adapter_new(m->config, &ours, 0, err);
  if (!a) return NULL;
  dg_adapter_initialize(a, 1);
  bool ok = true;
  for (dg_site s = {.model = m}; ok && dg_site_next(&s);)
    if (dg_site_wanted(&f, &s)) ok = read_module(&s, config, c, a, err);
  if (ok) return a;
  dg_adapter_free(a);
  return NULL;
}

json_t *dg_peft_write(const dg_site_model *m, const dg_adapter *a, const char *base_name,
                      dg_st_writer *w) {
  json_t *modules = json_array();
  for (dg_site s = {.model = m}; dg_site_next(&s);)
    for (int up = 0; up < 2; up++) {
      char key[KEY], name[OURS];
      snprintf(name, sizeof name, "%s.lora_%c.weight", s.ours, up ? 'b' : 'a');
      const dg_tensor *t = dg_params_find(&a->params, name);
      if (!t) break;
      name_key(s.module, up ? 'B' : 'A', key);
      dg_st_writer_add(w, key, DG_F32, 2, (size_t[]){t->rows, t->cols}, t->value);
      if (up) json_array_append_new(modules, json_string(s.module));
    }
  return json_pack(
      "{s:s,s:s,s:s,s:b,s:i,s:o,s:f,s:o,s:s,s:b,s:b,s:b}", "peft_type", "LORA", "task_type",
      "SEQ_2_SEQ_LM", "base_model_name_or_path", base_name, "inference_mode", 1, "r",
      a->config.rank, "lora_alpha", dg_exchange_number(a->config.alpha), "lora_dropout", 0.0,
      "target_modules",
      modules, "bias", "none", "use_rslora", a->config.rslora, "fan_in_fan_out", 0, "use_dora", 0);
}
