/* The state of a training run and the files that keep it: a run goes on from one bit for bit.
 * Private to mt/train. */
#ifndef DG_TRAIN_CHECKPOINT_H
#define DG_TRAIN_CHECKPOINT_H

#include <time.h>

#include "mt/train/trainer.h"
#include "mt/train/candidates.h"
#include "mt/train/encoder_cache.h"

/* Everything a step changes. */
typedef struct dg_trainer {
  const dg_train_task *task;
  const dg_train_options *o;
  dg_params *params;
  dg_threads *threads;
  dg_ranks alone, *ranks;
  uint64_t *position; /* of the sampler before the update at work */
  dg_optimizer optimizer;
  float *average, *best; /* the weight average (ema > 0) and the best weights */
  float *runners_up;     /* [average_best-1][weights], better ones first */
  double runner_up_metrics[DG_AVERAGE_MOST];
  size_t runner_up_count;
  float *mean; /* of so many best weights, of a run's end where it beat them; or NULL */
  size_t mean_of;
  dg_sampler *sampler;
  dg_candidates *candidates; /* NULL: the loss is over the whole vocabulary */
  dg_encoder_cache *encoder_cache; /* NULL: the encoder learns, or sources vary */
  dg_batch_buffer batch;
  dg_arena *arena;
  size_t source_bytes, target_bytes; /* that a token of the update takes in it */
  uint64_t first_update, update, best_update, mean_update, bad_evaluations, skipped;
  bool have_best, have_start, replaces;
  uint64_t dev_text; /* what makes scores comparable; 0: no dev text */
  bool new_dev_text; /* other than the checkpoint's: its scores say nothing */
  double seconds; /* before this process */
  dg_dev_score start, best_score, mean_score;
  dg_dev_score *scores, *start_scores, *best_scores, *mean_scores; /* one a dev set */
  struct timespec begun, checkpointed;
  double point_loss; /* since the last point */
  double norm; /* of the last update's gradient */
  size_t point_labels, untimed_labels; /* of these, before `pointed` */
  dg_train_point *history;
  size_t history_count, history_capacity;
  struct timespec pointed, reported;
} dg_trainer;

/* To and from task->checkpoint_path; `seconds`: trained so far. Loading without a file changes
 * nothing. */
bool dg_checkpoint_save(const dg_trainer *t, double seconds, dg_error *err);
bool dg_checkpoint_load(dg_trainer *t, dg_error *err);

#endif
