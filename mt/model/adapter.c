#include "mt/model/adapter.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mt/core/mem.h"

/* --- declarations ------------------------------------------------------------------------ */

static const char *const placement_names[] = {"layer", "sublayer", "parallel", NULL};
static const char *const norm_names[] = {"auto", "yes", "no", NULL};
static const char *const activation_names[] = {"relu", "gelu", "gelu_tanh", "silu", NULL};
static const char *const embedding_side_names[] = {"auto", "source", "target", "both", NULL};

#define MEMBER(field) offsetof(dg_adapter_config, field), sizeof(((dg_adapter_config *)0)->field)
#define TEXT(name, field, initial, help) \
  {name, DG_OPTION_STRING, MEMBER(field), initial, 0, 0, NULL, help}
#define ENUM(name, field, initial, names, help) \
  {name, DG_OPTION_ENUM, MEMBER(field), initial, 0, 0, names, help}

const dg_option dg_adapter_config_options[] = {
    TEXT("method", method, "bottleneck",
         "bottleneck, lora, ia3, biases, norms, bitfit, tag, a+b; full"),
    ENUM("placement", placement, "layer", placement_names,
         "of bottlenecks"),
    TEXT("sublayers", sublayers, "auto", "of those: self,cross,ffn; auto: all, in parallel ffn"),
    {"width", DG_OPTION_INT, MEMBER(width), "64", 1, 65536, NULL, "of bottlenecks"},
    {"scale", DG_OPTION_FLOAT, MEMBER(scale), "0", 0, 1e6, NULL,
     "of a bottleneck's output; 0: 1, in parallel 4"},
    ENUM("adapter_norm", norm, "auto", norm_names,
         "a norm before it; auto: unless after sublayers"),
    ENUM("adapter_activation", activation, "relu", activation_names, "of bottlenecks"),
    {"rank", DG_OPTION_INT, MEMBER(rank), "16", 1, 65536, NULL, "of LoRA"},
    {"alpha", DG_OPTION_FLOAT, MEMBER(alpha), "32", 0, 1e6, NULL, "LoRA is scaled by alpha/rank"},
    {"rslora", DG_OPTION_BOOL, MEMBER(rslora), "false", 0, 0, NULL, "or by alpha/sqrt(rank)"},
    TEXT("projections", projections, "all",
         "of LoRA: q,k,v,o,fc1,gate,fc2, or self.q and so on; all"),
    TEXT("encoder_layers", encoder_layers, "all", "that have adapters: 0-5,11; all; none"),
    TEXT("decoder_layers", decoder_layers, "all", "likewise"),
    {"new_pieces", DG_OPTION_INT, MEMBER(new_pieces), "0", 0, DG_NEW_PIECES_MOST, NULL,
     "so many, learned on a new language's text"},
    {"embeddings", DG_OPTION_INT, MEMBER(embeddings), "0", 0, DG_NEW_PIECES_MOST, NULL,
     "of so many of the base's pieces, the commonest, learn too"},
    ENUM("embedding_side", embedding_side, "auto", embedding_side_names,
         "where; auto: the new language's"),
    {NULL, DG_OPTION_INT, 0, 0, NULL, 0, 0, NULL, NULL},
};

/* The next word of a list; the list moves behind it. False at its end. */
static bool next_word(const char **list, char separator, char *out, size_t size) {
  const char *s = *list;
  if (!s) return false;
  const char *end = strchr(s, separator);
  size_t n = end ? (size_t)(end - s) : strlen(s);
  snprintf(out, size, "%.*s", (int)(n < size ? n : size), s);
  *list = end ? end + 1 : NULL;
  return true;
}

