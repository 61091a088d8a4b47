#include "mt/cli/page.h"

#include <math.h>
#include <string.h>

const char *const dg_page_diff_marks[4] = {"<del>", "</del>", "<ins>", "</ins>"};

static const char style[] =
    "body{font:15px/1.5 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em;"
    "color:#222;background:#fff;overflow-wrap:anywhere}"
    "h2{margin-top:1.8em;border-bottom:1px solid #ddd}h3{margin-bottom:.3em}"
    "table{border-collapse:collapse;margin:1em 0}th,td{padding:.25em .7em;"
    "border-bottom:1px solid #ddd;text-align:right;vertical-align:top}"
    "th:first-child,td:first-child{text-align:left}"
    "del{color:#b00020;background:#fdecea}ins{color:#0b6b2d;background:#e6f4ea;text-decoration:"
    "none}"
    ".seg{border-left:3px solid #ccc;padding-left:1em;margin:1.2em 0}"
    ".seg td,.seg th{border:0;padding:.1em .7em .1em 0;text-align:left;font-weight:normal}"
    ".seg table{margin:0;width:100%}.seg td{width:100%}.seg td[dir=auto]{text-align:start}"
    ".seg th{white-space:nowrap;max-width:16em;overflow:hidden;text-overflow:ellipsis}"
    ".dim,.seg th{color:#666;font-size:.9em}.key{margin-right:1.2em;white-space:nowrap}"
    ".key i{display:inline-block;width:.8em;height:.8em;margin-right:.4em;"
    "print-color-adjust:exact;-webkit-print-color-adjust:exact}"
    "svg{max-width:100%;height:auto;display:block}"
    "svg text{font:12px system-ui,sans-serif;fill:#333}code{font-size:.85em}"
    "@media(prefers-color-scheme:dark){body{background:#16181c;color:#ddd}"
    "th,td,h2{border-color:#444}.seg{border-color:#555}"
    "svg text{fill:#ccc}del{color:#ff8a80;background:#3a1d1d}ins{color:#8ce99a;background:#16301f}"
    ".dim,.seg th{color:#999}}"
    "@media print{body{margin:0;max-width:none;font-size:11pt}.seg,tr,svg{break-inside:avoid}"
    "h2,h3{break-after:avoid}del,ins,svg{print-color-adjust:exact;"
    "-webkit-print-color-adjust:exact}}";

void dg_page_begin(dg_strbuf *out, const char *title) {
  dg_strbuf_add(out,
                "<!doctype html>\n<html lang=en><meta charset=utf-8>\n<meta name=viewport "
                "content=\"width=device-width\">\n<title>");
  dg_page_text(out, title);
  dg_strbuf_addf(out, "</title>\n<style>%s</style>\n<h1>", style);
  dg_page_text(out, title);
  dg_strbuf_add(out, "</h1>\n");
}

void dg_page_text_n(dg_strbuf *out, const char *text, size_t n) {
  for (size_t i = 0; i < n; i++) {
    const char c = text[i];
    if (c == '<')
      dg_strbuf_add(out, "&lt;");
    else if (c == '>')
      dg_strbuf_add(out, "&gt;");
    else if (c == '&')
      dg_strbuf_add(out, "&amp;");
    else if (c == '"')
      dg_strbuf_add(out, "&quot;");
    else
      dg_strbuf_addc(out, c);
  }
}

void dg_page_text(dg_strbuf *out, const char *text) { dg_page_text_n(out, text, strlen(text)); }

const char *dg_page_color(size_t i) {
  static const char *const colors[] = {"#4269d0", "#efb118", "#ff725c", "#6cc5b0",
                                       "#3ca951", "#a463f2", "#97bbf5", "#9c6b4e"};
  return colors[i % (sizeof colors / sizeof *colors)];
}

void dg_page_legend(dg_strbuf *out, const char *const *names, size_t count) {
  dg_strbuf_add(out, "<p>");
  for (size_t i = 0; i < count; i++) {
    dg_strbuf_addf(out, "<span class=key><i style=\"background:%s\"></i>", dg_page_color(i));
    dg_page_text(out, names[i]);
    dg_strbuf_add(out, "</span> ");
  }
  dg_strbuf_add(out, "</p>\n");
}

