#include "mt/decode/beam.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "mt/core/mem.h"
#include "mt/kernels/ops.h"

/* One token of one hypothesis; hypotheses are chains of them. */
typedef struct link {
  uint32_t parent; /* row at the step before */
  int32_t token;
} link;

typedef struct candidate {
  double score; /* log-probability of the whole hypothesis */
  int32_t token;
  uint32_t row;
} candidate;

typedef struct sentence {
  size_t first, live; /* its rows at this step */
  size_t finished;
  bool done;
} sentence;

typedef struct search {
  const dg_beam_options *o;
  const dg_beam_sentence *requests;
  const dg_ops *ops;
  dg_hypothesis *finished; /* [count, beam], best first */
  sentence *sentences;
  size_t count, rows, step, width; /* width: candidates kept a row */
  link **history; /* [step][row] */
  size_t history_capacity;
  double *scores; /* [rows] */
  int32_t *tokens;
  uint32_t *parents, *sources;
  float *logits;
  candidate *candidates; /* [rows, width] */
} search;

static bool better(const candidate *a, const candidate *b) {
  if (a->score != b->score) return a->score > b->score;
  if (a->token != b->token) return a->token < b->token;
  return a->row < b->row;
}

static int by_rank(const void *a, const void *b) { return better(a, b) ? -1 : better(b, a); }

/* What a logit must exceed, at least, for its sum with `score` to exceed `least`. */
static float bound_of(double least, double score) {
  return nextafterf(nextafterf((float)(least - score), -INFINITY), -INFINITY);
}

/* The row's `width` best continuations, by insertion: few survive the threshold. */
static void expand_row(void *context, size_t row, int worker) {
  (void)worker;
  search *s = context;
  const dg_beam_options *o = s->o;
  float *logits = s->logits + row * o->vocab;
  candidate *list = s->candidates + row * s->width;
  const dg_beam_sentence *q = &s->requests[s->sources[row]];
  size_t produced = s->step + 1 - q->prefix_length, kept = 0;
  float bound = -INFINITY;
  bool end_only = produced >= q->max_length, end_allowed = produced >= q->min_length;
  s->ops->log_softmax(o->vocab, logits);
  for (size_t v = 0; v < o->vocab; v++) {
    if (kept == s->width) {
      v += s->ops->find_above(o->vocab - v, logits + v, bound);
      if (v == o->vocab) break;
      if (!(s->scores[row] + (double)logits[v] > list[kept - 1].score)) continue;
    }
    bool end = (int32_t)v == o->end;
    if (end ? !end_allowed : end_only || (o->banned && o->banned[v])) continue;
    candidate c = {s->scores[row] + (double)logits[v], (int32_t)v, (uint32_t)row};
    if (isnan(c.score)) c.score = -INFINITY;
    size_t at = kept < s->width ? kept++ : kept - 1;
    for (; at > 0 && better(&c, &list[at - 1]); at--) list[at] = list[at - 1];
    list[at] = c;
    bound = bound_of(list[kept - 1].score, s->scores[row]);
  }
  for (; kept < s->width; kept++) list[kept] = (candidate){-INFINITY, -1, (uint32_t)row};
}

static double ranked(const search *s, double log_probability, size_t length) {
  return log_probability / pow((double)length, s->o->length_penalty);
}

static void finish(search *s, size_t index, const candidate *c) {
  const dg_beam_sentence *q = &s->requests[index];
  sentence *t = &s->sentences[index];
  dg_hypothesis *list = s->finished + index * s->o->beam;
  size_t length = s->step + 1 - q->prefix_length;
  double score = ranked(s, c->score, length + 1);
  if (t->finished == s->o->beam) {
    if (score <= list[t->finished - 1].score) return;
    free(list[--t->finished].ids);
  }
  dg_hypothesis h = {dg_malloc((length + 1) * sizeof *h.ids), length, score, c->score};
  uint32_t row = c->row;
  for (size_t i = length, step = s->step; i > 0; i--, step--) {
    h.ids[i - 1] = s->history[step][row].token;
    row = s->history[step][row].parent;
  }
  size_t at = t->finished++;
  for (; at > 0 && score > list[at - 1].score; at--) list[at] = list[at - 1];
  list[at] = h;
}

