/* What is trained beside a frozen base. An adapter is a sum of parts, declared by a
 * configuration; each part names its places in the layers, and the layers consult them
 * alike in training, scoring and decoding. Untrained, an adapter changes nothing, bit
 * for bit. */
#ifndef DG_MODEL_ADAPTER_H
#define DG_MODEL_ADAPTER_H

#include "mt/model/config.h"
#include "mt/model/params.h"

typedef enum dg_method {
  DG_METHOD_BOTTLENECK = 1, /* small layers (Houlsby et al. 2019; Bapna & Firat 2019) */
  DG_METHOD_LORA = 2,       /* low-rank products (Hu et al. 2022) */
  DG_METHOD_IA3 = 4,        /* factors on keys, values and hidden units (Liu et al. 2022) */
  DG_METHOD_BIASES = 8,     /* differences to biases; with norms: BitFit (Ben Zaken et al. 2022) */
  DG_METHOD_NORMS = 16,     /* differences to the gains and biases of norms */
  DG_METHOD_TAG = 32        /* tags of its own for languages that the base knows, too */
} dg_method;
/* "bottleneck+norms+tag"; "bitfit" is biases+norms. 0 with an error for other words. */
unsigned dg_method_parse(const char *text, dg_error *err);
/* The method whose setting that is; 0: of several, or none. */
unsigned dg_method_of_setting(const char *name);

typedef enum dg_placement {
  DG_PLACE_LAYER,    /* after each layer, on the residual stream */
  DG_PLACE_SUBLAYER, /* after each sublayer's projection, before its residual sum */
  DG_PLACE_PARALLEL  /* beside a sublayer, reading what it reads (He et al. 2022) */
} dg_placement;

/* Where rows of pieces count: as sources are read, as targets are read and said. */
typedef enum dg_embedding_side {
  DG_EMBED_AUTO, /* to be settled before there is an adapter */
  DG_EMBED_SOURCE,
  DG_EMBED_TARGET,
  DG_EMBED_BOTH
} dg_embedding_side;

typedef struct dg_adapter_config {
  char method[64];
  dg_placement placement;
  char sublayers[32]; /* where, unless after layers: "self,cross,ffn", or "auto" */
  int width;
  double scale;          /* of a bottleneck's output; 0: 1, in parallel 4 */
  int norm;              /* on its input: 0 auto (unless it follows a projection), 1 yes, 2 no */
  dg_activation activation;
  int rank;
  double alpha;          /* LoRA products are scaled by alpha/rank, */
  bool rslora;           /* or by alpha/sqrt(rank) (Kalajdzievski 2023) */
  char projections[160]; /* "q,v,ffn.in", or "all" */
  char encoder_layers[160], decoder_layers[160]; /* "all", "none", "0-5,11" */
  int new_pieces; /* of a vocabulary beside the base's */
  int embeddings; /* of the base's pieces, to which it adds differences */
  dg_embedding_side embedding_side;
} dg_adapter_config;
extern const dg_option dg_adapter_config_options[];
/* As dg_options_to_json, without the settings that its method does not read. */
json_t *dg_adapter_config_json(const dg_adapter_config *c);

/* Rows [out,in] one below the other for `count` of a product's projections, `up` one for
 * each: adds up(scale * down(x)) to the columns from `first` on. */
typedef struct dg_low_rank {
  size_t count;
  dg_linear down, up[3];
  size_t first[3];
  float scale;
} dg_low_rank;

/* A bottleneck; absent when ffn.in.out is 0. */
typedef struct dg_block {
  dg_ffn ffn; /* without a norm when its gain is NULL */
  dg_activation activation;
  float scale;
  bool parallel;
} dg_block;

/* What an adapter adds to one product of the base, which may hold several projections. */
typedef struct dg_product_part {
  dg_low_rank low_rank;
  const float *bias; /* added to the base's, or NULL */
  float *bias_grad;
} dg_product_part;

/* The products of a sublayer: of its input, of the encoder's output, and into the
 * residual stream. */
typedef enum dg_product { DG_PRODUCT_IN, DG_PRODUCT_MEMORY, DG_PRODUCT_OUT } dg_product;

/* What an adapter adds to one sublayer. */
typedef struct dg_sublayer_part {
  dg_product_part product[3];
  dg_norm norm;       /* added to the base's */
  const float *scale; /* multiplies keys and values [2*inner], hidden units [ffn_dim], or NULL */
  float *scale_grad;
  dg_block block;
} dg_sublayer_part;

typedef struct dg_adapter_layer {
  dg_sublayer_part self, cross, ffn;
  dg_block after;
} dg_adapter_layer;

typedef struct dg_adapter_stack {
  size_t count;
  dg_adapter_layer *layers;
  dg_norm embedding_norm, final_norm; /* added to the base's */
} dg_adapter_stack;

/* Rows of pieces, tied as the base's are: source and target may be the same, and the output's
 * weight the target's. NULL, and an output of nothing, on a side that has none. */
typedef struct dg_piece_rows {
  const float *source, *target; /* [pieces, d_model] */
  float *source_grad, *target_grad;
  dg_linear output;
} dg_piece_rows;

/* Differences to the rows of some of the base's pieces. */
typedef struct dg_row_changes {
  dg_piece_rows rows;
  int32_t *ids;   /* [embeddings] */
  int32_t *place; /* in ids, by piece, or -1; NULL before they are chosen */
} dg_row_changes;

/* Extra tokens: embedding rows for ids from dg_first_tag on, such as the tag of a new language.
 * They are read as input, never predicted. */
typedef struct dg_adapter {
  dg_adapter_config config;
  dg_model_config model; /* of the base */
  size_t d_model, extra_tokens;
  dg_params params;
  dg_adapter_stack encoder, decoder;
  const float *extra; /* [extra_tokens, d_model] */
  float *extra_grad;
  dg_piece_rows pieces; /* new ones, ids from dg_first_extra on */
  dg_row_changes changes;
} dg_adapter;

/* All values zero. Refuses a declaration that makes no sense, or nothing to train. */
dg_adapter *dg_adapter_new(const dg_model_config *model, const dg_adapter_config *config,
                           size_t extra_tokens, dg_error *err);
/* The pieces whose rows change, as many as its declaration says. Without them it changes
 * none. */
bool dg_adapter_choose(dg_adapter *a, const int32_t *ids, dg_error *err);
void dg_adapter_initialize(dg_adapter *a, uint64_t seed); /* leaves extra and rows of pieces zero */
bool dg_adapter_train(dg_adapter *a, dg_error *err);      /* allocates gradients, zeroed */
void dg_adapter_free(dg_adapter *a);

/* Where in a stack something is, from the embeddings (0) upwards: the sublayers of layer i
 * are at dg_depth(i, ...), what follows the layer at DG_AFTER. */
typedef enum dg_place { DG_SELF, DG_CROSS, DG_FFN, DG_AFTER } dg_place;
size_t dg_depth(size_t layer, dg_place place);
enum { DG_DEPTH_EMBEDDING = 0 };
#define DG_DEPTH_NONE SIZE_MAX
/* The lowest place of a stack with anything trained in it: no gradient need go below it.
 * DG_DEPTH_NONE when there is none. */
size_t dg_adapter_lowest(const dg_adapter_stack *s);

#endif
