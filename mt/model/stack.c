#include "mt/model/stack.h"

#include <math.h>
#include <string.h>

/* A row of embeddings and its gradient, NULL: frozen. Where there is none both are NULL. */
typedef struct row {
  const float *value;
  float *grad;
} row;

static row row_at(const float *value, float *grad, size_t at, size_t d) {
  return (row){value ? value + at * d : NULL, grad ? grad + at * d : NULL};
}

static row side_row(const dg_network *n, const dg_stack *stack, const dg_piece_rows *p, size_t at) {
  size_t d = (size_t)n->model->config.d_model;
  return stack == &n->model->encoder ? row_at(p->source, p->source_grad, at, d)
                                     : row_at(p->target, p->target_grad, at, d);
}

/* What an adapter adds to the row of a piece of the base. */
static row change_row(const dg_network *n, const dg_stack *stack, size_t adapter, int32_t id) {
  const dg_row_changes *c = &n->adapters[adapter]->changes;
  if (!c->place || c->place[id] < 0) return (row){0};
  return side_row(n, stack, &c->rows, (size_t)c->place[id]);
}

/* That of an id past the vocabularies: of a new piece, or an adapter's tag. */
static row extra_row(const dg_network *n, const dg_stack *stack, int32_t id) {
  const dg_model_config *c = &n->model->config;
  size_t d = (size_t)c->d_model;
  int32_t tag = id - dg_first_tag(c), piece = id - dg_first_extra(c);
  for (size_t i = 0; i < n->adapter_count; i++) {
    const dg_adapter *a = n->adapters[i];
    if (tag < 0 && piece < a->config.new_pieces)
      return side_row(n, stack, &a->pieces, (size_t)piece);
    if (tag >= 0 && (size_t)tag < a->extra_tokens)
      return row_at(a->extra, a->extra_grad, (size_t)tag, d);
    if (tag >= 0) tag -= (int32_t)a->extra_tokens;
  }
  return (row){0};
}

static void embedding_row(const dg_network *n, const dg_stack *stack, int32_t id, float *out) {
  size_t d = (size_t)n->model->config.d_model;
  if ((size_t)id >= stack->vocab) {
    memcpy(out, extra_row(n, stack, id).value, d * sizeof *out);
    return;
  }
  dg_matrix_rows(&stack->embedding, d, (size_t)id, 1, out);
  for (size_t k = 0; k < n->adapter_count; k++) {
    const float *change = change_row(n, stack, k, id).value;
    for (size_t c = 0; change && c < d; c++) out[c] += change[c];
  }
}

/* The gradients of all that a row is the sum of. */
static size_t embedding_grad_rows(const dg_network *n, const dg_stack *stack, int32_t id,
                                  float *out[1 + DG_ADAPTERS_MAX]) {
  size_t d = (size_t)n->model->config.d_model, count = 0;
  bool known = (size_t)id < stack->vocab;
  float *own = known ? stack->embedding_grad : extra_row(n, stack, id).grad;
  if (own) out[count++] = known ? own + (size_t)id * d : own;
  for (size_t k = 0; known && k < n->adapter_count; k++)
    if ((out[count] = change_row(n, stack, k, id).grad)) count++;
  return count;
}

static bool is_known(const dg_network *n, const dg_stack *stack, int32_t id) {
  if (id < 0) return false;
  return (size_t)id < stack->vocab ||
         (id >= dg_first_extra(&n->model->config) && extra_row(n, stack, id).value);
}

/* Or NULL. */
static const float *position_row(const dg_model *m, const dg_stack *stack, size_t position) {
  const float *table = m->sinusoids ? m->sinusoids : stack->positions;
  if (!table) return NULL;
  return table + (position + (size_t)m->config.position_offset) * (size_t)m->config.d_model;
}

static float embedding_scale(const dg_model_config *c) {
  return c->embedding_scale > 0 ? (float)c->embedding_scale : sqrtf((float)c->d_model);
}

