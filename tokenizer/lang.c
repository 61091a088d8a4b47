#include "tokenizer/lang.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unicode/uloc.h>
#include <unicode/ustring.h>

/* Codes whose ICU canonical form is not what this project means by them. */
static const struct {
  const char *from, *to;
} aliases[] = {{"no", "nb"}, {"in", "id"}, {"iw", "he"}, {"ji", "yi"}, {"tl", "fil"}};

static bool letters(const char *s, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (!isalpha((unsigned char)s[i])) return false;
  return true;
}

/* "gl_ES.UTF-8@euro" in any of the usual spellings -> "gl-ES": POSIX code sets
 * go, modifiers become subtags. */
static bool to_bcp47(const char *code, char out[DG_LANG_MAX]) {
  size_t n = 0;
  const char *at = strchr(code, '@');
  size_t end = strcspn(code, ".@");
  if (!end || end >= DG_LANG_MAX - 16) return false;
  for (size_t i = 0; i < end; i++) {
    char c = code[i] == '_' ? '-' : code[i];
    if (!isalnum((unsigned char)c) && c != '-') return false;
    out[n++] = c;
  }
  out[n] = 0;
  if (at && strlen(at) < 16) {
    static const struct {
      const char *from, *to;
    } scripts[] = {{"@latin", "-Latn"}, {"@cyrillic", "-Cyrl"}, {"@devanagari", "-Deva"},
                   {"@iqtelif", "-Latn"}, {"@euro", ""}};
    const char *subtag = NULL;
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++)
      if (!strcmp(at, scripts[i].from)) subtag = scripts[i].to;
    if (subtag && *subtag) { /* the script goes before the region */
      char rest[DG_LANG_MAX];
      size_t language = strcspn(out, "-");
      snprintf(rest, sizeof rest, "%s", out + language);
      snprintf(out + language, DG_LANG_MAX - language, "%s%.40s", subtag, rest);
    } else if (!subtag) {
      snprintf(out + n, DG_LANG_MAX - n, "-%s", at + 1);
    }
  }
  return true;
}

/* Whether ICU has a name for the language: then CLDR knows it. */
static bool known_language(const char *language) {
  UChar name[128];
  UErrorCode status = U_ZERO_ERROR;
  uloc_getDisplayLanguage(language, "en", name, 128, &status);
  return U_SUCCESS(status) && status != U_USING_DEFAULT_WARNING;
}

static const char *alias(const char *code) {
  for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
    if (!strcmp(code, aliases[i].from)) return aliases[i].to;
  return NULL;
}

/* Drops script and region where they are the likely ones: script first, as
 * readers of "zh-Hant" care for the script and not for the region. */
static bool minimize(const char *locale, char *out, size_t size) {
  char language[ULOC_LANG_CAPACITY], script[ULOC_SCRIPT_CAPACITY], region[ULOC_COUNTRY_CAPACITY];
  char full[ULOC_FULLNAME_CAPACITY], likely[ULOC_FULLNAME_CAPACITY], part[32];
  UErrorCode status = U_ZERO_ERROR;
  uloc_addLikelySubtags(locale, full, sizeof full, &status);
  uloc_getLanguage(full, language, sizeof language, &status);
  uloc_getScript(full, script, sizeof script, &status);
  uloc_getCountry(full, region, sizeof region, &status);
  if (U_FAILURE(status)) return false;
  bool with_script = false, with_region = false;
  char likely_part[32];
  if (*script) {
    uloc_addLikelySubtags(language, likely, sizeof likely, &status);
    uloc_getScript(likely, likely_part, sizeof likely_part, &status);
    with_script = strcmp(likely_part, script) != 0;
  }
  if (*region) {
    snprintf(part, sizeof part, "%s%s%s", language, with_script ? "_" : "",
             with_script ? script : "");
    status = U_ZERO_ERROR;
    uloc_addLikelySubtags(part, likely, sizeof likely, &status);
    uloc_getCountry(likely, likely_part, sizeof likely_part, &status);
    with_region = strcmp(likely_part, region) != 0;
    char stated[ULOC_COUNTRY_CAPACITY] = "";
    UErrorCode own = U_ZERO_ERROR;
    uloc_getCountry(locale, stated, sizeof stated, &own);
    if (!*stated) with_region = false; /* it came with the script: zh-Hant, not zh-Hant-TW */
    /* A script of its own says enough: zh-TW is zh-Hant. */
    char stated_script[ULOC_SCRIPT_CAPACITY] = "";
    uloc_getScript(locale, stated_script, sizeof stated_script, &own);
    if (with_script && !*stated_script) with_region = false;
  }
  int n = snprintf(out, size, "%s%s%s%s%s", language, with_script ? "-" : "",
                   with_script ? script : "", with_region ? "-" : "", with_region ? region : "");
  return n > 0 && (size_t)n < size;
}

