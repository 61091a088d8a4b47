/* Adapters: their gradients by differences, the base's very outputs before any
 * training, and a base that training cannot change. */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mt/core/mem.h"
#include "mt/core/rng.h"
#include "mt/model/decoder.h"
#include "mt/train/optimizer.h"
#include "tests/golden.h"

static double loss_of(golden *g, bool backward) {
  dg_error err;
  dg_loss loss = {0};
  if (!(backward ? dg_loss_backward : dg_loss_forward)(&g->network, &g->batch, &g->options,
                                                       g->arena, &loss, &err))
    fail_msg("%s", err.message);
  return loss.smoothed * (double)g->options.gradient_scale;
}

/* The slope along `way` in t, by central differences of fourth order. */
static double slope(golden *g, dg_tensor *t, const float *way, double h) {
  size_t n = t->rows * t->cols;
  float *at = memcpy(dg_malloc(n * sizeof *at), t->value, n * sizeof *at);
  double difference[2];
  for (int wide = 0; wide < 2; wide++) {
    double step = h * (1 + wide), loss[2];
    for (int side = 0; side < 2; side++) {
      for (size_t i = 0; i < n; i++)
        t->value[i] = at[i] + (float)((side ? step : -step) * (double)way[i]);
      loss[side] = loss_of(g, false);
    }
    difference[wide] = (loss[1] - loss[0]) / (2 * step);
  }
  memcpy(t->value, at, n * sizeof *at);
  free(at);
  return (4 * difference[0] - difference[1]) / 3;
}

static double dot(const float *a, const float *b, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
  return sum;
}

/* Shifts the hidden units so that none crosses the kink of ReLU: half of them
 * always on, half off. */
static void clear_of_kinks(dg_adapter *a) {
  if (a->config.activation != DG_RELU) return;
  for (size_t i = 0; i < a->params.count; i++) {
    dg_tensor *t = &a->params.tensors[i];
    for (size_t c = 0; strstr(t->name, "down.bias") && c < t->cols; c++)
      t->value[c] += c % 2 ? 6 : -6;
  }
}

static void check_differences(const char *name, size_t which) {
  golden g = golden_open(name);
  dg_adapter *a = g.adapters[which];
  for (size_t k = 0; k < g.network.adapter_count; k++) clear_of_kinks(g.adapters[k]);
  assert_true(dg_adapter_train(a, NULL));
  assert_true(dg_model_freeze(g.model, NULL));
  loss_of(&g, true);
  for (size_t i = 0; i < a->params.count; i++) {
    dg_tensor *t = &a->params.tensors[i];
    size_t n = t->rows * t->cols;
    double length = sqrt(dot(t->grad, t->grad, n));
    assert_true(length > 0);
    dg_rng r = {.key = dg_rng_key(11, i)};
    float *way = dg_malloc(n * sizeof *way);
    for (int random = 0; random < 3; random++) { /* along the gradient, then anywhere */
      for (size_t c = 0; c < n; c++)
        way[c] = random ? (float)(dg_rng_normal(&r) / sqrt((double)n))
                        : (float)((double)t->grad[c] / length);
      double want = dot(t->grad, way, n), got = slope(&g, t, way, 0.01);
      if (!(fabs(got - want) < 2e-3 * length + 2e-4))
        fail_msg("%s.%zu %s: the slope is %.6g, not %.6g", name, which, t->name, got, want);
    }
    free(way);
  }
  golden_close(&g);
}

static void test_differences(void **state) {
  (void)state;
  for (size_t k = 0; k < 3; k++) check_differences("adapters", k);
  check_differences("adapters_post", 0);
  for (size_t k = 0; k < 2; k++) check_differences("adapters_mixed", k);
}

static float *logits_of(golden *g) {
  float *logits = dg_malloc(g->logits * sizeof *logits);
  dg_error err;
  if (!dg_logits(&g->network, &g->batch, g->arena, logits, &err)) fail_msg("%s", err.message);
  return logits;
}

