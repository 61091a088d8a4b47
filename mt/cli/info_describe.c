#include "mt/cli/info_describe.h"

#include <stdlib.h>
#include <string.h>

#include "mt/core/file.h"
#include "mt/core/hash.h"
#include "mt/core/mem.h"
#include "mt/core/utf8.h"
#include "mt/model/adapter_file.h"
#include "tokenizer/lang.h"
#include "tokenizer/tokenizer.h"

static void set_text(json_t *o, const char *key, const char *value) {
  if (value) json_object_set_new(o, key, json_string(value));
}

static json_t *language(const char *code) {
  char name[128];
  dg_lang_name(code, name, sizeof name);
  return json_pack("{s:s,s:s}", "code", code, "name", name);
}

/* Metadata that is JSON; anything else in its place is an error. */
static bool add_json(json_t *o, const char *key, const dg_safetensors *s, json_type type,
                     dg_error *err) {
  const char *text = dg_safetensors_metadata(s, key);
  json_t *j = text ? json_loads(text, 0, NULL) : NULL;
  if (j && json_typeof(j) == type) {
    json_object_set_new(o, key, j);
    return true;
  }
  json_decref(j);
  return dg_fail(err, DG_ERR_FORMAT, "%s: metadata \"%s\" is missing or damaged",
                 dg_safetensors_path(s), key);
}

static bool add_languages(json_t *o, const dg_safetensors *s, dg_error *err) {
  if (!add_json(o, "languages", s, JSON_ARRAY, err)) return false;
  if (dg_safetensors_metadata(s, "sides") && !add_json(o, "sides", s, JSON_OBJECT, err))
    return false;
  json_t *codes = json_object_get(o, "languages"), *list = json_array(), *code;
  size_t i;
  bool ok = true;
  json_array_foreach(codes, i, code) {
    ok = ok && json_is_string(code);
    if (ok) json_array_append_new(list, language(json_string_value(code)));
  }
  json_object_set_new(o, "languages", list);
  return ok || dg_fail(err, DG_ERR_FORMAT, "%s: its list of languages is damaged",
                       dg_safetensors_path(s));
}

/* The scales of an 8-bit matrix's rows, which are no weights of their own. */
static bool row_scales(const dg_safetensors *s, const dg_st_tensor *t) {
  if (!dg_ends_with(t->name, ".scale")) return false;
  char *of = dg_strndup(t->name, strlen(t->name) - strlen(".scale"));
  const dg_st_tensor *matrix = dg_safetensors_find(s, of);
  free(of);
  return matrix && matrix->dtype == DG_I8;
}

/* Weights, whatever they are stored as; the tokenizer's bytes are none. */
static void add_weights(json_t *o, const dg_safetensors *s) {
  size_t weights = 0, bytes = 0;
  bool int8 = false, bf16 = false;
  for (size_t i = 0; i < dg_safetensors_count(s); i++) {
    const dg_st_tensor *t = dg_safetensors_at(s, i);
    bytes += t->bytes;
    if (t->dtype == DG_U8 || row_scales(s, t)) continue;
    weights += t->bytes / dg_dtype_size(t->dtype);
    int8 = int8 || t->dtype == DG_I8;
    bf16 = bf16 || t->dtype == DG_BF16_T;
  }
  json_object_set_new(o, "parameters", json_integer((json_int_t)weights));
  set_text(o, "storage", int8 ? "int8" : bf16 ? "bf16" : "fp32");
  json_object_set_new(o, "tensor_bytes", json_integer((json_int_t)bytes));
}

/* Language tags are control pieces "<2gl>" or "__gl__" or ">>gl<<": what is a code
 * once the marks are gone. */
static void add_pieces(json_t *o, const dg_tokenizer *t, bool with_languages) {
  json_object_set_new(o, "pieces", json_integer(dg_tokenizer_size(t)));
  json_t *control = json_array(), *languages = json_array();
  for (int32_t id = 0; id < dg_tokenizer_size(t); id++) {
    if (!dg_tokenizer_is_control(t, id)) continue;
    const char *piece = dg_tokenizer_piece(t, id);
    json_array_append_new(control, json_string(piece));
    const char *code = piece + strspn(piece, "<>_2");
    char *bare = dg_strndup(code, strcspn(code, "<>_")), canonical[DG_LANG_MAX];
    bool special = id == dg_tokenizer_bos(t) || id == dg_tokenizer_eos(t) ||
                   id == dg_tokenizer_pad(t) || id == dg_tokenizer_unk(t);
    if (!special && dg_lang_canonical(bare, canonical, NULL))
      json_array_append_new(languages, language(canonical));
    free(bare);
  }
  if (with_languages) {
    json_object_set(o, "control_pieces", control);
    json_object_set(o, "languages", languages);
  }
  json_decref(control);
  json_decref(languages);
}

static bool describe_base(json_t *o, const dg_safetensors *s, dg_error *err) {
  const dg_st_tensor *model = dg_safetensors_find(s, "tokenizer");
  if (!add_json(o, "config", s, JSON_OBJECT, err) || !add_languages(o, s, err) ||
      !add_json(o, "card", s, JSON_OBJECT, err))
    return false;
  if (!model || model->dtype != DG_U8)
    return dg_fail(err, DG_ERR_FORMAT, "%s: it has no tokenizer", dg_safetensors_path(s));
  dg_tokenizer *t = dg_tokenizer_load(model->data, model->bytes, err);
  if (!t) return dg_error_context(err, "%s", dg_safetensors_path(s));
  add_pieces(o, t, false);
  dg_tokenizer_free(t);
  return true;
}

