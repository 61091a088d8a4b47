/* AdamW over one block of parameters, and learning-rate schedules. */
#ifndef DG_TRAIN_OPTIMIZER_H
#define DG_TRAIN_OPTIMIZER_H

#include "mt/core/threads.h"
#include "mt/model/model.h"

typedef struct dg_adam_options {
  double beta1, beta2, eps, weight_decay; /* decoupled; 0: plain Adam */
  double clip;                            /* largest gradient norm; 0: no clipping */
} dg_adam_options;

/* Moments of a parameter block; zero at first. */
typedef struct dg_adam {
  size_t total;
  float *m, *v;
  uint64_t steps;
} dg_adam;

bool dg_adam_init(dg_adam *a, size_t total, dg_error *err);
void dg_adam_free(dg_adam *a);

/* One update from params->grads, which it leaves as they are. Returns the
 * gradient's norm before clipping; when that is not finite nothing changes. */
double dg_adam_update(dg_adam *a, const dg_adam_options *o, double learning_rate,
                      dg_params *params, dg_threads *threads);

typedef enum dg_schedule_type {
  DG_SCHEDULE_INVERSE_SQRT, /* peak at the end of warm-up, then ~ 1/sqrt(step) */
  DG_SCHEDULE_COSINE,       /* half a cosine from the peak to 0 at max_updates */
  DG_SCHEDULE_CONSTANT
} dg_schedule_type;

/* Learning rate of update `step` (from 1), after a linear warm-up. Over the last `cooldown`
 * updates before max_updates it falls to 0 besides, as 1 - sqrt (Haegele et al. 2024,
 * "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations"). */
double dg_schedule(dg_schedule_type type, double peak, uint64_t warmup, uint64_t max_updates,
                   uint64_t cooldown, uint64_t step);

#endif
