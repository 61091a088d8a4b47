/* What language a text is in (by CLD2, which tells some eighty apart). */
#ifndef DG_TOKENIZER_IDENTIFY_H
#define DG_TOKENIZER_IDENTIFY_H

#include <stdbool.h>

#include "tokenizer/lang.h"

typedef struct dg_lang_share {
  char code[DG_LANG_MAX]; /* canonical BCP-47 */
  double share;           /* of the text, 0 to 1 */
} dg_lang_share;
enum { DG_LANG_SHARES = 3 };

/* The languages of a text in UTF-8, the largest first; returns how many, 0 when it is too short
 * or too strange to say. A language that CLD2 does not know may be taken for a relative. */
size_t dg_lang_identify(const char *text, size_t n, dg_lang_share out[DG_LANG_SHARES]);

/* Whether it knows a language, in this script: what it takes for another is then not in this
 * one. (Punjabi in Arabic script it takes for Urdu.) */
bool dg_lang_identifiable(const char *code);

/* The same language, in any script or region, or one that it is often taken for. */
bool dg_lang_alike(const char *a, const char *b);

#endif
