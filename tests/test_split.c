/* Splits and samples: disjoint by sentence, complete, and the same for the same seed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "data/clean.h"
#include "data/split.h"
#include "mt/core/file.h"
#include "mt/core/mem.h"

static char *prefix;
enum { TRAIN, DEV, TEST };
static const char *const parts[] = {"train", "dev", "test"};

static char *part_path(int part) { return dg_format("%s.%s.tsv", prefix, parts[part]); }

static int set_up(void **state) {
  (void)state;
  const char *tmp = getenv("TMPDIR");
  prefix = dg_format("%s/test_split-%ld", tmp ? tmp : "/tmp", (long)getpid());
  return 0;
}

static void clean(void) {
  for (int i = 0; i < 3; i++) {
    char *path = part_path(i);
    unlink(path);
    free(path);
  }
}

static int tear_down(void **state) {
  (void)state;
  clean();
  free(prefix);
  return 0;
}

/* n sentences, every third of them told a second time in other case and punctuation. */
static dg_parallel_text corpus(int n) {
  dg_parallel_text p = {0};
  for (int i = 0; i < n; i++) {
    char source[60], target[60];
    snprintf(source, sizeof source, "%s sentence %c%c", i % 5 ? "a longer" : "a", 'a' + i / 26 % 26,
             'a' + i % 26);
    snprintf(target, sizeof target, "frase %c%c", 'a' + i / 26 % 26, 'a' + i % 26);
    dg_parallel_add(&p, source, target);
    if (i % 3) continue;
    source[0] = 'A';
    strcat(source, "!");
    strcat(target, " outra vez");
    dg_parallel_add(&p, source, target);
  }
  return p;
}

static dg_parallel_text read_part(int part) {
  dg_parallel_text p = {0};
  char *path = part_path(part);
  dg_error err;
  if (!dg_parallel_read(&p, path, &err)) fail_msg("%s", err.message);
  free(path);
  return p;
}

static bool holds(const dg_parallel_text *p, uint64_t key) {
  for (size_t i = 0; i < p->count; i++)
    if (dg_sentence_key(p->pairs[i].source) == key) return true;
  return false;
}

/* Where the pair stands in the corpus. */
static size_t place(const dg_parallel_text *all, const dg_pair *pair) {
  for (size_t i = 0; i < all->count; i++)
    if (!strcmp(all->pairs[i].target, pair->target)) {
      assert_string_equal(all->pairs[i].source, pair->source);
      return i;
    }
  fail_msg("\"%s\" is no pair of the corpus", pair->target);
  return 0;
}

static void check_split(const dg_parallel_text *all, size_t dev, size_t test, uint64_t seed) {
  size_t counts[3];
  dg_error err;
  if (!dg_split_write(all, prefix, dev, test, seed, counts, &err)) fail_msg("%s", err.message);
  dg_parallel_text p[3];
  size_t found = 0;
  for (int k = 0; k < 3; k++) {
    p[k] = read_part(k);
    assert_int_equal(p[k].count, counts[k]);
    for (size_t i = 0, last = 0; i < p[k].count; i++, found++) { /* in file order */
      size_t at = place(all, &p[k].pairs[i]);
      assert_true(!i || at > last);
      last = at;
    }
  }
  assert_int_equal(counts[DEV], dev);
  assert_int_equal(counts[TEST], test);
  /* No sentence stands in two parts, nor twice in dev or test; what is missing altogether
   * is a second pair of such a one. */
  for (int k = DEV; k <= TEST; k++)
    for (size_t i = 0; i < p[k].count; i++) {
      uint64_t key = dg_sentence_key(p[k].pairs[i].source);
      assert_false(holds(&p[TRAIN], key));
      if (k == TEST) assert_false(holds(&p[DEV], key));
      for (size_t j = 0; j < i; j++)
        assert_true(dg_sentence_key(p[k].pairs[j].source) != key);
    }
  size_t second = 0;
  for (size_t i = 0; i < all->count; i++) {
    uint64_t key = dg_sentence_key(all->pairs[i].source);
    bool held = holds(&p[DEV], key) || holds(&p[TEST], key);
    second += held;
    assert_true(held || holds(&p[TRAIN], key));
  }
  assert_int_equal(found, all->count - (second - dev - test));
  for (int k = 0; k < 3; k++) dg_parallel_free(&p[k]);
}

