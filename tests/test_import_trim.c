/* A trimmed tokenizer cuts up text of the kept pieces as before, and a trimmed base has the
 * same rows at the new places. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "mt/core/lines.h"
#include "mt/core/mem.h"
#include "mt/import/import.h"

/* --- tokenizers ------------------------------------------------------------------------------ */

typedef struct text {
  char **lines;
  size_t count, capacity;
} text;

static text read_text(const char *path) {
  text t = {0};
  dg_error err;
  dg_lines *lines = dg_lines_open(path, &err);
  assert_non_null(lines);
  char *line;
  size_t n;
  while (dg_lines_next(lines, &line, &n, &err) == 1) {
    DG_GROW(t.lines, t.capacity, t.count + 1);
    t.lines[t.count++] = dg_strdup(line);
  }
  dg_lines_close(lines);
  assert_true(t.count > 100);
  return t;
}

static void free_text(text *t) {
  for (size_t i = 0; i < t->count; i++) free(t->lines[i]);
  free(t->lines);
}

static void encode(const dg_tokenizer *t, const char *line, dg_tokens *out) {
  dg_error err;
  if (!dg_tokenizer_encode(t, line, strlen(line), out, &err)) fail_msg("%s", err.message);
}

/* Every line of `path` in both, if the first uses only kept ids; how many there were. */
static size_t same_ids(const char *name, const dg_tokenizer *full, const dg_tokenizer *small,
                       const int32_t *now, const text *t) {
  dg_tokens a = {0}, b = {0};
  size_t compared = 0;
  for (size_t l = 0; l < t->count; l++) {
    encode(full, t->lines[l], &a);
    encode(small, t->lines[l], &b);
    bool inside = true;
    for (size_t i = 0; i < a.count; i++) inside = inside && now[a.items[i].id] >= 0;
    if (!inside) continue;
    compared++;
    assert_int_equal(a.count, b.count);
    for (size_t i = 0; i < a.count; i++)
      if (now[a.items[i].id] != b.items[i].id)
        fail_msg("%s: \"%.60s\": piece %zu is %s, not %s", name, t->lines[l], i,
                 dg_tokenizer_piece(small, b.items[i].id), dg_tokenizer_piece(full, a.items[i].id));
  }
  dg_tokens_free(&a);
  dg_tokens_free(&b);
  return compared;
}

static int32_t *new_ids(const dg_tokenizer *full, const dg_tokenizer *small, const bool *keep) {
  int32_t size = dg_tokenizer_size(full), next = 0;
  int32_t *now = dg_malloc((size_t)size * sizeof *now);
  for (int32_t id = 0; id < size; id++) {
    now[id] = keep[id] ? next++ : -1;
    if (keep[id])
      assert_string_equal(dg_tokenizer_piece(full, id), dg_tokenizer_piece(small, now[id]));
  }
  assert_int_equal(next, dg_tokenizer_size(small));
  return now;
}

static void test_tokenizers(void **state) {
  (void)state;
  static const char *const models[] = {"bpe", "unigram", "tiny"};
  text t = read_text("tests/tokenizer/sentences.txt");
  for (size_t m = 0; m < 3; m++) {
    char *path = dg_format("tests/tokenizer/%s.model", models[m]);
    dg_error err;
    dg_tokenizer *full = dg_tokenizer_load_file(path, &err);
    if (!full) fail_msg("%s", err.message);
    int32_t size = dg_tokenizer_size(full);
    bool *keep = dg_calloc((size_t)size, sizeof *keep);
    dg_tokens tokens = {0};
    size_t wanted = 0;
    for (size_t l = 0; l < t.count; l += 10) {
      encode(full, t.lines[l], &tokens);
      for (size_t i = 0; i < tokens.count; i++) keep[tokens.items[i].id] = true;
      wanted++;
    }
    dg_tokenizer *small = dg_tokenizer_trim(full, keep, &err);
    if (!small) fail_msg("%s", err.message);
    assert_true(dg_tokenizer_size(small) < size);
    int32_t *now = new_ids(full, small, keep);
    assert_true(same_ids(models[m], full, small, now, &t) >= wanted);
    assert_int_equal(dg_tokenizer_unk(small), now[dg_tokenizer_unk(full)]);
    free(now);
    free(keep);
    dg_tokens_free(&tokens);
    dg_tokenizer_free(small);
    dg_tokenizer_free(full);
    free(path);
  }
  free_text(&t);
}

/* --- bases ----------------------------------------------------------------------------------- */

