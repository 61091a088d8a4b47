#include "data/libreoffice.h"

#include <libxml/HTMLparser.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MOST = 200 };

static const char *attribute(const xmlNode *e, const char *name) {
  for (const xmlAttr *a = e->properties; a; a = a->next)
    if (!strcmp((const char *)a->name, name))
      return a->children && a->children->content ? (const char *)a->children->content : "";
  return "";
}

static bool starts_with(const char *s, const char *start) {
  return !strncmp(s, start, strlen(start));
}

static bool is(const xmlNode *n, const char *name) {
  return n->type == XML_ELEMENT_NODE && !strcmp((const char *)n->name, name);
}

/* Of a switch's variants, one for each system, the one for the rest. */
static const xmlNode *usual_variant(const xmlNode *e) {
  const xmlNode *last = NULL;
  for (const xmlNode *n = e->children; n; n = n->next) {
    if (!is(n, "span")) continue;
    last = n;
    if (starts_with(attribute(n, "id"), "default")) return n;
  }
  return last;
}

static bool read_text(const xmlNode *e, dg_strbuf *out, int depth) {
  if (depth > DEPTH_MOST) return false;
  for (const xmlNode *n = e->children; n; n = n->next) {
    if (n->type == XML_TEXT_NODE && n->content) dg_strbuf_add(out, (const char *)n->content);
    if (n->type != XML_ELEMENT_NODE || is(n, "script") || is(n, "style")) continue;
    if (is(n, "img")) dg_strbuf_add(out, "<img/>");
    if (is(n, "br")) dg_strbuf_addc(out, ' ');
    bool raised = is(n, "sup") || is(n, "sub"); /* without its tags 10<sup>2</sup> is wrong */
    const xmlNode *inside = !strcmp(attribute(n, "class"), "switchinline") ? usual_variant(n) : n;
    if (raised) dg_strbuf_addf(out, "<%s>", (const char *)n->name);
    if (inside && !read_text(inside, out, depth + 1)) return false;
    if (raised) dg_strbuf_addf(out, "</%s>", (const char *)n->name);
  }
  return true;
}

static bool read_page(const xmlNode *e, dg_outline *o, int depth) {
  if (depth > DEPTH_MOST) return false;
  bool ok = true;
  for (const xmlNode *n = e->children; n && ok; n = n->next) {
    if (n->type != XML_ELEMENT_NODE) continue;
    const char *id = attribute(n, "id");
    if (!starts_with(id, "par_id") && !starts_with(id, "hd_id")) {
      ok = read_page(n, o, depth + 1);
      continue;
    }
    dg_strbuf text = {0};
    ok = read_text(n, &text, depth + 1);
    if (ok && text.length) dg_outline_add(o, dg_outline_key(0, id), text.text);
    free(text.text);
  }
  return ok;
}

bool dg_libreoffice_outline(const void *bytes, size_t size, dg_outline *o) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, xmlInitParser);
  if (size > INT32_MAX) return false;
  xmlDoc *doc = htmlReadMemory(bytes, (int)size, NULL, "UTF-8",
                               HTML_PARSE_RECOVER | HTML_PARSE_NONET | HTML_PARSE_NOERROR |
                                   HTML_PARSE_NOWARNING);
  const xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL;
  bool ok = root && read_page(root, o, 0);
  xmlFreeDoc(doc);
  return ok;
}

/* usr/share/libreoffice/help/LANG/text/NAME.html */
static bool place(const char *path, dg_strbuf *locale, dg_strbuf *document) {
  static const char directory[] = "usr/share/libreoffice/help/";
  const char *dot = strrchr(path, '.');
  if (!starts_with(path, directory) || !dot || strcmp(dot, ".html")) return false;
  const char *rest = path + sizeof directory - 1, *slash = strchr(rest, '/');
  if (!slash || !starts_with(slash, "/text/")) return false;
  bool english = starts_with(rest, "en-US/");
  dg_strbuf_addn(locale, english ? "en" : rest, english ? 2 : (size_t)(slash - rest));
  dg_strbuf_add(document, slash + strlen("/text/"));
  return true;
}

static const char *const *english(const char *package) {
  static const char *const packages[] = {"libreoffice-help-en-us", NULL};
  bool mine = starts_with(package, "libreoffice-help-") && strcmp(package, packages[0]) &&
              strcmp(package, "libreoffice-help-common");
  return mine ? packages : NULL;
}

static void read_help(const char *root, const char *english_root, const dg_pair_sink *sink) {
  static const dg_document_kind kind = {place, dg_libreoffice_outline, DG_ALIGN_IDS};
  dg_read_documents(&kind, root, english_root, sink);
}

const dg_source dg_source_libreoffice = {"libreoffice", false, english, read_help};
