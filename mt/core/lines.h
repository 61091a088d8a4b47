/* Lines of text files, plain or gzipped. */
#ifndef DG_CORE_LINES_H
#define DG_CORE_LINES_H

#include <stdbool.h>
#include <stddef.h>

#include "mt/core/error.h"

/* Lines of a plain or gzipped file ("-" is stdin), without their LF or CRLF.
 * A byte-order mark at the start is dropped. */
typedef struct dg_lines dg_lines;

dg_lines *dg_lines_open(const char *path, dg_error *err);
/* 1: *line (valid until the next call, NUL-terminated) and *length are set;
 * 0: end of file; -1: error. Invalid UTF-8 and NUL are errors naming line and byte; a signal that
 * is handled ends a wait, DG_ERR_INTERRUPTED. */
int dg_lines_next(dg_lines *r, char **line, size_t *length, dg_error *err);
size_t dg_lines_number(const dg_lines *r); /* of the line last returned, from 1 */
bool dg_lines_marked(const dg_lines *r);   /* there was a byte-order mark */
/* Whether the next line is not there yet: it comes from a pipe or terminal that has none now. */
bool dg_lines_waits(const dg_lines *r);
void dg_lines_close(dg_lines *r);

/* All of a text file, lines ended by LF, without white space at its end; the caller frees
 * it. Invalid UTF-8 is an error. */
char *dg_read_text(const char *path, dg_error *err);

#endif
