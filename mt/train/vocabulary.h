/* Vocabulary for the language that is trained: new pieces learned on its text, and the base's
 * pieces that are frequent in it. */
#ifndef DG_TRAIN_VOCABULARY_H
#define DG_TRAIN_VOCABULARY_H

#include "data/parallel.h"
#include "mt/train/trainee.h"

/* Training text, and the languages of its columns. Borrowed. */
typedef struct dg_train_text {
  const dg_parallel_text *pairs;
  const dg_language_pair *languages;
} dg_train_text;

/* Gives the trainee the new pieces it asks for, or those it begins from. They are for the languages new to the base or, when it knows all, for the targets.
 * Before dg_trainee_build. Adds to t->told. */
bool dg_train_pieces(dg_trainee *t, const dg_train_text *texts, size_t count, dg_error *err);

/* Chooses the pieces of the base whose embeddings change: the most frequent in training text of
 * the side asked for or, when none is, of the same languages; fewer when there are no more.
 * After dg_train_pieces. */
bool dg_train_embeddings(dg_trainee *t, const dg_train_text *texts, size_t count, dg_error *err);

#endif
