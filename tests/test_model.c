/* Logits, losses and the gradient of every parameter against PyTorch, and of
 * Marian, M2M-100, mBART and T5 against transformers (tests/goldens/model.py). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mt/core/threads.h"
#include "tests/golden.h"

static const double CLOSE = 1e-4;

static void train(golden *g) {
  dg_error err;
  if (!dg_model_train(g->model, &err)) fail_msg("%s", err.message);
  for (size_t k = 0; k < g->network.adapter_count; k++)
    if (!dg_adapter_train(g->adapters[k], &err)) fail_msg("%s", err.message);
}

static dg_loss backward(golden *g) {
  dg_error err;
  dg_loss loss = {0};
  if (!dg_loss_backward(&g->network, &g->batch, &g->options, g->arena, &loss, &err))
    fail_msg("%s", err.message);
  return loss;
}

/* Every gradient is `times` PyTorch's. */
static void check_gradients(const golden *g, const char *prefix, const dg_params *p,
                            float times) {
  for (size_t i = 0; i < p->count; i++) {
    const dg_tensor *t = &p->tensors[i];
    size_t n = t->rows * t->cols;
    const float *torch = golden_data(g, DG_F32, n, "%s.%s", prefix, t->name);
    float *want = dg_malloc(n * sizeof *want);
    for (size_t k = 0; k < n; k++) want[k] = times * torch[k];
    /* Softmax does not see the bias of the keys: its gradient is what rounding
     * leaves of 0, to be measured by that of the queries' bias. */
    double least = 0;
    const char *keys = strstr(t->name, ".k.bias");
    if (keys)
      least = golden_largest(golden_data(g, DG_F32, n, "%s.%.*s.q%s", prefix,
                                         (int)(keys - t->name), t->name, keys + 2), n);
    golden_close_to(t->name, t->grad, want, n, CLOSE, least);
    free(want);
  }
}

static void zero_gradients(golden *g) {
  dg_params_zero_grads(&g->model->params);
  for (size_t k = 0; k < g->network.adapter_count; k++)
    dg_params_zero_grads(&g->adapters[k]->params);
}

static void check_adapters(const golden *g, float times) {
  for (size_t k = 0; k < g->network.adapter_count; k++) {
    char prefix[40];
    snprintf(prefix, sizeof prefix, "adapter_grad.%zu", k);
    if (g->adapters[k]->params.grads)
      check_gradients(g, prefix, &g->adapters[k]->params, times);
  }
}

static void check_loss(const golden *g, dg_loss loss, size_t times) {
  const double *want = golden_data(g, DG_F64, 2, "loss");
  size_t labels = 0;
  for (size_t i = 0; i < g->tokens; i++) labels += g->batch.labels[i] >= 0;
  assert_int_equal(loss.labels, labels * times);
  assert_true(fabs(loss.smoothed / (double)times / want[0] - 1) < 1e-6);
  assert_true(fabs(loss.nll / (double)times / want[1] - 1) < 1e-6);
}

static void test_golden(void **state) {
  golden g = golden_open(*state);
  dg_error err;
  const float *want = golden_data(&g, DG_F32, g.logits, "logits");
  float *logits = dg_malloc(g.logits * sizeof *logits);
  assert_true(dg_logits(&g.network, &g.batch, g.arena, logits, &err));
  golden_close_to("logits", logits, want, g.logits, 1e-5, 0);

  dg_loss forward = {0};
  for (size_t times = 1; times <= 2; times++) { /* losses are added up */
    assert_true(dg_loss_forward(&g.network, &g.batch, &g.options, g.arena, &forward, &err));
    check_loss(&g, forward, times);
  }
  assert_null(g.model->params.grads);
  train(&g);
  check_loss(&g, backward(&g), 1);
  check_gradients(&g, "grad", &g.model->params, 1);
  check_adapters(&g, 1);
  backward(&g); /* and so are gradients */
  check_gradients(&g, "grad", &g.model->params, 2);
  check_adapters(&g, 2);

  /* bfloat16 is near, or where the CPU has none the same. */
  g.network.precision = DG_BF16;
  assert_true(dg_logits(&g.network, &g.batch, g.arena, logits, &err));
  golden_close_to("bf16 logits", logits, want, g.logits, 0.06, 0);
  free(logits);
  golden_close(&g);
}