unsigned dg_method_parse(const char *text, dg_error *err) {
  static const struct {
    const char *name;
    unsigned parts;
  } known[] = {
      {"bottleneck", DG_METHOD_BOTTLENECK},
      {"lora", DG_METHOD_LORA},
      {"ia3", DG_METHOD_IA3},
      {"biases", DG_METHOD_BIASES},
      {"norms", DG_METHOD_NORMS},
      {"bitfit", DG_METHOD_BIASES | DG_METHOD_NORMS},
      {"tag", DG_METHOD_TAG},
  };
  enum { KNOWN = sizeof known / sizeof *known };
  unsigned parts = 0;
  char word[64];
  for (const char *list = text; next_word(&list, '+', word, sizeof word);) {
    size_t i = 0;
    while (i < KNOWN && strcmp(known[i].name, word)) i++;
    if (i == KNOWN) {
      dg_fail(err, DG_ERR_USAGE,
              "\"%s\" in method \"%s\" is none of bottleneck, lora, ia3, biases, norms, bitfit, "
              "tag",
              word, text);
      return 0;
    }
    parts |= known[i].parts;
  }
  return parts;
}

unsigned dg_method_of_setting(const char *name) {
  static const struct {
    const char *name;
    unsigned method;
  } read_by[] = {
      {"placement", DG_METHOD_BOTTLENECK},    {"sublayers", DG_METHOD_BOTTLENECK},
      {"width", DG_METHOD_BOTTLENECK},        {"scale", DG_METHOD_BOTTLENECK},
      {"adapter_norm", DG_METHOD_BOTTLENECK}, {"adapter_activation", DG_METHOD_BOTTLENECK},
      {"rank", DG_METHOD_LORA},               {"alpha", DG_METHOD_LORA},
      {"rslora", DG_METHOD_LORA},             {"projections", DG_METHOD_LORA},
  };
  for (size_t i = 0; i < sizeof read_by / sizeof *read_by; i++)
    if (!strcmp(read_by[i].name, name)) return read_by[i].method;
  return 0;
}

json_t *dg_adapter_config_json(const dg_adapter_config *c) {
  json_t *j = dg_options_to_json(dg_adapter_config_options, c);
  unsigned method = dg_method_parse(c->method, NULL);
  for (const dg_option *o = dg_adapter_config_options; o->name; o++) {
    unsigned of = dg_method_of_setting(o->name);
    if (of && !(method & of)) json_object_del(j, o->name);
  }
  if (c->placement == DG_PLACE_LAYER) json_object_del(j, "sublayers");
  if (!c->new_pieces) json_object_del(j, "new_pieces");
  if (!c->embeddings) json_object_del(j, "embeddings"), json_object_del(j, "embedding_side");
  return j;
}

/* The projections of a layer that LoRA may touch, as bits. */
static const struct {
  const char *sublayer, *name, *other; /* other: what transformers calls it */
} sites[] = {
    {"self", "q", "q_proj"},     {"self", "k", "k_proj"},  {"self", "v", "v_proj"},
    {"self", "out", "o"},        {"cross", "q", "q_proj"}, {"cross", "k", "k_proj"},
    {"cross", "v", "v_proj"},    {"cross", "out", "o"},    {"ffn", "in", "fc1"},
    {"ffn", "gate", "gate"},     {"ffn", "out", "fc2"},
};
enum { SITES = sizeof sites / sizeof *sites };

/* "out" alone is that of attentions; "fc2" or "ffn.out" the other. */
static bool names_site(size_t i, const char *word) {
  const char *dot = strchr(word, '.'), *name = dot ? dot + 1 : word;
  if (dot && strncmp(word, sites[i].sublayer, (size_t)(dot - word))) return false;
  if (dot && strlen(sites[i].sublayer) != (size_t)(dot - word)) return false;
  if (!dot && !strcmp(sites[i].sublayer, "ffn") && !strcmp(sites[i].name, "out"))
    return !strcmp(name, "fc2");
  return !strcmp(name, sites[i].name) || !strcmp(name, sites[i].other);
}

