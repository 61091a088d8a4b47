#include "mt/model/layers.h"

#include <math.h>
#include <string.h>

#include "mt/core/rng.h"

dg_packed_text dg_pack_text(size_t count, const int32_t *ids, const uint32_t *offsets) {
  dg_packed_text t = {.count = count, .ids = ids, .offsets = offsets};
  t.total = offsets[count] - offsets[0];
  for (size_t i = 0; i < count; i++)
    if (offsets[i + 1] - offsets[i] > t.longest) t.longest = offsets[i + 1] - offsets[i];
  return t;
}

float dg_attention_scale(const dg_model_config *c) {
  return c->attention_scale > 0 ? (float)c->attention_scale : 1.0f / sqrtf((float)c->head_dim);
}

/* --- what every sublayer shares: norm, dropout, residual ------------------- */

static const dg_parts no_parts;

dg_style dg_base_style(const dg_pass *p) {
  const dg_model_config *c = &p->network->model->config;
  return (dg_style){.pre_norm = c->pre_norm, .rms = c->norm == DG_RMSNORM, .gated = c->gated_ffn,
                    .eps = (float)c->norm_eps, .activation = (int)c->activation,
                    .dropout = p->dropout.residual, .activation_dropout = p->dropout.activation,
                    .scale = 1};
}

dg_style dg_block_style(const dg_pass *p, const dg_block *b) {
  return (dg_style){.pre_norm = true, .eps = 1e-5f, .activation = (int)b->activation,
                    .dropout = p->dropout.adapter, .scale = b->scale};
}

/* What must outlive the sublayer is allocated first; the caller rewinds the rest. */
static void begin(dg_pass *p, const dg_style *style, const dg_norm *norm, const dg_parts *parts,
                  size_t rows, size_t width, const float *x, bool keep_input,
                  dg_sublayer_saved *s) {
  *s = (dg_sublayer_saved){.x = x, .norm = dg_sublayer_norm(p, norm, width, parts)};
  s->drop = dg_pass_dropout(p, style->dropout);
  s->drop.scale *= style->scale;
  s->mean = dg_pass_floats(p, rows, 1);
  s->rstd = dg_pass_floats(p, rows, 1);
  if (!style->pre_norm) {
    s->sum = dg_pass_floats(p, rows, width);
    s->n = (float *)x; /* the sublayer reads its input as it is */
  } else if (!norm->gain) {
    s->n = (float *)x;
  } else if (keep_input) {
    s->n = dg_pass_floats(p, rows, width);
  }
  dg_product_keep(p, parts, DG_PRODUCT_IN, rows, &s->product[DG_PRODUCT_IN]);
  dg_product_keep(p, parts, DG_PRODUCT_OUT, rows, &s->product[DG_PRODUCT_OUT]);
  if (!dg_parts_have_blocks(parts)) return;
  s->projection = dg_pass_floats(p, rows, width);
  s->blocks = dg_arena_alloc(p->arena, parts->count, sizeof *s->blocks);
}

static void enter(dg_pass *p, const dg_style *style, size_t rows, size_t width,
                  dg_sublayer_saved *s) {
  if (s->n == s->x) return;
  if (!s->n) s->n = dg_pass_floats(p, rows, width);
  dg_norm_forward(p, style->rms, style->eps, &s->norm, rows, width, s->x, s->n, s->mean, s->rstd);
}

static float *projection_target(const dg_style *style, dg_sublayer_saved *s, float *y) {
  return s->projection ? s->projection : style->pre_norm ? y : s->sum;
}

/* Adapters on the projection: what they make of it. */
static const float *blocks_forward(dg_pass *p, const dg_parts *parts, size_t rows,
                                   dg_sublayer_saved *s) {
  const float *r = s->projection;
  for (size_t k = 0; k < parts->count; k++) {
    const dg_block *b = dg_parts_block(parts, k);
    if (!b) continue;
    dg_style style = dg_block_style(p, b);
    r = dg_ffn_forward(p, &style, &b->ffn, &no_parts, rows, b->parallel ? s->x : r, r,
                       &s->blocks[k]);
  }
  return r;
}

/* The projection stands in its target on entry, the sublayer's result in y on return.
 * Rewinds to the mark. */
