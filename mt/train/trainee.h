/* What is trained: a declared adapter for some pairs of languages, perhaps on top of frozen
 * ones, or every weight of the base. In order: what is asked for, dg_trainee_begin, dg_trainee_add
 * for every pair, mt/train/vocabulary.h, dg_trainee_build. Errors call settings by their flags in
 * `dragoman train`. */
#ifndef DG_TRAIN_TRAINEE_H
#define DG_TRAIN_TRAINEE_H

#include "mt/model/adapter_file.h"
#include "mt/train/defaults.h"

/* One direction of translation. */
typedef struct dg_train_way {
  dg_language_pair pair;
  int32_t source_tag, target_tag;
  int32_t before_source, before_target; /* what is asked for without the trainee: a new
                                         * language's relative */
} dg_train_way;

typedef struct dg_trainee {
  /* asked for: */
  dg_adapter_config config;
  dg_keep_fn *given;  /* whether a setting of config was asked for, and stays; or NULL: none */
  void *context;      /* its */
  const char *init;   /* file of an adapter to begin from, or NULL */
  dg_list below;      /* files of frozen adapters it stands on, in order */
  dg_list like;       /* [NEW=]RELATIVE[:WEIGHT],... of new languages */
  dg_storage storage; /* of its file */
  /* made: */
  dg_strbuf told;      /* remarks for people, a line each */
  const dg_base *base; /* borrowed */
  dg_adapter_stacked stack;
  dg_adapter_file *from;           /* what it begins from, or NULL */
  dg_adapter_file *file;           /* NULL when every weight is trained: */
  dg_base *whole;                  /* a copy of the base */
  dg_language *languages;          /* those it adds */
  size_t language_count;
  const dg_language **relatives;   /* the nearest, of each language of its own; NULL: itself */
  dg_strbuf relatives_text;        /* for people */
  double tokens_per_word[2];       /* of languages with new pieces: before and after */
  int32_t *changed;                /* [config.embeddings]: the pieces whose embeddings learn */
} dg_trainee;

bool dg_trainee_is_full(const dg_trainee *t);
/* Whether a setting of config was asked for. */
bool dg_trainee_given(const dg_trainee *t, const char *name);
/* Loads what it stands on and begins from; settings that were not given are the latter's. */
bool dg_trainee_begin(dg_trainee *t, const dg_base *base, dg_error *err);
/* Adds a pair of languages, each known to the base or an adapter below, or new. */
bool dg_trainee_add(dg_trainee *t, const char *source, const char *target, dg_train_way *way,
                    dg_error *err);
/* What the base alone speaks in place of a language that only the trainee or what is below it
 * knows; or NULL. */
const dg_language *dg_trainee_relative(const dg_trainee *t, const char *code, dg_side side);
/* Whether it brings a language that nothing below knows. */
bool dg_trainee_is_new(const dg_trainee *t, const char *code);
/* Whether languages that nothing below knows are read, whether they are said. */
void dg_trainee_new_sides(const dg_trainee *t, bool *source, bool *target);
/* Untrained weights, or those it begins from, with gradients. */
bool dg_trainee_build(dg_trainee *t, uint64_t seed, dg_error *err);
void dg_trainee_free(dg_trainee *t);

/* A learning rate that suits what is trained. */
double dg_trainee_learning_rate(const dg_trainee *t, int d_model);
dg_params *dg_trainee_params(const dg_trainee *t);
const json_t *dg_trainee_card(const dg_trainee *t); /* as saved last */
/* Adds the adapters, those below and, if wanted, the trained one, or puts the trained model in
 * place of the base's. */
void dg_trainee_use(const dg_trainee *t, bool trained, dg_network *n);
/* What cuts up a language on a side, with or without the trainee. Borrowed. */
dg_tokenizer *dg_trainee_tokenizer(const dg_trainee *t, bool trained, const char *language,
                                   dg_side side);
/* What decides the untrained weights, but for what they begin from; a new object. */
json_t *dg_trainee_identity(const dg_trainee *t);
/* Adds to a card what the trainee is; takes the card over and writes the file. */
bool dg_trainee_save(dg_trainee *t, json_t *card, const char *path, dg_error *err);

#endif
