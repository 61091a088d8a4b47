#include "mt/cli/eval_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval/pytext.h"
#include "mt/cli/page.h"

enum { BYS = 3, SCORERS_MAX = 8 };
static const char *const by_names[BYS] = {"length", "script", "frequency"};
static const char *const by_titles[BYS] = {"characters of the reference", "script of the reference",
                                           "count of the reference's rarest word"};
static const char *const failure_names[4] = {"empty", "untranslated", "repeats", "wrong_script"};
static const char *const failure_titles[4] = {"empty", "untranslated", "repeating", "wrong script"};

struct dg_report {
  dg_report_options options;
  const dg_texts *systems;
  const dg_references *refs;
  const char **first; /* the first reference of each segment, "" for none */
  size_t segments, scorer_count;
  dg_scorer *const *scorers;
  double **statistics; /* [scorer * systems + system] */
  dg_groups groups[BYS];
  unsigned char **flags; /* failures, by system */
  size_t **worst;        /* by system: segments, worst first */
};

/* --- making -------------------------------------------------------------------------------- */

static double segment_score(const dg_report *r, size_t scorer, size_t system, size_t segment) {
  const dg_scorer *m = r->scorers[scorer];
  dg_score s;
  dg_scorer_score(m,
                  r->statistics[scorer * r->systems->count + system] + segment * dg_scorer_width(m),
                  DG_EXACT, &s);
  return s.score;
}

typedef struct ranked {
  double score;
  size_t segment;
} ranked;

static int worse_first(const void *a, const void *b) {
  const ranked *x = a, *y = b;
  if (x->score != y->score) return x->score < y->score ? -1 : 1;
  return x->segment < y->segment ? -1 : x->segment > y->segment;
}

/* By chrF where there is one: BLEU of one segment is mostly 0. */
static size_t ranking_scorer(const dg_report *r) {
  for (size_t m = 0; m < r->scorer_count; m++)
    if (!strncmp(dg_scorer_name(r->scorers[m]), "chrF", 4)) return m;
  return r->scorer_count - 1;
}

static void rank(dg_report *r) {
  size_t m = ranking_scorer(r),
         kept = r->options.worst < r->segments ? r->options.worst : r->segments;
  ranked *list = dg_calloc(r->segments ? r->segments : 1, sizeof *list);
  for (size_t s = 0; s < r->systems->count; s++) {
    for (size_t i = 0; i < r->segments; i++) {
      double score = segment_score(r, m, s, i);
      list[i] = (ranked){dg_scorer_is_error(r->scorers[m]) ? -score : score, i};
    }
    qsort(list, r->segments, sizeof *list, worse_first);
    r->worst[s] = dg_calloc(kept ? kept : 1, sizeof **r->worst);
    for (size_t i = 0; i < kept; i++) r->worst[s][i] = list[i].segment;
  }
  free(list);
  r->options.worst = kept;
}

dg_report *dg_report_new(const dg_report_options *o, const dg_texts *systems,
                         const dg_references *refs, size_t segments, dg_scorer *const *scorers,
                         size_t scorer_count, dg_threads *threads, dg_error *err) {
  dg_report *r = dg_calloc(1, sizeof *r);
  *r = (dg_report){.options = *o,
                   .systems = systems,
                   .refs = refs,
                   .segments = segments,
                   .scorers = scorers,
                   .scorer_count = scorer_count};
  r->first = dg_calloc(segments ? segments : 1, sizeof *r->first);
  for (size_t i = 0; i < segments; i++) {
    r->first[i] = "";
    for (size_t k = refs->count; k-- > 0;)
      if (refs->lists[k][i]) r->first[i] = refs->lists[k][i];
  }
  r->statistics = dg_calloc(scorer_count * systems->count, sizeof *r->statistics);
  r->flags = dg_calloc(systems->count, sizeof *r->flags);
  r->worst = dg_calloc(systems->count, sizeof *r->worst);
  for (size_t m = 0; m < scorer_count; m++)
    for (size_t s = 0; s < systems->count; s++) {
      double *list = dg_alloc_checked(segments * dg_scorer_width(scorers[m]), sizeof *list, err);
      r->statistics[m * systems->count + s] = list;
      if (!list || !dg_scorer_measure(scorers[m], systems->items[s].lines, refs, segments, threads,
                                      list, err)) {
        dg_report_free(r);
        return NULL;
      }
    }
  for (int by = 0; by < BYS; by++)
    if (o->by[by])
      dg_groups_make((dg_group_by)by, r->first, segments, o->known ? o->known->lines : NULL,
                     o->known ? o->known->count : 0, &r->groups[by]);
  for (size_t s = 0; s < systems->count; s++) {
    r->flags[s] = dg_calloc(segments ? segments : 1, 1);
    dg_failures(systems->items[s].lines, r->first, o->sources ? o->sources->lines : NULL, segments,
                r->flags[s]);
  }
  rank(r);
  return r;
}

