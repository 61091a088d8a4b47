#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mt/cli/models.h"
#include "mt/cli/train_report.h"
#include "mt/cli/training.h"
#include "mt/core/file.h"
#include "mt/core/lines.h"
#include "mt/decode/translator.h"
#include "mt/train/back_translation.h"
#include "mt/train/card.h"
#include "mt/train/data.h"
#include "mt/train/defaults.h"
#include "mt/train/sides.h"
#include "mt/train/trainee.h"
#include "mt/train/vocabulary.h"

/* A pair of languages and its files. */
typedef struct pair {
  const char *source, *target;
  dg_list train, dev, test;
  dg_train_way ways[2]; /* there and, bidirectional, back */
  char *text;           /* of a --pair, taken apart */
} pair;

/* One run, from base to adapter file. */
typedef struct run {
  dg_cli *cli;
  dg_train_options options;
  const char *base_name, *layers, *output;
  pair one;           /* -s, -t, --train and so on */
  dg_list pair_texts; /* --pair */
  pair *pairs;
  size_t pair_count, ways;
  const char *log_path, *report_path, *licence, *note_path;
  char *note;
  bool reversed; /* the files have the target language first */
  bool keep_problems, bidirectional;
  char *checkpoint_path;
  dg_threads *threads;
  const char *init, *reverse;
  dg_list below;
  char *base_path, *init_path, *reverse_path, **below_paths;
  dg_base *base;
  dg_trainee trainee;
  dg_train_data data;
  dg_parallel_text *turned; /* of its files, where the way back needs that; see add_corpora */
  dg_list mono_files; /* text of the target language, to translate back */
  dg_train_file mono; /* it and its translations */
  char *mono_path;
  dg_progress translated;
  dg_examples *train, *dev;
  dg_direction *directions;
  size_t direction_count;
  dg_dev_list dev_list, test_list;
  dg_train_measure *measures; /* of dev and test sets, at the end */
  size_t measure_count;
  dg_card_data *card_data;
  dg_training_log log;
  dg_lock *lock; /* of rank 0, before anything beside the output is written */
  dg_train_task task;
  dg_ranks ranks;
} run;

/* What the library tells. */
static void say(const run *r, dg_strbuf *told) {
  if (told->length) dg_cli_say(r->cli, "%s", told->text);
  dg_strbuf_clear(told);
}

/* --- what is asked for ----------------------------------------------------------------------- */

static bool find_model(const char *name, char **path, dg_error *err) {
  return !name || (*path = dg_find_model(name, err)) != NULL;
}

static bool find_models(run *r, dg_error *err) {
  r->below_paths = dg_calloc(r->below.count + 1, sizeof *r->below_paths);
  bool ok = find_model(r->base_name, &r->base_path, err) && find_model(r->init, &r->init_path, err);
  for (size_t i = 0; ok && i < r->below.count; i++)
    ok = find_model(r->below.items[i], &r->below_paths[i], err);
  if (!ok) return false;
  return find_model(r->reverse, &r->reverse_path, err) || dg_error_context(err, "--reverse");
}

static bool begin_trainee(run *r, dg_error *err) {
  dg_trainee *t = &r->trainee;
  t->given = dg_cli_given, t->context = r->cli;
  t->init = r->init_path;
  t->below = (dg_list){.items = (const char **)r->below_paths, .count = r->below.count};
  return dg_trainee_begin(t, r->base, err);
}

/* --- pairs and their text -------------------------------------------------------------------- */

/* SRC:TGT:TRAIN[:DEV[:TEST]] */
static bool read_pair(pair *p, const char *text, dg_error *err) {
  char *fields[5] = {0}, *rest = p->text = dg_strdup(text);
  size_t n = 0;
  while (n < 5 && rest) {
    fields[n++] = rest;
    if ((rest = strchr(rest, ':'))) *rest++ = 0;
  }
  bool empty = rest || n < 3;
  for (size_t i = 0; i < n; i++) empty = empty || !*fields[i];
  if (empty)
    return dg_fail(err, DG_ERR_USAGE, "--pair \"%s\" is not SRC:TGT:TRAIN[:DEV[:TEST]]", text);
  p->source = fields[0], p->target = fields[1];
  dg_list *lists[] = {&p->train, &p->dev, &p->test};
  for (size_t i = 2; i < n; i++) dg_list_add(lists[i - 2], fields[i]);
  return true;
}

static bool read_pairs(run *r, dg_error *err) {
  r->ways = r->bidirectional ? 2 : 1;
  r->pairs = dg_calloc(r->pair_texts.count + 1, sizeof *r->pairs);
  if (r->one.source) r->pairs[r->pair_count++] = r->one;
  for (size_t i = 0; i < r->pair_texts.count; i++)
    if (!read_pair(&r->pairs[r->pair_count++], r->pair_texts.items[i], err)) return false;
  for (size_t i = 0; i < r->pair_count; i++) {
    pair *p = &r->pairs[i];
    if (!dg_trainee_add(&r->trainee, p->source, p->target, &p->ways[0], err) ||
        (r->bidirectional &&
         !dg_trainee_add(&r->trainee, p->target, p->source, &p->ways[1], err)))
      return false;
  }
  return true;
}

