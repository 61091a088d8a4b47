#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "eval/metrics.h"
#include "eval/pytext.h"
#include "eval/significance.h"
#include "mt/cli/cli.h"
#include "mt/cli/eval_model.h"
#include "mt/cli/eval_print.h"
#include "mt/cli/eval_report.h"
#include "mt/cli/eval_text.h"
#include "mt/core/file.h"

enum { METRICS_MAX = 4 };

typedef enum test_kind { TEST_NONE, TEST_CONFIDENCE, TEST_BOOTSTRAP, TEST_RANDOMIZATION } test_kind;

typedef struct session {
  dg_cli *cli;
  /* what was asked for */
  const char *metric_names, *tokenizer, *tokenizer_model, *smooth, *format_name;
  dg_list reference_paths;
  int num_refs, width, confidence_trials, bootstrap_trials, randomization_trials, seed;
  bool optional_refs, sentence_level, abbreviated, force;
  bool confidence, paired_bootstrap, paired_randomization;
  dg_bleu_options bleu;
  dg_chrf_options chrf;
  dg_ter_options ter;
  dg_eval_format format;
  test_kind test;
  dg_eval_model model;
  const char *test_path, *source_path, *known_path, *by, *html;
  int worst;
  double min_gain; /* NAN: none asked for */
  dg_report_options report;
  /* what was read */
  dg_texts references, systems, others, known; /* others: the source; known: words of training */
  const char *const **reference_lines, *const **system_lines;
  dg_references refs;
  size_t segments;
  dg_scorer *metrics[METRICS_MAX];
  char *signatures[METRICS_MAX], *verbose[METRICS_MAX];
  size_t metric_count, decisive; /* the one named first, which is metric_flags[first] */
  int first;
  dg_comparison *results;        /* [metric * systems + system] */
  const char **names;            /* of the systems, as tables have them */
  char *baseline;
  char seed_text[16];
  dg_threads *threads;
} session;

/* --- texts --------------------------------------------------------------------------------- */

/* Where the two sides of a test set stand: in two files, "a.en,a.gl", or in two columns. */
static void part_test(const char *path, char *sides[2]) {
  const char *comma = access(path, F_OK) ? strchr(path, ',') : NULL;
  sides[0] = comma ? dg_strndup(path, (size_t)(comma - path)) : dg_format("%s:1", path);
  sides[1] = comma ? dg_strdup(comma + 1) : dg_format("%s:2", path);
}

/* The test set of a model: sources and, unless -r names them, references beside them. */
static bool read_test(session *s, dg_error *err) {
  if (s->reference_paths.count) {
    if (!dg_texts_read(&s->others, s->test_path, DG_CUT_NOT, err)) return false;
    const dg_text *t = &s->others.items[0];
    return !t->count || !strchr(t->lines[0], '\t') ||
           dg_fail(err, DG_ERR_USAGE,
                   "%s has columns, and -r says where the references are: name the source's, %s:1",
                   s->test_path, s->test_path);
  }
  char *sides[2];
  part_test(s->test_path, sides);
  bool ok = dg_texts_read(&s->others, sides[0], DG_CUT_NOT, err) &&
            dg_texts_read(&s->references, sides[1], DG_CUT_NOT, err);
  for (int i = 0; i < 2; i++) free(sides[i]);
  return ok;
}

static bool read_references(session *s, dg_error *err) {
  if (s->test_path && !read_test(s, err)) return false;
  if (s->source_path && !dg_texts_read(&s->others, s->source_path, DG_CUT_NOT, err)) return false;
  if (s->known_path && !dg_texts_read(&s->known, s->known_path, DG_CUT_NOT, err)) return false;
  for (size_t i = 0; i < s->reference_paths.count; i++)
    if (!dg_texts_read(&s->references, s->reference_paths.items[i],
                       s->num_refs > 1 ? s->num_refs : DG_CUT_NOT, err))
      return false;
  s->reference_lines = dg_calloc(s->references.count, sizeof *s->reference_lines);
  for (size_t i = 0; i < s->references.count; i++) {
    const dg_text *t = &s->references.items[i];
    s->reference_lines[i] = t->lines;
    size_t texts = 0;
    for (size_t k = 0; k < t->count; k++) texts += !dg_py_blank(t->lines[k]);
    if (!texts)
      return dg_fail(err, DG_ERR_FORMAT,
                     "%s: the reference is empty: name with -r the file of right translations",
                     t->name);
  }
  s->refs = (dg_references){s->reference_lines, s->references.count};
  return true;
}

/* Models are compared unless it was said how. */
static bool check_systems(void *context, size_t n, dg_error *err) {
  session *s = context;
  if (s->test_path && n > 1 && s->test == TEST_NONE && !s->sentence_level) s->test = TEST_BOOTSTRAP;
  if (s->sentence_level && n > 1)
    return dg_fail(err, DG_ERR_USAGE, "--sentence-level is for one system, not %zu", n);
  if (s->test == TEST_CONFIDENCE && n > 1)
    return dg_fail(err, DG_ERR_USAGE, "--confidence is for one system; for %zu say --paired-bs", n);
  if ((s->test == TEST_BOOTSTRAP || s->test == TEST_RANDOMIZATION) && n < 2)
    return dg_fail(err, DG_ERR_USAGE, "%s needs two systems: the baseline, then the other",
                   isnan(s->min_gain) ? "a paired test" : "--min-gain");
  return true;
}

