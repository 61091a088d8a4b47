/* The training loop: packed batches, updates, dev scores, early stopping, the best
 * weights kept, and checkpoints from which a run goes on bit for bit. */
#ifndef DG_TRAIN_TRAINER_H
#define DG_TRAIN_TRAINER_H

#include "mt/train/ranks.h"
#include "mt/train/settings.h"

/* A dev set in one direction. */
typedef struct dg_dev_set {
  char name[2 * DG_LANG_MAX]; /* "en-gl" */
  char source[DG_LANG_MAX];   /* "en"; how long sentences are cut; "": of any language */
  dg_direction direction;     /* its corpus counts in dev_examples */
  dg_tokenizer *tokenizers[2]; /* of sources and translations; NULL: the base's */
  const char *const *sources, *const *references; /* the text that is translated */
  size_t sentences;
} dg_dev_set;

typedef struct dg_dev_score {
  double loss; /* nats per target token */
  double bleu, chrf;
} dg_dev_score;

/* One point of the curves: every 25 updates and at every dev score. All doubles, so that a
 * checkpoint keeps them as one matrix. */
typedef struct dg_train_point {
  double update, epochs, seconds; /* of training, over all restarts */
  double learning_rate, loss;     /* label-smoothed, per token, since the last point */
  double gradient_norm, tokens_per_second;
  double scored, dev_loss, dev_bleu, dev_chrf, best; /* dev: means; scored and best: 0 or 1 */
} dg_train_point;

typedef struct dg_train_report {
  dg_train_point now;
  const dg_train_point *history; /* all points, the last of them `now` unless `passing` */
  size_t history_count;
  bool passing; /* only a sign of life between two points */
  const dg_dev_score *scores; /* one a dev set, when it was just evaluated, else NULL */
} dg_train_report;

typedef enum dg_train_end {
  DG_TRAIN_FINISHED, /* max_updates reached */
  DG_TRAIN_PATIENCE, /* the dev metric stopped improving */
  DG_TRAIN_TIME      /* max_minutes reached: the checkpoint can go on */
} dg_train_end;

typedef struct dg_train_task {
  const dg_base *base;
  dg_network network;  /* what computes, `trained` among its parts */
  dg_params *trained;  /* with gradients */
  const dg_examples *examples;
  const dg_direction *directions;
  size_t direction_count;
  const dg_examples *dev_examples;
  const dg_dev_set *dev_sets;
  size_t dev_count;
  bool evaluate_start;         /* score the untouched weights first: they are the one to beat */
  bool replaces;               /* what `best` writes is there, of an earlier run: it is not called,
                                * in this run and those that go on with it */
  bool locked;                 /* the caller holds dg_lock_new(checkpoint_path) */
  const char *checkpoint_path; /* written while training; read first if it exists */
  const char *identity;        /* what a checkpoint must have been made with */
  dg_ranks *ranks;             /* that share each update's sentences, or NULL: this process is
                                * alone. Rank 0 scores, reports, and writes */
  void *context;
  bool (*stop)(void *context);                           /* polled between updates */
  void (*report)(void *context, const dg_train_report *r);
  /* Called with the best weights so far in place, which nothing that an earlier end of the run left
   * is better than; may save them. */
  bool (*best)(void *context, const dg_train_report *r, dg_error *err);
} dg_train_task;

typedef struct dg_train_result {
  dg_train_end end;
  uint64_t updates, best_update;
  size_t averaged; /* the weights left are the mean of so many; 0: those of best_update alone */
  double seconds, epochs;
  dg_dev_score start, best;                  /* means over the dev sets */
  dg_dev_score *start_scores, *best_scores;  /* [dev_count]; start may be NULL */
  dg_train_point *history;                   /* [history_count] */
  size_t history_count;
} dg_train_result;
void dg_train_result_free(dg_train_result *r);
/* What a run would have if it ended with this report, whose scores it borrows: not to be freed. */
dg_train_result dg_train_so_far(const dg_train_report *r);

/* Trains, or goes on training. Leaves the best weights in task->trained. On
 * DG_ERR_INTERRUPTED the checkpoint holds everything up to the last update. */
bool dg_train(const dg_train_task *task, const dg_train_options *o, dg_train_result *result,
              dg_error *err);

#endif
