#include "tokenizer/placeholders.h"

#include <ctype.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { PLACEHOLDERS_MOST = 64 };

static size_t printf_length(const char *p) { /* %s %1$d %'d %-5.2f %lu %%  */
  size_t n = 1;
  if (p[1] == '%') return 2;
  while (p[n] && strchr("0123456789$-+ #'.*", p[n]) && !(p[n] == ' ')) n++;
  while (p[n] && strchr("hlLqjzt", p[n])) n++;
  if (p[n] && strchr("diouxXeEfFgGcsSpnmMLQ@", p[n]) && !isalpha((unsigned char)p[n + 1]))
    return n + 1;
  return 0;
}

static size_t qt_length(const char *p) { /* %1 %L12 */
  size_t n = 1 + (p[1] == 'L'), digits = 0;
  while (digits < 2 && isdigit((unsigned char)p[n + digits])) digits++;
  return digits && p[n] != '0' ? n + digits : 0;
}

static size_t up_to(const char *p, char close, size_t most) {
  for (size_t i = 1; p[i] && i < most; i++)
    if (p[i] == close) return i + 1;
  return 0;
}

/* Length of the placeholder or tag at p, 0 if none is. */
static size_t placeholder_length(const char *p) {
  switch (*p) {
    case '%': {
      size_t n = printf_length(p), k = 1;
      if (p[1] == '(' || p[1] == '{') { /* %(name)s %{name} */
        size_t m = up_to(p + 1, p[1] == '(' ? ')' : '}', 40);
        if (m) return 1 + m + (p[1] == '(' && isalpha((unsigned char)p[1 + m]));
      }
      while (isupper((unsigned char)p[k]) || p[k] == '_') k++; /* %PRODUCTNAME */
      if (k > 3) return k;
      return n ? n : qt_length(p);
    }
    case '{':
      return isalnum((unsigned char)p[1]) || p[1] == '}' || p[1] == ' ' || p[1] == '$'
                 ? up_to(p, '}', 60)
                 : 0;
    case '$': {
      if (p[1] == '(' || p[1] == '{' || p[1] == '[') {
        size_t m = up_to(p + 1, p[1] == '(' ? ')' : p[1] == '{' ? '}' : ']', 60);
        return m ? m + 1 : 0;
      }
      size_t n = 1;
      while (isalnum((unsigned char)p[n]) || p[n] == '_') n++;
      return n > 1 && !isdigit((unsigned char)p[1]) ? n : 0;
    }
    case '<': return isalpha((unsigned char)p[1]) || p[1] == '/' ? up_to(p, '>', 400) : 0;
    case '&': {
      size_t n = 1;
      while (isalnum((unsigned char)p[n]) || p[n] == '#') n++;
      return n > 1 && p[n] == ';' ? n + 1 : 0;
    }
    case '\\': return p[1] == 'n' || p[1] == 't' || p[1] == '"' || p[1] == '\\' ? 2 : 0;
    default: return 0;
  }
}

typedef struct span {
  const char *text;
  size_t length;
} span;

static int by_text(const void *a, const void *b) {
  const span *x = a, *y = b;
  size_t n = x->length < y->length ? x->length : y->length;
  int c = memcmp(x->text, y->text, n);
  return c ? c : x->length < y->length ? -1 : x->length > y->length;
}

static size_t placeholders(const char *text, span *out) {
  size_t n = 0;
  for (const char *p = text; *p;) {
    size_t length = placeholder_length(p);
    if (length && n < PLACEHOLDERS_MOST) {
      out[n] = (span){p, length};
      if (*p == '<') out[n].length = strcspn(p, " >"); /* attributes may be translated */
      n++;
    }
    p += length ? length : 1;
  }
  qsort(out, n, sizeof *out, by_text);
  return n;
}

bool dg_placeholders_same(const char *a, const char *b) {
  span x[PLACEHOLDERS_MOST], y[PLACEHOLDERS_MOST];
  size_t n = placeholders(a, x);
  if (n != placeholders(b, y)) return false;
  for (size_t i = 0; i < n; i++)
    if (by_text(&x[i], &y[i])) return false;
  return true;
}
