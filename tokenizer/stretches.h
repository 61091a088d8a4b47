// Text between added words. Private to tokenizer/.
#ifndef DG_TOKENIZER_STRETCHES_H
#define DG_TOKENIZER_STRETCHES_H

extern "C" {
#include "mt/core/utf8.h"
}

#include "tokenizer/loaded.h"

#include <unicode/uchar.h>

namespace spm {

// Calls word(piece, begin, end) for each word to be found in text as it is, and
// stretch(begin, end) for what lies between; a stretch that returns false ends it.
template <typename Word, typename Stretch>
bool each_stretch(const dg_tokenizer *t, std::string_view text, Word word, Stretch stretch) {
  if (t->plain.empty()) return stretch(0, text.size());
  size_t from = 0;
  for (size_t i = 0; i < text.size();) {
    auto [piece, length] = t->plain.find(text, i);
    if (!length) {
      i++;
      continue;
    }
    if (i > from && !stretch(from, i)) return false;
    word(piece, static_cast<uint32_t>(i), static_cast<uint32_t>(i + length));
    from = i += length;
  }
  return from == text.size() || stretch(from, text.size());
}

// What lies between two words of text as it is, as units, with words of normalised text in it.
class Stretch {
 public:
  Stretch(const dg_tokenizer *t, std::string_view text, size_t begin, size_t end)
      : t_(t), text_(text), begin_(begin), end_(end) {}

  bool split_up(dg_error *err) {
    if (!split(t_, text_.data() + begin_, end_ - begin_, &u_, err)) return false;
    prefix_ = has_prefix(u_);
    for (Unit &x : u_.list)
      x.begin += static_cast<uint32_t>(begin_), x.end += static_cast<uint32_t>(begin_);
    return true;
  }

  template <typename Word, typename Cut>
  bool each(Word word, Cut cut) const {
    size_t from = first(), n = u_.list.size();
    bool after = false;  // a word
    for (size_t i = from; i < n;) {
      auto [piece, to] = find_word(i);
      if (to == i) {
        i++;
        continue;
      }
      if (!between(from, i, after, cut)) return false;
      word(piece, u_.list[i].begin, u_.list[to - 1].end);
      from = i = to;
      after = true;
    }
    return between(from, n, after, cut);
  }

 private:
  // Where it begins: after a word that no space is to follow, past sentencepiece's own.
  size_t first() const {
    if (!begin_ || !(t_->how & DG_WORD_BARE)) return 0;
    if (t_->how & DG_WORD_GLUED) return prefix_;
    return !u_.list.empty() && u_.span(0, 1) == kSpace && text_[begin_] != ' ';
  }

  // tokenizer.json's rules make of several spaces what is no space to it.
  bool several(size_t i) const {
    const char *at = text_.data() + (i ? u_.list[i].begin : begin_);
    const char *stop = text_.data() + u_.list[i].end;
    int spaces = 0;
    while (at < stop) spaces += u_isUWhiteSpace(static_cast<UChar32>(dg_utf8_next(&at, stop)));
    return u_.span(i, i + 1) == kSpace && spaces > 1;
  }

  // The word that begins at unit i, and the unit after it: i if none does.
  std::pair<int32_t, size_t> find_word(size_t i) const {
    if (t_->normal.empty()) return {-1, i};
    auto [piece, length] = t_->normal.find(u_.text, u_.list[i].at);
    size_t stop = u_.list[i].at + length, to = i;
    while (to < u_.list.size() && u_.list[to].at < stop && !several(to)) to++;
    bool whole = to > i && u_.list[to - 1].at + u_.list[to - 1].size == stop;
    return {piece, whole ? to : i};
  }

  // Units [from,to), which are no word, to be cut.
  template <typename Cut>
  bool between(size_t from, size_t to, bool after, Cut cut) const {
    size_t n = u_.list.size();
    if (t_->how & DG_WORD_SPLIT)
      while (to > from && u_.span(to - 1, to) == kSpace && !several(to - 1)) to--;
    if (to == from || (prefix_ && to == 1 && to < n)) return true;
    if (!from && to == n) return cut(u_, text_.substr(begin_, end_ - begin_));
    Units part = part_of(u_, from, to);
    if (after && !(t_->how & DG_WORD_BARE) && part.span(0, 1) != kSpace) {
      for (Unit &x : part.list) x.at += kSpace.size();
      part.list.insert(part.list.begin(),
                       {0, kSpace.size(), part.list[0].begin, part.list[0].begin, false});
      part.text.insert(0, kSpace);
    }
    return cut(part, std::string_view());
  }

  const dg_tokenizer *t_;
  std::string_view text_;
  size_t begin_, end_;
  Units u_;
  bool prefix_ = false;
};

// The same of all words, with a stretch as units: cut(units, the text they are all of, if any).
template <typename Word, typename Cut>
bool each_units(const dg_tokenizer *t, std::string_view text, Word word, Cut cut, dg_error *err) {
  return each_stretch(t, text, word, [&](size_t begin, size_t end) {
    Stretch s(t, text, begin, end);
    return s.split_up(err) && s.each(word, cut);
  });
}

}  // namespace spm

#endif
