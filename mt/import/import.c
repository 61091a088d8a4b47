#include "mt/import/import.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mt/core/mem.h"
#include "mt/import/family.h"
#include "mt/import/pieces.h"
#include "mt/import/trim.h"

/* What one import has at hand. */
typedef struct import {
  const char *directory;
  dg_family_config config;
  dg_pieces *pieces;
  bool has_ids; /* the pieces stand at their token ids, tags among them */
  json_t *vocabulary, *tokenizer_config, *special_tokens, *added_tokens; /* NULL: no such file */
  size_t size;                                                       /* token ids */
  dg_language *languages;
  size_t language_count, language_capacity;
} import;

static char *path_of(const import *m, const char *name) {
  return dg_format("%s/%s", m->directory, name);
}

/* An object; an absent file leaves it NULL. */
static bool read_json(const import *m, const char *name, size_t flags, json_t **out,
                      dg_error *err) {
  char *path = path_of(m, name);
  json_error_t where;
  *out = access(path, F_OK) ? NULL : json_load_file(path, flags, &where);
  bool ok = *out ? json_is_object(*out) : access(path, F_OK) != 0;
  if (!ok) dg_fail(err, DG_ERR_FORMAT, "%s: %s", path, *out ? "no object" : where.text);
  free(path);
  return ok;
}

static bool load_pieces(import *m, dg_error *err) {
  static const char *const names[] = {"sentencepiece.bpe.model", "sentencepiece.model",
                                      "spiece.model", "tokenizer.json"};
  enum { NAMES = sizeof names / sizeof *names };
  for (size_t i = 0; i < NAMES; i++) {
    char *path = path_of(m, names[i]);
    bool there = !access(path, F_OK);
    m->has_ids = i == NAMES - 1;
    if (there)
      m->pieces = dg_pieces_of(m->has_ids ? dg_tokenizer_load_hf(path, err)
                                          : dg_tokenizer_load_file(path, err), err);
    free(path);
    if (there) return m->pieces != NULL;
  }
  return dg_fail(err, DG_ERR_IO, "%s: there is no %s, %s, %s or %s in it", m->directory, names[0],
                 names[1], names[2], names[3]);
}

/* --- token ids ---------------------------------------------------------------------------- */

static bool outside(const import *m, const char *piece, dg_error *err) {
  return dg_fail(err, DG_ERR_FORMAT,
                 "%s: the tokenizer's \"%.60s\" is outside the vocabulary of %zu that config.json "
                 "states",
                 m->directory, piece, m->size);
}

/* M2M-100 looks pieces up in vocab.json as strings. */
static bool place_by_vocabulary(import *m, dg_error *err) {
  size_t placed = 0, words = 0, count = dg_pieces_count(m->pieces);
  json_t *order = json_object(); /* text to number of the piece */
  for (size_t i = 0; i < count; i++) {
    json_object_set_new(order, dg_pieces_text(m->pieces, i), json_integer((json_int_t)i));
    words += !dg_pieces_is_special(m->pieces, i);
  }
  bool ok = true;
  const char *text;
  json_t *value;
  json_object_foreach(m->vocabulary, text, value) {
    json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
    const json_t *found = json_object_get(order, text);
    size_t i = (size_t)json_integer_value(found);
    ok = id >= 0 && (found ? dg_pieces_place(m->pieces, m->size, (size_t)id, i)
                           : dg_pieces_name(m->pieces, m->size, (size_t)id, text));
    if (!ok) {
      outside(m, text, err);
      break;
    }
    placed += found && !dg_pieces_is_special(m->pieces, i);
  }
  if (ok && placed != words)
    for (size_t i = 0; i < count && ok; i++)
      if (!dg_pieces_is_special(m->pieces, i) &&
          !json_object_get(m->vocabulary, dg_pieces_text(m->pieces, i)))
        ok = dg_fail(err, DG_ERR_UNSUPPORTED,
                     "%s: vocab.json has no id for the sentencepiece piece \"%.60s\"",
                     m->directory, dg_pieces_text(m->pieces, i));
  json_decref(order);
  return ok;
}

