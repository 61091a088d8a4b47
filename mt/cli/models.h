/* Where bases and adapters are found when only their name is given, and a base with its
 * adapter made ready to translate. */
#ifndef DG_CLI_MODELS_H
#define DG_CLI_MODELS_H

#include "mt/cli/cli.h"
#include "mt/model/adapter_file.h"
#include "mt/model/packed.h"

/* The path of a model file: `name` itself if such a file exists; else
 * NAME or NAME.safetensors in $DRAGOMAN_MODELS, beside the installed program
 * (share/dragoman), or in data/models of the source tree it was built in.
 * Caller frees; NULL with an error that lists the places. */
char *dg_find_model(const char *name, dg_error *err);

/* What is to translate. NULL or none: the base named "base"; the adapter SRC-TGT beside it if
 * there ("none": without); the adapter's pair, or from en. */
typedef struct dg_model_choice {
  const char *base, *source, *target;
  dg_list adapters; /* stacked in this order */
  const char *output; /* what is to be written, and so none of these; or NULL */
} dg_model_choice;

/* A base, the adapters on it, the languages asked for. */
typedef struct dg_loaded {
  dg_base *base;
  dg_adapter_stacked adapters;
  dg_packed_model *packed;
  dg_threads *threads;
  char *base_path;
  dg_strbuf adapter_paths; /* "A + B", to name what they say together */
  char source[DG_LANG_MAX], target[DG_LANG_MAX]; /* canonical */
} dg_loaded;

/* Remarks go to standard error unless `cli` is quiet. Free `l` after a failure too. */
bool dg_loaded_open(dg_loaded *l, const dg_model_choice *c, const dg_cli *cli, dg_error *err);
void dg_loaded_free(dg_loaded *l);

/* The network with the adapters or the frozen base alone; valid as long as `l`. */
dg_network dg_loaded_network(const dg_loaded *l, bool adapted);
/* The base as the adapters speak, or alone. A view, as long as `l`. */
dg_base dg_loaded_base(const dg_loaded *l, bool adapted);
/* The tags of the two languages, among the adapters' too. */
bool dg_loaded_tags(const dg_loaded *l, int32_t *from, int32_t *to, dg_error *err);

#endif
