#include "tokenizer/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unicode/ubrk.h>
#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/uscript.h>
#include <unicode/ustring.h>

#include "mt/core/mem.h"
#include "mt/core/utf8.h"

enum { TEXT_MOST = 1 << 25 }; /* a letter can grow 18-fold, and ICU counts in int32_t */

bool dg_text_is_blank(const char *text) {
  for (const char *p = text, *end = text + strlen(text); p < end;) {
    UChar32 c = (UChar32)dg_utf8_next(&p, end);
    if (!u_isUWhiteSpace(c) && !u_hasBinaryProperty(c, UCHAR_DEFAULT_IGNORABLE_CODE_POINT))
      return false;
  }
  return true;
}

static bool icu_fail(dg_error *err, const char *what, UErrorCode status) {
  return dg_fail(err, DG_ERR_FORMAT, "%s: %s", what, u_errorName(status));
}

/* Whether the normal form of the text is the text: ASCII, or for NFC all below
 * U+0300, whose bytes are below 0xCC. */
static bool is_normal(const char *s, size_t n, dg_normal_form form) {
  unsigned char end = form == DG_NFC ? 0xCC : 0x80;
  for (size_t i = 0; i < n; i++)
    if ((unsigned char)s[i] >= end) return false;
  return true;
}

char *dg_text_normalize(const char *text, size_t n, dg_normal_form form, dg_error *err) {
  if (n > TEXT_MOST) {
    dg_fail(err, DG_ERR_FORMAT, "a text of %zu bytes is too long to normalise: split it", n);
    return NULL;
  }
  size_t valid = dg_utf8_valid_prefix(text, n);
  if (valid < n) {
    dg_fail(err, DG_ERR_FORMAT, "byte %zu of the text is not valid UTF-8", valid + 1);
    return NULL;
  }
  if (is_normal(text, n, form)) return dg_strndup(text, n);
  UErrorCode status = U_ZERO_ERROR;
  const UNormalizer2 *normalizer =
      form == DG_NFC ? unorm2_getNFCInstance(&status) : unorm2_getNFKCInstance(&status);
  int32_t length = 0, room = 3 * (int32_t)n + 64, made, bytes;
  char *out = NULL;
  UChar *wide = dg_alloc_checked(n + 1, sizeof *wide, err), *normal = NULL;
  if (!wide) return NULL;
  u_strFromUTF8(wide, (int32_t)n + 1, &length, text, (int32_t)n, &status);
  for (;;) {
    if (!(normal = dg_alloc_checked((size_t)room, sizeof *normal, err))) goto done;
    made = unorm2_normalize(normalizer, wide, length, normal, room, &status);
    if (status != U_BUFFER_OVERFLOW_ERROR) break;
    status = U_ZERO_ERROR;
    free(normal);
    room = made + 1;
  }
  if (U_SUCCESS(status) && !(out = dg_alloc_checked(3 * (size_t)made + 1, 1, err))) goto done;
  if (out) u_strToUTF8(out, 3 * made + 1, &bytes, normal, made, &status);
  if (U_FAILURE(status)) {
    free(out);
    out = NULL;
    icu_fail(err, "normalising text", status);
  }
done:
  free(wide);
  free(normal);
  return out;
}

/* The scripts a code stands for; codes of combinations are no script
 * that a letter can have. */
typedef struct scripts {
  UScriptCode any[3];
} scripts;

static scripts scripts_of(const char *code) {
  int32_t s = u_getPropertyValueEnum(UCHAR_SCRIPT, code);
  switch (s) {
    case USCRIPT_JAPANESE:
      return (scripts){{USCRIPT_HAN, USCRIPT_HIRAGANA, USCRIPT_KATAKANA}};
    case USCRIPT_KOREAN:
      return (scripts){{USCRIPT_HANGUL, USCRIPT_HAN, USCRIPT_HAN}};
    case USCRIPT_SIMPLIFIED_HAN:
    case USCRIPT_TRADITIONAL_HAN:
      return (scripts){{USCRIPT_HAN, USCRIPT_BOPOMOFO, USCRIPT_HAN}};
    default:
      break;
  }
  return (scripts){{(UScriptCode)s, (UScriptCode)s, (UScriptCode)s}};
}

double dg_text_script_share(const char *text, size_t n, const char *script) {
  size_t letters = 0, inside = 0;
  const scripts wanted = scripts_of(script);
  bool latin = wanted.any[0] == USCRIPT_LATIN;
  for (const char *p = text, *end = text + n; p < end;) {
    unsigned char first = (unsigned char)*p;
    if (first < 0x80) {
      p++;
      if ((first | 32) < 'a' || (first | 32) > 'z') continue;
      letters++;
      inside += latin;
      continue;
    }
    UChar32 c = (UChar32)dg_utf8_next(&p, end);
    if (!u_isalpha(c)) continue;
    UErrorCode status = U_ZERO_ERROR;
    UScriptCode s = uscript_getScript(c, &status);
    if (s == USCRIPT_COMMON || s == USCRIPT_INHERITED) continue;
    letters++;
    inside += s == wanted.any[0] || s == wanted.any[1] || s == wanted.any[2];
  }
  return letters ? (double)inside / (double)letters : 1;
}

bool dg_text_in_script(const char *text, size_t n, const char *script) {
  return !strcmp(script, "Zyyy") || dg_text_script_share(text, n, script) >= 0.5;
}

bool dg_text_sentences(const char *text, size_t n, const char *language, size_t **ends,
                       size_t *capacity, size_t *count, dg_error *err) {
  *count = 0;
  if (!n) return true;
  UErrorCode status = U_ZERO_ERROR;
  UText view = UTEXT_INITIALIZER;
  UBreakIterator *breaks = NULL;
  char locale[128];
  if (n > INT32_MAX)
    return dg_fail(err, DG_ERR_FORMAT, "a text of %zu bytes is too long to cut up", n);
  /* "ss" asks for CLDR's abbreviations after which no sentence ends (UTS 35, 3.6.1). */
  snprintf(locale, sizeof locale, "%.64s@ss=standard", language);
  utext_openUTF8(&view, text, (int64_t)n, &status);
  if (U_SUCCESS(status)) breaks = ubrk_open(UBRK_SENTENCE, locale, NULL, 0, &status);
  if (U_SUCCESS(status)) ubrk_setUText(breaks, &view, &status);
  if (U_SUCCESS(status)) {
    ubrk_first(breaks);
    for (int32_t at = ubrk_next(breaks); at != UBRK_DONE; at = ubrk_next(breaks)) {
      DG_GROW(*ends, *capacity, *count + 1);
      (*ends)[(*count)++] = (size_t)at;
    }
  }
  if (breaks) ubrk_close(breaks);
  utext_close(&view);
  return U_SUCCESS(status) || icu_fail(err, "finding sentences", status);
}
