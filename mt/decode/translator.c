#include "mt/decode/translator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mt/core/mem.h"
#include "mt/core/utf8.h"
#include "mt/decode/beam.h"
#include "mt/model/decoder.h"
#include "tokenizer/placeholders.h"
#include "tokenizer/text.h"

/* Hypotheses at once: so many that products are quick, and that their logits take at most 64 MB,
 * their keys and values 1 GB if all become as long as they may. */
enum { ROWS_MOST = 512, LOGITS_MOST = 1 << 24, KEPT_MOST = 1 << 28 };
enum { AROUND_MOST = 64, LONGEST_WITHOUT_TABLE = 4096 };

dg_translate_options dg_translate_defaults(void) {
  return (dg_translate_options){
      .beam = 4, .nbest = 1, .length_penalty = 1, .batch_tokens = 2048, .first_line = 1};
}

/* What is searched as one: a line, or some sentences of a long line. */
typedef struct request {
  size_t line, order; /* order: its place in the text */
  char *text;
  int32_t *ids; /* formatted source */
  size_t length;
  dg_translation found;
} request;

typedef struct job {
  const dg_network *network;
  const dg_base *base;
  const dg_translate_options *o;
  int32_t source_tag, target_tag, prefix[DG_PREFIX_MOST];
  size_t prefix_length, longest, comfortable;
  size_t around; /* tokens that a source's format adds */
  bool *banned;
  request *requests;
  size_t count, capacity;
  dg_tokens tokens;
  size_t *ends, ends_capacity; /* of sentences */
  dg_translation *out;
} job;

/* Makes a request of text[0,n), whose tokens are at hand; of none the network would make
 * something up. */
static void add_request(job *j, size_t line, const char *text, size_t n) {
  const dg_tokens *tokens = &j->tokens;
  if (!tokens->count) return;
  size_t whole = tokens->count + j->around, capacity = whole < j->longest ? whole : j->longest;
  int32_t *ids = dg_malloc((tokens->count + 1) * sizeof *ids);
  for (size_t i = 0; i < tokens->count; i++) ids[i] = tokens->items[i].id;
  DG_GROW(j->requests, j->capacity, j->count + 1);
  request *r = &j->requests[j->count];
  *r = (request){.line = line, .order = j->count++, .text = dg_strndup(text, n)};
  r->ids = dg_malloc(capacity * sizeof *r->ids);
  r->length = dg_format_source(j->base, j->source_tag, j->target_tag, ids, tokens->count, r->ids,
                               capacity);
  if (whole > capacity) j->out[line].cut = true;
  free(ids);
}

static bool encode(job *j, const char *text, size_t n, dg_error *err) {
  return dg_tokenizer_encode(j->base->tokenizer, text, n, &j->tokens, err);
}

/* Sentences are taken together while they fit. */
static bool prepare_long(job *j, const char *text, size_t n, size_t line, dg_error *err) {
  const char *language = j->o->source_language ? j->o->source_language : "und";
  size_t sentences, begin = 0, end = 0;
  if (!dg_text_sentences(text, n, language, &j->ends, &j->ends_capacity, &sentences, err))
    return false;
  for (size_t i = 0; i < sentences; i++) {
    if (!encode(j, text + begin, j->ends[i] - begin, err)) return false;
    if (j->tokens.count > j->comfortable && end > begin) {
      if (!encode(j, text + begin, end - begin, err)) return false;
      add_request(j, line, text + begin, end - begin);
      begin = end;
    }
    end = j->ends[i];
  }
  if (!encode(j, text + begin, n - begin, err)) return false;
  add_request(j, line, text + begin, n - begin);
  return true;
}

static bool prepare(job *j, const char *text, size_t line, dg_error *err) {
  size_t n = strlen(text);
  bool ok = encode(j, text, n, err);
  if (ok && j->tokens.count > j->comfortable)
    ok = prepare_long(j, text, n, line, err);
  else if (ok)
    add_request(j, line, text, n);
  return ok || dg_error_context(err, "line %zu", line + j->o->first_line);
}

static int by_length(const void *a, const void *b) {
  const request *x = a, *y = b;
  if (x->length != y->length) return x->length > y->length ? -1 : 1;
  return x->order < y->order ? -1 : x->order > y->order;
}