static void leave(dg_pass *p, const dg_style *style, const dg_parts *parts, const float *bias,
                  size_t rows, size_t width, dg_sublayer_saved *s, const float *onto, float *y,
                  dg_arena_mark mark) {
  float *sum = style->pre_norm ? y : s->sum;
  const float *r = projection_target(style, s, y);
  if (s->projection) {
    dg_bias_forward(p, rows, width, bias, s->projection);
    dg_arena_rewind(p->arena, mark);
    r = blocks_forward(p, parts, rows, s);
    bias = NULL;
  }
  dg_residual(p, rows, width, onto, r, bias, sum, s->drop);
  if (!style->pre_norm)
    dg_norm_forward(p, style->rms, style->eps, &s->norm, rows, width, sum, y, s->mean, s->rstd);
  if (!s->projection) dg_arena_rewind(p->arena, mark);
}

static bool norm_parts_trained(const dg_parts *parts) {
  for (size_t k = 0; k < parts->count; k++)
    if (parts->at[k]->norm.gain_grad) return true;
  return false;
}

/* The gradients of what adapters add to the norm of x. */
static void norm_parts_backward(const dg_pass *p, const dg_style *style, const dg_parts *parts,
                                size_t rows, size_t width, const float *x,
                                const dg_sublayer_saved *s, const float *dy) {
  for (size_t k = 0; k < parts->count; k++)
    dg_norm_gradients(p, style->rms, &parts->at[k]->norm, rows, width, x, s->mean, s->rstd, dy);
}

/* From the gradient of the result: g becomes that of the residual sum (and of the input of
 * parallel adapters when `inward`), and the returned array that of the projection. */
static const float *enter_backward(dg_pass *p, const dg_style *style, const dg_parts *parts,
                                   size_t rows, size_t width, const dg_sublayer_saved *s,
                                   float *g, bool inward) {
  if (!style->pre_norm) {
    norm_parts_backward(p, style, parts, rows, width, s->sum, s, g);
    dg_norm_backward(p, style->rms, &s->norm, rows, width, s->sum, s->mean, s->rstd, g, g, false);
  }
  if (!s->drop.threshold && style->scale == 1 && !s->projection) return g;
  float *dr = dg_pass_floats(p, rows, width);
  dg_drop(p, rows, width, g, dr, s->drop);
  for (size_t k = parts->count; k-- > 0;) {
    const dg_block *b = dg_parts_block(parts, k);
    if (!b) continue;
    dg_style inner = dg_block_style(p, b);
    dg_ffn_backward(p, &inner, &b->ffn, &no_parts, rows, &s->blocks[k], dr,
                    !b->parallel ? dr : inward ? g : NULL);
  }
  return dr;
}

/* Adds to dx (NULL: not wanted) what comes back through the input projection l from dy. */
static void leave_backward(dg_pass *p, const dg_style *style, const dg_parts *parts,
                           const dg_linear *l, size_t rows, const dg_sublayer_saved *s,
                           const float *dy, float *dx) {
  const dg_product_saved *saved = &s->product[DG_PRODUCT_IN];
  if (s->n == s->x) {
    dg_product_backward(p, l, parts, DG_PRODUCT_IN, rows, s->n, dy, 1, dx, saved);
    return;
  }
  bool wanted = dx || s->norm.gain_grad || norm_parts_trained(parts);
  float *dn = wanted ? dg_pass_floats(p, rows, l->in) : NULL;
  dg_product_backward(p, l, parts, DG_PRODUCT_IN, rows, s->n, dy, 0, dn, saved);
  if (!wanted) return;
  norm_parts_backward(p, style, parts, rows, l->in, s->x, s, dn);
  if (dx)
    dg_norm_backward(p, style->rms, &s->norm, rows, l->in, s->x, s->mean, s->rstd, dn, dx, true);
  else
    dg_norm_gradients(p, style->rms, &s->norm, rows, l->in, s->x, s->mean, s->rstd, dn);
}

/* --- feed-forward --------------------------------------------------------- */

