/* The update of one block of parameters, and learning-rate schedules. */
#ifndef DG_TRAIN_OPTIMIZER_H
#define DG_TRAIN_OPTIMIZER_H

#include "mt/core/threads.h"
#include "mt/model/model.h"

typedef enum dg_optimizer_type {
  DG_OPTIMIZER_ADAM, /* AdamW */
  DG_OPTIMIZER_MUON  /* Muon for the weights of layers, AdamW for all else */
} dg_optimizer_type;

typedef struct dg_optimizer_options {
  dg_optimizer_type type;
  double beta1, beta2, eps, weight_decay; /* decoupled; 0: plain Adam */
  double muon_momentum;
  double clip; /* largest gradient norm; 0: no clipping */
} dg_optimizer_options;

/* Borrows what it updates. */
typedef struct dg_optimizer {
  dg_params *params;
  dg_threads *threads;
  dg_optimizer_options options;
  float *m, *v; /* moments [params->total], zero at first; of Muon's weights m is the momentum, v
                 * unused */
  uint64_t steps;
  struct dg_update_part *parts;
  size_t part_count, part_capacity, scratch_size; /* of a thread */
  double *squares;
  float *scratch;
} dg_optimizer;

bool dg_optimizer_init(dg_optimizer *z, const dg_optimizer_options *o, dg_params *params,
                       dg_threads *threads, dg_error *err);
void dg_optimizer_free(dg_optimizer *z);

/* One update from the gradients, which it leaves as they are. Returns their norm before
 * clipping; when that is not finite nothing changes. */
double dg_optimizer_update(dg_optimizer *z, double learning_rate);

typedef enum dg_schedule_type {
  DG_SCHEDULE_INVERSE_SQRT, /* peak at the end of warm-up, then ~ 1/sqrt(step) */
  DG_SCHEDULE_COSINE,       /* half a cosine from the peak to 0 at max_updates */
  DG_SCHEDULE_CONSTANT
} dg_schedule_type;

/* Learning rate of update `step` (from 1; 0 before it), after a linear warm-up. Over the last
 * `cooldown` updates before max_updates it falls to 0 besides, as 1 - sqrt (Haegele et al. 2024,
 * "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations"). */
double dg_schedule(dg_schedule_type type, double peak, uint64_t warmup, uint64_t max_updates,
                   uint64_t cooldown, uint64_t step);

#endif
