/* Whether a file of pairs has its sides the right way round, by what the base knows: letters
 * cannot tell two languages of one script apart, of which one is new. */
#ifndef DG_TRAIN_SIDES_H
#define DG_TRAIN_SIDES_H

#include "mt/train/examples.h"
#include "mt/train/trainee.h"

/* Refuses text of which the base, with what the trainee stands on, finds the wrong way round far
 * likelier: a sample of each side is scored as the translation of the other into each language
 * that it knows. Passes what it cannot tell: neither language known, or both much alike; and
 * text of a third language in place of one of two that it knows. */
bool dg_train_sides_check(const dg_trainee *t, const dg_train_way *way,
                          const dg_parallel_text *text, const char *path, dg_threads *threads,
                          dg_error *err);

#endif
