#include "mt/train/trainee.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mt/core/file.h"
#include "mt/core/mem.h"

bool dg_trainee_is_full(const dg_trainee *t) { return !strcmp(t->config.method, "full"); }

bool dg_trainee_given(const dg_trainee *t, const char *name) {
  return t->given && t->given(t->context, name);
}

/* --- relatives -------------------------------------------------------------------------------- */

enum { MIX_MOST = 16 };

/* A new language's tag begins as a mean of its relatives'. */
typedef struct mix {
  const dg_language *languages[MIX_MOST];
  double weights[MIX_MOST]; /* sum 1 */
  size_t count, heaviest;
} mix;

/* "es:0.7,pt:0.3"; without weights all count alike. */
static bool parse_mix(const dg_base *b, const char *text, dg_side side, mix *m, dg_error *err) {
  *m = (mix){0};
  double sum = 0;
  for (const char *s = text;; s++) {
    size_t n = strcspn(s, ","), name = strcspn(s, ",:");
    char code[64];
    double weight = 1;
    int end = 0;
    snprintf(code, sizeof code, "%.*s", (int)name, s);
    if (m->count == MIX_MOST)
      return dg_fail(err, DG_ERR_USAGE, "--like %s: more than %d relatives", text, MIX_MOST);
    if (name < n && (sscanf(s + name, ":%lf%n", &weight, &end) != 1 ||
                     (size_t)end != n - name || !(weight > 0 && weight < 1e9)))
      return dg_fail(err, DG_ERR_USAGE,
                     "--like %s: a weight is a number above 0, as in es:0.7,pt:0.3", text);
    if (!(m->languages[m->count] = dg_base_language(b, code, side, err)))
      return dg_error_context(err, "--like");
    if (weight > m->weights[m->heaviest]) m->heaviest = m->count;
    m->weights[m->count++] = weight;
    sum += weight;
    s += n;
    if (!*s) break;
  }
  for (size_t i = 0; i < m->count; i++) m->weights[i] /= sum;
  return true;
}

/* What --like says of a language: its own entry, or the one for all; NULL when there is none. */
static const char *like(const dg_trainee *t, const char *code) {
  const char *found = NULL;
  for (size_t i = 0; i < t->like.count; i++) {
    const char *entry = t->like.items[i], *equals = strchr(entry, '=');
    char name[64], canonical[DG_LANG_MAX];
    if (!equals) {
      if (!found) found = entry;
      continue;
    }
    snprintf(name, sizeof name, "%.*s", (int)(equals - entry), entry);
    if (dg_lang_canonical(name, canonical, NULL) && !strcmp(canonical, code)) return equals + 1;
  }
  return found;
}

/* --- pairs ---------------------------------------------------------------------------------- */

/* What was not asked for is as in the adapter it begins from. */
static void take_settings(dg_trainee *t) {
  for (const dg_option *o = dg_adapter_config_options; o->name; o++) {
    dg_strbuf value = {0};
    dg_options_get(o, &t->from->adapter->config, &value);
    if (!dg_trainee_given(t, o->name))
      dg_options_set(dg_adapter_config_options, &t->config, o->name, value.text, NULL);
    free(value.text);
  }
}

static bool load_init(dg_trainee *t, dg_error *err) {
  if (!t->init) return true;
  if (!(t->from = dg_adapter_file_load(t->init, t->base, err))) return false;
  for (size_t i = 0; i < t->from->over_count; i++)
    if (!dg_adapter_stacked_holds(&t->stack, t->from->over[i]))
      return dg_fail(err, DG_ERR_USAGE,
                     "--init %s was trained on top of the adapter %.32s: name that with -a, "
                     "`dragoman info` tells which file it is",
                     t->init, t->from->over[i]);
  if (t->from->pieces.list.count && dg_trainee_given(t, "new_pieces"))
    return dg_fail(err, DG_ERR_USAGE, "--init %s brings its own pieces: leave out --new-pieces",
                   t->init);
  take_settings(t);
  return true;
}

