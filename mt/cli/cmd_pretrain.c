#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mt/cli/training.h"
#include "mt/core/file.h"
#include "mt/train/card.h"
#include "mt/train/recipe.h"

/* One pretraining run, from recipe to base. */
typedef struct run {
  dg_cli *cli;
  dg_recipe recipe;
  const char *recipe_path, *output;
  char *tokenizer_path, *checkpoint_path;
  dg_threads *threads;
  dg_parallel_text *texts; /* one a data entry */
  dg_base *base;
  dg_examples *train, *dev;
  dg_direction *directions;
  size_t direction_count;
  dg_dev_list dev_list;
  dg_card_data *card_data;
  const char *log_path;
  dg_training_log log;
  dg_lock *lock; /* before anything beside the output is written */
  dg_train_task task;
} run;

static bool read_texts(run *r, dg_error *err) {
  r->texts = dg_calloc(r->recipe.data_count, sizeof *r->texts);
  for (size_t i = 0; i < r->recipe.data_count; i++)
    if (!dg_parallel_read(&r->texts[i], r->recipe.data[i].file, err)) return false;
  return true;
}

static bool write_bytes(const char *path, const void *bytes, size_t n, dg_error *err) {
  dg_output *o = dg_output_open(path, err);
  if (!o) return false;
  if (dg_output_write(o, bytes, n, err)) return dg_output_commit(o, err);
  dg_output_abort(o);
  return false;
}

/* The recipe's tokenizer, one trained before by the run that goes on, or a new one. */
static dg_tokenizer *find_tokenizer(run *r, dg_error *err) {
  if (*r->recipe.settings.tokenizer)
    return dg_tokenizer_load_file(r->recipe.settings.tokenizer, err);
  if (!access(r->tokenizer_path, F_OK) && !access(r->checkpoint_path, F_OK)) {
    dg_cli_say(r->cli, "tokenizer: %s\n", r->tokenizer_path);
    return dg_tokenizer_load_file(r->tokenizer_path, err);
  }
  dg_cli_say(r->cli, "training a tokenizer ...\n");
  dg_tokenizer *t = dg_recipe_tokenizer(&r->recipe, r->texts, err);
  size_t n = 0;
  const void *bytes = t ? dg_tokenizer_bytes(t, &n) : NULL;
  if (t && !write_bytes(r->tokenizer_path, bytes, n, err)) {
    dg_tokenizer_free(t);
    return NULL;
  }
  return t;
}

static dg_tokenizer *copy_tokenizer(const dg_tokenizer *t, dg_error *err) {
  size_t size;
  const void *bytes = dg_tokenizer_bytes(t, &size);
  return dg_tokenizer_load(bytes, size, err);
}

/* A base to go on from: its shape and languages are settled. */
static bool go_on_from(run *r, const dg_base *from, dg_error *err) {
  bool two = from->target_tokenizer != from->tokenizer;
  if (two && r->recipe.settings.both_directions)
    return dg_fail(err, DG_ERR_USAGE,
                   "%s has a tokenizer for each side: it trains in one direction, set "
                   "both_directions = false",
                   r->recipe.settings.init);
  dg_tokenizer *t = copy_tokenizer(from->tokenizer, err), *target = NULL;
  if (t && two) target = copy_tokenizer(from->target_tokenizer, err);
  r->recipe.model = from->model->config;
  dg_model *m = t && (target || !two) ? dg_model_new(&r->recipe.model, err) : NULL;
  if (!m) {
    dg_tokenizer_free(t);
    dg_tokenizer_free(target);
    return false;
  }
  for (size_t i = 0; i < m->params.count; i++) {
    const dg_tensor *x = &from->model->params.tensors[i];
    dg_weights_in_memory(NULL, x, 0, x->rows, m->params.tensors[i].value, NULL);
  }
  r->base = dg_base_new(m, t, target, from->languages, from->language_count, NULL, err);
  return r->base && dg_model_train(m, err);
}

static bool make_base(run *r, dg_error *err) {
  if (*r->recipe.settings.init) {
    dg_base *from = dg_base_load(r->recipe.settings.init, err);
    bool ok = from && go_on_from(r, from, err);
    dg_base_free(from);
    return ok;
  }
  dg_tokenizer *t = find_tokenizer(r, err);
  if (!t) return false;
  r->recipe.model.vocab_size = dg_tokenizer_size(t);
  dg_model *m = dg_model_new(&r->recipe.model, err);
  if (!m) {
    dg_tokenizer_free(t);
    return false;
  }
  dg_model_initialize(m, (uint64_t)r->recipe.train.seed);
  size_t count;
  const char **codes = dg_recipe_languages(&r->recipe, &count);
  dg_language *languages = dg_calloc(count + 1, sizeof *languages);
  for (size_t i = 0; i < count; i++)
    snprintf(languages[i].code, sizeof languages[i].code, "%s", codes[i]);
  r->base = dg_base_new(m, t, NULL, languages, count, NULL, err);
  free(languages);
  free(codes);
  return r->base && dg_model_train(m, err);
}

