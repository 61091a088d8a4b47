/* Where bases and adapters are found when only their name is given. */
#ifndef DG_CLI_MODELS_H
#define DG_CLI_MODELS_H

#include "mt/core/error.h"

/* The path of a model file: `name` itself if such a file exists; else
 * NAME or NAME.safetensors in $DRAGOMAN_MODELS, beside the installed program
 * (share/dragoman), or in data/models of the source tree it was built in.
 * Caller frees; NULL with an error that lists the places. */
char *dg_find_model(const char *name, dg_error *err);

#endif