/* One step of one row a sentence, as search would take it. */
static float *first_step(golden *g) {
  size_t n = g->batch.sequences, vocab = (size_t)g->model->config.vocab_size;
  dg_decoder *d = dg_decoder_new(&g->network, g->batch.source, g->batch.source_offsets, n, n, 4,
                                 NULL);
  const int32_t tokens[] = {3, 4, 5};
  const uint32_t rows[] = {0, 1, 2};
  float *logits = dg_malloc(n * vocab * sizeof *logits);
  assert_int_equal(n, 3);
  dg_decoder_step(d, n, tokens, NULL, rows, logits);
  dg_decoder_free(d);
  return logits;
}

/* Every method, alone and stacked on what came before. */
static const char *const methods[] = {"bottleneck", "lora", "ia3", "biases", "norms", "bitfit",
                                      "bottleneck+lora+ia3+bitfit+tag"};
enum { METHODS = sizeof methods / sizeof *methods };

static dg_adapter *untrained(const golden *g, size_t method, dg_placement placement) {
  dg_adapter_config c;
  dg_options_defaults(dg_adapter_config_options, &c);
  strcpy(c.method, methods[method]);
  c.placement = placement;
  c.width = 7;
  c.rank = 2;
  dg_error err;
  dg_adapter *a = dg_adapter_new(&g->model->config, &c, method % 2, &err);
  if (!a) return NULL; /* no biases in this model */
  dg_adapter_initialize(a, 5 + method);
  return a;
}

static void test_untrained(void **state) {
  (void)state;
  for (size_t i = 0; i < GOLDEN_COUNT; i++) {
    golden g = golden_open(golden_names[i]);
    size_t bytes = g.logits * sizeof(float), trained = g.network.adapter_count;
    size_t step_bytes = 3 * (size_t)g.model->config.vocab_size * sizeof(float);
    float *base = logits_of(&g), *step = first_step(&g);
    for (int placement = 0; placement < 3; placement++)
      for (size_t method = 0; method < METHODS; method++) {
        g.network.adapter_count = trained;
        for (size_t k = 0; k < 2 && g.network.adapter_count < DG_ADAPTERS_MAX; k++) {
          dg_adapter *a = untrained(&g, (method + k) % METHODS, (dg_placement)placement);
          if (!a) continue;
          g.network.adapters[g.network.adapter_count++] = a;
          float *adapted = logits_of(&g), *adapted_step = first_step(&g);
          assert_memory_equal(base, adapted, bytes);
          assert_memory_equal(step, adapted_step, step_bytes);
          free(adapted);
          free(adapted_step);
        }
        while (g.network.adapter_count > trained)
          dg_adapter_free((dg_adapter *)g.network.adapters[--g.network.adapter_count]);
      }
    free(base);
    free(step);
    golden_close(&g);
  }
}

/* The exact labels and every third piece below `vocab`; of the others one in two, for both; then,
 * as the whole base has them, the pieces from `vocab` on. */
typedef struct part {
  dg_loss_classes classes;
  int32_t ids[64], class_of[64];
  float weights[64];
} part;

static void part_of(part *p, const golden *g, size_t vocab, size_t more) {
  memset(p->class_of, -1, sizeof p->class_of);
  dg_loss_classes *c = &p->classes;
  *c = (dg_loss_classes){.ids = p->ids, .class_of = p->class_of, .weights = p->weights};
  bool exact[64] = {false};
  for (size_t i = 0; i < vocab; i++) exact[i] = i % 3 == 0;
  for (size_t i = 0; i < g->tokens; i++) {
    int32_t label = g->batch.labels[i];
    if (label >= 0 && (size_t)label < vocab) exact[label] = true;
  }
  for (size_t i = 0; i < vocab + more; i++)
    if (i >= vocab || exact[i]) p->ids[c->exact++] = (int32_t)i;
  c->count = c->exact;
  size_t others = 0;
  for (size_t i = 0; i < vocab; i++)
    if (!exact[i] && others++ % 2) p->ids[c->count++] = (int32_t)i;
  assert_true(c->count > c->exact);
  for (size_t i = c->exact; i < c->count; i++)
    p->weights[i - c->exact] = (float)others / (float)(c->count - c->exact);
  for (size_t i = 0; i < c->count; i++) p->class_of[p->ids[i]] = (int32_t)i;
}

/* The base without its last pieces, and an adapter that has them as new ones, say what the
 * whole base says; their rows get the gradients that its rows get, of all pieces and of some. */