static bool describe_adapter(json_t *o, const dg_safetensors *s, dg_error *err) {
  const char *source = dg_safetensors_metadata(s, "source");
  const char *target = dg_safetensors_metadata(s, "target");
  const char *base = dg_safetensors_metadata(s, "base_hash");
  dg_adapter_config c;
  if (!source || !target || !base)
    return dg_fail(err, DG_ERR_FORMAT, "%s: its metadata is incomplete", dg_safetensors_path(s));
  if (!dg_adapter_file_config(s, &c, err))
    return dg_error_context(err, "%s", dg_safetensors_path(s));
  set_text(o, "base_hash", base);
  json_object_set_new(o, "source", language(source));
  json_object_set_new(o, "target", language(target));
  json_object_set_new(o, "adapter", dg_adapter_config_json(&c));
  static const char *const lists[] = {"pairs", "over"};
  for (size_t i = 0; i < 2; i++)
    if (dg_safetensors_metadata(s, lists[i]) && !add_json(o, lists[i], s, JSON_ARRAY, err))
      return false;
  if (c.new_pieces && !add_json(o, "new_pieces", s, JSON_OBJECT, err)) return false;
  return add_languages(o, s, err) && add_json(o, "card", s, JSON_OBJECT, err);
}

/* A checkpoint holds the optimizer too: its weights are one tensor of several. */
static bool describe_checkpoint(json_t *o, const dg_safetensors *s, dg_error *err) {
  const dg_st_tensor *weights = dg_safetensors_find(s, "weights");
  const char *identity = dg_safetensors_metadata(s, "identity");
  if (!weights || !identity)
    return dg_fail(err, DG_ERR_FORMAT, "%s: its metadata is incomplete", dg_safetensors_path(s));
  json_object_set_new(o, "parameters", json_integer((json_int_t)(weights->bytes / 4)));
  json_t *made_with = json_loads(identity, 0, NULL);
  if (made_with)
    json_object_set_new(o, "identity", made_with);
  else
    set_text(o, "identity", identity);
  return add_json(o, "state", s, JSON_OBJECT, err);
}

static bool describe_safetensors(json_t *o, const char *path, dg_error *err) {
  dg_safetensors *s = dg_safetensors_open(path, true, err);
  if (!s) return false;
  const char *format = dg_safetensors_metadata(s, "format");
  const char *hash = dg_safetensors_hash(s);
  bool ok = true, ours = format && !strncmp(format, "dragoman.", 9);
  set_text(o, "kind", ours ? format + 9 : "safetensors");
  if (*hash) set_text(o, "hash", hash);
  if (ours) set_text(o, "version", dg_safetensors_metadata(s, "version"));
  add_weights(o, s);
  if (ours && !*hash)
    ok = dg_fail(err, DG_ERR_FORMAT, "%s: its content hash is gone: the file was altered", path);
  else if (!ours)
    json_object_set_new(o, "tensors", json_integer((json_int_t)dg_safetensors_count(s)));
  else if (!strcmp(format, "dragoman.base"))
    ok = describe_base(o, s, err);
  else if (!strcmp(format, "dragoman.adapter"))
    ok = describe_adapter(o, s, err);
  else if (!strcmp(format, "dragoman.checkpoint"))
    ok = describe_checkpoint(o, s, err);
  else
    ok = dg_fail(err, DG_ERR_UNSUPPORTED, "%s: a %.40s, which this version does not know", path,
                 format);
  dg_safetensors_close(s);
  return ok;
}

static bool describe_tokenizer(json_t *o, const char *path, const dg_mapping *map, dg_error *err) {
  dg_tokenizer *t = dg_tokenizer_load(map->data, map->size, err);
  if (!t) return dg_error_context(err, "%s", path);
  char hash[DG_HASH_TEXT];
  dg_hash_bytes(map->data, map->size, hash);
  set_text(o, "kind", "tokenizer");
  set_text(o, "hash", hash);
  add_pieces(o, t, true);
  dg_tokenizer_free(t);
  return true;
}

/* A safetensors file begins with its header's length, eight bytes, and "{". */
json_t *dg_describe(const char *path, dg_error *err) {
  dg_mapping map;
  if (!dg_map(path, &map, err)) return NULL;
  json_t *o = json_object();
  char *name = dg_utf8_repair(path);
  set_text(o, "file", name);
  free(name);
  json_object_set_new(o, "bytes", json_integer((json_int_t)map.size));
  bool ok;
  if (dg_ends_with(path, ".safetensors") || dg_ends_with(path, ".checkpoint") ||
      (map.size > 8 && map.data[8] == '{' && !map.data[5] && !map.data[6] && !map.data[7]))
    ok = describe_safetensors(o, path, err);
  else if (map.data[0] == '\n' || dg_ends_with(path, ".model") || dg_ends_with(path, ".tokenizer"))
    ok = describe_tokenizer(o, path, &map, err);
  else
    ok = dg_fail(err, DG_ERR_FORMAT,
                 "%s: neither a base, an adapter, a checkpoint nor a tokenizer: such files end in "
                 ".safetensors, .checkpoint or .model",
                 path);
  dg_unmap(&map);
  if (ok) return o;
  json_decref(o);
  return NULL;
}

void dg_describe_shares(json_t **list, size_t count) {
  for (size_t i = 0; i < count; i++) {
    const char *wanted = json_string_value(json_object_get(list[i], "base_hash"));
    for (size_t k = 0; wanted && k < count; k++) {
      const char *hash = json_string_value(json_object_get(list[k], "hash"));
      double whole = json_number_value(json_object_get(list[k], "parameters"));
      if (!hash || strcmp(hash, wanted) || whole < 1) continue;
      double part = json_number_value(json_object_get(list[i], "parameters"));
      json_object_set_new(list[i], "share_of_base", json_real(part / whole));
    }
  }
}
