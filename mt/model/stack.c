#include "mt/model/stack.h"

#include <math.h>
#include <string.h>

size_t dg_network_ids(const dg_network *n) {
  size_t ids = (size_t)n->model->config.vocab_size;
  for (size_t i = 0; i < n->adapter_count; i++) ids += n->adapters[i]->extra_tokens;
  return ids;
}

/* The adapter that holds an id past the vocabulary, and its row there. */
static const dg_adapter *extra_owner(const dg_network *n, int32_t id, size_t *row) {
  *row = (size_t)id - (size_t)n->model->config.vocab_size;
  for (size_t i = 0; i < n->adapter_count; i++) {
    if (*row < n->adapters[i]->extra_tokens) return n->adapters[i];
    *row -= n->adapters[i]->extra_tokens;
  }
  return NULL;
}

const float *dg_embedding_row(const dg_network *n, const dg_stack *stack, int32_t id) {
  size_t d = (size_t)n->model->config.d_model, row;
  if (id < n->model->config.vocab_size) return stack->embedding + (size_t)id * d;
  const dg_adapter *a = extra_owner(n, id, &row);
  return a->extra + row * d;
}

static float *embedding_grad_row(const dg_network *n, const dg_stack *stack, int32_t id) {
  size_t d = (size_t)n->model->config.d_model, row;
  if (id < n->model->config.vocab_size)
    return stack->embedding_grad ? stack->embedding_grad + (size_t)id * d : NULL;
  const dg_adapter *a = extra_owner(n, id, &row);
  return a->extra_grad ? a->extra_grad + row * d : NULL;
}

const float *dg_position_row(const dg_model *m, const dg_stack *stack, size_t position) {
  const float *table = m->sinusoids ? m->sinusoids : stack->positions;
  if (!table) return NULL;
  return table + (position + (size_t)m->config.position_offset) * (size_t)m->config.d_model;
}

float dg_embedding_scale(const dg_model_config *c) {
  return c->embedding_scale > 0 ? (float)c->embedding_scale : sqrtf((float)c->d_model);
}

bool dg_text_check(const dg_network *n, const dg_packed_text *t, const char *side,
                   dg_error *err) {
  const dg_model_config *c = &n->model->config;
  size_t ids = dg_network_ids(n);
  for (size_t i = 0; i < t->total; i++)
    if (t->ids[i] < 0 || (size_t)t->ids[i] >= ids)
      return dg_fail(err, DG_ERR_USAGE, "%s token %zu has id %d; the model has ids 0 to %zu", side,
                     i, t->ids[i], ids - 1);
  bool table = c->position == DG_POSITION_SINUSOIDAL || c->position == DG_POSITION_LEARNED;
  size_t most = (size_t)(c->max_positions - c->position_offset);
  if (table && t->longest > most)
    return dg_fail(err, DG_ERR_USAGE, "a %s of %zu tokens is longer than the model's %zu", side,
                   t->longest, most);
  return true;
}

/* --- relative positions (Raffel et al. 2020) ------------------------------- */

static size_t relative_bucket(const dg_model_config *c, bool bidirectional, long distance) {
  int buckets = c->relative_buckets, base = 0;
  if (bidirectional) {
    buckets /= 2;
    if (distance > 0) base = buckets;
    else distance = -distance;
  } else {
    distance = distance < 0 ? -distance : 0;
  }
  int exact = buckets / 2;
  if (distance < exact) return (size_t)(base + (int)distance);
  /* In fp32 as the reference computes it: bucket borders are sensitive. */
  float ratio = logf((float)distance / (float)exact) /
                (float)log((double)c->relative_distance / (double)exact);
  int large = exact + (int)(ratio * (float)(buckets - exact));
  return (size_t)(base + (large < buckets ? large : buckets - 1));
}

void dg_relative_biases(const dg_model_config *c, const float *table, bool bidirectional,
                        size_t span, float *out) {
  size_t buckets = (size_t)c->relative_buckets, width = 2 * span - 1;
  for (size_t k = 0; k < width; k++) {
    size_t b = relative_bucket(c, bidirectional, (long)k - (long)(span - 1));
    for (size_t h = 0; h < (size_t)c->heads; h++) out[h * width + k] = table[h * buckets + b];
  }
}

static void relative_gradients(const dg_model_config *c, bool bidirectional, size_t span,
                               const float *grads, float *table_grad) {
  size_t buckets = (size_t)c->relative_buckets, width = 2 * span - 1;
  for (size_t k = 0; k < width; k++) {
    size_t b = relative_bucket(c, bidirectional, (long)k - (long)(span - 1));
    for (size_t h = 0; h < (size_t)c->heads; h++)
      table_grad[h * buckets + b] += grads[h * width + k];
  }
}

/* --- embedding -------------------------------------------------------------- */