static bool parse_sites(const char *text, unsigned *out, dg_error *err) {
  *out = 0;
  if (!strcmp(text, "all")) {
    *out = (1u << SITES) - 1;
    return true;
  }
  char word[64];
  for (const char *list = text; next_word(&list, ',', word, sizeof word);) {
    unsigned found = 0;
    for (size_t i = 0; i < SITES; i++)
      if (names_site(i, word)) found |= 1u << i;
    if (!found)
      return dg_fail(err, DG_ERR_USAGE,
                     "\"%s\" in projections \"%s\" is none of q, k, v, out, fc1, gate, fc2, or one "
                     "of those after self., cross. or ffn.",
                     word, text);
    *out |= found;
  }
  return true;
}

static bool parse_sublayers(const dg_adapter_config *c, bool out[3], dg_error *err) {
  static const char *const names[] = {"self", "cross", "ffn"};
  bool automatic = !strcmp(c->sublayers, "auto");
  for (size_t i = 0; i < 3; i++)
    out[i] = automatic && (i == 2 || c->placement == DG_PLACE_SUBLAYER);
  char word[64];
  for (const char *list = automatic ? NULL : c->sublayers; next_word(&list, ',', word, 64);) {
    size_t i = 0;
    while (i < 3 && strcmp(names[i], word)) i++;
    if (i == 3)
      return dg_fail(err, DG_ERR_USAGE, "\"%s\" in sublayers is none of self, cross, ffn", word);
    out[i] = true;
  }
  return true;
}

/* "0-5,11" as a flag a layer. */
static bool parse_layers(const char *name, const char *text, size_t count, bool *out,
                         dg_error *err) {
  bool all = !strcmp(text, "all");
  for (size_t i = 0; i < count; i++) out[i] = all;
  if (all || !strcmp(text, "none")) return true;
  char word[64];
  for (const char *list = text; next_word(&list, ',', word, sizeof word);) {
    unsigned first, last;
    int end = 0;
    if (sscanf(word, "%5u-%5u%n", &first, &last, &end) != 2 || word[end]) {
      end = 0;
      if (sscanf(word, "%5u%n", &first, &end) != 1 || word[end])
        return dg_fail(err, DG_ERR_USAGE,
                       "\"%s\" in %s is no layer: say all, none, or numbers like 0-5,11", word,
                       name);
      last = first;
    }
    if (first > last || last >= count)
      return dg_fail(err, DG_ERR_USAGE, "%s in %s: the base has layers 0 to %zu", word, name,
                     count - 1);
    for (size_t i = first; i <= last; i++) out[i] = true;
  }
  return true;
}

/* --- layout ----------------------------------------------------------------------------------- */

/* A declaration in parsed form. */
typedef struct layout {
  dg_adapter *adapter;
  unsigned method, sites;
  bool sublayers[3], *encoder, *decoder;
} layout;

static const float *plan_vector(dg_plan *p, const char *path, const char *name, size_t n,
                                float **grad) {
  dg_tensor *t = dg_plan_tensor(p, 1, n, "%s.%s", path, name);
  *grad = t->grad;
  return t->value;
}

static void plan_norm(dg_plan *p, const dg_model_config *c, const char *path, dg_norm *n) {
  dg_plan_align(p);
  n->gain = plan_vector(p, path, "gain.delta", (size_t)c->d_model, &n->gain_grad);
  if (!c->norm_bias) return;
  dg_plan_align(p);
  n->bias = plan_vector(p, path, "bias.delta", (size_t)c->d_model, &n->bias_grad);
}

static void plan_block(dg_plan *p, const dg_adapter *a, const char *path, dg_block *b) {
  const dg_adapter_config *c = &a->config;
  bool norm = c->norm == 1 || (c->norm == 0 && c->placement != DG_PLACE_SUBLAYER);
  size_t width = (size_t)c->width;
  char sub[80];
  snprintf(sub, sizeof sub, "%s.norm", path);
  if (norm) b->ffn.norm = dg_plan_norm(p, sub, a->d_model, true);
  b->ffn.in = dg_plan_linear(p, path, 1, (const char *[]){"down"}, width, a->d_model, true);
  b->ffn.out = dg_plan_linear(p, path, 1, (const char *[]){"up"}, a->d_model, width, true);
  b->activation = c->activation;
  b->parallel = c->placement == DG_PLACE_PARALLEL;
  b->scale = c->scale > 0 ? (float)c->scale : b->parallel ? 4 : 1;
}

