#include "data/manifest.h"

#include <stdlib.h>
#include <string.h>

#include "data/archive.h"
#include "mt/core/lines.h"
#include "mt/core/mem.h"

enum { PACKAGE, VERSION, HASH, LICENCE, PAIRS, COLUMNS };

static bool take_line(dg_manifest *m, char *line) {
  char *column[COLUMNS] = {line}, *end;
  size_t n = 1;
  for (char *tab = line; (tab = strchr(tab, '\t')); column[n++] = tab) {
    *tab++ = 0;
    if (n == COLUMNS) return false;
  }
  if (n < COLUMNS || !dg_is_package(column[PACKAGE]) || !*column[VERSION] ||
      strspn(column[HASH], "0123456789abcdef") != DG_HASH_TEXT - 1 ||
      column[HASH][DG_HASH_TEXT - 1])
    return false;
  unsigned long pairs = strtoul(column[PAIRS], &end, 10);
  if (end == column[PAIRS] || *end) return false;
  /* What gave pairs may have been the English of others, too. */
  const dg_origin *before = dg_manifest_find(m, column[PACKAGE]);
  if (before) return !strcmp(before->version, column[VERSION]) && !strcmp(before->hash, column[HASH]);
  DG_GROW(m->items, m->capacity, m->count + 1);
  m->items[m->count++] = (dg_origin){dg_strdup(column[PACKAGE]), dg_strdup(column[VERSION]),
                                     dg_strdup(column[HASH]), pairs};
  return true;
}

bool dg_manifest_read(dg_manifest *m, const char *path, dg_error *err) {
  dg_lines *in = dg_lines_open(path, err);
  char *line;
  size_t n;
  int more = -1;
  bool ok = in != NULL;
  while (ok && (more = dg_lines_next(in, &line, &n, err)) > 0) {
    bool first = dg_lines_number(in) == 1;
    ok = (first ? !strcmp(line, DG_MANIFEST_COLUMNS) : take_line(m, line)) ||
         dg_fail(err, DG_ERR_FORMAT, first ? "%s:%zu: no manifest of a corpus begins so"
                                           : "%s:%zu: not one archive of a package: its name, version, hash, "
                                             "licence and pairs",
                 path, dg_lines_number(in));
  }
  if (ok && !more && !m->count) ok = dg_fail(err, DG_ERR_FORMAT, "%s names no package", path);
  dg_lines_close(in);
  return ok && !more;
}

const dg_origin *dg_manifest_find(const dg_manifest *m, const char *package) {
  for (size_t i = 0; i < m->count; i++)
    if (!strcmp(m->items[i].package, package)) return &m->items[i];
  return NULL;
}

void dg_manifest_free(dg_manifest *m) {
  for (size_t i = 0; i < m->count; i++) {
    free(m->items[i].package);
    free(m->items[i].version);
    free(m->items[i].hash);
  }
  free(m->items);
  *m = (dg_manifest){0};
}