/* Work that a frozen part saves must not be missed by what is trained above it. */
static void test_frozen_parts(void **state) {
  (void)state;
  for (size_t i = 0; i < GOLDEN_COUNT; i++)
    for (int trained = 1, all = 1; trained <= all; trained++) {
      golden g = golden_open(golden_names[i]);
      all = (1 << g.network.adapter_count) - 1;
      for (size_t k = 0; k < g.network.adapter_count; k++)
        if (trained >> k & 1) assert_true(dg_adapter_train(g.adapters[k], NULL));
      assert_true(dg_model_freeze(g.model, NULL));
      check_loss(&g, backward(&g), 1);
      check_adapters(&g, 1);
      assert_null(g.model->params.grads);
      golden_close(&g);
    }
}

/* Bit for bit, with any number of threads. */
static void test_threads(void **state) {
  (void)state;
  for (size_t i = 0; i < GOLDEN_COUNT; i++) {
    golden g = golden_open(golden_names[i]);
    train(&g);
    g.options.dropout = g.options.attention_dropout = 0.1f;
    g.options.activation_dropout = g.options.adapter_dropout = 0.2f;
    g.options.dropout_key = 5;
    dg_loss alone = backward(&g);
    size_t bytes = g.model->params.total * sizeof(float);
    float *grads = memcpy(dg_malloc(bytes), g.model->params.grads, bytes);
    for (int count = 2; count < 5; count += 2) {
      g.network.threads = dg_threads_new(count);
      zero_gradients(&g);
      dg_loss together = backward(&g);
      assert_true(together.smoothed == alone.smoothed && together.nll == alone.nll);
      assert_memory_equal(grads, g.model->params.grads, bytes);
      dg_threads_free(g.network.threads);
    }
    free(grads);
    golden_close(&g);
  }
}

/* The loss and gradients of a batch taken a few sequences at a time. */
static dg_loss backward_in_parts(golden *g) {
  const dg_batch all = g->batch;
  dg_loss sum = {0};
  for (size_t first = 0, end = 2; first < all.sequences; first = end, end = all.sequences) {
    size_t s = all.source_offsets[first], t = all.target_offsets[first];
    g->batch = (dg_batch){end - first, all.source + s, all.input + t, all.labels + t,
                          all.source_offsets + first, all.target_offsets + first, NULL, &all};
    dg_loss part = backward(g);
    sum.smoothed += part.smoothed, sum.nll += part.nll, sum.labels += part.labels;
    sum.divergence += part.divergence;
  }
  g->batch = all;
  return sum;
}

/* It adds up to the whole. */
static void test_parts(void **state) {
  (void)state;
  for (size_t i = 0; i < GOLDEN_COUNT; i++) {
    golden g = golden_open(golden_names[i]);
    train(&g);
    check_loss(&g, backward_in_parts(&g), 1);
    check_gradients(&g, "grad", &g.model->params, 1);
    check_adapters(&g, 1);
    golden_close(&g);
  }
}

/* And so it does with dropout: the masks of a sentence are its own, whoever it is computed with;
 * with the adapters alone too, where what is frozen goes by the whole. */
