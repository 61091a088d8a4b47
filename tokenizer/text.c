#include "tokenizer/text.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unicode/ubrk.h>
#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/uscript.h>
#include <unicode/ustring.h>

#include "mt/core/mem.h"
#include "mt/core/utf8.h"

static bool ascii(const char *s, size_t n) {
  for (size_t i = 0; i < n; i++)
    if ((unsigned char)s[i] >= 0x80) return false;
  return true;
}

static bool icu_fail(dg_error *err, const char *what, UErrorCode status) {
  return dg_fail(err, DG_ERR_FORMAT, "%s: %s", what, u_errorName(status));
}

/* UTF-16 of the text; NULL on malformed UTF-8. */
static UChar *to_utf16(const char *text, size_t n, int32_t *length, dg_error *err) {
  UChar *out = n < INT32_MAX ? dg_malloc((n + 1) * sizeof *out) : NULL;
  UErrorCode status = U_ZERO_ERROR;
  if (out) u_strFromUTF8(out, (int32_t)n + 1, length, text, (int32_t)n, &status);
  if (out && U_SUCCESS(status)) return out;
  free(out);
  dg_fail(err, DG_ERR_FORMAT, "the text is not valid UTF-8");
  return NULL;
}

char *dg_text_normalize(const char *text, size_t n, dg_normal_form form, dg_error *err) {
  if (ascii(text, n)) return dg_strndup(text, n);
  UErrorCode status = U_ZERO_ERROR;
  const UNormalizer2 *normalizer =
      form == DG_NFC ? unorm2_getNFCInstance(&status) : unorm2_getNFKCInstance(&status);
  int32_t length;
  UChar *wide = to_utf16(text, n, &length, err);
  if (!wide) return NULL;
  int32_t room = 4 * length + 64, made = 0;
  UChar *normal = dg_malloc((size_t)room * sizeof *normal);
  made = unorm2_normalize(normalizer, wide, length, normal, room, &status);
  if (status == U_BUFFER_OVERFLOW_ERROR) { /* a few ligatures grow 18-fold */
    status = U_ZERO_ERROR;
    room = made + 1;
    normal = dg_realloc(normal, (size_t)room * sizeof *normal);
    made = unorm2_normalize(normalizer, wide, length, normal, room, &status);
  }
  char *out = NULL;
  if (U_SUCCESS(status)) {
    int32_t bytes = 0;
    out = dg_malloc(3 * (size_t)made + 1);
    u_strToUTF8(out, 3 * made + 1, &bytes, normal, made, &status);
    out[U_SUCCESS(status) ? bytes : 0] = 0;
  }
  if (U_FAILURE(status)) {
    free(out);
    out = NULL;
    icu_fail(err, "normalising text", status);
  }
  free(wide);
  free(normal);
  return out;
}

/* Whether a letter's script is among those a code stands for. */
static bool belongs(UScriptCode found, const char *script) {
  static const struct {
    const char *code;
    UScriptCode parts[3];
  } combined[] = {{"Jpan", {USCRIPT_HAN, USCRIPT_HIRAGANA, USCRIPT_KATAKANA}},
                  {"Kore", {USCRIPT_HANGUL, USCRIPT_HAN, USCRIPT_HANGUL}},
                  {"Hans", {USCRIPT_HAN, USCRIPT_BOPOMOFO, USCRIPT_HAN}},
                  {"Hant", {USCRIPT_HAN, USCRIPT_BOPOMOFO, USCRIPT_HAN}}};
  for (size_t i = 0; i < sizeof combined / sizeof *combined; i++)
    if (!strcmp(script, combined[i].code)) {
      for (int k = 0; k < 3; k++)
        if (found == combined[i].parts[k]) return true;
      return false;
    }
  return !strcmp(uscript_getShortName(found), script);
}

double dg_text_script_share(const char *text, size_t n, const char *script) {
  size_t letters = 0, inside = 0;
  bool latin = !strcmp(script, "Latn");
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
    inside += belongs(s, script);
  }
  return letters ? (double)inside / (double)letters : 1;
}

bool dg_text_sentences(const char *text, size_t n, const char *language, size_t **ends,
                       size_t *capacity, size_t *count, dg_error *err) {
  *count = 0;
  if (!n) return true;
  UErrorCode status = U_ZERO_ERROR;
  UText view = UTEXT_INITIALIZER;
  UBreakIterator *breaks = NULL;
  if (n > INT32_MAX) return dg_fail(err, DG_ERR_FORMAT, "a text of %zu bytes is too long", n);
  utext_openUTF8(&view, text, (int64_t)n, &status);
  if (U_SUCCESS(status)) breaks = ubrk_open(UBRK_SENTENCE, language, NULL, 0, &status);
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
