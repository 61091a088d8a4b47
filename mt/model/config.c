#include "mt/model/config.h"

#include <string.h>

static const char *const norm_names[] = {"layernorm", "rmsnorm", NULL};
static const char *const position_names[] = {"none", "sinusoidal", "learned", "relative", NULL};
static const char *const activation_names[] = {"relu", "gelu", "gelu_tanh", "silu", NULL};

#define MEMBER(field) offsetof(dg_model_config, field), sizeof(((dg_model_config *)0)->field)
#define INT(field, initial, least, most, help) \
  {#field, DG_OPTION_INT, MEMBER(field), initial, least, most, NULL, help}
#define FLOAT(field, initial, least, most, help) \
  {#field, DG_OPTION_FLOAT, MEMBER(field), initial, least, most, NULL, help}
#define BOOL(field, initial, help) \
  {#field, DG_OPTION_BOOL, MEMBER(field), initial, 0, 0, NULL, help}
#define ENUM(field, initial, choices, help) \
  {#field, DG_OPTION_ENUM, MEMBER(field), initial, 0, 0, choices, help}
#define TEXT(field, initial, help) \
  {#field, DG_OPTION_STRING, MEMBER(field), initial, 0, 0, NULL, help}

const dg_option dg_model_config_options[] = {
    INT(d_model, "256", 1, 16384, "width of the residual stream"),
    INT(encoder_layers, "6", 1, 256, "layers of the encoder"),
    INT(decoder_layers, "3", 1, 256, "layers of the decoder"),
    INT(heads, "4", 1, 256, "attention heads"),
    INT(head_dim, "0", 0, 4096, "width of one head; 0: d_model / heads"),
    INT(ffn_dim, "1024", 1, 131072, "hidden width of the feed-forward sublayer"),
    INT(vocab_size, "0", 0, 4194304, "pieces; 0: what the tokenizer has"),
    INT(target_vocab_size, "0", 0, 4194304, "pieces of the target side; 0: vocab_size"),
    BOOL(pre_norm, "true", "normalise before each sublayer, else after its residual sum"),
    BOOL(final_norm, "true", "normalise at the end of each stack"),
    BOOL(embedding_norm, "false", "normalise the embedded input of each stack"),
    ENUM(norm, "layernorm", norm_names, "kind of normalisation"),
    FLOAT(norm_eps, "1e-5", 0, 1, "added to the variance"),
    ENUM(position, "sinusoidal", position_names, "how positions are told"),
    INT(max_positions, "512", 1, 1048576, "rows of the position table"),
    INT(position_offset, "0", 0, 1024, "table row of the first token"),
    BOOL(sinusoid_inclusive, "false", "the lowest frequency is exactly 1/10000"),
    INT(relative_buckets, "32", 2, 4096, "buckets of relative positions"),
    INT(relative_distance, "128", 2, 65536, "distance beyond which all share a bucket"),
    ENUM(activation, "relu", activation_names, "of the feed-forward sublayer"),
    BOOL(gated_ffn, "false", "act(W x) * (V x) instead of act(W x)"),
    BOOL(attention_bias, "true", "biases in attention projections"),
    BOOL(ffn_bias, "true", "biases in the feed-forward sublayer"),
    BOOL(norm_bias, "true", "biases in layer norms"),
    BOOL(output_bias, "false", "a bias on the logits"),
    BOOL(tie_source_target, "true", "one embedding for both sides"),
    BOOL(tie_output, "true", "output projection = target embedding"),
    FLOAT(embedding_scale, "0", 0, 1e6, "embeddings are multiplied by it; 0: sqrt(d_model)"),
    FLOAT(attention_scale, "0", 0, 1e6, "scores are multiplied by it; 0: 1/sqrt(head_dim)"),
    FLOAT(output_scale, "1", 0, 1e6, "decoder states are multiplied by it before the output"),
    TEXT(source_format, "<src> <tgt> X </s>", "what surrounds a source sentence"),
    TEXT(target_format, "<tgt> X </s>", "what surrounds a target sentence"),
    TEXT(tag_format, "<2%s>", "the piece that names a language"),
    {NULL, DG_OPTION_INT, 0, 0, NULL, 0, 0, NULL, NULL},
};

int dg_target_vocab(const dg_model_config *c) {
  return c->target_vocab_size ? c->target_vocab_size : c->vocab_size;
}

int dg_first_extra(const dg_model_config *c) {
  int target = dg_target_vocab(c);
  return target > c->vocab_size ? target : c->vocab_size;
}

int dg_first_tag(const dg_model_config *c) { return dg_first_extra(c) + DG_NEW_PIECES_MOST; }

/* Whether the format has exactly one item X. */
static bool has_sentence(const char *format) {
  int found = 0;
  for (const char *p = format; *p;) {
    p += strspn(p, " ");
    size_t n = strcspn(p, " ");
    if (n == 1 && *p == 'X') found++;
    p += n;
  }
  return found == 1;
}

size_t dg_longest_text(const dg_model_config *c) {
  bool table = c->position == DG_POSITION_SINUSOIDAL || c->position == DG_POSITION_LEARNED;
  return table ? (size_t)(c->max_positions - c->position_offset) : SIZE_MAX;
}

bool dg_model_config_check(dg_model_config *c, dg_error *err) {
  if (!dg_options_check(dg_model_config_options, c, err)) return false;
  if (!c->head_dim) {
    if (c->d_model % c->heads)
      return dg_fail(err, DG_ERR_USAGE,
                     "d_model %d is not a multiple of heads %d: change one, or set head_dim",
                     c->d_model, c->heads);
    c->head_dim = c->d_model / c->heads;
  }
  if (c->vocab_size < 2)
    return dg_fail(err, DG_ERR_USAGE, "vocab_size %d is too small for a model", c->vocab_size);
  if (c->target_vocab_size == 1 ||
      (c->tie_source_target && dg_target_vocab(c) != c->vocab_size))
    return dg_fail(err, DG_ERR_USAGE,
                   "target_vocab_size %d does not go with vocab_size %d: one embedding for both "
                   "sides has one size",
                   c->target_vocab_size, c->vocab_size);
  if (c->position_offset >= c->max_positions)
    return dg_fail(err, DG_ERR_USAGE, "position_offset %d leaves no rows of max_positions %d",
                   c->position_offset, c->max_positions);
  if (c->position == DG_POSITION_RELATIVE && (c->relative_buckets % 4 ||
                                              c->relative_distance <= c->relative_buckets / 2))
    return dg_fail(err, DG_ERR_USAGE,
                   "relative_buckets %d must be a multiple of 4 and under twice "
                   "relative_distance %d",
                   c->relative_buckets, c->relative_distance);
  if (!has_sentence(c->source_format) || !has_sentence(c->target_format))
    return dg_fail(err, DG_ERR_USAGE,
                   "source_format and target_format each need one X where the sentence goes");
  const char *mark = strstr(c->tag_format, "%s");
  if (!mark || strchr(c->tag_format, '%') != mark || strchr(mark + 1, '%'))
    return dg_fail(err, DG_ERR_USAGE, "tag_format \"%s\" needs one %%s and no other %%",
                   c->tag_format);
  return true;
}