static bool read_systems(session *s, dg_error *err) {
  const dg_list *files = &s->cli->rest;
  if (s->test_path)
    return dg_eval_translate(&s->model, s->cli, &s->others.items[0], check_systems, s, &s->systems,
                             err);
  if (!files->count) {
    if (!dg_texts_read(&s->systems, "-", DG_CUT_BY_FIRST_LINE, err)) return false;
    for (size_t i = 0; s->systems.count > 1 && i < s->systems.count; i++) {
      free(s->systems.items[i].name);
      s->systems.items[i].name = dg_format("System %zu", i + 1);
    }
  }
  const bool paired = s->test == TEST_BOOTSTRAP || s->test == TEST_RANDOMIZATION;
  for (size_t i = 0; i < files->count; i++) {
    size_t k = 0;
    while (k < i && strcmp(files->items[i], files->items[k])) k++;
    if (paired && i && !k) continue; /* "base.txt *.txt": the baseline once more */
    if (k < i)
      return dg_fail(err, DG_ERR_USAGE, "%s is named twice: each system needs a name of its own",
                     files->items[i]);
    if (!dg_texts_read(&s->systems, files->items[i], DG_CUT_NOT, err)) return false;
  }
  return check_systems(s, s->systems.count, err);
}

static bool same_length(const dg_text *hypothesis, const dg_text *reference, dg_error *err) {
  if (hypothesis->count == reference->count) return true;
  bool more = hypothesis->count > reference->count;
  return dg_fail(err, DG_ERR_FORMAT,
                 "%s has %zu lines but the reference %s has %zu: from line %zu on one has nothing "
                 "to stand beside; both must translate the same segments, a line each",
                 hypothesis->name, hypothesis->count, reference->name, reference->count,
                 (more ? reference->count : hypothesis->count) + 1);
}

static void warn_tokenized(const session *s, const dg_text *t) {
  size_t lines = 0;
  for (size_t i = 0; i < t->count; i++) {
    size_t n = strlen(t->lines[i]);
    lines += n > 1 && !strcmp(t->lines[i] + n - 2, " .");
  }
  if (lines >= 100)
    dg_cli_say(s->cli,
               "dragoman: warning: %s: %zu lines end in \" .\": text to score is not tokenized "
               "(--force: it is meant so)\n",
               t->name, lines);
}

/* sacreBLEU counts an empty reference as one; it is seldom meant so. */
static void warn_empty(const session *s) {
  for (size_t i = 0; i < s->segments; i++)
    for (size_t r = 0; r < s->references.count; r++) {
      const dg_text *t = &s->references.items[r];
      if (!dg_py_blank(t->lines[i]) || dg_py_blank(s->systems.items[0].lines[i])) continue;
      dg_cli_say(s->cli,
                 "dragoman: warning: %s: line %zu is empty, and counts as a translation into "
                 "nothing (--optional-refs: there is none)\n",
                 t->name, i + 1);
      return;
    }
}

/* Before anything is translated. */
static bool settle_references(session *s, dg_error *err) {
  s->segments = s->references.items[0].count;
  if (s->others.count && !same_length(&s->others.items[0], &s->references.items[0], err))
    return false;
  for (size_t r = 1; r < s->references.count; r++)
    if (!same_length(&s->references.items[r], &s->references.items[0], err)) return false;
  for (size_t i = 0; s->optional_refs && i < s->segments; i++) {
    size_t r = 0;
    while (r < s->references.count && dg_py_blank(s->references.items[r].lines[i])) r++;
    if (r == s->references.count)
      return dg_fail(err, DG_ERR_FORMAT,
                     "%s: line %zu is empty, and there is no other reference: fill it in, or leave "
                     "--optional-refs out", s->references.items[0].name, i + 1);
  }
  return true;
}

static bool settle_texts(session *s, dg_error *err) {
  s->system_lines = dg_calloc(s->systems.count, sizeof *s->system_lines);
  for (size_t i = 0; i < s->systems.count; i++) {
    if (!same_length(&s->systems.items[i], &s->references.items[0], err)) return false;
    s->system_lines[i] = s->systems.items[i].lines;
  }
  if (s->optional_refs) {
    for (size_t r = 0; r < s->references.count; r++)
      for (size_t i = 0; i < s->segments; i++)
        if (dg_py_blank(s->references.items[r].lines[i])) s->references.items[r].lines[i] = NULL;
  } else {
    warn_empty(s);
  }
  for (size_t i = 0; !s->force && i < s->systems.count; i++)
    warn_tokenized(s, &s->systems.items[i]);
  return true;
}

/* --- metrics ------------------------------------------------------------------------------- */

