/* BLEU and chrF against sacreBLEU itself (tests/goldens/metrics.py). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/metrics.h"
#include "mt/core/lines.h"
#include "mt/core/mem.h"

enum { SEGMENTS_MOST = 512 };

typedef struct set {
  char *line; /* its "#set" line */
  char *hypotheses[SEGMENTS_MOST], *references[SEGMENTS_MOST];
  size_t count;
} set;

static void same(const set *s, const char *what, double got, double want) {
  if (fabs(got - want) > 1e-9)
    fail_msg("%.60s: %s is %.12f, not %.12f", s->line, what, got, want);
}

static void check(set *s) {
  char *rest = dg_strdup(s->line), *begin = rest, *columns[10];
  for (int i = 0; i < 10; i++) {
    columns[i] = strsep(&rest, "\t");
    assert_non_null(columns[i]);
  }
  const char *const *h = (const char *const *)s->hypotheses;
  const char *const *r = (const char *const *)s->references;
  dg_bleu_score b;
  dg_chrf_score c;
  dg_error err;
  assert_true(dg_bleu_corpus(h, r, s->count, &b, &err));
  assert_true(dg_chrf_corpus(h, r, s->count, &c, &err));
  same(s, "BLEU", b.score, strtod(columns[2], NULL));
  same(s, "chrF", c.score, strtod(columns[3], NULL));
  same(s, "the system's length", (double)b.system_length, strtod(columns[4], NULL));
  same(s, "the reference's length", (double)b.reference_length, strtod(columns[5], NULL));
  same(s, "the brevity penalty", b.brevity_penalty, strtod(columns[6], NULL));
  char *counts = columns[7], *totals = columns[8], *precisions = columns[9];
  for (int n = 0; n < 4; n++) {
    same(s, "a count", (double)b.counts[n], strtod(counts, &counts));
    same(s, "a total", (double)b.totals[n], strtod(totals, &totals));
    same(s, "a precision", b.precisions[n], strtod(precisions, &precisions));
  }
  free(begin);
}

static void clear(set *s) {
  for (size_t i = 0; i < s->count; i++) {
    free(s->hypotheses[i]);
    free(s->references[i]);
  }
  free(s->line);
  s->count = 0;
  s->line = NULL;
}

static void test_goldens(void **state) {
  (void)state;
  dg_error err;
  dg_lines *in = dg_lines_open("tests/eval/metrics.tsv", &err);
  if (!in) fail_msg("%s", err.message);
  set *s = dg_calloc(1, sizeof *s);
  size_t sets = 0, n;
  char *line;
  while (dg_lines_next(in, &line, &n, &err) > 0) {
    char *tab = strchr(line, '\t');
    assert_non_null(tab);
    if (*line == '=') {
      assert_true(s->count < SEGMENTS_MOST);
      s->hypotheses[s->count] = dg_strndup(line + 1, (size_t)(tab - line - 1));
      s->references[s->count++] = dg_strdup(tab + 1);
      continue;
    }
    if (s->line) check(s), sets++;
    clear(s);
    if (!strncmp(line, "#signature\t", 11)) {
      char *chrf = strchr(tab + 1, '\t');
      *chrf++ = 0;
      assert_string_equal(dg_bleu_signature(), tab + 1);
      assert_string_equal(dg_chrf_signature(), chrf);
    } else {
      s->line = dg_strdup(line);
    }
  }
  check(s);
  clear(s);
  free(s);
  dg_lines_close(in);
  assert_true(sets > 30);
}

/* A corpus is not the mean of its segments, and order among them is nothing. */
static void test_order(void **state) {
  (void)state;
  const char *const h[] = {"a b c d e", "f g h i", "x"}, *const r[] = {"a b c d f", "f g h j", "y"};
  const char *const h2[] = {"x", "a b c d e", "f g h i"};
  const char *const r2[] = {"y", "a b c d f", "f g h j"};
  dg_bleu_score a, b;
  dg_chrf_score c, d;
  assert_true(dg_bleu_corpus(h, r, 3, &a, NULL) && dg_bleu_corpus(h2, r2, 3, &b, NULL));
  assert_true(dg_chrf_corpus(h, r, 3, &c, NULL) && dg_chrf_corpus(h2, r2, 3, &d, NULL));
  assert_true(a.score == b.score && c.score == d.score && a.score > 0);
  dg_error err = {0};
  assert_false(dg_bleu_corpus(h, r, 0, &a, &err));
  assert_int_equal(err.status, DG_ERR_USAGE);
  assert_false(dg_chrf_corpus(h, r, 0, &c, &err));
}

/* Tables grow: one segment of a hundred thousand words. */
static void test_long_segment(void **state) {
  (void)state;
  dg_strbuf text = {0};
  for (int i = 0; i < 100000; i++) dg_strbuf_addf(&text, "%d ", i * 7919 % 10007);
  const char *const one[] = {text.text, "a"};
  dg_bleu_score b;
  dg_chrf_score c;
  assert_true(dg_bleu_corpus(one, one, 2, &b, NULL) && dg_chrf_corpus(one, one, 2, &c, NULL));
  assert_true(fabs(b.score - 100) < 1e-9 && fabs(c.score - 100) < 1e-9);
  assert_int_equal(b.system_length, 100001);
  free(text.text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_goldens),
      cmocka_unit_test(test_order),
      cmocka_unit_test(test_long_segment),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
