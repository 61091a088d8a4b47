// The bytes of a sentencepiece model (protobuf.dev/programming-guides/encoding): looked
// over before sentencepiece, which trusts them, sees them; and made anew.
// Private to tokenizer/.
#ifndef DG_TOKENIZER_MODEL_H
#define DG_TOKENIZER_MODEL_H

extern "C" {
#include "tokenizer/tokenizer.h"
}

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace spm {

// Numbers of sentencepiece_model.proto.
enum ModelType { kUnigram = 1, kBpe, kWord, kChar };
enum PieceType { kNormal = 1, kUnknown, kControl, kUser, kUnused, kByte };

struct Piece {
  std::string_view text;
  float score = 0;
  uint8_t type = kNormal;
  uint8_t word = 0;  // DG_WORD... of tokenizer.h
};

// What a model file says, as far as it concerns us.
struct Model {
  std::vector<Piece> pieces;
  std::string trainer, normalizer, denormalizer;  // joined: messages merge by concatenation
  int type = kUnigram;
  uint64_t size = 0;  // of the pieces, those with an id in the vocabulary
  uint64_t added = 0, first = 0;  // the last so many have ids of their own, from `first` on
  bool byte_fallback = false, space_after = false;
};

// Views of `bytes`. Otherwise *why says what is wrong.
bool read_model(std::string_view bytes, Model *m, const char **why);
// That of a tokenizer, whose bytes are viewed.
bool read_tokenizer(const dg_tokenizer *t, Model *m, dg_error *err);
// Whether no input can lead sentencepiece out of a normaliser's rules.
bool sound_rules(std::string_view normalizer);
// sentencepiece has room for 64 user symbols that begin one another.
bool nests_too_deep(std::vector<std::string_view> symbols);

// Fields of a message.
void put_number(std::string *out, uint32_t number, uint64_t value);
void put_bytes(std::string *out, uint32_t number, std::string_view bytes);
// Models trained here end in the hash of all bytes before it.
void put_checksum(std::string *model);
// A model that normalises as `m` does and splits into single bytes, keeping user
// symbols whole: it shows the normalised text and where each character came from,
// which sentencepiece otherwise hides. Piece 0 is unknown, 1+b is byte b.
std::string character_model(const Model &m);
// A model as `m` but with these pieces, of which the first `size` have an id.
std::string model_of(const Model &m, const std::vector<Piece> &pieces, uint64_t size);
// The model with more pieces, whose ids go from `first` on.
std::string model_with(const Model &m, const std::vector<Piece> &added, uint64_t first);

}  // namespace spm

#endif
