/* Vocabulary for the language that is trained: new pieces learned on its text, and the base's
 * pieces that are frequent in it. */
#ifndef DG_CLI_TRAIN_PIECES_H
#define DG_CLI_TRAIN_PIECES_H

#include "mt/cli/train_data.h"
#include "mt/cli/trainee.h"

/* Gives the trainee the new pieces it asks for, or those it begins from, and says what they
 * shorten. They are for the languages new to the base or, when it knows all, for the targets;
 * ways[i] is that of the files whose pair is i. Before dg_trainee_build. */
bool dg_train_pieces(dg_trainee *t, const dg_train_data *data, const dg_language_pair *const *ways,
                     const dg_cli *cli, dg_error *err);

/* Chooses the pieces of the base whose embeddings change: the most frequent in training text of
 * the side asked for or, when none is, of the same languages; fewer when there are no more.
 * After dg_train_pieces. */
bool dg_train_embeddings(dg_trainee *t, const dg_train_data *data,
                         const dg_language_pair *const *ways, bool bidirectional,
                         const dg_cli *cli, dg_error *err);

#endif
