#include "mt/train/optimizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "mt/core/mem.h"
#include "mt/kernels/ops.h"
#include "mt/train/muon.h"

enum { BLOCK = 1 << 15 }; /* numbers a task takes; sums do not depend on the thread count */

/* What one task updates: a matrix by Muon, or numbers by Adam, each by itself. */
typedef struct dg_update_part {
  size_t at, rows, cols; /* rows 1 for numbers */
  float rate;
  bool muon;
} dg_update_part;

static size_t cost(const dg_update_part *p) {
  return p->rows * p->cols * (p->rows < p->cols ? p->rows : p->cols);
}

/* The longest come first, so that threads end together. */
static int by_cost(const void *x, const void *y) {
  const dg_update_part *a = x, *b = y;
  if (cost(a) != cost(b)) return cost(a) > cost(b) ? -1 : 1;
  return a->at < b->at ? -1 : 1;
}

static void add_part(dg_optimizer *z, dg_update_part p) {
  DG_GROW(z->parts, z->part_capacity, z->part_count + 1);
  z->parts[z->part_count++] = p;
}

static void add_numbers(dg_optimizer *z, size_t at, size_t end, float rate) {
  for (; at < end; at += BLOCK)
    add_part(z, (dg_update_part){at, 1, end - at < BLOCK ? end - at : BLOCK, rate, false});
}

static void plan_parts(dg_optimizer *z) {
  const dg_params *p = z->params;
  size_t at = 0;
  for (size_t i = 0; i < p->count; i++) {
    const dg_tensor *t = &p->tensors[i];
    size_t end = t->offset + t->rows * t->cols;
    bool muon = t->hidden && z->options.type == DG_OPTIMIZER_MUON;
    if (!muon && t->rate == 1) continue; /* with its neighbours */
    add_numbers(z, at, t->offset, 1);
    if (muon) add_part(z, (dg_update_part){t->offset, t->rows, t->cols, t->rate, true});
    else add_numbers(z, t->offset, end, t->rate);
    size_t scratch = muon ? dg_muon_scratch(t->rows, t->cols) : 0;
    if (scratch > z->scratch_size) z->scratch_size = scratch;
    at = end;
  }
  add_numbers(z, at, p->total, 1);
  if (z->part_count) qsort(z->parts, z->part_count, sizeof *z->parts, by_cost);
}

static float *zeros(size_t count, dg_error *err) {
  float *x = dg_alloc_checked(count, sizeof *x, err);
  if (x) memset(x, 0, count * sizeof *x);
  return x;
}

bool dg_optimizer_init(dg_optimizer *z, const dg_optimizer_options *o, dg_params *params,
                       dg_threads *threads, dg_error *err) {
  *z = (dg_optimizer){.options = *o, .params = params, .threads = threads};
  plan_parts(z);
  z->squares = dg_calloc(params->total / BLOCK + 1, sizeof *z->squares);
  z->m = zeros(params->total, err);
  z->v = zeros(params->total, err);
  size_t scratch = z->scratch_size * (size_t)dg_threads_count(threads);
  z->scratch = dg_alloc_checked(scratch, sizeof(float), err);
  if (z->m && z->v && z->scratch) return true;
  dg_optimizer_free(z);
  return false;
}

void dg_optimizer_free(dg_optimizer *z) {
  free(z->m);
  free(z->v);
  free(z->parts);
  free(z->squares);
  free(z->scratch);
  *z = (dg_optimizer){0};
}

typedef struct update_job {
  const dg_ops *ops;
  dg_optimizer *z;
  dg_adam_step adam;
  dg_muon_step muon;
} update_job;

static void square_block(void *context, size_t task, int worker) {
  (void)worker;
  update_job *j = context;
  const dg_params *p = j->z->params;
  size_t at = task * BLOCK, n = p->total - at < BLOCK ? p->total - at : BLOCK;
  j->z->squares[task] = j->ops->sum_squares(n, p->grads + at);
}

static void update_part(void *context, size_t task, int worker) {
  update_job *j = context;
  dg_optimizer *z = j->z;
  const dg_update_part *p = &z->parts[task];
  const float *g = z->params->grads + p->at;
  float *w = z->params->values + p->at, *m = z->m + p->at, *v = z->v + p->at;
  dg_adam_step adam = j->adam;
  dg_muon_step muon = j->muon;
  adam.lr *= p->rate, muon.lr *= p->rate;
  if (p->muon)
    dg_muon(&muon, p->rows, p->cols, g, w, m, z->scratch + (size_t)worker * z->scratch_size);
  else
    j->ops->adam(p->cols, &adam, g, w, m, v);
}

double dg_optimizer_update(dg_optimizer *z, double learning_rate) {
  const dg_optimizer_options *o = &z->options;
  size_t blocks = (z->params->total + BLOCK - 1) / BLOCK;
  update_job j = {.ops = dg_ops_get(), .z = z};
  dg_parallel(z->threads, blocks, square_block, &j);
  double sum = 0;
  for (size_t i = 0; i < blocks; i++) sum += z->squares[i];
  double norm = sqrt(sum);
  if (!isfinite(norm)) return norm;
  double t = (double)++z->steps;
  j.adam = (dg_adam_step){
      .lr = (float)learning_rate,
      .beta1 = (float)o->beta1,
      .beta2 = (float)o->beta2,
      .eps = (float)o->eps,
      .weight_decay = (float)o->weight_decay,
      .correction1 = (float)(1 / (1 - pow((double)(float)o->beta1, t))),
      .correction2 = (float)(1 / (1 - pow((double)(float)o->beta2, t))),
      .gradient_scale = o->clip > 0 && norm > o->clip ? (float)(o->clip / norm) : 1.0f,
  };
  j.muon = (dg_muon_step){
      .lr = j.adam.lr,
      .momentum = (float)o->muon_momentum,
      .weight_decay = j.adam.weight_decay,
      .gradient_scale = j.adam.gradient_scale,
  };
  dg_parallel(z->threads, z->part_count, update_part, &j);
  return norm;
}

static double before_cooldown(dg_schedule_type type, double peak, double w, double updates,
                              double s) {
  if (s < w) return peak * s / w;
  switch (type) {
    case DG_SCHEDULE_INVERSE_SQRT: return w > 0 ? peak * sqrt(w / s) : peak / sqrt(s);
    case DG_SCHEDULE_COSINE: {
      if (s >= updates) return 0;
      double progress = (s - w) / (updates - w);
      return peak * 0.5 * (1 + cos(3.141592653589793 * progress));
    }
    default: return peak;
  }
}

double dg_schedule(dg_schedule_type type, double peak, uint64_t warmup, uint64_t max_updates,
                   uint64_t cooldown, uint64_t step) {
  if (!step) return 0; /* before the first update */
  double rate = before_cooldown(type, peak, (double)warmup, (double)max_updates, (double)step);
  if (step + cooldown <= max_updates) return rate;
  double left = step < max_updates ? (double)(max_updates - step) : 0;
  return cooldown ? rate * (1 - sqrt(1 - left / (double)cooldown)) : rate;
}
