#include "data/message_text.h"

#include <ctype.h>
#include <string.h>

bool dg_next_line(dg_text_lines *l, const char **line, size_t *n) {
  if (l->at >= l->end) return false;
  const char *newline = memchr(l->at, '\n', (size_t)(l->end - l->at));
  *line = l->at;
  *n = (size_t)((newline ? newline : l->end) - l->at);
  l->at = newline ? newline + 1 : l->end;
  if (*n && (*line)[*n - 1] == '\r') --*n;
  return true;
}

void dg_add_point(dg_strbuf *b, uint32_t c) {
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

bool dg_hex(const char *s, const char *end, int n, uint32_t *out) {
  *out = 0;
  if (end - s < n) return false;
  for (int i = 0; i < n; i++) {
    if (!isxdigit((unsigned char)s[i])) return false;
    int d = isdigit((unsigned char)s[i]) ? s[i] - '0' : (s[i] | 32) - 'a' + 10;
    *out = *out << 4 | (uint32_t)d;
  }
  return true;
}
