/* Directories with the tokenizers of their families (tests/goldens/import_base.py): token
 * ids are those of transformers, tags and specials included. */
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
#include "tests/imported.h"
#include "tokenizer/extend.h"

#define DIR "tests/import/base/"

static const dg_import_options options = {.storage = DG_STORE_FP32};

static bool import(const char *directory, const char *path, dg_error *err) {
  dg_import_report report;
  return dg_import(directory, path, &options, &report, err);
}

static dg_base *named(const char *name) {
  char *directory = dg_format(DIR "%s", name);
  dg_base *b = imported(directory, &options);
  free(directory);
  return b;
}

static void test_ids(void **state) {
  char *directory = dg_format(DIR "%s", (const char *)*state);
  dg_base *b = imported(directory, &options);
  imported_ids(b, directory);
  dg_base_free(b);
  free(directory);
}

/* Random segmentations have the same words at the same places. */
static void sampled_words(const dg_tokenizer *t, const char *text) {
  dg_tokens best = {0}, drawn = {0};
  dg_error err;
  int32_t first = dg_tokenizer_id(t, "<tok>");
  assert_true(dg_tokenizer_encode(t, text, strlen(text), &best, &err));
  for (uint64_t seed = 0; seed < 4; seed++) {
    assert_true(dg_tokenizer_sample(t, text, strlen(text), -1, 0.3, seed, &drawn, &err));
    size_t j = 0;
    for (size_t i = 0; i < best.count; i++) {
      const dg_token *a = &best.items[i];
      assert_true(a->begin <= a->end && a->end <= strlen(text));
      if (a->id < first) continue;
      while (j < drawn.count && drawn.items[j].id < first) j++;
      assert_true(j < drawn.count);
      assert_memory_equal(a, &drawn.items[j++], sizeof *a);
      const char *piece = dg_tokenizer_piece(t, a->id);
      if (a->end - a->begin != strlen(piece)) continue; /* another form of it */
      assert_memory_equal(text + a->begin, piece, a->end - a->begin);
    }
  }
  dg_tokens_free(&best);
  dg_tokens_free(&drawn);
}

static const char *const cyrillic[] = {"вікно на <tok> схід", "на вікні New York квітка та вікно",
                                       "квітка на вікні", "вікно та квітка"};

static int next_cyrillic(void *context, const char **text, size_t *n, dg_error *err) {
  (void)err;
  size_t *next = context;
  if (*next == 12) return 0;
  *text = cyrillic[(*next)++ % 4];
  *n = strlen(*text);
  return 1;
}

typedef struct added_case {
  const char *name;
  dg_tokenizer *extended; /* the base's with pieces of Cyrillic, among which are the same words */
} added_case;

static dg_tokenizer *extend(const dg_tokenizer *t) {
  dg_error err;
  dg_piece_list list;
  size_t next = 0, words = 0, pieces = 0;
  if (!dg_piece_list_learn(t, 12, next_cyrillic, &next, &list, &err)) fail_msg("%s", err.message);
  assert_true(list.count > 2);
  dg_tokenizer *with = dg_tokenizer_extend(t, &list, 5000, &err);
  if (!with) fail_msg("%s", err.message);
  dg_piece_list_free(&list);
  int32_t ids[IMPORTED_IDS];
  for (size_t i = 0; i < 2; i++)
    for (size_t n = imported_encode(with, cyrillic[i], ids); n--;) {
      words += ids[n] == dg_tokenizer_id(t, i ? "New York" : "<tok>");
      pieces += ids[n] >= 5000;
    }
  assert_int_equal(words, 2);
  assert_true(pieces > 2);
  return with;
}

/* Words added beside a tokenizer's sentencepiece model (tests/goldens/import_added.py). */
static void compare_added(const dg_base *b, char **field, void *context) {
  const added_case *a = context;
  int32_t ids[IMPORTED_IDS];
  size_t n = imported_encode(b->tokenizer, field[0], ids);
  imported_same(a->name, field[0], ids, n, field[1]);
  n = imported_encode(a->extended, field[0], ids);
  imported_same(a->name, field[0], ids, n, field[1]);
  sampled_words(b->tokenizer, field[0]);
  n = imported_numbers(field[1], ids);
  for (size_t i = 0; i < n; i++)
    if (ids[i] == dg_tokenizer_unk(b->tokenizer)) return; /* no translation has it */
  dg_error err;
  char *text = dg_tokenizer_decode(b->tokenizer, ids, n, &err);
  if (!text) fail_msg("%s", err.message);
  if (strcmp(text, field[2]))
    fail_msg("%s: \"%s\" is decoded into \"%s\", not \"%s\"", a->name, field[0], text, field[2]);
  free(text);
}

