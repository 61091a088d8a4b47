/* Cleaning sentence pairs: every verdict, accelerators, placeholders, and texts made
 * to break it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "data/clean.h"
#include "mt/core/rng.h"
#include "mt/core/utf8.h"

static dg_strbuf a, b;

static void expect_of(dg_clean_verdict want, const char *source, const char *target,
                      const char *language, dg_accelerator mark) {
  dg_clean_verdict got = dg_clean_pair(source, target, "en", language, mark, &a, &b);
  if (got != want)
    fail_msg("\"%s\" - \"%s\" is %s, not %s", source, target, dg_clean_verdict_name(got),
             dg_clean_verdict_name(want));
}

static void expect(dg_clean_verdict want, const char *source, const char *target) {
  expect_of(want, source, target, "gl", DG_ACCELERATOR_NONE);
}

/* Kept, and then these are the two sides. */
static void becomes(const char *source, const char *target, dg_accelerator mark, const char *x,
                    const char *y) {
  expect_of(DG_CLEAN_KEPT, source, target, "gl", mark);
  assert_string_equal(a.text, x);
  assert_string_equal(b.text, y);
  assert_int_equal(a.length, strlen(x));
  assert_int_equal(b.length, strlen(y));
}

static void test_names(void **state) {
  (void)state;
  for (int i = 0; i < DG_CLEAN_VERDICTS; i++) {
    const char *name = dg_clean_verdict_name((dg_clean_verdict)i);
    assert_non_null(name);
    assert_true(*name);
    for (int k = 0; k < i; k++)
      assert_string_not_equal(name, dg_clean_verdict_name((dg_clean_verdict)k));
  }
  assert_string_equal(dg_clean_verdict_name(DG_CLEAN_KEPT), "kept");
  assert_string_equal(dg_clean_verdict_name(DG_CLEAN_DUPLICATE), "duplicate");
}

static void test_text(void **state) {
  (void)state;
  becomes("  One\n\ttwo \r\n three ", "Un  dous\n\n\ntres\n", DG_ACCELERATOR_NONE, "One two three",
          "Un dous tres");
  /* NFC, on both sides. */
  becomes("A cafe\u0301 here", "Un cafe\u0301 aqui\u0301", DG_ACCELERATOR_NONE, "A caf\u00e9 here",
          "Un caf\u00e9 aqu\u00ed");
  becomes("The cat sleeps.", "O gato durme.", DG_ACCELERATOR_NONE, "The cat sleeps.",
          "O gato durme.");
}

static void test_empty(void **state) {
  (void)state;
  expect(DG_CLEAN_EMPTY, "", "algo aqu\u00ed");
  expect(DG_CLEAN_EMPTY, "something", "");
  expect(DG_CLEAN_EMPTY, "something", " \n\t ");
  expect(DG_CLEAN_EMPTY, "1234 - 5678", "1234 - 5678");
  expect(DG_CLEAN_EMPTY, "...", "something");
  expect(DG_CLEAN_EMPTY, "\U0001F600", "\U0001F600");
}

static void test_untranslated(void **state) {
  (void)state;
  expect(DG_CLEAN_UNTRANSLATED, "Copyright", "Copyright");
  expect(DG_CLEAN_UNTRANSLATED, " The same \n text", "The same text");
  expect(DG_CLEAN_UNTRANSLATED, "Please select another driver first",
         "Please select another driver primeiro");
  expect(DG_CLEAN_KEPT, "Please select another driver first", "Escolla antes outro controlador");
  expect_of(DG_CLEAN_UNTRANSLATED, "_Open", "Open", "gl", DG_ACCELERATOR_UNDERSCORE);
  /* Relatives say the same with the same words. */
  const char *es = "No se puede abrir el archivo", *an = "No se puede ubrir l'archivo";
  assert_int_equal(dg_clean_pair(es, an, "es", "an", DG_ACCELERATOR_NONE, &a, &b), DG_CLEAN_KEPT);
  assert_int_equal(dg_clean_pair(es, es, "es", "an", DG_ACCELERATOR_NONE, &a, &b),
                   DG_CLEAN_UNTRANSLATED);
  assert_int_equal(dg_clean_pair("Please select another driver primeiro",
                                 "Please select another driver first", "gl", "en-GB",
                                 DG_ACCELERATOR_NONE, &a, &b), DG_CLEAN_UNTRANSLATED);
}

