/* Monolingual text in the target language, made into pairs by translating it back. */
#ifndef DG_CLI_TRAIN_MONO_H
#define DG_CLI_TRAIN_MONO_H

#include "data/key_set.h"
#include "data/parallel.h"
#include "mt/cli/cli.h"
#include "mt/cli/trainee.h"

typedef struct dg_train_mono_options {
  const dg_list *files; /* a sentence a line */
  const char *reverse;  /* an adapter from the target into the source language; NULL: those below
                         * the trainee if they go back, else the base alone */
  const dg_trainee *trainee;
  const char *source, *target; /* canonical; the pair that is trained */
  const dg_key_set *held_out;
  const char *output; /* what is made stays in OUTPUT.back-HASH.tsv, and is taken from there */
  dg_threads *threads;
} dg_train_mono_options;

/* Appends "back-translation = sentence" pairs, in the order of the files; each sentence once,
 * none that is held out. Stopped, it goes on where it was. *path is the caller's to free. */
bool dg_train_mono(const dg_train_mono_options *o, const dg_cli *cli, dg_parallel_text *out,
                   char **path, dg_error *err);

/* The token that marks such sources: one that no source of this base ever holds. */
int32_t dg_train_mono_mark(const dg_base *b);

#endif