static bool add_entry(run *r, size_t i, dg_error *err) {
  const dg_recipe_data *d = &r->recipe.data[i];
  const dg_language *source = dg_base_language(r->base, d->source, DG_SIDE_SOURCE, err);
  const dg_language *target = source ? dg_base_language(r->base, d->target, DG_SIDE_TARGET, err)
                                     : NULL;
  if (!target) return false;
  dg_examples *e = d->dev ? r->dev : r->train;
  size_t corpus;
  if (!dg_examples_add(e, &r->texts[i], NULL, r->threads, &corpus, err))
    return dg_error_context(err, "%s", d->file);
  const char *role = d->dev ? "dev" : "train";
  r->card_data[i] = (dg_card_data){role, d->source, d->target, d->file,
                                   dg_examples_count(e, corpus), dg_examples_skipped(e, corpus),
                                   NULL};
  for (int k = 0; k < 1 + r->recipe.settings.both_directions; k++) {
    dg_direction way = {.corpus = corpus, .reversed = k,
                        .source_tag = k ? target->tag : source->tag,
                        .target_tag = k ? source->tag : target->tag};
    if (d->dev)
      dg_dev_list_add(&r->dev_list, k ? d->target : d->source, k ? d->source : d->target, way,
                      &r->texts[i], (size_t)r->recipe.train.eval_sentences);
    else
      r->directions[r->direction_count++] = way;
  }
  return true;
}

static bool tokenize(run *r, dg_error *err) {
  r->train = dg_examples_new(r->base, (size_t)r->recipe.train.max_tokens);
  r->dev = dg_examples_new(r->base, (size_t)r->recipe.model.max_positions);
  r->directions = dg_calloc(2 * r->recipe.data_count, sizeof *r->directions);
  r->card_data = dg_calloc(r->recipe.data_count, sizeof *r->card_data);
  size_t pairs = 0;
  for (size_t i = 0; i < r->recipe.data_count; i++) {
    if (!add_entry(r, i, err)) return false;
    if (!r->recipe.data[i].dev) pairs += r->card_data[i].pairs;
    if (r->recipe.data[i].dev || r->recipe.train.subword_alpha > 0) continue;
    dg_parallel_free(&r->texts[i]); /* from here on only ids are needed */
  }
  dg_cli_say(r->cli, "%zu training pairs, %zu directions, %zu dev sets, %zu parameters\n", pairs,
      r->direction_count, r->dev_list.count, dg_params_count(&r->base->model->params));
  return true;
}

static void report(void *context, const dg_train_report *report) {
  run *r = context;
  dg_training_show(&r->log, report);
}

static bool save(run *r, const dg_train_result *result, dg_error *err) {
  json_decref(r->base->card);
  const char *licence = r->recipe.settings.licence;
  r->base->card = dg_card_new("base", &r->recipe.train, &r->task, result, "untouched",
                              r->card_data, r->recipe.data_count, NULL);
  if (*licence) json_object_set_new(r->base->card, "licence", json_string(licence));
  char hash[DG_HASH_TEXT];
  return dg_base_save(r->base, r->output, r->recipe.settings.storage, hash, err);
}

/* The best so far is always on disk as a usable base. */
static bool best(void *context, const dg_train_report *report, dg_error *err) {
  run *r = context;
  dg_train_result so_far = dg_train_so_far(report);
  return save(r, &so_far, err);
}

static bool check_outputs(const run *r, dg_error *err) {
  dg_list outputs = {0}, inputs = {0};
  dg_list_add(&outputs, r->output);
  dg_list_add(&outputs, r->log_path);
  dg_list_add(&inputs, r->recipe_path);
  dg_list_add(&inputs, r->recipe.settings.init);
  dg_list_add(&inputs, r->recipe.settings.tokenizer);
  for (size_t i = 0; i < r->recipe.data_count; i++) dg_list_add(&inputs, r->recipe.data[i].file);
  bool ok = dg_cli_apart(&outputs, &inputs, err);
  free(outputs.items);
  free(inputs.items);
  return ok;
}

