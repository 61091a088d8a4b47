/* Normal forms against Python (tests/goldens/text.py), scripts, sentences. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <unicode/uchar.h>
#include <zlib.h>

#include "mt/core/file.h"
#include "mt/core/mem.h"
#include "mt/core/rng.h"
#include "tokenizer/text.h"

static size_t put_utf8(char *to, uint32_t c) {
  if (c < 0x80) {
    to[0] = (char)c;
    return 1;
  }
  static const uint8_t lead[] = {0, 0xC0, 0xE0, 0xF0};
  size_t n = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
  to[0] = (char)(lead[n] | c >> 6 * n);
  for (size_t i = 1; i <= n; i++) to[i] = (char)(0x80 | (c >> 6 * (n - i) & 0x3F));
  return n + 1;
}

static char *normal(const char *text, size_t n, dg_normal_form form) {
  dg_error err;
  char *out = dg_text_normalize(text, n, form, &err);
  if (!out) fail_msg("%s", err.message);
  return out;
}

static void test_every_character(void **state) {
  (void)state;
  static const char *const after[] = {"", "\u0301", "\u0327\u0301", "\u3099", "\u1161\u11a8"};
  FILE *golden = fopen("tests/tokenizer/normal_forms.txt", "r");
  assert_non_null(golden);
  unsigned want[2];
  assert_int_equal(fscanf(golden, "NFC %x NFKC %x", &want[0], &want[1]), 2);
  fclose(golden);
  for (int form = 0; form < 2; form++) {
    uLong crc = crc32(0, NULL, 0);
    for (int32_t c = 0; c < 0x110000; c++) {
      UVersionInfo age;
      u_charAge(c, age);
      int8_t type = u_charType(c);
      if (age[0] > 14 || type == U_UNASSIGNED || type == U_SURROGATE) continue;
      for (size_t k = 0; k < sizeof after / sizeof *after; k++) {
        char text[16];
        size_t n = put_utf8(text, (uint32_t)c);
        n += (size_t)sprintf(text + n, "%s", after[k]);
        if (!c) { /* a result in C ends there; both forms leave it alone */
          crc = crc32(crc, (const Bytef *)"", 1);
          char *rest = normal(text + 1, n - 1, (dg_normal_form)form);
          crc = crc32(crc, (const Bytef *)rest, (uInt)strlen(rest));
          free(rest);
        } else {
          char *out = normal(text, n, (dg_normal_form)form);
          crc = crc32(crc, (const Bytef *)out, (uInt)strlen(out));
          free(out);
        }
        crc = crc32(crc, (const Bytef *)"\n", 1);
      }
    }
    assert_int_equal(crc, want[form]);
  }
}

static void test_normalize(void **state) {
  (void)state;
  static const char *const table[][3] = {
      {"", "", ""},
      {"plain", "plain", "plain"},
      {"cafe\u0301", "caf\u00e9", "caf\u00e9"},
      {"caf\u00e9", "caf\u00e9", "caf\u00e9"},
      {"\u212b \ufb01 \u00bd", "\u00c5 \ufb01 \u00bd", "\u00c5 fi 1\u20442"},
      {"\u1100\u1161\u11a8", "\uac01", "\uac01"},
      {"a\u0323\u0307", "\u1ea1\u0307", "\u1ea1\u0307"},
      {"a\u0307\u0323", "\u1ea1\u0307", "\u1ea1\u0307"},
      {"\u0340", "\u0300", "\u0300"},
      {"\u0958", "\u0915\u093c", "\u0915\u093c"},
      {"\uff21\u3000\u00a0", "\uff21\u3000\u00a0", "A  "},
      {"\U0001d518 \U0001f44d\U0001f3fd", "\U0001d518 \U0001f44d\U0001f3fd",
       "U \U0001f44d\U0001f3fd"}};
  for (size_t i = 0; i < sizeof table / sizeof *table; i++)
    for (int form = 0; form < 2; form++) {
      char *out = normal(table[i][0], strlen(table[i][0]), (dg_normal_form)form);
      assert_string_equal(out, table[i][1 + form]);
      free(out);
    }
  /* Only the n bytes given count. */
  char *out = normal("abc", 2, DG_NFC);
  assert_string_equal(out, "ab");
  free(out);
  /* The greatest growth there is, beyond any first guess. */
  enum { TIMES = 5000 };
  char *ligatures = dg_malloc(3 * TIMES);
  for (int i = 0; i < TIMES; i++) memcpy(ligatures + 3 * i, "\ufdfa", 3);
  out = normal(ligatures, 3 * TIMES, DG_NFKC);
  char *one = normal("\ufdfa", 3, DG_NFKC);
  assert_int_equal(strlen(out), TIMES * strlen(one));
  assert_memory_equal(out + strlen(out) - strlen(one), one, strlen(one));
  free(out);
  free(one);
  free(ligatures);
}

