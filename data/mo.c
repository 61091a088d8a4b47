#include "data/mo.h"

#include <stdint.h>
#include <string.h>

typedef struct catalogue {
  const uint8_t *bytes;
  size_t size;
  bool swapped;
} catalogue;

static uint32_t number(const catalogue *c, size_t at) {
  uint32_t x;
  memcpy(&x, c->bytes + at, sizeof x);
  return c->swapped ? __builtin_bswap32(x) : x;
}

/* String i of the table at `table`, with the NUL that must follow it. */
static const char *string(const catalogue *c, size_t table, size_t i, size_t *length) {
  size_t n = number(c, table + 8 * i), at = number(c, table + 8 * i + 4);
  if (at >= c->size || n >= c->size - at || c->bytes[at + n]) return NULL;
  *length = n;
  return (const char *)c->bytes + at;
}

bool dg_mo_read(const void *bytes, size_t size, dg_mo_visit *visit, void *context,
                dg_error *err) {
  catalogue c = {bytes, size, false};
  if (size < 28) return dg_fail(err, DG_ERR_FORMAT, "too short for a message catalogue");
  if (number(&c, 0) == 0xde120495) c.swapped = true;
  if (number(&c, 0) != 0x950412de) return dg_fail(err, DG_ERR_FORMAT, "not a message catalogue");
  if (number(&c, 4) >> 16 > 1)
    return dg_fail(err, DG_ERR_UNSUPPORTED, "a message catalogue of unknown revision");
  size_t count = number(&c, 8), ids = number(&c, 12), texts = number(&c, 16);
  if (ids > size || texts > size || count > (size - ids) / 8 || count > (size - texts) / 8)
    return dg_fail(err, DG_ERR_FORMAT, "the catalogue's tables lie outside it");
  for (size_t i = 0; i < count; i++) {
    size_t id_length = 0, length = 0;
    dg_mo_message m = {.id = string(&c, ids, i, &id_length)};
    const char *text = string(&c, texts, i, &length);
    if (!m.id || !text)
      return dg_fail(err, DG_ERR_FORMAT, "message %zu of the catalogue lies outside it", i);
    if (!id_length) continue;
    const char *context_end = memchr(m.id, 4, id_length); /* "context\4id" */
    if (context_end) {
      id_length -= (size_t)(context_end + 1 - m.id);
      m.id = context_end + 1;
    }
    size_t first = strlen(m.id);
    if (first < id_length) m.plural = m.id + first + 1;
    for (size_t at = 0; at <= length && m.form_count < 8; at += strlen(text + at) + 1)
      m.forms[m.form_count++] = text + at;
    visit(context, &m);
  }
  return true;
}
