#include "mt/import/exchange_sites.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- places --------------------------------------------------------------------------------- */

static const char *const projections[DG_PROJECTIONS] = {
    "self.q",  "self.k",    "self.v", "self.out", "cross.q", "cross.k",
    "cross.v", "cross.out", "ffn.in", "ffn.gate", "ffn.out"};

static const struct {
  const char *ours, *hub;
} sublayers[DG_SUBLAYERS] = {{"self", "attention_adapters"},
                             {"cross", "cross_attention_adapters"},
                             {"ffn", "output_adapters"}};

const char *dg_site_projection(size_t place) { return projections[place]; }

static size_t layers_of(const dg_site_model *m, bool decoder) {
  return (size_t)(decoder ? m->config->decoder_layers : m->config->encoder_layers);
}

static const char *place_name(const dg_site *s) {
  return s->sublayers ? sublayers[s->place].ours : projections[s->place];
}

static bool exists(const dg_site *s) {
  const char *name = place_name(s);
  if (!s->decoder && !strncmp(name, "cross", 5)) return false;
  return s->model->config->gated_ffn || strcmp(name, "ffn.gate") != 0;
}

static void name_site(dg_site *s) {
  const dg_site_model *m = s->model;
  const char *side = s->decoder ? "decoder" : "encoder";
  snprintf(s->ours, sizeof s->ours, "%s.layers.%zu.%s", side, s->layer, place_name(s));
  if (!s->sublayers) {
    dg_family_module(m->family, m->config->gated_ffn, s->ours, s->module, sizeof s->module);
    return;
  }
  if (m->family != DG_FAMILY_T5) {
    snprintf(s->module, sizeof s->module, "model.%s.layers.%zu.%s.adapters", side, s->layer,
             sublayers[s->place].hub);
    return;
  }
  size_t number = s->place; /* T5 numbers them, the encoder without the second */
  if (!s->decoder && number == 2) number = 1;
  snprintf(s->module, sizeof s->module, "%s.block.%zu.layer.%zu.adapters", side, s->layer, number);
}

/* Whether it then still is in the model. */
static bool advance(dg_site *s) {
  if (s->begun && ++s->place == (s->sublayers ? DG_SUBLAYERS : DG_PROJECTIONS))
    s->place = 0, s->layer++;
  s->begun = true;
  if (s->layer < layers_of(s->model, s->decoder)) return true;
  if (s->decoder) return false;
  s->decoder = true;
  s->layer = 0;
  return layers_of(s->model, true) > 0;
}

bool dg_site_next(dg_site *s) {
  do
    if (!advance(s)) return false;
  while (!exists(s));
  name_site(s);
  return true;
}

void dg_site_found(dg_sites_found *f, const dg_site *s, size_t tensors) {
  f->layers[s->decoder][s->layer] = f->places[s->place] = true;
  f->tensors += tensors;
}

bool dg_site_wanted(const dg_sites_found *f, const dg_site *s) {
  return f->layers[s->decoder][s->layer] && f->places[s->place];
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

bool dg_sites_layers(const dg_sites_found *f, const dg_site_model *m, dg_adapter_config *out,
                     dg_error *err) {
  return (list_layers(f->layers[0], layers_of(m, false), out->encoder_layers,
                      sizeof out->encoder_layers) &&
          list_layers(f->layers[1], layers_of(m, true), out->decoder_layers,
                      sizeof out->decoder_layers)) ||
         dg_fail(err, DG_ERR_UNSUPPORTED, "it is in too many layers that are no neighbours");
}

/* --- settings and weights ------------------------------------------------------------------- */

bool dg_exchange_refuse(const char *name, const json_t *value, const char *why, dg_error *err) {
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

bool dg_exchange_known(const json_t *config, const char *const *known, dg_error *err) {
  const char *name;
  json_t *value;
  json_object_foreach((json_t *)config, name, value) {
    size_t i = 0;
    while (known[i] && strcmp(known[i], name)) i++;
    if (!known[i] && !is_nothing(value))
      return dg_exchange_refuse(name, value, "this program does not do that", err);
  }
  return true;
}

bool dg_exchange_flag(const json_t *config, const char *name, bool absent) {
  const json_t *j = json_object_get(config, name);
  return !j || json_is_null(j) ? absent : json_is_true(j);
}

bool dg_exchange_rows(dg_checkpoint *c, const char *name, const dg_tensor *t, float *out,
                      size_t rows, dg_error *err) {
  const dg_checkpoint_tensor *x = dg_checkpoint_find(c, name);
  if (!x) return dg_fail(err, DG_ERR_FORMAT, "tensor %s is missing", name);
  size_t last = x->dims ? x->shape[x->dims - 1] : 1;
  if (x->count != rows * t->cols || (t->rows > 1 && (x->dims != 2 || last != t->cols)))
    return dg_fail(err, DG_ERR_FORMAT, "tensor %s has %zu numbers in rows of %zu, not %zu x %zu",
                   name, x->count, last, rows, t->cols);
  return dg_checkpoint_read(c, x, 0, x->count, out, err);
}

json_t *dg_exchange_number(double x) {
  return x == floor(x) && fabs(x) < 1e9 ? json_integer((json_int_t)x) : json_real(x);
}
