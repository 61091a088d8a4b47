#include "mt/model/decoder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "mt/model/output.h"
#include "mt/model/stack.h"

/* Keys and values of one step, [layers][rows][2*inner]: written once, never moved.
 * A hypothesis finds its own through its ancestors' row numbers. */
typedef struct step_cache {
  float *kv;
  size_t rows;
} step_cache;

struct dg_decoder {
  dg_network network;
  dg_arena *lasting, *scratch;
  dg_packed_text source;
  float *memory, **cross; /* cross[layer]: [source.total, 2*inner] */
  size_t heads, width, inner, max_rows, max_length, length;
  float scale;
  step_cache *steps;
  uint32_t *ancestors, *next_ancestors; /* [max_rows, max_length] */
  float *relative;                      /* [heads][2*max_length-1] or NULL */
};

dg_decoder *dg_decoder_new(const dg_network *network, const int32_t *source,
                           const uint32_t *offsets, size_t sentences, size_t max_rows,
                           size_t max_length, dg_error *err) {
  const dg_model *m = network->model;
  const dg_model_config *c = &m->config;
  dg_packed_text text = dg_pack_text(sentences, source, offsets);
  dg_packed_text longest = {.longest = max_length};
  if (!dg_text_check(network, &m->encoder, &text, err) ||
      !dg_text_check(network, &m->decoder, &longest, err))
    return NULL;
  dg_decoder *d = dg_calloc(1, sizeof *d);
  d->network = *network;
  d->lasting = dg_arena_new(4 << 20);
  d->scratch = dg_arena_new(4 << 20);
  d->heads = (size_t)c->heads;
  d->width = (size_t)c->head_dim;
  d->inner = d->heads * d->width;
  d->scale = dg_attention_scale(c);
  d->max_rows = max_rows;
  d->max_length = max_length;
  d->steps = dg_calloc(max_length, sizeof *d->steps);
  d->ancestors = dg_malloc(max_rows * max_length * sizeof *d->ancestors);
  d->next_ancestors = dg_malloc(max_rows * max_length * sizeof *d->ancestors);
  uint32_t *kept = dg_arena_alloc(d->lasting, sentences + 1, sizeof *kept);
  for (size_t i = 0; i <= sentences; i++) kept[i] = offsets[i] - offsets[0];
  d->source = text;
  d->source.offsets = kept;

  dg_pass p = {.network = &d->network, .ops = dg_ops_get(), .arena = d->scratch};
  dg_stack_walk walk;
  float *memory =
      dg_stack_forward(&p, &m->encoder, &text, NULL, NULL, DG_DEPTH_NONE, NULL, &walk);
  d->source.ids = NULL; /* the caller's; not needed again */
  p.arena = d->lasting;
  d->memory = dg_pass_floats(&p, text.total, (size_t)c->d_model);
  memcpy(d->memory, memory, text.total * (size_t)c->d_model * sizeof *memory);
  d->cross = dg_arena_alloc(d->lasting, m->decoder.count, sizeof *d->cross);
  for (size_t i = 0; i < m->decoder.count; i++) {
    const dg_attention *a = &m->decoder.layers[i].cross;
    dg_layer_parts parts = dg_network_parts(&d->network, true, i);
    dg_sublayer_saved unused = {0};
    d->cross[i] = dg_pass_floats(&p, text.total, a->kv.out);
    dg_attention_memory(&p, a, &parts.cross, text.total, d->memory, d->cross[i], &unused);
  }
  if (m->decoder.relative) {
    d->relative = dg_pass_floats(&p, d->heads, 2 * max_length - 1);
    dg_relative_biases(c, m->decoder.relative, false, max_length, d->relative);
  }
  return d;
}

void dg_decoder_free(dg_decoder *d) {
  if (!d) return;
  dg_arena_free(d->lasting);
  dg_arena_free(d->scratch);
  free(d->steps);
  free(d->ancestors);
  free(d->next_ancestors);
  free(d);
}

const float *dg_decoder_encoding(const dg_decoder *d) { return d->memory; }

typedef struct attend_job {
  const dg_decoder *d;
  const dg_ops *ops;
  size_t layer, rows;
  const uint32_t *sources;
  const float *q;
  float *o;
  size_t most_keys;
  float *scores;       /* per worker */
  const float **keys;  /* per worker: most_keys keys, most_keys values */
} attend_job;

static void self_row(void *context, size_t row, int worker) {
  const attend_job *j = context;
  const dg_decoder *d = j->d;
  size_t length = d->length + 1, inner = d->inner;
  const float **k = j->keys + (size_t)worker * 2 * j->most_keys, **v = k + j->most_keys;
  const uint32_t *ancestors = d->next_ancestors + row * d->max_length;
  for (size_t t = 0; t < length; t++) {
    const step_cache *s = &d->steps[t];
    k[t] = s->kv + (j->layer * s->rows + ancestors[t]) * 2 * inner;
    v[t] = k[t] + inner;
  }
  for (size_t h = 0; h < d->heads; h++) {
    const float *bias = d->relative ? d->relative + h * (2 * d->max_length - 1) +
                                          (d->max_length - 1) - d->length
                                    : NULL;
    j->ops->attention_cached(length, d->width, d->scale, j->q + row * 3 * inner + h * d->width, k,
                             v, bias, j->scores + (size_t)worker * j->most_keys,
                             j->o + row * inner + h * d->width);
    for (size_t t = 0; t < length; t++) k[t] += d->width, v[t] += d->width;
  }
}

