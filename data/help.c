#include "data/help.h"

#include <ctype.h>
#include <libxml/HTMLparser.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tokenizer/lang.h"

enum { DEPTH_MOST = 200 };

/* The elements of a kind of document, each list ended by NULL. */
typedef struct dialect {
  const char *const *skipped;    /* never text to translate, or signed by translators */
  const char *const *paragraphs; /* hold a paragraph even when all its text is inside inline ones */
  const char *const *blocks;     /* end a paragraph they stand in */
  const char *const *tags;       /* inline ones that stay; NULL: all do */
} dialect;

static const dialect xml_dialect = {
    .skipped = (const char *const[]){
        "credit",      "years",         "license",      "include",     "revision",   "copyright",
        "author",      "authorgroup",   "editor",       "othercredit", "collab",     "corpauthor",
        "publisher",   "publishername", "revhistory",   "legalnotice", "releaseinfo", "date",
        "pubdate",     "keywordset",    "screen",       "programlisting", "listing", "synopsis",
        "cmdsynopsis", "literallayout", "indexterm",    "footnote",    "remark",     "comment",
        "address",     "bibliography",  "index",        "equation",    "code",       NULL},
    .paragraphs = (const char *const[]){"p", "title", "subtitle", "desc", "para", "simpara", "term",
                                        "titleabbrev", "member", NULL},
    .blocks = (const char *const[]){
        "itemizedlist", "orderedlist", "variablelist", "simplelist",    "segmentedlist", "procedure",
        "table",        "informaltable", "figure",     "informalfigure", "mediaobject",  "screenshot",
        "example",      "informalexample", "note",     "tip",           "warning",       "caution",
        "important",    "blockquote",  "glosslist",    "calloutlist",   "qandaset",      "para",
        "simpara",      "formalpara",  "informalequation", NULL}};

#define HTML_BLOCKS                                                                              \
  "p", "div", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "dl", "dt", "dd", "table",  \
      "thead", "tbody", "tr", "td", "th", "caption", "blockquote", "center", "section", "hr"

/* Manuals made from DocBook wrap the simplest word in three elements: few tags stay. */
static const dialect html_dialect = {
    .skipped =
        (const char *const[]){"head", "script", "style", "pre", "form", "nav", "footer", NULL},
    .paragraphs = (const char *const[]){HTML_BLOCKS, NULL},
    .blocks = (const char *const[]){HTML_BLOCKS, "pre", NULL},
    .tags = (const char *const[]){"a", "b", "code", "em", "i", "img", "kbd", "strong", "sub", "sup",
                                  "tt", NULL}};

static bool blank(const char *s) { return !s[strspn(s, " \t\r\n")]; }

static const char *name_of(const xmlNode *n) { return (const char *)n->name; }

static bool has_text(const xmlNode *e) {
  for (const xmlNode *n = e->children; n; n = n->next)
    if ((n->type == XML_TEXT_NODE || n->type == XML_CDATA_SECTION_NODE) && n->content &&
        !blank((const char *)n->content))
      return true;
  return false;
}

/* An entity whose value is plain text becomes it; others stay, as "&name;". */
static void add_entity(const xmlNode *n, dg_strbuf *out) {
  const xmlEntity *e = xmlGetDocEntity(n->doc, n->name);
  const char *value =
      e && e->etype == XML_INTERNAL_GENERAL_ENTITY ? (const char *)e->content : NULL;
  if (value && !strpbrk(value, "<&") && strlen(value) < 200)
    dg_strbuf_add(out, value);
  else
    dg_strbuf_addf(out, "&%s;", name_of(n));
}

typedef struct reader {
  const dialect *dialect;
  dg_outline *o;
  bool too_deep;
} reader;

/* Not an empty element of HTML, which is a place to link to, unless it shows something. */
static bool stays(const dialect *d, const xmlNode *n) {
  if (!d->tags) return true;
  return dg_is_one_of(name_of(n), d->tags) && (n->children || !strcmp(name_of(n), "img"));
}

/* In HTML a line that is one link ("Next", "3.2. Installing") leads to other pages: its text
 * stands there, too. */
static bool is_navigation(const dialect *d, const char *s) {
  if (!d->tags) return false;
  s += strspn(s, "0123456789. \t\r\n");
  const char *end = strstr(s, "</a>");
  return !strncmp(s, "<a>", 3) && end && !end[4 + strspn(end + 4, " \t\r\n")];
}

static void add_run(reader *r, uint64_t key, const dg_strbuf *run) {
  if (run->length && !blank(run->text) && !is_navigation(r->dialect, run->text))
    dg_outline_add(r->o, key, run->text);
}

