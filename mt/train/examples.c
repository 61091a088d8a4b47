#include "mt/train/examples.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "mt/core/mem.h"
#include "mt/core/rng.h"

typedef struct corpus {
  int32_t *ids;                 /* first side, then second side, pair after pair */
  size_t *starts;               /* [count+1] */
  uint32_t *first_lengths;      /* [count] */
  uint32_t *origins;            /* [count]: which pair of the text it is */
  const dg_parallel_text *text;
  const dg_tokenizer *tokenizers[2]; /* of the sides */
  size_t count, skipped;
} corpus;

struct dg_examples {
  const dg_base *base;
  size_t max_tokens, around; /* that formats put around a sentence, at most */
  corpus *corpora;
  size_t count, capacity;
};

/* What formats put around a sentence: mostly a handful, which so many tokens are kept for, that
 * a text is the same for bases that are alike. */
enum { LEAST_AROUND = 8, MOST_AROUND = 64 };

dg_examples *dg_examples_new(const dg_base *base, size_t max_tokens) {
  dg_examples *e = dg_calloc(1, sizeof *e);
  e->base = base;
  size_t most = dg_longest_text(&base->model->config);
  e->max_tokens = max_tokens < most ? max_tokens : most;
  int32_t nothing = 0, around[MOST_AROUND];
  size_t before = 1 + dg_format_source(base, 0, 0, &nothing, 0, around, MOST_AROUND); /* a mark */
  size_t target = dg_format_target(base, 0, 0, &nothing, 0, around, MOST_AROUND);
  size_t both[] = {before, target};
  e->around = LEAST_AROUND;
  for (int k = 0; k < 2; k++)
    if (both[k] > e->around) e->around = both[k];
  return e;
}

void dg_examples_free(dg_examples *e) {
  if (!e) return;
  for (size_t i = 0; i < e->count; i++) {
    free(e->corpora[i].ids);
    free(e->corpora[i].starts);
    free(e->corpora[i].first_lengths);
    free(e->corpora[i].origins);
  }
  free(e->corpora);
  free(e);
}

size_t dg_examples_most(const dg_examples *e) { return e->max_tokens; }

/* --- tokenising --------------------------------------------------------------- */

enum { CHUNK = 2048 }; /* pairs a task tokenises */

typedef struct chunk {
  int32_t *ids;
  size_t size, capacity;
  uint32_t lengths[CHUNK][2]; /* 0, 0: skipped */
  bool failed;
  dg_error error;
} chunk;

typedef struct tokenize_job {
  const dg_examples *e;
  const dg_parallel_text *pairs;
  const dg_tokenizer *tokenizers[2];
  chunk *chunks;
} tokenize_job;

static void tokenize_chunk(void *context, size_t task, int worker) {
  (void)worker;
  const tokenize_job *j = context;
  chunk *c = &j->chunks[task];
  size_t first = task * CHUNK, n = j->pairs->count - first;
  if (n > CHUNK) n = CHUNK;
  dg_tokens sides[2] = {{0}, {0}};
  for (size_t i = 0; i < n && !c->failed; i++) {
    const dg_pair *pair = &j->pairs->pairs[first + i];
    c->lengths[i][0] = c->lengths[i][1] = 0;
    for (int k = 0; k < 2; k++) {
      const char *text = k ? pair->target : pair->source;
      if (!dg_tokenizer_encode(j->tokenizers[k], text, strlen(text), &sides[k], &c->error))
        c->failed = true;
    }
    if (c->failed || !sides[0].count || !sides[1].count ||
        sides[0].count + j->e->around > j->e->max_tokens ||
        sides[1].count + j->e->around > j->e->max_tokens)
      continue;
    DG_GROW(c->ids, c->capacity, c->size + sides[0].count + sides[1].count);
    for (int k = 0; k < 2; k++) {
      for (size_t t = 0; t < sides[k].count; t++) c->ids[c->size++] = sides[k].items[t].id;
      c->lengths[i][k] = (uint32_t)sides[k].count;
    }
  }
  dg_tokens_free(&sides[0]);
  dg_tokens_free(&sides[1]);
}

