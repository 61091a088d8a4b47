#include "mt/cli/eval_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mt/cli/cli.h"
#include "mt/cli/page.h"

static const char *const by_names[DG_GROUPINGS] = {"length", "script", "frequency"};
static const char *const by_titles[DG_GROUPINGS] = {"characters of the reference",
                                                    "script of the reference",
                                                    "count of the reference's rarest word"};
static const char *const failure_names[DG_FAILURES] = {"empty", "untranslated", "repeats",
                                                       "wrong_script", "placeholders"};
static const char *const failure_titles[DG_FAILURES] = {"empty", "untranslated", "repeating",
                                                        "wrong script", "other placeholders"};

struct dg_report {
  dg_report_options options;
  dg_analysis *analysis;
  const dg_texts *systems;
  size_t references, segments, scorer_count;
  dg_scorer *const *scorers;
};

dg_report *dg_report_new(const dg_report_options *o, const dg_texts *systems,
                         const char *const *const *lines, const dg_references *refs,
                         size_t segments, dg_scorer *const *scorers, size_t scorer_count,
                         dg_threads *threads, dg_error *err) {
  dg_analysis *a = dg_analysis_new(&o->analysis, lines, systems->count, refs, segments, scorers,
                                   scorer_count, threads, err);
  if (!a) return NULL;
  dg_report *r = dg_calloc(1, sizeof *r);
  *r = (dg_report){*o, a, systems, refs->count, segments, scorer_count, scorers};
  return r;
}

void dg_report_free(dg_report *r) {
  if (!r) return;
  dg_analysis_free(r->analysis);
  free(r);
}

static bool knows_failure(const dg_report *r, dg_failure kind) {
  return kind != DG_FAILED_UNTRANSLATED || r->options.analysis.sources;
}

static const char *ranking_name(const dg_report *r) {
  return dg_scorer_name(r->scorers[dg_analysis_ranking(r->analysis)]);
}

/* --- text ---------------------------------------------------------------------------------- */

static void print_failures(const dg_report *r) {
  puts("\nFailures, of each system's segments");
  for (size_t s = 0; s < r->systems->count; s++) {
    dg_cli_print("  %s:", r->systems->items[s].name);
    for (dg_failure k = 0; k < DG_FAILURES; k++) {
      if (!knows_failure(r, k)) continue;
      size_t n = dg_analysis_failures(r->analysis, s, k);
      printf(" %s %zu (%.1f%%)%s", failure_titles[k], n,
             r->segments ? 100 * (double)n / (double)r->segments : 0,
             k + 1 < DG_FAILURES ? "," : "");
    }
    puts("");
  }
  if (!r->options.analysis.sources)
    puts("  (name the source with --source-text to see what is untranslated)");
}

static void print_groups(const dg_report *r, dg_group_by by, int width) {
  printf("\nBy %s: %s\n", by_names[by], by_titles[by]);
  for (size_t s = 0; s < r->systems->count; s++) {
    if (r->systems->count > 1) dg_cli_print("  %s\n", r->systems->items[s].name);
    printf("  %-16s %8s", "", "segments");
    for (size_t m = 0; m < r->scorer_count; m++) printf(" %9s", dg_scorer_name(r->scorers[m]));
    puts("");
    for (size_t k = 0; k < dg_analysis_groups(r->analysis, by); k++) {
      size_t n;
      const char *label = dg_analysis_group(r->analysis, by, k, &n);
      if (!n) continue;
      printf("  %-16s %8zu", label, n);
      for (size_t m = 0; m < r->scorer_count; m++)
        printf(" %9.*f", width, dg_analysis_group_score(r->analysis, by, k, m, s));
      puts("");
    }
  }
}

/* Of an output and its reference. */
static char *plain_diff(const char *reference, const char *output) {
  static const char *const marks[4] = {"[-", "-]", "{+", "+}"};
  dg_strbuf diff = {0};
  dg_strbuf_add(&diff, "");
  dg_word_diff(reference, output, marks, dg_strbuf_addn, &diff);
  return diff.text;
}

