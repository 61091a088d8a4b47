#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mt/cli/train_data.h"
#include "mt/cli/training.h"
#include "mt/model/adapter_file.h"

static const char *const storage_names[] = {"fp32", "bf16", "int8"};

/* One adapter run, from base to adapter file. */
typedef struct run {
  dg_cli *cli;
  dg_train_options options;
  const char *base_path, *source, *target, *like, *output;
  dg_list train_files, dev_files;
  bool reversed; /* the files have the target language first */
  bool keep_problems;
  int width;
  dg_storage storage;
  char *checkpoint_path;
  dg_threads *threads;
  dg_base *base;
  dg_adapter_file *file;
  int32_t source_tag, target_tag;
  const dg_language *relative; /* of a new language */
  dg_train_data data;
  dg_examples *train, *dev;
  dg_direction *directions;
  dg_dev_list dev_list;
  dg_card_data *card_data;
  dg_training_log log;
  dg_train_task task;
} run;

/* The tag of one side: the base's, or a new row that starts from the relative's. */
static bool find_tag(run *r, const char *code, int32_t *tag, char canonical[DG_LANG_MAX],
                     dg_error *err) {
  if (!dg_lang_canonical(code, canonical, err)) return false;
  const dg_language *known = dg_base_language(r->base, canonical, r->like ? NULL : err);
  if (known) {
    *tag = known->tag;
    return true;
  }
  if (!r->like) return false;
  if (!(r->relative = dg_base_language(r->base, r->like, err)))
    return dg_error_context(err, "--like");
  dg_adapter_file *f = r->file;
  dg_language *l = &f->languages[f->language_count];
  l->tag = r->base->model->config.vocab_size + (int32_t)f->language_count++;
  memcpy(l->code, canonical, sizeof l->code);
  *tag = l->tag;
  return true;
}

static bool make_adapter(run *r, dg_error *err) {
  dg_adapter_file *f = r->file = dg_calloc(1, sizeof *f);
  f->languages = dg_calloc(2, sizeof *f->languages);
  if (!find_tag(r, r->source, &r->source_tag, f->source, err) ||
      !find_tag(r, r->target, &r->target_tag, f->target, err))
    return false;
  if (!strcmp(f->source, f->target))
    return dg_fail(err, DG_ERR_USAGE, "-s and -t are the same language, %s", f->source);
  if (r->like && !f->language_count)
    dg_cli_say(r->cli, "the base knows both languages: --like %s has no effect\n", r->like);
  const dg_model *m = r->base->model;
  f->adapter = dg_adapter_new(&m->config, (size_t)r->width, f->language_count, err);
  if (!f->adapter) return false;
  dg_adapter_initialize(f->adapter, (uint64_t)r->options.seed);
  size_t d = f->adapter->d_model;
  float *extra = f->language_count ? dg_params_find(&f->adapter->params, "extra")->value : NULL;
  for (size_t i = 0; i < f->language_count; i++)
    memcpy(extra + i * d, m->encoder.embedding + (size_t)r->relative->tag * d, d * sizeof *extra);
  memcpy(f->base_hash, r->base->hash, sizeof f->base_hash);
  return dg_adapter_train(f->adapter, err);
}

static bool add_file(run *r, size_t i, dg_error *err) {
  dg_train_file *f = &r->data.files[i];
  dg_examples *e = f->dev ? r->dev : r->train;
  size_t corpus;
  if (!dg_examples_add(e, &f->text, r->threads, &corpus, err))
    return dg_error_context(err, "%s", f->path);
  size_t skipped = dg_examples_skipped(e, corpus);
  if (skipped)
    dg_cli_say(r->cli, "%s: %zu pairs left out: longer than max_tokens %d\n", f->path, skipped,
               r->options.max_tokens);
  r->card_data[i] = (dg_card_data){f->dev ? "dev" : "train", r->file->source, r->file->target,
                                   f->path, dg_examples_count(e, corpus),
                                   f->read - dg_examples_count(e, corpus), dg_train_problems_json(f)};
  dg_direction way = {corpus, false, r->source_tag, r->target_tag};
  if (f->dev)
    dg_dev_list_add(&r->dev_list, r->file->source, r->file->target, way, &f->text,
                    (size_t)r->options.eval_sentences);
  else
    r->directions[i] = way;
  return true;
}

static bool read_data(run *r, dg_error *err) {
  dg_train_data_options o = {&r->train_files, &r->dev_files, r->file->source, r->file->target,
                             r->reversed, r->keep_problems, (uint64_t)r->options.seed};
  if (!dg_train_data_read(&r->data, &o, r->cli, err)) return false;
  r->card_data = dg_calloc(r->data.count, sizeof *r->card_data);
  r->directions = dg_calloc(r->data.train_count, sizeof *r->directions);
  r->train = dg_examples_new(r->base, (size_t)r->options.max_tokens);
  r->dev = dg_examples_new(r->base, (size_t)r->base->model->config.max_positions);
  size_t pairs = 0;
  for (size_t i = 0; i < r->data.count; i++) {
    if (!add_file(r, i, err)) return false;
    if (!r->data.files[i].dev) pairs += r->card_data[i].pairs;
  }
  size_t mine = dg_params_count(&r->file->adapter->params);
  size_t all = dg_params_count(&r->base->model->params);
  dg_cli_say(r->cli, "%s-%s: %zu training pairs; training %zu parameters, %.2f%% of the base's %zu\n",
      r->file->source, r->file->target, pairs, mine, 100 * (double)mine / (double)all, all);
  return true;
}