/* --- curves --------------------------------------------------------------------------------- */

enum { LEFT = 60, TOP = 10, WIDTH = 560, HEIGHT = 220, TICKS = 5 };

typedef struct range {
  double least, most, step; /* of round numbers */
} range;

static range round_range(double least, double most) {
  if (most - least < 1e-9) most = least + 1;
  double raw = (most - least) / TICKS, power = pow(10, floor(log10(raw))), unit = raw / power;
  double step = power * (unit <= 1 ? 1 : unit <= 2 ? 2 : unit <= 5 ? 5 : 10);
  return (range){floor(least / step) * step, ceil(most / step) * step, step};
}

static double place(const range *r, double x, double length) {
  return length * (x - r->least) / (r->most - r->least);
}

static void axes(dg_strbuf *out, const range *x, const range *y, const char *x_title) {
  for (double v = y->least; v < y->most + y->step / 2; v += y->step) {
    double at = TOP + HEIGHT - place(y, v, HEIGHT);
    dg_strbuf_addf(out,
                   "<path d=\"M%d %.1fh%d\" stroke=\"#8884\"/><text x=\"%d\" y=\"%.1f\" "
                   "text-anchor=\"end\">%.6g</text>",
                   LEFT, at, WIDTH, LEFT - 6, at + 4, fabs(v) < y->step / 2 ? 0 : v);
  }
  for (double v = x->least; v < x->most + x->step / 2; v += x->step)
    dg_strbuf_addf(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.6g</text>",
                   LEFT + place(x, v, WIDTH), TOP + HEIGHT + 18, v);
  dg_strbuf_addf(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">", LEFT + WIDTH / 2,
                 TOP + HEIGHT + 36);
  dg_page_text(out, x_title);
  dg_strbuf_add(out, "</text>");
}

void dg_page_curves(dg_strbuf *out, const char *title, const char *x_title, const dg_curve *curves,
                    size_t count) {
  double low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
  for (size_t c = 0; c < count; c++)
    for (size_t i = 0; i < curves[c].count; i++) {
      low[0] = fmin(low[0], curves[c].x[i]), high[0] = fmax(high[0], curves[c].x[i]);
      low[1] = fmin(low[1], curves[c].y[i]), high[1] = fmax(high[1], curves[c].y[i]);
    }
  if (!(low[0] <= high[0])) return;
  range x = round_range(low[0], high[0]), y = round_range(low[1], high[1]);
  dg_strbuf_add(out, "<h3>");
  dg_page_text(out, title);
  dg_strbuf_addf(out, "</h3>\n<svg role=\"img\" width=\"%d\" viewBox=\"0 0 %d %d\"><title>",
                 LEFT + WIDTH + 140, LEFT + WIDTH + 140, TOP + HEIGHT + 44);
  dg_page_text(out, title);
  dg_strbuf_add(out, "</title>");
  axes(out, &x, &y, x_title);
  for (size_t c = 0; c < count; c++) {
    dg_strbuf_addf(out, "<path fill=\"none\" stroke=\"%s\" stroke-width=\"1.8\" d=\"",
                   dg_page_color(c));
    for (size_t i = 0; i < curves[c].count; i++)
      dg_strbuf_addf(out, "%c%.1f %.1f", i ? 'L' : 'M', LEFT + place(&x, curves[c].x[i], WIDTH),
                     TOP + HEIGHT - place(&y, curves[c].y[i], HEIGHT));
    dg_strbuf_addf(out, "\"/><text x=\"%d\" y=\"%zu\" style=\"fill:%s\">", LEFT + WIDTH + 10,
                   (size_t)TOP + 12 + 18 * c, dg_page_color(c));
    dg_page_text(out, curves[c].label);
    dg_strbuf_add(out, "</text>");
  }
  dg_strbuf_add(out, "</svg>\n");
}

/* --- bars ----------------------------------------------------------------------------------- */

