#include "mt/model/model.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "mt/core/mem.h"
#include "mt/core/rng.h"

enum { ALIGN = 16 }; /* floats: one cache line */

/* One function describes a structure's tensors. It runs twice: to lay them out
 * (the block is still NULL), and to point the structure's views at them. */
typedef struct plan {
  dg_params *params;
  size_t next, capacity;
  bool linking;
} plan;

static void align(plan *p) {
  p->params->total = (p->params->total + ALIGN - 1) / ALIGN * ALIGN;
}

static dg_tensor *take(plan *p, size_t rows, size_t cols, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static dg_tensor *take(plan *p, size_t rows, size_t cols, const char *format, ...) {
  dg_params *params = p->params;
  if (p->linking) return &params->tensors[p->next++];
  DG_GROW(params->tensors, p->capacity, params->count + 1);
  dg_tensor *t = &params->tensors[params->count++];
  *t = (dg_tensor){.rows = rows, .cols = cols, .offset = params->total};
  va_list args;
  va_start(args, format);
  vsnprintf(t->name, sizeof t->name, format, args);
  va_end(args);
  params->total += rows * cols;
  return t;
}

static dg_norm take_norm(plan *p, const char *path, size_t width, bool bias) {
  dg_norm n = {0};
  align(p);
  dg_tensor *t = take(p, 1, width, "%s.gain", path);
  n.gain = t->value, n.gain_grad = t->grad;
  if (bias) {
    align(p);
    t = take(p, 1, width, "%s.bias", path);
    n.bias = t->value, n.bias_grad = t->grad;
  }
  return n;
}

/* `parts` projections of the same input, adjacent in memory: weights, then biases. */
static dg_linear take_linear(plan *p, const char *path, size_t parts, const char *const *names,
                             size_t out, size_t in, bool bias) {
  dg_linear l = {.out = parts * out, .in = in};
  align(p);
  for (size_t i = 0; i < parts; i++) {
    dg_tensor *t = take(p, out, in, "%s.%s.weight", path, names[i]);
    if (!i) l.weight = t->value, l.weight_grad = t->grad;
  }
  if (bias) {
    align(p);
    for (size_t i = 0; i < parts; i++) {
      dg_tensor *t = take(p, 1, out, "%s.%s.bias", path, names[i]);
      if (!i) l.bias = t->value, l.bias_grad = t->grad;
    }
  }
  return l;
}

static dg_linear rows_of(const dg_linear *l, size_t first, size_t count) {
  dg_linear part = {.out = count, .in = l->in};
  part.weight = l->weight + first * l->in;
  if (l->weight_grad) part.weight_grad = l->weight_grad + first * l->in;
  if (l->bias) part.bias = l->bias + first;
  if (l->bias_grad) part.bias_grad = l->bias_grad + first;
  return part;
}

static dg_attention take_attention(plan *p, const dg_model_config *c, const char *path) {
  dg_attention a = {0};
  size_t d = (size_t)c->d_model, inner = (size_t)c->heads * (size_t)c->head_dim;
  char sub[80];
  snprintf(sub, sizeof sub, "%s.norm", path);
  a.norm = take_norm(p, sub, d, c->norm_bias);
  a.qkv = take_linear(p, path, 3, (const char *[]){"q", "k", "v"}, inner, d, c->attention_bias);
  if (p->linking) {
    a.q = rows_of(&a.qkv, 0, inner);
    a.kv = rows_of(&a.qkv, inner, 2 * inner);
  }
  a.out = take_linear(p, path, 1, (const char *[]){"out"}, d, inner, c->attention_bias);
  return a;
}

static dg_ffn take_ffn(plan *p, const dg_model_config *c, const char *path) {
  dg_ffn f = {0};
  size_t d = (size_t)c->d_model, hidden = (size_t)c->ffn_dim;
  char sub[80];
  snprintf(sub, sizeof sub, "%s.norm", path);
  f.norm = take_norm(p, sub, d, c->norm_bias);
  f.in = take_linear(p, path, c->gated_ffn ? 2 : 1, (const char *[]){"in", "gate"}, hidden, d,
                     c->ffn_bias);
  f.out = take_linear(p, path, 1, (const char *[]){"out"}, d, hidden, c->ffn_bias);
  return f;
}

static void take_embedding(plan *p, const dg_model_config *c, dg_stack *s, const char *name) {
  align(p);
  dg_tensor *t = take(p, (size_t)c->vocab_size, (size_t)c->d_model, "%s", name);
  s->embedding = t->value, s->embedding_grad = t->grad;
}

static void take_stack(plan *p, const dg_model_config *c, dg_stack *s, const char *side,
                       bool decoder) {
  char path[64];
  size_t d = (size_t)c->d_model;
  if (c->position == DG_POSITION_LEARNED) {
    align(p);
    dg_tensor *t = take(p, (size_t)c->max_positions, d, "%s.positions", side);
    s->positions = t->value, s->positions_grad = t->grad;
  }
  if (c->position == DG_POSITION_RELATIVE) {
    align(p);
    dg_tensor *t =
        take(p, (size_t)c->heads, (size_t)c->relative_buckets, "%s.relative", side);
    s->relative = t->value, s->relative_grad = t->grad;
  }
  if (c->embedding_norm) {
    snprintf(path, sizeof path, "%s.embedding_norm", side);
    s->embedding_norm = take_norm(p, path, d, c->norm_bias);
  }
  for (size_t i = 0; i < s->count; i++) {
    snprintf(path, sizeof path, "%s.layers.%zu.self", side, i);
    s->layers[i].self = take_attention(p, c, path);
    if (decoder) {
      snprintf(path, sizeof path, "%s.layers.%zu.cross", side, i);
      s->layers[i].cross = take_attention(p, c, path);
    }
    snprintf(path, sizeof path, "%s.layers.%zu.ffn", side, i);
    s->layers[i].ffn = take_ffn(p, c, path);
  }
  if (c->final_norm) {
    snprintf(path, sizeof path, "%s.final_norm", side);
    s->final_norm = take_norm(p, path, d, c->norm_bias);
  }
}

static void plan_model(plan *p, void *structure) {
  dg_model *m = structure;
  const dg_model_config *c = &m->config;
  size_t vocab = (size_t)c->vocab_size, d = (size_t)c->d_model;
  take_embedding(p, c, &m->encoder, c->tie_source_target ? "embedding" : "encoder.embedding");
  if (c->tie_source_target) {
    m->decoder.embedding = m->encoder.embedding;
    m->decoder.embedding_grad = m->encoder.embedding_grad;
  } else {
    take_embedding(p, c, &m->decoder, "decoder.embedding");
  }
  take_stack(p, c, &m->encoder, "encoder", false);
  take_stack(p, c, &m->decoder, "decoder", true);
  m->output = (dg_linear){.out = vocab, .in = d};
  m->output.weight = m->decoder.embedding, m->output.weight_grad = m->decoder.embedding_grad;
  if (!c->tie_output) {
    align(p);
    dg_tensor *t = take(p, vocab, d, "output.weight");
    m->output.weight = t->value, m->output.weight_grad = t->grad;
  }
  if (c->output_bias) {
    align(p);
    dg_tensor *t = take(p, 1, vocab, "output.bias");
    m->output.bias = t->value, m->output.bias_grad = t->grad;
  }
  align(p);
}

static void plan_adapter(plan *p, void *structure) {
  dg_adapter *a = structure;
  for (int side = 0; side < 2; side++) {
    size_t layers = side ? a->decoder_layers : a->encoder_layers;
    dg_ffn *list = side ? a->decoder : a->encoder;
    for (size_t i = 0; i < layers; i++) {
      char path[64], sub[80];
      snprintf(path, sizeof path, "%s.layers.%zu", side ? "decoder" : "encoder", i);
      snprintf(sub, sizeof sub, "%s.norm", path);
      list[i].norm = take_norm(p, sub, a->d_model, true);
      list[i].in =
          take_linear(p, path, 1, (const char *[]){"down"}, a->width, a->d_model, true);
      list[i].out = take_linear(p, path, 1, (const char *[]){"up"}, a->d_model, a->width, true);
    }
  }
  if (a->extra_tokens) {
    align(p);
    dg_tensor *t = take(p, a->extra_tokens, a->d_model, "extra");
    a->extra = t->value, a->extra_grad = t->grad;
  }
  align(p);
}

typedef void plan_fn(plan *p, void *structure);

static void link_views(dg_params *params, plan_fn *describe, void *structure) {
  for (size_t i = 0; i < params->count; i++) {
    dg_tensor *t = &params->tensors[i];
    t->value = params->values + t->offset;
    t->grad = params->grads ? params->grads + t->offset : NULL;
  }
  size_t total = params->total;
  describe(&(plan){.params = params, .linking = true}, structure);
  params->total = total; /* align() is idle when linking, but moves it */
}

/* Whole pages of zeros, so that freezing can protect them. */
static float *pages(size_t floats, dg_error *err) {
  void *p = mmap(NULL, floats * sizeof(float), PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p != MAP_FAILED) return p;
  dg_fail(err, DG_ERR_MEMORY, "no memory for %zu MB of parameters", floats >> 18);
  return NULL;
}

static bool params_allocate(dg_params *params, plan_fn *describe, void *structure,
                            dg_error *err) {
  params->values = pages(params->total, err);
  if (!params->values) return false;
  link_views(params, describe, structure);
  return true;
}

static bool params_train(dg_params *params, plan_fn *describe, void *structure, dg_error *err) {
  if (params->grads) return true;
  params->grads = pages(params->total, err);
  if (!params->grads) return false;
  link_views(params, describe, structure);
  return true;
}

static void params_free(dg_params *p) {
  if (p->values) munmap(p->values, p->total * sizeof(float));
  if (p->grads) munmap(p->grads, p->total * sizeof(float));
  free(p->tensors);
}

size_t dg_params_count(const dg_params *p) {
  size_t n = 0;
  for (size_t i = 0; i < p->count; i++) n += p->tensors[i].rows * p->tensors[i].cols;
  return n;
}

dg_tensor *dg_params_find(const dg_params *p, const char *name) {
  for (size_t i = 0; i < p->count; i++)
    if (!strcmp(p->tensors[i].name, name)) return &p->tensors[i];
  return NULL;
}

void dg_params_zero_grads(dg_params *p) {
  if (p->grads) memset(p->grads, 0, p->total * sizeof(float));
}

static void make_sinusoids(dg_model *m) {
  const dg_model_config *c = &m->config;
  size_t rows = (size_t)c->max_positions, d = (size_t)c->d_model;
  /* An odd width: M2M-100 leaves the last column zero, Marian has one more sine. */
  size_t cosines = d / 2, sines = c->sinusoid_inclusive ? cosines : d - cosines;
  double step = c->sinusoid_inclusive ? (cosines > 1 ? 1.0 / (double)(cosines - 1) : 0)
                                      : 2.0 / (double)d;
  m->sinusoids = dg_calloc(rows * d, sizeof(float));
  for (size_t i = 0; i < sines; i++) {
    double frequency = pow(10000.0, -step * (double)i);
    for (size_t r = 0; r < rows; r++) {
      m->sinusoids[r * d + i] = (float)sin((double)r * frequency);
      if (i < cosines) m->sinusoids[r * d + sines + i] = (float)cos((double)r * frequency);
    }
  }
}

dg_model *dg_model_outline(const dg_model_config *config, dg_error *err) {
  dg_model_config c = *config;
  if (!dg_model_config_check(&c, err)) return NULL;
  dg_model *m = dg_calloc(1, sizeof *m);
  m->config = c;
  m->encoder.count = (size_t)c.encoder_layers;
  m->decoder.count = (size_t)c.decoder_layers;
  m->encoder.layers = dg_calloc(m->encoder.count, sizeof *m->encoder.layers);
  m->decoder.layers = dg_calloc(m->decoder.count, sizeof *m->decoder.layers);
  plan_model(&(plan){.params = &m->params}, m);
  return m;
}

dg_model *dg_model_new(const dg_model_config *config, dg_error *err) {
  dg_model *m = dg_model_outline(config, err);
  if (m && !params_allocate(&m->params, plan_model, m, err)) {
    dg_model_free(m);
    return NULL;
  }
  if (m && m->config.position == DG_POSITION_SINUSOIDAL) make_sinusoids(m);
  return m;
}

/* Gains 1, biases 0, embeddings normal, projections Xavier-uniform; each tensor
 * draws from its own stream, so adding one does not change the others. */
static void initialize(dg_params *p, uint64_t seed, size_t d_model) {
  for (size_t i = 0; i < p->count; i++) {
    dg_tensor *t = &p->tensors[i];
    dg_rng r = {.key = dg_rng_key(seed, i)};
    size_t n = t->rows * t->cols;
    if (dg_ends_with(t->name, ".gain")) {
      for (size_t j = 0; j < n; j++) t->value[j] = 1;
    } else if (dg_ends_with(t->name, "embedding") || dg_ends_with(t->name, "output.weight") ||
               dg_ends_with(t->name, ".positions") || dg_ends_with(t->name, ".relative")) {
      double deviation = 1.0 / sqrt((double)d_model);
      for (size_t j = 0; j < n; j++) t->value[j] = (float)(dg_rng_normal(&r) * deviation);
    } else if (dg_ends_with(t->name, ".weight")) {
      double bound = sqrt(6.0 / (double)(t->rows + t->cols));
      for (size_t j = 0; j < n; j++)
        t->value[j] = (float)((2 * dg_rng_uniform(&r) - 1) * bound);
    } else {
      memset(t->value, 0, n * sizeof *t->value);
    }
  }
}

void dg_model_initialize(dg_model *m, uint64_t seed) {
  initialize(&m->params, seed, (size_t)m->config.d_model);
}

bool dg_model_train(dg_model *m, dg_error *err) {
  return params_train(&m->params, plan_model, m, err);
}

bool dg_model_freeze(dg_model *m, dg_error *err) {
  if (mprotect(m->params.values, m->params.total * sizeof(float), PROT_READ))
    return dg_fail_errno(err, "cannot protect the frozen weights");
  return true;
}

void dg_model_free(dg_model *m) {
  if (!m) return;
  params_free(&m->params);
  free(m->encoder.layers);
  free(m->decoder.layers);
  free(m->sinusoids);
  free(m);
}

dg_adapter *dg_adapter_new(const dg_model_config *config, size_t width, size_t extra_tokens,
                           dg_error *err) {
  if (!width || width > 65536 || extra_tokens > (1u << 20)) {
    dg_fail(err, DG_ERR_USAGE, "an adapter of width %zu with %zu tokens is out of range", width,
            extra_tokens);
    return NULL;
  }
  dg_adapter *a = dg_calloc(1, sizeof *a);
  a->d_model = (size_t)config->d_model;
  a->width = width;
  a->encoder_layers = (size_t)config->encoder_layers;
  a->decoder_layers = (size_t)config->decoder_layers;
  a->extra_tokens = extra_tokens;
  a->encoder = dg_calloc(a->encoder_layers, sizeof *a->encoder);
  a->decoder = dg_calloc(a->decoder_layers, sizeof *a->decoder);
  plan_adapter(&(plan){.params = &a->params}, a);
  if (!params_allocate(&a->params, plan_adapter, a, err)) {
    dg_adapter_free(a);
    return NULL;
  }
  return a;
}

void dg_adapter_initialize(dg_adapter *a, uint64_t seed) {
  initialize(&a->params, seed, a->d_model);
  for (size_t i = 0; i < a->params.count; i++) {
    dg_tensor *t = &a->params.tensors[i];
    if (dg_ends_with(t->name, ".up.weight")) memset(t->value, 0, t->rows * t->cols * sizeof(float));
  }
}

bool dg_adapter_train(dg_adapter *a, dg_error *err) {
  return params_train(&a->params, plan_adapter, a, err);
}

void dg_adapter_free(dg_adapter *a) {
  if (!a) return;
  params_free(&a->params);
  free(a->encoder);
  free(a->decoder);
  free(a);
}
