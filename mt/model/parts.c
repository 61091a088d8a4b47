#include "mt/model/parts.h"

#include <string.h>

enum { ROWS = 64, COLUMNS = 64 }; /* that a task takes */

static size_t tasks_for(size_t n, size_t block) { return (n + block - 1) / block; }

dg_layer_parts dg_network_parts(const dg_network *n, bool decoder, size_t layer) {
  dg_layer_parts parts = {0};
  for (size_t k = 0; k < n->adapter_count; k++) {
    const dg_adapter *a = n->adapters[k];
    const dg_adapter_layer *l = &(decoder ? &a->decoder : &a->encoder)->layers[layer];
    parts.self.at[parts.self.count++] = &l->self;
    parts.cross.at[parts.cross.count++] = &l->cross;
    parts.ffn.at[parts.ffn.count++] = &l->ffn;
    if (l->after.ffn.in.out) parts.after[parts.after_count++] = &l->after;
  }
  return parts;
}

const dg_block *dg_parts_block(const dg_parts *parts, size_t k) {
  const dg_block *b = &parts->at[k]->block;
  return b->ffn.in.out ? b : NULL;
}

bool dg_parts_have_blocks(const dg_parts *parts) {
  for (size_t k = 0; k < parts->count; k++)
    if (dg_parts_block(parts, k)) return true;
  return false;
}

/* --- vectors ------------------------------------------------------------------------------ */

/* sum += x, where sum is still the base's vector or already a copy of it. */
static const float *plus(dg_pass *p, const float *base, const float *sum, const float *x,
                         size_t n) {
  if (!x) return sum;
  float *out = sum == base ? dg_pass_floats(p, 1, n) : (float *)sum;
  for (size_t i = 0; i < n; i++) out[i] = sum[i] + x[i];
  return out;
}

dg_norm dg_parts_norm(dg_pass *p, const dg_norm *base, size_t width, size_t count,
                      const dg_norm *const *added) {
  dg_norm n = *base;
  for (size_t k = 0; k < count; k++) {
    n.gain = plus(p, base->gain, n.gain, added[k]->gain, width);
    n.bias = plus(p, base->bias, n.bias, added[k]->bias, width);
  }
  return n;
}

dg_norm dg_sublayer_norm(dg_pass *p, const dg_norm *base, size_t width, const dg_parts *parts) {
  const dg_norm *added[DG_ADAPTERS_MAX];
  for (size_t k = 0; k < parts->count; k++) added[k] = &parts->at[k]->norm;
  return dg_parts_norm(p, base, width, parts->count, added);
}

const float *dg_parts_bias(dg_pass *p, const dg_linear *l, const dg_parts *parts,
                           dg_product product) {
  const float *bias = l->bias;
  for (size_t k = 0; k < parts->count; k++)
    bias = plus(p, l->bias, bias, parts->at[k]->product[product].bias, l->out);
  return bias;
}

const float *dg_parts_scale(dg_pass *p, size_t width, const dg_parts *parts) {
  float *product = NULL;
  for (size_t k = 0; k < parts->count; k++) {
    const float *scale = parts->at[k]->scale;
    if (!scale) continue;
    if (!product) product = memcpy(dg_pass_floats(p, 1, width), scale, width * sizeof *scale);
    else
      for (size_t i = 0; i < width; i++) product[i] *= scale[i];
  }
  return product;
}

/* --- low-rank products ---------------------------------------------------------------------- */

/* What LoRA reads: x, or x with some of it dropped. */
static const float *low_rank_input(dg_pass *p, size_t rows, size_t width, const float *x,
                                   dg_dropout drop) {
  if (!drop.threshold) return x;
  float *y = dg_pass_floats(p, rows, width);
  dg_drop(p, rows, width, x, y, drop);
  return y;
}

static void scale_all(float *x, size_t n, float by) {
  for (size_t i = 0; i < n; i++) x[i] *= by;
}

