/* The settings of a training run, and what a checkpoint must have in common with a run. */
#ifndef DG_TRAIN_SETTINGS_H
#define DG_TRAIN_SETTINGS_H

#include <jansson.h>

#include "mt/core/options.h"
#include "mt/train/examples.h"
#include "mt/train/optimizer.h"

typedef enum dg_metric { DG_METRIC_LOSS, DG_METRIC_BLEU, DG_METRIC_CHRF } dg_metric;

enum { DG_AVERAGE_MOST = 20 }; /* weights that are averaged */

typedef struct dg_train_options {
  int seed, max_updates, max_minutes, batch_tokens, micro_tokens, memory, max_tokens;
  int sampled_pieces, encoder_cache;
  dg_schedule_type schedule;
  int warmup, cooldown;
  dg_optimizer_type optimizer;
  double learning_rate, beta1, beta2, eps, muon_momentum, weight_decay, clip, ema;
  double label_smoothing, dropout, attention_dropout, activation_dropout, adapter_dropout;
  double rdrop, subword_alpha, word_dropout;
  double temperature;
  int eval_every, eval_sentences, eval_beam, patience, average_best;
  dg_metric metric;
  int checkpoint_minutes;
  int precision; /* 0 auto, 1 fp32, 2 bf16 */
} dg_train_options;

extern const dg_option dg_train_options_table[];
dg_precision dg_train_precision(const dg_train_options *o);

/* Everything that decides the weights, as text: what a checkpoint must match.
 * `made_of` says what the options do not; taken over. Caller frees. */
char *dg_train_identity(const dg_train_options *o, json_t *made_of, const dg_examples *examples);
/* Whether a checkpoint's identity is a run's, settings that are free to change apart. */
bool dg_train_same_run(const char *checkpoint, const char *run);

#endif
