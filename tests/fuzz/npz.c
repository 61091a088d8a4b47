/* Marian's .npz: the zip as it is, or, since a zip's checksums turn mutations away, the
 * settings or the first array in one that is otherwise sound.
 * seeds: tests/fuzz/seeds/small.npz tests/fuzz/seeds/model.yml tests/fuzz/seeds/array.npy */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>

#include "mt/core/file.h"
#include "mt/core/mem.h"
#include "tests/fuzz/fuzz.h"

/* An array of bytes as numpy saves it. */
static uint8_t *settings_array(const uint8_t *text, size_t n, size_t *size) {
  char *header = dg_format("{'descr': '|i1', 'fortran_order': False, 'shape': (%zu,), }\n", n);
  size_t h = strlen(header);
  uint8_t *bytes = dg_malloc(10 + h + n + 1);
  memcpy(bytes, "\x93NUMPY\1\0", 8);
  bytes[8] = (uint8_t)h, bytes[9] = (uint8_t)(h >> 8);
  memcpy(bytes + 10, header, h);
  memcpy(bytes + 10 + h, text, n);
  free(header);
  *size = 10 + h + n;
  return bytes;
}

static void replace(const char *path, const char *entry, const void *bytes, size_t n) {
  zip_t *z = zip_open(path, 0, NULL);
  zip_source_t *s = z ? zip_source_buffer(z, bytes, n, 0) : NULL;
  if (!s || zip_file_add(z, entry, s, ZIP_FL_OVERWRITE) < 0 || zip_close(z)) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static dg_mapping sound;
  if (!sound.data) {
    if (!dg_map("tests/fuzz/seeds/small.npz", &sound, NULL)) abort();
    fuzz_copy("tests/fuzz/seeds/small.vocab.spm", "vocab.spm");
  }
  bool zip = size > 1 && !memcmp(data, "PK", 2), array = size && data[0] == 0x93;
  const char *path = fuzz_file("model.npz", zip ? data : sound.data, zip ? size : sound.size);
  if (array) {
    replace(path, "Wemb.npy", data, size);
  } else if (!zip) {
    size_t n;
    uint8_t *bytes = settings_array(data, size, &n);
    replace(path, "special:model.yml.npy", bytes, n);
    free(bytes);
  }
  fuzz_import(path, true);
  return 0;
}