static void print_worst(const dg_report *r, int width) {
  for (size_t s = 0; s < r->systems->count; s++) {
    size_t count;
    const size_t *worst = dg_analysis_worst(r->analysis, s, &count);
    dg_cli_print("\nWorst of %s, by %s; [-missing-] {+too much+}\n", r->systems->items[s].name,
                 ranking_name(r));
    for (size_t i = 0; i < count; i++) {
      size_t k = worst[i];
      const char *reference = dg_analysis_reference(r->analysis, k);
      const char *output = r->systems->items[s].lines[k];
      char *diff = plain_diff(reference, output);
      printf("  line %zu, %.*f\n", k + 1, width, dg_analysis_segment_score(r->analysis, s, k));
      if (r->options.analysis.sources)
        dg_cli_print("    source     %s\n", r->options.analysis.sources[k]);
      dg_cli_print("    reference  %s\n    output     %s\n    difference %s\n", reference, output,
                   diff);
      free(diff);
    }
  }
}

void dg_report_print(const dg_report *r, int width) {
  if (r->options.failures) print_failures(r);
  for (dg_group_by by = 0; by < DG_GROUPINGS; by++)
    if (r->options.analysis.by[by]) print_groups(r, by, width);
  if (r->options.analysis.worst) print_worst(r, width);
}

/* --- JSON ---------------------------------------------------------------------------------- */

static void json_number(dg_strbuf *out, double x, int width) {
  char number[32];
  dg_json_rounded(x, width, number);
  dg_strbuf_add(out, number);
}

static void json_system(const dg_report *r, size_t s, int width, dg_strbuf *out) {
  dg_strbuf_add(out, "  {\"system\": ");
  dg_json_string(out, r->systems->items[s].name, false);
  if (r->options.failures) {
    dg_strbuf_addf(out, ", \"segments\": %zu", r->segments);
    for (dg_failure k = 0; k < DG_FAILURES; k++)
      if (knows_failure(r, k))
        dg_strbuf_addf(out, ", \"%s\": %zu", failure_names[k],
                       dg_analysis_failures(r->analysis, s, k));
  }
  for (dg_group_by by = 0; by < DG_GROUPINGS; by++) {
    if (!r->options.analysis.by[by]) continue;
    const char *comma = "";
    dg_strbuf_addf(out, ",\n   \"by_%s\": [", by_names[by]);
    for (size_t k = 0; k < dg_analysis_groups(r->analysis, by); k++) {
      size_t n;
      const char *label = dg_analysis_group(r->analysis, by, k, &n);
      if (!n) continue;
      dg_strbuf_addf(out, "%s\n    {\"group\": \"%s\", \"segments\": %zu", comma, label, n);
      for (size_t m = 0; m < r->scorer_count; m++) {
        dg_strbuf_addf(out, ", \"%s\": ", dg_scorer_name(r->scorers[m]));
        json_number(out, dg_analysis_group_score(r->analysis, by, k, m, s), width);
      }
      dg_strbuf_add(out, "}");
      comma = ",";
    }
    dg_strbuf_add(out, "]");
  }
  size_t count;
  const size_t *worst = dg_analysis_worst(r->analysis, s, &count);
  if (count) dg_strbuf_add(out, ",\n   \"worst\": [");
  for (size_t i = 0; i < count; i++) {
    size_t k = worst[i];
    const char *reference = dg_analysis_reference(r->analysis, k);
    const char *output = r->systems->items[s].lines[k];
    char *diff = plain_diff(reference, output);
    dg_strbuf_addf(out, "%s\n    {\"line\": %zu, \"%s\": ", i ? "," : "", k + 1, ranking_name(r));
    json_number(out, dg_analysis_segment_score(r->analysis, s, k), width);
    if (r->options.analysis.sources) {
      dg_strbuf_add(out, ", \"source\": ");
      dg_json_string(out, r->options.analysis.sources[k], false);
    }
    dg_strbuf_add(out, ", \"reference\": ");
    dg_json_string(out, reference, false);
    dg_strbuf_add(out, ", \"output\": ");
    dg_json_string(out, output, false);
    dg_strbuf_add(out, ", \"difference\": ");
    dg_json_string(out, diff, false);
    dg_strbuf_add(out, "}");
    free(diff);
  }
  dg_strbuf_add(out, count ? "]}" : "}");
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
  for (dg_failure k = 0; k < DG_FAILURES; k++)
    if (knows_failure(r, k)) dg_strbuf_addf(out, "<th>%s</th>", failure_titles[k]);
  dg_strbuf_add(out, "</tr>\n");
  for (size_t s = 0; s < r->systems->count; s++) {
    dg_strbuf_add(out, "<tr><td>");
    dg_page_text(out, r->systems->items[s].name);
    dg_strbuf_add(out, "</td>");
    for (dg_failure k = 0; k < DG_FAILURES; k++)
      if (knows_failure(r, k)) {
        size_t n = dg_analysis_failures(r->analysis, s, k);
        dg_strbuf_addf(out, "<td>%zu (%.1f%%)</td>", n, 100 * (double)n / (double)r->segments);
      }
    dg_strbuf_add(out, "</tr>\n");
  }
  dg_strbuf_add(out, "</table>\n");
}