static void add_all(dg_list *to, const dg_list *from) {
  for (size_t i = 0; i < from->count; i++) dg_list_add(to, from->items[i]);
}

/* Going on from --init into the same file is fair: it becomes no worse. */
static bool check_outputs(const run *r, dg_error *err) {
  dg_list outputs = {0}, inputs = {0};
  const char *written[] = {r->output, r->checkpoint_path, r->log_path, r->report_path};
  const char *read[] = {r->base_path, r->reverse_path, r->note_path};
  for (size_t i = 0; i < 4; i++) dg_list_add(&outputs, written[i]);
  for (size_t i = 0; i < 3; i++) dg_list_add(&inputs, read[i]);
  add_all(&inputs, &r->trainee.below);
  add_all(&inputs, &r->mono_files);
  for (size_t i = 0; i < r->pair_count; i++) {
    add_all(&inputs, &r->pairs[i].train);
    add_all(&inputs, &r->pairs[i].dev);
    add_all(&inputs, &r->pairs[i].test);
  }
  bool ok = dg_cli_rewrites(r->output, err) && dg_cli_apart(&outputs, &inputs, err) &&
            dg_cli_spares(r->log_path, r->init_path, err) &&
            dg_cli_spares(r->report_path, r->init_path, err);
  free(outputs.items);
  free(inputs.items);
  return ok;
}

/* Pieces come of the text, and what is trained has rows for them. */
static bool build_trainee(run *r, dg_error *err) {
  dg_trainee *t = &r->trainee;
  size_t count = r->data.train_count;
  dg_train_text *texts = dg_calloc(count + 1, sizeof *texts);
  for (size_t i = 0; i < count; i++)
    texts[i] = (dg_train_text){&r->data.files[i].text,
                               &r->pairs[r->data.files[i].pair].ways[0].pair};
  bool ok = dg_train_pieces(t, texts, count, err) &&
            dg_train_embeddings(t, texts, count, err) &&
            dg_trainee_build(t, (uint64_t)r->options.seed, err);
  free(texts);
  say(r, &t->told);
  return ok;
}

/* Those of a direction's source and target. */
static void find_tokenizers(const run *r, bool trained, const dg_train_way *w,
                            dg_tokenizer *out[2]) {
  out[0] = dg_trainee_tokenizer(&r->trainee, trained, w->pair.source, DG_SIDE_SOURCE);
  out[1] = dg_trainee_tokenizer(&r->trainee, trained, w->pair.target, DG_SIDE_TARGET);
}

/* Tokenises the text of a pair. */
static bool add_examples(run *r, dg_examples *e, const dg_parallel_text *text,
                         const dg_train_way *w, size_t *corpus, dg_error *err) {
  dg_tokenizer *found[2];
  find_tokenizers(r, true, w, found);
  return dg_examples_add(e, text, (const dg_tokenizer *const[]){found[0], found[1]}, r->threads,
                         corpus, err);
}

/* The directions of a file, there and back. Back is the same corpus reversed, unless the base cuts
 * sources otherwise than targets: then the text is turned and cut anew. */
static bool add_corpora(run *r, dg_examples *e, size_t file, dg_direction ways[2], dg_error *err) {
  dg_train_file *f = &r->data.files[file];
  dg_tokenizer *cut[2][2];
  for (size_t w = 0; w < r->ways; w++) {
    const dg_train_way *t = &r->pairs[f->pair].ways[w];
    find_tokenizers(r, true, t, cut[w]);
    bool reversed = w && cut[1][0] == cut[0][1] && cut[1][1] == cut[0][0];
    ways[w] = (dg_direction){.corpus = ways[0].corpus, .reversed = reversed,
                             .source_tag = t->source_tag, .target_tag = t->target_tag};
    if (w && !reversed) r->turned[file] = dg_parallel_turned(&f->text);
    if (!reversed && !add_examples(r, e, w ? &r->turned[file] : &f->text, t, &ways[w].corpus, err))
      return dg_error_context(err, "%s", f->path);
  }
  return true;
}

static void add_sets(run *r, dg_dev_list *list, size_t file, const dg_direction ways[2],
                     size_t most) {
  const dg_train_file *f = &r->data.files[file];
  for (size_t w = 0; w < r->ways; w++) {
    const dg_train_way *t = &r->pairs[f->pair].ways[w];
    const dg_parallel_text *text = w && !ways[w].reversed ? &r->turned[file] : &f->text;
    dg_dev_set *set = dg_dev_list_add(list, t->pair.source, t->pair.target, ways[w], text, most);
    find_tokenizers(r, true, t, set->tokenizers);
  }
}

