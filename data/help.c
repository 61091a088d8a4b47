#include "data/help.h"

#include <libxml/parser.h>
#include <libxml/tree.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MOST = 200 };

static bool is_one_of(const char *name, const char *const *list) {
  for (; *list; list++)
    if (!strcmp(name, *list)) return true;
  return false;
}

/* What is never text to translate, or differs because translators sign it. */
static bool skipped(const char *name) {
  static const char *const names[] = {
      "credit",      "years",         "license",      "include",     "revision",   "copyright",
      "author",      "authorgroup",   "editor",       "othercredit", "collab",     "corpauthor",
      "publisher",   "publishername", "revhistory",   "legalnotice", "releaseinfo", "date",
      "pubdate",     "keywordset",    "screen",       "programlisting", "listing", "synopsis",
      "cmdsynopsis", "literallayout", "indexterm",    "footnote",    "remark",     "comment",
      "address",     "bibliography",  "index",        "equation",    NULL};
  return is_one_of(name, names);
}

/* Elements that hold a paragraph even when all its text is inside inline ones. */
static bool is_paragraph(const char *name) {
  static const char *const names[] = {"p",     "title", "subtitle", "desc", "para", "simpara",
                                      "term",  "titleabbrev", "member", NULL};
  return is_one_of(name, names);
}

/* Blocks that DocBook allows inside a paragraph: they end it. */
static bool is_block(const char *name) {
  static const char *const names[] = {
      "itemizedlist", "orderedlist", "variablelist", "simplelist",    "segmentedlist", "procedure",
      "table",        "informaltable", "figure",     "informalfigure", "mediaobject",  "screenshot",
      "example",      "informalexample", "note",     "tip",           "warning",       "caution",
      "important",    "blockquote",  "glosslist",    "calloutlist",   "qandaset",      "para",
      "simpara",      "formalpara",  "informalequation", NULL};
  return is_one_of(name, names);
}

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
  const char *value = e && e->etype == XML_INTERNAL_GENERAL_ENTITY ? (const char *)e->content : NULL;
  if (value && !strpbrk(value, "<&") && strlen(value) < 200)
    dg_strbuf_add(out, value);
  else
    dg_strbuf_addf(out, "&%s;", name_of(n));
}

typedef struct reader {
  dg_outline *o;
  bool too_deep;
} reader;

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
    } else if (n->type == XML_ELEMENT_NODE && is_block(name_of(n))) {
      if (run->length && !blank(run->text)) dg_outline_add(r->o, key, run->text);
      dg_strbuf_clear(run);
      read_block(r, n, key, depth + 1);
    } else if (n->type == XML_ELEMENT_NODE && !skipped(name_of(n))) {
      dg_strbuf_addf(run, n->children ? "<%s>" : "<%s/>", name_of(n));
      read_inline(r, n, key, run, depth + 1);
      if (n->children) dg_strbuf_addf(run, "</%s>", name_of(n));
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
  if (skipped(name_of(e)) || !strcmp(name_of(e), "code") || is_credits(e)) return;
  uint64_t key = dg_outline_key(parent, name_of(e));
  if (is_paragraph(name_of(e)) || has_text(e)) {
    dg_strbuf run = {0};
    read_inline(r, e, key, &run, depth);
    if (run.length && !blank(run.text)) dg_outline_add(r->o, key, run.text);
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
  if (memmem(text, size, "<!DOCTYPE", 9)) return xmlReadMemory(text, (int)size, NULL, NULL, options);
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

bool dg_help_outline(const void *bytes, size_t size, dg_outline *o) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, xmlInitParser);
  if (size > INT32_MAX / 2) return false;
  /* Without NOENT and DTDLOAD no entity is fetched or unfolded; without HUGE depth and
   * size of what is read stay bounded. */
  xmlDoc *doc = parse(bytes, size);
  const xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL;
  reader r = {o, false};
  if (root) read_block(&r, root, 0, 0);
  xmlFreeDoc(doc);
  return root && !r.too_deep;
}

/* usr/share/help/LANG/NAME..., English under C; KDE: usr/share/doc/HTML/LANG/..., en. */
bool dg_help_place(const char *path, dg_strbuf *locale, dg_strbuf *document) {
  static const struct {
    const char *directory, *english;
  } places[] = {{"usr/share/help/", "C"}, {"usr/share/doc/HTML/", "en"},
                {"usr/share/doc/kde/HTML/", "en"}};
  const char *dot = strrchr(path, '.');
  if (!dot || (strcmp(dot, ".page") && strcmp(dot, ".docbook") && strcmp(dot, ".xml"))) return false;
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
