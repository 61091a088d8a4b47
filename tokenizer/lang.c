#include "tokenizer/lang.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <unicode/uloc.h>
#include <unicode/ures.h>
#include <unicode/ustring.h>

/* A code in ICU's parts, in its capitalisation; "" where absent. */
typedef struct parts {
  char language[ULOC_LANG_CAPACITY], script[ULOC_SCRIPT_CAPACITY], region[ULOC_COUNTRY_CAPACITY];
} parts;

/* Where this project departs from CLDR's aliases: Norwegian without more is
 * Bokmal; Twi and Akan stay apart, as corpora keep them; Southern Pashto is what
 * corpora have of Pashto; M2M-100 writes "ns". */
static const char *const own_aliases[][2] = {
    {"no", "nb"}, {"nb", "nb"}, {"tw", "tw"}, {"pbt", "ps"}, {"ns", "nso"}};

/* Usual scripts and regions CLDR 42 does not know or we see otherwise: "pt" alone
 * is European, and Crimean Tatar has been written in Latin letters since the 1990s. */
static const struct {
  const char *language, *script, *region;
} own_likely[] = {{"pt", "Latn", "PT"}, {"acm", "Arab", ""}, {"acq", "Arab", ""},
                  {"ajp", "Arab", ""},  {"azb", "Arab", ""}, {"cjk", "Latn", ""},
                  {"crh", "Latn", "UA"}, {"din", "Latn", ""},  {"lus", "Latn", ""}, {"quy", "Latn", ""},
                  {"tw", "Latn", ""}};

static void copy(char *to, size_t size, const char *from, size_t n) {
  snprintf(to, size, "%.*s", (int)(n < size ? n : size - 1), from);
}

/* "gl_ES.UTF-8@euro" and the like -> "gl-ES": POSIX code sets and region XX (no
 * region, in mBART) go, modifiers become subtags. False when it cannot be a code. */
static bool to_bcp47(const char *code, char *out, size_t size) {
  static const char *const scripts[][2] = {
      {"latin", "Latn"},   {"cyrillic", "Cyrl"}, {"devanagari", "Deva"}, {"arabic", "Arab"},
      {"iqtelif", "Latn"}, {"hebrew", "Hebr"},   {"shaw", "Shaw"},       {"euro", ""}};
  size_t language = strcspn(code, "-_.@"), end = strcspn(code, ".@");
  if (language < 2 || language > 3 || end > DG_LANG_MAX / 2) return false;
  for (size_t i = 0; i < end; i++) {
    unsigned char c = (unsigned char)code[i];
    if (c >= 0x80 || !(isalpha(c) || (i > language && isdigit(c)) || c == '_' || c == '-'))
      return false;
  }
  const char *at = strchr(code, '@'), *script = NULL;
  at = at && at[1] && strlen(at) < 16 ? at + 1 : NULL;
  for (size_t i = 0; at && i < sizeof scripts / sizeof *scripts; i++)
    if (!strcmp(at, scripts[i][0])) script = scripts[i][1];
  int rest = (int)(end - language);
  if (rest == 3 && !memcmp(code + language + 1, "XX", 2)) rest = 0;
  snprintf(out, size, "%.*s%s%s%.*s%s%s", (int)language, code, script && *script ? "-" : "",
           script ? script : "", rest, code + language, at && !script ? "-" : "",
           at && !script ? at : "");
  for (char *c = out; *c; c++)
    if (*c == '_') *c = '-';
  return true;
}

static void split(const char *locale, parts *p) {
  UErrorCode status = U_ZERO_ERROR;
  uloc_getLanguage(locale, p->language, sizeof p->language, &status);
  uloc_getScript(locale, p->script, sizeof p->script, &status);
  uloc_getCountry(locale, p->region, sizeof p->region, &status);
}

/* What CLDR wants a language called instead ("als" -> "sq", "prs" -> "fa_AF"), which
 * ICU 72 applies only in C++. */
static bool replacement(const char *language, parts *out) {
  for (size_t i = 0; i < sizeof own_aliases / sizeof *own_aliases; i++)
    if (!strcmp(language, own_aliases[i][0])) {
      split(own_aliases[i][1], out);
      return true;
    }
  UErrorCode status = U_ZERO_ERROR;
  UResourceBundle *metadata = ures_openDirect(NULL, "metadata", &status);
  UResourceBundle *alias = ures_getByKey(metadata, "alias", NULL, &status);
  UResourceBundle *languages = ures_getByKey(alias, "language", NULL, &status);
  UResourceBundle *entry = ures_getByKey(languages, language, NULL, &status);
  int32_t n = 0;
  const UChar *text = ures_getStringByKey(entry, "replacement", &n, &status);
  bool found = U_SUCCESS(status) && n < 32;
  if (found) {
    char locale[32];
    u_UCharsToChars(text, locale, n + 1);
    locale[strcspn(locale, " ")] = 0; /* of several, the first */
    split(locale, out);
  }
  ures_close(entry);
  ures_close(languages);
  ures_close(alias);
  ures_close(metadata);
  return found;
}

/* Whether ICU has a name for the language: then CLDR knows it. */
static bool known_language(const char *language) {
  UChar name[128];
  UErrorCode status = U_ZERO_ERROR;
  uloc_getDisplayLanguage(language, "en", name, 128, &status);
  return U_SUCCESS(status) && status != U_USING_DEFAULT_WARNING;
}

