/* What `train` and `pretrain` show and keep alike: corpora in memory, dev sets,
 * reports. */
#ifndef DG_CLI_TRAINING_H
#define DG_CLI_TRAINING_H

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
void dg_dev_list_add(dg_dev_list *l, const char *source, const char *target, dg_direction direction,
                     const dg_parallel_text *text, size_t limit);
void dg_dev_list_free(dg_dev_list *l);

/* Prints reports: progress on a terminal, a line a dev score, details with each. */
typedef struct dg_training_log {
  const dg_cli *cli;
  dg_progress progress;
  const dg_dev_list *dev;
  uint64_t max_updates;
} dg_training_log;
void dg_training_show(dg_training_log *log, const dg_train_report *r);

/* How a run ended, in words. */
const char *dg_training_end(dg_train_end end);

#endif
