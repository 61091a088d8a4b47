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
#include <zip.h>

#include "mt/core/file.h"
#include "mt/core/mem.h"
#include "mt/decode/beam.h"
#include "mt/decode/translator.h"
#include "mt/import/ctranslate2.h"
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

/* --- CTranslate2 ----------------------------------------------------------------------------- */

static dg_hypothesis search_all(const dg_base *b, const int32_t *source, size_t n,
                                const int32_t *prefix, size_t prefix_length, size_t beam) {
  dg_network network = {.model = b->model, .precision = DG_FP32};
  dg_error err;
  dg_decoder *d = dg_decoder_new(&network, source, (const uint32_t[]){0, (uint32_t)n}, 1, beam,
                                 LONGEST + prefix_length + 1, &err);
  if (!d) fail_msg("%s", err.message);
  dg_beam_options o = {beam, 1, 1, (size_t)dg_target_vocab(&b->model->config),
                       dg_tokenizer_eos(b->target_tokenizer), NULL};
  dg_beam_sentence sentence = {prefix, prefix_length, 0, LONGEST + 1 - prefix_length};
  dg_hypothesis found;
  dg_beam_search(step, d, &o, &sentence, 1, NULL, &found);
  dg_decoder_free(d);
  return found;
}

static void check_scores(const dg_base *b, char **field, void *context) {
  int32_t source[IDS_MOST], target[IDS_MOST];
  size_t n = numbers(field[0], source), vocab = (size_t)dg_target_vocab(&b->model->config);
  dg_format_target(b, -1, -1, NULL, 0, target, 1);
  size_t count = numbers(field[1], target + 1) + 1;
  dg_batch batch = {.sequences = 1, .source = source, .input = target, .labels = target,
                    .source_offsets = (const uint32_t[]){0, (uint32_t)n},
                    .target_offsets = (const uint32_t[]){0, (uint32_t)count}};
  dg_network network = {.model = b->model, .precision = DG_FP32};
  float *logits = dg_malloc(count * vocab * sizeof *logits);
  dg_arena *arena = dg_arena_new(1 << 16);
  dg_error err;
  if (!dg_logits(&network, &batch, arena, logits, &err)) fail_msg("%s", err.message);
  char *at = field[2];
  target[count] = dg_tokenizer_eos(b->target_tokenizer);
  for (size_t t = 0; t < count; t++) {
    double most = -HUGE_VAL, sum = 0, want = strtod(at, &at);
    for (size_t v = 0; v < vocab; v++) most = fmax(most, (double)logits[t * vocab + v]);
    for (size_t v = 0; v < vocab; v++) sum += exp((double)logits[t * vocab + v] - most);
    double got = (double)logits[t * vocab + (size_t)target[t + 1]] - most - log(sum);
    if (!(fabs(got - want) < 1e-4))
      fail_msg("%s: token %zu has %.6f, not %.6f", (const char *)context, t, got, want);
  }
  dg_arena_free(arena);
  free(logits);
}

/* The two rank finished hypotheses alike, but stop at different times: where ours differs
 * it must be the better one. At the length limit CTranslate2 leaves out the end. */
static void check_ct2_search(const dg_base *b, char **field, void *context) {
  size_t *equal = context;
  int32_t source[IDS_MOST], prefix[8], want[IDS_MOST];
  size_t n = numbers(field[2], source), beam = (size_t)atol(field[0]);
  dg_format_target(b, -1, -1, NULL, 0, prefix, 1);
  size_t prefix_length = 1 + numbers(field[3], prefix + 1), count = numbers(field[4], want);
  dg_hypothesis h = search_all(b, source, n, prefix, prefix_length, beam);
  bool same_ids = h.length == count && !memcmp(h.ids, want, count * sizeof *want);
  *equal += same_ids;
  if (beam == 1) same("translation", field[2], h.ids, h.length, field[4]);
  else if (!same_ids && prefix_length - 1 + count < LONGEST && h.score < atof(field[1]) - 1e-3)
    fail_msg("beam: %g is worse than %s", h.score, field[1]);
  free(h.ids);
}

