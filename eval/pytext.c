#include "eval/pytext.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unicode/uchar.h>

#include "mt/core/utf8.h"

/* --- white space --------------------------------------------------------------------------- */

size_t dg_py_space_at(const char *s, const char *end) {
  unsigned char c = (unsigned char)*s;
  if (c < 0x80) return dg_py_space(c);
  if (c != 0xC2 && c != 0xE1 && c != 0xE2 && c != 0xE3) return 0;
  const char *next = s;
  return dg_py_space(dg_utf8_next(&next, end)) ? (size_t)(next - s) : 0;
}

size_t dg_py_rstrip(const char *s, size_t n) {
  while (n) {
    size_t from = n - 1;
    while (from && ((unsigned char)s[from] & 0xC0) == 0x80) from--;
    if (!dg_py_space_at(s + from, s + n)) break;
    n = from;
  }
  return n;
}

size_t dg_py_lstrip(const char *s, size_t n) {
  size_t i = 0, space;
  while (i < n && (space = dg_py_space_at(s + i, s + n))) i += space;
  return i;
}

bool dg_py_blank(const char *s) {
  size_t n = strlen(s);
  return dg_py_lstrip(s, n) == n;
}

bool dg_py_word(const char **s, const char *end, const char **word, size_t *n) {
  /* 1: white space; 2: a byte that may begin such a character. */
  static const unsigned char classes[256] = {
      ['\t'] = 1, ['\n'] = 1, ['\v'] = 1, ['\f'] = 1, ['\r'] = 1, [' '] = 1,  [0x1C] = 1,
      [0x1D] = 1, [0x1E] = 1, [0x1F] = 1, [0xC2] = 2, [0xE1] = 2, [0xE2] = 2, [0xE3] = 2};
  const char *p = *s;
  size_t space;
  while (p < end && (space = dg_py_space_at(p, end))) p += space;
  *word = p;
  for (; p < end; p++) {
    unsigned char class = classes[(unsigned char)*p];
    if (class == 1 || (class == 2 && dg_py_space_at(p, end))) break;
  }
  *n = (size_t)(p - *word);
  *s = p;
  return *n > 0;
}

/* --- case ---------------------------------------------------------------------------------- */

void dg_py_put(dg_strbuf *out, uint32_t c) {
  char s[4];
  size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
  if (n == 1) {
    s[0] = (char)c;
  } else {
    for (size_t i = n; --i; c >>= 6) s[i] = (char)(0x80 | (c & 0x3F));
    s[0] = (char)((0xF00u >> n & 0xFFu) | c);
  }
  dg_strbuf_addn(out, s, n);
}

/* Unicode's Final_Sigma: after a cased letter and before none, case-ignorable characters
 * apart. */
static bool final_sigma(const char *text, const char *sigma, const char *after, const char *end) {
  bool cased = false;
  for (const char *p = sigma; p > text;) {
    do p--;
    while (p > text && ((unsigned char)*p & 0xC0) == 0x80);
    const char *q = p;
    UChar32 c = (UChar32)dg_utf8_next(&q, end);
    if (u_hasBinaryProperty(c, UCHAR_CASE_IGNORABLE)) continue;
    cased = u_hasBinaryProperty(c, UCHAR_CASED);
    break;
  }
  if (!cased) return false;
  for (const char *p = after; p < end;) {
    UChar32 c = (UChar32)dg_utf8_next(&p, end);
    if (!u_hasBinaryProperty(c, UCHAR_CASE_IGNORABLE)) return !u_hasBinaryProperty(c, UCHAR_CASED);
  }
  return true;
}

void dg_py_lower(const char *text, size_t n, dg_strbuf *out) {
  const char *s = text, *end = text + n;
  while (s < end) {
    const char *from = s;
    while (s < end && (unsigned char)*s < 0x80) s++;
    if (s > from) {
      dg_strbuf_addn(out, from, (size_t)(s - from));
      for (char *p = out->text + out->length - (s - from); *p; p++)
        if (*p >= 'A' && *p <= 'Z') *p = (char)(*p + 'a' - 'A');
      continue;
    }
    uint32_t c = dg_utf8_next(&s, end);
    if (c == 0x3A3) {
      dg_py_put(out, final_sigma(text, from, s, end) ? 0x3C2 : 0x3C3);
    } else if (c == 0x130) {
      dg_strbuf_add(out, "i\u0307");
    } else {
      dg_py_put(out, (uint32_t)u_tolower((UChar32)c));
    }
  }
}

/* --- categories ---------------------------------------------------------------------------- */

/* Numbers, punctuation and symbols that came after Unicode 15, which the regex module knows
 * and an older ICU does not. tests/goldens/eval_unicode.py checks the whole. */