/* Fills in the usual script and region of what is given. */
static void likely(parts *p) {
  for (size_t i = 0; i < sizeof own_likely / sizeof *own_likely; i++) {
    if (strcmp(p->language, own_likely[i].language)) continue;
    if (!*p->script) strcpy(p->script, own_likely[i].script);
    if (!*p->region && !strcmp(p->script, own_likely[i].script))
      strcpy(p->region, own_likely[i].region);
  }
  char locale[ULOC_FULLNAME_CAPACITY], full[ULOC_FULLNAME_CAPACITY];
  UErrorCode status = U_ZERO_ERROR;
  snprintf(locale, sizeof locale, "%s%s%s_%s", p->language, *p->script ? "_" : "", p->script,
           p->region);
  uloc_addLikelySubtags(locale, full, sizeof full, &status);
  if (U_FAILURE(status)) return;
  parts found;
  split(full, &found);
  if (!*p->script) strcpy(p->script, found.script);
  if (!*p->region) strcpy(p->region, found.region);
}

bool dg_lang_canonical(const char *code, char out[DG_LANG_MAX], dg_error *err) {
  char tag[DG_LANG_MAX + 32], locale[ULOC_FULLNAME_CAPACITY], variant[DG_LANG_MAX] = "";
  UErrorCode status = U_ZERO_ERROR;
  int32_t parsed = 0;
  parts p, instead;
  bool ok = to_bcp47(code, tag, sizeof tag);
  if (ok) {
    uloc_forLanguageTag(tag, locale, sizeof locale, &parsed, &status);
    split(locale, &p);
    uloc_getVariant(locale, variant, sizeof variant, &status);
    ok = U_SUCCESS(status) && (size_t)parsed == strlen(tag) && *p.language &&
         !strchr(locale, '@') && strlen(variant) < 32;
  }
  if (ok && replacement(p.language, &instead)) {
    strcpy(p.language, instead.language);
    if (!*p.script) strcpy(p.script, instead.script);
    if (!*p.region) strcpy(p.region, instead.region);
  }
  if (!ok || !(known_language(p.language) || strlen(p.language) == 3))
    return dg_fail(err, DG_ERR_USAGE,
                   "\"%.40s\" is not a language code: use BCP-47, as in gl, pt-BR or sr-Latn",
                   code);
  if (!strcmp(p.language, "ko") && !strcmp(p.script, "Hang")) *p.script = 0; /* part of Kore */
  if (!strcmp(p.language, "ar") && !strcmp(p.region, "AR"))
    *p.region = 0; /* mBART; not Argentina */

  /* Script first: readers of "zh-Hant" care for the script and not for the region. */
  parts full = p, usual = {.script = ""};
  likely(&full);
  strcpy(usual.language, p.language);
  likely(&usual);
  bool with_script = *full.script && strcmp(full.script, usual.script) != 0;
  if (with_script) {
    strcpy(usual.script, full.script);
    *usual.region = 0;
    likely(&usual);
  }
  bool with_region = *p.region && strcmp(p.region, usual.region) != 0;
  if (with_region && !with_script) { /* sr-Cyrl-ME: the region's script is another */
    strcpy(usual.region, p.region);
    *usual.script = 0;
    likely(&usual);
    with_script = *full.script && strcmp(full.script, usual.script) != 0;
  }
  int n = snprintf(out, DG_LANG_MAX, "%s%s%s%s%s%s", p.language, with_script ? "-" : "",
                   with_script ? full.script : "", with_region ? "-" : "",
                   with_region ? p.region : "", *variant ? "-" : "");
  for (const char *c = variant; *c; c++)
    out[n++] = *c == '_' ? '-' : (char)tolower((unsigned char)*c);
  out[n] = 0;
  return true;
}

void dg_lang_name(const char *code, char *out, size_t size) {
  char locale[ULOC_FULLNAME_CAPACITY], text[512];
  UChar name[128];
  UErrorCode status = U_ZERO_ERROR;
  int32_t parsed = 0, n = 0;
  uloc_forLanguageTag(code, locale, sizeof locale, &parsed, &status);
  bool known = U_SUCCESS(status) && (size_t)parsed == strlen(code) && *locale;
  if (known) {
    uloc_getDisplayName(locale, "en", name, 128, &status);
    u_strToUTF8(text, sizeof text, &n, name, -1, &status);
    known = U_SUCCESS(status) && n > 0 && (size_t)n < sizeof text;
  }
  copy(out, size, known ? text : code, strlen(known ? text : code));
}

void dg_lang_script(const char *code, char out[5]) {
  char locale[ULOC_FULLNAME_CAPACITY];
  UErrorCode status = U_ZERO_ERROR;
  int32_t parsed = 0;
  parts p = {.script = ""};
  uloc_forLanguageTag(code, locale, sizeof locale, &parsed, &status);
  if (U_SUCCESS(status) && (size_t)parsed == strlen(code) && *locale) {
    split(locale, &p);
    likely(&p);
  }
  snprintf(out, 5, "%.4s", strlen(p.script) == 4 ? p.script : "Zyyy");
}
