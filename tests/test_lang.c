/* Language codes in every usual spelling (table by tests/goldens/lang.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <unicode/uloc.h>

#include "mt/core/lines.h"
#include "tokenizer/identify.h"

static void check(const char *code, const char *want) {
  char got[DG_LANG_MAX];
  dg_error err;
  if (!dg_lang_canonical(code, got, &err)) fail_msg("%s", err.message);
  if (strcmp(got, want)) fail_msg("\"%s\" became \"%s\", not \"%s\"", code, got, want);
}

static void test_spellings(void **state) {
  (void)state;
  static const char *const table[][2] = {
      {"gl", "gl"}, {"glg", "gl"}, {"gl_ES", "gl"}, {"GL", "gl"}, {"glg_Latn", "gl"},
      {"gl-Latn-ES", "gl"}, {"gl_ES.UTF-8", "gl"}, {"gl_ES@euro", "gl"}, {"gl.UTF-8", "gl"},
      {"pt", "pt"}, {"por", "pt"}, {"pt_PT", "pt"}, {"pt-BR", "pt-BR"}, {"pt_BR", "pt-BR"},
      {"PT_br", "pt-BR"}, {"por_Latn_BR", "pt-BR"}, {"pt-AO", "pt-AO"},
      {"zh", "zh"}, {"zh_CN", "zh"}, {"zh_Hans_CN", "zh"}, {"zho", "zh"}, {"cmn", "zh"},
      {"zh_TW", "zh-Hant"}, {"zh-Hant-TW", "zh-Hant"}, {"zh_HK", "zh-Hant-HK"},
      {"zh-Hant-HK", "zh-Hant-HK"}, {"zh_SG", "zh-SG"}, {"yue", "yue"},
      {"sr", "sr"}, {"sr@latin", "sr-Latn"}, {"sr_RS@latin", "sr-Latn"}, {"sh", "sr-Latn"},
      {"sr_Latn_RS", "sr-Latn"}, {"sr_ME", "sr-Latn-ME"}, {"uz@cyrillic", "uz-Cyrl"},
      {"tt@iqtelif", "tt-Latn"}, {"ks@devanagari", "ks-Deva"}, {"pa_PK", "pa-Arab"},
      {"ca@valencia", "ca-valencia"}, {"ca-ES-valencia", "ca-valencia"},
      {"ca_ES@valencia", "ca-valencia"}, {"be@tarask", "be-tarask"}, {"oc-aranes", "oc-aranes"},
      {"de-1996", "de-1996"},
      {"no", "nb"}, {"nb", "nb"}, {"nob", "nb"}, {"nb_NO", "nb"}, {"no_NO", "nb"}, {"nor", "nb"},
      {"nn", "nn"}, {"nno", "nn"}, {"nn_NO", "nn"},
      {"en_US", "en"}, {"en_GB", "en-GB"}, {"en_XX", "en"}, {"es-419", "es-419"},
      {"in", "id"}, {"iw", "he"}, {"ji", "yi"}, {"mo", "ro"}, {"tl", "fil"},
      {"an", "an"}, {"arg", "an"}, {"ast", "ast"}, {"ast_ES", "ast"}, {"oci", "oc"},
      {"qaa", "qaa"}, {"xyz", "xyz"}};
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) check(table[i][0], table[i][1]);
}

static void test_refusals(void **state) {
  (void)state;
  static const char *const wrong[] = {
      "", "x", "xx", "e1", "english", "en-", "-en", "en--US", "en_", "en US", "en\n", "@latin",
      "en-u-ca-buddhist", "en-x-mine", "i-klingon", "../en", "en/US", "g\xc3\xa1", "\xff\xff",
      "und", "en-US-US", "en-toolongsubtag", "(null)",
      "en-aaaaa-bbbbb-ccccc-ddddd-eeeee-fffff-ggggg-hhhhh-iiiii-jjjjj-kkkkk-lllll-mmmmm"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    char got[DG_LANG_MAX];
    dg_error err = {DG_OK, ""};
    if (dg_lang_canonical(wrong[i], got, &err)) fail_msg("\"%s\" became \"%s\"", wrong[i], got);
    assert_int_equal(err.status, DG_ERR_USAGE);
    assert_non_null(strstr(err.message, "BCP-47"));
  }
}

/* The codes of public multilingual models, distinct within each. */
static void test_model_codes(void **state) {
  (void)state;
  enum { MOST = 400 };
  char seen[MOST][DG_LANG_MAX + 16];
  size_t n = 0, count = 0;
  dg_error err;
  dg_lines *in = dg_lines_open("tests/tokenizer/lang.tsv", &err);
  if (!in) fail_msg("%s", err.message);
  char *line;
  for (size_t length; dg_lines_next(in, &line, &length, &err) > 0; count++) {
    char family[16], code[32], want[32];
    assert_int_equal(sscanf(line, "%15s %31s %31s", family, code, want), 3);
    check(code, want);
    assert_true(n < MOST);
    snprintf(seen[n], sizeof seen[n], "%s %s", family, want);
    for (size_t i = 0; i < n; i++)
      if (!strcmp(seen[i], seen[n])) fail_msg("%s comes twice", seen[n]);
    n++;
  }
  dg_lines_close(in);
  assert_int_equal(count, 202 + 52 + 100);
}

