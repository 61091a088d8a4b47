// Training a tokenizer.
extern "C" {
#include "tokenizer/tokenizer.h"

#include "mt/core/file.h"
#include "mt/core/rng.h"
#include "mt/core/utf8.h"
}

#include "tokenizer/model.h"
#include "tokenizer/sentencepiece.h"

#include <sentencepiece_trainer.h>
#include <unicode/uchar.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <locale>
#include <sstream>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

using sentencepiece::SentencePieceTrainer;
using std::string_view;
using namespace spm;

extern "C" dg_tokenizer_options dg_tokenizer_defaults(void) {
  dg_tokenizer_options o = {};
  o.type = DG_TOKENIZER_UNIGRAM;
  o.vocab_size = 16000;
  o.character_coverage = 0.9995;
  o.byte_fallback = true;
  o.normalization = "nmt_nfkc";
  return o;
}

namespace {

constexpr int kPiecesMost = 1 << 22;  // what a model may have, too; billions keep it busy for hours

// Feeds the trainer from a callback. The trainer aborts on a corpus without text and
// on words beyond 65535 characters, and skips lines it finds long: so lines without
// text are left out and long ones cut.
class Sentences : public sentencepiece::SentenceIterator {
 public:
  Sentences(const dg_tokenizer_options &o, dg_sentence_source *next, void *context, dg_error *err)
      : next_(next), context_(context), err_(err) {
    if (o.max_sentences) keep(o.max_sentences);
    if (!broken()) Next();
  }
  bool done() const override { return state_ <= 0; }
  void Next() override {
    while (cut_ >= line_.size()) {
      cut_ = 0;
      if (sampled_) {
        state_ = at_ < kept_.size();
        line_ = state_ ? std::move(kept_[at_++].second) : std::string();
      } else {
        read();
      }
      if (state_ <= 0) return;
    }
    size_t end = std::min(line_.size(), cut_ + kMost);
    if (end < line_.size()) {
      size_t space = line_.rfind(' ', end);
      if (space != std::string::npos && space > cut_) end = space;
      while ((line_[end] & 0xC0) == 0x80 && end > cut_ + 1) end--;
    }
    value_ = line_.substr(cut_, end - cut_);
    cut_ = end;
  }
  const std::string &value() const override { return value_; }
  sentencepiece::util::Status status() const override { return {}; }
  bool broken() const { return state_ < 0; }

 private:
  static constexpr size_t kMost = 8192;  // bytes; NFKC makes at most 6 times as many characters

  // The next line with a letter or digit, for these outlive any normalisation, and
  // without U+2585, which the trainer keeps to itself.
  void read() {
    const char *text;
    size_t n;
    while ((state_ = next_(context_, &text, &n, err_)) > 0) {
      if (string_view(text, n).find("\xe2\x96\x85") != string_view::npos) continue;
      for (const char *p = text, *end = text + n; p < end;) {
        if (!u_isalnum(static_cast<UChar32>(dg_utf8_next(&p, end)))) continue;
        line_.assign(text, n);
        return;
      }
    }
    line_.clear();
  }

  // A uniform sample of the lines, in their order (reservoir sampling, Vitter 1985).
  void keep(size_t most) {
    dg_rng rng = {dg_hash64(most), 0};
    uint64_t seen = 0;
    for (read(); state_ > 0; read()) {
      uint64_t slot = kept_.size() < most ? kept_.size() : dg_rng_below(&rng, seen + 1);
      if (slot < most) {
        if (slot == kept_.size()) kept_.emplace_back();
        kept_[slot] = {seen, std::move(line_)};
      }
      seen++;
    }
    std::sort(kept_.begin(), kept_.end());
    sampled_ = state_ == 0;
    line_.clear();
  }