static void test_added(void **state) {
  char *name = *state, *directory = dg_format("tests/import/added/%s", name);
  const dg_import_options o = {.target = *name == 't' ? "gl" : NULL};
  dg_base *b = imported(directory, &o);
  added_case a = {name, extend(b->tokenizer)};
  assert_true(imported_rows(b, directory, "added.tsv", 3, compare_added, &a) > 30);
  int32_t word = dg_tokenizer_id(b->tokenizer, "New York");
  assert_true(word >= 0 && !dg_tokenizer_is_control(b->tokenizer, word));
  assert_false(dg_tokenizer_is_control(b->tokenizer, dg_tokenizer_id(b->tokenizer, "<formal>")));
  dg_tokenizer_free(a.extended);
  dg_base_free(b);
  free(directory);
}

static size_t languages_of(const char *name) {
  dg_base *b = named(name);
  size_t n = b->language_count;
  dg_base_free(b);
  return n;
}

/* Nearly every tag is a language; NLLB has a few in two scripts that CLDR takes for one. */
static void test_languages(void **state) {
  (void)state;
  assert_int_equal(languages_of("m2m100"), 100);
  assert_int_equal(languages_of("mbart"), 52);
  assert_int_equal(languages_of("madlad"), 3);
  assert_in_range(languages_of("nllb"), 195, 202);
}

static void finds(const dg_base *b, const char *code, const char *want) {
  dg_error err;
  const dg_language *l = dg_base_language(b, code, DG_SIDE_BOTH, &err);
  if (!l) fail_msg("%s", err.message);
  if (strcmp(l->code, want)) fail_msg("%s: %s, not %s", code, l->code, want);
}

static void unfound(const dg_base *b, const char *code, const char *says) {
  dg_error err;
  if (dg_base_language(b, code, DG_SIDE_BOTH, &err)) fail_msg("%s was found", code);
  assert_int_equal(err.status, DG_ERR_USAGE);
  if (!strstr(err.message, says)) fail_msg("\"%s\" lacks \"%s\"", err.message, says);
}

/* One code, whatever the family writes; every language of one family under the code that
 * another family gives it. */
static void test_codes(void **state) {
  (void)state;
  dg_base *nllb = named("nllb"), *m2m = named("m2m100"), *mbart = named("mbart");
  static const char *const spellings[] = {"gl", "glg", "gl_ES", "glg_Latn", "GL"};
  for (size_t i = 0; i < 5; i++) {
    finds(nllb, spellings[i], "gl");
    finds(m2m, spellings[i], "gl");
    finds(mbart, spellings[i], "gl");
  }
  for (size_t i = 0; i < m2m->language_count; i++)
    if (!strstr("br ff fy", m2m->languages[i].code)) /* not in NLLB */
      finds(nllb, m2m->languages[i].code, m2m->languages[i].code);
  for (size_t i = 0; i < mbart->language_count; i++)
    finds(nllb, mbart->languages[i].code, mbart->languages[i].code);
  /* A bare code is the script that CLDR finds likely, others are asked for by name. */
  static const char *const pairs[][2] = {
      {"zh", "zh"}, {"zh_CN", "zh"}, {"zho_Hans", "zh"}, {"zh-Hant", "zh-Hant"},
      {"zh_TW", "zh-Hant"}, {"ks", "ks"}, {"kas_Arab", "ks"}, {"kas_Deva", "ks-Deva"},
      {"ace", "ace"}, {"ace_Arab", "ace-Arab"}, {"min", "min"}, {"knc_Latn", "kr"},
      {"knc_Arab", "kr-Arab"}, {"sr", "sr"}, {"srp_Cyrl", "sr"}, {"no", "nb"}, {"arb_Arab", "ar"},
      {"pes_Arab", "fa"}, {"prs_Arab", "fa-AF"}, {"crh", "crh"},
      {"sat", "sat-Beng"} /* its only one */};
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) finds(nllb, pairs[i][0], pairs[i][1]);
  unfound(nllb, "sr-Latn", "alike: sr (Serbian); a new language is added with `dragoman train");
  unfound(nllb, "pt-BR", "alike: pt (Portuguese);");
  unfound(mbart, "glk", "alike: gl (Galician),");
  dg_language *l = &nllb->languages[0];
  size_t count = 0; /* where the likely script is not among several */
  for (size_t i = 0; i < nllb->language_count; i++)
    if (!strncmp(nllb->languages[i].code, "taq", 3)) strcpy(l[i].code, count++ ? "ks-Tfng" : "x");
    else if (!strcmp(nllb->languages[i].code, "ks")) strcpy(l[i].code, "y");
  assert_int_equal(count, 2);
  unfound(nllb, "ks", "ks in several scripts: say which: ks-Deva (Kashmiri (Devanagari)), ks-Tfng");
  dg_base_free(nllb);
  dg_base_free(m2m);
  dg_base_free(mbart);
}

