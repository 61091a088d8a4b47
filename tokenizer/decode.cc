extern "C" {
#include "mt/core/mem.h"
}

#include "tokenizer/loaded.h"

#include <string>
#include <vector>

using std::string_view;
using namespace spm;

namespace {

// Text from pieces: sentencepiece's of each run of them, words between.
struct Decoding {
  explicit Decoding(const dg_tokenizer *tokenizer) : t(tokenizer) {}

  bool add(int32_t piece, dg_error *err) {
    auto at = static_cast<size_t>(piece);
    uint8_t word = t->words[at];
    if (word ? word & DG_WORD_SILENT : t->types[at] == kControl) return true;
    if (!word) {
      run.push_back(piece);
      return true;
    }
    if (!flush(err)) return false;
    join(t->sp.IdToPiece(piece), !(t->how & DG_WORD_GLUED));
    return true;
  }

  bool flush(dg_error *err) {
    std::string part;
    auto status = t->sp.Decode(run, &part);
    if (!status.ok()) return failed(err, "detokenizing", status);
    bool glued = t->how & DG_WORD_GLUED;
    bool space = glued && !run.empty() && !t->sp.IdToPiece(run[0]).compare(0, 3, kSpace);
    run.clear();
    if (t->how && !glued) {
      part.erase(part.find_last_not_of(' ') + 1);
      part.erase(0, part.find_first_not_of(' '));
      if (part.empty()) return true;
    }
    join(part, glued ? space : true);
    return true;
  }

  std::string text;

 private:
  void join(const std::string &part, bool space) {
    if (space && !text.empty()) text += ' ';
    if (t->how & DG_WORD_TIDY && !text.empty() && text.back() == ' ')
      for (string_view mark : {".", "?", "!", ",", "n't", "'m", "'s", "'ve", "'re"})
        if (!part.compare(0, mark.size(), mark)) {
          text.pop_back();
          break;
        }
    text += part;
  }

  const dg_tokenizer *t;
  std::vector<int> run;
};

}  // namespace

extern "C" char *dg_tokenizer_decode(const dg_tokenizer *t, const int32_t *ids, size_t n,
                                     dg_error *err) {
  char *text = nullptr;
  guarded(err, "detokenizing", [&] {
    Decoding d(t);
    for (size_t i = 0; i < n; i++) {
      int32_t piece = inside(t, ids[i]);
      if (piece < 0)
        return dg_fail(err, DG_ERR_USAGE, "detokenizing: there is no piece %d, only 0 to %d",
                       ids[i], dg_tokenizer_size(t) - 1);
      if (!d.add(piece, err)) return false;
    }
    if (!d.flush(err)) return false;
    text = dg_strndup(d.text.data(), d.text.size());
    return true;
  });
  return text;
}
