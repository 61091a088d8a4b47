/* Subword tokenization: sentencepiece behind a C interface. The model's bytes
 * are the unit of storage, so that a base file can carry its own tokenizer.
 * A tokenizer is immutable once loaded and may be shared between threads. */
#ifndef DG_TOKENIZER_H
#define DG_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mt/core/error.h"

typedef struct dg_tokenizer dg_tokenizer;

/* A serialised sentencepiece model; the bytes are copied. Models trained here end in
 * a checksum that is verified, others are checked for sense. */
dg_tokenizer *dg_tokenizer_load(const void *bytes, size_t size, dg_error *err);
dg_tokenizer *dg_tokenizer_load_file(const char *path, dg_error *err);
/* A tokenizer.json of Hugging Face, Unigram or BPE, its ids as they are there. What a
 * sentencepiece model cannot do is refused by name. */
dg_tokenizer *dg_tokenizer_load_hf(const char *path, dg_error *err);
void dg_tokenizer_free(dg_tokenizer *t);
const void *dg_tokenizer_bytes(const dg_tokenizer *t, size_t *size); /* owned by t */

int32_t dg_tokenizer_size(const dg_tokenizer *t); /* one past the last id */
int32_t dg_tokenizer_unk(const dg_tokenizer *t);  /* the ids below are -1 when absent */
int32_t dg_tokenizer_bos(const dg_tokenizer *t);
int32_t dg_tokenizer_eos(const dg_tokenizer *t);
int32_t dg_tokenizer_pad(const dg_tokenizer *t);
const char *dg_tokenizer_piece(const dg_tokenizer *t, int32_t id); /* NULL when there is none */
int32_t dg_tokenizer_id(const dg_tokenizer *t, const char *piece); /* -1 when absent */
/* Control pieces (specials and language tags) have no surface and are never
 * produced by encoding text. */
bool dg_tokenizer_is_control(const dg_tokenizer *t, int32_t id);
bool dg_tokenizer_is_bpe(const dg_tokenizer *t);

/* Words that were added beside a sentencepiece model, as tokenizers of Hugging Face have them:
 * text is cut at the longest of them first, what lies between is encoded each for itself. */
enum {
  DG_WORD = 1,
  DG_WORD_SILENT = 2, /* it has no text: decoding passes over it */
  DG_WORD_NORMAL = 4, /* it is looked for in normalised text */
  DG_WORD_GLUED = 8,  /* decoding puts no spaces around it */
  DG_WORD_TIDY = 16,  /* nor one before a full stop, comma, ... */
  DG_WORD_BARE = 32,  /* what follows it begins with U+2581 only where the text has a space */
  DG_WORD_SPLIT = 64  /* spaces before it are no pieces, even in normalised text */
};

/* One token; text is bytes [begin,end) of the input, before normalisation. The byte
 * tokens of a character that has no piece all have its whole span. */
typedef struct dg_token {
  int32_t id;
  uint32_t begin, end;
} dg_token;

/* A reusable list of tokens; zero-initialise, release with dg_tokens_free. */
typedef struct dg_tokens {
  dg_token *items;
  size_t count, capacity;
} dg_tokens;
void dg_tokens_free(dg_tokens *tokens);

/* Replaces the contents of *out with the best segmentation of text[0,n). */
bool dg_tokenizer_encode(const dg_tokenizer *t, const char *text, size_t n, dg_tokens *out,
                         dg_error *err);

/* The pieces as text, a space between them; characters without a piece as they are. The
 * caller frees it. */
char *dg_tokenizer_pieces(const dg_tokenizer *t, const char *text, size_t n, dg_error *err);

/* A random segmentation for subword regularisation (Kudo 2018 for unigram:
 * alpha smooths the distribution over the `nbest` best segmentations, nbest -1
 * meaning all, 1024 the most; for BPE alpha is the merge dropout probability of
 * Provilkov et al. 2020). User symbols stay whole. The same seed gives the same
 * segmentation. */
bool dg_tokenizer_sample(const dg_tokenizer *t, const char *text, size_t n, int nbest, double alpha,
                         uint64_t seed, dg_tokens *out, dg_error *err);

/* Up to `n` best segmentations with their scores, best first (unigram only).
 * outs[0..*found) are replaced; scores may be NULL. */
bool dg_tokenizer_nbest(const dg_tokenizer *t, const char *text, size_t length, size_t n,
                        dg_tokens *outs, float *scores, size_t *found, dg_error *err);

/* Text as it is cut up: normalised, with U+2581 for spaces, without added words. The caller
 * frees it. */
char *dg_tokenizer_normalize(const dg_tokenizer *t, const char *text, size_t n, dg_error *err);
/* The best segmentation of such text, which may begin inside a word, by a unigram or BPE
 * model; without user symbols. Tokens' places are in it. */
bool dg_tokenizer_cut(const dg_tokenizer *t, const char *text, size_t n, dg_tokens *out,
                      dg_error *err);

/* Exact inverse of encoding up to normalisation. Control ids are skipped.
 * The result is NUL-terminated; the caller frees it. */
char *dg_tokenizer_decode(const dg_tokenizer *t, const int32_t *ids, size_t n, dg_error *err);

/* A tokenizer with only the pieces whose ids `keep` names; they move up and keep their
 * order. What else is needed is kept and named in `keep`: the unknown piece, bytes, user
 * symbols, what BPE merges on the way. A text all of whose pieces are kept is cut up as before. */
dg_tokenizer *dg_tokenizer_trim(const dg_tokenizer *t, bool *keep, dg_error *err);

/* t with control pieces after its own, such as tags; their ids begin at `first`, past all of
 * t's. */
dg_tokenizer *dg_tokenizer_with_tags(const dg_tokenizer *t, const char *const *tags, size_t count,
                                     int32_t first, dg_error *err);

typedef enum dg_tokenizer_type { DG_TOKENIZER_UNIGRAM, DG_TOKENIZER_BPE } dg_tokenizer_type;

typedef struct dg_tokenizer_options {
  dg_tokenizer_type type;
  int32_t vocab_size;           /* all pieces: specials, tags, bytes, learned */
  bool fewer;                   /* a text that cannot fill it may yield fewer */
  double character_coverage;    /* 0.9995 unless told, 0.98 to 1; the rest falls to bytes */
  bool byte_fallback;           /* no text is ever unknown */
  const char *normalization;    /* sentencepiece rule name: nmt_nfkc, nfkc, identity... */
  const char *const *tags;      /* reserved control pieces, e.g. "<2gl>" */
  size_t tag_count;
  const char *const *user_symbols; /* always kept whole in text, e.g. "%s" */
  size_t user_symbol_count;
  size_t max_sentences;         /* 0: all; else sampled evenly, deterministically */
  bool quiet;                   /* silence the trainer's own log */
} dg_tokenizer_options;
dg_tokenizer_options dg_tokenizer_defaults(void);

/* Yields training sentences: 1 and *text,*n; 0 at the end; -1 with an error. */
typedef int dg_sentence_source(void *context, const char **text, size_t *n, dg_error *err);

/* Trains on the sentences and returns the loaded result. Special ids are
 * pad 0, unk 1, bos 2, eos 3; tags follow, then user symbols. The same input gives
 * the same bytes, whatever the machine's number of CPUs. A vocabulary the text cannot
 * fill is an error that names the largest it can. */
dg_tokenizer *dg_tokenizer_train(const dg_tokenizer_options *options, dg_sentence_source *next,
                                 void *context, dg_error *err);

#endif
