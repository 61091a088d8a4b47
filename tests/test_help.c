/* Help pages, manuals in HTML, LibreOffice's help and manual pages as outlines, and laid side by side. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <zlib.h>

#include "data/help.h"
#include "data/libreoffice.h"
#include "data/man.h"
#include "tests/pairs.h"

typedef bool outliner(const void *bytes, size_t size, dg_outline *o);

/* The paragraphs, white space squeezed, a line each; "damaged" if so. */
static char *paragraphs(outliner *read, const char *text) {
  dg_outline o = {0};
  dg_strbuf out = {0};
  dg_strbuf_add(&out, "");
  if (!read(text, strlen(text), &o)) {
    dg_strbuf_add(&out, "damaged");
  } else {
    for (size_t i = 0; i < o.count; i++) {
      bool blank = true;
      for (const char *s = dg_outline_text(&o, i); *s; s++) {
        bool is_blank = strchr(" \n\t", *s) != NULL;
        if (!is_blank) {
          if (blank && s > dg_outline_text(&o, i) && out.text[out.length - 1] != '\n')
            dg_strbuf_addc(&out, ' ');
          dg_strbuf_addc(&out, *s);
        }
        blank = is_blank;
      }
      dg_strbuf_addc(&out, '\n');
    }
  }
  dg_outline_free(&o);
  return out.text;
}

static void check(outliner *read, const char *text, const char *want) {
  char *got = paragraphs(read, text);
  assert_string_equal(got, want);
  free(got);
}

/* "english|translation\n" of what the two give together; "apart" if they do not match. */
static void check_pairs(outliner *read, dg_alignment how, const char *english, const char *other,
                        const char *want) {
  dg_outline a = {0}, b = {0};
  dg_strbuf out = {0};
  dg_pair_sink sink = pairs_sink(&out);
  assert_true(read(english, strlen(english), &a));
  assert_true(read(other, strlen(other), &b));
  if (!dg_outline_align(&a, &b, how, "gl", "d", &sink)) dg_strbuf_add(&out, "apart");
  assert_string_equal(out.text, want);
  free(out.text);
  dg_outline_free(&a);
  dg_outline_free(&b);
}

/* --- Mallard and DocBook ----------------------------------------------------------------------- */

static const char mallard[] =
    "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n"
    "<page xmlns=\"http://projectmallard.org/1.0/\" id=\"x\">\n"
    " <info><link type=\"guide\" xref=\"index\"/>\n"
    "  <credit type=\"author\"><name>A. Author</name></credit>\n"
    "  <include href=\"legal.xml\" xmlns=\"http://www.w3.org/2001/XInclude\"/>\n"
    "  <desc>Print a page.</desc></info>\n"
    " <title>Printing</title>\n"
    " <!-- a comment -->\n"
    " <p>Press <keyseq><key>Ctrl</key><key>P</key></keyseq> &amp; wait, or see <link xref=\"y\"/>.</p>\n"
    " <steps><item><p><gui style=\"menu\">File</gui></p></item>\n"
    "  <item><p>Second</p><p>Third</p></item></steps>\n"
    " <code>lpr file</code>\n"
    " <table><tr><td>Cell</td><td><p>Other</p></td></tr></table>\n"
    "</page>\n";
static const char mallard_gl[] =
    "<page xmlns=\"http://projectmallard.org/1.0/\" xml:lang=\"gl\"><info>"
    "<link type=\"guide\" xref=\"index\"/><credit type=\"author\"><name>A. Author</name></credit>"
    "<desc>Imprimir unha páxina.</desc>"
    "<mal:credit xmlns:mal=\"http://projectmallard.org/1.0/\"><mal:name>T.</mal:name></mal:credit>"
    "</info><title>Imprimir</title>"
    "<p>Prema <keyseq><key>Ctrl</key><key>P</key></keyseq> e agarde, ou vexa <link xref=\"y\"/>.</p>"
    "<steps><item><p><gui>Ficheiro</gui></p></item><item><p>Segundo</p><p>Terceiro</p></item></steps>"
    "<code>lpr ficheiro</code><table><tr><td>Cela</td><td><p>Outra</p></td></tr></table></page>";