static void test_new_pieces(void **state) {
  (void)state;
  enum { NEW = 5 };
  dg_error err;
  size_t compared = 0;
  for (size_t i = 0; i < GOLDEN_COUNT; i++) {
    golden g = golden_open(golden_names[i]);
    dg_model *whole = g.model;
    dg_model_config config = whole->config;
    config.vocab_size -= NEW;
    dg_model *less = g.network.adapter_count ? NULL : dg_model_new(&config, &err);
    if (!less) {
      golden_close(&g);
      continue;
    }
    dg_adapter_config c;
    dg_options_defaults(dg_adapter_config_options, &c);
    strcpy(c.method, "ia3");
    c.new_pieces = NEW;
    dg_adapter *a = g.adapters[0] = dg_adapter_new(&config, &c, 0, &err);
    assert_non_null(a);
    dg_adapter_initialize(a, 1);
    for (size_t k = 0; k < whole->params.count; k++) {
      dg_tensor *from = &whole->params.tensors[k];
      dg_tensor *to = dg_params_find(&less->params, from->name);
      char name[96];
      snprintf(name, sizeof name, "pieces.%s", from->name);
      dg_tensor *rest = dg_params_find(&a->params, name);
      size_t kept = to->rows * to->cols, all = from->rows * from->cols;
      memcpy(to->value, from->value, kept * sizeof(float));
      assert_true(rest ? rest->rows * rest->cols == all - kept : kept == all);
      if (rest) memcpy(rest->value, from->value + kept, (all - kept) * sizeof(float));
    }
    float *logits = logits_of(&g), *step = first_step(&g);
    assert_true(dg_model_train(whole, &err));
    double losses[2] = {loss_of(&g, true), 0};
    float *gradients[2] = {NULL, whole->params.grads};
    size_t bytes = whole->params.total * sizeof(float);
    gradients[0] = memcpy(dg_malloc(bytes), gradients[1], bytes);
    part some;
    part_of(&some, &g, (size_t)config.vocab_size, NEW);
    g.options.classes = &some.classes;
    dg_params_zero_grads(&whole->params);
    losses[1] = loss_of(&g, true);
    g.network.model = less;
    g.network.adapters[g.network.adapter_count++] = a;
    assert_int_equal(dg_network_classes(&g.network), whole->config.vocab_size);
    float *mine = logits_of(&g), *my_step = first_step(&g);
    golden_close_to("logits", mine, logits, g.logits, 1e-6, 0);
    golden_close_to("step", my_step, step, 3 * (size_t)whole->config.vocab_size, 1e-6, 0);
    assert_true(dg_adapter_train(a, &err));
    part_of(&some, &g, (size_t)config.vocab_size, 0);
    for (int of_part = 0; of_part < 2; of_part++) {
      g.options.classes = of_part ? &some.classes : NULL;
      dg_params_zero_grads(&a->params);
      assert_true(fabs(loss_of(&g, true) - losses[of_part]) < 1e-6 * fabs(losses[of_part]));
      for (size_t k = 0; k < a->params.count; k++) {
        dg_tensor *t = &a->params.tensors[k];
        if (strncmp(t->name, "pieces.", 7)) continue;
        dg_tensor *theirs = dg_params_find(&whole->params, t->name + 7);
        size_t n = t->rows * t->cols, before = theirs->rows * theirs->cols - n;
        golden_close_to(t->name, t->grad, gradients[of_part] + theirs->offset + before, n, 1e-5,
                        1e-6);
        compared++;
      }
    }
    g.options.classes = NULL;
    free(gradients[0]);
    free(logits);
    free(step);
    free(mine);
    free(my_step);
    dg_model_free(less);
    golden_close(&g);
  }
  assert_true(compared >= 24);
}

/* A model like another, with an embedding for each side. */
static dg_model *with_two_embeddings(const dg_model *m) {
  dg_model_config c = m->config;
  c.tie_source_target = false;
  dg_error err;
  dg_model *apart = dg_model_new(&c, &err);
  if (!apart) fail_msg("%s", err.message);
  for (size_t i = 0; i < apart->params.count; i++) {
    dg_tensor *to = &apart->params.tensors[i], *from = dg_params_find(&m->params, to->name);
    if (!from) from = dg_params_find(&m->params, "embedding");
    memcpy(to->value, from->value, to->rows * to->cols * sizeof(float));
  }
  assert_true(dg_model_train(apart, &err));
  return apart;
}

