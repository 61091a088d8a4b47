#include "mt/model/loss.h"

#include <math.h>
#include <string.h>

#include "mt/model/output.h"
#include "mt/model/stack.h"

/* Logits exist only a block of rows at a time: this many bytes, so that they
 * are still in the last-level cache when their gradient is multiplied. */
enum { LOGITS_BYTES = 16 << 20, LOGITS_ROWS_LEAST = 64 };

typedef struct output_job {
  const dg_pass *p;
  size_t classes;
  const int32_t *labels;
  const dg_loss_options *options;
  const dg_loss_classes *part; /* of the vocabulary, or NULL */
  size_t added;                /* an adapter's new pieces, the last classes */
  const float *shifts;         /* [part->count - part->exact]: logarithms of the weights */
  double pieces;               /* that the part stands for */
  bool backward;
  size_t rows; /* of a block, from one pass to the next */
  float *logits;
  double (*losses)[3];
} output_job;

static float sum_of(const float *x, const float *weights, size_t n) {
  float sums[8] = {0}, sum = 0;
  size_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (size_t k = 0; k < 8; k++) sums[k] += x[i + k] * (weights ? weights[i + k] : 1);
  for (; i < n; i++) sum += x[i] * (weights ? weights[i] : 1);
  for (size_t k = 0; k < 8; k++) sum += sums[k];
  return sum;
}

/* Sampled logits grow by the logarithm of what they stand for: then the sum of exponentials is
 * an estimate of the whole vocabulary's. What smoothing needs, the mean of all logits but not
 * that of the label, is estimated first. */
static double enter_part(const output_job *j, float *row, size_t label) {
  const dg_loss_classes *c = j->part;
  size_t sampled = c->count - c->exact;
  double all = (double)sum_of(row, NULL, c->exact) +
               (double)sum_of(row + c->exact, c->weights, sampled) +
               (double)sum_of(row + c->count, NULL, j->added);
  double less = (double)row[label] - all / j->pieces;
  for (size_t i = 0; i < sampled; i++) row[c->exact + i] += j->shifts[i];
  return less;
}

/* The gradient's part that is the same in every row: what smoothing takes from the label and
 * gives to all. */
static void leave_part(const output_job *j, float *row, size_t label, float share) {
  const dg_loss_classes *c = j->part;
  float moved = share * j->options->gradient_scale * j->options->label_smoothing;
  float each = moved / (float)j->pieces;
  if (moved <= 0) return;
  for (size_t i = 0; i < c->exact; i++) row[i] -= each;
  for (size_t i = c->exact; i < c->count; i++) row[i] -= each * c->weights[i - c->exact];
  for (size_t i = c->count; i < c->count + j->added; i++) row[i] -= each;
  row[label] += moved;
}

static size_t class_of(const output_job *j, size_t label) {
  size_t vocab = j->p->network->model->output.out;
  return label < vocab ? (size_t)j->part->class_of[label] : j->part->count + (label - vocab);
}

/* A row's loss and gradient over a part of the vocabulary; `again` is its second pass or NULL.
 * The kernels know no weights, so that they smooth nothing here. */
static void part_row(const output_job *j, size_t r, float *row, float *again, double losses[3]) {
  const dg_loss_options *o = j->options;
  size_t label = class_of(j, (size_t)j->labels[r]);
  double less = enter_part(j, row, label), unsmoothed = 0;
  if (again) {
    less = (less + enter_part(j, again, label)) / 2;
    j->p->ops->rdrop(j->classes, row, again, label, 0, o->rdrop, o->gradient_scale, &unsmoothed,
                     &losses[1], &losses[2]);
    leave_part(j, again, label, 0.5F);
  } else {
    j->p->ops->cross_entropy(j->classes, row, label, 0, o->gradient_scale, &unsmoothed, &losses[1]);
  }
  leave_part(j, row, label, again ? 0.5F : 1);
  losses[0] = unsmoothed + (double)o->label_smoothing * less;
}

static void loss_row(void *context, size_t r, int worker) {
  (void)worker;
  const output_job *j = context;
  float *row = j->logits + r * j->classes;
  double *losses = memset(j->losses[r], 0, sizeof j->losses[r]);
  bool twice = j->options->rdrop > 0 && j->backward;
  float *again = row + j->rows * j->classes;
  if (j->labels[r] >= 0 && j->part)
    part_row(j, r, row, twice ? again : NULL, losses);
  else if (j->labels[r] >= 0 && twice)
    j->p->ops->rdrop(j->classes, row, again, (size_t)j->labels[r], j->options->label_smoothing,
                     j->options->rdrop, j->options->gradient_scale, &losses[0], &losses[1],
                     &losses[2]);
  else if (j->labels[r] >= 0)
    j->p->ops->cross_entropy(j->classes, row, (size_t)j->labels[r], j->options->label_smoothing,
                             j->backward ? j->options->gradient_scale : 0, &losses[0],
                             &losses[1]);
  else if (j->backward)
    for (int pass = 0; pass <= twice; pass++)
      memset(pass ? again : row, 0, j->classes * sizeof *row);
}