static bool add_file(run *r, size_t i, dg_error *err) {
  dg_train_file *f = &r->data.files[i];
  dg_card_data *card = &r->card_data[i];
  const dg_language_pair *languages = &r->pairs[f->pair].ways[0].pair;
  *card = (dg_card_data){dg_train_role_name(f->role), languages->source, languages->target,
                         f->path, f->text.count, f->read - f->text.count,
                         dg_train_problems_json(f)};
  dg_direction ways[2] = {{0}};
  if (f->role == DG_ROLE_TEST) { /* nothing but translated */
    for (size_t w = 0; w < r->ways; w++) {
      const dg_train_way *t = &r->pairs[f->pair].ways[w];
      ways[w] = (dg_direction){.reversed = w == 1, .source_tag = t->source_tag,
                               .target_tag = t->target_tag};
    }
    add_sets(r, &r->test_list, i, ways, SIZE_MAX);
    return true;
  }
  dg_examples *e = f->role == DG_ROLE_DEV ? r->dev : r->train;
  if (!add_corpora(r, e, i, ways, err)) return false;
  size_t skipped = dg_examples_skipped(e, ways[0].corpus);
  if (skipped)
    dg_cli_say(r->cli, "%s: %zu pairs left out: empty or longer than %zu tokens\n", f->path,
               skipped, dg_examples_most(e));
  card->pairs -= skipped, card->skipped += skipped;
  if (f->role == DG_ROLE_DEV) {
    add_sets(r, &r->dev_list, i, ways, (size_t)r->options.eval_sentences);
    return true;
  }
  for (size_t w = 0; w < r->ways; w++) r->directions[r->direction_count++] = ways[w];
  return true;
}

/* A language that nobody can identify looks like one of its kin: another than was named may be
 * a nearer relative, or a mistake. */
