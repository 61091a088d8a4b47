#include "mt/train/pretraining.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mt/core/file.h"
#include "mt/core/mem.h"
#include "mt/core/utf8.h"
#include "mt/train/card.h"

struct dg_pretraining {
  dg_pretraining_options o;
  dg_recipe recipe; /* o.recipe, but for the shape that the base turns out to have */
  json_t *asked; /* the tokenizer, where one is to be trained */
  char *tokenizer_path, *checkpoint_path;
  dg_lock *lock;           /* before anything beside the output is written */
  dg_parallel_text *texts; /* one a data entry */
  dg_base *base;
  dg_examples *train, *dev;
  dg_direction *directions;
  size_t direction_count;
  dg_dev_list dev_list;
  dg_card_data *card_data; /* one a data entry */
  dg_train_task task;
};

#define note(p, ...) dg_tell((p)->o.note, (p)->o.context, __VA_ARGS__)

/* --- tokenizer ------------------------------------------------------------------------------ */

/* Those named, each once, in order; the array alone is the caller's. */
static const char **name_languages(const dg_recipe *r, size_t *count) {
  const char **list = dg_malloc((2 * r->data_count + 1) * sizeof *list);
  *count = 0;
  for (size_t i = 0; i < 2 * r->data_count; i++) {
    const char *code = i % 2 ? r->data[i / 2].target : r->data[i / 2].source;
    size_t k = 0;
    while (k < *count && strcmp(list[k], code)) k++;
    if (k == *count) list[(*count)++] = code;
  }
  return list;
}

/* One side of one file, read evenly: `take` of `count` sentences. */
typedef struct side {
  const dg_parallel_text *text;
  bool target;
  size_t take, next;
} side;

typedef struct side_reader {
  side *sides;
  size_t count, current;
} side_reader;

static int next_sentence(void *context, const char **text, size_t *n, dg_error *err) {
  (void)err;
  side_reader *r = context;
  while (r->current < r->count && r->sides[r->current].next == r->sides[r->current].take)
    r->current++;
  if (r->current == r->count) return 0;
  side *s = &r->sides[r->current];
  const dg_pair *p = &s->text->pairs[s->next++ * s->text->count / s->take];
  *text = s->target ? p->target : p->source;
  *n = strlen(*text);
  return 1;
}

/* Languages with much text are sampled down, so that small ones get their share of the vocabulary;
 * dev text is not read. */
static dg_tokenizer *train_tokenizer(const dg_recipe *r, const dg_parallel_text *texts,
                                     dg_error *err) {
  size_t languages;
  const char **codes = name_languages(r, &languages);
  side_reader reader = {.sides = dg_calloc(2 * r->data_count, sizeof(side))};
  double *sizes = dg_calloc(languages, sizeof *sizes), total = 0;
  for (size_t i = 0; i < r->data_count; i++) {
    if (r->data[i].dev) continue;
    for (int k = 0; k < 2; k++) {
      const char *code = k ? r->data[i].target : r->data[i].source;
      size_t l = 0;
      while (strcmp(codes[l], code)) l++;
      sizes[l] += (double)texts[i].count;
      reader.sides[reader.count++] = (side){.text = &texts[i], .target = k, .next = l};
    }
  }
  /* A language's share is ~ sqrt of its text, spread over its files by size. */
  for (size_t l = 0; l < languages; l++) total += sqrt(sizes[l]);
  for (size_t i = 0; i < reader.count; i++) {
    side *s = &reader.sides[i];
    double size = sizes[s->next], budget = r->settings.tokenizer_sentences * sqrt(size) / total;
    double part = size > 0 ? budget / size : 0;
    s->take = (size_t)((part < 1 ? part : 1) * (double)s->text->count);
    s->next = 0;
  }
  char(*tags)[DG_LANG_MAX + 32] = dg_calloc(languages, sizeof *tags);
  const char **tag_list = dg_calloc(languages, sizeof *tag_list);
  const char *mark = strstr(r->model.tag_format, "%s");
  for (size_t l = 0; l < languages && mark; l++) {
    snprintf(tags[l], sizeof tags[l], "%.*s%s%s", (int)(mark - r->model.tag_format),
             r->model.tag_format, codes[l], mark + 2);
    tag_list[l] = tags[l];
  }
  dg_tokenizer_options o = dg_tokenizer_defaults();
  o.type = r->settings.tokenizer_type;
  o.vocab_size = r->model.vocab_size ? r->model.vocab_size : 8000;
  o.character_coverage = r->settings.character_coverage;
  o.byte_fallback = r->settings.byte_fallback;
  o.normalization = r->settings.normalization;
  o.tags = tag_list;
  o.tag_count = mark ? languages : 0;
  o.quiet = true;
  dg_tokenizer *t = dg_tokenizer_train(&o, next_sentence, &reader, err);
  free(reader.sides);
  free(sizes);
  free(codes);
  free(tags);
  free(tag_list);
  return t;
}

