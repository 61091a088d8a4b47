#include "mt/train/encoder_cache.h"

#include <stdlib.h>
#include <string.h>

#include "mt/core/file.h"
#include "mt/core/mem.h"

struct dg_encoder_cache {
  const dg_network *network;
  size_t layers, width, sentences, computed;
  size_t *first;     /* [directions]: of a direction's sentences */
  uint64_t *starts;  /* [sentences + 1]: tokens before each */
  bool *kept;        /* [sentences] */
  uint64_t room;     /* tokens */
  dg_output *file;
  dg_arena *arena;
  float *states, *fresh; /* of the last batch, and of what it had new */
  size_t states_capacity, fresh_capacity;
  int32_t *ids;
  uint32_t *offsets;
  size_t ids_capacity, offsets_capacity;
};

/* Sentences of all directions one after another, with their lengths; false: no layer is frozen. */
static bool lay_out(dg_encoder_cache *c, const dg_examples *e, const dg_direction *directions,
                    size_t count) {
  size_t sentences = 0;
  c->first = dg_malloc((count + 1) * sizeof *c->first);
  for (size_t d = 0; d < count; d++) {
    c->first[d] = sentences;
    sentences += dg_examples_count(e, directions[d].corpus);
  }
  c->sentences = sentences;
  c->kept = dg_calloc(sentences + 1, sizeof *c->kept);
  c->starts = dg_malloc((sentences + 1) * sizeof *c->starts);
  c->starts[0] = 0;
  c->layers = c->network->model->encoder.count;
  dg_batch_buffer b = {0};
  for (size_t d = 0, at = 0; d < count && c->layers; d++)
    for (size_t i = 0; c->layers && i < dg_examples_count(e, directions[d].corpus); i++, at++) {
      dg_batch_clear(&b);
      dg_batch_add(&b, e, &directions[d], i, NULL);
      c->starts[at + 1] = c->starts[at] + dg_batch_sources(&b);
      size_t layers = dg_encoder_frozen(c->network, &b.batch);
      if (layers < c->layers) c->layers = layers;
    }
  dg_batch_free(&b);
  return c->layers;
}

dg_encoder_cache *dg_encoder_cache_new(const dg_network *n, const dg_examples *e,
                                       const dg_direction *directions, size_t count,
                                       const char *beside, int megabytes) {
  dg_encoder_cache *c = dg_calloc(1, sizeof *c);
  c->network = n;
  c->width = (size_t)n->model->config.d_model;
  c->room = ((uint64_t)megabytes << 20) / (c->width * sizeof(float));
  c->arena = dg_arena_new(16 << 20);
  if (c->room && lay_out(c, e, directions, count)) c->file = dg_output_open_scratch(beside, NULL);
  if (c->file) {
    uint64_t room = dg_output_room(c->file) / 2 / (c->width * sizeof(float));
    if (room < c->room) c->room = room; /* checkpoints need some too */
    return c;
  }
  dg_encoder_cache_free(c);
  return NULL;
}

void dg_encoder_cache_free(dg_encoder_cache *c) {
  if (!c) return;
  dg_output_abort(c->file);
  dg_arena_free(c->arena);
  free(c->first);
  free(c->starts);
  free(c->kept);
  free(c->states);
  free(c->fresh);
  free(c->ids);
  free(c->offsets);
  free(c);
}

static size_t sentence(const dg_encoder_cache *c, const dg_sampled *s) {
  return c->first[s->direction] + s->pair;
}

static uint64_t place(const dg_encoder_cache *c, size_t at) {
  return c->starts[at] * c->width * sizeof(float);
}

static float *states_of(const dg_encoder_cache *c, const dg_batch *b, size_t i) {
  return c->states + (b->source_offsets[i] - b->source_offsets[0]) * c->width;
}

/* The sources of a batch that are not kept yet. */
static dg_batch gather(dg_encoder_cache *c, const dg_sampled *pairs, const dg_batch *b) {
  size_t n = 0, total = 0;
  DG_GROW(c->offsets, c->offsets_capacity, b->sequences + 1);
  DG_GROW(c->ids, c->ids_capacity, b->source_offsets[b->sequences] - b->source_offsets[0] + 1);
  c->offsets[0] = 0;
  for (size_t i = 0; i < b->sequences; i++) {
    if (c->kept[sentence(c, &pairs[i])]) continue;
    size_t length = b->source_offsets[i + 1] - b->source_offsets[i];
    memcpy(c->ids + total, b->source + (b->source_offsets[i] - b->source_offsets[0]),
           length * sizeof *c->ids);
    c->offsets[++n] = (uint32_t)(total += length);
  }
  return (dg_batch){.sequences = n, .source = c->ids, .source_offsets = c->offsets};
}

/* Where nothing more can be written, nothing is kept: a checkpoint needs the room. */
static void keep(dg_encoder_cache *c, size_t at, const float *x) {
  if (c->kept[at] || c->starts[at + 1] > c->room) return;
  size_t bytes = (c->starts[at + 1] - c->starts[at]) * c->width * sizeof *x;
  if (dg_output_write_at(c->file, place(c, at), x, bytes, NULL)) {
    c->kept[at] = true;
    return;
  }
  memset(c->kept, 0, c->sentences * sizeof *c->kept);
  c->room = 0;
  dg_output_empty(c->file);
}

const float *dg_encoder_cache_states(dg_encoder_cache *c, const dg_sampled *pairs,
                                     const dg_batch *b, dg_error *err) {
  dg_batch missing = gather(c, pairs, b);
  DG_GROW(c->states, c->states_capacity,
          (b->source_offsets[b->sequences] - b->source_offsets[0]) * c->width + 1);
  DG_GROW(c->fresh, c->fresh_capacity, c->offsets[missing.sequences] * c->width + 1);
  if (missing.sequences &&
      !dg_encoder_states(c->network, &missing, c->layers, c->arena, c->fresh, err))
    return NULL;
  c->computed += missing.sequences;
  const float *fresh = c->fresh;
  for (size_t i = 0; i < b->sequences; i++) {
    size_t at = sentence(c, &pairs[i]);
    size_t floats = (b->source_offsets[i + 1] - b->source_offsets[i]) * c->width;
    float *to = states_of(c, b, i);
    if (!c->kept[at]) {
      memcpy(to, fresh, floats * sizeof *to);
      fresh += floats;
    } else if (!dg_output_read_at(c->file, place(c, at), to, floats * sizeof *to, err)) {
      return NULL;
    }
  }
  for (size_t i = 0; i < b->sequences; i++) keep(c, sentence(c, &pairs[i]), states_of(c, b, i));
  return c->states;
}

size_t dg_encoder_cache_layers(const dg_encoder_cache *c) { return c->layers; }
size_t dg_encoder_cache_computed(const dg_encoder_cache *c) { return c->computed; }