static void report(void *context, const dg_train_report *report) {
  run *r = context;
  dg_training_show(&r->log, report);
}

static bool save(run *r, const dg_train_result *result, dg_error *err) {
  json_decref(r->file->card);
  r->file->card = dg_card_new("adapter", &r->options, &r->task, result, r->card_data,
                              r->data.count, NULL);
  if (r->relative && r->file->language_count)
    json_object_set_new(r->file->card, "like", json_string(r->relative->code));
  char hash[DG_HASH_TEXT];
  return dg_adapter_file_save(r->file, r->output, r->storage, hash, err);
}

/* The best so far is always on disk as a usable adapter. */
static bool best(void *context, const dg_train_report *report, dg_error *err) {
  run *r = context;
  dg_train_result so_far = {.updates = report->update, .best_update = report->update,
                            .seconds = report->seconds, .epochs = report->epochs,
                            .best = report->mean, .best_scores = (dg_dev_score *)report->scores};
  return save(r, &so_far, err);
}

static char *identity(const run *r) {
  json_t *made_of = json_pack("{s:s,s:s,s:s,s:s,s:i}", "base", r->base->hash, "source",
                              r->file->source, "target", r->file->target, "like",
                              r->relative ? r->relative->code : "", "width", r->width);
  return dg_train_identity(&r->options, made_of, r->train);
}

/* Whether training was worth it, and a warning when it was not. */
static void conclude(const run *r, const dg_train_result *result) {
  if (r->cli->json) {
    json_dumpf(r->file->card, stdout, JSON_COMPACT);
    putchar('\n');
    return;
  }
  dg_cli_say(r->cli, "%s after %llu updates, %.1f minutes\n", dg_training_end(result->end),
      (unsigned long long)result->updates, result->seconds / 60);
  for (size_t i = 0; !r->cli->quiet && i < r->dev_list.count; i++) {
    const dg_dev_score *a = &result->start_scores[i], *b = &result->best_scores[i];
    const char *file = r->data.split ? "dev text" : r->data.files[r->data.train_count + i].path;
    if (r->dev_list.sets[i].sentences)
      printf("%s: untouched base%s%s BLEU %.2f chrF %.2f; with the adapter BLEU %.2f chrF %.2f "
             "(%+.2f, %+.2f)\n",
             file, r->relative ? " as " : "", r->relative ? r->relative->code : "", a->bleu,
             a->chrf, b->bleu, b->chrf, b->bleu - a->bleu, b->chrf - a->chrf);
    else
      printf("%s: untouched base loss %.4f; with the adapter %.4f\n", file, a->loss, b->loss);
  }
  bool translated = r->options.eval_sentences > 0;
  if (!result->best_update)
    fprintf(stderr, "dragoman: warning: nothing was gained over the untouched base; the adapter "
                    "leaves it as it is. More or cleaner pairs, or a nearer --like, may help\n");
  else if (translated && result->best.chrf <= result->start.chrf)
    fprintf(stderr, "dragoman: warning: chrF on the dev text did not rise above the untouched "
                    "base's: this adapter may do harm\n");
  dg_cli_say(r->cli, "the adapter, best at update %llu, is in %s\n", (unsigned long long)result->best_update,
      r->output);
}

static bool execute(run *r, dg_error *err) {
  if (!(r->base = dg_base_load(r->base_path, err)) || !make_adapter(r, err) || !read_data(r, err))
    return false;
  dg_train_result result = {0};
  char *made_of = identity(r);
  r->log = (dg_training_log){r->cli, dg_progress_begin(r->cli, "training"), &r->dev_list,
                             (uint64_t)r->options.max_updates};
  r->task = (dg_train_task){
      .base = r->base,
      .network = {.model = r->base->model, .adapters = {r->file->adapter}, .adapter_count = 1,
                  .threads = r->threads, .precision = dg_train_precision(&r->options)},
      .trained = &r->file->adapter->params,
      .examples = r->train,
      .directions = r->directions,
      .direction_count = r->data.train_count,
      .dev_examples = r->dev,
      .dev_sets = r->dev_list.sets,
      .dev_count = r->dev_list.count,
      .evaluate_start = true,
      .checkpoint_path = r->checkpoint_path,
      .identity = made_of,
      .context = r,
      .stop = dg_cli_interrupted,
      .report = report,
      .best = best,
  };
  dg_cli_catch_signals();
  bool ok = dg_train(&r->task, &r->options, &result, err);
  dg_progress_end(&r->log.progress);
  ok = ok && save(r, &result, err);
  if (ok) conclude(r, &result);
  if (ok && result.end != DG_TRAIN_TIME) unlink(r->checkpoint_path);
  free(result.start_scores);
  free(result.best_scores);
  free(made_of);
  return ok;
}

