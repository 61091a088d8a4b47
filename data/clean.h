/* Making sentence pairs fit for training, and saying why one is not. */
#ifndef DG_DATA_CLEAN_H
#define DG_DATA_CLEAN_H

#include "mt/core/error.h"
#include "mt/core/mem.h"

typedef enum dg_clean_verdict {
  DG_CLEAN_KEPT,
  DG_CLEAN_EMPTY,        /* nothing on one side, or no letter in it */
  DG_CLEAN_UNTRANSLATED, /* both sides the same, or nearly */
  DG_CLEAN_LENGTH,       /* one side far longer than the other, or too long */
  DG_CLEAN_SCRIPT,       /* not the language's script */
  DG_CLEAN_PLACEHOLDERS, /* placeholders or tags differ */
  DG_CLEAN_ENCODING,     /* invalid UTF-8, control or replacement characters */
  DG_CLEAN_CREDITS,      /* names of translators */
  DG_CLEAN_DUPLICATE,    /* this and the next are counted by callers, never returned */
  DG_CLEAN_HELD_BACK,    /* in text that is to have no sentence in common with this */
  DG_CLEAN_VERDICTS
} dg_clean_verdict;
const char *dg_clean_verdict_name(dg_clean_verdict v);

/* What marks a keyboard accelerator in the text's origin; NONE for prose. */
typedef enum dg_accelerator {
  DG_ACCELERATOR_NONE = 0,
  DG_ACCELERATOR_UNDERSCORE = '_', /* GTK */
  DG_ACCELERATOR_AMPERSAND = '&',  /* Qt, KDE */
  DG_ACCELERATOR_TILDE = '~'       /* LibreOffice */
} dg_accelerator;

/* Cleans both sides into *out_source and *out_target (cleared first): one line,
 * single blanks, NFC, accelerators gone; placeholders and tags stay, and must be
 * the same on both sides. Codes are canonical BCP-47. */
dg_clean_verdict dg_clean_pair(const char *source, const char *target, const char *source_language,
                               const char *target_language, dg_accelerator accelerator,
                               dg_strbuf *out_source, dg_strbuf *out_target);

/* Words as blanks separate them. */
size_t dg_word_count(const char *text);

/* The form under which two strings count as the same sentence: NFC, lower case, the digits
 * 0 to 9 alike (but as many), no blanks, punctuation or symbols. Marks on letters (vowel
 * signs, harakat) count. 0: nothing is left. Any bytes will do. */
uint64_t dg_sentence_key(const char *text);

#endif
