#include "eval/ngrams.h"

#include "eval/pytext.h"

void dg_items_words(dg_items *t, dg_vocabulary *v, const char *text, size_t n, bool add) {
  const char *end = text + n, *word;
  size_t length;
  t->count = 0;
  while (dg_py_word(&text, end, &word, &length))
    dg_items_add(t, dg_vocabulary_id(v, word, length, add));
}

void dg_ngrams_count(dg_ngrams *t, const dg_items *reference, size_t order) {
  for (size_t i = 0; i < reference->count; i++) {
    uint32_t id = 0;
    size_t end = i + order < reference->count ? i + order : reference->count;
    for (size_t k = i; k < end; k++) {
      dg_ngram *g = dg_ngrams_add(t, id, reference->list[k]);
      g->reference++;
      id = g->id;
    }
  }
}

void dg_ngrams_count_further(dg_ngrams *t, const dg_items *reference, size_t order) {
  for (int pass = 0; pass < 2; pass++) /* the second empties what the first counted */
    for (size_t i = 0; i < reference->count; i++) {
      uint32_t id = 0;
      for (size_t k = i; k < reference->count && k < i + order; k++) {
        dg_ngram *g = dg_ngrams_add(t, id, reference->list[k]);
        if (pass)
          g->hypothesis = 0;
        else if (++g->hypothesis > g->reference)
          g->reference = g->hypothesis;
        id = g->id;
      }
    }
}

void dg_ngrams_match(dg_ngrams *t, const dg_items *hypothesis, size_t order, size_t *matches) {
  for (size_t i = 0; i < hypothesis->count; i++) {
    uint32_t id = 0;
    size_t end = i + order < hypothesis->count ? i + order : hypothesis->count;
    for (size_t k = i; k < end; k++) {
      uint32_t item = hypothesis->list[k];
      dg_ngram *g = item ? dg_ngrams_find(t, id, item) : NULL;
      if (!g) break;
      if (g->hypothesis++ < g->reference) matches[k - i]++;
      id = g->id;
    }
  }
}
