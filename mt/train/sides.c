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

/* What is compared: the text the right way round and the wrong one. */
typedef struct sides {
  const dg_base *base;
  dg_network network;
  dg_examples *examples;
  dg_parallel_text some[2]; /* the second turned, for a base may cut its sides differently */
  size_t corpora[2];
  dg_arena *arena;
  double right, wrong;
} sides;

/* Nats a character of the second side of a text, as a translation of the first. */
static bool nats(const sides *s, bool turned, int32_t source_tag, int32_t target_tag, double *out,
                 dg_error *err) {
  const dg_direction d = {
      .corpus = s->corpora[turned], .source_tag = source_tag, .target_tag = target_tag};
  const dg_parallel_text *text = &s->some[turned];
  double loss, tokens = 0, length = 1;
  dg_tokens list = {0};
  bool ok = dg_evaluate_loss(&s->network, s->examples, &d, 1024, s->arena, &loss, err);
  for (size_t i = 0; ok && i < text->count; i++) {
    const char *said = text->pairs[i].target;
    ok = dg_tokenizer_encode(s->base->target_tokenizer, said, strlen(said), &list, err);
    tokens += (double)list.count + 1;
    length += (double)dg_utf8_count(said, strlen(said)) + 1;
  }
  dg_tokens_free(&list);
  *out = ok ? loss * tokens / length : 0;
  return ok;
}

/* Adds what it costs to say either side in a language, from a source so tagged; `second`: that
 * language's is the second column. */
static bool weigh(sides *s, int32_t source_tag, int32_t target_tag, bool second, dg_error *err) {
  double right, wrong;
  if (!nats(s, !second, source_tag, target_tag, &right, err) ||
      !nats(s, second, source_tag, target_tag, &wrong, err))
    return false;
  s->right += right;
  s->wrong += wrong;
  return true;
}

bool dg_train_sides_check(const dg_trainee *t, const dg_train_way *way,
                          const dg_parallel_text *text, const char *path, dg_threads *threads,
                          dg_error *err) {
  const dg_base *b = t->base;
  const dg_language *source = dg_base_language(b, way->pair.source, DG_SIDE_TARGET, NULL);
  const dg_language *target = dg_base_language(b, way->pair.target, DG_SIDE_TARGET, NULL);
  if (!source && !target) return true;
  sides s = {.base = b, .examples = dg_examples_new(b, TOKENS),
             .network = {.model = b->model, .threads = threads, .precision = DG_BF16},
             .arena = dg_arena_new(1 << 20)};
  dg_trainee_use(t, false, &s.network);
  s.some[0] = sample(text);
  s.some[1] = dg_parallel_turned(&s.some[0]);
  bool ok = true, enough = true;
  for (int k = 0; ok && k < 2; k++) {
    ok = dg_examples_add(s.examples, &s.some[k], NULL, threads, &s.corpora[k], err);
    enough = enough && ok && dg_examples_count(s.examples, s.corpora[k]) >= LEAST;
  }
  if (ok && enough)
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
  for (int k = 0; k < 2; k++) dg_parallel_free(&s.some[k]);
  return ok;
}