bool dg_examples_add(dg_examples *e, const dg_parallel_text *pairs,
                     const dg_tokenizer *const tokenizers[2], dg_threads *threads, size_t *index,
                     dg_error *err) {
  size_t tasks = (pairs->count + CHUNK - 1) / CHUNK, total = 0;
  tokenize_job j = {.e = e, .pairs = pairs, .chunks = dg_calloc(tasks ? tasks : 1, sizeof(chunk))};
  j.tokenizers[0] = tokenizers ? tokenizers[0] : e->base->tokenizer;
  j.tokenizers[1] = tokenizers ? tokenizers[1] : e->base->target_tokenizer;
  dg_parallel(threads, tasks, tokenize_chunk, &j);
  bool ok = true;
  for (size_t t = 0; t < tasks; t++) {
    total += j.chunks[t].size;
    if (ok && j.chunks[t].failed) {
      if (err) *err = j.chunks[t].error;
      ok = false;
    }
  }
  if (ok) {
    corpus c = {.ids = dg_malloc((total + 1) * sizeof *c.ids),
                .starts = dg_malloc((pairs->count + 1) * sizeof *c.starts),
                .first_lengths = dg_malloc((pairs->count + 1) * sizeof *c.first_lengths),
                .origins = dg_malloc((pairs->count + 1) * sizeof *c.origins),
                .text = pairs,
                .tokenizers = {j.tokenizers[0], j.tokenizers[1]}};
    size_t at = 0;
    for (size_t t = 0; t < tasks; t++) {
      const chunk *k = &j.chunks[t];
      size_t n = pairs->count - t * CHUNK < CHUNK ? pairs->count - t * CHUNK : CHUNK, used = 0;
      for (size_t i = 0; i < n; i++) {
        if (!k->lengths[i][0]) {
          c.skipped++;
          continue;
        }
        c.starts[c.count] = at + used;
        c.origins[c.count] = (uint32_t)(t * CHUNK + i);
        c.first_lengths[c.count++] = k->lengths[i][0];
        used += k->lengths[i][0] + k->lengths[i][1];
      }
      if (k->size) memcpy(c.ids + at, k->ids, k->size * sizeof *c.ids);
      at += k->size;
    }
    c.starts[c.count] = at;
    DG_GROW(e->corpora, e->capacity, e->count + 1);
    *index = e->count;
    e->corpora[e->count++] = c;
  }
  for (size_t t = 0; t < tasks; t++) free(j.chunks[t].ids);
  free(j.chunks);
  return ok;
}

size_t dg_examples_count(const dg_examples *e, size_t i) { return e->corpora[i].count; }
size_t dg_examples_skipped(const dg_examples *e, size_t i) { return e->corpora[i].skipped; }

uint64_t dg_examples_hash(const dg_examples *e) {
  uint64_t h = e->count;
  for (size_t i = 0; i < e->count; i++) {
    const corpus *c = &e->corpora[i];
    for (size_t t = 0; t < c->starts[c->count]; t++) h = dg_hash64(h ^ (uint32_t)c->ids[t]);
    for (size_t p = 0; p < c->count; p++) h = dg_hash64(h ^ c->first_lengths[p]);
  }
  return h;
}

bool dg_examples_sample(const dg_examples *e, double subword_alpha, dg_error *err) {
  dg_tokens none = {0};
  bool ok = true;
  for (size_t i = 0; ok && i < 2 * e->count; i++)
    ok = dg_tokenizer_sample(e->corpora[i / 2].tokenizers[i % 2], "", 0, -1, subword_alpha, 0, &none,
                             err) ||
         dg_error_context(err, "subword_alpha");
  dg_tokens_free(&none);
  return ok;
}

static const int32_t *side(const corpus *c, size_t pair, bool second, size_t *n) {
  const int32_t *ids = c->ids + c->starts[pair];
  size_t first = c->first_lengths[pair], all = c->starts[pair + 1] - c->starts[pair];
  *n = second ? all - first : first;
  return second ? ids + first : ids;
}

/* --- batches ------------------------------------------------------------------- */

void dg_batch_clear(dg_batch_buffer *b) {
  b->sequences = 0;
  DG_GROW(b->source_offsets, b->capacity, 1);
  if (!b->target_offsets)
    b->target_offsets = dg_malloc(b->capacity * sizeof *b->target_offsets);
  b->source_offsets[0] = b->target_offsets[0] = 0;
  b->batch = (dg_batch){0};
}

