#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mt/cli/models.h"
#include "mt/cli/train_report.h"
#include "mt/cli/training.h"
#include "mt/core/file.h"
#include "mt/core/lines.h"
#include "mt/train/adaptation.h"

typedef struct run {
  dg_cli *cli;
  dg_adaptation_options options;
  dg_trainee trainee;
  dg_ranks ranks;
  dg_adaptation_pair one; /* -s, -t, --train and so on */
  dg_list pair_texts;     /* --pair */
  char **texts;           /* of these, taken apart */
  dg_adaptation_pair *pairs;
  const char *base, *init, *reverse, *layers, *log_path, *report_path, *note_path;
  dg_list below;
  char *base_path, *init_path, *reverse_path, **below_paths, *note;
  dg_training_log log;
  dg_progress progress;
} run;

/* --- what is asked for ----------------------------------------------------------------------- */

static bool find_model(const char *name, char **path, dg_error *err) {
  return !name || (*path = dg_find_model(name, err)) != NULL;
}

static bool find_models(run *r, dg_error *err) {
  r->below_paths = dg_calloc(r->below.count + 1, sizeof *r->below_paths);
  bool ok = find_model(r->base, &r->base_path, err) && find_model(r->init, &r->init_path, err);
  for (size_t i = 0; ok && i < r->below.count; i++)
    ok = find_model(r->below.items[i], &r->below_paths[i], err);
  if (!ok) return false;
  dg_trainee *t = &r->trainee;
  t->given = dg_cli_given, t->context = r->cli;
  t->init = r->init_path;
  t->below = (dg_list){.items = (const char **)r->below_paths, .count = r->below.count};
  return find_model(r->reverse, &r->reverse_path, err) || dg_error_context(err, "--reverse");
}

/* SRC:TGT:TRAIN[:DEV[:TEST]] */
static bool read_pair(dg_adaptation_pair *p, const char *text, char **apart, dg_error *err) {
  char *fields[5] = {0}, *rest = *apart = dg_strdup(text);
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
  size_t count = 0, n = r->pair_texts.count;
  r->pairs = dg_calloc(n + 1, sizeof *r->pairs);
  r->texts = dg_calloc(n + 1, sizeof *r->texts);
  if (r->one.source) r->pairs[count++] = r->one;
  r->options.pairs = r->pairs;
  for (size_t i = 0; i < n; i++)
    if (!read_pair(&r->pairs[count++], r->pair_texts.items[i], &r->texts[i], err)) return false;
  r->options.pair_count = count;
  return true;
}

static void add_all(dg_list *to, const dg_list *from) {
  for (size_t i = 0; i < from->count; i++) dg_list_add(to, from->items[i]);
}

/* Going on from --init into the same file is fair: it becomes no worse. */
static bool check_outputs(const run *r, dg_error *err) {
  dg_list outputs = {0}, inputs = {0};
  char *checkpoint = dg_format("%s.checkpoint", r->options.output);
  const char *written[] = {r->options.output, checkpoint, r->log_path, r->report_path};
  const char *read[] = {r->base_path, r->reverse_path, r->note_path};
  for (size_t i = 0; i < 4; i++) dg_list_add(&outputs, written[i]);
  for (size_t i = 0; i < 3; i++) dg_list_add(&inputs, read[i]);
  add_all(&inputs, &r->trainee.below);
  add_all(&inputs, &r->options.mono);
  for (size_t i = 0; i < r->options.pair_count; i++) {
    add_all(&inputs, &r->pairs[i].train);
    add_all(&inputs, &r->pairs[i].dev);
    add_all(&inputs, &r->pairs[i].test);
  }
  bool ok = dg_cli_rewrites(r->options.output, err) && dg_cli_apart(&outputs, &inputs, err) &&
            dg_cli_spares(r->log_path, r->init_path, err) &&
            dg_cli_spares(r->report_path, r->init_path, err);
  free(checkpoint);
  free(outputs.items);
  free(inputs.items);
  return ok;
}

/* --- what is shown --------------------------------------------------------------------------- */

static void note(void *context, const char *message) {
  const run *r = context;
  dg_cli_say(r->cli, "%s\n", message);
}

static void report(void *context, const dg_train_report *report) {
  run *r = context;
  dg_training_show(&r->log, report);
}

