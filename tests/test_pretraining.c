/* Pretraining: what a recipe becomes: text, tokenizer, base and card; what a run leaves, and what
 * it goes on from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "mt/core/file.h"
#include "mt/core/mem.h"
#include "mt/train/pretraining.h"

static char *dir, *paths[16];
static size_t path_count;

static const char *path(const char *name) {
  for (size_t i = 0; i < path_count; i++)
    if (!strcmp(paths[i] + strlen(dir) + 1, name)) return paths[i];
  assert_true(path_count < sizeof paths / sizeof *paths);
  return paths[path_count++] = dg_format("%s/%s", dir, name);
}

static void write_file(const char *name, const char *text, int times) {
  FILE *f = fopen(path(name), "w");
  assert_non_null(f);
  for (int i = 0; i < times; i++) fputs(text, f);
  assert_false(fclose(f));
}

static bool is_there(const char *name) { return !access(path(name), F_OK); }

static int set_up(void **state) {
  (void)state;
  const char *tmp = getenv("TMPDIR");
  dir = dg_format("%s/pretraining-XXXXXX", tmp ? tmp : "/tmp");
  if (!mkdtemp(dir)) return -1;
  write_file("gl.tsv", "one red\tun vermello\ntwo blue\tdous azuis\none blue\tun azul\n", 20);
  write_file("more.tsv", "red two\tvermello dous\n\tnada\n", 3);
  write_file("dev.tsv", "two red\tdous vermellos\nblue one\tazul un\n", 1);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  for (size_t i = 0; i < path_count; i++) {
    unlink(paths[i]);
    free(paths[i]);
  }
  int failed = rmdir(dir);
  free(dir);
  return failed;
}

/* --- a run ---------------------------------------------------------------------------------- */

typedef struct run {
  dg_recipe recipe;
  dg_strbuf notes;
  size_t reports;
  uint64_t stop_at; /* an update; 0: none */
  uint64_t update;
} run;

static void set(run *r, const char *name, const char *value) {
  dg_error err;
  if (!dg_recipe_set(&r->recipe, name, value, &err)) fail_msg("%s", err.message);
}

static void add(run *r, const char *role, const char *languages, const char *file) {
  char *value = dg_format("%s %s", languages, path(file));
  set(r, role, value);
  free(value);
}

static run begin(void) {
  run r = {0};
  dg_error err;
  write_file("recipe",
             "vocab_size = 280\nd_model = 8\nheads = 2\nffn_dim = 8\nencoder_layers = 1\n"
             "decoder_layers = 1\nmax_positions = 32\ncharacter_coverage = 1\nbatch_tokens = 64\n"
             "max_updates = 4\neval_every = 2\ndropout = 0\nprecision = fp32\nstorage = fp32\n",
             1);
  char *line = dg_format("train = en glg %s\n", path("gl.tsv"));
  FILE *f = fopen(path("recipe"), "a");
  fputs(line, f);
  fclose(f);
  free(line);
  if (!dg_recipe_read(&r.recipe, path("recipe"), &err)) fail_msg("%s", err.message);
  return r;
}

static void add_note(void *context, const char *message) {
  run *r = context;
  dg_strbuf_addf(&r->notes, "%s\n", message);
}

static bool stop(void *context) {
  const run *r = context;
  return r->stop_at && r->update >= r->stop_at;
}

static void report(void *context, const dg_train_report *report) {
  run *r = context;
  r->reports++;
  r->update = (uint64_t)report->now.update;
}

static dg_pretraining *prepare(run *r, const char *output, dg_error *err) {
  const dg_pretraining_options o = {.recipe = &r->recipe,
                                    .output = path(output),
                                    .context = r,
                                    .note = add_note,
                                    .stop = stop,
                                    .report = report};
  return dg_pretraining_new(&o, err);
}

/* Of the run, whose recipe it frees. */
static bool go(run *r, const char *output, dg_error *err) {
  dg_train_result result = {0};
  dg_pretraining *p = prepare(r, output, err);
  bool ok = p && dg_pretraining_run(p, &result, err);
  dg_train_result_free(&result);
  dg_pretraining_free(p);
  dg_recipe_free(&r->recipe);
  return ok;
}

static void must(run *r, const char *output) {
  dg_error err;
  if (!go(r, output, &err)) fail_msg("%s", err.message);
}