static const char docbook[] =
    "<?xml version=\"1.0\"?>\n"
    "<!DOCTYPE article PUBLIC \"-//OASIS//DTD DocBook XML V4.1.2//EN\" \"docbookx.dtd\" [\n"
    "<!ENTITY app \"Dragoman\"><!ENTITY marked \"<b>bold</b>\">\n"
    "<!ENTITY secret SYSTEM \"file:///etc/hostname\">]>\n"
    "<article><articleinfo><title>&app; Manual</title><author><firstname>A.</firstname></author>\n"
    "<legalnotice><para>No warranty.</para></legalnotice></articleinfo>\n"
    "<sect1><title>Start</title><para>Before the list:\n"
    " <itemizedlist><listitem><para>One<footnote><para>Note</para></footnote></para></listitem>"
    "<listitem><simpara>Two</simpara></listitem></itemizedlist> after it &marked;.</para>\n"
    "<para>&secret; &undefined;</para><screen>$ run</screen></sect1></article>";

static void test_help(void **state) {
  (void)state;
  check(dg_help_outline, mallard,
        "Print a page.\nPrinting\n"
        "Press <keyseq><key>Ctrl</key><key>P</key></keyseq> & wait, or see <link/>.\n"
        "<gui>File</gui>\nSecond\nThird\nCell\nOther\n");
  check(dg_help_outline, docbook,
        "Dragoman Manual\nStart\nBefore the list:\nOne\nTwo\nafter it &marked;.\n"
        "&secret; &undefined;\n");
  check(dg_help_outline, "<?xml version=\"1.0\"?>\n<chapter><title>&kate; here</title>"
                         "<sect1 id=\"credits-x\"><para>Thanks to T.</para></sect1></chapter>",
        "&kate; here\n");
  check(dg_help_outline, "<chapter id=\"credit\"><para>Money</para></chapter>", "Money\n");
  check(dg_help_outline, "<page><p>Never closed", "damaged");
  check(dg_help_outline, "", "damaged");
  check(dg_help_outline, "<page/>", "");
}

static void test_help_side_by_side(void **state) {
  (void)state;
  check_pairs(dg_help_outline, DG_ALIGN_ALL, mallard, mallard_gl,
              "gl|d|Print a page.|Imprimir unha páxina.\ngl|d|Printing|Imprimir\n"
              "gl|d|Press <keyseq><key>Ctrl</key><key>P</key></keyseq> & wait, or see <link/>.|"
              "Prema <keyseq><key>Ctrl</key><key>P</key></keyseq> e agarde, ou vexa <link/>.\n"
              "gl|d|<gui>File</gui>|<gui>Ficheiro</gui>\ngl|d|Second|Segundo\ngl|d|Third|Terceiro\n"
              "gl|d|Cell|Cela\ngl|d|Other|Outra\n");
  const char *two = "<page><p>A</p><p>B</p></page>";
  check_pairs(dg_help_outline, DG_ALIGN_ALL, two, "<page><p>C</p></page>", "apart");
  check_pairs(dg_help_outline, DG_ALIGN_ALL, two, "<page><p>C</p><p>D</p><p>E</p></page>", "apart");
  check_pairs(dg_help_outline, DG_ALIGN_ALL, two, "<page><p>C</p><note><p>D</p></note></page>",
              "apart");
}

/* Entities that name each other must not multiply; nesting must not exhaust the stack. */
static void test_hostile_xml(void **state) {
  (void)state;
  dg_strbuf b = {0};
  dg_strbuf_add(&b, "<!DOCTYPE page [<!ENTITY a0 \"ha\">");
  for (int i = 1; i < 30; i++)
    dg_strbuf_addf(&b, "<!ENTITY a%d \"&a%d;&a%d;&a%d;&a%d;\">", i, i - 1, i - 1, i - 1, i - 1);
  dg_strbuf_add(&b, "]><page><p x=\"&a29;\">&a29;</p></page>");
  free(paragraphs(dg_help_outline, b.text));
  dg_strbuf_clear(&b);
  for (int i = 0; i < 100000; i++) dg_strbuf_add(&b, "<p>");
  check(dg_help_outline, b.text, "damaged");
  dg_strbuf_clear(&b);
  dg_strbuf_add(&b, "<html><body><p id=\"par_id1\">x");
  for (int i = 0; i < 50000; i++) dg_strbuf_add(&b, "<span>");
  free(paragraphs(dg_libreoffice_outline, b.text));
  free(paragraphs(dg_html_outline, b.text));
  free(b.text);
}