enum { BLEU, CHRF, CHRF_PLUS, TER };
static const char *const metric_flags[METRICS_MAX] = {"bleu", "chrf", "chrf++", "ter"};

/* The place in a table of the next name of a list, "bleu, chrf"; count: it is none of them. False
 * at the list's end. */
static bool next_name(const char **list, const char *const *names, int count, int *found) {
  *list += strspn(*list, ", ");
  size_t n = strcspn(*list, ", ");
  *found = 0;
  while (*found < count && (strlen(names[*found]) != n || strncasecmp(names[*found], *list, n)))
    ++*found;
  *list += n;
  return n > 0;
}

/* Sets wanted[] from "bleu,chrf"; false at a name that is none. The metric named first decides,
 * wherever the table has it. */
static bool choose(session *s, bool wanted[METRICS_MAX]) {
  const char *list = s->metric_names;
  int m;
  s->first = METRICS_MAX;
  while (next_name(&list, metric_flags, METRICS_MAX, &m)) {
    if (m == METRICS_MAX) return false;
    if (s->first == METRICS_MAX) s->first = m;
    wanted[m] = true;
  }
  return s->first < METRICS_MAX;
}

static bool make_metrics(session *s, const bool wanted[METRICS_MAX], dg_error *err) {
  for (int m = 0; m < METRICS_MAX; m++) {
    if (!wanted[m]) continue;
    dg_chrf_options plus = s->chrf;
    if (m == CHRF_PLUS) plus.word_order = 2;
    dg_scorer *made = m == BLEU  ? dg_scorer_bleu(&s->bleu, err)
                      : m == TER ? dg_scorer_ter(&s->ter, err)
                                 : dg_scorer_chrf(&plus, err);
    if (!made) return false;
    if (m == s->first) s->decisive = s->metric_count;
    s->metrics[s->metric_count++] = made;
  }
  return true;
}

/* One resample is none to sacreBLEU. */
static bool has_interval(const session *s) {
  return s->test == TEST_CONFIDENCE && s->confidence_trials > 1;
}

/* sacreBLEU has no flag for the order of n-grams, and does not sign it. */
static char *signature(const session *s, size_t m, const dg_trials *t, bool abbreviated) {
  char *plain = dg_scorer_signature(s->metrics[m], t, abbreviated), *out = NULL;
  if (s->bleu.order == dg_bleu_defaults().order || strcmp(dg_scorer_name(s->metrics[m]), "BLEU"))
    return plain;
  out = dg_format("%s|%s:%d", plain, abbreviated ? "o" : "order", s->bleu.order);
  free(plain);
  return out;
}

static void sign(session *s) {
  dg_trials t = {.references = dg_references_number(&s->refs, s->segments)};
  if (has_interval(s)) t.bootstrap = s->confidence_trials;
  if (s->test == TEST_BOOTSTRAP) t.bootstrap = s->bootstrap_trials;
  if (s->test == TEST_RANDOMIZATION) t.randomization = s->randomization_trials;
  if (t.bootstrap || t.randomization) t.seed = s->seed_text;
  bool single_json = s->format == DG_FORMAT_JSON;
  for (size_t m = 0; m < s->metric_count; m++)
    s->signatures[m] = signature(s, m, &t, s->abbreviated && !single_json);
}

/* --- scores -------------------------------------------------------------------------------- */

static bool score_one(session *s, dg_error *err) {
  const char *const *lines = s->systems.items[0].lines;
  for (size_t m = 0; m < s->metric_count; m++) {
    const dg_scorer *metric = s->metrics[m];
    dg_score score;
    dg_interval interval = {0, -1};
    bool ok =
        has_interval(s)
             ? dg_bootstrap(metric, lines, &s->refs, s->segments, s->confidence_trials,
                            (uint64_t)s->seed, s->threads, &score, &interval, err)
             : dg_scorer_corpus(metric, lines, &s->refs, s->segments, s->threads, &score, err);
    if (!ok) return false;
    s->verbose[m] = dg_scorer_verbose(metric, &score);
    s->results[m] = (dg_comparison){.score = score.score, .interval = interval, .p_value = 1};
  }
  return true;
}

static void print_one(const session *s) {
  dg_eval_score list[METRICS_MAX];
  for (size_t m = 0; m < s->metric_count; m++)
    list[m] = (dg_eval_score){.name = dg_scorer_name(s->metrics[m]),
                              .signature = s->signatures[m],
                              .verbose = s->verbose[m],
                              .value = s->results[m].score,
                              .interval = s->results[m].interval};
  dg_print_scores(list, s->metric_count, s->width, s->cli->quiet, s->format);
}