/* A sentence's pieces from b->ids[1] on, what stands before them being free. */
static size_t pieces(dg_batch_buffer *b, const dg_examples *e, const corpus *c, size_t pair,
                     bool second, const dg_noise *noise) {
  size_t n;
  const int32_t *ids = side(c, pair, second, &n);
  DG_GROW(b->ids, b->ids_capacity, e->max_tokens + 1);
  if (noise && noise->subword_alpha > 0) {
    const dg_pair *p = &c->text->pairs[c->origins[pair]];
    const char *text = second ? p->target : p->source;
    if (dg_tokenizer_sample(c->tokenizers[second], text, strlen(text), -1, noise->subword_alpha,
                            dg_rng_key(noise->seed, second), &b->tokens, NULL) &&
        b->tokens.count && b->tokens.count + e->around <= e->max_tokens) {
      for (size_t i = 0; i < b->tokens.count; i++) b->ids[1 + i] = b->tokens.items[i].id;
      return b->tokens.count;
    }
  }
  memcpy(b->ids + 1, ids, n * sizeof *ids);
  return n;
}

/* Puts the unknown piece in place of some of ids[0,n). */
static void hide(const corpus *c, const dg_noise *noise, bool second, int32_t *ids, size_t n) {
  int32_t unknown = dg_tokenizer_unk(c->tokenizers[second]);
  if (!noise || !(noise->word_dropout > 0) || unknown < 0) return;
  dg_rng r = {.key = dg_rng_key(noise->seed, 2 + second)};
  for (size_t i = 0; i < n; i++)
    if (dg_rng_uniform(&r) < noise->word_dropout) ids[i] = unknown;
}

void dg_batch_add(dg_batch_buffer *b, const dg_examples *e, const dg_direction *d, size_t pair,
                  const dg_noise *noise) {
  const corpus *c = &e->corpora[d->corpus];
  if (b->sequences + 2 > b->capacity) {
    DG_GROW(b->source_offsets, b->capacity, b->sequences + 2);
    b->target_offsets = dg_realloc(b->target_offsets, b->capacity * sizeof *b->target_offsets);
  }
  size_t s0 = b->source_offsets[b->sequences], t0 = b->target_offsets[b->sequences];
  size_t room = e->max_tokens + MOST_AROUND;
  DG_GROW(b->source, b->source_capacity, s0 + room);
  if (t0 + room > b->target_capacity) {
    DG_GROW(b->input, b->target_capacity, t0 + room);
    b->labels = dg_realloc(b->labels, b->target_capacity * sizeof *b->labels);
  }
  size_t n = pieces(b, e, c, pair, d->reversed, noise);
  hide(c, noise, d->reversed, b->ids + 1, n);
  b->ids[0] = d->mark;
  size_t sn = dg_format_source(e->base, d->source_tag, d->target_tag, b->ids + !d->marked,
                               n + d->marked, b->source + s0, room);
  n = pieces(b, e, c, pair, !d->reversed, noise);
  size_t tn = dg_format_target(e->base, d->source_tag, d->target_tag, b->ids + 1, n,
                               b->input + t0, room);
  /* The decoder reads all but the last token and says all but the first; what
   * the format puts before the sentence is given, not predicted. */
  size_t given = dg_format_target(e->base, d->source_tag, d->target_tag, NULL, 0,
                                  (int32_t[MOST_AROUND]){0}, MOST_AROUND);
  for (size_t i = 0; i + 1 < tn; i++)
    b->labels[t0 + i] = i + 1 < given ? -1 : b->input[t0 + i + 1];
  hide(c, noise, !d->reversed, b->input + t0 + given, n);
  b->sequences++;
  b->source_offsets[b->sequences] = (uint32_t)(s0 + sn);
  b->target_offsets[b->sequences] = (uint32_t)(t0 + tn - 1);
  b->batch = (dg_batch){b->sequences, b->source, b->input, b->labels, b->source_offsets,
                        b->target_offsets, NULL, NULL};
}

