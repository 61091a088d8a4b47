// Pieces learned for an existing vocabulary.
extern "C" {
#include "tokenizer/extend.h"

#include "mt/core/mem.h"
}

#include "tokenizer/model.h"
#include "tokenizer/sentencepiece.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

using std::string;
using std::string_view;
using namespace spm;

namespace {

constexpr size_t kLeast = 2;  // a piece that occurs once teaches its row nothing

struct Failed {};  // the error is in *err

struct Learned {
  string text;
  float score;
};

Model model_of_tokenizer(const dg_tokenizer *t, dg_error *err) {
  Model m;
  if (!read_tokenizer(t, &m, err)) throw Failed();
  if ((m.type != kUnigram && m.type != kBpe) || m.space_after || m.added) {
    dg_fail(err, DG_ERR_UNSUPPORTED,
            "the tokenizer takes no pieces: it is neither unigram nor BPE, marks the ends of words, "
            "or was added to before");
    throw Failed();
  }
  return m;
}

float least_score(const Model &m) {
  float least = 0;
  for (const Piece &p : m.pieces)
    if (p.type == kNormal) least = std::min(least, p.score);
  return least;
}

class Tokens {
 public:
  ~Tokens() { dg_tokens_free(&tokens_); }
  const dg_tokens &cut(const dg_tokenizer *t, string_view text, dg_error *err) {
    if (!dg_tokenizer_cut(t, text.data(), text.size(), &tokens_, err)) throw Failed();
    return tokens_;
  }

 private:
  dg_tokens tokens_ = {nullptr, 0, 0};
};

// The sentences, normalised as the tokenizer does, and how often each word is in them.
struct Text {
  std::vector<string> sentences;
  std::map<string, size_t> words;
  std::set<string> characters;

  Text(const dg_tokenizer *t, dg_sentence_source *next, void *context, dg_error *err) {
    const char *text;
    size_t n;
    int state;
    while ((state = next(context, &text, &n, err)) > 0) {
      char *normal = dg_tokenizer_normalize(t, text, n, err);
      if (!normal) throw Failed();
      add(normal);
      free(normal);
    }
    if (state < 0) throw Failed();
  }

