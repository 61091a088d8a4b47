#include "data/mozilla.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>

#include "mt/core/file.h"
#include "mt/core/mem.h"

/* --- lines ----------------------------------------------------------------------------------- */

typedef struct lines {
  const char *at, *end;
} lines;

/* The next line, without its end. */
static bool next_line(lines *l, const char **line, size_t *n) {
  if (l->at >= l->end) return false;
  const char *newline = memchr(l->at, '\n', (size_t)(l->end - l->at));
  *line = l->at;
  *n = (size_t)((newline ? newline : l->end) - l->at);
  l->at = newline ? newline + 1 : l->end;
  if (*n && (*line)[*n - 1] == '\r') --*n;
  return true;
}

static void add_point(dg_strbuf *b, uint32_t c) {
  if (c < 0x80) {
    dg_strbuf_addc(b, (char)c);
    return;
  }
  if (c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) c = 0xFFFD;
  if (c >= 0x10000) {
    dg_strbuf_addc(b, (char)(0xF0 | c >> 18));
    dg_strbuf_addc(b, (char)(0x80 | (c >> 12 & 0x3F)));
  } else if (c >= 0x800) {
    dg_strbuf_addc(b, (char)(0xE0 | c >> 12));
  }
  if (c >= 0x800) dg_strbuf_addc(b, (char)(0x80 | (c >> 6 & 0x3F)));
  else dg_strbuf_addc(b, (char)(0xC0 | c >> 6));
  dg_strbuf_addc(b, (char)(0x80 | (c & 0x3F)));
}

/* n hexadecimal digits at s; false if some are missing. */
static bool hex(const char *s, const char *end, int n, uint32_t *out) {
  *out = 0;
  if (end - s < n) return false;
  for (int i = 0; i < n; i++) {
    if (!isxdigit((unsigned char)s[i])) return false;
    int d = isdigit((unsigned char)s[i]) ? s[i] - '0' : (s[i] | 32) - 'a' + 10;
    *out = *out << 4 | (uint32_t)d;
  }
  return true;
}

/* --- Fluent ---------------------------------------------------------------------------------- */

enum { NESTED_MOST = 20 };

static size_t identifier(const char *s, const char *end) {
  const char *p = s;
  if (p < end && isalpha((unsigned char)*p))
    while (p < end && (isalnum((unsigned char)*p) || *p == '-' || *p == '_')) p++;
  return (size_t)(p - s);
}

/* The quote that ends a literal, or NULL. */
static const char *literal_end(const char *s, const char *end) {
  for (s++; s < end && *s != '"'; s++)
    if (*s == '\\') s++;
  return s < end ? s : NULL;
}

/* The brace that ends the placeable opened at s, or NULL. */
static const char *placeable_end(const char *s, const char *end) {
  int depth = 0;
  for (; s && s < end; s++) {
    if (*s == '"' && depth) {
      if (!(s = literal_end(s, end))) return NULL;
    } else if (*s == '{') {
      if (++depth > NESTED_MOST) return NULL;
    } else if (*s == '}' && !--depth) {
      return s;
    }
  }
  return NULL;
}

static void add_literal(const char *s, const char *end, dg_strbuf *out) {
  uint32_t c;
  for (s++; s < end; s++) {
    if (*s != '\\') dg_strbuf_addc(out, *s);
    else if (s + 1 < end && s[1] == 'u' && hex(s + 2, end, 4, &c)) add_point(out, c), s += 5;
    else if (s + 1 < end && s[1] == 'U' && hex(s + 2, end, 6, &c)) add_point(out, c), s += 7;
    else if (s + 1 < end) dg_strbuf_addc(out, *++s);
  }
}

static bool add_pattern(const char *s, const char *end, dg_strbuf *out, int depth);

/* The default variant, "*[key] pattern", of a select expression's variants. */
static bool add_default(const char *s, const char *end, dg_strbuf *out, int depth) {
  const char *begin = NULL;
  bool line_start = true;
  for (const char *p = s; p < end; p++) {
    if (*p == '{') { /* what is nested has variants of its own */
      if (!(p = placeable_end(p, end))) return false;
      line_start = false;
      continue;
    }
    if (line_start && (*p == '[' || (*p == '*' && p + 1 < end && p[1] == '['))) {
      if (begin) return add_pattern(begin, p, out, depth);
      const char *close = memchr(p, ']', (size_t)(end - p));
      if (!close) return false;
      if (*p == '*') begin = close + 1;
      p = close;
    }
    line_start = *p == '\n' || (line_start && (*p == ' ' || *p == '\r'));
  }
  return begin && add_pattern(begin, end, out, depth);
}

