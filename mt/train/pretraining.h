/* Pretraining: a base, all its weights, made from a recipe. */
#ifndef DG_TRAIN_PRETRAINING_H
#define DG_TRAIN_PRETRAINING_H

#include "mt/train/evaluate.h"
#include "mt/train/recipe.h"

typedef struct dg_pretraining_options {
  const dg_recipe *recipe;
  const char *output; /* the base. OUTPUT.checkpoint and, of a tokenizer that is trained,
                       * OUTPUT.tokenizer stay beside it: a run with them goes on */
  dg_threads *threads;
  void *context;                                    /* of these, each of which may be NULL: */
  void (*note)(void *context, const char *message); /* a remark for people, a line */
  bool (*stop)(void *context);
  void (*report)(void *context, const dg_train_report *r);
} dg_pretraining_options;

typedef struct dg_pretraining dg_pretraining;

/* Everything before the first update: keeps other processes off the output, reads the text, makes
 * the base, or that of `init`, and tokenises. Borrows what the options point to. */
dg_pretraining *dg_pretraining_new(const dg_pretraining_options *o, dg_error *err);
void dg_pretraining_free(dg_pretraining *p);

/* The dev sets, in the order of a report's scores. */
const dg_dev_list *dg_pretraining_dev(const dg_pretraining *p);
/* As dg_train; the best so far is always in the output, a usable base with its card. Release the
 * result either way. */
bool dg_pretraining_run(dg_pretraining *p, dg_train_result *result, dg_error *err);

#endif