/* Adds to rows of a tensor, or compares their gradients, which add up where the base ties. */
static void change_rows(dg_adapter *a, dg_model *apart, bool compare) {
  const dg_adapter_config *c = &a->config;
  for (size_t k = 0; k < a->params.count; k++) {
    dg_tensor *t = &a->params.tensors[k], *theirs[2] = {NULL, NULL};
    if (strncmp(t->name, "changes.", 8)) continue;
    bool tied = !strcmp(t->name, "changes.embedding");
    if (!tied) theirs[0] = dg_params_find(&apart->params, t->name + 8);
    if (tied && c->embedding_side != DG_EMBED_TARGET)
      theirs[0] = dg_params_find(&apart->params, "encoder.embedding");
    if (tied && c->embedding_side != DG_EMBED_SOURCE)
      theirs[1] = dg_params_find(&apart->params, "decoder.embedding");
    size_t width = t->rows == 1 && dg_ends_with(t->name, "bias") ? 1 : t->cols;
    float *sum = dg_calloc(t->rows * t->cols, sizeof *sum);
    for (size_t n = 0; n < 2; n++)
      for (size_t i = 0; theirs[n] && i < (size_t)c->embeddings; i++)
        for (size_t d = 0; d < width; d++) {
          size_t at = (size_t)a->changes.ids[i] * width + d;
          if (compare) sum[i * width + d] += theirs[n]->grad[at];
          else theirs[n]->value[at] += t->value[i * width + d];
        }
    if (compare) golden_close_to(t->name, t->grad, sum, t->rows * t->cols, 1e-5, 1e-6);
    free(sum);
  }
}

/* An adapter that changes rows of the base's embeddings says what a base with such rows says,
 * on the sides it is to; they get the gradients that its rows get, of all pieces and of some. */
static void test_changed_rows(void **state) {
  (void)state;
  enum { CHANGED = 6 };
  static const int32_t ids[CHANGED] = {9, 3, 17, 4, 12, 5}; /* some of them labels, some not */
  size_t compared = 0;
  for (size_t i = 0; i < GOLDEN_COUNT * 3; i++) {
    golden g = golden_open(golden_names[i / 3]);
    dg_error err;
    dg_adapter_config c;
    dg_options_defaults(dg_adapter_config_options, &c);
    strcpy(c.method, "ia3");
    c.embeddings = CHANGED;
    assert_null(dg_adapter_new(&g.model->config, &c, 0, &err)); /* it does not say where */
    c.embedding_side = DG_EMBED_SOURCE + (dg_embedding_side)(i % 3);
    if (g.network.adapter_count) {
      golden_close(&g);
      continue;
    }
    dg_model *apart = with_two_embeddings(g.model), *tied = g.model;
    dg_adapter *a = g.adapters[0] = dg_adapter_new(&tied->config, &c, 0, &err);
    assert_true(a && dg_adapter_choose(a, ids, &err));
    dg_adapter_initialize(a, 1);
    float *logits = logits_of(&g), *step = first_step(&g);
    g.network.adapters[g.network.adapter_count++] = a;
    float *mine = logits_of(&g), *my_step = first_step(&g);
    size_t step_bytes = 3 * dg_network_classes(&g.network) * sizeof *step;
    assert_memory_equal(mine, logits, g.logits * sizeof *mine); /* untrained */
    assert_memory_equal(my_step, step, step_bytes);
    dg_rng r = {.key = i};
    for (size_t k = 0; k < a->params.count; k++)
      for (size_t n = 0; n < a->params.tensors[k].rows * a->params.tensors[k].cols; n++)
        if (!strncmp(a->params.tensors[k].name, "changes.", 8))
          a->params.tensors[k].value[n] = (float)dg_rng_normal(&r) / 4;
    assert_true(dg_adapter_train(a, &err));
    change_rows(a, apart, false);
    part some;
    part_of(&some, &g, (size_t)dg_target_vocab(&tied->config), 0);
    free(mine), free(my_step);
    mine = logits_of(&g), my_step = first_step(&g);
    assert_memory_not_equal(mine, logits, g.logits * sizeof *mine);
    for (int of_part = 0; of_part < 2; of_part++) {
      g.options.classes = of_part ? &some.classes : NULL;
      dg_params_zero_grads(&a->params);
      dg_params_zero_grads(&apart->params);
      double loss = loss_of(&g, true);
      g.network.model = apart;
      g.network.adapter_count = 0;
      assert_true(fabs(loss_of(&g, true) - loss) < 1e-6 * fabs(loss));
      change_rows(a, apart, true);
      compared++;
      g.network.model = tied;
      g.network.adapter_count = 1;
    }
    g.options.classes = NULL;
    g.network.model = apart;
    g.network.adapter_count = 0;
    free(logits), free(step);
    logits = logits_of(&g), step = first_step(&g);
    golden_close_to("logits", mine, logits, g.logits, 1e-6, 1e-6);
    golden_close_to("step", my_step, step, step_bytes / sizeof *step, 1e-6, 1e-6);
    static const int32_t wrong[2][CHANGED] = {{9, 3, 17, 4, 12, 9}, {9, 3, 17, 4, 12, 1 << 20}};
    for (size_t k = 0; k < 2; k++) {
      assert_false(dg_adapter_choose(a, wrong[k], &err));
      assert_non_null(strstr(err.message, k ? "none of the base's" : "there twice"));
    }
    g.network.adapter_count = 1;
    free(logits), free(step), free(mine), free(my_step);
    dg_model_free(apart);
    golden_close(&g);
  }
  assert_true(compared >= 24);
}

