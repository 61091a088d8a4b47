#include "mt/import/prefix.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mt/core/mem.h"

/* What a task, "translation_en_to_de", puts before a sentence; its languages to `from` and `to`. */
static const char *of_task(const char *task, const json_t *settings, char from[DG_LANG_MAX],
                           char to[DG_LANG_MAX]) {
  static const char begin[] = "translation_";
  const char *source = task + sizeof begin - 1;
  const char *between = strncmp(task, begin, sizeof begin - 1) ? NULL : strstr(source, "_to_");
  if (!between) return NULL;
  char *code = dg_strndup(source, (size_t)(between - source));
  bool known = dg_lang_canonical(code, from, NULL) && dg_lang_canonical(between + 4, to, NULL);
  free(code);
  return known ? json_string_value(json_object_get(settings, "prefix")) : NULL;
}

bool dg_prefix_any(const json_t *config) {
  const char *task;
  json_t *settings;
  char from[DG_LANG_MAX], to[DG_LANG_MAX];
  json_object_foreach(json_object_get(config, "task_specific_params"), task, settings)
    if (of_task(task, settings, from, to)) return true;
  return false;
}

/* As it stands or, to say so, without its region or script. "mul" stands for any source. */
static bool has(const dg_languages *l, const char *code, dg_side side, bool exactly) {
  for (size_t i = 0; i < l->count; i++) {
    const dg_language *k = &l->list[i];
    size_t n = strcspn(k->code, "-");
    bool alike = n == strcspn(code, "-") && !strncmp(k->code, code, n);
    bool same = exactly ? !strcmp(k->code, code) : alike;
    bool any = side == DG_SIDE_SOURCE && !strcmp(k->code, "mul");
    if ((k->side == side || k->side == DG_SIDE_BOTH) && (same || any)) return true;
  }
  return false;
}

bool dg_prefix_find(const json_t *config, const dg_languages *languages, const char **out,
                    dg_error *err) {
  bool one = dg_languages_count(languages, DG_SIDE_SOURCE) == 1 &&
             dg_languages_count(languages, DG_SIDE_TARGET) == 1 &&
             strcmp(languages->list[0].code, "mul") != 0;
  *out = json_string_value(json_object_get(config, "prefix"));
  for (int exactly = 1; exactly >= 0; exactly--) {
    const char *task;
    json_t *settings;
    char from[DG_LANG_MAX], to[DG_LANG_MAX];
    json_object_foreach(json_object_get(config, "task_specific_params"), task, settings) {
      const char *prefix = of_task(task, settings, from, to);
      if (!prefix || !has(languages, from, DG_SIDE_SOURCE, exactly) ||
          !has(languages, to, DG_SIDE_TARGET, exactly))
        continue;
      if (!one)
        return dg_fail(err, DG_ERR_USAGE,
                       "config.json has a prefix for each pair, of %.60s \"%.60s\": import one "
                       "pair, -s en -t de",
                       task, prefix);
      *out = prefix;
      return true;
    }
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

/* Whether a sentence after it is cut as one by itself; so a prefix may be cut once for all. */
static bool stands_apart(const dg_tokenizer *t, const char *prefix, dg_tokens *pieces,
                         dg_error *err) {
  static const char sentence[] = "a";
  dg_tokens both = {0}, alone = {0};
  char *text = dg_format("%s%s", prefix, sentence);
  bool ok = dg_tokenizer_encode(t, prefix, strlen(prefix), pieces, err) &&
            dg_tokenizer_encode(t, text, strlen(text), &both, err) &&
            dg_tokenizer_encode(t, sentence, strlen(sentence), &alone, err);
  bool same = ok && both.count == pieces->count + alone.count;
  for (size_t i = 0; same && i < both.count; i++)
    same = both.items[i].id == (i < pieces->count ? pieces->items[i].id
                                                  : alone.items[i - pieces->count].id);
  if (ok && !same) ok = refuse(prefix, "is cut otherwise before a sentence", err);
  free(text);
  dg_tokens_free(&both);
  dg_tokens_free(&alone);
  return ok;
}

bool dg_prefix_put(dg_model_config *c, const dg_tokenizer *t, const char *prefix, dg_error *err) {
  size_t n = strlen(prefix);
  if (strspn(prefix, " ") == n) return true; /* none */
  if (prefix[n - 1] != ' ') return refuse(prefix, "does not end in a space", err);
  const char *x = c->source_format; /* the format's X, which all have */
  while (*x != 'X' || (x > c->source_format && x[-1] != ' ') || (x[1] && x[1] != ' ')) x++;
  dg_tokens pieces = {0};
  dg_strbuf out = {0};
  bool ok = stands_apart(t, prefix, &pieces, err);
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
