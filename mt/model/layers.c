#include "mt/model/layers.h"

#include <math.h>
#include <string.h>

#include "mt/core/rng.h"
#include "mt/model/packed.h"

enum {
  ROW_BLOCK = 64,    /* rows a task takes */
  COLUMN_STRIP = 64  /* columns a task reduces; strips do not depend on the thread count */
};

static size_t tasks_for(size_t n, size_t block) { return (n + block - 1) / block; }
static size_t span(size_t n, size_t block, size_t task) {
  size_t first = task * block;
  return n - first < block ? n - first : block;
}

dg_packed_text dg_pack_text(size_t count, const int32_t *ids, const uint32_t *offsets) {
  dg_packed_text t = {.count = count, .ids = ids, .offsets = offsets};
  t.total = offsets[count] - offsets[0];
  for (size_t i = 0; i < count; i++)
    if (offsets[i + 1] - offsets[i] > t.longest) t.longest = offsets[i + 1] - offsets[i];
  return t;
}

float *dg_pass_floats(dg_pass *p, size_t rows, size_t cols) {
  return dg_arena_alloc(p->arena, rows * cols, sizeof(float));
}

dg_dropout dg_pass_dropout(dg_pass *p, float rate) {
  return dg_dropout_make(rate, dg_rng_key(p->dropout.key, p->site++));
}

/* --- row-parallel kernels ------------------------------------------------ */

typedef struct row_job {
  const dg_pass *p;
  size_t rows, width, stride;
  bool rms, accumulate, gated;
  int activation;
  float eps;
  const float *x, *gain, *bias, *dy;
  float *y, *mean, *rstd, *gain_grad, *bias_grad;
  dg_dropout drop;
} row_job;

static void norm_rows(void *context, size_t task, int worker) {
  (void)worker;
  const row_job *j = context;
  size_t r = task * ROW_BLOCK, n = span(j->rows, ROW_BLOCK, task), at = r * j->width;
  j->p->ops->norm(j->rms, n, j->width, j->eps, j->x + at, j->gain, j->bias, j->y + at, j->mean + r,
                  j->rstd + r);
}

void dg_norm_forward(const dg_pass *p, bool rms, float eps, const dg_norm *n, size_t rows,
                     size_t width, const float *x, float *y, float *mean, float *rstd) {
  row_job j = {.p = p, .rows = rows, .width = width, .rms = rms, .eps = eps, .x = x,
               .gain = n->gain, .bias = n->bias, .y = y, .mean = mean, .rstd = rstd};
  dg_parallel(p->network->threads, tasks_for(rows, ROW_BLOCK), norm_rows, &j);
}

static void norm_gradient_columns(void *context, size_t task, int worker) {
  (void)worker;
  const row_job *j = context;
  size_t c = task * COLUMN_STRIP;
  j->p->ops->norm_grads(j->rms, j->rows, j->width, c, c + span(j->width, COLUMN_STRIP, task), j->x,
                        j->mean, j->rstd, j->dy, j->gain_grad, j->bias_grad);
}

static void norm_gradient_rows(void *context, size_t task, int worker) {
  (void)worker;
  const row_job *j = context;
  size_t r = task * ROW_BLOCK, n = span(j->rows, ROW_BLOCK, task), at = r * j->width;
  j->p->ops->norm_backward(j->rms, n, j->width, j->x + at, j->gain, j->mean + r, j->rstd + r,
                           j->dy + at, j->y + at, j->accumulate);
}

void dg_norm_backward(const dg_pass *p, bool rms, const dg_norm *n, size_t rows, size_t width,
                      const float *x, const float *mean, const float *rstd, const float *dy,
                      float *dx, bool accumulate) {
  row_job j = {.p = p, .rows = rows, .width = width, .rms = rms, .accumulate = accumulate, .x = x,
               .gain = n->gain, .dy = dy, .y = dx, .mean = (float *)mean, .rstd = (float *)rstd,
               .gain_grad = n->gain_grad, .bias_grad = n->bias_grad};
  if (n->gain_grad)
    dg_parallel(p->network->threads, tasks_for(width, COLUMN_STRIP), norm_gradient_columns, &j);
  dg_parallel(p->network->threads, tasks_for(rows, ROW_BLOCK), norm_gradient_rows, &j);
}