static sigjmp_buf after_fault;
static void on_fault(int signal) {
  (void)signal;
  siglongjmp(after_fault, 1);
}

static bool write_faults(float *place) {
  struct sigaction catch = {.sa_handler = on_fault}, old[2];
  sigaction(SIGSEGV, &catch, &old[0]);
  sigaction(SIGBUS, &catch, &old[1]);
  bool fault = sigsetjmp(after_fault, 1) != 0;
  if (!fault) {
    volatile float *p = place;
    *p = *p + 1;
  }
  sigaction(SIGSEGV, &old[0], NULL);
  sigaction(SIGBUS, &old[1], NULL);
  return fault;
}

static void test_frozen_base(void **state) {
  (void)state;
  dg_error err;
  static const char *const names[] = {"pre_norm", "post_norm", "t5"};
  for (size_t i = 0; i < 3; i++) {
    golden g = golden_open(names[i]);
    dg_params *base = &g.model->params;
    size_t bytes = base->total * sizeof(float);
    float *before = memcpy(dg_malloc(bytes), base->values, bytes);
    float *said = logits_of(&g);
    assert_true(dg_model_freeze(g.model, &err));

    dg_adapter *a = g.adapters[0] = golden_adapter(&g, "bottleneck", 8, 1);
    dg_adapter_initialize(a, 3);
    assert_true(dg_adapter_train(a, &err));
    g.network.adapters[g.network.adapter_count++] = a;
    int32_t *source = dg_malloc(g.batch.source_offsets[3] * sizeof *source);
    memcpy(source, g.batch.source, g.batch.source_offsets[3] * sizeof *source);
    for (size_t s = 0; s < 3; s++) /* a new language's tag begins each source */
      source[g.batch.source_offsets[s]] = dg_first_tag(&g.model->config);
    const int32_t *old_source = g.batch.source;
    g.batch.source = source;

    dg_optimizer adam;
    dg_optimizer_options o = {.beta1 = 0.9, .beta2 = 0.98, .eps = 1e-9, .weight_decay = 0.01,
                              .clip = 1};
    assert_true(dg_optimizer_init(&adam, &o, &a->params, NULL, &err));
    size_t adapter_bytes = a->params.total * sizeof(float);
    float *untrained = memcpy(dg_malloc(adapter_bytes), a->params.values, adapter_bytes);
    double first = loss_of(&g, false);
    g.options.adapter_dropout = 0.1f;
    for (int step = 0; step < 60; step++) {
      dg_params_zero_grads(&a->params);
      g.options.dropout_key = (uint64_t)step;
      loss_of(&g, true);
      dg_optimizer_update(&adam, 0.02);
    }
    assert_true(loss_of(&g, false) < 0.9 * first);
    for (size_t k = 0; k < a->params.count; k++) /* everything of the adapter has learned */
      assert_memory_not_equal(a->params.tensors[k].value, untrained + a->params.tensors[k].offset,
                              a->params.tensors[k].rows * a->params.tensors[k].cols * 4);
    assert_null(base->grads);
    assert_memory_equal(before, base->values, bytes);
    for (size_t k = 0; k < base->count; k++) {
      dg_tensor *t = &base->tensors[k];
      assert_true(write_faults(t->value));
      assert_true(write_faults(t->value + t->rows * t->cols - 1));
    }
    assert_memory_equal(before, base->values, bytes);
    assert_false(write_faults(a->params.values)); /* the check itself can tell */

    g.batch.source = old_source;
    g.network.adapter_count = 0;
    float *again = logits_of(&g);
    assert_memory_equal(said, again, g.logits * sizeof *said);
    g.network.adapter_count = 1;
    dg_optimizer_free(&adam);
    free(untrained);
    free(source);
    free(before);
    free(said);
    free(again);
    golden_close(&g);
  }
}

