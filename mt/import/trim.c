#include "mt/import/trim.h"

#include <stdlib.h>
#include <string.h>

#include "mt/core/lines.h"
#include "mt/core/mem.h"
#include "mt/core/utf8.h"
#include "tokenizer/text.h"

/* The ids of a side that stay. */
typedef struct kept {
  bool *keep;
  size_t *old; /* by new id */
  size_t count;
} kept;

struct dg_trim {
  const dg_base *full;
  dg_rows_fn *rows;
  void *context;
  dg_base *base;
  kept source, own_target;
  const kept *target; /* the second, or the first where one tokenizer serves both */
};

/* --- languages ------------------------------------------------------------------------------ */

static bool chosen(const dg_language *list, size_t count, const char *code) {
  for (size_t i = 0; i < count; i++)
    if (!strcmp(list[i].code, code)) return true;
  return false;
}

/* A language of the base. Of a base that reads any language, "mul", it may be one of those. */
static bool find(const dg_base *full, const char *code, dg_language *out, dg_error *err) {
  const dg_language *l = dg_base_language(full, code, DG_SIDE_BOTH, err);
  if (!l) l = dg_base_language(full, code, DG_SIDE_SOURCE, NULL);
  if (!l) return false;
  *out = *l;
  return strcmp(l->code, "mul") != 0 || dg_lang_canonical(code, out->code, err);
}

static bool choose(const dg_base *full, const char *codes, dg_language *out, size_t *count,
                   dg_error *err) {
  *count = 0;
  char *copy = dg_strdup(codes), *rest = copy;
  bool ok = true, sides[2] = {false};
  for (char *code; ok && (code = strsep(&rest, ", "));) {
    dg_language l;
    if (!*code) continue;
    ok = find(full, code, &l, err);
    if (!ok || chosen(out, *count, l.code)) continue;
    out[(*count)++] = l;
    sides[0] = sides[0] || l.side != DG_SIDE_TARGET;
    sides[1] = sides[1] || l.side != DG_SIDE_SOURCE;
  }
  free(copy);
  if (ok && !(sides[0] && sides[1]))
    ok = dg_fail(err, DG_ERR_USAGE, "--langs %.60s: %s is to be kept, so nothing could be translated",
                 codes, sides[0] ? "no language that the model writes"
                        : sides[1] ? "no language that the model reads" : "no language");
  return ok;
}

/* --- pieces ---------------------------------------------------------------------------------- */

typedef char script[5];

static bool in_their_script(const char *piece, const script *scripts, size_t count) {
  for (size_t i = 0; i < count; i++) /* a language of an unknown script may have any */
    if (!strcmp(scripts[i], "Zyyy") || dg_text_script_share(piece, strlen(piece), scripts[i]) >= 1)
      return true;
  return false;
}

static bool is_character(const char *piece) {
  const char *end = piece + strlen(piece), *p = piece;
  dg_utf8_next(&p, end);
  return p == end;
}

/* Control pieces stay but for tags of other languages and fillers; of the rest those that
 * any text may need, and what stands before it. */
static void keep_needed(const dg_base *full, const dg_tokenizer *t, const dg_language *languages,
                        size_t count, bool by_corpus, bool *keep) {
  script *scripts = dg_calloc(count, sizeof *scripts);
  for (size_t i = 0; i < count; i++) dg_lang_script(languages[i].code, scripts[i]);
  for (int32_t id = 0; id < dg_tokenizer_size(t); id++) {
    const char *piece = dg_tokenizer_piece(t, id);
    if (dg_tokenizer_is_control(t, id)) keep[id] = strncmp(piece, "<filler-", 8) != 0;
    else keep[id] = (!by_corpus || is_character(piece)) && in_their_script(piece, scripts, count);
  }
  free(scripts);
  int32_t items[DG_FORMAT_MAX];
  size_t n = t == full->tokenizer
                 ? dg_format_source(full, -1, -1, NULL, 0, items, DG_FORMAT_MAX)
                 : dg_format_target(full, -1, -1, NULL, 0, items, DG_FORMAT_MAX);
  for (size_t i = 0; i < n; i++)
    if (items[i] >= 0) keep[items[i]] = true;
  for (size_t i = 0; i < full->language_count; i++) {
    const dg_language *l = &full->languages[i];
    if (l->tag >= 0 && l->tag < dg_tokenizer_size(t) && !chosen(languages, count, l->code))
      keep[l->tag] = false;
  }
}

