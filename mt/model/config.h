/* The shape of a Transformer encoder-decoder. Everything a public checkpoint
 * family varies is a switch here; nothing about a model is assumed elsewhere. */
#ifndef DG_MODEL_CONFIG_H
#define DG_MODEL_CONFIG_H

#include "mt/core/options.h"

typedef enum dg_norm_type { DG_LAYERNORM, DG_RMSNORM } dg_norm_type;
typedef enum dg_position_type {
  DG_POSITION_NONE,
  DG_POSITION_SINUSOIDAL, /* [sin..., cos...] halves, Vaswani et al. 2017 up to order */
  DG_POSITION_LEARNED,
  DG_POSITION_RELATIVE /* T5 buckets, in self-attention, shared by all layers */
} dg_position_type;
typedef enum dg_activation { DG_RELU, DG_GELU, DG_GELU_TANH, DG_SILU } dg_activation;

enum { DG_FORMAT_MAX = 128 };

typedef struct dg_model_config {
  int d_model, encoder_layers, decoder_layers, heads, head_dim /* 0: d_model/heads */, ffn_dim;
  int vocab_size;
  int target_vocab_size; /* 0: vocab_size */
  bool pre_norm;       /* norm before each sublayer, else after its residual sum */
  bool final_norm;     /* a norm at the end of each stack */
  bool embedding_norm; /* a norm on the embedded input of each stack */
  dg_norm_type norm;
  double norm_eps;
  dg_position_type position;
  int max_positions;
  int position_offset;      /* table row of the first token: M2M-100 2, Marian 0 */
  bool sinusoid_inclusive;  /* lowest frequency exactly 1/10000 (M2M-100) */
  int relative_buckets, relative_distance;
  dg_activation activation;
  bool gated_ffn;           /* act(W x) * (V x), Shazeer 2020 */
  bool attention_bias, ffn_bias, norm_bias, output_bias;
  bool tie_source_target;   /* one embedding for both sides */
  bool tie_output;          /* output projection = target embedding */
  double embedding_scale;   /* 0: sqrt(d_model) */
  double attention_scale;   /* 0: 1/sqrt(head_dim) */
  double output_scale;      /* of the decoder state before the output projection */
  /* What surrounds a sentence, as space-separated items: <src> and <tgt> are the
   * language tags, X the sentence, other items literal pieces. The decoder reads
   * the target sequence shifted by one; items before X are forced in search. */
  char source_format[DG_FORMAT_MAX], target_format[DG_FORMAT_MAX];
  char tag_format[32]; /* a language's tag piece, "<2%s>" */
} dg_model_config;

extern const dg_option dg_model_config_options[];

/* Pieces the decoder reads and predicts. */
int dg_target_vocab(const dg_model_config *c);
/* Ids past both vocabularies: pieces that an adapter adds, then tags of adapters. */
enum { DG_NEW_PIECES_MOST = 1 << 20 };
int dg_first_extra(const dg_model_config *c);
int dg_first_tag(const dg_model_config *c);

/* Tokens that its positions have room for; SIZE_MAX: it has no table of them. */
size_t dg_longest_text(const dg_model_config *c);

/* Sets derived defaults and refuses impossible combinations by name. */
bool dg_model_config_check(dg_model_config *c, dg_error *err);

#endif