/* `parts` projections of [out,in], sites `site` on. */
static void plan_product(dg_plan *p, const layout *l, const char *path, dg_product_part *part,
                         size_t site, size_t parts, size_t out, size_t in, bool bias) {
  const dg_adapter_config *c = &l->adapter->config;
  dg_low_rank *r = &part->low_rank;
  char names[3][24];
  const char *list[3];
  r->count = 0;
  for (size_t i = 0; l->method & DG_METHOD_LORA && i < parts; i++) {
    if (!(l->sites >> (site + i) & 1)) continue;
    snprintf(names[r->count], sizeof *names, "%s.lora_a", sites[site + i].name);
    list[r->count] = names[r->count];
    r->first[r->count++] = i * out;
  }
  size_t rank = (size_t)c->rank;
  r->scale = (float)(c->alpha / (c->rslora ? sqrt((double)rank) : (double)rank));
  if (r->count) r->down = dg_plan_linear(p, path, r->count, list, rank, in, false);
  for (size_t i = 0; i < r->count; i++) {
    names[i][strlen(names[i]) - 1] = 'b';
    r->up[i] = dg_plan_linear(p, path, 1, &list[i], out, rank, false);
  }
  if (!(l->method & DG_METHOD_BIASES) || !bias) return;
  dg_plan_align(p);
  for (size_t i = 0; i < parts; i++) {
    dg_tensor *t = dg_plan_tensor(p, 1, out, "%s.%s.bias.delta", path, sites[site + i].name);
    if (!i) part->bias = t->value, part->bias_grad = t->grad;
  }
}

static void plan_around(dg_plan *p, const layout *l, const char *path, dg_sublayer_part *part,
                        dg_place place) {
  char sub[80];
  snprintf(sub, sizeof sub, "%s.norm", path);
  if (l->method & DG_METHOD_NORMS) plan_norm(p, &l->adapter->model, sub, &part->norm);
  snprintf(sub, sizeof sub, "%s.adapter", path);
  if (l->method & DG_METHOD_BOTTLENECK && l->adapter->config.placement != DG_PLACE_LAYER &&
      l->sublayers[place])
    plan_block(p, l->adapter, sub, &part->block);
}

static void plan_attention(dg_plan *p, const layout *l, const char *path, dg_sublayer_part *part,
                           bool cross) {
  const dg_model_config *c = &l->adapter->model;
  size_t d = (size_t)c->d_model, inner = (size_t)c->heads * (size_t)c->head_dim;
  size_t site = cross ? 4 : 0;
  bool bias = c->attention_bias;
  plan_product(p, l, path, &part->product[DG_PRODUCT_IN], site, cross ? 1 : 3, inner, d, bias);
  if (cross)
    plan_product(p, l, path, &part->product[DG_PRODUCT_MEMORY], site + 1, 2, inner, d, bias);
  plan_product(p, l, path, &part->product[DG_PRODUCT_OUT], site + 3, 1, d, inner, bias);
  if (l->method & DG_METHOD_IA3) {
    float *unused;
    dg_plan_align(p);
    part->scale = plan_vector(p, path, "k.ia3", inner, &part->scale_grad);
    plan_vector(p, path, "v.ia3", inner, &unused);
  }
  plan_around(p, l, path, part, cross ? DG_CROSS : DG_SELF);
}