static void read_block(reader *r, const xmlNode *e, uint64_t parent, int depth);

/* The content of a paragraph into *run; blocks inside end it. */
static void read_inline(reader *r, const xmlNode *e, uint64_t key, dg_strbuf *run, int depth) {
  if (depth > DEPTH_MOST) {
    r->too_deep = true;
    return;
  }
  for (const xmlNode *n = e->children; n; n = n->next) {
    if (n->type == XML_TEXT_NODE || n->type == XML_CDATA_SECTION_NODE) {
      if (n->content) dg_strbuf_add(run, (const char *)n->content);
    } else if (n->type == XML_ENTITY_REF_NODE) {
      add_entity(n, run);
    } else if (n->type == XML_ELEMENT_NODE && dg_is_one_of(name_of(n), r->dialect->blocks)) {
      add_run(r, key, run);
      dg_strbuf_clear(run);
      read_block(r, n, key, depth + 1);
    } else if (n->type == XML_ELEMENT_NODE && !dg_is_one_of(name_of(n), r->dialect->skipped)) {
      bool tag = stays(r->dialect, n);
      if (tag) dg_strbuf_addf(run, n->children ? "<%s>" : "<%s/>", name_of(n));
      if (!strcmp(name_of(n), "br")) dg_strbuf_addc(run, ' ');
      read_inline(r, n, key, run, depth + 1);
      if (tag && n->children) dg_strbuf_addf(run, "</%s>", name_of(n));
    }
  }
}

/* KDE's chapters of credits, where translators add their names. */
static bool is_credits(const xmlNode *e) {
  for (const xmlAttr *a = e->properties; a; a = a->next)
    if (!strcmp((const char *)a->name, "id") && a->children && a->children->content)
      return !strncmp((const char *)a->children->content, "credits", 7);
  return false;
}

static void read_block(reader *r, const xmlNode *e, uint64_t parent, int depth) {
  if (depth > DEPTH_MOST) {
    r->too_deep = true;
    return;
  }
  if (dg_is_one_of(name_of(e), r->dialect->skipped) || is_credits(e)) return;
  uint64_t key = dg_outline_key(parent, name_of(e));
  if (dg_is_one_of(name_of(e), r->dialect->paragraphs) || has_text(e)) {
    dg_strbuf run = {0};
    read_inline(r, e, key, &run, depth);
    add_run(r, key, &run);
    free(run.text);
    return;
  }
  for (const xmlNode *n = e->children; n; n = n->next)
    if (n->type == XML_ELEMENT_NODE) read_block(r, n, key, depth + 1);
}

/* Chapters are files without a document type, whose entities the book declares. With
 * one that nobody reads, an entity unknown here is no error. */
static xmlDoc *parse(const char *text, size_t size) {
  static const char type[] = "<!DOCTYPE part SYSTEM \"none\">";
  const int options = XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING;
  if (memmem(text, size, "<!DOCTYPE", 9))
    return xmlReadMemory(text, (int)size, NULL, NULL, options);
  const char *begin = text, *end = text + size;
  if (size > 5 && !memcmp(text, "<?xml", 5)) {
    const char *close = memmem(text, size, "?>", 2);
    begin = close ? close + 2 : text;
  }
  dg_strbuf b = {0};
  dg_strbuf_addn(&b, text, (size_t)(begin - text));
  dg_strbuf_add(&b, type);
  dg_strbuf_addn(&b, begin, (size_t)(end - begin));
  xmlDoc *doc = xmlReadMemory(b.text, (int)b.length, NULL, NULL, options);
  free(b.text);
  return doc;
}

static bool outline(const dialect *d, xmlDoc *doc, dg_outline *o) {
  const xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL;
  reader r = {d, o, false};
  if (root) read_block(&r, root, 0, 0);
  xmlFreeDoc(doc);
  return root && !r.too_deep;
}

static pthread_once_t parser_once = PTHREAD_ONCE_INIT;

bool dg_help_outline(const void *bytes, size_t size, dg_outline *o) {
  pthread_once(&parser_once, xmlInitParser);
  /* Without NOENT and DTDLOAD no entity is fetched or unfolded; without HUGE depth and
   * size of what is read stay bounded. */
  return size <= INT32_MAX / 2 && outline(&xml_dialect, parse(bytes, size), o);
}

bool dg_html_outline(const void *bytes, size_t size, dg_outline *o) {
  pthread_once(&parser_once, xmlInitParser);
  const int options =
      HTML_PARSE_RECOVER | HTML_PARSE_NONET | HTML_PARSE_NOERROR | HTML_PARSE_NOWARNING;
  return size <= INT32_MAX / 2 &&
         outline(&html_dialect, htmlReadMemory(bytes, (int)size, NULL, "UTF-8", options), o);
}