/* Files of older transformers lack the first merge; one that lacks another is refused. */
static void test_first_merge(void **state) {
  (void)state;
  const char *tmp = getenv("TMPDIR");
  char *path = dg_format("%s/tokenizer.json", tmp ? tmp : "/tmp");
  dg_error err;
  dg_tokenizer *whole = dg_tokenizer_load_hf(DIR "nllb_fast/tokenizer.json", &err);
  if (!whole) fail_msg("%s", err.message);
  json_t *j = json_load_file(DIR "nllb_fast/tokenizer.json", 0, NULL);
  json_t *merges = json_object_get(json_object_get(j, "model"), "merges");
  json_array_remove(merges, 0);
  assert_int_equal(json_dump_file(j, path, 0), 0);
  dg_tokenizer *old = dg_tokenizer_load_hf(path, &err);
  if (!old) fail_msg("%s", err.message);
  dg_lines *lines = dg_lines_open("tests/tokenizer/sentences.txt", &err);
  assert_non_null(lines);
  char *line;
  size_t n;
  dg_tokens a = {0}, b = {0};
  while (dg_lines_next(lines, &line, &n, &err) == 1) {
    assert_true(dg_tokenizer_encode(whole, line, n, &a, &err));
    assert_true(dg_tokenizer_encode(old, line, n, &b, &err));
    assert_int_equal(a.count, b.count);
    for (size_t i = 0; i < a.count; i++) assert_int_equal(a.items[i].id, b.items[i].id);
  }
  dg_lines_close(lines);
  json_array_remove(merges, 5);
  assert_int_equal(json_dump_file(j, path, 0), 0);
  assert_null(dg_tokenizer_load_hf(path, &err));
  if (!strstr(err.message, "its list of merges that make")) fail_msg("%s", err.message);
  unlink(path);
  json_decref(j);
  dg_tokens_free(&a);
  dg_tokens_free(&b);
  dg_tokenizer_free(whole);
  dg_tokenizer_free(old);
  free(path);
}

static bool third(void *context) { return ++*(int *)context == 3; }

static void test_interrupted(void **state) {
  (void)state;
  const char *tmp = getenv("TMPDIR");
  char *path = dg_format("%s/stopped.safetensors", tmp ? tmp : "/tmp");
  char *temporary = dg_format("%s.tmp-%ld", path, (long)getpid());
  int asked = 0;
  const dg_import_options o = {.stop = third, .context = &asked};
  dg_error err;
  dg_import_report report;
  assert_false(dg_import(DIR "m2m100", path, &o, &report, &err));
  assert_int_equal(err.status, DG_ERR_INTERRUPTED);
  assert_int_equal(asked, 3);
  assert_int_not_equal(access(path, F_OK), 0);
  assert_int_not_equal(access(temporary, F_OK), 0);
  free(temporary);
  free(path);
}

