#include "mt/import/added.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mt/import/tags.h"

typedef struct words {
  const dg_added *files;
  const char *file; /* that is being read */
  dg_pieces *pieces;
  size_t size;
  json_t *ids;  /* of what has one; of pieces that have none -1 - their number; made when needed */
  unsigned how; /* DG_WORD... of each */
  bool cut;     /* false: how a tokenizer.json cuts text is not known */
} words;

const char *dg_token_text(const json_t *token) {
  return json_is_object(token) ? json_string_value(json_object_get(token, "content"))
                               : json_string_value(token);
}

static bool in_list(const json_t *settings, const char *text) {
  const json_t *list = json_object_get(settings, "additional_special_tokens");
  for (size_t i = 0; i < json_array_size(list); i++) {
    const char *one = dg_token_text(json_array_get(list, i));
    if (one && !strcmp(one, text)) return true;
  }
  return false;
}

/* What the model itself begins, ends and fills sequences with. */
static bool is_standard(const dg_added *a, const char *text) {
  static const char *const texts[] = {"<s>", "<pad>", "</s>", "<unk>", "<mask>"};
  static const char *const names[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                      "pad_token", "cls_token", "mask_token"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    if (!strcmp(text, texts[i])) return true;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    const char *one = dg_token_text(json_object_get(a->tokenizer_config, names[i]));
    const char *other = dg_token_text(json_object_get(a->special_tokens, names[i]));
    if ((one && !strcmp(text, one)) || (other && !strcmp(text, other))) return true;
  }
  return (a->family == DG_FAMILY_T5 && !strncmp(text, "<extra_id_", 10)) ||
         (a->family == DG_FAMILY_MARIAN && !strncmp(text, ">>", 2));
}

static bool refuse(const words *w, const char *text, const char *why, dg_error *err) {
  return dg_fail(err, DG_ERR_UNSUPPORTED, "%s/%s: the added token \"%.60s\" %s",
                 w->files->directory, w->file, text, why);
}

static bool wrong(const words *w, const char *text, json_int_t id, const char *why, dg_error *err) {
  return dg_fail(err, DG_ERR_FORMAT, "%s/%s: the added token \"%.60s\" has the id %lld, %s",
                 w->files->directory, w->file, text, (long long)id, why);
}

static void list_ids(words *w) {
  if (w->ids) return;
  w->ids = json_object();
  for (size_t id = 0; id < w->size; id++) {
    const char *text = dg_pieces_at(w->pieces, id);
    if (text) json_object_set_new_nocheck(w->ids, text, json_integer((json_int_t)id));
  }
  for (size_t i = 0; i < dg_pieces_count(w->pieces); i++) {
    const char *text = dg_pieces_text(w->pieces, i);
    if (!json_object_get(w->ids, text))
      json_object_set_new_nocheck(w->ids, text, json_integer(-1 - (json_int_t)i));
  }
}

static bool place(words *w, const char *text, json_int_t id, unsigned how, dg_error *err) {
  if (id < 0 || (size_t)id >= w->size)
    return wrong(w, text, id,
                 "outside the vocabulary that config.json states: save the model after "
                 "resize_token_embeddings()",
                 err);
  list_ids(w);
  const json_t *known = json_object_get(w->ids, text);
  json_int_t other = json_integer_value(known);
  const char *there = dg_pieces_at(w->pieces, (size_t)id);
  if (known && other >= 0 && other != id)
    return wrong(w, text, id, "but it has another one, too: leave one of them out", err);
  if (there && strcmp(there, text))
    return wrong(w, text, id, "which another token has: give it one of its own", err);
  if (known && other < 0) dg_pieces_place(w->pieces, w->size, (size_t)id, (size_t)(-1 - other));
  json_object_set_new_nocheck(w->ids, text, json_integer(id));
  return dg_pieces_add_word(w->pieces, w->size, (size_t)id, text, how);
}

static bool has_edge_space(const char *text) {
  static const char spaces[] = " \t\n\r";
  return strchr(spaces, *text) || strchr(spaces, text[strlen(text) - 1]);
}