static void show(void *context, const char *what, double done, double all, const char *unit) {
  run *r = context;
  if (!what) {
    dg_progress_end(&r->progress);
    r->progress = (dg_progress){0};
    return;
  }
  if (!r->progress.label) r->progress = dg_progress_begin(r->cli, what);
  dg_progress_show(&r->progress, done, all, unit, NULL);
}

/* --- the run --------------------------------------------------------------------------------- */

/* Said now rather than after the night. */
static bool report_possible(const run *r, dg_error *err) {
  dg_output *out = r->report_path ? dg_output_open(r->report_path, err) : NULL;
  dg_output_abort(out);
  return !r->report_path || out;
}

static bool conclude(const run *r, const dg_adaptation *a, const dg_train_result *result,
                     dg_error *err) {
  dg_train_summary s = {.cli = r->cli, .card = dg_trainee_card(&r->trainee), .result = result,
                        .data = dg_adaptation_data(a),
                        .relative = r->trainee.relatives_text.text, .output = r->options.output};
  s.measures = dg_adaptation_measures(a, &s.measure_count);
  dg_train_conclude(&s);
  return !r->report_path || dg_train_report_write(&s, r->report_path, err);
}

static bool train(run *r, dg_adaptation *a, dg_error *err) {
  dg_train_result result = {0};
  bool first = !r->ranks.rank;
  r->log = dg_training_log_new(r->cli, dg_adaptation_dev(a), dg_adaptation_settings(a),
                               r->log_path);
  bool ok = (!first || (dg_training_log_open(&r->log, err) && report_possible(r, err))) &&
            dg_adaptation_run(a, &result, err);
  dg_training_log_close(&r->log);
  ok = ok && (!first || conclude(r, a, &result, err));
  if (ok) dg_adaptation_clear(a, &result);
  dg_train_result_free(&result);
  return ok;
}

static bool execute(run *r, dg_error *err) {
  dg_adaptation_options *o = &r->options;
  if (r->note_path && !(r->note = dg_read_text(r->note_path, err))) return false;
  if (!find_models(r, err) || !read_pairs(r, err) || !check_outputs(r, err)) return false;
  o->base = r->base_path;
  o->reverse = r->reverse_path;
  o->card_note = r->note;
  o->trainee = &r->trainee;
  o->ranks = &r->ranks;
  o->context = r;
  o->note = note, o->stop = dg_cli_interrupted, o->report = report, o->progress = show;
  if (o->mono.count) dg_cli_catch_signals(); /* what is translated back is kept */
  dg_adaptation *a = dg_adaptation_new(o, err);
  if (!o->mono.count) dg_cli_catch_signals();
  bool ok = a && train(r, a, err);
  dg_adaptation_free(a);
  return ok;
}

static void release(run *r) {
  for (size_t i = 0; r->texts && i < r->pair_texts.count; i++) {
    dg_adaptation_pair *p = &r->pairs[i + (r->one.source != NULL)];
    free(r->texts[i]);
    free(p->train.items);
    free(p->dev.items);
    free(p->test.items);
  }
  free(r->texts);
  free(r->pairs);
  dg_threads_free(r->options.threads);
  free(r->base_path);
  free(r->init_path);
  free(r->reverse_path);
  for (char **path = r->below_paths; path && *path; path++) free(*path);
  free(r->below_paths);
  free(r->note);
}