bool dg_trainee_begin(dg_trainee *t, const dg_base *base, dg_error *err) {
  t->base = base;
  for (size_t i = 0; i < t->below.count; i++)
    if (!dg_adapter_stacked_add(&t->stack, t->below.items[i], base, err)) return false;
  if (dg_trainee_is_full(t)) {
    if (t->below.count || t->init)
      return dg_fail(err, DG_ERR_USAGE, "method full trains the base alone: no -a, no --init");
    return true;
  }
  if (t->stack.count == DG_ADAPTERS_MAX)
    return dg_fail(err, DG_ERR_USAGE, "%d adapters below leave no room for one more",
                   DG_ADAPTERS_MAX);
  t->file = dg_calloc(1, sizeof *t->file);
  memcpy(t->file->base_hash, base->hash, sizeof base->hash);
  for (size_t i = 0; i < t->stack.count; i++)
    memcpy(t->file->over[t->file->over_count++], t->stack.files[i]->hash, DG_HASH_TEXT);
  if (!load_init(t, err) || !dg_method_parse(t->config.method, err)) return false;
  return !t->config.new_pieces || !dg_adapter_stacked_pieces(&t->stack) ||
         dg_fail(err, DG_ERR_USAGE, "an adapter below brings new pieces, and only one may: train "
                                    "without --new-pieces");
}

/* The tag of a language of the trainee's own, added when it is not there: in a copy of the
 * base the next piece, else a row of the adapter. */
static int32_t own_tag(dg_trainee *t, const char *code, dg_side side, const dg_language *relative) {
  const dg_model_config *c = &t->base->model->config;
  dg_language **list = t->file ? &t->file->languages : &t->languages;
  size_t *count = t->file ? &t->file->language_count : &t->language_count, i = 0;
  int32_t first = t->file ? dg_first_tag(c) + (int32_t)t->stack.extra_tokens : dg_first_extra(c);
  while (i < *count && strcmp((*list)[i].code, code)) i++;
  if (i < *count) {
    if ((*list)[i].side != side) (*list)[i].side = DG_SIDE_BOTH;
    return (*list)[i].tag;
  }
  *list = dg_realloc(*list, (i + 1) * sizeof **list);
  t->relatives = dg_realloc(t->relatives, (i + 1) * sizeof *t->relatives);
  dg_language *l = &(*list)[(*count)++];
  *l = (dg_language){.tag = first + (int32_t)i, .side = side};
  snprintf(l->code, sizeof l->code, "%s", code);
  t->relatives[i] = relative;
  return l->tag;
}

/* The tag of one side: the base's, one below's, or a row of the trainee's own. */
static bool find_tag(dg_trainee *t, const char *code, dg_side side, char canonical[DG_LANG_MAX],
                     int32_t *tag, int32_t *before, dg_error *err) {
  if (!dg_lang_canonical(code, canonical, err)) return false;
  const char *relative = like(t, canonical);
  bool known = dg_adapter_stacked_tag(&t->stack, t->base, canonical, side, canonical, before,
                                      relative ? NULL : err);
  if (known) {
    bool own = t->file && dg_method_parse(t->config.method, NULL) & DG_METHOD_TAG;
    *tag = own ? own_tag(t, canonical, side, NULL) : *before;
    return true;
  }
  if (!relative) return false;
  mix m;
  if (!parse_mix(t->base, relative, side, &m, err)) return false;
  const dg_language *nearest = m.languages[m.heaviest];
  *before = nearest->tag;
  *tag = own_tag(t, canonical, side, nearest);
  return true;
}

bool dg_trainee_add(dg_trainee *t, const char *source, const char *target, dg_train_way *way,
                    dg_error *err) {
  *way = (dg_train_way){0};
  if (!find_tag(t, source, DG_SIDE_SOURCE, way->pair.source, &way->source_tag,
                &way->before_source, err) ||
      !find_tag(t, target, DG_SIDE_TARGET, way->pair.target, &way->target_tag,
                &way->before_target, err))
    return false;
  if (!strcmp(way->pair.source, way->pair.target))
    return dg_fail(err, DG_ERR_USAGE, "source and target are the same language, %s",
                   way->pair.source);
  return !t->file || dg_adapter_file_add_pair(t->file, source, target, err);
}

