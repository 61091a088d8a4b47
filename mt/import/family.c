#include "mt/import/family.h"

#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mt/core/mem.h"
#include "mt/model/weights.h"

/* --- config.json ------------------------------------------------------------------------ */

enum { NUMBER_MOST = INT_MAX - 4096 }; /* that leaves room for what is added to it */

/* Reads settings one by one; the first that makes no sense is the error. */
typedef struct settings {
  const json_t *json;
  dg_error *err;
  bool ok;
} settings;

static const json_t *find(const settings *s, const char *name) {
  const json_t *j = json_object_get(s->json, name);
  return json_is_null(j) ? NULL : j;
}

static void refuse(settings *s, const char *name, const char *why) {
  if (!s->ok) return;
  char *value = json_dumps(find(s, name), JSON_ENCODE_ANY | JSON_COMPACT);
  s->ok = dg_fail(s->err, DG_ERR_UNSUPPORTED, "\"%s\": %.60s: %s", name, value ? value : "null",
                  why);
  free(value);
}

static int integer(settings *s, const char *name, int absent) {
  const json_t *j = find(s, name);
  if (!j) return absent;
  json_int_t value = json_integer_value(j);
  if (!json_is_integer(j) || value < 0 || value > NUMBER_MOST)
    refuse(s, name, "no number of anything");
  return s->ok ? (int)value : absent;
}

/* A size: nothing is assumed about it. */
static int size(settings *s, const char *name) {
  if (s->ok && !find(s, name))
    s->ok = dg_fail(s->err, DG_ERR_FORMAT, "\"%s\" is missing", name);
  int value = integer(s, name, 1);
  if (s->ok && !value) refuse(s, name, "no size of anything");
  return value;
}

static bool truth(settings *s, const char *name, bool absent) {
  const json_t *j = find(s, name);
  if (!j) return absent;
  if (!json_is_boolean(j)) refuse(s, name, "neither true nor false");
  return json_is_true(j);
}

static const char *word(settings *s, const char *name, const char *absent) {
  const json_t *j = find(s, name);
  if (!j) return absent;
  if (!json_is_string(j)) refuse(s, name, "no name");
  return s->ok ? json_string_value(j) : absent;
}

static void must_equal(settings *s, const char *name, int value, const char *other) {
  if (integer(s, name, value) == value) return;
  char *why = dg_format("it must equal \"%s\", %d: this program has one size for both", other,
                        value);
  refuse(s, name, why);
  free(why);
}

/* What old configurations state and the family's class does not ask: whoever states
 * something else had another model in mind. */
static void must_be(settings *s, const char *name, bool value) {
  if (truth(s, name, value) != value)
    refuse(s, name, "models of this family are computed the other way");
}

static dg_activation activation(settings *s, const char *name, const char *value) {
  static const struct {
    const char *name;
    dg_activation activation;
  } known[] = {{"relu", DG_RELU},          {"gelu", DG_GELU},
               {"gelu_python", DG_GELU},   {"gelu_new", DG_GELU_TANH},
               {"gelu_fast", DG_GELU_TANH}, {"gelu_pytorch_tanh", DG_GELU_TANH},
               {"silu", DG_SILU},          {"swish", DG_SILU}};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (!strcmp(known[i].name, value)) return known[i].activation;
  refuse(s, name, "an activation this program does not have");
  return DG_RELU;
}

/* What M2M-100, mBART and Marian have in common. */
static void read_bart(settings *s, dg_model_config *c, const char *default_activation) {
  c->d_model = size(s, "d_model");
  c->encoder_layers = size(s, "encoder_layers");
  c->decoder_layers = size(s, "decoder_layers");
  c->heads = size(s, "encoder_attention_heads");
  c->ffn_dim = size(s, "encoder_ffn_dim");
  c->max_positions = size(s, "max_position_embeddings");
  must_equal(s, "decoder_attention_heads", c->heads, "encoder_attention_heads");
  must_equal(s, "decoder_ffn_dim", c->ffn_dim, "encoder_ffn_dim");
  c->activation =
      activation(s, "activation_function", word(s, "activation_function", default_activation));
  c->tie_output = truth(s, "tie_word_embeddings", true);
  must_be(s, "add_bias_logits", false);
  must_be(s, "do_blenderbot_90_layernorm", false);
}

