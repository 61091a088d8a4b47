/* Beam search: exact against all hypotheses there are when the beam is wide
 * enough, and against the plainest beam search when it is not. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mt/core/lines.h"
#include "mt/core/mem.h"
#include "mt/core/rng.h"
#include "mt/decode/beam.h"
#include "mt/model/decoder.h"
#include "tests/golden.h"

enum { LENGTH = 12, VOCAB_MOST = 40, END = 2 };

/* What a row has read. */
typedef struct path {
  uint64_t sentence;
  size_t length;
  int32_t ids[LENGTH];
} path;

/* Log-probabilities (not normalised) of what follows. */
typedef void next_fn(void *context, const path *p, float *logits);

/* --- a model that is a hash of all it has read --------------------------------------- */

typedef struct oracle {
  size_t vocab;
  uint64_t seed;
  const uint64_t *sentences; /* what sentence i of the search is to the oracle */
  size_t count, steps[16];   /* steps each sentence took part in */
  path rows[1024];
  size_t row_count;
} oracle;

enum { SPIKED = 1000, LEVEL = 2000, BROKEN = 3000 };

static void oracle_next(void *context, const path *p, float *logits) {
  const oracle *o = context;
  uint64_t key = dg_rng_key(o->seed, p->sentence);
  for (size_t i = 0; i < p->length; i++) key = dg_rng_key(key, (uint64_t)p->ids[i] + 1);
  dg_rng r = {.key = key};
  for (size_t v = 0; v < o->vocab; v++) {
    logits[v] = (float)(1.5 * dg_rng_normal(&r));
    if (p->sentence >= SPIKED && v == END) logits[v] += 2; /* short ones end early */
    if (p->sentence >= LEVEL) logits[v] = 0.25f;
    if (p->sentence >= BROKEN) logits[v] = NAN;
  }
}

static void oracle_step(void *context, size_t rows, const int32_t *tokens, const uint32_t *parents,
                        const uint32_t *sources, float *logits) {
  oracle *o = context;
  path *next = dg_malloc(rows * sizeof *next);
  for (size_t r = 0; r < rows; r++) {
    bool first = !o->row_count;
    if (!first) assert_true(parents[r] < o->row_count);
    next[r] = first ? (path){.sentence = o->sentences[sources[r]]} : o->rows[parents[r]];
    assert_true(next[r].sentence == o->sentences[sources[r]]);
    assert_true(next[r].length < LENGTH && tokens[r] >= 0 && (size_t)tokens[r] < o->vocab);
    next[r].ids[next[r].length++] = tokens[r];
    oracle_next(o, &next[r], logits + r * o->vocab);
    if (!r || sources[r] != sources[r - 1]) o->steps[sources[r]]++;
  }
  assert_true(rows <= sizeof o->rows / sizeof *o->rows);
  memcpy(o->rows, next, rows * sizeof *next);
  o->row_count = rows;
  free(next);
}

/* --- the plainest searches -------------------------------------------------------------- */

typedef struct item {
  path path; /* with the prefix */
  double log_probability, score;
  size_t row;
} item;

typedef struct items {
  item *list;
  size_t count, capacity;
} items;

static void push(items *to, const item *what) {
  DG_GROW(to->list, to->capacity, to->count + 1);
  to->list[to->count++] = *what;
}

static int by_score(const void *a, const void *b) {
  const item *x = a, *y = b;
  return x->score != y->score ? (x->score > y->score ? -1 : 1) : 0;
}

static int by_log_probability(const void *a, const void *b) {
  const item *x = a, *y = b;
  int32_t s = x->path.ids[x->path.length - 1], t = y->path.ids[y->path.length - 1];
  if (x->log_probability != y->log_probability)
    return x->log_probability > y->log_probability ? -1 : 1;
  if (s != t) return s < t ? -1 : 1;
  return x->row < y->row ? -1 : 1;
}

/* All continuations of a row that the rules allow, the end among them. */
static void follow(next_fn *next, void *context, const dg_beam_options *o,
                   const dg_beam_sentence *s, const item *from, size_t row, items *to) {
  float logits[VOCAB_MOST];
  double sum = 0;
  size_t length = from->path.length - s->prefix_length;
  next(context, &from->path, logits);
  for (size_t v = 0; v < o->vocab; v++) sum += exp((double)logits[v]);
  for (size_t v = 0; v < o->vocab; v++) {
    bool end = (int32_t)v == o->end;
    if (end && length < s->min_length) continue;
    if (!end && (length == s->max_length || (o->banned && o->banned[v]))) continue;
    item it = *from;
    it.path.ids[it.path.length++] = (int32_t)v;
    it.log_probability += (double)logits[v] - log(sum);
    it.score = it.log_probability / pow((double)length + 1, o->length_penalty);
    it.row = row;
    push(to, &it);
  }
}

