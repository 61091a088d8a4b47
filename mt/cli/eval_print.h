/* How eval prints scores: byte for byte as sacreBLEU does. */
#ifndef DG_CLI_EVAL_PRINT_H
#define DG_CLI_EVAL_PRINT_H

#include "eval/metrics.h"
#include "eval/significance.h"
#include "mt/core/mem.h"

typedef enum dg_eval_format {
  DG_FORMAT_TEXT,
  DG_FORMAT_JSON,
  DG_FORMAT_LATEX,
  DG_FORMAT_MARKDOWN
} dg_eval_format;

/* One score of one system. */
typedef struct dg_eval_score {
  const char *name, *signature, *verbose; /* verbose may be NULL */
  double value;
  dg_interval interval; /* half negative: none */
} dg_eval_score;

/* All scores of one system. */
void dg_print_scores(const dg_eval_score *list, size_t count, int width, bool only_score,
                     dg_eval_format format);
/* A line of --sentence-level. */
void dg_print_sentence(const dg_eval_score *s, int width, bool only_score, dg_eval_format format);

/* Several systems: results[metric * systems + system]. */
typedef struct dg_eval_table {
  const char *const *systems;    /* names */
  const char *const *metrics;    /* names */
  const char *const *signatures; /* of the metrics */
  const dg_comparison *results;
  size_t system_count, metric_count;
  bool paired, bootstrap; /* paired test: by bootstrap, else by randomization */
  int trials;
} dg_eval_table;
void dg_print_table(const dg_eval_table *t, int width, dg_eval_format format);

/* A JSON string with its quotes; `ascii`: everything else escaped. */
void dg_json_string(dg_strbuf *out, const char *text, bool ascii);
/* float(f"{x:.{width}f}") as JSON has it. */
void dg_json_rounded(double x, int width, char out[32]);

#endif