 private:
  void add(string_view text) {
    string plain;
    for (size_t at = 0; at < text.size();) {
      size_t end = text.find(kSpace, at + 1);
      if (end == string_view::npos) end = text.size();
      string_view word = text.substr(at, end - at);
      words[string(word)]++;
      bool marked = word.substr(0, kSpace.size()) == kSpace;
      if (marked) word.remove_prefix(kSpace.size());
      if (marked && !plain.empty()) plain += ' ';
      plain += word;
      at = end;
    }
    for (size_t i = 0, end; i < text.size(); i = end) {
      for (end = i + 1; end < text.size() && (text[end] & 0xC0) == 0x80;) end++;
      characters.insert(string(text.substr(i, end - i)));
    }
    sentences.push_back(std::move(plain));
  }
};

// Texts that are pieces of other kinds ("</s>"): no learned one may be the same, which would
// take their place.
std::set<string> reserved(const Model &m) {
  std::set<string> texts;
  for (const Piece &p : m.pieces)
    if (p.type != kNormal) texts.insert(string(p.text));
  return texts;
}

// --- unigram ------------------------------------------------------------------------------

int next_of(void *context, const char **text, size_t *n, dg_error *) {
  auto *left = static_cast<std::pair<const std::vector<string> *, size_t> *>(context);
  if (left->second == left->first->size()) return 0;
  const string &s = (*left->first)[left->second++];
  *text = s.data();
  *n = s.size();
  return 1;
}

dg_tokenizer *extend(const Model &m, const std::vector<Learned> &list, int32_t first,
                     dg_error *err, uint8_t type = kNormal) {
  std::vector<Piece> added;
  for (const Learned &l : list) added.push_back({l.text, l.score, type});
  string bytes = model_with(m, added, static_cast<uint64_t>(first));
  return dg_tokenizer_load(bytes.data(), bytes.size(), err);
}

// Candidates, those that save the most tokens first.
std::vector<Learned> candidates(const dg_tokenizer *t, const Model &m, const Text &text,
                                size_t most, dg_error *err) {
  dg_tokenizer_options o = dg_tokenizer_defaults();
  o.vocab_size = static_cast<int32_t>(2 * most + text.characters.size() + 500);
  o.fewer = true;
  o.byte_fallback = false;
  o.normalization = "identity";
  o.quiet = true;
  std::pair<const std::vector<string> *, size_t> left = {&text.sentences, 0};
  dg_tokenizer *own = dg_tokenizer_train(&o, next_of, &left, err);
  if (!own) throw Failed();
  Model theirs;
  const char *why;
  size_t n;
  auto bytes = static_cast<const char *>(dg_tokenizer_bytes(own, &n));
  const string copy(bytes, n);
  dg_tokenizer_free(own);
  read_model(copy, &theirs, &why);  // was loaded: it is sound
  std::unordered_map<string_view, float> known;
  for (const Piece &p : m.pieces)
    if (p.type == kNormal || p.type == kUser) known.emplace(p.text, p.score);
  double mass = 0, difference = 0;
  for (const Piece &p : theirs.pieces) {
    auto found = known.find(p.text);
    if (p.type != kNormal || found == known.end()) continue;
    double share = std::exp(static_cast<double>(p.score));
    mass += share;
    difference += share * static_cast<double>(found->second - p.score);
  }
  float shift = mass > 0 ? static_cast<float>(difference / mass) : 0, least = least_score(m);
  std::vector<std::pair<double, Learned>> ranked;
  const std::set<string> others = reserved(m);
  Tokens tokens;
  for (const Piece &p : theirs.pieces) {
    if (p.type != kNormal || known.count(p.text) || others.count(string(p.text))) continue;
    const dg_tokens &parts = tokens.cut(t, p.text, err);
    bool unknown = std::any_of(parts.items, parts.items + parts.count, [&](const dg_token &x) {
      return x.id == dg_tokenizer_unk(t);
    });
    double saved = static_cast<double>(parts.count - 1) + unknown;
    // No less than the rarest of the base's: what is unknown stays as unlikely as it was.
    ranked.push_back({-saved * std::exp(static_cast<double>(p.score)),
                      {string(p.text), std::max(p.score + shift, least)}});
  }
  std::sort(ranked.begin(), ranked.end(), [](const auto &a, const auto &b) {
    return a.first != b.first ? a.first < b.first : a.second.text < b.second.text;
  });
  std::vector<Learned> list;
  for (size_t i = 0; i < ranked.size() && i < 2 * most; i++)
    list.push_back(std::move(ranked[i].second));
  return list;
}

std::vector<Learned> learn_unigram(const dg_tokenizer *t, const Model &m, const Text &text,
                                   size_t most, dg_error *err) {
  std::vector<Learned> list = candidates(t, m, text, most, err);
  int32_t first = dg_tokenizer_size(t);
  dg_tokenizer *with = extend(m, list, first, err);
  if (!with) throw Failed();
  std::vector<size_t> uses(list.size());
  try {
    Tokens tokens;
    for (const auto &word : text.words) {
      const dg_tokens &parts = tokens.cut(with, word.first, err);
      for (size_t i = 0; i < parts.count; i++)
        if (parts.items[i].id >= first)
          uses[static_cast<size_t>(parts.items[i].id - first)] += word.second;
    }
  } catch (...) {
    dg_tokenizer_free(with);
    throw;
  }
  dg_tokenizer_free(with);
  std::vector<Learned> used;
  for (size_t i = 0; i < list.size() && used.size() < most; i++)
    if (uses[i] >= kLeast) used.push_back(std::move(list[i]));
  return used;
}

// --- BPE ------------------------------------------------------------------------------------

// Words as the pieces they are cut into now, merged on from there (Sennrich et al. 2016). A
// character that the base spells as bytes, or not at all, is a piece to gain, too.
class Merging {
 public:
  Merging(const dg_tokenizer *t, const Model &m, const Text &text, dg_error *err)
      : reserved_(reserved(m)) {
    for (const Piece &p : m.pieces)
      if (p.type == kNormal) known_.insert(string(p.text));
    Tokens tokens;
    for (const auto &word : text.words) {
      const dg_tokens &parts = tokens.cut(t, word.first, err);
      Word w = {{}, word.second};
      for (size_t i = 0; i < parts.count; i++) {
        const dg_token &p = parts.items[i];
        if (i && p.begin == parts.items[i - 1].begin) continue;  // bytes of one character
        w.parts.push_back(word.first.substr(p.begin, p.end - p.begin));
      }
      words_.push_back(std::move(w));
      count(words_.back(), 1);
    }
  }

  // The next piece, "" when none occurs often enough.
  string next() {
    for (;;) {
      const std::pair<const Key, long> *best = nullptr;
      for (const auto &c : counts_)
        if (c.second >= static_cast<long>(kLeast) && (!best || c.second > best->second)) best = &c;
      if (!best) return "";
      const Key key = best->first;
      const string piece = key.first + key.second;
      bool gained = known_.insert(piece).second;
      if (key.second.empty()) counts_.erase(key);
      else merge(key);
      if (gained) return piece;
    }
  }

