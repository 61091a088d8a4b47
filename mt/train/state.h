/* The state of a training run, and what of the trainer changes it. Private to mt/train. */
#ifndef DG_TRAIN_STATE_H
#define DG_TRAIN_STATE_H

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

/* --- checkpoint.c: files from which a run goes on bit for bit -------------------------------- */

/* To and from task->checkpoint_path; `seconds`: trained so far. Loading without a file changes
 * nothing. */
bool dg_checkpoint_save(const dg_trainer *t, double seconds, dg_error *err);
bool dg_checkpoint_load(dg_trainer *t, dg_error *err);

/* --- trainer.c ------------------------------------------------------------------------------- */

bool dg_trainer_save(dg_trainer *t, dg_error *err); /* rank 0 alone */
/* The loss of so many labels; of one that is no number, which JSON has not, a very large one. */
double dg_trainer_loss(double loss, size_t labels);
dg_train_point dg_trainer_point(const dg_trainer *t);
/* `passing`: a sign of life between two points, which history does not keep. */
dg_train_report dg_trainer_report(dg_trainer *t, const dg_train_point *now, bool passing,
                                  const dg_dev_score *scores);
void dg_trainer_restart_clocks(dg_trainer *t); /* after what is no training */

/* --- update.c -------------------------------------------------------------------------------- */

double dg_trainer_learning_rate(const dg_trainer *t);
/* Failing it leaves the weights, but not the sampler, as they were. */
bool dg_trainer_step(dg_trainer *t, dg_error *err);

/* --- scores.c: the weights that dev text chooses --------------------------------------------- */

/* What dev scores must have in common to be compared; 0: there is no dev text. */
uint64_t dg_trainer_dev_text(const dg_train_task *k, const dg_train_options *o);
/* Scores the weights, which are kept if they are among the best. */
bool dg_trainer_evaluate(dg_trainer *t, dg_error *err);
/* By another dev text than until now the comparison begins anew, between the best weights and
 * those at the start. */
bool dg_trainer_score_anew(dg_trainer *t, float *start, dg_error *err);
/* At a run's end: the mean of the best weights, if it scores better than the very best, and than
 * the one of an earlier end. */
bool dg_trainer_average(dg_trainer *t, dg_error *err);
bool dg_trainer_beats_mean(const dg_trainer *t, const dg_dev_score *s);

#endif