/* fairseq: four specials of its own, then the pieces from the fourth on. */
static bool place_by_offset(import *m, dg_error *err) {
  static const char *const specials[] = {"<s>", "<pad>", "</s>"};
  size_t count = dg_pieces_count(m->pieces);
  for (size_t i = 0; i < 3; i++)
    if (i >= count || !dg_pieces_is_special(m->pieces, i))
      return dg_fail(err, DG_ERR_UNSUPPORTED,
                     "%s: its sentencepiece model does not begin with <unk>, <s> and </s>",
                     m->directory);
  for (size_t i = 0; i < 3; i++)
    if (!dg_pieces_name(m->pieces, m->size, i, specials[i])) return outside(m, specials[i], err);
  for (size_t i = 0; i < count; i++)
    if (i != 1 && i != 2 && !dg_pieces_place(m->pieces, m->size, i ? i + 1 : 3, i))
      return outside(m, dg_pieces_text(m->pieces, i), err);
  return true;
}

static bool place_as_they_are(import *m, dg_error *err) {
  for (size_t i = 0; i < dg_pieces_count(m->pieces); i++)
    if (!dg_pieces_place(m->pieces, m->size, i, i))
      return outside(m, dg_pieces_text(m->pieces, i), err);
  return true;
}

/* --- languages ----------------------------------------------------------------------------- */

/* The code in __gl__, <2gl>, gl_ES or glg_Latn, which need not be one. */
static bool tag_code(const import *m, const char *tag, char out[DG_LANG_MAX]) {
  char code[DG_LANG_MAX];
  size_t n = strlen(tag), open = 0, close = 0;
  if (!strncmp(tag, "__", 2) && n > 4 && !strcmp(tag + n - 2, "__")) open = close = 2;
  else if (!strncmp(tag, "<2", 2) && n > 3 && tag[n - 1] == '>') open = 2, close = 1;
  else if (m->config.family == DG_FAMILY_T5 || *tag < 'a' || *tag > 'z' || !strchr(tag, '_'))
    return false;
  n -= open + close;
  if (n >= sizeof code) return false;
  memcpy(code, tag + open, n);
  code[n] = 0;
  /* mBART's countries tell nothing (ar_AR, en_XX): it has each language once. */
  if (m->config.family == DG_FAMILY_MBART) code[strcspn(code, "_")] = 0;
  return dg_lang_canonical(code, out, NULL);
}

/* Whatever the family calls it, its tag is named by its code. Of two tags for one
 * language the first has the code, the other keeps its own name. */
static bool add_tag(import *m, size_t id, const char *tag, dg_error *err) {
  char code[DG_LANG_MAX] = "", name[DG_LANG_MAX + 4];
  bool language = tag_code(m, tag, code);
  for (size_t i = 0; language && i < m->language_count; i++)
    language = strcmp(m->languages[i].code, code) != 0;
  snprintf(name, sizeof name, "<2%s>", code);
  if (!dg_pieces_name(m->pieces, m->size, id, language ? name : tag)) return outside(m, tag, err);
  if (!language) return true;
  DG_GROW(m->languages, m->language_capacity, m->language_count + 1);
  dg_language *l = &m->languages[m->language_count++];
  *l = (dg_language){.side = DG_SIDE_BOTH};
  memcpy(l->code, code, sizeof l->code);
  return true;
}

static const char *content(const json_t *token) {
  return json_is_object(token) ? json_string_value(json_object_get(token, "content"))
                               : json_string_value(token);
}

static bool is_tag(const import *m, const char *text) {
  char code[DG_LANG_MAX];
  return text && tag_code(m, text, code);
}

typedef struct stated {
  size_t id;
  const char *tag;
} stated;

static int by_id(const void *a, const void *b) {
  const stated *x = a, *y = b;
  return x->id < y->id ? -1 : x->id > y->id;
}

