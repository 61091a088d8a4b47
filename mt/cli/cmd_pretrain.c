#include <stdlib.h>
#include <string.h>

#include "mt/cli/training.h"
#include "mt/train/pretraining.h"

typedef struct run {
  const dg_cli *cli;
  const char *recipe_path, *output, *log_path;
  dg_recipe recipe;
  dg_threads *threads;
  dg_training_log log;
} run;

static bool set_all(dg_recipe *r, const dg_list *settings, dg_error *err) {
  bool ok = true;
  for (size_t i = 0; ok && i < settings->count; i++) {
    const char *equals = strchr(settings->items[i], '=');
    if (!equals)
      return dg_fail(err, DG_ERR_USAGE, "--set \"%s\" is not NAME=VALUE", settings->items[i]);
    char *name = dg_strndup(settings->items[i], (size_t)(equals - settings->items[i]));
    ok = dg_recipe_set(r, name, equals + 1, err);
    free(name);
  }
  return ok;
}

static bool check_outputs(const run *r, dg_error *err) {
  dg_list outputs = {0}, inputs = {0};
  char *beside[] = {dg_format("%s.checkpoint", r->output), dg_format("%s.tokenizer", r->output)};
  dg_list_add(&outputs, r->output);
  for (int i = 0; i < 2; i++) dg_list_add(&outputs, beside[i]);
  dg_list_add(&outputs, r->log_path);
  dg_list_add(&inputs, r->recipe_path);
  dg_list_add(&inputs, r->recipe.settings.init);
  dg_list_add(&inputs, r->recipe.settings.tokenizer);
  for (size_t i = 0; i < r->recipe.data_count; i++) dg_list_add(&inputs, r->recipe.data[i].file);
  bool ok = dg_cli_rewrites(r->output, err) && dg_cli_apart(&outputs, &inputs, err);
  for (int i = 0; i < 2; i++) free(beside[i]);
  free(outputs.items);
  free(inputs.items);
  return ok;
}

static void note(void *context, const char *message) {
  const run *r = context;
  dg_cli_say(r->cli, "%s\n", message);
}

static void report(void *context, const dg_train_report *report) {
  run *r = context;
  dg_training_show(&r->log, report);
}

static bool execute(run *r, dg_error *err) {
  if (!check_outputs(r, err)) return false;
  const dg_pretraining_options o = {.recipe = &r->recipe,
                                    .output = r->output,
                                    .threads = r->threads,
                                    .context = r,
                                    .note = note,
                                    .stop = dg_cli_interrupted,
                                    .report = report};
  dg_pretraining *p = dg_pretraining_new(&o, err);
  if (!p) return false;
  dg_train_result result = {0};
  r->log = dg_training_log_new(r->cli, dg_pretraining_dev(p), &r->recipe.train, r->log_path);
  dg_cli_catch_signals();
  bool ok = dg_training_log_open(&r->log, err) && dg_pretraining_run(p, &result, err);
  dg_training_log_close(&r->log);
  char kept[128];
  if (ok)
    dg_cli_say(r->cli, "%s after %llu updates, %.0f minutes; the base, %s, is in %s\n",
               dg_training_end(result.end), (unsigned long long)result.updates, result.seconds / 60,
               dg_training_kept(&result, kept, sizeof kept), r->output);
  dg_train_result_free(&result);
  dg_pretraining_free(p);
  return ok;
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
    code = dg_cli_usage(&cli, "\"%s\" is too much: the text stands in the recipe", cli.rest.items[0]);
  if (code != DG_CLI_GO) {
    dg_cli_free(&cli);
    return code;
  }
  dg_error err = {0};
  run r = {.cli = &cli, .recipe_path = recipe, .output = output, .log_path = log_path};
  bool ok = dg_recipe_read(&r.recipe, recipe, &err) && set_all(&r.recipe, &settings, &err);
  if (ok) {
    r.threads = dg_threads_new(cli.threads);
    ok = execute(&r, &err);
    dg_threads_free(r.threads);
  }
  dg_recipe_free(&r.recipe);
  dg_cli_free(&cli);
  return ok ? DG_EXIT_OK : dg_cli_fail(&err);
}