static void test_split(void **state) {
  (void)state;
  dg_parallel_text all = corpus(300);
  for (uint64_t seed = 1; seed < 4; seed++) check_split(&all, 20, 40, seed);
  check_split(&all, 0, 1, 1);
  check_split(&all, 1, 0, 1);
  check_split(&all, 0, 0, 1);
  /* The seed decides, and nothing else; test does not depend on dev. */
  size_t counts[3];
  assert_true(dg_split_write(&all, prefix, 10, 20, 7, counts, NULL));
  dg_parallel_text a = read_part(TEST);
  assert_true(dg_split_write(&all, prefix, 30, 20, 7, counts, NULL));
  dg_parallel_text b = read_part(TEST);
  assert_int_equal(a.count, b.count);
  for (size_t i = 0; i < a.count; i++) assert_string_equal(a.pairs[i].target, b.pairs[i].target);
  dg_parallel_free(&b);
  assert_true(dg_split_write(&all, prefix, 10, 20, 8, counts, NULL));
  b = read_part(TEST);
  size_t same = 0;
  for (size_t i = 0; i < a.count; i++)
    same += holds(&b, dg_sentence_key(a.pairs[i].source));
  assert_true(same < a.count / 2);
  dg_parallel_free(&a);
  dg_parallel_free(&b);
  dg_parallel_free(&all);
  clean();
}

static int by_text(const void *a, const void *b) {
  const dg_pair *x = a, *y = b;
  int c = strcmp(x->source, y->source);
  return c ? c : strcmp(x->target, y->target);
}

static void same_pairs(dg_parallel_text *a, dg_parallel_text *b) {
  assert_int_equal(a->count, b->count);
  qsort(a->pairs, a->count, sizeof *a->pairs, by_text);
  qsort(b->pairs, b->count, sizeof *b->pairs, by_text);
  for (size_t i = 0; i < a->count; i++) assert_int_equal(by_text(&a->pairs[i], &b->pairs[i]), 0);
}

/* Pairs of one source sentence, too, are told apart by what they say, not by where. */
static void test_order(void **state) {
  (void)state;
  dg_parallel_text all = corpus(300), turned = {0};
  for (size_t i = all.count; i--;)
    dg_parallel_add(&turned, all.pairs[i].source, all.pairs[i].target);
  size_t counts[3], written;
  dg_error err;
  char *path = part_path(TRAIN);
  for (uint64_t seed = 1; seed < 4; seed++) {
    dg_parallel_text a[3], b[3];
    assert_true(dg_split_write(&all, prefix, 20, 40, seed, counts, &err));
    for (int k = 0; k < 3; k++) a[k] = read_part(k);
    assert_true(dg_split_write(&turned, prefix, 20, 40, seed, counts, &err));
    for (int k = 0; k < 3; k++) b[k] = read_part(k);
    for (int k = 0; k < 3; k++)
      same_pairs(&a[k], &b[k]), dg_parallel_free(&a[k]), dg_parallel_free(&b[k]);
    for (size_t n = 30; n < 40; n++) {
      assert_true(dg_sample_write(&all, path, n, 0, seed, &written, &err));
      a[0] = read_part(TRAIN);
      assert_true(dg_sample_write(&turned, path, n, 0, seed, &written, &err));
      b[0] = read_part(TRAIN);
      same_pairs(&a[0], &b[0]);
      dg_parallel_free(&a[0]);
      dg_parallel_free(&b[0]);
    }
  }
  free(path);
  dg_parallel_free(&all);
  dg_parallel_free(&turned);
  clean();
}

