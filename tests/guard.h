/* Buffers that end (or begin) exactly at a page that may not be touched, so
 * that a kernel reading or writing past them dies. */
#ifndef DG_TESTS_GUARD_H
#define DG_TESTS_GUARD_H

#include <stdbool.h>
#include <stddef.h>

typedef struct guarded {
  void *data;
  void *map;
  size_t map_bytes;
} guarded;

guarded guarded_new(size_t bytes, bool at_end);
void guarded_free(guarded *g);

#endif
