// sentencepiece behind a C interface.
extern "C" {
#include "tokenizer/tokenizer.h"

#include "mt/core/file.h"
#include "mt/core/mem.h"
#include "mt/core/rng.h"
#include "mt/core/utf8.h"
}

#include "tokenizer/model.h"
#include "tokenizer/sentencepiece.h"
#include "tokenizer/words.h"

#include <unicode/uchar.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

using sentencepiece::ImmutableNBestSentencePieceText;
using sentencepiece::ImmutableSentencePieceText;
using sentencepiece::SentencePieceProcessor;
using std::string_view;
using namespace spm;

struct dg_tokenizer {
  SentencePieceProcessor sp;
  SentencePieceProcessor characters;  // same normaliser, a piece a character
  std::string bytes;
  std::vector<uint8_t> types;  // PieceType of each piece
  std::vector<uint8_t> words;  // DG_WORD... of each piece
  Words plain, normal;         // those looked for in text as it is, and normalised
  uint8_t how;                 // DG_WORD... of any of them
  int model_type;
  bool byte_fallback;
  bool words_apart;  // no piece reaches over the start of a word
  size_t longest;    // piece, in bytes
  int32_t size;      // later pieces segment text but mean the unknown one, except the last:
  int32_t added_from, added_end, shift;  // added ones, whose ids are `shift` further
  float unknown_score;
  int32_t unk, bos, eos, pad, byte_ids[256];
};

