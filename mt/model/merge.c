#include "mt/model/merge.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "mt/core/mem.h"

/* Whether all that `a` declares is so in `b`, which may declare more. */
static bool same_settings(const dg_adapter_file *a, const dg_adapter_file *b, const char *a_name,
                          const char *b_name, dg_error *err) {
  json_t *x = dg_adapter_config_json(&a->adapter->config);
  json_t *y = dg_adapter_config_json(&b->adapter->config);
  const char *key;
  json_t *value;
  bool ok = true;
  json_object_foreach(x, key, value) {
    const json_t *other = json_object_get(y, key);
    if (ok && !json_equal(value, other))
      ok = dg_fail(err, DG_ERR_USAGE, "%s has %s %s, and %s %s: only alike ones have a mean",
                   a_name, key, json_string_value(value), b_name,
                   other ? json_string_value(other) : "none");
  }
  json_decref(x);
  json_decref(y);
  return ok;
}

static bool same_kind(const dg_adapter_file *a, const dg_adapter_file *b, const char *const *names,
                      size_t i, dg_error *err) {
  bool ok = same_settings(a, b, names[0], names[i], err) &&
            same_settings(b, a, names[i], names[0], err);
  if (ok && !dg_new_pieces_equal(&a->pieces, &b->pieces))
    ok = dg_fail(err, DG_ERR_USAGE,
                 "%s and %s have different new pieces: only alike ones have a mean (train one "
                 "with --init of the other)",
                 names[0], names[i]);
  const int32_t *changed[] = {a->adapter->changes.ids, b->adapter->changes.ids};
  size_t changes = ok ? (size_t)a->adapter->config.embeddings : 0;
  if (changes && memcmp(changed[0], changed[1], changes * sizeof **changed))
    ok = dg_fail(err, DG_ERR_USAGE,
                 "%s and %s change embeddings of different pieces: only alike ones have a mean "
                 "(train one with --init of the other)",
                 names[0], names[i]);
  if (ok && (a->over_count != b->over_count || memcmp(a->over, b->over, sizeof a->over)))
    ok = dg_fail(err, DG_ERR_USAGE, "%s and %s were trained on top of different adapters",
                 names[0], names[i]);
  return ok;
}

static void add_languages(dg_adapter_file *to, const dg_adapter_file *from) {
  for (size_t i = 0; i < from->language_count; i++) {
    size_t k = 0;
    while (k < to->language_count && strcmp(to->languages[k].code, from->languages[i].code)) k++;
    if (k < to->language_count) continue;
    to->languages = dg_realloc(to->languages, (k + 1) * sizeof *to->languages);
    to->languages[k] = from->languages[i];
    to->languages[to->language_count++].tag = dg_first_tag(&from->adapter->model) + (int32_t)k;
  }
}

static void add_scaled(float *to, const float *from, size_t n, double weight) {
  for (size_t i = 0; i < n; i++) to[i] += (float)(weight * (double)from[i]);
}

static void average_tags(dg_adapter_file *to, const dg_adapter_file *const *files,
                         const double *weights, size_t count) {
  dg_tensor *extra = dg_params_find(&to->adapter->params, "extra");
  for (size_t l = 0; l < to->language_count; l++) {
    float *row = extra->value + l * extra->cols;
    double sum = 0;
    for (size_t i = 0; i < count; i++)
      for (size_t k = 0; k < files[i]->language_count; k++)
        if (!strcmp(files[i]->languages[k].code, to->languages[l].code)) {
          add_scaled(row, files[i]->adapter->extra + k * extra->cols, extra->cols, weights[i]);
          sum += weights[i];
        }
    for (size_t c = 0; c < extra->cols && sum != 0; c++) row[c] = (float)(row[c] / sum);
  }
}

dg_adapter_file *dg_adapter_merge(const dg_adapter_file *const *files, const char *const *names,
                                  const double *weights, size_t count, dg_error *err) {
  double sum = 0;
  for (size_t i = 0; i < count; i++) sum += weights[i];
  if (!(fabs(sum) > 1e-9)) {
    dg_fail(err, DG_ERR_USAGE, "the weights add up to nothing");
    return NULL;
  }
  dg_adapter_file *to = dg_calloc(1, sizeof *to);
  memcpy(to->base_hash, files[0]->base_hash, sizeof to->base_hash);
  memcpy(to->over, files[0]->over, sizeof to->over);
  to->over_count = files[0]->over_count;
  dg_new_pieces_add(&to->pieces, &files[0]->pieces);
  json_t *parts = json_array();
  bool ok = true;
  for (size_t i = 0; ok && i < count; i++) {
    ok = same_kind(files[0], files[i], names, i, err);
    add_languages(to, files[i]);
    for (size_t k = 0; k < files[i]->pieces.language_count; k++)
      dg_new_pieces_for(&to->pieces, files[i]->pieces.languages[k]);
    for (size_t k = 0; ok && k < files[i]->pair_count; k++)
      ok = dg_adapter_file_add_pair(to, files[i]->pairs[k].source, files[i]->pairs[k].target, err);
    json_array_append_new(parts, json_pack("{s:o,s:s,s:f,s:O}", "file", dg_card_file(names[i]),
                                           "hash", files[i]->hash, "weight", weights[i] / sum,
                                           "card", files[i]->card));
  }
  to->card = json_pack("{s:s,s:o}", "kind", "adapter", "merged_from", parts);
  json_t *like = json_object();
  for (size_t i = 0; i < count; i++)
    for (size_t k = 0; k < files[i]->language_count; k++) {
      const char *code = files[i]->languages[k].code;
      const char *relative = dg_adapter_file_relative(files[i], code);
      if (relative && !json_object_get(like, code))
        json_object_set_new(like, code, json_string(relative));
    }
  if (json_object_size(like)) json_object_set(to->card, "like", like);
  json_decref(like);
  ok = ok && (to->adapter = dg_adapter_new(&files[0]->adapter->model, &files[0]->adapter->config,
                                           to->language_count, err)) &&
       (!to->adapter->config.embeddings ||
        dg_adapter_choose(to->adapter, files[0]->adapter->changes.ids, err));
  for (size_t t = 0; ok && t < to->adapter->params.count; t++) {
    dg_tensor *x = &to->adapter->params.tensors[t];
    for (size_t i = 0; i < count && strcmp(x->name, "extra"); i++)
      add_scaled(x->value, dg_params_find(&files[i]->adapter->params, x->name)->value,
                 x->rows * x->cols, weights[i] / sum);
  }
  if (ok && to->language_count) average_tags(to, files, weights, count);
  if (ok) return to;
  dg_adapter_file_free(to);
  return NULL;
}
