/* Language codes and names (BCP-47, by ICU). */
#ifndef DG_LANG_H
#define DG_LANG_H

#include <stddef.h>

#include "mt/core/error.h"

enum { DG_LANG_MAX = 64 };

/* Canonical BCP-47 form of a code written in any usual way: "glg", "gl_ES",
 * "GL" -> "gl"; "pt_BR" -> "pt-BR"; "zh_Hans_CN" and "zh-CN" -> "zh"; "zh_TW"
 * -> "zh-Hant"; "zh_HK" -> "zh-Hant-HK"; "ca@valencia" -> "ca-valencia"; "sr@latin" ->
 * "sr-Latn"; "glg_Latn" -> "gl"; "swh" -> "sw"; "no" -> "nb". A region or script
 * that is the language's likely default is dropped (CLDR "favor script"
 * minimisation; "pt" is European); anything not a well-formed code, or whose
 * language CLDR does not know and is not a 3-letter code, is an error. */
bool dg_lang_canonical(const char *code, char out[DG_LANG_MAX], dg_error *err);

/* The language's English name ("Galician"), or the code itself when unknown. */
void dg_lang_name(const char *code, char *out, size_t size);

/* ISO 15924 code of the script the language is usually written in ("Latn"), or
 * "Zyyy" when unknown. */
void dg_lang_script(const char *code, char out[5]);

#endif