static void refuses(run *r, const char *output, dg_status status, const char *word) {
  dg_error err;
  if (go(r, output, &err)) fail_msg("it passed, without a word of %s", word);
  if (err.status != status || !strstr(err.message, word)) fail_msg("%s", err.message);
  free(r->notes.text);
}

static void assert_noted(run *r, const char *word, bool said) {
  if (!strstr(r->notes.text, word) == said) fail_msg("\"%s\": \"%s\"", word, r->notes.text);
}

static dg_base *load(const char *name) {
  dg_error err;
  dg_base *b = dg_base_load(path(name), &err);
  if (!b) fail_msg("%s", err.message);
  return b;
}

static void clean(const char *name) {
  static const char *const ends[] = {"", ".tokenizer", ".checkpoint"};
  for (size_t i = 0; i < 3; i++) {
    char *file = dg_format("%s%s", name, ends[i]);
    unlink(path(file));
    free(file);
  }
}

static void assert_same_weights(const dg_base *a, const dg_base *b) {
  const dg_params *p = &a->model->params, *q = &b->model->params;
  assert_int_equal(p->count, q->count);
  for (size_t i = 0; i < p->count; i++) {
    const dg_tensor *x = &p->tensors[i], *y = &q->tensors[i];
    assert_string_equal(x->name, y->name);
    float *rows[2] = {dg_calloc(x->rows * x->cols, sizeof(float)),
                      dg_calloc(x->rows * x->cols, sizeof(float))};
    dg_weights_in_memory(NULL, x, 0, x->rows, rows[0], NULL);
    dg_weights_in_memory(NULL, y, 0, y->rows, rows[1], NULL);
    assert_memory_equal(rows[0], rows[1], x->rows * x->cols * sizeof(float));
    free(rows[0]);
    free(rows[1]);
  }
}

/* --- tests ---------------------------------------------------------------------------------- */

/* Everything named is read and counted; both directions are dev sets; the base has the recipe's
 * languages and shape, and a card. */
static void test_from_nothing(void **state) {
  (void)state;
  clean("base");
  dg_error err;
  run r = begin();
  add(&r, "train", "en gl", "more.tsv");
  add(&r, "dev", "en gl", "dev.tsv");
  set(&r, "licence", "caf\xE9"); /* no UTF-8 */
  set(&r, "eval_sentences", "1");
  dg_pretraining *p = prepare(&r, "base", &err);
  if (!p) fail_msg("%s", err.message);
  assert_noted(&r, "training a tokenizer", true);
  assert_noted(&r, "63 training pairs, 4 directions, 2 dev sets", true);
  assert_true(is_there("base.tokenizer"));
  const dg_dev_list *dev = dg_pretraining_dev(p);
  assert_int_equal(dev->count, 2);
  assert_string_equal(dev->sets[0].name, "en-gl");
  assert_string_equal(dev->sets[1].name, "gl-en");
  assert_string_equal(dev->sets[1].sources[0], "dous vermellos");
  assert_int_equal(dev->sets[1].sentences, 1);
  dg_train_result result = {0};
  if (!dg_pretraining_run(p, &result, &err)) fail_msg("%s", err.message);
  assert_int_equal(result.updates, 4);
  assert_true(r.reports > 0);
  dg_train_result_free(&result);
  dg_pretraining_free(p);
  dg_recipe_free(&r.recipe);
  free(r.notes.text);

  dg_base *b = load("base");
  assert_int_equal(b->language_count, 2);
  assert_string_equal(b->languages[1].code, "gl");
  assert_int_equal(b->model->config.d_model, 8);
  assert_int_equal(b->model->config.vocab_size, dg_tokenizer_size(b->tokenizer));
  assert_true(b->languages[0].tag >= 0);
  assert_string_equal(json_string_value(json_object_get(b->card, "licence")), "caf\xEF\xBF\xBD");
  const json_t *more = json_array_get(json_object_get(b->card, "data"), 1);
  assert_int_equal(json_integer_value(json_object_get(more, "pairs")), 3);
  assert_int_equal(json_integer_value(json_object_get(more, "left_out")), 3);
  assert_string_equal(json_string_value(json_object_get(more, "role")), "train");
  assert_int_equal(json_array_size(json_object_get(b->card, "dev")), 2);
  dg_base_free(b);
}

