/* Scores against sacreBLEU's (tests/eval, made by tests/goldens/eval*.py). */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "eval/analysis.h"
#include "eval/mecab.h"
#include "eval/metrics.h"
#include "eval/pytext.h"
#include "eval/significance.h"
#include "mt/core/lines.h"
#include "mt/core/mem.h"

enum { COLUMNS = 8, FIELDS = 64, TEXTS = 64 };

typedef struct text {
  char name[32];
  const char **columns[COLUMNS];
  size_t count, capacity;
} text;

static size_t cut(char *line, char separator, char **fields) {
  size_t n = 0;
  for (fields[n++] = line; *line; line++)
    if (*line == separator) {
      *line = 0;
      assert_true(n < FIELDS);
      fields[n++] = line + 1;
    }
  return n;
}

static const text *read_text(text *texts, const char *name) {
  text *t = texts;
  for (; *t->name; t++)
    if (!strcmp(t->name, name)) return t;
  snprintf(t->name, sizeof t->name, "%s", name);
  char path[64], *line, *fields[FIELDS];
  snprintf(path, sizeof path, "tests/eval/%s.tsv", name);
  dg_error err;
  dg_lines *r = dg_lines_open(path, &err);
  if (!r) fail_msg("%s", err.message);
  size_t n;
  while (dg_lines_next(r, &line, &n, &err) > 0) {
    size_t count = cut(line, '\t', fields), capacity = t->capacity;
    for (size_t c = 0; c < COLUMNS; c++) {
      capacity = t->capacity;
      DG_GROW(t->columns[c], capacity, t->count + 1);
      const char *cell = c < count ? fields[c] : "";
      t->columns[c][t->count] = dg_strndup(cell, dg_py_rstrip(cell, strlen(cell)));
    }
    t->capacity = capacity;
    t->count++;
  }
  dg_lines_close(r);
  return t;
}

static void free_texts(text *texts) {
  for (text *t = texts; *t->name; t++)
    for (size_t c = 0; c < COLUMNS; c++) {
      for (size_t i = 0; i < t->count; i++) free((char *)(uintptr_t)t->columns[c][i]);
      free(t->columns[c]);
    }
}

static dg_scorer *make(const char *metric, char *given) {
  static const char *const smoothings[] = {"none", "floor", "add-k", "exp"};
  dg_bleu_options bleu = dg_bleu_defaults();
  dg_chrf_options chrf = dg_chrf_defaults();
  dg_ter_options ter = {0};
  char *parts[FIELDS];
  size_t n = strcmp(given, "-") ? cut(given, ',', parts) : 0;
  for (size_t i = 0; i < n; i++) {
    char *value = strchr(parts[i], '=');
    if (value) *value++ = 0;
    const char *key = parts[i];
    if (!strcmp(key, "tok"))
      bleu.tokenizer = value;
    else if (!strcmp(key, "value"))
      bleu.smooth_value = atof(value);
    else if (!strcmp(key, "order"))
      bleu.order = atoi(value);
    else if (!strcmp(key, "eff"))
      bleu.effective_order = true;
    else if (!strcmp(key, "lc"))
      bleu.lowercase = chrf.lowercase = true;
    else if (!strcmp(key, "char"))
      chrf.char_order = atoi(value);
    else if (!strcmp(key, "word"))
      chrf.word_order = atoi(value);
    else if (!strcmp(key, "beta"))
      chrf.beta = atoi(value);
    else if (!strcmp(key, "space"))
      chrf.whitespace = true;
    else if (!strcmp(key, "eps"))
      chrf.eps_smoothing = true;
    else if (!strcmp(key, "norm"))
      ter.normalized = true;
    else if (!strcmp(key, "nopunct"))
      ter.no_punct = true;
    else if (!strcmp(key, "asian"))
      ter.asian_support = true;
    else if (!strcmp(key, "case"))
      ter.case_sensitive = true;
    else if (!strcmp(key, "smooth")) {
      for (int k = 0; k < 4; k++)
        if (!strcmp(value, smoothings[k])) bleu.smoothing = (dg_smoothing)k;
    } else if (*key) {
      fail_msg("no option %s", key);
    }
  }
  dg_error err;
  dg_scorer *m = *metric == 'b'   ? dg_scorer_bleu(&bleu, &err)
                 : *metric == 'c' ? dg_scorer_chrf(&chrf, &err)
                                  : dg_scorer_ter(&ter, &err);
  if (!m) fail_msg("%s", err.message);
  return m;
}

