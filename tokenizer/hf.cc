// The tokenizer.json of Hugging Face's tokenizers as a sentencepiece model, where it can be
// one (github.com/huggingface/tokenizers; transformers' convert_slow_tokenizer.py makes
// them from sentencepiece models).
extern "C" {
#include "tokenizer/tokenizer.h"
}

#include "tokenizer/model.h"
#include "tokenizer/sentencepiece.h"

#include <jansson.h>

#include <cstring>
#include <deque>
#include <exception>
#include <memory>
#include <unordered_map>

using std::string_view;
using namespace spm;

namespace {

constexpr size_t kMost = 1 << 22;       // ids
constexpr size_t kTokenMost = 1 << 16;  // bytes: where it is cut is tried at each

string_view text_of(const json_t *j, const char *key) {
  const char *s = json_string_value(json_object_get(j, key));
  return s ? string_view(s) : string_view();
}

bool is_true(const json_t *j, const char *key) { return json_is_true(json_object_get(j, key)); }

bool decode_base64(string_view in, std::string *out) {
  uint32_t bits = 0, count = 0;
  for (char c : in) {
    uint32_t v = c >= 'A' && c <= 'Z'   ? static_cast<uint32_t>(c - 'A')
                 : c >= 'a' && c <= 'z' ? static_cast<uint32_t>(c - 'a') + 26
                 : c >= '0' && c <= '9' ? static_cast<uint32_t>(c - '0') + 52
                 : c == '+'             ? 62u
                 : c == '/'             ? 63u
                                        : 64u;
    if (c == '=') break;
    if (v > 63) return false;
    static constexpr unsigned shift[] = {0, 0, 4, 2};  // after 4, -, 2 and 3 characters
    bits = bits << 6 | v;
    if (++count % 4 != 1) *out += static_cast<char>(bits >> shift[count % 4] & 0xFF);
  }
  return true;
}

// Reads the file's parts into a Model; the first that sentencepiece cannot do is the error.
class Reader {
 public:
  Reader(const json_t *root, dg_error *err) : root_(root), err_(err) {}

  bool read() {
    const json_t *model = json_object_get(root_, "model");
    string_view type = text_of(model, "type");
    bool bpe = type == "BPE" || (type.empty() && json_is_array(json_object_get(model, "merges")));
    if (!bpe && type != "Unigram" && !(type.empty() && json_object_get(model, "unk_id")))
      return refuse("model", type);
    m_.type = bpe ? kBpe : kUnigram;
    m_.byte_fallback = is_true(model, "byte_fallback");
    if (!(bpe ? read_bpe(model) : read_unigram(model)) || !read_added()) return false;
    if (!read_normalizer(json_object_get(root_, "normalizer")) ||
        !read_pre_tokenizer(json_object_get(root_, "pre_tokenizer")))
      return false;
    return finish();
  }

  std::string bytes() const {
    return model_of(m_, m_.pieces, m_.pieces.size());
  }

 private:
  bool damaged(const char *what) {
    return dg_fail(err_, DG_ERR_FORMAT, "%s", what);
  }

  bool refuse(const char *part, string_view type) {
    return dg_fail(err_, DG_ERR_UNSUPPORTED,
                   "its %s \"%.*s\" is nothing that a sentencepiece model can do", part,
                   static_cast<int>(type.size() < 60 ? type.size() : 60), type.data());
  }

  bool put(size_t id, string_view text, float score, uint8_t type) {
    if (id >= kMost || text.empty()) return damaged("a token's id is out of range");
    if (text.size() > kTokenMost) return damaged("a token is too long");
    if (id >= m_.pieces.size()) m_.pieces.resize(id + 1);
    texts_.emplace_back(text);
    m_.pieces[id] = {texts_.back(), score, type};
    return true;
  }

  uint8_t type_of(string_view text) const {
    bool byte = m_.byte_fallback && text.size() == 6 && text.substr(0, 3) == "<0x";
    return byte ? kByte : kNormal;
  }