static void read_m2m100(settings *s, dg_family_config *f) {
  dg_model_config *c = &f->model;
  read_bart(s, c, "relu");
  c->embedding_scale = truth(s, "scale_embedding", true) ? 0 : 1;
  c->sinusoid_inclusive = true;
  f->pad = integer(s, "pad_token_id", 1);
  c->position_offset = f->pad + 1;
  c->max_positions += 2; /* rows of its table */
  f->eos = integer(s, "eos_token_id", 2);
  f->decoder_start = integer(s, "decoder_start_token_id", 2);
  must_be(s, "normalize_before", true);
  must_be(s, "normalize_embedding", false);
}

static void read_mbart(settings *s, dg_family_config *f) {
  dg_model_config *c = &f->model;
  read_bart(s, c, "gelu");
  c->embedding_scale = truth(s, "scale_embedding", false) ? 0 : 1;
  c->position = DG_POSITION_LEARNED;
  c->position_offset = 2;
  c->max_positions += 2;
  c->embedding_norm = c->output_bias = true;
  f->pad = integer(s, "pad_token_id", 1);
  f->eos = integer(s, "eos_token_id", 2);
  f->forced_first = integer(s, "forced_bos_token_id", -1);
  /* Its decoder begins with the last token of the labels, which is </s>. */
  f->decoder_start = integer(s, "decoder_start_token_id", f->eos);
  must_be(s, "normalize_before", true);
  must_be(s, "normalize_embedding", true);
  must_be(s, "add_final_layer_norm", true);
  must_be(s, "static_position_embeddings", false);
  if (integer(s, "extra_pos_embeddings", 2) != 2)
    refuse(s, "extra_pos_embeddings", "models of this family have 2");
}

static void read_marian(settings *s, dg_family_config *f) {
  dg_model_config *c = &f->model;
  read_bart(s, c, "gelu");
  c->embedding_scale = truth(s, "scale_embedding", false) ? 0 : 1;
  c->pre_norm = c->final_norm = false;
  c->output_bias = true;
  c->tie_source_target = truth(s, "share_encoder_decoder_embeddings", true);
  int target = integer(s, "decoder_vocab_size", c->vocab_size);
  if (c->tie_source_target) must_equal(s, "decoder_vocab_size", c->vocab_size, "vocab_size");
  else if (target != c->vocab_size) c->target_vocab_size = target;
  f->pad = integer(s, "pad_token_id", 58100);
  f->eos = integer(s, "eos_token_id", 0);
  f->decoder_start = integer(s, "decoder_start_token_id", 58100);
  must_be(s, "normalize_before", false);
  must_be(s, "normalize_embedding", false);
  must_be(s, "add_final_layer_norm", false);
  must_be(s, "static_position_embeddings", true);
}

static void read_t5(settings *s, dg_family_config *f, bool mt5) {
  dg_model_config *c = &f->model;
  c->d_model = size(s, "d_model");
  c->head_dim = size(s, "d_kv");
  c->heads = size(s, "num_heads");
  c->ffn_dim = size(s, "d_ff");
  c->encoder_layers = size(s, "num_layers");
  c->decoder_layers = integer(s, "num_decoder_layers", c->encoder_layers);
  c->norm = DG_RMSNORM;
  const json_t *eps = find(s, "layer_norm_epsilon");
  c->norm_eps = eps ? json_number_value(eps) : 1e-6;
  if (eps && !(c->norm_eps > 0 && c->norm_eps < 1)) refuse(s, "layer_norm_epsilon", "out of range");
  c->position = DG_POSITION_RELATIVE;
  c->relative_buckets = size(s, "relative_attention_num_buckets");
  c->relative_distance = integer(s, "relative_attention_max_distance", 128);
  const char *ffn = word(s, "feed_forward_proj", mt5 ? "gated-gelu" : "relu");
  c->gated_ffn = !strncmp(ffn, "gated-", 6);
  c->activation = !strcmp(ffn, "gated-gelu")
                      ? DG_GELU_TANH
                      : activation(s, "feed_forward_proj", ffn + (c->gated_ffn ? 6 : 0));
  /* What the class makes of that, and then overrides by what the file states. */
  c->gated_ffn = truth(s, "is_gated_act", c->gated_ffn);
  if (find(s, "dense_act_fn"))
    c->activation = activation(s, "dense_act_fn", word(s, "dense_act_fn", ""));
  c->attention_bias = c->ffn_bias = c->norm_bias = false;
  c->embedding_scale = c->attention_scale = 1;
  c->tie_output = truth(s, "tie_word_embeddings", !mt5);
  c->output_scale = c->tie_output ? 1 / sqrt(c->d_model) : 1;
  f->pad = integer(s, "pad_token_id", 0);
  f->eos = integer(s, "eos_token_id", 1);
  f->decoder_start = integer(s, "decoder_start_token_id", mt5 ? 0 : f->pad);
}

