extern "C" {
#include "tokenizer/pieces.h"

#include "mt/core/mem.h"
}

#include "tokenizer/model.h"
#include "tokenizer/sentencepiece.h"

#include <cstring>
#include <string>
#include <vector>

using namespace spm;

extern "C" dg_piece *dg_tokenizer_list(const dg_tokenizer *t, size_t *count, dg_error *err) {
  dg_piece *list = nullptr;
  guarded(err, "listing the tokenizer's pieces", [&] {
    Model m;
    if (!read_tokenizer(t, &m, err)) return false;
    size_t bytes = m.pieces.size() * sizeof *list;
    for (const Piece &p : m.pieces) bytes += p.text.size() + 1;
    list = static_cast<dg_piece *>(dg_malloc(bytes));
    char *text = reinterpret_cast<char *>(list + m.pieces.size());
    *count = 0;
    for (const Piece &p : m.pieces) {
      list[(*count)++] = {text, p.score, static_cast<dg_piece_type>(p.type), p.word};
      memcpy(text, p.text.data(), p.text.size());
      text += p.text.size();
      *text++ = 0;
    }
    return true;
  });
  return list;
}

namespace {

dg_tokenizer *load(const std::string &model, dg_error *err) {
  return dg_tokenizer_load(model.data(), model.size(), err);
}

}  // namespace

extern "C" dg_tokenizer *dg_tokenizer_like(const dg_tokenizer *like, const dg_piece *pieces,
                                           size_t count, size_t size, dg_error *err) {
  dg_tokenizer *made = nullptr;
  guarded(err, "making a tokenizer", [&] {
    Model m;
    if (!read_tokenizer(like, &m, err)) return false;
    std::vector<Piece> list;
    for (size_t i = 0; i < count; i++)
      list.push_back({pieces[i].text, pieces[i].score, static_cast<uint8_t>(pieces[i].type),
                      static_cast<uint8_t>(pieces[i].word)});
    made = load(model_of(m, list, size), err);
    return made != nullptr;
  });
  return made;
}

extern "C" dg_tokenizer *dg_tokenizer_of_characters(const char *const *characters,
                                                    size_t count, dg_error *err) {
  dg_tokenizer *made = nullptr;
  guarded(err, "making a tokenizer", [&] {
    Model m;
    put_number(&m.trainer, 3, kChar);
    // Nothing in front, no blanks removed or escaped.
    for (uint32_t field = 3; field <= 5; field++) put_number(&m.normalizer, field, 0);
    std::vector<Piece> list = {{"<unk>", 0, kUnknown}};
    for (size_t i = 0; i < count; i++) list.push_back({characters[i]});
    made = load(model_of(m, list, list.size()), err);
    return made != nullptr;
  });
  return made;
}