static void cross_row(void *context, size_t row, int worker) {
  const attend_job *j = context;
  const dg_decoder *d = j->d;
  size_t inner = d->inner, first = d->source.offsets[j->sources[row]];
  size_t length = d->source.offsets[j->sources[row] + 1] - first;
  const float **k = j->keys + (size_t)worker * 2 * j->most_keys, **v = k + j->most_keys;
  for (size_t t = 0; t < length; t++) {
    k[t] = d->cross[j->layer] + (first + t) * 2 * inner;
    v[t] = k[t] + inner;
  }
  for (size_t h = 0; h < d->heads; h++) {
    j->ops->attention_cached(length, d->width, d->scale, j->q + row * inner + h * d->width, k, v,
                             NULL, j->scores + (size_t)worker * j->most_keys,
                             j->o + row * inner + h * d->width);
    for (size_t t = 0; t < length; t++) k[t] += d->width, v[t] += d->width;
  }
}

static void attend_self(void *context, const float *q, float *o) {
  attend_job *j = context;
  size_t inner = j->d->inner;
  float *kv = j->d->steps[j->d->length].kv + j->layer * j->rows * 2 * inner;
  for (size_t r = 0; r < j->rows; r++)
    memcpy(kv + r * 2 * inner, q + r * 3 * inner + inner, 2 * inner * sizeof *kv);
  j->q = q, j->o = o;
  dg_parallel(j->d->network.threads, j->rows, self_row, j);
}

static void attend_cross(void *context, const float *q, float *o) {
  attend_job *j = context;
  j->q = q, j->o = o;
  dg_parallel(j->d->network.threads, j->rows, cross_row, j);
}

size_t dg_decoder_row_floats(const dg_network *n) {
  const dg_model_config *c = &n->model->config;
  return n->model->decoder.count * 2 * (size_t)c->heads * (size_t)c->head_dim;
}

void dg_decoder_step(dg_decoder *d, size_t rows, const int32_t *tokens, const uint32_t *parents,
                     const uint32_t *sources, float *logits) {
  const dg_network *n = &d->network;
  const dg_model *m = n->model;
  const dg_stack *stack = &m->decoder;
  const dg_model_config *c = &m->config;
  size_t width = (size_t)c->d_model, t = d->length;
  for (size_t r = 0; r < rows; r++) {
    uint32_t *mine = d->next_ancestors + r * d->max_length;
    if (t) memcpy(mine, d->ancestors + parents[r] * d->max_length, t * sizeof *mine);
    mine[t] = (uint32_t)r;
  }
  d->steps[t].rows = rows;
  d->steps[t].kv = dg_arena_alloc(d->lasting, rows * dg_decoder_row_floats(n), sizeof(float));

  dg_arena_reset(d->scratch);
  dg_pass p = {.network = n, .ops = dg_ops_get(), .arena = d->scratch};
  dg_style base = dg_base_style(&p);
  attend_job j = {.d = d, .ops = p.ops, .rows = rows, .sources = sources};
  j.most_keys = t + 1 > d->source.longest ? t + 1 : d->source.longest;
  size_t workers = (size_t)dg_threads_count(n->threads);
  j.scores = dg_pass_floats(&p, workers, j.most_keys);
  j.keys = dg_arena_alloc(p.arena, workers * 2 * j.most_keys, sizeof *j.keys);

  float *x = dg_pass_floats(&p, rows, width);
  for (size_t r = 0; r < rows; r++) dg_embed_token(n, stack, tokens[r], t, x + r * width);
  float *mean = dg_pass_floats(&p, rows, 1), *rstd = dg_pass_floats(&p, rows, 1);
  if (c->embedding_norm) {
    dg_norm norm = dg_stack_norm(&p, stack, true);
    dg_norm_forward(&p, base.rms, base.eps, &norm, rows, width, x, x, mean, rstd);
  }
  for (size_t i = 0; i < stack->count; i++) {
    const dg_layer *layer = &stack->layers[i];
    dg_ffn_saved unused;
    j.layer = i;
    dg_layer_parts parts = dg_network_parts(n, true, i);
    x = dg_attention_around(&p, &base, &layer->self, &parts.self, &layer->self.qkv, rows, x,
                            attend_self, &j);
    x = dg_attention_around(&p, &base, &layer->cross, &parts.cross, &layer->cross.q, rows, x,
                            attend_cross, &j);
    x = dg_ffn_forward(&p, &base, &layer->ffn, &parts.ffn, rows, x, x, &unused);
    for (size_t k = 0; k < parts.after_count; k++)
      x = dg_block_forward(&p, parts.after[k], rows, x, &unused);
  }
  if (c->final_norm) {
    dg_norm norm = dg_stack_norm(&p, stack, false);
    dg_norm_forward(&p, base.rms, base.eps, &norm, rows, width, x, x, mean, rstd);
  }
  dg_output_forward(&p, &m->output, rows, x, logits);

  uint32_t *swap = d->ancestors;
  d->ancestors = d->next_ancestors;
  d->next_ancestors = swap;
  d->length++;
}
