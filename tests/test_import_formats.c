/* OPUS-MT directories, Marian's own files, CTranslate2 models and Argos packages
 * (tests/goldens/import_formats.py): token ids, encodings, logits and translations are
 * those of their own programs; damaged files are refused. */
#include <math.h>
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
#include "mt/decode/beam.h"
#include "mt/decode/translator.h"
#include "mt/import/import.h"
#include "mt/model/decoder.h"
#include "mt/model/loss.h"

#define DIR "tests/import/formats/"
enum { FIELDS_MOST = 5, IDS_MOST = 1024, LONGEST = 24 };

static const dg_import_options options = {.storage = DG_STORE_FP32};

static dg_base *import(const char *path, const dg_import_options *o, dg_error *err) {
  const char *tmp = getenv("TMPDIR");
  char *base = dg_format("%s/formats-%d.safetensors", tmp ? tmp : "/tmp", (int)getpid());
  dg_import_report report;
  dg_base *b = dg_import(path, base, o, &report, err) ? dg_base_load(base, err) : NULL;
  unlink(base);
  free(base);
  return b;
}

static dg_base *imported(const char *name, const dg_import_options *o) {
  char *path = dg_format(DIR "%s", name);
  dg_error err;
  dg_base *b = import(path, o, &err);
  if (!b) fail_msg("%s", err.message);
  free(path);
  return b;
}

typedef void row_fn(const dg_base *b, char **fields, void *context);

