/* model.bin of a CTranslate2 directory, and the weights of the base it becomes.
 * seeds: tests/import/formats/ct2_small/model.bin tests/import/formats/ct2_small/model-2.bin */
#include "tests/fuzz/fuzz.h"

#define FROM "tests/import/formats/ct2_small/"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static bool copied;
  if (!copied) {
    fuzz_copy(FROM "config.json", "config.json");
    fuzz_copy(FROM "shared_vocabulary.json", "shared_vocabulary.json");
    fuzz_copy(FROM "sentencepiece.model", "sentencepiece.model");
    copied = true;
  }
  fuzz_file("model.bin", data, size);
  fuzz_import(fuzz_directory(), true);
  return 0;
}