/* Only from the first language into the second. */
static void test_one_direction(void **state) {
  (void)state;
  dg_error err;
  run r = begin();
  add(&r, "dev", "en gl", "dev.tsv");
  set(&r, "both_directions", "false");
  dg_pretraining *p = prepare(&r, "other", &err);
  if (!p) fail_msg("%s", err.message);
  assert_noted(&r, "60 training pairs, 1 directions, 1 dev sets", true);
  assert_string_equal(dg_pretraining_dev(p)->sets[0].name, "en-gl");
  dg_pretraining_free(p);
  dg_recipe_free(&r.recipe);
  free(r.notes.text);
}

/* A run that was stopped goes on with its tokenizer, and ends as one that was not. */
static void test_going_on(void **state) {
  (void)state;
  clean("base");
  clean("other");
  run whole = begin(), first = begin(), second = begin(), other = begin();
  must(&whole, "base");
  first.stop_at = 2;
  set(&first, "eval_every", "1");
  refuses(&first, "other", DG_ERR_INTERRUPTED, "");
  must(&second, "other");
  assert_noted(&second, "training a tokenizer", false);
  assert_noted(&second, "other.tokenizer", true);
  dg_base *a = load("base"), *b = load("other");
  assert_same_weights(a, b);
  dg_base_free(a);
  dg_base_free(b);
  set(&other, "seed", "2");
  refuses(&other, "other", DG_ERR_USAGE, "other settings");
  free(whole.notes.text);
  free(second.notes.text);
}

/* The recipe's, which is not written again; that of another run, without its checkpoint, is none.
 */
static void test_tokenizers(void **state) {
  (void)state;
  clean("other");
  run r = begin();
  set(&r, "tokenizer", path("base.tokenizer"));
  must(&r, "other");
  assert_noted(&r, "tokenizer", false);
  assert_false(is_there("other.tokenizer"));
  free(r.notes.text);
  clean("other");
  write_file("other.tokenizer", "of a run that ended\n", 1);
  r = begin();
  must(&r, "other");
  assert_noted(&r, "training a tokenizer", true);
  free(r.notes.text);
}

/* The shape, the pieces and the languages are those of the base it goes on from. */
static void test_init(void **state) {
  (void)state;
  clean("other");
  run r = begin();
  set(&r, "init", path("base"));
  set(&r, "d_model", "64");
  set(&r, "learning_rate", "0");
  set(&r, "max_updates", "1");
  must(&r, "other");
  assert_false(is_there("other.tokenizer"));
  free(r.notes.text);
  dg_base *a = load("base"), *b = load("other");
  assert_same_weights(a, b);
  assert_int_equal(b->language_count, 2);
  assert_string_equal(json_string_value(json_object_get(b->card, "made_with")),
                      "dragoman " DRAGOMAN_VERSION);
  dg_base_free(b);

  run unknown = begin();
  add(&unknown, "train", "en fr", "more.tsv");
  set(&unknown, "init", path("base"));
  clean("other");
  refuses(&unknown, "other", DG_ERR_USAGE, "fr");

  dg_error err;
  char hash[DG_HASH_TEXT];
  size_t n;
  const void *bytes = dg_tokenizer_bytes(a->tokenizer, &n);
  a->target_tokenizer = dg_tokenizer_load(bytes, n, &err);
  if (!dg_base_save(a, path("two"), DG_STORE_FP32, hash, &err)) fail_msg("%s", err.message);
  dg_base_free(a);
  run two = begin();
  set(&two, "init", path("two"));
  refuses(&two, "other", DG_ERR_USAGE, "both_directions");
  two = begin();
  set(&two, "init", path("two"));
  set(&two, "both_directions", "false");
  set(&two, "max_updates", "1");
  must(&two, "other");
  b = load("other");
  assert_true(b->target_tokenizer != b->tokenizer);
  dg_base_free(b);
  free(two.notes.text);
}

static void test_refusals(void **state) {
  (void)state;
  clean("other");
  dg_error err;
  run r = begin();
  add(&r, "dev", "en gl", "absent.tsv");
  refuses(&r, "other", DG_ERR_IO, "absent.tsv");
  dg_lock *other = dg_lock_new(path("other.checkpoint"), &err);
  r = begin();
  refuses(&r, "other", DG_ERR_USAGE, "another process");
  assert_false(is_there("other.tokenizer"));
  dg_lock_free(other);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_from_nothing), cmocka_unit_test(test_one_direction),
      cmocka_unit_test(test_going_on),     cmocka_unit_test(test_tokenizers),
      cmocka_unit_test(test_init),         cmocka_unit_test(test_refusals),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