/* `token` has its settings, or is NULL; a NULL id is none. */
static bool add(words *w, const char *text, const json_int_t *id, const json_t *token,
                dg_error *err) {
  static const char *const settings[][2] = {
      {"single_word", "has \"single_word\", which is not done here: set it to false"},
      {"lstrip", "has \"lstrip\", which is not done here: set it to false"},
      {"rstrip", "has \"rstrip\", which is not done here: set it to false"}};
  const dg_added *a = w->files;
  char code[DG_LANG_MAX];
  if (!text) return refuse(w, "", "has no \"content\": leave it out", err);
  if (!*text || is_standard(a, text) || dg_tag_code(a->family, text, code)) return true;
  if (a->family == DG_FAMILY_MARIAN)
    return refuse(w, text, "is more than this program reads of OPUS-MT: leave it out", err);
  if (!id) return refuse(w, text, "has no number for an id: give it one", err);
  bool special = token ? json_is_true(json_object_get(token, "special"))
                       : in_list(a->tokenizer_config, text) || in_list(a->special_tokens, text);
  const json_t *normalized = json_object_get(token, "normalized");
  bool normal = a->fast && (normalized ? json_is_true(normalized) : !special);
  for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
    if (json_is_true(json_object_get(token, settings[i][0])))
      return refuse(w, text, settings[i][1], err);
  if (!w->cut)
    return refuse(w, text,
                  "stands beside a pre_tokenizer that is no Metaspace: save the tokenizer "
                  "with its slow class",
                  err);
  if (normal && (has_edge_space(text) || strstr(text, "\xe2\x96\x81")))
    return refuse(w, text,
                  "has a space at its edge or U+2581, and is found in no text: leave it "
                  "out",
                  err);
  return place(w, text, *id,
               w->how | (special ? DG_WORD_SILENT : 0) | (normal ? DG_WORD_NORMAL : 0), err);
}

/* --- files ---------------------------------------------------------------------------------- */

static bool add_decoder(words *w, dg_error *err) {
  const char *key;
  json_t *token;
  w->file = "tokenizer_config.json";
  json_object_foreach(json_object_get(w->files->tokenizer_config, "added_tokens_decoder"), key,
                      token) {
    char *end;
    errno = 0;
    json_int_t id = strtoll(key, &end, 10);
    bool number = end != key && !*end && !errno;
    if (!add(w, dg_token_text(token), number ? &id : NULL, token, err)) return false;
  }
  return true;
}

static bool add_list(words *w, dg_error *err) {
  const char *text;
  json_t *value;
  w->file = "added_tokens.json";
  json_object_foreach((json_t *)(uintptr_t)w->files->added_tokens, text, value) {
    json_int_t id = json_integer_value(value);
    if (!add(w, text, json_is_integer(value) ? &id : NULL, NULL, err)) return false;
  }
  return true;
}

static void read_pre_tokenizer(words *w, const json_t *p) {
  const char *type = json_string_value(json_object_get(p, "type"));
  const json_t *parts = json_object_get(p, "pretokenizers");
  for (size_t i = 0; i < json_array_size(parts); i++)
    read_pre_tokenizer(w, json_array_get(parts, i));
  if (type && !strcmp(type, "WhitespaceSplit")) w->how |= DG_WORD_SPLIT;
  if (!type || strcmp(type, "Metaspace")) return;
  const char *scheme = json_string_value(json_object_get(p, "prepend_scheme"));
  bool always =
      scheme ? !strcmp(scheme, "always") : !json_is_false(json_object_get(p, "add_prefix_space"));
  if (!always) w->how |= DG_WORD_BARE;
  w->cut = true;
}

static bool add_fast(words *w, dg_error *err) {
  const json_t *list = json_object_get(w->files->fast, "added_tokens");
  w->file = "tokenizer.json";
  for (size_t i = 0; i < json_array_size(list); i++) {
    const json_t *token = json_array_get(list, i), *number = json_object_get(token, "id");
    json_int_t id = json_integer_value(number);
    const char *text = dg_token_text(token);
    if (!add(w, text, json_is_integer(number) ? &id : NULL, token, err)) return false;
  }
  return true;
}

bool dg_added_place(const dg_added *a, dg_pieces *p, size_t size, dg_error *err) {
  words w = {.files = a, .pieces = p, .size = size, .how = DG_WORD, .cut = !a->fast};
  if (!json_is_false(json_object_get(a->tokenizer_config, "clean_up_tokenization_spaces")))
    w.how |= DG_WORD_TIDY;
  if (a->fast) {
    w.how |= DG_WORD_GLUED;
    read_pre_tokenizer(&w, json_object_get(a->fast, "pre_tokenizer"));
  } else if (a->family == DG_FAMILY_T5 &&
             json_is_false(json_object_get(a->tokenizer_config, "legacy"))) {
    w.how |= DG_WORD_BARE;
  }
  bool decoder = json_object_get(a->tokenizer_config, "added_tokens_decoder") != NULL;
  bool ok = (!a->fast || add_fast(&w, err)) &&
            (decoder ? add_decoder(&w, err) : a->fast || add_list(&w, err));
  json_decref(w.ids);
  return ok;
}
