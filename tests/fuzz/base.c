/* seeds: tests/fuzz/seeds/base.safetensors */
#include <stdlib.h>
#include <string.h>

#include "mt/core/mem.h"
#include "mt/model/base.h"
#include "tests/fuzz/fuzz.h"
#include "tests/sign.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  uint8_t *copy = memcpy(dg_malloc(size + 1), data, size);
  sign_again(copy, size); /* past the content hash */
  dg_error err;
  dg_base *b = dg_base_load(fuzz_file("base.safetensors", copy, size), &err);
  dg_base_free(b);
  free(copy);
  return 0;
}
