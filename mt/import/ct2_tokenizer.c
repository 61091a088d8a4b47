/* A CTranslate2 model's vocabularies: which family it is they say by their tags. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mt/core/mem.h"
#include "mt/import/ct2_model.h"
#include "mt/import/vocabulary.h"
#include "tokenizer/pieces.h"

/* A token's name in config.json, or in a variable before version 6. */
static char *token_setting(const dg_ct2_model *m, const char *name, const char *absent) {
  const json_t *j = json_object_get(m->config, name);
  if (json_is_string(j)) return dg_strdup(json_string_value(j));
  const dg_ct2_variable *v = m->config ? NULL : dg_ct2_find(m->ct2, name);
  if (v && v->dtype == DG_I8 && v->dims == 1)
    return dg_strndup((const char *)v->data, strnlen((const char *)v->data, v->count));
  return absent ? dg_strdup(absent) : NULL;
}

static bool flag_setting(const dg_ct2_model *m, const char *key, const char *variable) {
  if (m->config) return json_is_true(json_object_get(m->config, key));
  return dg_ct2_number(m->ct2, variable, 0) != 0;
}

/* NAME.json or NAME.txt; an absent one leaves it empty. */
static bool read_vocabulary(const dg_ct2_model *m, const char *name, dg_vocabulary *out,
                            dg_error *err) {
  static const char *const kinds[] = {"json", "txt"};
  for (int i = 0; i < 2; i++) {
    char *file = dg_format("%s%s.%s", m->folder, name, kinds[i]);
    bool there = dg_package_has(m->package, file), ok = !there;
    dg_mapping map;
    if (there && dg_package_map(m->package, file, &map, err)) {
      char *path = dg_package_path(m->package, file);
      ok = dg_vocabulary_read(path, map.data, map.size, out, err);
      free(path);
    }
    free(file);
    if (there || !ok) return ok;
  }
  return true;
}

typedef struct pieces_file {
  const char *source, *target;
} pieces_file;

static dg_pieces *read_pieces(const dg_ct2_model *m, const char *name, dg_error *err) {
  dg_mapping map;
  if (!dg_package_map(m->package, name, &map, err)) return NULL;
  dg_pieces *p = dg_pieces_of(dg_tokenizer_load(map.data, map.size, err), err);
  char *path = dg_package_path(m->package, name);
  if (!p) dg_error_context(err, "%s", path);
  free(path);
  return p;
}

/* A vocabulary of single characters needs no sentencepiece model: each is a token. */
static dg_pieces *characters_of(const dg_vocabulary *v, dg_error *err) {
  const char **list = dg_calloc(v->count + 1, sizeof *list);
  size_t n = 0;
  bool ok = true;
  for (size_t i = 0; i < v->count && ok; i++) {
    const char *token = v->tokens[i];
    if (!token || !*token || *token == '<') continue;
    size_t bytes = (unsigned char)*token < 0xC0   ? 1
                   : (unsigned char)*token < 0xE0 ? 2
                   : (unsigned char)*token < 0xF0 ? 3
                                                  : 4;
    ok = strlen(token) == bytes;
    list[n++] = token;
  }
  dg_pieces *p = NULL;
  if (ok) p = dg_pieces_of(dg_tokenizer_of_characters(list, n, err), err);
  else
    dg_fail(err, DG_ERR_IO,
            "there is no sentencepiece model beside model.bin: put the original model's there "
            "(sentencepiece.model, or source.spm and target.spm)");
  free(list);
  return p;
}

static bool find_pieces(const dg_ct2_model *m, const dg_vocabulary *source,
                        const dg_vocabulary *target, dg_pieces **first, dg_pieces **second,
                        dg_error *err) {
  static const pieces_file files[] = {
      {"source.spm", "target.spm"},
      {"sentencepiece.model", NULL},
      {"sentencepiece.bpe.model", NULL},
      {"spiece.model", NULL},
      {"spm.model", NULL},
  };
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    if (!dg_package_has(m->package, files[i].source)) continue;
    *first = read_pieces(m, files[i].source, err);
    if (*first) *second = read_pieces(m, files[i].target ? files[i].target : files[i].source, err);
    return *second != NULL;
  }
  if (dg_package_has(m->package, "bpe.model"))
    return dg_fail(err, DG_ERR_UNSUPPORTED,
                   "its bpe.model is subword-nmt's: only packages with a sentencepiece.model are "
                   "imported");
  *first = characters_of(source, err);
  if (*first) *second = characters_of(target, err);
  return *second != NULL;
}