/* What stands between the braces. */
static bool add_placeable(const char *s, const char *end, dg_strbuf *out, int depth) {
  while (s < end && isspace((unsigned char)*s)) s++;
  while (end > s && isspace((unsigned char)end[-1])) end--;
  if (s == end) return false;
  if (*s == '{' && placeable_end(s, end) == end - 1)
    return depth < NESTED_MOST && add_placeable(s + 1, end - 1, out, depth + 1);
  for (const char *p = s; p + 1 < end; p++) {
    if (*p == '"' && !(p = literal_end(p, end))) return false;
    if (*p == '{') break;
    if (*p == '-' && p[1] == '>') return add_default(p + 2, end, out, depth + 1);
  }
  if (*s == '"' && literal_end(s, end) == end - 1) {
    add_literal(s, end - 1, out);
    return true;
  }
  /* A term's case or gender is the translation's own affair. */
  const char *open = *s == '-' ? memchr(s, '(', (size_t)(end - s)) : NULL;
  if (open) end = open;
  dg_strbuf_add(out, "{ ");
  dg_strbuf_addn(out, s, (size_t)(end - s));
  dg_strbuf_add(out, " }");
  return true;
}

static bool add_pattern(const char *s, const char *end, dg_strbuf *out, int depth) {
  if (depth > NESTED_MOST) return false;
  while (s < end && isspace((unsigned char)*s)) s++;
  while (end > s && isspace((unsigned char)end[-1])) end--;
  while (s < end) {
    if (*s != '{') {
      dg_strbuf_addc(out, *s++);
      continue;
    }
    const char *close = placeable_end(s, end);
    if (!close || !add_placeable(s + 1, close, out, depth + 1)) return false;
    s = close + 1;
  }
  return true;
}

typedef struct fluent {
  dg_message_visit *visit;
  void *context;
  dg_strbuf id, pattern, text; /* of the message, as written, and resolved */
  size_t message;              /* length of the id without attribute; 0: none */
  bool open;
} fluent;

static void end_pattern(fluent *f) {
  dg_strbuf_clear(&f->text);
  if (f->open && f->pattern.length && !memchr(f->pattern.text, 0, f->pattern.length) &&
      add_pattern(f->pattern.text, f->pattern.text + f->pattern.length, &f->text, 0) &&
      f->text.length)
    f->visit(f->context, f->id.text, f->text.text);
  dg_strbuf_clear(&f->pattern);
  f->open = false;
}

/* What follows the name: "= pattern". */
static bool begin_pattern(fluent *f, const char *s, const char *end) {
  while (s < end && *s == ' ') s++;
  if (s == end || *s != '=') return false;
  f->open = true;
  dg_strbuf_addn(&f->pattern, s + 1, (size_t)(end - s - 1));
  return true;
}

static void set_id(fluent *f, size_t keep, const char *s, size_t n) {
  f->id.length = keep;
  dg_strbuf_addn(&f->id, s, n);
}

void dg_fluent_read(const char *text, size_t size, dg_message_visit *visit, void *context) {
  fluent f = {.visit = visit, .context = context};
  lines l = {text, text + size};
  const char *s;
  size_t n;
  while (next_line(&l, &s, &n)) {
    const char *end = s + n, *p = s;
    while (p < end && *p == ' ') p++;
    if (p == end) {
      if (f.open) dg_strbuf_addc(&f.pattern, '\n');
      continue;
    }
    if (p == s && *s != '}') { /* a new entry; what is no message ends the last one too */
      end_pattern(&f);
      bool term = *s == '-';
      size_t name = identifier(s + term, end);
      set_id(&f, 0, s, name ? name + term : 0);
      f.message = name && begin_pattern(&f, s + term + name, end) ? name + term : 0;
      continue;
    }
    if (*p == '.' && f.message && identifier(p + 1, end)) {
      size_t name = identifier(p + 1, end);
      const char *after = p + 1 + name;
      while (after < end && *after == ' ') after++;
      if (after < end && *after == '=') {
        end_pattern(&f);
        set_id(&f, f.message, p, name + 1);
        begin_pattern(&f, after, end);
        continue;
      }
    }
    if (f.open) {
      dg_strbuf_addc(&f.pattern, '\n');
      dg_strbuf_addn(&f.pattern, s, n);
    }
  }
  end_pattern(&f);
  free(f.id.text);
  free(f.pattern.text);
  free(f.text.text);
}

