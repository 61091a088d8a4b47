#include "mt/train/adaptation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mt/core/file.h"
#include "mt/core/lines.h"
#include "mt/core/utf8.h"
#include "mt/train/back_translation.h"
#include "mt/train/sides.h"
#include "mt/train/vocabulary.h"

struct dg_adaptation {
  dg_adaptation_options o;
  dg_trainee *trainee;
  dg_train_options settings;
  dg_ranks alone, *ranks;
  dg_threads *threads;
  dg_base *base;
  dg_lock *lock; /* of rank 0, before anything beside the output is written */
  char *checkpoint_path, *mono_path;
  dg_train_way (*ways)[2]; /* of each pair: there and, bidirectional, back */
  size_t way_count;
  dg_train_data data;
  dg_parallel_text *turned; /* of its files, where the way back needs that; see add_corpora */
  dg_train_file mono;       /* back-translations */
  bool translating;
  dg_examples *train, *dev;
  dg_direction *directions;
  size_t direction_count;
  dg_dev_list dev_list, test_list;
  dg_train_measure *measures; /* of dev and test sets, at the end */
  size_t measure_count;
  dg_card_data *card_data;
  dg_train_task task;
};

#define note(a, ...) dg_tell((a)->o.note, (a)->o.context, __VA_ARGS__)

/* Lines that others wrote. */
static void note_all(const dg_adaptation *a, dg_strbuf *told) {
  char *rest = told->length ? told->text : NULL;
  for (char *line; (line = strsep(&rest, "\n"));)
    if (*line) note(a, "%s", line);
  dg_strbuf_clear(told);
}

static void show(const dg_adaptation *a, const char *what, double done, double all,
                 const char *unit) {
  if (a->o.progress) a->o.progress(a->o.context, what, done, all, unit);
}

/* --- text ------------------------------------------------------------------------------------ */

static bool add_pairs(dg_adaptation *a, dg_error *err) {
  a->way_count = a->o.bidirectional ? 2 : 1;
  a->ways = dg_calloc(a->o.pair_count + 1, sizeof *a->ways);
  for (size_t i = 0; i < a->o.pair_count; i++) {
    const dg_adaptation_pair *p = &a->o.pairs[i];
    dg_train_way *w = a->ways[i];
    if (!dg_trainee_add(a->trainee, p->source, p->target, &w[0], err) ||
        (a->o.bidirectional && !dg_trainee_add(a->trainee, p->target, p->source, &w[1], err)))
      return false;
  }
  return true;
}

/* A language that nobody can identify looks like one of its kin: another than was named may be
 * a nearer relative, or a mistake. */
static void note_looks(const dg_adaptation *a, const dg_train_file *f) {
  const dg_language_pair *p = &a->ways[f->pair][0].pair;
  for (int k = 0; k < 2; k++) {
    const char *code = k ? p->target : p->source, *looks = f->looks[k].code;
    const dg_language *like =
        dg_trainee_relative(a->trainee, code, k ? DG_SIDE_TARGET : DG_SIDE_SOURCE);
    if (!*looks || dg_lang_identifiable(code) || dg_lang_alike(looks, code) ||
        (like && dg_lang_alike(looks, like->code)))
      continue;
    char name[DG_LANG_MAX];
    dg_lang_name(looks, name, sizeof name);
    note(a, "%s: the %s side looks like %s", f->path, code, name);
  }
}

/* Says why by what most pairs of the first file are. */
static bool nothing_left(const dg_train_file *f, dg_error *err) {
  int most = DG_PROBLEM_NONE + 1;
  for (int k = most; k < DG_PROBLEMS; k++)
    if (f->problems[k] > f->problems[most]) most = k;
  return dg_fail(err, DG_ERR_USAGE, "no pair is left to train on; %s: %zu of %zu pairs %s", f->path,
                 f->problems[most], f->read, dg_problem_title((dg_problem)most));
}

