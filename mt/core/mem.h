/* Memory. Small allocations whose size the program itself chose abort when the
 * machine has none left; sizes that come from a file or a user go through
 * dg_alloc_checked, which reports instead. */
#ifndef DG_CORE_MEM_H
#define DG_CORE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mt/core/error.h"

void *dg_malloc(size_t bytes);
void *dg_calloc(size_t count, size_t size);
void *dg_realloc(void *old, size_t bytes);
char *dg_strdup(const char *s);
char *dg_strndup(const char *s, size_t n);
bool dg_ends_with(const char *s, const char *end);
bool dg_is_one_of(const char *s, const char *const *list); /* which ends with NULL */
char *dg_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Hands over a message; `tell` NULL: to nobody. */
void dg_tell(void (*tell)(void *context, const char *message), void *context, const char *format,
             ...) __attribute__((format(printf, 3, 4)));

/* count*size bytes aligned to 64 (for vector kernels), not initialised;
 * release with free(). NULL and an error on overflow or exhaustion. */
void *dg_alloc_checked(size_t count, size_t size, dg_error *err);

/* Doubles *capacity until it holds `need` elements; the array may move. */
#define DG_GROW(array, capacity, need)                                      \
  do {                                                                      \
    if ((need) > (capacity)) {                                              \
      size_t dg_grow_n = (capacity) ? (capacity) : 16;                      \
      while (dg_grow_n < (need)) dg_grow_n *= 2;                            \
      (array) = dg_realloc((array), dg_grow_n * sizeof *(array));           \
      (capacity) = dg_grow_n;                                               \
    }                                                                       \
  } while (0)

/* A growing byte string, always NUL-terminated once non-empty. Zero-initialise
 * it; free(text) releases it. */
typedef struct dg_strbuf {
  char *text;
  size_t length, capacity;
} dg_strbuf;

void dg_strbuf_add(dg_strbuf *b, const char *s);
void dg_strbuf_addn(dg_strbuf *b, const char *s, size_t n);
void dg_strbuf_addc(dg_strbuf *b, char c);
void dg_strbuf_addf(dg_strbuf *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void dg_strbuf_clear(dg_strbuf *b);

/* Strings in order, borrowed; free(items) releases the list. */
typedef struct dg_list {
  const char **items;
  size_t count, capacity;
} dg_list;
void dg_list_add(dg_list *l, const char *item);

/* A bump allocator for buffers that live for one pass: mark, allocate, rewind.
 * It grows by whole blocks, so earlier pointers never move, and it keeps its
 * blocks: after the first batch a step allocates nothing. */
typedef struct dg_arena dg_arena;
typedef struct dg_arena_mark { size_t block, used; } dg_arena_mark;

dg_arena *dg_arena_new(size_t block_bytes);
void dg_arena_free(dg_arena *a);
void *dg_arena_alloc(dg_arena *a, size_t count, size_t size); /* 64-aligned */
dg_arena_mark dg_arena_save(const dg_arena *a);
void dg_arena_rewind(dg_arena *a, dg_arena_mark mark);
void dg_arena_reset(dg_arena *a);
size_t dg_arena_bytes(const dg_arena *a); /* held from the system */

#endif
