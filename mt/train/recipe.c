#include "mt/train/recipe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "mt/core/mem.h"

static const char *const type_names[] = {"unigram", "bpe", NULL};

#define MEMBER(field) \
  offsetof(dg_recipe_settings, field), sizeof(((dg_recipe_settings *)0)->field)

const dg_option dg_recipe_options[] = {
    {"both_directions", DG_OPTION_BOOL, MEMBER(both_directions), "true", 0, 0, NULL,
     "train every pair from and into its first language"},
    {"init", DG_OPTION_STRING, MEMBER(init), "", 0, 0, NULL,
     "a base whose shape, tokenizer and weights training starts from"},
    {"tokenizer", DG_OPTION_STRING, MEMBER(tokenizer), "", 0, 0, NULL,
     "a sentencepiece model; empty: one is trained"},
    {"tokenizer_type", DG_OPTION_ENUM, MEMBER(tokenizer_type), "unigram", 0, 0, type_names,
     "of the tokenizer to train"},
    {"tokenizer_sentences", DG_OPTION_INT, MEMBER(tokenizer_sentences), "1000000", 1000, 1e8, NULL,
     "sentences it is trained on"},
    {"character_coverage", DG_OPTION_FLOAT, MEMBER(character_coverage), "0.9995", 0.5, 1, NULL,
     "share of characters that get a piece; bytes spell the rest"},
    {"byte_fallback", DG_OPTION_BOOL, MEMBER(byte_fallback), "true", 0, 0, NULL,
     "spell unknown characters as bytes"},
    {"normalization", DG_OPTION_STRING, MEMBER(normalization), "nmt_nfkc", 0, 0, NULL,
     "sentencepiece normalisation rule"},
    {"licence", DG_OPTION_STRING, MEMBER(licence), "", 0, 0, NULL, "of the base, for its card"},
    {"storage", DG_OPTION_ENUM, MEMBER(storage), "bf16", 0, 0, dg_storage_names,
     "precision of the weights in the file"},
    {NULL, DG_OPTION_INT, 0, 0, NULL, 0, 0, NULL, NULL},
};

/* "SRC TGT FILE": codes hold no blanks, file names may. */
static bool add_data(dg_recipe *r, bool dev, const char *value, dg_error *err) {
  const char *a = value + strspn(value, " \t"), *a_end = a + strcspn(a, " \t");
  const char *b = a_end + strspn(a_end, " \t"), *b_end = b + strcspn(b, " \t");
  const char *file = b_end + strspn(b_end, " \t");
  if (a == a_end || b == b_end || !*file)
    return dg_fail(err, DG_ERR_USAGE,
                   "\"%s\" is not SOURCE-LANGUAGE TARGET-LANGUAGE FILE, separated by blanks",
                   value);
  dg_recipe_data d = {.dev = dev};
  char *codes[2] = {dg_strndup(a, (size_t)(a_end - a)), dg_strndup(b, (size_t)(b_end - b))};
  bool ok =
      dg_lang_canonical(codes[0], d.source, err) && dg_lang_canonical(codes[1], d.target, err);
  free(codes[0]);
  free(codes[1]);
  if (!ok) return false;
  d.file = dg_strdup(file);
  DG_GROW(r->data, r->data_capacity, r->data_count + 1);
  r->data[r->data_count++] = d;
  return true;
}

bool dg_recipe_set(dg_recipe *r, const char *name, const char *value, dg_error *err) {
  if (!strcmp(name, "train") || !strcmp(name, "dev"))
    return add_data(r, !strcmp(name, "dev"), value, err);
  if (dg_options_find(dg_recipe_options, name))
    return dg_options_set(dg_recipe_options, &r->settings, name, value, err);
  if (dg_options_find(dg_model_config_options, name))
    return dg_options_set(dg_model_config_options, &r->model, name, value, err);
  return dg_options_set(dg_train_options_table, &r->train, name, value, err);
}

static bool set_entry(void *context, const char *name, const char *value, dg_error *err) {
  return dg_recipe_set(context, name, value, err);
}

bool dg_recipe_read(dg_recipe *r, const char *path, dg_error *err) {
  *r = (dg_recipe){0};
  dg_options_defaults(dg_recipe_options, &r->settings);
  dg_options_defaults(dg_model_config_options, &r->model);
  dg_options_defaults(dg_train_options_table, &r->train);
  if (!dg_config_read(path, set_entry, r, err)) {
    dg_recipe_free(r);
    return false;
  }
  size_t train = 0;
  for (size_t i = 0; i < r->data_count; i++) train += !r->data[i].dev;
  if (train) return true;
  dg_recipe_free(r);
  return dg_fail(err, DG_ERR_USAGE, "%s names no training text: add \"train = SRC TGT FILE\"",
                 path);
}

