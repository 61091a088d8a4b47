/* seeds: tests/import/formats/npz_pre/model.npz */
#include <stdlib.h>

#include "mt/import/npz.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  dg_error err;
  dg_npz *z = dg_npz_open(fuzz_file("model.npz", data, size), &err);
  for (size_t i = 0; z && i < dg_npz_count(z); i++) {
    const dg_npz_array *a = dg_npz_at(z, i);
    dg_npz_read(z, a, &err);
    free(dg_npz_text(z, a, &err));
  }
  dg_npz_close(z);
  return 0;
}
