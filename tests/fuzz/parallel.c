/* seeds: data/demo/en-gl.tsv tests/fuzz/seeds/pairs.tsv.gz */
#include <string.h>

#include "data/parallel.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  dg_error err;
  dg_parallel_text p = {0};
  size_t sum = 0;
  if (dg_parallel_read(&p, fuzz_file("pairs.tsv", data, size), &err))
    for (size_t i = 0; i < p.count; i++)
      sum += strlen(p.pairs[i].source) + strlen(p.pairs[i].target);
  dg_parallel_free(&p);
  return sum > SIZE_MAX / 2;
}