static bool keep_line(const dg_tokenizer *t, char *line, bool *keep, dg_tokens *tokens,
                      dg_error *err) {
  for (char *column; (column = strsep(&line, "\t"));) {
    if (!dg_tokenizer_encode(t, column, strlen(column), tokens, err)) return false;
    for (size_t i = 0; i < tokens->count; i++) keep[tokens->items[i].id] = true;
  }
  return true;
}

static bool keep_corpus(const dg_trim *t, const char *path, dg_error *err) {
  dg_lines *lines = dg_lines_open(path, err);
  if (!lines) return false;
  dg_tokens tokens = {0};
  char *line;
  size_t n, text = 0;
  int more;
  bool ok = true;
  while (ok && (more = dg_lines_next(lines, &line, &n, err)) == 1) {
    char *copy = t->target == &t->source ? NULL : dg_strdup(line);
    ok = keep_line(t->full->tokenizer, line, t->source.keep, &tokens, err) &&
         (!copy || keep_line(t->full->target_tokenizer, copy, t->target->keep, &tokens, err));
    free(copy);
    text += n;
  }
  dg_tokens_free(&tokens);
  dg_lines_close(lines);
  if (!ok || more) return false;
  return text || dg_fail(err, DG_ERR_FORMAT, "%s: there is no text in it", path);
}

static dg_tokenizer *trim_tokenizer(const dg_tokenizer *full, kept *k, dg_error *err) {
  dg_tokenizer *t = dg_tokenizer_trim(full, k->keep, err);
  size_t size = (size_t)dg_tokenizer_size(full);
  free(k->old);
  k->count = 0;
  k->old = dg_calloc(size + 1, sizeof *k->old);
  for (size_t id = 0; t && id < size; id++)
    if (k->keep[id]) k->old[k->count++] = id;
  return t;
}

/* --- the base -------------------------------------------------------------------------------- */

static json_t *card_of(const dg_trim *t, const dg_language *languages, size_t count) {
  json_t *card = json_deep_copy(t->full->card);
  dg_strbuf codes = {0};
  for (size_t i = 0; i < count; i++)
    dg_strbuf_addf(&codes, "%s%s", i ? "," : "", languages[i].code);
  json_object_set_new(card, "trimmed",
                      json_pack("{s:s,s:I,s:I}", "to", codes.text, "pieces",
                                (json_int_t)t->source.count, "of",
                                (json_int_t)t->full->model->config.vocab_size));
  free(codes.text);
  return card;
}

/* Two tokenizers may share ids and an embedding: an id stays for both. */
static bool unite(dg_trim *t) {
  bool more = false;
  for (int32_t id = 0; id < dg_tokenizer_size(t->full->tokenizer); id++)
    if (t->source.keep[id] != t->own_target.keep[id])
      more = t->source.keep[id] = t->own_target.keep[id] = true;
  return more;
}

static bool make_base(dg_trim *t, const dg_language *languages, size_t count, dg_error *err) {
  dg_model_config c = t->full->model->config;
  bool two = t->target != &t->source, united = two && c.tie_source_target;
  dg_tokenizer *source = NULL, *target = NULL;
  do { /* each keeps a few pieces more than it was told */
    if (united) unite(t);
    dg_tokenizer_free(source);
    dg_tokenizer_free(target);
    source = trim_tokenizer(t->full->tokenizer, &t->source, err);
    target = source && two ? trim_tokenizer(t->full->target_tokenizer, &t->own_target, err) : NULL;
  } while (united && target && unite(t));
  dg_model *model = NULL;
  if (source && (target || !two)) {
    c.vocab_size = (int)t->source.count;
    c.target_vocab_size = two ? (int)t->target->count : 0;
    model = dg_model_outline(&c, err);
  }
  if (!model) {
    dg_tokenizer_free(source);
    dg_tokenizer_free(target);
    return false;
  }
  t->base = dg_base_new(model, source, target, languages, count,
                        card_of(t, languages, count), err);
  return t->base != NULL;
}

