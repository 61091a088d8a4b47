/* UTF-8: a code point at a time, how many, whether it is. */
#ifndef DG_CORE_UTF8_H
#define DG_CORE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Offset of the first byte that is not well-formed, or n if all is. */
size_t dg_utf8_valid_prefix(const char *s, size_t n);
/* A copy with U+FFFD in place of each such byte; the caller frees it. */
char *dg_utf8_repair(const char *s);

/* Code points of well-formed text. */
static inline size_t dg_utf8_count(const char *s, size_t n) {
  size_t count = 0;
  for (size_t i = 0; i < n; i++) count += ((unsigned char)s[i] & 0xC0) != 0x80;
  return count;
}

/* The code point at *p < end, which moves past it. Text is well-formed; of text
 * that is not, stray bytes stand for themselves. */
static inline uint32_t dg_utf8_next(const char **p, const char *end) {
  const unsigned char *s = (const unsigned char *)*p;
  int64_t left = end - *p;
  int n = s[0] < 0x80 ? 1 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
  if (s[0] < 0xC0 || n > left) n = 1;
  *p += n;
  switch (n) {
    case 1: return s[0];
    case 2: return (s[0] & 0x1Fu) << 6 | (s[1] & 0x3Fu);
    case 3: return (s[0] & 0x0Fu) << 12 | (s[1] & 0x3Fu) << 6 | (s[2] & 0x3Fu);
    default:
      return (s[0] & 0x07u) << 18 | (s[1] & 0x3Fu) << 12 | (s[2] & 0x3Fu) << 6 | (s[3] & 0x3Fu);
  }
}

#endif