static void test_ct2(void **state) {
  const char *name = *state;
  bool sided = strstr(name, "marian") || strstr(name, "opennmt");
  dg_base *b = imported(name, &(dg_import_options){.source = sided ? "en" : NULL,
                                                   .target = strstr(name, "tags") ? NULL
                                                             : sided              ? "gl"
                                                                                  : NULL});
  assert_int_equal(each_row(b, name, "scores.tsv", 3, check_scores, (void *)(uintptr_t)name), 3);
  size_t equal = 0;
  assert_int_equal(each_row(b, name, "search.tsv", 5, check_ct2_search, &equal), 12);
  if (equal < 8) fail_msg("%s: %zu of 12 translations are the same", name, equal);
  dg_base_free(b);
}

static void test_ct2_languages(void **state) {
  (void)state;
  static const char *const names[] = {"ct2_m2m100", "ct2_nllb", "ct2_mbart", "ct2_madlad"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    dg_base *b = imported(names[i], &options);
    dg_error err;
    const dg_language *l = dg_base_language(b, "gl", DG_SIDE_TARGET, &err);
    if (!l || l->tag <= 0) fail_msg("%s: no gl", names[i]);
    /* What the directory of the same family formats, by the same ids. */
    dg_base *original = import(i == 0   ? "tests/import/base/m2m100"
                               : i == 1 ? "tests/import/base/nllb"
                               : i == 2 ? "tests/import/base/mbart"
                                        : "tests/import/base/madlad",
                               &options, &err);
    if (!original) fail_msg("%s", err.message);
    assert_string_equal(b->model->config.source_format, original->model->config.source_format);
    assert_string_equal(b->model->config.target_format, original->model->config.target_format);
    assert_int_equal(l->tag, dg_base_language(original, "gl", DG_SIDE_TARGET, &err)->tag);
    static const char text[] = "Ola, mundo: 17 de marzo";
    int32_t ids[IDS_MOST], same_ids[IDS_MOST];
    size_t n = encode(b->tokenizer, text, ids);
    assert_int_equal(n, encode(original->tokenizer, text, same_ids));
    assert_memory_equal(ids, same_ids, n * sizeof *ids);
    dg_base_free(original);
    dg_base_free(b);
  }
}

/* A package says its languages; its weights are those of the directory it was made of. */
static void test_argos(void **state) {
  (void)state;
  dg_base *b = imported("argos.argosmodel", &options);
  dg_base *d = imported("ct2_opennmt", &(dg_import_options){.source = "en", .target = "gl"});
  dg_error err;
  assert_non_null(dg_base_language(b, "en", DG_SIDE_SOURCE, &err));
  assert_non_null(dg_base_language(b, "gl", DG_SIDE_TARGET, &err));
  refuses(b, "gl", DG_SIDE_SOURCE, "does not translate from gl");
  assert_int_equal(b->model->params.total, d->model->params.total);
  assert_true(dg_base_thaw(b, NULL) && dg_base_thaw(d, NULL));
  assert_memory_equal(b->model->params.values, d->model->params.values,
                      b->model->params.total * sizeof(float));
  dg_base_free(b);
  dg_base_free(d);
  assert_null(import(DIR "ct2_opennmt", &options, &err));
  assert_non_null(strstr(err.message, "which language the model translates into"));
}

/* --- Marian's own files ----------------------------------------------------------------------- */

static void test_npz(void **state) {
  const char *name = *state;
  char *path = dg_format("%s/model.npz", name);
  dg_base *b = imported(path, &(dg_import_options){.source = "en,mul", .target = "gl"});
  check_outputs(b, name);
  /* With the ids that transformers has of the same vocabulary, too. */
  const char *opus = !strcmp(name, "npz")       ? "marian"
                     : !strcmp(name, "npz_two") ? "marian_two"
                                                : NULL;
  if (opus) assert_int_equal(each_row(b, opus, "ids.tsv", 5, check_ids, NULL), 200);
  dg_base_free(b);
  free(path);
}