static bool read_texts(dg_adaptation *a, dg_error *err) {
  dg_train_data_options *o = dg_calloc(a->o.pair_count + 1, sizeof *o);
  for (size_t i = 0; i < a->o.pair_count; i++) {
    const dg_adaptation_pair *p = &a->o.pairs[i];
    const dg_language_pair *languages = &a->ways[i][0].pair;
    o[i] = (dg_train_data_options){&p->train,         &p->dev,           &p->test,
                                   languages->source, languages->target, p->reversed};
  }
  dg_strbuf told = {0};
  bool ok = dg_train_data_read(&a->data, o, a->o.pair_count, a->o.keep_problems,
                               (uint64_t)a->settings.seed, &told, err);
  note_all(a, &told);
  free(told.text);
  free(o);
  if (ok && !dg_train_data_pairs(&a->data)) return nothing_left(&a->data.files[0], err);
  for (size_t i = 0; ok && !a->o.keep_problems && i < a->data.count; i++) {
    const dg_train_file *f = &a->data.files[i];
    note_looks(a, f);
    ok = dg_train_sides_check(a->trainee, &a->ways[f->pair][0], &f->text, f->path, a->threads, err);
  }
  return ok;
}

/* Pieces come of the text, and what is trained has rows for them. */
static bool build_trainee(dg_adaptation *a, dg_error *err) {
  dg_trainee *t = a->trainee;
  size_t count = a->data.train_count;
  dg_train_text *texts = dg_calloc(count + 1, sizeof *texts);
  for (size_t i = 0; i < count; i++)
    texts[i] = (dg_train_text){&a->data.files[i].text, &a->ways[a->data.files[i].pair][0].pair};
  bool ok = dg_train_pieces(t, texts, count, err) && dg_train_embeddings(t, texts, count, err) &&
            dg_trainee_build(t, (uint64_t)a->settings.seed, err);
  free(texts);
  note_all(a, &t->told);
  return ok;
}

/* Those of a direction's source and target. */
static void find_tokenizers(const dg_adaptation *a, bool trained, const dg_train_way *w,
                            dg_tokenizer *out[2]) {
  out[0] = dg_trainee_tokenizer(a->trainee, trained, w->pair.source, DG_SIDE_SOURCE);
  out[1] = dg_trainee_tokenizer(a->trainee, trained, w->pair.target, DG_SIDE_TARGET);
}

/* Tokenises the text of a pair. */
static bool add_examples(dg_adaptation *a, dg_examples *e, const dg_parallel_text *text,
                         const dg_train_way *w, size_t *corpus, dg_error *err) {
  dg_tokenizer *found[2];
  find_tokenizers(a, true, w, found);
  return dg_examples_add(e, text, (const dg_tokenizer *const[]){found[0], found[1]}, a->threads,
                         corpus, err);
}

/* The directions of a file, there and back. Back is the same corpus reversed, unless the base cuts
 * sources otherwise than targets: then the text is turned and cut anew. */
static bool add_corpora(dg_adaptation *a, dg_examples *e, size_t file, dg_direction directions[2],
                        dg_error *err) {
  dg_train_file *f = &a->data.files[file];
  dg_tokenizer *cut[2][2];
  for (size_t w = 0; w < a->way_count; w++) {
    const dg_train_way *t = &a->ways[f->pair][w];
    find_tokenizers(a, true, t, cut[w]);
    bool reversed = w && cut[1][0] == cut[0][1] && cut[1][1] == cut[0][0];
    directions[w] = (dg_direction){.corpus = directions[0].corpus,
                                   .reversed = reversed,
                                   .source_tag = t->source_tag,
                                   .target_tag = t->target_tag};
    if (w && !reversed) a->turned[file] = dg_parallel_turned(&f->text);
    const dg_parallel_text *text = w ? &a->turned[file] : &f->text;
    if (!reversed && !add_examples(a, e, text, t, &directions[w].corpus, err))
      return dg_error_context(err, "%s", f->path);
  }
  return true;
}

static void add_sets(dg_adaptation *a, dg_dev_list *list, size_t file,
                     const dg_direction directions[2], size_t most) {
  const dg_train_file *f = &a->data.files[file];
  for (size_t w = 0; w < a->way_count; w++) {
    const dg_train_way *t = &a->ways[f->pair][w];
    const dg_parallel_text *text = w && !directions[w].reversed ? &a->turned[file] : &f->text;
    dg_dev_set *set =
        dg_dev_list_add(list, t->pair.source, t->pair.target, directions[w], text, most);
    find_tokenizers(a, true, t, set->tokenizers);
  }
}

