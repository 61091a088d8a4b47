/* Faulty pairs are found, sound ones are not accused, and what is held out stays out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "data/check.h"
#include "mt/core/mem.h"
#include "mt/core/rng.h"

/* Sentences of two languages made of words of their own. */
static void sentence(dg_rng *r, bool second, size_t words, dg_strbuf *out) {
  static const char *const list[2][10] = {
      {"the", "house", "green", "with", "walking", "through", "street", "window", "which", "under"},
      {"uma", "casa", "verde", "com", "andando", "pela", "rua", "janela", "qual", "baixo"}};
  dg_strbuf_clear(out);
  for (size_t i = 0; i < words; i++)
    dg_strbuf_addf(out, "%s%s", i ? " " : "", list[second][dg_rng_below(r, 10)]);
}

/* Pairs of `words` words; kinds[k] of them are made wrong in the k-th way. */
static dg_parallel_text corpus(size_t count, const dg_problem *kinds, size_t kind_count,
                               size_t of_each) {
  dg_rng r = {dg_rng_key(5, count), 0};
  dg_parallel_text p = {0};
  dg_strbuf a = {0}, b = {0};
  for (size_t i = 0; i < count; i++) {
    size_t words = 6 + dg_rng_below(&r, 5);
    dg_problem kind = i / of_each < kind_count ? kinds[i / of_each] : DG_PROBLEM_NONE;
    sentence(&r, kind == DG_PROBLEM_SWAPPED, words, &a);
    sentence(&r, kind != DG_PROBLEM_SWAPPED && kind != DG_PROBLEM_LANGUAGE,
             kind == DG_PROBLEM_LENGTH ? 5 * words : words, &b);
    if (kind == DG_PROBLEM_EMPTY) dg_strbuf_clear(&b), dg_strbuf_add(&b, "  ");
    if (kind == DG_PROBLEM_SCRIPT) dg_strbuf_clear(&b), dg_strbuf_add(&b, "зелёный дом стоит");
    if (kind == DG_PROBLEM_COPY) dg_strbuf_clear(&b), dg_strbuf_add(&b, a.text);
    bool again = kind == DG_PROBLEM_DUPLICATE;
    const dg_pair last = again ? p.pairs[p.count - 1] : (dg_pair){a.text, b.text};
    dg_parallel_add(&p, last.source, last.target);
  }
  free(a.text);
  free(b.text);
  return p;
}

static dg_check check_as(const dg_parallel_text *p, const char *source, const char *target,
                         const dg_key_set *held_out) {
  dg_key_set seen = {0};
  dg_check c;
  dg_check_pairs(p, source, target, &seen, held_out, &c);
  dg_key_set_free(&seen);
  return c;
}

static dg_check check(const dg_parallel_text *p, const dg_key_set *held_out) {
  return check_as(p, "en", "pt", held_out);
}

static void test_sound(void **state) {
  (void)state;
  dg_parallel_text p = corpus(3000, NULL, 0, 1);
  dg_check c = check(&p, NULL);
  assert_int_equal(c.counts[DG_PROBLEM_NONE], 3000);
  dg_check_free(&c);
  dg_parallel_free(&p);
}

static void test_each(void **state) {
  (void)state;
  static const dg_problem kinds[] = {DG_PROBLEM_NONE,    DG_PROBLEM_EMPTY,    DG_PROBLEM_COPY,
                                     DG_PROBLEM_SCRIPT,  DG_PROBLEM_SWAPPED,  DG_PROBLEM_LANGUAGE,
                                     DG_PROBLEM_LENGTH,  DG_PROBLEM_DUPLICATE};
  enum { KINDS = sizeof kinds / sizeof *kinds, EACH = 20 };
  dg_parallel_text p = corpus(1000, kinds, KINDS, EACH);
  dg_check c = check(&p, NULL);
  for (size_t i = 0; i < p.count; i++) {
    dg_problem want = i / EACH < KINDS ? kinds[i / EACH] : DG_PROBLEM_NONE;
    if (c.problems[i] != want)
      fail_msg("pair %zu: %s, not %s: %s = %s", i, dg_problem_name(c.problems[i]),
               dg_problem_name(want), p.pairs[i].source, p.pairs[i].target);
  }
  for (size_t k = 1; k < KINDS; k++) {
    assert_int_equal(c.counts[kinds[k]], EACH);
    assert_int_equal(c.first[kinds[k]], k * EACH);
  }
  dg_parallel_remove(&p, c.problems);
  assert_int_equal(p.count, 1000 - (KINDS - 1) * EACH);
  dg_check_free(&c);
  c = check(&p, NULL);
  assert_int_equal(c.counts[DG_PROBLEM_NONE], p.count);
  dg_check_free(&c);
  dg_parallel_free(&p);
}