void dg_report_free(dg_report *r) {
  if (!r) return;
  for (size_t i = 0; i < r->scorer_count * r->systems->count; i++) free(r->statistics[i]);
  for (size_t s = 0; s < r->systems->count; s++) {
    free(r->flags[s]);
    free(r->worst[s]);
  }
  for (int by = 0; by < BYS; by++) dg_groups_free(&r->groups[by]);
  free(r->statistics);
  free(r->flags);
  free(r->worst);
  free(r->first);
  free(r);
}

static size_t group_size(const dg_report *r, int by, size_t group) {
  size_t n = 0;
  for (size_t i = 0; i < r->segments; i++) n += r->groups[by].of[i] == group;
  return n;
}

static double group_score(const dg_report *r, size_t scorer, size_t system, int by, size_t group) {
  const dg_scorer *m = r->scorers[scorer];
  const double *list = r->statistics[scorer * r->systems->count + system];
  double totals[DG_STATISTICS_MAX] = {0};
  for (size_t i = 0; i < r->segments; i++)
    if (r->groups[by].of[i] == group) dg_scorer_add(m, list + i * dg_scorer_width(m), 1, totals);
  dg_score s;
  dg_scorer_score(m, totals, DG_EXACT, &s);
  return s.score;
}

static size_t failures(const dg_report *r, size_t system, int kind) {
  size_t n = 0;
  for (size_t i = 0; i < r->segments; i++) n += r->flags[system][i] >> kind & 1;
  return n;
}

static bool knows_failure(const dg_report *r, int kind) { return kind != 1 || r->options.sources; }

/* --- text ---------------------------------------------------------------------------------- */

static void plain(dg_strbuf *out, const char *text, size_t n) { dg_strbuf_addn(out, text, n); }
static const char *const plain_marks[4] = {"[-", "-]", "{+", "+}"};

static void print_failures(const dg_report *r) {
  puts("\nFailures, of each system's segments");
  for (size_t s = 0; s < r->systems->count; s++) {
    printf("  %s:", r->systems->items[s].name);
    for (int k = 0; k < 4; k++) {
      if (!knows_failure(r, k)) continue;
      size_t n = failures(r, s, k);
      printf(" %s %zu (%.1f%%)%s", failure_titles[k], n,
             r->segments ? 100 * (double)n / (double)r->segments : 0, k < 3 ? "," : "");
    }
    puts("");
  }
  if (!r->options.sources)
    puts("  (name the source with --source-text to see what is untranslated)");
}

static void print_groups(const dg_report *r, int by, int width) {
  const dg_groups *g = &r->groups[by];
  printf("\nBy %s: %s\n", by_names[by], by_titles[by]);
  for (size_t s = 0; s < r->systems->count; s++) {
    if (r->systems->count > 1) printf("  %s\n", r->systems->items[s].name);
    printf("  %-16s %8s", "", "segments");
    for (size_t m = 0; m < r->scorer_count; m++) printf(" %9s", dg_scorer_name(r->scorers[m]));
    puts("");
    for (size_t k = 0; k < g->count; k++) {
      size_t n = group_size(r, by, k);
      if (!n) continue;
      printf("  %-16s %8zu", g->labels[k], n);
      for (size_t m = 0; m < r->scorer_count; m++)
        printf(" %9.*f", width, group_score(r, m, s, by, k));
      puts("");
    }
  }
}

