/* What `train` says at its end: the gain over the base, on the screen, in the adapter's card
 * and on a page of HTML. */
#ifndef DG_CLI_TRAIN_REPORT_H
#define DG_CLI_TRAIN_REPORT_H

#include "mt/cli/cli.h"
#include "mt/train/data.h"
#include "mt/train/gain.h"

/* The gain on one dev or test file. */
typedef struct dg_train_measure {
  const dg_train_file *file;
  const dg_dev_set *set;
  int beam;
  dg_gain gain;
} dg_train_measure;

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

/* Adds "measured" and "signatures"; nothing without measures. */
void dg_train_measures_to_card(json_t *card, const dg_train_measure *measures, size_t count);
/* Prints it, or the card with --json; warns when nothing was gained. */
void dg_train_conclude(const dg_train_summary *s);
bool dg_train_report_write(const dg_train_summary *s, const char *path, dg_error *err);

#endif
