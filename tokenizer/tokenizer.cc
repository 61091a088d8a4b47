// The only C++ here: sentencepiece calls, with no exception let through.
extern "C" {
#include "tokenizer/tokenizer.h"
#include "mt/core/file.h"
#include "mt/core/mem.h"
#include "mt/core/rng.h"
}

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

using sentencepiece::ImmutableNBestSentencePieceText;
using sentencepiece::ImmutableSentencePieceText;
using sentencepiece::SentencePieceProcessor;
using sentencepiece::SentencePieceTrainer;

struct dg_tokenizer {
  SentencePieceProcessor sp;
  std::string bytes;
};

namespace {

// Runs f; a thrown exception becomes an error.
template <typename F>
bool guarded(dg_error *err, const char *what, F f) {
  try {
    return f();
  } catch (const std::exception &e) {
    return dg_fail(err, DG_ERR_FORMAT, "%s: %s", what, e.what());
  } catch (...) {
    return dg_fail(err, DG_ERR_FORMAT, "%s failed", what);
  }
}

bool failed(dg_error *err, const char *what, const sentencepiece::util::Status &s) {
  return dg_fail(err, DG_ERR_FORMAT, "%s: %.300s", what, s.ToString().c_str());
}

void put(dg_tokens *out, const ImmutableSentencePieceText &text) {
  size_t n = text.pieces_size();
  if (n > out->capacity) {
    out->items = static_cast<dg_token *>(dg_realloc(out->items, n * 2 * sizeof(dg_token)));
    out->capacity = n * 2;
  }
  for (size_t i = 0; i < n; i++) {
    auto p = text.pieces(static_cast<int>(i));
    out->items[i] = {static_cast<int32_t>(p.id()), p.begin(), p.end()};
  }
  out->count = n;
  // sentencepiece gives all of a character's bytes to the last of its byte
  // pieces; each of them stands for the whole character.
  for (size_t i = n; i-- > 1;) {
    dg_token *a = &out->items[i - 1], *b = &out->items[i];
    if (a->begin == a->end && a->end == b->begin && text.pieces(static_cast<int>(i - 1)).piece()[0] == '<' &&
        text.pieces(static_cast<int>(i - 1)).surface().empty() && b->end > b->begin &&
        text.pieces(static_cast<int>(i)).piece().compare(0, 3, "<0x") == 0)
      a->end = b->end;
  }
}

}  // namespace

