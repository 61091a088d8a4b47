/* The JSON beside a tokenizer; which file it is, the input's first bytes say.
 * seeds: tests/fuzz/seeds/vocab.json tests/fuzz/seeds/added.json tests/fuzz/seeds/special.json
 * tests/fuzz/seeds/index.json */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mt/import/import.h"
#include "tests/fuzz/fuzz.h"

#define FROM "tests/import/base/m2m100/"

static const char *const names[] = {"vocab.json", "tokenizer_config.json", "added_tokens.json",
                                    "special_tokens_map.json", "model.safetensors.index.json"};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static bool copied;
  char command[600], out[300];
  if (!copied) {
    snprintf(command, sizeof command,
             "cp " FROM "config.json " FROM "sentencepiece.bpe.model '%s' && "
             "cp " FROM "model.safetensors '%s/one.safetensors'", fuzz_directory(),
             fuzz_directory());
    if (system(command)) abort();
    copied = true;
  }
  if (!size) return 0;
  const char *name = names[data[0] % (sizeof names / sizeof *names)];
  const char *path = fuzz_file(name, data + 1, size - 1);
  snprintf(out, sizeof out, "%s/base", fuzz_directory());
  dg_error err;
  dg_import_report report;
  dg_import(fuzz_directory(), out, &(dg_import_options){0}, &report, &err);
  remove(path);
  return 0;
}