/* Of a new language; NULL for others. */
static const dg_language *own_relative(const dg_trainee *t, const char *code) {
  const dg_language *list = t->file ? t->file->languages : t->languages;
  size_t count = t->file ? t->file->language_count : t->language_count;
  for (size_t i = 0; i < count; i++)
    if (t->relatives[i] && !strcmp(list[i].code, code)) return t->relatives[i];
  return NULL;
}

const dg_language *dg_trainee_relative(const dg_trainee *t, const char *code, dg_side side) {
  const dg_language *own = own_relative(t, code);
  return own ? dg_base_language(t->base, own->code, side, NULL)
             : dg_adapter_stacked_relative(&t->stack, t->base, code, side);
}

bool dg_trainee_is_new(const dg_trainee *t, const char *code) {
  return own_relative(t, code) != NULL;
}

void dg_trainee_new_sides(const dg_trainee *t, bool *source, bool *target) {
  const dg_language *list = t->file ? t->file->languages : t->languages;
  size_t count = t->file ? t->file->language_count : t->language_count;
  *source = *target = false;
  for (size_t i = 0; i < count; i++) {
    if (!t->relatives[i]) continue;
    *source = *source || list[i].side != DG_SIDE_TARGET;
    *target = *target || list[i].side != DG_SIDE_SOURCE;
  }
}

/* --- weights -------------------------------------------------------------------------------- */

/* The embedding of a tag of the base, or of an adapter below. */
static void tag_row(const dg_trainee *t, int32_t tag, float *out) {
  const dg_model *m = t->base->model;
  size_t d = (size_t)m->config.d_model;
  int32_t first = dg_first_tag(&m->config);
  if (tag < first) {
    dg_matrix_rows(&m->encoder.embedding, d, (size_t)tag, 1, out);
    return;
  }
  size_t at = (size_t)(tag - first), k = 0;
  while (at >= t->stack.files[k]->adapter->extra_tokens)
    at -= t->stack.files[k++]->adapter->extra_tokens;
  memcpy(out, t->stack.files[k]->adapter->extra + at * d, d * sizeof *out);
}

static void add_mix(const dg_trainee *t, const mix *m, float *row) {
  size_t d = t->file->adapter->d_model;
  float *theirs = dg_malloc(d * sizeof *theirs);
  for (size_t k = 0; k < m->count; k++) {
    if (m->languages[k]->tag < 0) continue; /* no format of the base tells it */
    tag_row(t, m->languages[k]->tag, theirs);
    for (size_t c = 0; c < d; c++) row[c] += (float)m->weights[k] * theirs[c];
  }
  free(theirs);
}

/* Adds the mean of a tensor's rows of these tokens; of a vector, of its numbers. */
static void add_mean(const dg_tensor *t, size_t width, const dg_tokens *tokens, float *row,
                     float *scratch) {
  dg_matrix m = {.block = {t->held}};
  for (size_t i = 0; i < tokens->count; i++) {
    dg_matrix_rows(&m, width, (size_t)tokens->items[i].id, 1, scratch);
    for (size_t c = 0; c < width; c++) row[c] += scratch[c] / (float)tokens->count;
  }
}

/* A new piece's rows begin as the mean of those it was cut into (Gee et al. 2022). */
static bool begin_pieces(dg_trainee *t, dg_error *err) {
  const dg_new_pieces *pieces = &t->file->pieces;
  dg_params *params = &t->file->adapter->params;
  dg_tokens parts = {0};
  float *scratch = dg_malloc(t->file->adapter->d_model * sizeof *scratch);
  bool ok = true;
  for (size_t i = 0; ok && i < params->count; i++) {
    dg_tensor *to = &params->tensors[i];
    if (strncmp(to->name, "pieces.", 7)) continue;
    const dg_tensor *from = dg_params_find(&t->base->model->params, to->name + 7);
    const dg_tokenizer *cut = strncmp(from->name, "encoder.", 8) ? t->base->target_tokenizer
                                                                 : t->base->tokenizer;
    size_t width = from->rows == 1 ? 1 : to->cols;
    for (size_t k = 0; ok && k < pieces->list.count; k++) {
      const char *text = pieces->list.texts[k];
      ok = dg_tokenizer_cut(cut, text, strlen(text), &parts, err);
      if (ok) add_mean(from, width, &parts, to->value + k * width, scratch);
    }
  }
  dg_tokens_free(&parts);
  free(scratch);
  return ok;
}