float *dg_ffn_forward(dg_pass *p, const dg_style *style, const dg_ffn *f, const dg_parts *parts,
                      size_t rows, const float *x, const float *onto, dg_ffn_saved *s) {
  size_t d = f->in.in, hidden = f->out.in;
  float *y = dg_pass_floats(p, rows, d);
  begin(p, style, &f->norm, parts, rows, d, x,
        p->save && dg_product_keeps_input(&f->in, parts, DG_PRODUCT_IN), &s->sub);
  s->drop = dg_pass_dropout(p, style->activation_dropout);
  s->sub.scale = dg_parts_scale(p, hidden, parts);
  s->h = s->a = NULL;
  if (p->save) s->h = dg_pass_floats(p, rows, f->in.out);
  if (p->save && dg_product_keeps_input(&f->out, parts, DG_PRODUCT_OUT))
    s->a = dg_pass_floats(p, rows, hidden);
  if (p->save && dg_parts_train_scale(parts)) s->sub.unscaled = dg_pass_floats(p, rows, hidden);
  dg_arena_mark mark = dg_arena_save(p->arena);
  enter(p, style, rows, d, &s->sub);
  float *h = s->h ? s->h : dg_pass_floats(p, rows, f->in.out);
  float *a = s->a ? s->a : dg_pass_floats(p, rows, hidden);
  float *unscaled = s->sub.unscaled ? s->sub.unscaled : a;
  dg_product_forward(p, &f->in, parts, DG_PRODUCT_IN, rows, s->sub.n, h,
                     &s->sub.product[DG_PRODUCT_IN]);
  dg_activate(p, style->activation, style->gated, rows, hidden,
              dg_parts_bias(p, &f->in, parts, DG_PRODUCT_IN), h, unscaled, s->drop);
  if (s->sub.scale)
    dg_scale_columns(p, rows, hidden, s->sub.scale, unscaled, hidden, a, hidden);
  dg_product_forward(p, &f->out, parts, DG_PRODUCT_OUT, rows, a,
                     projection_target(style, &s->sub, y), &s->sub.product[DG_PRODUCT_OUT]);
  leave(p, style, parts, dg_parts_bias(p, &f->out, parts, DG_PRODUCT_OUT), rows, d, &s->sub, onto,
        y, mark);
  return y;
}

void dg_ffn_backward(dg_pass *p, const dg_style *style, const dg_ffn *f, const dg_parts *parts,
                     size_t rows, const dg_ffn_saved *s, float *g, float *dx) {
  size_t d = f->in.in, hidden = f->out.in;
  const dg_sublayer_saved *sub = &s->sub;
  dg_arena_mark mark = dg_arena_save(p->arena);
  const float *dr = enter_backward(p, style, parts, rows, d, sub, g, dx != NULL);
  float *da = dg_pass_floats(p, rows, hidden);
  float *dh = style->gated ? dg_pass_floats(p, rows, f->in.out) : da;
  dg_product_backward(p, &f->out, parts, DG_PRODUCT_OUT, rows, s->a, dr, 0, da,
                      &sub->product[DG_PRODUCT_OUT]);
  if (sub->unscaled) dg_scale_gradients(p, parts, rows, hidden, sub->unscaled, hidden, da, hidden);
  if (sub->scale) dg_scale_columns(p, rows, hidden, sub->scale, da, hidden, da, hidden);
  dg_activate_backward(p, style->activation, style->gated, rows, hidden, s->h, da, dh, s->drop);
  leave_backward(p, style, parts, &f->in, rows, sub, dh, dx);
  dg_arena_rewind(p->arena, mark);
}

float *dg_block_forward(dg_pass *p, const dg_block *b, size_t rows, const float *x,
                        dg_ffn_saved *s) {
  dg_style style = dg_block_style(p, b);
  return dg_ffn_forward(p, &style, &b->ffn, &no_parts, rows, x, x, s);
}

void dg_block_backward(dg_pass *p, const dg_block *b, size_t rows, const dg_ffn_saved *s,
                       float *g) {
  dg_style style = dg_block_style(p, b);
  dg_ffn_backward(p, &style, &b->ffn, &no_parts, rows, s, g, g);
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
  uint64_t number = s->drop.rows ? s->drop.rows[q0] : q0;
  h.dropout.key ^= (uint32_t)dg_hash64(number * j->heads + head);
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
  j.scale = dg_attention_scale(config);
  j.scratch_floats = (dg_attention_scratch(c->keys.longest, j.width) + 15) / 16 * 16;
  j.scratch = dg_pass_floats(p, (size_t)dg_threads_count(p->network->threads), j.scratch_floats);
  return j;
}

/* Keys and values of rows that hold `inner` other columns first or none, times the factors;
 * what they were before is kept when the factors learn. */
static void scale_kv(dg_pass *p, size_t rows, size_t width, float *kv, size_t stride,
                     dg_sublayer_saved *s) {
  if (!s->scale) return;
  if (s->unscaled)
    for (size_t r = 0; r < rows; r++)
      memcpy(s->unscaled + r * width, kv + r * stride, width * sizeof *kv);
  dg_scale_columns(p, rows, width, s->scale, kv, stride, kv, stride);
}