namespace {

constexpr size_t kTextMost = size_t{1} << 28;  // sentencepiece counts bytes in an int

// sentencepiece's number of the piece with this id, -1 when there is none; and back.
int32_t inside(const dg_tokenizer *t, int32_t id) {
  if (id < t->size) return id >= 0 ? id : -1;
  int32_t added = id - t->shift;
  return added >= t->added_from && added < t->added_end ? added : -1;
}

int32_t outside(const dg_tokenizer *t, int32_t piece) {
  if (piece >= t->added_from) return piece + t->shift;
  return piece < t->size ? piece : t->unk;
}

bool index_words(dg_tokenizer *t, const Model &m, dg_error *err);

bool load(dg_tokenizer *t, dg_error *err) {
  const char *damaged = "the tokenizer model is damaged";
  Model m;
  const char *why;
  if (!read_model(t->bytes, &m, &why)) return dg_fail(err, DG_ERR_FORMAT, "%s: %s", damaged, why);
  if (!sound_rules(m.normalizer) || !sound_rules(m.denormalizer))
    return dg_fail(err, DG_ERR_FORMAT, "%s: its normalisation rules point nowhere", damaged);
  std::vector<string_view> symbols;
  float least = 0;
  bool first = true;
  t->model_type = m.type;
  t->byte_fallback = m.byte_fallback;
  t->words_apart = !m.space_after;
  t->longest = 0;
  t->size = static_cast<int32_t>(m.size);
  t->added_end = static_cast<int32_t>(m.pieces.size());
  t->added_from = static_cast<int32_t>(m.pieces.size() - m.added);
  t->shift = m.added ? static_cast<int32_t>(m.first) - t->added_from : 0;
  for (const Piece &p : m.pieces) {
    t->types.push_back(p.type);
    t->words.push_back(p.word);
    if (p.type == kUser) symbols.push_back(p.text);
    if (p.type != kNormal) continue;
    t->longest = std::max(t->longest, p.text.size());
    least = first ? p.score : std::min(least, p.score);
    first = false;
    if (p.text.find(kSpace, 1) != string_view::npos) t->words_apart = false;
  }
  t->unknown_score = least - 10;  // as in sentencepiece
  t->how = 0;
  if (nests_too_deep(symbols))
    return dg_fail(err, DG_ERR_UNSUPPORTED, "the tokenizer model nests too many user symbols");
  auto status = t->sp.LoadFromSerializedProto(t->bytes);
  if (!status.ok()) return failed(err, damaged, status);
  status = t->characters.LoadFromSerializedProto(character_model(m));
  if (!status.ok()) return failed(err, damaged, status);
  if (static_cast<size_t>(t->sp.GetPieceSize()) != m.pieces.size())
    return dg_fail(err, DG_ERR_FORMAT, "%s: its pieces cannot be counted", damaged);
  t->unk = t->sp.unk_id();
  t->bos = t->sp.bos_id();
  t->eos = t->sp.eos_id();
  t->pad = t->sp.pad_id();
  for (int b = 0; b < 256; b++)
    t->byte_ids[b] =
        m.byte_fallback ? outside(t, t->sp.PieceToId(t->characters.IdToPiece(1 + b))) : t->unk;
  if (t->unk >= t->size) return dg_fail(err, DG_ERR_FORMAT, "%s: it has no unknown piece", damaged);
  return index_words(t, m, err);
}

bool is_type(const dg_tokenizer *t, int32_t id, PieceType type) {
  int32_t piece = inside(t, id);
  return piece >= 0 && t->types[static_cast<size_t>(piece)] == type;
}

// --- tokens -----------------------------------------------------------------------------

void add(dg_tokens *out, int32_t id, uint32_t begin, uint32_t end) {
  if (out->count == out->capacity) {
    out->capacity = out->capacity ? out->capacity * 2 : 32;
    out->items =
        static_cast<dg_token *>(dg_realloc(out->items, out->capacity * sizeof *out->items));
  }
  out->items[out->count++] = {id, begin, end};
}

// The token id of a piece found in text. Ids are looked up by string: an unknown stretch
// that spells a word of the vocabulary which is no piece (an unused one) is that word.
int32_t meaning(const dg_tokenizer *t, int32_t id, const std::string &piece) {
  if (id == t->unk) {
    int32_t word = t->sp.PieceToId(piece);
    if (is_type(t, word, kUnused)) return word;
  }
  return outside(t, id);
}

// The text begins at byte `from` of the input.
void put(const dg_tokenizer *t, const ImmutableSentencePieceText &text, size_t from,
         dg_tokens *out) {
  auto shift = static_cast<uint32_t>(from);
  size_t first = out->count;  // byte piece of the character being put together
  for (size_t i = 0, n = text.pieces_size(); i < n; i++) {
    auto p = text.pieces(static_cast<int>(i));
    int32_t id = meaning(t, static_cast<int32_t>(p.id()), p.piece());
    uint32_t begin = p.begin() + shift, end = p.end() + shift;
    add(out, id, begin, end);
    // sentencepiece gives a character's span to the last of its byte pieces: here
    // each of them has it. Only the last has a surface.
    if (!is_type(t, id, kByte)) {
      first = out->count;
    } else if (!p.surface().empty()) {
      for (; first + 1 < out->count; first++)
        out->items[first].begin = begin, out->items[first].end = end;
      first = out->count;
    }
  }
}

bool fits(size_t n, dg_error *err) {
  return n <= kTextMost ||
         dg_fail(err, DG_ERR_USAGE, "a text of %zu bytes is too long to tokenize: split it", n);
}

// --- random segmentations -----------------------------------------------------------------
//
// Our own, as sentencepiece draws from one generator a thread.

// A character of the normalised text, or a user symbol, with what it came from.
struct Unit {
  size_t at, size;
  uint32_t begin, end;
  bool whole;  // a user symbol
};

struct Units {
  std::string text;
  std::vector<Unit> list;
  string_view span(size_t from, size_t to) const {
    size_t at = list[from].at;
    return string_view(text).substr(at, list[to - 1].at + list[to - 1].size - at);
  }
};

bool split(const dg_tokenizer *t, const char *text, size_t n, Units *u, dg_error *err) {
  ImmutableSentencePieceText result;
  auto status = t->characters.Encode({text, n}, result.mutable_proto());
  if (!status.ok()) return failed(err, "tokenizing", status);
  size_t left = 0;  // bytes to come of the last character
  for (size_t i = 0, count = result.pieces_size(); i < count; i++) {
    auto p = result.pieces(static_cast<int>(i));
    uint32_t id = p.id();
    if (id > 256) {
      u->list.push_back({u->text.size(), p.piece().size(), p.begin(), p.end(), true});
      u->text.append(p.piece());
      continue;
    }
    auto byte = static_cast<unsigned char>(id - 1);
    if (!left) {
      left = byte < 0xC0 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
      u->list.push_back({u->text.size(), 0, p.begin(), p.end(), false});
    }
    u->text += static_cast<char>(byte);
    u->list.back().size++;
    u->list.back().end = p.end();
    left--;
  }
  return true;
}

int32_t find(const dg_tokenizer *t, string_view piece, bool whole) {
  int32_t id = t->sp.PieceToId({piece.data(), piece.size()});
  uint8_t type = whole ? kUser : kNormal;
  return id >= 0 && t->types[static_cast<size_t>(id)] == type ? id : -1;
}

// sentencepiece's own U+2581 in front comes from no text.
bool has_prefix(const Units &u) {
  return !u.list.empty() && u.span(0, 1) == kSpace && !u.list[0].end;
}

// Those looked for in normalised text are normalised, too.
bool index_words(dg_tokenizer *t, const Model &m, dg_error *err) {
  for (size_t i = 0; i < m.size; i++) {
    const Piece &p = m.pieces[i];
    if (!p.word) continue;
    t->how |= p.word;
    auto piece = static_cast<int32_t>(i);
    if (!(p.word & DG_WORD_NORMAL)) {
      t->plain.add(std::string(p.text), piece);
      continue;
    }
    Units u;
    if (!split(t, p.text.data(), p.text.size(), &u, err)) return false;
    t->normal.add(u.text.substr(has_prefix(u) ? kSpace.size() : 0), piece);
  }
  return true;
}

// Units [from,to) of others.
Units part_of(const Units &u, size_t from, size_t to) {
  Units part;
  for (; from < to; from++) {
    Unit unit = u.list[from];
    unit.at = part.text.size();
    part.text.append(u.span(from, from + 1));
    part.list.push_back(unit);
  }
  return part;
}

// Calls word(piece, begin, end) for each word to be found in text as it is, and
// stretch(begin, end) for what lies between; a stretch that returns false ends it.
template <typename Word, typename Stretch>
bool each_stretch(const dg_tokenizer *t, string_view text, Word word, Stretch stretch) {
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
  Stretch(const dg_tokenizer *t, string_view text, size_t begin, size_t end)
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
    return cut(part, string_view());
  }

