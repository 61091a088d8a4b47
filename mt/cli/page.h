/* Self-contained pages of HTML: one frame and style for every report. */
#ifndef DG_CLI_PAGE_H
#define DG_CLI_PAGE_H

#include "mt/core/mem.h"

/* Everything up to the first paragraph; a page needs no end. */
void dg_page_begin(dg_strbuf *out, const char *title);

/* Text with <, >, & and quotes escaped. */
void dg_page_text(dg_strbuf *out, const char *text);
void dg_page_text_n(dg_strbuf *out, const char *text, size_t n);

/* What dg_word_diff puts around words that are missing and too much. */
extern const char *const dg_page_diff_marks[4];

const char *dg_page_color(size_t i); /* of the i-th series */

typedef struct dg_curve {
  const char *label;
  const double *x, *y; /* [count] */
  size_t count;
} dg_curve;

/* Lines over a common x, with axes, as inline SVG. Nothing when no curve has a point. */
void dg_page_curves(dg_strbuf *out, const char *title, const char *x_title, const dg_curve *curves,
                    size_t count);

typedef struct dg_bar {
  const char *label;       /* NULL: that of the group's first */
  double value, low, high; /* not below 0; an interval about it, if high > low */
} dg_bar;

/* Horizontal bars over an axis from 0, those of a group in the colours of its series. */
void dg_page_bars(dg_strbuf *out, const char *title, const dg_bar *bars, size_t count, size_t group,
                  int decimals);
/* What the colours stand for. */
void dg_page_legend(dg_strbuf *out, const char *const *names, size_t count);

#endif