static void test_normalize_refusals(void **state) {
  (void)state;
  static const char *const wrong[] = {"\xff",     "ok \x80",          "\xc3",     "\xed\xa0\x80",
                                      "\xc0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "e\xcc"};
  dg_error err;
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    for (int form = 0; form < 2; form++) {
      assert_null(dg_text_normalize(wrong[i], strlen(wrong[i]), (dg_normal_form)form, &err));
      assert_int_equal(err.status, DG_ERR_FORMAT);
      assert_non_null(strstr(err.message, "UTF-8"));
    }
  assert_null(dg_text_normalize("ok \x80", 4, DG_NFC, &err));
  assert_non_null(strstr(err.message, "byte 4"));
  assert_null(dg_text_normalize("", SIZE_MAX, DG_NFC, &err)); /* not read: too long */
  assert_non_null(strstr(err.message, "too long"));
}

static void test_script_share(void **state) {
  (void)state;
  static const struct {
    const char *text, *script;
    double share;
  } table[] = {{"Galician", "Latn", 1},
               {"", "Latn", 1},
               {"123 %s — …", "Cyrl", 0}, /* the s is the one letter */
               {"12 — …\u0301", "Cyrl", 1},
               {"ñandú", "Latn", 1},
               {"слово", "Cyrl", 1},
               {"слово", "Latn", 0},
               {"word слов", "Latn", 0.5},
               {"日本語のテキストー", "Jpan", 1},
               {"日本語のテキスト", "Hans", 3.0 / 8},
               {"日本語のテキスト", "Hira", 1.0 / 8},
               {"한국어 韓國", "Kore", 1},
               {"한국어 韓國", "Hang", 0.6},
               {"中文 ab", "Hant", 0.5},
               {"中文", "Hani", 1},
               {"हिन्दी में", "Deva", 1}, /* vowel signs are no letters */
               {"العربية", "Arab", 1},
               {"ab", "Xxxx", 0},
               {"ab", "", 0},
               {"\U00010348\U00010330 a", "Goth", 2.0 / 3}};
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    double want = table[i].share;
    double got = dg_text_script_share(table[i].text, strlen(table[i].text), table[i].script);
    if (fabs(got - want) > 1e-12)
      fail_msg("%s is %g of \"%s\", not %g", table[i].script, got, table[i].text, want);
  }
}

/* Sentences must be `want`, which marks ends with '|'. */
static void check_sentences(const char *language, const char *want) {
  size_t n = 0, *ends = NULL, capacity = 0, count = 99;
  char *text = dg_strdup(want);
  for (const char *p = want; *p; p++)
    if (*p != '|') text[n++] = *p;
  text[n] = 0;
  dg_error err;
  if (!dg_text_sentences(text, n, language, &ends, &capacity, &count, &err))
    fail_msg("%s", err.message);
  dg_strbuf got = {0};
  dg_strbuf_add(&got, "");
  for (size_t i = 0, from = 0; i < count; from = ends[i++]) {
    assert_true(ends[i] > from && ends[i] <= n);
    dg_strbuf_addn(&got, text + from, ends[i] - from);
    if (i + 1 < count) dg_strbuf_addc(&got, '|');
  }
  assert_string_equal(got.text, want);
  free(got.text);
  free(ends);
  free(text);
}

