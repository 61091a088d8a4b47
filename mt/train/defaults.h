/* Settings that suit an amount of text; what was measured, and what was not, is in
 * tests/transfer/recipes.md. */
#ifndef DG_TRAIN_DEFAULTS_H
#define DG_TRAIN_DEFAULTS_H

#include "mt/train/trainer.h"

/* Sets, for so many training pairs, every option of the table of which keep(context, name)
 * is false, and appends "name value, ..." of all those it looks after to *told. */
void dg_train_defaults(dg_train_options *o, size_t pairs,
                       bool (*keep)(void *context, const char *name), void *context,
                       dg_strbuf *told);
/* Of bottlenecks. */
int dg_train_default_width(size_t pairs);

#endif
