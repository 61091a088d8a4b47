#include "mt/model/adapter_file.h"

#include <stdlib.h>
#include <string.h>

#include "mt/core/mem.h"

/* The first files knew bottlenecks after layers, and their width. */
bool dg_adapter_file_config(const dg_safetensors *s, dg_adapter_config *c, dg_error *err) {
  dg_options_defaults(dg_adapter_config_options, c);
  const char *width = dg_safetensors_metadata(s, "width");
  if (width) return dg_options_set(dg_adapter_config_options, c, "width", width, err);
  json_t *j = dg_weights_json(s, "adapter", JSON_OBJECT, err);
  bool ok = j && dg_options_from_json(dg_adapter_config_options, c, j, err);
  json_decref(j);
  return ok;
}

bool dg_adapter_file_add_pair(dg_adapter_file *f, const char *source, const char *target,
                              dg_error *err) {
  dg_language_pair p;
  if (!dg_lang_canonical(source, p.source, err) || !dg_lang_canonical(target, p.target, err))
    return false;
  for (size_t i = 0; i < f->pair_count; i++)
    if (!strcmp(f->pairs[i].source, p.source) && !strcmp(f->pairs[i].target, p.target)) return true;
  if (f->pair_count == DG_PAIRS_MAX)
    return dg_fail(err, DG_ERR_USAGE, "more than %d pairs in one adapter", DG_PAIRS_MAX);
  f->pairs[f->pair_count++] = p;
  return true;
}

/* --- reading ------------------------------------------------------------------------------- */

static bool read_pairs(const dg_safetensors *s, dg_adapter_file *f, dg_error *err) {
  const char *source = dg_safetensors_metadata(s, "source");
  const char *target = dg_safetensors_metadata(s, "target");
  if (!source || !target) return dg_fail(err, DG_ERR_FORMAT, "its metadata is incomplete");
  if (!dg_adapter_file_add_pair(f, source, target, err)) return false;
  if (!dg_safetensors_metadata(s, "pairs")) return true;
  json_t *list = dg_weights_json(s, "pairs", JSON_ARRAY, err);
  bool ok = list != NULL;
  for (size_t i = 0; ok && i < json_array_size(list); i++) {
    ok = !json_unpack(json_array_get(list, i), "[s,s]", &source, &target) ||
         dg_fail(err, DG_ERR_FORMAT, "its list of pairs is damaged");
    ok = ok && dg_adapter_file_add_pair(f, source, target, err);
  }
  json_decref(list);
  return ok;
}

static bool read_over(const dg_safetensors *s, dg_adapter_file *f, dg_error *err) {
  if (!dg_safetensors_metadata(s, "over")) return true;
  json_t *list = dg_weights_json(s, "over", JSON_ARRAY, err);
  f->over_count = json_array_size(list);
  bool ok = list && f->over_count <= DG_ADAPTERS_MAX;
  for (size_t i = 0; ok && i < f->over_count; i++) {
    const char *hash = json_string_value(json_array_get(list, i));
    ok = hash && strlen(hash) < DG_HASH_TEXT;
    if (ok) strcpy(f->over[i], hash);
  }
  json_decref(list);
  if (list && !ok) dg_fail(err, DG_ERR_FORMAT, "its list of adapters below is damaged");
  return ok;
}

static bool read_pieces(const dg_safetensors *s, const dg_base *base, dg_adapter_file *f,
                        dg_error *err) {
  size_t count = (size_t)f->adapter->config.new_pieces;
  if (!count) return true;
  json_t *j = dg_weights_json(s, "new_pieces", JSON_OBJECT, err);
  bool ok = j && dg_new_pieces_read(&f->pieces, j, base, err);
  json_decref(j);
  return ok && (f->pieces.list.count == count ||
                dg_fail(err, DG_ERR_FORMAT, "it has rows for %zu new pieces and lists %zu", count,
                        f->pieces.list.count));
}

static bool read_changes(const dg_safetensors *s, dg_adapter *a, dg_error *err) {
  size_t count = (size_t)a->config.embeddings;
  if (!count) return true;
  json_t *list = dg_weights_json(s, "embeddings", JSON_ARRAY, err);
  int32_t *ids = dg_calloc(count, sizeof *ids);
  bool ok = list && (json_array_size(list) == count ||
                     dg_fail(err, DG_ERR_FORMAT, "it changes %zu embeddings and lists %zu", count,
                             json_array_size(list)));
  for (size_t i = 0; ok && i < count; i++) {
    const json_t *id = json_array_get(list, i);
    json_int_t value = json_integer_value(id);
    ids[i] = json_is_integer(id) && value <= INT32_MAX && value >= 0 ? (int32_t)value : -1;
  }
  ok = ok && dg_adapter_choose(a, ids, err);
  free(ids);
  json_decref(list);
  return ok;
}