/* CTranslate2 appends the unknown token where a vocabulary lacks it. */
static void append_unknown(dg_vocabulary *v, const char *unknown, size_t size) {
  if (dg_vocabulary_find(v, unknown) >= 0 || v->count >= size) return;
  DG_GROW(v->tokens, v->capacity, v->count + 1);
  v->tokens[v->count++] = dg_strdup(unknown);
}

static bool in_form(const char *token, const char *form) {
  for (; *form; form++, token++) {
    bool lower = *token >= 'a' && *token <= 'z', upper = *token >= 'A' && *token <= 'Z';
    if (*form == 'a' ? !lower : *form == 'A' ? !upper : *form != *token) return false;
  }
  return !*token;
}

static bool is_tag(dg_family family, const char *token) {
  char code[DG_LANG_MAX];
  bool form = family == DG_FAMILY_MBART     ? in_form(token, "aa_AA")
              : family == DG_FAMILY_M2M100 ? in_form(token, "aaa_Aaaa") || !strncmp(token, "__", 2)
                                           : true;
  return form && dg_tag_code(family, token, code);
}

static size_t count_tags(const dg_vocabulary *v, dg_family family) {
  size_t n = 0;
  for (size_t i = 0; i < v->count; i++) n += v->tokens[i] && is_tag(family, v->tokens[i]);
  return n;
}

/* The family whose tags the vocabulary has. */
static dg_family find_family(const dg_ct2_model *m, const dg_vocabulary *v, size_t *tags) {
  if (m->zero_start || !m->shape.norm_bias) {
    dg_family family = m->zero_start ? DG_FAMILY_MARIAN : DG_FAMILY_T5;
    *tags = count_tags(v, family);
    return family;
  }
  static const dg_family tagged[] = {DG_FAMILY_M2M100, DG_FAMILY_MBART};
  for (int i = 0; i < 2; i++)
    if ((*tags = count_tags(v, tagged[i])) > 1) return tagged[i];
  *tags = 0;
  return DG_FAMILY_MARIAN; /* tags or none, as OpenNMT's */
}

static bool set_formats(dg_ct2_model *m, dg_source *s, size_t tags, const char *bos,
                        const char *eos, dg_error *err) {
  dg_model_config *c = &s->config.model;
  bool target_tag = tags && (s->config.family == DG_FAMILY_M2M100 ||
                             s->config.family == DG_FAMILY_MBART);
  bool from_bos = dg_ct2_number(m->ct2, "with_target_bos", 1) != 0;
  bool given = dg_ct2_number(m->ct2, "user_decoder_start_tokens", 0) != 0;
  char *start = m->zero_start ? dg_strdup("<pad>")
                : m->config   ? token_setting(m, "decoder_start_token", NULL)
                : given       ? NULL
                              : dg_strdup(from_bos ? bos : eos);
  if (!start) /* told with each sentence: of the families known here mBART-25 does it */
    return dg_fail(err, DG_ERR_UNSUPPORTED, "\"decoder_start_token\": null: it is not known how "
                                            "its decoder begins");
  bool end = flag_setting(m, "add_source_eos", "with_source_eos") || strcmp(start, bos) != 0 ||
             s->config.family == DG_FAMILY_T5;
  bool begin = flag_setting(m, "add_source_bos", "with_source_bos");
  bool names = strlen(start) < 32 && strlen(eos) < 32 && strlen(bos) < 32 && !strchr(start, ' ') &&
               !strchr(eos, ' ') && !strchr(bos, ' ');
  if (names) {
    snprintf(c->source_format, sizeof c->source_format, "%s%s%sX%s%s", begin ? bos : "",
             begin ? " " : "", !tags ? "" : target_tag ? "<src> " : "<tgt> ", end ? " " : "",
             end ? eos : "");
    snprintf(c->target_format, sizeof c->target_format, "%s %sX %s", start,
             target_tag ? "<tgt> " : "", eos);
    snprintf(c->tag_format, sizeof c->tag_format, "<2%%s>");
  }
  free(start);
  return names || dg_fail(err, DG_ERR_UNSUPPORTED, "its tokens that begin and end have odd names");
}