static void bias_rows(void *context, size_t task, int worker) {
  (void)worker;
  const row_job *j = context;
  size_t r = task * ROW_BLOCK, n = span(j->rows, ROW_BLOCK, task);
  j->p->ops->add_bias(n, j->width, j->bias, j->y + r * j->width);
}

void dg_bias_forward(const dg_pass *p, size_t rows, size_t width, const float *bias, float *y) {
  if (!bias) return;
  row_job j = {.p = p, .rows = rows, .width = width, .bias = bias, .y = y};
  dg_parallel(p->network->threads, tasks_for(rows, ROW_BLOCK), bias_rows, &j);
}

static void activate_rows(void *context, size_t task, int worker) {
  (void)worker;
  const row_job *j = context;
  size_t r = task * ROW_BLOCK, n = span(j->rows, ROW_BLOCK, task);
  j->p->ops->activate(j->activation, j->gated, r, n, j->width, j->bias, j->mean + r * j->stride,
                      j->y + r * j->width, j->drop);
}

static void activate_gradient_rows(void *context, size_t task, int worker) {
  (void)worker;
  const row_job *j = context;
  size_t r = task * ROW_BLOCK, n = span(j->rows, ROW_BLOCK, task);
  j->p->ops->activate_backward(j->activation, j->gated, r, n, j->width, j->x + r * j->stride,
                               j->dy + r * j->width, j->y + r * j->stride, j->drop);
}

static void residual_rows(void *context, size_t task, int worker) {
  (void)worker;
  const row_job *j = context;
  size_t r = task * ROW_BLOCK, n = span(j->rows, ROW_BLOCK, task), at = r * j->width;
  j->p->ops->residual(r, n, j->width, j->x + at, j->y + at, j->bias, j->y + at, j->drop);
}

static void drop_rows(void *context, size_t task, int worker) {
  (void)worker;
  const row_job *j = context;
  size_t r = task * ROW_BLOCK, n = span(j->rows, ROW_BLOCK, task), at = r * j->width;
  j->p->ops->drop(r, n, j->width, j->x + at, j->y + at, j->drop);
}

static void column_sums(void *context, size_t task, int worker) {
  (void)worker;
  const row_job *j = context;
  size_t c = task * COLUMN_STRIP;
  j->p->ops->column_sums(j->rows, j->width, c, c + span(j->width, COLUMN_STRIP, task), j->dy,
                         j->bias_grad);
}

/* --- linear -------------------------------------------------------------- */

void dg_linear_forward(const dg_pass *p, const dg_linear *l, size_t rows, const float *x, float *y) {
  const dg_network *n = p->network;
  const dg_packed *packed = dg_packed_model_find(n->packed, l);
  if (packed)
    dg_gemm_packed(n->threads, rows, x, l->in, packed, y, l->out);
  else
    dg_gemm(n->threads, n->precision, false, true, rows, l->out, l->in, x, l->in, l->weight, l->in,
            0, y, l->out);
}

void dg_linear_backward(const dg_pass *p, const dg_linear *l, size_t rows, const float *x,
                        const float *dy, float beta, float *dx) {
  dg_threads *threads = p->network->threads;
  if (l->weight_grad)
    dg_gemm(threads, p->network->precision, true, false, l->out, l->in, rows, dy, l->out, x, l->in, 1,
            l->weight_grad, l->in);
  if (l->bias_grad) {
    row_job j = {.p = p, .rows = rows, .width = l->out, .dy = dy, .bias_grad = l->bias_grad};
    dg_parallel(threads, tasks_for(l->out, COLUMN_STRIP), column_sums, &j);
  }
  if (dx)
    dg_gemm(threads, p->network->precision, false, false, rows, l->in, l->out, dy, l->out, l->weight,
            l->in, beta, dx, l->in);
}