void dg_embed_token(const dg_network *n, const dg_stack *stack, int32_t id, size_t at, float *out) {
  const float *position = position_row(n->model, stack, at);
  float scale = embedding_scale(&n->model->config);
  embedding_row(n, stack, id, out);
  for (size_t c = 0; c < (size_t)n->model->config.d_model; c++)
    out[c] = out[c] * scale + (position ? position[c] : 0);
}

bool dg_text_check(const dg_network *n, const dg_stack *stack, const dg_packed_text *t,
                   dg_error *err) {
  const char *side = stack == &n->model->encoder ? "source" : "target";
  for (size_t i = 0; i < t->total; i++)
    if (!is_known(n, stack, t->ids[i]))
      return dg_fail(err, DG_ERR_USAGE, "%s token %zu has id %d; the model has ids 0 to %zu%s",
                     side, i, t->ids[i], stack->vocab - 1,
                     n->adapter_count ? " and its adapters'" : "");
  size_t most = dg_longest_text(&n->model->config);
  if (t->longest > most)
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

/* --- norms of a stack ------------------------------------------------------- */

static const dg_adapter_stack *side_of(const dg_adapter *a, bool decoder) {
  return decoder ? &a->decoder : &a->encoder;
}

static size_t added_norms(const dg_network *n, bool decoder, bool embedding,
                          const dg_norm *added[DG_ADAPTERS_MAX]) {
  for (size_t k = 0; k < n->adapter_count; k++) {
    const dg_adapter_stack *s = side_of(n->adapters[k], decoder);
    added[k] = embedding ? &s->embedding_norm : &s->final_norm;
  }
  return n->adapter_count;
}

dg_norm dg_stack_norm(dg_pass *p, const dg_stack *stack, bool embedding) {
  const dg_model *m = p->network->model;
  const dg_norm *added[DG_ADAPTERS_MAX];
  size_t count = added_norms(p->network, stack == &m->decoder, embedding, added);
  return dg_parts_norm(p, embedding ? &stack->embedding_norm : &stack->final_norm,
                       (size_t)m->config.d_model, count, added);
}

/* g becomes the gradient of x. */
static void norm_backward(const dg_pass *p, const dg_norm *norm, size_t count,
                          const dg_norm *const *added, size_t rows, const float *x,
                          const float *mean, const float *rstd, float *g) {
  const dg_model_config *c = &p->network->model->config;
  bool rms = c->norm == DG_RMSNORM;
  size_t d = (size_t)c->d_model;
  for (size_t k = 0; k < count; k++) dg_norm_gradients(p, rms, added[k], rows, d, x, mean, rstd, g);
  dg_norm_backward(p, rms, norm, rows, d, x, mean, rstd, g, g, false);
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
  for (size_t i = 0; i < length; i++)
    dg_embed_token(n, j->stack, j->text->ids[first + i], i, j->y + (first + i) * d);
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
      float *e[1 + DG_ADAPTERS_MAX];
      size_t count = embedding_grad_rows(n, j->stack, j->text->ids[first + i], e);
      for (size_t k = 0; k < count; k++)
        for (size_t c = begin; c < end; c++) e[k][c] += j->scale * g[c];
      if (j->stack->positions_grad) {
        float *q = j->stack->positions_grad + (i + offset) * d;
        for (size_t c = begin; c < end; c++) q[c] += g[c];
      }
    }
  }
}

static embed_job embed_begin(const dg_pass *p, const dg_stack *stack, const dg_packed_text *text) {
  return (embed_job){.p = p, .stack = stack, .text = text,
                     .scale = embedding_scale(&p->network->model->config)};
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
    w->embedding_norm = dg_stack_norm(p, w->stack, true);
    dg_norm_forward(p, c->norm == DG_RMSNORM, (float)c->norm_eps, &w->embedding_norm, rows, d,
                    w->embedded, x, w->embedded_mean, w->embedded_rstd);
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
  const dg_norm *added[DG_ADAPTERS_MAX];
  size_t count = added_norms(p->network, w->decoder, true, added);
  if (c->embedding_norm)
    norm_backward(p, &w->embedding_norm, count, added, w->text.total, w->embedded,
                  w->embedded_mean, w->embedded_rstd, g);
  dg_parallel(p->network->threads, (d + STRIP - 1) / STRIP, embed_gradient_columns, &j);
}

