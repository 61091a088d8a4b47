/* seeds: tests/fuzz/seeds/data.pkl tests/fuzz/seeds/data4.pkl tests/fuzz/seeds/hostile.pkl */
#include "mt/import/pickle.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  dg_error err;
  dg_pickle p;
  dg_pickle_read(data, size, &p, &err);
  dg_pickle_free(&p);
  return 0;
}
