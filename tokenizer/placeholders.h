/* What a translation keeps as it is: %s, %1$d, %1, %(name)s, {0}, ${name}, $(name), &amp;, \\n, tags. */
#ifndef DG_TOKENIZER_PLACEHOLDERS_H
#define DG_TOKENIZER_PLACEHOLDERS_H

#include <stdbool.h>

/* Whether both texts have the same ones, in any order; of tags the attributes may differ. */
bool dg_placeholders_same(const char *a, const char *b);

#endif
