#include "mt/train/sides.h"

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

/* What is compared: the text the right way round and the wrong one. */
typedef struct sides {
  const dg_base *base;
  dg_network network;
  dg_examples *examples;
  dg_parallel_text some;
  size_t corpus;
  dg_arena *arena;
  double right, wrong;
} sides;

/* Adds what it costs to say either side in a language, from a source so tagged; `second`: that
 * language's is the second column. */
static bool weigh(sides *s, int32_t source_tag, int32_t target_tag, bool second, dg_error *err) {
  dg_direction d = {.corpus = s->corpus, .source_tag = source_tag, .target_tag = target_tag};
  double said[2];
  for (int wrong = 0; wrong < 2; wrong++) {
    d.reversed = second == (wrong == 1);
    if (!nats(&s->network, s->examples, &s->some, s->base, d, s->arena, &said[wrong], err))
      return false;
  }
  s->right += said[0];
  s->wrong += said[1];
  return true;
}

bool dg_train_sides_check(const dg_trainee *t, const dg_train_way *way,
                          const dg_parallel_text *text, const char *path, dg_threads *threads,
                          dg_error *err) {
  const dg_base *b = t->base;
  const dg_language *source = dg_base_language(b, way->pair.source, DG_SIDE_TARGET, NULL);
  const dg_language *target = dg_base_language(b, way->pair.target, DG_SIDE_TARGET, NULL);
  if (!source && !target) return true;
  sides s = {.base = b, .some = sample(text), .examples = dg_examples_new(b, TOKENS),
             .network = {.model = b->model, .threads = threads, .precision = DG_BF16},
             .arena = dg_arena_new(1 << 20)};
  dg_trainee_use(t, false, &s.network);
  bool ok = dg_examples_add(s.examples, &s.some, NULL, threads, &s.corpus, err);
  if (ok && dg_examples_count(s.examples, s.corpus) >= LEAST)
    ok = (!target || weigh(&s, way->before_source, target->tag, true, err)) &&
         (!source || weigh(&s, way->before_target, source->tag, false, err));
  if (ok && s.wrong < clearly * s.right)
    ok = dg_fail(err, DG_ERR_USAGE,
                 "%s: the base takes the %s side for %s: put --reversed on or off, or -s and -t "
                 "right (or train on it as it is with --keep-problems)",
                 path, target ? way->pair.source : way->pair.target,
                 target ? way->pair.target : way->pair.source);
  dg_arena_free(s.arena);
  dg_examples_free(s.examples);
  free(s.some.pairs);
  return ok;
}