/* A tag begins as its relatives' mean, or as what it is below. */
static bool begin_tag(dg_trainee *t, size_t i, float *row, dg_error *err) {
  const dg_language *l = &t->file->languages[i];
  int32_t tag;
  char canonical[DG_LANG_MAX];
  mix m;
  if (t->relatives[i]) {
    if (!parse_mix(t->base, like(t, l->code), l->side, &m, err)) return false;
    add_mix(t, &m, row);
    return true;
  }
  if (!dg_adapter_stacked_tag(&t->stack, t->base, l->code, l->side, canonical, &tag, err))
    return false;
  if (tag >= 0) tag_row(t, tag, row);
  return true;
}

/* Takes over whatever the other adapter has of the same name; its tags by language. */
static bool begin_from(dg_trainee *t, dg_error *err) {
  const dg_adapter_file *from = t->from;
  dg_adapter *a = t->file->adapter;
  size_t taken = 0, d = a->d_model;
  for (size_t i = 0; i < a->params.count; i++) {
    dg_tensor *to = &a->params.tensors[i], *x = dg_params_find(&from->adapter->params, to->name);
    if (!x || !strcmp(to->name, "extra")) continue;
    if (x->rows != to->rows || x->cols != to->cols)
      return dg_fail(err, DG_ERR_USAGE,
                     "%s is %zu x %zu in --init %s and %zu x %zu here: leave out width and rank to "
                     "have its own",
                     to->name, x->rows, x->cols, t->init, to->rows, to->cols);
    memcpy(to->value, x->value, x->rows * x->cols * sizeof(float));
    taken++;
  }
  for (size_t i = 0; i < t->file->language_count; i++)
    for (size_t k = 0; k < from->language_count; k++)
      if (!strcmp(t->file->languages[i].code, from->languages[k].code)) {
        float *row = dg_params_find(&a->params, "extra")->value + i * d;
        memcpy(row, from->adapter->extra + k * d, d * sizeof *row);
        taken++;
      }
  if (!taken) return dg_fail(err, DG_ERR_USAGE, "--init %s has nothing of this adapter", t->init);
  dg_strbuf_addf(&t->told, "begins from %s (%s)\n", t->init, from->adapter->config.method);
  return true;
}

/* The rows of a new language's tag in a copy of the base: its relatives' mean, wherever the
 * vocabulary has rows. */
static bool begin_language(dg_trainee *t, size_t i, dg_error *err) {
  const dg_language *l = &t->languages[i];
  const dg_params *p = &t->base->model->params;
  size_t tag = (size_t)l->tag;
  mix mixed;
  if (!parse_mix(t->base, like(t, l->code), l->side, &mixed, err)) return false;
  for (size_t k = 0; k < p->count; k++) {
    const dg_tensor *from = &p->tensors[k];
    dg_tensor *to = &t->whole->model->params.tensors[k];
    size_t width = to->cols == from->cols ? to->cols : 1; /* a bias of the output grows in it */
    if (to->rows == from->rows && to->cols == from->cols) continue;
    for (size_t r = 0; r < mixed.count; r++) {
      const float *theirs = to->value + (size_t)mixed.languages[r]->tag * width;
      for (size_t c = 0; mixed.languages[r]->tag >= 0 && c < width; c++)
        to->value[tag * width + c] += (float)mixed.weights[r] * theirs[c];
    }
  }
  return true;
}