void dg_attention_memory(dg_pass *p, const dg_attention *a, const dg_parts *parts, size_t rows,
                         const float *memory, float *kv, dg_sublayer_saved *s) {
  dg_product_forward(p, &a->kv, parts, DG_PRODUCT_MEMORY, rows, memory, kv,
                     &s->product[DG_PRODUCT_MEMORY]);
  dg_bias_forward(p, rows, a->kv.out, dg_parts_bias(p, &a->kv, parts, DG_PRODUCT_MEMORY), kv);
  if (!s->scale) s->scale = dg_parts_scale(p, a->kv.out, parts);
  scale_kv(p, rows, a->kv.out, kv, a->kv.out, s);
}

float *dg_attention_forward(dg_pass *p, const dg_style *style, const dg_attention *a,
                            const dg_parts *parts, const dg_attention_context *c, const float *x,
                            dg_attention_saved *s) {
  size_t rows = c->queries.total, d = a->qkv.in, inner = a->q.out;
  size_t heads = (size_t)p->network->model->config.heads;
  const dg_linear *in = c->memory ? &a->q : &a->qkv;
  float *y = dg_pass_floats(p, rows, d);
  begin(p, style, &a->norm, parts, rows, d, x,
        p->save && dg_product_keeps_input(in, parts, DG_PRODUCT_IN), &s->sub);
  s->drop = dg_pass_dropout(p, p->dropout.attention);
  if (c->memory)
    dg_product_keep(p, parts, DG_PRODUCT_MEMORY, c->keys.total,
                    &s->sub.product[DG_PRODUCT_MEMORY]);
  s->q_stride = in->out;
  s->kv_stride = c->memory ? 2 * inner : in->out;
  s->q = s->lse = NULL;
  s->sub.scale = dg_parts_scale(p, 2 * inner, parts);
  if (p->save && dg_parts_train_scale(parts))
    s->sub.unscaled = dg_pass_floats(p, c->keys.total, 2 * inner);
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
  enter(p, style, rows, d, &s->sub);
  dg_product_forward(p, in, parts, DG_PRODUCT_IN, rows, s->sub.n, s->q,
                     &s->sub.product[DG_PRODUCT_IN]);
  dg_bias_forward(p, rows, in->out, dg_parts_bias(p, in, parts, DG_PRODUCT_IN), s->q);
  if (c->memory) {
    dg_attention_memory(p, a, parts, c->keys.total, c->memory, s->kv, &s->sub);
  } else {
    s->kv = s->q + inner;
    scale_kv(p, rows, 2 * inner, s->kv, s->kv_stride, &s->sub);
  }
  attention_job j = attention_begin(p, c, s);
  dg_parallel(p->network->threads, c->queries.count, attend_sequence, &j);
  dg_product_forward(p, &a->out, parts, DG_PRODUCT_OUT, rows, s->o,
                     projection_target(style, &s->sub, y), &s->sub.product[DG_PRODUCT_OUT]);
  leave(p, style, parts, dg_parts_bias(p, &a->out, parts, DG_PRODUCT_OUT), rows, d, &s->sub, x, y,
        mark);
  return y;
}

void dg_attention_backward(dg_pass *p, const dg_style *style, const dg_attention *a,
                           const dg_parts *parts, const dg_attention_context *c,
                           const dg_attention_saved *s, float *g, float *d_memory, bool inward) {
  size_t rows = c->queries.total, d = a->qkv.in, inner = a->q.out;
  const dg_sublayer_saved *sub = &s->sub;
  dg_arena_mark mark = dg_arena_save(p->arena);
  const float *dr = enter_backward(p, style, parts, rows, d, sub, g, inward);
  float *d_o = dg_pass_floats(p, rows, inner);
  dg_product_backward(p, &a->out, parts, DG_PRODUCT_OUT, rows, s->o, dr, 0, d_o,
                      &sub->product[DG_PRODUCT_OUT]);
  attention_job j = attention_begin(p, c, s);
  j.backward = true;
  j.d_o = d_o;
  j.d_q = dg_pass_floats(p, rows, s->q_stride);
  j.d_kv = c->memory ? dg_pass_floats(p, c->keys.total, s->kv_stride) : j.d_q + inner;
  if (c->relative_grad)
    dg_parallel(p->network->threads, j.heads, attend_head, &j);
  else
    dg_parallel(p->network->threads, c->queries.count, attend_sequence, &j);
  if (sub->unscaled)
    dg_scale_gradients(p, parts, c->keys.total, 2 * inner, sub->unscaled, 2 * inner, j.d_kv,
                       s->kv_stride);
  if (sub->scale)
    dg_scale_columns(p, c->keys.total, 2 * inner, sub->scale, j.d_kv, s->kv_stride, j.d_kv,
                     s->kv_stride);
  if (c->memory)
    dg_product_backward(p, &a->kv, parts, DG_PRODUCT_MEMORY, c->keys.total, c->memory, j.d_kv, 1,
                        d_memory, &sub->product[DG_PRODUCT_MEMORY]);
  leave_backward(p, style, parts, c->memory ? &a->q : &a->qkv, rows, sub, j.d_q,
                 inward ? g : NULL);
  dg_arena_rewind(p->arena, mark);
}

