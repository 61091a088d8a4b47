// A tokenizer once it is loaded, and text as it sees it. Private to tokenizer/.
#ifndef DG_TOKENIZER_LOADED_H
#define DG_TOKENIZER_LOADED_H

extern "C" {
#include "mt/core/rng.h"
#include "tokenizer/tokenizer.h"
}

#include "tokenizer/model.h"
#include "tokenizer/sentencepiece.h"
#include "tokenizer/words.h"

#include <string>
#include <string_view>
#include <vector>

struct dg_tokenizer {
  sentencepiece::SentencePieceProcessor sp;
  sentencepiece::SentencePieceProcessor characters;  // same normaliser, a piece a character
  std::string bytes;
  std::vector<uint8_t> types;  // PieceType of each piece
  std::vector<uint8_t> words;  // DG_WORD... of each piece
  spm::Words plain, normal;    // those looked for in text as it is, and normalised
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

namespace spm {

// sentencepiece's number of the piece with this id, -1 when there is none; and back.
inline int32_t inside(const dg_tokenizer *t, int32_t id) {
  if (id < t->size) return id >= 0 ? id : -1;
  int32_t added = id - t->shift;
  return added >= t->added_from && added < t->added_end ? added : -1;
}

inline int32_t outside(const dg_tokenizer *t, int32_t piece) {
  if (piece >= t->added_from) return piece + t->shift;
  return piece < t->size ? piece : t->unk;
}

inline bool is_type(const dg_tokenizer *t, int32_t id, PieceType type) {
  int32_t piece = inside(t, id);
  return piece >= 0 && t->types[static_cast<size_t>(piece)] == type;
}

void add(dg_tokens *out, int32_t id, uint32_t begin, uint32_t end);

// --- text in units ---------------------------------------------------------------------------

// A character of the normalised text, or a user symbol, with what it came from.
struct Unit {
  size_t at, size;
  uint32_t begin, end;
  bool whole;  // a user symbol
};

struct Units {
  std::string text;
  std::vector<Unit> list;
  std::string_view span(size_t from, size_t to) const {
    size_t at = list[from].at;
    return std::string_view(text).substr(at, list[to - 1].at + list[to - 1].size - at);
  }
};

// Normalised.
bool split(const dg_tokenizer *t, const char *text, size_t n, Units *u, dg_error *err);
// sentencepiece's own U+2581 in front comes from no text.
bool has_prefix(const Units &u);
// Units [from,to) of others.
Units part_of(const Units &u, size_t from, size_t to);

// --- segmentations by our own means, as sentencepiece draws from one generator a thread -------

// All segmentations at once: forward filtering, backward sampling (Kudo 2018, 3.2). The best
// one when there is no generator.
void walk_lattice(const dg_tokenizer *t, const Units &u, double alpha, dg_rng *rng,
                  dg_tokens *out);
// BPE dropout (Provilkov et al. 2020, algorithm 1): before each merge, every possible
// one is left out with probability `drop`; with none left the word is done.
void sample_merges(const dg_tokenizer *t, const Units &u, double drop, dg_rng *rng,
                   dg_tokens *out);

}  // namespace spm

#endif
