/* Training on a base: an adapter for pairs of languages, or a copy of the base with all its
 * weights, from files of parallel text. */
#ifndef DG_TRAIN_ADAPTATION_H
#define DG_TRAIN_ADAPTATION_H

#include "mt/train/card.h"
#include "mt/train/data.h"
#include "mt/train/evaluate.h"
#include "mt/train/trainee.h"

/* A pair of languages and its files, as dg_parallel_read takes them. */
typedef struct dg_adaptation_pair {
  const char *source, *target;
  dg_list train, dev, test;
  bool reversed; /* the files have the target language first */
} dg_adaptation_pair;

typedef struct dg_adaptation_options {
  const char *base;          /* a file */
  dg_trainee *trainee;       /* what is asked for; its `given` also says which of: */
  dg_train_options settings; /* stay as they are; the others go by what there is to train on */
  const dg_adaptation_pair *pairs;
  size_t pair_count;
  bool bidirectional;
  bool keep_problems; /* train on faulty pairs, too */
  dg_list mono;       /* files in the target language of the only pair, to translate back */
  const char *reverse; /* file of the adapter that does so, or NULL; see back_translation.h */
  const char *output;  /* OUTPUT.checkpoint and OUTPUT.back-*.tsv stay beside it until it is done: a
                        * run with them goes on. A file that is there stays until then, too */
  const char *licence, *card_note; /* for the card, or NULL */
  dg_threads *threads;
  dg_ranks *ranks; /* processes that share the work, of which rank 0 writes */
  void *context;   /* of these, each of which may be NULL: */
  void (*note)(void *context, const char *message); /* a remark for people, a line */
  bool (*stop)(void *context);
  void (*report)(void *context, const dg_train_report *r);
  /* How far what takes long is, which is no training; `what` NULL: it is over. */
  void (*progress)(void *context, const char *what, double done, double all, const char *unit);
} dg_adaptation_options;

typedef struct dg_adaptation dg_adaptation;

/* Everything before the first update: keeps other processes off the output, reads and checks the
 * text, translates back, learns pieces, tokenises. Borrows what the options point to. */
dg_adaptation *dg_adaptation_new(const dg_adaptation_options *o, dg_error *err);
void dg_adaptation_free(dg_adaptation *a); /* and what was made of the trainee */

/* As dg_train, then measures what was gained over the base and saves; the best so far is always
 * in the output, with its card. Release the result either way. */
bool dg_adaptation_run(dg_adaptation *a, dg_train_result *result, dg_error *err);
/* Removes what only a run that goes on would want; not after one that ran out of time. */
void dg_adaptation_clear(dg_adaptation *a, const dg_train_result *result);

const dg_train_options *dg_adaptation_settings(const dg_adaptation *a); /* as they became */
const dg_dev_list *dg_adaptation_dev(const dg_adaptation *a); /* in a report's order */
const dg_train_data *dg_adaptation_data(const dg_adaptation *a);
const dg_train_measure *dg_adaptation_measures(const dg_adaptation *a, size_t *count);

#endif
