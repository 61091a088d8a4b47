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
#include "mt/model/decoder.h"
#include "mt/model/loss.h"
#include "tests/imported.h"

#define DIR "tests/import/formats/"
enum { LONGEST = 24 };

static const dg_import_options options = {.storage = DG_STORE_FP32};

static char *folder(const char *name) { return dg_format(DIR "%s", name); }

static const char *scratch(void) {
  const char *tmp = getenv("TMPDIR");
  return tmp ? tmp : "/tmp";
}

static dg_base *named(const char *name, const dg_import_options *o) {
  char *path = folder(name);
  dg_base *b = imported(path, o);
  free(path);
  return b;
}

/* All but the last of the logits: that is what decoders begin with, and no output. */
static void check_outputs(const dg_base *b, const char *directory) {
  imported_outputs(b->model, directory, (size_t)dg_target_vocab(&b->model->config) - 1);
}

/* --- OPUS-MT --------------------------------------------------------------------------------- */

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
  int32_t source[IMPORTED_IDS], prefix[8];
  size_t n = imported_numbers(field[3], source), beam = (size_t)atol(field[0]);
  size_t prefix_length = dg_format_target(b, -1, -1, NULL, 0, prefix, 8);
  dg_hypothesis h = search(b, source, n, prefix, prefix_length, beam, atof(field[1]));
  imported_same("translation", field[3], h.ids, h.length, field[4]);
  if (beam > 1 && !(fabs(h.score - atof(field[2])) < 1e-4))
    fail_msg("score %g, not %s, of \"%s\"", h.score, field[2], field[3]);
  free(h.ids);
}

static void test_opus(void **state) {
  const char *name = *state;
  char *directory = folder(name);
  dg_base *b = imported(directory, &options);
  imported_ids(b, directory);
  check_outputs(b, directory);
  assert_true(imported_rows(b, directory, "search.tsv", 5, check_search, NULL) >= 6);
  dg_base_free(b);
  free(directory);
}

static void refuses(const dg_base *b, const char *code, dg_side side, const char *says) {
  dg_error err;
  if (dg_base_language(b, code, side, &err)) fail_msg("%s passed", code);
  if (!strstr(err.message, says)) fail_msg("\"%s\" lacks \"%s\"", err.message, says);
}

/* A model that says in which languages it works, and one that does not. */
static void test_sides(void **state) {
  (void)state;
  dg_base *b = named("marian", &options);
  refuses(b, "gl", DG_SIDE_SOURCE,
          "does not translate from gl; of 1 codes it does, spelled most alike: en");
  refuses(b, "en", DG_SIDE_TARGET, "does not translate into en");
  dg_base_free(b);
  b = named("marian_tags", &options);
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
  b = named("marian_two", &options);
  assert_non_null(dg_base_language(b, "sw", DG_SIDE_SOURCE, &err)); /* "mul": any */
  dg_base_free(b);
  b = named("marian", &(dg_import_options){.source = "fr,oc", .target = "br"});
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
  int32_t source[IMPORTED_IDS], target[IMPORTED_IDS];
  size_t n = imported_numbers(field[0], source), vocab = (size_t)dg_target_vocab(&b->model->config);
  dg_format_target(b, -1, -1, NULL, 0, target, 1);
  size_t count = imported_numbers(field[1], target + 1) + 1;
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
  int32_t source[IMPORTED_IDS], prefix[8], want[IMPORTED_IDS];
  size_t n = imported_numbers(field[2], source), beam = (size_t)atol(field[0]);
  dg_format_target(b, -1, -1, NULL, 0, prefix, 1);
  size_t prefix_length = 1 + imported_numbers(field[3], prefix + 1);
  size_t count = imported_numbers(field[4], want);
  dg_hypothesis h = search_all(b, source, n, prefix, prefix_length, beam);
  bool same_ids = h.length == count && !memcmp(h.ids, want, count * sizeof *want);
  *equal += same_ids;
  if (beam == 1) imported_same("translation", field[2], h.ids, h.length, field[4]);
  else if (!same_ids && prefix_length - 1 + count < LONGEST && h.score < atof(field[1]) - 1e-3)
    fail_msg("beam: %g is worse than %s", h.score, field[1]);
  free(h.ids);
}

/* Of models that say no languages themselves. */
static const dg_import_options sided = {.source = "en", .target = "gl"};

static const dg_import_options *options_of(const char *name) {
  static const dg_import_options from = {.source = "en"};
  bool tagged = strstr(name, "tags") != NULL;
  return tagged                                                                    ? &from
         : strstr(name, "marian") || strstr(name, "opennmt") || strstr(name, "small") ? &sided
                                                                                   : &options;
}

static void check_ct2(const dg_base *b, const char *name, const char *directory) {
  assert_int_equal(
      imported_rows(b, directory, "scores.tsv", 3, check_scores, (void *)(uintptr_t)name), 3);
  size_t equal = 0;
  assert_int_equal(imported_rows(b, directory, "search.tsv", 5, check_ct2_search, &equal), 12);
  if (equal < 7) fail_msg("%s: %zu of 12 translations are the same", name, equal);
}

static void test_ct2(void **state) {
  const char *name = *state;
  char *directory = folder(name);
  dg_base *b = imported(directory, options_of(name));
  check_ct2(b, name, directory);
  imported_pieces(b, directory);
  const char *const exact[] = {"ct2_m2m100", "ct2_mbart", "ct2_marian_tags"};
  for (size_t i = 0; i < 3; i++)
    if (!strcmp(name, exact[i])) check_outputs(b, directory);
  dg_base_free(b);
  free(directory);
}