 private:
  using Key = std::pair<string, string>;  // a pair, or a character and ""
  struct Word {
    std::vector<string> parts;
    size_t count;
  };

  void count(const Word &w, long sign) {
    long n = sign * static_cast<long>(w.count);
    for (size_t i = 0; i < w.parts.size(); i++) {
      if (i + 1 < w.parts.size()) change({w.parts[i], w.parts[i + 1]}, n);
      if (!known_.count(w.parts[i])) change({w.parts[i], ""}, n);
    }
  }

  void change(const Key &key, long n) {
    if (reserved_.count(key.first + key.second)) return;
    if (!(counts_[key] += n)) counts_.erase(key);
  }

  void merge(const Key &key) {
    for (Word &w : words_) {
      size_t at = 0;
      while (at + 1 < w.parts.size() &&
             (w.parts[at] != key.first || w.parts[at + 1] != key.second)) at++;
      if (at + 1 >= w.parts.size()) continue;
      count(w, -1);
      for (size_t i = 0; i + 1 < w.parts.size(); i++)
        if (w.parts[i] == key.first && w.parts[i + 1] == key.second) {
          w.parts[i] += w.parts[i + 1];
          w.parts.erase(w.parts.begin() + static_cast<std::ptrdiff_t>(i + 1));
        }
      count(w, 1);
    }
  }

  std::vector<Word> words_;
  std::map<Key, long> counts_;
  std::set<string> known_;
  const std::set<string> reserved_;
};

std::vector<Learned> learn_bpe(const dg_tokenizer *t, const Model &m, const Text &text, size_t most,
                               dg_error *err) {
  Merging merging(t, m, text, err);
  std::vector<Learned> list;
  float score = least_score(m);
  for (string piece; list.size() < most && !(piece = merging.next()).empty();)
    list.push_back({std::move(piece), score -= 1});
  return list;
}

// Runs f, which may throw Failed.
template <typename F>
bool adding(dg_error *err, F f) {
  return guarded(err, "adding pieces to the tokenizer", [&] {
    try {
      f();
      return true;
    } catch (const Failed &) {
      return false;
    }
  });
}

}  // namespace

extern "C" bool dg_piece_list_learn(const dg_tokenizer *t, size_t most, dg_sentence_source *next,
                                void *context, dg_piece_list *out, dg_error *err) {
  *out = {0, nullptr, nullptr};
  return adding(err, [&] {
    Model m = model_of_tokenizer(t, err);
    Text text(t, next, context, err);
    std::vector<Learned> list = m.type == kBpe ? learn_bpe(t, m, text, most, err)
                                               : learn_unigram(t, m, text, most, err);
    out->texts = static_cast<char **>(dg_calloc(list.size() + 1, sizeof *out->texts));
    out->scores = static_cast<float *>(dg_calloc(list.size() + 1, sizeof *out->scores));
    for (const Learned &l : list) {
      out->texts[out->count] = dg_strdup(l.text.c_str());
      out->scores[out->count++] = l.score;
    }
  });
}

extern "C" dg_tokenizer *dg_tokenizer_extend(const dg_tokenizer *t, const dg_piece_list *p,
                                             int32_t first, dg_error *err) {
  dg_tokenizer *with = nullptr;
  adding(err, [&] {
    Model m = model_of_tokenizer(t, err);
    std::vector<Learned> list;
    const std::set<string> others = reserved(m);
    for (size_t i = 0; i < p->count; i++) {
      if (others.count(p->texts[i])) {
        dg_fail(err, DG_ERR_FORMAT, "\"%.60s\" cannot be added: it is a piece of another kind",
                p->texts[i]);
        throw Failed();
      }
      list.push_back({p->texts[i], p->scores[i]});
    }
    with = extend(m, list, first, err);
  });
  return with;
}

extern "C" dg_tokenizer *dg_tokenizer_with_tags(const dg_tokenizer *t, const char *const *tags,
                                                size_t count, int32_t first, dg_error *err) {
  dg_tokenizer *with = nullptr;
  adding(err, [&] {
    Model m = model_of_tokenizer(t, err);
    std::vector<Learned> list;
    for (size_t i = 0; i < count; i++) list.push_back({tags[i], 0});
    with = extend(m, list, first, err, kControl);
  });
  return with;
}

extern "C" void dg_piece_list_free(dg_piece_list *p) {
  for (size_t i = 0; i < p->count; i++) free(p->texts[i]);
  free(p->texts);
  free(p->scores);
  *p = {0, nullptr, nullptr};
}