/* Each segment by itself, its signature too: the number of references may differ. */
static bool score_sentences(session *s, dg_error *err) {
  const dg_scorer *m = s->metrics[0];
  size_t width = dg_scorer_width(m);
  double *statistics = dg_alloc_checked(s->segments * width, sizeof *statistics, err);
  bool ok = statistics && dg_scorer_measure(m, s->systems.items[0].lines, &s->refs, s->segments,
                                            s->threads, statistics, err);
  for (size_t i = 0; ok && i < s->segments; i++) {
    dg_score score;
    dg_trials t = {0};
    for (size_t r = 0; r < s->refs.count; r++) t.references += s->refs.lists[r][i] != NULL;
    dg_scorer_score(m, statistics + i * width, DG_EXACT, &score);
    char *verbose = dg_scorer_verbose(m, &score),
         *signed_so = signature(s, 0, &t, s->abbreviated);
    dg_eval_score line = {.name = dg_scorer_name(m),
                          .signature = signed_so,
                          .verbose = verbose,
                          .value = score.score,
                          .interval = {0, -1}};
    dg_print_sentence(&line, s->width, s->cli->quiet, s->format);
    free(verbose);
    free(signed_so);
  }
  free(statistics);
  return ok;
}

static dg_eval_table table_of(const session *s, const char **metrics) {
  for (size_t m = 0; m < s->metric_count; m++) metrics[m] = dg_scorer_name(s->metrics[m]);
  bool bootstrap = s->test == TEST_BOOTSTRAP;
  return (dg_eval_table){.systems = s->names,
                         .metrics = metrics,
                         .signatures = (const char *const *)s->signatures,
                         .results = s->results,
                         .system_count = s->systems.count,
                         .metric_count = s->metric_count,
                         .paired = bootstrap || s->test == TEST_RANDOMIZATION,
                         .bootstrap = bootstrap,
                         .trials = bootstrap ? s->bootstrap_trials : s->randomization_trials};
}

static void name_systems(session *s) {
  size_t systems = s->systems.count;
  s->names = dg_calloc(systems, sizeof *s->names);
  for (size_t i = 0; i < systems; i++) s->names[i] = s->systems.items[i].name;
  if (s->test != TEST_BOOTSTRAP && s->test != TEST_RANDOMIZATION) return;
  if (s->cli->rest.count || s->test_path) {
    s->names[0] = s->baseline = dg_format("Baseline: %s", s->names[0]);
    return;
  }
  s->names[0] = "Baseline"; /* columns of standard input */
  for (size_t i = 1; i < systems; i++) s->names[i] = s->systems.items[i - 1].name;
}

static bool score_many(session *s, dg_error *err) {
  size_t systems = s->systems.count;
  const char *metrics[METRICS_MAX];
  const dg_eval_table table = table_of(s, metrics);
  for (size_t m = 0; m < s->metric_count; m++) {
    if (table.paired &&
        !dg_compare(s->metrics[m], s->system_lines, systems, &s->refs, s->segments,
                    table.bootstrap ? DG_PAIRED_BOOTSTRAP : DG_PAIRED_RANDOMIZATION, table.trials,
                    (uint64_t)s->seed, s->threads, s->results + m * systems, err))
      return false;
    for (size_t i = 0; !table.paired && i < systems; i++) {
      dg_score score;
      if (!dg_scorer_corpus(s->metrics[m], s->system_lines[i], &s->refs, s->segments, s->threads,
                            &score, err))
        return false;
      s->results[m * systems + i].score = score.score;
    }
  }
  return true;
}

static void print_many(const session *s) {
  const char *metrics[METRICS_MAX];
  const dg_eval_table table = table_of(s, metrics);
  dg_print_table(&table, s->width, s->format);
}

/* --- beyond scores ------------------------------------------------------------------------- */

/* What is printed beside the scores; a page has more. */
static bool wants_details(const session *s) { return s->report.failures || s->worst || s->by; }

static bool choose_groups(session *s) {
  static const char *const names[DG_GROUPINGS] = {"length", "script", "frequency"};
  const char *list = s->by ? s->by : "";
  int i;
  while (next_name(&list, names, DG_GROUPINGS, &i)) {
    if (i == DG_GROUPINGS) return false;
    s->report.analysis.by[i] = true;
  }
  return true;
}

/* With what a page has unless it was asked for. */
static dg_report *make_report(session *s, bool page, dg_error *err) {
  dg_report_options o = s->report;
  o.analysis.worst = s->worst || !page ? (size_t)s->worst : 20;
  if (s->others.count) o.analysis.sources = s->others.items[0].lines;
  if (s->known.count)
    o.analysis.known = s->known.items[0].lines, o.analysis.known_count = s->known.items[0].count;
  if (page && !s->by) o.analysis.by[DG_BY_LENGTH] = o.analysis.by[DG_BY_FREQUENCY] = true;
  return dg_report_new(&o, &s->systems, s->system_lines, &s->refs, s->segments, s->metrics,
                       s->metric_count, s->threads, err);
}

static bool write_html(session *s, dg_error *err) {
  dg_report *r = make_report(s, true, err);
  if (!r) return false;
  dg_strbuf page = {0};
  const char *metrics[METRICS_MAX];
  const dg_eval_table table = table_of(s, metrics);
  dg_report_html(r, &table, s->width, &page);
  bool ok = dg_output_whole(s->html, page.text, page.length, err);
  free(page.text);
  dg_report_free(r);
  return ok;
}