/* Tags with their ids, as newer files state them, in whatever order. */
static bool add_stated_tags(import *m, dg_error *err) {
  json_t *decoder = json_object_get(m->tokenizer_config, "added_tokens_decoder"), *value;
  stated *list = dg_calloc(
      json_object_size(decoder) + json_object_size(m->added_tokens) + 1, sizeof *list);
  size_t count = 0;
  const char *key;
  json_object_foreach(decoder, key, value)
    if (is_tag(m, content(value))) list[count++] = (stated){strtoul(key, NULL, 10), content(value)};
  bool decoded = count > 0;
  json_object_foreach(m->added_tokens, key, value)
    if (!decoded && is_tag(m, key) && json_integer_value(value) > 0)
      list[count++] = (stated){(size_t)json_integer_value(value), key};
  qsort(list, count, sizeof *list, by_id);
  bool ok = true;
  for (size_t i = 0; i < count && ok; i++) ok = add_tag(m, list[i].id, list[i].tag, err);
  free(list);
  return ok;
}

/* M2M-100's tags are often in no file but in its class. */
static const char *const m2m100_tags[] = {
    "__af__", "__am__", "__ar__", "__ast__", "__az__", "__ba__", "__be__", "__bg__", "__bn__",
    "__br__", "__bs__", "__ca__", "__ceb__", "__cs__", "__cy__", "__da__", "__de__", "__el__",
    "__en__", "__es__", "__et__", "__fa__", "__ff__", "__fi__", "__fr__", "__fy__", "__ga__",
    "__gd__", "__gl__", "__gu__", "__ha__", "__he__", "__hi__", "__hr__", "__ht__", "__hu__",
    "__hy__", "__id__", "__ig__", "__ilo__", "__is__", "__it__", "__ja__", "__jv__", "__ka__",
    "__kk__", "__km__", "__kn__", "__ko__", "__lb__", "__lg__", "__ln__", "__lo__", "__lt__",
    "__lv__", "__mg__", "__mk__", "__ml__", "__mn__", "__mr__", "__ms__", "__my__", "__ne__",
    "__nl__", "__no__", "__ns__", "__oc__", "__or__", "__pa__", "__pl__", "__ps__", "__pt__",
    "__ro__", "__ru__", "__sd__", "__si__", "__sk__", "__sl__", "__so__", "__sq__", "__sr__",
    "__ss__", "__su__", "__sv__", "__sw__", "__ta__", "__th__", "__tl__", "__tn__", "__tr__",
    "__uk__", "__ur__", "__uz__", "__vi__", "__wo__", "__xh__", "__yi__", "__yo__", "__zh__",
    "__zu__"};

/* Tags in their order, from `first` on. */
static bool add_listed_tags(import *m, const json_t *list, size_t first, dg_error *err) {
  size_t i;
  json_t *token;
  json_array_foreach(list, i, token)
    if (is_tag(m, content(token)) && !add_tag(m, first++, content(token), err)) return false;
  return true;
}

static bool add_languages(import *m, dg_error *err) {
  if (m->has_ids) { /* tags are pieces, where there are any */
    for (size_t i = 0; i < dg_pieces_count(m->pieces); i++)
      if (is_tag(m, dg_pieces_text(m->pieces, i)) &&
          !add_tag(m, i, dg_pieces_text(m->pieces, i), err))
        return false;
    return true;
  }
  size_t first = m->vocabulary ? json_object_size(m->vocabulary) : dg_pieces_count(m->pieces) + 1;
  const json_t *files[] = {m->tokenizer_config, m->special_tokens};
  bool ok = add_stated_tags(m, err);
  for (int i = 0; i < 2 && ok && !m->language_count; i++)
    ok = add_listed_tags(m, json_object_get(files[i], "additional_special_tokens"), first, err);
  if (ok && !m->language_count && m->vocabulary)
    for (size_t i = 0; i < sizeof m2m100_tags / sizeof *m2m100_tags && ok; i++)
      ok = add_tag(m, first + i, m2m100_tags[i], err);
  if (ok && !m->language_count)
    ok = dg_fail(err, DG_ERR_FORMAT,
                 "%s: no language tags in tokenizer_config.json, added_tokens.json or "
                 "special_tokens_map.json",
                 m->directory);
  return ok;
}