/* --- damage ---------------------------------------------------------------------------------- */

static char *scratch(const char *name) {
  const char *tmp = getenv("TMPDIR");
  return dg_format("%s/%s", tmp ? tmp : "/tmp", name);
}

static void write_file(const char *path, const void *bytes, size_t n) {
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(bytes, 1, n, f), n);
  fclose(f);
}

static uint8_t *read_file(const char *path, size_t *n) {
  dg_mapping map;
  dg_error err;
  if (!dg_map(path, &map, &err)) fail_msg("%s", err.message);
  *n = map.size;
  uint8_t *copy = dg_malloc(map.size);
  memcpy(copy, map.data, map.size);
  dg_unmap(&map);
  return copy;
}

/* Every cut of a model.bin, and its parts overwritten, is an error or a model: no crash. */
static void test_damaged_model(void **state) {
  (void)state;
  size_t n;
  uint8_t *whole = read_file(DIR "ct2_opennmt/model.bin", &n);
  dg_error err;
  for (size_t cut = 0; cut < n; cut += cut < 2000 ? 1 : 997) {
    uint8_t *part = dg_malloc(cut + 1); /* its end is the sanitizer's */
    memcpy(part, whole, cut);
    if (dg_ct2_open(part, cut, &err)) fail_msg("%zu bytes of %zu passed", cut, n);
    free(part);
  }
  for (size_t at = 0; at < 400; at++) {
    uint8_t *copy = dg_malloc(n);
    memcpy(copy, whole, n);
    memset(copy + at, 0xff, at + 4 < n ? 4 : n - at);
    dg_ct2_close(dg_ct2_open(copy, n, &err));
    free(copy);
  }
  uint32_t version = 7;
  memcpy(whole, &version, sizeof version);
  assert_null(dg_ct2_open(whole, n, &err));
  assert_non_null(strstr(err.message, "binary version 7"));
  free(whole);
}

static void add_entry(zip_t *z, const char *name, const void *bytes, size_t n) {
  zip_source_t *source = zip_source_buffer(z, bytes, n, 0);
  assert_non_null(source);
  assert_true(zip_file_add(z, name, source, ZIP_FL_OVERWRITE) >= 0);
}

static char *make_zip(const char *const *names, const void *const *bytes, const size_t *sizes,
                      size_t count) {
  char *path = scratch("hostile.argosmodel");
  int code;
  unlink(path);
  zip_t *z = zip_open(path, ZIP_CREATE | ZIP_EXCL, &code);
  assert_non_null(z);
  for (size_t i = 0; i < count; i++) add_entry(z, names[i], bytes[i], sizes[i]);
  assert_int_equal(zip_close(z), 0);
  return path;
}

static void refuse_zip(const char *const *names, const void *const *bytes, const size_t *sizes,
                       size_t count, const char *says) {
  char *path = make_zip(names, bytes, sizes, count);
  dg_error err;
  if (import(path, &options, &err)) fail_msg("taken: %s", says);
  if (!strstr(err.message, says) || strchr(err.message, '\n'))
    fail_msg("\"%s\" lacks \"%s\"", err.message, says);
  unlink(path);
  free(path);
}