/* A locale of NULL: the file is no such document. */
static void check_place(bool (*place)(const char *, dg_strbuf *, dg_strbuf *), const char *path,
                        const char *locale, const char *document) {
  dg_strbuf l = {0}, d = {0};
  assert_int_equal(place(path, &l, &d), locale != NULL);
  if (locale) {
    assert_string_equal(l.text, locale);
    assert_string_equal(d.text, document);
  }
  free(l.text);
  free(d.text);
}

static void test_places(void **state) {
  (void)state;
  static const char *const table[][3] = {
      {"usr/share/help/C/gnome-help/a.page", "en", "gnome-help/a.page"},
      {"usr/share/help/pt_BR/eog/index.docbook", "pt_BR", "eog/index.docbook"},
      {"usr/share/doc/HTML/en/kate/index.docbook", "en", "kate/index.docbook"},
      {"usr/share/doc/HTML/gl/kate/index.docbook", "gl", "kate/index.docbook"},
      {"usr/share/help/gl/a.png", NULL, NULL},
      {"usr/share/help/gl.page", NULL, NULL},
      {"usr/share/doc/gnome/gl/a.page", NULL, NULL}};
  for (size_t i = 0; i < sizeof table / sizeof *table; i++)
    check_place(dg_help_place, table[i][0], table[i][1], table[i][2]);
}

/* --- manuals in HTML ----------------------------------------------------------------------------- */

static const char manual[] =
    "<!DOCTYPE html><html><head><title>6.2. Tools</title></head><body>"
    "<div class=\"nav\"><a href=\"b.html\"><strong>Next</strong>Preface</a></div>"
    "<div><h3><a id=\"x\"></a>6.2. The\ncommands</h3></div><div class=\"para\">"
    "<acronym>APT</acronym> reads <span><code class=\"c\">sources.list</code></span>,<br/>see <a "
    "href=\"y\">Section 3</a>.</div><a id=\"i\" class=\"indexterm\"></a><ul><li><p>One</p></li>"
    "<li>Two<pre>$ apt update</pre>after</li></ul><pre>code</pre><script>var a = 1;</script>"
    "<ul><li>3.1. <a href=\"z\">A chapter</a></li></ul></body></html>";
static const char manual_gl[] =
    "<html><body><div><a href=\"b.html\">Seguinte</a></div><div><h3>6.2. As ordes</h3></div>"
    "<div>APT le <code>sources.list</code>, vexa <a>a secci\u00f3n 3</a>.</div>"
    "<ul><li><p>Un</p></li><li>Dous<pre>$</pre>despois</li></ul></body></html>";