float *dg_attention_around(dg_pass *p, const dg_style *style, const dg_attention *a,
                           const dg_parts *parts, const dg_linear *in, size_t rows,
                           const float *x, dg_attend_fn *attend, void *context) {
  size_t d = a->qkv.in, inner = a->q.out;
  dg_sublayer_saved s;
  float *y = dg_pass_floats(p, rows, d);
  begin(p, style, &a->norm, parts, rows, d, x, false, &s);
  dg_arena_mark mark = dg_arena_save(p->arena);
  enter(p, style, rows, d, &s);
  float *q = dg_pass_floats(p, rows, in->out), *o = dg_pass_floats(p, rows, a->out.in);
  dg_product_forward(p, in, parts, DG_PRODUCT_IN, rows, s.n, q, &s.product[DG_PRODUCT_IN]);
  dg_bias_forward(p, rows, in->out, dg_parts_bias(p, in, parts, DG_PRODUCT_IN), q);
  if (in->out > inner) {
    s.scale = dg_parts_scale(p, 2 * inner, parts);
    scale_kv(p, rows, 2 * inner, q + inner, in->out, &s);
  }
  attend(context, q, o);
  dg_product_forward(p, &a->out, parts, DG_PRODUCT_OUT, rows, o, projection_target(style, &s, y),
                     &s.product[DG_PRODUCT_OUT]);
  leave(p, style, parts, dg_parts_bias(p, &a->out, parts, DG_PRODUCT_OUT), rows, d, &s, x, y,
        mark);
  return y;
}

/* --- memory ------------------------------------------------------------------- */

/* As dg_product_keep allocates it. */
static size_t product_kept(const dg_parts *parts, dg_product product) {
  size_t numbers = 0;
  for (size_t k = 0; k < parts->count; k++) {
    const dg_low_rank *r = &parts->at[k]->product[product].low_rank;
    if (r->count) numbers += r->down.out;
  }
  return numbers;
}

/* As `begin` allocates it, and the sublayer's result. */
static size_t sublayer_kept(bool pre_norm, const dg_norm *norm, const dg_linear *in,
                            const dg_parts *parts) {
  size_t width = in->in, numbers = width + 2; /* mean and rstd */
  if (!pre_norm || (norm->gain && dg_product_keeps_input(in, parts, DG_PRODUCT_IN)))
    numbers += width;
  numbers += product_kept(parts, DG_PRODUCT_IN) + product_kept(parts, DG_PRODUCT_OUT);
  if (dg_parts_have_blocks(parts)) numbers += width;
  for (size_t k = 0; k < parts->count; k++) {
    const dg_block *b = dg_parts_block(parts, k);
    if (b) numbers += dg_ffn_kept(true, &b->ffn, &no_parts);
  }
  return numbers;
}

size_t dg_ffn_kept(bool pre_norm, const dg_ffn *f, const dg_parts *parts) {
  size_t hidden = f->out.in;
  return sublayer_kept(pre_norm, &f->norm, &f->in, parts) + f->in.out +
         hidden * dg_product_keeps_input(&f->out, parts, DG_PRODUCT_OUT) +
         hidden * dg_parts_train_scale(parts);
}

size_t dg_attention_kept(bool pre_norm, const dg_attention *a, const dg_parts *parts,
                         size_t *memory) {
  const dg_linear *in = memory ? &a->q : &a->qkv;
  size_t inner = a->q.out, unscaled = 2 * inner * dg_parts_train_scale(parts);
  if (memory) *memory = a->kv.out + unscaled + product_kept(parts, DG_PRODUCT_MEMORY);
  return sublayer_kept(pre_norm, &a->norm, in, parts) + in->out + inner + (memory ? 0 : unscaled);
}