static void low_rank_forward(dg_pass *p, const dg_low_rank *r, const dg_linear *l, size_t rows,
                             const float *x, float *y, float *low, dg_dropout drop) {
  dg_threads *threads = p->network->threads;
  dg_precision precision = p->network->precision;
  size_t wide = r->down.out, rank = r->up[0].in;
  dg_gemm_weight(threads, precision, true, rows, wide, l->in,
                 low_rank_input(p, rows, l->in, x, drop), l->in, &r->down.weight, l->in, 0, low,
                 wide);
  scale_all(low, rows * wide, r->scale);
  for (size_t i = 0; i < r->count; i++)
    dg_gemm_weight(threads, precision, true, rows, r->up[i].out, rank, low + i * rank, wide,
                   &r->up[i].weight, rank, 1, y + r->first[i], l->out);
}

static void low_rank_backward(dg_pass *p, const dg_low_rank *r, const dg_linear *l, size_t rows,
                              const float *x, const float *dy, float *dx, const float *low,
                              dg_dropout drop) {
  if (!dx && !r->down.weight_grad) return;
  dg_threads *threads = p->network->threads;
  dg_precision precision = p->network->precision;
  size_t wide = r->down.out, rank = r->up[0].in;
  float *d_low = dg_pass_floats(p, rows, wide);
  for (size_t i = 0; i < r->count; i++) {
    const float *d = dy + r->first[i];
    dg_gemm_weight(threads, precision, false, rows, rank, r->up[i].out, d, l->out,
                   &r->up[i].weight, rank, 0, d_low + i * rank, wide);
    if (r->up[i].weight_grad)
      dg_gemm(threads, precision, true, false, r->up[i].out, rank, rows, d, l->out, low + i * rank,
              wide, 1, r->up[i].weight_grad, rank);
  }
  scale_all(d_low, rows * wide, r->scale);
  if (r->down.weight_grad)
    dg_gemm(threads, precision, true, false, wide, l->in, rows, d_low, wide,
            low_rank_input(p, rows, l->in, x, drop), l->in, 1, r->down.weight_grad, l->in);
  if (!dx) return;
  float *into = drop.threshold ? dg_pass_floats(p, rows, l->in) : dx;
  dg_gemm_weight(threads, precision, false, rows, l->in, wide, d_low, wide, &r->down.weight, l->in,
                 drop.threshold ? 0 : 1, into, l->in);
  if (drop.threshold) dg_residual(p, rows, l->in, dx, into, NULL, dx, drop);
}

/* --- products ------------------------------------------------------------------------------- */

void dg_product_forward(dg_pass *p, const dg_linear *l, const dg_parts *parts, dg_product product,
                        size_t rows, const float *x, float *y, dg_product_saved *saved) {
  dg_linear_forward(p, l, rows, x, y);
  for (size_t k = 0; k < parts->count; k++) {
    const dg_low_rank *r = &parts->at[k]->product[product].low_rank;
    if (!r->count) continue;
    dg_low_rank_saved passing, *s = saved->parts ? &saved->parts[k] : &passing;
    s->drop = dg_pass_dropout(p, p->dropout.adapter);
    if (product == DG_PRODUCT_MEMORY) s->drop.rows = p->memory_rows;
    if (!saved->parts) s->low = dg_pass_floats(p, rows, r->down.out);
    low_rank_forward(p, r, l, rows, x, y, s->low, s->drop);
  }
}

void dg_product_keep(dg_pass *p, const dg_parts *parts, dg_product product, size_t rows,
                     dg_product_saved *saved) {
  for (size_t k = 0; k < parts->count; k++) {
    const dg_low_rank *r = &parts->at[k]->product[product].low_rank;
    if (!p->save || !r->count) continue;
    if (!saved->parts)
      saved->parts = dg_arena_alloc(p->arena, parts->count, sizeof *saved->parts);
    saved->parts[k].low = dg_pass_floats(p, rows, r->down.out);
  }
}