/* --- stacks ------------------------------------------------------------------ */

/* Whether the text has a token whose embedding is trained. */
static bool trains_embeddings(const dg_network *n, const dg_stack *stack,
                              const dg_packed_text *text) {
  float *unused[1 + DG_ADAPTERS_MAX];
  for (size_t i = 0; i < text->total; i++)
    if (embedding_grad_rows(n, stack, text->ids[i], unused)) return true;
  return false;
}

size_t dg_network_lowest(const dg_network *n, bool decoder, const dg_packed_text *text) {
  const dg_stack *stack = decoder ? &n->model->decoder : &n->model->encoder;
  if (n->model->params.grads || trains_embeddings(n, stack, text)) return DG_DEPTH_EMBEDDING;
  size_t lowest = DG_DEPTH_NONE;
  for (size_t k = 0; k < n->adapter_count; k++) {
    size_t mine = dg_adapter_lowest(side_of(n->adapters[k], decoder));
    if (mine < lowest) lowest = mine;
  }
  return lowest;
}

static float *layer_forward(dg_pass *p, dg_stack_walk *w, size_t i, const float *x) {
  const dg_layer *layer = &w->stack->layers[i];
  dg_layer_saved *s = &w->layers[i];
  dg_style base = dg_base_style(p);
  dg_layer_parts parts = dg_network_parts(p->network, w->decoder, i);
  float *y = dg_attention_forward(p, &base, &layer->self, &parts.self, &w->self, x, &s->self);
  if (w->decoder)
    y = dg_attention_forward(p, &base, &layer->cross, &parts.cross, &w->cross, y, &s->cross);
  y = dg_ffn_forward(p, &base, &layer->ffn, &parts.ffn, w->text.total, y, y, &s->ffn);
  for (size_t k = 0; k < parts.after_count; k++)
    y = dg_block_forward(p, parts.after[k], w->text.total, y, &s->after[k]);
  return y;
}

/* Nothing is kept: the layer's result moves down over its scratch. */
static void layer_passing(dg_pass *p, dg_stack_walk *w, size_t i, float *x) {
  dg_arena_mark mark = dg_arena_save(p->arena);
  size_t bytes = w->text.total * (size_t)p->network->model->config.d_model * sizeof *x;
  memcpy(x, layer_forward(p, w, i, x), bytes);
  dg_arena_rewind(p->arena, mark);
}

size_t dg_layers_below(const dg_stack *stack, size_t depth) {
  size_t layers = 0;
  while (layers < stack->count && depth > dg_depth(layers, DG_AFTER)) layers++;
  return layers;
}

static void walk_begin(dg_pass *p, const dg_stack *stack, const dg_packed_text *text,
                       const float *memory, const dg_packed_text *memory_text, size_t lowest,
                       dg_stack_walk *w) {
  const dg_model_config *c = &p->network->model->config;
  *w = (dg_stack_walk){.stack = stack, .decoder = memory != NULL, .text = *text,
                       .lowest = lowest};
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
}

float *dg_encoder_begin(dg_pass *p, const dg_packed_text *text, size_t layers) {
  dg_pass as_it_is = {.network = p->network, .ops = p->ops, .arena = p->arena};
  dg_stack_walk w;
  walk_begin(&as_it_is, &p->network->model->encoder, text, NULL, NULL, DG_DEPTH_NONE, &w);
  float *x = embed_forward(&as_it_is, &w);
  for (size_t i = 0; i < layers; i++) layer_passing(&as_it_is, &w, i, x);
  return x;
}

