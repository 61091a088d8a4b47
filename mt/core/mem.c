#include "mt/core/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *out_of_memory(size_t bytes) {
  fprintf(stderr, "dragoman: out of memory (asked for %zu bytes)\n", bytes);
  abort();
}

void *dg_malloc(size_t bytes) {
  void *p = malloc(bytes ? bytes : 1);
  return p ? p : out_of_memory(bytes);
}

void *dg_calloc(size_t count, size_t size) {
  void *p = calloc(count ? count : 1, size ? size : 1);
  return p ? p : out_of_memory(count * size);
}

void *dg_realloc(void *old, size_t bytes) {
  void *p = realloc(old, bytes ? bytes : 1);
  return p ? p : out_of_memory(bytes);
}

char *dg_strdup(const char *s) { return dg_strndup(s, strlen(s)); }

char *dg_strndup(const char *s, size_t n) {
  char *copy = dg_malloc(n + 1);
  memcpy(copy, s, n);
  copy[n] = 0;
  return copy;
}

char *dg_format(const char *format, ...) {
  va_list args;
  va_start(args, format);
  char *text = NULL;
  int n = vasprintf(&text, format, args);
  va_end(args);
  return n < 0 ? out_of_memory(0) : text;
}

void dg_tell(void (*tell)(void *context, const char *message), void *context, const char *format,
             ...) {
  if (!tell) return;
  va_list args;
  va_start(args, format);
  char *message = NULL;
  int n = vasprintf(&message, format, args);
  va_end(args);
  if (n < 0) out_of_memory(0);
  tell(context, message);
  free(message);
}

void *dg_alloc_checked(size_t count, size_t size, dg_error *err) {
  size_t bytes;
  void *p = NULL;
  if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX / 2 ||
      posix_memalign(&p, 64, bytes ? bytes : 64)) {
    dg_fail(err, DG_ERR_MEMORY, "cannot allocate %zu elements of %zu bytes", count, size);
    return NULL;
  }
  return p;
}

static void reserve(dg_strbuf *b, size_t extra) {
  DG_GROW(b->text, b->capacity, b->length + extra + 1);
}

void dg_strbuf_addn(dg_strbuf *b, const char *s, size_t n) {
  reserve(b, n);
  if (n) memcpy(b->text + b->length, s, n);
  b->length += n;
  b->text[b->length] = 0;
}

void dg_strbuf_add(dg_strbuf *b, const char *s) { dg_strbuf_addn(b, s, strlen(s)); }

void dg_strbuf_addc(dg_strbuf *b, char c) { dg_strbuf_addn(b, &c, 1); }

void dg_strbuf_addf(dg_strbuf *b, const char *format, ...) {
  va_list args, again;
  va_start(args, format);
  va_copy(again, args);
  int n = vsnprintf(NULL, 0, format, args);
  va_end(args);
  if (n > 0) {
    reserve(b, (size_t)n);
    vsnprintf(b->text + b->length, (size_t)n + 1, format, again);
    b->length += (size_t)n;
  }
  va_end(again);
}

void dg_strbuf_clear(dg_strbuf *b) {
  b->length = 0;
  if (b->text) b->text[0] = 0;
}

struct dg_arena {
  struct { char *base; size_t size; } *blocks;
  size_t count, capacity, block_bytes;
  dg_arena_mark at;
};

dg_arena *dg_arena_new(size_t block_bytes) {
  dg_arena *a = dg_calloc(1, sizeof *a);
  a->block_bytes = block_bytes;
  return a;
}

void dg_arena_free(dg_arena *a) {
  if (!a) return;
  for (size_t i = 0; i < a->count; i++) free(a->blocks[i].base);
  free(a->blocks);
  free(a);
}

void *dg_arena_alloc(dg_arena *a, size_t count, size_t size) {
  size_t bytes = (count * size + 63) & ~(size_t)63;
  if (!bytes) bytes = 64;
  while (a->at.block < a->count && a->blocks[a->at.block].size - a->at.used < bytes) {
    a->at.block++;
    a->at.used = 0;
  }
  if (a->at.block == a->count) {
    size_t need = bytes > a->block_bytes ? bytes : a->block_bytes;
    DG_GROW(a->blocks, a->capacity, a->count + 1);
    void *p = NULL;
    if (posix_memalign(&p, 64, need)) p = out_of_memory(need);
    a->blocks[a->count].base = p;
    a->blocks[a->count++].size = need;
  }
  void *p = a->blocks[a->at.block].base + a->at.used;
  a->at.used += bytes;
  return p;
}

dg_arena_mark dg_arena_save(const dg_arena *a) { return a->at; }
void dg_arena_rewind(dg_arena *a, dg_arena_mark mark) { a->at = mark; }
void dg_arena_reset(dg_arena *a) { a->at = (dg_arena_mark){0, 0}; }

size_t dg_arena_bytes(const dg_arena *a) {
  size_t sum = 0;
  for (size_t i = 0; i < a->count; i++) sum += a->blocks[i].size;
  return sum;
}

void dg_list_add(dg_list *l, const char *item) {
  DG_GROW(l->items, l->capacity, l->count + 1);
  l->items[l->count++] = item;
}

bool dg_ends_with(const char *s, const char *end) {
  size_t n = strlen(s), k = strlen(end);
  return n >= k && !strcmp(s + n - k, end);
}

bool dg_is_one_of(const char *s, const char *const *list) {
  for (; *list; list++)
    if (!strcmp(s, *list)) return true;
  return false;
}