/* Equal to the last bit, unless this machine's exp and log are other than those of the one
 * that made the figures. */
static void same(size_t line, const char *what, double got, const char *want) {
  double wanted = atof(want);
  if (!(fabs(got - wanted) <= 1e-12 * (1 + fabs(wanted))))
    fail_msg("figure %zu: %s is %.17g, not %s", line, what, got, want);
}

typedef struct figure {
  size_t line, segments, system_count, results;
  dg_scorer *scorer;
  const char *const *systems[FIELDS];
  dg_references references;
  char **want;
  dg_threads *threads;
} figure;

static void check_signature(const figure *f, const dg_trials *trials, bool abbreviated,
                            const char *want) {
  char *got = dg_scorer_signature(f->scorer, trials, abbreviated);
  assert_string_equal(got, want);
  free(got);
}

static double *measured(const figure *f, size_t system) {
  double *out = dg_calloc(f->segments * dg_scorer_width(f->scorer), sizeof *out);
  dg_error err;
  if (!dg_scorer_measure(f->scorer, f->systems[system], &f->references, f->segments, f->threads,
                         out, &err))
    fail_msg("%s", err.message);
  return out;
}

static size_t check_corpus(const figure *f) {
  dg_score score;
  dg_error err;
  if (!dg_scorer_corpus(f->scorer, f->systems[0], &f->references, f->segments, f->threads, &score,
                        &err))
    fail_msg("%s", err.message);
  same(f->line, "the score", score.score, f->want[0]);
  char *verbose = dg_scorer_verbose(f->scorer, &score);
  assert_string_equal(verbose ? verbose : "-", f->want[1]);
  free(verbose);
  const dg_trials trials = {.references = dg_references_number(&f->references, f->segments)};
  check_signature(f, &trials, false, f->want[2]);
  check_signature(f, &trials, true, f->want[3]);
  assert_string_equal(dg_scorer_name(f->scorer), f->want[4]);
  return 1;
}

static size_t check_sentences(const figure *f) {
  double *statistics = measured(f, 0);
  char *scores = f->want[0];
  for (size_t i = 0; i < f->segments; i++) {
    dg_score score;
    char *end = strchr(scores, ' ');
    if (end) *end = 0;
    dg_scorer_score(f->scorer, statistics + i * dg_scorer_width(f->scorer), DG_EXACT, &score);
    same(f->line, "a sentence", score.score, scores);
    scores = end ? end + 1 : scores;
  }
  free(statistics);
  return f->segments;
}

static size_t check_confidence(const figure *f) {
  dg_interval interval;
  dg_error err;
  dg_score score;
  int trials = atoi(f->want[0]);
  if (!dg_bootstrap(f->scorer, f->systems[0], &f->references, f->segments, trials, 12345,
                    f->threads, &score, &interval, &err))
    fail_msg("%s", err.message);
  same(f->line, "the mean", interval.mean, f->want[2]);
  same(f->line, "the interval", interval.half, f->want[3]);
  const dg_trials t = {
      .references = (int)f->references.count, .bootstrap = trials, .seed = "12345"};
  check_signature(f, &t, false, f->want[4]);
  return 2;
}

static size_t check_paired(const figure *f, dg_paired_test test) {
  dg_comparison out[FIELDS];
  dg_error err;
  if (!dg_compare(f->scorer, f->systems, f->system_count, &f->references, f->segments, test,
                  atoi(f->want[0]), 12345, f->threads, out, &err))
    fail_msg("%s", err.message);
  for (size_t s = 0; s < f->system_count; s++) {
    char **want = f->want + 1 + 4 * s;
    same(f->line, "a system's score", out[s].score, want[0]);
    same(f->line, "p", out[s].p_value, want[1]);
    if (test == DG_PAIRED_BOOTSTRAP)
      same(f->line, "a system's mean", out[s].interval.mean, want[2]);
    if (test == DG_PAIRED_BOOTSTRAP) same(f->line, "an interval", out[s].interval.half, want[3]);
  }
  return f->system_count * (test == DG_PAIRED_BOOTSTRAP ? 4 : 2);
}

