/* The card a trained file carries: what it was made from, how, and what was measured. */
#ifndef DG_TRAIN_CARD_H
#define DG_TRAIN_CARD_H

#include "mt/train/data.h"
#include "mt/train/gain.h"
#include "mt/train/trainer.h"

/* One training or dev file. */
typedef struct dg_card_data {
  const char *role, *source, *target, *file; /* role: "train" or "dev" */
  size_t pairs, skipped;
  json_t *problems; /* why pairs were left out, or NULL; borrowed */
} dg_card_data;

/* A JSON object; kind is "base" or "adapter", `start` what the scores of the start are called, as
 * "untouched"; notes may be NULL. */
json_t *dg_card_new(const char *kind, const dg_train_options *o, const dg_train_task *task,
                    const dg_train_result *r, const char *start, const dg_card_data *data,
                    size_t data_count, const char *notes);

/* The gain on one dev or test file. */
typedef struct dg_train_measure {
  const dg_train_file *file;
  const dg_dev_set *set;
  int beam;
  dg_gain gain;
} dg_train_measure;

/* Adds "measured" and "signatures"; nothing without measures. */
void dg_card_measures(json_t *card, const dg_train_measure *measures, size_t count);

#endif
