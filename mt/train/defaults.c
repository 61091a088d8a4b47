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

/* Columns: nothing new, with 16,000 pairs too; new in sources; new in targets; new in both. A
 * language is learned where it is read or said: in narrow layers there and, more than in those, in
 * rows of pieces of its own and of the commonest of the base's. To be said it has use for more
 * weights than to be read, in all layers (tests/transfer/table.tsv). Bottlenecks, where they are
 * asked for, stand in the decoder then. */
enum { KNOWN, KNOWN_MUCH, SOURCE, TARGET, BOTH, CASES };
static const size_t much_known = 16000;
static const struct {
  const char *name;
  unsigned methods;
  const char *values[CASES];
} adapter_table[] = {
    {"method", DG_METHOD_BOTTLENECK,
     {"bottleneck", "bottleneck", "bottleneck", "lora", "bottleneck"}},
    {"placement", DG_METHOD_BOTTLENECK,
     {"layer", "layer", "parallel", "parallel", "parallel"}},
    {"encoder_layers", DG_METHOD_BOTTLENECK, {"all", "all", "all", "none", "all"}},
    {"decoder_layers", DG_METHOD_BOTTLENECK, {"all", "all", "none", "all", "all"}},
    {"width", DG_METHOD_BOTTLENECK, {"64", "128", "16", "64", "16"}},
    {"new_pieces", DG_METHOD_BOTTLENECK | DG_METHOD_LORA, {"0", "0", "500", "500", "500"}},
    {"embeddings", DG_METHOD_BOTTLENECK | DG_METHOD_LORA, {"0", "0", "500", "500", "500"}},
};

static int case_of(size_t pairs, bool new_source, bool new_target) {
  if (new_source) return new_target ? BOTH : SOURCE;
  if (new_target) return TARGET;
  return pairs < much_known ? KNOWN : KNOWN_MUCH;
}

static void set(const dg_option *options, void *object, const char *name, const char *value,
                dg_keep_fn *keep, void *context, dg_strbuf *told) {
  if (!keep || !keep(context, name)) dg_options_set(options, object, name, value, NULL);
  dg_strbuf_addf(told, "%s%s ", told->length ? ", " : "", name);
  dg_options_get(dg_options_find(options, name), object, told);
}

void dg_train_defaults(dg_train_options *o, size_t pairs, dg_keep_fn *keep, void *context,
                       dg_strbuf *told) {
  size_t size = size_of(pairs);
  for (size_t i = 0; i < sizeof table / sizeof *table; i++)
    set(dg_train_options_table, o, table[i].name, table[i].values[size], keep, context, told);
}

void dg_train_adapter_defaults(dg_adapter_config *c, size_t pairs, bool new_source,
                               bool new_target, dg_keep_fn *keep, void *context, dg_strbuf *told) {
  int which = case_of(pairs, new_source, new_target);
  bool method = true; /* is ours to choose: who gives a setting of one wants that */
  for (const dg_option *o = dg_adapter_config_options; o->name; o++)
    if (dg_method_of_setting(o->name) == DG_METHOD_BOTTLENECK && keep && keep(context, o->name))
      method = false;
  for (size_t i = !method; i < sizeof adapter_table / sizeof *adapter_table; i++)
    if (dg_method_parse(c->method, NULL) & adapter_table[i].methods)
      set(dg_adapter_config_options, c, adapter_table[i].name, adapter_table[i].values[which], keep,
          context, told);
}

bool dg_train_looks_after(const char *name) {
  for (size_t i = 0; i < sizeof table / sizeof *table; i++)
    if (!strcmp(table[i].name, name)) return true;
  for (size_t i = 0; i < sizeof adapter_table / sizeof *adapter_table; i++)
    if (!strcmp(adapter_table[i].name, name)) return true;
  return false;
}
