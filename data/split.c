#include "data/split.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "data/check.h"
#include "data/clean.h"
#include "mt/core/file.h"
#include "mt/core/rng.h"

typedef struct keyed {
  uint64_t order;    /* of the sentence */
  uint64_t spelling; /* of both sides: which of its pairs comes first */
  size_t pair;
} keyed;

static int by_order(const void *a, const void *b) {
  const keyed *x = a, *y = b;
  if (x->order != y->order) return x->order < y->order ? -1 : 1;
  if (x->spelling != y->spelling) return x->spelling < y->spelling ? -1 : 1;
  return x->pair < y->pair ? -1 : x->pair > y->pair;
}

static keyed key_of(const dg_parallel_text *p, size_t pair, uint64_t seed) {
  const char *source = p->pairs[pair].source, *target = p->pairs[pair].target;
  uint64_t spelling = XXH3_64bits_withSeed(target, strlen(target), dg_hash64(seed));
  return (keyed){dg_hash64(dg_sentence_key(source) ^ dg_hash64(seed)),
                 XXH3_64bits_withSeed(source, strlen(source), spelling), pair};
}

/* The pairs of one part, in file order; NULL on error. */
static dg_output *write_part(const dg_parallel_text *p, const unsigned char *parts,
                             unsigned char part, const char *path, dg_error *err) {
  dg_output *out = dg_output_open(path, err);
  bool ok = out != NULL;
  for (size_t i = 0; i < p->count && ok; i++)
    if (parts[i] == part)
      ok = dg_output_printf(out, err, "%s\t%s\n", p->pairs[i].source, p->pairs[i].target);
  if (ok) return out;
  dg_output_abort(out);
  return NULL;
}

/* The pairs with enough words, by the hashes of their sentences. */
static keyed *in_order(const dg_parallel_text *p, size_t least_words, uint64_t seed,
                       size_t *count) {
  keyed *list = dg_calloc(p->count + 1, sizeof *list);
  *count = 0;
  for (size_t i = 0; i < p->count; i++)
    if (!least_words || dg_word_count(p->pairs[i].source) >= least_words)
      list[(*count)++] = key_of(p, i, seed);
  if (*count) qsort(list, *count, sizeof *list, by_order);
  return list;
}

bool dg_sample_write(const dg_parallel_text *p, const char *path, size_t count,
                     size_t least_words, uint64_t seed, size_t *written, dg_error *err) {
  size_t found;
  keyed *list = in_order(p, least_words, seed, &found);
  *written = found < count ? found : count;
  unsigned char *chosen = dg_calloc(p->count + 1, 1);
  for (size_t i = 0; i < *written; i++) chosen[list[i].pair] = 1;
  dg_output *out = write_part(p, chosen, 1, path, err);
  bool ok = out && dg_output_commit(out, err);
  free(chosen);
  free(list);
  return ok;
}

bool dg_split_choose(const dg_parallel_text *p, size_t dev, size_t test, uint64_t seed,
                     unsigned char *parts, dg_error *err) {
  size_t count, chosen = 0, train = 0;
  keyed *list = in_order(p, 0, seed, &count);
  dg_key_set in_test = {0}, in_either = {0};
  memset(parts, DG_PART_TRAIN, p->count);
  for (size_t i = 0, next; i < count && chosen < dev + test; i = next) {
    const dg_pair *pair = &p->pairs[list[i].pair];
    for (next = i; next < count && list[next].order == list[i].order; next++)
      parts[list[next].pair] = DG_PART_NONE;
    /* What test says in other words is nothing for dev. */
    if (chosen >= test && dg_held_out(&in_test, pair)) continue;
    if (chosen < test) dg_hold_out(&in_test, pair);
    dg_hold_out(&in_either, pair);
    parts[list[i].pair] = chosen++ < test ? DG_PART_TEST : DG_PART_DEV;
  }
  for (size_t i = 0; i < p->count; i++)
    if (parts[i] == DG_PART_TRAIN) {
      if (dg_held_out(&in_either, &p->pairs[i])) parts[i] = DG_PART_NONE;
      else train++;
    }
  free(list);
  dg_key_set_free(&in_test);
  dg_key_set_free(&in_either);
  return (chosen == dev + test && 2 * train >= p->count) ||
         dg_fail(err, DG_ERR_USAGE,
                 "%zu pairs are too few for %zu dev and %zu test sentences, beside which %zu are "
                 "left to train on: ask for fewer",
                 p->count, dev, test, train);
}

char *dg_split_path(const char *prefix, dg_part part) {
  static const char *const names[] = {"train", "dev", "test"};
  return dg_format("%s.%s.tsv", prefix, names[part]);
}

bool dg_split_write(const dg_parallel_text *p, const char *prefix, size_t dev, size_t test,
                    uint64_t seed, size_t counts[3], dg_error *err) {
  unsigned char *parts = dg_calloc(p->count + 1, 1);
  bool ok = dg_split_choose(p, dev, test, seed, parts, err);
  memset(counts, 0, 3 * sizeof *counts);
  for (size_t i = 0; i < p->count; i++)
    if (parts[i] != DG_PART_NONE) counts[parts[i]]++;
  /* All or none: a new test set beside old training text would have some of it in common. */
  dg_output *outputs[3] = {NULL};
  for (int part = DG_PART_TRAIN; ok && part <= DG_PART_TEST; part++) {
    char *path = dg_split_path(prefix, (dg_part)part);
    outputs[part] = write_part(p, parts, (unsigned char)part, path, err);
    ok = outputs[part] != NULL;
    free(path);
  }
  if (ok) ok = dg_output_commit_all(outputs, 3, err);
  else
    for (int i = 0; i < 3; i++) dg_output_abort(outputs[i]);
  free(parts);
  return ok;
}
