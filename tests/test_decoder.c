/* Decoding a token at a time gives what the whole sentence gives at once, for
 * every tiny model, with and without adapters. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mt/core/mem.h"
#include "mt/core/rng.h"
#include "mt/model/decoder.h"
#include "mt/model/packed.h"
#include "mt/model/stack.h"
#include "tests/golden.h"

static const double CLOSE = 1e-5;
enum { ROWS = 8, LENGTH = 12, SENTENCES = 3, VOCAB_MOST = 64 };

/* Hypotheses with all they have read. */
typedef struct history {
  size_t rows, length;
  int32_t tokens[ROWS][LENGTH];
  uint32_t sources[ROWS];
} history;

/* Logits after each row's last token, by reading every row from its beginning. */
static void read_whole(golden *g, const history *h, float *logits) {
  size_t vocab = (size_t)g->model->config.vocab_size, total = 0;
  int32_t source[ROWS * 16], input[ROWS * LENGTH];
  uint32_t source_offsets[ROWS + 1] = {0}, target_offsets[ROWS + 1] = {0};
  for (size_t r = 0; r < h->rows; r++) {
    const uint32_t *from = g->batch.source_offsets + h->sources[r];
    memcpy(source + total, g->batch.source + from[0], (from[1] - from[0]) * sizeof *source);
    total += from[1] - from[0];
    source_offsets[r + 1] = (uint32_t)total;
    memcpy(input + r * h->length, h->tokens[r], h->length * sizeof *input);
    target_offsets[r + 1] = (uint32_t)((r + 1) * h->length);
  }
  dg_batch b = {h->rows, source, input, NULL, source_offsets, target_offsets, NULL, NULL};
  float *all = dg_malloc(h->rows * h->length * vocab * sizeof *all);
  dg_error err;
  if (!dg_logits(&g->network, &b, g->arena, all, &err)) fail_msg("%s", err.message);
  for (size_t r = 0; r < h->rows; r++)
    memcpy(logits + r * vocab, all + ((r + 1) * h->length - 1) * vocab, vocab * sizeof *logits);
  free(all);
}

static dg_decoder *decoder_of(const golden *g, const dg_batch *b) {
  dg_error err;
  dg_decoder *d =
      dg_decoder_new(&g->network, b->source, b->source_offsets, b->sequences, ROWS, LENGTH, &err);
  if (!d) fail_msg("%s", err.message);
  return d;
}

static int32_t best_of(const float *logits, size_t vocab) {
  size_t best = 0;
  for (size_t v = 1; v < vocab; v++)
    if (logits[v] > logits[best]) best = v;
  return (int32_t)best;
}

/* Sentences of 5, 1 and 12 tokens; one leaves the batch after each third of the way. */
/* Pieces, then tags of adapters. */
static size_t ids_of(const golden *g) {
  size_t ids = (size_t)g->model->config.vocab_size;
  for (size_t i = 0; i < g->network.adapter_count; i++) ids += g->network.adapters[i]->extra_tokens;
  return ids;
}

static int32_t id_of(const golden *g, size_t i) {
  size_t vocab = (size_t)g->model->config.vocab_size;
  return i < vocab ? (int32_t)i : dg_first_tag(&g->model->config) + (int32_t)(i - vocab);
}

static void greedy(golden *g) {
  size_t vocab = (size_t)g->model->config.vocab_size;
  float step[ROWS * VOCAB_MOST], whole[ROWS * VOCAB_MOST];
  dg_decoder *d = decoder_of(g, &g->batch);
  history h = {.rows = SENTENCES};
  uint32_t parents[ROWS] = {0};
  int32_t tokens[ROWS];
  for (size_t r = 0; r < h.rows; r++) {
    tokens[r] = id_of(g, ids_of(g) - 1); /* a tag where there are any */
    h.sources[r] = (uint32_t)r;
  }
  for (size_t t = 0; t < LENGTH; t++) {
    for (size_t r = 0; r < h.rows; r++) h.tokens[r][t] = tokens[r];
    h.length = t + 1;
    dg_decoder_step(d, h.rows, tokens, parents, h.sources, step);
    read_whole(g, &h, whole);
    for (size_t r = 0; r < h.rows; r++)
      golden_close_to("greedy logits", step + r * vocab, whole + r * vocab, vocab, CLOSE, 0);
    size_t gone = t % 4 == 3 ? t / 4 % h.rows : h.rows, kept = 0;
    for (size_t r = 0; r < h.rows; r++) {
      if (r == gone) continue;
      parents[kept] = (uint32_t)r;
      tokens[kept] = best_of(step + r * vocab, vocab);
      memmove(h.tokens[kept], h.tokens[r], sizeof h.tokens[r]);
      h.sources[kept++] = h.sources[r];
    }
    h.rows = kept;
    if (!kept) break;
  }
  dg_decoder_free(d);
}

