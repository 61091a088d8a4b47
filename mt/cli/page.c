#include "mt/cli/page.h"

#include <math.h>
#include <string.h>

const char *const dg_page_diff_marks[4] = {"<del>", "</del>", "<ins>", "</ins>"};

static const char style[] =
    "body{font:15px/1.5 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em;"
    "color:#222;background:#fff}table{border-collapse:collapse;margin:1em 0}th,td{padding:.25em "
    ".7em;"
    "border-bottom:1px solid #ddd;text-align:right}th:first-child,td:first-child{text-align:left}"
    "del{color:#b00020;background:#fdecea}ins{color:#0b6b2d;background:#e6f4ea;text-decoration:"
    "none}"
    ".seg{border-left:3px solid #ccc;padding-left:1em;margin:1em 0}.dim{color:#666;font-size:.9em}"
    "svg text{font:12px system-ui,sans-serif;fill:#333}code{font-size:.85em}"
    "@media(prefers-color-scheme:dark){body{background:#16181c;color:#ddd}th,td{border-color:#444}"
    "svg text{fill:#ccc}del{color:#ff8a80;background:#3a1d1d}ins{color:#8ce99a;background:#16301f}"
    ".dim{color:#999}}";

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
  dg_strbuf_addf(out, "</h3>\n<svg role=\"img\" width=\"%d\" height=\"%d\"><title>",
                 LEFT + WIDTH + 140, TOP + HEIGHT + 44);
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