extern "C" dg_tokenizer *dg_tokenizer_load(const void *bytes, size_t size, dg_error *err) {
  std::unique_ptr<dg_tokenizer> t;
  bool ok = guarded(err, "the tokenizer model", [&] {
    t = std::make_unique<dg_tokenizer>();
    t->bytes.assign(static_cast<const char *>(bytes), size);
    auto status = t->sp.LoadFromSerializedProto(t->bytes);
    if (!status.ok()) return failed(err, "the tokenizer model is damaged", status);
    if (t->sp.GetPieceSize() <= 0)
      return dg_fail(err, DG_ERR_FORMAT, "the tokenizer model has no pieces");
    return true;
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

extern "C" int32_t dg_tokenizer_size(const dg_tokenizer *t) { return t->sp.GetPieceSize(); }
extern "C" int32_t dg_tokenizer_unk(const dg_tokenizer *t) { return t->sp.unk_id(); }
extern "C" int32_t dg_tokenizer_bos(const dg_tokenizer *t) { return t->sp.bos_id(); }
extern "C" int32_t dg_tokenizer_eos(const dg_tokenizer *t) { return t->sp.eos_id(); }
extern "C" int32_t dg_tokenizer_pad(const dg_tokenizer *t) { return t->sp.pad_id(); }

extern "C" const char *dg_tokenizer_piece(const dg_tokenizer *t, int32_t id) {
  if (id < 0 || id >= t->sp.GetPieceSize()) return nullptr;
  return t->sp.IdToPiece(id).c_str();
}

extern "C" int32_t dg_tokenizer_id(const dg_tokenizer *t, const char *piece) {
  int id = t->sp.PieceToId(piece);
  // Unknown pieces come back as the unknown id.
  return id == t->sp.unk_id() && t->sp.IdToPiece(id) != piece ? -1 : id;
}

extern "C" bool dg_tokenizer_is_control(const dg_tokenizer *t, int32_t id) {
  return id >= 0 && id < t->sp.GetPieceSize() && t->sp.IsControl(id);
}

extern "C" void dg_tokens_free(dg_tokens *tokens) {
  free(tokens->items);
  *tokens = {nullptr, 0, 0};
}

extern "C" bool dg_tokenizer_encode(const dg_tokenizer *t, const char *text, size_t n,
                                    dg_tokens *out, dg_error *err) {
  out->count = 0;
  return guarded(err, "tokenizing", [&] {
    ImmutableSentencePieceText result;
    auto status = t->sp.Encode({text, n}, result.mutable_proto());
    if (!status.ok()) return failed(err, "tokenizing", status);
    put(out, result);
    return true;
  });
}

extern "C" bool dg_tokenizer_nbest(const dg_tokenizer *t, const char *text, size_t length, size_t n,
                                   dg_tokens *outs, float *scores, size_t *found, dg_error *err) {
  *found = 0;
  return guarded(err, "tokenizing", [&] {
    ImmutableNBestSentencePieceText result;
    auto status = t->sp.NBestEncode({text, length}, static_cast<int>(n), result.mutable_proto());
    if (!status.ok()) return failed(err, "n-best tokenizing", status);
    for (size_t i = 0; i < result.nbests_size() && i < n; i++) {
      auto one = result.nbests(static_cast<int>(i));
      put(&outs[i], one);
      if (scores) scores[i] = one.score();
      ++*found;
    }
    return true;
  });
}

extern "C" char *dg_tokenizer_decode(const dg_tokenizer *t, const int32_t *ids, size_t n,
                                     dg_error *err) {
  char *text = nullptr;
  guarded(err, "detokenizing", [&] {
    std::vector<int> kept;
    for (size_t i = 0; i < n; i++) {
      if (ids[i] < 0 || ids[i] >= t->sp.GetPieceSize())
        return dg_fail(err, DG_ERR_USAGE, "detokenizing: there is no piece %d", ids[i]);
      if (!t->sp.IsControl(ids[i])) kept.push_back(ids[i]);
    }
    std::string out;
    auto status = t->sp.Decode(kept, &out);
    if (!status.ok()) return failed(err, "detokenizing", status);
    text = dg_strndup(out.data(), out.size());
    return true;
  });
  return text;
}

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

// Feeds the trainer from a callback, remembering its error.
class Sentences : public sentencepiece::SentenceIterator {
 public:
  Sentences(dg_sentence_source *next, void *context, dg_error *err)
      : next_(next), context_(context), err_(err) {
    Next();
  }
  bool done() const override { return state_ <= 0; }
  void Next() override {
    const char *text;
    size_t n;
    state_ = next_(context_, &text, &n, err_);
    if (state_ > 0) value_.assign(text, n);
    if (state_ > 0) count_++;
  }
  const std::string &value() const override { return value_; }
  sentencepiece::util::Status status() const override { return {}; }
  bool broken() const { return state_ < 0; }
  size_t count() const { return count_; }

 private:
  dg_sentence_source *next_;
  void *context_;
  dg_error *err_;
  int state_ = 0;
  size_t count_ = 0;
  std::string value_;
};

std::string joined(const char *const *list, size_t n) {
  std::string s;
  for (size_t i = 0; i < n; i++) s += (i ? "," : "") + std::string(list[i]);
  return s;
}

}  // namespace

extern "C" dg_tokenizer *dg_tokenizer_train(const dg_tokenizer_options *o, dg_sentence_source *next,
                                            void *context, dg_error *err) {
  std::string model;
  bool ok = guarded(err, "training the tokenizer", [&] {
    Sentences sentences(next, context, err);
    std::unordered_map<std::string, std::string> args = {
        {"model_type", o->type == DG_TOKENIZER_BPE ? "bpe" : "unigram"},
        {"vocab_size", std::to_string(o->vocab_size)},
        {"character_coverage", std::to_string(o->character_coverage)},
        {"byte_fallback", o->byte_fallback ? "true" : "false"},
        {"normalization_rule_name", o->normalization},
        {"pad_id", "0"},
        {"unk_id", "1"},
        {"bos_id", "2"},
        {"eos_id", "3"},
        {"split_digits", "true"},
        {"max_sentence_length", "16384"},
        {"train_extremely_large_corpus", "true"},
        // The trainer's sums depend on how work is cut: a fixed number of
        // threads gives the same model on every machine.
        {"num_threads", "2"},
        {"minloglevel", o->quiet ? "2" : "0"},
    };
    if (o->tag_count) args["control_symbols"] = joined(o->tags, o->tag_count);
    if (o->user_symbol_count)
      args["user_defined_symbols"] = joined(o->user_symbols, o->user_symbol_count);
    if (o->max_sentences) args["input_sentence_size"] = std::to_string(o->max_sentences);
    auto status = SentencePieceTrainer::Train(args, &sentences, &model);
    if (sentences.broken()) return false;
    if (!status.ok()) return failed(err, "training the tokenizer", status);
    return true;
  });
  return ok ? dg_tokenizer_load(model.data(), model.size(), err) : nullptr;
}