float *dg_stack_forward(dg_pass *p, const dg_stack *stack, const dg_packed_text *text,
                        const float *memory, const dg_packed_text *memory_text, size_t lowest,
                        const float *begun, dg_stack_walk *w) {
  const dg_model_config *c = &p->network->model->config;
  size_t rows = text->total, d = (size_t)c->d_model;
  walk_begin(p, stack, text, memory, memory_text, lowest, w);
  bool save = p->save;
  size_t below = save ? dg_layers_below(stack, lowest) : 0, frozen = w->decoder ? 0 : below;
  float *x;
  if (begun) x = memcpy(dg_pass_floats(p, rows, d), begun, rows * d * sizeof *x);
  else x = frozen ? dg_encoder_begin(p, text, frozen) : embed_forward(p, w);
  for (size_t i = frozen; i < stack->count; i++) {
    p->save = save && i >= below;
    if (p->save) x = layer_forward(p, w, i, x);
    else layer_passing(p, w, i, x);
  }
  p->save = save;
  if (!c->final_norm) return x;
  w->last = x;
  w->final_norm = dg_stack_norm(p, stack, false);
  w->last_mean = dg_pass_floats(p, rows, 1);
  w->last_rstd = dg_pass_floats(p, rows, 1);
  float *y = dg_pass_floats(p, rows, d);
  dg_norm_forward(p, c->norm == DG_RMSNORM, (float)c->norm_eps, &w->final_norm, rows, d, x, y,
                  w->last_mean, w->last_rstd);
  return y;
}

void dg_stack_backward(dg_pass *p, const dg_stack_walk *w, float *g, float *d_memory) {
  const dg_network *n = p->network;
  const dg_model_config *c = &n->model->config;
  size_t rows = w->text.total;
  dg_attention_context self = w->self;
  if (w->stack->relative_grad && self.relative) {
    size_t span = (size_t)c->heads * (2 * self.relative_span - 1);
    self.relative_grad = dg_pass_floats(p, 1, span);
    memset(self.relative_grad, 0, span * sizeof(float));
  }
  dg_style base = dg_base_style(p);
  if (c->final_norm) {
    const dg_norm *added[DG_ADAPTERS_MAX];
    size_t count = added_norms(n, w->decoder, false, added);
    norm_backward(p, &w->final_norm, count, added, rows, w->last, w->last_mean, w->last_rstd, g);
  }
  for (size_t i = w->stack->count; i-- > 0;) {
    const dg_layer *layer = &w->stack->layers[i];
    const dg_layer_saved *s = &w->layers[i];
    dg_layer_parts parts = dg_network_parts(n, w->decoder, i);
    if (w->lowest > dg_depth(i, DG_AFTER)) return;
    for (size_t k = parts.after_count; k-- > 0;)
      dg_block_backward(p, parts.after[k], rows, &s->after[k], g);
    if (w->lowest > dg_depth(i, DG_FFN)) return;
    dg_ffn_backward(p, &base, &layer->ffn, &parts.ffn, rows, &s->ffn, g,
                    w->lowest < dg_depth(i, DG_FFN) ? g : NULL);
    if (w->lowest > dg_depth(i, DG_CROSS)) return;
    if (w->decoder)
      dg_attention_backward(p, &base, &layer->cross, &parts.cross, &w->cross, &s->cross, g,
                            d_memory, w->lowest < dg_depth(i, DG_CROSS));
    if (w->lowest > dg_depth(i, DG_SELF)) return;
    dg_attention_backward(p, &base, &layer->self, &parts.self, &self, &s->self, g, NULL,
                          w->lowest < dg_depth(i, DG_SELF));
  }
  if (w->lowest > DG_DEPTH_EMBEDDING) return;
  if (self.relative_grad)
    relative_gradients(c, !w->decoder, self.relative_span, self.relative_grad,
                       w->stack->relative_grad);
  embed_backward(p, w, g);
}