/* --- what every sublayer shares: norm, dropout, residual ------------------- */

dg_style dg_base_style(const dg_pass *p) {
  const dg_model_config *c = &p->network->model->config;
  return (dg_style){.pre_norm = c->pre_norm, .rms = c->norm == DG_RMSNORM, .gated = c->gated_ffn,
                    .eps = (float)c->norm_eps, .activation = (int)c->activation,
                    .dropout = p->dropout.residual, .activation_dropout = p->dropout.activation};
}

dg_style dg_adapter_style(const dg_pass *p) {
  return (dg_style){.pre_norm = true, .eps = 1e-5f, .activation = DG_ACT_RELU,
                    .dropout = p->dropout.adapter};
}

/* What must outlive the sublayer is allocated first; the caller rewinds the rest. */
static void begin(dg_pass *p, const dg_style *style, size_t rows, size_t width, const float *x,
                  bool keep_input, dg_sublayer_saved *s) {
  *s = (dg_sublayer_saved){.x = x};
  s->drop = dg_pass_dropout(p, style->dropout);
  s->mean = dg_pass_floats(p, rows, 1);
  s->rstd = dg_pass_floats(p, rows, 1);
  if (!style->pre_norm) {
    s->sum = dg_pass_floats(p, rows, width);
    s->n = (float *)x; /* the sublayer reads its input as it is */
  } else if (keep_input) {
    s->n = dg_pass_floats(p, rows, width);
  }
}

static void enter(dg_pass *p, const dg_style *style, const dg_norm *norm, size_t rows,
                  size_t width, dg_sublayer_saved *s) {
  if (!style->pre_norm) return;
  if (!s->n) s->n = dg_pass_floats(p, rows, width);
  dg_norm_forward(p, style->rms, style->eps, norm, rows, width, s->x, s->n, s->mean, s->rstd);
}

/* y holds the sublayer's projection on entry, the sublayer's result on return. */
static void leave(dg_pass *p, const dg_style *style, const dg_norm *norm, const float *bias,
                  size_t rows, size_t width, dg_sublayer_saved *s, float *y) {
  float *sum = style->pre_norm ? y : s->sum;
  row_job j = {.p = p, .rows = rows, .width = width, .x = s->x, .bias = bias, .y = sum,
               .drop = s->drop};
  dg_parallel(p->network->threads, tasks_for(rows, ROW_BLOCK), residual_rows, &j);
  if (!style->pre_norm)
    dg_norm_forward(p, style->rms, style->eps, norm, rows, width, sum, y, s->mean, s->rstd);
}

static float *projection_target(const dg_style *style, dg_sublayer_saved *s, float *y) {
  return style->pre_norm ? y : s->sum;
}

/* From the gradient of the result: g becomes that of the residual sum, and the
 * returned array that of the projection. */
static const float *enter_backward(dg_pass *p, const dg_style *style, const dg_norm *norm,
                                   size_t rows, size_t width, const dg_sublayer_saved *s,
                                   float *g) {
  if (!style->pre_norm)
    dg_norm_backward(p, style->rms, norm, rows, width, s->sum, s->mean, s->rstd, g, g, false);
  if (!s->drop.threshold) return g;
  float *dr = dg_pass_floats(p, rows, width);
  row_job j = {.p = p, .rows = rows, .width = width, .x = g, .y = dr, .drop = s->drop};
  dg_parallel(p->network->threads, tasks_for(rows, ROW_BLOCK), drop_rows, &j);
  return dr;
}

/* Adds to g what comes back through the input projection l from dy. */
static void leave_backward(dg_pass *p, const dg_style *style, const dg_norm *norm,
                           const dg_linear *l, size_t rows, const dg_sublayer_saved *s,
                           const float *dy, float *g, bool inward) {
  if (!style->pre_norm) {
    dg_linear_backward(p, l, rows, s->n, dy, 1, inward ? g : NULL);
    return;
  }
  bool wanted = inward || norm->gain_grad;
  float *dn = wanted ? dg_pass_floats(p, rows, l->in) : NULL;
  dg_linear_backward(p, l, rows, s->n, dy, 0, dn);
  if (wanted)
    dg_norm_backward(p, style->rms, norm, rows, l->in, s->x, s->mean, s->rstd, dn, g, true);
}

