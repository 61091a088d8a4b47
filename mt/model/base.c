#include "mt/model/base.h"

#include <stdlib.h>
#include <string.h>

#include "mt/core/mem.h"

enum { POSITION_FLOATS_MOST = 1 << 28 };

static void tag_piece(const dg_model_config *c, const char *code, char *out, size_t size) {
  const char *mark = strstr(c->tag_format, "%s");
  snprintf(out, size, "%.*s%s%s", (int)(mark - c->tag_format), c->tag_format, code, mark + 2);
}

/* Moves on to the next item of a format; its length, 0 at the end. */
static size_t next_item(const char **p) {
  *p += strspn(*p, " ");
  return strcspn(*p, " ");
}

static bool has_item(const char *format, const char *item) {
  size_t n = strlen(item);
  for (const char *p = format; (p = strstr(p, item)); p += n)
    if ((p == format || p[-1] == ' ') && (!p[n] || p[n] == ' ')) return true;
  return false;
}

/* Whether some format has the tag of a language on that side. */
static bool is_told(const dg_model_config *c, dg_side side) {
  bool source = has_item(c->source_format, "<src>") || has_item(c->target_format, "<src>");
  bool target = has_item(c->source_format, "<tgt>") || has_item(c->target_format, "<tgt>");
  return (source && side != DG_SIDE_TARGET) || (target && side != DG_SIDE_SOURCE);
}

static bool set_languages(dg_base *b, const dg_language *languages, size_t count, dg_error *err) {
  b->languages = dg_calloc(count + 1, sizeof *b->languages);
  for (size_t i = 0; i < count; i++) {
    dg_language *l = &b->languages[b->language_count++];
    char piece[2 * DG_LANG_MAX];
    l->side = languages[i].side;
    if (!dg_lang_canonical(languages[i].code, l->code, err)) return false;
    tag_piece(&b->model->config, l->code, piece, sizeof piece);
    l->tag = dg_tokenizer_id(b->tokenizer, piece);
    bool told = is_told(&b->model->config, l->side);
    if (!told) l->tag = -1;
    const char *format = b->model->config.target_format;
    bool in_target = has_item(format, "<src>") || has_item(format, "<tgt>");
    if (told && (l->tag < 0 || l->tag >= b->model->config.vocab_size ||
                 (in_target && dg_tokenizer_id(b->target_tokenizer, piece) != l->tag)))
      return dg_fail(err, DG_ERR_FORMAT, "the tokenizer has no piece \"%s\" for language %s", piece,
                     l->code);
  }
  return true;
}

/* Every item of a format must be something the tokenizer knows. */
static bool check_items(const dg_tokenizer *t, const char *format, dg_error *err) {
  size_t n;
  for (const char *p = format; (n = next_item(&p)); p += n) {
    char item[DG_FORMAT_MAX];
    memcpy(item, p, n);
    item[n] = 0;
    if (!strcmp(item, "X") || !strcmp(item, "<src>") || !strcmp(item, "<tgt>")) continue;
    if (dg_tokenizer_id(t, item) < 0)
      return dg_fail(err, DG_ERR_FORMAT, "the tokenizer has no piece \"%s\" of the format \"%s\"",
                     item, format);
  }
  return true;
}

/* The decoder begins with what stands before X, and a translation ends where it says so. */
static bool check_target(const dg_tokenizer *t, const char *format, dg_error *err) {
  size_t before = 0, n;
  const char *p = format;
  for (; (n = next_item(&p)) && !(n == 1 && *p == 'X'); p += n) before++;
  if (!before || before > DG_PREFIX_MOST)
    return dg_fail(err, DG_ERR_FORMAT,
                   "the target_format \"%s\" has %zu items before X, and the decoder begins with 1 "
                   "to %d",
                   format, before, DG_PREFIX_MOST);
  const char *end = dg_tokenizer_piece(t, dg_tokenizer_eos(t));
  p += n;
  n = next_item(&p);
  if (end && strlen(end) == n && !strncmp(p, end, n)) return true;
  return dg_fail(err, DG_ERR_FORMAT,
                 "the target_format \"%s\" does not go on after X with \"%s\", which ends a "
                 "translation",
                 format, end ? end : "</s>");
}

