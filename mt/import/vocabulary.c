#include "mt/import/vocabulary.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "mt/core/file.h"
#include "mt/core/mem.h"
#include "mt/core/utf8.h"
#include "mt/import/yaml.h"

enum { TOKENS_MOST = 1 << 22, TOKEN_BYTES_MOST = 1 << 16 };

/* Ids have few gaps: a file has more bytes than its largest says. The token need not end in NUL. */
static bool put(dg_vocabulary *v, size_t file_size, json_int_t id, const char *token, size_t n,
                dg_error *err) {
  json_int_t most = (json_int_t)(file_size < TOKENS_MOST ? file_size : TOKENS_MOST);
  if (id < 0 || id >= most)
    return dg_fail(err, DG_ERR_FORMAT,
                   "\"%.*s\" has the id %lld; ids of a file of this size go from 0 to %lld",
                   (int)(n < 60 ? n : 60), token, (long long)id, (long long)most - 1);
  if (n > TOKEN_BYTES_MOST || memchr(token, 0, n) || dg_utf8_valid_prefix(token, n) != n)
    return dg_fail(err, DG_ERR_FORMAT, "token %lld is no text", (long long)id);
  size_t at = (size_t)id;
  if (at >= v->count) {
    DG_GROW(v->tokens, v->capacity, at + 1);
    memset(v->tokens + v->count, 0, (at + 1 - v->count) * sizeof *v->tokens);
    v->count = at + 1;
  }
  if (v->tokens[at])
    return dg_fail(err, DG_ERR_FORMAT, "\"%.60s\" and \"%.*s\" have the same id, %zu",
                   v->tokens[at], (int)(n < 60 ? n : 60), token, at);
  v->tokens[at] = dg_strndup(token, n);
  return true;
}

static bool read_json(const uint8_t *bytes, size_t size, dg_vocabulary *v, dg_error *err) {
  json_error_t where;
  json_t *json = json_loadb((const char *)bytes, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL,
                            &where);
  if (!json) return dg_fail(err, DG_ERR_FORMAT, "line %d: %s", where.line, where.text);
  bool ok = json_is_object(json) || json_is_array(json);
  if (!ok) dg_fail(err, DG_ERR_FORMAT, "it is neither {token: id} nor a list of tokens");
  const char *token;
  size_t n, i;
  json_t *value;
  if (json_is_object(json)) json_object_keylen_foreach(json, token, n, value) {
    if (!ok) break;
    ok = json_is_integer(value)
             ? put(v, size, json_integer_value(value), token, n, err)
             : dg_fail(err, DG_ERR_FORMAT, "the id of \"%.60s\" is no number", token);
  }
  if (json_is_array(json)) json_array_foreach(json, i, value) {
    if (!ok) break;
    ok = json_is_string(value) ? put(v, size, (json_int_t)i, json_string_value(value),
                                     json_string_length(value), err)
                               : dg_fail(err, DG_ERR_FORMAT, "token %zu is no string", i);
  }
  json_decref(json);
  return ok;
}

/* Marian's: one flat mapping of tokens to ids. */
static bool read_yaml(const uint8_t *bytes, size_t size, dg_vocabulary *v, dg_error *err) {
  json_t *map = dg_yaml_read(bytes, size, err), *value;
  bool ok = json_is_object(map) ||
            (map && dg_fail(err, DG_ERR_FORMAT, "it is no mapping of tokens to ids"));
  const char *token;
  if (ok) json_object_foreach(map, token, value) {
    const char *text = json_is_string(value) ? json_string_value(value) : "";
    char *end;
    long long id = strtoll(text, &end, 10);
    ok = end > text && !*end
             ? put(v, size, id, token, strlen(token), err)
             : dg_fail(err, DG_ERR_FORMAT, "the id of \"%.60s\" is no number", token);
    if (!ok) break;
  }
  json_decref(map);
  return ok;
}