/* A class without a language model's head has other weights, and one of the checkpoint's
 * own code another computation. */
static void check_class(settings *s) {
  const json_t *name, *map = find(s, "auto_map");
  size_t i;
  json_array_foreach((json_t *)(uintptr_t)find(s, "architectures"), i, name) {
    const char *text = json_string_value(name);
    if (!text || !(dg_ends_with(text, "ForConditionalGeneration") || dg_ends_with(text, "MTModel")))
      refuse(s, "architectures", "it must be a ...ForConditionalGeneration or MarianMTModel");
  }
  const char *class;
  json_t *code;
  json_object_foreach((json_t *)(uintptr_t)map, class, code)
    if (!strncmp(class, "AutoModel", 9))
      refuse(s, "auto_map", "code that comes with a checkpoint is not run");
}

/* What every class of transformers has, and none of these families uses. */
static void check_common(settings *s) {
  must_be(s, "is_encoder_decoder", true);
  must_be(s, "is_decoder", false);
  must_be(s, "add_cross_attention", false);
  must_be(s, "tie_encoder_decoder", false);
  if (find(s, "cross_attention_hidden_size"))
    refuse(s, "cross_attention_hidden_size", "this program has one size for both stacks");
  if (find(s, "quantization_config"))
    refuse(s, "quantization_config", "quantized weights are not read: import the original");
  if (json_object_size(find(s, "pruned_heads")))
    refuse(s, "pruned_heads", "layers of this program have all heads");
  check_class(s);
}

static void read_family(settings *s, dg_family_config *f) {
  const char *type = word(s, "model_type", "");
  dg_model_config *c = &f->model;
  dg_options_defaults(dg_model_config_options, c);
  c->vocab_size = size(s, "vocab_size");
  if (!strcmp(type, "m2m_100")) {
    f->family = DG_FAMILY_M2M100;
    read_m2m100(s, f);
  } else if (!strcmp(type, "mbart")) {
    f->family = DG_FAMILY_MBART;
    read_mbart(s, f);
  } else if (!strcmp(type, "marian")) {
    f->family = DG_FAMILY_MARIAN;
    read_marian(s, f);
  } else if (!strcmp(type, "t5") || !strcmp(type, "mt5")) {
    f->family = DG_FAMILY_T5;
    read_t5(s, f, *type == 'm');
  } else {
    refuse(s, "model_type", "this program knows m2m_100, mbart, marian, t5 and mt5");
  }
  check_common(s);
  snprintf(f->tokenizer_class, sizeof f->tokenizer_class, "%s", word(s, "tokenizer_class", ""));
  const int ids[] = {f->pad, f->eos, f->decoder_start};
  static const char *const names[] = {"pad_token_id", "eos_token_id", "decoder_start_token_id"};
  for (int i = 0; i < 3; i++)
    if (ids[i] >= c->vocab_size || ids[i] >= dg_target_vocab(c))
      refuse(s, names[i], "it is outside the vocabulary");
}

const char *dg_family_name(dg_family family) {
  static const char *const names[] = {"m2m_100", "mbart", "marian", "t5"};
  return names[family];
}

/* What generate() reads: transformers has moved it to a file of its own, which decides, unless
 * it is but a copy of config.json's that may have been changed since. */
static bool add_generation(const char *config_json, json_t *config, dg_error *err) {
  static const char *const names[] = {"decoder_start_token_id", "forced_bos_token_id",
                                      "eos_token_id", "pad_token_id"};
  const char *slash = strrchr(config_json, '/');
  char *path = dg_format("%.*sgeneration_config.json", slash ? (int)(slash + 1 - config_json) : 0,
                         config_json);
  json_error_t where;
  bool there = !access(path, F_OK);
  json_t *json = there ? json_load_file(path, 0, &where) : NULL;
  bool ok = !there || json_is_object(json) ||
            dg_fail(err, DG_ERR_FORMAT, "%s: %s", path, json ? "no object" : where.text);
  bool copy = json_is_true(json_object_get(json, "_from_model_config"));
  for (size_t i = 0; ok && i < sizeof names / sizeof *names; i++) {
    json_t *more = json_object_get(json, names[i]), *here = json_object_get(config, names[i]);
    if (json_is_integer(more) && (!copy || !here || json_is_null(here)))
      json_object_set(config, names[i], more);
  }
  json_decref(json);
  free(path);
  return ok;
}

