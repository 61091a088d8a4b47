#include "data/split.h"

#include <stdlib.h>

#include "data/clean.h"
#include "mt/core/file.h"
#include "mt/core/rng.h"

typedef struct keyed {
  uint64_t order;
  size_t pair;
} keyed;

static int by_order(const void *a, const void *b) {
  const keyed *x = a, *y = b;
  if (x->order != y->order) return x->order < y->order ? -1 : 1;
  return x->pair < y->pair ? -1 : x->pair > y->pair;
}

static int by_pair(const void *a, const void *b) {
  const keyed *x = a, *y = b;
  return x->pair < y->pair ? -1 : x->pair > y->pair;
}

static bool write_pairs(const dg_parallel_text *p, keyed *list, size_t n, const char *path,
                        dg_error *err) {
  if (n) qsort(list, n, sizeof *list, by_pair);
  dg_output *out = dg_output_open(path, err);
  bool ok = out != NULL;
  for (size_t i = 0; i < n && ok; i++)
    ok = dg_output_printf(out, err, "%s\t%s\n", p->pairs[list[i].pair].source,
                          p->pairs[list[i].pair].target);
  if (ok) return dg_output_commit(out, err);
  dg_output_abort(out);
  return false;
}

static bool write_part(const dg_parallel_text *p, keyed *list, size_t n, const char *prefix,
                       const char *part, dg_error *err) {
  char *path = dg_format("%s.%s.tsv", prefix, part);
  bool ok = write_pairs(p, list, n, path, err);
  free(path);
  return ok;
}

/* The pairs with enough words, by the hashes of their sentences. */
static keyed *in_order(const dg_parallel_text *p, size_t least_words, uint64_t seed, size_t *count) {
  keyed *list = dg_calloc(p->count + 1, sizeof *list);
  *count = 0;
  for (size_t i = 0; i < p->count; i++)
    if (!least_words || dg_word_count(p->pairs[i].source) >= least_words)
      list[(*count)++] =
          (keyed){dg_hash64(dg_sentence_key(p->pairs[i].source) ^ dg_hash64(seed)), i};
  if (*count) qsort(list, *count, sizeof *list, by_order);
  return list;
}

bool dg_sample_write(const dg_parallel_text *p, const char *path, size_t count,
                     size_t least_words, uint64_t seed, size_t *written, dg_error *err) {
  size_t found;
  keyed *list = in_order(p, least_words, seed, &found);
  *written = found < count ? found : count;
  bool ok = write_pairs(p, list, *written, path, err);
  free(list);
  return ok;
}

bool dg_split_write(const dg_parallel_text *p, const char *prefix, size_t dev, size_t test,
                    uint64_t seed, size_t counts[3], dg_error *err) {
  size_t count;
  keyed *list = in_order(p, 0, seed, &count), *held = dg_calloc(count + 1, sizeof *held);
  size_t chosen = 0, train = 0, first = 0;
  while (first < p->count && chosen < dev + test) { /* one pair of each run of equal keys */
    held[chosen++] = list[first];
    do first++;
    while (first < p->count && list[first].order == list[first - 1].order);
  }
  train = p->count - first;
  bool ok = true;
  if (chosen < dev + test || train < first)
    ok = dg_fail(err, DG_ERR_USAGE,
                 "%zu pairs are too few for %zu dev and %zu test sentences: ask for fewer",
                 p->count, dev, test);
  ok = ok && write_part(p, held, test, prefix, "test", err) &&
       write_part(p, held + test, dev, prefix, "dev", err) &&
       write_part(p, list + first, train, prefix, "train", err);
  counts[0] = train, counts[1] = dev, counts[2] = test;
  free(list);
  free(held);
  return ok;
}