void dg_batch_free(dg_batch_buffer *b) {
  free(b->source);
  free(b->input);
  free(b->labels);
  free(b->source_offsets);
  free(b->target_offsets);
  dg_tokens_free(&b->tokens);
  free(b->ids);
  *b = (dg_batch_buffer){0};
}

size_t dg_batch_targets(const dg_batch_buffer *b) { return b->target_offsets[b->sequences]; }
size_t dg_batch_sources(const dg_batch_buffer *b) { return b->source_offsets[b->sequences]; }

/* --- sampling ------------------------------------------------------------------- */

enum { POOL_UPDATES = 32 }; /* updates a pool is bucketed into */

typedef struct cursor {
  uint32_t *order; /* the epoch's permutation */
  uint64_t epoch, next;
} cursor;

struct dg_sampler {
  const dg_examples *examples;
  dg_direction *directions;
  size_t count;
  double *cumulative; /* probabilities of directions, summed */
  size_t update_tokens;
  uint64_t seed, pool_number, served, drawn; /* updates of this pool, pairs of all so far */
  uint64_t *pool_start; /* cursors before the pool was drawn: [count][2] */
  uint64_t drawn_before, served_pairs; /* before this pool; of it */
  cursor *cursors;
  dg_sampled *pool;
  size_t pool_capacity;
  size_t *cuts, *order, updates, cuts_capacity, order_capacity;
};

static void shuffle(dg_sampler *s, size_t d) {
  cursor *c = &s->cursors[d];
  size_t n = s->examples->corpora[s->directions[d].corpus].count;
  dg_rng r = {.key = dg_rng_key(s->seed, dg_hash64(c->epoch * 4096 + d))};
  for (size_t i = 0; i < n; i++) c->order[i] = (uint32_t)i;
  for (size_t i = n; i > 1; i--) {
    size_t k = (size_t)dg_rng_below(&r, i);
    uint32_t t = c->order[i - 1];
    c->order[i - 1] = c->order[k];
    c->order[k] = t;
  }
}

dg_sampler *dg_sampler_new(const dg_examples *e, const dg_direction *directions, size_t count,
                           double temperature, size_t update_tokens, uint64_t seed) {
  dg_sampler *s = dg_calloc(1, sizeof *s);
  s->examples = e;
  s->directions = dg_malloc(count * sizeof *directions);
  memcpy(s->directions, directions, count * sizeof *directions);
  s->count = count;
  s->update_tokens = update_tokens;
  s->seed = seed;
  s->cumulative = dg_malloc(count * sizeof *s->cumulative);
  s->pool_start = dg_calloc(count, 2 * sizeof *s->pool_start);
  s->cursors = dg_calloc(count, sizeof *s->cursors);
  double sum = 0;
  for (size_t i = 0; i < count; i++) {
    size_t n = e->corpora[directions[i].corpus].count;
    sum += n ? pow((double)n, 1 / temperature) : 0;
    s->cumulative[i] = sum;
    s->cursors[i].order = dg_malloc((n + 1) * sizeof(uint32_t));
    shuffle(s, i);
  }
  for (size_t i = 0; i < count; i++) s->cumulative[i] /= sum;
  return s;
}

void dg_sampler_free(dg_sampler *s) {
  if (!s) return;
  for (size_t i = 0; i < s->count; i++) free(s->cursors[i].order);
  free(s->cursors);
  free(s->directions);
  free(s->cumulative);
  free(s->pool_start);
  free(s->pool);
  free(s->cuts);
  free(s->order);
  free(s);
}

static uint32_t draw(dg_sampler *s, size_t d) {
  cursor *c = &s->cursors[d];
  if (c->next == s->examples->corpora[s->directions[d].corpus].count) {
    c->next = 0;
    c->epoch++;
    shuffle(s, d);
  }
  return c->order[c->next++];
}

typedef struct keyed {
  uint64_t key;
  dg_sampled item;
  uint32_t length;
} keyed;

static int by_key(const void *a, const void *b) {
  const keyed *x = a, *y = b;
  return x->key < y->key ? -1 : x->key > y->key;
}