/* Many sentences with the same translation: the other direction is a test as well. */
static void test_targets(void **state) {
  (void)state;
  dg_parallel_text all = {0};
  for (int i = 0; i < 400; i++) {
    char source[40], target[40];
    snprintf(source, sizeof source, "sentence %c%c", 'a' + i / 20, 'a' + i % 20);
    snprintf(target, sizeof target, "frase %c%c!", 'a' + i / 4 / 10, 'a' + i / 4 % 10);
    dg_parallel_add(&all, source, target);
  }
  unsigned char which[400];
  dg_error err;
  for (uint64_t seed = 1; seed < 6; seed++) {
    if (!dg_split_choose(&all, 10, 12, seed, which, &err)) fail_msg("%s", err.message);
    size_t count[4] = {0};
    for (size_t i = 0; i < all.count; i++) {
      count[which[i]]++;
      for (size_t k = i / 4 * 4; k < i; k++) /* those with its target */
        assert_true(which[i] == which[k] || which[i] == DG_PART_NONE || which[k] == DG_PART_NONE);
    }
    assert_int_equal(count[DG_PART_DEV], 10);
    assert_int_equal(count[DG_PART_TEST], 12);
    assert_true(count[DG_PART_TRAIN] >= 400 - 4 * 22);
  }
  dg_parallel_free(&all);
}

static void test_refusals(void **state) {
  (void)state;
  dg_parallel_text all = corpus(30); /* 40 pairs */
  size_t counts[3];
  dg_error err = {0};
  static const size_t asked[][2] = {{20, 5}, {15, 11}, {0, 31}, {1000, 0}, {0, 41}};
  for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
    if (dg_split_write(&all, prefix, asked[i][0], asked[i][1], 1, counts, &err))
      fail_msg("%zu and %zu passed", asked[i][0], asked[i][1]);
    assert_int_equal(err.status, DG_ERR_USAGE);
    assert_non_null(strstr(err.message, "40 pairs"));
    for (int k = 0; k < 3; k++) {
      char *path = part_path(k);
      assert_int_equal(access(path, F_OK), -1);
      free(path);
    }
  }
  assert_false(dg_split_write(&all, "/nonexistent/x", 1, 1, 1, counts, &err));
  assert_int_equal(err.status, DG_ERR_IO);
  dg_parallel_free(&all);
}

static void test_sample(void **state) {
  (void)state;
  dg_parallel_text all = corpus(200);
  char *path = part_path(TRAIN);
  dg_error err;
  size_t written;
  dg_parallel_text small, large;
  assert_true(dg_sample_write(&all, path, 20, 0, 5, &written, &err));
  assert_int_equal(written, 20);
  small = read_part(TRAIN);
  assert_int_equal(small.count, 20);
  assert_true(dg_sample_write(&all, path, 60, 0, 5, &written, &err));
  large = read_part(TRAIN);
  for (size_t i = 0; i < small.count; i++) {
    assert_true(holds(&large, dg_sentence_key(small.pairs[i].source)));
    assert_true(!i || place(&all, &small.pairs[i]) > place(&all, &small.pairs[i - 1]));
  }
  dg_parallel_free(&small);
  dg_parallel_free(&large);
  assert_true(dg_sample_write(&all, path, 100000, 0, 5, &written, &err)); /* all there are */
  assert_int_equal(written, all.count);
  assert_true(dg_sample_write(&all, path, 100000, 4, 5, &written, &err)); /* the longer ones */
  large = read_part(TRAIN);
  size_t longer = 0;
  for (size_t i = 0; i < all.count; i++) longer += dg_word_count(all.pairs[i].source) >= 4;
  assert_true(longer < all.count && longer == large.count && longer == written);
  for (size_t i = 0; i < large.count; i++)
    assert_true(dg_word_count(large.pairs[i].source) >= 4);
  dg_parallel_free(&large);
  dg_parallel_free(&all);
  free(path);
  clean();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_split),   cmocka_unit_test(test_order),
      cmocka_unit_test(test_targets),
      cmocka_unit_test(test_refusals),
      cmocka_unit_test(test_sample),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
