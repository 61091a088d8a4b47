#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "data/message_text.h"
#include "data/messages.h"

static void add_unescaped(dg_strbuf *b, const char *s, const char *end) {
  for (; s < end; s++) {
    uint32_t c, low;
    if (*s != '\\' || s + 1 == end) {
      dg_strbuf_addc(b, *s);
      continue;
    }
    s++;
    if (*s == 'u' && dg_hex(s + 1, end, 4, &c)) {
      s += 4;
      if (c >= 0xD800 && c < 0xDC00 && end - s > 6 && s[1] == '\\' && s[2] == 'u' &&
          dg_hex(s + 3, end, 4, &low) && low >= 0xDC00 && low < 0xE000) {
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
        s += 6;
      }
      if (c) dg_add_point(b, c);
    } else {
      dg_strbuf_addc(b, *s == 'n' || *s == 't' || *s == 'r' ? ' ' : *s);
    }
  }
}

static void skip_space(const char **s, size_t *n) {
  while (*n && isspace((unsigned char)**s)) ++*s, --*n;
}

void dg_properties_read(const char *text, size_t size, dg_message_visit *visit, void *context) {
  dg_text_lines l = {text, text + size};
  dg_strbuf whole = {0}, id = {0}, value = {0};
  const char *s;
  size_t n;
  while (dg_next_line(&l, &s, &n)) {
    dg_strbuf_clear(&whole);
    skip_space(&s, &n);
    if (!n || *s == '#' || *s == '!') continue; /* a comment is one line, whatever ends it */
    for (bool more = true; more; skip_space(&s, &n)) { /* an odd number of backslashes joins */
      size_t slashes = 0;
      while (slashes < n && s[n - 1 - slashes] == '\\') slashes++;
      more = slashes % 2;
      dg_strbuf_addn(&whole, s, n - more);
      if (more) more = dg_next_line(&l, &s, &n);
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