static bool add_file(dg_adaptation *a, size_t i, dg_error *err) {
  dg_train_file *f = &a->data.files[i];
  dg_card_data *card = &a->card_data[i];
  const dg_language_pair *languages = &a->ways[f->pair][0].pair;
  *card = (dg_card_data){dg_train_role_name(f->role),
                         languages->source,
                         languages->target,
                         f->path,
                         f->text.count,
                         f->read - f->text.count,
                         dg_train_problems_json(f)};
  dg_direction directions[2] = {{0}};
  if (f->role == DG_ROLE_TEST) { /* nothing but translated */
    for (size_t w = 0; w < a->way_count; w++) {
      const dg_train_way *t = &a->ways[f->pair][w];
      directions[w] = (dg_direction){
          .reversed = w == 1, .source_tag = t->source_tag, .target_tag = t->target_tag};
    }
    add_sets(a, &a->test_list, i, directions, SIZE_MAX);
    return true;
  }
  dg_examples *e = f->role == DG_ROLE_DEV ? a->dev : a->train;
  if (!add_corpora(a, e, i, directions, err)) return false;
  size_t skipped = dg_examples_skipped(e, directions[0].corpus);
  if (skipped)
    note(a, "%s: %zu pairs left out: empty or longer than %zu tokens", f->path, skipped,
         dg_examples_most(e));
  card->pairs -= skipped, card->skipped += skipped;
  if (f->role == DG_ROLE_DEV) {
    add_sets(a, &a->dev_list, i, directions, (size_t)a->settings.eval_sentences);
    return true;
  }
  for (size_t w = 0; w < a->way_count; w++) a->directions[a->direction_count++] = directions[w];
  return true;
}

static bool stop(void *context) {
  const dg_adaptation *a = context;
  return a->o.stop && a->o.stop(a->o.context);
}

static void show_translated(void *context, size_t done, size_t sentences) {
  dg_adaptation *a = context;
  if (!a->translating && done)
    note(a, "%zu back-translations of an earlier run are taken from %s", done, a->mono_path);
  a->translating = true;
  show(a, "translating back", (double)done, (double)sentences, "sentences");
}

static bool translate_back(dg_adaptation *a, const dg_train_way *t, dg_error *err) {
  dg_back_translation o = {.files = a->o.mono,
                           .reverse = a->o.reverse,
                           .trainee = a->trainee,
                           .source = t->pair.source,
                           .target = t->pair.target,
                           .held_out = &a->data.held_out,
                           .output = a->o.output,
                           .threads = a->threads,
                           .context = a,
                           .stop = stop,
                           .progress = show_translated};
  bool ok = dg_back_translate(&o, &a->mono.text, &a->mono_path, err);
  show(a, NULL, 0, 0, NULL);
  return ok;
}

/* Back-translations stand beside the pairs; drawn more evenly than their numbers, so that
 * the pairs do not drown. */
static bool add_mono(dg_adaptation *a, dg_error *err) {
  const dg_train_way *t = &a->ways[0][0];
  dg_direction way = {.source_tag = t->source_tag,
                      .target_tag = t->target_tag,
                      .marked = true,
                      .mark = dg_back_translation_mark(a->base)};
  dg_train_file *f = &a->mono;
  f->path = a->o.mono.items[0];
  f->role = DG_ROLE_MONO;
  dg_key_set seen = {0};
  dg_strbuf told = {0};
  char made = 0; /* by rank 0; the others find its translations in the file */
  if (a->ranks->rank && !dg_ranks_share(a->ranks, &made, 1, err)) return false;
  if (!translate_back(a, t, err) || (!a->ranks->rank && !dg_ranks_share(a->ranks, &made, 1, err)))
    return false;
  f->read = f->text.count;
  bool ok = dg_train_file_check(f, t->pair.source, t->pair.target, a->o.keep_problems, &seen, NULL,
                                &told, err);
  note_all(a, &told);
  free(told.text);
  dg_key_set_free(&seen);
  ok = ok && add_examples(a, a->train, &f->text, t, &way.corpus, err);
  if (!ok) return false;
  if (!f->read)
    return dg_fail(err, DG_ERR_USAGE, "%s: there is no text to translate back", f->path);
  if (2 * f->text.count < f->read)
    note(a,
         "%s: most of its back-translations are no use: --reverse names an adapter that "
         "translates %s into %s better",
         f->path, t->pair.target, t->pair.source);
  if (!dg_trainee_given(a->trainee, "temperature")) a->settings.temperature = 5;
  a->directions[a->direction_count++] = way;
  size_t count = dg_examples_count(a->train, way.corpus);
  a->card_data[a->data.count] = (dg_card_data){
      dg_train_role_name(f->role), t->pair.source, t->pair.target, f->path, count, f->read - count,
      dg_train_problems_json(f)};
  note(a, "%zu sentences translated back, marked as such; temperature %g", count,
       a->settings.temperature);
  return true;
}