static void print_worst(const dg_report *r, int width) {
  size_t m = ranking_scorer(r);
  for (size_t s = 0; s < r->systems->count; s++) {
    printf("\nWorst of %s, by %s; [-missing-] {+too much+}\n", r->systems->items[s].name,
           dg_scorer_name(r->scorers[m]));
    for (size_t i = 0; i < r->options.worst; i++) {
      size_t k = r->worst[s][i];
      dg_strbuf diff = {0};
      dg_strbuf_add(&diff, "");
      dg_word_diff(r->first[k], r->systems->items[s].lines[k], plain_marks, plain, &diff);
      printf("  line %zu, %.*f\n", k + 1, width, segment_score(r, m, s, k));
      if (r->options.sources) printf("    source     %s\n", r->options.sources->lines[k]);
      printf("    reference  %s\n    output     %s\n    difference %s\n", r->first[k],
             r->systems->items[s].lines[k], diff.text);
      free(diff.text);
    }
  }
}

void dg_report_print(const dg_report *r, int width) {
  if (r->options.failures) print_failures(r);
  for (int by = 0; by < BYS; by++)
    if (r->options.by[by]) print_groups(r, by, width);
  if (r->options.worst) print_worst(r, width);
}

/* --- JSON ---------------------------------------------------------------------------------- */

static void json_number(dg_strbuf *out, double x, int width) {
  char text[64], number[32];
  snprintf(text, sizeof text, "%.*f", width, x);
  dg_py_repr(strtod(text, NULL), number);
  dg_strbuf_add(out, number);
}

static void json_system(const dg_report *r, size_t s, int width, dg_strbuf *out) {
  dg_strbuf_add(out, "  {\"system\": ");
  dg_json_string(out, r->systems->items[s].name, false);
  if (r->options.failures) {
    dg_strbuf_addf(out, ", \"segments\": %zu", r->segments);
    for (int k = 0; k < 4; k++)
      if (knows_failure(r, k))
        dg_strbuf_addf(out, ", \"%s\": %zu", failure_names[k], failures(r, s, k));
  }
  for (int by = 0; by < BYS; by++) {
    if (!r->options.by[by]) continue;
    const dg_groups *g = &r->groups[by];
    const char *comma = "";
    dg_strbuf_addf(out, ",\n   \"by_%s\": [", by_names[by]);
    for (size_t k = 0; k < g->count; k++) {
      size_t n = group_size(r, by, k);
      if (!n) continue;
      dg_strbuf_addf(out, "%s\n    {\"group\": \"%s\", \"segments\": %zu", comma, g->labels[k], n);
      for (size_t m = 0; m < r->scorer_count; m++) {
        dg_strbuf_addf(out, ", \"%s\": ", dg_scorer_name(r->scorers[m]));
        json_number(out, group_score(r, m, s, by, k), width);
      }
      dg_strbuf_add(out, "}");
      comma = ",";
    }
    dg_strbuf_add(out, "]");
  }
  if (r->options.worst) dg_strbuf_add(out, ",\n   \"worst\": [");
  for (size_t i = 0; i < r->options.worst; i++) {
    size_t k = r->worst[s][i], m = ranking_scorer(r);
    dg_strbuf diff = {0};
    dg_strbuf_add(&diff, "");
    dg_word_diff(r->first[k], r->systems->items[s].lines[k], plain_marks, plain, &diff);
    dg_strbuf_addf(out, "%s\n    {\"line\": %zu, \"%s\": ", i ? "," : "", k + 1,
                   dg_scorer_name(r->scorers[m]));
    json_number(out, segment_score(r, m, s, k), width);
    dg_strbuf_add(out, ", \"reference\": ");
    dg_json_string(out, r->first[k], false);
    dg_strbuf_add(out, ", \"output\": ");
    dg_json_string(out, r->systems->items[s].lines[k], false);
    dg_strbuf_add(out, ", \"difference\": ");
    dg_json_string(out, diff.text, false);
    dg_strbuf_add(out, "}");
    free(diff.text);
  }
  dg_strbuf_add(out, r->options.worst ? "]}" : "}");
}

void dg_report_json(const dg_report *r, int width, dg_strbuf *out) {
  dg_strbuf_add(out, ",\n\"details\": [\n");
  for (size_t s = 0; s < r->systems->count; s++) {
    if (s) dg_strbuf_add(out, ",\n");
    json_system(r, s, width, out);
  }
  dg_strbuf_add(out, "\n]");
}

/* --- HTML ---------------------------------------------------------------------------------- */

