#include "tests/imported.h"

#include <math.h>
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
#include "mt/model/decoder.h"
#include "mt/model/loss.h"
#include "tokenizer/lang.h"

enum { SENTENCE_COUNT = 200, LANGUAGES = 25, SCRIPTS = 15, ADAPTER_WIDTH = 3 };

dg_base *imported_try(const char *path, const dg_import_options *o, dg_error *err) {
  const char *tmp = getenv("TMPDIR");
  char *base = dg_format("%s/imported-%d.safetensors", tmp ? tmp : "/tmp", (int)getpid());
  dg_import_report report;
  dg_base *b = dg_import(path, base, o, &report, err) ? dg_base_load(base, err) : NULL;
  unlink(base);
  free(base);
  return b;
}

dg_base *imported(const char *path, const dg_import_options *o) {
  dg_error err;
  dg_base *b = imported_try(path, o, &err);
  if (!b) fail_msg("%s", err.message);
  return b;
}

size_t imported_rows(const dg_base *b, const char *directory, const char *file, size_t fields,
                     imported_row *row, void *context) {
  char *path = dg_format("%s/%s", directory, file), *line, *field[IMPORTED_FIELDS];
  dg_error err;
  dg_lines *lines = dg_lines_open(path, &err);
  if (!lines) fail_msg("%s", err.message);
  size_t n, count = 0;
  for (; dg_lines_next(lines, &line, &n, &err) == 1; count++) {
    for (size_t i = 0; i < fields; i++) assert_non_null(field[i] = strsep(&line, "\t"));
    row(b, field, context);
  }
  dg_lines_close(lines);
  free(path);
  return count;
}

size_t imported_numbers(const char *text, int32_t *out) {
  size_t n = 0;
  for (char *at = (char *)(uintptr_t)text; *at;) {
    out[n++] = (int32_t)strtol(at, &at, 10);
    assert_true(n < IMPORTED_IDS);
  }
  return n;
}

void imported_same(const char *what, const char *text, const int32_t *got, size_t n,
                   const char *want) {
  int32_t ids[IMPORTED_IDS];
  size_t count = imported_numbers(want, ids);
  for (size_t i = 0; i < n || i < count; i++)
    if (i >= n || i >= count || got[i] != ids[i])
      fail_msg("%s %zu of \"%.80s\" is %d, not %d", what, i, text, i < n ? got[i] : -1,
               i < count ? ids[i] : -1);
}

size_t imported_encode(const dg_tokenizer *t, const char *text, int32_t *ids) {
  dg_tokens tokens = {0};
  dg_error err;
  assert_true(dg_tokenizer_encode(t, text, strlen(text), &tokens, &err));
  assert_true(tokens.count < IMPORTED_IDS - 8);
  for (size_t i = 0; i < tokens.count; i++) ids[i] = tokens.items[i].id;
  size_t n = tokens.count;
  dg_tokens_free(&tokens);
  return n;
}

/* --- sentences ------------------------------------------------------------------------------ */

typedef struct sentences {
  char *text[SENTENCE_COUNT];
  char language[DG_LANG_MAX], list[256]; /* the last; the scripts */
  size_t count, languages, scripts, compared;
  const char *directory;
} sentences;

static void take_sentence(const dg_base *b, char **field, void *context) {
  (void)b;
  sentences *s = context;
  assert_true(s->count < SENTENCE_COUNT);
  char script[5];
  dg_lang_script(field[0], script);
  s->languages += strcmp(s->language, field[0]) != 0;
  snprintf(s->language, sizeof s->language, "%s", field[0]);
  if (!strstr(s->list, script)) {
    s->scripts++;
    strcat(strcat(s->list, " "), script);
  }
  s->text[s->count++] = dg_strdup(field[1]);
}

static void compare_sentence(const dg_base *b, char **field, void *context) {
  sentences *s = context;
  assert_true(s->compared < s->count);
  const char *text = s->text[s->compared++];
  dg_error err;
  char *from = dg_format("%.*s", (int)strcspn(field[0], "_"), field[0]); /* the first of a group */
  const dg_language *source = dg_base_language(b, from, DG_SIDE_SOURCE, &err);
  const dg_language *target =
      source ? dg_base_language(b, field[1], DG_SIDE_TARGET, &err) : NULL;
  if (!target) fail_msg("%s: %s", s->directory, err.message);
  int32_t ids[IMPORTED_IDS], out[IMPORTED_IDS];
  size_t n = imported_encode(b->tokenizer, text, ids);
  n = dg_format_source(b, source->tag, target->tag, ids, n, out, IMPORTED_IDS);
  imported_same("source id", text, out, n, field[2]);
  n = imported_encode(b->target_tokenizer, text, ids);
  n = dg_format_target(b, source->tag, target->tag, ids, n, out, IMPORTED_IDS);
  imported_same("target id", text, out, n, field[3]);
  free(from);
}

/* Bare pieces, as ctranslate2 is given them. */
static void compare_pieces(const dg_base *b, char **field, void *context) {
  sentences *s = context;
  assert_true(s->compared < s->count);
  const char *text = s->text[s->compared++];
  int32_t ids[IMPORTED_IDS];
  size_t n = imported_encode(b->tokenizer, text, ids);
  imported_same("source piece", text, ids, n, field[0]);
  n = imported_encode(b->target_tokenizer, text, ids);
  imported_same("target piece", text, ids, n, field[1]);
}

