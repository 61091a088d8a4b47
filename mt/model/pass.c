#include "mt/model/pass.h"

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

float *dg_pass_floats(dg_pass *p, size_t rows, size_t cols) {
  return dg_arena_alloc(p->arena, rows * cols, sizeof(float));
}

dg_dropout dg_pass_dropout(dg_pass *p, float rate) {
  dg_dropout d = dg_dropout_make(rate, dg_rng_key(p->dropout.key, p->site++));
  d.rows = p->rows;
  return d;
}

/* --- rows, in parallel -------------------------------------------------------- */

typedef struct row_job {
  const dg_pass *p;
  size_t rows, width, stride;
  bool rms, accumulate, gated;
  int activation;
  float eps;
  const float *x, *onto, *gain, *bias, *mean, *rstd, *dy;
  float *y, *gain_grad, *bias_grad;
  float *mean_out, *rstd_out; /* of a norm's forward pass */
  float *h;                   /* what is activated; the bias is added to it */
  dg_dropout drop;
} row_job;

static void norm_rows(void *context, size_t task, int worker) {
  (void)worker;
  const row_job *j = context;
  size_t r = task * ROW_BLOCK, n = span(j->rows, ROW_BLOCK, task), at = r * j->width;
  j->p->ops->norm(j->rms, n, j->width, j->eps, j->x + at, j->gain, j->bias, j->y + at,
                  j->mean_out + r, j->rstd_out + r);
}