/* --- properties ------------------------------------------------------------------------------ */

static void add_unescaped(dg_strbuf *b, const char *s, const char *end) {
  for (; s < end; s++) {
    uint32_t c, low;
    if (*s != '\\' || s + 1 == end) {
      dg_strbuf_addc(b, *s);
      continue;
    }
    s++;
    if (*s == 'u' && hex(s + 1, end, 4, &c)) {
      s += 4;
      if (c >= 0xD800 && c < 0xDC00 && end - s > 6 && s[1] == '\\' && s[2] == 'u' &&
          hex(s + 3, end, 4, &low) && low >= 0xDC00 && low < 0xE000) {
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
        s += 6;
      }
      if (c) add_point(b, c);
    } else {
      dg_strbuf_addc(b, *s == 'n' || *s == 't' || *s == 'r' ? ' ' : *s);
    }
  }
}

static void skip_space(const char **s, size_t *n) {
  while (*n && isspace((unsigned char)**s)) ++*s, --*n;
}

void dg_properties_read(const char *text, size_t size, dg_message_visit *visit, void *context) {
  lines l = {text, text + size};
  dg_strbuf whole = {0}, id = {0}, value = {0};
  const char *s;
  size_t n;
  while (next_line(&l, &s, &n)) {
    dg_strbuf_clear(&whole);
    skip_space(&s, &n);
    if (!n || *s == '#' || *s == '!') continue; /* a comment is one line, whatever ends it */
    for (bool more = true; more; skip_space(&s, &n)) { /* an odd number of backslashes joins */
      size_t slashes = 0;
      while (slashes < n && s[n - 1 - slashes] == '\\') slashes++;
      more = slashes % 2;
      dg_strbuf_addn(&whole, s, n - more);
      if (more) more = next_line(&l, &s, &n);
    }
    if (!whole.length || memchr(whole.text, 0, whole.length)) continue;
    const char *key_end = whole.text + strcspn(whole.text, "=: \t"), *from = key_end;
    from += strspn(from, " \t");
    if (*from == '=' || *from == ':') from++;
    from += strspn(from, " \t");
    dg_strbuf_clear(&id);
    dg_strbuf_clear(&value);
    dg_strbuf_addn(&id, whole.text, (size_t)(key_end - whole.text));
    add_unescaped(&value, from, whole.text + whole.length);
    if (id.length && value.length) visit(context, id.text, value.text);
  }
  free(whole.text);
  free(id.text);
  free(value.text);
}

/* --- DTD ------------------------------------------------------------------------------------- */

/* Entities of characters become them; others are placeholders. */
static void add_expanded(dg_strbuf *b, const char *s, const char *end) {
  static const struct {
    const char *name;
    char c;
  } known[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}};
  while (s < end) {
    size_t i = 0;
    while (i < 5 && strncmp(s, known[i].name, strlen(known[i].name))) i++;
    if (i < 5) {
      dg_strbuf_addc(b, known[i].c);
      s += strlen(known[i].name);
    } else if (s[0] == '&' && s[1] == '#') {
      bool is_hex = s[2] == 'x';
      char *after;
      unsigned long c = strtoul(s + (is_hex ? 3 : 2), &after, is_hex ? 16 : 10);
      if (*after != ';' || !c || c > 0x10FFFF) dg_strbuf_addc(b, *s++);
      else add_point(b, (uint32_t)c), s = after + 1;
    } else {
      dg_strbuf_addc(b, *s++);
    }
  }
}