static bool check_size(const dg_tokenizer *t, int vocab, dg_error *err) {
  return dg_tokenizer_size(t) <= vocab ||
         dg_fail(err, DG_ERR_FORMAT, "the tokenizer has %d pieces but the model's vocabulary %d",
                 dg_tokenizer_size(t), vocab);
}

dg_base *dg_base_new(dg_model *model, dg_tokenizer *tokenizer, dg_tokenizer *target_tokenizer,
                     const dg_language *languages, size_t language_count, json_t *card,
                     dg_error *err) {
  dg_base *b = dg_calloc(1, sizeof *b);
  b->model = model;
  b->tokenizer = tokenizer;
  b->target_tokenizer = target_tokenizer ? target_tokenizer : tokenizer;
  b->card = card ? card : json_object();
  bool ok = set_languages(b, languages, language_count, err) &&
            check_items(tokenizer, model->config.source_format, err) &&
            check_items(b->target_tokenizer, model->config.target_format, err) &&
            check_target(b->target_tokenizer, model->config.target_format, err) &&
            check_size(tokenizer, model->config.vocab_size, err) &&
            check_size(b->target_tokenizer, dg_target_vocab(&model->config), err);
  if (ok) return b;
  dg_base_free(b);
  return NULL;
}

void dg_base_free(dg_base *b) {
  if (!b) return;
  dg_model_free(b->model);
  if (b->target_tokenizer != b->tokenizer) dg_tokenizer_free(b->target_tokenizer);
  dg_tokenizer_free(b->tokenizer);
  free(b->languages);
  json_decref(b->card);
  dg_safetensors_close(b->file);
  free(b);
}

static void add_tokenizer(dg_st_writer *w, const char *name, const dg_tokenizer *t) {
  size_t size;
  const void *bytes = dg_tokenizer_bytes(t, &size);
  dg_st_writer_add(w, name, DG_U8, 1, &size, bytes);
}

bool dg_base_save(const dg_base *b, const char *path, dg_storage storage, char hash[DG_HASH_TEXT],
                  dg_error *err) {
  return dg_base_write(b, dg_weights_in_memory, NULL, path, storage, hash, err);
}

bool dg_base_write(const dg_base *b, dg_rows_fn *rows, void *context, const char *path,
                   dg_storage storage, char hash[DG_HASH_TEXT], dg_error *err) {
  dg_st_writer *w = dg_st_writer_new();
  dg_weights_begin(w, "dragoman.base");
  json_t *config = dg_options_to_json(dg_model_config_options, &b->model->config);
  dg_weights_add_json(w, "config", config);
  json_decref(config);
  dg_weights_add_languages(w, b->languages, b->language_count);
  dg_weights_add_json(w, "card", b->card);
  add_tokenizer(w, "tokenizer", b->tokenizer);
  if (b->target_tokenizer != b->tokenizer)
    add_tokenizer(w, "target_tokenizer", b->target_tokenizer);
  bool ok = dg_weights_write(w, &b->model->params, rows, context, path, storage, hash, err);
  dg_st_writer_free(w);
  return ok;
}

/* --- copies ------------------------------------------------------------------------------- */

static void copy_rows(dg_tensor *to, const dg_tensor *from) {
  bool vector = from->rows == 1; /* grown, if at all, in its width */
  dg_matrix m = {.block = {from->held}};
  dg_matrix_rows(&m, from->cols, 0, vector ? 1 : from->rows, to->value);
}