/* --- feed-forward --------------------------------------------------------- */

float *dg_ffn_forward(dg_pass *p, const dg_style *style, const dg_ffn *f, size_t rows,
                      const float *x, dg_ffn_saved *s) {
  size_t d = f->in.in, hidden = f->out.in;
  float *y = dg_pass_floats(p, rows, d);
  begin(p, style, rows, d, x, p->save && f->in.weight_grad, &s->sub);
  s->drop = dg_pass_dropout(p, style->activation_dropout);
  s->h = s->a = NULL;
  if (p->save) s->h = dg_pass_floats(p, rows, f->in.out);
  if (p->save && f->out.weight_grad) s->a = dg_pass_floats(p, rows, hidden);
  dg_arena_mark mark = dg_arena_save(p->arena);
  enter(p, style, &f->norm, rows, d, &s->sub);
  float *h = s->h ? s->h : dg_pass_floats(p, rows, f->in.out);
  float *a = s->a ? s->a : dg_pass_floats(p, rows, hidden);
  dg_linear_forward(p, &f->in, rows, s->sub.n, h);
  row_job j = {.p = p, .rows = rows, .width = hidden, .stride = f->in.out, .gated = style->gated,
               .activation = style->activation, .bias = f->in.bias, .mean = h, .y = a,
               .drop = s->drop};
  dg_parallel(p->network->threads, tasks_for(rows, ROW_BLOCK), activate_rows, &j);
  dg_linear_forward(p, &f->out, rows, a, projection_target(style, &s->sub, y));
  leave(p, style, &f->norm, f->out.bias, rows, d, &s->sub, y);
  dg_arena_rewind(p->arena, mark);
  return y;
}

void dg_ffn_backward(dg_pass *p, const dg_style *style, const dg_ffn *f, size_t rows,
                     const dg_ffn_saved *s, float *g) {
  size_t d = f->in.in, hidden = f->out.in;
  dg_arena_mark mark = dg_arena_save(p->arena);
  const float *dr = enter_backward(p, style, &f->norm, rows, d, &s->sub, g);
  float *da = dg_pass_floats(p, rows, hidden);
  float *dh = style->gated ? dg_pass_floats(p, rows, f->in.out) : da;
  dg_linear_backward(p, &f->out, rows, s->a, dr, 0, da);
  row_job j = {.p = p, .rows = rows, .width = hidden, .stride = f->in.out, .gated = style->gated,
               .activation = style->activation, .x = s->h, .dy = da, .y = dh, .drop = s->drop};
  dg_parallel(p->network->threads, tasks_for(rows, ROW_BLOCK), activate_gradient_rows, &j);
  leave_backward(p, style, &f->norm, &f->in, rows, &s->sub, dh, g, true);
  dg_arena_rewind(p->arena, mark);
}

/* --- attention ------------------------------------------------------------ */

typedef struct attention_job {
  const dg_pass *p;
  const dg_attention_context *c;
  const dg_attention_saved *s;
  size_t heads, width, inner;
  float scale;
  float *scratch;
  size_t scratch_floats;
  const float *d_o;
  float *d_q, *d_kv;
  bool backward;
} attention_job;