void dg_norm_forward(const dg_pass *p, bool rms, float eps, const dg_norm *n, size_t rows,
                     size_t width, const float *x, float *y, float *mean, float *rstd) {
  row_job j = {.p = p, .rows = rows, .width = width, .rms = rms, .eps = eps, .x = x,
               .gain = n->gain, .bias = n->bias, .y = y, .mean_out = mean, .rstd_out = rstd};
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

void dg_norm_gradients(const dg_pass *p, bool rms, const dg_norm *n, size_t rows, size_t width,
                       const float *x, const float *mean, const float *rstd, const float *dy) {
  if (!n->gain_grad) return;
  row_job j = {.p = p, .rows = rows, .width = width, .rms = rms, .x = x, .dy = dy,
               .mean = mean, .rstd = rstd, .gain_grad = n->gain_grad,
               .bias_grad = n->bias_grad};
  dg_parallel(p->network->threads, tasks_for(width, COLUMN_STRIP), norm_gradient_columns, &j);
}

void dg_norm_backward(const dg_pass *p, bool rms, const dg_norm *n, size_t rows, size_t width,
                      const float *x, const float *mean, const float *rstd, const float *dy,
                      float *dx, bool accumulate) {
  dg_norm_gradients(p, rms, n, rows, width, x, mean, rstd, dy);
  row_job j = {.p = p, .rows = rows, .width = width, .rms = rms, .accumulate = accumulate, .x = x,
               .gain = n->gain, .dy = dy, .y = dx, .mean = mean, .rstd = rstd};
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
  j->p->ops->activate(j->activation, j->gated, r, n, j->width, j->bias, j->h + r * j->stride,
                      j->y + r * j->width, j->drop);
}

void dg_activate(const dg_pass *p, int activation, bool gated, size_t rows, size_t width,
                 const float *bias, float *h, float *y, dg_dropout drop) {
  row_job j = {.p = p, .rows = rows, .width = width, .stride = gated ? 2 * width : width,
               .gated = gated, .activation = activation, .bias = bias, .h = h, .y = y, .drop = drop};
  dg_parallel(p->network->threads, tasks_for(rows, ROW_BLOCK), activate_rows, &j);
}

static void activate_gradient_rows(void *context, size_t task, int worker) {
  (void)worker;
  const row_job *j = context;
  size_t r = task * ROW_BLOCK, n = span(j->rows, ROW_BLOCK, task);
  j->p->ops->activate_backward(j->activation, j->gated, r, n, j->width, j->x + r * j->stride,
                               j->dy + r * j->width, j->y + r * j->stride, j->drop);
}

void dg_activate_backward(const dg_pass *p, int activation, bool gated, size_t rows, size_t width,
                          const float *h, const float *dy, float *dh, dg_dropout drop) {
  row_job j = {.p = p, .rows = rows, .width = width, .stride = gated ? 2 * width : width,
               .gated = gated, .activation = activation, .x = h, .dy = dy, .y = dh, .drop = drop};
  dg_parallel(p->network->threads, tasks_for(rows, ROW_BLOCK), activate_gradient_rows, &j);
}

static void residual_rows(void *context, size_t task, int worker) {
  (void)worker;
  const row_job *j = context;
  size_t r = task * ROW_BLOCK, n = span(j->rows, ROW_BLOCK, task), at = r * j->width;
  j->p->ops->residual(r, n, j->width, j->onto + at, j->x + at, j->bias, j->y + at, j->drop);
}

void dg_residual(const dg_pass *p, size_t rows, size_t width, const float *onto, const float *x,
                 const float *bias, float *y, dg_dropout drop) {
  row_job j = {.p = p, .rows = rows, .width = width, .onto = onto, .x = x, .bias = bias, .y = y,
               .drop = drop};
  dg_parallel(p->network->threads, tasks_for(rows, ROW_BLOCK), residual_rows, &j);
}

static void drop_rows(void *context, size_t task, int worker) {
  (void)worker;
  const row_job *j = context;
  size_t r = task * ROW_BLOCK, n = span(j->rows, ROW_BLOCK, task), at = r * j->width;
  j->p->ops->drop(r, n, j->width, j->x + at, j->y + at, j->drop);
}

void dg_drop(const dg_pass *p, size_t rows, size_t width, const float *x, float *y,
             dg_dropout drop) {
  row_job j = {.p = p, .rows = rows, .width = width, .x = x, .y = y, .drop = drop};
  dg_parallel(p->network->threads, tasks_for(rows, ROW_BLOCK), drop_rows, &j);
}

static void column_sums(void *context, size_t task, int worker) {
  (void)worker;
  const row_job *j = context;
  size_t c = task * COLUMN_STRIP;
  j->p->ops->column_sums(j->rows, j->width, c, c + span(j->width, COLUMN_STRIP, task), j->dy,
                         j->bias_grad);
}

void dg_bias_backward(const dg_pass *p, size_t rows, size_t width, const float *dy,
                      float *bias_grad) {
  row_job j = {.p = p, .rows = rows, .width = width, .dy = dy, .bias_grad = bias_grad};
  dg_parallel(p->network->threads, tasks_for(width, COLUMN_STRIP), column_sums, &j);
}

/* --- linear -------------------------------------------------------------- */

void dg_linear_forward(const dg_pass *p, const dg_linear *l, size_t rows, const float *x,
                       float *y) {
  const dg_network *n = p->network;
  const dg_packed *packed = dg_packed_model_find(n->packed, l);
  if (packed)
    dg_gemm_packed(n->threads, rows, x, l->in, packed, y, l->out);
  else
    dg_gemm_weight(n->threads, n->precision, true, rows, l->out, l->in, x, l->in, &l->weight,
                   l->in, 0, y, l->out);
}

void dg_linear_backward(const dg_pass *p, const dg_linear *l, size_t rows, const float *x,
                        const float *dy, float beta, float *dx) {
  dg_threads *threads = p->network->threads;
  if (l->weight_grad)
    dg_gemm(threads, p->network->precision, true, false, l->out, l->in, rows, dy, l->out, x, l->in,
            1, l->weight_grad, l->in);
  if (l->bias_grad) dg_bias_backward(p, rows, l->out, dy, l->bias_grad);
  if (dx)
    dg_gemm_weight(threads, p->network->precision, false, rows, l->in, l->out, dy, l->out,
                   &l->weight, l->in, beta, dx, l->in);
}