/* Shipping an adapter hangs on this: does the last system beat the first, by the metric that
 * was named first? */
static bool check_gain(const session *s, dg_error *err) {
  if (isnan(s->min_gain)) return true;
  size_t systems = s->systems.count, last = systems - 1;
  size_t m = s->decisive;
  const dg_comparison *other = &s->results[m * systems + last];
  if (dg_is_gain(other) && other->gain >= s->min_gain) return true;
  return dg_fail(err, DG_ERR_FORMAT,
                 "%s gains %+.*f %s over %s (p = %.4f), which is not %g at least and significant",
                 s->systems.items[last].name, s->width > 2 ? s->width : 2, other->gain,
                 dg_scorer_name(s->metrics[m]), s->systems.items[0].name, other->p_value,
                 s->min_gain);
}

/* The files of all texts that are read, as they are named. */
static dg_list texts_of(const session *s) {
  const char *texts[] = {s->test_path, s->source_path, s->known_path, s->bleu.model};
  const dg_list named = {.items = texts, .count = sizeof texts / sizeof *texts};
  const dg_list *lists[] = {&named, &s->reference_paths, &s->cli->rest};
  dg_list all = {0};
  for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
    for (size_t k = 0; k < lists[i]->count; k++)
      if (lists[i]->items[k]) dg_list_add(&all, lists[i]->items[k]);
  if (s->test_path && !s->reference_paths.count) dg_list_add(&all, s->test_path); /* both sides */
  if (!s->test_path && !s->cli->rest.count) dg_list_add(&all, "-");
  return all;
}

static bool reads_standard_once(const session *s) {
  dg_list texts = texts_of(s);
  size_t times = 0;
  for (size_t i = 0; i < texts.count; i++) {
    char *file = dg_text_file(texts.items[i]);
    times += !strcmp(file, "-");
    free(file);
  }
  free(texts.items);
  return times < 2;
}

/* --- the command --------------------------------------------------------------------------- */

static int check_metrics(session *s, bool wanted[METRICS_MAX]) {
  const dg_cli *cli = s->cli;
  if (!s->reference_paths.count && !s->test_path)
    return dg_cli_usage(cli, "say with -r where the reference translations are");
  if (!choose(s, wanted))
    return dg_cli_usage(cli, "-m \"%s\" is no list of bleu, chrf, chrf++ and ter", s->metric_names);
  if (wanted[CHRF_PLUS] && dg_cli_given(s->cli, "chrf-word-order"))
    return dg_cli_usage(cli, "chrf++ is chrF with word n-grams of 2: say -m chrf for others");
  if (s->sentence_level && wanted[0] + wanted[1] + wanted[2] + wanted[3] > 1)
    return dg_cli_usage(cli, "--sentence-level takes one metric: say which with -m");
  return DG_CLI_GO;
}

static int check_flags(session *s) {
  static const char *const smoothings[] = {"none", "floor", "add-k", "exp"};
  static const char *const formats[] = {"text", "json", "latex", "markdown"};
  const dg_cli *cli = s->cli;
  int i = 0;
  while (i < 4 && strcmp(smoothings[i], s->smooth)) i++;
  if (i == 4)
    return dg_cli_usage(cli, "--smooth \"%s\" is none of none, floor, add-k, exp", s->smooth);
  s->bleu.smoothing = (dg_smoothing)i;
  if (s->bleu.smooth_value < 0 && s->bleu.smooth_value != dg_bleu_defaults().smooth_value)
    return dg_cli_usage(cli, "--smooth-value %g is below 0", s->bleu.smooth_value);
  for (i = 0; i < 4 && strcmp(formats[i], s->format_name);) i++;
  if (i == 4)
    return dg_cli_usage(cli, "--format \"%s\" is none of text, json, latex, markdown",
                        s->format_name);
  s->format = cli->json ? DG_FORMAT_JSON : (dg_eval_format)i;
  if (s->width > 20)
    return dg_cli_usage(cli, "--width %d is more digits than mean anything (20)", s->width);
  if (s->num_refs < 1 || s->num_refs > 100) return dg_cli_usage(cli, "--num-refs is not in 1..100");
  if (s->num_refs > 1 && s->reference_paths.count > 1)
    return dg_cli_usage(cli, "--num-refs is for references in one file");
  if (s->confidence + s->paired_bootstrap + s->paired_randomization > 1)
    return dg_cli_usage(cli, "of --confidence, --paired-bs and --paired-ar one can be had");
  s->test = s->confidence             ? TEST_CONFIDENCE
            : s->paired_bootstrap     ? TEST_BOOTSTRAP
            : s->paired_randomization ? TEST_RANDOMIZATION
                                      : TEST_NONE;
  if (s->sentence_level && s->test != TEST_NONE)
    return dg_cli_usage(cli, "no test of significance goes with --sentence-level");
  if (s->sentence_level) s->bleu.effective_order = true;
  if (!isnan(s->min_gain) && (s->sentence_level || s->test == TEST_CONFIDENCE))
    return dg_cli_usage(cli, "--min-gain compares systems");
  if (!isnan(s->min_gain) && s->test == TEST_NONE) s->test = TEST_BOOTSTRAP;
  const struct {
    const char *flag;
    int trials;
    bool wanted;
  } trials[] = {{"paired-bs-n", s->bootstrap_trials, s->test == TEST_BOOTSTRAP},
                {"paired-ar-n", s->randomization_trials, s->test == TEST_RANDOMIZATION},
                {"confidence-n", s->confidence_trials, s->test == TEST_CONFIDENCE}};
  for (size_t k = 0; k < sizeof trials / sizeof *trials; k++)
    if (trials[k].wanted && (trials[k].trials < 1 || trials[k].trials > DG_TRIALS_MOST))
      return dg_cli_usage(cli, "--%s is not in 1..%d", trials[k].flag, DG_TRIALS_MOST);
  if (!choose_groups(s))
    return dg_cli_usage(cli, "--by \"%s\" is no list of length, script and frequency", s->by);
  if ((wants_details(s) || s->html) && s->sentence_level)
    return dg_cli_usage(cli, "--sentence-level gives no report");
  if (s->test_path && cli->rest.count)
    return dg_cli_usage(cli, "--test translates: there is no HYP to name with it");
  const dg_model_choice *m = &s->model.choice;
  if (!s->test_path && (m->base || m->adapters.count || m->source || m->target ||
                        dg_cli_given(s->cli, "beam")))
    return dg_cli_usage(cli, "a model is evaluated on a test set: name it with --test");
  if (s->model.beam < 1 || s->model.beam > 256) return dg_cli_usage(cli, "--beam is not in 1..256");
  if (s->test_path && s->source_path)
    return dg_cli_usage(cli, "--test has the source already: no --source-text");
  if (!reads_standard_once(s))
    return dg_cli_usage(cli, "only one text can be standard input, and only once");
  return DG_CLI_GO;
}

