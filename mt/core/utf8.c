#include "mt/core/utf8.h"

#include <string.h>

#include "mt/core/mem.h"

size_t dg_utf8_valid_prefix(const char *text, size_t n) {
  const unsigned char *s = (const unsigned char *)text;
  size_t i = 0;
  while (i < n) {
    if (s[i] < 0x80) {
      i++;
      continue;
    }
    size_t extra;
    uint32_t c, least;
    if (s[i] >= 0xC2 && s[i] <= 0xDF) {
      extra = 1, c = s[i] & 0x1Fu, least = 0x80;
    } else if ((s[i] & 0xF0) == 0xE0) {
      extra = 2, c = s[i] & 0x0Fu, least = 0x800;
    } else if (s[i] >= 0xF0 && s[i] <= 0xF4) {
      extra = 3, c = s[i] & 0x07u, least = 0x10000;
    } else {
      return i;
    }
    if (n - i <= extra) return i;
    for (size_t k = 1; k <= extra; k++) {
      if ((s[i + k] & 0xC0) != 0x80) return i;
      c = c << 6 | (s[i + k] & 0x3Fu);
    }
    if (c < least || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) return i;
    i += extra + 1;
  }
  return n;
}

char *dg_utf8_repair(const char *s) {
  dg_strbuf out = {0};
  dg_strbuf_add(&out, "");
  for (size_t left = strlen(s), n; left; left -= n + 1, s += n + 1) {
    dg_strbuf_addn(&out, s, n = dg_utf8_valid_prefix(s, left));
    if (n == left) break;
    dg_strbuf_add(&out, "\xEF\xBF\xBD");
  }
  return out.text;
}