/* The tokenizer as it is, or with tags; the same for both sides stays so. */
static dg_tokenizer *copy_tokenizer(const dg_tokenizer *t, char (*tags)[2 * DG_LANG_MAX],
                                    size_t count, int32_t first, dg_error *err) {
  const char **list = dg_calloc(count + 1, sizeof *list);
  for (size_t i = 0; i < count; i++) list[i] = tags[i];
  size_t n;
  const void *bytes = dg_tokenizer_bytes(t, &n);
  dg_tokenizer *copy = count ? dg_tokenizer_with_tags(t, list, count, first, err)
                             : dg_tokenizer_load(bytes, n, err);
  free(list);
  return copy;
}

dg_base *dg_base_copy(const dg_base *b, const dg_language *more, size_t more_count,
                      dg_error *err) {
  dg_model_config c = b->model->config;
  int32_t first = dg_first_extra(&c);
  char(*tags)[2 * DG_LANG_MAX] = dg_calloc(more_count + 1, sizeof *tags);
  dg_language *all = dg_calloc(b->language_count + more_count, sizeof *all);
  size_t told = 0;
  memcpy(all, b->languages, b->language_count * sizeof *all);
  for (size_t i = 0; i < more_count; i++) {
    all[b->language_count + i] = more[i];
    tag_piece(&c, more[i].code, tags[i], sizeof *tags);
    if (is_told(&c, more[i].side)) told = more_count; /* then all have a place, in their order */
  }
  dg_model *model = NULL;
  dg_tokenizer *t = NULL, *target = NULL;
  dg_base *copy = NULL;
  if (told && dg_target_vocab(&c) != first) {
    dg_fail(err, DG_ERR_UNSUPPORTED,
            "the base has %d pieces for sources and %d for targets: a tag has no place there",
            c.vocab_size, dg_target_vocab(&c));
    goto done;
  }
  if (told) c.vocab_size = first + (int)told;
  if (told && c.target_vocab_size) c.target_vocab_size = c.vocab_size;
  t = copy_tokenizer(b->tokenizer, tags, told, first, err);
  bool one = b->target_tokenizer == b->tokenizer;
  if (t && !one) target = copy_tokenizer(b->target_tokenizer, tags, told, first, err);
  if (!t || (!one && !target) || !(model = dg_model_new(&c, err))) goto done;
  for (size_t i = 0; i < model->params.count; i++)
    copy_rows(&model->params.tensors[i], &b->model->params.tensors[i]);
  copy = dg_base_new(model, t, target, all, b->language_count + more_count,
                     json_deep_copy(b->card), err);
  model = NULL, t = target = NULL;
done:
  free(tags);
  free(all);
  dg_model_free(model);
  dg_tokenizer_free(t);
  dg_tokenizer_free(target);
  return copy;
}

/* --- reading ------------------------------------------------------------------------------- */

/* NULL without an error where the file has none and need not. */
static dg_tokenizer *read_tokenizer(const dg_safetensors *s, const char *name, bool needed,
                                    bool *ok, dg_error *err) {
  const dg_st_tensor *bytes = dg_safetensors_find(s, name);
  dg_tokenizer *t = NULL;
  if (bytes && bytes->dtype == DG_U8) *ok = (t = dg_tokenizer_load(bytes->data, bytes->bytes, err));
  else *ok = (!bytes && !needed) || dg_weights_missing(name, err);
  return t;
}

/* What the file holds bounds what its configuration may make us allocate, but for positions that
 * are computed. */
static bool plausible(const dg_safetensors *s, const dg_model_config *c, dg_error *err) {
  double bytes = 0, d = c->d_model, h = (double)c->heads * c->head_dim;
  for (size_t i = 0; i < dg_safetensors_count(s); i++)
    bytes += (double)dg_safetensors_at(s, i)->bytes;
  double layer = 4 * d * h + 2 * d * c->ffn_dim;
  double vocab = c->vocab_size + (c->tie_source_target ? 0.0 : dg_target_vocab(c));
  double least = vocab * d + (c->encoder_layers + c->decoder_layers) * layer;
  if (least > bytes || c->max_positions * d > POSITION_FLOATS_MOST)
    return dg_fail(err, DG_ERR_FORMAT,
                   "its configuration asks for %.0f weights and %d positions; it holds %.0f bytes",
                   least, c->max_positions, bytes);
  return true;
}