/* What config.json has T5 read before a sentence of that pair, and what the user says instead. */
static void test_prefix(void **state) {
  (void)state;
  dg_import_options o = {.source = "en", .target = "gl"};
  dg_base *b = imported(DIR "t5_prefix", &o);
  imported_ids(b, DIR "t5_prefix");
  char format[DG_FORMAT_MAX];
  strcpy(format, b->model->config.source_format);
  dg_base_free(b);
  o.source = "en-GB"; /* as its language's */
  b = imported(DIR "t5_prefix", &o);
  assert_string_equal(b->model->config.source_format, format);
  dg_base_free(b);
  o.source = "en", o.target = "de"; /* no task, and no prefix of the model */
  b = imported(DIR "t5_prefix", &o);
  assert_string_equal(b->model->config.source_format, "X </s>");
  dg_base_free(b);
  o.prefix = "translate English to Galician: ";
  b = imported(DIR "t5_prefix", &o);
  assert_string_equal(b->model->config.source_format, format);
  dg_base_free(b);
  const char *corpus = "tests/import/sentences.tsv";
  o.languages = "en,de", o.corpus = &corpus, o.corpus_count = 1;
  b = imported(DIR "t5_prefix", &o); /* trimmed, with the prefix's pieces */
  assert_string_equal(b->model->config.source_format, format);
  dg_base_free(b);
  o = (dg_import_options){.source = "en", .target = "gl", .prefix = " "};
  b = imported(DIR "t5_prefix", &o);
  assert_string_equal(b->model->config.source_format, "X </s>");
  dg_base_free(b);
  const struct { dg_import_options o; const char *says; } wrong[] = {
      {{.source = "en", .target = "gl,es"}, "has a prefix for each pair, of translation_en_to_"},
      {{.target = "gl"}, "import one pair, -s en -t de"},
      {{.source = "en", .target = "gl", .prefix = "translate:"}, "does not end in a space"},
      {{.source = "en", .target = "gl", .prefix = "a aX bX "}, "has a word of formats in it"},
      {{.source = "en", .target = "gl",
        .prefix = "one letter after another, a b c d e f g h i j k l m n o p q r s t u v w x y z "},
       "is too long"}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    dg_import_report report;
    dg_error err;
    assert_false(dg_import(DIR "t5_prefix", "/tmp/never", &wrong[i].o, &report, &err));
    if (!strstr(err.message, wrong[i].says))
      fail_msg("\"%s\" lacks \"%s\"", err.message, wrong[i].says);
  }
}

static void test_refused(void **state) {
  (void)state;
  dg_error err;
  assert_false(import("tests/import/model/marian", "/tmp/never", &err));
  assert_non_null(strstr(err.message, "source.spm"));
  assert_false(import("tests/import/model/mbart", "/tmp/never", &err));
  assert_non_null(strstr(err.message, "there is no sentencepiece.bpe.model"));
  assert_false(import("tests/import/checkpoint/bin", "/tmp/never", &err));
  assert_non_null(strstr(err.message, "config.json"));
}

int main(void) {
  static const char *const names[] = {"m2m100", "small100", "nllb", "nllb_legacy", "mbart",
                                      "madlad", "nllb_fast", "mbart_fast", "t5_fast"};
  enum { NAMES = sizeof names / sizeof *names };
  static const char *const added[] = {"m2m100",    "nllb", "nllb_fast", "mbart",
                                      "t5_legacy", "t5",   "t5_fast"};
  enum { ADDED = sizeof added / sizeof *added };
  struct CMUnitTest tests[NAMES + 6 + ADDED];
  for (size_t i = 0; i < NAMES; i++)
    tests[i] = (struct CMUnitTest){.name = names[i], .test_func = test_ids,
                                   .initial_state = (void *)(uintptr_t)names[i]};
  tests[NAMES] = (struct CMUnitTest)cmocka_unit_test(test_languages);
  tests[NAMES + 1] = (struct CMUnitTest)cmocka_unit_test(test_codes);
  tests[NAMES + 2] = (struct CMUnitTest)cmocka_unit_test(test_refused);
  tests[NAMES + 4] = (struct CMUnitTest)cmocka_unit_test(test_first_merge);
  tests[NAMES + 3] = (struct CMUnitTest)cmocka_unit_test(test_interrupted);
  tests[NAMES + 5] = (struct CMUnitTest)cmocka_unit_test(test_prefix);
  for (size_t i = 0; i < ADDED; i++)
    tests[NAMES + 6 + i] = (struct CMUnitTest){
        .name = added[i], .test_func = test_added, .initial_state = (void *)(uintptr_t)added[i]};
  return _cmocka_run_group_tests("import_base", tests, NAMES + 6 + ADDED, NULL, NULL);
}
