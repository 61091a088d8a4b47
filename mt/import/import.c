#include "mt/import/import.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mt/core/lines.h"
#include "mt/core/mem.h"
#include "mt/import/added.h"
#include "mt/import/prefix.h"
#include "mt/import/source.h"
#include "mt/import/trim.h"
#include "mt/import/vocabulary.h"

/* What one import has at hand. */
typedef struct import {
  const char *directory;
  dg_source *source;
  dg_pieces *pieces;
  bool has_ids; /* the pieces stand at their token ids, tags among them */
  dg_vocabulary vocabulary; /* empty: no such file */
  json_t *tokenizer_config, *special_tokens, *added_tokens; /* NULL: no such file */
  size_t size;                                                       /* token ids */
} import;

static bool has(const char *directory, const char *name) {
  char *path = dg_format("%s/%s", directory, name);
  bool there = !access(path, F_OK);
  free(path);
  return there;
}

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

/* A tag at an id of the vocabulary; it serves either side, except in an mBART-50 of many
 * languages to one. */
static bool add_tag(import *m, size_t id, const char *tag, dg_error *err) {
  const dg_family_config *c = &m->source->config;
  bool read_only = c->forced_first >= 0 && (size_t)c->forced_first != id;
  return dg_languages_add_tag(&m->source->languages, m->pieces, m->size, id, c->family, tag,
                              read_only ? DG_SIDE_SOURCE : DG_SIDE_BOTH) ||
         outside(m, tag, err);
}

static bool is_tag(const import *m, const char *text) {
  char code[DG_LANG_MAX];
  return text && dg_tag_code(m->source->config.family, text, code);
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
  json_object_foreach(decoder, key, value) {
    const char *tag = dg_token_text(value);
    if (is_tag(m, tag)) list[count++] = (stated){strtoul(key, NULL, 10), tag};
  }
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
  json_array_foreach(list, i, token) {
    const char *tag = dg_token_text(token);
    if (is_tag(m, tag) && !add_tag(m, first++, tag, err)) return false;
  }
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
  size_t first = m->vocabulary.count ? m->vocabulary.count : dg_pieces_count(m->pieces) + 1;
  const json_t *files[] = {m->tokenizer_config, m->special_tokens};
  bool ok = add_stated_tags(m, err);
  for (int i = 0; i < 2 && ok && !m->source->languages.count; i++)
    ok = add_listed_tags(m, json_object_get(files[i], "additional_special_tokens"), first, err);
  if (ok && !m->source->languages.count && m->vocabulary.count)
    for (size_t i = 0; i < sizeof m2m100_tags / sizeof *m2m100_tags && ok; i++)
      ok = add_tag(m, first + i, m2m100_tags[i], err);
  if (ok && !m->source->languages.count)
    ok = dg_fail(err, DG_ERR_FORMAT,
                 "%s: no language tags: there is no vocab.json (M2M-100), and none are in "
                 "tokenizer_config.json, added_tokens.json or special_tokens_map.json",
                 m->directory);
  return ok;
}

/* M2M-100 and OPUS-MT, which have a vocab.json, have no class for tokenizer.json. */
static bool add_words(import *m, dg_error *err) {
  json_t *fast = NULL;
  bool ok = (!m->has_ids && m->vocabulary.count) || read_json(m, "tokenizer.json", 0, &fast, err);
  const dg_added files = {m->directory,      m->source->config.family, m->tokenizer_config,
                          m->special_tokens, m->added_tokens,          fast};
  ok = ok && dg_added_place(&files, m->pieces, m->size, err);
  json_decref(fast);
  return ok;
}

/* --- formats -------------------------------------------------------------------------------- */

/* The class that transformers loads the tokenizer with. */
static const char *tokenizer_class(const import *m) {
  const dg_family_config *c = &m->source->config;
  const char *class = json_string_value(json_object_get(m->tokenizer_config, "tokenizer_class"));
  if (!class && *c->tokenizer_class) class = c->tokenizer_class;
  return class ? class : c->family == DG_FAMILY_MBART ? "MBartTokenizer" : "";
}

/* SMaLL-100 is an M2M-100 that has its target's tag in the source. */
static bool is_small100(const import *m) {
  char *code = path_of(m, "tokenization_small100.py");
  bool there = !access(code, F_OK);
  free(code);
  return there || !strncasecmp(tokenizer_class(m), "small100", 8);
}