/* Flags that are of metrics which are not asked for. */
static void tell_useless(const session *s, const bool wanted[METRICS_MAX]) {
  static const char *const of_bleu[] = {"tokenize", "tokenizer-model", "smooth", "smooth-value",
                                        "bleu-order", "lowercase", "effective-order"};
  for (const dg_flag *f = s->cli->flags; f->name; f++) {
    bool bleu = false, chrf = !strncmp(f->name, "chrf-", 5), ter = !strncmp(f->name, "ter-", 4);
    for (size_t i = 0; i < sizeof of_bleu / sizeof *of_bleu; i++)
      bleu = bleu || !strcmp(f->name, of_bleu[i]);
    if (!dg_cli_given(s->cli, f->name) || !(bleu || chrf || ter)) continue;
    if ((bleu && wanted[BLEU]) || (chrf && (wanted[CHRF] || wanted[CHRF_PLUS])) ||
        (ter && wanted[TER]))
      continue;
    dg_cli_say(s->cli, "dragoman: warning: --%s is of %s, which is not asked for\n", f->name,
               bleu ? "BLEU" : chrf ? "chrF" : "TER");
  }
}

/* The page must not replace a text, and can be written; models are looked after where they are
 * found. */
static bool check_output(session *s, dg_error *err) {
  dg_list texts = texts_of(s);
  bool ok = true;
  for (size_t i = 0; ok && i < texts.count; i++) {
    char *file = dg_text_file(texts.items[i]);
    ok = dg_cli_spares(s->html, file, err);
    free(file);
  }
  free(texts.items);
  s->model.choice.output = s->html;
  if (!ok || !s->html) return ok;
  dg_output *out = dg_output_open(s->html, err);
  dg_output_abort(out);
  return out != NULL;
}

static int run(session *s, const bool wanted[METRICS_MAX]) {
  dg_error err = {0};
  tell_useless(s, wanted);
  if (!check_output(s, &err) || !make_metrics(s, wanted, &err) || !read_references(s, &err) ||
      !settle_references(s, &err) || !read_systems(s, &err) || !settle_texts(s, &err))
    return dg_cli_fail(&err);
  sign(s);
  name_systems(s);
  s->threads = dg_threads_new(s->cli->threads);
  s->results = dg_calloc(s->systems.count * s->metric_count, sizeof *s->results);
  bool details = wants_details(s), json = details && s->format == DG_FORMAT_JSON;
  bool ok = s->sentence_level      ? score_sentences(s, &err)
            : s->systems.count > 1 ? score_many(s, &err)
                                   : score_one(s, &err);
  dg_report *r = ok && details ? make_report(s, false, &err) : NULL;
  if (details && !r) ok = false;
  /* All is there before any of it is printed. */
  if (ok && json) fputs("{\"scores\":\n", stdout);
  if (ok && !s->sentence_level) (s->systems.count > 1 ? print_many : print_one)(s);
  if (ok && r && json) {
    dg_strbuf out = {0};
    dg_report_json(r, s->width, &out);
    printf("%s\n}\n", out.text);
    free(out.text);
  } else if (ok && r) {
    dg_report_print(r, s->width);
  }
  if (ok && s->html) ok = write_html(s, &err);
  dg_report_free(r);
  return ok && check_gain(s, &err) ? DG_EXIT_OK : dg_cli_fail(&err);
}

