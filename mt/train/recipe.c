#include "mt/train/recipe.h"

#include <stdlib.h>
#include <string.h>

#include "mt/core/mem.h"

static const char *const type_names[] = {"unigram", "bpe", NULL};

#define MEMBER(field) offsetof(dg_recipe_settings, field), sizeof(((dg_recipe_settings *)0)->field)

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
