#include "tokenizer/model.h"

extern "C" {
#include "mt/core/utf8.h"
}

#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

using std::string_view;

namespace spm {
namespace {

struct Field {
  uint32_t number, wire;
  uint64_t value;
  string_view bytes;
};
enum Wire { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

bool read_varint(string_view *in, uint64_t *value) {
  *value = 0;
  for (unsigned shift = 0; shift < 64 && !in->empty(); shift += 7) {
    uint64_t byte = static_cast<unsigned char>(in->front());
    in->remove_prefix(1);
    *value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

bool read_field(string_view *in, Field *f) {
  uint64_t tag, size = 0;
  if (!read_varint(in, &tag) || tag >> 32 || tag < 8) return false;
  *f = {static_cast<uint32_t>(tag >> 3), static_cast<uint32_t>(tag & 7), 0, {}};
  if (f->wire == kVarint) return read_varint(in, &f->value);
  if (f->wire == kFixed64 || f->wire == kFixed32) {
    size = f->wire == kFixed64 ? 8 : 4;
  } else if (f->wire != kBytes || !read_varint(in, &size)) {
    return false;
  }
  if (size > in->size()) return false;
  f->bytes = in->substr(0, size);
  in->remove_prefix(size);
  if (f->wire != kBytes)
    for (size_t i = size; i-- > 0;)
      f->value = f->value << 8 | static_cast<unsigned char>(f->bytes[i]);
  return true;
}

void put_varint(std::string *out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) *out += static_cast<char>(value | 0x80);
  *out += static_cast<char>(value);
}

// The checksum is a field of our own, the XXH3 of all bytes before it.
// Other readers skip it (the schema leaves numbers from 200 to extensions).
constexpr uint32_t kChecksum = 20017;

// Another of our own: how many of the pieces have an id in the model's vocabulary. Those
// after them are needed to segment text as the checkpoint's tokenizer does.
constexpr uint32_t kSize = 20018;

// Pieces that were added to a vocabulary: how many of the last, and the id of the first.
constexpr uint32_t kAdded = 20019, kFirst = 20020;

// Of a piece: how it is taken as a word that was added beside the model.
constexpr uint32_t kWord = 20021;

bool read_piece(string_view in, Piece *p) {
  Field f;
  while (!in.empty()) {
    if (!read_field(&in, &f)) return false;
    if (f.number == 1 && f.wire == kBytes) p->text = f.bytes;
    if (f.number == 2 && f.wire == kFixed32) {
      auto bits = static_cast<uint32_t>(f.value);
      memcpy(&p->score, &bits, sizeof bits);
    }
    if (f.number == 3 && f.wire == kVarint && f.value >= kNormal && f.value <= kByte)
      p->type = static_cast<uint8_t>(f.value);
    if (f.number == kWord && f.wire == kVarint) p->word = static_cast<uint8_t>(f.value);
  }
  // Text encodes as itself, and sums of scores stay finite.
  return !p->text.empty() && p->text.find('\0') == string_view::npos &&
         dg_utf8_valid_prefix(p->text.data(), p->text.size()) == p->text.size() &&
         std::fabs(p->score) < 1e9f;
}

// The rules of a normaliser: a size, that many bytes of a darts-clone double array,
// then the NUL-terminated replacements its values point at.
class Charsmap {
 public:
  // Whether no input can lead sentencepiece out of it.
  static bool sound(string_view spec) {
    string_view rules;
    Field f;
    while (!spec.empty()) {
      if (!read_field(&spec, &f)) return false;
      if (f.number == 2 && f.wire == kBytes) rules = f.bytes;
    }
    return rules.empty() || Charsmap(rules).sound_;
  }

 private:
  explicit Charsmap(string_view rules) {
    uint32_t size = 0;
    if (rules.size() > sizeof size) memcpy(&size, rules.data(), sizeof size);
    rules.remove_prefix(std::min(sizeof size, rules.size()));
    if (size % 4 || size < 1024 || size >= rules.size()) return;
    units_.resize(size / 4);
    memcpy(units_.data(), rules.data(), size);
    text_ = rules.substr(size);
    if (text_.back() || dg_utf8_valid_prefix(text_.data(), text_.size()) != text_.size()) return;
    matches_.assign(units_.size(), kNew);
    sound_ = visit(offset(units_[0]), 0) >= 0;
  }

  static uint32_t offset(uint32_t unit) { return (unit >> 10) << ((unit & 1u << 9) >> 6); }

  // The most rules that apply to one text below the node at `base`, -1 when there is
  // no bound. sentencepiece has room for 32 and does not check.
  int visit(size_t base, int depth) {
    if ((base | 255) >= units_.size() || depth > 256) return -1;
    if (matches_[base] != kNew) return matches_[base];
    matches_[base] = -1;  // met again while open, it is a cycle
    int most = 0;
    for (uint32_t c = 0; c < 256; c++) {
      uint32_t unit = units_[base ^ c];
      if ((unit & 0x800000ffu) != c) continue;
      size_t next = (base ^ c) ^ offset(unit);
      int below = visit(next, depth + 1);
      if (below < 0) return -1;
      if (unit >> 8 & 1) {
        size_t at = units_[next] & 0x7fffffff;
        if (at >= text_.size() || (text_[at] & 0xC0) == 0x80) return -1;
        below++;
      }
      most = std::max(most, below);
    }
    if (most > 32) return -1;
    matches_[base] = static_cast<int8_t>(most);
    return most;
  }

  static constexpr int8_t kNew = -2;
  std::vector<uint32_t> units_;
  std::vector<int8_t> matches_;
  string_view text_;
  bool sound_ = false;
};

}  // namespace

void put_number(std::string *out, uint32_t number, uint64_t value) {
  put_varint(out, number << 3 | kVarint);
  put_varint(out, value);
}

void put_bytes(std::string *out, uint32_t number, string_view bytes) {
  put_varint(out, number << 3 | kBytes);
  put_varint(out, bytes.size());
  out->append(bytes);
}

namespace {

void put_piece(std::string *model, const Piece &p) {
  std::string piece;
  put_bytes(&piece, 1, p.text);
  if (p.score != 0) {
    uint32_t bits;
    memcpy(&bits, &p.score, sizeof bits);
    put_varint(&piece, 2 << 3 | kFixed32);
    for (int i = 0; i < 4; i++) piece += static_cast<char>(bits >> 8 * i);
  }
  put_number(&piece, 3, p.type);
  if (p.word) put_number(&piece, kWord, p.word);
  put_bytes(model, 1, piece);
}

}  // namespace

bool read_model(string_view in, Model *m, const char **why) {
  const string_view all = in;
  Field f;
  bool sealed = false;
  *why = "it is cut off or not a sentencepiece model";
  while (!in.empty()) {
    size_t at = all.size() - in.size();
    if (!read_field(&in, &f) || sealed) return false;
    sealed = f.number == kChecksum && f.wire == kFixed64;
    if (sealed) {
      if (f.value != XXH3_64bits(all.data(), at)) {
        *why = "its checksum is wrong";
        return false;
      }
      continue;
    }
    uint64_t *count = f.number == kSize    ? &m->size
                      : f.number == kAdded ? &m->added
                      : f.number == kFirst ? &m->first
                                           : nullptr;
    if (count && f.wire == kVarint) {
      *count = f.value;
      continue;
    }
    if (f.wire != kBytes) return false;
    switch (f.number) {
      case 1:
        m->pieces.emplace_back();
        if (!read_piece(f.bytes, &m->pieces.back())) return false;
        break;
      case 2:
        m->trainer.append(f.bytes);
        break;
      case 3:
        m->normalizer.append(f.bytes);
        break;
      case 4:
        break;  // sentences for a self-test
      case 5:
        m->denormalizer.append(f.bytes);
        break;
      default:
        return false;
    }
  }
  if (m->pieces.empty() || m->trainer.empty() || m->normalizer.empty()) return false;
  if (m->added > m->pieces.size()) return false;
  if (!m->size) m->size = m->pieces.size() - m->added;
  if (m->size > m->pieces.size() - m->added) return false;
  if (m->added && (m->first < m->size || m->first > INT32_MAX || m->first + m->added > INT32_MAX)) return false;
  for (in = m->trainer; !in.empty();) {
    if (!read_field(&in, &f)) return false;
    if (f.wire != kVarint) continue;
    if (f.number == 3 && f.value >= kUnigram && f.value <= kChar)
      m->type = static_cast<int>(f.value);
    if (f.number == 24) m->space_after = f.value != 0;
    if (f.number == 35) m->byte_fallback = f.value != 0;
  }
  return true;
}

bool read_tokenizer(const dg_tokenizer *t, Model *m, dg_error *err) {
  size_t n;
  auto bytes = static_cast<const char *>(dg_tokenizer_bytes(t, &n));
  const char *why;
  return read_model({bytes, n}, m, &why) ||
         dg_fail(err, DG_ERR_FORMAT, "the tokenizer model is damaged: %s", why);
}

bool sound_rules(string_view normalizer) { return Charsmap::sound(normalizer); }

bool nests_too_deep(std::vector<string_view> symbols) {
  std::sort(symbols.begin(), symbols.end());
  std::vector<string_view> open;
  for (string_view s : symbols) {
    while (!open.empty() && s.substr(0, open.back().size()) != open.back()) open.pop_back();
    open.push_back(s);
    if (open.size() > 64) return true;
  }
  return false;
}

void put_checksum(std::string *model) {
  uint64_t hash = XXH3_64bits(model->data(), model->size());
  put_varint(model, kChecksum << 3 | kFixed64);
  for (int i = 0; i < 8; i++) *model += static_cast<char>(hash >> 8 * i);
}

std::string character_model(const Model &m) {
  std::string out;
  auto add = [&](string_view text, uint8_t type) { put_piece(&out, {text, 0, type}); };
  add("<unk>", kUnknown);
  for (int b = 0; b < 256; b++) {
    char name[8];
    snprintf(name, sizeof name, "<0x%02X>", static_cast<unsigned>(b));
    add(name, kByte);
  }
  for (const Piece &p : m.pieces)
    if (p.type == kUser) add(p.text, kUser);
  std::string trainer;
  put_number(&trainer, 3, kChar);
  put_number(&trainer, 24, m.space_after);
  put_number(&trainer, 35, 1);
  put_bytes(&out, 2, trainer);
  put_bytes(&out, 3, m.normalizer);
  return out;
}

namespace {

// What follows the pieces.
void put_rest(std::string *out, const Model &m) {
  put_bytes(out, 2, m.trainer);
  put_bytes(out, 3, m.normalizer);
  if (!m.denormalizer.empty()) put_bytes(out, 5, m.denormalizer);
}

}  // namespace

std::string model_of(const Model &m, const std::vector<Piece> &pieces, uint64_t size) {
  std::string out;
  for (const Piece &p : pieces) put_piece(&out, p);
  put_rest(&out, m);
  if (size != pieces.size()) put_number(&out, kSize, size);
  put_checksum(&out);
  return out;
}

std::string model_with(const Model &m, const std::vector<Piece> &added, uint64_t first) {
  std::string out;
  for (const Piece &p : m.pieces) put_piece(&out, p);
  for (const Piece &p : added) put_piece(&out, p);
  put_rest(&out, m);
  if (m.size != m.pieces.size() || first != m.size) { // else they are as any others
    put_number(&out, kSize, m.size);
    put_number(&out, kAdded, added.size());
    put_number(&out, kFirst, first);
  }
  put_checksum(&out);
  return out;
}

}  // namespace spm
