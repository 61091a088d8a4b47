/* What `train` and `pretrain` show and keep alike: reports, and a table of them. */
#ifndef DG_CLI_TRAINING_H
#define DG_CLI_TRAINING_H

#include <stdio.h>

#include "mt/cli/cli.h"
#include "mt/train/evaluate.h"

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

/* Which weights a run left, in words. */
const char *dg_training_kept(const dg_train_result *r, char *out, size_t size);

/* How a run ended, in words. */
const char *dg_training_end(dg_train_end end);

#endif
