#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "data/message_text.h"
#include "data/messages.h"

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
      else dg_add_point(b, (uint32_t)c), s = after + 1;
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
