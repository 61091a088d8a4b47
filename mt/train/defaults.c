#include "mt/train/defaults.h"

#include <string.h>

/* Columns: fewer than 1,600 pairs, fewer than 16,000, more. */
enum { SIZES = 3 };
static const size_t limits[SIZES - 1] = {1600, 16000};
static const struct {
  const char *name, *values[SIZES];
} table[] = {
    {"eval_every", {"25", "100", "200"}},
    {"word_dropout", {"0", "0", "0"}},
    {"subword_alpha", {"0", "0", "0"}},
    {"rdrop", {"0", "0", "0"}},
    {"average_best", {"3", "3", "3"}},
};

void dg_train_defaults(dg_train_options *o, size_t pairs,
                       bool (*keep)(void *context, const char *name), void *context,
                       dg_strbuf *told) {
  size_t size = 0;
  while (size < SIZES - 1 && pairs >= limits[size]) size++;
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    const char *name = table[i].name;
    if (!keep(context, name))
      dg_options_set(dg_train_options_table, o, name, table[i].values[size], NULL);
    dg_strbuf_addf(told, "%s%s ", i ? ", " : "", name);
    dg_options_get(dg_options_find(dg_train_options_table, name), o, told);
  }
}
