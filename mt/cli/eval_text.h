/* The texts eval compares: lines of files, in columns if need be. */
#ifndef DG_CLI_EVAL_TEXT_H
#define DG_CLI_EVAL_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "mt/core/error.h"
#include "mt/core/mem.h"

typedef struct dg_text {
  char *name;         /* as errors and tables call it */
  const char **lines; /* without white space at their ends; NULL: none */
  size_t count;
  dg_strbuf bytes;
  size_t *offsets, capacity;
} dg_text;

typedef struct dg_texts {
  dg_text *items;
  size_t count, capacity;
} dg_texts;

/* How the lines of a file are cut at tabs. */
enum { DG_CUT_NOT = 0, DG_CUT_BY_FIRST_LINE = -1 }; /* or the number of columns */

/* Appends the text of a file ("-" is standard input), or its columns. "FILE:2" is the second
 * column of FILE unless a file is called so. Lines keep a byte-order mark: to sacreBLEU it is
 * a character like any other. */
bool dg_texts_read(dg_texts *t, const char *path, int cut, dg_error *err);
/* The file that is read for `path`, without its column; the caller frees it. */
char *dg_text_file(const char *path);
void dg_texts_add(dg_texts *t, const char *name, const char *const *lines, size_t count);
void dg_texts_free(dg_texts *t);

#endif