static void test_length(void **state) {
  (void)state;
  expect(DG_CLEAN_LENGTH, "one two three four five six seven eight nine ten", "un");
  expect(DG_CLEAN_EMPTY, "one two three four five six seven eight nine ten", "u");
  expect(DG_CLEAN_LENGTH, "short word",
         "unha traduci\u00f3n que di moito m\u00e1is do que se lle pregunta");
  expect(DG_CLEAN_LENGTH, "Choose the cells that you want to expand", /* and another sentence */
         "Escolla as celas que se van dividir. A \u00e1rea escollida s\u00f3 pode ter unha columna. "
         "Neste exemplo escolla a \u00e1rea de A1 a A2");
  /* Little text may differ much, and a dense script is short. */
  expect(DG_CLEAN_KEPT, "OK", "De acordo");
  expect_of(DG_CLEAN_KEPT, "The printer could not be found", "找不到打印机", "zh", DG_ACCELERATOR_NONE);
  assert_int_equal(dg_clean_pair("找不到打印机", "The printer could not be found", "zh", "en",
                                 DG_ACCELERATOR_NONE, &a, &b), DG_CLEAN_KEPT);
  assert_int_equal(dg_clean_pair("找不到打印机", "プリンターが見つかりませんでした", "zh", "ja",
                                 DG_ACCELERATOR_NONE, &a, &b), DG_CLEAN_KEPT);
  assert_int_equal(dg_clean_pair("要查找的打印机的名称和它所在的位置要查找的打印机", "Printer", "zh",
                                 "en", DG_ACCELERATOR_NONE, &a, &b), DG_CLEAN_LENGTH);
  dg_strbuf many = {0}, viel = {0};
  for (int i = 0; i < 200; i++) {
    dg_strbuf_addf(&many, "%sword", i ? " " : "");
    dg_strbuf_addf(&viel, "%sverbas", i ? " " : "");
  }
  expect(DG_CLEAN_KEPT, many.text, viel.text);
  dg_strbuf_add(&many, " more");
  expect(DG_CLEAN_LENGTH, many.text, viel.text);
  expect(DG_CLEAN_LENGTH, viel.text, many.text);
  free(many.text);
  free(viel.text);
}