static float *zeros(dg_pass *p, size_t rows, size_t cols) {
  return memset(dg_pass_floats(p, rows, cols), 0, rows * cols * sizeof(float));
}

/* The output layer of some pieces, with room for its gradients, and the shifts of the sampled
 * ones' logits. */
static dg_linear part_of_output(dg_pass *p, output_job *j) {
  const dg_loss_classes *c = j->part;
  dg_linear part = p->network->model->output;
  part.out = c->count;
  part.weight.chosen = c->ids;
  if (part.weight_grad) part.weight_grad = zeros(p, c->count, part.in);
  if (part.bias_grad) part.bias_grad = zeros(p, 1, c->count);
  float *shifts = dg_pass_floats(p, 1, c->count - c->exact + 1);
  for (size_t i = 0; i < c->count - c->exact; i++) shifts[i] = logf(c->weights[i]);
  j->shifts = shifts;
  j->pieces = (double)c->exact + (double)sum_of(c->weights, NULL, c->count - c->exact) +
              (double)j->added;
  if (!part.bias) return part;
  float *bias = dg_pass_floats(p, 1, c->count);
  for (size_t i = 0; i < c->count; i++) bias[i] = part.bias[c->ids[i]];
  part.bias = bias;
  return part;
}

typedef struct part_gradients {
  const int32_t *ids;
  const dg_linear *part, *whole;
} part_gradients;

static void add_gradients(void *context, size_t r, int worker) {
  (void)worker;
  const part_gradients *g = context;
  size_t width = g->whole->in, id = (size_t)g->ids[r];
  if (g->part->bias_grad) g->whole->bias_grad[id] += g->part->bias_grad[r];
  if (!g->part->weight_grad) return;
  float *to = g->whole->weight_grad + id * width;
  const float *from = g->part->weight_grad + r * width;
  for (size_t c = 0; c < width; c++) to[c] += from[c];
}

/* Loss of decoder states x [passes][rows], passes of the same labels; with dx also its
 * gradient and the projection's. */
static void output_loss(dg_pass *p, const dg_loss_options *o, size_t passes, size_t rows,
                        const int32_t *labels, const float *x, float *dx, dg_loss *loss) {
  const dg_model *m = p->network->model;
  output_job j = {.p = p, .options = o, .backward = dx != NULL};
  dg_linear output = m->output;
  j.added = dg_network_classes(p->network) - output.out;
  if (j.backward && o->classes) {
    j.part = o->classes;
    output = part_of_output(p, &j);
  }
  size_t d = (size_t)m->config.d_model, classes = j.classes = output.out + j.added;
  size_t block =
      LOGITS_BYTES / sizeof(float) / classes / passes / LOGITS_ROWS_LEAST * LOGITS_ROWS_LEAST;
  if (block < LOGITS_ROWS_LEAST) block = LOGITS_ROWS_LEAST;
  if (block > rows) block = rows;
  j.logits = dg_pass_floats(p, passes * block, classes);
  j.losses = dg_arena_alloc(p->arena, block, sizeof *j.losses);
  for (size_t r = 0; r < rows; r += block) {
    size_t n = rows - r < block ? rows - r : block;
    for (size_t k = 0; k < passes; k++)
      dg_output_forward(p, &output, n, x + (k * rows + r) * d, j.logits + k * n * classes);
    j.labels = labels + r;
    j.rows = n;
    dg_parallel(p->network->threads, n, loss_row, &j);
    for (size_t i = 0; i < n; i++) {
      loss->smoothed += j.losses[i][0];
      loss->nll += j.losses[i][1];
      loss->divergence += j.losses[i][2];
      loss->labels += labels[r + i] >= 0;
    }
    for (size_t k = 0; dx && k < passes; k++) {
      size_t at = (k * rows + r) * d;
      dg_output_backward(p, &output, n, x + at, j.logits + k * n * classes, dx + at);
    }
  }
  if (j.part && (output.weight_grad || output.bias_grad)) {
    part_gradients g = {j.part->ids, &output, &m->output};
    dg_parallel(p->network->threads, j.part->count, add_gradients, &g);
  }
}

typedef struct walk {
  dg_packed_text source, target, whole_source, whole_target;
  const uint32_t *source_rows, *target_rows; /* their numbers in the whole */
  dg_stack_walk encoder, decoder;
  float *memory, *states;
} walk;

