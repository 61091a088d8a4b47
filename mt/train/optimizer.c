#include "mt/train/optimizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "mt/core/mem.h"
#include "mt/kernels/ops.h"

enum { BLOCK = 1 << 15 }; /* floats a task updates; sums do not depend on the thread count */

bool dg_adam_init(dg_adam *a, size_t total, dg_error *err) {
  *a = (dg_adam){.total = total};
  a->m = dg_alloc_checked(total, sizeof(float), err);
  a->v = dg_alloc_checked(total, sizeof(float), err);
  if (!a->m || !a->v) {
    dg_adam_free(a);
    return false;
  }
  memset(a->m, 0, total * sizeof(float));
  memset(a->v, 0, total * sizeof(float));
  return true;
}

void dg_adam_free(dg_adam *a) {
  free(a->m);
  free(a->v);
  *a = (dg_adam){0};
}

typedef struct update_job {
  const dg_ops *ops;
  dg_adam *adam;
  dg_params *params;
  dg_adam_step step;
  double *squares;
} update_job;

static size_t block_size(size_t total, size_t task) {
  return total - task * BLOCK < BLOCK ? total - task * BLOCK : BLOCK;
}

static void square_block(void *context, size_t task, int worker) {
  (void)worker;
  update_job *j = context;
  j->squares[task] =
      j->ops->sum_squares(block_size(j->adam->total, task), j->params->grads + task * BLOCK);
}

static void update_block(void *context, size_t task, int worker) {
  (void)worker;
  update_job *j = context;
  size_t at = task * BLOCK;
  j->ops->adam(block_size(j->adam->total, task), &j->step, j->params->grads + at,
               j->params->values + at, j->adam->m + at, j->adam->v + at);
}

double dg_adam_update(dg_adam *a, const dg_adam_options *o, double learning_rate,
                      dg_params *params, dg_threads *threads) {
  size_t tasks = (a->total + BLOCK - 1) / BLOCK;
  update_job j = {.ops = dg_ops_get(), .adam = a, .params = params};
  j.squares = dg_malloc(tasks * sizeof *j.squares);
  dg_parallel(threads, tasks, square_block, &j);
  double sum = 0;
  for (size_t i = 0; i < tasks; i++) sum += j.squares[i];
  free(j.squares);
  double norm = sqrt(sum);
  if (!isfinite(norm)) return norm;
  double t = (double)++a->steps;
  j.step = (dg_adam_step){
      .lr = (float)learning_rate,
      .beta1 = (float)o->beta1,
      .beta2 = (float)o->beta2,
      .eps = (float)o->eps,
      .weight_decay = (float)o->weight_decay,
      .correction1 = (float)(1 / (1 - pow((double)(float)o->beta1, t))),
      .correction2 = (float)(1 / (1 - pow((double)(float)o->beta2, t))),
      .gradient_scale = o->clip > 0 && norm > o->clip ? (float)(o->clip / norm) : 1.0f,
  };
  dg_parallel(threads, tasks, update_block, &j);
  return norm;
}

static double before_cooldown(dg_schedule_type type, double peak, double w, double updates, double s) {
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
  double rate = before_cooldown(type, peak, (double)warmup, (double)max_updates, (double)step);
  if (step + cooldown <= max_updates) return rate;
  double left = step < max_updates ? (double)(max_updates - step) : 0;
  return cooldown ? rate * (1 - sqrt(1 - left / (double)cooldown)) : rate;
}