static void test_hostile_packages(void **state) {
  (void)state;
  static const char metadata[] = "{\"from_code\": \"en\", \"to_code\": \"gl\"}";
  static const char prefixed[] = "{\"to_code\": \"gl\", \"target_prefix\": \"__gl__\"}";
  size_t big = 64 << 20, n;
  uint8_t *model = read_file(DIR "ct2_opennmt/model.bin", &n);
  size_t config_size, vocabulary_size;
  uint8_t *config = read_file(DIR "ct2_opennmt/config.json", &config_size);
  uint8_t *vocabulary = read_file(DIR "ct2_opennmt/source_vocabulary.json", &vocabulary_size);
  void *zeros = dg_calloc(big, 1);
  const size_t m = sizeof metadata - 1;
  refuse_zip((const char *const[]){"p/metadata.json", "p/model/model.bin"},
             (const void *const[]){metadata, zeros}, (const size_t[]){m, big}, 2,
             "no model is as empty");
  refuse_zip((const char *const[]){"p/metadata.json", "p/model/model.bin"},
             (const void *const[]){metadata, model}, (const size_t[]){m, n / 2}, 2, "cut off");
  refuse_zip((const char *const[]){"p/metadata.json", "../../model/model.bin", "/model/model.bin"},
             (const void *const[]){metadata, model, model}, (const size_t[]){m, n, n}, 3,
             "model.bin");
  refuse_zip((const char *const[]){"p/other.json"}, (const void *const[]){metadata},
             (const size_t[]){m}, 1, "there is no metadata.json in the zip");
  refuse_zip((const char *const[]){"p/metadata.json", "p/model/model.bin", "p/model/config.json"},
             (const void *const[]){prefixed, model, config},
             (const size_t[]){sizeof prefixed - 1, n, config_size}, 3, "target_prefix");
  refuse_zip((const char *const[]){"p/metadata.json", "p/model/model.bin", "p/model/config.json",
                                   "p/model/source_vocabulary.json",
                                   "p/model/target_vocabulary.json", "p/bpe.model"},
             (const void *const[]){metadata, model, config, vocabulary, vocabulary, "x"},
             (const size_t[]){m, n, config_size, vocabulary_size, vocabulary_size, 1}, 6,
             "bpe.model is subword-nmt's");
  refuse_zip((const char *const[]){"p/metadata.json", "p/model/model.bin", "p/model/config.json",
                                   "p/model/source_vocabulary.json"},
             (const void *const[]){metadata, model, config, "[1, 2"},
             (const size_t[]){m, n, config_size, 5}, 4, "source_vocabulary.json: line 1");
  char *path = scratch("truncated.argosmodel");
  dg_error err;
  size_t zip_size;
  uint8_t *whole = read_file(DIR "argos.argosmodel", &zip_size);
  write_file(path, whole, zip_size / 2);
  assert_null(import(path, &options, &err));
  assert_non_null(strstr(err.message, "no zip file, or a truncated one"));
  unlink(path);
  free(path);
  free(whole);
  free(zeros);
  free(model);
  free(config);
  free(vocabulary);
}

/* A NumPy array of bytes with this header. */
static size_t make_npy(const char *header, const char *bytes, size_t n, uint8_t *out) {
  size_t h = strlen(header);
  memcpy(out, "\x93NUMPY\x01\x00", 8);
  out[8] = (uint8_t)h, out[9] = (uint8_t)(h >> 8);
  memcpy(out + 10, header, h);
  memcpy(out + 10 + h, bytes, n);
  return 10 + h + n;
}

static void refuse_npz(const char *name, const char *header, const char *text, const char *says) {
  uint8_t bytes[4096];
  char *path = scratch("hostile.npz"), *entry = dg_format("%s.npy", name);
  int code;
  unlink(path);
  zip_t *z = zip_open(path, ZIP_CREATE | ZIP_EXCL, &code);
  assert_non_null(z);
  add_entry(z, entry, bytes, make_npy(header, text, strlen(text) + 1, bytes));
  assert_int_equal(zip_close(z), 0);
  dg_error err;
  if (import(path, &options, &err)) fail_msg("taken: %s", says);
  if (!strstr(err.message, says) || !strstr(err.message, path) || strchr(err.message, '\n'))
    fail_msg("\"%s\" lacks \"%s\"", err.message, says);
  unlink(path);
  free(path);
  free(entry);
}

static void refuse_settings(const char *text, const char *says) {
  char *header = dg_format("{'descr': '|i1', 'fortran_order': False, 'shape': (%zu,), }\n",
                           strlen(text) + 1);
  refuse_npz("special:model.yml", header, text, says);
  free(header);
}

