#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "data/message_text.h"
#include "data/messages.h"

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
    else if (s + 1 < end && s[1] == 'u' && dg_hex(s + 2, end, 4, &c)) dg_add_point(out, c), s += 5;
    else if (s + 1 < end && s[1] == 'U' && dg_hex(s + 2, end, 6, &c)) dg_add_point(out, c), s += 7;
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
  dg_text_lines l = {text, text + size};
  const char *s;
  size_t n;
  while (dg_next_line(&l, &s, &n)) {
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