typedef struct embed_job {
  const dg_pass *p;
  const dg_stack *stack;
  const dg_packed_text *text;
  float scale;
  float *y;
  const float *g;
  dg_dropout drop;
} embed_job;

static void embed_sequence(void *context, size_t task, int worker) {
  (void)worker;
  const embed_job *j = context;
  const dg_network *n = j->p->network;
  size_t d = (size_t)n->model->config.d_model;
  size_t first = j->text->offsets[task] - j->text->offsets[0];
  size_t length = j->text->offsets[task + 1] - j->text->offsets[task];
  for (size_t i = 0; i < length; i++) {
    const float *e = dg_embedding_row(n, j->stack, j->text->ids[first + i]);
    const float *position = dg_position_row(n->model, j->stack, i);
    float *y = j->y + (first + i) * d;
    for (size_t c = 0; c < d; c++) y[c] = e[c] * j->scale + (position ? position[c] : 0);
  }
}

static void drop_sequence(void *context, size_t task, int worker) {
  (void)worker;
  const embed_job *j = context;
  size_t d = (size_t)j->p->network->model->config.d_model;
  size_t first = j->text->offsets[task] - j->text->offsets[0];
  size_t length = j->text->offsets[task + 1] - j->text->offsets[task];
  j->p->ops->drop(first, length, d, j->y + first * d, j->y + first * d, j->drop);
}

enum { STRIP = 64 };

/* Rows repeat, so tasks own columns. */
static void embed_gradient_columns(void *context, size_t task, int worker) {
  (void)worker;
  const embed_job *j = context;
  const dg_network *n = j->p->network;
  size_t d = (size_t)n->model->config.d_model, begin = task * STRIP;
  size_t end = begin + STRIP < d ? begin + STRIP : d;
  size_t offset = (size_t)n->model->config.position_offset;
  for (size_t s = 0; s < j->text->count; s++) {
    size_t first = j->text->offsets[s] - j->text->offsets[0];
    size_t length = j->text->offsets[s + 1] - j->text->offsets[s];
    for (size_t i = 0; i < length; i++) {
      const float *g = j->g + (first + i) * d;
      float *e = embedding_grad_row(n, j->stack, j->text->ids[first + i]);
      if (e)
        for (size_t c = begin; c < end; c++) e[c] += j->scale * g[c];
      if (j->stack->positions_grad) {
        float *q = j->stack->positions_grad + (i + offset) * d;
        for (size_t c = begin; c < end; c++) q[c] += g[c];
      }
    }
  }
}

static embed_job embed_begin(const dg_pass *p, const dg_stack *stack, const dg_packed_text *text) {
  return (embed_job){.p = p, .stack = stack, .text = text,
                     .scale = dg_embedding_scale(&p->network->model->config)};
}

static float *embed_forward(dg_pass *p, dg_stack_walk *w) {
  const dg_model_config *c = &p->network->model->config;
  size_t rows = w->text.total, d = (size_t)c->d_model;
  embed_job j = embed_begin(p, w->stack, &w->text);
  float *x = j.y = dg_pass_floats(p, rows, d);
  dg_parallel(p->network->threads, w->text.count, embed_sequence, &j);
  w->embedded = x;
  if (c->embedding_norm) {
    w->embedded_mean = dg_pass_floats(p, rows, 1);
    w->embedded_rstd = dg_pass_floats(p, rows, 1);
    x = dg_pass_floats(p, rows, d);
    dg_norm_forward(p, c->norm == DG_RMSNORM, (float)c->norm_eps, &w->stack->embedding_norm, rows,
                    d, w->embedded, x, w->embedded_mean, w->embedded_rstd);
  }
  w->embedded_drop = j.drop = dg_pass_dropout(p, p->dropout.residual);
  j.y = x;
  if (j.drop.threshold) dg_parallel(p->network->threads, w->text.count, drop_sequence, &j);
  return x;
}

static void embed_backward(dg_pass *p, const dg_stack_walk *w, float *g) {
  const dg_model_config *c = &p->network->model->config;
  size_t d = (size_t)c->d_model;
  embed_job j = embed_begin(p, w->stack, &w->text);
  j.drop = w->embedded_drop;
  j.y = g;
  j.g = g;
  if (j.drop.threshold) dg_parallel(p->network->threads, w->text.count, drop_sequence, &j);
  if (c->embedding_norm)
    dg_norm_backward(p, c->norm == DG_RMSNORM, &w->stack->embedding_norm, w->text.total, d,
                     w->embedded, w->embedded_mean, w->embedded_rstd, g, g, false);
  dg_parallel(p->network->threads, (d + STRIP - 1) / STRIP, embed_gradient_columns, &j);
}

/* --- stacks ------------------------------------------------------------------ */

static const dg_ffn *adapter_at(const dg_adapter *a, bool decoder, size_t layer) {
  return decoder ? &a->decoder[layer] : &a->encoder[layer];
}