  const dg_tokenizer *t_;
  string_view text_;
  size_t begin_, end_;
  Units u_;
  bool prefix_ = false;
};

// The same of all words, with a stretch as units: cut(units, the text they are all of, if any).
template <typename Word, typename Cut>
bool each_units(const dg_tokenizer *t, string_view text, Word word, Cut cut, dg_error *err) {
  return each_stretch(t, text, word, [&](size_t begin, size_t end) {
    Stretch s(t, text, begin, end);
    return s.split_up(err) && s.each(word, cut);
  });
}

// Adds units [from,to) as the piece `id`; -1 is a single unknown character.
void emit(const dg_tokenizer *t, const Units &u, size_t from, size_t to, int32_t id,
          dg_tokens *out) {
  uint32_t begin = u.list[from].begin, end = u.list[to - 1].end;
  if (id >= 0) {
    add(out, outside(t, id), begin, end);
  } else if (t->byte_fallback) {
    for (char c : u.span(from, to))
      add(out, t->byte_ids[static_cast<unsigned char>(c)], begin, end);
  } else if (out->count && out->items[out->count - 1].id == t->unk) {
    out->items[out->count - 1].end = end;  // a run of unknowns is one token
  } else {
    add(out, t->unk, begin, end);
  }
}

// All segmentations at once: forward filtering, backward sampling (Kudo 2018, 3.2). The best
// one when there is no generator.
void walk_lattice(const dg_tokenizer *t, const Units &u, double alpha, dg_rng *rng,
                  dg_tokens *out) {
  struct Edge {
    size_t from;
    int32_t id;
    double weight;  // log, paths up to `from` included
  };
  const size_t n = u.list.size();
  std::vector<std::vector<Edge>> into(n + 1);
  std::vector<double> total(n + 1, 0);
  for (size_t i = 0; i <= n; i++) {
    if (i) {
      double most = -HUGE_VAL, sum = 0;
      for (const Edge &e : into[i]) most = std::max(most, e.weight);
      for (const Edge &e : into[i]) sum += std::exp(e.weight - most);
      total[i] = rng ? most + std::log(sum) : most;
    }
    if (i == n) break;
    if (u.list[i].whole) {
      into[i + 1].push_back({i, find(t, u.span(i, i + 1), true), total[i]});
      continue;
    }
    int32_t single = -1;
    for (size_t j = i + 1; j <= n && !u.list[j - 1].whole; j++) {
      string_view piece = u.span(i, j);
      if (piece.size() > t->longest) break;
      int32_t id = find(t, piece, false);
      if (id < 0) continue;
      if (j == i + 1) single = id;
      into[j].push_back({i, id, total[i] + alpha * static_cast<double>(t->sp.GetScore(id))});
    }
    if (single < 0)
      into[i + 1].push_back({i, -1, total[i] + alpha * static_cast<double>(t->unknown_score)});
  }
  std::vector<const Edge *> path;
  for (size_t j = n; j > 0; j = path.back()->from) {
    const Edge *chosen = &into[j].back();
    double x = rng ? dg_rng_uniform(rng) : 0;
    for (const Edge &e : into[j]) {
      if (rng && (x -= std::exp(e.weight - total[j])) >= 0) continue;
      if (!rng && e.weight < total[j]) continue;
      chosen = &e;
      break;
    }
    path.push_back(chosen);
  }
  for (size_t k = path.size(), from = 0; k-- > 0;) {
    size_t to = k ? path[k - 1]->from : n;
    emit(t, u, from, to, path[k]->id, out);
    from = to;
  }
}