static void one_head(const attention_job *j, size_t sequence, size_t head, int worker) {
  const dg_attention_context *c = j->c;
  const dg_attention_saved *s = j->s;
  size_t q0 = c->queries.offsets[sequence] - c->queries.offsets[0];
  size_t k0 = c->keys.offsets[sequence] - c->keys.offsets[0];
  size_t column = head * j->width;
  dg_attention_head h = {
      .queries = c->queries.offsets[sequence + 1] - c->queries.offsets[sequence],
      .keys = c->keys.offsets[sequence + 1] - c->keys.offsets[sequence],
      .width = j->width,
      .causal = c->causal,
      .scale = j->scale,
      .q = s->q + q0 * s->q_stride + column,
      .k = s->kv + k0 * s->kv_stride + column,
      .v = s->kv + k0 * s->kv_stride + j->inner + column,
      .q_stride = s->q_stride,
      .kv_stride = s->kv_stride,
      .dropout = s->drop,
      .o = s->o + q0 * j->inner + column,
      .o_stride = j->inner,
      .lse = s->lse ? s->lse + q0 * j->heads + head : NULL,
      .lse_stride = j->heads,
  };
  if (!h.queries || !h.keys) return;
  h.dropout.key ^= (uint32_t)dg_hash64(sequence * j->heads + head);
  if (c->relative) {
    size_t row = head * (2 * c->relative_span - 1), at = c->relative_span - h.queries;
    h.bias = c->relative + row + at;
    if (c->relative_grad) h.d_bias = c->relative_grad + row + at;
  }
  float *scratch = j->scratch + (size_t)worker * j->scratch_floats;
  if (!j->backward) {
    j->p->ops->attention(&h, scratch);
    return;
  }
  h.d_o = j->d_o + q0 * j->inner + column;
  h.d_q = j->d_q + q0 * s->q_stride + column;
  h.d_k = j->d_kv + k0 * s->kv_stride + column;
  h.d_v = h.d_k + j->inner;
  h.dq_stride = s->q_stride;
  h.dkv_stride = s->kv_stride;
  for (size_t i = 0; i < h.keys; i++) {
    memset(h.d_k + i * h.dkv_stride, 0, j->width * sizeof(float));
    memset(h.d_v + i * h.dkv_stride, 0, j->width * sizeof(float));
  }
  j->p->ops->attention_backward(&h, scratch);
}

static void attend_sequence(void *context, size_t task, int worker) {
  const attention_job *j = context;
  for (size_t head = 0; head < j->heads; head++) one_head(j, task, head, worker);
}

/* A head's distances are shared by all sequences, so their gradients are summed by one task. */
static void attend_head(void *context, size_t task, int worker) {
  const attention_job *j = context;
  for (size_t i = 0; i < j->c->queries.count; i++) one_head(j, i, task, worker);
}

static attention_job attention_begin(dg_pass *p, const dg_attention_context *c,
                                     const dg_attention_saved *s) {
  const dg_model_config *config = &p->network->model->config;
  attention_job j = {.p = p, .c = c, .s = s, .heads = (size_t)config->heads,
                     .width = (size_t)config->head_dim};
  j.inner = j.heads * j.width;
  j.scale = config->attention_scale > 0 ? (float)config->attention_scale
                                        : 1.0f / sqrtf((float)j.width);
  j.scratch_floats = (dg_attention_scratch(c->keys.longest, j.width) + 15) / 16 * 16;
  j.scratch = dg_pass_floats(p, (size_t)dg_threads_count(p->network->threads), j.scratch_floats);
  return j;
}

