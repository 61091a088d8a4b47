/* CTranslate2 directories and Argos packages. model.bin says the model's shape by its
 * variables, the vocabulary says by its tags which family it is. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mt/core/mem.h"
#include "mt/import/ctranslate2.h"
#include "mt/import/package.h"
#include "mt/import/source.h"
#include "mt/import/vocabulary.h"
#include "tokenizer/pieces.h"

enum { NAME_MOST = 128, DISTANCE_MOST = 1 << 20 };

typedef struct model {
  dg_package *package;
  const char *folder; /* of model.bin in it: "" or "model/" */
  dg_ct2 *ct2;
  json_t *config; /* config.json, NULL before version 6 */
  dg_model_config shape;
  bool zero_start; /* an id past the target's vocabulary was added to begin with */
} model;

static void close_model(void *context) {
  model *m = context;
  dg_ct2_close(m->ct2);
  dg_package_close(m->package);
  json_decref(m->config);
  free(m);
}

/* --- variables ------------------------------------------------------------------------------ */

static const dg_ct2_variable *find(const model *m, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static const dg_ct2_variable *find(const model *m, const char *format, ...) {
  char name[NAME_MOST];
  va_list args;
  va_start(args, format);
  vsnprintf(name, sizeof name, format, args);
  va_end(args);
  return dg_ct2_find(m->ct2, name);
}

/* An attribute of a side; before revision 5 both had one. */
static double attribute(const model *m, const char *side, const char *name, double absent) {
  char full[NAME_MOST];
  snprintf(full, sizeof full, "%s/%s", side, name);
  return dg_ct2_number(m->ct2, full, dg_ct2_number(m->ct2, name, absent));
}

static const dg_ct2_variable *embeddings(const model *m, bool decoder) {
  const dg_ct2_variable *v = find(m, decoder ? "decoder/embeddings/weight"
                                             : "encoder/embeddings/weight");
  return v || decoder ? v : find(m, "encoder/embeddings_0/weight");
}

/* Rows of a variable, as bytes of the mapped file, are not needed again soon. */
static void forget(const dg_ct2_variable *v, size_t first, size_t rows) {
  size_t row = v->shape[0] ? v->count / v->shape[0] * dg_dtype_size(v->dtype) : 0;
  dg_map_forget(v->data + first * row, rows * row);
}

static bool same(const dg_ct2_variable *a, const dg_ct2_variable *b) {
  if (!a || !b || a == b) return a == b && a;
  bool equal = a->dtype == b->dtype && a->dims == b->dims && a->count == b->count &&
               !memcmp(a->shape, b->shape, sizeof a->shape) &&
               !memcmp(a->data, b->data, a->count * dg_dtype_size(a->dtype));
  forget(a, 0, a->shape[0]);
  forget(b, 0, b->shape[0]);
  return equal;
}

/* Whatever is not known here would be computed in some way that is not known either. */
static bool check_name(const char *name, dg_error *err) {
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

static int count_layers(const model *m, const char *side) {
  int n = 0;
  while (find(m, "%s/layer_%d/ffn/linear_0/weight", side, n)) n++;
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
static bool is_sinusoid(const model *m, const dg_ct2_variable *v, const dg_model_config *c) {
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

static bool set_positions(const model *m, dg_model_config *c, dg_error *err) {
  const dg_ct2_variable *table[2] = {find(m, "encoder/position_encodings/encodings"),
                                     find(m, "decoder/position_encodings/encodings")};
  const dg_ct2_variable *relative[2] = {
      find(m, "encoder/layer_0/self_attention/relative_attention_bias"),
      find(m, "decoder/layer_0/self_attention/relative_attention_bias")};
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

static bool set_activation(const model *m, dg_model_config *c, dg_error *err) {
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

static double embedding_scale(const model *m, bool decoder) {
  const char *side = decoder ? "decoder" : "encoder";
  const dg_ct2_variable *v = find(m, "%s/scale_embeddings", side);
  if (!v) v = find(m, "%s/embeddings/multiply_by_sqrt_depth", side);
  double value = v ? dg_ct2_number(m->ct2, v->name, 1) : 1;
  double root = sqrt((double)embeddings(m, decoder)->shape[1]);
  if (!v || v->dtype == DG_I8) return value != 0 ? root : 1;
  return value;
}

static bool has(const model *m, const char *name) { return dg_ct2_find(m->ct2, name) != NULL; }

static bool set_sizes(const model *m, dg_model_config *c, dg_error *err) {
  const dg_ct2_variable *source = embeddings(m, false), *target = embeddings(m, true);
  const dg_ct2_variable *qkv = find(m, "encoder/layer_0/self_attention/linear_0/weight");
  const dg_ct2_variable *ffn = find(m, "encoder/layer_0/ffn/linear_0/weight");
  const dg_ct2_variable *output = find(m, "decoder/projection/weight");
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

static bool set_shape(model *m, dg_error *err) {
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

/* --- weights -------------------------------------------------------------------------------- */

static const char *leaf(const char *kind) {
  return !strcmp(kind, "gain") ? "gamma" : kind;
}

/* Their name of one of our tensors, and how many rows of it come before ours: q, k and v
 * are one matrix there. */
static const dg_ct2_variable *locate(const model *m, const char *ours, size_t rows, size_t *skip) {
  char side[8], part[8], item[8], kind[8];
  int layer;
  *skip = 0;
  if (sscanf(ours, "%7[a-z].layers.%d.%7[a-z].%7[a-z].%7[a-z]", side, &layer, part, item, kind) ==
      5) {
    bool self = !strcmp(part, "self"), ffn = !strcmp(part, "ffn"), out = !strcmp(item, "out");
    const char *block = ffn ? "ffn" : self ? "self_attention" : "attention";
    if (!strcmp(item, "norm"))
      return find(m, "%s/layer_%d/%s/layer_norm/%s", side, layer, block,
                  !strcmp(kind, "bias") ? "beta" : "gamma");
    if (ffn)
      return find(m, "%s/layer_%d/ffn/linear_%s/%s", side, layer,
                  out                     ? "1"
                  : !strcmp(item, "gate") ? "0_noact"
                                          : "0",
                  kind);
    size_t number = (size_t)(*item == 'k' ? 1 : *item == 'v' ? 2 : 0);
    int linear = self ? out : out ? 2 : number > 0;
    if (!out) *skip = (self ? number : number ? number - 1 : 0) * rows;
    return find(m, "%s/layer_%d/%s/linear_%d/%s", side, layer, block, linear, kind);
  }
  if (!strcmp(ours, "embedding") || !strcmp(ours, "decoder.embedding")) return embeddings(m, true);
  if (!strcmp(ours, "encoder.embedding")) return embeddings(m, false);
  if (!strcmp(ours, "output.weight")) return find(m, "decoder/projection/weight");
  if (!strcmp(ours, "output.bias")) return find(m, "decoder/projection/bias");
  const char *dot = strchr(ours, '.'), *last = strrchr(ours, '.');
  int n = (int)(dot - ours);
  if (!strcmp(dot, ".positions")) return find(m, "%.*s/position_encodings/encodings", n, ours);
  if (!strcmp(dot, ".relative"))
    return find(m, "%.*s/layer_0/self_attention/relative_attention_bias", n, ours);
  const char *norm = !strncmp(dot, ".embedding_norm", 15) ? "layernorm_embedding" : "layer_norm";
  const char *kind_of = leaf(last + 1);
  return find(m, "%.*s/%s/%s", n, ours, norm, !strcmp(kind_of, "bias") ? "beta" : kind_of);
}

static bool misfit(const dg_tensor *t, const dg_ct2_variable *v, dg_error *err) {
  dg_strbuf shape = {0};
  for (size_t i = 0; i < v->dims; i++)
    dg_strbuf_addf(&shape, "%s%zu", i ? " x " : "", v->shape[i]);
  dg_fail(err, DG_ERR_FORMAT, "%.80s is %s, which does not hold the %zu x %zu of %s", v->name,
          shape.text ? shape.text : "a single number", t->rows, t->cols, t->name);
  free(shape.text);
  return false;
}

static bool read_turned(const model *m, const dg_ct2_variable *v, const dg_tensor *t, size_t first,
                        size_t count, float *out, dg_error *err) {
  float *x = dg_malloc(v->count * sizeof *x);
  bool ok = dg_ct2_rows(m->ct2, v, 0, v->shape[0], x, err);
  for (size_t r = 0; r < count && ok; r++)
    for (size_t k = 0; k < t->cols; k++) out[r * t->cols + k] = x[k * t->rows + first + r];
  free(x);
  return ok;
}

static bool read_rows(void *context, const dg_tensor *t, size_t first, size_t count, float *out,
                      dg_error *err) {
  const model *m = context;
  size_t skip, units = t->rows > 1 ? t->rows : t->cols; /* a vector's numbers are its rows */
  const dg_ct2_variable *v = locate(m, t->name, units, &skip);
  bool bias = !strcmp(t->name, "output.bias");
  bool added = m->zero_start && (bias || !strcmp(t->name, "output.weight") ||
                                 dg_ends_with(t->name, "embedding")) &&
               strcmp(t->name, "encoder.embedding") != 0;
  if (!v && bias) { /* the model has none, only our added token */
    memset(out, 0, t->cols * sizeof *out);
    out[t->cols - 1] = dg_source_never;
    return true;
  }
  if (!v) return dg_fail(err, DG_ERR_FORMAT, "model.bin has nothing for %s", t->name);
  if (dg_ends_with(t->name, ".relative"))
    return v->dims == 2 && v->shape[0] == t->cols && v->shape[1] == t->rows
               ? read_turned(m, v, t, first, count, out, err)
               : misfit(t, v, err);
  size_t cols = t->rows > 1 ? t->cols : 1, theirs = units - added;
  size_t width = v->dims == 2 ? v->shape[1] : 1;
  if (!v->dims || v->dims > 2 || width != cols || v->shape[0] < skip + theirs ||
      (!skip && !strstr(v->name, "linear_") && v->shape[0] != theirs))
    return misfit(t, v, err);
  size_t begin = t->rows > 1 ? first : 0, n = t->rows > 1 ? count : t->cols;
  size_t real = begin + n > theirs ? theirs - begin : n;
  if (!dg_ct2_rows(m->ct2, v, skip + begin, real, out, err)) return false;
  forget(v, skip + begin, real);
  for (size_t i = real * cols; i < n * cols; i++) out[i] = bias ? dg_source_never : 0;
  return true;
}

/* --- tokenizer ------------------------------------------------------------------------------ */

/* A token's name in config.json, or in a variable before version 6. */
static char *token_setting(const model *m, const char *name, const char *absent) {
  const json_t *j = json_object_get(m->config, name);
  if (json_is_string(j)) return dg_strdup(json_string_value(j));
  const dg_ct2_variable *v = m->config ? NULL : dg_ct2_find(m->ct2, name);
  if (v && v->dtype == DG_I8 && v->dims == 1)
    return dg_strndup((const char *)v->data, strnlen((const char *)v->data, v->count));
  return absent ? dg_strdup(absent) : NULL;
}

static bool flag_setting(const model *m, const char *key, const char *variable) {
  if (m->config) return json_is_true(json_object_get(m->config, key));
  return dg_ct2_number(m->ct2, variable, 0) != 0;
}

static char *in_folder(const model *m, const char *name) {
  return dg_format("%s%s", m->folder, name);
}

/* NAME.json or NAME.txt; an absent one leaves it empty. */
static bool read_vocabulary(const model *m, const char *name, dg_vocabulary *out, dg_error *err) {
  static const char *const kinds[] = {"json", "txt"};
  for (int i = 0; i < 2; i++) {
    char *file = dg_format("%s%s.%s", m->folder, name, kinds[i]);
    bool there = dg_package_has(m->package, file), ok = !there;
    dg_mapping map;
    if (there && dg_package_map(m->package, file, &map, err)) {
      char *path = dg_package_path(m->package, file);
      ok = dg_vocabulary_read(path, map.data, map.size, out, err);
      free(path);
    }
    free(file);
    if (there || !ok) return ok;
  }
  return true;
}

typedef struct pieces_file {
  const char *source, *target;
} pieces_file;

static dg_pieces *read_pieces(const model *m, const char *name, dg_error *err) {
  dg_mapping map;
  if (!dg_package_map(m->package, name, &map, err)) return NULL;
  dg_pieces *p = dg_pieces_of(dg_tokenizer_load(map.data, map.size, err), err);
  char *path = dg_package_path(m->package, name);
  if (!p) dg_error_context(err, "%s", path);
  free(path);
  return p;
}

/* A vocabulary of single characters needs no sentencepiece model: each is a token. */
static dg_pieces *characters_of(const dg_vocabulary *v, dg_error *err) {
  const char **list = dg_calloc(v->count + 1, sizeof *list);
  size_t n = 0;
  bool ok = true;
  for (size_t i = 0; i < v->count && ok; i++) {
    const char *token = v->tokens[i];
    if (!token || !*token || *token == '<') continue;
    size_t bytes = (unsigned char)*token < 0xC0   ? 1
                   : (unsigned char)*token < 0xE0 ? 2
                   : (unsigned char)*token < 0xF0 ? 3
                                                  : 4;
    ok = strlen(token) == bytes;
    list[n++] = token;
  }
  dg_pieces *p = NULL;
  if (ok) p = dg_pieces_of(dg_tokenizer_of_characters(list, n, err), err);
  else
    dg_fail(err, DG_ERR_IO,
            "there is no sentencepiece model beside model.bin: put the original model's there "
            "(sentencepiece.model, or source.spm and target.spm)");
  free(list);
  return p;
}

static bool find_pieces(const model *m, const dg_vocabulary *source, const dg_vocabulary *target,
                        dg_pieces **first, dg_pieces **second, dg_error *err) {
  static const pieces_file files[] = {
      {"source.spm", "target.spm"},
      {"sentencepiece.model", NULL},
      {"sentencepiece.bpe.model", NULL},
      {"spiece.model", NULL},
      {"spm.model", NULL},
  };
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    if (!dg_package_has(m->package, files[i].source)) continue;
    *first = read_pieces(m, files[i].source, err);
    if (*first) *second = read_pieces(m, files[i].target ? files[i].target : files[i].source, err);
    return *second != NULL;
  }
  if (dg_package_has(m->package, "bpe.model"))
    return dg_fail(err, DG_ERR_UNSUPPORTED,
                   "its bpe.model is subword-nmt's: only packages with a sentencepiece.model are "
                   "imported");
  *first = characters_of(source, err);
  if (*first) *second = characters_of(target, err);
  return *second != NULL;
}

/* CTranslate2 appends the unknown token where a vocabulary lacks it. */
static void append_unknown(dg_vocabulary *v, const char *unknown, size_t size) {
  if (dg_vocabulary_find(v, unknown) >= 0 || v->count >= size) return;
  DG_GROW(v->tokens, v->capacity, v->count + 1);
  v->tokens[v->count++] = dg_strdup(unknown);
}

static bool in_form(const char *token, const char *form) {
  for (; *form; form++, token++) {
    bool lower = *token >= 'a' && *token <= 'z', upper = *token >= 'A' && *token <= 'Z';
    if (*form == 'a' ? !lower : *form == 'A' ? !upper : *form != *token) return false;
  }
  return !*token;
}

static bool is_tag(dg_family family, const char *token) {
  char code[DG_LANG_MAX];
  bool form = family == DG_FAMILY_MBART     ? in_form(token, "aa_AA")
              : family == DG_FAMILY_M2M100 ? in_form(token, "aaa_Aaaa") || !strncmp(token, "__", 2)
                                           : true;
  return form && dg_tag_code(family, token, code);
}

static size_t count_tags(const dg_vocabulary *v, dg_family family) {
  size_t n = 0;
  for (size_t i = 0; i < v->count; i++) n += v->tokens[i] && is_tag(family, v->tokens[i]);
  return n;
}

/* The family whose tags the vocabulary has. */
static dg_family find_family(const model *m, const dg_vocabulary *v, size_t *tags) {
  if (m->zero_start || !m->shape.norm_bias) {
    dg_family family = m->zero_start ? DG_FAMILY_MARIAN : DG_FAMILY_T5;
    *tags = count_tags(v, family);
    return family;
  }
  static const dg_family tagged[] = {DG_FAMILY_M2M100, DG_FAMILY_MBART};
  for (int i = 0; i < 2; i++)
    if ((*tags = count_tags(v, tagged[i])) > 1) return tagged[i];
  *tags = 0;
  return DG_FAMILY_MARIAN; /* tags or none, as OpenNMT's */
}

static bool set_formats(model *m, dg_source *s, size_t tags, const char *bos, const char *eos,
                        dg_error *err) {
  dg_model_config *c = &s->config.model;
  bool target_tag = tags && (s->config.family == DG_FAMILY_M2M100 ||
                             s->config.family == DG_FAMILY_MBART);
  bool from_bos = dg_ct2_number(m->ct2, "with_target_bos", 1) != 0;
  bool given = dg_ct2_number(m->ct2, "user_decoder_start_tokens", 0) != 0;
  char *start = m->zero_start ? dg_strdup("<pad>")
                : m->config   ? token_setting(m, "decoder_start_token", NULL)
                : given       ? NULL
                              : dg_strdup(from_bos ? bos : eos);
  if (!start) /* told with each sentence: of the families known here mBART-25 does it */
    return dg_fail(err, DG_ERR_UNSUPPORTED, "\"decoder_start_token\": null: it is not known how "
                                            "its decoder begins");
  bool end = flag_setting(m, "add_source_eos", "with_source_eos") || strcmp(start, bos) != 0 ||
             s->config.family == DG_FAMILY_T5;
  bool begin = flag_setting(m, "add_source_bos", "with_source_bos");
  bool names = strlen(start) < 32 && strlen(eos) < 32 && strlen(bos) < 32 && !strchr(start, ' ') &&
               !strchr(eos, ' ') && !strchr(bos, ' ');
  if (names) {
    snprintf(c->source_format, sizeof c->source_format, "%s%s%sX%s%s", begin ? bos : "",
             begin ? " " : "", !tags ? "" : target_tag ? "<src> " : "<tgt> ", end ? " " : "",
             end ? eos : "");
    snprintf(c->target_format, sizeof c->target_format, "%s %sX %s", start,
             target_tag ? "<tgt> " : "", eos);
    snprintf(c->tag_format, sizeof c->tag_format, "<2%%s>");
  }
  free(start);
  return names || dg_fail(err, DG_ERR_UNSUPPORTED, "its tokens that begin and end have odd names");
}

static dg_tokenizer *place(const model *m, dg_source *s, const dg_vocabulary *v, dg_pieces *p,
                           size_t size, const char *unknown, bool target, size_t tags,
                           dg_error *err) {
  bool ok = dg_vocabulary_place(v, unknown, p, size, err);
  dg_family family = s->config.family;
  dg_languages again = {0}, *l = target ? &again : &s->languages;
  dg_side side = family == DG_FAMILY_MARIAN ? DG_SIDE_TARGET : DG_SIDE_BOTH;
  for (size_t id = 0; id < v->count && ok && tags; id++)
    if (v->tokens[id] && is_tag(family, v->tokens[id]))
      ok = dg_languages_add_tag(l, p, size, id, family, v->tokens[id], side);
  if (ok && m->zero_start && (target || s->config.model.tie_source_target))
    ok = dg_pieces_name(p, size, size - 1, "<pad>");
  free(again.list);
  return ok ? dg_pieces_tokenizer(p, size, err) : NULL;
}

static bool make_tokenizers(model *m, dg_source *s, dg_vocabulary *source, dg_vocabulary *target,
                            dg_error *err) {
  dg_model_config *c = &s->config.model;
  char *unknown = token_setting(m, "unk_token", "<unk>");
  char *eos = token_setting(m, "eos_token", "</s>"), *bos = token_setting(m, "bos_token", "<s>");
  size_t size = (size_t)c->vocab_size, target_size = (size_t)dg_target_vocab(c), tags;
  append_unknown(source, unknown, size);
  append_unknown(target, unknown, target_size);
  s->config.family = find_family(m, source, &tags);
  dg_pieces *first = NULL, *second = NULL;
  bool ok = find_pieces(m, source, target, &first, &second, err) &&
            set_formats(m, s, tags, bos, eos, err) &&
            (s->tokenizer = place(m, s, source, first, size, unknown, false, tags, err)) &&
            (s->target_tokenizer =
                 place(m, s, target, second, target_size, unknown, true, tags, err));
  if (ok && dg_tokenizer_eos(s->target_tokenizer) !=
                dg_tokenizer_id(s->target_tokenizer, eos))
    ok = dg_fail(err, DG_ERR_UNSUPPORTED, "\"eos_token\": \"%.40s\": only </s> ends sentences here",
                 eos);
  dg_pieces_free(first);
  dg_pieces_free(second);
  free(unknown);
  free(eos);
  free(bos);
  return ok;
}

/* --- packages ------------------------------------------------------------------------------- */

static bool read_json(const model *m, const char *name, json_t **out, dg_error *err) {
  dg_mapping map;
  if (!dg_package_map(m->package, name, &map, err)) return false;
  json_error_t where;
  *out = json_loadb((const char *)map.data, map.size, 0, &where);
  if (json_is_object(*out)) return true;
  char *path = dg_package_path(m->package, name);
  dg_fail(err, DG_ERR_FORMAT, "%s: %s", path, *out ? "no object" : where.text);
  free(path);
  return false;
}

static bool read_binary(model *m, dg_error *err) {
  char *file = in_folder(m, "model.bin"), *config = in_folder(m, "config.json");
  dg_mapping map;
  bool ok = dg_package_map(m->package, file, &map, err);
  if (ok) {
    char *path = dg_package_path(m->package, file);
    ok = (m->ct2 = dg_ct2_open(map.data, map.size, err)) && dg_ct2_check(m->ct2, check_name, err);
    if (ok && dg_ct2_version(m->ct2) >= 6) ok = read_json(m, config, &m->config, err);
    ok = ok && set_shape(m, err);
    if (!ok) dg_error_context(err, "%s", path);
    free(path);
  }
  free(file);
  free(config);
  return ok;
}

static bool read_vocabularies(const model *m, dg_vocabulary *source, dg_vocabulary *target,
                              bool *shared, dg_error *err) {
  if (!read_vocabulary(m, "shared_vocabulary", source, err)) return false;
  *shared = source->count > 0;
  if (*shared) return read_vocabulary(m, "shared_vocabulary", target, err);
  return read_vocabulary(m, "source_vocabulary", source, err) &&
         read_vocabulary(m, "target_vocabulary", target, err) &&
         ((source->count && target->count) ||
          dg_fail(err, DG_ERR_IO, "there is no shared_vocabulary, nor source_vocabulary and "
                                  "target_vocabulary, .json or .txt, beside model.bin"));
}

bool dg_source_ctranslate2(dg_source *s, const char *path, const dg_import_options *o,
                           dg_error *err) {
  model *m = dg_calloc(1, sizeof *m);
  s->weights = m, s->rows = read_rows, s->close = close_model;
  m->package = dg_package_open(path, "metadata.json", err);
  if (!m->package) return false;
  bool argos = dg_package_has(m->package, "metadata.json") &&
               dg_package_has(m->package, "model/model.bin");
  m->folder = argos ? "model/" : "";
  s->format = argos ? "argos" : "ctranslate2";
  json_t *metadata = NULL;
  dg_vocabulary source = {0}, target = {0};
  bool shared;
  bool ok = (!argos || read_json(m, "metadata.json", &metadata, err)) && read_binary(m, err);
  const char *prefix = json_string_value(json_object_get(metadata, "target_prefix"));
  if (ok && prefix && *prefix)
    ok = dg_fail(err, DG_ERR_UNSUPPORTED, "\"target_prefix\": \"%.40s\": packages with one are not "
                 "imported", prefix);
  s->config.model = m->shape;
  ok = ok && read_vocabularies(m, &source, &target, &shared, err) &&
       make_tokenizers(m, s, &source, &target, err) && dg_model_config_check(&s->config.model, err);
  if (ok && s->languages.count < 2 && s->config.family != DG_FAMILY_MARIAN &&
      s->config.family != DG_FAMILY_T5)
    ok = dg_fail(err, DG_ERR_FORMAT, "its vocabulary has no language tags");
  ok = ok && dg_source_set_sides(s, o, json_string_value(json_object_get(metadata, "from_code")),
                                 json_string_value(json_object_get(metadata, "to_code")), err);
  if (!ok && err && !strstr(err->message, path)) dg_error_context(err, "%s", path);
  dg_vocabulary_free(&source);
  dg_vocabulary_free(&target);
  json_decref(metadata);
  return ok;
}
