#include "mt/import/prefix.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mt/core/mem.h"

static size_t count_side(const dg_languages *l, dg_side side) {
  size_t n = 0;
  for (size_t i = 0; i < l->count; i++)
    n += l->list[i].side == side || l->list[i].side == DG_SIDE_BOTH;
  return n;
}

/* "mul" stands for any source. */
static bool has(const dg_languages *l, const char *code, dg_side side) {
  char canonical[DG_LANG_MAX];
  if (!dg_lang_canonical(code, canonical, NULL)) return false;
  for (size_t i = 0; i < l->count; i++) {
    const dg_language *k = &l->list[i];
    bool there = k->side == side || k->side == DG_SIDE_BOTH;
    if (there && (!strcmp(k->code, canonical) ||
                  (side == DG_SIDE_SOURCE && !strcmp(k->code, "mul"))))
      return true;
  }
  return false;
}

/* "translation_en_to_de" */
static bool is_of(const char *task, const dg_languages *l) {
  static const char begin[] = "translation_";
  const char *source = task + sizeof begin - 1;
  const char *to = strncmp(task, begin, sizeof begin - 1) ? NULL : strstr(source, "_to_");
  if (!to) return false;
  char *code = dg_strndup(source, (size_t)(to - source));
  bool is = has(l, code, DG_SIDE_SOURCE) && has(l, to + 4, DG_SIDE_TARGET);
  free(code);
  return is;
}

bool dg_prefix_find(const json_t *config, const dg_languages *languages, const char **out,
                    dg_error *err) {
  *out = json_string_value(json_object_get(config, "prefix"));
  const char *task;
  json_t *settings;
  json_object_foreach(json_object_get(config, "task_specific_params"), task, settings) {
    const char *prefix = json_string_value(json_object_get(settings, "prefix"));
    if (!prefix || !is_of(task, languages)) continue;
    if (count_side(languages, DG_SIDE_SOURCE) != 1 || count_side(languages, DG_SIDE_TARGET) != 1 ||
        !strcmp(languages->list[0].code, "mul"))
      return dg_fail(err, DG_ERR_USAGE,
                     "config.json has a prefix for each pair, of %.60s \"%.60s\": import one pair, "
                     "-s en -t de",
                     task, prefix);
    *out = prefix;
  }
  return true;
}

static bool refuse(const char *prefix, const char *why, dg_error *err) {
  return dg_fail(err, DG_ERR_USAGE, "the prefix \"%.60s\" %s: --prefix says another, ' ' none",
                 prefix, why);
}

/* A format's own words. */
static bool is_reserved(const char *piece) {
  return !strcmp(piece, "X") || !strcmp(piece, "<src>") || !strcmp(piece, "<tgt>") ||
         strchr(piece, ' ');
}

bool dg_prefix_put(dg_model_config *c, const dg_tokenizer *t, const char *prefix, dg_error *err) {
  size_t n = strlen(prefix);
  if (!n) return true;
  if (prefix[n - 1] != ' ') return refuse(prefix, "does not end in a space", err);
  const char *x = c->source_format; /* the format's X, which all have */
  while (*x != 'X' || (x > c->source_format && x[-1] != ' ') || (x[1] && x[1] != ' ')) x++;
  dg_tokens pieces = {0};
  dg_strbuf out = {0};
  bool ok = dg_tokenizer_encode(t, prefix, n, &pieces, err);
  dg_strbuf_addn(&out, c->source_format, (size_t)(x - c->source_format));
  for (size_t i = 0; ok && i < pieces.count; i++) {
    const char *piece = dg_tokenizer_piece(t, pieces.items[i].id);
    ok = !is_reserved(piece) || refuse(prefix, "has a word of formats in it", err);
    dg_strbuf_addf(&out, "%s ", piece);
  }
  dg_strbuf_add(&out, x);
  if (ok && out.length >= sizeof c->source_format) ok = refuse(prefix, "is too long", err);
  if (ok) memcpy(c->source_format, out.text, out.length + 1);
  free(out.text);
  dg_tokens_free(&pieces);
  return ok;
}