void dg_product_backward(dg_pass *p, const dg_linear *l, const dg_parts *parts, dg_product product,
                         size_t rows, const float *x, const float *dy, float beta, float *dx,
                         const dg_product_saved *saved) {
  dg_linear_backward(p, l, rows, x, dy, beta, dx);
  for (size_t k = 0; k < parts->count; k++) {
    const dg_product_part *part = &parts->at[k]->product[product];
    if (part->bias_grad) dg_bias_backward(p, rows, l->out, dy, part->bias_grad);
    if (!part->low_rank.count) continue;
    const dg_low_rank_saved *s = &saved->parts[k];
    low_rank_backward(p, &part->low_rank, l, rows, x, dy, dx, s->low, s->drop);
  }
}

bool dg_product_keeps_input(const dg_linear *l, const dg_parts *parts, dg_product product) {
  if (l->weight_grad) return true;
  for (size_t k = 0; k < parts->count; k++)
    if (parts->at[k]->product[product].low_rank.down.weight_grad) return true;
  return false;
}

/* --- factors ----------------------------------------------------------------------------- */

typedef struct scale_job {
  size_t rows, width, x_stride, y_stride;
  const float *x, *by;
  float *y;
} scale_job;

static void scale_block(void *context, size_t task, int worker) {
  (void)worker;
  const scale_job *j = context;
  size_t first = task * ROWS, n = j->rows - first < ROWS ? j->rows - first : ROWS;
  for (size_t r = first; r < first + n; r++) {
    const float *x = j->x + r * j->x_stride;
    float *y = j->y + r * j->y_stride;
    for (size_t c = 0; c < j->width; c++) y[c] = x[c] * j->by[c];
  }
}

void dg_scale_columns(dg_pass *p, size_t rows, size_t width, const float *scale, const float *x,
                      size_t x_stride, float *y, size_t y_stride) {
  scale_job j = {.rows = rows, .width = width, .x_stride = x_stride, .y_stride = y_stride,
                 .x = x, .by = scale, .y = y};
  dg_parallel(p->network->threads, tasks_for(rows, ROWS), scale_block, &j);
}

bool dg_parts_train_scale(const dg_parts *parts) {
  for (size_t k = 0; k < parts->count; k++)
    if (parts->at[k]->scale_grad) return true;
  return false;
}

typedef struct factor_job {
  const dg_parts *parts;
  size_t rows, width, x_stride, dy_stride;
  const float *x, *dy;
} factor_job;

static void factor_columns(void *context, size_t task, int worker) {
  (void)worker;
  const factor_job *j = context;
  size_t first = task * COLUMNS, n = j->width - first < COLUMNS ? j->width - first : COLUMNS;
  float sums[COLUMNS] = {0};
  for (size_t r = 0; r < j->rows; r++) {
    const float *x = j->x + r * j->x_stride + first, *dy = j->dy + r * j->dy_stride + first;
    for (size_t c = 0; c < n; c++) sums[c] += x[c] * dy[c];
  }
  for (size_t k = 0; k < j->parts->count; k++) {
    float *grad = j->parts->at[k]->scale_grad;
    for (size_t c = 0; grad && c < n; c++) {
      float others = 1;
      for (size_t o = 0; o < j->parts->count; o++)
        if (o != k && j->parts->at[o]->scale) others *= j->parts->at[o]->scale[first + c];
      grad[first + c] += sums[c] * others;
    }
  }
}

void dg_scale_gradients(dg_pass *p, const dg_parts *parts, size_t rows, size_t width,
                        const float *x, size_t x_stride, const float *dy, size_t dy_stride) {
  factor_job j = {parts, rows, width, x_stride, dy_stride, x, dy};
  dg_parallel(p->network->threads, tasks_for(width, COLUMNS), factor_columns, &j);
}