static void each_sentence(const dg_base *b, const char *directory, size_t fields,
                          imported_row *compare) {
  sentences s = {.directory = directory};
  assert_int_equal(imported_rows(b, "tests/import", "sentences.tsv", 2, take_sentence, &s),
                   SENTENCE_COUNT);
  assert_int_equal(s.languages, LANGUAGES);
  assert_int_equal(s.scripts, SCRIPTS);
  assert_int_equal(imported_rows(b, directory, "ids.tsv", fields, compare, &s), SENTENCE_COUNT);
  for (size_t i = 0; i < s.count; i++) free(s.text[i]);
}

void imported_ids(const dg_base *b, const char *directory) {
  each_sentence(b, directory, 4, compare_sentence);
}

void imported_pieces(const dg_base *b, const char *directory) {
  each_sentence(b, directory, 2, compare_pieces);
}

/* --- outputs -------------------------------------------------------------------------------- */

static const void *data(const dg_safetensors *s, const char *name, size_t *count) {
  const dg_st_tensor *t = dg_safetensors_find(s, name);
  if (!t) fail_msg("%s has no %s", dg_safetensors_path(s), name);
  *count = t->bytes / 4;
  return t->data;
}

static void compare_encoding(const dg_network *network, const dg_batch *b, const float *want,
                             size_t n, const char *where) {
  dg_error err;
  dg_decoder *d = dg_decoder_new(network, b->source, b->source_offsets, b->sequences, 1, 1, &err);
  if (!d) fail_msg("%s", err.message);
  assert_int_equal(n, b->source_offsets[b->sequences] * (size_t)network->model->config.d_model);
  const float *got = dg_decoder_encoding(d);
  for (size_t i = 0; i < n; i++)
    if (!(fabs((double)got[i] - (double)want[i]) < 1e-4))
      fail_msg("%s: number %zu of the encoding is %.7g, not %.7g", where, i, (double)got[i],
               (double)want[i]);
  dg_decoder_free(d);
}

static void compare_logits(const dg_network *network, const dg_batch *b, dg_arena *arena,
                           const float *want, size_t n, size_t outputs, const char *where) {
  size_t vocab = (size_t)dg_target_vocab(&network->model->config);
  assert_int_equal(n, b->target_offsets[b->sequences] * vocab);
  float *got = dg_malloc(n * sizeof *got);
  dg_error err;
  if (!dg_logits(network, b, arena, got, &err)) fail_msg("%s", err.message);
  for (size_t i = 0; i < n; i++)
    if (i % vocab < outputs && !(fabs((double)got[i] - (double)want[i]) < 1e-4))
      fail_msg("%s: logit %zu of token %zu is %.7g, not %.7g", where, i % vocab, i / vocab,
               (double)got[i], (double)want[i]);
  free(got);
}

static dg_adapter *read_adapter(const dg_model *m, const dg_safetensors *s) {
  dg_adapter_config c;
  dg_options_defaults(dg_adapter_config_options, &c);
  c.width = ADAPTER_WIDTH;
  dg_error err;
  dg_adapter *a = dg_adapter_new(&m->config, &c, 0, &err);
  if (!a || !dg_adapter_train(a, &err)) fail_msg("%s", err.message);
  for (size_t i = 0; i < a->params.count; i++) {
    dg_tensor *t = &a->params.tensors[i];
    char *name = dg_format("adapter.%s", t->name);
    size_t n;
    const float *values = data(s, name, &n);
    assert_int_equal(n, t->rows * t->cols);
    memcpy(t->value, values, n * sizeof *values);
    free(name);
  }
  return a;
}

static void compare_gradients(dg_network network, const dg_batch *b, dg_arena *arena,
                              const dg_safetensors *s) {
  dg_error err;
  dg_adapter *a = read_adapter(network.model, s);
  network.adapters[network.adapter_count++] = a;
  const dg_loss_options o = {.gradient_scale = 1};
  dg_loss loss = {0};
  if (!dg_loss_backward(&network, b, &o, arena, &loss, &err)) fail_msg("%s", err.message);
  double largest = 0;
  for (size_t i = 0; i < a->params.count; i++) {
    const dg_tensor *t = &a->params.tensors[i];
    char *name = dg_format("adapter_grad.%s", t->name);
    size_t n;
    const float *want = data(s, name, &n);
    double most = 1e-2;
    for (size_t j = 0; j < n; j++) most = fmax(most, fabs((double)want[j]));
    for (size_t j = 0; j < n; j++)
      if (!(fabs((double)t->grad[j] - (double)want[j]) < 2e-4 * most))
        fail_msg("%s: the gradient of %s[%zu] is %.7g, not %.7g", dg_safetensors_path(s), t->name,
                 j, (double)t->grad[j], (double)want[j]);
    largest = fmax(largest, most);
    free(name);
  }
  assert_true(largest > 0.1);
  dg_adapter_free(a);
}

void imported_outputs(dg_model *m, const char *directory, size_t outputs) {
  char *path = dg_format("%s/expected.safetensors", directory);
  dg_error err;
  dg_safetensors *s = dg_safetensors_open(path, true, &err);
  if (!s || !dg_model_freeze(m, &err)) fail_msg("%s", err.message);
  size_t n;
  dg_batch b = {.source = data(s, "source", &n), .input = data(s, "input", &n),
                .labels = data(s, "labels", &n)};
  b.source_offsets = data(s, "source_offsets", &n);
  b.target_offsets = data(s, "target_offsets", &n);
  b.sequences = n - 1;
  const dg_network network = {.model = m, .precision = DG_FP32};
  dg_arena *arena = dg_arena_new(1 << 16);
  const float *want = data(s, "encoding", &n);
  compare_encoding(&network, &b, want, n, directory);
  want = data(s, "logits", &n);
  compare_logits(&network, &b, arena, want, n, outputs, directory);
  compare_gradients(network, &b, arena, s);
  dg_arena_free(arena);
  dg_safetensors_close(s);
  free(path);
}
