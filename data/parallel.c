#include "data/parallel.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mt/core/file.h"
#include "mt/core/lines.h"
#include "mt/core/mem.h"

enum { BLOCK = 1 << 20 };

struct dg_text_block {
  struct dg_text_block *next;
  size_t used, size;
  char text[];
};

static const char *keep(dg_parallel_text *p, const char *s, size_t n) {
  struct dg_text_block *b = p->blocks;
  if (!b || b->size - b->used < n + 1) {
    size_t size = n + 1 > BLOCK ? n + 1 : BLOCK;
    b = dg_malloc(sizeof *b + size);
    *b = (struct dg_text_block){.next = p->blocks, .size = size};
    p->blocks = b;
  }
  char *at = b->text + b->used;
  memcpy(at, s, n);
  at[n] = 0;
  b->used += n + 1;
  return at;
}

static void add(dg_parallel_text *p, const char *source, size_t n, const char *target, size_t m) {
  DG_GROW(p->pairs, p->capacity, p->count + 1);
  const char *kept = keep(p, source, n);
  p->pairs[p->count++] = (dg_pair){kept, keep(p, target, m)};
}

void dg_parallel_add(dg_parallel_text *p, const char *source, const char *target) {
  add(p, source, strlen(source), target, strlen(target));
}

dg_parallel_text dg_parallel_turned(const dg_parallel_text *p) {
  dg_parallel_text out = {.pairs = dg_calloc(p->count + 1, sizeof *out.pairs), .count = p->count};
  for (size_t i = 0; i < p->count; i++)
    out.pairs[i] = (dg_pair){p->pairs[i].target, p->pairs[i].source};
  return out;
}

void dg_parallel_free(dg_parallel_text *p) {
  while (p->blocks) {
    struct dg_text_block *b = p->blocks;
    p->blocks = b->next;
    free(b);
  }
  free(p->pairs);
  *p = (dg_parallel_text){0};
}

static bool read_tsv(dg_parallel_text *p, const char *path, dg_error *err) {
  dg_lines *r = dg_lines_open(path, err);
  if (!r) return false;
  char *line;
  size_t n;
  int got;
  while ((got = dg_lines_next(r, &line, &n, err)) > 0) {
    char *tab = memchr(line, '\t', n);
    if (!tab) {
      got = -1;
      dg_fail(err, DG_ERR_FORMAT,
              "%s:%zu: no tab: a TSV line is SOURCE<TAB>TARGET (two plain files are written a,b)",
              path, dg_lines_number(r));
      break;
    }
    size_t rest = n - (size_t)(tab + 1 - line);
    char *end = memchr(tab + 1, '\t', rest);
    add(p, line, (size_t)(tab - line), tab + 1, end ? (size_t)(end - tab - 1) : rest);
  }
  dg_lines_close(r);
  return got == 0;
}

static bool read_two(dg_parallel_text *p, const char *paths[2], dg_error *err) {
  dg_lines *r[2] = {dg_lines_open(paths[0], err), NULL};
  if (r[0]) r[1] = dg_lines_open(paths[1], err);
  bool ok = r[0] && r[1];
  while (ok) {
    char *line[2];
    size_t n[2];
    int got[2];
    for (int k = 0; k < 2 && ok; k++) {
      got[k] = dg_lines_next(r[k], &line[k], &n[k], err);
      ok = got[k] >= 0;
    }
    if (!ok) break;
    if (got[0] != got[1]) {
      int shorter = got[0] ? 1 : 0;
      ok = dg_fail(err, DG_ERR_FORMAT,
                   "%s ends after line %zu but %s goes on: aligned files have as many lines",
                   paths[shorter], dg_lines_number(r[!shorter]) - 1, paths[!shorter]);
      break;
    }
    if (!got[0]) break;
    add(p, line[0], n[0], line[1], n[1]);
  }
  dg_lines_close(r[0]);
  dg_lines_close(r[1]);
  return ok;
}

/* Where "a,b" parts; NULL: it names one file. */
static const char *find_comma(const char *specification) {
  const char *comma = strchr(specification, ',');
  return comma && access(specification, F_OK) ? comma : NULL;
}

bool dg_parallel_reads(const char *specification, const char *path) {
  const char *comma = find_comma(specification);
  if (!comma) return dg_same_file(specification, path);
  char *first = dg_strndup(specification, (size_t)(comma - specification));
  bool either = dg_same_file(first, path) || dg_same_file(comma + 1, path);
  free(first);
  return either;
}

bool dg_parallel_read(dg_parallel_text *p, const char *specification, dg_error *err) {
  const char *comma = find_comma(specification);
  if (!comma) return read_tsv(p, specification, err);
  char *first = dg_strndup(specification, (size_t)(comma - specification));
  bool ok;
  if (!*first || !comma[1] || strchr(comma + 1, ','))
    ok = dg_fail(err, DG_ERR_USAGE, "\"%s\" does not name two files, as in a.en,a.gl",
                 specification);
  else
    ok = read_two(p, (const char *[]){first, comma + 1}, err);
  free(first);
  return ok;
}
