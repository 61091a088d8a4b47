/* Segments as numbers of words, and counts of n-grams, exact: an n-gram is known by the number of
 * the n-gram it prolongs and its last item. Emptied at once by raising the generation. */
#ifndef DG_EVAL_NGRAMS_H
#define DG_EVAL_NGRAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mt/core/mem.h"

typedef struct dg_ngram {
  uint64_t key;
  uint32_t generation, id;
  uint32_t reference, hypothesis; /* how often each has it */
} dg_ngram;

typedef struct dg_ngrams {
  dg_ngram *slots;
  size_t size; /* a power of two */
  int shift;
  uint32_t generation, used;
} dg_ngrams;

static inline void dg_ngrams_free(dg_ngrams *t) { free(t->slots); }

/* Empties it and makes room for n n-grams. */
static inline void dg_ngrams_restart(dg_ngrams *t, size_t n) {
  size_t size = t->size ? t->size : 256;
  while (size < 2 * n) size *= 2;
  if (size > t->size || t->generation == UINT32_MAX) {
    free(t->slots);
    t->slots = dg_calloc(size, sizeof *t->slots);
    t->size = size;
    t->shift = 64;
    for (; size > 1; size /= 2) t->shift--;
    t->generation = 0;
  }
  t->generation++;
  t->used = 0;
}

static inline dg_ngram *dg_ngrams_slot(dg_ngrams *t, uint64_t key) {
  size_t i = (size_t)((key * UINT64_C(0x9E3779B97F4A7C15)) >> t->shift);
  while (t->slots[i].generation == t->generation && t->slots[i].key != key)
    i = (i + 1) & (t->size - 1);
  return &t->slots[i];
}

static inline uint64_t dg_ngrams_key(uint32_t prefix, uint32_t item) {
  return (uint64_t)prefix << 32 | item;
}

/* `prefix` is the id of the n-gram that this one prolongs, 0 for one of one item. */
static inline dg_ngram *dg_ngrams_add(dg_ngrams *t, uint32_t prefix, uint32_t item) {
  uint64_t key = dg_ngrams_key(prefix, item);
  dg_ngram *s = dg_ngrams_slot(t, key);
  if (s->generation != t->generation)
    *s = (dg_ngram){.key = key, .generation = t->generation, .id = ++t->used};
  return s;
}

/* NULL when there is none. */
static inline dg_ngram *dg_ngrams_find(dg_ngrams *t, uint32_t prefix, uint32_t item) {
  dg_ngram *s = dg_ngrams_slot(t, dg_ngrams_key(prefix, item));
  return s->generation == t->generation ? s : NULL;
}

/* A segment in numbers: of words, or code points. 0 is a word that no reference has. */
typedef struct dg_items {
  uint32_t *list;
  size_t count, capacity;
} dg_items;

static inline void dg_items_add(dg_items *t, uint32_t item) {
  DG_GROW(t->list, t->capacity, t->count + 1);
  t->list[t->count++] = item;
}

/* Counts the n-grams up to `order` of a reference, the only one; of a further one, where the
 * largest count of any reference holds. Then, for each length, the hypothesis's n-grams that
 * a reference has as often. */
void dg_ngrams_count(dg_ngrams *t, const dg_items *reference, size_t order);
void dg_ngrams_count_further(dg_ngrams *t, const dg_items *reference, size_t order);
void dg_ngrams_match(dg_ngrams *t, const dg_items *hypothesis, size_t order, size_t *matches);

/* Numbers of words, from 1; the words must outlive the table's use. */
typedef struct dg_vocabulary {
  struct dg_vocabulary_slot {
    const char *word;
    size_t n;
    uint64_t hash;
    uint32_t generation, id;
  } * slots;
  size_t size;
  uint32_t generation, used;
} dg_vocabulary;

static inline void dg_vocabulary_free(dg_vocabulary *v) { free(v->slots); }

static inline void dg_vocabulary_restart(dg_vocabulary *v, size_t n) {
  size_t size = v->size ? v->size : 128;
  while (size < 2 * n) size *= 2;
  if (size > v->size || v->generation == UINT32_MAX) {
    free(v->slots);
    v->slots = dg_calloc(size, sizeof *v->slots);
    v->size = size;
    v->generation = 0;
  }
  v->generation++;
  v->used = 0;
}

static inline uint64_t dg_vocabulary_hash(const char *word, size_t n) {
  uint64_t h = n * UINT64_C(0x9E3779B97F4A7C15), x;
  for (; n >= 8; n -= 8, word += 8) {
    memcpy(&x, word, 8);
    h = (h ^ x) * UINT64_C(0xBF58476D1CE4E5B9);
    h ^= h >> 32;
  }
  x = 0;
  for (size_t i = 0; i < n; i++) x = x << 8 | (unsigned char)word[i];
  h = (h ^ x) * UINT64_C(0xBF58476D1CE4E5B9);
  return h ^ h >> 29;
}

/* The word's number; 0 when it is new and not to be added. */
static inline uint32_t dg_vocabulary_id(dg_vocabulary *v, const char *word, size_t n, bool add) {
  uint64_t hash = dg_vocabulary_hash(word, n);
  for (size_t i = (size_t)hash & (v->size - 1);; i = (i + 1) & (v->size - 1)) {
    struct dg_vocabulary_slot *s = &v->slots[i];
    if (s->generation != v->generation) {
      if (add) *s = (struct dg_vocabulary_slot){word, n, hash, v->generation, ++v->used};
      return add ? s->id : 0;
    }
    if (s->hash == hash && s->n == n && !memcmp(s->word, word, n)) return s->id;
  }
}

/* The numbers of a text's words; `add`: of new words too, which are 0 otherwise. */
void dg_items_words(dg_items *t, dg_vocabulary *v, const char *text, size_t n, bool add);

#endif
