#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mt/cli/cli.h"
#include "mt/cli/models.h"
#include "mt/core/file.h"
#include "mt/core/mem.h"
#include "mt/core/safetensors.h"
#include "mt/import/exchange.h"
#include "mt/import/import.h"
#include "mt/model/adapter_file.h"

static void show(void *progress, size_t weights, size_t all) {
  dg_progress_show(progress, (double)weights, (double)all, "weights", NULL);
}

static void say(const dg_cli *cli, const char *output, const dg_import_options *o,
                const dg_import_report *r) {
  static const double bytes[] = {[DG_STORE_FP32] = 4, [DG_STORE_BF16] = 2, [DG_STORE_INT8] = 1};
  dg_cli_say(cli, "%s: %zu languages, %zu weights, %s\n", output, r->languages, r->weights,
             r->hash);
  if (*r->prefix) dg_cli_say(cli, "before each sentence it reads \"%s\"\n", r->prefix);
  if (r->other_prefixes)
    dg_cli_say(cli, "config.json has prefixes for other pairs alone: --prefix says this one's\n");
  if (o->languages)
    dg_cli_say(cli, "%zu pieces of %zu stay, %zu weights of %zu: %.1f MB instead of %.1f\n",
               r->pieces, r->all_pieces, r->weights, r->all_weights,
               (double)r->weights * bytes[o->storage] / 1e6,
               (double)r->all_weights * bytes[o->storage] / 1e6);
}

/* An adapter of another project, and what its files do not say. */
typedef struct adapter_import {
  const char *directory, *base, *source, *target, *output;
  dg_storage storage;
} adapter_import;

static bool check_pair(const adapter_import *a, const dg_base *base, dg_error *err) {
  return dg_base_language(base, a->source, DG_SIDE_SOURCE, err) &&
         dg_base_language(base, a->target, DG_SIDE_TARGET, err);
}

static bool import_adapter(const adapter_import *a, const dg_cli *cli, dg_error *err) {
  char *path = dg_find_model(a->base, err);
  dg_base *base = path ? dg_base_load(path, err) : NULL;
  dg_adapter_file *f = dg_calloc(1, sizeof *f);
  dg_family family;
  bool ok = base && dg_cli_spares(a->output, path, err) && check_pair(a, base, err);
  if (ok && !dg_exchange_family(base->card, &family))
    ok = dg_fail(err, DG_ERR_UNSUPPORTED,
                 "%s was not imported from a public checkpoint: the adapter is of one", path);
  ok = ok && (f->adapter = dg_exchange_read(a->directory, family, &base->model->config, err)) &&
       dg_adapter_file_add_pair(f, a->source, a->target, err);
  if (ok) {
    memcpy(f->base_hash, base->hash, sizeof f->base_hash);
    f->card =
        json_pack("{s:s,s:o}", "kind", "adapter", "imported_from", dg_card_file(a->directory));
    ok = dg_adapter_file_save(f, a->output, a->storage, NULL, err);
  }
  if (ok)
    dg_cli_say(cli, "%s: %s, %zu weights\n", a->output, f->adapter->config.method,
               dg_params_count(&f->adapter->params));
  dg_adapter_file_free(f);
  dg_base_free(base);
  free(path);
  return ok;
}

static bool made_here(const char *path) {
  dg_safetensors *s = dg_safetensors_peek(path, NULL);
  const char *format = s ? dg_safetensors_metadata(s, "format") : NULL;
  bool made = format && !strncmp(format, "dragoman.", 9);
  dg_safetensors_close(s);
  return made;
}

/* Any file of the directory that is read may be of the checkpoint, but one of our own. */
static bool apart(const char *output, const char *input, dg_error *err) {
  if (!dg_cli_spares(output, input, err)) return false;
  const char *name = strrchr(output, '/');
  char *inside = dg_format("%s/%s", input, name ? name + 1 : output);
  bool same = dg_same_file(inside, output) && !made_here(output);
  free(inside);
  return !same || dg_fail(err, DG_ERR_USAGE,
                          "%s stands in the directory that is read: name another output", output);
}

typedef struct run {
  dg_cli *cli;
  const char *output, *quantize;
  dg_import_options options;
  adapter_import adapter;
  dg_list corpus;
} run;

static int check(run *r) {
  const dg_cli *c = r->cli;
  const adapter_import *a = &r->adapter;
  if (c->rest.count + (a->directory != NULL) != 1)
    return dg_cli_usage(c, "name one directory or package");
  if (!r->output) return dg_cli_usage(c, "say with -o where it goes");
  if (!dg_storage_find(r->quantize, &r->options.storage))
    return dg_cli_usage(c, "--quantize %s: choose fp32, bf16 or int8", r->quantize);
  if (r->corpus.count && !r->options.languages)
    return dg_cli_usage(c, "--corpus goes with --langs");
  if (a->directory && (!a->source || !a->target))
    return dg_cli_usage(c, "say with -s and -t what the adapter translates");
  if (a->directory && r->options.languages)
    return dg_cli_usage(c, "--langs trims a base: leave it out with --adapter");
  if (!a->directory && a->base)
    return dg_cli_usage(c, "-b is an adapter's base: name the adapter with --adapter");
  if (a->directory && r->options.prefix)
    return dg_cli_usage(c, "--prefix is a base's: leave it out with --adapter");
  return DG_CLI_GO;
}

