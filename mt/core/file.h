/* Files: read-only mappings, atomic writes and locks. */
#ifndef DG_CORE_FILE_H
#define DG_CORE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "mt/core/error.h"

/* Whether both name one regular file. */
bool dg_same_file(const char *a, const char *b);
/* Whether both lead to one place, through links too, though nothing may be there yet. */
bool dg_same_place(const char *a, const char *b);

/* A whole file mapped read-only. data stays valid until dg_unmap. */
typedef struct dg_mapping {
  const uint8_t *data;
  size_t size;
} dg_mapping;

bool dg_map(const char *path, dg_mapping *out, dg_error *err);
void dg_unmap(dg_mapping *m);
/* Of a mapping, what is not needed again soon: it may leave memory until it is. */
void dg_map_forget(const void *data, size_t n);

/* A file that appears under its name only when complete: bytes go to a file without a
 * name, or to PATH.tmp-PID; dg_output_commit flushes, fsyncs and renames; dg_output_abort
 * (harmless on NULL) removes it; both free it. What a link leads to is replaced, not
 * the link, and its mode kept. "-" is stdout; devices, pipes and what the shell has opened
 * (/dev/stdout, /proc/self/fd) are written directly. A path ending in .gz is compressed. */
typedef struct dg_output dg_output;

dg_output *dg_output_open(const char *path, dg_error *err);
bool dg_output_write(dg_output *o, const void *bytes, size_t n, dg_error *err);
bool dg_output_printf(dg_output *o, dg_error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Hands on what was written where somebody may wait for it: at a pipe or terminal. */
bool dg_output_flush(dg_output *o, dg_error *err);
bool dg_output_commit(dg_output *o, dg_error *err); /* frees it even on failure */
/* Outputs of which some would be wrong without the others: none has its name before all are on
 * the disk. They get it in this order; NULL is passed over. */
bool dg_output_commit_all(dg_output *const *list, size_t n, dg_error *err);
void dg_output_abort(dg_output *o);
/* All of these: a file of such bytes. */
bool dg_output_whole(const char *path, const void *bytes, size_t n, dg_error *err);

/* As dg_output_open, but bytes go anywhere in the file and can be read back until the
 * commit, and only by these two. A pipe or device gets them at the commit. */
dg_output *dg_output_open_random(const char *path, dg_error *err);
/* The same in a file without a name beside `path`: gone with its process, never committed. */
dg_output *dg_output_open_scratch(const char *path, dg_error *err);
bool dg_output_write_at(dg_output *o, uint64_t at, const void *bytes, size_t n, dg_error *err);
bool dg_output_read_at(dg_output *o, uint64_t at, void *bytes, size_t n, dg_error *err);
void dg_output_empty(dg_output *o);          /* gives back what it takes on the disk */
uint64_t dg_output_room(const dg_output *o); /* bytes that the disk has left */

/* PATH.lock, which one process at a time holds, until dg_lock_free or its end. NULL and
 * DG_ERR_USAGE when another one does. Where files cannot be locked all may go on. What killed
 * holders left of an unfinished PATH is removed. */
typedef struct dg_lock dg_lock;
dg_lock *dg_lock_new(const char *path, dg_error *err);
void dg_lock_free(dg_lock *l); /* removes it */

#endif