bool dg_lang_canonical(const char *code, char out[DG_LANG_MAX], dg_error *err) {
  char tag[DG_LANG_MAX + 64], locale[ULOC_FULLNAME_CAPACITY], variant[ULOC_FULLNAME_CAPACITY];
  char language[ULOC_LANG_CAPACITY];
  UErrorCode status = U_ZERO_ERROR;
  int32_t parsed = 0;
  bool ok = to_bcp47(code, tag);
  size_t first = ok ? strcspn(tag, "-") : 0;
  ok = ok && first >= 2 && first <= 3 && letters(tag, first);
  if (ok) {
    uloc_forLanguageTag(tag, locale, sizeof locale, &parsed, &status);
    ok = U_SUCCESS(status) && (size_t)parsed == strlen(tag) && *locale;
  }
  if (ok) {
    uloc_getLanguage(locale, language, sizeof language, &status);
    ok = U_SUCCESS(status) && (known_language(language) || strlen(language) == 3);
  }
  if (!ok)
    return dg_fail(err, DG_ERR_USAGE,
                   "\"%.40s\" is not a language code: use BCP-47, as in gl, pt-BR or sr-Latn", code);
  int32_t variants = uloc_getVariant(locale, variant, sizeof variant, &status);
  /* European Portuguese is "pt" here whatever region CLDR thinks likelier, and
   * Brazilian keeps its region. */
  if (!strcmp(language, "pt")) {
    char region[ULOC_COUNTRY_CAPACITY];
    uloc_getCountry(locale, region, sizeof region, &status);
    bool plain = !*region || !strcmp(region, "PT");
    snprintf(out, DG_LANG_MAX, "pt%s%s", plain ? "" : "-", plain ? "" : region);
  } else if (!minimize(locale, out, DG_LANG_MAX)) {
    return dg_fail(err, DG_ERR_USAGE, "\"%.40s\" is not a language code ICU can read", code);
  }
  size_t end = strcspn(out, "-");
  char head[DG_LANG_MAX], rest[DG_LANG_MAX];
  snprintf(head, sizeof head, "%.*s", (int)end, out);
  snprintf(rest, sizeof rest, "%s", out + end);
  const char *other = alias(head);
  if (other) snprintf(out, DG_LANG_MAX, "%.8s%.40s", other, rest);
  if (variants > 0) {
    size_t n = strlen(out);
    for (int32_t i = 0; i <= variants && n + 2 < DG_LANG_MAX; i++) {
      if (!i) out[n++] = '-';
      char c = variant[i] == '_' ? '-' : (char)tolower((unsigned char)variant[i]);
      out[n++] = c;
    }
    out[DG_LANG_MAX - 1] = 0;
  }
  return true;
}

void dg_lang_name(const char *code, char *out, size_t size) {
  char locale[ULOC_FULLNAME_CAPACITY];
  UChar name[128];
  UErrorCode status = U_ZERO_ERROR;
  int32_t parsed;
  uloc_forLanguageTag(code, locale, sizeof locale, &parsed, &status);
  int32_t n = uloc_getDisplayName(locale, "en", name, 127, &status);
  snprintf(out, size, "%s", code);
  if (U_FAILURE(status) || n <= 0 || !size) return;
  char text[512];
  int32_t used = 0;
  u_strToUTF8(text, sizeof text - 1, &used, name, n, &status);
  if (U_FAILURE(status)) return;
  text[used] = 0;
  snprintf(out, size, "%s", text);
}

void dg_lang_script(const char *code, char out[5]) {
  char locale[ULOC_FULLNAME_CAPACITY], full[ULOC_FULLNAME_CAPACITY];
  char script[ULOC_SCRIPT_CAPACITY] = "";
  UErrorCode status = U_ZERO_ERROR;
  int32_t parsed;
  uloc_forLanguageTag(code, locale, sizeof locale, &parsed, &status);
  uloc_addLikelySubtags(locale, full, sizeof full, &status);
  uloc_getScript(full, script, sizeof script, &status);
  snprintf(out, 5, "%s", U_SUCCESS(status) && *script ? script : "Zyyy");
}