/* Is it the best of the metric, or as good as that to the digits shown? */
static bool is_best(const dg_report *r, const dg_eval_table *t, size_t m, size_t s, int width) {
  double unit = 1, best = t->results[m * t->system_count].score;
  for (int i = 0; i < width; i++) unit /= 10;
  for (size_t k = 1; k < t->system_count; k++) {
    double x = t->results[m * t->system_count + k].score;
    if (dg_scorer_is_error(r->scorers[m]) ? x < best : x > best) best = x;
  }
  double difference = t->results[m * t->system_count + s].score - best;
  return t->system_count > 1 && difference < unit / 2 && difference > -unit / 2;
}

static void html_scores(const dg_report *r, const dg_eval_table *t, int width, dg_strbuf *out) {
  dg_strbuf_add(out, "<h2>Scores</h2>\n<table><tr><th>System</th>");
  for (size_t m = 0; m < t->metric_count; m++)
    dg_strbuf_addf(out, "<th>%s %s</th>", t->metrics[m],
                   dg_scorer_is_error(r->scorers[m]) ? "↓" : "↑");
  dg_strbuf_add(out, "</tr>\n");
  for (size_t s = 0; s < t->system_count; s++) {
    dg_strbuf_add(out, "<tr><td>");
    dg_page_text(out, t->systems[s]);
    dg_strbuf_add(out, "</td>");
    for (size_t m = 0; m < t->metric_count; m++) {
      const dg_comparison *c = &t->results[m * t->system_count + s];
      bool best = is_best(r, t, m, s, width);
      dg_strbuf_addf(out, "<td>%s%.*f%s", best ? "<b>" : "", width, c->score, best ? "</b>" : "");
      if (t->paired && t->bootstrap) dg_strbuf_addf(out, " ± %.*f", width, c->interval.half);
      if (t->paired && s)
        dg_strbuf_addf(out, "<br><span class=dim>p = %.4f%s</span>", c->p_value,
                       dg_is_significant(c) ? " *" : "");
      dg_strbuf_add(out, "</td>");
    }
    dg_strbuf_add(out, "</tr>\n");
  }
  dg_strbuf_add(out, "</table>\n<p class=dim>↑ the higher the better, ↓ the lower.");
  if (t->paired && t->bootstrap)
    dg_strbuf_add(out, " ± and the whiskers below: the 95% confidence interval.");
  if (t->paired)
    dg_strbuf_addf(out, " p: paired %s against the baseline, %d trials; * p &lt; 0.05.",
                   t->bootstrap ? "bootstrap resampling" : "approximate randomization", t->trials);
  dg_strbuf_add(out, "</p>\n");
  dg_bar *bars = dg_calloc(t->system_count, sizeof *bars);
  for (size_t m = 0; m < t->metric_count; m++) {
    for (size_t s = 0; s < t->system_count; s++) {
      const dg_comparison *c = &t->results[m * t->system_count + s];
      bars[s] = (dg_bar){t->systems[s], c->score, c->interval.mean - c->interval.half,
                         c->interval.mean + c->interval.half};
    }
    dg_strbuf_addf(out, "<h3>%s%s</h3>\n", t->metrics[m],
                   dg_scorer_is_error(r->scorers[m]) ? ", the lower the better" : "");
    dg_page_bars(out, t->metrics[m], bars, t->system_count, t->system_count, width);
    dg_strbuf_addf(out, "<p class=dim><code>%s</code></p>\n", t->signatures[m]);
  }
  free(bars);
}

static void html_failures(const dg_report *r, dg_strbuf *out) {
  dg_strbuf_add(out, "<h2>Failures</h2>\n<table><tr><th>System</th>");
  for (int k = 0; k < 4; k++)
    if (knows_failure(r, k)) dg_strbuf_addf(out, "<th>%s</th>", failure_titles[k]);
  dg_strbuf_add(out, "</tr>\n");
  for (size_t s = 0; s < r->systems->count; s++) {
    dg_strbuf_add(out, "<tr><td>");
    dg_page_text(out, r->systems->items[s].name);
    dg_strbuf_add(out, "</td>");
    for (int k = 0; k < 4; k++)
      if (knows_failure(r, k)) {
        size_t n = failures(r, s, k);
        dg_strbuf_addf(out, "<td>%zu (%.1f%%)</td>", n, 100 * (double)n / (double)r->segments);
      }
    dg_strbuf_add(out, "</tr>\n");
  }
  dg_strbuf_add(out, "</table>\n");
}