/* What was not asked for is as in the adapter it begins from, or goes by the languages */
static void set_adapter_defaults(dg_adaptation *a, dg_strbuf *told) {
  dg_trainee *t = a->trainee;
  bool source, target;
  dg_trainee_new_sides(t, &source, &target);
  if (!t->init && !dg_trainee_is_full(t))
    dg_train_adapter_defaults(&t->config, dg_train_data_pairs(&a->data), source, target,
                              a->trainee->given, a->trainee->context, told);
}

/* and by the amount of text. */
static void set_defaults(dg_adaptation *a, dg_strbuf *adapter) {
  size_t pairs = dg_train_data_pairs(&a->data);
  dg_strbuf told = {0};
  dg_train_defaults(&a->settings, pairs, a->trainee->given, a->trainee->context, &told);
  if (!dg_trainee_given(a->trainee, "learning_rate"))
    a->settings.learning_rate =
        dg_trainee_learning_rate(a->trainee, a->base->model->config.d_model);
  if (adapter->length) dg_strbuf_addf(&told, ", %s", adapter->text);
  if (!dg_trainee_given(a->trainee, "metric"))
    a->settings.metric = a->settings.eval_sentences ? DG_METRIC_CHRF : DG_METRIC_LOSS;
  dg_strbuf_addf(&told, ", learning_rate %g; best by dev ", a->settings.learning_rate);
  dg_options_get(dg_options_find(dg_train_options_table, "metric"), &a->settings, &told);
  note(a, "settings for %zu pairs: %s", pairs, told.text);
  free(told.text);
}

/* Of the settings given, those that this method does not have. */
static void note_useless(const dg_adaptation *a) {
  const char *method = a->trainee->config.method;
  unsigned has = dg_trainee_is_full(a->trainee) ? 0 : dg_method_parse(method, NULL);
  for (const dg_option *o = dg_adapter_config_options; o->name; o++) {
    unsigned of = dg_method_of_setting(o->name);
    if (of && !(of & has) && dg_trainee_given(a->trainee, o->name))
      note(a, "dragoman: warning: method %s has no %s: it changes nothing", method, o->name);
  }
  if (a->settings.optimizer != DG_OPTIMIZER_MUON && dg_trainee_given(a->trainee, "muon_momentum"))
    note(a, "dragoman: warning: muon_momentum is of --optimizer muon");
}

static bool read_data(dg_adaptation *a, dg_error *err) {
  if (!read_texts(a, err)) return false;
  dg_strbuf adapter = {0};
  set_adapter_defaults(a, &adapter);
  note_useless(a);
  bool ok = build_trainee(a, err);
  if (ok) set_defaults(a, &adapter);
  free(adapter.text);
  if (!ok) return false;
  a->card_data = dg_calloc(a->data.count + 1, sizeof *a->card_data);
  a->turned = dg_calloc(a->data.count + 1, sizeof *a->turned);
  a->directions = dg_calloc(a->data.train_count * a->way_count + 1, sizeof *a->directions);
  a->train = dg_examples_new(a->base, (size_t)a->settings.max_tokens);
  a->dev = dg_examples_new(a->base, (size_t)a->base->model->config.max_positions);
  size_t pairs = 0;
  for (size_t i = 0; i < a->data.count; i++) {
    if (!add_file(a, i, err)) return false;
    if (a->data.files[i].role == DG_ROLE_TRAIN) pairs += a->card_data[i].pairs;
  }
  if (a->o.mono.count && !add_mono(a, err)) return false;
  dg_strbuf names = {0};
  for (size_t i = 0; i < a->o.pair_count; i++)
    dg_strbuf_addf(&names, "%s%s-%s", i ? ", " : "", a->ways[i][0].pair.source,
                   a->ways[i][0].pair.target);
  size_t mine = dg_params_count(dg_trainee_params(a->trainee));
  size_t all = dg_params_count(&a->base->model->params);
  note(a, "%s%s: %zu training pairs; %s: training %zu parameters, %.2f%% of the base's %zu",
       names.text, a->o.bidirectional ? " both ways" : "", pairs, a->trainee->config.method, mine,
       100 * (double)mine / (double)all, all);
  free(names.text);
  return true;
}

