#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mt/cli/train_data.h"
#include "mt/cli/train_report.h"
#include "mt/cli/training.h"
#include "mt/decode/translator.h"
#include "mt/model/adapter_file.h"

static const char *const storage_names[] = {"fp32", "bf16", "int8"};

/* One adapter run, from base to adapter file. */
typedef struct run {
  dg_cli *cli;
  dg_train_options options;
  const char *base_path, *source, *target, *like, *output;
  dg_list train_files, dev_files, test_files;
  const char *log_path, *report_path;
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
  dg_dev_list dev_list, test_list;
  dg_train_measure *measures; /* of dev and test sets, at the end */
  size_t measure_count;
  dg_card_data *card_data;
  dg_training_log log;
  dg_train_task task;
} run;

/* The tag of one side: the base's, or a new row that starts from the relative's. */
static bool find_tag(run *r, const char *code, dg_side side, int32_t *tag,
                     char canonical[DG_LANG_MAX], dg_error *err) {
  if (!dg_lang_canonical(code, canonical, err)) return false;
  const dg_language *known = dg_base_language(r->base, canonical, side, r->like ? NULL : err);
  if (known) {
    *tag = known->tag;
    return true;
  }
  if (!r->like) return false;
  if (!(r->relative = dg_base_language(r->base, r->like, side, err)))
    return dg_error_context(err, "--like");
  dg_adapter_file *f = r->file;
  dg_language *l = &f->languages[f->language_count];
  l->tag = dg_first_extra(&r->base->model->config) + (int32_t)f->language_count++;
  memcpy(l->code, canonical, sizeof l->code);
  *tag = l->tag;
  return true;
}

static bool make_adapter(run *r, dg_error *err) {
  dg_adapter_file *f = r->file = dg_calloc(1, sizeof *f);
  f->languages = dg_calloc(2, sizeof *f->languages);
  char source[DG_LANG_MAX], target[DG_LANG_MAX];
  if (!find_tag(r, r->source, DG_SIDE_SOURCE, &r->source_tag, source, err) ||
      !find_tag(r, r->target, DG_SIDE_TARGET, &r->target_tag, target, err))
    return false;
  if (!strcmp(source, target))
    return dg_fail(err, DG_ERR_USAGE, "-s and -t are the same language, %s", source);
  if (!dg_adapter_file_add_pair(f, source, target, err)) return false;
  if (r->like && !f->language_count)
    dg_cli_say(r->cli, "the base knows both languages: --like %s has no effect\n", r->like);
  const dg_model *m = r->base->model;
  dg_adapter_config config;
  dg_options_defaults(dg_adapter_config_options, &config);
  config.width = r->width;
  f->adapter = dg_adapter_new(&m->config, &config, f->language_count, err);
  if (!f->adapter) return false;
  dg_adapter_initialize(f->adapter, (uint64_t)r->options.seed);
  size_t d = f->adapter->d_model;
  float *extra = f->language_count ? dg_params_find(&f->adapter->params, "extra")->value : NULL;
  for (size_t i = 0; i < f->language_count && r->relative->tag >= 0; i++)
    memcpy(extra + i * d, m->encoder.embedding + (size_t)r->relative->tag * d, d * sizeof *extra);
  memcpy(f->base_hash, r->base->hash, sizeof f->base_hash);
  return dg_adapter_train(f->adapter, err);
}

static bool add_file(run *r, size_t i, dg_error *err) {
  dg_train_file *f = &r->data.files[i];
  dg_direction way = {.source_tag = r->source_tag, .target_tag = r->target_tag};
  dg_card_data *card = &r->card_data[i];
  const dg_language_pair *pair = &r->file->pairs[0];
  *card = (dg_card_data){dg_train_role_name(f->role), pair->source, pair->target, f->path,
                         f->text.count, f->read - f->text.count, dg_train_problems_json(f)};
  if (f->role == DG_ROLE_TEST) {
    dg_dev_list_add(&r->test_list, pair->source, pair->target, way, &f->text, SIZE_MAX);
    return true;
  }
  dg_examples *e = f->role == DG_ROLE_DEV ? r->dev : r->train;
  if (!dg_examples_add(e, &f->text, r->threads, &way.corpus, err))
    return dg_error_context(err, "%s", f->path);
  size_t skipped = dg_examples_skipped(e, way.corpus);
  if (skipped)
    dg_cli_say(r->cli, "%s: %zu pairs left out: longer than max_tokens %d\n", f->path, skipped,
               r->options.max_tokens);
  card->pairs -= skipped, card->skipped += skipped;
  if (f->role == DG_ROLE_DEV)
    dg_dev_list_add(&r->dev_list, pair->source, pair->target, way, &f->text,
                    (size_t)r->options.eval_sentences);
  else
    r->directions[i] = way;
  return true;
}