static void tell_looks(const run *r, const dg_train_file *f) {
  const dg_language_pair *p = &r->pairs[f->pair].ways[0].pair;
  for (int k = 0; k < 2; k++) {
    const char *code = k ? p->target : p->source, *looks = f->looks[k].code;
    const dg_language *like =
        dg_trainee_relative(&r->trainee, code, k ? DG_SIDE_TARGET : DG_SIDE_SOURCE);
    if (!*looks || dg_lang_identifiable(code) || dg_lang_alike(looks, code) ||
        (like && dg_lang_alike(looks, like->code)))
      continue;
    char name[DG_LANG_MAX];
    dg_lang_name(looks, name, sizeof name);
    dg_cli_say(r->cli, "%s: the %s side looks like %s\n", f->path, code, name);
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

static bool read_texts(run *r, dg_error *err) {
  dg_train_data_options *o = dg_calloc(r->pair_count + 1, sizeof *o);
  for (size_t i = 0; i < r->pair_count; i++) {
    const pair *p = &r->pairs[i];
    o[i] = (dg_train_data_options){&p->train, &p->dev, &p->test, p->ways[0].pair.source,
                                   p->ways[0].pair.target, r->reversed && p->text == NULL};
  }
  dg_strbuf told = {0};
  bool ok = dg_train_data_read(&r->data, o, r->pair_count, r->keep_problems,
                               (uint64_t)r->options.seed, &told, err);
  say(r, &told);
  free(told.text);
  free(o);
  if (ok && !dg_train_data_pairs(&r->data)) return nothing_left(&r->data.files[0], err);
  for (size_t i = 0; ok && !r->keep_problems && i < r->data.count; i++) {
    const dg_train_file *f = &r->data.files[i];
    tell_looks(r, f);
    ok = dg_train_sides_check(&r->trainee, &r->pairs[f->pair].ways[0], &f->text, f->path,
                              r->threads, err);
  }
  return ok;
}

static void show_translated(void *context, size_t done, size_t sentences) {
  run *r = context;
  if (!r->translated.label) {
    if (done)
      dg_cli_say(r->cli, "%zu back-translations of an earlier run are taken from %s\n", done,
                 r->mono_path);
    r->translated = dg_progress_begin(r->cli, "translating back");
  }
  dg_progress_show(&r->translated, (double)done, (double)sentences, "sentences", NULL);
}

static bool translate_back(run *r, const dg_train_way *t, dg_error *err) {
  dg_back_translation o = {.files = r->mono_files, .reverse = r->reverse_path,
                           .trainee = &r->trainee, .source = t->pair.source,
                           .target = t->pair.target, .held_out = &r->data.held_out,
                           .output = r->output, .threads = r->threads, .context = r,
                           .stop = dg_cli_interrupted, .progress = show_translated};
  bool ok = dg_back_translate(&o, &r->mono.text, &r->mono_path, err);
  dg_progress_end(&r->translated);
  return ok;
}

/* Back-translations stand beside the pairs; drawn more evenly than their numbers, so that
 * the pairs do not drown. */
static bool add_mono(run *r, dg_error *err) {
  const dg_train_way *t = &r->pairs[0].ways[0];
  dg_direction way = {.source_tag = t->source_tag, .target_tag = t->target_tag, .marked = true,
                      .mark = dg_back_translation_mark(r->base)};
  dg_train_file *f = &r->mono;
  f->path = r->mono_files.items[0];
  f->role = DG_ROLE_MONO;
  dg_key_set seen = {0};
  dg_strbuf told = {0};
  dg_cli_catch_signals();
  char made = 0; /* by rank 0; the others find its translations in the file */
  if (r->ranks.rank && !dg_ranks_share(&r->ranks, &made, 1, err)) return false;
  if (!translate_back(r, t, err) ||
      (!r->ranks.rank && !dg_ranks_share(&r->ranks, &made, 1, err)))
    return false;
  f->read = f->text.count;
  bool ok = dg_train_file_check(f, t->pair.source, t->pair.target, r->keep_problems, &seen, NULL,
                                &told, err);
  say(r, &told);
  free(told.text);
  dg_key_set_free(&seen);
  ok = ok && add_examples(r, r->train, &f->text, t, &way.corpus, err);
  if (!ok) return false;
  if (!f->read) return dg_fail(err, DG_ERR_USAGE, "%s: there is no text to translate back", f->path);
  if (2 * f->text.count < f->read)
    dg_cli_say(r->cli,
               "%s: most of its back-translations are no use: --reverse names an adapter that "
               "translates %s into %s better\n",
               f->path, t->pair.target, t->pair.source);
  if (!dg_cli_given(r->cli, "temperature")) r->options.temperature = 5;
  r->directions[r->direction_count++] = way;
  size_t count = dg_examples_count(r->train, way.corpus);
  r->card_data[r->data.count] =
      (dg_card_data){dg_train_role_name(f->role), t->pair.source, t->pair.target, f->path, count,
                     f->read - count, dg_train_problems_json(f)};
  dg_cli_say(r->cli, "%zu sentences translated back, marked as such; temperature %g\n", count,
             r->options.temperature);
  return true;
}

/* What was not asked for is as in the adapter it begins from, or goes by the languages */
static void set_adapter_defaults(run *r, dg_strbuf *told) {
  dg_trainee *t = &r->trainee;
  bool source, target;
  dg_trainee_new_sides(t, &source, &target);
  if (!t->init && !dg_trainee_is_full(t))
    dg_train_adapter_defaults(&t->config, dg_train_data_pairs(&r->data), source, target,
                              dg_cli_given, r->cli, told);
}

/* and by the amount of text. */
static void set_defaults(run *r, dg_strbuf *adapter) {
  size_t pairs = dg_train_data_pairs(&r->data);
  dg_strbuf told = {0};
  dg_train_defaults(&r->options, pairs, dg_cli_given, r->cli, &told);
  if (!dg_cli_given(r->cli, "learning_rate"))
    r->options.learning_rate =
        dg_trainee_learning_rate(&r->trainee, r->base->model->config.d_model);
  if (adapter->length) dg_strbuf_addf(&told, ", %s", adapter->text);
  if (!dg_cli_given(r->cli, "metric"))
    r->options.metric = r->options.eval_sentences ? DG_METRIC_CHRF : DG_METRIC_LOSS;
  dg_strbuf_addf(&told, ", learning_rate %g; best by dev ", r->options.learning_rate);
  dg_options_get(dg_options_find(dg_train_options_table, "metric"), &r->options, &told);
  dg_cli_say(r->cli, "settings for %zu pairs: %s\n", pairs, told.text);
  free(told.text);
}

/* Of the settings given, those that this method does not have. */
static void tell_useless(const run *r) {
  const char *method = r->trainee.config.method;
  unsigned has = dg_trainee_is_full(&r->trainee) ? 0 : dg_method_parse(method, NULL);
  for (const dg_option *o = dg_adapter_config_options; o->name; o++) {
    unsigned of = dg_method_of_setting(o->name);
    if (of && !(of & has) && dg_cli_given(r->cli, o->name))
      dg_cli_say(r->cli, "dragoman: warning: method %s has no %s: it changes nothing\n", method,
                 o->name);
  }
  if (r->options.optimizer != DG_OPTIMIZER_MUON && dg_cli_given(r->cli, "muon_momentum"))
    dg_cli_say(r->cli, "dragoman: warning: muon_momentum is of --optimizer muon\n");
}

static bool read_data(run *r, dg_error *err) {
  if (!read_texts(r, err)) return false;
  dg_strbuf adapter = {0};
  set_adapter_defaults(r, &adapter);
  tell_useless(r);
  bool ok = build_trainee(r, err);
  if (ok) set_defaults(r, &adapter);
  free(adapter.text);
  if (!ok) return false;
  r->card_data = dg_calloc(r->data.count + 1, sizeof *r->card_data);
  r->turned = dg_calloc(r->data.count + 1, sizeof *r->turned);
  r->directions = dg_calloc(r->data.train_count * r->ways + 1, sizeof *r->directions);
  r->train = dg_examples_new(r->base, (size_t)r->options.max_tokens);
  r->dev = dg_examples_new(r->base, (size_t)r->base->model->config.max_positions);
  size_t pairs = 0;
  for (size_t i = 0; i < r->data.count; i++) {
    if (!add_file(r, i, err)) return false;
    if (r->data.files[i].role == DG_ROLE_TRAIN) pairs += r->card_data[i].pairs;
  }
  if (r->mono_files.count && !add_mono(r, err)) return false;
  dg_strbuf names = {0};
  for (size_t i = 0; i < r->pair_count; i++)
    dg_strbuf_addf(&names, "%s%s-%s", i ? ", " : "", r->pairs[i].ways[0].pair.source,
                   r->pairs[i].ways[0].pair.target);
  size_t mine = dg_params_count(dg_trainee_params(&r->trainee));
  size_t all = dg_params_count(&r->base->model->params);
  dg_cli_say(r->cli,
             "%s%s: %zu training pairs; %s: training %zu parameters, %.2f%% of the base's %zu\n",
             names.text, r->bidirectional ? " both ways" : "", pairs, r->trainee.config.method,
             mine, 100 * (double)mine / (double)all, all);
  free(names.text);
  return true;
}

/* --- training ------------------------------------------------------------------------------ */

static void report(void *context, const dg_train_report *report) {
  run *r = context;
  dg_training_show(&r->log, report);
}

static const char default_note[] =
    "Knows the kind of text it was trained on, and shares its errors and prejudices; it may leave "
    "out, add or reverse meaning. Have translations checked by someone who speaks both languages.";

static bool save(run *r, const dg_train_result *result, dg_error *err) {
  json_t *card = dg_card_new(dg_trainee_is_full(&r->trainee) ? "base" : "adapter", &r->options,
                             &r->task, result, r->trainee.init ? "init" : "untouched",
                             r->card_data, r->data.count + (r->mono_files.count > 0),
                             r->note ? r->note : default_note);
  char *licence = dg_utf8_repair(r->licence ? r->licence : "");
  if (r->licence) json_object_set_new(card, "licence", json_string(licence));
  free(licence);
  json_object_set_new(card, "base", json_string(r->base->hash));
  dg_train_measures_to_card(card, r->measures, r->measure_count);
  return dg_trainee_save(&r->trainee, card, r->output, err);
}

/* The best so far is always on disk as a usable adapter. */
static bool best(void *context, const dg_train_report *report, dg_error *err) {
  run *r = context;
  dg_train_result so_far = dg_train_so_far(report);
  return save(r, &so_far, err);
}

static char *identity(const run *r) {
  json_t *made_of = dg_trainee_identity(&r->trainee), *ways = json_array();
  for (size_t i = 0; i < r->pair_count; i++)
    for (size_t w = 0; w < r->ways; w++)
      json_array_append_new(ways, json_pack("[s,s]", r->pairs[i].ways[w].pair.source,
                                            r->pairs[i].ways[w].pair.target));
  /* By the name that was given, for -o may be the same file, and better each time. */
  char *init = dg_utf8_repair(r->init ? r->init : "");
  json_object_set_new(made_of, "init", json_string(init));
  json_object_set_new(made_of, "ways", ways);
  free(init);
  return dg_train_identity(&r->options, made_of, r->train);
}

static void measuring(void *progress, double share) {
  dg_progress_show(progress, 100 * share, 100, "%", NULL);
}

/* Before, the base and what is below say the same; in a new language, as its relative. */
static bool measure_list(run *r, const dg_dev_list *list, size_t first_file, int beam,
                         dg_error *err) {
  dg_progress progress = dg_progress_begin(r->cli, "measuring");
  dg_translate_options how = dg_translate_defaults();
  how.beam = (size_t)beam;
  how.stop = dg_cli_interrupted, how.progress = measuring, how.context = &progress;
  bool ok = true;
  dg_network before = r->task.network;
  before.model = r->base->model;
  before.adapter_count = 0;
  dg_trainee_use(&r->trainee, false, &before);
  dg_network after = r->task.network;
  dg_packed_model *weights[2] = {NULL};
  if (!(weights[0] = dg_evaluate_pack(&before, err))) return false;
  if (after.model == before.model) after.packed = before.packed, after.precision = before.precision;
  else if (!(weights[1] = dg_evaluate_pack(&after, err))) ok = false;
  for (size_t i = 0; ok && i < list->count; i++) {
    if (!list->sets[i].sentences) continue;
    const dg_train_file *f = &r->data.files[first_file + i / r->ways];
    const dg_train_way *way = &r->pairs[f->pair].ways[i % r->ways];
    dg_train_measure *m = &r->measures[r->measure_count++];
    *m = (dg_train_measure){.file = f, .set = &list->sets[i], .beam = beam};
    dg_dev_set untouched = *m->set;
    untouched.direction.source_tag = way->before_source;
    untouched.direction.target_tag = way->before_target;
    find_tokenizers(r, false, way, untouched.tokenizers);
    ok = dg_gain_measure(&before, &untouched, &after, m->set, r->base, &how, &m->gain, err);
  }
  for (int i = 0; i < 2; i++) dg_packed_model_free(weights[i]);
  dg_progress_end(&progress);
  if (!ok && err->status == DG_ERR_INTERRUPTED)
    dg_fail(err, DG_ERR_INTERRUPTED, "stopped while measuring; the same command goes on from %s",
            r->checkpoint_path);
  return ok;
}

/* Both texts translated with and without the trainee. */
static bool measure(run *r, dg_error *err) {
  r->measures = dg_calloc(r->dev_list.count + r->test_list.count + 1, sizeof *r->measures);
  return measure_list(r, &r->dev_list, r->data.train_count, r->options.eval_beam, err) &&
         measure_list(r, &r->test_list, r->data.train_count + r->data.dev_count,
                      (int)dg_translate_defaults().beam, err);
}

static bool conclude(run *r, const dg_train_result *result, dg_error *err) {
  if (!measure(r, err) || !save(r, result, err)) return false;
  const dg_trainee *t = &r->trainee;
  dg_train_summary s = {.cli = r->cli, .card = dg_trainee_card(t),
                        .result = result, .data = &r->data, .measures = r->measures,
                        .measure_count = r->measure_count, .relative = t->relatives_text.text,
                        .output = r->output};
  dg_train_conclude(&s);
  return !r->report_path || dg_train_report_write(&s, r->report_path, err);
}

/* Said now rather than after the night. */
static bool report_possible(const run *r, dg_error *err) {
  dg_output *out = r->report_path ? dg_output_open(r->report_path, err) : NULL;
  dg_output_abort(out);
  return !r->report_path || out;
}

static bool execute(run *r, dg_error *err) {
  if (r->note_path && !(r->note = dg_read_text(r->note_path, err))) return false;
  if (!find_models(r, err) || !(r->base = dg_base_load(r->base_path, err)) ||
      !begin_trainee(r, err) || !read_pairs(r, err) || !check_outputs(r, err) ||
      (!r->ranks.rank && !(r->lock = dg_lock_new(r->checkpoint_path, err))) || !read_data(r, err))
    return false;
  dg_train_result result = {0};
  char *made_of = identity(r);
  r->log = dg_training_log_new(r->cli, &r->dev_list, &r->options, r->log_path);
  r->task = (dg_train_task){
      .base = r->base,
      .network = {.model = r->base->model, .threads = r->threads,
                  .precision = dg_train_precision(&r->options)},
      .trained = dg_trainee_params(&r->trainee),
      .examples = r->train,
      .directions = r->directions,
      .direction_count = r->direction_count,
      .dev_examples = r->dev,
      .dev_sets = r->dev_list.sets,
      .dev_count = r->dev_list.count,
      .evaluate_start = true,
      .replaces = !access(r->output, F_OK), /* stays until this run is over */
      .locked = true,
      .checkpoint_path = r->checkpoint_path,
      .identity = made_of,
      .ranks = &r->ranks,
      .context = r,
      .stop = dg_cli_interrupted,
      .report = report,
      .best = best,
  };
  dg_trainee_use(&r->trainee, true, &r->task.network);
  dg_cli_catch_signals();
  bool first = !r->ranks.rank;
  bool ok = (!first || (dg_training_log_open(&r->log, err) && report_possible(r, err))) &&
            dg_train(&r->task, &r->options, &result, err);
  dg_training_log_close(&r->log);
  ok = ok && (!first || conclude(r, &result, err));
  if (ok && first && result.end != DG_TRAIN_TIME) {
    unlink(r->checkpoint_path);
    if (r->mono_path) unlink(r->mono_path);
  }
  dg_train_result_free(&result);
  free(made_of);
  return ok;
}

static void release(run *r) {
  for (size_t i = 0; r->card_data && i <= r->data.count; i++) json_decref(r->card_data[i].problems);
  for (size_t i = 0; r->turned && i < r->data.count; i++) dg_parallel_free(&r->turned[i]);
  free(r->turned);
  dg_train_data_free(&r->data);
  for (size_t i = 0; i < r->measure_count; i++) dg_gain_free(&r->measures[i].gain);
  free(r->measures);
  dg_dev_list_free(&r->dev_list);
  dg_dev_list_free(&r->test_list);
  dg_examples_free(r->train);
  dg_examples_free(r->dev);
  free(r->directions);
  free(r->card_data);
  for (size_t i = 0; i < r->pair_count; i++)
    if (r->pairs[i].text) {
      free(r->pairs[i].text);
      free(r->pairs[i].train.items);
      free(r->pairs[i].dev.items);
      free(r->pairs[i].test.items);
    }
  free(r->pairs);
  dg_trainee_free(&r->trainee);
  dg_base_free(r->base);
  dg_threads_free(r->threads);
  dg_lock_free(r->lock);
  free(r->checkpoint_path);
  free(r->base_path);
  free(r->init_path);
  free(r->reverse_path);
  for (char **path = r->below_paths; path && *path; path++) free(*path);
  free(r->below_paths);
  dg_parallel_free(&r->mono.text);
  free(r->mono_path);
  free(r->note);
}

static int check(run *r, const char *storage) {
  dg_cli *c = r->cli;
  const pair *one = &r->one;
  bool any = one->source || one->target || one->train.count;
  if ((any || !r->pair_texts.count) && (!one->source || !one->target))
    return dg_cli_usage(c, "say with -s and -t from what into what");
  if (any && !one->train.count) return dg_cli_usage(c, "--train is missing: parallel text");
  if (r->reversed && !any)
    return dg_cli_usage(c, "--reversed is of --train: in --pair, name SRC and TGT as FILE has them");
  if (r->mono_files.count && (r->pair_texts.count || !any))
    return dg_cli_usage(c, "--mono goes with -s, -t and --train, not with --pair");
  if (r->reverse && !r->mono_files.count)
    return dg_cli_usage(c, "--reverse translates the text of --mono back: name that");
  if (!r->output) return dg_cli_usage(c, "say with -o where the adapter goes");
  if (c->rest.count) return dg_cli_usage(c, "\"%s\" is too much", c->rest.items[0]);
  dg_error err;
  static const char *const sides[] = {"encoder_layers", "decoder_layers"};
  for (size_t i = 0; r->layers && i < 2; i++) {
    if (dg_cli_given(c, sides[i]))
      return dg_cli_usage(c, "--layers says both --encoder-layers and --decoder-layers: leave "
                             "it out, or them");
    if (!dg_options_set(dg_adapter_config_options, &r->trainee.config, sides[i], r->layers, &err))
      return dg_cli_usage(c, "%s", err.message);
    dg_list_add(&c->given, sides[i]);
  }
  if (dg_storage_find(storage, &r->trainee.storage)) return DG_CLI_GO;
  return dg_cli_usage(c, "--storage is fp32, bf16 or int8, not \"%s\"", storage);
}

/* See set_adapter_defaults and set_defaults. */
static bool chosen(const char *name) {
  return dg_train_looks_after(name) || !strcmp(name, "learning_rate") || !strcmp(name, "metric");
}

int dg_cmd_train(int argc, char **argv) {
  run r = {.base_name = "base"};
  const char *storage = "bf16";
  const dg_flag flags[] = {
      {"base", 'b', DG_FLAG_TEXT, &r.base_name, "BASE",
       "path or name of the base, which stays as it is (base)"},
      {"source", 's', DG_FLAG_TEXT, &r.one.source, "SRC", "language code of the source"},
      {"target", 't', DG_FLAG_TEXT, &r.one.target, "TGT", "language code of the target"},
      {"train", 0, DG_FLAG_LIST, &r.one.train, "FILE...", "pairs to learn: .tsv or a.en,a.gl"},
      {"dev", 0, DG_FLAG_LIST, &r.one.dev, "FILE...",
       "pairs to choose and measure by (else set apart from --train)"},
      {"test", 0, DG_FLAG_LIST, &r.one.test, "FILE...",
       "pairs to measure by at the end, only once"},
      {"reversed", 0, DG_FLAG_BOOL, &r.reversed, NULL, "the files have the target language first"},
      {"keep-problems", 0, DG_FLAG_BOOL, &r.keep_problems, NULL,
       "train also on pairs that look wrong"},
      {"mono", 0, DG_FLAG_LIST, &r.mono_files, "FILE...",
       "more text in the target language, to translate back"},
      {"reverse", 0, DG_FLAG_TEXT, &r.reverse, "ADAPTER",
       "the adapter that does so (else -a, or the base)"},
      {"output", 'o', DG_FLAG_TEXT, &r.output, "ADAPTER", "the adapter to write"},
      {"log", 0, DG_FLAG_TEXT, &r.log_path, "FILE", "a table (TSV) of the run, kept up to date"},
      {"licence", 0, DG_FLAG_TEXT, &r.licence, "TEXT", "of the adapter, for its card"},
      {"note", 0, DG_FLAG_TEXT, &r.note_path, "FILE", "for its card: what it is for, its limits"},
      {"report", 0, DG_FLAG_TEXT, &r.report_path, "FILE",
       "a page (HTML) about the run, at its end"},
      {"pair", 0, DG_FLAG_REPEAT, &r.pair_texts, "SPEC",
       "SRC:TGT:TRAIN[:DEV[:TEST]], a further pair for the same adapter"},
      {"bidirectional", 0, DG_FLAG_BOOL, &r.bidirectional, NULL, "one adapter for both directions"},
      {"like", 0, DG_FLAG_REPEAT, &r.trainee.like, "[NEW=]CODE",
       "a new language's relative, or a mix: es:0.7,pt:0.3"},
      {"adapter", 'a', DG_FLAG_REPEAT, &r.below, "ADAPTER",
       "a frozen adapter to stand on; again: on top of the former"},
      {"init", 0, DG_FLAG_TEXT, &r.init, "ADAPTER", "weights to begin from"},
      {"layers", 0, DG_FLAG_TEXT, &r.layers, "LIST", "--encoder-layers and --decoder-layers alike"},
      {"storage", 0, DG_FLAG_TEXT, &storage, "TYPE", "of the file: fp32, bf16 or int8 (bf16)"},
      {NULL, 0, DG_FLAG_BOOL, NULL, NULL, NULL},
  };
  dg_cli cli = {
      .usage = "train [-b BASE] -s SRC -t TGT --train FILE... [--dev FILE...] -o ADAPTER",
      .summary =
          "Trains an adapter for one language pair or several: --method says what is trained\n"
          "beside the base, which stays frozen (full: the base itself; its output is a base). A\n"
          "language the base has never seen starts from a relative named with --like, and is given\n"
          "pieces of its own (--new-pieces) and differences to the embeddings of the commonest that\n"
          "it shares (--embeddings). Scores are compared with those of the untouched base. Settings\n"
          "called chosen go by the method, by where a new language stands and by the amount of text;\n"
          "the run prints them. Stopped in any way, the same command goes on from\n"
          "ADAPTER.checkpoint.",
      .examples =
          "  dragoman train -b base.safetensors -s en -t gl --like pt \\\n"
          "      --train train.gl.tsv.gz --dev dev.gl.tsv.gz -o en-gl.safetensors\n"
          "  dragoman train -b base.safetensors -s gl -t en --like pt --reversed \\\n"
          "      --train train.gl.tsv.gz --dev dev.gl.tsv.gz -o gl-en.safetensors\n"
          "  dragoman train -b base.safetensors -s en -t nah --like es --width 32 \\\n"
          "      --train verses.en,verses.nah --dev dev.en,dev.nah -o en-nah.safetensors\n"
          "  dragoman train -b nllb.safetensors --method lora --rank 8 --projections q,v \\\n"
          "      -s en -t ast --train train.tsv -o en-ast.safetensors --bidirectional\n"
          "  dragoman train -b nllb.safetensors --pair es:ast:ast.tsv --pair es:an:an.tsv:dev.tsv \\\n"
          "      --like an=es:0.7,ca:0.3 -o iberian.safetensors\n"
          "  dragoman train -b nllb.safetensors -a iberian.safetensors -s es -t an \\\n"
          "      --train medicine.tsv -o medicine.safetensors\n",
      .flags = flags,
      .settings =
          {{"settings of the adapter", dg_adapter_config_options, &r.trainee.config, chosen},
           {"settings of the training", dg_train_options_table, &r.options, chosen}},
  };
  r.cli = &cli;
  dg_options_defaults(dg_train_options_table, &r.options);
  dg_options_defaults(dg_adapter_config_options, &r.trainee.config);
  int code = dg_cli_parse(&cli, argc, argv);
  if (code == DG_CLI_GO) code = check(&r, storage);
  if (code == DG_CLI_GO) {
    dg_error err = {0};
    r.checkpoint_path = dg_format("%s.checkpoint", r.output);
    bool ok = dg_ranks_join(&r.ranks, &err);
    r.ranks.stop = dg_cli_interrupted;
    if (r.ranks.rank) cli.quiet = true, cli.json = false;
    r.threads = dg_threads_new(cli.threads ? cli.threads : dg_ranks_threads(&r.ranks));
    ok = ok && execute(&r, &err);
    code = ok ? DG_EXIT_OK : r.ranks.rank ? DG_EXIT_FAILURE : dg_cli_fail(&err);
    /* All come to these ends; where one fails alone the others wait, and mpirun ends them. */
    if (ok || err.status == DG_ERR_INTERRUPTED) dg_ranks_leave(&r.ranks);
  }
  release(&r);
  dg_cli_free(&cli);
  return code;
}