static void html_groups(const dg_report *r, dg_group_by by, int width, dg_strbuf *out) {
  size_t systems = r->systems->count, groups = dg_analysis_groups(r->analysis, by), n = 0;
  char **labels = dg_calloc(groups, sizeof *labels);
  const char **names = dg_calloc(systems, sizeof *names);
  dg_bar *bars = dg_calloc(groups * systems, sizeof *bars);
  dg_strbuf_addf(out, "<h2>By %s</h2>\n<p class=dim>%s of the segments by %s</p>\n", by_names[by],
                 ranking_name(r), by_titles[by]);
  for (size_t s = 0; s < systems; s++) names[s] = r->systems->items[s].name;
  if (systems > 1) dg_page_legend(out, names, systems);
  for (size_t k = 0; k < groups; k++) {
    size_t size, m = dg_analysis_ranking(r->analysis);
    const char *label = dg_analysis_group(r->analysis, by, k, &size);
    if (!size) continue;
    labels[k] = dg_format("%s (%zu segment%s)", label, size, size == 1 ? "" : "s");
    for (size_t s = 0; s < systems; s++)
      bars[n++] = (dg_bar){.label = s ? NULL : labels[k],
                           .value = dg_analysis_group_score(r->analysis, by, k, m, s)};
  }
  dg_page_bars(out, by_titles[by], bars, n, systems, width);
  for (size_t k = 0; k < groups; k++) free(labels[k]);
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
  size_t last = r->systems->count - 1, count;
  const size_t *worst = dg_analysis_worst(r->analysis, last, &count);
  dg_strbuf_addf(out, "<h2>Worst segments of ");
  dg_page_text(out, r->systems->items[last].name);
  dg_strbuf_addf(out,
                 ", by %s</h2>\n<p class=dim>Against the reference: <del>missing</del>, <ins>too "
                 "much</ins>.</p>\n",
                 ranking_name(r));
  for (size_t i = 0; i < count; i++) {
    size_t k = worst[i];
    const char *reference = dg_analysis_reference(r->analysis, k);
    dg_strbuf_addf(out, "<div class=seg><div class=dim>line %zu</div><table>", k + 1);
    if (r->options.analysis.sources) {
      html_line(out, "source", "");
      dg_page_text(out, r->options.analysis.sources[k]);
      dg_strbuf_add(out, "</td></tr>\n");
    }
    html_line(out, "reference", "");
    dg_page_text(out, reference);
    dg_strbuf_add(out, "</td></tr>\n");
    for (size_t s = 0; s <= last; s++) {
      char number[64];
      snprintf(number, sizeof number, "%.*f", width, dg_analysis_segment_score(r->analysis, s, k));
      html_line(out, r->systems->items[s].name, number);
      dg_word_diff(reference, r->systems->items[s].lines[k], dg_page_diff_marks, dg_page_text_n,
                   out);
      dg_strbuf_add(out, "</td></tr>\n");
    }
    dg_strbuf_add(out, "</table></div>\n");
  }
}

void dg_report_html(const dg_report *r, const dg_eval_table *scores, int width, dg_strbuf *out) {
  dg_page_begin(out, "Evaluation");
  dg_strbuf_addf(out, "<p>%zu segments, %zu system%s, %zu reference%s.</p>\n", r->segments,
                 r->systems->count, r->systems->count == 1 ? "" : "s", r->references,
                 r->references == 1 ? "" : "s");
  html_scores(r, scores, width, out);
  html_failures(r, out);
  for (dg_group_by by = 0; by < DG_GROUPINGS; by++)
    if (r->options.analysis.by[by]) html_groups(r, by, width, out);
  if (r->options.analysis.worst) html_segments(r, width, out);
}