static int by_place(const void *a, const void *b) {
  const request *x = a, *y = b;
  return x->order < y->order ? -1 : x->order > y->order;
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

/* Without the controls that single bytes can spell: U+0080 to U+009F, and a blank for what ends a
 * line elsewhere, U+2028 and U+2029. */
static void tame(char *text) {
  char *to = text;
  for (const char *p = text, *end = text + strlen(text); p < end;) {
    const char *at = p;
    uint32_t c = dg_utf8_next(&p, end);
    if (c >= 0x80 && c < 0xA0) continue;
    if (c == 0x2028 || c == 0x2029) *to++ = ' ';
    else
      while (at < p) *to++ = *at++;
  }
  *to = 0;
}

/* Decodes what was found for a request, at most `beam`. The first is to be the best that has the
 * source's placeholders and tags: a message that lacks one is of no use. */
static bool take(const job *j, request *r, const dg_hypothesis *found, dg_error *err) {
  dg_translation *t = &r->found;
  size_t beam = j->o->beam, kept = 0;
  t->texts = dg_calloc(beam, sizeof *t->texts);
  t->scores = dg_calloc(beam, sizeof *t->scores);
  for (; t->count < beam && found[t->count].ids; t->count++) {
    const dg_hypothesis *h = &found[t->count];
    if (t->count >= j->o->nbest && kept < t->count) break; /* no need to look further */
    char *text = dg_tokenizer_decode(j->base->target_tokenizer, h->ids, h->length, err);
    if (!text) return false;
    tame(text);
    t->texts[t->count] = text;
    t->scores[t->count] = h->score;
    if (kept == t->count && !dg_placeholders_same(r->text, text)) kept++;
  }
  if (kept && kept < t->count) {
    char *text = t->texts[kept];
    double score = t->scores[kept];
    memmove(t->texts + 1, t->texts, kept * sizeof *t->texts);
    memmove(t->scores + 1, t->scores, kept * sizeof *t->scores);
    t->texts[0] = text;
    t->scores[0] = score;
  }
  t->lost = t->count && kept == t->count;
  while (t->count > j->o->nbest) free(t->texts[--t->count]);
  return true;
}

static bool translate_batch(const job *j, request *batch, size_t n, dg_error *err) {
  const dg_translate_options *o = j->o;
  size_t total = 0, longest = 0;
  for (size_t i = 0; i < n; i++) total += batch[i].length;
  int32_t *source = dg_malloc((total + 1) * sizeof *source);
  uint32_t *offsets = dg_malloc((n + 1) * sizeof *offsets);
  dg_beam_sentence *sentences = dg_calloc(n, sizeof *sentences);
  dg_hypothesis *found = dg_calloc(n * o->beam, sizeof *found);
  offsets[0] = 0;
  for (size_t i = 0; i < n; i++) {
    memcpy(source + offsets[i], batch[i].ids, batch[i].length * sizeof *source);
    offsets[i + 1] = offsets[i] + (uint32_t)batch[i].length;
    size_t most = target_limit(j, batch[i].length);
    sentences[i] = (dg_beam_sentence){j->prefix, j->prefix_length,
                                      o->min_length < most ? o->min_length : most, most};
    if (sentences[i].max_length > longest) longest = sentences[i].max_length;
  }
  dg_decoder *d = dg_decoder_new(j->network, source, offsets, n, n * o->beam,
                                 longest + j->prefix_length, err);
  bool ok = d != NULL;
  if (ok) {
    dg_beam_options bo = {o->beam, o->beam, o->length_penalty,
                          dg_network_classes(j->network),
                          dg_tokenizer_eos(j->base->target_tokenizer), j->banned};
    dg_beam_search(step, d, &bo, sentences, n, j->network->threads, found);
  }
  for (size_t i = 0; i < n && ok; i++) ok = take(j, &batch[i], found + i * o->beam, err);
  for (size_t i = 0; i < n * o->beam; i++) free(found[i].ids);
  dg_decoder_free(d);
  free(source);
  free(offsets);
  free(sentences);
  free(found);
  return ok;
}

/* For sources of at most so many tokens. */
static size_t rows_at_once(const job *j, size_t source_length) {
  size_t rows = LOGITS_MOST / dg_network_classes(j->network);
  size_t steps = target_limit(j, source_length) + j->prefix_length;
  size_t kept = KEPT_MOST / (dg_decoder_row_floats(j->network) * steps);
  if (rows > ROWS_MOST) rows = ROWS_MOST;
  return rows < kept ? rows : kept;
}

static bool search_all(job *j, dg_error *err) {
  request *list = j->requests;
  size_t n = j->count;
  if (n) qsort(list, n, sizeof *list, by_length);
  for (size_t i = 0; i < n;) {
    size_t end = i, tokens = 0, rows = rows_at_once(j, list[i].length);
    while (end < n && (end == i || (tokens + list[end].length <= j->o->batch_tokens &&
                                    (end - i + 1) * j->o->beam <= rows)))
      tokens += list[end++].length;
    if (j->o->stop && j->o->stop(j->o->context))
      return dg_fail(err, DG_ERR_INTERRUPTED, "interrupted");
    if (!translate_batch(j, list + i, end - i, err)) return false;
    i = end;
    if (j->o->progress) j->o->progress(j->o->context, (double)i / (double)n);
  }
  return true;
}

/* Scripts without blanks between sentences: a full-width mark or Han, Kana before. */
static bool wants_blank(const char *before) {
  const char *p = before + strlen(before);
  while (p > before && ((unsigned char)*--p & 0xC0) == 0x80) continue;
  if (!*p) return false;
  uint32_t c = dg_utf8_next(&p, p + strlen(p));
  return !((c >= 0x3000 && c < 0xA000) || (c >= 0xFF00 && c < 0xFFF0));
}

static char *join(char *before, const char *after) {
  char *both = dg_format("%s%s%s", before, wants_blank(before) ? " " : "", after);
  free(before);
  return both;
}

/* Puts the translations of a line's requests together; takes them over. */
static void assemble(job *j) {
  if (j->count) qsort(j->requests, j->count, sizeof *j->requests, by_place);
  for (size_t i = 0; i < j->count; i++) {
    dg_translation *part = &j->requests[i].found, *whole = &j->out[j->requests[i].line];
    if (!whole->texts) {
      part->cut = whole->cut;
      *whole = *part;
      *part = (dg_translation){0};
      continue;
    }
    whole->lost = whole->lost || part->lost;
    /* The k-th best of the whole is made of the k-th best parts. */
    if (part->count < whole->count) {
      for (size_t k = part->count; k < whole->count; k++) free(whole->texts[k]);
      whole->count = part->count;
    }
    for (size_t k = 0; k < whole->count; k++) {
      whole->texts[k] = join(whole->texts[k], part->texts[k]);
      whole->scores[k] += part->scores[k];
    }
  }
}

/* Bytes that no text has: they would end a line, or tell a terminal what to do. */
static bool has_control_byte(const char *piece) {
  unsigned byte;
  int end = 0;
  if (sscanf(piece, "<0x%2X>%n", &byte, &end) == 1 && end && !piece[end])
    return byte < 0x20 || byte == 0x7F;
  while (*piece && ((unsigned char)*piece >= 0x20 && *piece != 0x7F)) piece++;
  return *piece;
}

/* Control pieces, control bytes and the unknown piece never stand in a translation. */
static bool *banned_pieces(const dg_network *n, const dg_base *b) {
  const dg_tokenizer *t = b->target_tokenizer;
  int32_t classes = (int32_t)dg_network_classes(n);
  bool *banned = dg_calloc((size_t)classes, sizeof *banned);
  for (int32_t i = 0; i < classes; i++) {
    const char *piece = dg_tokenizer_piece(t, i);
    banned[i] = !piece || dg_tokenizer_is_control(t, i) || has_control_byte(piece) ||
                i == dg_tokenizer_unk(t);
  }
  return banned;
}

/* Sentences longer than any seen in training come out badly: they are cut up. */
static size_t longest_trained(const dg_base *b) {
  const json_t *settings = json_object_get(b->card, "settings");
  const char *text = json_string_value(json_object_get(settings, "max_tokens"));
  long n = text ? strtol(text, NULL, 10) : 0;
  return n > 0 ? (size_t)n : 0;
}

bool dg_translate(const dg_network *network, const dg_base *base, int32_t source_tag,
                  int32_t target_tag, const dg_translate_options *o, const char *const *lines,
                  size_t n, dg_translation *out, dg_error *err) {
  const dg_model_config *c = &base->model->config;
  job j = {.network = network, .base = base, .o = o, .source_tag = source_tag,
           .target_tag = target_tag, .out = out};
  j.longest = dg_longest_text(c);
  if (j.longest == SIZE_MAX) j.longest = LONGEST_WITHOUT_TABLE;
  int32_t around[AROUND_MOST], nothing = 0;
  j.around = dg_format_source(base, source_tag, target_tag, &nothing, 0, around, AROUND_MOST);
  size_t most = o->max_source ? o->max_source : longest_trained(base);
  size_t room = j.longest > j.around ? j.longest - j.around : 1;
  j.comfortable = most && most < room ? most : room;
  j.prefix_length =
      dg_format_target(base, source_tag, target_tag, NULL, 0, j.prefix, DG_PREFIX_MOST);
  memset(out, 0, n * sizeof *out);
  if (j.longest < j.prefix_length + 2)
    return dg_fail(err, DG_ERR_FORMAT, "the base has %zu positions, too few for any translation",
                   j.longest);
  j.banned = banned_pieces(network, base);
  bool ok = true;
  for (size_t i = 0; i < n && ok; i++)
    if (!dg_text_is_blank(lines[i])) ok = prepare(&j, lines[i], i, err);
  ok = ok && search_all(&j, err);
  if (ok) assemble(&j);
  for (size_t i = 0; i < n && ok; i++) {
    if (out[i].texts) continue; /* nothing to translate */
    out[i].texts = dg_calloc(1, sizeof *out[i].texts);
    out[i].scores = dg_calloc(1, sizeof *out[i].scores);
    out[i].texts[0] = dg_strdup("");
    out[i].count = 1;
  }
  for (size_t i = 0; i < j.count; i++) {
    free(j.requests[i].ids);
    free(j.requests[i].text);
    dg_translations_free(&j.requests[i].found, 1);
  }
  free(j.requests);
  dg_tokens_free(&j.tokens);
  free(j.ends);
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
