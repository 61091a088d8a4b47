/* seeds: tests/import/checkpoint/safetensors/model.safetensors
 * tests/import/model/t5/model.safetensors */
#include "mt/core/safetensors.h"
#include "tests/fuzz/fuzz.h"

static volatile uint8_t sink;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  dg_error err;
  dg_safetensors *s = dg_safetensors_open(fuzz_file("model.safetensors", data, size), true, &err);
  for (size_t i = 0; s && i < dg_safetensors_count(s); i++) {
    const dg_st_tensor *t = dg_safetensors_at(s, i);
    for (size_t k = 0; k < t->bytes; k++) sink = ((const uint8_t *)t->data)[k];
  }
  dg_safetensors_close(s);
  return 0;
}
