/* A package of Argos Translate: a zip of a CTranslate2 model.
 * seeds: tests/import/formats/small.argosmodel */
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_import(fuzz_file("small.argosmodel", data, size), false);
  return 0;
}
