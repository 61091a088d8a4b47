/* Settings that suit an amount of text; what was measured, and what was not, is in
 * tests/transfer/recipes.md. */
#ifndef DG_TRAIN_DEFAULTS_H
#define DG_TRAIN_DEFAULTS_H

#include "mt/train/settings.h"

typedef bool dg_keep_fn(void *context, const char *name);

/* Sets, for so many training pairs, every option of the table of which keep(context, name)
 * is false, and appends "name value, ..." of all those it looks after to *told. */
void dg_train_defaults(dg_train_options *o, size_t pairs, dg_keep_fn *keep, void *context,
                       dg_strbuf *told);
/* The same for an adapter, by where languages stand that the base does not know. */
void dg_train_adapter_defaults(dg_adapter_config *c, size_t pairs, bool new_source,
                               bool new_target, dg_keep_fn *keep, void *context, dg_strbuf *told);
/* Whether one of these looks after an option. */
bool dg_train_looks_after(const char *name);

#endif