/* --- formats -------------------------------------------------------------------------------- */

/* The class that transformers loads the tokenizer with, "" when not stated. */
static const char *tokenizer_class(const import *m) {
  const char *class = json_string_value(json_object_get(m->tokenizer_config, "tokenizer_class"));
  return class ? class : "";
}

/* SMaLL-100 is an M2M-100 that has its target's tag in the source. */
static bool is_small100(const import *m) {
  char *code = path_of(m, "tokenization_small100.py");
  bool there = !access(code, F_OK);
  free(code);
  return there || !strncasecmp(tokenizer_class(m), "small100", 8);
}

static bool set_formats(import *m, dg_error *err) {
  dg_model_config *c = &m->config.model;
  const char *start = dg_pieces_at(m->pieces, (size_t)m->config.decoder_start);
  if (!start || strchr(start, ' ') || strlen(start) > DG_FORMAT_MAX - 24)
    return dg_fail(err, DG_ERR_FORMAT, "%s: decoder_start_token_id %d is no piece", m->directory,
                   m->config.decoder_start);
  if (!strncmp(tokenizer_class(m), "MBartTokenizer", 14)) /* tags at the end, and begins with one */
    return dg_fail(err, DG_ERR_UNSUPPORTED,
                   "%s: \"tokenizer_class\": \"%.40s\": of mBART only mBART-50 is imported",
                   m->directory, tokenizer_class(m));
  bool t5 = m->config.family == DG_FAMILY_T5;
  bool legacy = json_is_true(json_object_get(m->tokenizer_config, "legacy_behaviour"));
  bool in_source = t5 || (m->config.family == DG_FAMILY_M2M100 && is_small100(m));
  const char *source = t5 && !m->language_count ? "X </s>"
                       : in_source          ? "<tgt> X </s>"
                       : legacy             ? "X </s> <src>"
                                            : "<src> X </s>";
  snprintf(c->source_format, sizeof c->source_format, "%s", source);
  snprintf(c->target_format, sizeof c->target_format, "%s %sX </s>", start,
           in_source ? "" : "<tgt> ");
  snprintf(c->tag_format, sizeof c->tag_format, "<2%%s>");
  return true;
}

static dg_tokenizer *make_tokenizer(import *m, dg_error *err) {
  if (m->config.family == DG_FAMILY_MARIAN) {
    dg_fail(err, DG_ERR_UNSUPPORTED,
            "%s: \"model_type\": \"marian\": models with a sentencepiece model for each side are "
            "not imported",
            m->directory);
    return NULL;
  }
  m->size = (size_t)m->config.model.vocab_size;
  /* The length limit of tokenizer_config.json is often 10^30: no integer. */
  if (!load_pieces(m, err) || !read_json(m, "vocab.json", 0, &m->vocabulary, err) ||
      !read_json(m, "tokenizer_config.json", JSON_DECODE_INT_AS_REAL, &m->tokenizer_config, err) ||
      !read_json(m, "special_tokens_map.json", 0, &m->special_tokens, err) ||
      !read_json(m, "added_tokens.json", 0, &m->added_tokens, err))
    return NULL;
  m->has_ids = m->has_ids || m->config.family == DG_FAMILY_T5;
  bool ok = m->has_ids      ? place_as_they_are(m, err)
            : m->vocabulary ? place_by_vocabulary(m, err)
                            : place_by_offset(m, err);
  if (!ok || !add_languages(m, err) || !set_formats(m, err)) return NULL;
  dg_tokenizer *t = dg_pieces_tokenizer(m->pieces, m->size, err);
  if (t && dg_tokenizer_eos(t) != m->config.eos) {
    dg_fail(err, DG_ERR_FORMAT, "%s: </s> has id %d, but \"eos_token_id\" is %d", m->directory,
            dg_tokenizer_eos(t), m->config.eos);
    dg_tokenizer_free(t);
    t = NULL;
  }
  return t;
}

