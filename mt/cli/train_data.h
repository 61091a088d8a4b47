/* The parallel text `train` reads: checked, faulty pairs left out, dev text set apart. */
#ifndef DG_CLI_TRAIN_DATA_H
#define DG_CLI_TRAIN_DATA_H

#include <jansson.h>

#include "data/check.h"
#include "mt/cli/cli.h"

typedef enum dg_train_role { DG_ROLE_TRAIN, DG_ROLE_DEV, DG_ROLE_TEST } dg_train_role;
const char *dg_train_role_name(dg_train_role role);

typedef struct dg_train_file {
  const char *path; /* of the text itself or, for dev text set apart, of its origin */
  dg_train_role role;
  size_t pair; /* of languages, numbered by the caller */
  bool apart;  /* dev text set apart */
  dg_parallel_text text;
  size_t read;                  /* pairs there were */
  size_t problems[DG_PROBLEMS]; /* those found */
} dg_train_file;

typedef struct dg_train_data {
  dg_train_file *files; /* training files, then dev files, then test files */
  size_t count, train_count, dev_count;
  dg_key_set held_out; /* dev and test text */
} dg_train_data;

typedef struct dg_train_data_options {
  const dg_list *train, *dev, *test;
  const char *source, *target; /* canonical BCP-47 */
  bool reversed, keep_problems;
  uint64_t seed;
} dg_train_data_options;

/* Reads and reports. Without dev files a tenth of the training pairs, 500 at most, is set
 * apart by sentence. Refuses text that is mostly the wrong way round or in the wrong script.
 * Release with dg_train_data_free either way. */
bool dg_train_data_read(dg_train_data *d, const dg_train_data_options *o, const dg_cli *cli,
                        dg_error *err);
/* Moves the files of another pair into d. */
void dg_train_data_join(dg_train_data *d, dg_train_data *more);
void dg_train_data_free(dg_train_data *d);
/* {"duplicate": 12, ...}: the problems a file has. */
json_t *dg_train_problems_json(const dg_train_file *f);

#endif