static bool read_adapter(const dg_safetensors *s, const dg_base *base, dg_adapter_file *f,
                         dg_error *err) {
  dg_adapter_config config;
  if (!read_pairs(s, f, err) || !read_over(s, f, err) || !dg_adapter_file_config(s, &config, err))
    return false;
  f->card = dg_weights_json(s, "card", JSON_OBJECT, err);
  if (!f->card || !(f->languages = dg_weights_languages(s, &f->language_count, err))) return false;
  for (size_t i = 0; i < f->language_count; i++)
    f->languages[i].tag = dg_first_tag(&base->model->config) + (int32_t)i;
  f->adapter = dg_adapter_new(&base->model->config, &config, f->language_count, err);
  return f->adapter && read_pieces(s, base, f, err) && read_changes(s, f->adapter, err) &&
         dg_weights_read(s, &f->adapter->params, err);
}

dg_adapter_file *dg_adapter_file_load(const char *path, const dg_base *base, dg_error *err) {
  dg_safetensors *s = dg_safetensors_open(path, false, err);
  if (!s) return NULL;
  dg_adapter_file *f = dg_calloc(1, sizeof *f);
  const char *made_for = dg_safetensors_metadata(s, "base_hash");
  bool ok = dg_weights_check(s, "dragoman.adapter", "an adapter", err);
  if (ok && !made_for) ok = dg_fail(err, DG_ERR_FORMAT, "its metadata is incomplete");
  if (ok && strcmp(made_for, base->hash)) {
    ok = dg_fail(err, DG_ERR_USAGE,
                 "%s was trained on the base %.32s, not on this one, %s: name its own base, or "
                 "train it again",
                 path, made_for, base->hash);
  } else {
    ok = ok && read_adapter(s, base, f, err);
    if (!ok) dg_weights_blame(err, path);
  }
  if (ok) {
    memcpy(f->base_hash, base->hash, sizeof f->base_hash);
    memcpy(f->hash, dg_safetensors_hash(s), sizeof f->hash);
  } else {
    dg_adapter_file_free(f);
    f = NULL;
  }
  dg_safetensors_close(s);
  return f;
}

/* --- writing ------------------------------------------------------------------------------- */

bool dg_adapter_file_save(const dg_adapter_file *f, const char *path, dg_storage storage,
                          char hash[DG_HASH_TEXT], dg_error *err) {
  dg_st_writer *w = dg_st_writer_new();
  dg_weights_begin(w, "dragoman.adapter");
  dg_st_writer_metadata(w, "base_hash", f->base_hash);
  json_t *config = dg_adapter_config_json(&f->adapter->config);
  dg_weights_add_json(w, "adapter", config);
  json_decref(config);
  dg_st_writer_metadata(w, "source", f->pairs[0].source);
  dg_st_writer_metadata(w, "target", f->pairs[0].target);
  json_t *pairs = json_array(), *over = json_array();
  for (size_t i = 0; i < f->pair_count; i++)
    json_array_append_new(pairs, json_pack("[s,s]", f->pairs[i].source, f->pairs[i].target));
  for (size_t i = 0; i < f->over_count; i++) json_array_append_new(over, json_string(f->over[i]));
  if (f->pair_count > 1) dg_weights_add_json(w, "pairs", pairs);
  if (f->over_count) dg_weights_add_json(w, "over", over);
  json_decref(pairs);
  json_decref(over);
  dg_weights_add_languages(w, f->languages, f->language_count);
  if (f->pieces.list.count) {
    json_t *pieces = dg_new_pieces_json(&f->pieces);
    dg_weights_add_json(w, "new_pieces", pieces);
    json_decref(pieces);
  }
  if (f->adapter->config.embeddings) {
    json_t *ids = json_array();
    for (int i = 0; i < f->adapter->config.embeddings; i++)
      json_array_append_new(ids, json_integer(f->adapter->changes.ids[i]));
    dg_weights_add_json(w, "embeddings", ids);
    json_decref(ids);
  }
  dg_weights_add_json(w, "card", f->card);
  bool ok = dg_weights_write(w, &f->adapter->params, dg_weights_in_memory, NULL, path, storage,
                             hash, err);
  dg_st_writer_free(w);
  return ok;
}

void dg_adapter_file_free(dg_adapter_file *f) {
  if (!f) return;
  dg_adapter_free(f->adapter);
  free(f->languages);
  dg_new_pieces_free(&f->pieces);
  json_decref(f->card);
  free(f);
}

const char *dg_adapter_file_relative(const dg_adapter_file *f, const char *code) {
  const json_t *like = json_object_get(f->card, "like");
  if (json_is_object(like)) return json_string_value(json_object_get(like, code));
  for (size_t i = 0; i < f->language_count; i++)
    if (!strcmp(f->languages[i].code, code)) return json_string_value(like);
  return NULL;
}

/* --- stacks --------------------------------------------------------------------------------- */

