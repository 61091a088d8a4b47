/* A pretraining recipe: one configuration file that says what model is trained
 * on what text and how.
 *
 *   train = en gl corpus/train.gl.tsv.gz     # source, target, parallel text; repeatable
 *   dev = en gl corpus/dev.gl.tsv.gz         # repeatable
 *   both_directions = true
 *   init = FILE                              # a base to go on from, else:
 *   tokenizer = FILE                         # else one is trained:
 *   vocab_size = 16000
 *   ... and every option of the model and of the training loop. */
#ifndef DG_TRAIN_RECIPE_H
#define DG_TRAIN_RECIPE_H

#include "mt/train/settings.h"

typedef struct dg_recipe_data {
  bool dev;
  char source[DG_LANG_MAX], target[DG_LANG_MAX];
  char *file;
} dg_recipe_data;

typedef struct dg_recipe_settings {
  bool both_directions, byte_fallback;
  dg_tokenizer_type tokenizer_type;
  int tokenizer_sentences;
  double character_coverage;
  char tokenizer[512], init[512], normalization[64], licence[256];
  dg_storage storage;
} dg_recipe_settings;

typedef struct dg_recipe {
  dg_recipe_settings settings;
  dg_model_config model;
  dg_train_options train;
  dg_recipe_data *data;
  size_t data_count, data_capacity;
} dg_recipe;

extern const dg_option dg_recipe_options[];

/* One `name = value` line, or a command-line override. */
bool dg_recipe_set(dg_recipe *r, const char *name, const char *value, dg_error *err);
bool dg_recipe_read(dg_recipe *r, const char *path, dg_error *err); /* defaults first */
void dg_recipe_free(dg_recipe *r);

#endif