static bool build_whole(dg_trainee *t, dg_error *err) {
  t->whole = dg_base_copy(t->base, t->languages, t->language_count, err);
  for (size_t i = 0; t->whole && i < t->language_count; i++) {
    if (!begin_language(t, i, err)) return false;
    dg_strbuf_addf(&t->relatives_text, "%s%s", t->relatives_text.length ? ", " : "",
                     t->relatives[i]->code);
  }
  return t->whole && dg_model_train(t->whole->model, err);
}

/* Each entry of --like is of some language, and the only one. */
static bool check_like(const dg_trainee *t, dg_error *err) {
  for (size_t i = 0; t->relatives && i < t->like.count; i++) {
    const char *entry = t->like.items[i], *equals = strchr(entry, '=');
    size_t n = equals ? (size_t)(equals - entry) : 0;
    for (size_t k = 0; k < i; k++) {
      const char *other = strchr(t->like.items[k], '=');
      if ((other ? (size_t)(other - t->like.items[k]) : 0) == n &&
          !strncmp(t->like.items[k], entry, n))
        return dg_fail(err, DG_ERR_USAGE,
                       "--like %s stands beside --like %s: give a mix as es:0.7,pt:0.3", entry,
                       t->like.items[k]);
    }
    if (!equals) continue;
    char *name = dg_strndup(entry, n), code[DG_LANG_MAX];
    bool found = dg_lang_canonical(name, code, NULL) && dg_trainee_is_new(t, code);
    free(name);
    if (!found)
      return dg_fail(err, DG_ERR_USAGE, "--like %s: %.*s is no new language of this run", entry,
                     (int)n, entry);
  }
  return true;
}

bool dg_trainee_build(dg_trainee *t, uint64_t seed, dg_error *err) {
  const dg_model *m = t->base->model;
  if (!check_like(t, err)) return false;
  if (t->like.count && !t->relatives)
    dg_strbuf_addf(&t->told, "every language is known: --like %s has no effect\n",
                   t->like.items[0]);
  if (!t->file) return build_whole(t, err);
  dg_adapter_file *f = t->file;
  bool ok = (f->adapter = dg_adapter_new(&m->config, &t->config, f->language_count, err));
  if (ok) dg_adapter_initialize(f->adapter, seed);
  if (ok && t->config.embeddings) ok = dg_adapter_choose(f->adapter, t->changed, err);
  if (ok && f->pieces.list.count) ok = begin_pieces(t, err);
  dg_tensor *extra = ok ? dg_params_find(&f->adapter->params, "extra") : NULL;
  for (size_t i = 0; ok && i < f->language_count; i++) {
    ok = begin_tag(t, i, extra->value + i * extra->cols, err);
    if (ok && t->relatives[i])
      dg_strbuf_addf(&t->relatives_text, "%s%s", t->relatives_text.length ? ", " : "",
                     t->relatives[i]->code);
  }
  return ok && (!t->from || begin_from(t, err)) && dg_adapter_train(f->adapter, err);
}

void dg_trainee_free(dg_trainee *t) {
  dg_adapter_file_free(t->file);
  dg_adapter_file_free(t->from);
  dg_adapter_stacked_free(&t->stack);
  dg_base_free(t->whole);
  free(t->languages);
  free(t->relatives);
  free(t->relatives_text.text);
  free(t->told.text);
  free(t->changed);
}

double dg_trainee_learning_rate(const dg_trainee *t, int d_model) {
  if (dg_trainee_is_full(t)) return 0.0005;
  unsigned method = dg_method_parse(t->config.method, NULL);
  /* Measured at d_model 256 (tests/transfer/recipes.md); what Adam makes of a matrix grows with
   * what it reads (Yang et al. 2021). */
  double wider = 256.0 / d_model;
  if (method & DG_METHOD_LORA) return 0.005 * wider;
  if (method & DG_METHOD_BOTTLENECK) return 0.015 * wider;
  /* Few numbers, all near where they begin. */
  return method & DG_METHOD_IA3 ? 0.05 : 0.01;
}

