/* New vocabulary for the language that is trained: pieces learned on its text. */
#ifndef DG_CLI_TRAIN_PIECES_H
#define DG_CLI_TRAIN_PIECES_H

#include "mt/cli/train_data.h"
#include "mt/cli/trainee.h"

/* Gives the trainee the new pieces it asks for, or those it begins from, and says what they
 * shorten. They are for the languages new to the base or, when it knows all, for the targets;
 * ways[i] is that of the files whose pair is i. Before dg_trainee_build. */
bool dg_train_pieces(dg_trainee *t, const dg_train_data *data, const dg_language_pair *const *ways,
                     const dg_cli *cli, dg_error *err);

#endif
