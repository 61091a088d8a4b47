#include <stdio.h>
#include <string.h>

#include "mt/cli/cli.h"
#include "mt/kernels/isa.h"
#include "mt/train/ranks.h"

static const struct {
  const char *name, *summary;
  dg_command_fn *run;
} commands[] = {
    {"translate", "translate text, a line a segment", dg_cmd_translate},
    {"train", "train an adapter for a language pair on a frozen base", dg_cmd_train},
    {"pretrain", "train a multilingual base from a recipe", dg_cmd_pretrain},
    {"eval", "score translations: BLEU, chrF, TER", dg_cmd_eval},
    {"tokenizer", "train a tokenizer, encode, decode", dg_cmd_tokenizer},
    {"data", "harvest, clean, split and describe parallel text", dg_cmd_data},
    {"merge", "average adapters", dg_cmd_merge},
    {"import", "make a base of a public checkpoint, or an adapter of PEFT's or AdapterHub's",
     dg_cmd_import},
    {"export", "write an adapter for PEFT or AdapterHub", dg_cmd_export},
    {"info", "say what a base, adapter, checkpoint or tokenizer is", dg_cmd_info},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static void print_commands(FILE *out) {
  fputs("usage: dragoman COMMAND ...\n\n"
        "Machine translation for languages with little text: a frozen multilingual base and\n"
        "small adapters, each trained on a few thousand sentences.\n\n",
        out);
  for (int i = 0; i < COMMANDS; i++)
    fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
  fputs("\n`dragoman COMMAND --help` explains each, with examples. Exit status: 0 done, 1 failed,\n"
        "2 wrong usage, 130 interrupted (the same train or pretrain goes on).\n",
        out);
}

/* What could not be written was not done. */
static int finish(int code) {
  if ((!fflush(stdout) && !ferror(stdout)) || code != DG_EXIT_OK) return code;
  perror("dragoman: standard output");
  return DG_EXIT_FAILURE;
}

int main(int argc, char **argv) {
  dg_error err;
  if (argc < 2) {
    print_commands(stderr);
    return DG_EXIT_USAGE;
  }
  if (!strcmp(argv[1], "--version")) {
    printf("dragoman " DRAGOMAN_VERSION "%s\n", dg_ranks_possible() ? " with MPI" : "");
    return finish(DG_EXIT_OK);
  }
  if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
    print_commands(stdout);
    return finish(DG_EXIT_OK);
  }
  if (!dg_isa_check(&err)) return dg_cli_fail(&err);
  for (int i = 0; i < COMMANDS; i++)
    if (!strcmp(argv[1], commands[i].name)) return finish(commands[i].run(argc - 2, argv + 2));
  dg_cli_say(NULL, "dragoman: there is no command \"%s\"; `dragoman --help` lists them\n", argv[1]);
  return DG_EXIT_USAGE;
}