static void test_html(void **state) {
  (void)state;
  check(dg_html_outline, manual,
        "6.2. The commands\nAPT reads <code>sources.list</code>, see <a>Section 3</a>.\nOne\nTwo\n"
        "after\n");
  check_pairs(dg_html_outline, DG_ALIGN_ALL, manual, manual_gl,
              "gl|d|6.2. The\ncommands|6.2. As ordes\n"
              "gl|d|APT reads <code>sources.list</code>, see <a>Section 3</a>.|"
              "APT le <code>sources.list</code>, vexa <a>a secci\u00f3n 3</a>.\n"
              "gl|d|One|Un\ngl|d|Two|Dous\ngl|d|after|despois\n");
  check_pairs(dg_html_outline, DG_ALIGN_ALL, manual, "<p>One</p><p>Two</p>", "apart");
  static const char *const table[][3] = {
      {"usr/share/doc/debian-handbook/html/pt-BR/apt.html", "pt-BR", "apt"},
      {"usr/share/doc/debian-handbook/html/en-US/apt.html", "en", "apt"},
      {"usr/share/doc/debian/FAQ/basic.de.html", "de", "basic"},
      {"usr/share/doc/debian/FAQ/basic.en.html", "en", "basic"},
      {"usr/share/debian-reference/ch01.pt-br.html", "pt-br", "ch01"},
      {"usr/share/developers-reference/pkgs.html", "en", "pkgs"},
      {"usr/share/developers-reference/fr/pkgs.html", "fr", "pkgs"},
      {"usr/share/gimp/2.0/help/es/a/b.html", "es", "a/b"},
      {"usr/share/doc/x/de/a.png", NULL, NULL},
      {"etc/de/a.html", NULL, NULL}};
  for (size_t i = 0; i < sizeof table / sizeof *table; i++)
    check_place(dg_html_place, table[i][0], table[i][1], table[i][2]);
  assert_string_equal(dg_source_html.english("aptitude-doc-es")[0], "aptitude-doc-en");
  assert_string_equal(dg_source_html.english("debian-handbook")[0], "debian-handbook");
  assert_null(dg_source_html.english("gimp-data"));
}

/* --- LibreOffice ------------------------------------------------------------------------------- */

static const char office[] =
    "<!DOCTYPE html><html><head><title>Page</title><script>var x = '<p id=par_id9>';</script></head>"
    "<body><p>Navigation</p><div id=\"DisplayArea\"><h1 id=\"hd_id1\">Spelling</h1>"
    "<p id=\"par_id2\">Choose <span id=\"s\" class=\"switchinline\"><span id=\"MAC1\">Preferences"
    "</span><span id=\"default1\"><span class=\"emph\">Tools - Options</span></span></span> now.</p>"
    "<table><tr><td><p id=\"par_id3\">10<sup>2</sup> <img src=\"i.png\"> and<br>more &lt;x&gt;</p>"
    "</td></tr></table><p id=\"par_id4\">Gone</p></div>";
static const char office_gl[] =
    "<html><body><h1 id=\"hd_id1\">Ortografía</h1><p id=\"par_id5\">Novo</p>"
    "<p id=\"par_id3\">10<sup>2</sup> <img> e<br>máis &lt;x&gt;</p><p id=\"par_id2\">Escolla "
    "<span class=\"switchinline\"><span id=\"default\">Ferramentas - Opcións</span></span> xa.</p>";

static void test_libreoffice(void **state) {
  (void)state;
  check(dg_libreoffice_outline, office,
        "Spelling\nChoose Tools - Options now.\n10<sup>2</sup> <img/> and more <x>\nGone\n");
  check_pairs(dg_libreoffice_outline, DG_ALIGN_IDS, office, office_gl,
              "gl|d|Spelling|Ortografía\n"
              "gl|d|10<sup>2</sup> <img/> and more <x>|10<sup>2</sup> <img/> e máis <x>\n"
              "gl|d|Choose Tools - Options now.|Escolla Ferramentas - Opcións xa.\n");
  check_pairs(dg_libreoffice_outline, DG_ALIGN_IDS, /* an id that stands twice: in turn */
              "<p id=\"par_id1\">One</p><p id=\"par_id2\">Two</p><p id=\"par_id1\">Three</p>",
              "<p id=\"par_id1\">Un</p><p id=\"par_id1\">Tres</p><p id=\"par_id2\">Dous</p>"
              "<p id=\"par_id1\">Tres</p><p id=\"par_id0\">Cero</p>",
              "gl|d|One|Un\ngl|d|Three|Tres\ngl|d|Two|Dous\ngl|d|Three|Tres\n");
  assert_string_equal(dg_source_libreoffice.english("libreoffice-help-gl")[0],
                      "libreoffice-help-en-us");
  assert_null(dg_source_libreoffice.english("libreoffice-help-en-us"));
  assert_null(dg_source_libreoffice.english("libreoffice-l10n-gl"));
}

/* --- manual pages ------------------------------------------------------------------------------ */

