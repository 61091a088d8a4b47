/* A sentencepiece model, or a tokenizer.json: that begins with a brace.
 * seeds: tests/import/base/nllb_fast/tokenizer.json tests/import/base/mbart_fast/tokenizer.json
 * tests/tokenizer/tiny.model tests/tokenizer/unigram.model tests/tokenizer/bpe.model */
#include <stdlib.h>
#include <string.h>

#include "mt/core/mem.h"
#include "mt/import/pieces.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char text[] =
      "The file \xC3\xA9\xE4\xB8\xAD could not be opened \xF0\x9F\x98\x80 %s";
  dg_error err;
  bool json = size && data[0] == '{';
  const char *path = fuzz_file("model", data, size);
  dg_tokenizer *t = json ? dg_tokenizer_load_hf(path, &err) : dg_tokenizer_load(data, size, &err);
  if (!t) return 0;
  dg_tokens tokens = {0};
  int32_t ids[256];
  if (dg_tokenizer_encode(t, text, sizeof text - 1, &tokens, &err) && tokens.count < 256) {
    for (size_t i = 0; i < tokens.count; i++) ids[i] = tokens.items[i].id;
    free(dg_tokenizer_decode(t, ids, tokens.count, &err));
  }
  bool *keep = dg_calloc((size_t)dg_tokenizer_size(t) + 1, sizeof *keep);
  for (size_t i = 0; i < tokens.count; i++) keep[tokens.items[i].id] = true;
  dg_tokenizer_free(dg_tokenizer_trim(t, keep, &err));
  dg_pieces_free(dg_pieces_of(dg_tokenizer_load_file(path, &err), &err));
  free(keep);
  dg_tokens_free(&tokens);
  dg_tokenizer_free(t);
  return 0;
}
