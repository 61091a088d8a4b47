/* A CTranslate2 model's shape, which its variables say. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mt/core/mem.h"
#include "mt/import/ct2_model.h"

enum { NAME_MOST = 128, DISTANCE_MOST = 1 << 20 };

/* --- variables ------------------------------------------------------------------------------ */

const dg_ct2_variable *dg_ct2_part(const dg_ct2_model *m, const char *format, ...) {
  char name[NAME_MOST];
  va_list args;
  va_start(args, format);
  vsnprintf(name, sizeof name, format, args);
  va_end(args);
  return dg_ct2_find(m->ct2, name);
}

/* An attribute of a side; before revision 5 both had one. */
static double attribute(const dg_ct2_model *m, const char *side, const char *name, double absent) {
  char full[NAME_MOST];
  snprintf(full, sizeof full, "%s/%s", side, name);
  return dg_ct2_number(m->ct2, full, dg_ct2_number(m->ct2, name, absent));
}

const dg_ct2_variable *dg_ct2_embeddings(const dg_ct2_model *m, bool decoder) {
  const dg_ct2_variable *v = dg_ct2_part(m, decoder ? "decoder/embeddings/weight"
                                             : "encoder/embeddings/weight");
  return v || decoder ? v : dg_ct2_part(m, "encoder/embeddings_0/weight");
}

void dg_ct2_forget(const dg_ct2_variable *v, size_t first, size_t rows) {
  size_t row = v->shape[0] ? v->count / v->shape[0] * dg_dtype_size(v->dtype) : 0;
  dg_map_forget(v->data + first * row, rows * row);
}

static bool same(const dg_ct2_variable *a, const dg_ct2_variable *b) {
  if (!a || !b || a == b) return a == b && a;
  bool equal = a->dtype == b->dtype && a->dims == b->dims && a->count == b->count &&
               !memcmp(a->shape, b->shape, sizeof a->shape) &&
               !memcmp(a->data, b->data, a->count * dg_dtype_size(a->dtype));
  dg_ct2_forget(a, 0, a->shape[0]);
  dg_ct2_forget(b, 0, b->shape[0]);
  return equal;
}

/* Whatever is not known here would be computed in some way that is not known either. */
bool dg_ct2_known(const char *name, dg_error *err) {
  static const char known[] =
      " encoder decoder embeddings embeddings_0 projection layer_norm layernorm_embedding "
      "position_encodings self_attention attention ffn linear_0 linear_0_noact linear_1 linear_2 "
      "weight weight_scale bias gamma beta encodings num_heads pre_norm activation "
      "embeddings_merge scale_embeddings multiply_by_sqrt_depth alignment_layer alignment_heads "
      "start_from_zero_embedding scale_outputs queries_scale relative_attention_bias "
      "relative_attention_max_distance multi_query_attention alibi alibi_use_positive_positions "
      "scale_alibi unk_token bos_token eos_token with_source_bos "
      "with_source_eos with_target_bos user_decoder_start_tokens ";
  for (const char *at = name; *at;) {
    size_t n = strcspn(at, "/");
    char item[NAME_MOST];
    int layer, used = 0;
    snprintf(item, sizeof item, " %.*s ", (int)(n < 100 ? n : 100), at);
    bool ok = strstr(known, item) ||
              (sscanf(item, " layer_%d%n", &layer, &used) == 1 && (size_t)used == n + 1);
    if (!ok)
      return dg_fail(err, DG_ERR_UNSUPPORTED, "%.100s: a part of a model this program has not",
                     name);
    at += n + (at[n] == '/');
  }
  return true;
}

/* --- shape ---------------------------------------------------------------------------------- */

static int count_layers(const dg_ct2_model *m, const char *side) {
  int n = 0;
  while (dg_ct2_part(m, "%s/layer_%d/ffn/linear_0/weight", side, n)) n++;
  return n;
}

static bool refuse(const char *what, dg_error *err) {
  return dg_fail(err, DG_ERR_UNSUPPORTED, "%s", what);
}

static float sinusoid(const dg_model_config *c, size_t position, size_t column) {
  size_t half = (size_t)c->d_model / 2, i = column % half;
  double span = (double)half - (c->sinusoid_inclusive ? 1 : 0);
  double angle = (double)position * exp(-(double)i * log(10000) / span);
  return (float)(column < half ? sin(angle) : cos(angle));
}

/* Whether a stored table is that of the formula as `c` has it; one rounded to 16 bits is not. */
static bool is_sinusoid(const dg_ct2_model *m, const dg_ct2_variable *v, const dg_model_config *c) {
  size_t d = (size_t)c->d_model, rows = v->shape[0];
  float *row = dg_malloc(d * sizeof *row);
  bool equal = d % 2 == 0 && d > 2 && v->dtype == DG_F32;
  /* Far rows have angles that fp32 programs round each in its way. */
  for (size_t r = 0; r < rows && r < 64 && equal; r++) {
    equal = dg_ct2_rows(m->ct2, v, r, 1, row, NULL);
    for (size_t k = 0; k < d && equal; k++)
      equal = fabs((double)row[k] -
                   (double)sinusoid(c, r + (size_t)c->position_offset, k)) < 2e-4;
  }
  free(row);
  return equal;
}