static const char man[] =
    ".\\\" comment\n"
    ".TH LS 1 \"May 2022\"\n"
    ".de XX\n.nothing here\n..\n"
    ".ie \\n(.g .ds Aq \\(aq\n"
    ".SH NAME\nls \\- list \\fIdirectory\\fP contents\n"
    ".SH \"SEE ALSO\"\n"
    ".BR cp (1),\n.IR \"a b\" c\nand \\(lqmore\\(rq\\&.\n"
    ".PP\nSecond\\ paragraph, \\fB\\-\\-all\\fR\\|.\n"
    ".TP\n.B \\-a\ndo not ignore\nentries\n"
    ".IP \\(bu 2\nItem\n"
    ".nf\nint main(void)\n.fi\n"
    "After the code, \\d odd\n"
    ".UR https://example.org\nthe site\n.UE .\n";
static const char man_gl[] =
    ".TH LS 1 \"maio\"\n.SH NOME\nls \\- lista o \\fIdirectorio\\fP\n.SH \"VEXA TAMÉN\"\n"
    "\\fBcp\\fP(1), \\fIa b\\fPc e «máis».\n.PP\nSegundo parágrafo, \\fB\\-\\-all\\fP.\n"
    ".TP\n\\fB\\-a\\fP\nnon ignorar entradas\n.IP \\(bu 2\nElemento\n.nf\nint main(void)\n.fi\n"
    "Despois do código\n.SH TRADUCIÓN\nTraducido por T.\n";

static void test_man(void **state) {
  (void)state;
  check(dg_man_outline, man,
        "NAME\nls - list directory contents\nSEE ALSO\ncp(1), a bc and “more”.\n"
        "Second paragraph, --all.\n-a\ndo not ignore entries\n•\nItem\n"
        "After the code, \xEF\xBF\xBD odd https://example.org the site.\n");
  check(dg_man_outline, ".Dd May 1\n.Dt LS 1\n.Sh NAME\n", "damaged");
  check(dg_man_outline, ".so man1/ls.1\n", "damaged");
  check(dg_man_outline, "Plain text\n", "damaged");
  check(dg_man_outline, ".TH A 1\n.if n \\{\\\n.SH X\n.\\}\n", "damaged");
  check_pairs(dg_man_outline, DG_ALIGN_SIGNED, man, man_gl,
              "gl|d|NAME|NOME\n"
              "gl|d|ls - list directory contents|ls - lista o directorio\n"
              "gl|d|SEE ALSO|VEXA TAMÉN\ngl|d|cp(1), a bc and “more”.|cp(1), a bc e «máis».\n"
              "gl|d|Second paragraph, --all.|Segundo parágrafo, --all.\ngl|d|-a|-a\n"
              "gl|d|do not ignore entries|non ignorar entradas\ngl|d|•|•\ngl|d|Item|Elemento\n"
              "gl|d|After the code, \xEF\xBF\xBD odd https://example.org the site.|"
              "Despois do código\n");
  check_pairs(dg_man_outline, DG_ALIGN_SIGNED, man_gl, man, "apart");
  assert_string_equal(dg_source_man.english("manpages-gl")[0], "manpages");
  assert_null(dg_source_man.english("manpages-dev"));
}

/* --- directories ------------------------------------------------------------------------------- */