  dg_sentence_source *next_;
  void *context_;
  dg_error *err_;
  int state_ = 1;
  bool sampled_ = false;
  std::vector<std::pair<uint64_t, std::string>> kept_;
  size_t at_ = 0, cut_ = 0;
  std::string line_, value_;
};

// The list as one line of CSV, the way the trainer takes it.
std::string joined(const char *const *list, size_t n) {
  std::string s;
  for (size_t i = 0; i < n; i++) {
    s += i ? ",\"" : "\"";
    for (const char *c = list[i]; *c; c++) s.append(*c == '"' ? 2 : 1, *c);
    s += '"';
  }
  return s;
}

std::string decimal(double x) {
  std::ostringstream s;
  s.imbue(std::locale::classic());
  s.precision(9);
  s << x;
  return s.str();
}

bool check_symbols(const char *what, const char *const *list, size_t n,
                   std::vector<string_view> *seen, dg_error *err) {
  for (size_t i = 0; i < n; i++) {
    string_view s = list[i];
    if (s.empty() || s.find_first_of(" \t\r\n") != string_view::npos ||
        s.find(kSpace) != string_view::npos || dg_utf8_valid_prefix(s.data(), s.size()) != s.size())
      return dg_fail(err, DG_ERR_USAGE, "%s \"%.60s\" is empty, has a space or is not UTF-8", what,
                     list[i]);
    if (std::find(seen->begin(), seen->end(), s) != seen->end())
      return dg_fail(err, DG_ERR_USAGE, "%s \"%.60s\" is a piece already: choose another", what,
                     list[i]);
    seen->push_back(s);
  }
  return true;
}

bool train(const dg_tokenizer_options &o, dg_sentence_source *next, void *context,
           std::string *model, dg_error *err) {
  const char *what = "training the tokenizer";
  std::vector<string_view> seen = {"<pad>", "<unk>", "<s>", "</s>"};
  if (!check_symbols("the tag", o.tags, o.tag_count, &seen, err) ||
      !check_symbols("the symbol", o.user_symbols, o.user_symbol_count, &seen, err))
    return false;
  if (nests_too_deep({seen.begin() + 4 + static_cast<std::ptrdiff_t>(o.tag_count), seen.end()}))
    return dg_fail(err, DG_ERR_USAGE, "more than 64 symbols begin one another");
  size_t fixed = seen.size() + (o.byte_fallback ? 256 : 0);
  if (o.vocab_size <= 0 || static_cast<size_t>(o.vocab_size) <= fixed)
    return dg_fail(err, DG_ERR_USAGE,
                   "a vocabulary of %d is too small: special pieces, tags and bytes take %zu; ask "
                   "for more",
                   o.vocab_size, fixed);
  if (o.vocab_size > kPiecesMost)
    return dg_fail(err, DG_ERR_USAGE, "a vocabulary of %d is too large: %d is the most",
                   o.vocab_size, kPiecesMost);
  static const char *const rules[] = {"nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf", "identity"};
  if (std::none_of(std::begin(rules), std::end(rules),
                   [&](const char *rule) { return !strcmp(rule, o.normalization); }))
    return dg_fail(err, DG_ERR_USAGE,
                   "normalization \"%.60s\": choose nmt_nfkc, nfkc, nmt_nfkc_cf, nfkc_cf or identity",
                   o.normalization);
  if (!(o.character_coverage >= 0.98 && o.character_coverage <= 1))
    return dg_fail(err, DG_ERR_USAGE, "a character coverage of %g is not in 0.98..1",
                   o.character_coverage);
  Sentences sentences(o, next, context, err);
  if (sentences.broken()) return false;
  if (sentences.done())
    return dg_fail(err, DG_ERR_USAGE, "there is no text to train the tokenizer on");
  std::unordered_map<std::string, std::string> args = {
      {"model_type", o.type == DG_TOKENIZER_BPE ? "bpe" : "unigram"},
      {"vocab_size", std::to_string(o.vocab_size)},
      {"hard_vocab_limit", "false"},  // too large a wish is reported below
      {"character_coverage", decimal(o.character_coverage)},
      {"byte_fallback", o.byte_fallback ? "true" : "false"},
      {"normalization_rule_name", o.normalization},
      {"pad_id", "0"},
      {"unk_id", "1"},
      {"bos_id", "2"},
      {"eos_id", "3"},
      {"split_digits", "true"},
      {"max_sentence_length", "16384"},
      {"train_extremely_large_corpus", "true"},
      // Sums of floats depend on how sentences are dealt out: a fixed number of
      // threads gives the same model on every machine.
      {"num_threads", "8"},
      {"minloglevel", o.quiet ? "3" : "0"},
  };
  if (o.tag_count) args["control_symbols"] = joined(o.tags, o.tag_count);
  if (o.user_symbol_count)
    args["user_defined_symbols"] = joined(o.user_symbols, o.user_symbol_count);
  auto status = SentencePieceTrainer::Train(args, &sentences, model);
  if (sentences.broken()) return false;
  const std::string said = status.ToString();
  const char *small = strstr(said.c_str(), "smaller than required_chars. ");
  int wanted, needed;
  if (small && sscanf(small, "%*[^.]. %d vs %d", &wanted, &needed) == 2)
    return dg_fail(err, DG_ERR_USAGE,
                   "a vocabulary of %d is too small: special pieces, tags, bytes and the text's "
                   "characters take %d; ask for more or lower the character coverage",
                   wanted, needed);
  if (!status.ok()) return failed(err, what, status);
  return true;
}

}  // namespace

extern "C" dg_tokenizer *dg_tokenizer_train(const dg_tokenizer_options *o, dg_sentence_source *next,
                                            void *context, dg_error *err) {
  std::string model;
  if (!guarded(err, "training the tokenizer",
               [&] { return train(*o, next, context, &model, err); }))
    return nullptr;
  put_checksum(&model);
  dg_tokenizer *t = dg_tokenizer_load(model.data(), model.size(), err);
  if (t && !o->fewer && dg_tokenizer_size(t) != o->vocab_size) {
    dg_fail(
        err, DG_ERR_USAGE,
        "the text yields %d pieces at most, not %d: ask for a vocabulary of %d or train on more",
        dg_tokenizer_size(t), o->vocab_size, dg_tokenizer_size(t));
    dg_tokenizer_free(t);
    t = nullptr;
  }
  return t;
}