static void test_parts_with_dropout(void **state) {
  (void)state;
  for (size_t i = 0; i < 2 * GOLDEN_COUNT; i++) {
    golden g = golden_open(golden_names[i / 2]);
    dg_params *trained = g.network.adapter_count ? &g.adapters[0]->params : &g.model->params;
    if (g.network.adapter_count) assert_true(dg_adapter_train(g.adapters[0], NULL));
    else train(&g);
    g.options.dropout = g.options.attention_dropout = 0.2f;
    g.options.activation_dropout = g.options.adapter_dropout = 0.3f;
    g.options.dropout_key = 7;
    g.options.rdrop = i % 2 ? 2.0f : 0;
    dg_loss whole = backward(&g);
    size_t bytes = trained->total * sizeof(float);
    float *want = memcpy(dg_malloc(bytes), trained->grads, bytes);
    dg_params_zero_grads(trained);
    dg_loss parts = backward_in_parts(&g);
    assert_int_equal(parts.labels, whole.labels);
    if (fabs(parts.smoothed / whole.smoothed - 1) > 1e-5 ||
        fabs(parts.divergence - whole.divergence) > 1e-5 * whole.divergence)
      fail_msg("%s: %g %g, not %g %g", golden_names[i / 2], parts.smoothed, parts.divergence,
               whole.smoothed, whole.divergence);
    golden_close_to(golden_names[i / 2], trained->grads, want, trained->total, 1e-5, 0);
    free(want);
    golden_close(&g);
  }
}

/* The gradient that p holds is that of the loss reported: along itself, by differences. */
static void check_slope(golden *g, const char *name, dg_params *p) {
  size_t bytes = p->total * sizeof(float);
  float *grads = memcpy(dg_malloc(bytes), p->grads, bytes);
  float *values = memcpy(dg_malloc(bytes), p->values, bytes);
  double squares = 0, difference[2], rdrop = (double)g->options.rdrop;
  for (size_t k = 0; k < p->total; k++) squares += (double)grads[k] * (double)grads[k];
  for (int wide = 0; wide < 2; wide++) {
    double h = 0.001 * (1 + wide) / sqrt(squares), loss[2];
    for (int side = 0; side < 2; side++) {
      for (size_t k = 0; k < p->total; k++)
        p->values[k] = values[k] + (float)((side ? h : -h) * (double)grads[k]);
      dg_loss l = backward(g);
      loss[side] = (l.smoothed + rdrop / 2 * l.divergence) * (double)g->options.gradient_scale;
    }
    difference[wide] = (loss[1] - loss[0]) / (2 * h);
  }
  double slope = (4 * difference[0] - difference[1]) / 3;
  if (!(fabs(slope / squares - 1) < 0.005))
    fail_msg("%s: the loss falls by %.6g, not %.6g", name, slope, squares);
  memcpy(p->values, values, bytes);
  free(grads);
  free(values);
}

/* With dropout the gradient is that of the loss it reports: along a direction, by
 * differences. The masks follow the key. */
static void check_dropout(const char *name, int adapter, float rdrop) {
  golden g = golden_open(name);
  if (adapter < 0) train(&g);
  else assert_true(dg_adapter_train(g.adapters[adapter], NULL));
  for (size_t k = 0; k < g.network.adapter_count; k++) /* away from the kink of ReLU */
    for (size_t t = 0; t < g.adapters[k]->params.count; t++) {
      const dg_tensor *bias = &g.adapters[k]->params.tensors[t];
      for (size_t c = 0; g.adapters[k]->config.activation == DG_RELU &&
                       strstr(bias->name, "down.bias") && c < bias->cols; c++)
        bias->value[c] = 9;
    }
  dg_loss none = backward(&g);
  zero_gradients(&g);
  g.options.dropout = g.options.attention_dropout = 0.2f;
  g.options.activation_dropout = g.options.adapter_dropout = 0.3f;
  g.options.dropout_key = 7;
  g.options.rdrop = rdrop;
  dg_loss here = backward(&g);
  assert_true((here.divergence > 0) == (rdrop > 0) && here.labels == none.labels);
  assert_true(fabs(here.nll / none.nll - 1) > 1e-4);
  check_slope(&g, name, adapter < 0 ? &g.model->params : &g.adapters[adapter]->params);
  g.options.dropout_key = 8;
  assert_true(backward(&g).nll != here.nll);
  g.options.dropout_key = 7;
  assert_true(backward(&g).nll == here.nll);
  golden_close(&g);
}

static void test_dropout(void **state) {
  (void)state;
  static const char *const smooth[] = {"marian", "t5", "adapters_post"};
  for (size_t i = 0; i < 3; i++) check_dropout(smooth[i], -1, 0), check_dropout(smooth[i], -1, 3);
  for (int k = 0; k < 3; k++)
    check_dropout("adapters_lora", k, 0), check_dropout("adapters_lora", k, 3);
  for (int k = 0; k < 2; k++) check_dropout("adapters_mixed", k, 2);
}