static void test_sentences(void **state) {
  (void)state;
  static const char *const table[][2] = {{"en", ""},
                                         {"en", "One"},
                                         {"en", "One. |Two! |Three?"},
                                         {"en", "He said “no.” |Then he left.  |Why?"},
                                         {"en", "Version 3.5 is out. |It costs $4.50."},
                                         {"en", "Mr. Smith met Mrs. Jones. |They talked."},
                                         {"gl", "Chegou á casa. |¿Que fixo? |Durmiu."},
                                         {"gl", "Unha liña.\n|Outra"},
                                         {"pt-BR", "Ele veio. |Ela não."},
                                         {"ja", "これは文です。|次の文。"},
                                         {"zh-Hant", "你好。|再見！"},
                                         {"hi", "यह वाक्य है। |दूसरा।"},
                                         {"el", "Τι είναι; |Αυτό."},
                                         {"ar", "هل هذا؟ |نعم."},
                                         {"acm", "One. |Two."},
                                         {"zz-nonsense", "One. |Two."}};
  for (size_t i = 0; i < sizeof table / sizeof *table; i++)
    check_sentences(table[i][0], table[i][1]);
  /* The language's abbreviations are its own. */
  check_sentences("de", "Das ist z.B. Berlin. |Ende.");
  check_sentences("en", "Das ist z.B. |Berlin. |Ende.");
  check_sentences("gl", "Mr. |Smith.");
}

/* Ends grow to the end of the text whatever the bytes, on character boundaries when
 * they are text. */
static void test_sentences_fuzz(void **state) {
  (void)state;
  dg_rng r = {dg_rng_key(7, 8), 0};
  size_t *ends = NULL, capacity = 0, count;
  dg_error err;
  for (int i = 0; i < 300; i++) {
    char text[200];
    size_t n = 0;
    while (n < 190) {
      static const uint32_t some[] = {'.', ' ',    '\n',  '!',     'a',
                                      'B', 0x3002, 0x301, 0x1F600, 0x0967};
      if (i % 2)
        text[n++] = (char)dg_rng_next(&r);
      else
        n += put_utf8(text + n, some[dg_rng_below(&r, 10)]);
    }
    assert_true(dg_text_sentences(text, n, "en", &ends, &capacity, &count, &err));
    assert_true(count > 0);
    for (size_t k = 0; k < count; k++) {
      assert_true(ends[k] > (k ? ends[k - 1] : 0) && ends[k] <= n);
      if (i % 2 == 0 && ends[k] < n) assert_true(((uint8_t)text[ends[k]] & 0xC0) != 0x80);
    }
    assert_int_equal(ends[count - 1], n);
  }
  free(ends);
}

static void test_blank(void **state) {
  (void)state;
  static const char *const blank[] = {"", " \t\r\n\v\f", "\u00A0", "\u3000\u2003",
                                      "\u200B\uFEFF\u00AD"};
  for (size_t i = 0; i < sizeof blank / sizeof *blank; i++) assert_true(dg_text_is_blank(blank[i]));
  static const char *const text[] = {"a", " .", "\u00A0\u0301", "\u3000\u3042", "\uFFFD"};
  for (size_t i = 0; i < sizeof text / sizeof *text; i++) assert_false(dg_text_is_blank(text[i]));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_character),    cmocka_unit_test(test_normalize),
      cmocka_unit_test(test_normalize_refusals), cmocka_unit_test(test_script_share),
      cmocka_unit_test(test_sentences),          cmocka_unit_test(test_sentences_fuzz),
      cmocka_unit_test(test_blank),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
