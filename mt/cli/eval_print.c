#include "mt/cli/eval_print.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval/pytext.h"
#include "mt/cli/cli.h"
#include "mt/core/utf8.h"

void dg_json_string(dg_strbuf *out, const char *text, bool ascii) {
  char *valid = dg_utf8_repair(text);
  dg_strbuf_addc(out, '"');
  for (const char *s = valid, *end = s + strlen(s); s < end;) {
    const char *from = s;
    uint32_t c = dg_utf8_next(&s, end);
    static const char plain[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    const char *special = c < 0x80 ? strchr(plain, (int)c) : NULL;
    if (special) {
      dg_strbuf_addc(out, '\\');
      dg_strbuf_addc(out, letters[special - plain]);
    } else if (c < 0x20 || (ascii && c >= 0x7F && c < 0x10000)) {
      dg_strbuf_addf(out, "\\u%04x", c);
    } else if (ascii && c >= 0x10000) {
      dg_strbuf_addf(out, "\\u%04x\\u%04x", 0xD7C0 + (c >> 10), 0xDC00 + (c & 0x3FF));
    } else {
      dg_strbuf_addn(out, from, (size_t)(s - from));
    }
  }
  dg_strbuf_addc(out, '"');
  free(valid);
}

void dg_json_rounded(double x, int width, char out[32]) {
  char text[400];
  snprintf(text, sizeof text, "%.*f", width, x);
  dg_py_repr(strtod(text, NULL), out);
}

/* --- one system ------------------------------------------------------------------------------ */

static bool has_interval(const dg_eval_score *s) {
  return s->interval.half >= 0 && s->interval.mean > 0;
}

static char *in_json(const dg_eval_score *s, int width) {
  dg_strbuf out = {0};
  char number[32];
  dg_json_rounded(s->value, width, number);
  dg_strbuf_addf(&out, "{\n \"name\": \"%s\",\n \"score\": %s,\n \"signature\": \"%s\"", s->name,
                 number, s->signature);
  if (has_interval(s)) {
    dg_json_rounded(s->interval.mean, width, number);
    dg_strbuf_addf(&out, ",\n \"confidence_mean\": %s", number);
    dg_json_rounded(s->interval.half, width, number);
    dg_strbuf_addf(&out, ",\n \"confidence_var\": %s,\n \"confidence\": \"μ = %.*f ± %.*f\"",
                   number, width, s->interval.mean, width, s->interval.half);
  }
  if (s->verbose) dg_strbuf_addf(&out, ",\n \"verbose_score\": \"%s\"", s->verbose);
  for (const char *p = s->signature; *p;) { /* its parts once more: "eff:no|tok:13a" */
    size_t name = strcspn(p, ":"), part = strcspn(p, "|");
    dg_strbuf_addf(&out, ",\n \"%.*s\": \"%.*s\"", (int)name, p, (int)(part - name - 1),
                   p + name + 1);
    p += part + (p[part] == '|');
  }
  dg_strbuf_add(&out, "\n}");
  return out.text;
}

static char *in_text(const dg_eval_score *s, int width, bool only_score) {
  dg_strbuf out = {0};
  if (!only_score) dg_strbuf_addf(&out, "%s|%s = ", s->name, s->signature);
  dg_strbuf_addf(&out, "%.*f", width, s->value);
  if (has_interval(s))
    dg_strbuf_addf(&out, " (μ = %.*f ± %.*f)", width, s->interval.mean, width, s->interval.half);
  if (s->verbose && !only_score) dg_strbuf_addf(&out, " %s", s->verbose);
  return out.text;
}

void dg_print_scores(const dg_eval_score *list, size_t count, int width, bool only_score,
                     dg_eval_format format) {
  bool json = format == DG_FORMAT_JSON;
  char **lines = dg_calloc(count, sizeof *lines);
  size_t widest = 0;
  for (size_t i = 0; i < count; i++) {
    lines[i] = json ? in_json(&list[i], width) : in_text(&list[i], width, only_score);
    const char *equals = strchr(lines[i], '=');
    size_t left = equals ? dg_utf8_count(lines[i], (size_t)(equals - lines[i])) : 0;
    if (left > widest) widest = left;
  }
  if (json && count > 1) puts("[");
  for (size_t i = 0; i < count; i++) {
    const char *equals = json || count == 1 ? NULL : strchr(lines[i], '=');
    size_t left = equals ? dg_utf8_count(lines[i], (size_t)(equals - lines[i])) : widest;
    printf("%*s%s%s\n", (int)(widest - left), "", lines[i], json && i + 1 < count ? "," : "");
    free(lines[i]);
  }
  if (json && count > 1) puts("]");
  free(lines);
}

void dg_print_sentence(const dg_eval_score *s, int width, bool only_score, dg_eval_format format) {
  if (format == DG_FORMAT_JSON) {
    char number[32];
    dg_json_rounded(s->value, width, number);
    printf("{\"name\": \"%s\", \"score\": %s, \"signature\": \"%s\"", s->name, number,
           s->signature);
    if (s->verbose) printf(", \"verbose_score\": \"%s\"", s->verbose);
    puts("}");
    return;
  }
  char *line = in_text(s, width, only_score);
  puts(line);
  free(line);
}

/* --- several systems -------------------------------------------------------------------------- */

/* Cells of a table, the first row its heads; a cell has one or two lines. */
typedef struct grid {
  char **cells;
  size_t columns, rows;
} grid;

static char **cell(const grid *g, size_t row, size_t column) {
  return &g->cells[row * g->columns + column];
}

static size_t line_width(const char *s) {
  size_t most = 0;
  for (;; s++) {
    size_t bytes = strcspn(s, "\n"), n = dg_utf8_count(s, bytes);
    if (n > most) most = n;
    s += bytes;
    if (!*s) return most;
  }
}

/* As `tabulate` has it: a column is as wide as its widest cell, and its head and two more. */
static size_t column_width(const grid *g, size_t column) {
  size_t most = line_width(*cell(g, 0, column)) + 2;
  for (size_t r = 1; r < g->rows; r++) {
    size_t n = line_width(*cell(g, r, column));
    if (n > most) most = n;
  }
  return most;
}

/* The first column is flush right, the others are centered. */
static void pad(dg_strbuf *out, const char *text, size_t n, size_t width, bool right) {
  size_t have = dg_utf8_count(text, n), space = width > have ? width - have : 0;
  size_t left = right ? space : space / 2;
  dg_strbuf_addf(out, "%*s%.*s%*s", (int)left, "", (int)n, text, (int)(space - left), "");
}

static void rule(const grid *g, const char *left, const char *fill, const char *between,
                 const char *right) {
  fputs(left, stdout);
  for (size_t c = 0; c < g->columns; c++) {
    if (c) fputs(between, stdout);
    for (size_t i = 0; i < column_width(g, c) + 2; i++) fputs(fill, stdout);
  }
  puts(right);
}

static void print_grid(const grid *g) {
  rule(g, "╒", "═", "╤", "╕");
  for (size_t r = 0; r < g->rows; r++) {
    size_t lines = 1;
    for (size_t c = 0; c < g->columns; c++)
      if (strchr(*cell(g, r, c), '\n')) lines = 2;
    for (size_t line = 0; line < lines; line++) {
      dg_strbuf out = {0};
      for (size_t c = 0; c < g->columns; c++) {
        const char *text = *cell(g, r, c), *second = strchr(text, '\n');
        size_t n = second ? (size_t)(second - text) : strlen(text);
        if (line) text = second ? second + 1 : "", n = strlen(text);
        dg_strbuf_add(&out, "│ ");
        pad(&out, text, n, column_width(g, c), c == 0);
        dg_strbuf_add(&out, " ");
      }
      printf("%s│\n", out.text);
      free(out.text);
    }
    if (!r)
      rule(g, "╞", "═", "╪", "╡");
    else if (r + 1 < g->rows)
      rule(g, "├", "─", "┼", "┤");
  }
  rule(g, "╘", "═", "╧", "╛");
}

static void latex_row(const grid *g, size_t row) {
  static const struct {
    char c;
    const char *text;
  } escapes[] = {{'&', "\\&"},
                 {'%', "\\%"},
                 {'$', "\\$"},
                 {'#', "\\#"},
                 {'_', "\\_"},
                 {'^', "\\^{}"},
                 {'{', "\\{"},
                 {'}', "\\}"},
                 {'~', "\\textasciitilde{}"},
                 {'\\', "\\textbackslash{}"},
                 {'<', "\\ensuremath{<}"},
                 {'>', "\\ensuremath{>}"}};
  for (size_t c = 0; c < g->columns; c++) {
    dg_strbuf out = {0};
    pad(&out, *cell(g, row, c), strlen(*cell(g, row, c)), column_width(g, c), c == 0);
    fputs(c ? "& " : " ", stdout);
    for (const char *s = out.text; *s; s++) {
      size_t i = 0, count = sizeof escapes / sizeof *escapes;
      while (i < count && escapes[i].c != *s) i++;
      if (i < count)
        fputs(escapes[i].text, stdout);
      else
        putchar(*s);
    }
    fputs(" ", stdout);
    free(out.text);
  }
  puts("\\\\");
}

static void print_latex(const grid *g) {
  printf("\\begin{tabular}{r");
  for (size_t c = 1; c < g->columns; c++) putchar('c');
  puts("}\n\\toprule");
  for (size_t r = 0; r < g->rows; r++) {
    latex_row(g, r);
    if (!r) puts("\\midrule");
  }
  puts("\\bottomrule\n\\end{tabular}");
}

static void print_markdown(const grid *g) {
  for (size_t r = 0; r < g->rows; r++) {
    for (size_t c = 0; c < g->columns; c++) {
      printf("%s", c ? " | " : "| ");
      for (const char *s = *cell(g, r, c); *s; s++) {
        if (*s == '|' || *s == '\\' || *s == '*' || *s == '_') putchar('\\');
        putchar(*s);
      }
    }
    puts(" |");
    for (size_t c = 0; !r && c < g->columns; c++) fputs(c ? "|:--:" : "|--:", stdout);
    if (!r) puts("|");
  }
}

static void paired_notes(const dg_eval_table *t) {
  char *title = dg_format("Paired %s test with %d %strials",
                          t->bootstrap ? "bootstrap resampling" : "approximate randomization",
                          t->trials, t->bootstrap ? "resampling " : "");
  char *line = dg_format("%s", title);
  memset(line, '-', strlen(line));
  printf("%s\n%s\n%s\n", line, title, line);
  /* sacreBLEU names no baseline that came by standard input. */
  dg_cli_print(" - Each system is pairwise compared to %s.\n",
               strncmp(t->systems[0], "Baseline:", 9) ? "" : t->systems[0]);
  puts(
      t->bootstrap
          ? "   Actual system score / bootstrap estimated true mean / 95% CI are provided for each "
            "metric.\n"
          : "   Actual system score is provided for each metric.\n");
  puts(
      " - Null hypothesis: the system and the baseline translations are essentially\n"
      "   generated by the same underlying process. For a given system and the baseline,\n"
      "   the p-value is roughly the probability of the absolute score difference (delta)\n"
      "   or higher occurring due to chance, under the assumption that the null hypothesis is "
      "correct.\n");
  puts(
      " - Assuming a significance threshold of 0.05, the null hypothesis can be rejected\n"
      "   for p-values < 0.05 (marked with \"*\"). This means that the delta is unlikely to be "
      "attributed\n"
      "   to chance, hence the system is significantly \"different\" than the baseline.\n"
      "   Otherwise, the p-values are highlighted in red.\n");
  puts(
      " - NOTE: Significance does not tell whether a system is \"better\" than the baseline but "
      "rather\n"
      "   emphasizes the \"difference\" of the systems in terms of the replicability of the "
      "delta.\n");
  free(title);
  free(line);
}

static char *result_text(const dg_eval_table *t, size_t metric, size_t system, int width,
                         const char *gap) {
  const dg_comparison *r = &t->results[metric * t->system_count + system];
  dg_strbuf out = {0};
  dg_strbuf_addf(&out, "%.*f", width, r->score);
  if (t->paired && t->bootstrap)
    dg_strbuf_addf(&out, " (%.*f ± %.*f)", width, r->interval.mean, width, r->interval.half);
  if (t->paired && system)
    dg_strbuf_addf(&out, "%s(p = %.4f)%s", gap, r->p_value, r->p_value > 0.05 ? "" : "*");
  return out.text;
}

static void result_json(const dg_eval_table *t, size_t metric, size_t system, int width,
                        dg_strbuf *out) {
  const dg_comparison *r = &t->results[metric * t->system_count + system];
  char score[32], p[32], mean[32], half[32];
  if (!t->paired) { /* a string, as sacreBLEU has it */
    dg_strbuf_addf(out, "\"%.*f\"", width, r->score);
    return;
  }
  dg_py_repr(r->score, score);
  dg_py_repr(r->p_value, p);
  dg_py_repr(r->interval.mean, mean);
  dg_py_repr(r->interval.half, half);
  dg_strbuf_addf(
      out,
      "{\n            \"score\": %s,\n            \"p_value\": %s,\n            \"mean\": "
      "%s,\n            \"ci\": %s\n        }",
      score, system ? p : "null", t->bootstrap ? mean : "null", t->bootstrap ? half : "null");
}

static void print_table_json(const dg_eval_table *t, int width) {
  dg_strbuf out = {0};
  dg_strbuf_add(&out, "[\n");
  for (size_t s = 0; s < t->system_count; s++) {
    dg_strbuf_add(&out, "    {\n        \"system\": ");
    dg_json_string(&out, t->systems[s], true);
    for (size_t m = 0; m < t->metric_count; m++) {
      dg_strbuf_addf(&out, ",\n        \"%s\": ", t->metrics[m]);
      result_json(t, m, s, width, &out);
    }
    dg_strbuf_addf(&out, "\n    }%s\n", s + 1 < t->system_count ? "," : "");
  }
  dg_strbuf_add(&out, "]");
  puts(out.text);
  free(out.text);
}

void dg_print_table(const dg_eval_table *t, int width, dg_eval_format format) {
  if (format == DG_FORMAT_JSON) {
    print_table_json(t, width);
    return;
  }
  grid g = {.columns = t->metric_count + 1, .rows = t->system_count + 1};
  g.cells = dg_calloc(g.columns * g.rows, sizeof *g.cells);
  *cell(&g, 0, 0) = dg_strdup("System");
  for (size_t s = 0; s < t->system_count; s++) {
    dg_strbuf name = {0};
    dg_cli_add_safe(&name, t->systems[s]);
    *cell(&g, s + 1, 0) = name.text;
  }
  for (size_t m = 0; m < t->metric_count; m++) {
    *cell(&g, 0, m + 1) =
        dg_format("%s%s", t->metrics[m], t->paired && t->bootstrap ? " (μ ± 95% CI)" : "");
    for (size_t s = 0; s < t->system_count; s++)
      *cell(&g, s + 1, m + 1) = result_text(t, m, s, width, format == DG_FORMAT_TEXT ? "\n" : " ");
  }
  if (format == DG_FORMAT_LATEX)
    print_latex(&g);
  else if (format == DG_FORMAT_MARKDOWN)
    print_markdown(&g);
  else
    print_grid(&g);
  for (size_t i = 0; i < g.columns * g.rows; i++) free(g.cells[i]);
  free(g.cells);
  puts("");
  if (format == DG_FORMAT_MARKDOWN) { /* sacreBLEU has none: short notes that render */
    if (t->paired)
      dg_cli_print("Paired %s, %d trials; * p < 0.05 against %s.\n\n",
                   t->bootstrap ? "bootstrap resampling" : "approximate randomization", t->trials,
                   t->systems[0]);
    for (size_t m = 0; m < t->metric_count; m++)
      printf("- %s: `%s`\n", t->metrics[m], t->signatures[m]);
    return;
  }
  if (t->paired) paired_notes(t);
  puts("-----------------\nMetric signatures\n-----------------");
  for (size_t m = 0; m < t->metric_count; m++)
    printf(" - %-10s %s\n", t->metrics[m], t->signatures[m]);
}
