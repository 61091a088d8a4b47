#include "eval/metrics.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mt/core/mem.h"
#include "mt/core/rng.h"
#include "mt/core/utf8.h"

enum { BLEU_ORDER = 4, CHRF_ORDER = 6 };

/* --- n-gram counts: open addressing, emptied by raising the generation ------------------ */

typedef struct slot {
  uint64_t key;
  uint32_t generation;
  uint32_t reference, hypothesis;
} slot;

typedef struct counter {
  slot *slots;
  size_t size, used; /* size is a power of two */
  uint32_t generation;
} counter;

static slot *find(counter *c, uint64_t key) {
  for (size_t i = (size_t)key & (c->size - 1);; i = (i + 1) & (c->size - 1)) {
    slot *s = &c->slots[i];
    if (s->generation != c->generation) {
      *s = (slot){.key = key, .generation = c->generation};
      c->used++;
      return s;
    }
    if (s->key == key) return s;
  }
}

/* Room for n more n-grams; counts of earlier segments are gone. */
static void restart(counter *c, size_t n) {
  size_t size = 1024;
  while (size < 2 * n) size *= 2;
  if (size > c->size || c->generation == UINT32_MAX) {
    free(c->slots);
    c->size = size > c->size ? size : c->size;
    c->slots = dg_calloc(c->size, sizeof *c->slots);
    c->generation = 0;
  }
  c->generation++;
  c->used = 0;
}

/* --- reading text ------------------------------------------------------------------------ */

/* What Python's str.split() takes for white space. */
static bool is_space(uint32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x1F);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

/* --- BLEU --------------------------------------------------------------------------------- */

static bool replace_entity(const char *s, const char *entity, char c, char *out, size_t *n) {
  if (strncmp(s, entity, strlen(entity))) return false;
  out[(*n)++] = c;
  return true;
}

static bool digit(char c) { return c >= '0' && c <= '9'; }
static bool symbol_13a(char c) {
  return (c >= '{' && c <= '~') || (c >= '[' && c <= '`') || (c >= ' ' && c <= '&') ||
         (c >= '(' && c <= '+') || (c >= ':' && c <= '@') || c == '/';
}

/* The mteval-v13a tokenizer's four substitutions, each left to right without
 * overlap as a regular expression would. a and b hold at least 8 bytes a byte of
 * input; the result is in the returned one. */
static char *tokenize_13a(const char *text, char *a, char *b) {
  size_t n = 0, m = 0;
  a[n++] = ' ';
  for (const char *s = text; *s;) {
    if (!strncmp(s, "<skipped>", 9)) {
      s += 9;
    } else if (*s == '&' && replace_entity(s, "&quot;", '"', a, &n)) {
      s += 6;
    } else if (*s == '&' && replace_entity(s, "&amp;", '&', a, &n)) {
      s += 5;
    } else if (*s == '&' && (replace_entity(s, "&lt;", '<', a, &n) ||
                             replace_entity(s, "&gt;", '>', a, &n))) {
      s += 4;
    } else {
      a[n++] = *s++;
    }
  }
  a[n++] = ' ';
  for (size_t i = 0; i < n; i++) {
    bool apart = symbol_13a(a[i]);
    if (apart) b[m++] = ' ';
    b[m++] = a[i];
    if (apart) b[m++] = ' ';
  }
  n = 0;
  for (size_t i = 0; i < m; i++) { /* a period or comma not after a digit */
    a[n++] = b[i];
    if (!digit(b[i]) && i + 1 < m && (b[i + 1] == '.' || b[i + 1] == ',')) {
      a[n++] = ' ';
      a[n++] = b[++i];
      a[n++] = ' ';
    }
  }
  m = 0;
  for (size_t i = 0; i < n; i++) { /* ... or not before one */
    if ((a[i] == '.' || a[i] == ',') && i + 1 < n && !digit(a[i + 1])) {
      b[m++] = ' ';
      b[m++] = a[i];
      b[m++] = ' ';
      b[m++] = a[++i];
    } else {
      b[m++] = a[i];
    }
  }
  n = 0;
  for (size_t i = 0; i < m; i++) { /* a dash after a digit */
    a[n++] = b[i];
    if (digit(b[i]) && i + 1 < m && b[i + 1] == '-') {
      a[n++] = ' ';
      a[n++] = b[++i];
      a[n++] = ' ';
    }
  }
  a[n] = 0;
  return a;
}

typedef struct words {
  uint64_t *hashes;
  size_t count, capacity;
  char *buffers[2];
  size_t buffer_size;
} words;

static void read_words(words *w, const char *text) {
  size_t n = strlen(text), need = 12 * n + 64;
  if (need > w->buffer_size) {
    w->buffer_size = 2 * need;
    for (int i = 0; i < 2; i++) w->buffers[i] = dg_realloc(w->buffers[i], w->buffer_size);
  }
  const char *s = tokenize_13a(text, w->buffers[0], w->buffers[1]), *end = s + strlen(s);
  w->count = 0;
  while (s < end) {
    uint64_t h = 0;
    bool any = false;
    while (s < end) {
      uint32_t c = dg_utf8_next(&s, end);
      if (is_space(c)) break;
      h = dg_hash64(h ^ c);
      any = true;
    }
    if (!any) continue;
    DG_GROW(w->hashes, w->capacity, w->count + 1);
    w->hashes[w->count++] = h;
  }
}