/* --- the base ------------------------------------------------------------------------------- */

typedef struct weights {
  const dg_family_config *config;
  dg_checkpoint *checkpoint;
} weights;

static bool read_rows(void *context, const dg_tensor *t, size_t first, size_t count, float *out,
                      dg_error *err) {
  const weights *w = context;
  return dg_family_rows(w->config, w->checkpoint, t, first, count, out, err);
}

/* All but the weights. */
static dg_base *make_base(import *m, dg_error *err) {
  static const char *const families[] = {"m2m_100", "mbart", "marian", "t5"};
  dg_tokenizer *tokenizer = make_tokenizer(m, err);
  dg_model *model = tokenizer ? dg_model_outline(&m->config.model, err) : NULL;
  if (!model) {
    dg_tokenizer_free(tokenizer);
    return NULL;
  }
  json_t *card = json_object();
  json_object_set_new(card, "imported_from", json_string(families[m->config.family]));
  return dg_base_new(model, tokenizer, NULL, m->languages, m->language_count, card, err);
}

typedef struct watched {
  dg_rows_fn *rows;
  void *context;
  const dg_import_options *o;
  size_t done, all;
} watched;

/* The rows of another source; meanwhile the caller hears how far it is, and may stop it. */
static bool watched_rows(void *context, const dg_tensor *t, size_t first, size_t count, float *out,
                         dg_error *err) {
  watched *w = context;
  if (w->o->stop && w->o->stop(w->o->context))
    return dg_fail(err, DG_ERR_INTERRUPTED, "interrupted: nothing was written");
  w->done += count * t->cols;
  if (w->o->progress) w->o->progress(w->o->context, w->done, w->all);
  return w->rows(w->context, t, first, count, out, err);
}

/* Writes it, trimmed when languages are named. */
static bool write_base(const dg_base *full, weights *w, const char *path,
                       const dg_import_options *o, dg_import_report *report, dg_error *err) {
  dg_trim *trim = NULL;
  const dg_base *b = full;
  if (o->languages) {
    trim = dg_trim_new(full, read_rows, w, o->languages, o->corpus, o->corpus_count, err);
    if (!trim) return false;
    b = dg_trim_base(trim);
  }
  watched rows = {trim ? dg_trim_rows : read_rows, trim ? (void *)trim : w, o, 0,
                  dg_params_count(&b->model->params)};
  bool ok = dg_base_write(b, watched_rows, &rows, path, o->storage, report->hash, err);
  report->languages = b->language_count;
  report->pieces = (size_t)b->model->config.vocab_size;
  report->weights = dg_params_count(&b->model->params);
  report->all_pieces = (size_t)full->model->config.vocab_size;
  report->all_weights = dg_params_count(&full->model->params);
  dg_trim_free(trim);
  return ok;
}

bool dg_import(const char *directory, const char *base, const dg_import_options *o,
               dg_import_report *report, dg_error *err) {
  import m = {.directory = directory};
  char *config = path_of(&m, "config.json");
  dg_base *b = dg_family_config_read(config, &m.config, err) ? make_base(&m, err) : NULL;
  weights w = {&m.config, b ? dg_checkpoint_open(directory, err) : NULL};
  bool ok = w.checkpoint && write_base(b, &w, base, o, report, err);
  dg_checkpoint_close(w.checkpoint);
  dg_base_free(b);
  free(config);
  free(m.languages);
  json_decref(m.vocabulary);
  json_decref(m.tokenizer_config);
  json_decref(m.special_tokens);
  json_decref(m.added_tokens);
  dg_pieces_free(m.pieces);
  return ok;
}