static size_t check_figure(text *texts, dg_threads *threads, size_t number, char *line) {
  char *fields[FIELDS], *names[FIELDS];
  size_t n = cut(line, '\t', fields);
  assert_true(n > 6);
  const text *t = read_text(texts, fields[0]);
  figure f = {.line = number,
              .segments = t->count,
              .want = fields + 6,
              .results = n - 6,
              .threads = threads};
  f.system_count = cut(fields[1], ',', names);
  for (size_t i = 0; i < f.system_count; i++) f.systems[i] = t->columns[atoi(names[i])];
  const char *const *lists[FIELDS];
  const char **optional[FIELDS] = {NULL};
  f.references = (dg_references){lists, cut(fields[2], ',', names)};
  for (size_t r = 0; r < f.references.count; r++) {
    lists[r] = t->columns[atoi(names[r])];
    if (strcmp(fields[5], "optional")) continue;
    optional[r] = dg_calloc(t->count, sizeof *optional[r]);
    for (size_t i = 0; i < t->count; i++) optional[r][i] = *lists[r][i] ? lists[r][i] : NULL;
    lists[r] = optional[r];
  }
  f.scorer = make(fields[3], fields[4]);
  const char *kind = fields[5];
  size_t figures = !strcmp(kind, "sentence")     ? check_sentences(&f)
                   : !strcmp(kind, "confidence") ? check_confidence(&f)
                   : !strcmp(kind, "bs")         ? check_paired(&f, DG_PAIRED_BOOTSTRAP)
                   : !strcmp(kind, "ar")         ? check_paired(&f, DG_PAIRED_RANDOMIZATION)
                                                 : check_corpus(&f);
  dg_scorer_free(f.scorer);
  for (size_t r = 0; r < f.references.count; r++) free(optional[r]);
  return figures;
}

/* Every figure, with one thread and with several. */
static size_t check_figures(const char *path) {
  text texts[TEXTS] = {0};
  dg_threads *threads = dg_threads_new(3);
  dg_error err;
  dg_lines *r = dg_lines_open(path, &err);
  if (!r) fail_msg("%s", err.message);
  char *line;
  size_t n, lines = 0, figures = 0;
  while (dg_lines_next(r, &line, &n, &err) > 0) {
    lines++;
    figures += check_figure(texts, lines % 2 ? threads : NULL, lines, line);
  }
  dg_lines_close(r);
  dg_threads_free(threads);
  free_texts(texts);
  print_message("%s: %zu figures in %zu lines\n", path, figures, lines);
  return lines;
}

static void test_figures(void **state) {
  (void)state;
  assert_true(check_figures("tests/eval/figures.txt") >= 500);
}

/* Of what machine translation systems said, in twenty languages. */
static void test_outputs(void **state) {
  (void)state;
  assert_true(check_figures("tests/eval/outputs.txt") >= 1400);
}

/* --- what sacreBLEU documents -------------------------------------------------------------- */

/* "HYP ||| REF ||| REF" to column i of the lists; an empty REF is none if `optional`. Returns
 * the references. */
static size_t read_segment(char *segment, size_t i, bool optional,
                           const char *lists[FIELDS][FIELDS]) {
  static const char bar[] = " ||| ";
  size_t n = 0;
  for (char *next; segment; segment = next) {
    next = strstr(segment, bar);
    if (next) {
      *next = 0;
      next += sizeof bar - 1;
    }
    assert_true(n < FIELDS);
    lists[n][i] = n && optional && !*segment ? NULL : segment;
    n++;
  }
  return n - 1;
}

static double documented_statistics(const dg_scorer *m, const char *numbers) {
  double totals[DG_STATISTICS_MAX] = {0};
  dg_score score;
  char *end;
  for (size_t i = 0; i < dg_scorer_width(m); i++, numbers = end) totals[i] = strtod(numbers, &end);
  dg_scorer_score(m, totals, DG_EXACT, &score);
  return score.score;
}

