/* What `train` and `pretrain` show and keep alike: corpora in memory, dev sets,
 * reports. */
#ifndef DG_CLI_TRAINING_H
#define DG_CLI_TRAINING_H

#include <stdio.h>

#include "mt/cli/cli.h"
#include "mt/train/card.h"
#include "mt/train/trainer.h"

/* Dev sets over texts that outlive them; grows as sets are added. */
typedef struct dg_dev_list {
  dg_dev_set *sets;
  const char ***texts; /* the arrays behind sources and references */
  size_t count, capacity, text_count, text_capacity;
} dg_dev_list;
/* `limit` sentences at most are translated. */
dg_dev_set *dg_dev_list_add(dg_dev_list *l, const char *source, const char *target,
                            dg_direction direction, const dg_parallel_text *text, size_t limit);
void dg_dev_list_free(dg_dev_list *l);

/* Prints reports: progress on a terminal, a line a dev score, details with each; after a
 * minute says once how long it will take. */
typedef struct dg_training_log {
  const dg_cli *cli;
  const dg_dev_list *dev;
  uint64_t max_updates;
  bool patient; /* may end before max_updates */
  const char *path; /* of a table of all points, or NULL */
  FILE *table;
  dg_progress progress;
  double first_update, first_seconds; /* when this process began */
  bool begun, estimated;
  double best_update, best_loss, best_chrf;
} dg_training_log;
dg_training_log dg_training_log_new(const dg_cli *cli, const dg_dev_list *dev,
                                    const dg_train_options *o, const char *path);
/* Creates the table, so that a mistake in its name is told before training. */
bool dg_training_log_open(dg_training_log *log, dg_error *err);
void dg_training_show(dg_training_log *log, const dg_train_report *r);
void dg_training_log_close(dg_training_log *log);

/* The result a run would have if it ended with this report. */
dg_train_result dg_training_so_far(const dg_train_report *r);

/* Which weights a run left, in words. */
const char *dg_training_kept(const dg_train_result *r, char *out, size_t size);

/* How a run ended, in words. */
const char *dg_training_end(dg_train_end end);

#endif
