// Added words, which are looked for in text before it is segmented. Private to tokenizer/.
#ifndef DG_TOKENIZER_WORDS_H
#define DG_TOKENIZER_WORDS_H

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace spm {

class Words {
 public:
  bool empty() const { return pieces_.empty(); }

  void add(const std::string &text, int32_t piece) {
    if (text.empty() || !pieces_.emplace(text, piece).second) return;
    std::vector<size_t> &l = lengths_[static_cast<unsigned char>(text[0])];
    auto at = std::lower_bound(l.begin(), l.end(), text.size(), std::greater<>());
    if (at == l.end() || *at != text.size()) l.insert(at, text.size());
  }

  // The piece and length of the longest that begins at text[at]; length 0: none does.
  std::pair<int32_t, size_t> find(std::string_view text, size_t at) const {
    for (size_t n : lengths_[static_cast<unsigned char>(text[at])]) {
      auto found = n > text.size() - at ? pieces_.end() : pieces_.find(text.substr(at, n));
      if (found != pieces_.end()) return {found->second, n};
    }
    return {-1, 0};
  }

 private:
  std::map<std::string, int32_t, std::less<>> pieces_;
  std::vector<size_t> lengths_[256];  // by the first byte, longest first
};

}  // namespace spm

#endif