static bool prepare(dg_trim *t, const dg_language *languages, size_t count,
                    const char *const *corpus, size_t corpus_count, dg_error *err) {
  const dg_tokenizer *tokenizers[] = {t->full->tokenizer, t->full->target_tokenizer};
  kept *sides[] = {&t->source, &t->own_target};
  for (int i = 0; i < 1 + (t->target != &t->source); i++) {
    sides[i]->keep = dg_calloc((size_t)dg_tokenizer_size(tokenizers[i]) + 1, sizeof(bool));
    keep_needed(t->full, tokenizers[i], languages, count, corpus_count > 0, sides[i]->keep);
  }
  for (size_t i = 0; i < corpus_count; i++)
    if (!keep_corpus(t, corpus[i], err)) return false;
  return make_base(t, languages, count, err);
}

dg_trim *dg_trim_new(const dg_base *full, dg_rows_fn *rows, void *context, const char *languages,
                     const char *const *corpus, size_t corpus_count, dg_error *err) {
  dg_trim *t = dg_calloc(1, sizeof *t);
  t->full = full;
  t->rows = rows;
  t->context = context;
  t->target = full->target_tokenizer == full->tokenizer ? &t->source : &t->own_target;
  dg_language *list = dg_calloc(strlen(languages) / 2 + 1, sizeof *list); /* two letters at least */
  size_t count;
  bool ok = choose(full, languages, list, &count, err) &&
            prepare(t, list, count, corpus, corpus_count, err);
  free(list);
  if (ok) return t;
  dg_trim_free(t);
  return NULL;
}

void dg_trim_free(dg_trim *t) {
  if (!t) return;
  free(t->source.keep);
  free(t->source.old);
  free(t->own_target.keep);
  free(t->own_target.old);
  dg_base_free(t->base);
  free(t);
}

const dg_base *dg_trim_base(const dg_trim *t) { return t->base; }

/* --- weights --------------------------------------------------------------------------------- */

/* The side whose ids number the rows of a tensor, or its columns. */
static const kept *side_of(const dg_trim *t, const dg_tensor *x) {
  if (!strcmp(x->name, "embedding") || !strcmp(x->name, "encoder.embedding")) return &t->source;
  if (!strcmp(x->name, "decoder.embedding") || !strcmp(x->name, "output.weight") ||
      !strcmp(x->name, "output.bias"))
    return t->target;
  return NULL;
}

static bool read_kept_columns(const dg_trim *t, const dg_tensor *full, const kept *k, float *out,
                              dg_error *err) {
  float *row = dg_malloc(full->cols * sizeof *row);
  bool ok = t->rows(t->context, full, 0, 1, row, err);
  for (size_t i = 0; i < k->count && ok; i++) out[i] = row[k->old[i]];
  free(row);
  return ok;
}

static bool read_kept_rows(const dg_trim *t, const dg_tensor *full, const kept *k, size_t first,
                           size_t count, float *out, dg_error *err) {
  for (size_t i = first, run; i < first + count; i += run) {
    for (run = 1; i + run < first + count && k->old[i + run] == k->old[i] + run;) run++;
    if (!t->rows(t->context, full, k->old[i], run, out + (i - first) * full->cols, err))
      return false;
  }
  size_t last = k->old[k->count - 1];
  if (first + count < k->count || last + 1 == full->rows) return true;
  /* Damage shows only to who reads a tensor to its end. */
  float *row = dg_malloc(full->cols * sizeof *row);
  bool ok = t->rows(t->context, full, full->rows - 1, 1, row, err);
  free(row);
  return ok;
}

bool dg_trim_rows(void *trim, const dg_tensor *x, size_t first, size_t count, float *out,
                  dg_error *err) {
  const dg_trim *t = trim;
  const kept *k = side_of(t, x);
  if (!k) return t->rows(t->context, x, first, count, out, err);
  const dg_tensor *full = dg_params_find(&t->full->model->params, x->name);
  return x->rows == 1 ? read_kept_columns(t, full, k, out, err)
                      : read_kept_rows(t, full, k, first, count, out, err);
}