static void test_directories(void **state) {
  (void)state;
  const char *p = "<page><p>One</p></page>", *q = "<page><p>Un</p></page>";
  pairs_write("p/usr/share/help/C/x/b.page", p, strlen(p));
  pairs_write("p/usr/share/help/C/x/a.page", "<page><p>Two</p></page>", 23);
  pairs_write("p/usr/share/help/gl/x/b.page", q, strlen(q));
  pairs_write("p/usr/share/help/gl/x/a.page", "<page><p>Dous</p></page>", 24);
  pairs_write("p/usr/share/help/pt-BR/x/b.page", "<page><p>Um</p></page>", 22);
  pairs_write("p/usr/share/help/de/x/b.page", "<page><p>Eins</p></page>", 24);
  pairs_write("p/usr/share/help/gl/x/c.page", q, strlen(q)); /* no original */
  pairs_write("p/usr/share/help/C/x/d.page", p, strlen(p));
  pairs_write("p/usr/share/help/gl/x/d.page", "<page>", 6);
  pairs_write("outside/e.page", q, strlen(q)); /* no link may lead out of the package */
  pairs_write("p/usr/share/help/C/x/e.page", p, strlen(p));
  pairs_write("p/usr/share/help/C/y/e.page", p, strlen(p));
  assert_int_equal(
      symlink(pairs_path("outside/e.page"), pairs_path("p/usr/share/help/gl/x/e.page")), 0);
  assert_int_equal(symlink(pairs_path("outside"), pairs_path("p/usr/share/help/gl/y")), 0);
  char *got = pairs_read(&dg_source_help, pairs_path("p"), pairs_path("p"));
  assert_string_equal(got, "gl|x/a.page|Two|Dous\ngl|x/b.page|One|Un\npt-BR|x/b.page|One|Um\n");
  free(got);

  pairs_write("e/usr/share/libreoffice/help/en-US/text/a/1.html", office, sizeof office - 1);
  pairs_write("l/usr/share/libreoffice/help/gl/text/a/1.html", "<p id=par_id4>Foise</p>", 23);
  got = pairs_read(&dg_source_libreoffice, pairs_path("l"), pairs_path("e"));
  assert_string_equal(got, "gl|a/1.html|Gone|Foise\n");
  free(got);

  gzFile f = gzopen(pairs_path("e/usr/share/man/man1/a.1.gz"), "wb");
  gzputs(f, ".TH A 1\n.SH NAME\n");
  gzclose(f);
  f = gzopen(pairs_path("m/usr/share/man/gl/man1/a.1.gz"), "wb");
  gzputs(f, ".TH A 1\n.SH NOME\n");
  gzclose(f);
  pairs_write("m/usr/share/man/gl/man1/cut.1.gz", "\x1f\x8b\x08", 3);
  got = pairs_read(&dg_source_man, pairs_path("m"), pairs_path("e"));
  assert_string_equal(got, "gl|man1/a.1.gz|NAME|NOME\n");
  free(got);
  got = pairs_read(&dg_source_help, pairs_path("absent"), pairs_path("absent"));
  assert_string_equal(got, "");
  free(got);
}

/* --- hostile files ------------------------------------------------------------------------------ */

static void read_all(outliner *read, const char *bytes, size_t size) {
  dg_outline o = {0};
  read(bytes, size, &o);
  for (size_t i = 0; i < o.count; i++) assert_non_null(dg_outline_text(&o, i));
  dg_outline_free(&o);
}
static void read_help(const char *s, size_t n) { read_all(dg_help_outline, s, n); }
static void read_office(const char *s, size_t n) { read_all(dg_libreoffice_outline, s, n); }
static void read_html(const char *s, size_t n) { read_all(dg_html_outline, s, n); }
static void read_man(const char *s, size_t n) { read_all(dg_man_outline, s, n); }

static void test_damaged(void **state) {
  (void)state;
  static const char chapter[] = "\xEF\xBB\xBF<?xml version=\"1.0\"?>\n<chapter>&x;</chapter>";
  pairs_torment(chapter, sizeof chapter - 1, 4000, read_help);
  pairs_torment(mallard, sizeof mallard - 1, 4000, read_help);
  pairs_torment(docbook, sizeof docbook - 1, 4000, read_help);
  pairs_torment(office, sizeof office - 1, 4000, read_office);
  pairs_torment(manual, sizeof manual - 1, 4000, read_html);
  pairs_torment(man, sizeof man - 1, 20000, read_man);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_help),
      cmocka_unit_test(test_help_side_by_side),
      cmocka_unit_test(test_hostile_xml),
      cmocka_unit_test(test_places),
      cmocka_unit_test(test_html),
      cmocka_unit_test(test_libreoffice),
      cmocka_unit_test(test_man),
      cmocka_unit_test_setup_teardown(test_directories, pairs_set_up, pairs_tear_down),
      cmocka_unit_test(test_damaged),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