/* --- training ------------------------------------------------------------------------------ */

static char *identity(const dg_adaptation *a) {
  json_t *made_of = dg_trainee_identity(a->trainee), *ways = json_array();
  for (size_t i = 0; i < a->o.pair_count; i++)
    for (size_t w = 0; w < a->way_count; w++)
      json_array_append_new(
          ways, json_pack("[s,s]", a->ways[i][w].pair.source, a->ways[i][w].pair.target));
  /* By its name, for the output may be the same file, and better each time. */
  char *init = dg_utf8_repair(a->trainee->init ? a->trainee->init : "");
  json_object_set_new(made_of, "init", json_string(init));
  json_object_set_new(made_of, "ways", ways);
  free(init);
  return dg_train_identity(&a->settings, made_of, a->train);
}

static const char default_note[] =
    "Knows the kind of text it was trained on, and shares its errors and prejudices; it may leave "
    "out, add or reverse meaning. Have translations checked by someone who speaks both languages.";

static bool save(dg_adaptation *a, const dg_train_result *result, dg_error *err) {
  json_t *card = dg_card_new(dg_trainee_is_full(a->trainee) ? "base" : "adapter", &a->settings,
                             &a->task, result, a->trainee->init ? "init" : "untouched",
                             a->card_data, a->data.count + (a->o.mono.count > 0),
                             a->o.card_note ? a->o.card_note : default_note);
  char *licence = dg_utf8_repair(a->o.licence ? a->o.licence : "");
  if (a->o.licence) json_object_set_new(card, "licence", json_string(licence));
  free(licence);
  json_object_set_new(card, "base", json_string(a->base->hash));
  dg_card_measures(card, a->measures, a->measure_count);
  return dg_trainee_save(a->trainee, card, a->o.output, err);
}

static bool best(void *context, const dg_train_report *report, dg_error *err) {
  dg_train_result so_far = dg_train_so_far(report);
  return save(context, &so_far, err);
}

static void report(void *context, const dg_train_report *r) {
  const dg_adaptation *a = context;
  if (a->o.report) a->o.report(a->o.context, r);
}

static void show_measured(void *context, double share) {
  show(context, "measuring", 100 * share, 100, "%");
}

static bool has_text(const dg_dev_list *list) {
  for (size_t i = 0; i < list->count; i++)
    if (list->sets[i].sentences) return true;
  return false;
}

/* Before, the base and what is below say the same; in a new language, as its relative. */
static bool measure_list(dg_adaptation *a, const dg_dev_list *list, size_t first_file, int beam,
                         const dg_network *before, const dg_network *after, dg_error *err) {
  dg_translate_options how = dg_translate_defaults();
  how.beam = (size_t)beam;
  how.stop = stop, how.progress = show_measured, how.context = a;
  for (size_t i = 0; i < list->count; i++) {
    if (!list->sets[i].sentences) continue;
    const dg_train_file *f = &a->data.files[first_file + i / a->way_count];
    const dg_train_way *way = &a->ways[f->pair][i % a->way_count];
    dg_train_measure *m = &a->measures[a->measure_count++];
    *m = (dg_train_measure){.file = f, .set = &list->sets[i], .beam = beam};
    dg_dev_set untouched = *m->set;
    untouched.direction.source_tag = way->before_source;
    untouched.direction.target_tag = way->before_target;
    find_tokenizers(a, false, way, untouched.tokenizers);
    if (!dg_gain_measure(before, &untouched, after, m->set, a->base, &how, &m->gain, err))
      return false;
  }
  return true;
}

/* Both texts translated with and without the trainee. */
static bool measure(dg_adaptation *a, dg_error *err) {
  a->measures = dg_calloc(a->dev_list.count + a->test_list.count + 1, sizeof *a->measures);
  if (!has_text(&a->dev_list) && !has_text(&a->test_list)) return true;
  dg_network before = a->task.network, after = a->task.network;
  before.model = a->base->model;
  before.adapter_count = 0;
  dg_trainee_use(a->trainee, false, &before);
  dg_packed_model *weights[2] = {dg_evaluate_pack(&before, err), NULL};
  bool ok = weights[0] != NULL;
  if (after.model == before.model)
    after.packed = before.packed, after.precision = before.precision;
  else if (ok)
    ok = (weights[1] = dg_evaluate_pack(&after, err)) != NULL;
  ok = ok &&
       measure_list(a, &a->dev_list, a->data.train_count, a->settings.eval_beam, &before, &after,
                    err) &&
       measure_list(a, &a->test_list, a->data.train_count + a->data.dev_count,
                    (int)dg_translate_defaults().beam, &before, &after, err);
  for (int i = 0; i < 2; i++) dg_packed_model_free(weights[i]);
  show(a, NULL, 0, 0, NULL);
  if (!ok && err && err->status == DG_ERR_INTERRUPTED)
    dg_fail(err, DG_ERR_INTERRUPTED, "stopped while measuring; the same command goes on from %s",
            a->checkpoint_path);
  return ok;
}

