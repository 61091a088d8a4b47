/* Unicode text: normal forms, scripts, sentence breaks (by ICU). UTF-8 in, UTF-8
 * out; inputs are valid UTF-8 (dg_lines guarantees it). */
#ifndef DG_TEXT_H
#define DG_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "mt/core/error.h"

typedef enum dg_normal_form { DG_NFC, DG_NFKC } dg_normal_form;

/* The text in the given form; the caller frees it. NULL on invalid UTF-8. */
char *dg_text_normalize(const char *text, size_t n, dg_normal_form form, dg_error *err);

/* Nothing to read: white space and invisible characters alone. */
bool dg_text_is_blank(const char *text);

/* Share of letters (0..1) written in the given ISO 15924 script ("Latn"; "Jpan",
 * "Kore", "Hans" and "Hant" cover the scripts they combine). 1 when there are
 * no letters. */
double dg_text_script_share(const char *text, size_t n, const char *script);
/* At least half of them are; or the script is "Zyyy", any. */
bool dg_text_in_script(const char *text, size_t n, const char *script);

/* Sentence boundaries by UAX 29 with CLDR tailoring for the language, abbreviations
 * ("Mr.") included where CLDR lists them. Replaces
 * *ends (grown with realloc, *capacity its size) with the byte offset after
 * each sentence, trailing white space included; the last is n. */
bool dg_text_sentences(const char *text, size_t n, const char *language, size_t **ends,
                       size_t *capacity, size_t *count, dg_error *err);

#endif
