#include "mt/model/packed.h"

#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "mt/core/file.h"
#include "mt/core/mem.h"

/* Of larger models a copy in floats takes more memory and time to make than it saves. */
enum { NUMBERS_MOST = 1 << 26 };

/* Ordered by weight; q, kv and qkv share memory, so a view is told by its size too. */
typedef struct entry {
  const void *weight;
  size_t out;
  dg_packed *packed;
} entry;

struct dg_packed_model {
  entry *entries;
  size_t count, capacity;
  bool large;
};

static int compare(const void *a, const void *b) {
  const entry *x = a, *y = b;
  if (x->weight != y->weight) return x->weight < y->weight ? -1 : 1;
  return (x->out > y->out) - (x->out < y->out);
}

/* What is held in 8 bits is mapped from its file, and now read no more but for rows of an
 * embedding. */
static void forget(const dg_linear *l) {
  size_t rows = l->weight.block_rows ? l->weight.block_rows : l->out;
  for (size_t b = 0; b * rows < l->out; b++) dg_map_forget(l->weight.block[b].data, rows * l->in);
}

static bool add(dg_packed_model *p, dg_precision precision, const dg_linear *l, dg_error *err) {
  if (p->large && !dg_packs_in_8_bits(precision, l->out, l->in, &l->weight)) return true;
  dg_packed *w = dg_pack_new(precision, l->out, l->in, &l->weight, err);
  if (!w) return false;
  DG_GROW(p->entries, p->capacity, p->count + 1);
  p->entries[p->count++] = (entry){l->weight.block[0].data, l->out, w};
  if (p->large) forget(l);
  return true;
}

static bool add_stack(dg_packed_model *p, dg_precision precision, const dg_stack *s, bool cross,
                      dg_error *err) {
  for (size_t i = 0; i < s->count; i++) {
    const dg_layer *l = &s->layers[i];
    if (!add(p, precision, &l->self.qkv, err) || !add(p, precision, &l->self.out, err) ||
        !add(p, precision, &l->ffn.in, err) || !add(p, precision, &l->ffn.out, err))
      return false;
    if (cross && (!add(p, precision, &l->cross.q, err) || !add(p, precision, &l->cross.kv, err) ||
                  !add(p, precision, &l->cross.out, err)))
      return false;
  }
  return true;
}

dg_packed_model *dg_packed_model_new(const dg_model *m, dg_precision precision, dg_error *err) {
  return dg_packed_model_limited(m, precision, NUMBERS_MOST, err);
}

dg_packed_model *dg_packed_model_limited(const dg_model *m, dg_precision precision, size_t most,
                                         dg_error *err) {
  dg_packed_model *p = dg_calloc(1, sizeof *p);
  p->large = dg_params_count(&m->params) > most;
  /* The largest first: for a while it is there twice. */
  if (!add(p, precision, &m->output, err) || !add_stack(p, precision, &m->encoder, false, err) ||
      !add_stack(p, precision, &m->decoder, true, err)) {
    dg_packed_model_free(p);
    return NULL;
  }
  if (p->count) qsort(p->entries, p->count, sizeof *p->entries, compare);
  return p;
}

void dg_packed_model_free(dg_packed_model *p) {
  if (!p) return;
  for (size_t i = 0; i < p->count; i++) dg_pack_free(p->entries[i].packed);
  free(p->entries);
#ifdef __GLIBC__
  if (p->large) malloc_trim(0); /* free() keeps for itself what training wants after a scoring */
#endif
  free(p);
}

const dg_packed *dg_packed_model_find(const dg_packed_model *p, const dg_linear *l) {
  if (!p || !p->count) return NULL;
  if (l->weight.chosen) return NULL; /* some rows of a weight have no packed form */
  entry key = {l->weight.block[0].data, l->out, NULL};
  const entry *found = bsearch(&key, p->entries, p->count, sizeof key, compare);
  return found ? found->packed : NULL;
}
