/* What readers of message files share. Private to data/. */
#ifndef DG_DATA_MESSAGE_TEXT_H
#define DG_DATA_MESSAGE_TEXT_H

#include "mt/core/mem.h"

typedef struct dg_text_lines {
  const char *at, *end;
} dg_text_lines;

/* The next line, without its end. */
bool dg_next_line(dg_text_lines *l, const char **line, size_t *n);
/* A code point as UTF-8; of what is none, U+FFFD. */
void dg_add_point(dg_strbuf *b, uint32_t c);
/* n hexadecimal digits at s; false if some are missing. */
bool dg_hex(const char *s, const char *end, int n, uint32_t *out);

#endif
