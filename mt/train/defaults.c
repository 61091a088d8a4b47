#include "mt/train/defaults.h"

#include <string.h>

/* Columns: fewer than 1,600 pairs, fewer than 16,000, more. */
enum { SIZES = 3 };
static const size_t limits[SIZES - 1] = {1600, 16000};
static const struct {
  const char *name, *values[SIZES];
} table[] = {
    {"batch_tokens", {"384", "384", "384"}},
    {"max_updates", {"3000", "8000", "16000"}},
    {"eval_every", {"50", "200", "400"}},
    {"word_dropout", {"0", "0", "0"}},
    {"subword_alpha", {"0", "0", "0"}},
    {"rdrop", {"0", "0", "0"}},
    {"average_best", {"3", "3", "3"}},
};

static size_t size_of(size_t pairs) {
  size_t size = 0;
  while (size < SIZES - 1 && pairs >= limits[size]) size++;
  return size;
}

int dg_train_default_width(size_t pairs) { return size_of(pairs) < SIZES - 1 ? 64 : 128; }

void dg_train_defaults(dg_train_options *o, size_t pairs,
                       bool (*keep)(void *context, const char *name), void *context,
                       dg_strbuf *told) {
  size_t size = size_of(pairs);
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    const char *name = table[i].name;
    if (!keep(context, name))
      dg_options_set(dg_train_options_table, o, name, table[i].values[size], NULL);
    dg_strbuf_addf(told, "%s%s ", i ? ", " : "", name);
    dg_options_get(dg_options_find(dg_train_options_table, name), o, told);
  }
}