static void check_documented(size_t number, char *line) {
  enum { WHERE, METRIC, OPTIONS, KIND, WANT, TOLERANCE, DETAIL, SIGNATURE, SEGMENTS };
  char *fields[FIELDS] = {NULL};
  const char *lists[FIELDS][FIELDS], *const *references[FIELDS];
  size_t n = cut(line, '\t', fields), segments = n - SEGMENTS, count = 0;
  assert_true(n > SEGMENTS);
  dg_scorer *m = make(fields[METRIC], fields[OPTIONS]);
  dg_score score;
  dg_error err;
  if (!strcmp(fields[KIND], "statistics")) {
    score.score = documented_statistics(m, fields[SEGMENTS]);
  } else {
    for (size_t i = 0; i < segments; i++)
      count = read_segment(fields[SEGMENTS + i], i, !strcmp(fields[KIND], "optional"), lists);
    for (size_t r = 0; r < count; r++) references[r] = lists[r + 1];
    const dg_references r = {references, count};
    if (!dg_scorer_corpus(m, lists[0], &r, segments, NULL, &score, &err))
      fail_msg("%s", err.message);
    char *verbose = dg_scorer_verbose(m, &score);
    if (verbose && strcmp(fields[DETAIL], "-")) assert_string_equal(verbose, fields[DETAIL]);
    if (!verbose && strcmp(fields[DETAIL], "-"))
      assert_int_equal(score.edit_length, atoi(fields[DETAIL]));
    free(verbose);
    const dg_trials trials = {.references = dg_references_number(&r, segments)};
    char *signature = dg_scorer_signature(m, &trials, false);
    if (strcmp(fields[SIGNATURE], "-")) assert_string_equal(signature, fields[SIGNATURE]);
    free(signature);
  }
  if (!(fabs(score.score - atof(fields[WANT])) <= atof(fields[TOLERANCE])))
    fail_msg("example %zu of %s is %.17g, not %s", number, fields[WHERE], score.score,
             fields[WANT]);
  dg_scorer_free(m);
}

static void test_documented(void **state) {
  (void)state;
  dg_error err;
  dg_lines *r = dg_lines_open("tests/eval/documented.txt", &err);
  if (!r) fail_msg("%s", err.message);
  char *line;
  size_t n, count = 0;
  while (dg_lines_next(r, &line, &n, &err) > 0) check_documented(++count, line);
  dg_lines_close(r);
  assert_true(count >= 100);
}

/* --- others -------------------------------------------------------------------------------- */

static void test_mecab(void **state) {
  (void)state;
  dg_error err;
  dg_mecab *m = dg_mecab_open("ja-mecab", NULL, &err);
  if (!m) {
    print_message("%s\n", err.message);
    skip();
  }
  dg_mecab_free(m);
  assert_true(check_figures("tests/eval/mecab.txt") >= 10);
}

/* Without MeCab or with another dictionary: what is missing, not other words. */
static void test_mecab_absent(void **state) {
  (void)state;
  dg_error err;
  assert_null(dg_mecab_open("ja-mecab", "tests/eval", &err));
  assert_non_null(strstr(err.message, "install the package"));
}

/* What each of sacreBLEU's categories and cases makes of every character. */
static void test_unicode(void **state) {
  (void)state;
  dg_error err;
  dg_lines *r = dg_lines_open("tests/eval/unicode.txt", &err);
  if (!r) fail_msg("%s", err.message);
  char *line;
  size_t n, ranges = 0;
  uint32_t next = 0;
  while (dg_lines_next(r, &line, &n, &err) > 0) {
    unsigned first, last;
    char kind;
    int shift;
    assert_int_equal(sscanf(line, "%x %x %c %d", &first, &last, &kind, &shift), 4);
    assert_int_equal(first, next);
    for (uint32_t c = first; c <= last; c++) {
      char category = dg_py_category(c), want = kind == '-' || kind == 'w' ? 0 : kind;
      if (category != want) fail_msg("U+%04X is %c, not %c", c, category ? category : '-', kind);
      assert_int_equal(dg_py_space(c), kind == 'w');
      if (shift == 99999999 || !c || (c >= 0xD800 && c <= 0xDFFF)) continue;
      dg_strbuf in = {0}, lower = {0}, wanted = {0};
      dg_py_put(&in, c);
      dg_py_lower(in.text, in.length, &lower);
      dg_py_put(&wanted, (uint32_t)((int)c + shift));
      if (strcmp(lower.text, wanted.text)) fail_msg("U+%04X is lowered wrongly", c);
      free(in.text);
      free(lower.text);
      free(wanted.text);
    }
    next = last + 1;
    ranges++;
  }
  dg_lines_close(r);
  assert_int_equal(next, 0x110000);
  assert_true(ranges > 1000);
}