static void pack(const dg_batch *b, walk *w) {
  w->source = dg_pack_text(b->sequences, b->source, b->source_offsets);
  w->target = dg_pack_text(b->sequences, b->input, b->target_offsets);
  const dg_batch *whole = b->whole ? b->whole : b;
  w->whole_source = dg_pack_text(whole->sequences, whole->source, whole->source_offsets);
  w->whole_target = dg_pack_text(whole->sequences, whole->input, whole->target_offsets);
  w->source_rows = w->target_rows = NULL;
}

static bool check(const dg_network *n, const dg_batch *b, walk *w, dg_error *err) {
  pack(b, w);
  if (!dg_text_check(n, &n->model->encoder, &w->source, err) ||
      !dg_text_check(n, &n->model->decoder, &w->target, err))
    return false;
  for (size_t i = 0; b->labels && i < w->target.total; i++)
    if (b->labels[i] >= 0 && (size_t)b->labels[i] >= dg_network_classes(n))
      return dg_fail(err, DG_ERR_USAGE, "label %zu is %d; the vocabulary has %zu pieces", i,
                     b->labels[i], dg_network_classes(n));
  return true;
}

/* Down to where in each stack there is a gradient for the whole text. */
static void find_lowest(const dg_network *n, const walk *w, size_t *source, size_t *target) {
  *source = dg_network_lowest(n, false, &w->whole_source);
  *target = dg_network_lowest(n, true, &w->whole_target);
  /* What the encoder learns comes through every layer's cross-attention. */
  if (*source != DG_DEPTH_NONE && *target > dg_depth(0, DG_CROSS)) *target = dg_depth(0, DG_CROSS);
}

static void forward(dg_pass *p, walk *w, const float *begun) {
  const dg_model *m = p->network->model;
  size_t source = DG_DEPTH_NONE, target = DG_DEPTH_NONE;
  if (p->save) find_lowest(p->network, w, &source, &target);
  p->rows = w->source_rows;
  w->memory = dg_stack_forward(p, &m->encoder, &w->source, NULL, NULL, source, begun, &w->encoder);
  p->memory_rows = w->source_rows;
  p->rows = w->target_rows;
  w->states = dg_stack_forward(p, &m->decoder, &w->target, w->memory, &w->source, target, NULL,
                               &w->decoder);
}

bool dg_loss_forward(const dg_network *n, const dg_batch *b, const dg_loss_options *o,
                     dg_arena *arena, dg_loss *loss, dg_error *err) {
  walk w;
  if (!check(n, b, &w, err)) return false;
  dg_arena_reset(arena);
  dg_pass p = {.network = n, .ops = dg_ops_get(), .arena = arena};
  forward(&p, &w, NULL);
  output_loss(&p, o, 1, w.target.total, b->labels, w.states, NULL, loss);
  return true;
}

/* Those of a part in the whole of a text, once for each pass; NULL: it is the whole. */
static const uint32_t *row_numbers(dg_arena *arena, size_t passes, const dg_packed_text *t,
                                   const dg_packed_text *whole) {
  if (t->total == whole->total) return NULL;
  uint32_t *numbers = dg_arena_alloc(arena, passes * t->total + 1, sizeof *numbers);
  size_t first = t->offsets[0] - whole->offsets[0];
  for (size_t k = 0; k < passes; k++)
    for (size_t i = 0; i < t->total; i++)
      numbers[k * t->total + i] = (uint32_t)(k * whole->total + first + i);
  return numbers;
}

/* The sentences once and then once more: masks go by row, so each pass has its own. */
static dg_packed_text twice(dg_arena *arena, const dg_packed_text *t) {
  int32_t *ids = dg_arena_alloc(arena, 2 * t->total, sizeof *ids);
  uint32_t *offsets = dg_arena_alloc(arena, 2 * t->count + 1, sizeof *offsets);
  for (size_t k = 0; k < 2; k++) {
    memcpy(ids + k * t->total, t->ids, t->total * sizeof *ids);
    for (size_t i = 0; i <= t->count; i++)
      offsets[k * t->count + i] = (uint32_t)(k * t->total) + t->offsets[i] - t->offsets[0];
  }
  return dg_pack_text(2 * t->count, ids, offsets);
}

static const float *states_twice(dg_pass *p, size_t rows, const float *x) {
  size_t d = (size_t)p->network->model->config.d_model;
  float *both = dg_pass_floats(p, 2 * rows, d);
  for (size_t k = 0; k < 2; k++) memcpy(both + k * rows * d, x, rows * d * sizeof *x);
  return both;
}