static void release(session *s) {
  for (size_t m = 0; m < s->metric_count; m++) {
    dg_scorer_free(s->metrics[m]);
    free(s->signatures[m]);
    free(s->verbose[m]);
  }
  free(s->reference_lines);
  free(s->system_lines);
  dg_texts_free(&s->references);
  dg_texts_free(&s->systems);
  dg_texts_free(&s->others);
  dg_texts_free(&s->known);
  free(s->results);
  free(s->names);
  free(s->baseline);
  dg_threads_free(s->threads);
}

int dg_cmd_eval(int argc, char **argv) {
  session s = {.metric_names = "bleu,chrf",
               .smooth = "exp",
               .format_name = "text",
               .num_refs = 1,
               .width = 1,
               .confidence_trials = DG_BOOTSTRAP_TRIALS,
               .bootstrap_trials = DG_BOOTSTRAP_TRIALS,
               .randomization_trials = DG_RANDOMIZATION_TRIALS,
               .seed = DG_TRIALS_SEED,
               .bleu = dg_bleu_defaults(),
               .chrf = dg_chrf_defaults(),
               .min_gain = NAN,
               .model = {.beam = 4}};
  const dg_flag flags[] = {
      {"reference", 'r', DG_FLAG_REPEAT, &s.reference_paths, "REF",
       "right translations; again for further ones"},
      {"num-refs", 0, DG_FLAG_INT, &s.num_refs, "N", "REF has N tab-separated columns (1)"},
      {"optional-refs", 0, DG_FLAG_BOOL, &s.optional_refs, NULL,
       "an empty line of REF: no such reference"},
      {"metric", 'm', DG_FLAG_TEXT, &s.metric_names, "LIST",
       "some of bleu,chrf,chrf++,ter (bleu,chrf)"},
      {"width", 'w', DG_FLAG_INT, &s.width, "N", "digits after the point (1)"},
      {"format", 0, DG_FLAG_TEXT, &s.format_name, "F", "text, json, latex or markdown (text)"},
      {"short", 0, DG_FLAG_BOOL, &s.abbreviated, NULL, "abbreviated signatures"},
      {"sentence-level", 0, DG_FLAG_BOOL, &s.sentence_level, NULL,
       "score each segment by one metric"},
      {"tokenize", 0, DG_FLAG_TEXT, &s.bleu.tokenizer, "NAME",
       "none 13a intl char zh ja-mecab ko-mecab spm flores200 spBLEU-1K (13a)"},
      {"tokenizer-model", 0, DG_FLAG_TEXT, &s.bleu.model, "FILE",
       "its sentencepiece model (your own signs by hash) or MeCab dictionary"},
      {"smooth", 0, DG_FLAG_TEXT, &s.smooth, "METHOD", "none, floor, add-k or exp (exp)"},
      {"smooth-value", 0, DG_FLAG_FLOAT, &s.bleu.smooth_value, "X", "for floor (0.1), add-k (1)"},
      {"bleu-order", 0, DG_FLAG_INT, &s.bleu.order, "N", "longest word n-grams of BLEU (4)"},
      {"lowercase", 0, DG_FLAG_BOOL, &s.bleu.lowercase, NULL, "BLEU of lower-cased text"},
      {"effective-order", 0, DG_FLAG_BOOL, &s.bleu.effective_order, NULL,
       "BLEU of the orders there are"},
      {"force", 0, DG_FLAG_BOOL, &s.force, NULL, "no warning that the text looks tokenized"},
      {"chrf-char-order", 0, DG_FLAG_INT, &s.chrf.char_order, "N", "character n-grams (6)"},
      {"chrf-word-order", 0, DG_FLAG_INT, &s.chrf.word_order, "N", "word n-grams (0)"},
      {"chrf-beta", 0, DG_FLAG_INT, &s.chrf.beta, "N", "weight of recall (2)"},
      {"chrf-lowercase", 0, DG_FLAG_BOOL, &s.chrf.lowercase, NULL, "chrF of lower-cased text"},
      {"chrf-whitespace", 0, DG_FLAG_BOOL, &s.chrf.whitespace, NULL, "white space counts"},
      {"chrf-eps-smoothing", 0, DG_FLAG_BOOL, &s.chrf.eps_smoothing, NULL,
       "as chrF++.py, Moses and NLTK smooth"},
      {"ter-normalized", 0, DG_FLAG_BOOL, &s.ter.normalized, NULL, "TER of tokenized text"},
      {"ter-no-punct", 0, DG_FLAG_BOOL, &s.ter.no_punct, NULL, "TER without punctuation"},
      {"ter-asian-support", 0, DG_FLAG_BOOL, &s.ter.asian_support, NULL,
       "these two know CJK characters"},
      {"ter-case-sensitive", 0, DG_FLAG_BOOL, &s.ter.case_sensitive, NULL, "TER minds case"},
      {"confidence", 0, DG_FLAG_BOOL, &s.confidence, NULL, "one system's 95% confidence interval"},
      {"confidence-n", 0, DG_FLAG_INT, &s.confidence_trials, "N", "its resamples (1000)"},
      {"paired-bs", 0, DG_FLAG_BOOL, &s.paired_bootstrap, NULL,
       "compare with the first HYP by bootstrap"},
      {"paired-bs-n", 0, DG_FLAG_INT, &s.bootstrap_trials, "N", "its resamples (1000)"},
      {"paired-ar", 0, DG_FLAG_BOOL, &s.paired_randomization, NULL,
       "or by approximate randomization"},
      {"paired-ar-n", 0, DG_FLAG_INT, &s.randomization_trials, "N", "its trials (10000)"},
      {"seed", 0, DG_FLAG_INT, &s.seed, "N", "of the random numbers (12345)"},
      {"min-gain", 0, DG_FLAG_FLOAT, &s.min_gain, "X",
       "fail unless the last HYP gains X, significantly"},
      {"failures", 0, DG_FLAG_BOOL, &s.report.failures, NULL,
       "count empty, untranslated, repeating, foreign, without a %s"},
      {"by", 0, DG_FLAG_TEXT, &s.by, "LIST", "scores by length,script,frequency"},
      {"worst", 0, DG_FLAG_INT, &s.worst, "N", "show each system's worst segments"},
      {"html", 0, DG_FLAG_TEXT, &s.html, "FILE", "write all that as a page with charts"},
      {"source-text", 0, DG_FLAG_TEXT, &s.source_path, "FILE", "what was translated"},
      {"train-text", 0, DG_FLAG_TEXT, &s.known_path, "FILE",
       "to count words in for --by frequency (REF)"},
      {"test", 0, DG_FLAG_TEXT, &s.test_path, "FILE",
       "translate and score that: TSV, a.en,a.gl or, with -r, the source"},
      {"base", 'b', DG_FLAG_TEXT, &s.model.choice.base, "BASE", "with this base (base)"},
      {"adapter", 'a', DG_FLAG_REPEAT, &s.model.choice.adapters, "ADAPTER",
       "with and without it, compared; again: stacked; none"},
      {"source", 's', DG_FLAG_TEXT, &s.model.choice.source, "SRC",
       "language code (the adapter's, or en)"},
      {"target", 't', DG_FLAG_TEXT, &s.model.choice.target, "TGT", "language code (the adapter's)"},
      {"beam", 0, DG_FLAG_INT, &s.model.beam, "N", "hypotheses kept (4)"},
      {NULL, 0, DG_FLAG_BOOL, NULL, NULL, NULL},
  };
  dg_cli cli = {
      .usage =
          "eval [-m LIST] -r REF [-r REF2 ...] [HYP ...]\n"
          "       dragoman eval [-b BASE] [-a ADAPTER] [-s SRC] [-t TGT] --test FILE [-r REF]",
      .summary =
          "Scores translations against references, a segment a line, and prints what sacreBLEU "
          "2.6\n"
          "prints: BLEU, chrF, chrF++ and TER, each with the signature that says how. HYP is\n"
          "standard input unless named. Files are plain or gzipped; FILE:2 is the second column "
          "of\n"
          "tab-separated ones, and columns of standard input are systems of their own. Several\n"
          "HYP are compared; the first is the baseline of a paired test. --quiet prints scores\n"
          "alone. Compare scores only on the same test set and under the same signature.\n"
          "With --test a model translates first; an adapter is compared with its frozen base by\n"
          "paired bootstrap, and --min-gain makes the exit status say whether it is better.",
      .examples =
          "  dragoman eval -r test.gl.txt output.txt\n"
          "  dragoman translate -s en -t gl test.en.txt | dragoman eval -r test.gl.txt\n"
          "  dragoman eval -m chrf++ -w 2 --quiet -r test.tsv.gz:2 output.txt.gz\n"
          "  dragoman eval -r ref1.txt -r ref2.txt --tokenize intl --confidence output.txt\n"
          "  dragoman eval -m bleu,chrf,ter --paired-bs -r ref.txt base.txt adapted.txt\n"
          "  dragoman eval -m chrf --sentence-level -r ref.txt output.txt\n"
          "  dragoman eval -r ref.txt --worst 10 --by length,frequency --failures output.txt\n"
          "  dragoman eval -r ref.txt --source-text src.txt --html report.html base.txt new.txt\n"
          "  dragoman eval -b base -a en-nah.safetensors --test test.tsv -m chrf --min-gain 0.5\n",
      .flags = flags,
  };
  s.cli = &cli;
  int code = dg_cli_parse(&cli, argc, argv);
  bool wanted[METRICS_MAX] = {false};
  if (code == DG_CLI_GO) code = check_metrics(&s, wanted);
  if (code == DG_CLI_GO) code = check_flags(&s);
  snprintf(s.seed_text, sizeof s.seed_text, "%d", s.seed);
  if (code == DG_CLI_GO) code = run(&s, wanted);
  release(&s);
  dg_cli_free(&cli);
  return code;
}