void dg_dtd_read(const char *text, size_t size, dg_message_visit *visit, void *context) {
  char *copy = dg_strndup(text, size), *end = copy + strlen(copy);
  dg_strbuf id = {0}, value = {0};
  for (const char *s = copy; (s = strchr(s, '<'));) {
    if (!strncmp(s, "<!--", 4)) {
      if (!(s = strstr(s, "-->"))) break;
      continue;
    }
    if (strncmp(s, "<!ENTITY", 8) || !isspace((unsigned char)s[8])) {
      s++;
      continue;
    }
    s += 8 + strspn(s + 8, " \t\r\n");
    size_t n = strcspn(s, " \t\r\n%'\"<>");
    dg_strbuf_clear(&id);
    dg_strbuf_addn(&id, s, n);
    s += n + strspn(s + n, " \t\r\n");
    if (!n || (*s != '"' && *s != '\'')) continue;
    const char *close = memchr(s + 1, *s, (size_t)(end - s - 1));
    if (!close) break;
    dg_strbuf_clear(&value);
    add_expanded(&value, s + 1, close);
    if (value.length) visit(context, id.text, value.text);
    s = close;
  }
  free(id.text);
  free(value.text);
  free(copy);
}

/* --- archives -------------------------------------------------------------------------------- */

enum { ENTRY_MOST = 4 << 20, ENTRIES_MOST = 100000 };

typedef struct message {
  char *key; /* "document\1id" */
  char *text;
  size_t order;
} message;

/* The messages of one language. */
typedef struct messages {
  message *list;
  size_t count, capacity;
  const char *document; /* being read */
} messages;

/* Keys, sizes and addresses are no language. */
static bool is_text(const char *id) {
  static const char *const ends[] = {"accesskey", "commandkey", ".key",   ".style",  ".width",
                                     ".height",   "Accesskey",  "AccessKey", ".size", "URL", NULL};
  for (const char *const *e = ends; *e; e++)
    if (dg_ends_with(id, *e)) return false;
  return true;
}

static void keep(void *context, const char *id, const char *text) {
  messages *m = context;
  size_t n = strlen(text);
  /* "#1 tab;#1 tabs" holds a plural's forms, as many as the language has. */
  if (!is_text(id) || dg_utf8_valid_prefix(text, n) != n ||
      (strchr(text, ';') && strstr(text, "#1")))
    return;
  DG_GROW(m->list, m->capacity, m->count + 1);
  m->list[m->count] =
      (message){dg_format("%s\1%s", m->document, id), dg_strndup(text, n), m->count};
  m->count++;
}

/* "browser/localization/gl/toolkit/about.ftl" is "toolkit/about.ftl" in "gl"; so is
 * "chrome/gl/locale/gl/global/x.properties" "global/x.properties". */
static const char *document_of(const char *path, const char **locale, size_t *n) {
  static const char *const marks[] = {"localization/", "locale/"};
  for (int i = 0; i < 2; i++) {
    const char *at = strstr(path, marks[i]);
    if (!at || (at > path && at[-1] != '/')) continue;
    *locale = at + strlen(marks[i]);
    const char *slash = strchr(*locale, '/');
    if (!slash) return NULL;
    *n = (size_t)(slash - *locale);
    return slash + 1;
  }
  return NULL;
}

static void read_entry(zip_t *z, zip_uint64_t i, const char *name, messages *out) {
  zip_stat_t s;
  if (zip_stat_index(z, i, 0, &s) || !(s.valid & ZIP_STAT_SIZE) || s.size > ENTRY_MOST) return;
  zip_file_t *f = zip_fopen_index(z, i, 0);
  if (!f) return;
  char *text = dg_malloc((size_t)s.size + 1);
  zip_int64_t n = zip_fread(f, text, s.size);
  zip_fclose(f);
  if (n > 0) {
    text[n] = 0;
    if (dg_ends_with(name, ".ftl")) dg_fluent_read(text, (size_t)n, keep, out);
    else if (dg_ends_with(name, ".properties")) dg_properties_read(text, (size_t)n, keep, out);
    else if (dg_ends_with(name, ".dtd")) dg_dtd_read(text, (size_t)n, keep, out);
  }
  free(text);
}

typedef struct entry {
  zip_uint64_t index;
  const char *name, *document;
} entry;

static int by_entry(const void *a, const void *b) {
  const entry *x = a, *y = b;
  int c = strcmp(x->document, y->document);
  return c ? c : strcmp(x->name, y->name);
}

/* The archive's messages in one locale; "" takes the first locale but English that
 * the sink wants, and writes it to `locale`. */