/* What frozen layers of the encoder make, given, is what the pass makes of it itself: one loss
 * and one gradient to the last bit, dropout above and R-Drop or none. */
static void check_begun(golden *g, dg_adapter *a, size_t frozen) {
  assert_int_equal(dg_encoder_frozen(&g->network, &g->batch), frozen);
  if (!frozen) return;
  dg_error err;
  size_t rows = g->batch.source_offsets[g->batch.sequences], d = (size_t)g->model->config.d_model;
  float *states = dg_malloc(rows * d * sizeof *states);
  if (!dg_encoder_states(&g->network, &g->batch, frozen, g->arena, states, &err))
    fail_msg("%s", err.message);
  g->options.dropout = g->options.attention_dropout = 0.2f;
  size_t bytes = a->params.total * sizeof(float);
  float *gradient = dg_malloc(bytes);
  for (int rdrop = 0; rdrop < 2; rdrop++) {
    g->options.rdrop = (float)rdrop;
    double losses[3];
    for (int given = 0; given < 3; given++) {
      g->batch.begun = given ? states : NULL;
      if (given == 2) states[0] += 1; /* it is read */
      dg_params_zero_grads(&a->params);
      losses[given] = loss_of(g, true);
      if (!given) memcpy(gradient, a->params.grads, bytes);
      if (given == 1) assert_memory_equal(gradient, a->params.grads, bytes);
    }
    states[0] -= 1;
    assert_true(losses[0] == losses[1] && losses[0] != losses[2]);
  }
  g->batch.begun = NULL;
  free(gradient);
  free(states);
}

/* Nothing is kept for what gets no gradient: below the lowest trained place, and in an encoder
 * under which nothing learns. */
static void test_lowest(void **state) {
  (void)state;
  static const struct {
    const char *method, *encoder, *decoder;
    size_t lowest[2];
  } cases[] = {
      {"bottleneck", "all", "all", {4, 4}},     {"lora", "all", "none", {1, SIZE_MAX}},
      {"bottleneck", "none", "1", {SIZE_MAX, 8}}, {"lora", "none", "1", {SIZE_MAX, 5}},
      {"ia3", "1", "0", {5, 1}},                {"norms", "none", "1", {SIZE_MAX, 5}},
  };
  const size_t frozen[] = {0, 0, 2, 2, 1, 2}; /* layers of the encoder */
  size_t bytes[6];
  for (size_t i = 0; i < 6; i++) {
    golden g = golden_open("pre_norm");
    dg_adapter_config c;
    dg_options_defaults(dg_adapter_config_options, &c);
    strcpy(c.method, cases[i].method);
    strcpy(c.encoder_layers, cases[i].encoder);
    strcpy(c.decoder_layers, cases[i].decoder);
    c.width = c.rank = 2;
    dg_adapter *a = g.adapters[0] = dg_adapter_new(&g.model->config, &c, 0, NULL);
    dg_adapter_initialize(a, 1);
    assert_true(dg_adapter_lowest(&a->decoder) == DG_DEPTH_NONE); /* no gradients yet */
    assert_true(dg_adapter_train(a, NULL));
    assert_true(dg_adapter_lowest(&a->encoder) == cases[i].lowest[0]);
    assert_true(dg_adapter_lowest(&a->decoder) == cases[i].lowest[1]);
    g.network.adapters[g.network.adapter_count++] = a;
    dg_arena_free(g.arena);
    g.arena = dg_arena_new(1 << 8); /* small blocks, so that what it holds tells */
    loss_of(&g, true);
    bytes[i] = dg_arena_bytes(g.arena);
    check_begun(&g, a, frozen[i]);
    golden_close(&g);
  }
  assert_true(10 * bytes[2] < 7 * bytes[0]);
  assert_true(10 * bytes[2] < 7 * bytes[1]); /* the encoder's come through the decoder */
  assert_true(bytes[3] < bytes[1] && bytes[5] < bytes[0]);
}