bool dg_family_config_read(const char *config_json, dg_family_config *out, dg_error *err) {
  json_error_t where;
  json_t *json = json_load_file(config_json, JSON_REJECT_DUPLICATES, &where);
  if (!json_is_object(json)) {
    json_decref(json);
    return dg_fail(err, DG_ERR_FORMAT, "%s: %s", config_json, json ? "no object" : where.text);
  }
  if (!add_generation(config_json, json, err)) {
    json_decref(json);
    return false;
  }
  *out = (dg_family_config){.forced_first = -1};
  settings s = {json, err, true};
  read_family(&s, out);
  bool ok = s.ok && dg_model_config_check(&out->model, err);
  json_decref(json);
  if (!ok) dg_weights_blame(err, config_json);
  return ok;
}

/* --- tensors ---------------------------------------------------------------------------- */

enum { NAME_MOST = 128 };

/* Its place in a layer: SIDE.layers.LAYER.PART.ITEM.KIND */
typedef struct place {
  char side[8], part[8], item[8], kind[8];
  int layer;
} place;

static bool split(const char *ours, place *p) {
  return sscanf(ours, "%7[a-z].layers.%d.%7[a-z].%7[a-z].%7[a-z]", p->side, &p->layer, p->part,
                p->item, p->kind) == 5;
}

static const char *weight_or_bias(const char *kind) {
  return strcmp(kind, "bias") ? "weight" : "bias"; /* norms have a gain here */
}

static void bart_name(const char *ours, char out[NAME_MOST]) {
  place p;
  if (split(ours, &p)) {
    const char *kind = weight_or_bias(p.kind);
    int n = snprintf(out, NAME_MOST, "model.%s.layers.%d.", p.side, p.layer);
    char *at = out + n;
    size_t room = NAME_MOST - (size_t)n;
    const char *attention = !strcmp(p.part, "self") ? "self_attn" : "encoder_attn";
    if (!strcmp(p.part, "ffn"))
      snprintf(at, room, "%s.%s",
               !strcmp(p.item, "norm") ? "final_layer_norm"
               : !strcmp(p.item, "in") ? "fc1"
                                       : "fc2",
               kind);
    else if (!strcmp(p.item, "norm"))
      snprintf(at, room, "%s_layer_norm.%s", attention, kind);
    else
      snprintf(at, room, "%s.%s_proj.%s", attention, p.item, kind);
    return;
  }
  const char *dot = strchr(ours, '.'), *last = strrchr(ours, '.');
  int side = (int)(dot - ours);
  const char *name = !strncmp(dot, ".positions", 10)        ? "embed_positions"
                     : !strncmp(dot, ".embedding_norm", 15) ? "layernorm_embedding"
                                                            : "layer_norm";
  snprintf(out, NAME_MOST, "model.%.*s.%s.%s", side, ours, name, weight_or_bias(last + 1));
}

static void t5_name(const char *ours, bool gated, char out[NAME_MOST]) {
  place p;
  if (!split(ours, &p)) {
    const char *dot = strchr(ours, '.');
    int side = (int)(dot - ours);
    snprintf(out, NAME_MOST,
             !strcmp(dot, ".relative")
                 ? "%.*s.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
                 : "%.*s.final_layer_norm.weight",
             side, ours);
    return;
  }
  bool ffn = !strcmp(p.part, "ffn"), cross = !strcmp(p.part, "cross");
  int sublayer = cross ? 1 : !ffn ? 0 : strcmp(p.side, "decoder") ? 1 : 2;
  const char *block = ffn ? "DenseReluDense" : cross ? "EncDecAttention" : "SelfAttention";
  const char *item = p.item;
  if (!strcmp(item, "norm")) {
    snprintf(out, NAME_MOST, "%s.block.%d.layer.%d.layer_norm.weight", p.side, p.layer, sublayer);
    return;
  }
  if (ffn) item = !strcmp(item, "out") ? "wo" : !gated ? "wi" : *item == 'i' ? "wi_0" : "wi_1";
  else if (!strcmp(item, "out")) item = "o";
  snprintf(out, NAME_MOST, "%s.block.%d.layer.%d.%s.%s.weight", p.side, p.layer, sublayer, block,
           item);
}