static void test_few_pairs_accuse_nobody(void **state) {
  (void)state;
  static const dg_problem kinds[] = {DG_PROBLEM_SWAPPED, DG_PROBLEM_LANGUAGE};
  dg_parallel_text p = corpus(60, kinds, 2, 20);
  dg_check c = check_as(&p, "nah", "tpi", NULL); /* nor what nobody can identify */
  assert_int_equal(c.counts[DG_PROBLEM_NONE], 60);
  dg_check_free(&c);
  dg_parallel_free(&p);
}

static void test_other_ratio(void **state) { /* lengths are judged by what the corpus does */
  (void)state;
  dg_parallel_text p = {0};
  for (int i = 0; i < 100; i++) {
    char source[40], target[200];
    snprintf(source, sizeof source, "word number %c%c", 'a' + i / 26, 'a' + i % 26);
    snprintf(target, sizeof target, "a phrase that is four or five times as long %c%c",
             'a' + i / 26, 'a' + i % 26);
    dg_parallel_add(&p, source, i == 50 ? source + 5 : target);
  }
  dg_check c = check(&p, NULL);
  assert_int_equal(c.counts[DG_PROBLEM_LENGTH], 1);
  assert_int_equal(c.first[DG_PROBLEM_LENGTH], 50);
  dg_check_free(&c);
  dg_parallel_free(&p);
}

static const char *const german[] = {
    "Zwei junge Männer stehen vor dem Haus und warten auf den Bus.",
    "Die Datei konnte leider nicht geöffnet werden, bitte versuchen Sie es noch einmal.",
    "Eine ältere Frau verkauft auf dem Markt frisches Gemüse und Blumen."};

/* German in place of Portuguese: all of it, and three lines in twenty. */
static void test_foreign(void **state) {
  (void)state;
  for (int k = 0; k < 2; k++) {
    dg_parallel_text p = {0};
    dg_rng r = {dg_rng_key(6, 0), 0};
    dg_strbuf a = {0}, b = {0};
    for (size_t i = 0; i < 100; i++) {
      sentence(&r, false, 9, &a);
      sentence(&r, true, 9, &b);
      dg_parallel_add(&p, a.text, !k || i % 20 < 3 ? german[i % 3] : b.text);
    }
    dg_check c = check(&p, NULL);
    for (size_t i = 0; i < p.count; i++)
      assert_int_equal(c.problems[i], !k || i % 20 < 3 ? DG_PROBLEM_FOREIGN : DG_PROBLEM_NONE);
    assert_string_equal(c.looks[0].code, "en");
    assert_string_equal(c.looks[1].code, k ? "pt" : "de");
    dg_check_free(&c);
    c = check_as(&p, "en", "tpi", NULL); /* who knows what that looks like */
    assert_int_equal(c.counts[DG_PROBLEM_FOREIGN], 0);
    dg_check_free(&c);
    c = check_as(&p, k ? "pt" : "de", "en", NULL);
    assert_true(c.counts[DG_PROBLEM_SWAPPED] >= (k ? 80 : 100));
    dg_check_free(&c);
    dg_parallel_free(&p);
    free(a.text);
    free(b.text);
  }
}

static void test_held_out(void **state) {
  (void)state;
  dg_key_set held_out = {0};
  dg_hold_out(&held_out, &(dg_pair){"Open the file.", "Abre o ficheiro"});
  dg_hold_out(&held_out, &(dg_pair){"---", "***"}); /* no letters: holds nothing */
  dg_parallel_text p = {0};
  dg_parallel_add(&p, "open the FILE", "qualquer coisa");
  dg_parallel_add(&p, "whatever it is", "Abre o ficheiro!");
  dg_parallel_add(&p, "close the file", "fecha o ficheiro");
  dg_parallel_add(&p, "123", "456");
  dg_check c = check(&p, &held_out);
  assert_memory_equal(c.problems, ((unsigned char[]){DG_PROBLEM_LEAK, DG_PROBLEM_LEAK, 0, 0}), 4);
  dg_check_free(&c);
  dg_parallel_free(&p);
  dg_key_set_free(&held_out);
}

static void test_swapped_scripts(void **state) { /* told by the script, however few pairs */
  (void)state;
  dg_parallel_text p = {0};
  dg_key_set seen = {0};
  dg_parallel_add(&p, "a green house", "зелёный дом");
  dg_parallel_add(&p, "красный дом", "a red house");
  dg_check c;
  dg_check_pairs(&p, "en", "ru", &seen, NULL, &c);
  assert_memory_equal(c.problems, ((unsigned char[]){0, DG_PROBLEM_SWAPPED}), 2);
  dg_check_free(&c);
  dg_parallel_free(&p);
  dg_key_set_free(&seen);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_sound),
      cmocka_unit_test(test_each),
      cmocka_unit_test(test_few_pairs_accuse_nobody),
      cmocka_unit_test(test_other_ratio),
      cmocka_unit_test(test_foreign),
      cmocka_unit_test(test_held_out),
      cmocka_unit_test(test_swapped_scripts),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