static bool set_formats(import *m, dg_error *err) {
  dg_model_config *c = &m->source->config.model;
  const char *start = dg_pieces_at(m->pieces, (size_t)m->source->config.decoder_start);
  if (!start || strchr(start, ' ') || strlen(start) > DG_FORMAT_MAX - 24)
    return dg_fail(err, DG_ERR_FORMAT, "%s: decoder_start_token_id %d is no piece", m->directory,
                   m->source->config.decoder_start);
  if (!strncmp(tokenizer_class(m), "MBartTokenizer", 14)) /* tags at the end, and begins with one */
    return dg_fail(err, DG_ERR_UNSUPPORTED,
                   "%s: its tokenizer is of class %.40s: of mBART only mBART-50 is imported, whose "
                   "tokenizer_config.json or config.json says \"tokenizer_class\": "
                   "\"MBart50Tokenizer\"",
                   m->directory, tokenizer_class(m));
  bool t5 = m->source->config.family == DG_FAMILY_T5;
  bool legacy = json_is_true(json_object_get(m->tokenizer_config, "legacy_behaviour"));
  bool in_source = t5 || (m->source->config.family == DG_FAMILY_M2M100 && is_small100(m));
  const char *source = t5 && !m->source->languages.count ? "X </s>"
                       : in_source          ? "<tgt> X </s>"
                       : legacy             ? "X </s> <src>"
                                            : "<src> X </s>";
  snprintf(c->source_format, sizeof c->source_format, "%s", source);
  snprintf(c->target_format, sizeof c->target_format, "%s %sX </s>", start,
           in_source ? "" : "<tgt> ");
  snprintf(c->tag_format, sizeof c->tag_format, "<2%%s>");
  return true;
}

/* A vocabulary by its file name in the directory; an absent file leaves it empty. */
static bool load_vocabulary(const import *m, const char *name, dg_vocabulary *out, dg_error *err) {
  char *path = path_of(m, name);
  bool ok = access(path, F_OK) != 0 || dg_vocabulary_load(path, out, err);
  free(path);
  return ok;
}

static bool read_tokenizer_files(import *m, dg_error *err) {
  /* The length limit of tokenizer_config.json is often 10^30: no integer. */
  return load_vocabulary(m, "vocab.json", &m->vocabulary, err) &&
         read_json(m, "tokenizer_config.json", JSON_DECODE_INT_AS_REAL, &m->tokenizer_config,
                   err) &&
         read_json(m, "special_tokens_map.json", 0, &m->special_tokens, err) &&
         read_json(m, "added_tokens.json", 0, &m->added_tokens, err);
}

static const char *text_setting(const json_t *settings, const char *name) {
  return json_string_value(json_object_get(settings, name));
}

/* OPUS-MT: a sentencepiece model a side; vocab.json has ids of both sides by string, or
 * target_vocab.json those of the target. */
static bool make_marian_tokenizers(import *m, const dg_import_options *o, dg_error *err) {
  bool two = json_is_true(json_object_get(m->tokenizer_config, "separate_vocabs"));
  dg_vocabulary target = {0};
  char *source_path = path_of(m, "source.spm"), *target_path = path_of(m, "target.spm");
  dg_pieces *source_pieces = dg_pieces_of(dg_tokenizer_load_file(source_path, err), err);
  dg_pieces *target_pieces =
      source_pieces ? dg_pieces_of(dg_tokenizer_load_file(target_path, err), err) : NULL;
  bool ok = target_pieces && (!two || load_vocabulary(m, "target_vocab.json", &target, err));
  if (ok && (!m->vocabulary.count || (two && !target.count)))
    ok = dg_fail(err, DG_ERR_IO, "%s: there is no %s in it", m->directory,
                 m->vocabulary.count ? "target_vocab.json" : "vocab.json");
  if (ok) {
    ok = dg_source_marian_tokenizers(m->source, &m->vocabulary, two ? &target : NULL, source_pieces,
                                     target_pieces, err) ||
         dg_error_context(err, "%s", m->directory);
    source_pieces = target_pieces = NULL;
  }
  ok = ok && dg_source_set_sides(m->source, o, text_setting(m->tokenizer_config, "source_lang"),
                                 text_setting(m->tokenizer_config, "target_lang"), err);
  dg_pieces_free(source_pieces);
  dg_pieces_free(target_pieces);
  dg_vocabulary_free(&target);
  free(source_path);
  free(target_path);
  return ok;
}

