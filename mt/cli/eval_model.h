/* Translating a test set with a model and with its frozen base. */
#ifndef DG_CLI_EVAL_MODEL_H
#define DG_CLI_EVAL_MODEL_H

#include "mt/cli/cli.h"
#include "mt/cli/eval_text.h"
#include "mt/cli/models.h"

typedef struct dg_eval_model {
  dg_model_choice choice; /* as for translate */
  int beam;
} dg_eval_model;

/* Whether so many systems are what was asked for: before they are made. */
typedef bool dg_systems_check(void *context, size_t systems, dg_error *err);

/* Appends the translations of the lines: the base's, then, with an adapter, those with it. A
 * base that lacks the language is left out, with a remark. */
bool dg_eval_translate(const dg_eval_model *m, const dg_cli *cli, const dg_text *source,
                       dg_systems_check *check, void *context, dg_texts *out, dg_error *err);

#endif