static bool ended(const item *it, const dg_beam_options *o) {
  return it->path.ids[it->path.length - 1] == o->end;
}

static item start(const dg_beam_sentence *s, uint64_t sentence) {
  item it = {.path = {.sentence = sentence, .length = s->prefix_length}};
  memcpy(it.path.ids, s->prefix, s->prefix_length * sizeof *s->prefix);
  return it;
}

static void all_from(next_fn *next, void *context, const dg_beam_options *o,
                     const dg_beam_sentence *s, const item *from, items *found) {
  items here = {0};
  follow(next, context, o, s, from, 0, &here);
  for (size_t i = 0; i < here.count; i++) {
    if (ended(&here.list[i], o)) push(found, &here.list[i]);
    else all_from(next, context, o, s, &here.list[i], found);
  }
  free(here.list);
}

/* Every hypothesis, best first. */
static items exhaustive(next_fn *next, void *context, const dg_beam_options *o,
                        const dg_beam_sentence *s, uint64_t sentence) {
  items found = {0};
  item first = start(s, sentence);
  all_from(next, context, o, s, &first, &found);
  qsort(found.list, found.count, sizeof *found.list, by_score);
  return found;
}

/* One sentence, word for word. When `beam` hypotheses have ended, the search goes on
 * while the best one of this step could rank among them. */
static items plain_beam(next_fn *next, void *context, const dg_beam_options *o,
                        const dg_beam_sentence *s, uint64_t sentence, size_t *steps) {
  items live = {0}, done = {0};
  item first = start(s, sentence);
  push(&live, &first);
  for (*steps = s->prefix_length - 1; live.count; ) {
    items every = {0}, kept = {0};
    ++*steps;
    for (size_t r = 0; r < live.count; r++) follow(next, context, o, s, &live.list[r], r, &every);
    qsort(every.list, every.count, sizeof *every.list, by_log_probability);
    for (size_t i = 0; i < every.count && kept.count < o->beam; i++) {
      if (!ended(&every.list[i], o)) push(&kept, &every.list[i]);
      else if (i < o->beam) push(&done, &every.list[i]);
    }
    for (size_t i = 1; i < done.count; i++) /* stable, so that who came first stays first */
      for (size_t k = i; k && done.list[k].score > done.list[k - 1].score; k--) {
        item swap = done.list[k];
        done.list[k] = done.list[k - 1];
        done.list[k - 1] = swap;
      }
    if (done.count > o->beam) done.count = o->beam;
    bool over =
        done.count == o->beam && kept.count && every.list->score <= done.list[o->beam - 1].score;
    free(live.list);
    free(every.list);
    live = kept;
    if (over) break;
  }
  free(live.list);
  return done;
}

static void check(const dg_hypothesis *got, size_t nbest, const items *want,
                  const dg_beam_sentence *s) {
  for (size_t k = 0; k < nbest; k++) {
    if (k >= want->count) {
      assert_null(got[k].ids);
      continue;
    }
    const item *w = &want->list[k];
    assert_non_null(got[k].ids);
    assert_int_equal(got[k].length, w->path.length - s->prefix_length - 1);
    assert_memory_equal(got[k].ids, w->path.ids + s->prefix_length,
                        got[k].length * sizeof *got[k].ids);
    assert_true(fabs(got[k].score - w->score) < 1e-5);
    assert_true(fabs(got[k].log_probability - w->log_probability) < 1e-5);
  }
}

static void release(dg_hypothesis *list, size_t n) {
  for (size_t i = 0; i < n; i++) free(list[i].ids);
  free(list);
}

/* --- tests ------------------------------------------------------------------------------ */

static const int32_t prefixes[] = {3, 1, 4};
static const uint64_t kinds[] = {1, SPIKED + 2, 3, SPIKED + 4, 5, 6, 7, SPIKED + 8};
enum { COUNT = 8 };

/* Prefixes of one to three tokens, and bounds of every kind. */
static void requests(dg_beam_sentence list[COUNT], size_t most) {
  for (size_t i = 0; i < COUNT; i++)
    list[i] = (dg_beam_sentence){prefixes, 1 + i % 3, 0, most - (i == 3)};
  list[2].min_length = 1;
  list[4].min_length = list[4].max_length;
  list[5].max_length = 0;
  list[6].min_length = 2, list[6].max_length = 2;
}

