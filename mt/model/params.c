#include "mt/model/params.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "mt/core/mem.h"
#include "mt/core/rng.h"

enum { ALIGN = 16 }; /* floats: one cache line */

void dg_plan_align(dg_plan *p) {
  p->params->total = (p->params->total + ALIGN - 1) / ALIGN * ALIGN;
}

dg_tensor *dg_plan_tensor(dg_plan *p, size_t rows, size_t cols, const char *format, ...) {
  dg_params *params = p->params;
  if (p->linking) return &params->tensors[p->next++];
  DG_GROW(params->tensors, p->capacity, params->count + 1);
  dg_tensor *t = &params->tensors[params->count++];
  *t = (dg_tensor){.rows = rows, .cols = cols, .offset = params->total, .rate = 1};
  va_list args;
  va_start(args, format);
  vsnprintf(t->name, sizeof t->name, format, args);
  va_end(args);
  params->total += rows * cols;
  return t;
}

dg_matrix dg_plan_weight(dg_plan *p, size_t rows, size_t cols, const char *name, float **grad) {
  dg_plan_align(p);
  dg_tensor *t = dg_plan_tensor(p, rows, cols, "%s", name);
  t->weight = true;
  *grad = t->grad;
  return (dg_matrix){.block = {t->held}};
}

dg_norm dg_plan_norm(dg_plan *p, const char *path, size_t width, bool bias) {
  dg_norm n = {0};
  dg_plan_align(p);
  dg_tensor *t = dg_plan_tensor(p, 1, width, "%s.gain", path);
  n.gain = t->value, n.gain_grad = t->grad;
  if (bias) {
    dg_plan_align(p);
    t = dg_plan_tensor(p, 1, width, "%s.bias", path);
    n.bias = t->value, n.bias_grad = t->grad;
  }
  return n;
}

dg_linear dg_plan_linear(dg_plan *p, const char *path, size_t parts, const char *const *names,
                         size_t out, size_t in, bool bias) {
  dg_linear l = {.out = parts * out, .in = in};
  dg_plan_align(p);
  bool together = true;
  const float *first = NULL;
  for (size_t i = 0; i < parts; i++) {
    dg_tensor *t = dg_plan_tensor(p, out, in, "%s.%s.weight", path, names[i]);
    t->weight = t->hidden = true;
    if (!i) l.weight_grad = t->grad, first = t->value;
    l.weight.block[i] = t->held;
    together = together && t->value && t->value == first + i * out * in;
  }
  if (together) l.weight = dg_matrix_fp32(first);
  else if (parts > 1) l.weight.block_rows = out;
  if (bias) {
    dg_plan_align(p);
    for (size_t i = 0; i < parts; i++) {
      dg_tensor *t = dg_plan_tensor(p, 1, out, "%s.%s.bias", path, names[i]);
      if (!i) l.bias = t->value, l.bias_grad = t->grad;
    }
  }
  return l;
}

static void link_views(dg_params *params, dg_plan_fn *describe, void *structure) {
  for (size_t i = 0; i < params->count; i++)
    params->tensors[i].grad = params->grads ? params->grads + params->tensors[i].offset : NULL;
  size_t total = params->total;
  describe(&(dg_plan){.params = params, .linking = true}, structure);
  params->total = total; /* aligning is idle when linking, but moves it */
}

/* Whole pages of zeros, so that freezing can protect them. */
static float *pages(size_t floats, dg_error *err) {
  void *p = mmap(NULL, floats * sizeof(float), PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p != MAP_FAILED) return p;
  dg_fail(err, DG_ERR_MEMORY, "no memory for %zu MB of parameters", floats >> 18);
  return NULL;
}

bool dg_params_allocate(dg_params *params, dg_plan_fn *describe, void *structure,
                        dg_error *err) {
  params->values = pages(params->total, err);
  if (!params->values) return false;
  params->size = params->total;
  for (size_t i = 0; i < params->count; i++) {
    dg_tensor *t = &params->tensors[i];
    t->value = params->values + t->offset;
    t->held = dg_matrix_fp32(t->value).block[0];
  }
  link_views(params, describe, structure);
  return true;
}

/* A file that others wrote may have numbers at odd places. */
static bool is_aligned(const dg_matrix_block *b) {
  uintptr_t at = (uintptr_t)b->data, scale = (uintptr_t)b->scale;
  size_t need = b->type == DG_STORE_FP32 ? 4 : b->type == DG_STORE_BF16 ? 2 : 1;
  return at % need == 0 && scale % sizeof(float) == 0;
}

bool dg_params_hold(dg_params *params, dg_plan_fn *describe, void *structure, dg_error *err) {
  size_t size = 0;
  for (size_t i = 0; i < params->count; i++) {
    dg_tensor *t = &params->tensors[i];
    if (!t->weight || !is_aligned(&t->held)) size += t->rows * t->cols;
  }
  params->values = pages(size ? size : 1, err);
  if (!params->values) return false;
  params->size = size ? size : 1;
  size_t next = 0; /* no gaps: biases of projections that are multiplied together stay adjacent */
  for (size_t i = 0; i < params->count; i++) {
    dg_tensor *t = &params->tensors[i];
    if (t->weight && is_aligned(&t->held)) continue;
    dg_matrix from = {.block = {t->held}};
    t->value = params->values + next;
    dg_matrix_rows(&from, t->cols, 0, t->rows, t->value);
    t->held = dg_matrix_fp32(t->value).block[0];
    next += t->rows * t->cols;
  }
  link_views(params, describe, structure);
  return true;
}

bool dg_params_train(dg_params *params, dg_plan_fn *describe, void *structure, dg_error *err) {
  if (params->grads) return true;
  params->grads = pages(params->total, err);
  if (!params->grads) return false;
  link_views(params, describe, structure);
  return true;
}

void dg_params_free(dg_params *p) {
  if (p->values) munmap(p->values, p->size * sizeof(float));
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

void dg_params_initialize(dg_params *p, uint64_t seed, size_t d_model) {
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