static dg_base *imported(const char *name, const dg_import_options *o) {
  const char *tmp = getenv("TMPDIR");
  char *directory = dg_format("tests/import/base/%s", name);
  char *path = dg_format("%s/trimmed.safetensors", tmp ? tmp : "/tmp");
  dg_error err;
  dg_import_report report;
  dg_base *held = dg_import(directory, path, o, &report, &err) ? dg_base_load(path, &err) : NULL;
  dg_base *b = held ? dg_base_copy(held, NULL, 0, &err) : NULL;
  if (!b) fail_msg("%s", err.message);
  dg_base_free(held);
  assert_int_equal(report.pieces, b->model->config.vocab_size);
  assert_int_equal(report.weights, dg_params_count(&b->model->params));
  unlink(path);
  free(path);
  free(directory);
  return b;
}

static void same_rows(const dg_base *full, const dg_base *small, const int32_t *old) {
  size_t vocab = (size_t)small->model->config.vocab_size;
  for (size_t i = 0; i < small->model->params.count; i++) {
    const dg_tensor *a = dg_params_find(&full->model->params, small->model->params.tensors[i].name);
    const dg_tensor *b = &small->model->params.tensors[i];
    bool rows = b->rows == vocab && a->rows != vocab, cols = b->cols == vocab && a->cols != vocab;
    for (size_t r = 0; r < b->rows; r++)
      for (size_t c = 0; c < b->cols; c++) {
        size_t from_r = rows ? (size_t)old[r] : r, from_c = cols ? (size_t)old[c] : c;
        if (b->value[r * b->cols + c] != a->value[from_r * a->cols + from_c])
          fail_msg("%s [%zu,%zu] differs", b->name, r, c);
      }
  }
}

static void test_base(void **state) {
  const char *name = *state, *tmp = getenv("TMPDIR");
  char *corpus = dg_format("%s/corpus.txt", tmp ? tmp : "/tmp");
  text t = read_text("tests/tokenizer/sentences.txt");
  FILE *f = fopen(corpus, "w");
  assert_non_null(f);
  for (size_t l = 0; l < t.count; l += 8) fprintf(f, "%s\tother\n", t.lines[l]);
  assert_int_equal(fclose(f), 0);
  dg_base *full = imported(name, &(dg_import_options){0});
  const char *languages = !strcmp(name, "nllb") ? "glg_Latn,zh-Hant, gl" : "gl,en";
  for (int by_corpus = 0; by_corpus < 2; by_corpus++) {
    const dg_import_options o = {.languages = languages, .corpus = (const char *const *)&corpus,
                                 .corpus_count = (size_t)by_corpus};
    dg_base *small = imported(name, &o);
    int32_t size = dg_tokenizer_size(full->tokenizer);
    int32_t *now = dg_malloc((size_t)size * sizeof *now);
    int32_t *old = dg_malloc((size_t)size * sizeof *old);
    memset(now, -1, (size_t)size * sizeof *now);
    int32_t id = 0;
    for (int32_t i = 0; i < size && id < dg_tokenizer_size(small->tokenizer); i++)
      if (!strcmp(dg_tokenizer_piece(full->tokenizer, i), dg_tokenizer_piece(small->tokenizer, id)))
        now[i] = id, old[id++] = i;
    assert_int_equal(id, small->model->config.vocab_size);
    assert_true(id < size);
    same_rows(full, small, old);
    size_t compared = same_ids(name, full->tokenizer, small->tokenizer, now, &t);
    assert_true(compared >= (by_corpus ? t.count / 8 : 40));
    assert_int_equal(small->language_count, 2);
    dg_error err;
    assert_non_null(dg_base_language(small, "gl", DG_SIDE_BOTH, &err));
    assert_null(dg_base_language(small, "fr", DG_SIDE_BOTH, &err));
    free(now);
    free(old);
    dg_base_free(small);
  }
  dg_base_free(full);
  unlink(corpus);
  free(corpus);
  free_text(&t);
}

int main(void) {
  static const char *const names[] = {"m2m100", "nllb", "mbart", "madlad"};
  struct CMUnitTest tests[5] = {cmocka_unit_test(test_tokenizers)};
  for (size_t i = 0; i < 4; i++)
    tests[1 + i] = (struct CMUnitTest){.name = names[i], .test_func = test_base,
                                       .initial_state = (void *)(uintptr_t)names[i]};
  return _cmocka_run_group_tests("import_trim", tests, 5, NULL, NULL);
}