static bool execute(run *r, dg_error *err) {
  dg_train_result result = {0};
  if (!check_outputs(r, err) || !(r->lock = dg_lock_new(r->checkpoint_path, err)) ||
      !read_texts(r, err) || !make_base(r, err) || !tokenize(r, err))
    return false;
  char *identity = dg_recipe_identity(&r->recipe, r->base, r->train);
  r->log = dg_training_log_new(r->cli, &r->dev_list, &r->recipe.train, r->log_path);
  r->task = (dg_train_task){
      .base = r->base,
      .network = {.model = r->base->model, .threads = r->threads,
                  .precision = dg_train_precision(&r->recipe.train)},
      .trained = &r->base->model->params,
      .examples = r->train,
      .directions = r->directions,
      .direction_count = r->direction_count,
      .dev_examples = r->dev,
      .dev_sets = r->dev_list.sets,
      .dev_count = r->dev_list.count,
      .locked = true,
      .checkpoint_path = r->checkpoint_path,
      .identity = identity,
      .context = r,
      .stop = dg_cli_interrupted,
      .report = report,
      .best = best,
  };
  dg_cli_catch_signals();
  bool ok =
      dg_training_log_open(&r->log, err) && dg_train(&r->task, &r->recipe.train, &result, err);
  dg_training_log_close(&r->log);
  ok = ok && save(r, &result, err);
  char kept[128];
  if (ok)
    dg_cli_say(r->cli, "%s after %llu updates, %.0f minutes; the base, %s, is in %s\n",
               dg_training_end(result.end), (unsigned long long)result.updates,
               result.seconds / 60, dg_training_kept(&result, kept, sizeof kept), r->output);
  dg_train_result_free(&result);
  free(identity);
  return ok;
}

static void release(run *r) {
  for (size_t i = 0; r->texts && i < r->recipe.data_count; i++) dg_parallel_free(&r->texts[i]);
  free(r->texts);
  dg_dev_list_free(&r->dev_list);
  dg_examples_free(r->train);
  dg_examples_free(r->dev);
  free(r->directions);
  free(r->card_data);
  dg_base_free(r->base);
  dg_threads_free(r->threads);
  dg_lock_free(r->lock);
  free(r->tokenizer_path);
  free(r->checkpoint_path);
  dg_recipe_free(&r->recipe);
}

int dg_cmd_pretrain(int argc, char **argv) {
  const char *recipe = NULL, *output = NULL, *log_path = NULL;
  dg_list settings = {0};
  const dg_flag flags[] = {
      {"config", 'c', DG_FLAG_TEXT, &recipe, "FILE", "the recipe"},
      {"output", 'o', DG_FLAG_TEXT, &output, "BASE", "the base to write"},
      {"log", 0, DG_FLAG_TEXT, &log_path, "FILE", "a table (TSV) of the run, kept up to date"},
      {"set", 0, DG_FLAG_REPEAT, &settings, "NAME=VALUE", "change a setting of the recipe"},
      {NULL, 0, DG_FLAG_BOOL, NULL, NULL, NULL},
  };
  dg_cli cli = {
      .usage = "pretrain -c RECIPE -o BASE [--set NAME=VALUE]...",
      .summary =
          "Trains all weights of a multilingual encoder-decoder on parallel text, as the recipe\n"
          "says. The run leaves BASE.checkpoint and BASE.tokenizer beside its output; started\n"
          "again after a stop of any kind it goes on where it was. With a larger max_updates it\n"
          "goes on after its end.",
      .examples =
          "  dragoman pretrain -c configs/base.conf -o base.safetensors\n"
          "  dragoman pretrain -c configs/base.conf -o base.safetensors --set max_updates=90000\n",
      .flags = flags,
  };
  int code = dg_cli_parse(&cli, argc, argv);
  if (code == DG_CLI_GO && (!recipe || !output))
    code = dg_cli_usage(&cli, "%s", recipe ? "say with -o where the base goes" : "-c is missing");
  if (code == DG_CLI_GO && cli.rest.count)
    code = dg_cli_usage(&cli, "\"%s\" is too much", cli.rest.items[0]);
  if (code != DG_CLI_GO) {
    dg_cli_free(&cli);
    return code;
  }
  dg_error err = {0};
  run r = {.cli = &cli, .recipe_path = recipe, .output = output, .log_path = log_path};
  bool ok = dg_recipe_read(&r.recipe, recipe, &err);
  for (size_t i = 0; ok && i < settings.count; i++) {
    const char *equals = strchr(settings.items[i], '=');
    if (!equals) {
      ok = dg_fail(&err, DG_ERR_USAGE, "--set \"%s\" is not NAME=VALUE", settings.items[i]);
      break;
    }
    char *name = dg_strndup(settings.items[i], (size_t)(equals - settings.items[i]));
    ok = dg_recipe_set(&r.recipe, name, equals + 1, &err);
    free(name);
  }
  r.tokenizer_path = dg_format("%s.tokenizer", output);
  r.checkpoint_path = dg_format("%s.checkpoint", output);
  if (ok) {
    r.threads = dg_threads_new(cli.threads);
    ok = execute(&r, &err);
  }
  release(&r);
  dg_cli_free(&cli);
  return ok ? DG_EXIT_OK : dg_cli_fail(&err);
}
