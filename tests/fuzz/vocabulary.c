/* Vocabularies of other projects: JSON, YAML or lines, by the first byte.
 * seeds: tests/import/formats/npz/opus.vocab.yml tests/import/formats/marian_tags/vocab.json */
#include "mt/import/vocabulary.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char *const names[] = {"vocab.json", "vocab.yml", "vocab.txt"};
  dg_error err;
  dg_vocabulary v;
  if (!size) return 0;
  if (dg_vocabulary_read(names[data[0] % 3], data + 1, size - 1, &v, &err)) dg_vocabulary_free(&v);
  return 0;
}