static dg_base *read_base(const dg_safetensors *s, dg_error *err) {
  if (!dg_weights_check(s, "dragoman.base", "a base", err)) return NULL;
  dg_model *model = NULL;
  dg_tokenizer *tokenizer = NULL, *target = NULL;
  dg_base *b = NULL;
  dg_language *known = NULL;
  size_t count = 0;
  bool ok;
  json_t *config = dg_weights_json(s, "config", JSON_OBJECT, err);
  json_t *card = config ? dg_weights_json(s, "card", JSON_OBJECT, err) : NULL;
  dg_model_config c;
  if (!card || !dg_options_from_json(dg_model_config_options, &c, config, err) ||
      !dg_model_config_check(&c, err) || !plausible(s, &c, err))
    goto done;
  tokenizer = read_tokenizer(s, "tokenizer", true, &ok, err);
  if (ok) target = read_tokenizer(s, "target_tokenizer", false, &ok, err);
  if (!ok || !(known = dg_weights_languages(s, &count, err)) ||
      !(model = dg_model_outline(&c, err)) || !dg_weights_find(s, &model->params, err) ||
      !dg_model_hold(model, err))
    goto done;
  b = dg_base_new(model, tokenizer, target, known, count, card, err);
  model = NULL, tokenizer = target = NULL, card = NULL;
  if (b) memcpy(b->hash, dg_safetensors_hash(s), sizeof b->hash);
done:
  free(known);
  dg_model_free(model);
  dg_tokenizer_free(tokenizer);
  dg_tokenizer_free(target);
  json_decref(config);
  json_decref(card);
  return b;
}

dg_base *dg_base_load(const char *path, dg_error *err) {
  dg_safetensors *s = dg_safetensors_open(path, false, err);
  if (!s) return NULL;
  dg_base *b = read_base(s, err);
  if (!b) dg_weights_blame(err, path);
  if (b) b->file = s;
  else dg_safetensors_close(s);
  if (b && !dg_model_freeze(b->model, err)) {
    dg_base_free(b);
    b = NULL;
  }
  return b;
}

/* --- formats ----------------------------------------------------------------------------- */

static size_t format_ids(const dg_tokenizer *t, const char *format, int32_t source_tag,
                         int32_t target_tag, const int32_t *ids, size_t n, int32_t *out,
                         size_t capacity) {
  size_t count = 0, after = 0, length;
  const char *x = NULL;
  for (const char *p = format; (length = next_item(&p)); p += length) {
    if (length == 1 && *p == 'X') x = p;
    else if (x) after++; /* must fit, too */
  }
  for (const char *p = format; count < capacity && (length = next_item(&p)); p += length) {
    if (p == x) {
      if (!ids) return count;
      size_t room = capacity - count > after ? capacity - count - after : 0;
      if (n > room) n = room;
      memcpy(out + count, ids, n * sizeof *out);
      count += n;
    } else if (length == 5 && !strncmp(p, "<src>", 5)) {
      out[count++] = source_tag;
    } else if (length == 5 && !strncmp(p, "<tgt>", 5)) {
      out[count++] = target_tag;
    } else {
      char piece[DG_FORMAT_MAX];
      memcpy(piece, p, length);
      piece[length] = 0;
      out[count++] = dg_tokenizer_id(t, piece); /* there: dg_base_new looked */
    }
  }
  return count;
}

size_t dg_format_source(const dg_base *b, int32_t source_tag, int32_t target_tag,
                        const int32_t *ids, size_t n, int32_t *out, size_t capacity) {
  return format_ids(b->tokenizer, b->model->config.source_format, source_tag, target_tag, ids, n,
                    out, capacity);
}

size_t dg_format_target(const dg_base *b, int32_t source_tag, int32_t target_tag,
                        const int32_t *ids, size_t n, int32_t *out, size_t capacity) {
  return format_ids(b->target_tokenizer, b->model->config.target_format, source_tag, target_tag,
                    ids, n, out, capacity);
}
