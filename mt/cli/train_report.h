/* What `train` says at its end: the gain over the base, on the screen and on a page of HTML. */
#ifndef DG_CLI_TRAIN_REPORT_H
#define DG_CLI_TRAIN_REPORT_H

#include "mt/cli/cli.h"
#include "mt/train/card.h"

typedef struct dg_train_summary {
  const dg_cli *cli;
  const json_t *card; /* finished */
  const dg_train_result *result;
  const dg_train_data *data;
  const dg_train_measure *measures;
  size_t measure_count;
  const char *relative; /* what the base was asked for in place of a new language, or NULL */
  const char *output;
} dg_train_summary;

/* Prints it, or the card with --json; warns when nothing was gained. */
void dg_train_conclude(const dg_train_summary *s);
bool dg_train_report_write(const dg_train_summary *s, const char *path, dg_error *err);

#endif
