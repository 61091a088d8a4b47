/* seeds: tests/import/formats/ct2_opennmt/model.bin
 * tests/import/formats/ct2_marian_tags/model.bin */
#include "mt/import/ctranslate2.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  dg_error err;
  dg_ct2 *m = dg_ct2_open(data, size, &err);
  if (m) {
    static const char *const names[] = {"decoder/embeddings/weight", "decoder/projection/weight",
                                        "encoder/layer_0/ffn/linear_0/weight"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
      const dg_ct2_variable *v = dg_ct2_find(m, names[i]);
      float row[4096];
      if (v && v->dims == 2 && v->shape[0] && v->shape[1] <= 4096)
        dg_ct2_rows(m, v, v->shape[0] - 1, 1, row, &err);
    }
    dg_ct2_number(m, "encoder/num_heads", 8);
  }
  dg_ct2_close(m);
  return 0;
}
