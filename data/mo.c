#include "data/mo.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "data/source.h"
#include "mt/core/file.h"
#include "mt/core/mem.h"

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

/* --- catalogues of a package ---------------------------------------------------------------- */

typedef struct catalogue_reader {
  const dg_pair_sink *sink;
  const char *locale, *document;
} catalogue_reader;

/* The last form of a plural stands for many in every language; form 0 is the
 * singular for certain only where there are two. */
static void visit(void *context, const dg_mo_message *m) {
  const catalogue_reader *r = context;
  const dg_pair_sink *s = r->sink;
  if (!m->form_count || !*m->forms[0]) return;
  if (!m->plural || m->form_count == 2)
    s->pair(s->context, r->locale, r->document, m->id, m->forms[0]);
  if (m->plural)
    s->pair(s->context, r->locale, r->document, m->plural, m->forms[m->form_count - 1]);
}

/* .../LOCALE/LC_MESSAGES/DOMAIN.mo */
static void read_file(const char *root, const char *path, const dg_pair_sink *sink) {
  size_t n = strlen(path);
  const char *end = strstr(path, "/LC_MESSAGES/"), *begin = end;
  if (n < 3 || strcmp(path + n - 3, ".mo") || !end) return;
  while (begin > path && begin[-1] != '/') begin--;
  char *locale = dg_strndup(begin, (size_t)(end - begin)), *full = dg_format("%s/%s", root, path);
  dg_mapping map;
  if (sink->wants(sink->context, locale) && dg_map(full, &map, NULL)) {
    catalogue_reader r = {sink, locale, strrchr(path, '/') + 1};
    dg_mo_read(map.data, map.size, visit, &r, NULL); /* a damaged one gives what it can */
    dg_unmap(&map);
  }
  free(full);
  free(locale);
}

static void read_catalogues(const char *root, const char *english_root, const dg_pair_sink *sink) {
  size_t n;
  char **paths = dg_list_files(root, &n);
  (void)english_root; /* a catalogue's ids are its English */
  for (size_t i = 0; i < n; i++) read_file(root, paths[i], sink);
  dg_free_files(paths, n);
}

const dg_source dg_source_mo = {"mo", true, NULL, read_catalogues};