static bool import_base(run *r, dg_error *err) {
  dg_import_options *o = &r->options;
  dg_progress progress = dg_progress_begin(r->cli, "import");
  o->source = r->adapter.source, o->target = r->adapter.target;
  o->corpus = r->corpus.items;
  o->corpus_count = r->corpus.count;
  o->stop = dg_cli_interrupted, o->progress = show, o->context = &progress;
  dg_cli_catch_signals();
  dg_import_report report;
  bool ok = dg_import(r->cli->rest.items[0], r->output, o, &report, err);
  dg_progress_end(&progress);
  if (ok) say(r->cli, r->output, o, &report);
  return ok;
}

static bool execute(run *r, dg_error *err) {
  adapter_import *a = &r->adapter;
  if (!apart(r->output, a->directory ? a->directory : r->cli->rest.items[0], err) ||
      !dg_cli_spares_all(r->output, &r->corpus, err))
    return false;
  if (!a->directory) return import_base(r, err);
  a->output = r->output;
  if (!a->base) a->base = "base";
  a->storage = r->options.storage;
  return import_adapter(a, r->cli, err);
}

int dg_cmd_import(int argc, char **argv) {
  run r = {.quantize = "fp32"};
  dg_flag flags[] = {
      {"output", 'o', DG_FLAG_TEXT, &r.output, "FILE", "where the base, or the adapter, goes"},
      {"quantize", 0, DG_FLAG_TEXT, &r.quantize, "fp32|bf16|int8", "how it is stored (fp32)"},
      {"langs", 0, DG_FLAG_TEXT, &r.options.languages, "CODES",
       "keep these languages alone (en,gl), and the pieces of their scripts"},
      {"corpus", 0, DG_FLAG_LIST, &r.corpus, "FILE...",
       "with --langs: of the pieces keep only those that this text needs"},
      {"adapter", 0, DG_FLAG_TEXT, &r.adapter.directory, "DIR",
       "import an adapter: LoRA of PEFT, or bottlenecks of AdapterHub"},
      {"base", 'b', DG_FLAG_TEXT, &r.adapter.base, "BASE", "of the adapter: an imported one (base)"},
      {"source", 's', DG_FLAG_TEXT, &r.adapter.source, "SRC",
       "source language where no file says it (adapters, models without tags)"},
      {"target", 't', DG_FLAG_TEXT, &r.adapter.target, "TGT", "target language, likewise"},
      {"prefix", 0, DG_FLAG_TEXT, &r.options.prefix, "TEXT",
       "what the model reads before each sentence (T5: as config.json says)"},
      {NULL, 0, DG_FLAG_BOOL, NULL, NULL, NULL},
  };
  dg_cli cli = {
      .usage = "import PATH -o BASE [--quantize fp32|bf16|int8] [--langs CODES [--corpus FILE...]]\n"
               "                [-s SRC] [-t TGT] [--prefix TEXT]",
      .summary =
          "Makes a base of a public checkpoint: a directory as Hugging Face has it, with\n"
          "config.json, model.safetensors or pytorch_model.bin (whole or in shards), and its\n"
          "sentencepiece model. M2M-100, SMaLL-100, NLLB-200, mBART-50, OPUS-MT, T5, mT5 and\n"
          "MADLAD-400; models that CTranslate2 converted, with their sentencepiece model beside\n"
          "model.bin; Argos packages; Marian's own .npz with the vocabularies beside it. -s and\n"
          "-t name the languages where no file does.\n"
          "Nothing in a checkpoint is run. It takes little memory, however large the model.\n"
          "\n"
          "Most of a multilingual model's vocabulary is of no use for one pair: --langs leaves\n"
          "it out. Text of the pieces that stay is translated as before. --corpus says by\n"
          "example which are needed: give it much text of both languages, lines or TSV, plain\n"
          "or gzipped. Rare words are then spelt with smaller pieces.\n"
          "\n"
          "With --adapter, a directory that PEFT or AdapterHub made becomes an adapter. What this\n"
          "program would compute otherwise is refused by name; `export` is the way back.\n",
      .examples = "  dragoman import m2m100_418M -o m2m100.safetensors --quantize int8\n"
                  "  dragoman translate -b m2m100.safetensors -s en -t gl text.en\n"
                  "  dragoman import nllb-200-distilled-600M -o nllb.safetensors --quantize int8 \\\n"
                  "      --langs en,gl --corpus train.tsv news.gl.gz\n"
                  "  dragoman import opus-mt-en-gl -o en-gl.safetensors\n"
                  "  dragoman import t5-small-yo -s en -t yo --prefix 'translate English to Yoruba: ' \\\n"
                  "      -o yo.safetensors\n"
                  "  dragoman import translate-en_gl.argosmodel -o en-gl.safetensors\n"
                  "  dragoman import --adapter lora-en-gl -b nllb.safetensors -s en -t gl \\\n"
                  "      -o en-gl.safetensors\n",
      .flags = flags,
      .no_json = true,
  };
  r.cli = &cli;
  int code = dg_cli_parse(&cli, argc, argv);
  if (code == DG_CLI_GO) code = check(&r);
  if (code == DG_CLI_GO) {
    dg_error err = {0};
    code = execute(&r, &err) ? DG_EXIT_OK : dg_cli_fail(&err);
  }
  dg_cli_free(&cli);
  return code;
}