/* Rows of the next step for one sentence, appended to `next`. */
static void advance(search *s, size_t index, candidate *pool, candidate *next, size_t *next_rows,
                    uint32_t *next_sources) {
  const dg_beam_sentence *q = &s->requests[index];
  sentence *t = &s->sentences[index];
  if (s->step + 1 < q->prefix_length) {
    next_sources[*next_rows] = (uint32_t)index;
    next[(*next_rows)++] = (candidate){0, q->prefix[s->step + 1], (uint32_t)t->first};
    return;
  }
  size_t n = t->live * s->width, beam = s->o->beam, taken = 0;
  memcpy(pool, s->candidates + t->first * s->width, n * sizeof *pool);
  qsort(pool, n, sizeof *pool, by_rank);
  double best = n ? pool[0].score : -INFINITY;
  for (size_t i = 0; i < n && taken < beam && pool[i].token >= 0; i++) {
    if (pool[i].token == s->o->end) {
      if (i < beam) finish(s, index, &pool[i]);
      continue;
    }
    next_sources[*next_rows + taken] = (uint32_t)index;
    next[*next_rows + taken++] = pool[i];
  }
  size_t length = s->step + 2 - q->prefix_length;
  const dg_hypothesis *worst = s->finished + index * beam + (beam - 1);
  if (!taken || (t->finished == beam && ranked(s, best, length) <= worst->score)) {
    t->done = true;
    return;
  }
  *next_rows += taken;
}

static void begin(search *s) {
  for (size_t i = 0; i < s->count; i++) {
    s->tokens[i] = s->requests[i].prefix[0];
    s->parents[i] = 0;
    s->sources[i] = (uint32_t)i;
    s->scores[i] = 0;
  }
  s->rows = s->count;
}

/* Rows of a sentence stand together; finds where. */
static void locate(search *s) {
  for (size_t i = 0; i < s->count; i++) s->sentences[i].live = 0;
  for (size_t r = s->rows; r-- > 0;) {
    s->sentences[s->sources[r]].first = r;
    s->sentences[s->sources[r]].live++;
  }
}

static void remember(search *s) {
  DG_GROW(s->history, s->history_capacity, s->step + 1);
  link *l = s->history[s->step] = dg_malloc((s->rows + 1) * sizeof *l);
  for (size_t r = 0; r < s->rows; r++) l[r] = (link){s->parents[r], s->tokens[r]};
}

void dg_beam_search(dg_step_fn *step, void *context, const dg_beam_options *o,
                    const dg_beam_sentence *sentences, size_t count, dg_threads *threads,
                    dg_hypothesis *results) {
  size_t most = count * o->beam;
  search s = {.o = o, .requests = sentences, .ops = dg_ops_get(), .count = count};
  s.width = o->beam + 1; /* one of them may be the end */
  s.finished = dg_calloc(most + 1, sizeof *s.finished);
  s.sentences = dg_calloc(count + 1, sizeof *s.sentences);
  s.scores = dg_malloc((most + 1) * sizeof *s.scores);
  s.tokens = dg_malloc((most + 1) * sizeof *s.tokens);
  s.parents = dg_malloc((most + 1) * sizeof *s.parents);
  s.sources = dg_malloc((most + 1) * sizeof *s.sources);
  s.logits = dg_malloc((most * o->vocab + 1) * sizeof *s.logits);
  s.candidates = dg_malloc((most * s.width + 1) * sizeof *s.candidates);
  candidate *next = dg_malloc((most + 1) * sizeof *next);
  candidate *pool = dg_malloc((o->beam * s.width + 1) * sizeof *pool);
  uint32_t *next_sources = dg_malloc((most + 1) * sizeof *next_sources);
  if (count) begin(&s);
  for (; s.rows; s.step++) {
    remember(&s);
    step(context, s.rows, s.tokens, s.parents, s.sources, s.logits);
    locate(&s);
    bool expanding = false;
    for (size_t i = 0; i < count; i++)
      if (s.sentences[i].live && s.step + 1 >= sentences[i].prefix_length) expanding = true;
    if (expanding) dg_parallel(threads, s.rows, expand_row, &s);
    size_t rows = 0;
    for (size_t i = 0; i < count; i++)
      if (s.sentences[i].live) advance(&s, i, pool, next, &rows, next_sources);
    s.rows = rows;
    for (size_t r = 0; r < rows; r++) {
      s.tokens[r] = next[r].token;
      s.parents[r] = next[r].row;
      s.scores[r] = next[r].score;
      s.sources[r] = next_sources[r];
    }
  }
  for (size_t i = 0; i < count; i++)
    for (size_t k = 0; k < o->beam; k++) {
      if (k < o->nbest) results[i * o->nbest + k] = s.finished[i * o->beam + k];
      else free(s.finished[i * o->beam + k].ids);
    }
  for (size_t t = 0; t < s.step; t++) free(s.history[t]);
  free(s.history);
  free(s.finished);
  free(s.sentences);
  free(s.scores);
  free(s.tokens);
  free(s.parents);
  free(s.sources);
  free(s.logits);
  free(s.candidates);
  free(next);
  free(pool);
  free(next_sources);
}