// BPE dropout (Provilkov et al. 2020, algorithm 1): before each merge, every possible
// one is left out with probability `drop`; with none left the word is done.
void sample_merges(const dg_tokenizer *t, const Units &u, double drop, dg_rng *rng,
                   dg_tokens *out) {
  const size_t n = u.list.size();
  std::vector<size_t> cuts;
  for (size_t from = 0, to; from < n; from = to) {
    to = from + 1;
    while (to < n && !(t->words_apart && u.span(to, to + 1) == kSpace)) to++;
    cuts.clear();
    for (size_t i = from; i <= to; i++) cuts.push_back(i);
    for (;;) {
      size_t best = 0;
      float score = 0;
      for (size_t k = 1; k + 1 < cuts.size(); k++) {
        if (u.list[cuts[k - 1]].whole || u.list[cuts[k]].whole) continue;
        int32_t id = find(t, u.span(cuts[k - 1], cuts[k + 1]), false);
        if (id < 0 || dg_rng_uniform(rng) < drop) continue;
        float s = t->sp.GetScore(id);
        if (!best || s > score) best = k, score = s;
      }
      if (!best) break;
      cuts.erase(cuts.begin() + static_cast<std::ptrdiff_t>(best));
    }
    for (size_t k = 0; k + 1 < cuts.size(); k++)
      emit(t, u, cuts[k], cuts[k + 1], find(t, u.span(cuts[k], cuts[k + 1]), u.list[cuts[k]].whole),
           out);
  }
}

// Of text[from,to).
bool sample_nbest(const dg_tokenizer *t, string_view text, size_t from, size_t to, int nbest,
                  double alpha, dg_rng *rng, dg_tokens *out, dg_error *err) {
  ImmutableNBestSentencePieceText result;
  auto status = t->sp.NBestEncode({text.data() + from, to - from}, nbest, result.mutable_proto());
  if (!status.ok()) return failed(err, "tokenizing", status);
  std::vector<double> weights;
  double sum = 0, best = 0;
  for (const auto &one : result.nbests()) {
    if (weights.empty()) best = static_cast<double>(one.score());
    weights.push_back(std::exp(alpha * (static_cast<double>(one.score()) - best)));
    sum += weights.back();
  }
  if (weights.empty()) return true;
  double x = dg_rng_uniform(rng) * sum;
  size_t i = 0;
  while (i + 1 < weights.size() && (x -= weights[i]) >= 0) i++;
  put(t, result.nbests(static_cast<int>(i)), from, out);
  return true;
}

constexpr size_t kNbestMost = 1024;  // sentencepiece finds no more

// The best segmentation by our own means.
bool cut_best(const dg_tokenizer *t, const Units &u, dg_tokens *out) {
  dg_rng unused = {0, 0};
  if (t->model_type == kBpe) sample_merges(t, u, 0, &unused, out);
  else walk_lattice(t, u, 1, nullptr, out);
  return true;
}

auto word_to(const dg_tokenizer *t, dg_tokens *out) {
  return [=](int32_t piece, uint32_t begin, uint32_t end) {
    add(out, outside(t, piece), begin, end);
  };
}

// Whether sentencepiece alone cannot encode a stretch between words.
bool in_units(const dg_tokenizer *t) { return !t->normal.empty() || (t->how & DG_WORD_BARE); }

