#include "mt/cli/train_sides.h"

#include <stdlib.h>
#include <string.h>

#include "mt/core/utf8.h"
#include "mt/train/evaluate.h"

enum { SAMPLE = 40, TOKENS = 64, LEAST = 10 };
static const double clearly = 0.8; /* of the nats a character */

/* Pairs spread over the text, views of it. */
static dg_parallel_text sample(const dg_parallel_text *text) {
  size_t n = text->count < SAMPLE ? text->count : SAMPLE;
  dg_parallel_text out = {.pairs = dg_calloc(n + 1, sizeof *out.pairs), .count = n};
  for (size_t i = 0; i < n; i++) out.pairs[i] = text->pairs[i * text->count / n];
  return out;
}

static double characters(const char *s) {
  double n = 0;
  for (const char *end = s + strlen(s); s < end; n++) dg_utf8_next(&s, end);
  return n;
}

/* Nats a character of one side, as a translation of the other into a language. */
static bool nats(const dg_network *n, const dg_examples *e, const dg_parallel_text *text,
                 const dg_base *b, dg_direction d, dg_arena *arena, double *out, dg_error *err) {
  double loss, tokens = 0, length = 1;
  dg_tokens list = {0};
  bool ok = dg_evaluate_loss(n, e, &d, 1024, arena, &loss, err);
  for (size_t i = 0; ok && i < text->count; i++) {
    const char *s = d.reversed ? text->pairs[i].source : text->pairs[i].target;
    ok = dg_tokenizer_encode(b->target_tokenizer, s, strlen(s), &list, err);
    tokens += (double)list.count + 1;
    length += characters(s) + 1;
  }
  dg_tokens_free(&list);
  *out = ok ? loss * tokens / length : 0;
  return ok;
}

bool dg_train_sides_check(const dg_trainee *t, const dg_train_way *way,
                          const dg_parallel_text *text, const char *path, dg_threads *threads,
                          dg_error *err) {
  const dg_base *b = t->base;
  const dg_language *source = dg_base_language(b, way->pair.source, DG_SIDE_TARGET, NULL);
  const dg_language *target = dg_base_language(b, way->pair.target, DG_SIDE_TARGET, NULL);
  const dg_language *known = target ? target : source;
  if (!known) return true;
  dg_direction d = {.target_tag = known->tag};
  d.source_tag = target ? way->before_source : way->before_target;
  dg_network n = {.model = b->model, .threads = threads, .precision = DG_BF16};
  dg_trainee_use(t, false, &n);
  dg_parallel_text some = sample(text);
  dg_examples *e = dg_examples_new(b, TOKENS);
  dg_arena *arena = dg_arena_new(1 << 20);
  double right = 0, wrong = 0;
  bool ok = dg_examples_add(e, &some, NULL, threads, &d.corpus, err);
  bool enough = ok && dg_examples_count(e, d.corpus) >= LEAST;
  d.reversed = !target; /* the known language's side is what is said */
  ok = ok && (!enough || nats(&n, e, &some, b, d, arena, &right, err));
  d.reversed = !d.reversed;
  ok = ok && (!enough || nats(&n, e, &some, b, d, arena, &wrong, err));
  if (ok && wrong < clearly * right)
    ok = dg_fail(err, DG_ERR_USAGE,
                 "%s: the base takes the %s side for %s: put --reversed on or off, or -s and -t "
                 "right (or train on it as it is with --keep-problems)",
                 path, target ? way->pair.source : way->pair.target, known->code);
  dg_arena_free(arena);
  dg_examples_free(e);
  free(some.pairs);
  return ok;
}