static void release(run *r) {
  for (size_t i = 0; r->card_data && i < r->data.count; i++) json_decref(r->card_data[i].problems);
  dg_train_data_free(&r->data);
  dg_dev_list_free(&r->dev_list);
  dg_examples_free(r->train);
  dg_examples_free(r->dev);
  free(r->directions);
  free(r->card_data);
  dg_adapter_file_free(r->file);
  dg_base_free(r->base);
  dg_threads_free(r->threads);
  free(r->checkpoint_path);
}

static int check(run *r, const char *storage) {
  dg_cli *c = r->cli;
  if (!r->base_path) return dg_cli_usage(c, "-b is missing: which base?");
  if (!r->source || !r->target) return dg_cli_usage(c, "say with -s and -t from what into what");
  if (!r->train_files.count) return dg_cli_usage(c, "--train is missing: parallel text");
  if (!r->output) return dg_cli_usage(c, "say with -o where the adapter goes");
  if (c->rest.count) return dg_cli_usage(c, "\"%s\" is too much", c->rest.items[0]);
  if (r->width < 1 || r->width > 65536) return dg_cli_usage(c, "--width is not in 1..65536");
  for (size_t i = 0; i < sizeof storage_names / sizeof *storage_names; i++)
    if (!strcmp(storage, storage_names[i])) {
      r->storage = (dg_storage)i;
      return DG_CLI_GO;
    }
  return dg_cli_usage(c, "--storage is fp32, bf16 or int8, not \"%s\"", storage);
}

int dg_cmd_train(int argc, char **argv) {
  run r = {.width = 64};
  const char *storage = "bf16";
  const dg_flag flags[] = {
      {"base", 'b', DG_FLAG_TEXT, &r.base_path, "BASE", "the base; it stays as it is"},
      {"source", 's', DG_FLAG_TEXT, &r.source, "SRC", "language code of the source"},
      {"target", 't', DG_FLAG_TEXT, &r.target, "TGT", "language code of the target"},
      {"train", 0, DG_FLAG_LIST, &r.train_files, "FILE...", "pairs to learn: .tsv or a.en,a.gl"},
      {"dev", 0, DG_FLAG_LIST, &r.dev_files, "FILE...",
       "pairs to choose and measure by (else set apart from --train)"},
      {"reversed", 0, DG_FLAG_BOOL, &r.reversed, NULL, "the files have the target language first"},
      {"keep-problems", 0, DG_FLAG_BOOL, &r.keep_problems, NULL,
       "train also on pairs that look wrong"},
      {"output", 'o', DG_FLAG_TEXT, &r.output, "ADAPTER", "the adapter to write"},
      {"like", 0, DG_FLAG_TEXT, &r.like, "CODE", "the base's nearest relative of a new language"},
      {"width", 0, DG_FLAG_INT, &r.width, "N", "of the bottleneck (64)"},
      {"storage", 0, DG_FLAG_TEXT, &storage, "TYPE", "of the file: fp32, bf16 or int8 (bf16)"},
      {NULL, 0, DG_FLAG_BOOL, NULL, NULL, NULL},
  };
  dg_cli cli = {
      .usage = "train -b BASE -s SRC -t TGT --train FILE... [--dev FILE...] -o ADAPTER",
      .summary =
          "Trains an adapter for one language pair: small layers after every layer of the base,\n"
          "which stays frozen. A language the base has never seen starts from a relative named\n"
          "with --like. Scores are compared with those of the untouched base. Stopped in any way,\n"
          "the same command goes on from ADAPTER.checkpoint.",
      .examples =
          "  dragoman train -b base.safetensors -s en -t gl --like pt \\\n"
          "      --train train.gl.tsv.gz --dev dev.gl.tsv.gz -o en-gl.safetensors\n"
          "  dragoman train -b base.safetensors -s gl -t en --like pt --reversed \\\n"
          "      --train train.gl.tsv.gz --dev dev.gl.tsv.gz -o gl-en.safetensors\n"
          "  dragoman train -b base.safetensors -s en -t nah --like es --width 32 \\\n"
          "      --train verses.en,verses.nah --dev dev.en,dev.nah -o en-nah.safetensors\n",
      .flags = flags,
      .options = dg_train_options_table,
      .options_object = &r.options,
  };
  r.cli = &cli;
  dg_options_defaults(dg_train_options_table, &r.options);
  int code = dg_cli_parse(&cli, argc, argv);
  if (code == DG_CLI_GO) code = check(&r, storage);
  if (code == DG_CLI_GO) {
    dg_error err = {0};
    r.checkpoint_path = dg_format("%s.checkpoint", r.output);
    r.threads = dg_threads_new(cli.threads);
    code = execute(&r, &err) ? DG_EXIT_OK : dg_cli_fail(&err);
  }
  release(&r);
  dg_cli_free(&cli);
  return code;
}
