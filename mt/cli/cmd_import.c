#include <stdio.h>
#include <string.h>

#include "mt/cli/cli.h"
#include "mt/import/import.h"

static bool find_storage(const char *name, dg_storage *out) {
  static const char *const names[] = {"fp32", "bf16", "int8"};
  for (int i = 0; i < 3; i++)
    if (!strcmp(names[i], name)) {
      *out = (dg_storage)i;
      return true;
    }
  return false;
}

int dg_cmd_import(int argc, char **argv) {
  const char *output = NULL, *quantize = "fp32";
  dg_storage storage;
  dg_flag flags[] = {
      {"output", 'o', DG_FLAG_TEXT, &output, "BASE", "where the base goes"},
      {"quantize", 0, DG_FLAG_TEXT, &quantize, "fp32|bf16|int8", "how it is stored (fp32)"},
      {NULL, 0, DG_FLAG_BOOL, NULL, NULL, NULL},
  };
  dg_cli cli = {
      .usage = "import PATH -o BASE [--quantize fp32|bf16|int8]",
      .summary =
          "Makes a base of a public checkpoint: a directory as Hugging Face has it, with\n"
          "config.json, model.safetensors or pytorch_model.bin (whole or in shards), and its\n"
          "sentencepiece model. M2M-100, SMaLL-100, NLLB-200, mBART-50, T5, mT5 and MADLAD-400.\n"
          "Nothing in a checkpoint is run.\n",
      .examples = "  dragoman import m2m100_418M -o m2m100.safetensors --quantize int8\n"
                  "  dragoman translate -b m2m100.safetensors -s en -t gl text.en\n",
      .flags = flags,
  };
  int code = dg_cli_parse(&cli, argc, argv);
  if (code != DG_CLI_GO) return code;
  if (cli.rest.count != 1) {
    code = dg_cli_usage(&cli, "name one directory");
  } else if (!output) {
    code = dg_cli_usage(&cli, "say with -o where the base goes");
  } else if (!find_storage(quantize, &storage)) {
    code = dg_cli_usage(&cli, "--quantize %s: choose fp32, bf16 or int8", quantize);
  } else {
    dg_error err;
    dg_import_report report;
    if (!dg_import(cli.rest.items[0], output, storage, &report, &err)) {
      code = dg_cli_fail(&err);
    } else {
      code = DG_EXIT_OK;
      if (!cli.quiet)
        fprintf(stderr, "%s: %zu languages, %zu weights, %s\n", output, report.languages,
                report.weights, report.hash);
    }
  }
  dg_cli_free(&cli);
  return code;
}