/* The same sentence twice, counting one of the two: attention drops differently. */
static void test_dropout_of_sentences(void **state) {
  (void)state;
  golden g = golden_open("pre_norm");
  train(&g);
  const int32_t source[] = {5, 6, 7, 8, 5, 6, 7, 8}, input[] = {9, 10, 11, 9, 10, 11};
  const uint32_t sources[] = {0, 4, 8}, targets[] = {0, 3, 6};
  double loss[2][2];
  for (int dropping = 0; dropping < 2; dropping++)
    for (int counted = 0; counted < 2; counted++) {
      int32_t labels[] = {-1, -1, -1, -1, -1, -1};
      for (int i = 0; i < 3; i++) labels[3 * counted + i] = 12 + i;
      g.options.attention_dropout = dropping ? 0.3f : 0;
      dg_batch keep = g.batch;
      g.batch = (dg_batch){2, source, input, labels, sources, targets, NULL, NULL};
      loss[dropping][counted] = backward(&g).nll;
      g.batch = keep;
    }
  assert_true(loss[0][0] == loss[0][1]);
  assert_true(loss[1][0] != loss[1][1]);
  golden_close(&g);
}

static void refuses(golden *g, const char *message) {
  dg_error err;
  dg_loss loss = {0};
  assert_false(dg_loss_forward(&g->network, &g->batch, &g->options, g->arena, &loss, &err));
  assert_int_equal(err.status, DG_ERR_USAGE);
  if (!strstr(err.message, message)) fail_msg("\"%s\" lacks \"%s\"", err.message, message);
}

static void test_what_does_not_fit(void **state) {
  (void)state;
  golden g = golden_open("adapters"); /* 36 pieces, 2 tags, 16 positions */
  dg_batch good = g.batch;
  int32_t ids[40] = {0};
  uint32_t offsets[2] = {0, 3};
  g.batch = (dg_batch){1, ids, ids, ids, offsets, offsets, NULL, NULL};
  dg_loss loss = {0};
  assert_true(dg_loss_forward(&g.network, &g.batch, &g.options, g.arena, &loss, NULL));
  int32_t first = dg_first_tag(&g.model->config);
  for (ids[2] = 36; ids[2] < first; ids[2] = ids[2] == 36 ? first - 1 : first)
    refuses(&g, "the model has ids 0 to 35 and its adapters'");
  ids[2] = first + 2;
  refuses(&g, "source token 2 has id");
  ids[2] = -1;
  refuses(&g, "id -1");
  ids[2] = first + 1; /* a tag is read, never predicted */
  refuses(&g, "the vocabulary has 36 pieces");
  ids[2] = 0;
  offsets[1] = 17;
  refuses(&g, "17 tokens");
  g.batch = good;
  golden_close(&g);
}