static int check(run *r, const char *storage) {
  dg_cli *c = r->cli;
  const dg_adaptation_pair *one = &r->one;
  bool any = one->source || one->target || one->train.count;
  if ((any || !r->pair_texts.count) && (!one->source || !one->target))
    return dg_cli_usage(c, "say with -s and -t from what into what");
  if (any && !one->train.count) return dg_cli_usage(c, "--train is missing: parallel text");
  if (r->one.reversed && !any)
    return dg_cli_usage(c, "--reversed is of --train: in --pair, name SRC and TGT as FILE has them");
  if (!any && (one->dev.count || one->test.count))
    return dg_cli_usage(c, "--dev and --test are of --train: write --pair SRC:TGT:TRAIN:DEV:TEST");
  if (r->options.mono.count && (r->pair_texts.count || !any))
    return dg_cli_usage(c, "--mono goes with -s, -t and --train, not with --pair");
  if (r->reverse && !r->options.mono.count)
    return dg_cli_usage(c, "--reverse translates the text of --mono back: name that");
  if (!r->options.output) return dg_cli_usage(c, "say with -o where the adapter goes");
  if (c->rest.count)
    return dg_cli_usage(c, "\"%s\" is too much: text is named by --train, --dev and --test",
                        c->rest.items[0]);
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

/* By mt/train/adaptation. */
static bool chosen(const char *name) {
  return dg_train_looks_after(name) || !strcmp(name, "learning_rate") || !strcmp(name, "metric");
}

int dg_cmd_train(int argc, char **argv) {
  run r = {.base = "base"};
  const char *storage = "bf16";
  const dg_flag flags[] = {
      {"base", 'b', DG_FLAG_TEXT, &r.base, "BASE",
       "path or name of the base, which stays as it is (base)"},
      {"source", 's', DG_FLAG_TEXT, &r.one.source, "SRC", "language code of the source"},
      {"target", 't', DG_FLAG_TEXT, &r.one.target, "TGT", "language code of the target"},
      {"train", 0, DG_FLAG_LIST, &r.one.train, "FILE...", "pairs to learn: .tsv or a.en,a.gl"},
      {"dev", 0, DG_FLAG_LIST, &r.one.dev, "FILE...",
       "pairs to choose and measure by (else set apart from --train)"},
      {"test", 0, DG_FLAG_LIST, &r.one.test, "FILE...",
       "pairs to measure by at the end, only once"},
      {"reversed", 0, DG_FLAG_BOOL, &r.one.reversed, NULL, "the files have the target language first"},
      {"keep-problems", 0, DG_FLAG_BOOL, &r.options.keep_problems, NULL,
       "train also on pairs that look wrong"},
      {"mono", 0, DG_FLAG_LIST, &r.options.mono, "FILE...",
       "more text in the target language, to translate back"},
      {"reverse", 0, DG_FLAG_TEXT, &r.reverse, "ADAPTER",
       "the adapter that does so (else -a, or the base)"},
      {"output", 'o', DG_FLAG_TEXT, &r.options.output, "ADAPTER", "the adapter to write"},
      {"log", 0, DG_FLAG_TEXT, &r.log_path, "FILE", "a table (TSV) of the run, kept up to date"},
      {"licence", 0, DG_FLAG_TEXT, &r.options.licence, "TEXT", "of the adapter, for its card"},
      {"note", 0, DG_FLAG_TEXT, &r.note_path, "FILE", "for its card: what it is for, its limits"},
      {"report", 0, DG_FLAG_TEXT, &r.report_path, "FILE",
       "a page (HTML) about the run, at its end"},
      {"pair", 0, DG_FLAG_REPEAT, &r.pair_texts, "SPEC",
       "SRC:TGT:TRAIN[:DEV[:TEST]], a further pair for the same adapter"},
      {"bidirectional", 0, DG_FLAG_BOOL, &r.options.bidirectional, NULL, "one adapter for both directions"},
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
           {"settings of the training", dg_train_options_table, &r.options.settings, chosen}},
  };
  r.cli = &cli;
  dg_options_defaults(dg_train_options_table, &r.options.settings);
  dg_options_defaults(dg_adapter_config_options, &r.trainee.config);
  int code = dg_cli_parse(&cli, argc, argv);
  if (code == DG_CLI_GO) code = check(&r, storage);
  if (code == DG_CLI_GO) {
    dg_error err = {0};
    bool ok = dg_ranks_join(&r.ranks, &err);
    r.ranks.stop = dg_cli_interrupted;
    if (r.ranks.rank) cli.quiet = true, cli.json = false;
    r.options.threads = dg_threads_new(cli.threads ? cli.threads : dg_ranks_threads(&r.ranks));
    ok = ok && execute(&r, &err);
    /* What stops all of them alike one tells, the loss of a process those that are left. */
    bool alike = err.status == DG_ERR_USAGE || err.status == DG_ERR_INTERRUPTED;
    if (!ok && r.ranks.rank && !alike) dg_error_context(&err, "process %d", r.ranks.rank);
    code = ok ? DG_EXIT_OK : r.ranks.rank && alike ? DG_EXIT_FAILURE : dg_cli_fail(&err);
    /* All come to these ends; where one fails alone the others wait, and mpirun ends them. */
    if (ok || err.status == DG_ERR_INTERRUPTED) dg_ranks_leave(&r.ranks);
  }
  release(&r);
  dg_cli_free(&cli);
  return code;
}