/* --- the whole ------------------------------------------------------------------------------ */

dg_adaptation *dg_adaptation_new(const dg_adaptation_options *o, dg_error *err) {
  dg_adaptation *a = dg_calloc(1, sizeof *a);
  a->o = *o;
  a->trainee = o->trainee;
  a->settings = o->settings;
  a->threads = o->threads;
  a->alone = (dg_ranks){.size = 1};
  a->ranks = o->ranks ? o->ranks : &a->alone;
  a->checkpoint_path = dg_format("%s.checkpoint", o->output);
  if ((a->base = dg_base_load(o->base, err)) && dg_trainee_begin(a->trainee, a->base, err) &&
      add_pairs(a, err) && (a->ranks->rank || (a->lock = dg_lock_new(a->checkpoint_path, err))) &&
      read_data(a, err))
    return a;
  dg_adaptation_free(a);
  return NULL;
}

bool dg_adaptation_run(dg_adaptation *a, dg_train_result *result, dg_error *err) {
  char *made_of = identity(a);
  a->task = (dg_train_task){
      .base = a->base,
      .network = {.model = a->base->model,
                  .threads = a->threads,
                  .precision = dg_train_precision(&a->settings)},
      .trained = dg_trainee_params(a->trainee),
      .examples = a->train,
      .directions = a->directions,
      .direction_count = a->direction_count,
      .dev_examples = a->dev,
      .dev_sets = a->dev_list.sets,
      .dev_count = a->dev_list.count,
      .evaluate_start = true,
      .replaces = !access(a->o.output, F_OK), /* stays until this run is over */
      .locked = true,
      .checkpoint_path = a->checkpoint_path,
      .identity = made_of,
      .ranks = a->ranks,
      .context = a,
      .stop = stop,
      .report = report,
      .best = best,
  };
  dg_trainee_use(a->trainee, true, &a->task.network);
  bool ok = dg_train(&a->task, &a->settings, result, err) &&
            (a->ranks->rank || (measure(a, err) && save(a, result, err)));
  a->task.identity = NULL;
  free(made_of);
  return ok;
}

void dg_adaptation_clear(dg_adaptation *a, const dg_train_result *result) {
  if (a->ranks->rank || result->end == DG_TRAIN_TIME) return;
  unlink(a->checkpoint_path);
  if (a->mono_path) unlink(a->mono_path);
}

const dg_train_options *dg_adaptation_settings(const dg_adaptation *a) { return &a->settings; }
const dg_dev_list *dg_adaptation_dev(const dg_adaptation *a) { return &a->dev_list; }
const dg_train_data *dg_adaptation_data(const dg_adaptation *a) { return &a->data; }
const dg_train_measure *dg_adaptation_measures(const dg_adaptation *a, size_t *count) {
  *count = a->measure_count;
  return a->measures;
}

void dg_adaptation_free(dg_adaptation *a) {
  if (!a) return;
  for (size_t i = 0; a->card_data && i <= a->data.count; i++) json_decref(a->card_data[i].problems);
  for (size_t i = 0; a->turned && i < a->data.count; i++) dg_parallel_free(&a->turned[i]);
  free(a->turned);
  dg_train_data_free(&a->data);
  for (size_t i = 0; i < a->measure_count; i++) dg_gain_free(&a->measures[i].gain);
  free(a->measures);
  dg_dev_list_free(&a->dev_list);
  dg_dev_list_free(&a->test_list);
  dg_examples_free(a->train);
  dg_examples_free(a->dev);
  free(a->directions);
  free(a->card_data);
  free(a->ways);
  dg_trainee_free(a->trainee);
  dg_base_free(a->base);
  dg_lock_free(a->lock);
  dg_parallel_free(&a->mono.text);
  free(a->checkpoint_path);
  free(a->mono_path);
  free(a);
}
