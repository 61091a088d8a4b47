#include "mt/train/settings.h"

#include <string.h>

#include "mt/core/mem.h"

static const char *const schedule_names[] = {"inverse_sqrt", "cosine", "constant", NULL};
static const char *const optimizer_names[] = {"adam", "muon", NULL};
static const char *const metric_names[] = {"loss", "bleu", "chrf", NULL};
static const char *const precision_names[] = {"auto", "fp32", "bf16", NULL};

#define MEMBER(field) offsetof(dg_train_options, field), sizeof(((dg_train_options *)0)->field)
#define INT(field, initial, least, most, help) \
  {#field, DG_OPTION_INT, MEMBER(field), initial, least, most, NULL, help}
#define FLOAT(field, initial, least, most, help) \
  {#field, DG_OPTION_FLOAT, MEMBER(field), initial, least, most, NULL, help}
#define ENUM(field, initial, names, help) \
  {#field, DG_OPTION_ENUM, MEMBER(field), initial, 0, 0, names, help}

const dg_option dg_train_options_table[] = {
    INT(seed, "1", 0, 2147483647, "of initialisation, order and dropout"),
    INT(max_updates, "3000", 1, 1e9, "updates to make"),
    INT(max_minutes, "0", 0, 1e6, "stop, resumably, after so long; 0: no limit"),
    INT(batch_tokens, "1024", 16, 1e7, "target tokens of one update"),
    INT(micro_tokens, "4096", 16, 1e6, "target tokens computed at a time, at most"),
    INT(memory, "640", 16, 1e6, "MB for activations: what exceeds them is computed in parts"),
    INT(max_tokens, "128", 8, 8192, "longer sentences are left out"),
    INT(sampled_pieces, "-1", -1, 1e6,
        "pieces drawn for those that no target has; 0: all count; -1: auto"),
    INT(encoder_cache, "2048", 0, 1e7,
        "MB of disk for what frozen encoder layers compute; 0: none"),
    FLOAT(learning_rate, "0.005", 0, 10, "peak learning rate"),
    ENUM(schedule, "inverse_sqrt", schedule_names, "decay after warm-up"),
    INT(warmup, "100", 0, 1e8, "updates of linear warm-up"),
    INT(cooldown, "0", 0, 1e8, "last updates before max_updates in which the rate falls to 0"),
    ENUM(optimizer, "adam", optimizer_names, "muon: matrices of layers by Muon, all else by Adam"),
    FLOAT(beta1, "0.9", 0, 0.999999, "Adam's first moment"),
    FLOAT(beta2, "0.98", 0, 0.999999, "Adam's second moment"),
    FLOAT(eps, "1e-8", 1e-30, 1, "Adam's epsilon"),
    FLOAT(muon_momentum, "0.95", 0, 0.999999, "Muon's momentum"),
    FLOAT(weight_decay, "0", 0, 1, "decoupled weight decay (AdamW)"),
    FLOAT(clip, "1", 0, 1e9, "largest gradient norm; 0: no clipping"),
    FLOAT(ema, "0", 0, 0.999999, "decay of the weight average that is scored and kept; 0: none"),
    FLOAT(label_smoothing, "0.1", 0, 0.9, "share of the target spread over all pieces"),
    FLOAT(dropout, "0.1", 0, 0.9, "on embeddings and sublayer outputs"),
    FLOAT(attention_dropout, "0", 0, 0.9, "on attention weights"),
    FLOAT(activation_dropout, "0", 0, 0.9, "inside the feed-forward sublayer"),
    FLOAT(adapter_dropout, "0.1", 0, 0.9, "on outputs of bottlenecks and inputs of LoRA"),
    FLOAT(rdrop, "0", 0, 100, "R-Drop's alpha: passes in pairs, drawn together; 0: none"),
    FLOAT(subword_alpha, "0", 0, 10,
          "sampled segmentations: BPE's dropout, unigram's alpha; 0: none"),
    FLOAT(word_dropout, "0", 0, 0.9, "share of pieces read that become unknown"),
    FLOAT(temperature, "1", 0.1, 100, "pairs are drawn with probability ~ size^(1/temperature)"),
    INT(eval_every, "200", 1, 1e9, "updates between dev scores"),
    INT(eval_sentences, "300", 0, 1e6, "dev sentences translated a direction; 0: loss only"),
    INT(eval_beam, "1", 1, 64, "beam of those translations"),
    INT(patience, "6", 0, 1e6, "stop after so many scores without improvement; 0: never"),
    INT(average_best, "1", 1, DG_AVERAGE_MOST, "best weights averaged at the end, if better"),
    ENUM(metric, "loss", metric_names, "what the best weights are best at"),
    INT(checkpoint_minutes, "10", 0, 1e6, "minutes between checkpoints; 0: every update"),
    ENUM(precision, "auto", precision_names, "of products; auto: rounded where that is faster"),
    {NULL, DG_OPTION_INT, 0, 0, NULL, 0, 0, NULL, NULL},
};

dg_precision dg_train_precision(const dg_train_options *o) {
  static const dg_precision precisions[] = {DG_ROUNDED, DG_FP32, DG_BF16};
  return precisions[o->precision]; /* what the CPU lacks falls back by itself */
}

/* A run may be lengthened, watched more or less closely, and computed in other ways. */
static const char *const free_to_change[] = {"max_minutes", "patience", "checkpoint_minutes",
                                             "eval_every", "eval_sentences", "eval_beam",
                                             "cooldown", "encoder_cache", "sampled_pieces",
                                             NULL};

char *dg_train_identity(const dg_train_options *o, json_t *made_of, const dg_examples *examples) {
  json_t *train = dg_options_to_json(dg_train_options_table, o);
  for (size_t i = 0; free_to_change[i]; i++) json_object_del(train, free_to_change[i]);
  if (o->schedule != DG_SCHEDULE_COSINE) json_object_del(train, "max_updates");
  json_object_set_new(made_of, "train", train);
  json_object_set_new(made_of, "text", json_integer((json_int_t)(dg_examples_hash(examples) >> 1)));
  char *text = json_dumps(made_of, JSON_COMPACT | JSON_SORT_KEYS);
  json_decref(made_of);
  return text;
}

/* Settings that a checkpoint does not know came after it, which had their defaults. */
static void add_defaults(json_t *settings, const dg_option *table, const void *defaults) {
  json_t *initial = dg_options_to_json(table, defaults);
  json_object_update_missing(settings, initial);
  json_decref(initial);
}

bool dg_train_same_run(const char *checkpoint, const char *task) {
  if (!strcmp(checkpoint, task)) return true; /* identities need not be JSON */
  json_t *sides[2] = {json_loads(checkpoint, 0, NULL), json_loads(task, 0, NULL)};
  dg_train_options train;
  dg_model_config model = {0};
  dg_options_defaults(dg_train_options_table, &train);
  dg_options_defaults(dg_model_config_options, &model);
  for (int k = 0; k < 2; k++) {
    add_defaults(json_object_get(sides[k], "train"), dg_train_options_table, &train);
    add_defaults(json_object_get(sides[k], "model"), dg_model_config_options, &model);
    for (size_t i = 0; free_to_change[i]; i++)
      json_object_del(json_object_get(sides[k], "train"), free_to_change[i]);
  }
  /* Older checkpoints of bases have none of these. */
  static const char *const newer[] = {"ways", "init", "tokenizer"};
  for (size_t i = 0; i < sizeof newer / sizeof *newer; i++)
    if (!json_object_get(sides[0], newer[i])) json_object_del(sides[1], newer[i]);
  bool same = sides[0] && json_equal(sides[0], sides[1]);
  json_decref(sides[0]);
  json_decref(sides[1]);
  return same;
}