/* The batch again and again, so that what is kept of each token outweighs the rest. */
static dg_batch repeat(const golden *g, size_t times) {
  const dg_batch *b = &g->batch;
  size_t n = b->sequences, sources = b->source_offsets[n], targets = b->target_offsets[n];
  int32_t *source = dg_calloc(times * sources, sizeof *source);
  int32_t *input = dg_calloc(times * targets, sizeof *input);
  int32_t *labels = dg_calloc(times * targets, sizeof *labels);
  uint32_t *at = dg_calloc(times * n + 1, sizeof *at), *to = dg_calloc(times * n + 1, sizeof *to);
  for (size_t k = 0; k < times; k++) {
    memcpy(source + k * sources, b->source, sources * sizeof *source);
    memcpy(input + k * targets, b->input, targets * sizeof *input);
    memcpy(labels + k * targets, b->labels, targets * sizeof *labels);
    for (size_t i = 0; i <= n; i++) {
      at[k * n + i] = (uint32_t)(k * sources) + b->source_offsets[i];
      to[k * n + i] = (uint32_t)(k * targets) + b->target_offsets[i];
    }
  }
  return (dg_batch){.sequences = times * n, .source = source, .input = input, .labels = labels,
                    .source_offsets = at, .target_offsets = to};
}

static void check_memory(const char *name, const char *method, dg_placement placement) {
  golden g = golden_open(name);
  if (g.network.adapter_count) { /* of its own */
    golden_close(&g);
    return;
  }
  if (method && !strcmp(method, "tag")) g.source[0] = dg_first_tag(&g.model->config);
  dg_batch many = repeat(&g, 30);
  if (method) {
    dg_adapter_config c;
    dg_options_defaults(dg_adapter_config_options, &c);
    snprintf(c.method, sizeof c.method, "%s", method);
    c.placement = placement, c.width = 12, c.rank = 3;
    dg_adapter *a = g.adapters[0] = dg_adapter_new(&g.model->config, &c, 1, NULL);
    assert_true(a && dg_adapter_train(a, NULL));
    g.network.adapters[g.network.adapter_count++] = a;
  } else {
    assert_true(dg_model_train(g.model, NULL));
  }
  size_t source, target;
  dg_loss_memory(&g.network, &many, &source, &target);
  size_t foreseen = source * many.source_offsets[many.sequences] +
                    target * many.target_offsets[many.sequences];
  dg_arena *arena = dg_arena_new(1 << 8);
  dg_loss loss = {0};
  dg_error err;
  if (!dg_loss_backward(&g.network, &many, &(dg_loss_options){0}, arena, &loss, &err))
    fail_msg("%s", err.message);
  double share = (double)foreseen / (double)dg_arena_bytes(arena);
  if (share < 0.8 || share > 1.25) fail_msg("%s, %s: %.2f", name, method ? method : "all", share);
  dg_arena_free(arena);
  free((void *)many.source), free((void *)many.input), free((void *)many.labels);
  free((void *)many.source_offsets), free((void *)many.target_offsets);
  golden_close(&g);
}

/* The memory foreseen for a batch is about what it takes, whatever is trained: a tag that occurs,
 * and so all above it. */
