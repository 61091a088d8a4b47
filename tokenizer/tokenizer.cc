// sentencepiece behind a C interface.
extern "C" {
#include "tokenizer/tokenizer.h"

#include "mt/core/file.h"
#include "mt/core/mem.h"
#include "mt/core/rng.h"
}

#include "tokenizer/stretches.h"

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

namespace {

constexpr size_t kTextMost = size_t{1} << 28;  // sentencepiece counts bytes in an int

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

// --- tokens -----------------------------------------------------------------------------

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