/* Small models of ours stand where sacreBLEU keeps the published ones, as in goldens/eval.py. */
static int keep_models(void **state) {
  (void)state;
  static const char *const models[][2] = {
      {"tests/tokenizer/unigram.model", "sacrebleu_tokenizer_spm.model"},
      {"tests/tokenizer/bpe.model", "flores200sacrebleuspm"}};
  const char *scratch = getenv("TMPDIR");
  char *directory = dg_format("%s/models", scratch ? scratch : "/tmp");
  int failed = mkdir(directory, 0777) && errno != EEXIST;
  for (int i = 0; i < 2; i++) {
    char *target = realpath(models[i][0], NULL);
    char *name = dg_format("%s/%s", directory, models[i][1]);
    unlink(name);
    failed |= !target || symlink(target, name);
    free(target);
    free(name);
  }
  *strrchr(directory, '/') = 0;
  setenv("SACREBLEU", directory, 1);
  free(directory);
  return failed;
}

/* A model that is not the published one does not sign as if it were. */
static void test_other_model(void **state) {
  (void)state;
  dg_error err;
  dg_bleu_options bleu = dg_bleu_defaults();
  bleu.tokenizer = "flores200";
  bleu.model = "tests/tokenizer/bpe.model";
  dg_scorer *m = dg_scorer_bleu(&bleu, &err);
  assert_non_null(m);
  char *signature = dg_scorer_signature(m, &(dg_trials){.references = 1}, false);
  assert_null(strstr(signature, "flores200"));
  assert_non_null(strstr(signature, "|tok:spm-"));
  free(signature);
  dg_scorer_free(m);
}

static void test_refusals(void **state) {
  (void)state;
  dg_error err;
  dg_bleu_options bleu = dg_bleu_defaults();
  bleu.tokenizer = "14a";
  assert_null(dg_scorer_bleu(&bleu, &err));
  assert_non_null(strstr(err.message, "\"14a\""));
  bleu.tokenizer = "flores200";
  bleu.model = "tests/eval/absent.model";
  assert_null(dg_scorer_bleu(&bleu, &err));
  bleu = dg_bleu_defaults();
  bleu.order = 0;
  assert_null(dg_scorer_bleu(&bleu, &err));
  dg_chrf_options chrf = {.char_order = 0, .word_order = 0, .beta = 2};
  assert_null(dg_scorer_chrf(&chrf, &err));
  chrf = (dg_chrf_options){.char_order = 6, .word_order = 20, .beta = 2};
  assert_null(dg_scorer_chrf(&chrf, &err));
  dg_scorer *m = dg_scorer_ter(NULL, &err);
  const char *hyp[] = {"a", "b"}, *ref[] = {"a", NULL};
  const char *const *lists[] = {ref};
  const dg_references r = {lists, 1};
  dg_score score;
  assert_false(dg_scorer_corpus(m, hyp, &r, 2, NULL, &score, &err));
  assert_non_null(strstr(err.message, "segment 2 has no reference"));
  assert_false(dg_scorer_corpus(m, hyp, &r, 0, NULL, &score, &err));
  dg_interval interval;
  assert_false(dg_bootstrap(m, hyp, &r, 1, 0, 1, NULL, &score, &interval, &err));
  dg_scorer_free(m);
}

/* A gain is a higher score, or fewer errors; a loss may be as significant. */
static void test_gain(void **state) {
  (void)state;
  enum { N = 40 };
  const char *bad[N], *good[N], *ref[N];
  for (size_t i = 0; i < N; i++)
    bad[i] = "one two six", good[i] = "one two three", ref[i] = good[i];
  const char *const *lists[] = {ref};
  const dg_references r = {lists, 1};
  for (int k = 0; k < 2; k++) {
    dg_error err;
    dg_scorer *m = k ? dg_scorer_ter(NULL, &err) : dg_scorer_chrf(NULL, &err);
    const char *const *const systems[] = {bad, good, bad}, *const *const turned[] = {good, bad};
    dg_comparison out[3];
    for (int test = DG_PAIRED_BOOTSTRAP; test <= DG_PAIRED_RANDOMIZATION; test++) {
      if (!dg_compare(m, systems, 3, &r, N, (dg_paired_test)test, 100, 1, NULL, out, &err))
        fail_msg("%s", err.message);
      assert_true(dg_is_gain(&out[1]) && out[1].gain > 1);
      assert_true(out[0].gain == 0 && out[2].gain == 0 && !dg_is_gain(&out[2]));
      assert_false(dg_is_significant(&out[0]));
      assert_true(dg_compare(m, turned, 2, &r, N, (dg_paired_test)test, 100, 1, NULL, out, &err));
      assert_true(out[1].gain < -1 && dg_is_significant(&out[1]) && !dg_is_gain(&out[1]));
    }
    dg_scorer_free(m);
  }
}