void dg_recipe_free(dg_recipe *r) {
  for (size_t i = 0; i < r->data_count; i++) free(r->data[i].file);
  free(r->data);
  *r = (dg_recipe){0};
}

const char **dg_recipe_languages(const dg_recipe *r, size_t *count) {
  const char **list = dg_malloc((2 * r->data_count + 1) * sizeof *list);
  *count = 0;
  for (size_t i = 0; i < 2 * r->data_count; i++) {
    const char *code = i % 2 ? r->data[i / 2].target : r->data[i / 2].source;
    size_t k = 0;
    while (k < *count && strcmp(list[k], code)) k++;
    if (k == *count) list[(*count)++] = code;
  }
  return list;
}

/* --- tokenizer -------------------------------------------------------------------- */

/* One side of one file, read evenly: `take` of `count` sentences. */
typedef struct side {
  const dg_parallel_text *text;
  bool target;
  size_t take, next;
} side;

typedef struct side_reader {
  side *sides;
  size_t count, current;
} side_reader;

static int next_sentence(void *context, const char **text, size_t *n, dg_error *err) {
  (void)err;
  side_reader *r = context;
  while (r->current < r->count && r->sides[r->current].next == r->sides[r->current].take)
    r->current++;
  if (r->current == r->count) return 0;
  side *s = &r->sides[r->current];
  const dg_pair *p = &s->text->pairs[s->next++ * s->text->count / s->take];
  *text = s->target ? p->target : p->source;
  *n = strlen(*text);
  return 1;
}

dg_tokenizer *dg_recipe_tokenizer(const dg_recipe *r, const dg_parallel_text *texts,
                                  dg_error *err) {
  size_t languages;
  const char **codes = dg_recipe_languages(r, &languages);
  side_reader reader = {.sides = dg_calloc(2 * r->data_count, sizeof(side))};
  double *sizes = dg_calloc(languages, sizeof *sizes), total = 0;
  for (size_t i = 0; i < r->data_count; i++) {
    if (r->data[i].dev) continue;
    for (int k = 0; k < 2; k++) {
      const char *code = k ? r->data[i].target : r->data[i].source;
      size_t l = 0;
      while (strcmp(codes[l], code)) l++;
      sizes[l] += (double)texts[i].count;
      reader.sides[reader.count++] = (side){.text = &texts[i], .target = k, .next = l};
    }
  }
  /* A language's share is ~ sqrt of its text, spread over its files by size. */
  for (size_t l = 0; l < languages; l++) total += sqrt(sizes[l]);
  for (size_t i = 0; i < reader.count; i++) {
    side *s = &reader.sides[i];
    double size = sizes[s->next], budget = r->settings.tokenizer_sentences * sqrt(size) / total;
    double part = size > 0 ? budget / size : 0;
    s->take = (size_t)((part < 1 ? part : 1) * (double)s->text->count);
    s->next = 0;
  }
  char(*tags)[DG_LANG_MAX + 32] = dg_calloc(languages, sizeof *tags);
  const char **tag_list = dg_calloc(languages, sizeof *tag_list);
  const char *mark = strstr(r->model.tag_format, "%s");
  for (size_t l = 0; l < languages && mark; l++) {
    snprintf(tags[l], sizeof tags[l], "%.*s%s%s", (int)(mark - r->model.tag_format),
             r->model.tag_format, codes[l], mark + 2);
    tag_list[l] = tags[l];
  }
  dg_tokenizer_options o = dg_tokenizer_defaults();
  o.type = r->settings.tokenizer_type;
  o.vocab_size = r->model.vocab_size ? r->model.vocab_size : 8000;
  o.character_coverage = r->settings.character_coverage;
  o.byte_fallback = r->settings.byte_fallback;
  o.normalization = r->settings.normalization;
  o.tags = tag_list;
  o.tag_count = mark ? languages : 0;
  o.quiet = true;
  dg_tokenizer *t = dg_tokenizer_train(&o, next_sentence, &reader, err);
  free(reader.sides);
  free(sizes);
  free(codes);
  free(tags);
  free(tag_list);
  return t;
}

/* --- identity ---------------------------------------------------------------------- */

char *dg_recipe_identity(const dg_recipe *r, const dg_base *base, const dg_examples *examples) {
  json_t *made_of =
      json_pack("{s:o,s:I}", "model", dg_options_to_json(dg_model_config_options, &r->model),
                "parameters", (json_int_t)base->model->params.total);
  return dg_train_identity(&r->train, made_of, examples);
}
