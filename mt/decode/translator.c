#include "mt/decode/translator.h"

#include <stdlib.h>
#include <string.h>

#include "mt/core/mem.h"
#include "mt/decode/beam.h"
#include "mt/model/decoder.h"

enum { PREFIX_MOST = 16, LONGEST_WITHOUT_TABLE = 4096, ROWS_MOST = 512 };

dg_translate_options dg_translate_defaults(void) {
  return (dg_translate_options){.beam = 4, .nbest = 1, .length_penalty = 1, .batch_tokens = 2048};
}

typedef struct request {
  size_t line;
  int32_t *ids; /* formatted source */
  size_t length;
} request;

typedef struct job {
  const dg_network *network;
  const dg_base *base;
  const dg_translate_options *o;
  int32_t source_tag, target_tag, prefix[PREFIX_MOST];
  size_t prefix_length, longest;
  bool *banned;
  dg_translation *out;
} job;

static bool blank(const char *s) { return !s[strspn(s, " \t\r\n\f\v")]; }

static bool prepare(const job *j, const char *text, size_t line, request *r, dg_tokens *tokens,
                    dg_error *err) {
  if (!dg_tokenizer_encode(j->base->tokenizer, text, strlen(text), tokens, err))
    return dg_error_context(err, "line %zu", line + 1);
  size_t capacity = tokens->count + 64;
  if (capacity > j->longest) capacity = j->longest;
  int32_t *ids = dg_malloc((tokens->count + 1) * sizeof *ids);
  for (size_t i = 0; i < tokens->count; i++) ids[i] = tokens->items[i].id;
  r->line = line;
  r->ids = dg_malloc(capacity * sizeof *r->ids);
  r->length = dg_format_source(j->base, j->source_tag, j->target_tag, ids, tokens->count, r->ids,
                               capacity);
  if (tokens->count >= j->longest) j->out[line].cut = true;
  free(ids);
  return true;
}

static int by_length(const void *a, const void *b) {
  const request *x = a, *y = b;
  if (x->length != y->length) return x->length > y->length ? -1 : 1;
  return x->line < y->line ? -1 : x->line > y->line;
}

static void step(void *context, size_t rows, const int32_t *tokens, const uint32_t *parents,
                 const uint32_t *sources, float *logits) {
  dg_decoder_step(context, rows, tokens, parents, sources, logits);
}

static size_t target_limit(const job *j, size_t source_length) {
  size_t most = j->longest - j->prefix_length - 1;
  size_t limit = j->o->max_length ? j->o->max_length : 2 * source_length + 16;
  return limit < most ? limit : most;
}

static bool translate_batch(const job *j, const request *batch, size_t n, dg_error *err) {
  const dg_translate_options *o = j->o;
  size_t total = 0, longest = 0;
  for (size_t i = 0; i < n; i++) total += batch[i].length;
  int32_t *source = dg_malloc((total + 1) * sizeof *source);
  uint32_t *offsets = dg_malloc((n + 1) * sizeof *offsets);
  dg_beam_sentence *sentences = dg_calloc(n, sizeof *sentences);
  dg_hypothesis *found = dg_calloc(n * o->nbest, sizeof *found);
  offsets[0] = 0;
  for (size_t i = 0; i < n; i++) {
    memcpy(source + offsets[i], batch[i].ids, batch[i].length * sizeof *source);
    offsets[i + 1] = offsets[i] + (uint32_t)batch[i].length;
    sentences[i] = (dg_beam_sentence){j->prefix, j->prefix_length, o->min_length,
                                      target_limit(j, batch[i].length)};
    if (sentences[i].max_length > longest) longest = sentences[i].max_length;
  }
  dg_decoder *d = dg_decoder_new(j->network, source, offsets, n, n * o->beam,
                                 longest + j->prefix_length, err);
  bool ok = d != NULL;
  if (ok) {
    dg_beam_options bo = {o->beam, o->nbest, o->length_penalty,
                          (size_t)j->base->model->config.vocab_size,
                          dg_tokenizer_eos(j->base->tokenizer), j->banned};
    dg_beam_search(step, d, &bo, sentences, n, j->network->threads, found);
  }
  for (size_t i = 0; i < n && ok; i++) {
    dg_translation *t = &j->out[batch[i].line];
    t->texts = dg_calloc(o->nbest, sizeof *t->texts);
    t->scores = dg_calloc(o->nbest, sizeof *t->scores);
    for (size_t k = 0; k < o->nbest && ok; k++) {
      const dg_hypothesis *h = &found[i * o->nbest + k];
      if (!h->ids) break;
      t->texts[k] = dg_tokenizer_decode(j->base->tokenizer, h->ids, h->length, err);
      t->scores[k] = h->score;
      ok = t->texts[k] != NULL;
      if (ok) t->count++;
    }
  }
  for (size_t i = 0; i < n * o->nbest; i++) free(found[i].ids);
  dg_decoder_free(d);
  free(source);
  free(offsets);
  free(sentences);
  free(found);
  return ok;
}