static bool set_positions(const dg_ct2_model *m, dg_model_config *c, dg_error *err) {
  const dg_ct2_variable *table[2] = {dg_ct2_part(m, "encoder/position_encodings/encodings"),
                                     dg_ct2_part(m, "decoder/position_encodings/encodings")};
  const dg_ct2_variable *relative[2] = {
      dg_ct2_part(m, "encoder/layer_0/self_attention/relative_attention_bias"),
      dg_ct2_part(m, "decoder/layer_0/self_attention/relative_attention_bias")};
  if (!table[0] != !table[1] || !relative[0] != !relative[1])
    return refuse("encoder and decoder tell positions differently", err);
  if (relative[0]) {
    for (int k = 0; k < 2; k++)
      if (relative[k]->dims != 2 || relative[k]->shape[1] != (size_t)c->heads ||
          relative[k]->shape[0] != relative[0]->shape[0] || relative[k]->shape[0] > 4096)
        return dg_fail(err, DG_ERR_FORMAT, "relative_attention_bias has an odd shape");
    c->position = DG_POSITION_RELATIVE;
    c->relative_buckets = (int)relative[0]->shape[0];
    double distance = dg_ct2_number(
        m->ct2, "encoder/layer_0/self_attention/relative_attention_max_distance", 128);
    c->relative_distance = (int)(distance >= 0 && distance <= DISTANCE_MOST ? distance : 0);
    return c->relative_distance ||
           dg_fail(err, DG_ERR_FORMAT, "relative_attention_max_distance is %g", distance);
  }
  c->position = DG_POSITION_SINUSOIDAL;
  c->sinusoid_inclusive = true;
  c->position_offset = 1;
  c->max_positions = DG_OPEN_POSITIONS;
  if (!table[0]) return true; /* as CTranslate2 computes them */
  for (int k = 0; k < 2; k++)
    if (table[k]->dims != 2 || table[k]->shape[1] != (size_t)c->d_model || !table[k]->shape[0] ||
        table[k]->shape[0] > (1 << 20) || table[k]->shape[0] != table[0]->shape[0])
      return dg_fail(err, DG_ERR_FORMAT, "position_encodings has an odd shape");
  for (int inclusive = 0; inclusive < 2; inclusive++)
    for (c->position_offset = 0; c->position_offset < 4; c->position_offset++) {
      c->sinusoid_inclusive = inclusive;
      c->max_positions = (int)table[0]->shape[0] + c->position_offset;
      if (is_sinusoid(m, table[0], c) && same(table[0], table[1])) return true;
    }
  c->position = DG_POSITION_LEARNED;
  c->position_offset = 0;
  c->sinusoid_inclusive = false;
  c->max_positions = (int)table[0]->shape[0];
  return true;
}

static bool set_activation(const dg_ct2_model *m, dg_model_config *c, dg_error *err) {
  static const int known[] = {DG_RELU, DG_GELU_TANH, DG_SILU, DG_GELU};
  static const char *const others[] = {"GELUSigmoid", "Tanh", "Sigmoid"};
  double said = attribute(m, "encoder", "activation", 0);
  int code = said >= 0 && said <= 100 ? (int)said : -1;
  if (said != attribute(m, "decoder", "activation", 0))
    return refuse("encoder and decoder have different activations", err);
  if (code < 0 || code > 3)
    return dg_fail(err, DG_ERR_UNSUPPORTED, "activation %d, %s: one this program does not have",
                   code, code > 3 && code < 7 ? others[code - 4] : "unknown");
  c->activation = (dg_activation)known[code];
  return true;
}

static double embedding_scale(const dg_ct2_model *m, bool decoder) {
  const char *side = decoder ? "decoder" : "encoder";
  const dg_ct2_variable *v = dg_ct2_part(m, "%s/scale_embeddings", side);
  if (!v) v = dg_ct2_part(m, "%s/embeddings/multiply_by_sqrt_depth", side);
  double value = v ? dg_ct2_number(m->ct2, v->name, 1) : 1;
  double root = sqrt((double)dg_ct2_embeddings(m, decoder)->shape[1]);
  if (!v || v->dtype == DG_I8) return value != 0 ? root : 1;
  return value;
}

static bool has(const dg_ct2_model *m, const char *name) {
  return dg_ct2_find(m->ct2, name) != NULL;
}

