/* seeds: tests/import/checkpoint/bin/pytorch_model.bin
 * tests/import/checkpoint/bin4/pytorch_model.bin
 * tests/import/checkpoint/hostile/pytorch_model.bin
 * tests/import/checkpoint/bin_shards/pytorch_model-00001-of-00002.bin */
#include <stdlib.h>

#include "mt/core/mem.h"
#include "mt/import/checkpoint.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  dg_error err;
  fuzz_file("pytorch_model.bin", data, size);
  dg_checkpoint *c = dg_checkpoint_open(fuzz_directory(), &err);
  for (size_t i = 0; c && i < dg_checkpoint_count(c); i++) {
    const dg_checkpoint_tensor *t = dg_checkpoint_at(c, i);
    if (t->count > 1 << 22) continue;
    float *x = dg_malloc((t->count + 1) * sizeof *x);
    size_t half = t->count / 2;
    if (dg_checkpoint_read(c, t, 0, half, x, &err))
      dg_checkpoint_read(c, t, half, t->count - half, x + half, &err);
    free(x);
  }
  dg_checkpoint_close(c);
  return 0;
}