/* A canonical code is its own canonical form, for all locales ICU has and all short codes. */
static void test_canonical_is_final(void **state) {
  (void)state;
  char once[DG_LANG_MAX], twice[DG_LANG_MAX], code[64];
  dg_error err;
  int locales = uloc_countAvailable();
  size_t known = 0;
  assert_true(locales > 500);
  for (int i = 0; i < locales + 26 * 26 * 27; i++) {
    int k = i - locales, last = k % 27;
    if (k < 0) snprintf(code, sizeof code, "%s", uloc_getAvailable(i));
    else snprintf(code, sizeof code, "%c%c%c", 'a' + k / 27 / 26, 'a' + k / 27 % 26,
                  last == 26 ? 0 : 'a' + last);
    if (!dg_lang_canonical(code, once, &err)) {
      if (k < 0 || (last < 26 && strcmp(code, "und"))) fail_msg("%s", err.message);
      continue;
    }
    known++;
    if (!dg_lang_canonical(once, twice, &err)) fail_msg("%s, %s: %s", code, once, err.message);
    if (strcmp(once, twice)) fail_msg("%s: %s, then %s", code, once, twice);
  }
  assert_true(known > (size_t)locales + 26 * 26 * 26 + 150 - 1);
}

/* Locales that differ to ICU stay apart: their texts differ. */
static void test_regions_stay_apart(void **state) {
  (void)state;
  static const char *const apart[] = {"zh", "zh-TW", "zh-HK", "sr", "sr-Latn", "sr-ME", "pt",
                                      "pt-BR", "es", "es-MX", "es-AR", "en", "en-GB", "en-AU",
                                      "nb", "nn", "fa", "fa-AF", "ca", "ca@valencia", "ak", "tw"};
  enum { N = sizeof apart / sizeof *apart };
  char codes[N][DG_LANG_MAX];
  for (size_t i = 0; i < N; i++) {
    assert_true(dg_lang_canonical(apart[i], codes[i], NULL));
    for (size_t j = 0; j < i; j++) assert_string_not_equal(codes[i], codes[j]);
  }
}

static void test_names_and_scripts(void **state) {
  (void)state;
  static const struct {
    const char *code, *name, *script;
  } table[] = {{"gl", "Galician", "Latn"},
               {"pt-BR", "Portuguese (Brazil)", "Latn"},
               {"sr", "Serbian", "Cyrl"},
               {"sr-Latn", "Serbian (Latin)", "Latn"},
               {"ja", "Japanese", "Jpan"},
               {"ko", "Korean", "Kore"},
               {"zh", "Chinese", "Hans"},
               {"zh-Hant", "Chinese (Traditional)", "Hant"},
               {"hi", "Hindi", "Deva"},
               {"acm", "acm", "Arab"},
               {"an", "Aragonese", "Latn"},
               {"crh", "Crimean Tatar", "Latn"},
               {"qaa", "qaa", "Zyyy"},
               {"", "", "Zyyy"},
               {"not a code", "not a code", "Zyyy"}};
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    char name[64], script[5];
    dg_lang_name(table[i].code, name, sizeof name);
    assert_string_equal(name, table[i].name);
    dg_lang_script(table[i].code, script);
    assert_string_equal(script, table[i].script);
  }
  char small[8];
  dg_lang_name("pt-BR", small, sizeof small);
  assert_string_equal(small, "Portugu");
}

static void test_identify(void **state) {
  (void)state;
  static const char *const texts[][2] = {
      {"gl", "Non se puido abrir o ficheiro: o servidor non responde, tenteo de novo máis tarde."},
      {"pt", "Não foi possível abrir o ficheiro: o servidor não responde, tente novamente mais tarde."},
      {"nb", "Filen kunne ikke åpnes fordi tjeneren ikke svarer, prøv igjen senere på kvelden."},
      {"he", "לא ניתן לפתוח את הקובץ כי השרת אינו משיב, נסו שוב מאוחר יותר."},
      {"zh-Hant", "無法開啟檔案，因為伺服器沒有回應，請稍後再試一次，或聯絡系統管理員。"}};
  dg_lang_share found[DG_LANG_SHARES];
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    assert_true(dg_lang_identify(texts[i][1], strlen(texts[i][1]), found) > 0);
    assert_string_equal(found[0].code, texts[i][0]);
    assert_true(found[0].share > 0.9 && found[0].share <= 1);
    assert_true(dg_lang_identifiable(texts[i][0]));
  }
  assert_int_equal(dg_lang_identify("", 0, found), 0);
  assert_int_equal(dg_lang_identify("1 2 3 %s", 8, found), 0);
  static const char *const scripts[] = {"pt-BR",   "sr",         "sr-Latn", "zh",
                                        "zh-Hant", "zh-Hant-HK", "pa"};
  for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++)
    assert_true(dg_lang_identifiable(scripts[i]));
  assert_false(dg_lang_identifiable("pa-Arab") || dg_lang_identifiable("az-Cyrl") ||
               dg_lang_identifiable("ms-Arab") || dg_lang_identifiable("zh-Latn"));
  assert_false(dg_lang_identifiable("ast") || dg_lang_identifiable("nah") ||
               dg_lang_identifiable("e") || dg_lang_identifiable(""));
  assert_true(dg_lang_alike("pt-BR", "pt") && dg_lang_alike("nn", "nb") &&
              dg_lang_alike("hr", "sr"));
  assert_false(dg_lang_alike("pt", "gl") || dg_lang_alike("nb", "sv") ||
               dg_lang_alike("ca", "ceb"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_spellings),          cmocka_unit_test(test_refusals),
      cmocka_unit_test(test_model_codes),        cmocka_unit_test(test_canonical_is_final),
      cmocka_unit_test(test_regions_stay_apart), cmocka_unit_test(test_names_and_scripts),
      cmocka_unit_test(test_identify),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