bool no_nbest(dg_error *err) {
  return dg_fail(err, DG_ERR_UNSUPPORTED,
                 "a tokenizer with added words lists no best segmentations: sample from all");
}

}  // namespace

extern "C" dg_tokenizer *dg_tokenizer_load(const void *bytes, size_t size, dg_error *err) {
  std::unique_ptr<dg_tokenizer> t;
  bool ok = guarded(err, "the tokenizer model is damaged", [&] {
    if (!size) return dg_fail(err, DG_ERR_FORMAT, "the tokenizer model is empty");
    t = std::make_unique<dg_tokenizer>();
    t->bytes.assign(static_cast<const char *>(bytes), size);
    return load(t.get(), err);
  });
  return ok ? t.release() : nullptr;
}

extern "C" dg_tokenizer *dg_tokenizer_load_file(const char *path, dg_error *err) {
  dg_mapping map;
  if (!dg_map(path, &map, err)) return nullptr;
  dg_tokenizer *t = dg_tokenizer_load(map.data, map.size, err);
  if (!t) dg_error_context(err, "%s", path);
  dg_unmap(&map);
  return t;
}

extern "C" void dg_tokenizer_free(dg_tokenizer *t) { delete t; }

extern "C" const void *dg_tokenizer_bytes(const dg_tokenizer *t, size_t *size) {
  *size = t->bytes.size();
  return t->bytes.data();
}

extern "C" int32_t dg_tokenizer_size(const dg_tokenizer *t) {
  return t->added_end > t->added_from ? t->added_end + t->shift : t->size;
}
extern "C" int32_t dg_tokenizer_unk(const dg_tokenizer *t) { return t->unk; }
extern "C" int32_t dg_tokenizer_bos(const dg_tokenizer *t) { return t->bos; }
extern "C" int32_t dg_tokenizer_eos(const dg_tokenizer *t) { return t->eos; }
extern "C" int32_t dg_tokenizer_pad(const dg_tokenizer *t) { return t->pad; }

extern "C" const char *dg_tokenizer_piece(const dg_tokenizer *t, int32_t id) {
  int32_t piece = inside(t, id);
  return piece >= 0 ? t->sp.IdToPiece(piece).c_str() : nullptr;
}

extern "C" int32_t dg_tokenizer_id(const dg_tokenizer *t, const char *piece) {
  int id = t->sp.PieceToId(piece);
  // Unknown pieces come back as the unknown id.
  bool none =
      (id >= t->size && id < t->added_from) || (id == t->unk && t->sp.IdToPiece(id) != piece);
  return none ? -1 : outside(t, id);
}

extern "C" bool dg_tokenizer_is_control(const dg_tokenizer *t, int32_t id) {
  return is_type(t, id, kControl) && !t->words[static_cast<size_t>(inside(t, id))];
}

extern "C" bool dg_tokenizer_is_bpe(const dg_tokenizer *t) { return t->model_type == kBpe; }

extern "C" void dg_tokens_free(dg_tokens *tokens) {
  free(tokens->items);
  *tokens = {nullptr, 0, 0};
}

extern "C" bool dg_tokenizer_encode(const dg_tokenizer *t, const char *text, size_t n,
                                    dg_tokens *out, dg_error *err) {
  out->count = 0;
  if (!fits(n, err)) return false;
  return guarded(err, "tokenizing", [&] {
    auto word = word_to(t, out);
    auto encode = [&](size_t from, size_t to) {
      ImmutableSentencePieceText result;
      auto status = t->sp.Encode({text + from, to - from}, result.mutable_proto());
      if (!status.ok()) return failed(err, "tokenizing", status);
      put(t, result, from, out);
      return true;
    };
    if (!in_units(t)) return each_stretch(t, {text, n}, word, encode);
    auto cut = [&](const Units &u, string_view whole) {
      if (whole.empty()) return cut_best(t, u, out);
      auto from = static_cast<size_t>(whole.data() - text);
      return encode(from, from + whole.size());
    };
    return each_units(t, {text, n}, word, cut, err);
  });
}

extern "C" char *dg_tokenizer_pieces(const dg_tokenizer *t, const char *text, size_t n,
                                     dg_error *err) {
  if (!fits(n, err)) return nullptr;
  char *joined = nullptr;
  guarded(err, "tokenizing", [&] {
    std::vector<std::string> pieces;
    auto status = t->sp.Encode({text, n}, &pieces);
    if (!status.ok()) return failed(err, "tokenizing", status);
    std::string all;
    for (const std::string &piece : pieces) all.append(all.empty() ? "" : " ").append(piece);
    joined = dg_strndup(all.data(), all.size());
    return true;
  });
  return joined;
}

