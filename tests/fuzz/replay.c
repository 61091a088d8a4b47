/* Runs a target over files, without libFuzzer. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"

int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    FILE *f = fopen(argv[i], "rb");
    if (!f || fseek(f, 0, SEEK_END)) return 1;
    size_t n = (size_t)ftell(f);
    uint8_t *bytes = malloc(n + 1);
    rewind(f);
    if (!bytes || fread(bytes, 1, n, f) != n) return 1;
    fclose(f);
    /* As it is, cut off, and with bits turned: the seeds themselves are mostly sound. */
    LLVMFuzzerTestOneInput(bytes, n);
    LLVMFuzzerTestOneInput(bytes, n / 2);
    for (size_t k = 0; n && k < 8; k++) {
      size_t at = (size_t)((k * 2654435761u + 977 * (size_t)i) % (n < 4096 ? n : 4096));
      bytes[at] ^= (uint8_t)(1u << k);
      LLVMFuzzerTestOneInput(bytes, n);
    }
    free(bytes);
  }
  return 0;
}
