/* Fluent, properties and DTD; which it is, the first byte says.
 * seeds: tests/fuzz/seeds/fluent.ftl tests/fuzz/seeds/properties tests/fuzz/seeds/dtd */
#include <string.h>

#include "data/messages.h"
#include "tests/fuzz/fuzz.h"

static void visit(void *context, const char *id, const char *text) {
  *(size_t *)context += strlen(id) + strlen(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static void (*const readers[])(const char *, size_t, dg_message_visit *, void *) = {
      dg_fluent_read, dg_properties_read, dg_dtd_read};
  size_t sum = 0;
  if (size) readers[data[0] % 3]((const char *)data + 1, size - 1, visit, &sum);
  return 0;
}
