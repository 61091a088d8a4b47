#include "data/key_set.h"

#include <stdlib.h>

#include "mt/core/mem.h"

enum { FIRST_SIZE = 1 << 12 };

/* Where the key is, or the empty place where it belongs. Keys are hashes already. */
static size_t place(const dg_key_set *s, uint64_t key) {
  size_t i = (size_t)key & (s->size - 1);
  while (s->keys[i] && s->keys[i] != key) i = (i + 1) & (s->size - 1);
  return i;
}

static uint64_t never_zero(uint64_t key) { return key ? key : 1; }

bool dg_key_set_add(dg_key_set *s, uint64_t key) {
  if (2 * (s->used + 1) > s->size) {
    dg_key_set bigger = {.size = s->size ? 2 * s->size : FIRST_SIZE, .used = s->used};
    bigger.keys = dg_calloc(bigger.size, sizeof *bigger.keys);
    for (size_t i = 0; i < s->size; i++)
      if (s->keys[i]) bigger.keys[place(&bigger, s->keys[i])] = s->keys[i];
    free(s->keys);
    *s = bigger;
  }
  key = never_zero(key);
  size_t i = place(s, key);
  if (s->keys[i]) return false;
  s->keys[i] = key;
  s->used++;
  return true;
}

bool dg_key_set_has(const dg_key_set *s, uint64_t key) {
  return s->size && s->keys[place(s, never_zero(key))];
}

void dg_key_set_free(dg_key_set *s) {
  free(s->keys);
  *s = (dg_key_set){0};
}