/* The recipe's, one trained before by the run that goes on, or a new one. */
static dg_tokenizer *find_tokenizer(const dg_pretraining *p, dg_error *err) {
  const dg_recipe *r = &p->recipe;
  if (*r->settings.tokenizer) return dg_tokenizer_load_file(r->settings.tokenizer, err);
  if (!access(p->tokenizer_path, F_OK) && !access(p->checkpoint_path, F_OK)) {
    note(p, "tokenizer: %s", p->tokenizer_path);
    return dg_tokenizer_load_file(p->tokenizer_path, err);
  }
  note(p, "training a tokenizer ...");
  dg_tokenizer *t = train_tokenizer(r, p->texts, err);
  size_t n = 0;
  const void *bytes = t ? dg_tokenizer_bytes(t, &n) : NULL;
  if (!t || dg_output_whole(p->tokenizer_path, bytes, n, err)) return t;
  dg_tokenizer_free(t);
  return NULL;
}

/* --- base ----------------------------------------------------------------------------------- */

static dg_base *begin_base(dg_pretraining *p, dg_error *err) {
  dg_tokenizer *t = find_tokenizer(p, err);
  if (!t) return NULL;
  p->recipe.model.vocab_size = dg_tokenizer_size(t);
  dg_model *m = dg_model_new(&p->recipe.model, err);
  if (!m) {
    dg_tokenizer_free(t);
    return NULL;
  }
  dg_model_initialize(m, (uint64_t)p->recipe.train.seed);
  size_t count;
  const char **codes = name_languages(&p->recipe, &count);
  dg_language *languages = dg_calloc(count, sizeof *languages);
  for (size_t i = 0; i < count; i++)
    snprintf(languages[i].code, sizeof languages[i].code, "%s", codes[i]);
  dg_base *made = dg_base_new(m, t, NULL, languages, count, NULL, err);
  free(languages);
  free(codes);
  return made;
}

/* One to go on from: its shape and languages are settled. */
static dg_base *copy_base(dg_pretraining *p, dg_error *err) {
  const dg_recipe_settings *s = &p->recipe.settings;
  dg_base *from = dg_base_load(s->init, err), *copy = NULL;
  if (from && s->both_directions && from->target_tokenizer != from->tokenizer)
    dg_fail(err, DG_ERR_USAGE,
            "%s has a tokenizer for each side: it trains in one direction, set "
            "both_directions = false",
            s->init);
  else if (from && (copy = dg_base_copy(from, NULL, 0, err)))
    p->recipe.model = copy->model->config;
  dg_base_free(from);
  return copy;
}