static void test_memory(void **state) {
  (void)state;
  static const char *const trained[] = {NULL, "bottleneck", "lora", "ia3", "bitfit", "tag"};
  for (size_t n = 0; n < GOLDEN_COUNT; n++)
    for (size_t k = 0; k < sizeof trained / sizeof *trained; k++)
      for (int place = 0; place < (k == 1 ? 3 : 1); place++)
        check_memory(golden_names[n], trained[k], (dg_placement)place);
}

/* Declarations that make no sense are refused by name. */
static void test_refusals(void **state) {
  (void)state;
  static const struct {
    const char *name, *value, *says;
  } cases[] = {
      {"method", "bottlneck", "bottlneck"},       {"method", "lora+", "\"\""},
      {"method", "tag", "trains nothing"},        {"projections", "q,w", "\"w\""},
      {"projections", "self.fc1", "self.fc1"},    {"sublayers", "self,fnn", "fnn"},
      {"encoder_layers", "0-2", "layers 0 to 1"}, {"decoder_layers", "5", "layers 0 to 1"},
      {"encoder_layers", "1-0", "1-0"},           {"encoder_layers", "0,x", "\"x\""},
      {"decoder_layers", "", "\"\""},
  };
  golden g = golden_open("pre_norm");
  dg_error err;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    dg_adapter_config c;
    dg_options_defaults(dg_adapter_config_options, &c);
    assert_true(dg_options_set(dg_adapter_config_options, &c, cases[i].name, cases[i].value, &err));
    if (strcmp(cases[i].name, "method")) strcpy(c.method, "bottleneck+lora");
    assert_null(dg_adapter_new(&g.model->config, &c, 0, &err));
    if (!strstr(err.message, cases[i].says)) fail_msg("%s: %s", cases[i].value, err.message);
    assert_int_equal(err.status, DG_ERR_USAGE);
  }
  dg_adapter_config none;
  dg_options_defaults(dg_adapter_config_options, &none);
  strcpy(none.encoder_layers, "none");
  strcpy(none.decoder_layers, "none");
  assert_null(dg_adapter_new(&g.model->config, &none, 0, &err));
  assert_non_null(strstr(err.message, "trains nothing"));
  none.width = 1 << 20;
  assert_null(dg_adapter_new(&g.model->config, &none, 0, &err));
  golden_close(&g);
}

/* Twenty updates go as PyTorch's, from the same weights on the same batch. */
static void test_curve(void **state) {
  (void)state;
  enum { UPDATES = 20 };
  golden g = golden_open("adapters");
  const double *want = golden_data(&g, DG_F64, UPDATES, "curve");
  const dg_optimizer_options o = {.beta1 = 0.9, .beta2 = 0.98, .eps = 1e-8};
  dg_optimizer adam[DG_ADAPTERS_MAX] = {{0}};
  dg_error err;
  for (size_t k = 0; k < g.network.adapter_count; k++) {
    assert_true(dg_adapter_train(g.adapters[k], &err));
    assert_true(dg_optimizer_init(&adam[k], &o, &g.adapters[k]->params, NULL, &err));
  }
  for (int u = 0; u < UPDATES; u++) {
    for (size_t k = 0; k < g.network.adapter_count; k++)
      dg_params_zero_grads(&g.adapters[k]->params);
    double got = loss_of(&g, true) / (double)g.options.gradient_scale;
    if (!(fabs(got - want[u]) < 1e-4 * want[u]))
      fail_msg("update %d: loss %.7g, not %.7g", u, got, want[u]);
    for (size_t k = 0; k < g.network.adapter_count; k++)
      dg_optimizer_update(&adam[k], 0.01);
  }
  assert_true(want[UPDATES - 1] < 0.8 * want[0]); /* and they do learn */
  for (size_t k = 0; k < g.network.adapter_count; k++) dg_optimizer_free(&adam[k]);
  golden_close(&g);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_differences),
      cmocka_unit_test(test_untrained),
      cmocka_unit_test(test_new_pieces),
      cmocka_unit_test(test_changed_rows),
      cmocka_unit_test(test_frozen_base),
      cmocka_unit_test(test_lowest),
      cmocka_unit_test(test_memory),
      cmocka_unit_test(test_refusals),
      cmocka_unit_test(test_curve),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