static size_t each_row(const dg_base *b, const char *name, const char *file, size_t fields,
                       row_fn *row, void *context) {
  char *path = dg_format(DIR "%s/%s", name, file), *line, *field[FIELDS_MOST];
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

static size_t numbers(const char *text, int32_t *out) {
  size_t n = 0;
  for (char *at = (char *)(uintptr_t)text; *at;) {
    out[n++] = (int32_t)strtol(at, &at, 10);
    assert_true(n < IDS_MOST);
  }
  return n;
}

static void same(const char *what, const char *text, const int32_t *got, size_t n,
                 const char *want) {
  int32_t ids[IDS_MOST];
  size_t count = numbers(want, ids);
  for (size_t i = 0; i < n || i < count; i++)
    if (i >= n || i >= count || got[i] != ids[i])
      fail_msg("%s %zu of \"%.60s\" is %d, not %d", what, i, text, i < n ? got[i] : -1,
               i < count ? ids[i] : -1);
}

static size_t encode(const dg_tokenizer *t, const char *text, int32_t *ids) {
  dg_tokens tokens = {0};
  dg_error err;
  assert_true(dg_tokenizer_encode(t, text, strlen(text), &tokens, &err));
  assert_true(tokens.count < IDS_MOST - 8);
  for (size_t i = 0; i < tokens.count; i++) ids[i] = tokens.items[i].id;
  size_t n = tokens.count;
  dg_tokens_free(&tokens);
  return n;
}

/* --- OPUS-MT --------------------------------------------------------------------------------- */

static void check_ids(const dg_base *b, char **field, void *context) {
  (void)context;
  dg_error err;
  const char *code = strchr(field[0], '_') ? "fi" : field[0];
  const dg_language *source = dg_base_language(b, code, DG_SIDE_SOURCE, &err);
  const dg_language *target =
      source ? dg_base_language(b, field[1], DG_SIDE_TARGET, &err) : NULL;
  if (!target) fail_msg("%s", err.message);
  int32_t ids[IDS_MOST], out[IDS_MOST];
  size_t n = encode(b->tokenizer, field[2], ids);
  n = dg_format_source(b, source->tag, target->tag, ids, n, out, IDS_MOST);
  same("source id", field[2], out, n, field[3]);
  n = encode(b->target_tokenizer, field[2], ids);
  n = dg_format_target(b, source->tag, target->tag, ids, n, out, IDS_MOST);
  same("target id", field[2], out, n, field[4]);
}

static const void *data(const dg_safetensors *s, const char *name, size_t *count) {
  const dg_st_tensor *t = dg_safetensors_find(s, name);
  assert_non_null(t);
  *count = t->bytes / 4;
  return t->data;
}

static void check_outputs(const dg_base *b, const char *name) {
  char *path = dg_format(DIR "%s/expected.safetensors", name);
  dg_error err;
  dg_safetensors *s = dg_safetensors_open(path, true, &err);
  if (!s) fail_msg("%s", err.message);
  size_t sources, inputs, n;
  dg_batch batch = {.source = data(s, "source", &sources), .input = data(s, "input", &inputs)};
  batch.labels = batch.input;
  batch.source_offsets = data(s, "source_offsets", &n);
  batch.target_offsets = data(s, "target_offsets", &n);
  batch.sequences = n - 1;
  dg_network network = {.model = b->model, .precision = DG_FP32};
  dg_decoder *d =
      dg_decoder_new(&network, batch.source, batch.source_offsets, batch.sequences, 1, 1, &err);
  if (!d) fail_msg("%s", err.message);
  const float *want = data(s, "encoding", &n), *got = dg_decoder_encoding(d);
  assert_int_equal(n, sources * (size_t)b->model->config.d_model);
  for (size_t i = 0; i < n; i++)
    if (!(fabsf(got[i] - want[i]) < 1e-4F)) fail_msg("%s: encoding %zu", name, i);
  dg_decoder_free(d);
  size_t vocab = (size_t)dg_target_vocab(&b->model->config);
  want = data(s, "logits", &n);
  assert_int_equal(n, inputs * vocab);
  float *logits = dg_malloc(n * sizeof *logits);
  dg_arena *arena = dg_arena_new(1 << 16);
  if (!dg_logits(&network, &batch, arena, logits, &err)) fail_msg("%s", err.message);
  for (size_t i = 0; i < n; i++) /* the last is what decoders begin with: it is no output */
    if (i % vocab < vocab - 1 && !(fabsf(logits[i] - want[i]) < 1e-4F))
      fail_msg("%s: logit %zu of %zu is %g, not %g", name, i % vocab, i / vocab, (double)logits[i],
               (double)want[i]);
  dg_arena_free(arena);
  free(logits);
  dg_safetensors_close(s);
  free(path);
}

static void step(void *context, size_t rows, const int32_t *tokens, const uint32_t *parents,
                 const uint32_t *sources, float *logits) {
  dg_decoder_step(context, rows, tokens, parents, sources, logits);
}

static dg_hypothesis search(const dg_base *b, const int32_t *source, size_t n,
                            const int32_t *prefix, size_t prefix_length, size_t beam,
                            double penalty) {
  dg_network network = {.model = b->model, .precision = DG_FP32};
  dg_error err;
  dg_decoder *d = dg_decoder_new(&network, source, (const uint32_t[]){0, (uint32_t)n}, 1, beam,
                                 LONGEST + prefix_length + 1, &err);
  if (!d) fail_msg("%s", err.message);
  size_t vocab = (size_t)dg_target_vocab(&b->model->config);
  bool *banned = dg_calloc(vocab, sizeof *banned);
  for (size_t i = 0; i < vocab; i++)
    banned[i] = dg_tokenizer_is_control(b->target_tokenizer, (int32_t)i) ||
                (int32_t)i == dg_tokenizer_unk(b->target_tokenizer);
  dg_beam_options o = {beam, 1, penalty, vocab, dg_tokenizer_eos(b->target_tokenizer), banned};
  dg_beam_sentence sentence = {prefix, prefix_length, 0, LONGEST};
  dg_hypothesis found;
  dg_beam_search(step, d, &o, &sentence, 1, NULL, &found);
  dg_decoder_free(d);
  free(banned);
  return found;
}

static void check_search(const dg_base *b, char **field, void *context) {
  (void)context;
  int32_t source[IDS_MOST], prefix[8];
  size_t n = numbers(field[3], source), beam = (size_t)atol(field[0]);
  size_t prefix_length = dg_format_target(b, -1, -1, NULL, 0, prefix, 8);
  dg_hypothesis h = search(b, source, n, prefix, prefix_length, beam, atof(field[1]));
  same("translation", field[3], h.ids, h.length, field[4]);
  if (beam > 1 && !(fabs(h.score - atof(field[2])) < 1e-4))
    fail_msg("score %g, not %s, of \"%s\"", h.score, field[2], field[3]);
  free(h.ids);
}

static void test_opus(void **state) {
  const char *name = *state;
  dg_base *b = imported(name, &options);
  assert_true(each_row(b, name, "ids.tsv", 5, check_ids, NULL) >= 60);
  check_outputs(b, name);
  assert_true(each_row(b, name, "search.tsv", 5, check_search, NULL) >= 6);
  dg_base_free(b);
}

static void refuses(const dg_base *b, const char *code, dg_side side, const char *says) {
  dg_error err;
  if (dg_base_language(b, code, side, &err)) fail_msg("%s passed", code);
  if (!strstr(err.message, says)) fail_msg("\"%s\" lacks \"%s\"", err.message, says);
}

/* A model that says in which languages it works, and one that does not. */
static void test_sides(void **state) {
  (void)state;
  dg_base *b = imported("marian", &options);
  refuses(b, "gl", DG_SIDE_SOURCE, "does not translate from gl; the nearest of its 1 codes: en");
  refuses(b, "en", DG_SIDE_TARGET, "does not translate into en");
  dg_base_free(b);
  b = imported("marian_tags", &options);
  dg_error err;
  static const char *const sources[] = {"en", "el", "es", "fi"}, *const targets[] = {"fr", "pt-BR",
                                                                                   "zh_TW"};
  for (int i = 0; i < 4; i++)
    assert_non_null(dg_base_language(b, sources[i], DG_SIDE_SOURCE, &err));
  for (int i = 0; i < 3; i++) {
    const dg_language *l = dg_base_language(b, targets[i], DG_SIDE_TARGET, &err);
    assert_true(l && l->tag > 0);
  }
  refuses(b, "gl", DG_SIDE_TARGET, "does not translate into gl");
  dg_base_free(b);
  b = imported("marian_two", &options);
  assert_non_null(dg_base_language(b, "sw", DG_SIDE_SOURCE, &err)); /* "mul": any */
  dg_base_free(b);
  b = imported("marian", &(dg_import_options){.source = "fr,oc", .target = "br"});
  assert_non_null(dg_base_language(b, "oc", DG_SIDE_SOURCE, &err));
  assert_non_null(dg_base_language(b, "br", DG_SIDE_TARGET, &err));
  refuses(b, "en", DG_SIDE_SOURCE, "does not translate from en");
  dg_base_free(b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      {"marian", test_opus, NULL, NULL, (void *)(uintptr_t)"marian"},
      {"marian_tags", test_opus, NULL, NULL, (void *)(uintptr_t)"marian_tags"},
      {"marian_two", test_opus, NULL, NULL, (void *)(uintptr_t)"marian_two"},
      cmocka_unit_test(test_sides),
  };
  return cmocka_run_group_tests_name("import_formats", tests, NULL, NULL);
}
