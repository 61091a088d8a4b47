// A tokenizer without some of its pieces.
extern "C" {
#include "tokenizer/tokenizer.h"
}

#include "tokenizer/model.h"
#include "tokenizer/sentencepiece.h"

#include <unordered_map>

using std::string_view;
using namespace spm;

namespace {

// What byte-pair merging makes of a piece's own text on the way to the piece. In any text
// the merges inside a piece are these: nothing was merged over its ends, or it would not
// be a piece of the result.
class Merges {
 public:
  explicit Merges(const Model &m) : m_(m) {
    for (size_t i = 0; i < m.pieces.size(); i++)
      if (m.pieces[i].type == kNormal) ids_.emplace(m.pieces[i].text, i);
  }

  void close(size_t piece, std::vector<bool> *kept) const {
    string_view text = m_.pieces[piece].text;
    std::vector<size_t> cuts;
    for (size_t i = 0; i <= text.size(); i++)
      if (i == text.size() || (text[i] & 0xC0) != 0x80) cuts.push_back(i);
    for (size_t k = 0; k + 1 < cuts.size(); k++)
      keep(text.substr(cuts[k], cuts[k + 1] - cuts[k]), kept);
    while (cuts.size() > 2) {
      size_t best = 0;
      float score = 0;
      for (size_t k = 1; k + 1 < cuts.size(); k++) {
        auto found = ids_.find(text.substr(cuts[k - 1], cuts[k + 1] - cuts[k - 1]));
        if (found == ids_.end()) continue;
        float s = m_.pieces[found->second].score;
        if (!best || s > score) best = k, score = s;
      }
      if (!best) return;
      keep(text.substr(cuts[best - 1], cuts[best + 1] - cuts[best - 1]), kept);
      cuts.erase(cuts.begin() + static_cast<std::ptrdiff_t>(best));
    }
  }

 private:
  void keep(string_view text, std::vector<bool> *kept) const {
    auto found = ids_.find(text);
    if (found != ids_.end()) (*kept)[found->second] = true;
  }

  const Model &m_;
  std::unordered_map<string_view, size_t> ids_;
};

std::string trimmed(const Model &m, bool *keep) {
  std::vector<bool> kept(m.pieces.size(), true);  // those without an id stay
  for (size_t i = 0; i < m.size; i++)
    kept[i] = keep[i] || m.pieces[i].type == kUnknown || m.pieces[i].type == kByte ||
              m.pieces[i].type == kUser || m.pieces[i].word;
  if (m.type == kBpe) {
    Merges merges(m);
    const std::vector<bool> wanted = kept;
    for (size_t i = 0; i < m.pieces.size(); i++)
      if (wanted[i] && m.pieces[i].type == kNormal) merges.close(i, &kept);
  }
  std::vector<Piece> pieces;
  uint64_t size = 0;
  for (size_t i = 0; i < m.pieces.size(); i++) {
    if (i < m.size) keep[i] = kept[i], size += kept[i];
    if (kept[i]) pieces.push_back(m.pieces[i]);
  }
  return model_of(m, pieces, size);
}

}  // namespace

extern "C" dg_tokenizer *dg_tokenizer_trim(const dg_tokenizer *t, bool *keep, dg_error *err) {
  dg_tokenizer *less = nullptr;
  guarded(err, "trimming the tokenizer", [&] {
    Model m;
    if (!read_tokenizer(t, &m, err)) return false;
    std::string model = trimmed(m, keep);
    less = dg_tokenizer_load(model.data(), model.size(), err);
    return less != nullptr;
  });
  return less;
}
