/* The JSON beside a tokenizer; which file it is, the input's first byte says.
 * seeds: tests/fuzz/seeds/vocab.json tests/fuzz/seeds/added.json tests/fuzz/seeds/special.json
 * tests/fuzz/seeds/index.json */
#include <stdio.h>

#include "tests/fuzz/fuzz.h"

static const char *const names[] = {"vocab.json", "tokenizer_config.json", "added_tokens.json",
                                    "special_tokens_map.json", "model.safetensors.index.json"};

/* The tokenizer has 100 pieces. */
static const char config[] =
    "{\"model_type\": \"m2m_100\", \"vocab_size\": 300, \"d_model\": 4, \"encoder_layers\": 1,"
    "\"decoder_layers\": 1, \"encoder_attention_heads\": 1, \"decoder_attention_heads\": 1,"
    "\"encoder_ffn_dim\": 4, \"decoder_ffn_dim\": 4, \"max_position_embeddings\": 8,"
    "\"eos_token_id\": 3}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static bool copied;
  if (!copied) {
    fuzz_file("config.json", (const uint8_t *)config, sizeof config - 1);
    fuzz_copy("tests/tokenizer/tiny.model", "sentencepiece.bpe.model");
    fuzz_copy("tests/import/model/m2m100/model.safetensors", "one.safetensors");
    copied = true;
  }
  if (!size) return 0;
  const char *path =
      fuzz_file(names[data[0] % (sizeof names / sizeof *names)], data + 1, size - 1);
  fuzz_import(fuzz_directory(), false);
  remove(path);
  return 0;
}