static void fill_pool(dg_sampler *s) {
  for (size_t i = 0; i < s->count; i++) {
    s->pool_start[2 * i] = s->cursors[i].epoch;
    s->pool_start[2 * i + 1] = s->cursors[i].next;
  }
  s->drawn_before = s->drawn;
  dg_rng r = {.key = dg_rng_key(s->seed, ~s->pool_number)};
  size_t wanted = s->update_tokens * POOL_UPDATES, tokens = 0;
  keyed *items = NULL;
  size_t n = 0, capacity = 0;
  while (tokens < wanted) {
    double u = dg_rng_uniform(&r);
    size_t d = 0, length;
    while (d + 1 < s->count && u >= s->cumulative[d]) d++;
    uint32_t pair = draw(s, d);
    side(&s->examples->corpora[s->directions[d].corpus], pair, !s->directions[d].reversed,
         &length);
    DG_GROW(items, capacity, n + 1);
    /* Equal lengths stay in random order. */
    items[n++] = (keyed){(uint64_t)length << 32 | (uint32_t)(dg_rng_next(&r) >> 32),
                         {(uint32_t)d, pair}, (uint32_t)length + 1};
    tokens += length + 1;
  }
  s->drawn += n;
  s->served_pairs = 0;
  qsort(items, n, sizeof *items, by_key);
  DG_GROW(s->pool, s->pool_capacity, n);
  DG_GROW(s->cuts, s->cuts_capacity, n + 1);
  s->updates = 0;
  size_t held = 0;
  for (size_t i = 0; i < n; i++) {
    s->pool[i] = items[i].item;
    if (!held) s->cuts[s->updates++] = i;
    held += items[i].length;
    if (held >= s->update_tokens) held = 0;
  }
  s->cuts[s->updates] = n;
  free(items);
  DG_GROW(s->order, s->order_capacity, s->updates);
  for (size_t i = 0; i < s->updates; i++) s->order[i] = i;
  for (size_t i = s->updates; i > 1; i--) {
    size_t k = (size_t)dg_rng_below(&r, i), t = s->order[i - 1];
    s->order[i - 1] = s->order[k];
    s->order[k] = t;
  }
  s->served = 0;
  s->pool_number++;
}

const dg_sampled *dg_sampler_next(dg_sampler *s, size_t *count) {
  if (s->served == s->updates) fill_pool(s);
  size_t u = s->order[s->served++];
  *count = s->cuts[u + 1] - s->cuts[u];
  s->served_pairs += *count;
  return s->pool + s->cuts[u];
}

double dg_sampler_epochs(const dg_sampler *s) {
  size_t pairs = 0;
  for (size_t i = 0; i < s->count; i++)
    pairs += s->examples->corpora[s->directions[i].corpus].count;
  return pairs ? (double)(s->drawn_before + s->served_pairs) / (double)pairs : 0;
}

size_t dg_sampler_words(const dg_sampler *s) { return 3 + 2 * s->count; }

void dg_sampler_save(const dg_sampler *s, uint64_t *words) {
  words[0] = s->pool_number;
  words[1] = s->served;
  words[2] = s->drawn_before;
  memcpy(words + 3, s->pool_start, 2 * s->count * sizeof *words);
}

bool dg_sampler_restore(dg_sampler *s, const uint64_t *words, dg_error *err) {
  for (size_t i = 0; i < s->count; i++) {
    size_t n = s->examples->corpora[s->directions[i].corpus].count;
    if (words[4 + 2 * i] > n)
      return dg_fail(err, DG_ERR_FORMAT, "the checkpoint stands at pair %llu of %zu",
                     (unsigned long long)words[4 + 2 * i], n);
    s->cursors[i].epoch = words[3 + 2 * i];
    s->cursors[i].next = words[4 + 2 * i];
    shuffle(s, i);
  }
  s->served = s->updates = 0;
  s->drawn = words[2];
  s->pool_number = words[0];
  if (!words[0]) return true; /* nothing was drawn yet */
  s->pool_number--;
  fill_pool(s);
  if (words[1] > s->updates)
    return dg_fail(err, DG_ERR_FORMAT, "the checkpoint stands at update %llu of a pool of %zu",
                   (unsigned long long)words[1], s->updates);
  for (size_t count; s->served < words[1];) dg_sampler_next(s, &count);
  return true;
}