static dg_hypothesis *search(oracle *o, const dg_beam_options *options,
                             const dg_beam_sentence *list, size_t count, dg_threads *threads) {
  dg_hypothesis *found = dg_calloc(count * options->nbest + 1, sizeof *found);
  o->row_count = 0;
  memset(o->steps, 0, sizeof o->steps);
  dg_beam_search(oracle_step, o, options, list, count, threads, found);
  return found;
}

static const double penalties[] = {1, 0, 0.6, 2};

static void test_exact(void **state) {
  (void)state;
  dg_beam_sentence list[COUNT];
  requests(list, 3);
  for (uint64_t seed = 0; seed < 6; seed++) {
    oracle *o = dg_calloc(1, sizeof *o);
    *o = (oracle){.vocab = 6, .seed = seed, .sentences = kinds};
    const bool banned[6] = {[4] = true}; /* which leaves four, and the end */
    dg_beam_options options = {.beam = 88, .nbest = 88, .length_penalty = penalties[seed % 4],
                               .vocab = 6, .end = END, .banned = banned};
    dg_hypothesis *found = search(o, &options, list, COUNT, NULL);
    for (size_t i = 0; i < COUNT; i++) {
      items want = exhaustive(oracle_next, o, &options, &list[i], kinds[i]);
      assert_int_equal(want.count, i == 3   ? 1 + 4 + 16
                                   : i == 2 ? 4 + 16 + 64
                                   : i == 4 ? 64
                                   : i == 5 ? 1
                                   : i == 6 ? 16
                                            : 1 + 4 + 16 + 64);
      check(found + i * options.nbest, options.nbest, &want, &list[i]);
      free(want.list);
    }
    release(found, COUNT * options.nbest);
    free(o);
  }
}

/* The very n-best lists, and as many steps: searching on after the end is waste. */
static void test_narrow(void **state) {
  (void)state;
  dg_beam_sentence list[COUNT];
  requests(list, 8);
  size_t early = 0;
  for (uint64_t seed = 0; seed < 8; seed++)
    for (size_t beam = 1; beam < 7; beam++)
      for (size_t p = 0; p < 4; p++) {
        oracle *o = dg_calloc(1, sizeof *o);
        *o = (oracle){.vocab = 7, .seed = 100 + seed, .sentences = kinds};
        const bool banned[7] = {[5] = true};
        dg_beam_options options = {.beam = beam, .nbest = 1 + (size_t)seed % beam,
                                   .length_penalty = penalties[p], .vocab = 7, .end = END,
                                   .banned = seed & 1 ? banned : NULL};
        dg_hypothesis *found = search(o, &options, list, COUNT, NULL);
        for (size_t i = 0; i < COUNT; i++) {
          size_t steps;
          items want = plain_beam(oracle_next, o, &options, &list[i], kinds[i], &steps);
          check(found + i * options.nbest, options.nbest, &want, &list[i]);
          assert_int_equal(o->steps[i], steps);
          early += steps < list[i].prefix_length + list[i].max_length;
          free(want.list);
        }
        release(found, COUNT * options.nbest);
        free(o);
      }
  assert_true(early > 100);
}

static void same(const dg_hypothesis *a, const dg_hypothesis *b, size_t n) {
  for (size_t k = 0; k < n; k++) {
    assert_int_equal(!a[k].ids, !b[k].ids);
    if (!a[k].ids) continue;
    assert_int_equal(a[k].length, b[k].length);
    assert_memory_equal(a[k].ids, b[k].ids, a[k].length * sizeof *a[k].ids);
    assert_true(a[k].score == b[k].score && a[k].log_probability == b[k].log_probability);
  }
}

/* Bit for bit in a batch, alone, and on several threads. */
static void test_one_by_one(void **state) {
  (void)state;
  dg_beam_sentence list[COUNT];
  requests(list, 8);
  dg_threads *threads = dg_threads_new(3);
  for (size_t beam = 1; beam < 6; beam++) {
    oracle *o = dg_calloc(1, sizeof *o);
    *o = (oracle){.vocab = 30, .seed = beam, .sentences = kinds};
    dg_beam_options options = {.beam = beam, .nbest = beam, .length_penalty = 1, .vocab = 30,
                               .end = END};
    dg_hypothesis *found = search(o, &options, list, COUNT, NULL);
    dg_hypothesis *threaded = search(o, &options, list, COUNT, threads);
    same(found, threaded, COUNT * beam);
    for (size_t i = 0; i < COUNT; i++) {
      o->sentences = kinds + i;
      dg_hypothesis *one = search(o, &options, list + i, 1, NULL);
      same(one, found + i * beam, beam);
      release(one, beam);
    }
    release(threaded, COUNT * beam);
    release(found, COUNT * beam);
    free(o);
  }
  dg_threads_free(threads);
}