/* Rows that branch, die and change places, as in a beam, in numbers that change. */
static void branch(golden *g, uint64_t seed) {
  size_t vocab = (size_t)g->model->config.vocab_size;
  float step[ROWS * VOCAB_MOST], whole[ROWS * VOCAB_MOST];
  dg_decoder *d = decoder_of(g, &g->batch);
  dg_rng r = {.key = seed};
  history h = {0};
  for (size_t t = 0; t < LENGTH; t++) {
    history next = {.rows = 1 + (size_t)dg_rng_below(&r, ROWS), .length = t + 1};
    uint32_t parents[ROWS];
    int32_t tokens[ROWS];
    for (size_t i = 0; i < next.rows; i++) {
      parents[i] = t ? (uint32_t)dg_rng_below(&r, h.rows) : 77;
      next.sources[i] =
          t ? h.sources[parents[i]] : (uint32_t)dg_rng_below(&r, g->batch.sequences);
      if (t) memcpy(next.tokens[i], h.tokens[parents[i]], sizeof next.tokens[i]);
      tokens[i] = id_of(g, (size_t)dg_rng_below(&r, ids_of(g)));
      next.tokens[i][t] = tokens[i];
    }
    h = next;
    dg_decoder_step(d, h.rows, tokens, parents, h.sources, step);
    read_whole(g, &h, whole);
    for (size_t i = 0; i < h.rows; i++)
      golden_close_to("branched logits", step + i * vocab, whole + i * vocab, vocab, CLOSE, 0);
  }
  dg_decoder_free(d);
}

static void test_golden(void **state) {
  golden g = golden_open(*state);
  assert_true((size_t)g.model->config.vocab_size <= VOCAB_MOST);
  assert_int_equal(g.batch.sequences, SENTENCES);
  if (!g.network.adapter_count) { /* one with every weight at work */
    dg_adapter *a = g.adapters[0] = golden_adapter(&g, "bottleneck", 5, 2);
    dg_rng r = {.key = 4};
    for (size_t i = 0; i < a->params.total; i++)
      a->params.values[i] = (float)(0.4 * dg_rng_normal(&r));
    g.network.adapters[0] = a;
    g.network.adapter_count = 1;
  }
  size_t most = g.network.adapter_count;
  for (size_t adapters = 0; adapters <= most; adapters++) {
    g.network.adapter_count = adapters;
    int32_t *source = dg_malloc(g.batch.source_offsets[SENTENCES] * sizeof *source);
    int32_t last = id_of(&g, ids_of(&g) - 1);
    for (size_t i = 0; i < g.batch.source_offsets[SENTENCES]; i++)
      source[i] = g.batch.source[i] <= last ? g.batch.source[i] : last;
    dg_batch kept = g.batch;
    g.batch.source = source;
    greedy(&g);
    for (uint64_t seed = 0; seed < 4; seed++) branch(&g, seed);
    g.batch = kept;
    free(source);
  }
  golden_close(&g);
}

/* Logits of a few steps of all sentences, the same tokens every time. */
static float *some_steps(const golden *g) {
  size_t vocab = (size_t)g->model->config.vocab_size;
  float *logits = dg_malloc(4 * SENTENCES * vocab * sizeof *logits);
  dg_decoder *d = decoder_of(g, &g->batch);
  const uint32_t sources[] = {0, 1, 2};
  for (int32_t t = 0; t < 4; t++) {
    const int32_t tokens[] = {3 + t, 9 + 2 * t, 20 - t};
    dg_decoder_step(d, SENTENCES, tokens, sources, sources, logits + t * SENTENCES * (int)vocab);
  }
  dg_decoder_free(d);
  return logits;
}