/* A loss over a part of the vocabulary, and with pieces that stand for several, against PyTorch. */
static void test_part_of_the_vocabulary(void **state) {
  (void)state;
  golden g = golden_open("adapters");
  dg_error err;
  size_t vocab = (size_t)g.model->config.vocab_size;
  for (size_t k = 0; k < g.network.adapter_count; k++)
    assert_true(dg_adapter_train(g.adapters[k], &err));
  for (int part = 0; part < 2; part++) {
    char name[48];
    snprintf(name, sizeof name, "part.%d.ids", part);
    const dg_st_tensor *ids = dg_safetensors_find(g.file, name);
    snprintf(name, sizeof name, "part.%d.weights", part);
    const dg_st_tensor *weights = dg_safetensors_find(g.file, name);
    assert_true(ids && weights && (weights->shape[0] > 1) == part);
    int32_t *class_of = dg_malloc(vocab * sizeof *class_of);
    memset(class_of, -1, vocab * sizeof *class_of);
    dg_loss_classes c = {.count = ids->shape[0], .exact = ids->shape[0] - weights->shape[0],
                         .ids = ids->data, .class_of = class_of, .weights = weights->data};
    for (size_t i = 0; i < c.count; i++) class_of[c.ids[i]] = (int32_t)i;
    assert_true(c.count < vocab);
    g.options.classes = &c;
    zero_gradients(&g);
    dg_loss loss = backward(&g);
    const double *want = golden_data(&g, DG_F64, 2, "part.%d.loss", part);
    assert_true(fabs(loss.smoothed - want[0]) < 1e-5 * want[0]);
    assert_true(fabs(loss.nll - want[1]) < 1e-5 * want[1]);
    for (size_t k = 0; k < g.network.adapter_count; k++) {
      snprintf(name, sizeof name, "part_grad.%d.%zu", part, k);
      check_gradients(&g, name, &g.adapters[k]->params, 1);
    }
    /* Twice the same, R-Drop's two passes are one. */
    dg_loss once = loss;
    g.options.rdrop = 2;
    zero_gradients(&g);
    loss = backward(&g);
    assert_true(fabs(loss.smoothed - once.smoothed) < 1e-5 * once.smoothed);
    for (size_t k = 0; k < g.network.adapter_count; k++) {
      snprintf(name, sizeof name, "part_grad.%d.%zu", part, k);
      check_gradients(&g, name, &g.adapters[k]->params, 1);
    }
    g.options.rdrop = 0;
    g.options.classes = NULL;
    free(class_of);
  }
  golden_close(&g);
}

/* All weights learn from a part as they do from the whole: all pieces in another order give
 * PyTorch's gradients, and those of a weighted part are of the loss it reports. */
static void test_part_of_a_trained_output(void **state) {
  (void)state;
  for (size_t i = 0; i < GOLDEN_COUNT; i++) {
    golden g = golden_open(golden_names[i]);
    train(&g);
    size_t vocab = (size_t)dg_target_vocab(&g.model->config), seen = 0;
    int32_t *ids = dg_malloc(vocab * sizeof *ids), *class_of = dg_malloc(vocab * sizeof *ids);
    for (size_t k = 0; k < vocab; k++) {
      ids[k] = (int32_t)((k + 7) % vocab);
      class_of[ids[k]] = (int32_t)k;
    }
    dg_loss_classes c = {.count = vocab, .exact = vocab, .ids = ids, .class_of = class_of};
    g.options.classes = &c;
    check_loss(&g, backward(&g), 1);
    check_gradients(&g, "grad", &g.model->params, 1);
    check_adapters(&g, 1);

    /* The labels, and two pieces for all others. */
    memset(class_of, -1, vocab * sizeof *class_of);
    for (size_t t = 0; t < g.tokens; t++) {
      int32_t label = g.batch.labels[t];
      if (label >= 0 && class_of[label] < 0) class_of[label] = (int32_t)seen, ids[seen++] = label;
    }
    c.exact = c.count = seen;
    for (size_t k = 0; k < vocab && c.count < seen + 2; k++)
      if (class_of[k] < 0) class_of[k] = (int32_t)c.count, ids[c.count++] = (int32_t)k;
    assert_true(c.count == seen + 2 && vocab > c.count);
    float weight = (float)(vocab - seen) / 2;
    c.weights = (float[]){weight, weight};
    zero_gradients(&g);
    backward(&g);
    check_slope(&g, golden_names[i], &g.model->params);
    free(ids), free(class_of);
    golden_close(&g);
  }
}

int main(void) {
  struct CMUnitTest tests[GOLDEN_COUNT + 9];
  size_t n = 0;
  for (; n < GOLDEN_COUNT; n++)
    tests[n] = (struct CMUnitTest){.name = golden_names[n], .test_func = test_golden,
                                   .initial_state = (void *)(uintptr_t)golden_names[n]};
  tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_frozen_parts);
  tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_threads);
  tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_parts);
  tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_parts_with_dropout);
  tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_dropout);
  tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_dropout_of_sentences);
  tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_what_does_not_fit);
  tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_part_of_the_vocabulary);
  tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_part_of_a_trained_output);
  return _cmocka_run_group_tests("model", tests, n, NULL, NULL);
}
