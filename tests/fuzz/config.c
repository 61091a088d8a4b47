/* seeds: tests/import/model/m2m100/config.json tests/import/model/mbart/config.json
 * tests/import/model/marian_two/config.json tests/import/model/t5_silu/config.json */
#include "mt/import/family.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  dg_error err;
  dg_family_config f;
  dg_family_config_read(fuzz_file("config.json", data, size), &f, &err);
  return 0;
}
