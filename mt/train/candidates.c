#include "mt/train/candidates.h"

#include <stdlib.h>
#include <string.h>

#include "mt/core/mem.h"
#include "mt/core/rng.h"

enum { SAMPLED = 4096 };

struct dg_candidates {
  size_t vocab, exact, sampled;
  int32_t *ids;      /* [vocab]: those of the corpus, then room for the others */
  int32_t *class_of; /* [vocab] */
  int32_t *rest;     /* [vocab]: what is left to draw from */
  float *weights;    /* [vocab] */
  dg_loss_classes classes;
};

/* Pieces become classes in the order they are met; those past the vocabulary are an adapter's. */
static void add(dg_candidates *c, const int32_t *labels, size_t count, size_t *classes) {
  for (size_t i = 0; i < count; i++)
    if (labels[i] >= 0 && (size_t)labels[i] < c->vocab && c->class_of[labels[i]] < 0) {
      c->class_of[labels[i]] = (int32_t)*classes;
      c->ids[(*classes)++] = labels[i];
    }
}

dg_candidates *dg_candidates_new(const dg_examples *e, const dg_direction *directions,
                                 size_t count, size_t vocab, int sampled) {
  dg_candidates *c = dg_calloc(1, sizeof *c);
  c->vocab = vocab;
  c->ids = dg_malloc(vocab * sizeof *c->ids);
  c->class_of = dg_malloc(vocab * sizeof *c->class_of);
  c->rest = dg_malloc(vocab * sizeof *c->rest);
  c->weights = dg_malloc(vocab * sizeof *c->weights);
  memset(c->class_of, -1, vocab * sizeof *c->class_of);
  dg_batch_buffer b = {0};
  for (size_t d = 0; d < count; d++)
    for (size_t i = 0; i < dg_examples_count(e, directions[d].corpus); i++) {
      dg_batch_clear(&b);
      dg_batch_add(&b, e, &directions[d], i, NULL);
      add(c, b.labels, dg_batch_targets(&b), &c->exact);
    }
  dg_batch_free(&b);
  c->sampled = sampled < 0 ? SAMPLED : (size_t)sampled;
  size_t least = sampled < 0 ? 2 * SAMPLED : c->sampled; /* below it the whole is as cheap */
  if (c->sampled && vocab - c->exact > least) return c;
  dg_candidates_free(c);
  return NULL;
}

void dg_candidates_free(dg_candidates *c) {
  if (!c) return;
  free(c->ids);
  free(c->class_of);
  free(c->rest);
  free(c->weights);
  free(c);
}

size_t dg_candidates_exact(const dg_candidates *c) { return c->exact; }

const dg_loss_classes *dg_candidates_draw(dg_candidates *c, const int32_t *labels, size_t count,
                                          uint64_t seed) {
  for (size_t i = c->exact; i < c->classes.count; i++) c->class_of[c->ids[i]] = -1;
  size_t exact = c->exact, left = 0, classes;
  add(c, labels, count, &exact);
  for (size_t i = 0; i < c->vocab; i++)
    if (c->class_of[i] < 0) c->rest[left++] = (int32_t)i;
  size_t sampled = c->sampled < left ? c->sampled : left;
  dg_rng r = {.key = dg_rng_key(seed, 0)};
  classes = exact;
  for (size_t k = 0; k < sampled; k++) { /* one of each stratum stands for the whole of it */
    size_t first = k * left / sampled, end = (k + 1) * left / sampled;
    int32_t id = c->rest[first + (size_t)(dg_rng_uniform(&r) * (double)(end - first))];
    c->weights[k] = (float)(end - first);
    c->class_of[id] = (int32_t)classes;
    c->ids[classes++] = id;
  }
  c->classes = (dg_loss_classes){classes, exact, c->ids, c->class_of, c->weights};
  return &c->classes;
}