static void read_archive(const char *path, char locale[64], const dg_pair_sink *sink,
                         messages *out) {
  zip_t *z = zip_open(path, ZIP_RDONLY, NULL);
  if (!z) return;
  zip_int64_t total = zip_get_num_entries(z, 0);
  entry *list = NULL;
  size_t count = 0, capacity = 0;
  for (zip_int64_t i = 0; i < total && i < ENTRIES_MOST; i++) {
    const char *name = zip_get_name(z, (zip_uint64_t)i, ZIP_FL_ENC_RAW), *code;
    size_t n;
    if (!name || !(dg_ends_with(name, ".ftl") || dg_ends_with(name, ".properties") ||
                   dg_ends_with(name, ".dtd")))
      continue;
    const char *document = document_of(name, &code, &n);
    if (!document || n >= 64 || !*document) continue;
    if (!*locale) {
      char found[64];
      snprintf(found, sizeof found, "%.*s", (int)n, code);
      if (!strcmp(found, "en-US") || !sink->wants(sink->context, found)) continue;
      memcpy(locale, found, sizeof found);
    }
    if (strlen(locale) != n || strncmp(code, locale, n)) continue;
    DG_GROW(list, capacity, count + 1);
    list[count++] = (entry){(zip_uint64_t)i, name, document};
  }
  if (count) qsort(list, count, sizeof *list, by_entry);
  for (size_t i = 0; i < count; i++) {
    out->document = list[i].document;
    read_entry(z, list[i].index, list[i].name, out);
  }
  free(list);
  zip_discard(z);
}

static int by_key(const void *a, const void *b) {
  const message *x = a, *y = b;
  int c = strcmp(x->key, y->key);
  return c ? c : x->order < y->order ? -1 : x->order > y->order;
}

static int find_key(const void *a, const void *b) {
  return strcmp(a, ((const message *)b)->key);
}

static void messages_free(messages *m) {
  for (size_t i = 0; i < m->count; i++) {
    free(m->list[i].key);
    free(m->list[i].text);
  }
  free(m->list);
  *m = (messages){0};
}

/* Sorted; of a key that several archives have, the first stays. */
static void sort_messages(messages *m) {
  if (!m->count) return;
  qsort(m->list, m->count, sizeof *m->list, by_key);
  size_t kept = 1;
  for (size_t i = 1; i < m->count; i++) {
    if (strcmp(m->list[i].key, m->list[kept - 1].key)) {
      m->list[kept++] = m->list[i];
    } else {
      free(m->list[i].key);
      free(m->list[i].text);
    }
  }
  m->count = kept;
}

static bool is_archive(const char *path) {
  return dg_ends_with(path, ".xpi") || dg_ends_with(path, ".ja");
}

static void pair_up(const messages *english, const messages *other, const char *locale,
                    const dg_pair_sink *sink) {
  for (size_t i = 0; i < other->count; i++) {
    const message *m = &other->list[i];
    const message *e = english->count ? bsearch(m->key, english->list, english->count,
                                                sizeof *english->list, find_key)
                                      : NULL;
    if (!e) continue;
    char *document = dg_strndup(m->key, strcspn(m->key, "\1"));
    sink->pair(sink->context, locale, document, e->text, m->text);
    free(document);
  }
}

void dg_mozilla_read(const char *root, const char *english_root, const dg_pair_sink *sink) {
  size_t originals, packs;
  char **from = dg_list_files(english_root, &originals), **to = dg_list_files(root, &packs);
  messages english = {0};
  char en_us[64] = "en-US";
  for (size_t i = 0; i < originals; i++) {
    if (!is_archive(from[i])) continue;
    char *path = dg_format("%s/%s", english_root, from[i]);
    read_archive(path, en_us, sink, &english);
    free(path);
  }
  sort_messages(&english);
  for (size_t i = 0; i < packs; i++) {
    if (!is_archive(to[i])) continue;
    char *path = dg_format("%s/%s", root, to[i]), locale[64] = "";
    messages other = {0};
    read_archive(path, locale, sink, &other);
    sort_messages(&other);
    pair_up(&english, &other, locale, sink);
    messages_free(&other);
    free(path);
  }
  messages_free(&english);
  dg_free_files(from, originals);
  dg_free_files(to, packs);
}

static const char *const *english_of(const char *package) {
  static const char *const firefox[] = {"firefox-esr", NULL};
  static const char *const thunderbird[] = {"thunderbird", NULL};
  if (!strncmp(package, "firefox-esr-l10n-", 17)) return firefox;
  if (!strncmp(package, "thunderbird-l10n-", 17)) return thunderbird;
  return NULL;
}

const dg_source dg_source_mozilla = {"mozilla", false, english_of, dg_mozilla_read};