  bool read_unigram(const json_t *model) {
    const json_t *vocab = json_object_get(model, "vocab");
    json_int_t unk = json_integer_value(json_object_get(model, "unk_id"));
    for (size_t i = 0; i < json_array_size(vocab); i++) {
      const json_t *pair = json_array_get(vocab, i);
      const char *text = json_string_value(json_array_get(pair, 0));
      if (!text || !json_is_number(json_array_get(pair, 1)))
        return damaged("its vocabulary is no list of pieces with scores");
      auto score = static_cast<float>(json_number_value(json_array_get(pair, 1)));
      bool unknown = static_cast<json_int_t>(i) == unk;
      if (!put(i, text, score, unknown ? static_cast<uint8_t>(kUnknown) : type_of(text)))
        return false;
    }
    return true;
  }

  bool read_bpe(const json_t *model) {
    if (json_is_number(json_object_get(model, "dropout")))
      return refuse("model's setting", "dropout");
    for (const char *key : {"continuing_subword_prefix", "end_of_word_suffix"})
      if (!text_of(model, key).empty()) return refuse("model's setting", key);
    if (is_true(model, "ignore_merges")) return refuse("model's setting", "ignore_merges");
    // sentencepiece makes one token of a run of what it does not know.
    if (!is_true(model, "fuse_unk") && !is_true(model, "byte_fallback"))
      return refuse("model's setting", "fuse_unk");
    string_view unk = text_of(model, "unk_token");
    const char *text;
    json_t *value;
    json_object_foreach(json_object_get(model, "vocab"), text, value) {
      json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
      if (id < 0 || !put(static_cast<size_t>(id), text, 0, text == unk
                             ? static_cast<uint8_t>(kUnknown) : type_of(text)))
        return damaged("a token's id is out of range");
    }
    return read_merges(json_object_get(model, "merges"));
  }

  // sentencepiece merges what makes the piece of the best score, whatever its two parts. So
  // the merges that make one piece must stand together, and be all there are.
  bool read_merges(const json_t *merges) {
    std::unordered_map<string_view, size_t> ids;
    for (size_t i = 0; i < m_.pieces.size(); i++)
      if (m_.pieces[i].type == kNormal && !m_.pieces[i].text.empty())
        ids.emplace(m_.pieces[i].text, i);
    std::vector<uint32_t> made(m_.pieces.size());
    size_t current = SIZE_MAX;
    float rank = 0;
    for (size_t i = 0; i < json_array_size(merges); i++) {
      std::string joined;
      if (!join(json_array_get(merges, i), &joined)) return damaged("a merge is not of two pieces");
      auto found = ids.find(joined);
      if (found == ids.end()) return damaged("a merge makes what is no piece");
      size_t id = found->second;
      if (id != current) {
        if (made[id]) return refuse("order of merges that make", joined);
        current = id;
        m_.pieces[id].score = --rank;
      }
      made[id]++;
    }
    bool first = false;
    for (const auto &[text, id] : ids) {
      uint32_t ways = 0;
      for (size_t cut = 1; cut < text.size(); cut++)
        if ((text[cut] & 0xC0) != 0x80)
          ways += ids.count(text.substr(0, cut)) && ids.count(text.substr(cut));
      if (!made[id] && ways && !first) {
        // The piece of score 0, sentencepiece's first: transformers long left out its merge.
        first = true;
        continue;
      }
      if (ways != made[id]) return refuse("list of merges that make", text);
      if (!made[id]) m_.pieces[id].score = rank - 1;
    }
    return true;
  }

  static bool join(const json_t *merge, std::string *out) { // "a b" or ["a", "b"]
    if (const char *text = json_string_value(merge)) {
      const char *space = strchr(text, ' ');
      if (!space) return false;
      *out = std::string(text, space) + (space + 1);
      return true;
    }
    const char *a = json_string_value(json_array_get(merge, 0));
    const char *b = json_string_value(json_array_get(merge, 1));
    if (!a || !b) return false;
    *out = std::string(a) + b;
    return true;
  }

  bool read_added() {
    const json_t *list = json_object_get(root_, "added_tokens");
    for (size_t i = 0; i < json_array_size(list); i++) {
      const json_t *token = json_array_get(list, i), *id = json_object_get(token, "id");
      if (!json_is_integer(id) || json_integer_value(id) < 0)
        return damaged("an added token has no id");
      auto at = static_cast<size_t>(json_integer_value(id));
      if (at < m_.pieces.size() && m_.pieces[at].type == kUnknown) continue;
      if (!put(at, text_of(token, "content"), 0, is_true(token, "special") ? kControl : kUser))
        return false;
    }
    return true;
  }

