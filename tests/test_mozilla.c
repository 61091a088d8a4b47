/* Fluent, properties and DTD files, alone and in the archives of language packs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <zip.h>

#include "data/messages.h"
#include "data/mozilla.h"
#include "tests/pairs.h"

typedef void reader(const char *text, size_t size, dg_message_visit *visit, void *context);

static void add(void *context, const char *id, const char *text) {
  dg_strbuf_addf(context, "%s: %s\n", id, text);
}

static void check(reader *read, const char *text, const char *want) {
  dg_strbuf got = {0};
  dg_strbuf_add(&got, "");
  read(text, strlen(text), add, &got);
  assert_string_equal(got.text, want);
  free(got.text);
}

/* --- Fluent ---------------------------------------------------------------------------------- */

static const char fluent[] =
    "# A comment\n"
    "## Group\n"
    "-brand = Dragoman\n"
    "    .gender = masculine\n"
    "open-file = Open the file\n"
    "menu =\n"
    "    .label = Close {$name}\n"
    "    .accesskey = C\n"
    "    .tooltiptext =\n"
    "        Close\n"
    "        it\n"
    "\n"
    "two = First line\n"
    "\n"
    "    second line\n"
    "tabs =\n"
    "    { $count ->\n"
    "        [one] One tab\n"
    "       *[other] { $count } tabs\n"
    "    } open\n"
    "quoted = {\"\"}Straight { \"\\u0041\\\"B\\\"\" } and { \"{ -> }\" }\n"
    "term = About { -brand(case: \"genitive\") } {  NUMBER($n, x: \"}\")  }\n"
    "nested = { PLATFORM() ->\n"
    "    [macos] Preferences\n"
    "   *[other]\n"
    "        { $n ->\n"
    "           *[a] Settings of A\n"
    "            [b] Settings of B\n"
    "        }\n"
    "}\n"
    "after = After\r\n"
    "junk junk\n"
    "    .label = of nothing\n"
    "last = End";

static void test_fluent(void **state) {
  (void)state;
  check(dg_fluent_read, fluent,
        "-brand: Dragoman\n-brand.gender: masculine\nopen-file: Open the file\n"
        "menu.label: Close { $name }\nmenu.accesskey: C\n"
        "menu.tooltiptext: Close\n        it\n"
        "two: First line\n\n    second line\n"
        "tabs: { $count } tabs open\n"
        "quoted: Straight A\"B\" and { -> }\n"
        "term: About { -brand } { NUMBER($n, x: \"}\") }\n"
        "nested: Settings of A\nafter: After\nlast: End\n");
}

static void test_broken_fluent(void **state) {
  (void)state;
  check(dg_fluent_read,
        "a = { $x\nb = B\nc = }{\nd = { }\ne = {{{ $deep }}}\nf = { $x -> [a] A }\n",
        "b: B\ne: { $deep }\n");
  check(dg_fluent_read, "", "");
  check(dg_fluent_read, "= x\n1 = y\n.label = z\n    text\n", "");
  size_t n = 200000; /* no depth of braces may exhaust the stack */
  char *deep = malloc(n + 1);
  memcpy(deep, "a = ", 4);
  memset(deep + 4, '{', n - 4);
  deep[n] = 0;
  check(dg_fluent_read, deep, "");
  free(deep);
}

/* --- properties and DTD ------------------------------------------------------------------------ */

static const char properties[] =
    "# comment\n! another\n\n# in C:\\\nafter=After\n"
    "open=Open\n"
    "  close : Close %S\n"
    "long=One \\\n      two \\\\\n"
    "unicode=\\u00e9\\uD83D\\uDE00 \\u12 caf\\u00E9\n"
    "breaks=One\\nTwo\\tThree\n"
    "empty=\n"
    "equals=a = b\n"
    "path=C:\\\\x\r\n"
    "end=\\";

static void test_properties(void **state) {
  (void)state;
  check(dg_properties_read, properties,
        "after: After\nopen: Open\nclose: Close %S\nlong: One two \\\nunicode: é😀 u12 café\n"
        "breaks: One Two Three\nequals: a = b\npath: C:\\x\n");
}

static const char dtd[] =
    "<!-- <!ENTITY no \"comment\"> -->\n"
    "<!ENTITY open \"Open\">\n"
    "<!ENTITY  about.label\n 'About &brandShortName; &amp; more'>\n"
    "<!ENTITY % brand SYSTEM \"chrome://brand.dtd\">\n"
    "<!ENTITY quote \"Say &quot;it&#8217;s&#x21;&quot;\">\n"
    "<!ENTITY bad \"&#; &#99999999; &#-1;\">\n"
    "<!ELEMENT x ANY>\n"
    "<!ENTITY cut \"never ends>";

static void test_dtd(void **state) {
  (void)state;
  check(dg_dtd_read, dtd,
        "open: Open\nabout.label: About &brandShortName; & more\nquote: Say \"it’s!\"\n"
        "bad: &#; &#99999999; &#-1;\n");
}

/* --- archives ---------------------------------------------------------------------------------- */

static void archive(const char *inside, const char *const (*entries)[2], size_t n) {
  zip_t *z = zip_open(pairs_path(inside), ZIP_CREATE | ZIP_TRUNCATE, NULL);
  assert_non_null(z);
  for (size_t i = 0; i < n; i++) {
    zip_source_t *s = zip_source_buffer(z, entries[i][1], strlen(entries[i][1]), 0);
    assert_true(zip_file_add(z, entries[i][0], s, 0) >= 0);
  }
  assert_int_equal(zip_close(z), 0);
}
#define ARCHIVE(inside, entries) archive(inside, entries, sizeof entries / sizeof *entries)