dg_params *dg_trainee_params(const dg_trainee *t) {
  return t->file ? &t->file->adapter->params : &t->whole->model->params;
}

const json_t *dg_trainee_card(const dg_trainee *t) {
  return t->file ? t->file->card : t->whole->card;
}

void dg_trainee_use(const dg_trainee *t, bool trained, dg_network *n) {
  dg_adapter_stacked_use(&t->stack, n);
  if (trained && t->file) n->adapters[n->adapter_count++] = t->file->adapter;
  if (trained && t->whole) n->model = t->whole->model;
}

dg_tokenizer *dg_trainee_tokenizer(const dg_trainee *t, bool trained, const char *language,
                                   dg_side side) {
  const dg_new_pieces *p = dg_adapter_stacked_pieces(&t->stack);
  if (trained && t->file && t->file->pieces.list.count) p = &t->file->pieces;
  return dg_new_pieces_tokenizer(p, t->base, language, side);
}

/* --- files ------------------------------------------------------------------------------------ */

json_t *dg_trainee_identity(const dg_trainee *t) {
  json_t *pairs = json_array(), *over = json_array(), *relatives = json_array();
  for (size_t i = 0; t->file && i < t->file->pair_count; i++)
    json_array_append_new(pairs, json_pack("[s,s]", t->file->pairs[i].source,
                                           t->file->pairs[i].target));
  for (size_t i = 0; i < t->stack.count; i++)
    json_array_append_new(over, json_string(t->stack.files[i]->hash));
  for (size_t i = 0; i < t->like.count; i++)
    json_array_append_new(relatives, json_string(t->like.items[i]));
  return json_pack("{s:s,s:o,s:o,s:o,s:o}", "base", t->base->hash, "adapter",
                   dg_adapter_config_json(&t->config), "pairs", pairs, "over", over, "like",
                   relatives);
}

/* One new language and its one relative are two words; more are objects. */
static void tell_relatives(const dg_trainee *t, json_t *card) {
  json_t *nearest = json_object(), *mixes = json_object();
  const dg_language *languages = t->file ? t->file->languages : t->languages;
  size_t count = t->file ? t->file->language_count : t->language_count;
  for (size_t i = 0; i < count; i++) {
    if (!t->relatives[i]) continue;
    const char *code = languages[i].code, *text = like(t, code);
    json_object_set_new(nearest, code, json_string(t->relatives[i]->code));
    if (strpbrk(text, ",:")) json_object_set_new(mixes, code, json_string(text));
  }
  if (json_object_size(nearest) == 1) {
    json_t *one = json_incref(json_object_iter_value(json_object_iter(nearest)));
    json_decref(nearest);
    nearest = one;
  }
  if (json_is_string(nearest) || json_object_size(nearest)) json_object_set(card, "like", nearest);
  if (json_object_size(mixes)) json_object_set(card, "like_mix", mixes);
  json_decref(nearest);
  json_decref(mixes);
}

bool dg_trainee_save(dg_trainee *t, json_t *card, const char *path, dg_error *err) {
  char hash[DG_HASH_TEXT];
  json_object_set_new(card, "method", json_string(t->config.method));
  if (t->init) json_object_set_new(card, "init", dg_card_file(t->init));
  if (t->below.count) {
    json_t *names = json_array();
    for (size_t i = 0; i < t->below.count; i++)
      json_array_append_new(names, dg_card_file(t->below.items[i]));
    json_object_set_new(card, "on_top_of", names);
  }
  tell_relatives(t, card);
  if (!t->file) {
    json_object_set_new(card, "base", json_string(t->base->hash));
    json_decref(t->whole->card);
    t->whole->card = card;
    return dg_base_save(t->whole, path, t->storage, hash, err);
  }
  if (t->file->pieces.list.count)
    json_object_set_new(card, "tokens_per_word", json_pack("[f,f]", t->tokens_per_word[0],
                                                           t->tokens_per_word[1]));
  json_decref(t->file->card);
  t->file->card = card;
  return dg_adapter_file_save(t->file, path, t->storage, hash, err);
}
