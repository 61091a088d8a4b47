/* seeds: tests/fuzz/seeds/two.mo */
#include <string.h>

#include "data/mo.h"
#include "tests/fuzz/fuzz.h"

static void visit(void *context, const dg_mo_message *m) {
  size_t *sum = context;
  *sum += strlen(m->id) + (m->plural ? strlen(m->plural) : 0);
  for (size_t i = 0; i < m->form_count; i++) *sum += strlen(m->forms[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  dg_error err;
  size_t sum = 0;
  dg_mo_read(data, size, visit, &sum, &err);
  return 0;
}