enum { BAR = 16, BAR_STEP = 21, GROUP_GAP = 9, BAR_WIDTH = 420, LABEL_MAX = 40, LETTER = 7 };

/* Letters wide: from U+3000 on they count twice, as they do in CJK. */
static size_t letters(const char *s) {
  size_t n = 0;
  for (; *s; s++) {
    const unsigned char c = (unsigned char)*s;
    n += c >= 0xE3 ? 2 : (c & 0xC0) != 0x80;
  }
  return n;
}

/* The end of a label that is too long, for names of files differ there. */
static const char *label_end(const char *label) {
  while (letters(label) > LABEL_MAX) {
    do label++;
    while (((unsigned char)*label & 0xC0) == 0x80);
  }
  return label;
}

static void bar_text(dg_strbuf *out, double x, double y, const char *anchor, const char *text) {
  const char *end = label_end(text);
  dg_strbuf_addf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s", x, y, anchor,
                 end > text ? "…" : "");
  dg_page_text(out, end);
  if (end > text) {
    dg_strbuf_add(out, "<title>");
    dg_page_text(out, text);
    dg_strbuf_add(out, "</title>");
  }
  dg_strbuf_add(out, "</text>");
}

void dg_page_bars(dg_strbuf *out, const char *title, const dg_bar *bars, size_t count, size_t group,
                  int decimals) {
  size_t widest = 0;
  double most = 0;
  for (size_t i = 0; i < count; i++) {
    size_t n = bars[i].label ? letters(label_end(bars[i].label)) + 1 : 0;
    if (n > widest) widest = n;
    most = fmax(most, fmax(bars[i].value, bars[i].high));
  }
  const range x = round_range(0, most);
  const bool grouped = group > 1 && count && !bars[group - 1].label;
  const double left = (double)(LETTER * widest) + 10;
  const double bottom =
      (double)(BAR_STEP * count) + (grouped ? (double)(GROUP_GAP * (count / group)) : 0);
  const double total = left + BAR_WIDTH + 60;
  dg_strbuf_addf(out, "<svg role=\"img\" width=\"%.0f\" viewBox=\"0 0 %.0f %.0f\"><title>", total,
                 total, bottom + 26);
  dg_page_text(out, title);
  dg_strbuf_add(out, "</title>");
  for (double v = 0; v < x.most + x.step / 2; v += x.step)
    dg_strbuf_addf(out,
                   "<path d=\"M%.1f 0v%.0f\" stroke=\"#8886\"/><text x=\"%.1f\" y=\"%.0f\" "
                   "text-anchor=\"middle\">%.6g</text>",
                   left + place(&x, v, BAR_WIDTH), bottom + 4, left + place(&x, v, BAR_WIDTH),
                   bottom + 18, v);
  for (size_t i = 0; i < count; i++) {
    const dg_bar *b = &bars[i];
    double y = 2 + (double)(BAR_STEP * i) + (grouped ? (double)(GROUP_GAP * (i / group)) : 0);
    double middle = y + BAR / 2.0, end = place(&x, b->value, BAR_WIDTH);
    if (b->label)
      bar_text(out, left - 8, middle + 4 + (grouped ? BAR_STEP * (double)(group - 1) / 2 : 0),
               "end", b->label);
    dg_strbuf_addf(out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>",
                   left, y, fmax(end, 0), BAR, dg_page_color(i % group));
    if (b->high > b->low) {
      double low = left + place(&x, b->low, BAR_WIDTH), high = place(&x, b->high, BAR_WIDTH);
      dg_strbuf_addf(out,
                     "<path d=\"M%.1f %.1fH%.1fM%.1f %.1fv8M%.1f %.1fv8\" "
                     "stroke=\"currentColor\" stroke-width=\"1.5\"/>",
                     low, middle, left + high, low, middle - 4, left + high, middle - 4);
      end = fmax(end, high);
    }
    dg_strbuf_addf(out, "<text x=\"%.1f\" y=\"%.1f\">%.*f</text>", left + end + 6, middle + 4,
                   decimals, b->value);
  }
  dg_strbuf_add(out, "</svg>\n");
}
