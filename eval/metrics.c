#include "eval/metrics.h"

#include <stdlib.h>
#include <string.h>

#include "eval/scorer.h"

void dg_scorer_free(dg_scorer *m) {
  if (m) m->kind->free(m);
}

const char *dg_scorer_name(const dg_scorer *m) { return m->name; }
bool dg_scorer_is_error(const dg_scorer *m) { return m->is_error; }
size_t dg_scorer_width(const dg_scorer *m) { return m->width; }

/* --- signatures ---------------------------------------------------------------------------- */

void dg_sign(dg_strbuf *out, bool abbreviated, const char *name, const char *letter,
             const char *value) {
  dg_strbuf_addf(out, "|%s:%s", abbreviated ? letter : name, value);
}

char *dg_scorer_signature(const dg_scorer *m, const dg_trials *t, bool abbreviated) {
  dg_strbuf out = {0};
  dg_strbuf_addf(&out, "%s:", abbreviated ? "#" : "nrefs");
  if (t->references < 0)
    dg_strbuf_add(&out, "var");
  else
    dg_strbuf_addf(&out, "%d", t->references);
  if (t->bootstrap) dg_strbuf_addf(&out, "|bs:%d", t->bootstrap);
  if (t->randomization) dg_strbuf_addf(&out, "|ar:%d", t->randomization);
  if (t->seed) dg_sign(&out, abbreviated, "seed", "rs", t->seed);
  m->kind->sign(m, abbreviated, &out);
  dg_sign(&out, abbreviated, "version", "v", DG_SACREBLEU);
  return out.text;
}

int dg_references_number(const dg_references *r, size_t segments) {
  int number = -1;
  for (size_t i = 0; i < segments; i++) {
    int n = 0;
    for (size_t k = 0; k < r->count; k++) n += r->lists[k][i] != NULL;
    if (i && n != number) return -1;
    number = n;
  }
  return number;
}

/* --- statistics ---------------------------------------------------------------------------- */

enum { TASK = 32, BLOCK = 8192 };

typedef struct measuring {
  const dg_scorer *metric;
  const char *const *hypotheses;
  const dg_references *references;
  size_t from, segments;
  double *out;
  dg_scratch **scratch; /* a worker each */
  dg_error *errors;     /* a task each */
} measuring;

static void measure_task(void *context, size_t task, int worker) {
  measuring *c = context;
  const dg_scorer *m = c->metric;
  const dg_references *r = c->references;
  if (!c->scratch[worker]) c->scratch[worker] = dg_calloc(1, m->kind->scratch_bytes);
  const char *few[16], **list = few;
  if (r->count > 16) list = dg_malloc(r->count * sizeof *list);
  size_t end = (task + 1) * TASK < c->segments ? (task + 1) * TASK : c->segments;
  for (size_t i = task * TASK; i < end && c->errors[task].status == DG_OK; i++) {
    size_t count = 0;
    for (size_t k = 0; k < r->count; k++)
      if (r->lists[k][c->from + i]) list[count++] = r->lists[k][c->from + i];
    if (!count)
      dg_fail(&c->errors[task], DG_ERR_FORMAT, "segment %zu has no reference", c->from + i + 1);
    else if (!m->kind->measure(m, c->scratch[worker], c->hypotheses[c->from + i], list, count,
                               c->out + i * m->width, &c->errors[task]))
      dg_error_context(&c->errors[task], "segment %zu", c->from + i + 1);
  }
  if (list != few) free(list);
}

static bool measure_block(measuring *c, dg_threads *threads, dg_error *err) {
  size_t tasks = (c->segments + TASK - 1) / TASK;
  c->errors = dg_calloc(tasks, sizeof *c->errors);
  dg_parallel(threads, tasks, measure_task, c);
  bool ok = true;
  for (size_t t = 0; ok && t < tasks; t++)
    if (c->errors[t].status != DG_OK) {
      if (err) *err = c->errors[t];
      ok = false;
    }
  free(c->errors);
  return ok;
}

static dg_scratch **scratch_new(const dg_threads *threads) {
  return dg_calloc((size_t)dg_threads_count(threads), sizeof(dg_scratch *));
}

static void scratch_free(const dg_scorer *m, const dg_threads *threads, dg_scratch **scratch) {
  for (int i = 0; i < dg_threads_count(threads); i++) {
    dg_scratch *s = scratch[i];
    if (!s) continue;
    if (m->kind->scratch_free) m->kind->scratch_free(s);
    dg_split_buffers_free(&s->split);
    free(s->lower.text);
    free(s->text.text);
    free(s->hypothesis.list);
    free(s->reference.list);
    dg_vocabulary_free(&s->vocabulary);
    dg_ngrams_free(&s->ngrams);
    free(s);
  }
  free(scratch);
}

bool dg_scorer_measure(const dg_scorer *m, const char *const *hypotheses, const dg_references *r,
                       size_t segments, dg_threads *threads, double *statistics, dg_error *err) {
  measuring c = {.metric = m,
                 .hypotheses = hypotheses,
                 .references = r,
                 .segments = segments,
                 .out = statistics,
                 .scratch = scratch_new(threads)};
  bool ok = measure_block(&c, threads, err);
  scratch_free(m, threads, c.scratch);
  return ok;
}

void dg_scorer_add(const dg_scorer *m, const double *statistics, size_t segments, double *totals) {
  for (size_t i = 0; i < segments; i++)
    for (size_t k = 0; k < m->width; k++) totals[k] += statistics[i * m->width + k];
}

void dg_scorer_score(const dg_scorer *m, const double *totals, dg_numbers numbers, dg_score *out) {
  *out = (dg_score){0};
  m->kind->score(m, totals, numbers, out);
}

char *dg_scorer_verbose(const dg_scorer *m, const dg_score *s) {
  return m->kind->verbose ? m->kind->verbose(m, s) : NULL;
}

/* Block by block, so that a long text needs no more memory than a short one. */
bool dg_scorer_totals(const dg_scorer *m, const char *const *hypotheses, const dg_references *r,
                      size_t segments, dg_threads *threads, double *totals, dg_error *err) {
  if (!segments) return dg_fail(err, DG_ERR_USAGE, "there are no segments to score");
  size_t most = segments < BLOCK ? segments : BLOCK;
  measuring c = {.metric = m,
                 .hypotheses = hypotheses,
                 .references = r,
                 .out = dg_calloc(most * m->width, sizeof(double)),
                 .scratch = scratch_new(threads)};
  bool ok = true;
  for (; ok && c.from < segments; c.from += c.segments) {
    c.segments = segments - c.from < most ? segments - c.from : most;
    ok = measure_block(&c, threads, err);
    if (ok) dg_scorer_add(m, c.out, c.segments, totals);
  }
  scratch_free(m, threads, c.scratch);
  free(c.out);
  return ok;
}

bool dg_scorer_corpus(const dg_scorer *m, const char *const *hypotheses, const dg_references *r,
                      size_t segments, dg_threads *threads, dg_score *out, dg_error *err) {
  double totals[DG_STATISTICS_MAX] = {0};
  if (!dg_scorer_totals(m, hypotheses, r, segments, threads, totals, err)) return false;
  dg_scorer_score(m, totals, DG_EXACT, out);
  return true;
}