/* What tokenizer is to be trained: the one that a run goes on with may be another. */
static json_t *asked_tokenizer(const dg_recipe *r) {
  const dg_recipe_settings *s = &r->settings;
  if (*s->tokenizer || *s->init) return NULL;
  return json_pack("{s:i,s:i,s:s,s:f,s:b,s:i}", "type", (int)s->tokenizer_type, "vocab_size",
                   r->model.vocab_size, "normalization", s->normalization, "character_coverage",
                   s->character_coverage, "byte_fallback", s->byte_fallback, "sentences",
                   s->tokenizer_sentences);
}

static bool make_base(dg_pretraining *p, dg_error *err) {
  p->base = *p->recipe.settings.init ? copy_base(p, err) : begin_base(p, err);
  return p->base && dg_model_train(p->base->model, err);
}

/* --- text ----------------------------------------------------------------------------------- */

static bool read_texts(dg_pretraining *p, dg_error *err) {
  p->texts = dg_calloc(p->recipe.data_count, sizeof *p->texts);
  for (size_t i = 0; i < p->recipe.data_count; i++)
    if (!dg_parallel_read(&p->texts[i], p->recipe.data[i].file, err)) return false;
  return true;
}

static bool add_entry(dg_pretraining *p, size_t i, dg_error *err) {
  const dg_recipe_data *d = &p->recipe.data[i];
  const dg_language *source = dg_base_language(p->base, d->source, DG_SIDE_SOURCE, err);
  const dg_language *target =
      source ? dg_base_language(p->base, d->target, DG_SIDE_TARGET, err) : NULL;
  if (!target) return false;
  dg_examples *e = d->dev ? p->dev : p->train;
  size_t corpus;
  if (!dg_examples_add(e, &p->texts[i], NULL, p->o.threads, &corpus, err))
    return dg_error_context(err, "%s", d->file);
  p->card_data[i] = (dg_card_data){
      d->dev ? "dev" : "train",       d->source, d->target, d->file, dg_examples_count(e, corpus),
      dg_examples_skipped(e, corpus), NULL};
  for (int k = 0; k < 1 + p->recipe.settings.both_directions; k++) {
    dg_direction way = {.corpus = corpus,
                        .reversed = k,
                        .source_tag = k ? target->tag : source->tag,
                        .target_tag = k ? source->tag : target->tag};
    if (d->dev)
      dg_dev_list_add(&p->dev_list, k ? d->target : d->source, k ? d->source : d->target, way,
                      &p->texts[i], (size_t)p->recipe.train.eval_sentences);
    else
      p->directions[p->direction_count++] = way;
  }
  return true;
}

static bool tokenize(dg_pretraining *p, dg_error *err) {
  const dg_recipe *r = &p->recipe;
  p->train = dg_examples_new(p->base, (size_t)r->train.max_tokens);
  p->dev = dg_examples_new(p->base, (size_t)r->model.max_positions);
  p->directions = dg_calloc(2 * r->data_count, sizeof *p->directions);
  p->card_data = dg_calloc(r->data_count, sizeof *p->card_data);
  size_t pairs = 0;
  for (size_t i = 0; i < r->data_count; i++) {
    if (!add_entry(p, i, err)) return false;
    if (r->data[i].dev) continue;
    pairs += p->card_data[i].pairs;
    if (!(r->train.subword_alpha > 0)) dg_parallel_free(&p->texts[i]); /* ids are enough */
  }
  note(p, "%zu training pairs, %zu directions, %zu dev sets, %zu parameters", pairs,
       p->direction_count, p->dev_list.count, dg_params_count(&p->base->model->params));
  return true;
}

/* --- training ------------------------------------------------------------------------------- */

dg_pretraining *dg_pretraining_new(const dg_pretraining_options *o, dg_error *err) {
  dg_pretraining *p = dg_calloc(1, sizeof *p);
  p->o = *o;
  p->recipe = *o->recipe;
  p->asked = asked_tokenizer(&p->recipe);
  p->tokenizer_path = dg_format("%s.tokenizer", o->output);
  p->checkpoint_path = dg_format("%s.checkpoint", o->output);
  if ((p->lock = dg_lock_new(p->checkpoint_path, err)) && read_texts(p, err) && make_base(p, err) &&
      tokenize(p, err))
    return p;
  dg_pretraining_free(p);
  return NULL;
}