bool dg_loss_backward(const dg_network *n, const dg_batch *b, const dg_loss_options *o,
                      dg_arena *arena, dg_loss *loss, dg_error *err) {
  walk w;
  if (!check(n, b, &w, err)) return false;
  dg_arena_reset(arena);
  dg_pass p = {.network = n, .ops = dg_ops_get(), .arena = arena, .save = true};
  size_t passes = o->rdrop > 0 ? 2 : 1, rows = w.target.total;
  const float *begun = b->begun;
  w.source_rows = row_numbers(arena, passes, &w.source, &w.whole_source);
  w.target_rows = row_numbers(arena, passes, &w.target, &w.whole_target);
  if (passes == 2) {
    if (begun) begun = states_twice(&p, w.source.total, begun);
    w.source = twice(arena, &w.source);
    w.target = twice(arena, &w.target);
  }
  p.dropout.residual = o->dropout;
  p.dropout.attention = o->attention_dropout;
  p.dropout.activation = o->activation_dropout;
  p.dropout.adapter = o->adapter_dropout;
  p.dropout.key = o->dropout_key;
  forward(&p, &w, begun);
  size_t d = (size_t)n->model->config.d_model;
  float *g = dg_pass_floats(&p, w.target.total, d);
  float *d_memory = NULL;
  if (w.encoder.lowest != DG_DEPTH_NONE) d_memory = dg_pass_floats(&p, w.source.total, d);
  dg_arena_mark mark = dg_arena_save(arena);
  output_loss(&p, o, passes, rows, b->labels, w.states, g, loss);
  dg_arena_rewind(arena, mark);
  if (d_memory) memset(d_memory, 0, w.source.total * d * sizeof *d_memory);
  dg_stack_backward(&p, &w.decoder, g, d_memory);
  if (d_memory) dg_stack_backward(&p, &w.encoder, d_memory, NULL);
  return true;
}

size_t dg_encoder_frozen(const dg_network *n, const dg_batch *b) {
  dg_packed_text source = dg_pack_text(b->sequences, b->source, b->source_offsets);
  return dg_layers_below(&n->model->encoder, dg_network_lowest(n, false, &source));
}

bool dg_encoder_states(const dg_network *n, const dg_batch *b, size_t layers, dg_arena *arena,
                       float *states, dg_error *err) {
  dg_packed_text source = dg_pack_text(b->sequences, b->source, b->source_offsets);
  if (!dg_text_check(n, &n->model->encoder, &source, err)) return false;
  dg_arena_reset(arena);
  dg_pass p = {.network = n, .ops = dg_ops_get(), .arena = arena};
  size_t bytes = source.total * (size_t)n->model->config.d_model * sizeof *states;
  memcpy(states, dg_encoder_begin(&p, &source, layers), bytes);
  return true;
}

/* What the layers from `lowest` on keep of a token, of what they attend to in *memory, and what
 * passes through one layer's backward pass. */
static size_t kept_floats(const dg_network *n, bool decoder, size_t lowest, size_t *memory) {
  const dg_stack *s = decoder ? &n->model->decoder : &n->model->encoder;
  bool pre_norm = n->model->config.pre_norm;
  size_t floats = 0, cross;
  *memory = 0;
  for (size_t i = 0; i < s->count; i++) {
    if (lowest > dg_depth(i, DG_AFTER)) continue;
    const dg_layer *l = &s->layers[i];
    dg_layer_parts parts = dg_network_parts(n, decoder, i);
    floats += dg_attention_kept(pre_norm, &l->self, &parts.self, NULL) +
              dg_ffn_kept(pre_norm, &l->ffn, &parts.ffn);
    if (decoder) {
      floats += dg_attention_kept(pre_norm, &l->cross, &parts.cross, &cross);
      *memory += cross;
    }
    for (size_t k = 0; k < parts.after_count; k++)
      floats += dg_ffn_kept(true, &parts.after[k]->ffn, &(dg_parts){0});
  }
  const dg_ffn *f = &s->layers->ffn;
  return floats + 4 * f->in.in + 2 * f->in.out;
}

void dg_loss_memory(const dg_network *n, const dg_batch *b, size_t *source, size_t *target) {
  walk w;
  size_t encoder, decoder, none, memory;
  pack(b, &w);
  find_lowest(n, &w, &encoder, &decoder);
  *target = kept_floats(n, true, decoder, &memory) * sizeof(float);
  *source = (kept_floats(n, false, encoder, &none) + memory) * sizeof(float);
}

bool dg_logits(const dg_network *n, const dg_batch *b, dg_arena *arena, float *logits,
               dg_error *err) {
  walk w;
  if (!check(n, b, &w, err)) return false;
  dg_arena_reset(arena);
  dg_pass p = {.network = n, .ops = dg_ops_get(), .arena = arena};
  forward(&p, &w, NULL);
  dg_output_forward(&p, &n->model->output, w.target.total, w.states, logits);
  return true;
}