static void plan_ffn(dg_plan *p, const layout *l, const char *path, dg_sublayer_part *part) {
  const dg_model_config *c = &l->adapter->model;
  size_t d = (size_t)c->d_model, hidden = (size_t)c->ffn_dim;
  plan_product(p, l, path, &part->product[DG_PRODUCT_IN], 8, c->gated_ffn ? 2 : 1, hidden, d,
               c->ffn_bias);
  plan_product(p, l, path, &part->product[DG_PRODUCT_OUT], 10, 1, d, hidden, c->ffn_bias);
  if (l->method & DG_METHOD_IA3) {
    dg_plan_align(p);
    part->scale = plan_vector(p, path, "hidden.ia3", hidden, &part->scale_grad);
  }
  plan_around(p, l, path, part, DG_FFN);
}

static void plan_stack(dg_plan *p, const layout *l, dg_adapter_stack *s, const char *side,
                       const bool *layers, bool decoder) {
  const dg_model_config *c = &l->adapter->model;
  char path[64];
  snprintf(path, sizeof path, "%s.embedding_norm", side);
  if (l->method & DG_METHOD_NORMS && c->embedding_norm && layers[0])
    plan_norm(p, c, path, &s->embedding_norm);
  for (size_t i = 0; i < s->count; i++) {
    if (!layers[i]) continue;
    dg_adapter_layer *layer = &s->layers[i];
    snprintf(path, sizeof path, "%s.layers.%zu.self", side, i);
    plan_attention(p, l, path, &layer->self, false);
    snprintf(path, sizeof path, "%s.layers.%zu.cross", side, i);
    if (decoder) plan_attention(p, l, path, &layer->cross, true);
    snprintf(path, sizeof path, "%s.layers.%zu.ffn", side, i);
    plan_ffn(p, l, path, &layer->ffn);
    snprintf(path, sizeof path, "%s.layers.%zu", side, i);
    if (l->method & DG_METHOD_BOTTLENECK && l->adapter->config.placement == DG_PLACE_LAYER)
      plan_block(p, l->adapter, path, &layer->after);
  }
  snprintf(path, sizeof path, "%s.final_norm", side);
  if (l->method & DG_METHOD_NORMS && c->final_norm && layers[s->count - 1])
    plan_norm(p, c, path, &s->final_norm);
}

/* Rows of pieces learn at a tenth of the rate of bottlenecks (tests/transfer/recipes.md): Adam
 * moves all numbers alike, and theirs are small. LoRA's own rate is a third of that of those. */
static dg_tensor *plan_table(dg_plan *p, const layout *l, const char *path, const char *name,
                             size_t rows, size_t cols) {
  dg_plan_align(p);
  dg_tensor *t = dg_plan_tensor(p, rows, cols, "%s.%s", path, name);
  t->rate = l->method & DG_METHOD_LORA ? 0.3F : 0.1F;
  return t;
}

/* Named and tied as the base's own rows. */
static void plan_rows(dg_plan *p, const layout *l, const char *path, int pieces,
                      dg_embedding_side side, dg_piece_rows *r) {
  const dg_model_config *c = &l->adapter->model;
  size_t count = (size_t)pieces, d = l->adapter->d_model;
  dg_tensor *t = NULL;
  const char *first = c->tie_source_target ? "embedding" : "encoder.embedding";
  if (side != DG_EMBED_TARGET || c->tie_source_target)
    t = plan_table(p, l, path, first, count, d);
  if (side != DG_EMBED_TARGET) r->source = t->value, r->source_grad = t->grad;
  if (side == DG_EMBED_SOURCE) return;
  if (!c->tie_source_target) t = plan_table(p, l, path, "decoder.embedding", count, d);
  r->target = t->value, r->target_grad = t->grad;
  r->output = (dg_linear){.out = count, .in = d};
  if (!c->tie_output) t = plan_table(p, l, path, "output.weight", count, d);
  r->output.weight = dg_matrix_fp32(t->value), r->output.weight_grad = t->grad;
  if (!c->output_bias) return;
  t = plan_table(p, l, path, "output.bias", 1, count);
  r->output.bias = t->value, r->output.bias_grad = t->grad;
}