static const char *const originals[][2] = {
    {"localization/en-US/browser/a.ftl", "open = Open the file\n    .accesskey = O\nonly = English only\n"},
    {"localization/en-US/toolkit/b.ftl", "n = { $n ->\n [one] One\n *[other] { $n } files\n }\n"},
    {"chrome/en-US/locale/en-US/global/c.properties", "x=Delete?\ntabs=#1 tab;#1 tabs\n"},
    {"chrome/en-US/content/page.ftl", "open = Not a translation\n"},
};
static const char *const more_originals[][2] = {
    {"localization/en-US/browser/a.ftl", "open = Another archive's\nlate = Later\n"},
    {"chrome/en-US/locale/en-US/mail/d.dtd", "<!ENTITY d \"Drafts\">\n"},
};
static const char *const galician[][2] = {
    {"manifest.json", "{}"},
    {"chrome/gl/locale/gl/mail/d.dtd", "<!ENTITY d \"Borradores\">\n"},
    {"chrome/gl/locale/gl/global/c.properties", "x=Eliminar?\ntabs=#1 lapela;#1 lapelas\ny=Ninguén\n"},
    {"browser/localization/gl/browser/a.ftl", "late = Máis tarde\nopen = Abrir o ficheiro\n    .accesskey = A\n"},
    {"localization/gl/toolkit/b.ftl", "n = { $n ->\n [one] Un\n *[other] { $n } ficheiros\n }\n"},
};
static const char *const brazilian[][2] = {
    {"localization/pt-BR/browser/a.ftl", "open = Abrir o arquivo\n"},
};
static const char *const klingon[][2] = {
    {"localization/tlh/browser/a.ftl", "open = yIpoSmoH\n"},
};

static void test_archives(void **state) {
  (void)state;
  ARCHIVE("english/usr/lib/firefox/browser/omni.ja", originals);
  ARCHIVE("english/usr/lib/firefox/omni.ja", more_originals);
  ARCHIVE("package/usr/lib/langpack-gl@x.xpi", galician);
  ARCHIVE("package/usr/lib/langpack-pt-BR@x.xpi", brazilian);
  ARCHIVE("package/usr/lib/langpack-tlh@x.xpi", klingon);
  pairs_write("package/usr/lib/broken.xpi", "PK\3\4 and no more", 15);
  pairs_write("package/usr/lib/empty.xpi", "", 0);
  char *got = pairs_read(&dg_source_mozilla, pairs_path("package"), pairs_path("english"));
  assert_string_equal(got, "gl|browser/a.ftl|Later|Máis tarde\n"
                           "gl|browser/a.ftl|Open the file|Abrir o ficheiro\n"
                           "gl|global/c.properties|Delete?|Eliminar?\n"
                           "gl|mail/d.dtd|Drafts|Borradores\n"
                           "gl|toolkit/b.ftl|{ $n } files|{ $n } ficheiros\n"
                           "pt-BR|browser/a.ftl|Open the file|Abrir o arquivo\n");
  free(got);
}

static void test_packages(void **state) {
  (void)state;
  assert_string_equal(dg_source_mozilla.english("firefox-esr-l10n-gl")[0], "firefox-esr");
  assert_string_equal(dg_source_mozilla.english("thunderbird-l10n-pt-br")[0], "thunderbird");
  assert_null(dg_source_mozilla.english("firefox-esr"));
  assert_null(dg_source_mozilla.english("gimp-data"));
}

/* --- hostile files ------------------------------------------------------------------------------ */

static void ignore(void *context, const char *id, const char *text) {
  (void)context;
  assert_true(*id && *text);
}
static void read_fluent(const char *s, size_t n) { dg_fluent_read(s, n, ignore, NULL); }
static void read_properties(const char *s, size_t n) { dg_properties_read(s, n, ignore, NULL); }
static void read_dtd(const char *s, size_t n) { dg_dtd_read(s, n, ignore, NULL); }

static void test_damaged_text(void **state) {
  (void)state;
  pairs_torment(fluent, sizeof fluent - 1, 20000, read_fluent);
  pairs_torment(properties, sizeof properties - 1, 20000, read_properties);
  pairs_torment(dtd, sizeof dtd - 1, 20000, read_dtd);
}

static void read_archive(const char *bytes, size_t size) {
  pairs_write("damaged/x.xpi", bytes, size);
  free(pairs_read(&dg_source_mozilla, pairs_path("damaged"), pairs_path("english")));
}

static void test_damaged_archives(void **state) {
  (void)state;
  ARCHIVE("english/omni.ja", originals);
  ARCHIVE("package/b.xpi", brazilian);
  FILE *f = fopen(pairs_path("package/b.xpi"), "rb");
  char bytes[4096];
  size_t n = fread(bytes, 1, sizeof bytes, f);
  fclose(f);
  assert_in_range(n, 100, sizeof bytes - 1);
  pairs_torment(bytes, n, 1000, read_archive);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_fluent),
      cmocka_unit_test(test_broken_fluent),
      cmocka_unit_test(test_properties),
      cmocka_unit_test(test_dtd),
      cmocka_unit_test_setup_teardown(test_archives, pairs_set_up, pairs_tear_down),
      cmocka_unit_test(test_packages),
      cmocka_unit_test(test_damaged_text),
      cmocka_unit_test_setup_teardown(test_damaged_archives, pairs_set_up, pairs_tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