static bool set_sizes(const dg_ct2_model *m, dg_model_config *c, dg_error *err) {
  const dg_ct2_variable *source = dg_ct2_embeddings(m, false), *target = dg_ct2_embeddings(m, true);
  const dg_ct2_variable *qkv = dg_ct2_part(m, "encoder/layer_0/self_attention/linear_0/weight");
  const dg_ct2_variable *ffn = dg_ct2_part(m, "encoder/layer_0/ffn/linear_0/weight");
  const dg_ct2_variable *output = dg_ct2_part(m, "decoder/projection/weight");
  if (!source || !target || !qkv || !ffn || !output || source->dims != 2 || target->dims != 2 ||
      qkv->dims != 2 || ffn->dims != 2 || output->dims != 2)
    return dg_fail(err, DG_ERR_FORMAT, "it lacks what every encoder and decoder has");
  const char *spec = dg_ct2_spec(m->ct2);
  int old_heads = !strcmp(spec, "TransformerBig") ? 16 : 8;
  if (strcmp(spec, "TransformerSpec") && strncmp(spec, "Transformer", 11) && *spec)
    return dg_fail(err, DG_ERR_UNSUPPORTED, "it is a %.60s, not a TransformerSpec", spec);
  double heads = attribute(m, "encoder", "num_heads", old_heads);
  if (heads != attribute(m, "decoder", "num_heads", old_heads))
    return refuse("encoder and decoder have different numbers of heads", err);
  size_t inner = qkv->shape[0] / 3;
  if (!(heads >= 1 && heads <= 256) || inner % (size_t)heads || source->shape[1] > 16384 ||
      inner / (size_t)heads > 4096 || ffn->shape[0] > 131072 || target->shape[0] > (1 << 22) - 1 ||
      source->shape[0] > (1 << 22) - 1)
    return dg_fail(err, DG_ERR_FORMAT, "its sizes make no sense");
  c->heads = (int)heads;
  c->head_dim = (int)(inner / (size_t)heads);
  c->d_model = (int)source->shape[1];
  c->ffn_dim = (int)ffn->shape[0];
  c->encoder_layers = count_layers(m, "encoder");
  c->decoder_layers = count_layers(m, "decoder");
  if (!c->encoder_layers || c->encoder_layers > 256 || !c->decoder_layers ||
      c->decoder_layers > 256)
    return refuse("it has not an encoder and a decoder of 1 to 256 layers", err);
  c->tie_source_target = same(source, target);
  c->tie_output = same(target, output);
  int extra = m->zero_start;
  c->vocab_size = (int)source->shape[0] + (c->tie_source_target ? extra : 0);
  int target_vocab = (int)target->shape[0] + extra;
  if (target_vocab != c->vocab_size) c->target_vocab_size = target_vocab;
  return true;
}

bool dg_ct2_shape(dg_ct2_model *m, dg_error *err) {
  dg_model_config *c = &m->shape;
  dg_options_defaults(dg_model_config_options, c);
  m->zero_start = dg_ct2_number(m->ct2, "decoder/start_from_zero_embedding", 0) != 0;
  if (!set_sizes(m, c, err) || !set_activation(m, c, err)) return false;
  if (attribute(m, "encoder", "multi_query_attention", 0) != 0 ||
      attribute(m, "decoder", "alibi", 0) != 0)
    return refuse("multi_query_attention or alibi: a model this program has not", err);
  c->pre_norm = attribute(m, "encoder", "pre_norm", 1) != 0;
  if (c->pre_norm != (attribute(m, "decoder", "pre_norm", 1) != 0))
    return refuse("pre_norm differs between encoder and decoder", err);
  c->final_norm = has(m, "encoder/layer_norm/gamma");
  c->embedding_norm = has(m, "encoder/layernorm_embedding/gamma");
  if (c->final_norm != has(m, "decoder/layer_norm/gamma") ||
      c->embedding_norm != has(m, "decoder/layernorm_embedding/gamma"))
    return refuse("encoder and decoder have different norms", err);
  c->norm_bias = has(m, "encoder/layer_0/ffn/layer_norm/beta");
  c->norm = c->norm_bias ? DG_LAYERNORM : DG_RMSNORM;
  const json_t *eps = json_object_get(m->config, "layer_norm_epsilon");
  c->norm_eps = json_is_number(eps) ? json_number_value(eps) : c->norm_bias ? 1e-5 : 1e-6;
  c->gated_ffn = has(m, "encoder/layer_0/ffn/linear_0_noact/weight");
  c->attention_bias = has(m, "encoder/layer_0/self_attention/linear_0/bias");
  c->ffn_bias = has(m, "encoder/layer_0/ffn/linear_0/bias");
  c->output_bias = m->zero_start || has(m, "decoder/projection/bias");
  c->embedding_scale = embedding_scale(m, false);
  if (fabs(c->embedding_scale - embedding_scale(m, true)) > 1e-6)
    return refuse("scale_embeddings differs between encoder and decoder", err);
  double usual = 1 / sqrt(c->head_dim);
  const double scale = dg_ct2_number(
      m->ct2, "encoder/layer_0/self_attention/queries_scale", usual);
  c->attention_scale = fabs(scale - usual) < 1e-7 ? 0 : scale;
  c->output_scale = dg_ct2_number(m->ct2, "decoder/scale_outputs", 1);
  return set_positions(m, c, err);
}