static bool translate_all(const job *j, request *list, size_t n, dg_error *err) {
  qsort(list, n, sizeof *list, by_length);
  for (size_t i = 0; i < n;) {
    size_t end = i, tokens = 0;
    while (end < n && (end == i || (tokens + list[end].length <= j->o->batch_tokens &&
                                    (end - i + 1) * j->o->beam <= ROWS_MOST)))
      tokens += list[end++].length;
    if (!translate_batch(j, list + i, end - i, err)) return false;
    i = end;
  }
  return true;
}

/* Control pieces and the unknown piece never stand in a translation. */
static bool *banned_pieces(const dg_base *b) {
  size_t vocab = (size_t)b->model->config.vocab_size;
  bool *banned = dg_calloc(vocab, sizeof *banned);
  for (size_t i = 0; i < vocab; i++)
    banned[i] = (int32_t)i >= dg_tokenizer_size(b->tokenizer) ||
                dg_tokenizer_is_control(b->tokenizer, (int32_t)i) ||
                (int32_t)i == dg_tokenizer_unk(b->tokenizer);
  return banned;
}

bool dg_translate(const dg_network *network, const dg_base *base, int32_t source_tag,
                  int32_t target_tag, const dg_translate_options *o, const char *const *lines,
                  size_t n, dg_translation *out, dg_error *err) {
  const dg_model_config *c = &base->model->config;
  job j = {.network = network, .base = base, .o = o, .source_tag = source_tag,
           .target_tag = target_tag, .out = out};
  bool table = c->position == DG_POSITION_SINUSOIDAL || c->position == DG_POSITION_LEARNED;
  j.longest = table ? (size_t)(c->max_positions - c->position_offset) : LONGEST_WITHOUT_TABLE;
  j.prefix_length =
      dg_format_target(base, source_tag, target_tag, NULL, 0, j.prefix, PREFIX_MOST);
  memset(out, 0, n * sizeof *out);
  if (!j.prefix_length || j.longest < j.prefix_length + 2)
    return dg_fail(err, DG_ERR_FORMAT, "the base's target format \"%s\" gives the decoder nothing "
                   "to begin with", c->target_format);
  j.banned = banned_pieces(base);
  request *list = dg_calloc(n + 1, sizeof *list);
  dg_tokens tokens = {0};
  size_t count = 0;
  bool ok = true;
  for (size_t i = 0; i < n && ok; i++) {
    if (!blank(lines[i])) {
      ok = prepare(&j, lines[i], i, &list[count], &tokens, err);
      if (ok) count++;
    } else {
      out[i].texts = dg_calloc(1, sizeof *out[i].texts);
      out[i].scores = dg_calloc(1, sizeof *out[i].scores);
      out[i].texts[0] = dg_strdup("");
      out[i].count = 1;
    }
  }
  ok = ok && translate_all(&j, list, count, err);
  for (size_t i = 0; i < count; i++) free(list[i].ids);
  free(list);
  dg_tokens_free(&tokens);
  free(j.banned);
  if (!ok) dg_translations_free(out, n);
  return ok;
}

void dg_translations_free(dg_translation *list, size_t n) {
  for (size_t i = 0; i < n; i++) {
    for (size_t k = 0; k < list[i].count; k++) free(list[i].texts[k]);
    free(list[i].texts);
    free(list[i].scores);
  }
  memset(list, 0, n * sizeof *list);
}
