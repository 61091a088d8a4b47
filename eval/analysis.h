/* What a score hides: failures of weak systems, groups of segments, differences of words. */
#ifndef DG_EVAL_ANALYSIS_H
#define DG_EVAL_ANALYSIS_H

#include <stdbool.h>
#include <stddef.h>

#include "mt/core/error.h"
#include "mt/core/mem.h"

enum {
  DG_FAILED_EMPTY = 1,        /* nothing, though there is something to say */
  DG_FAILED_UNTRANSLATED = 2, /* the source as it is, which the reference is not */
  DG_FAILED_REPEATS = 4,      /* says the same again and again, as the reference does not */
  DG_FAILED_SCRIPT = 8        /* mostly in a script that the references hardly use */
};

/* Failures of each segment, as bits of flags[]; sources may be NULL. */
void dg_failures(const char *const *hypotheses, const char *const *references,
                 const char *const *sources, size_t segments, unsigned char *flags);

typedef enum dg_group_by {
  DG_BY_LENGTH,   /* characters of the reference */
  DG_BY_SCRIPT,   /* that most letters of the reference are in */
  DG_BY_FREQUENCY /* of the reference's rarest word in a text of known words */
} dg_group_by;

typedef struct dg_groups {
  char **labels;
  size_t count;
  size_t *of; /* the group of each segment */
} dg_groups;

/* `known` is what frequencies are counted in; NULL: the references. */
void dg_groups_make(dg_group_by by, const char *const *references, size_t segments,
                    const char *const *known, size_t known_count, dg_groups *out);
void dg_groups_free(dg_groups *g);

/* Words of the hypothesis against the reference's: "the [-white-] {+black+} cat". The marks
 * are given: before and after what is missing, before and after what is too much. */
void dg_word_diff(const char *reference, const char *hypothesis, const char *const marks[4],
                  void (*put)(dg_strbuf *out, const char *text, size_t n), dg_strbuf *out);

#endif