/* model.bin as earlier versions of CTranslate2 wrote it. */
static void test_ct2_versions(void **state) {
  (void)state;
  for (int version = 2; version <= 6; version++) {
    char *model = version < 6 ? dg_format("model-%d.bin", version) : dg_format("model.bin");
    char *old = dg_format("%s/version-%d", scratch(), version);
    char *command = dg_format("mkdir '%s' && cd " DIR "ct2_small && cp *.model *.json '%s' && "
                              "cp %s '%s/model.bin' && %s '%s/config.json'", old, old, model, old,
                              version < 6 ? "rm" : "test -f", old);
    assert_int_equal(system(command), 0);
    dg_base *b = imported(old, &sided);
    check_ct2(b, model, DIR "ct2_small");
    dg_base_free(b);
    free(command);
    free(model);
    free(old);
  }
}

static void test_ct2_languages(void **state) {
  (void)state;
  static const char *const names[] = {"ct2_m2m100", "ct2_nllb", "ct2_mbart", "ct2_madlad"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    dg_base *b = named(names[i], &options);
    dg_error err;
    const dg_language *l = dg_base_language(b, "gl", DG_SIDE_TARGET, &err);
    if (!l || l->tag <= 0) fail_msg("%s: no gl", names[i]);
    /* What the directory of the same family formats, by the same ids. */
    dg_base *original = imported_try(i == 0   ? "tests/import/base/m2m100"
                               : i == 1 ? "tests/import/base/nllb"
                               : i == 2 ? "tests/import/base/mbart"
                                        : "tests/import/base/madlad",
                               &options, &err);
    if (!original) fail_msg("%s", err.message);
    assert_string_equal(b->model->config.source_format, original->model->config.source_format);
    assert_string_equal(b->model->config.target_format, original->model->config.target_format);
    assert_int_equal(l->tag, dg_base_language(original, "gl", DG_SIDE_TARGET, &err)->tag);
    static const char *const same_ids[] = {"m2m100", "nllb", "mbart", "madlad"};
    char *directory = dg_format("tests/import/base/%s", same_ids[i]);
    imported_ids(b, directory);
    free(directory);
    dg_base_free(original);
    dg_base_free(b);
  }
}

/* A package says its languages; its weights are those of the directory it was made of. */
static void test_argos(void **state) {
  (void)state;
  dg_base *b = named("argos.argosmodel", &options);
  dg_base *d = named("ct2_opennmt", &(dg_import_options){.source = "en", .target = "gl"});
  dg_error err;
  assert_non_null(dg_base_language(b, "en", DG_SIDE_SOURCE, &err));
  assert_non_null(dg_base_language(b, "gl", DG_SIDE_TARGET, &err));
  refuses(b, "gl", DG_SIDE_SOURCE, "does not translate from gl");
  assert_int_equal(b->model->params.total, d->model->params.total);
  dg_base *copies[] = {dg_base_copy(b, NULL, 0, &err), dg_base_copy(d, NULL, 0, &err)};
  assert_true(copies[0] && copies[1]);
  assert_memory_equal(copies[0]->model->params.values, copies[1]->model->params.values,
                      b->model->params.total * sizeof(float));
  for (int k = 0; k < 2; k++) dg_base_free(copies[k]);
  dg_base_free(b);
  dg_base_free(d);
  assert_null(imported_try(DIR "ct2_opennmt", &options, &err));
  assert_non_null(strstr(err.message, "which language the model translates into"));
}

/* --- Marian's own files ----------------------------------------------------------------------- */

static void test_npz(void **state) {
  const char *name = *state;
  char *path = dg_format(DIR "%s/model.npz", name), *directory = folder(name);
  dg_base *b = imported(path, &(dg_import_options){.source = "en,mul", .target = "gl"});
  check_outputs(b, directory);
  /* Ids are those that transformers has of the same vocabulary, or Marian's own. */
  imported_ids(b, !strcmp(name, "npz")       ? DIR "marian"
                  : !strcmp(name, "npz_two") ? DIR "marian_two"
                                             : directory);
  dg_base_free(b);
  free(directory);
  free(path);
}

/* --- damage ---------------------------------------------------------------------------------- */

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
  char *path = dg_format("%s/hostile.argosmodel", scratch());
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
  if (imported_try(path, &options, &err)) fail_msg("taken: %s", says);
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
  char *path = dg_format("%s/truncated.argosmodel", scratch());
  dg_error err;
  size_t zip_size;
  uint8_t *whole = read_file(DIR "argos.argosmodel", &zip_size);
  write_file(path, whole, zip_size / 2);
  assert_null(imported_try(path, &options, &err));
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
  char *path = dg_format("%s/hostile.npz", scratch()), *entry = dg_format("%s.npy", name);
  int code;
  unlink(path);
  zip_t *z = zip_open(path, ZIP_CREATE | ZIP_EXCL, &code);
  assert_non_null(z);
  add_entry(z, entry, bytes, make_npy(header, text, strlen(text) + 1, bytes));
  assert_int_equal(zip_close(z), 0);
  dg_error err;
  if (imported_try(path, &options, &err)) fail_msg("taken: %s", says);
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
  char *path = dg_format("%s/cut.npz", scratch());
  write_file(path, whole, n - n / 3);
  dg_error err;
  assert_null(imported_try(path, &options, &err));
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
  enum { OPUS = 3, CT2 = 7, NPZ = 3, OTHERS = 7 };
  struct CMUnitTest tests[OPUS + CT2 + NPZ + OTHERS] = {
      cmocka_unit_test(test_sides),         cmocka_unit_test(test_ct2_languages),
      cmocka_unit_test(test_argos),         cmocka_unit_test(test_damaged_model),
      cmocka_unit_test(test_ct2_versions),
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
