#include "mt/cli/eval_text.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eval/pytext.h"
#include "mt/core/lines.h"

static dg_text *new_text(dg_texts *t, char *name) {
  DG_GROW(t->items, t->capacity, t->count + 1);
  t->items[t->count] = (dg_text){.name = name};
  return &t->items[t->count++];
}

static void add_line(dg_text *t, const char *line, size_t n) {
  DG_GROW(t->offsets, t->capacity, t->count + 1);
  t->offsets[t->count++] = t->bytes.length;
  dg_strbuf_addn(&t->bytes, line, n);
  dg_strbuf_addc(&t->bytes, 0);
}

/* Offsets become pointers once the bytes move no more. */
static void settle(dg_text *t) {
  t->lines = dg_calloc(t->count ? t->count : 1, sizeof *t->lines);
  for (size_t i = 0; i < t->count; i++) t->lines[i] = t->bytes.text + t->offsets[i];
  free(t->offsets);
  t->offsets = NULL;
}

/* "FILE:2" to FILE and 2, if only FILE is there; else column 0. */
static char *parse_path(const char *path, size_t *column) {
  const char *colon = strrchr(path, ':');
  *column = 0;
  if (!colon || colon == path || !colon[1] ||
      strspn(colon + 1, "0123456789") != strlen(colon + 1) || strlen(colon + 1) > 4 ||
      !access(path, F_OK))
    return dg_strdup(path);
  char *file = dg_strndup(path, (size_t)(colon - path));
  if (strcmp(file, "-") && access(file, F_OK)) {
    free(file);
    return dg_strdup(path);
  }
  *column = (size_t)atoi(colon + 1);
  if (*column) return file;
  free(file);
  return dg_strdup(path);
}

char *dg_text_file(const char *path) {
  size_t column;
  return parse_path(path, &column);
}

/* Cuts a line at tabs, the last field keeping those beyond. Returns the fields found. */
static size_t cut_line(const char *line, size_t n, size_t most, const char **fields,
                       size_t *lengths) {
  size_t count = 0;
  for (;;) {
    const char *tab = count + 1 < most ? memchr(line, '\t', n) : NULL;
    fields[count] = line;
    lengths[count++] = tab ? (size_t)(tab - line) : n;
    if (!tab) return count;
    n -= (size_t)(tab + 1 - line);
    line = tab + 1;
  }
}

enum { COLUMNS_MAX = 1024 };

/* The columns of one line, to texts [first, first + columns). White space at the end of a
 * column that is not the last goes as sacreBLEU has it: systems lose it but in the first line,
 * references keep it. */
static bool add_fields(dg_texts *t, size_t first, size_t columns, bool exact, size_t number,
                       const char *line, size_t n, dg_error *err) {
  const char *fields[COLUMNS_MAX];
  size_t lengths[COLUMNS_MAX];
  size_t found = cut_line(line, n, exact ? COLUMNS_MAX : columns, fields, lengths);
  if (found != columns)
    return dg_fail(err, DG_ERR_FORMAT, "line %zu has %zu columns, not %zu: they are parted by tabs",
                   number, found, columns);
  for (size_t c = 0; c < columns; c++)
    add_line(&t->items[first + c], fields[c],
             exact && number > 1 ? dg_py_rstrip(fields[c], lengths[c]) : lengths[c]);
  return true;
}

bool dg_texts_read(dg_texts *t, const char *path, int cut, dg_error *err) {
  size_t column, first = t->count, columns = cut > 0 ? (size_t)cut : 0;
  char *file = parse_path(path, &column);
  const char *name = strcmp(file, "-") ? path : "standard input";
  if (column && columns) {
    free(file);
    return dg_fail(err, DG_ERR_USAGE, "%s is one column, and %d were asked for: name the file alone",
                   path, cut);
  }
  if (column) cut = DG_CUT_NOT;
  dg_lines *r = dg_lines_open(file, err);
  free(file);
  if (!r) return false;
  dg_strbuf marked = {0};
  char *line;
  size_t n;
  int got;
  bool ok = true;
  for (size_t c = 0; c < (columns ? columns : 1); c++) new_text(t, dg_strdup(name));
  while (ok && (got = dg_lines_next(r, &line, &n, err)) != 0) {
    size_t number = dg_lines_number(r);
    if (got < 0) {
      ok = false;
      break;
    }
    if (number == 1 && dg_lines_marked(r)) {
      dg_strbuf_add(&marked, "\xEF\xBB\xBF");
      dg_strbuf_addn(&marked, line, n);
      line = marked.text;
      n = marked.length;
    }
    if (cut == DG_CUT_BY_FIRST_LINE && number == 1) {
      n = dg_py_rstrip(line, n);
      columns = 1;
      for (size_t i = 0; i < n && columns < COLUMNS_MAX; i++) columns += line[i] == '\t';
      for (size_t c = 1; c < columns; c++) new_text(t, dg_strdup(name));
    }
    if (column) {
      const char *fields[COLUMNS_MAX];
      size_t lengths[COLUMNS_MAX], found = cut_line(line, n, COLUMNS_MAX, fields, lengths);
      if (found < column) {
        ok = dg_fail(err, DG_ERR_FORMAT, "%s: line %zu has only %zu columns", name, number, found);
        break;
      }
      add_line(&t->items[first], fields[column - 1],
               dg_py_rstrip(fields[column - 1], lengths[column - 1]));
    } else if (cut == DG_CUT_NOT) {
      add_line(&t->items[first], line, dg_py_rstrip(line, n));
    } else {
      ok = add_fields(t, first, columns, cut == DG_CUT_BY_FIRST_LINE, number, line,
                      dg_py_rstrip(line, n), err) ||
           dg_error_context(err, "%s", name);
    }
  }
  free(marked.text);
  dg_lines_close(r);
  for (size_t i = first; i < t->count; i++) settle(&t->items[i]);
  return ok;
}

void dg_texts_add(dg_texts *t, const char *name, const char *const *lines, size_t count) {
  dg_text *text = new_text(t, dg_strdup(name));
  for (size_t i = 0; i < count; i++)
    add_line(text, lines[i], dg_py_rstrip(lines[i], strlen(lines[i])));
  settle(text);
}

void dg_texts_free(dg_texts *t) {
  for (size_t i = 0; i < t->count; i++) {
    free(t->items[i].name);
    free(t->items[i].lines);
    free(t->items[i].bytes.text);
    free(t->items[i].offsets);
  }
  free(t->items);
  *t = (dg_texts){0};
}