float *dg_attention_forward(dg_pass *p, const dg_style *style, const dg_attention *a,
                            const dg_attention_context *c, const float *x, dg_attention_saved *s) {
  size_t rows = c->queries.total, d = a->qkv.in, inner = a->q.out;
  size_t heads = (size_t)p->network->model->config.heads;
  float *y = dg_pass_floats(p, rows, d);
  begin(p, style, rows, d, x, p->save && a->q.weight_grad, &s->sub);
  s->drop = dg_pass_dropout(p, p->dropout.attention);
  s->q_stride = c->memory ? inner : 3 * inner;
  s->kv_stride = c->memory ? 2 * inner : 3 * inner;
  s->q = s->lse = NULL;
  if (p->save) {
    s->q = dg_pass_floats(p, rows, s->q_stride);
    if (c->memory) s->kv = dg_pass_floats(p, c->keys.total, s->kv_stride);
    s->o = dg_pass_floats(p, rows, inner);
    s->lse = dg_pass_floats(p, rows, heads);
  }
  dg_arena_mark mark = dg_arena_save(p->arena);
  if (!p->save) {
    s->q = dg_pass_floats(p, rows, s->q_stride);
    if (c->memory) s->kv = dg_pass_floats(p, c->keys.total, s->kv_stride);
    s->o = dg_pass_floats(p, rows, inner);
  }
  enter(p, style, &a->norm, rows, d, &s->sub);
  if (c->memory) {
    dg_linear_forward(p, &a->q, rows, s->sub.n, s->q);
    dg_bias_forward(p, rows, inner, a->q.bias, s->q);
    dg_linear_forward(p, &a->kv, c->keys.total, c->memory, s->kv);
    dg_bias_forward(p, c->keys.total, 2 * inner, a->kv.bias, s->kv);
  } else {
    dg_linear_forward(p, &a->qkv, rows, s->sub.n, s->q);
    dg_bias_forward(p, rows, 3 * inner, a->qkv.bias, s->q);
    s->kv = s->q + inner;
  }
  attention_job j = attention_begin(p, c, s);
  dg_parallel(p->network->threads, c->queries.count, attend_sequence, &j);
  dg_linear_forward(p, &a->out, rows, s->o, projection_target(style, &s->sub, y));
  leave(p, style, &a->norm, a->out.bias, rows, d, &s->sub, y);
  dg_arena_rewind(p->arena, mark);
  return y;
}

void dg_attention_backward(dg_pass *p, const dg_style *style, const dg_attention *a,
                           const dg_attention_context *c, const dg_attention_saved *s, float *g,
                           float *d_memory, bool inward) {
  size_t rows = c->queries.total, d = a->qkv.in, inner = a->q.out;
  dg_arena_mark mark = dg_arena_save(p->arena);
  const float *dr = enter_backward(p, style, &a->norm, rows, d, &s->sub, g);
  float *d_o = dg_pass_floats(p, rows, inner);
  dg_linear_backward(p, &a->out, rows, s->o, dr, 0, d_o);
  attention_job j = attention_begin(p, c, s);
  j.backward = true;
  j.d_o = d_o;
  j.d_q = dg_pass_floats(p, rows, s->q_stride);
  j.d_kv = c->memory ? dg_pass_floats(p, c->keys.total, s->kv_stride) : j.d_q + inner;
  if (c->relative_grad)
    dg_parallel(p->network->threads, j.heads, attend_head, &j);
  else
    dg_parallel(p->network->threads, c->queries.count, attend_sequence, &j);
  if (c->memory) {
    dg_linear_backward(p, &a->kv, c->keys.total, c->memory, j.d_kv, 1, d_memory);
    leave_backward(p, style, &a->norm, &a->q, rows, &s->sub, j.d_q, g, inward);
  } else {
    leave_backward(p, style, &a->norm, &a->qkv, rows, &s->sub, j.d_q, g, inward);
  }
  dg_arena_rewind(p->arena, mark);
}

float *dg_attention_around(dg_pass *p, const dg_style *style, const dg_attention *a,
                           const dg_linear *in, size_t rows, const float *x, dg_attend_fn *attend,
                           void *context) {
  size_t d = a->qkv.in;
  dg_sublayer_saved s;
  float *y = dg_pass_floats(p, rows, d);
  begin(p, style, rows, d, x, false, &s);
  enter(p, style, &a->norm, rows, d, &s);
  float *q = dg_pass_floats(p, rows, in->out), *o = dg_pass_floats(p, rows, a->out.in);
  dg_linear_forward(p, in, rows, s.n, q);
  dg_bias_forward(p, rows, in->out, in->bias, q);
  attend(context, q, o);
  dg_linear_forward(p, &a->out, rows, o, projection_target(style, &s, y));
  leave(p, style, &a->norm, a->out.bias, rows, d, &s, y);
  return y;
}