static void test_same_bits(void **state) {
  (void)state;
  for (size_t i = 0; i < GOLDEN_COUNT; i++) {
    golden g = golden_open(golden_names[i]);
    size_t bytes = 4 * SENTENCES * (size_t)g.model->config.vocab_size * sizeof(float);
    for (int bf16 = 0; bf16 < 2; bf16++) {
      g.network.precision = bf16 ? DG_BF16 : DG_FP32;
      float *plain = some_steps(&g);
      g.network.threads = dg_threads_new(3);
      float *threaded = some_steps(&g);
      assert_memory_equal(plain, threaded, bytes);
      dg_packed_model *packed = dg_packed_model_new(g.model, g.network.precision, NULL);
      assert_non_null(packed);
      for (size_t k = 0; k < g.model->decoder.count; k++) {
        const dg_layer *l = &g.model->decoder.layers[k];
        const dg_linear *all[] = {&l->self.qkv,  &l->self.out, &l->cross.q, &l->cross.kv,
                                  &l->cross.out, &l->ffn.in,   &l->ffn.out, &g.model->output};
        for (size_t m = 0; m < 8; m++) assert_non_null(dg_packed_model_find(packed, all[m]));
      }
      g.network.packed = packed;
      float *faster = some_steps(&g);
      assert_memory_equal(plain, faster, bytes);
      g.network.packed = NULL;
      dg_packed_model_free(packed);
      dg_threads_free(g.network.threads);
      g.network.threads = NULL;
      free(plain);
      free(threaded);
      free(faster);
    }
    golden_close(&g);
  }
}

/* Nor is a copy made of what is too large for it. */
static void test_large_models_stay_as_they_are_held(void **state) {
  (void)state;
  dg_model_config c;
  dg_options_defaults(dg_model_config_options, &c);
  c.vocab_size = 256000, c.d_model = 1024, c.heads = 16, c.head_dim = 64;
  dg_model *outline = dg_model_outline(&c, NULL);
  assert_non_null(outline);
  dg_packed_model *packed = dg_packed_model_new(outline, DG_FP32, NULL);
  assert_non_null(packed);
  assert_null(dg_packed_model_find(packed, &outline->output));
  dg_packed_model_free(packed);
  dg_model_free(outline);
}

/* What a sentence becomes does not depend on its company. */
static void test_alone(void **state) {
  (void)state;
  for (size_t i = 0; i < GOLDEN_COUNT; i++) {
    golden g = golden_open(golden_names[i]);
    size_t vocab = (size_t)g.model->config.vocab_size, width = (size_t)g.model->config.d_model;
    float *together = some_steps(&g), logits[VOCAB_MOST];
    dg_decoder *all = decoder_of(&g, &g.batch);
    for (uint32_t s = 0; s < SENTENCES; s++) {
      const uint32_t *from = g.batch.source_offsets + s;
      dg_batch one = {.sequences = 1, .source = g.batch.source + from[0], .source_offsets = from};
      dg_decoder *d = decoder_of(&g, &one);
      golden_close_to("encoding", dg_decoder_encoding(d),
                      dg_decoder_encoding(all) + from[0] * width, (from[1] - from[0]) * width,
                      1e-6, 0);
      for (int32_t t = 0; t < 4; t++) {
        const int32_t tokens[] = {3 + t, 9 + 2 * t, 20 - t};
        const uint32_t zero = 0;
        dg_decoder_step(d, 1, tokens + s, &zero, &zero, logits);
        golden_close_to("logits alone", logits, together + ((size_t)t * SENTENCES + s) * vocab,
                        vocab, 1e-6, 0);
      }
      dg_decoder_free(d);
    }
    dg_decoder_free(all);
    free(together);
    golden_close(&g);
  }
}

static void test_what_does_not_fit(void **state) {
  (void)state;
  golden g = golden_open("adapters"); /* 36 pieces, 2 tags, 16 positions */
  dg_error err;
  int32_t ids[20] = {0};
  uint32_t offsets[] = {0, 20}, one[] = {0, 1};
  assert_null(dg_decoder_new(&g.network, ids, offsets, 1, 1, 4, &err));
  assert_non_null(strstr(err.message, "20 tokens"));
  assert_null(dg_decoder_new(&g.network, ids, one, 1, 1, 17, &err));
  assert_non_null(strstr(err.message, "17 tokens"));
  ids[0] = 38;
  assert_null(dg_decoder_new(&g.network, ids, one, 1, 1, 16, &err));
  assert_non_null(strstr(err.message, "id 38"));
  ids[0] = dg_first_tag(&g.model->config) + 1;
  dg_decoder *d = dg_decoder_new(&g.network, ids, one, 1, 1, 16, &err);
  assert_non_null(d);
  dg_decoder_free(d);
  golden_close(&g);
}

int main(void) {
  struct CMUnitTest tests[GOLDEN_COUNT + 4];
  size_t n = 0;
  for (; n < GOLDEN_COUNT; n++)
    tests[n] = (struct CMUnitTest){.name = golden_names[n], .test_func = test_golden,
                                   .initial_state = (void *)(uintptr_t)golden_names[n]};
  tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_same_bits);
  tests[n++] =
      (struct CMUnitTest)cmocka_unit_test(test_large_models_stay_as_they_are_held);
  tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_alone);
  tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_what_does_not_fit);
  return _cmocka_run_group_tests("decoder", tests, n, NULL, NULL);
}
