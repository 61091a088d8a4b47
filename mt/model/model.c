#include "mt/model/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "mt/core/mem.h"

static dg_linear rows_of(const dg_linear *l, size_t first, size_t count) {
  dg_linear part = {.out = count, .in = l->in};
  size_t rows = l->weight.block_rows;
  if (rows) {
    for (size_t i = 0; i < count / rows; i++)
      part.weight.block[i] = l->weight.block[first / rows + i];
    if (count > rows) part.weight.block_rows = rows;
  } else {
    const float *floats = dg_matrix_floats(&l->weight);
    part.weight = dg_matrix_fp32(floats + first * l->in);
  }
  if (l->weight_grad) part.weight_grad = l->weight_grad + first * l->in;
  if (l->bias) part.bias = l->bias + first;
  if (l->bias_grad) part.bias_grad = l->bias_grad + first;
  return part;
}

static dg_attention take_attention(dg_plan *p, const dg_model_config *c, const char *path) {
  dg_attention a = {0};
  size_t d = (size_t)c->d_model, inner = (size_t)c->heads * (size_t)c->head_dim;
  char sub[80];
  snprintf(sub, sizeof sub, "%s.norm", path);
  a.norm = dg_plan_norm(p, sub, d, c->norm_bias);
  a.qkv = dg_plan_linear(p, path, 3, (const char *[]){"q", "k", "v"}, inner, d, c->attention_bias);
  if (p->linking) {
    a.q = rows_of(&a.qkv, 0, inner);
    a.kv = rows_of(&a.qkv, inner, 2 * inner);
  }
  a.out = dg_plan_linear(p, path, 1, (const char *[]){"out"}, d, inner, c->attention_bias);
  return a;
}

static dg_ffn take_ffn(dg_plan *p, const dg_model_config *c, const char *path) {
  dg_ffn f = {0};
  size_t d = (size_t)c->d_model, hidden = (size_t)c->ffn_dim;
  char sub[80];
  snprintf(sub, sizeof sub, "%s.norm", path);
  f.norm = dg_plan_norm(p, sub, d, c->norm_bias);
  f.in = dg_plan_linear(p, path, c->gated_ffn ? 2 : 1, (const char *[]){"in", "gate"}, hidden, d,
                        c->ffn_bias);
  f.out = dg_plan_linear(p, path, 1, (const char *[]){"out"}, d, hidden, c->ffn_bias);
  return f;
}

static void take_embedding(dg_plan *p, const dg_model_config *c, dg_stack *s, size_t vocab,
                           const char *name) {
  s->vocab = vocab;
  s->embedding = dg_plan_weight(p, vocab, (size_t)c->d_model, name, &s->embedding_grad);
}

static void take_stack(dg_plan *p, const dg_model_config *c, dg_stack *s, const char *side,
                       bool decoder) {
  char path[64];
  size_t d = (size_t)c->d_model;
  if (c->position == DG_POSITION_LEARNED) {
    dg_plan_align(p);
    dg_tensor *t = dg_plan_tensor(p, (size_t)c->max_positions, d, "%s.positions", side);
    s->positions = t->value, s->positions_grad = t->grad;
  }
  if (c->position == DG_POSITION_RELATIVE) {
    dg_plan_align(p);
    dg_tensor *t =
        dg_plan_tensor(p, (size_t)c->heads, (size_t)c->relative_buckets, "%s.relative", side);
    s->relative = t->value, s->relative_grad = t->grad;
  }
  if (c->embedding_norm) {
    snprintf(path, sizeof path, "%s.embedding_norm", side);
    s->embedding_norm = dg_plan_norm(p, path, d, c->norm_bias);
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
    s->final_norm = dg_plan_norm(p, path, d, c->norm_bias);
  }
}

static void plan_model(dg_plan *p, void *structure) {
  dg_model *m = structure;
  const dg_model_config *c = &m->config;
  size_t vocab = (size_t)dg_target_vocab(c), d = (size_t)c->d_model;
  take_embedding(p, c, &m->encoder, (size_t)c->vocab_size,
                 c->tie_source_target ? "embedding" : "encoder.embedding");
  if (c->tie_source_target) {
    m->decoder.vocab = m->encoder.vocab;
    m->decoder.embedding = m->encoder.embedding;
    m->decoder.embedding_grad = m->encoder.embedding_grad;
  } else {
    take_embedding(p, c, &m->decoder, vocab, "decoder.embedding");
  }
  take_stack(p, c, &m->encoder, "encoder", false);
  take_stack(p, c, &m->decoder, "decoder", true);
  m->output = (dg_linear){.out = vocab, .in = d};
  m->output.weight = m->decoder.embedding, m->output.weight_grad = m->decoder.embedding_grad;
  if (!c->tie_output)
    m->output.weight = dg_plan_weight(p, vocab, d, "output.weight", &m->output.weight_grad);
  if (c->output_bias) {
    dg_plan_align(p);
    dg_tensor *t = dg_plan_tensor(p, 1, vocab, "output.bias");
    m->output.bias = t->value, m->output.bias_grad = t->grad;
  }
  dg_plan_align(p);
}

/* Where positions are sinusoids. */
static bool make_sinusoids(dg_model *m, dg_error *err) {
  const dg_model_config *c = &m->config;
  if (c->position != DG_POSITION_SINUSOIDAL) return true;
  size_t rows = (size_t)c->max_positions, d = (size_t)c->d_model;
  /* An odd width: M2M-100 leaves the last column zero, Marian has one more sine. */
  size_t cosines = d / 2, sines = c->sinusoid_inclusive ? cosines : d - cosines;
  double step = c->sinusoid_inclusive ? (cosines > 1 ? 1.0 / (double)(cosines - 1) : 0)
                                      : 2.0 / (double)d;
  if (!(m->sinusoids = dg_alloc_checked(rows * d, sizeof(float), err))) return false;
  memset(m->sinusoids, 0, rows * d * sizeof(float));
  for (size_t i = 0; i < sines; i++) {
    double frequency = pow(10000.0, -step * (double)i);
    for (size_t r = 0; r < rows; r++) {
      m->sinusoids[r * d + i] = (float)sin((double)r * frequency);
      if (i < cosines) m->sinusoids[r * d + sines + i] = (float)cos((double)r * frequency);
    }
  }
  return true;
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
  plan_model(&(dg_plan){.params = &m->params}, m);
  return m;
}

dg_model *dg_model_new(const dg_model_config *config, dg_error *err) {
  dg_model *m = dg_model_outline(config, err);
  if (m && (!dg_params_allocate(&m->params, plan_model, m, err) || !make_sinusoids(m, err))) {
    dg_model_free(m);
    return NULL;
  }
  return m;
}

bool dg_model_hold(dg_model *m, dg_error *err) {
  return dg_params_hold(&m->params, plan_model, m, err) && make_sinusoids(m, err);
}

void dg_model_initialize(dg_model *m, uint64_t seed) {
  dg_params_initialize(&m->params, seed, (size_t)m->config.d_model);
}

bool dg_model_train(dg_model *m, dg_error *err) {
  return dg_params_train(&m->params, plan_model, m, err);
}

bool dg_model_freeze(dg_model *m, dg_error *err) {
  if (mprotect(m->params.values, m->params.size * sizeof(float), PROT_READ))
    return dg_fail_errno(err, "cannot protect the frozen weights");
  return true;
}

void dg_model_free(dg_model *m) {
  if (!m) return;
  dg_params_free(&m->params);
  free(m->encoder.layers);
  free(m->decoder.layers);
  free(m->sinusoids);
  free(m);
}