static float *layer_forward(dg_pass *p, dg_stack_walk *w, size_t i, const float *x) {
  const dg_layer *layer = &w->stack->layers[i];
  dg_layer_saved *s = &w->layers[i];
  dg_style base = dg_base_style(p), adapter = dg_adapter_style(p);
  float *y = dg_attention_forward(p, &base, &layer->self, &w->self, x, &s->self);
  if (w->decoder) y = dg_attention_forward(p, &base, &layer->cross, &w->cross, y, &s->cross);
  y = dg_ffn_forward(p, &base, &layer->ffn, w->text.total, y, &s->ffn);
  for (size_t k = 0; k < p->network->adapter_count; k++)
    y = dg_ffn_forward(p, &adapter, adapter_at(p->network->adapters[k], w->decoder, i),
                       w->text.total, y, &s->adapters[k]);
  return y;
}

float *dg_stack_forward(dg_pass *p, const dg_stack *stack, const dg_packed_text *text,
                        const float *memory, const dg_packed_text *memory_text,
                        dg_stack_walk *w) {
  const dg_model_config *c = &p->network->model->config;
  size_t rows = text->total, d = (size_t)c->d_model;
  *w = (dg_stack_walk){.stack = stack, .decoder = memory != NULL, .text = *text};
  w->layers = dg_arena_alloc(p->arena, stack->count, sizeof *w->layers);
  w->self = (dg_attention_context){.queries = *text, .keys = *text, .causal = w->decoder};
  if (memory)
    w->cross = (dg_attention_context){.queries = *text, .keys = *memory_text, .memory = memory};
  if (stack->relative && text->longest) {
    w->self.relative_span = text->longest;
    float *biases = dg_pass_floats(p, (size_t)c->heads, 2 * text->longest - 1);
    dg_relative_biases(c, stack->relative, !w->decoder, text->longest, biases);
    w->self.relative = biases;
  }
  float *x = embed_forward(p, w);
  for (size_t i = 0; i < stack->count; i++) {
    if (p->save) {
      x = layer_forward(p, w, i, x);
    } else { /* nothing is kept: the layer's result moves down over its scratch */
      dg_arena_mark mark = dg_arena_save(p->arena);
      memcpy(x, layer_forward(p, w, i, x), rows * d * sizeof *x);
      dg_arena_rewind(p->arena, mark);
    }
  }
  if (!c->final_norm) return x;
  w->last = x;
  w->last_mean = dg_pass_floats(p, rows, 1);
  w->last_rstd = dg_pass_floats(p, rows, 1);
  float *y = dg_pass_floats(p, rows, d);
  dg_norm_forward(p, c->norm == DG_RMSNORM, (float)c->norm_eps, &stack->final_norm, rows, d, x, y,
                  w->last_mean, w->last_rstd);
  return y;
}

void dg_stack_backward(dg_pass *p, const dg_stack_walk *w, float *g, float *d_memory) {
  const dg_network *n = p->network;
  const dg_model_config *c = &n->model->config;
  size_t rows = w->text.total, d = (size_t)c->d_model;
  /* Below the first layer's adapters nothing learns but a whole model and new tags. */
  bool all = n->model->params.grads != NULL, to_embeddings = all;
  for (size_t k = 0; k < n->adapter_count; k++)
    if (n->adapters[k]->extra_grad) to_embeddings = true;
  dg_attention_context self = w->self;
  if (w->stack->relative_grad && self.relative) {
    size_t span = (size_t)c->heads * (2 * self.relative_span - 1);
    self.relative_grad = dg_pass_floats(p, 1, span);
    memset(self.relative_grad, 0, span * sizeof(float));
  }
  dg_style base = dg_base_style(p), adapter = dg_adapter_style(p);
  if (c->final_norm)
    dg_norm_backward(p, c->norm == DG_RMSNORM, &w->stack->final_norm, rows, d, w->last,
                     w->last_mean, w->last_rstd, g, g, false);
  for (size_t i = w->stack->count; i-- > 0;) {
    const dg_layer *layer = &w->stack->layers[i];
    const dg_layer_saved *s = &w->layers[i];
    bool inward = i > 0 || to_embeddings;
    for (size_t k = n->adapter_count; k-- > 0;)
      dg_ffn_backward(p, &adapter, adapter_at(n->adapters[k], w->decoder, i), rows,
                      &s->adapters[k], g);
    if (!inward && !d_memory) return;
    dg_ffn_backward(p, &base, &layer->ffn, rows, &s->ffn, g);
    if (w->decoder)
      dg_attention_backward(p, &base, &layer->cross, &w->cross, &s->cross, g, d_memory, inward);
    if (!inward) return;
    dg_attention_backward(p, &base, &layer->self, &self, &s->self, g, NULL, true);
  }
  if (self.relative_grad)
    relative_gradients(c, !w->decoder, self.relative_span, self.relative_grad,
                       w->stack->relative_grad);
  embed_backward(p, w, g);
}