void dg_pretraining_free(dg_pretraining *p) {
  if (!p) return;
  for (size_t i = 0; p->texts && i < p->recipe.data_count; i++) dg_parallel_free(&p->texts[i]);
  free(p->texts);
  dg_dev_list_free(&p->dev_list);
  dg_examples_free(p->train);
  dg_examples_free(p->dev);
  free(p->directions);
  free(p->card_data);
  dg_base_free(p->base);
  dg_lock_free(p->lock);
  json_decref(p->asked);
  free(p->tokenizer_path);
  free(p->checkpoint_path);
  free(p);
}

const dg_dev_list *dg_pretraining_dev(const dg_pretraining *p) { return &p->dev_list; }

static bool save(dg_pretraining *p, const dg_train_result *result, dg_error *err) {
  const dg_recipe *r = &p->recipe;
  json_decref(p->base->card);
  p->base->card = dg_card_new("base", &r->train, &p->task, result, "untouched", p->card_data,
                              r->data_count, NULL);
  char *licence = dg_utf8_repair(r->settings.licence);
  if (*licence) json_object_set_new(p->base->card, "licence", json_string(licence));
  free(licence);
  char hash[DG_HASH_TEXT];
  return dg_base_save(p->base, p->o.output, r->settings.storage, hash, err);
}

static bool stop(void *context) {
  const dg_pretraining *p = context;
  return p->o.stop && p->o.stop(p->o.context);
}

static void report(void *context, const dg_train_report *r) {
  const dg_pretraining *p = context;
  if (p->o.report) p->o.report(p->o.context, r);
}

static bool best(void *context, const dg_train_report *r, dg_error *err) {
  dg_train_result so_far = dg_train_so_far(r);
  return save(context, &so_far, err);
}

/* Everything that decides the weights. */
static char *identity(const dg_pretraining *p) {
  json_t *ways = json_array();
  for (size_t i = 0; i < p->recipe.data_count; i++) {
    const dg_recipe_data *d = &p->recipe.data[i];
    if (d->dev) continue;
    json_array_append_new(ways, json_pack("[s,s]", d->source, d->target));
    if (p->recipe.settings.both_directions)
      json_array_append_new(ways, json_pack("[s,s]", d->target, d->source));
  }
  char *init = dg_utf8_repair(p->recipe.settings.init);
  json_t *made_of =
      json_pack("{s:o,s:I,s:o,s:s}", "model",
                dg_options_to_json(dg_model_config_options, &p->recipe.model), "parameters",
                (json_int_t)p->base->model->params.total, "ways", ways, "init", init);
  free(init);
  if (p->asked) json_object_set(made_of, "tokenizer", p->asked);
  return dg_train_identity(&p->recipe.train, made_of, p->train);
}

bool dg_pretraining_run(dg_pretraining *p, dg_train_result *result, dg_error *err) {
  char *made_of = identity(p);
  p->task = (dg_train_task){
      .base = p->base,
      .network = {.model = p->base->model,
                  .threads = p->o.threads,
                  .precision = dg_train_precision(&p->recipe.train)},
      .trained = &p->base->model->params,
      .examples = p->train,
      .directions = p->directions,
      .direction_count = p->direction_count,
      .dev_examples = p->dev,
      .dev_sets = p->dev_list.sets,
      .dev_count = p->dev_list.count,
      .locked = true,
      .checkpoint_path = p->checkpoint_path,
      .identity = made_of,
      .context = p,
      .stop = stop,
      .report = report,
      .best = best,
  };
  bool ok = dg_train(&p->task, &p->recipe.train, result, err) && save(p, result, err);
  free(made_of);
  return ok;
}