static void html_groups(const dg_report *r, int by, int width, dg_strbuf *out) {
  const dg_groups *g = &r->groups[by];
  size_t systems = r->systems->count, m = ranking_scorer(r), n = 0;
  char **labels = dg_calloc(g->count + 1, sizeof *labels);
  const char **names = dg_calloc(systems, sizeof *names);
  dg_bar *bars = dg_calloc(g->count * systems + 1, sizeof *bars);
  dg_strbuf_addf(out, "<h2>By %s</h2>\n<p class=dim>%s of the segments by %s</p>\n", by_names[by],
                 dg_scorer_name(r->scorers[m]), by_titles[by]);
  for (size_t s = 0; s < systems; s++) names[s] = r->systems->items[s].name;
  if (systems > 1) dg_page_legend(out, names, systems);
  for (size_t k = 0; k < g->count; k++) {
    size_t size = group_size(r, by, k);
    if (!size) continue;
    labels[k] = dg_format("%s (%zu segment%s)", g->labels[k], size, size == 1 ? "" : "s");
    for (size_t s = 0; s < systems; s++)
      bars[n++] = (dg_bar){.label = s ? NULL : labels[k], .value = group_score(r, m, s, by, k)};
  }
  dg_page_bars(out, by_titles[by], bars, n, systems, width);
  for (size_t k = 0; k < g->count; k++) free(labels[k]);
  free(labels);
  free(names);
  free(bars);
}

/* A row of a segment: what it is, and the text in its own direction. */
static void html_line(dg_strbuf *out, const char *what, const char *score) {
  dg_strbuf_add(out, "<tr><th title=\"");
  dg_page_text(out, what);
  dg_strbuf_add(out, "\">");
  dg_page_text(out, what);
  dg_strbuf_addf(out, "</th><th>%s</th><td dir=auto>", score);
}

static void html_segments(const dg_report *r, int width, dg_strbuf *out) {
  size_t m = ranking_scorer(r), last = r->systems->count - 1;
  dg_strbuf_addf(out, "<h2>Worst segments of ");
  dg_page_text(out, r->systems->items[last].name);
  dg_strbuf_addf(out,
                 ", by %s</h2>\n<p class=dim>Against the reference: <del>missing</del>, <ins>too "
                 "much</ins>.</p>\n",
                 dg_scorer_name(r->scorers[m]));
  for (size_t i = 0; i < r->options.worst; i++) {
    size_t k = r->worst[last][i];
    dg_strbuf_addf(out, "<div class=seg><div class=dim>line %zu</div><table>", k + 1);
    if (r->options.sources) {
      html_line(out, "source", "");
      dg_page_text(out, r->options.sources->lines[k]);
      dg_strbuf_add(out, "</td></tr>\n");
    }
    html_line(out, "reference", "");
    dg_page_text(out, r->first[k]);
    dg_strbuf_add(out, "</td></tr>\n");
    for (size_t s = 0; s <= last; s++) {
      char number[64];
      snprintf(number, sizeof number, "%.*f", width, segment_score(r, m, s, k));
      html_line(out, r->systems->items[s].name, number);
      dg_word_diff(r->first[k], r->systems->items[s].lines[k], dg_page_diff_marks, dg_page_text_n,
                   out);
      dg_strbuf_add(out, "</td></tr>\n");
    }
    dg_strbuf_add(out, "</table></div>\n");
  }
}

void dg_report_html(const dg_report *r, const dg_eval_table *scores, int width, dg_strbuf *out) {
  dg_page_begin(out, "Evaluation");
  dg_strbuf_addf(out, "<p>%zu segments, %zu system%s, %zu reference%s.</p>\n", r->segments,
                 r->systems->count, r->systems->count == 1 ? "" : "s", r->refs->count,
                 r->refs->count == 1 ? "" : "s");
  html_scores(r, scores, width, out);
  html_failures(r, out);
  for (int by = 0; by < BYS; by++)
    if (r->options.by[by]) html_groups(r, by, width, out);
  if (r->options.worst) html_segments(r, width, out);
}