static const struct newer {
  uint32_t first, last;
  char category;
} newer[] = {
    {0x1B4E, 0x1B4F, 'P'},   {0x1B7F, 0x1B7F, 'P'},   {0x20C1, 0x20C4, 'S'},
    {0x2427, 0x2429, 'S'},   {0x2B96, 0x2B96, 'S'},   {0x2E60, 0x2E63, 'P'},
    {0x2FFC, 0x2FFF, 'S'},   {0x31E4, 0x31E5, 'S'},   {0x31EF, 0x31EF, 'S'},
    {0xFBC3, 0xFBD2, 'S'},   {0xFD90, 0xFD91, 'S'},   {0xFDC8, 0xFDCE, 'S'},
    {0x10D40, 0x10D49, 'N'}, {0x10D6E, 0x10D6E, 'P'}, {0x10D8E, 0x10D8F, 'S'},
    {0x10EC9, 0x10ECA, 'S'}, {0x10ED0, 0x10ED0, 'P'}, {0x10ED1, 0x10ED8, 'S'},
    {0x113D4, 0x113D5, 'P'}, {0x113D7, 0x113D8, 'P'}, {0x116D0, 0x116E3, 'N'},
    {0x11BE1, 0x11BE1, 'P'}, {0x11BF0, 0x11BF9, 'N'}, {0x11DE0, 0x11DE9, 'N'},
    {0x1246F, 0x1246F, 'N'}, {0x12475, 0x1247F, 'N'}, {0x12550, 0x12686, 'N'},
    {0x16130, 0x16139, 'N'}, {0x16D6D, 0x16D6F, 'P'}, {0x16D70, 0x16D79, 'N'},
    {0x16FF4, 0x16FF6, 'N'}, {0x1CC00, 0x1CCEF, 'S'}, {0x1CCF0, 0x1CCF9, 'N'},
    {0x1CCFA, 0x1CCFC, 'S'}, {0x1CD00, 0x1CEB3, 'S'}, {0x1CEBA, 0x1CED0, 'S'},
    {0x1CED2, 0x1CED4, 'S'}, {0x1CEDD, 0x1CEFD, 'S'}, {0x1D1EB, 0x1D1FF, 'S'},
    {0x1D253, 0x1D25A, 'S'}, {0x1D25D, 0x1D25E, 'S'}, {0x1D260, 0x1D27F, 'S'},
    {0x1DB00, 0x1DB1C, 'S'}, {0x1E5F1, 0x1E5FA, 'N'}, {0x1E5FF, 0x1E5FF, 'P'},
    {0x1F1AE, 0x1F1AE, 'S'}, {0x1F6D8, 0x1F6D9, 'S'}, {0x1F777, 0x1F77A, 'S'},
    {0x1F7DA, 0x1F7DB, 'S'}, {0x1F7F1, 0x1F7FF, 'S'}, {0x1F8B2, 0x1F8BB, 'S'},
    {0x1F8C0, 0x1F8C1, 'S'}, {0x1F8D0, 0x1F8D8, 'S'}, {0x1FA54, 0x1FA57, 'S'},
    {0x1FA89, 0x1FA8F, 'S'}, {0x1FABE, 0x1FABE, 'S'}, {0x1FAC6, 0x1FAC6, 'S'},
    {0x1FAC8, 0x1FAC8, 'S'}, {0x1FACC, 0x1FACD, 'S'}, {0x1FADC, 0x1FADD, 'S'},
    {0x1FADF, 0x1FADF, 'S'}, {0x1FAE9, 0x1FAEB, 'S'}, {0x1FAEF, 0x1FAEF, 'S'},
    {0x1FAF9, 0x1FAFA, 'S'}, {0x1FBCB, 0x1FBEF, 'S'}, {0x1FBFA, 0x1FBFA, 'S'},
};

static int compare_newer(const void *key, const void *entry) {
  const uint32_t *c = key;
  const struct newer *e = entry;
  return *c < e->first ? -1 : *c > e->last;
}

char dg_py_category(uint32_t c) {
  int8_t type = u_charType((UChar32)c);
  if (type == U_UNASSIGNED) {
    const struct newer *e =
        bsearch(&c, newer, sizeof newer / sizeof *newer, sizeof *newer, compare_newer);
    return e ? e->category : 0;
  }
  uint32_t mask = U_MASK(type);
  return mask & U_GC_N_MASK ? 'N' : mask & U_GC_P_MASK ? 'P' : mask & U_GC_S_MASK ? 'S' : 0;
}

/* --- numbers ------------------------------------------------------------------------------- */

void dg_py_repr(double x, char out[32]) {
  char digits[40];
  int precision = 1;
  if (isnan(x) || isinf(x)) {
    snprintf(out, 32, "%s", isnan(x) ? "NaN" : x > 0 ? "Infinity" : "-Infinity");
    return;
  }
  do snprintf(digits, sizeof digits, "%.*e", precision - 1, x);
  while (strtod(digits, NULL) != x && precision++ < 17);
  int exponent = atoi(strchr(digits, 'e') + 1);
  if (exponent >= -4 && exponent < 16) {
    int places = precision - 1 - exponent;
    snprintf(out, 32, "%.*f", places > 1 ? places : 1, x);
  } else {
    char *e = strchr(digits, 'e'); /* C and Python both write two digits at least */
    snprintf(out, 32, "%.*s%s", (int)(e - digits), digits, e);
  }
}