static bool make_tokenizer(import *m, const dg_import_options *o, dg_error *err) {
  dg_family family = m->source->config.family;
  m->size = (size_t)m->source->config.model.vocab_size;
  if (!read_tokenizer_files(m, err)) return false;
  if (family == DG_FAMILY_MARIAN) return add_words(m, err) && make_marian_tokenizers(m, o, err);
  if (!load_pieces(m, err)) return false;
  m->has_ids = m->has_ids || family == DG_FAMILY_T5;
  bool ok = m->has_ids            ? place_as_they_are(m, err)
            : m->vocabulary.count ? dg_vocabulary_place(&m->vocabulary, "<unk>", m->pieces, m->size,
                                                        err) ||
                                        dg_error_context(err, "%s", m->directory)
                                  : place_by_offset(m, err);
  if (!ok || !add_languages(m, err) || !add_words(m, err) || !set_formats(m, err) ||
      !dg_source_set_sides(m->source, o, NULL, NULL, err))
    return false;
  dg_tokenizer *t = m->source->tokenizer = dg_pieces_tokenizer(m->pieces, m->size, err);
  if (t && dg_tokenizer_eos(t) != m->source->config.eos)
    return dg_fail(err, DG_ERR_FORMAT, "%s: </s> has id %d, but \"eos_token_id\" is %d",
                   m->directory, dg_tokenizer_eos(t), m->source->config.eos);
  return t != NULL;
}

/* T5 is told in words what to do, where its tags do not tell it. */
static bool add_prefix(dg_source *s, const char *place, const dg_import_options *o,
                       dg_import_report *report, dg_error *err) {
  const import m = {.directory = place};
  json_t *config = NULL;
  const char *prefix = o->prefix;
  bool looks = !prefix && !s->format && s->config.family == DG_FAMILY_T5 &&
               !strstr(s->config.model.source_format, "<tgt>");
  bool ok = !looks || (read_json(&m, "config.json", JSON_DECODE_INT_AS_REAL, &config, err) &&
                       dg_prefix_find(config, &s->languages, &prefix, err));
  ok = ok && (!prefix || dg_prefix_put(&s->config.model, s->tokenizer, prefix, err));
  if (ok) snprintf(report->prefix, sizeof report->prefix, "%s", prefix ? prefix : "");
  report->other_prefixes = ok && !prefix && dg_prefix_any(config);
  json_decref(config);
  return ok || dg_error_context(err, "%s", place);
}

/* --- weights -------------------------------------------------------------------------------- */

typedef struct weights {
  dg_family_config config;
  dg_checkpoint *checkpoint;
} weights;

static bool read_rows(void *context, const dg_tensor *t, size_t first, size_t count, float *out,
                      dg_error *err) {
  const weights *w = context;
  return dg_family_rows(&w->config, w->checkpoint, t, first, count, out, err);
}

static void close_weights(void *context) {
  weights *w = context;
  dg_checkpoint_close(w->checkpoint);
  free(w);
}

static bool read_directory(dg_source *s, const char *directory, const dg_import_options *o,
                           dg_error *err) {
  import m = {.directory = directory, .source = s};
  char *config = path_of(&m, "config.json");
  bool ok = has(directory, "config.json") ||
            dg_fail(err, DG_ERR_FORMAT,
                    "%s: there is no config.json (Hugging Face) or model.bin (CTranslate2) in it",
                    directory);
  ok = ok && dg_family_config_read(config, &s->config, err) && make_tokenizer(&m, o, err);
  dg_checkpoint *c = ok ? dg_checkpoint_open(directory, err) : NULL;
  if (c) {
    weights *w = dg_calloc(1, sizeof *w);
    *w = (weights){s->config, c};
    s->weights = w, s->rows = read_rows, s->close = close_weights;
  }
  free(config);
  dg_vocabulary_free(&m.vocabulary);
  json_decref(m.tokenizer_config);
  json_decref(m.special_tokens);
  json_decref(m.added_tokens);
  dg_pieces_free(m.pieces);
  return c != NULL;
}