/* What one system's score hides, beside one that hides nothing. */
static void test_analysis(void **state) {
  (void)state;
  enum { N = 7 };
  const char *ref[N] = {"un dous tres", "catro", "cinco", "catro", NULL, "<b>a %s</b>", "a %d"};
  const char *second[N] = {"un dous", "catro", "cinco", "catro", "a segunda referencia",
                           "%s <b>a</b>", "a %x"};
  const char *bad[N] = {"un un un un", "four", "", "катро", "a segunda referencia", "<b>a %</b>",
                        "a %s"};
  const char *source[N] = {"one two three", "four", "five", "four", "the second", "<b>the %s</b>",
                           "the %s"}; /* the last reference has another, too */
  const char *const *lists[] = {ref, second}, *const *const systems[] = {bad, second};
  const dg_references r = {lists, 2};
  dg_error err;
  dg_scorer *metrics[] = {dg_scorer_bleu(NULL, &err), dg_scorer_chrf(NULL, &err)};
  dg_analysis_options o = {.worst = 9, .sources = source};
  o.by[DG_BY_LENGTH] = o.by[DG_BY_FREQUENCY] = true;
  dg_analysis *a = dg_analysis_new(&o, systems, 2, &r, N, metrics, 2, NULL, &err);
  if (!a) fail_msg("%s", err.message);
  assert_string_equal(dg_analysis_reference(a, 4), "a segunda referencia");
  for (dg_failure k = 0; k < DG_FAILURES; k++) {
    assert_int_equal(dg_analysis_failures(a, 0, k), 1);
    assert_int_equal(dg_analysis_failures(a, 1, k), 0);
  }
  size_t n;
  assert_string_equal(dg_analysis_group(a, DG_BY_LENGTH, 1, &n), "11-20");
  assert_int_equal(n, 1);
  assert_true(fabs(dg_analysis_group_score(a, DG_BY_LENGTH, 1, 1, 0) - 100) < 1e-9);
  assert_string_equal(dg_analysis_group(a, DG_BY_FREQUENCY, 1, &n), "once");
  assert_int_equal(n, 5);
  assert_int_equal(dg_analysis_groups(a, DG_BY_SCRIPT), 0);
  assert_int_equal(dg_analysis_ranking(a), 1);
  const size_t *worst = dg_analysis_worst(a, 0, &n);
  assert_int_equal(n, N);
  assert_int_equal(worst[N - 1], 4);
  for (size_t i = 1; i < N; i++)
    assert_true(dg_analysis_segment_score(a, 0, worst[i - 1]) <=
                dg_analysis_segment_score(a, 0, worst[i]));
  dg_analysis_free(a);
  dg_scorer_free(metrics[0]);
  dg_scorer_free(metrics[1]);
}

/* repr() of Python. */
static void test_repr(void **state) {
  (void)state;
  static const struct {
    double x;
    const char *want;
  } table[] = {{0, "0.0"},
               {1, "1.0"},
               {47.5, "47.5"},
               {0.1, "0.1"},
               {1e-5, "1e-05"},
               {1.5e-7, "1.5e-07"},
               {0.0001, "0.0001"},
               {1e16, "1e+16"},
               {123456789.125, "123456789.125"},
               {1.0 / 3, "0.3333333333333333"},
               {2.0 / 3, "0.6666666666666666"},
               {100, "100.0"},
               {0.00019998000199980003, "0.00019998000199980003"},
               {-2.5, "-2.5"}};
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    char got[32];
    dg_py_repr(table[i].x, got);
    assert_string_equal(got, table[i].want);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_figures),      cmocka_unit_test(test_outputs),
      cmocka_unit_test(test_documented),   cmocka_unit_test(test_mecab),
      cmocka_unit_test(test_mecab_absent), cmocka_unit_test(test_unicode),
      cmocka_unit_test(test_refusals),     cmocka_unit_test(test_gain),
      cmocka_unit_test(test_analysis),     cmocka_unit_test(test_repr),
      cmocka_unit_test(test_other_model),
  };
  return cmocka_run_group_tests(tests, keep_models, NULL);
}