  bool read_normalizer(const json_t *n) {
    string_view type = text_of(n, "type");
    const json_t *pattern = json_object_get(n, "pattern");
    if (!n || json_is_null(n) || type == "Strip") {
      if (type == "Strip") squeeze_ = true;
    } else if (type == "Sequence") {
      const json_t *list = json_object_get(n, "normalizers");
      for (size_t i = 0; i < json_array_size(list); i++)
        if (!read_normalizer(json_array_get(list, i))) return false;
    } else if (type == "Precompiled") {
      if (!rules_.empty() || !decode_base64(text_of(n, "precompiled_charsmap"), &rules_))
        return damaged("its precompiled_charsmap is damaged");
    } else if (type == "Replace" && text_of(pattern, "Regex") == " {2,}") {
      squeeze_ = true;
    } else if (type == "Replace" && text_of(pattern, "String") == " " &&
               text_of(n, "content") == kSpace) {
      escaped_ = true;
    } else if (type == "Prepend" && text_of(n, "prepend") == kSpace) {
      prefix_ = true;
    } else {
      return refuse("normalizer", type);
    }
    return true;
  }

  bool read_pre_tokenizer(const json_t *p) {
    string_view type = text_of(p, "type");
    if (!p || json_is_null(p)) return escaped_ || refuse("lack of a", "pre_tokenizer");
    if (type == "Sequence") {
      const json_t *list = json_object_get(p, "pretokenizers");
      for (size_t i = 0; i < json_array_size(list); i++)
        if (!read_pre_tokenizer(json_array_get(list, i))) return false;
      return true;
    }
    if (type == "WhitespaceSplit") {
      squeeze_ = true;
      return true;
    }
    if (type != "Metaspace" || text_of(p, "replacement") != kSpace)
      return refuse("pre_tokenizer", type);
    string_view scheme = text_of(p, "prepend_scheme");
    prefix_ = scheme.empty() ? !json_is_false(json_object_get(p, "add_prefix_space"))
                             : scheme != "never";
    return true;
  }

  bool finish() {
    size_t gaps = 0;
    for (const Piece &p : m_.pieces) gaps += p.text.empty();
    if (gaps > m_.pieces.size() / 2 + 1024) return damaged("most of its token ids are no tokens");
    for (size_t i = 0; i < m_.pieces.size(); i++) {
      if (!m_.pieces[i].text.empty()) continue;
      texts_.push_back("<filler-" + std::to_string(i) + ">");
      m_.pieces[i] = {texts_.back(), 0, kControl};
    }
    m_.size = m_.pieces.size();
    put_number(&m_.trainer, 3, static_cast<uint64_t>(m_.type));
    put_number(&m_.trainer, 35, m_.byte_fallback);
    if (!rules_.empty()) put_bytes(&m_.normalizer, 2, rules_);
    put_number(&m_.normalizer, 3, prefix_);
    put_number(&m_.normalizer, 4, squeeze_);
    put_number(&m_.normalizer, 5, 1);
    return true;
  }

  const json_t *root_;
  dg_error *err_;
  Model m_;
  std::deque<std::string> texts_;
  std::string rules_;
  bool squeeze_ = false, prefix_ = false, escaped_ = false;
};

}  // namespace

extern "C" dg_tokenizer *dg_tokenizer_load_hf(const char *path, dg_error *err) {
  json_error_t where;
  std::unique_ptr<json_t, void (*)(json_t *)> root(
      json_load_file(path, JSON_REJECT_DUPLICATES, &where), json_decref);
  dg_tokenizer *t = nullptr;
  if (!json_is_object(root.get())) {
    dg_fail(err, DG_ERR_FORMAT, "%s: %.150s", path, root ? "no object" : where.text);
    return nullptr;
  }
  try {
    Reader r(root.get(), err);
    std::string bytes = r.read() ? r.bytes() : std::string();
    if (!bytes.empty()) t = dg_tokenizer_load(bytes.data(), bytes.size(), err);
  } catch (const std::exception &e) {
    dg_fail(err, DG_ERR_FORMAT, "%.200s", e.what());
  }
  if (!t) dg_error_context(err, "%s", path);
  return t;
}