/* Equal scores: the lower token first, then the row that stood higher. */
static void test_ties(void **state) {
  (void)state;
  const uint64_t level[] = {LEVEL};
  const dg_beam_sentence s = {prefixes, 1, 0, 3};
  for (size_t beam = 1; beam < 12; beam++) {
    oracle *o = dg_calloc(1, sizeof *o);
    *o = (oracle){.vocab = 5, .sentences = level};
    dg_beam_options options = {.beam = beam, .nbest = beam, .vocab = 5, .end = END};
    dg_hypothesis *found = search(o, &options, &s, 1, NULL);
    size_t steps;
    items want = plain_beam(oracle_next, o, &options, &s, LEVEL, &steps);
    check(found, beam, &want, &s);
    assert_int_equal(o->steps[0], steps);
    free(want.list);
    release(found, beam);
    free(o);
  }
}

/* A sentence whose model has broken down ends, and harms no other. */
static void test_not_a_number(void **state) {
  (void)state;
  const uint64_t mixed[] = {1, BROKEN, 3};
  const dg_beam_sentence list[] = {{prefixes, 1, 0, 6}, {prefixes, 2, 0, 6}, {prefixes, 1, 1, 5}};
  for (size_t beam = 1; beam < 10; beam += 4) {
    oracle *o = dg_calloc(1, sizeof *o);
    *o = (oracle){.vocab = 7, .sentences = mixed};
    dg_beam_options options = {.beam = beam, .nbest = beam, .length_penalty = 1, .vocab = 7,
                               .end = END};
    dg_hypothesis *found = search(o, &options, list, 3, NULL);
    for (size_t i = 0; i < 3; i += 2) {
      size_t steps;
      items want = plain_beam(oracle_next, o, &options, &list[i], mixed[i], &steps);
      check(found + i * beam, beam, &want, &list[i]);
      free(want.list);
    }
    for (size_t k = 0; k < beam; k++)
      if (found[beam + k].ids) assert_true(found[beam + k].log_probability == -INFINITY);
    release(found, 3 * beam);
    dg_beam_search(oracle_step, o, &options, list, 0, NULL, NULL); /* nothing to do */
    free(o);
  }
}

/* --- with the real decoder ---------------------------------------------------------------- */

typedef struct model {
  golden *g;
  dg_decoder *decoder;
} model;

static void model_step(void *context, size_t rows, const int32_t *tokens, const uint32_t *parents,
                       const uint32_t *sources, float *logits) {
  dg_decoder_step(((model *)context)->decoder, rows, tokens, parents, sources, logits);
}

/* What follows a path, by reading all of it. */
static void model_next(void *context, const path *p, float *logits) {
  golden *g = ((model *)context)->g;
  size_t vocab = (size_t)g->model->config.vocab_size;
  const uint32_t *from = g->batch.source_offsets + p->sentence, to[] = {0, (uint32_t)p->length};
  dg_batch b = {1, g->batch.source + from[0], p->ids, NULL, from, to, NULL, NULL};
  float all[LENGTH * VOCAB_MOST];
  assert_true(dg_logits(&g->network, &b, g->arena, all, NULL));
  memcpy(logits, all + (p->length - 1) * vocab, vocab * sizeof *logits);
}

static dg_hypothesis *translate(golden *g, const dg_beam_options *o, const dg_beam_sentence *list,
                                size_t first, size_t count) {
  const uint32_t *from = g->batch.source_offsets + first;
  model m = {g, dg_decoder_new(&g->network, g->batch.source + from[0], from, count,
                               count * o->beam, LENGTH + 1, NULL)};
  dg_hypothesis *found = dg_calloc(count * o->nbest, sizeof *found);
  dg_beam_search(model_step, &m, o, list + first, count, NULL, found);
  dg_decoder_free(m.decoder);
  return found;
}