void dg_family_module(dg_family family, bool gated_ffn, const char *ours, char *out, size_t size) {
  char tensor[NAME_MOST], name[NAME_MOST];
  snprintf(tensor, sizeof tensor, "%s.weight", ours);
  if (family == DG_FAMILY_T5) t5_name(tensor, gated_ffn, name);
  else bart_name(tensor, name);
  snprintf(out, size, "%.*s", (int)(strlen(name) - strlen(".weight")), name);
}

/* Files keep one of several names of a tied matrix. */
static const dg_checkpoint_tensor *find_embedding(const dg_family_config *f, const dg_checkpoint *c,
                                                  const char *ours, const char **wanted) {
  static const char *const shared[] = {"shared.weight", "encoder.embed_tokens.weight",
                                       "decoder.embed_tokens.weight", "lm_head.weight"};
  static const char *const encoder[] = {"encoder.embed_tokens.weight"};
  static const char *const decoder[] = {"decoder.embed_tokens.weight", "lm_head.weight"};
  const char *const *names = *ours == 'd' ? decoder : !strcmp(ours, "embedding") ? shared : encoder;
  size_t count = names == shared ? 4 : names == decoder ? 2 : 1;
  if (!f->model.tie_output && count > 1) count--;
  *wanted = names[0];
  for (size_t i = 0; i < count; i++)
    for (int bare = 0; bare < 2; bare++) {
      char name[NAME_MOST];
      snprintf(name, sizeof name, "%s%s", bare ? "" : "model.", names[i]);
      const dg_checkpoint_tensor *t = dg_checkpoint_find(c, name);
      if (t) return t;
    }
  return NULL;
}

/* T5 has a row of heads for each bucket. */
static bool read_turned(dg_checkpoint *c, const dg_checkpoint_tensor *theirs, size_t rows,
                        size_t cols, size_t first, size_t count, float *out, dg_error *err) {
  float *x = dg_alloc_checked(rows * cols, sizeof *x, err);
  bool ok = x && dg_checkpoint_read(c, theirs, 0, rows * cols, x, err);
  for (size_t r = 0; r < count && ok; r++)
    for (size_t k = 0; k < cols; k++) out[r * cols + k] = x[k * rows + first + r];
  free(x);
  return ok;
}

static bool fits(const dg_checkpoint_tensor *t, size_t rows, size_t cols) {
  if (t->count != rows * cols || !t->dims || t->shape[t->dims - 1] != cols) return false;
  return rows == 1 || (t->dims == 2 && t->shape[0] == rows);
}

bool dg_family_rows(const dg_family_config *f, dg_checkpoint *c, const dg_tensor *t, size_t first,
                    size_t count, float *out, dg_error *err) {
  char name[NAME_MOST];
  const char *wanted = name;
  const dg_checkpoint_tensor *theirs = NULL;
  size_t rows = t->rows, cols = t->cols;
  const char *dot = strrchr(t->name, '.');
  bool relative = dot && !strcmp(dot, ".relative");
  if (!strcmp(dot ? dot + 1 : t->name, "embedding")) {
    theirs = find_embedding(f, c, t->name, &wanted);
  } else {
    if (!strcmp(t->name, "output.weight")) snprintf(name, sizeof name, "lm_head.weight");
    else if (!strcmp(t->name, "output.bias")) snprintf(name, sizeof name, "final_logits_bias");
    else if (f->family == DG_FAMILY_T5) t5_name(t->name, f->model.gated_ffn, name);
    else bart_name(t->name, name);
    theirs = dg_checkpoint_find(c, name);
    if (!theirs && !strcmp(t->name, "output.bias")) { /* a buffer that begins as zeros */
      memset(out, 0, count * cols * sizeof *out);
      return true;
    }
  }
  if (!theirs) return dg_fail(err, DG_ERR_FORMAT, "the checkpoint has no tensor %s", wanted);
  if (relative) rows = t->cols, cols = t->rows;
  if (!fits(theirs, rows, cols)) {
    dg_strbuf shape = {0};
    for (size_t i = 0; i < theirs->dims; i++)
      dg_strbuf_addf(&shape, "%s%zu", i ? " x " : "", theirs->shape[i]);
    dg_fail(err, DG_ERR_FORMAT, "tensor %s of the checkpoint is %s, not %zu x %zu as its "
            "config.json says",
            theirs->name, shape.text ? shape.text : "a single number", rows, cols);
    free(shape.text);
    return false;
  }
  if (relative) return read_turned(c, theirs, t->rows, t->cols, first, count, out, err);
  return dg_checkpoint_read(c, theirs, first * cols, count * cols, out, err);
}
