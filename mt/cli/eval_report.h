/* What eval says beyond sacreBLEU: groups of segments, failures, the worst segments; as
 * text, as JSON and as a page of HTML. */
#ifndef DG_CLI_EVAL_REPORT_H
#define DG_CLI_EVAL_REPORT_H

#include "eval/analysis.h"
#include "mt/cli/eval_print.h"
#include "mt/cli/eval_text.h"

typedef struct dg_report_options {
  dg_analysis_options analysis;
  bool failures;
} dg_report_options;

typedef struct dg_report dg_report;

/* Measures the systems; the texts must outlive the report. */
dg_report *dg_report_new(const dg_report_options *o, const dg_texts *systems,
                         const char *const *const *lines, const dg_references *refs,
                         size_t segments, dg_scorer *const *scorers, size_t scorer_count,
                         dg_threads *threads, dg_error *err);
void dg_report_free(dg_report *r);

void dg_report_print(const dg_report *r, int width);
/* Members of an object, each with a comma before. */
void dg_report_json(const dg_report *r, int width, dg_strbuf *out);
/* A whole page, scores included. */
void dg_report_html(const dg_report *r, const dg_eval_table *scores, int width, dg_strbuf *out);

#endif