static bool read_data(run *r, dg_error *err) {
  const dg_language_pair *pair = &r->file->pairs[0];
  dg_train_data_options o = {&r->train_files, &r->dev_files, &r->test_files,
                             pair->source,    pair->target,  r->reversed,
                             r->keep_problems, (uint64_t)r->options.seed};
  if (!dg_train_data_read(&r->data, &o, r->cli, err)) return false;
  r->card_data = dg_calloc(r->data.count, sizeof *r->card_data);
  r->directions = dg_calloc(r->data.train_count, sizeof *r->directions);
  r->train = dg_examples_new(r->base, (size_t)r->options.max_tokens);
  r->dev = dg_examples_new(r->base, (size_t)r->base->model->config.max_positions);
  size_t pairs = 0;
  for (size_t i = 0; i < r->data.count; i++) {
    if (!add_file(r, i, err)) return false;
    if (r->data.files[i].role == DG_ROLE_TRAIN) pairs += r->card_data[i].pairs;
  }
  size_t mine = dg_params_count(&r->file->adapter->params);
  size_t all = dg_params_count(&r->base->model->params);
  dg_cli_say(r->cli, "%s-%s: %zu training pairs; training %zu parameters, %.2f%% of the base's %zu\n",
      pair->source, pair->target, pairs, mine, 100 * (double)mine / (double)all, all);
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
  dg_train_measures_to_card(r->file->card, r->measures, r->measure_count);
  char hash[DG_HASH_TEXT];
  return dg_adapter_file_save(r->file, r->output, r->storage, hash, err);
}

/* The best so far is always on disk as a usable adapter. */
static bool best(void *context, const dg_train_report *report, dg_error *err) {
  run *r = context;
  dg_train_result so_far = dg_training_so_far(report);
  return save(r, &so_far, err);
}

static char *identity(const run *r) {
  json_t *made_of = json_pack("{s:s,s:s,s:s,s:s,s:i}", "base", r->base->hash, "source",
                              r->file->pairs[0].source, "target", r->file->pairs[0].target, "like",
                              r->relative ? r->relative->code : "", "width", r->width);
  return dg_train_identity(&r->options, made_of, r->train);
}

/* What the base says without the adapter; in a new language, as its relative. */
static dg_dev_set untouched(const run *r, const dg_dev_set *set) {
  dg_dev_set s = *set;
  int32_t known = dg_first_extra(&r->base->model->config);
  if (s.direction.source_tag >= known) s.direction.source_tag = r->relative->tag;
  if (s.direction.target_tag >= known) s.direction.target_tag = r->relative->tag;
  return s;
}

static bool measure_list(run *r, const dg_dev_list *list, size_t first_file, int beam,
                         dg_error *err) {
  dg_network alone = r->task.network;
  alone.adapter_count = 0;
  for (size_t i = 0; i < list->count; i++) {
    if (!list->sets[i].sentences) continue;
    const dg_train_file *f = &r->data.files[first_file + i];
    dg_train_measure *m = &r->measures[r->measure_count++];
    *m = (dg_train_measure){.file = f, .set = &list->sets[i], .beam = beam};
    dg_dev_set before = untouched(r, m->set);
    if (!dg_gain_measure(&alone, &before, &r->task.network, m->set, r->base, beam, &m->gain, err))
      return false;
  }
  return true;
}

/* The end of a run: both texts translated with and without the adapter. */
static bool conclude(run *r, const dg_train_result *result, dg_error *err) {
  r->measures = dg_calloc(r->dev_list.count + r->test_list.count + 1, sizeof *r->measures);
  if (!measure_list(r, &r->dev_list, r->data.train_count, r->options.eval_beam, err) ||
      !measure_list(r, &r->test_list, r->data.train_count + r->data.dev_count,
                    (int)dg_translate_defaults().beam, err) ||
      !save(r, result, err))
    return false;
  dg_train_summary s = {.cli = r->cli, .card = r->file->card, .result = result, .data = &r->data,
                        .measures = r->measures, .measure_count = r->measure_count,
                        .relative = r->relative ? r->relative->code : NULL, .output = r->output};
  dg_train_conclude(&s);
  return !r->report_path || dg_train_report_write(&s, r->report_path, err);
}

static bool execute(run *r, dg_error *err) {
  if (!(r->base = dg_base_load(r->base_path, err)) || !make_adapter(r, err) || !read_data(r, err))
    return false;
  dg_train_result result = {0};
  char *made_of = identity(r);
  r->log = dg_training_log_new(r->cli, &r->dev_list, &r->options, r->log_path);
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
  bool ok = dg_training_log_open(&r->log, err) && dg_train(&r->task, &r->options, &result, err);
  dg_training_log_close(&r->log);
  ok = ok && conclude(r, &result, err);
  if (ok && result.end != DG_TRAIN_TIME) unlink(r->checkpoint_path);
  dg_train_result_free(&result);
  free(made_of);
  return ok;
}

static void release(run *r) {
  for (size_t i = 0; r->card_data && i < r->data.count; i++) json_decref(r->card_data[i].problems);
  dg_train_data_free(&r->data);
  for (size_t i = 0; i < r->measure_count; i++) dg_gain_free(&r->measures[i].gain);
  free(r->measures);
  dg_dev_list_free(&r->dev_list);
  dg_dev_list_free(&r->test_list);
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
      {"test", 0, DG_FLAG_LIST, &r.test_files, "FILE...", "pairs to measure by at the end, only once"},
      {"reversed", 0, DG_FLAG_BOOL, &r.reversed, NULL, "the files have the target language first"},
      {"keep-problems", 0, DG_FLAG_BOOL, &r.keep_problems, NULL,
       "train also on pairs that look wrong"},
      {"output", 'o', DG_FLAG_TEXT, &r.output, "ADAPTER", "the adapter to write"},
      {"log", 0, DG_FLAG_TEXT, &r.log_path, "FILE", "a table (TSV) of the run, kept up to date"},
      {"report", 0, DG_FLAG_TEXT, &r.report_path, "FILE", "a page (HTML) about the run, at its end"},
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
