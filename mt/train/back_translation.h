/* Monolingual text in the target language, made into pairs by translating it back (Sennrich et
 * al. 2016), such sources being marked (Caswell et al. 2019). */
#ifndef DG_TRAIN_BACK_TRANSLATION_H
#define DG_TRAIN_BACK_TRANSLATION_H

#include "data/key_set.h"
#include "data/parallel.h"
#include "mt/train/trainee.h"

typedef struct dg_back_translation {
  dg_list files;       /* a sentence a line */
  const char *reverse; /* file of an adapter from the target into the source language; NULL: those
                        * below the trainee if they go back, else the base alone */
  const dg_trainee *trainee;
  const char *source, *target; /* canonical; the pair that is trained */
  const dg_key_set *held_out;
  const char *output; /* what is made stays in OUTPUT.back-HASH.tsv, and is taken from there */
  dg_threads *threads;
  void *context;                    /* of these, each of which may be NULL: */
  bool (*stop)(void *context);
  void (*progress)(void *context, size_t done, size_t sentences); /* first, with what an earlier
                                                                   * run did */
} dg_back_translation;

/* Appends "back-translation = sentence" pairs, in the order of the files; each sentence once,
 * none that is held out. Stopped, it goes on where it was. *path, set before any progress, is the
 * caller's to free. */
bool dg_back_translate(const dg_back_translation *o, dg_parallel_text *out, char **path,
                       dg_error *err);

/* The token that marks such sources: one that no source of this base ever holds. */
int32_t dg_back_translation_mark(const dg_base *b);

#endif