extern "C" bool dg_tokenizer_sample(const dg_tokenizer *t, const char *text, size_t n, int nbest,
                                    double alpha, uint64_t seed, dg_tokens *out, dg_error *err) {
  out->count = 0;
  bool bpe = t->model_type == kBpe;
  if (!std::isfinite(alpha) || alpha < 0 || (bpe && alpha > 1))
    return dg_fail(err, DG_ERR_USAGE,
                   bpe ? "the probability of a dropped merge, %g, is not in 0..1"
                       : "alpha %g is not a number from 0 up",
                   alpha);
  if (nbest > 1 && !bpe && in_units(t)) return no_nbest(err);
  if (nbest > static_cast<int>(kNbestMost))
    return dg_fail(err, DG_ERR_USAGE, "sampling among the %d best: 1024 is the most, -1 means all",
                   nbest);
  bool plain = bpe ? alpha <= 0 : t->model_type != kUnigram || nbest == 0 || nbest == 1;
  if (plain) return dg_tokenizer_encode(t, text, n, out, err);
  if (!fits(n, err)) return false;
  return guarded(err, "tokenizing", [&] {
    dg_rng rng = {dg_hash64(seed), 0};
    auto word = word_to(t, out);
    if (!bpe && nbest > 0)
      return each_stretch(t, {text, n}, word, [&](size_t from, size_t to) {
        return sample_nbest(t, {text, n}, from, to, nbest, alpha, &rng, out, err);
      });
    auto cut = [&](const Units &u, string_view) {
      bpe ? sample_merges(t, u, alpha, &rng, out) : walk_lattice(t, u, alpha, &rng, out);
      return true;
    };
    return each_units(t, {text, n}, word, cut, err);
  });
}

extern "C" char *dg_tokenizer_normalize(const dg_tokenizer *t, const char *text, size_t n,
                                        dg_error *err) {
  if (!fits(n, err)) return nullptr;
  char *out = nullptr;
  guarded(err, "normalising", [&] {
    std::string all;
    auto word = [](int32_t, uint32_t, uint32_t) {};
    auto cut = [&](const Units &u, string_view) {
      all += u.text;
      return true;
    };
    if (!each_units(t, {text, n}, word, cut, err)) return false;
    out = dg_strndup(all.data(), all.size());
    return true;
  });
  return out;
}

extern "C" bool dg_tokenizer_cut(const dg_tokenizer *t, const char *text, size_t n, dg_tokens *out,
                                 dg_error *err) {
  out->count = 0;
  if (!fits(n, err)) return false;
  return guarded(err, "tokenizing", [&] {
    Units u = {std::string(text, n), {}};
    for (size_t i = 0; i < n;) {
      size_t end = i + 1;
      while (end < n && (text[end] & 0xC0) == 0x80) end++;
      u.list.push_back({i, end - i, static_cast<uint32_t>(i), static_cast<uint32_t>(end), false});
      i = end;
    }
    return cut_best(t, u, out);
  });
}

extern "C" bool dg_tokenizer_nbest(const dg_tokenizer *t, const char *text, size_t length, size_t n,
                                   dg_tokens *outs, float *scores, size_t *found, dg_error *err) {
  *found = 0;
  if (t->model_type != kUnigram)
    return dg_fail(err, DG_ERR_UNSUPPORTED,
                   "only a unigram tokenizer lists its best segmentations");
  if (!n) return true;
  if (t->how) return no_nbest(err);
  if (!fits(length, err)) return false;
  return guarded(err, "tokenizing", [&] {
    ImmutableNBestSentencePieceText result;
    auto status = t->sp.NBestEncode({text, length}, static_cast<int>(std::min(n, kNbestMost)),
                                    result.mutable_proto());
    if (!status.ok()) return failed(err, "tokenizing", status);
    for (size_t i = 0; i < result.nbests_size() && i < n; i++) {
      auto one = result.nbests(static_cast<int>(i));
      outs[i].count = 0;
      put(t, one, 0, &outs[i]);
      if (scores) scores[i] = one.score();
      ++*found;
    }
    return true;
  });
}

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