static void plan_adapter(dg_plan *p, void *structure) {
  const layout *l = structure;
  dg_adapter *a = l->adapter;
  plan_stack(p, l, &a->encoder, "encoder", l->encoder, false);
  plan_stack(p, l, &a->decoder, "decoder", l->decoder, true);
  if (a->extra_tokens) {
    dg_plan_align(p);
    dg_tensor *t = dg_plan_tensor(p, a->extra_tokens, a->d_model, "extra");
    a->extra = t->value, a->extra_grad = t->grad;
  }
  if (a->config.new_pieces)
    plan_rows(p, l, "pieces", a->config.new_pieces, DG_EMBED_BOTH, &a->pieces);
  if (a->config.embeddings)
    plan_rows(p, l, "changes", a->config.embeddings, a->config.embedding_side, &a->changes.rows);
  dg_plan_align(p);
}

static bool layout_begin(layout *l, dg_adapter *a, dg_error *err) {
  const dg_adapter_config *c = &a->config;
  *l = (layout){.adapter = a, .method = dg_method_parse(c->method, err)};
  l->encoder = dg_calloc(a->encoder.count, sizeof *l->encoder);
  l->decoder = dg_calloc(a->decoder.count, sizeof *l->decoder);
  return l->method && parse_sites(c->projections, &l->sites, err) &&
         parse_sublayers(c, l->sublayers, err) &&
         parse_layers("encoder_layers", c->encoder_layers, a->encoder.count, l->encoder, err) &&
         parse_layers("decoder_layers", c->decoder_layers, a->decoder.count, l->decoder, err);
}

static void layout_end(layout *l) {
  free(l->encoder);
  free(l->decoder);
}

/* --- adapters ------------------------------------------------------------------------------ */

dg_adapter *dg_adapter_new(const dg_model_config *model, const dg_adapter_config *config,
                           size_t extra_tokens, dg_error *err) {
  if (config->new_pieces && dg_target_vocab(model) != dg_first_extra(model)) {
    dg_fail(err, DG_ERR_UNSUPPORTED,
            "the base has %d pieces for sources and %d for targets: new ones have no place there",
            model->vocab_size, dg_target_vocab(model));
    return NULL;
  }
  if (config->embeddings && config->embedding_side == DG_EMBED_AUTO) {
    dg_fail(err, DG_ERR_USAGE, "an adapter changes embeddings and does not say on which side");
    return NULL;
  }
  if (config->width < 1 || config->width > 65536 || config->rank < 1 || config->rank > 65536 ||
      extra_tokens > (1u << 20)) {
    dg_fail(err, DG_ERR_USAGE, "an adapter of width %d, rank %d with %zu tokens is out of range",
            config->width, config->rank, extra_tokens);
    return NULL;
  }
  dg_adapter *a = dg_calloc(1, sizeof *a);
  a->config = *config;
  a->model = *model;
  a->d_model = (size_t)model->d_model;
  a->extra_tokens = extra_tokens;
  a->encoder.count = (size_t)model->encoder_layers;
  a->decoder.count = (size_t)model->decoder_layers;
  a->encoder.layers = dg_calloc(a->encoder.count, sizeof *a->encoder.layers);
  a->decoder.layers = dg_calloc(a->decoder.count, sizeof *a->decoder.layers);
  layout l;
  bool ok = layout_begin(&l, a, err);
  if (ok) {
    plan_adapter(&(dg_plan){.params = &a->params}, &l);
    if (!a->params.count)
      ok = dg_fail(err, DG_ERR_USAGE,
                   "method %s trains nothing in encoder layers %s and decoder layers %s of this "
                   "base",
                   config->method, config->encoder_layers, config->decoder_layers);
    ok = ok && dg_params_allocate(&a->params, plan_adapter, &l, err);
  }
  layout_end(&l);
  if (ok) return a;
  dg_adapter_free(a);
  return NULL;
}