static bool read_lines(const uint8_t *bytes, size_t size, dg_vocabulary *v, dg_error *err) {
  const uint8_t *end = bytes + size;
  for (json_int_t id = 0; bytes < end; id++) {
    const uint8_t *stop = memchr(bytes, '\n', (size_t)(end - bytes));
    if (!stop) stop = end;
    if (!put(v, size, id, (const char *)bytes, (size_t)(stop - bytes), err)) return false;
    bytes = stop + 1;
  }
  return true;
}

bool dg_vocabulary_read(const char *path, const uint8_t *bytes, size_t size, dg_vocabulary *out,
                        dg_error *err) {
  *out = (dg_vocabulary){0};
  bool yaml = dg_ends_with(path, ".yml") || dg_ends_with(path, ".yaml");
  bool ok = dg_ends_with(path, ".json") ? read_json(bytes, size, out, err)
            : yaml                      ? read_yaml(bytes, size, out, err)
                                        : read_lines(bytes, size, out, err);
  if (ok && !out->count) ok = dg_fail(err, DG_ERR_FORMAT, "it holds no tokens");
  if (ok) return true;
  dg_vocabulary_free(out);
  return dg_error_context(err, "%s", path);
}

bool dg_vocabulary_load(const char *path, dg_vocabulary *out, dg_error *err) {
  dg_mapping map;
  *out = (dg_vocabulary){0};
  if (!dg_map(path, &map, err)) return false;
  bool ok = dg_vocabulary_read(path, map.data, map.size, out, err);
  dg_unmap(&map);
  return ok;
}

void dg_vocabulary_free(dg_vocabulary *v) {
  for (size_t i = 0; i < v->count; i++) free(v->tokens[i]);
  free(v->tokens);
  *v = (dg_vocabulary){0};
}

long dg_vocabulary_find(const dg_vocabulary *v, const char *token) {
  for (size_t i = 0; i < v->count; i++)
    if (v->tokens[i] && !strcmp(v->tokens[i], token)) return (long)i;
  return -1;
}

/* --- placing -------------------------------------------------------------------------------- */

static bool is_control(const char *token) {
  size_t n = strlen(token);
  if (n > 2 && token[0] == '<' && token[n - 1] == '>') return true;
  if (n > 4 && !strncmp(token, ">>", 2) && !strcmp(token + n - 2, "<<")) return true;
  size_t made_up = strlen("madeupword"); /* fairseq's, to fill a matrix */
  return n > made_up && !strncmp(token, "madeupword", made_up) &&
         strspn(token + made_up, "0123456789") == n - made_up;
}

bool dg_vocabulary_place(const dg_vocabulary *v, const char *unknown, dg_pieces *p, size_t size,
                         dg_error *err) {
  json_t *order = json_object(); /* text to number of the piece */
  for (size_t i = 0; i < dg_pieces_count(p); i++)
    json_object_set_new(order, dg_pieces_is_unknown(p, i) ? unknown : dg_pieces_text(p, i),
                        json_integer((json_int_t)i));
  bool ok = true;
  for (size_t id = 0; id < v->count && ok; id++) {
    const char *token = v->tokens[id];
    if (!token || !*token) continue;
    const json_t *found = json_object_get(order, token);
    ok = found               ? dg_pieces_place(p, size, id, (size_t)json_integer_value(found))
         : is_control(token) ? dg_pieces_name(p, size, id, token)
                             : dg_pieces_word(p, size, id, token);
    if (!ok)
      dg_fail(err, DG_ERR_FORMAT,
              "\"%.60s\" is token %zu, outside the vocabulary of %zu that the model has", token, id,
              size);
  }
  json_decref(order);
  if (ok && dg_vocabulary_find(v, unknown) < 0)
    ok = dg_fail(err, DG_ERR_FORMAT, "the vocabulary has no unknown token \"%s\"", unknown);
  return ok;
}
