/* Text as Python's str sees it: sacreBLEU's scores hang on its notions of white
 * space, of lower case and of categories. */
#ifndef DG_EVAL_PYTEXT_H
#define DG_EVAL_PYTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mt/core/mem.h"

/* str.isspace() of one character. */
static inline bool dg_py_space(uint32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x1F);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

/* Bytes of the white-space character at s < end, 0 when there is another. */
size_t dg_py_space_at(const char *s, const char *end);

/* The length without trailing white space; where the text begins after leading. */
size_t dg_py_rstrip(const char *s, size_t n);
size_t dg_py_lstrip(const char *s, size_t n);

/* Without anything but white space? */
bool dg_py_blank(const char *s);

/* The next word of str.split(): moves *s beyond it; false when there is none. */
bool dg_py_word(const char **s, const char *end, const char **word, size_t *n);

/* Appends str.lower(). */
void dg_py_lower(const char *s, size_t n, dg_strbuf *out);

/* 'N', 'P' or 'S' when \p{N}, \p{P} or \p{S} of Python's regex matches; else 0. */
char dg_py_category(uint32_t c);

/* Appends a code point as UTF-8. */
void dg_py_put(dg_strbuf *out, uint32_t c);

/* repr() of a float: the shortest digits that read back the same. */
void dg_py_repr(double x, char out[32]);

#endif
