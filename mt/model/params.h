/* Named tensors in one block, the views layers have of them, and the plans that
 * lay them out. */
#ifndef DG_MODEL_PARAMS_H
#define DG_MODEL_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mt/core/error.h"
#include "mt/kernels/matrix.h"

/* A named matrix (rows 1 for vectors). `grad` is NULL when it is frozen. */
typedef struct dg_tensor {
  char name[80];
  size_t rows, cols, offset; /* in floats, inside the block */
  bool weight;               /* read only by products and row by row: it may be held as stored */
  bool hidden;               /* a weight inside a layer: from features to features */
  float rate;                /* of learning, times the run's */
  float *value, *grad;       /* value NULL: it is held as its file stores it */
  dg_matrix_block held;      /* where it is: `value`, or in its file */
} dg_tensor;

/* Tensors laid one after another in one block, so that an optimizer, a
 * checkpoint or a hash walks one array. Projections that are multiplied
 * together (q, k, v) are adjacent by construction. */
typedef struct dg_params {
  dg_tensor *tensors;
  size_t count, total; /* total floats, padding included */
  float *values, *grads;
  size_t size; /* floats at `values`: total, or fewer when weights are held as stored */
} dg_params;

dg_tensor *dg_params_find(const dg_params *p, const char *name); /* NULL if absent */
size_t dg_params_count(const dg_params *p); /* numbers, without the padding between tensors */
void dg_params_zero_grads(dg_params *p);

typedef struct dg_linear {
  size_t out, in;
  dg_matrix weight;  /* [out,in] */
  const float *bias; /* [out] or NULL */
  float *weight_grad, *bias_grad;
} dg_linear;

typedef struct dg_norm {
  const float *gain, *bias; /* bias NULL: none */
  float *gain_grad, *bias_grad;
} dg_norm;

typedef struct dg_ffn {
  dg_norm norm;
  dg_linear in; /* [ffn_dim or 2*ffn_dim (activated half first) , d_model] */
  dg_linear out;
} dg_ffn;

/* One function describes a structure's tensors. It runs twice: to lay them out
 * (the block is still NULL), and to point the structure's views at them. */
typedef struct dg_plan {
  dg_params *params;
  size_t next, capacity;
  bool linking;
} dg_plan;
typedef void dg_plan_fn(dg_plan *p, void *structure);

void dg_plan_align(dg_plan *p); /* the next tensor begins a cache line */
dg_tensor *dg_plan_tensor(dg_plan *p, size_t rows, size_t cols, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
dg_matrix dg_plan_weight(dg_plan *p, size_t rows, size_t cols, const char *name, float **grad);
dg_norm dg_plan_norm(dg_plan *p, const char *path, size_t width, bool bias);
/* `parts` projections of the same input, adjacent in memory: weights, then biases. */
dg_linear dg_plan_linear(dg_plan *p, const char *path, size_t parts, const char *const *names,
                         size_t out, size_t in, bool bias);

/* For a structure that `describe` has laid out: zeroed values; zeroed gradients. */
bool dg_params_allocate(dg_params *p, dg_plan_fn *describe, void *structure, dg_error *err);
/* For one whose tensors' `held` point into a file: weights stay there, which must outlive them;
 * memory is taken for the others. */
bool dg_params_hold(dg_params *p, dg_plan_fn *describe, void *structure, dg_error *err);
bool dg_params_train(dg_params *p, dg_plan_fn *describe, void *structure, dg_error *err);
void dg_params_free(dg_params *p);
/* Gains 1, biases 0, embeddings normal, projections Xavier-uniform; each tensor
 * draws from its own stream, so adding one does not change the others. */
void dg_params_initialize(dg_params *p, uint64_t seed, size_t d_model);

#endif