static void test_hostile_npz(void **state) {
  (void)state;
#define ORDER "'fortran_order': False, "
  refuse_npz("Wemb", "{'descr': '|O', " ORDER "'shape': (1,), }\n", "x", "objects (pickles) never");
  refuse_npz("Wemb", "{'descr': '>f4', " ORDER "'shape': (1,), }\n", "abc", "'>f4'");
  refuse_npz("Wemb", "{'descr': '<f4', " ORDER "'shape': (2,), }\n", "abc",
             "not what its shape says");
  refuse_npz("Wemb", "{'descr': '<f4', " ORDER "'shape': (4294967296, 4294967296, 9), }\n", "abc",
             "larger than any file");
  refuse_npz("Wemb", "{'descr': '<f4', " ORDER "'shape': (1, 1, 1, 1, 1), }\n", "abc",
             "0 to 4 dimensions");
  refuse_npz("Wemb", "{'descr': '<f4', 'fortran_order': True, 'shape': (1, 1), }\n", "abc",
             "Fortran");
  refuse_npz("Wemb", "{'descr': '<f4', " ORDER "'shape': (1,), }\n", "abc",
             "no special:model.yml");
  refuse_npz("special:model.yml", "{'descr': '<f4', " ORDER "'shape': (1,), }\n", "abc", "no text");
  refuse_settings("type: amun\n", "type: amun: only Transformers");
  refuse_settings("type: transformer\ntransformer-postprocess: dhn\n",
                  "transformer-postprocess: dhn");
  refuse_settings("transformer-preprocess: h\n", "transformer-preprocess: h");
  refuse_settings("transformer-ffn-activation: gelu\n", "transformer-ffn-activation: gelu");
  refuse_settings("transformer-decoder-autoreg: rnn\n", "transformer-decoder-autoreg: rnn");
  refuse_settings("transformer-tied-layers: [1, 1]\n", "transformer-tied-layers");
  refuse_settings("dim-vocabs: [5, 5, 5]\n", "dim-vocabs has 3 sizes");
  refuse_settings("dim-vocabs: [5, 5]\ndim-emb: 1e9\n", "dim-emb is no size");
  refuse_settings("a: [1\n", "line");
  refuse_settings("a: &x [*x]\n", "anchors are not read");
  /* Damage in a real one: its end is gone, or weights are of another shape. */
  size_t n;
  uint8_t *whole = read_file(DIR "npz/model.npz", &n);
  char *path = scratch("cut.npz");
  write_file(path, whole, n - n / 3);
  dg_error err;
  assert_null(import(path, &options, &err));
  assert_non_null(strstr(err.message, "no zip file, or a truncated one"));
  unlink(path);
  free(path);
  free(whole);
}

int main(void) {
  static const char *const opus[] = {"marian", "marian_tags", "marian_two"};
  static const char *const ct2[] = {"ct2_m2m100", "ct2_nllb",        "ct2_mbart",  "ct2_madlad",
                                    "ct2_marian", "ct2_marian_tags", "ct2_opennmt"};
  static const char *const npz[] = {"npz", "npz_two", "npz_pre"};
  enum { OPUS = 3, CT2 = 7, NPZ = 3, OTHERS = 6 };
  struct CMUnitTest tests[OPUS + CT2 + NPZ + OTHERS] = {
      cmocka_unit_test(test_sides),         cmocka_unit_test(test_ct2_languages),
      cmocka_unit_test(test_argos),         cmocka_unit_test(test_damaged_model),
      cmocka_unit_test(test_hostile_packages), cmocka_unit_test(test_hostile_npz)};
  for (size_t i = 0; i < OPUS + CT2 + NPZ; i++) {
    const char *name = i < OPUS         ? opus[i]
                       : i < OPUS + CT2 ? ct2[i - OPUS]
                                        : npz[i - OPUS - CT2];
    tests[OTHERS + i] = (struct CMUnitTest){.name = name,
                                            .test_func = i < OPUS         ? test_opus
                                                         : i < OPUS + CT2 ? test_ct2
                                                                          : test_npz,
                                            .initial_state = (void *)(uintptr_t)name};
  }
  return _cmocka_run_group_tests("import_formats", tests, OPUS + CT2 + NPZ + OTHERS, NULL, NULL);
}