/* --- the base ------------------------------------------------------------------------------- */

/* All but the weights. */
static dg_base *make_base(dg_source *s, dg_error *err) {
  dg_model *model = dg_model_outline(&s->config.model, err);
  if (!model) return NULL;
  json_t *card = json_object();
  const char *format = s->format ? s->format : dg_family_name(s->config.family);
  json_object_set_new(card, "imported_from", json_string(format));
  dg_base *b = dg_base_new(model, s->tokenizer, s->target_tokenizer, s->languages.list,
                           s->languages.count, card, err);
  s->tokenizer = s->target_tokenizer = NULL;
  return b;
}

/* A zip, or a directory with model.bin, which an Argos package has further down. */
static bool is_ctranslate2(const char *path) {
  struct stat st;
  if (stat(path, &st)) return false;
  return !S_ISDIR(st.st_mode) || has(path, "model.bin") || has(path, "model/model.bin");
}

/* The path; or, of a model in Hugging Face's cache, where its files are. */
static char *find_files(const char *path, dg_error *err) {
  struct stat st;
  if (stat(path, &st)) {
    dg_fail(err, DG_ERR_IO, "%s: %s: a checkpoint must be on disk, nothing is downloaded", path,
            strerror(errno));
    return NULL;
  }
  if (has(path, "config.json") || !has(path, "refs/main")) return dg_strdup(path);
  char *file = dg_format("%s/refs/main", path), *version = dg_read_text(file, err), *found = NULL;
  if (version) found = dg_format("%s/snapshots/%s", path, version);
  free(file);
  free(version);
  return found;
}

/* A repository cloned without its large files: no reader can say more of what it finds in the
 * file that its error names. */
static void blame_pointer(const char *directory, dg_error *err) {
  static const char mark[] = "version https://git-lfs";
  DIR *d = opendir(directory);
  for (struct dirent *e; d && (e = readdir(d));) {
    char *path = dg_format("%s/%s", directory, e->d_name), begin[sizeof mark] = "";
    struct stat s;
    FILE *f = !stat(path, &s) && S_ISREG(s.st_mode) ? fopen(path, "rb") : NULL;
    bool named = err && strstr(err->message, e->d_name);
    bool read = f && fread(begin, 1, sizeof mark - 1, f) == sizeof mark - 1;
    if (named && read && !strcmp(begin, mark))
      dg_fail(err, DG_ERR_FORMAT,
              "%s: only Git LFS's pointer to the file: `git lfs pull` fetches it", path);
    if (f) fclose(f);
    free(path);
  }
  if (d) closedir(d);
}

typedef struct watched {
  dg_rows_fn *rows;
  void *context;
  const dg_import_options *o;
  const char *place; /* of the files */
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
  return w->rows(w->context, t, first, count, out, err) || dg_error_context(err, "%s", w->place);
}

/* Writes it, trimmed when languages are named. */
static bool write_base(const dg_base *full, dg_source *s, const char *place, const char *path,
                       const dg_import_options *o, dg_import_report *report, dg_error *err) {
  dg_trim *trim = NULL;
  const dg_base *b = full;
  if (o->languages) {
    trim = dg_trim_new(full, s->rows, s->weights, o->languages, o->corpus, o->corpus_count, err);
    if (!trim) return false;
    b = dg_trim_base(trim);
  }
  watched rows = {trim ? dg_trim_rows : s->rows, trim ? (void *)trim : s->weights, o, place, 0,
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

bool dg_import(const char *path, const char *base, const dg_import_options *o,
               dg_import_report *report, dg_error *err) {
  dg_source s = {0};
  char *place = find_files(path, err);
  bool ok = place && (dg_ends_with(place, ".npz") ? dg_source_marian_npz
                      : is_ctranslate2(place)     ? dg_source_ctranslate2
                                                  : read_directory)(&s, place, o, err);
  ok = ok && add_prefix(&s, place, o, report, err);
  if (place && !ok) blame_pointer(place, err);
  dg_base *b = ok ? make_base(&s, err) : NULL;
  ok = b && write_base(b, &s, place, base, o, report, err);
  dg_base_free(b);
  dg_source_free(&s);
  free(place);
  return ok;
}