static void test_models(void **state) {
  (void)state;
  const dg_beam_sentence list[] = {{prefixes, 1, 0, 3}, {prefixes, 3, 1, 3}, {prefixes, 2, 2, 3}};
  for (size_t i = 0; i < GOLDEN_COUNT; i++) {
    golden g = golden_open(golden_names[i]);
    model m = {.g = &g};
    bool banned[VOCAB_MOST];
    for (size_t v = 0; v < VOCAB_MOST; v++) banned[v] = v % 9 != i % 9; /* all but four */
    dg_beam_options options = {.beam = 88, .nbest = 88, .length_penalty = penalties[i % 4],
                               .vocab = (size_t)g.model->config.vocab_size,
                               .end = i % 9 == END ? 0 : END, .banned = banned};
    dg_hypothesis *found = translate(&g, &options, list, 0, 3);
    for (size_t s = 0; s < 3; s++) {
      items want = exhaustive(model_next, &m, &options, &list[s], s);
      assert_true(want.count >= 64);
      check(found + s * options.nbest, options.nbest, &want, &list[s]);
      free(want.list);
    }
    release(found, 3 * options.nbest);

    options.beam = 5, options.nbest = 3, options.banned = NULL; /* in a batch as alone */
    found = translate(&g, &options, list, 0, 3);
    for (size_t s = 0; s < 3; s++) {
      dg_hypothesis *one = translate(&g, &options, list, s, 1);
      for (size_t k = 0; k < 3; k++) {
        const dg_hypothesis *a = &one[k], *b = &found[3 * s + k];
        assert_int_equal(a->length, b->length);
        assert_memory_equal(a->ids, b->ids, a->length * sizeof *a->ids);
        assert_true(fabs(a->score - b->score) < 1e-5);
      }
      release(one, 3);
    }
    release(found, 9);
    golden_close(&g);
  }
}

/* The n-best lists of transformers' generate(), where the length limit plays no
 * part, are those of the plain search; the two rules seldom tell lists apart. */
static void test_generate(void **state) {
  (void)state;
  dg_error err;
  dg_lines *lines = dg_lines_open("tests/model/generate.tsv", &err);
  if (!lines) fail_msg("%s", err.message);
  char *line;
  size_t n, read = 0, compared = 0;
  while (dg_lines_next(lines, &line, &n, &err) > 0) {
    char *save, *name = strtok_r(line, "\t", &save);
    golden g = golden_open(name);
    bool banned[VOCAB_MOST] = {[0] = name[0] == 't', [1] = name[0] == 'm'}; /* padding */
    dg_beam_options options = {.vocab = (size_t)g.model->config.vocab_size, .banned = banned};
    options.end = atoi(strtok_r(NULL, "\t", &save));
    options.length_penalty = atof(strtok_r(NULL, "\t", &save));
    char *source = strtok_r(NULL, "\t", &save), *best[8];
    while (options.beam < 8 && (best[options.beam] = strtok_r(NULL, "\t", &save))) options.beam++;
    options.nbest = options.beam;
    int32_t ids[6];
    for (size_t i = 0; i < 6; i++) ids[i] = (int32_t)strtol(source, &source, 10);
    g.batch.source = ids;
    g.batch.source_offsets = (const uint32_t[]){0, 6};
    const dg_beam_sentence s = {(const int32_t[]){4}, 1, 0, LENGTH};
    dg_hypothesis *found = translate(&g, &options, &s, 0, 1);
    model m = {.g = &g};
    size_t steps;
    items plain = plain_beam(model_next, &m, &options, &s, 0, &steps);
    check(found, options.beam, &plain, &s);
    assert_int_equal(plain.count, options.beam);
    for (size_t k = 0; k < options.beam; k++) {
      const item *it = &plain.list[k];
      char *p = best[k];
      bool same = fabs(it->score - strtod(p, &p)) < 1e-5;
      for (size_t i = s.prefix_length; same && i + 1 < it->path.length; i++)
        same = it->path.ids[i] == strtol(p, &p, 10);
      if (!same || *p) fail_msg("line %zu: hypothesis %zu is another", read + 1, k + 1);
      compared++;
    }
    free(plain.list);
    release(found, options.beam);
    golden_close(&g);
    read++;
  }
  dg_lines_close(lines);
  assert_true(read > 30 && compared > 60);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_exact), cmocka_unit_test(test_narrow),
      cmocka_unit_test(test_one_by_one), cmocka_unit_test(test_ties),
      cmocka_unit_test(test_not_a_number), cmocka_unit_test(test_models),
      cmocka_unit_test(test_generate),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
