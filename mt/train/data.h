/* The parallel text an adapter is trained on and measured by: checked, faulty pairs left out, dev
 * text set apart. */
#ifndef DG_TRAIN_DATA_H
#define DG_TRAIN_DATA_H

#include <jansson.h>

#include "data/check.h"
#include "mt/core/mem.h"

typedef enum dg_train_role {
  DG_ROLE_TRAIN,
  DG_ROLE_DEV,
  DG_ROLE_TEST,
  DG_ROLE_MONO /* pairs made by translating back */
} dg_train_role;
const char *dg_train_role_name(dg_train_role role);

typedef struct dg_train_file {
  const char *path; /* of the text itself or, for dev text set apart, of its origin */
  dg_train_role role;
  size_t pair; /* of languages, numbered by the caller */
  bool apart;  /* dev text set apart */
  dg_parallel_text text;
  size_t read;                  /* pairs there were, without those set apart */
  size_t problems[DG_PROBLEMS]; /* those found */
  dg_lang_share looks[2];       /* see dg_check */
} dg_train_file;

typedef struct dg_train_data {
  dg_train_file *files; /* training files, then dev files, then test files */
  size_t count, train_count, dev_count;
  dg_key_set held_out; /* dev and test text */
} dg_train_data;

/* A pair of languages and its files. */
typedef struct dg_train_data_options {
  const dg_list *train, *dev, *test;
  const char *source, *target; /* canonical BCP-47 */
  bool reversed;
} dg_train_data_options;

/* Reads the files of all pairs and adds what is wrong with them to *told; faulty training pairs are
 * left out unless they are to be kept, and so is what says the same as the dev or test text of
 * any pair. A pair without dev files gets a tenth of its training text, 500 sentences at most,
 * set apart by sentence. Refuses text that is mostly the wrong way round or in the wrong script.
 * Release with dg_train_data_free either way. */
bool dg_train_data_read(dg_train_data *d, const dg_train_data_options *pairs, size_t count,
                        bool keep_problems, uint64_t seed, dg_strbuf *told, dg_error *err);
/* Tells what is wrong with a file's pairs and leaves faulty ones out, if they are for training
 * and not to be kept; refuses one that is mostly wrong, unless it was made here. See
 * dg_check_pairs. */
bool dg_train_file_check(dg_train_file *f, const char *source, const char *target, bool keep,
                         dg_key_set *seen, const dg_key_set *held_out, dg_strbuf *told,
                         dg_error *err);
size_t dg_train_data_pairs(const dg_train_data *d); /* those to train on */
void dg_train_data_free(dg_train_data *d);
/* {"duplicate": 12, ...}: the problems a file has. */
json_t *dg_train_problems_json(const dg_train_file *f);

#endif