/* usr/share/help/LANG/NAME..., English under C; KDE: usr/share/doc/HTML/LANG/..., en. */
bool dg_help_place(const char *path, dg_strbuf *locale, dg_strbuf *document) {
  static const struct {
    const char *directory, *english;
  } places[] = {{"usr/share/help/", "C"}, {"usr/share/doc/HTML/", "en"},
                {"usr/share/doc/kde/HTML/", "en"}};
  const char *dot = strrchr(path, '.');
  if (!dot || (strcmp(dot, ".page") && strcmp(dot, ".docbook") && strcmp(dot, ".xml")))
    return false;
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    size_t n = strlen(places[i].directory);
    if (strncmp(path, places[i].directory, n)) continue;
    const char *rest = path + n, *slash = strchr(rest, '/');
    if (!slash) return false;
    size_t length = (size_t)(slash - rest);
    bool english = length == strlen(places[i].english) && !strncmp(rest, places[i].english, length);
    dg_strbuf_addn(locale, english ? "en" : rest, english ? 2 : length);
    dg_strbuf_add(document, slash + 1);
    return true;
  }
  return false;
}

static void read_help(const char *root, const char *english_root, const dg_pair_sink *sink) {
  static const dg_document_kind kind = {dg_help_place, dg_help_outline, DG_ALIGN_ALL};
  dg_read_documents(&kind, root, english_root, sink);
}

const dg_source dg_source_help = {"help", false, NULL, read_help};

/* --- manuals in HTML --------------------------------------------------------------------------- */

/* xx or xx-YY: what names the language of a manual. */
static bool is_locale(const char *s, size_t n) {
  char code[8], canonical[DG_LANG_MAX];
  if ((n != 2 && n != 5) || (n == 5 && s[2] != '-' && s[2] != '_')) return false;
  for (size_t i = 0; i < n; i++)
    if (i != 2 && !isalpha((unsigned char)s[i])) return false;
  snprintf(code, sizeof code, "%.*s", (int)n, s);
  return dg_lang_canonical(code, canonical, NULL);
}

/* .../NAME.LANG.html or .../LANG/NAME.html; without a language it is English. */
bool dg_html_place(const char *path, dg_strbuf *locale, dg_strbuf *document) {
  size_t n = strlen(path);
  if (n < 6 || strcmp(path + n - 5, ".html") || strncmp(path, "usr/share/", 10)) return false;
  const char *name = strrchr(path, '/') + 1, *end = path + n - 5, *dot = end;
  while (dot > name && dot[-1] != '.') dot--;
  if (dot > name && is_locale(dot, (size_t)(end - dot))) {
    dg_strbuf_addn(locale, dot, (size_t)(end - dot));
    dg_strbuf_addn(document, name, (size_t)(dot - 1 - name));
  } else {
    const char *part = path, *slash;
    while ((slash = strchr(part, '/')) && !is_locale(part, (size_t)(slash - part)))
      part = slash + 1;
    if (slash) dg_strbuf_addn(locale, part, (size_t)(slash - part));
    else dg_strbuf_add(locale, "en");
    dg_strbuf_add(document, slash ? slash + 1 : name);
    document->text[document->length -= 5] = 0;
  }
  if (!strncasecmp(locale->text, "en", 2)) {
    dg_strbuf_clear(locale);
    dg_strbuf_add(locale, "en");
  }
  return true;
}

/* The packages whose manuals have the same structure in every language. */
static const char *const *html_english(const char *package) {
  static const struct {
    const char *start;
    const char *english[2];
  } manuals[] = {{"aptitude-doc-", {"aptitude-doc-en"}},
                 {"debian-faq", {"debian-faq"}},
                 {"debian-handbook", {"debian-handbook"}},
                 {"debian-reference-", {"debian-reference-en"}},
                 {"developers-reference", {"developers-reference"}},
                 {"gimp-help-", {"gimp-help-en"}},
                 {"harden-doc", {"harden-doc"}},
                 {"installation-guide-", {"installation-guide-amd64"}},
                 {"maint-guide", {"maint-guide"}}};
  for (size_t i = 0; i < sizeof manuals / sizeof *manuals; i++)
    if (!strncmp(package, manuals[i].start, strlen(manuals[i].start))) return manuals[i].english;
  return NULL;
}

static void read_html(const char *root, const char *english_root, const dg_pair_sink *sink) {
  static const dg_document_kind kind = {dg_html_place, dg_html_outline, DG_ALIGN_ALL};
  dg_read_documents(&kind, root, english_root, sink);
}

const dg_source dg_source_html = {"html", false, html_english, read_html};