bool dg_adapter_choose(dg_adapter *a, const int32_t *ids, dg_error *err) {
  dg_row_changes *c = &a->changes;
  size_t count = (size_t)a->config.embeddings;
  dg_embedding_side side = a->config.embedding_side;
  int32_t source = a->model.vocab_size, target = dg_target_vocab(&a->model);
  int32_t pieces = side == DG_EMBED_TARGET || (side == DG_EMBED_BOTH && target < source) ? target
                                                                                         : source;
  c->ids = dg_realloc(c->ids, count * sizeof *c->ids);
  c->place = dg_realloc(c->place, (size_t)dg_first_extra(&a->model) * sizeof *c->place);
  memset(c->place, -1, (size_t)dg_first_extra(&a->model) * sizeof *c->place);
  for (size_t i = 0; i < count; i++) {
    if (ids[i] < 0 || ids[i] >= pieces || c->place[ids[i]] >= 0)
      return dg_fail(err, DG_ERR_FORMAT, "piece %d of the changed embeddings is %s", ids[i],
                     ids[i] < 0 || ids[i] >= pieces ? "none of the base's" : "there twice");
    c->ids[i] = ids[i];
    c->place[ids[i]] = (int32_t)i;
  }
  return true;
}

void dg_adapter_initialize(dg_adapter *a, uint64_t seed) {
  dg_params_initialize(&a->params, seed, a->d_model);
  for (size_t i = 0; i < a->params.count; i++) {
    dg_tensor *t = &a->params.tensors[i];
    size_t n = t->rows * t->cols;
    if (dg_ends_with(t->name, ".up.weight") || dg_ends_with(t->name, ".lora_b.weight") ||
        !strncmp(t->name, "pieces.", 7) || !strncmp(t->name, "changes.", 8))
      memset(t->value, 0, n * sizeof(float));
    if (dg_ends_with(t->name, ".ia3"))
      for (size_t k = 0; k < n; k++) t->value[k] = 1;
    /* From Xavier's bound to Hu et al.'s, 1/sqrt(inputs). */
    float shrink = sqrtf((float)(t->rows + t->cols) / (6 * (float)t->cols));
    if (dg_ends_with(t->name, ".lora_a.weight"))
      for (size_t k = 0; k < n; k++) t->value[k] *= shrink;
  }
}

bool dg_adapter_train(dg_adapter *a, dg_error *err) {
  layout l;
  bool ok = layout_begin(&l, a, err) && dg_params_train(&a->params, plan_adapter, &l, err);
  layout_end(&l);
  return ok;
}

void dg_adapter_free(dg_adapter *a) {
  if (!a) return;
  dg_params_free(&a->params);
  free(a->encoder.layers);
  free(a->decoder.layers);
  free(a->changes.ids);
  free(a->changes.place);
  free(a);
}

/* --- what is trained ------------------------------------------------------------------------ */

size_t dg_depth(size_t layer, dg_place place) { return 1 + 4 * layer + (size_t)place; }

static bool sublayer_trained(const dg_sublayer_part *s) {
  for (size_t i = 0; i < 3; i++)
    if (s->product[i].low_rank.down.weight_grad || s->product[i].bias_grad) return true;
  return s->norm.gain_grad || s->scale_grad || s->block.ffn.in.weight_grad;
}

size_t dg_adapter_lowest(const dg_adapter_stack *s) {
  if (s->embedding_norm.gain_grad) return DG_DEPTH_EMBEDDING;
  for (size_t i = 0; i < s->count; i++) {
    const dg_adapter_layer *l = &s->layers[i];
    if (sublayer_trained(&l->self)) return dg_depth(i, DG_SELF);
    if (sublayer_trained(&l->cross)) return dg_depth(i, DG_CROSS);
    if (sublayer_trained(&l->ffn)) return dg_depth(i, DG_FFN);
    if (l->after.ffn.in.weight_grad) return dg_depth(i, DG_AFTER);
  }
  return s->final_norm.gain_grad ? dg_depth(s->count, DG_SELF) : DG_DEPTH_NONE;
}