static dg_tokenizer *place(const dg_ct2_model *m, dg_source *s, const dg_vocabulary *v,
                           dg_pieces *p, size_t size, const char *unknown, bool target,
                           size_t tags, dg_error *err) {
  bool ok = dg_vocabulary_place(v, unknown, p, size, err);
  dg_family family = s->config.family;
  dg_languages again = {0}, *l = target ? &again : &s->languages;
  dg_side side = family == DG_FAMILY_MARIAN ? DG_SIDE_TARGET : DG_SIDE_BOTH;
  for (size_t id = 0; id < v->count && ok && tags; id++)
    if (v->tokens[id] && is_tag(family, v->tokens[id]))
      ok = dg_languages_add_tag(l, p, size, id, family, v->tokens[id], side);
  if (ok && m->zero_start && (target || s->config.model.tie_source_target))
    ok = dg_pieces_name(p, size, size - 1, "<pad>");
  free(again.list);
  return ok ? dg_pieces_tokenizer(p, size, err) : NULL;
}

static bool make_tokenizers(dg_ct2_model *m, dg_source *s, dg_vocabulary *source,
                            dg_vocabulary *target, dg_error *err) {
  dg_model_config *c = &s->config.model;
  char *unknown = token_setting(m, "unk_token", "<unk>");
  char *eos = token_setting(m, "eos_token", "</s>"), *bos = token_setting(m, "bos_token", "<s>");
  size_t size = (size_t)c->vocab_size, target_size = (size_t)dg_target_vocab(c), tags;
  append_unknown(source, unknown, size);
  append_unknown(target, unknown, target_size);
  s->config.family = find_family(m, source, &tags);
  dg_pieces *first = NULL, *second = NULL;
  bool ok = find_pieces(m, source, target, &first, &second, err) &&
            set_formats(m, s, tags, bos, eos, err) &&
            (s->tokenizer = place(m, s, source, first, size, unknown, false, tags, err)) &&
            (s->target_tokenizer =
                 place(m, s, target, second, target_size, unknown, true, tags, err));
  if (ok && dg_tokenizer_eos(s->target_tokenizer) !=
                dg_tokenizer_id(s->target_tokenizer, eos))
    ok = dg_fail(err, DG_ERR_UNSUPPORTED, "\"eos_token\": \"%.40s\": only </s> ends sentences here",
                 eos);
  dg_pieces_free(first);
  dg_pieces_free(second);
  free(unknown);
  free(eos);
  free(bos);
  return ok;
}

static bool read_vocabularies(const dg_ct2_model *m, dg_vocabulary *source, dg_vocabulary *target,
                              dg_error *err) {
  if (!read_vocabulary(m, "shared_vocabulary", source, err)) return false;
  if (source->count) return read_vocabulary(m, "shared_vocabulary", target, err);
  return read_vocabulary(m, "source_vocabulary", source, err) &&
         read_vocabulary(m, "target_vocabulary", target, err) &&
         ((source->count && target->count) ||
          dg_fail(err, DG_ERR_IO, "there is no shared_vocabulary, nor source_vocabulary and "
                                  "target_vocabulary, .json or .txt, beside model.bin"));
}

bool dg_ct2_tokenizers(dg_ct2_model *m, dg_source *s, dg_error *err) {
  dg_vocabulary source = {0}, target = {0};
  bool ok = read_vocabularies(m, &source, &target, err) &&
            make_tokenizers(m, s, &source, &target, err);
  dg_vocabulary_free(&source);
  dg_vocabulary_free(&target);
  return ok;
}
