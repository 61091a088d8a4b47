/* What scores hide: failures of weak systems, groups of segments, the worst segments, differences
 * of words. */
#ifndef DG_EVAL_ANALYSIS_H
#define DG_EVAL_ANALYSIS_H

#include "eval/metrics.h"
#include "mt/core/mem.h"

typedef enum dg_failure {
  DG_FAILED_EMPTY,        /* nothing, though there is something to say */
  DG_FAILED_UNTRANSLATED, /* the source as it is, which the reference is not */
  DG_FAILED_REPEATS,      /* says the same again and again, as the reference does not */
  DG_FAILED_SCRIPT,       /* mostly in a script that the references hardly use */
  DG_FAILED_PLACEHOLDERS, /* placeholders or tags are other than the source's, or the reference's
                             where the source is not known, and the reference's are not */
  DG_FAILURES
} dg_failure;

typedef enum dg_group_by {
  DG_BY_LENGTH,    /* characters of the reference */
  DG_BY_SCRIPT,    /* that most letters of the reference are in */
  DG_BY_FREQUENCY, /* of the reference's rarest word in a text of known words */
  DG_GROUPINGS
} dg_group_by;

typedef struct dg_analysis_options {
  bool by[DG_GROUPINGS];
  size_t worst;               /* segments of each system to find, at most */
  const char *const *sources; /* of the segments, or NULL */
  const char *const *known;   /* what frequencies are counted in; NULL: the references */
  size_t known_count;
} dg_analysis_options;

/* Of systems by some metrics. A segment's reference is its first, "" if it has none. */
typedef struct dg_analysis dg_analysis;

/* Borrows the texts and the metrics. */
dg_analysis *dg_analysis_new(const dg_analysis_options *o, const char *const *const *systems,
                             size_t system_count, const dg_references *refs, size_t segments,
                             dg_scorer *const *metrics, size_t metric_count, dg_threads *threads,
                             dg_error *err);
void dg_analysis_free(dg_analysis *a);

const char *dg_analysis_reference(const dg_analysis *a, size_t segment);
/* Segments of a system that failed so. */
size_t dg_analysis_failures(const dg_analysis *a, size_t system, dg_failure kind);

/* Groups are numbered from 0 in their order; some may be empty. */
size_t dg_analysis_groups(const dg_analysis *a, dg_group_by by);
const char *dg_analysis_group(const dg_analysis *a, dg_group_by by, size_t group, size_t *segments);
double dg_analysis_group_score(const dg_analysis *a, dg_group_by by, size_t group, size_t metric,
                               size_t system);

/* The metric that ranks segments: chrF where there is one, for BLEU of one is mostly 0. */
size_t dg_analysis_ranking(const dg_analysis *a);
double dg_analysis_segment_score(const dg_analysis *a, size_t system, size_t segment); /* by it */
/* Segments of a system, the worst first. */
const size_t *dg_analysis_worst(const dg_analysis *a, size_t system, size_t *count);

/* Words of the hypothesis against the reference's: "the [-white-] {+black+} cat". The marks
 * are given: before and after what is missing, before and after what is too much. Of very long
 * texts the first 400 words are compared; the rest of the hypothesis follows as it is. */
void dg_word_diff(const char *reference, const char *hypothesis, const char *const marks[4],
                  void (*put)(dg_strbuf *out, const char *text, size_t n), dg_strbuf *out);

#endif