static void words_free(words *w) {
  free(w->hashes);
  free(w->buffers[0]);
  free(w->buffers[1]);
}

static uint64_t ngram(const uint64_t *items, size_t n) {
  uint64_t h = n;
  for (size_t i = 0; i < n; i++) h = dg_hash64(h * 31 ^ items[i]);
  return h;
}

static void finish_bleu(dg_bleu_score *s) {
  s->brevity_penalty = s->system_length >= s->reference_length ? 1
                       : s->system_length
                           ? exp(1 - (double)s->reference_length / (double)s->system_length)
                           : 0;
  bool any = false;
  for (int n = 0; n < BLEU_ORDER; n++) any = any || s->counts[n];
  if (!any) return;
  double smooth = 1, sum = 0;
  for (int n = 0; n < BLEU_ORDER && s->totals[n]; n++) {
    if (s->counts[n]) {
      s->precisions[n] = 100.0 * (double)s->counts[n] / (double)s->totals[n];
    } else { /* "exp" smoothing */
      smooth *= 2;
      s->precisions[n] = 100.0 / (smooth * (double)s->totals[n]);
    }
  }
  for (int n = 0; n < BLEU_ORDER; n++)
    sum += s->precisions[n] > 0 ? log(s->precisions[n]) : -9999999999.0;
  s->score = s->brevity_penalty * exp(sum / BLEU_ORDER);
}

bool dg_bleu_corpus(const char *const *hypotheses, const char *const *references, size_t segments,
                    dg_bleu_score *out, dg_error *err) {
  *out = (dg_bleu_score){0};
  if (!segments) return dg_fail(err, DG_ERR_USAGE, "there are no segments to score");
  words hypothesis = {0}, reference = {0};
  counter c = {0};
  for (size_t i = 0; i < segments; i++) {
    read_words(&hypothesis, hypotheses[i]);
    read_words(&reference, references[i]);
    out->system_length += hypothesis.count;
    out->reference_length += reference.count;
    restart(&c, BLEU_ORDER * (hypothesis.count + reference.count));
    for (size_t n = 1; n <= BLEU_ORDER; n++) {
      for (size_t k = 0; k + n <= reference.count; k++)
        find(&c, ngram(reference.hashes + k, n))->reference++;
      for (size_t k = 0; k + n <= hypothesis.count; k++) {
        slot *s = find(&c, ngram(hypothesis.hashes + k, n));
        out->totals[n - 1]++;
        if (s->hypothesis++ < s->reference) out->counts[n - 1]++;
      }
    }
  }
  free(c.slots);
  words_free(&hypothesis);
  words_free(&reference);
  finish_bleu(out);
  return true;
}

/* --- chrF ---------------------------------------------------------------------------------- */

static size_t read_points(const char *text, uint64_t **points, size_t *capacity) {
  const char *s = text, *end = s + strlen(s);
  size_t n = 0;
  while (s < end) {
    uint32_t c = dg_utf8_next(&s, end);
    if (is_space(c)) continue;
    DG_GROW(*points, *capacity, n + 1);
    (*points)[n++] = c;
  }
  return n;
}

bool dg_chrf_corpus(const char *const *hypotheses, const char *const *references, size_t segments,
                    dg_chrf_score *out, dg_error *err) {
  *out = (dg_chrf_score){0};
  if (!segments) return dg_fail(err, DG_ERR_USAGE, "there are no segments to score");
  size_t hyp[CHRF_ORDER] = {0}, ref[CHRF_ORDER] = {0}, match[CHRF_ORDER] = {0};
  uint64_t *h = NULL, *r = NULL;
  size_t h_capacity = 0, r_capacity = 0;
  counter c = {0};
  for (size_t i = 0; i < segments; i++) {
    size_t hn = read_points(hypotheses[i], &h, &h_capacity);
    size_t rn = read_points(references[i], &r, &r_capacity);
    restart(&c, CHRF_ORDER * (hn + rn));
    for (size_t n = 1; n <= CHRF_ORDER; n++) {
      if (rn < n) break; /* hypothesis n-grams count only where the reference has some */
      for (size_t k = 0; k + n <= rn; k++) find(&c, ngram(r + k, n))->reference++;
      ref[n - 1] += rn - n + 1;
      for (size_t k = 0; k + n <= hn; k++) {
        slot *s = find(&c, ngram(h + k, n));
        hyp[n - 1]++;
        if (s->hypothesis++ < s->reference) match[n - 1]++;
      }
    }
  }
  free(c.slots);
  free(h);
  free(r);
  double precision = 0, recall = 0;
  const double factor = 4; /* beta 2, squared */
  int orders = 0;
  for (int n = 0; n < CHRF_ORDER; n++) {
    if (!hyp[n] || !ref[n]) continue;
    precision += (double)match[n] / (double)hyp[n];
    recall += (double)match[n] / (double)ref[n];
    orders++;
  }
  if (orders) precision /= orders, recall /= orders;
  if (precision + recall > 0)
    out->score = 100 * (1 + factor) * precision * recall / (factor * precision + recall);
  return true;
}

const char *dg_bleu_signature(void) {
  return "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0";
}
const char *dg_chrf_signature(void) {
  return "nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:2.6.0";
}