bool dg_adapter_stacked_holds(const dg_adapter_stacked *s, const char *hash) {
  for (size_t i = 0; i < s->count; i++)
    if (!strcmp(s->files[i]->hash, hash)) return true;
  return false;
}

const dg_new_pieces *dg_adapter_stacked_pieces(const dg_adapter_stacked *s) {
  for (size_t i = 0; i < s->count; i++)
    if (s->files[i]->pieces.list.count) return &s->files[i]->pieces;
  return NULL;
}

dg_base dg_adapter_stacked_base(const dg_adapter_stacked *s, const dg_base *base,
                                const char *source, const char *target) {
  const dg_new_pieces *p = dg_adapter_stacked_pieces(s);
  dg_base view = *base;
  view.tokenizer = dg_new_pieces_tokenizer(p, base, source, DG_SIDE_SOURCE);
  view.target_tokenizer = dg_new_pieces_tokenizer(p, base, target, DG_SIDE_TARGET);
  return view;
}

bool dg_adapter_stacked_add(dg_adapter_stacked *s, const char *path, const dg_base *base,
                            dg_error *err) {
  if (s->count == DG_ADAPTERS_MAX)
    return dg_fail(err, DG_ERR_USAGE, "more than %d adapters in a stack", DG_ADAPTERS_MAX);
  dg_adapter_file *f = dg_adapter_file_load(path, base, err);
  if (!f) return false;
  for (size_t i = 0; i < f->over_count; i++)
    if (!dg_adapter_stacked_holds(s, f->over[i])) {
      dg_fail(err, DG_ERR_USAGE,
              "%s was trained on top of the adapter %.32s: name that first (`-a`), `dragoman "
              "info` tells which file it is",
              path, f->over[i]);
      dg_adapter_file_free(f);
      return false;
    }
  if (f->pieces.list.count && dg_adapter_stacked_pieces(s)) {
    dg_fail(err, DG_ERR_USAGE,
            "%s brings new pieces, as another adapter of the stack does: only one may", path);
    dg_adapter_file_free(f);
    return false;
  }
  for (size_t i = 0; i < f->language_count; i++) f->languages[i].tag += (int32_t)s->extra_tokens;
  s->extra_tokens += f->adapter->extra_tokens;
  s->files[s->count++] = f;
  return true;
}

void dg_adapter_stacked_free(dg_adapter_stacked *s) {
  for (size_t i = 0; i < s->count; i++) dg_adapter_file_free(s->files[i]);
  *s = (dg_adapter_stacked){0};
}

void dg_adapter_stacked_use(const dg_adapter_stacked *s, dg_network *n) {
  for (size_t i = 0; i < s->count; i++) n->adapters[n->adapter_count++] = s->files[i]->adapter;
}

bool dg_adapter_stacked_tag(const dg_adapter_stacked *s, const dg_base *base, const char *code,
                            dg_side side, char canonical[DG_LANG_MAX], int32_t *tag,
                            dg_error *err) {
  if (!dg_lang_canonical(code, canonical, err)) return false;
  const dg_language *found = NULL;
  for (size_t i = s->count; i-- > 0 && !found;)
    for (size_t k = 0; k < s->files[i]->language_count && !found; k++)
      if (!strcmp(s->files[i]->languages[k].code, canonical)) found = &s->files[i]->languages[k];
  if (!found) found = dg_base_language(base, canonical, side, err);
  if (found) *tag = found->tag;
  return found != NULL;
}

const dg_language_pair *dg_adapter_stacked_pair(const dg_adapter_stacked *s, const char *source,
                                                const char *target) {
  for (size_t i = s->count; i-- > 0;)
    for (size_t k = 0; k < s->files[i]->pair_count; k++) {
      const dg_language_pair *p = &s->files[i]->pairs[k];
      if ((!source || !strcmp(source, p->source)) && (!target || !strcmp(target, p->target)))
        return p;
    }
  return NULL;
}

bool dg_adapter_stacked_choose(const dg_adapter_stacked *s, const char *source,
                               const char *target, const dg_language_pair **pair, dg_error *err) {
  char from[DG_LANG_MAX], to[DG_LANG_MAX];
  if ((source && !dg_lang_canonical(source, from, err)) ||
      (target && !dg_lang_canonical(target, to, err)))
    return false;
  *pair = dg_adapter_stacked_pair(s, source ? from : NULL, target ? to : NULL);
  return true;
}

const dg_language *dg_adapter_stacked_relative(const dg_adapter_stacked *s, const dg_base *base,
                                               const char *code, dg_side side) {
  for (size_t i = s->count; i-- > 0;) {
    const char *like = dg_adapter_file_relative(s->files[i], code);
    const dg_language *l = like ? dg_base_language(base, like, side, NULL) : NULL;
    if (l) return l;
  }
  return NULL;
}