static void test_script(void **state) {
  (void)state;
  static const struct {
    const char *language, *right, *wrong;
  } cases[] = {{"ru", "Открыть файл", "Otkryt fail"},
               {"gl", "Abrir o ficheiro", "Открыть файл"},
               {"sr-Latn", "Otvori datoteku", "Отвори датотеку"},
               {"sr", "Отвори датотеку", "Otvori datoteku"},
               {"ja", "ファイルを開く", "Fairu o hiraku"},
               {"zh", "打开这个文件", "Dakai wenjian"},
               {"ko", "파일 열기", "Pail yeolgi"},
               {"el", "Άνοιγμα αρχείου", "Anoigma arxeiou"},
               {"ar", "فتح الملف", "Fath almilaf"},
               {"hi", "फ़ाइल खोलें", "Phail kholen"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    expect_of(DG_CLEAN_KEPT, "Open the file", cases[i].right, cases[i].language,
              DG_ACCELERATOR_NONE);
    expect_of(DG_CLEAN_SCRIPT, "Open the file", cases[i].wrong, cases[i].language,
              DG_ACCELERATOR_NONE);
  }
  /* The source has a script too. */
  assert_int_equal(dg_clean_pair("Abrir o ficheiro", "Abrir o ficheiro agora", "ru", "gl",
                                 DG_ACCELERATOR_NONE, &a, &b), DG_CLEAN_SCRIPT);
  assert_int_equal(dg_clean_pair("Откройте файл", "Abrir o ficheiro", "ru", "gl",
                                 DG_ACCELERATOR_NONE, &a, &b), DG_CLEAN_KEPT);
  /* Names may stay as they are. */
  expect_of(DG_CLEAN_KEPT, "Start Firefox now", "Запустить Firefox сейчас", "ru",
            DG_ACCELERATOR_NONE);
}

static void test_encoding(void **state) {
  (void)state;
  static const char *const bad[] = {"malo \xE9 aqu\xC3\xAD", "malo \x01 aqui", "malo \x7F aqui",
                                    "malo \uFFFD aqui", "malo \xC2\x85 aqui", "malo \xC2\x9F aqui",
                                    "malo\uFEFF aqui", "malo \xED\xA0\x80", "malo \xC3", "\x1B[1mmalo"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    expect(DG_CLEAN_ENCODING, "something bad here", bad[i]);
    expect(DG_CLEAN_ENCODING, bad[i], "algo malo hai aqu\u00ed");
  }
  expect(DG_CLEAN_KEPT, "good text", "bo\u00a0texto"); /* a no-break space is none of these */
}

static void test_credits(void **state) {
  (void)state;
  expect(DG_CLEAN_CREDITS, "translator-credits", "Fulano <fulano@example.org>");
  expect(DG_CLEAN_CREDITS, "translator_credits", "Fulano");
  expect(DG_CLEAN_CREDITS, "Your names", "Fulano, Mengano");
  expect(DG_CLEAN_CREDITS, "Your emails", "fulano@example.org");
  expect(DG_CLEAN_CREDITS, "NAME OF TRANSLATORS", "Fulano");
  expect(DG_CLEAN_CREDITS, "EMAIL OF TRANSLATORS", "\xFF");
  expect(DG_CLEAN_KEPT, "Your name", "O seu nome");
}

static void test_accelerators(void **state) {
  (void)state;
  becomes("_Open", "_Abrir", DG_ACCELERATOR_UNDERSCORE, "Open", "Abrir");
  becomes("Save _As...", "Gardar _como...", DG_ACCELERATOR_UNDERSCORE, "Save As...",
          "Gardar como...");
  becomes("E_xit now", "Sa\u00edr _agora", DG_ACCELERATOR_UNDERSCORE, "Exit now",
          "Sa\u00edr agora");
  becomes("&Open file", "Abrir &ficheiro", DG_ACCELERATOR_AMPERSAND, "Open file", "Abrir ficheiro");
  becomes("Find && &Replace", "Buscar && s&ubstitu\u00edr", DG_ACCELERATOR_AMPERSAND,
          "Find & Replace", "Buscar & substitu\u00edr");
  becomes("Cut & paste", "Cortar & pegar", DG_ACCELERATOR_AMPERSAND, "Cut & paste",
          "Cortar & pegar");
  becomes("~Insert row", "~Inserir fila", DG_ACCELERATOR_TILDE, "Insert row", "Inserir fila");
  becomes("&\u00c9cole school", "Escola &\u00c1gape", DG_ACCELERATOR_AMPERSAND, "\u00c9cole school",
          "Escola \u00c1gape");
  /* A name keeps its underscores, all of them, whatever else is marked. */
  becomes("_Open my_file", "_Abrir my_file", DG_ACCELERATOR_UNDERSCORE, "Open my_file",
          "Abrir my_file");
  becomes("Edit my_long_file", "Editar my_long_file", DG_ACCELERATOR_UNDERSCORE,
          "Edit my_long_file", "Editar my_long_file");
  becomes("Please set MY_FILE before opening x_1", "Po\u00f1a MY_FILE antes de abrir x_1",
          DG_ACCELERATOR_UNDERSCORE, "Please set MY_FILE before opening x_1",
          "Po\u00f1a MY_FILE antes de abrir x_1");
  becomes("Call __init__ now", "Chame a __init__ xa", DG_ACCELERATOR_UNDERSCORE,
          "Call __init__ now", "Chame a __init__ xa");
  becomes("Rea_d it", "Le_lo", DG_ACCELERATOR_UNDERSCORE, "Read it", "Lelo");
  /* Prose has none, and neither has an entity. */
  becomes("_Open AT&T", "_Abrir AT&T", DG_ACCELERATOR_NONE, "_Open AT&T", "_Abrir AT&T");
  becomes("Press A &lt; B", "Prema A &lt; B", DG_ACCELERATOR_AMPERSAND, "Press A &lt; B",
          "Prema A &lt; B");
  expect_of(DG_CLEAN_KEPT, "&File menu", "文件(&F)", "zh", DG_ACCELERATOR_AMPERSAND);
  assert_string_equal(a.text, "File menu");
  assert_string_equal(b.text, "文件");
  expect_of(DG_CLEAN_KEPT, "_Open it", "開く(_O)", "ja", DG_ACCELERATOR_UNDERSCORE);
  assert_string_equal(b.text, "開く");
  expect_of(DG_CLEAN_KEPT, "_Open it...", "開く (_O)...", "ja", DG_ACCELERATOR_UNDERSCORE);
  assert_string_equal(b.text, "開く..."); /* the blank before it goes too */
  expect_of(DG_CLEAN_KEPT, "_Open it...", "開く(_O)...", "ja", DG_ACCELERATOR_UNDERSCORE);
  assert_string_equal(b.text, "開く...");
}

static void test_placeholders(void **state) {
  (void)state;
  static const char *const marks[] = {"%s", "%d", "%1$s", "%-5.2f", "%lu", "%%", "%1", "%(name)s",
                                      "%{name}", "%PRODUCTNAME", "{0}", "{name}", "{}", "$(arg)",
                                      "${HOME}", "$[officename]", "$user", "<b>", "</b>", "<br/>",
                                      "&lt;", "&#39;", "&brandShortName;", "\\n", "\\\"", "%'d", "%zu"};
  enum { MARKS = sizeof marks / sizeof *marks };
  for (int i = 0; i < MARKS; i++) {
    char source[100], target[100];
    snprintf(source, sizeof source, "The file %s was not found", marks[i]);
    snprintf(target, sizeof target, "Non se atopou %s entre os ficheiros", marks[i]);
    expect(DG_CLEAN_KEPT, source, target);
    assert_string_equal(a.text, source);
    assert_string_equal(b.text, target);
    expect(DG_CLEAN_PLACEHOLDERS, source, "Non se atopou entre os ficheiros");
    expect(DG_CLEAN_PLACEHOLDERS, "The file was not found", target);
    snprintf(target, sizeof target, "Non se atopou %s nin %s", marks[i], marks[i]);
    expect(DG_CLEAN_PLACEHOLDERS, source, target); /* as often, too */
    snprintf(target, sizeof target, "Non se atopou %s nada", marks[(i + 1) % MARKS]);
    expect(DG_CLEAN_PLACEHOLDERS, source, target);
  }
  expect(DG_CLEAN_KEPT, "Move %s to %d now", "Mover a %d agora %s"); /* in any order */
  expect(DG_CLEAN_KEPT, "See <a href=\"x\">here</a> now", "Vexa <a href=\"y\">aqu\u00ed</a> agora");
  expect(DG_CLEAN_PLACEHOLDERS, "See <a href=\"x\">here</a> now", "Vexa <b>aqu\u00ed</b> agora");
  /* What only looks like one. */
  expect(DG_CLEAN_KEPT, "Costs $5 or more", "Custa 5 d\u00f3lares ou m\u00e1is");
  expect(DG_CLEAN_KEPT, "When a < b holds", "Cando a \u00e9 menor ca b");
  expect(DG_CLEAN_KEPT, "The disk is full to 100%.", "O disco est\u00e1 cheo ao 100 %.");
  expect(DG_CLEAN_KEPT, "Between 10%-20%, not more.", "Entre o 10 % e o 20 %, non m\u00e1is.");
  expect(DG_CLEAN_KEPT, "It grew by 5%", "Medrou un 5 por cento");
  static const char *const qt[] = {"%1", "%L1", "%12", "%L99"};
  for (int i = 0; i < 4; i++) {
    char source[100], target[100];
    snprintf(source, sizeof source, "Found %s files", qt[i]);
    snprintf(target, sizeof target, "Atop\u00e1ronse %s ficheiros", qt[i]);
    expect(DG_CLEAN_KEPT, source, target);
    snprintf(target, sizeof target, "Atop\u00e1ronse %s ficheiros", qt[(i + 1) % 4]);
    expect(DG_CLEAN_PLACEHOLDERS, source, target);
  }
  dg_strbuf many = {0}, viel = {0}; /* more than fit a list */
  for (int i = 0; i < 150; i++) {
    dg_strbuf_addf(&many, "word %%s ");
    dg_strbuf_addf(&viel, "verba %%s ");
  }
  expect(DG_CLEAN_LENGTH, many.text, viel.text);
  many.text[540] = viel.text[600] = 0;
  dg_clean_pair(many.text, viel.text, "en", "gl", DG_ACCELERATOR_NONE, &a, &b);
  free(many.text);
  free(viel.text);
}

static void test_context(void **state) {
  (void)state;
  /* What speaks to translators alone goes. */
  becomes("Command|Undo (%1)", "Desfacer (%1)", DG_ACCELERATOR_NONE, "Undo (%1)", "Desfacer (%1)");
  becomes("'living people'|Included, and all data", "Inclu\u00eddo, e todos os datos",
          DG_ACCELERATOR_NONE, "Included, and all data", "Inclu\u00eddo, e todos os datos");
  becomes("Shorten list[[Possible substitute]]", "Acurtar a lista", DG_ACCELERATOR_NONE,
          "Shorten list", "Acurtar a lista");
  /* But not what the translation has too, nor a bar among words. */
  becomes("Choose all|some", "Escolla todo|algo", DG_ACCELERATOR_NONE, "Choose all|some",
          "Escolla todo|algo");
  becomes("Pipe a | b here", "Conecte a con b aqu\u00ed", DG_ACCELERATOR_NONE, "Pipe a | b here",
          "Conecte a con b aqu\u00ed");
  becomes("See [[link]]", "Vexa [[link]] xa", DG_ACCELERATOR_NONE, "See [[link]]",
          "Vexa [[link]] xa");
  /* A heading's number teaches nothing; a year or an amount is no number of a heading. */
  becomes("14.3.2. Auditing packages", "14.3.2. Auditor\u00eda de paquetes", DG_ACCELERATOR_NONE,
          "Auditing packages", "Auditor\u00eda de paquetes");
  becomes("1) Open it", "1) \u00c1brao", DG_ACCELERATOR_NONE, "Open it", "\u00c1brao");
  becomes("3. Open it", "2. \u00c1brao", DG_ACCELERATOR_NONE, "3. Open it", "2. \u00c1brao");
  becomes("2019 was good", "2019 foi bo", DG_ACCELERATOR_NONE, "2019 was good", "2019 foi bo");
  becomes("2.5 litres", "2.5 litros", DG_ACCELERATOR_NONE, "2.5 litres", "2.5 litros");
  expect(DG_CLEAN_EMPTY, "3. ", "3. ");
}

static void test_words_and_keys(void **state) {
  (void)state;
  assert_int_equal(dg_word_count(""), 0);
  assert_int_equal(dg_word_count("   "), 0);
  assert_int_equal(dg_word_count("one"), 1);
  assert_int_equal(dg_word_count(" one  two three "), 3);
  static const char *const alike[][2] = {{"Open the file.", "open THE file"},
                                         {"Page 1 of 20", "Page 7 of 35"},
                                         {"caf\u00e9 \u00c9TAT", "CAF\u00c9 \u00e9tat!"},
                                         {"a-b c", "ab,c"}, {"", " ... "},
                                         {"cafe\u0301", "caf\u00e9"}, {"각", "\u1100\u1161\u11a8"},
                                         {"I \u2764 it", "I \u2764\uFE0F it"}};
  static const char *const unlike[][2] = {{"Open the file", "Open the files"}, {"ab", "ba"},
                                          {"Page 1", "Page 10"}, {"caf\u00e9", "cafe"}, {"a", ""},
                                          {"aa", "a"}, {"दिन", "दान"}, {"x\u0304", "x"},
                                          {"கலம்", "காலம்"}, {"كَتَبَ", "كُتُب"}};
  for (size_t i = 0; i < sizeof alike / sizeof *alike; i++)
    assert_true(dg_sentence_key(alike[i][0]) == dg_sentence_key(alike[i][1]));
  for (size_t i = 0; i < sizeof unlike / sizeof *unlike; i++)
    assert_true(dg_sentence_key(unlike[i][0]) != dg_sentence_key(unlike[i][1]));
}

/* Whatever comes in, what is kept is well-formed and one line. */
static void test_fuzz(void **state) {
  (void)state;
  static const char *const parts[] = {
      "word", " ", "_", "&", "~", "(&F)", "(", ")", "%", "%s", "%1$", "%(", "{", "}", "$", "${", "<",
      ">", "<a", "</", "&lt;", "&#", "\\", "\\n", "\n", "\t", "\xC3\xA9", "e\xCC\x81", "\xC3",
      "\xFF", "\xF0\x9F\x98\x80", "1", "9", ".", "Palabra", "%PRODUCTNAME"};
  static const dg_accelerator marks[] = {DG_ACCELERATOR_NONE, DG_ACCELERATOR_UNDERSCORE,
                                         DG_ACCELERATOR_AMPERSAND, DG_ACCELERATOR_TILDE};
  dg_rng r = {dg_rng_key(4, 4), 0};
  size_t kept = 0;
  for (int i = 0; i < 20000; i++) {
    char *sides[2];
    for (int k = 0; k < 2; k++) {
      dg_strbuf s = {0};
      dg_strbuf_add(&s, k ? "Unha frase longa " : "A long phrase ");
      for (size_t n = dg_rng_below(&r, 6); n > 0; n--)
        dg_strbuf_add(&s, parts[dg_rng_below(&r, sizeof parts / sizeof *parts)]);
      sides[k] = dg_strndup(s.text, s.length); /* memory of exactly its size */
      free(s.text);
    }
    if (dg_clean_pair(sides[0], sides[1], "en", "gl", marks[dg_rng_below(&r, 4)], &a, &b) ==
        DG_CLEAN_KEPT) {
      kept++;
      for (int k = 0; k < 2; k++) {
        const dg_strbuf *s = k ? &b : &a;
        assert_int_equal(strlen(s->text), s->length);
        assert_int_equal(dg_utf8_valid_prefix(s->text, s->length), s->length);
        assert_null(strpbrk(s->text, "\n\t\r"));
      }
    }
    free(sides[0]);
    free(sides[1]);
  }
  assert_true(kept > 1000);
}

static int tear_down(void **state) {
  (void)state;
  free(a.text);
  free(b.text);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_names),        cmocka_unit_test(test_text),
      cmocka_unit_test(test_empty),        cmocka_unit_test(test_untranslated),
      cmocka_unit_test(test_length),       cmocka_unit_test(test_script),
      cmocka_unit_test(test_encoding),     cmocka_unit_test(test_credits),
      cmocka_unit_test(test_accelerators), cmocka_unit_test(test_placeholders),
      cmocka_unit_test(test_context),
      cmocka_unit_test(test_words_and_keys), cmocka_unit_test(test_fuzz),
  };
  return cmocka_run_group_tests(tests, NULL, tear_down);
}
