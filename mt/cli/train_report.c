#include "mt/cli/train_report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval/analysis.h"
#include "mt/cli/page.h"
#include "mt/cli/training.h"
#include "mt/core/file.h"

enum { SAMPLES = 20 };

/* --- the screen ----------------------------------------------------------------------------- */

/* The text's name and, when there are several, the direction. */
static const char *name_of(const dg_train_summary *s, const dg_train_measure *m, char *out,
                           size_t size) {
  bool several = false;
  for (size_t i = 0; i < s->measure_count; i++)
    several = several || strcmp(s->measures[i].set->name, m->set->name);
  snprintf(out, size, "%s%s%s", m->file->apart ? "dev text" : m->file->path, several ? " " : "",
           several ? m->set->name : "");
  return out;
}

static const char *noun(const dg_train_summary *s) {
  const char *kind = json_string_value(json_object_get(s->card, "kind"));
  return kind && !strcmp(kind, "base") ? "trained base" : "adapter";
}

static bool is_tested(const dg_train_summary *s) {
  bool tested = false;
  for (size_t i = 0; i < s->measure_count; i++)
    tested = tested || s->measures[i].file->role == DG_ROLE_TEST;
  return tested;
}

/* The text that tells the least gain: one in another direction does not make up for it. Dev text
 * chose the weights, so test text decides where there is some. NULL without measures. */
static const dg_train_measure *worst(const dg_train_summary *s) {
  const dg_train_measure *found = NULL;
  bool tested = is_tested(s);
  for (size_t i = 0; i < s->measure_count; i++) {
    const dg_train_measure *m = &s->measures[i];
    if ((!tested || m->file->role == DG_ROLE_TEST) &&
        (!found || dg_gain_judge(&m->gain) < dg_gain_judge(&found->gain)))
      found = m;
  }
  return found;
}

static void print_gain(const dg_train_summary *s, const dg_train_measure *m) {
  const dg_gain *g = &m->gain;
  char name[512];
  dg_cli_print(
      "%s: untouched base%s%s BLEU %.2f chrF %.2f; with the %s BLEU %.2f chrF %.2f "
      "(%+.2f, p = %.3f; %+.2f, p = %.3f)\n",
      name_of(s, m, name, sizeof name), s->relative ? " as " : "", s->relative ? s->relative : "",
      g->bleu[0].score, g->chrf[0].score, noun(s), g->bleu[1].score, g->chrf[1].score, g->bleu[1].gain,
      g->bleu[1].p_value, g->chrf[1].gain, g->chrf[1].p_value);
}

static void warn(const dg_train_summary *s) {
  const dg_train_measure *m = worst(s);
  dg_gain_verdict verdict = m ? dg_gain_judge(&m->gain) : DG_GAIN_REAL;
  bool learned = s->result->best_update, begun = json_object_get(s->card, "init");
  /* Text cut into new pieces is read otherwise than by the base before anything is learned. */
  bool cut = !begun && json_object_get(s->card, "tokens_per_word");
  char name[512];
  if (m) name_of(s, m, name, sizeof name);
  if (verdict == DG_GAIN_LOSS || (learned && verdict == DG_GAIN_NONE))
    dg_cli_say(NULL, "dragoman: warning: on %s %s the untouched base's: this %s may do harm%s\n", name,
               m->gain.chrf[1].gain > 0 ? "BLEU fell below" : "chrF did not rise above", noun(s),
               cut && !learned
                   ? ". Its new pieces came to nothing: more pairs, or --new-pieces 0, may "
                     "help"
                   : "");
  else if (!learned)
    dg_cli_say(NULL,
               "dragoman: warning: nothing was gained over the %s%s. More or cleaner pairs%s may "
               "help\n",
               begun ? "adapter that it begins from" : "untouched base",
               cut ? "" : "; the adapter leaves it as it is", begun ? "" : ", or a nearer --like,");
  else if (verdict == DG_GAIN_CHANCE)
    dg_cli_say(NULL, "dragoman: warning: the gain on %s may be chance (p >= 0.05): measure on more "
                     "sentences, or train on more pairs\n", name);
}

void dg_train_conclude(const dg_train_summary *s) {
  if (s->cli->json) {
    json_dumpf(s->card, stdout, JSON_COMPACT);
    putchar('\n');
    warn(s);
    return;
  }
  const dg_train_result *r = s->result;
  dg_cli_say(s->cli, "%s after %llu updates, %.1f minutes\n", dg_training_end(r->end),
             (unsigned long long)r->updates, r->seconds / 60);
  for (size_t i = 0; !s->cli->quiet && i < s->measure_count; i++) print_gain(s, &s->measures[i]);
  if (s->measure_count && !is_tested(s))
    dg_cli_say(s->cli, "dev text chose the weights, so its scores flatter: --test FILE measures on "
                       "text that did not\n");
  if (!s->cli->quiet && !s->measure_count && r->start_scores)
    printf("dev loss: before training %.4f; with the %s %.4f\n", r->start.loss, noun(s),
           r->best.loss);
  warn(s);
  char kept[128];
  dg_cli_say(s->cli, "the %s, %s, is in %s\n", noun(s), dg_training_kept(r, kept, sizeof kept),
             s->output);
}

/* --- the page ------------------------------------------------------------------------------- */

/* The text that tells the least gain, in a sentence. */
static void html_verdict(const dg_train_summary *s, dg_strbuf *out) {
  const dg_train_measure *m = worst(s);
  const dg_comparison *c = &m->gain.chrf[1];
  dg_strbuf_addf(out, "<p>%s, method %s: chrF %s by %.2f on the %s text, ", m->set->name,
                 json_string_value(json_object_get(s->card, "method")),
                 c->gain < 0 ? "fell" : "rose", fabs(c->gain), dg_train_role_name(m->file->role));
  dg_strbuf_addf(out,
                 dg_is_significant(c) ? "more than chance would have it (p = %.3f).</p>\n"
                                      : "which may be chance (p = %.3f).</p>\n",
                 c->p_value);
}

static void html_gains(const dg_train_summary *s, dg_strbuf *out) {
  dg_strbuf_add(out, "<h2>Gain over the base</h2>\n<table><tr><th>Text</th><th>sentences</th>"
                     "<th></th><th>untouched base</th>");
  dg_strbuf_addf(out, "<th>with the %s</th><th>gain</th><th>p</th></tr>\n", noun(s));
  for (size_t i = 0; i < s->measure_count; i++) {
    const dg_train_measure *m = &s->measures[i];
    for (int k = 0; k < 2; k++) {
      const dg_comparison *c = k ? m->gain.chrf : m->gain.bleu;
      dg_strbuf_add(out, "<tr><td>");
      char name[512];
      dg_page_text(out, name_of(s, m, name, sizeof name));
      dg_strbuf_addf(out,
                     " (%s)</td><td>%zu</td><td>%s</td><td>%.2f ± %.2f</td><td>%.2f ± "
                     "%.2f</td><td>%+.2f</td><td>%.4f%s</td></tr>\n",
                     dg_train_role_name(m->file->role), m->gain.sentences, k ? "chrF" : "BLEU",
                     c[0].score, c[0].interval.half, c[1].score, c[1].interval.half, c[1].gain,
                     c[1].p_value, dg_is_significant(&c[1]) ? " *" : "");
    }
  }
  dg_strbuf_addf(out,
                 "</table>\n<p class=dim>Dev text chose the weights. 95%% intervals and p by paired "
                 "bootstrap, %d samples; * p &lt; 0.05. <code>%s</code> <code>%s</code>%s%s%s</p>\n",
                 DG_BOOTSTRAP_TRIALS, dg_bleu_signature(), dg_chrf_signature(),
                 s->relative ? " The base does not know the language and was asked for " : "",
                 s->relative ? s->relative : "", s->relative ? "." : "");
}

typedef double field_fn(const dg_train_point *p);
static double loss_of(const dg_train_point *p) { return p->loss; }
static double dev_loss_of(const dg_train_point *p) { return p->dev_loss; }
static double chrf_of(const dg_train_point *p) { return p->dev_chrf; }
static double bleu_of(const dg_train_point *p) { return p->dev_bleu; }
static double speed_of(const dg_train_point *p) { return p->tokens_per_second; }

static dg_curve curve(const dg_train_result *r, const char *label, bool scored, field_fn *field) {
  double *x = dg_calloc(r->history_count + 1, sizeof *x);
  double *y = dg_calloc(r->history_count + 1, sizeof *y);
  size_t n = 0;
  for (size_t i = 0; i < r->history_count; i++) {
    const dg_train_point *p = &r->history[i];
    if (scored ? p->scored <= 0 : p->update < 1) continue; /* before the first update: no loss */
    x[n] = p->update;
    y[n++] = field(p);
  }
  return (dg_curve){label, x, y, n};
}

static void html_curves(const dg_train_result *r, dg_strbuf *out) {
  dg_curve curves[] = {curve(r, "training loss", false, loss_of),
                       curve(r, "dev loss", true, dev_loss_of), curve(r, "dev chrF", true, chrf_of),
                       curve(r, "dev BLEU", true, bleu_of), curve(r, "tokens/s", false, speed_of)};
  dg_strbuf_add(out, "<h2>Curves</h2>\n");
  dg_page_curves(out, "Loss", "update", curves, 2);
  dg_page_curves(out, "Dev scores", "update", curves + 2, 2);
  dg_page_curves(out, "Speed, target tokens a second", "update", curves + 4, 1);
  dg_strbuf_add(out, "<p class=dim>The training loss is label-smoothed and with dropout, the dev "
                     "loss is neither.</p>\n");
  for (size_t i = 0; i < sizeof curves / sizeof *curves; i++) {
    free((double *)curves[i].x);
    free((double *)curves[i].y);
  }
}

static void html_line(dg_strbuf *out, const char *label, const char *text, const char *reference) {
  dg_strbuf_addf(out, "<div dir=auto><span class=dim>%s</span> ", label);
  if (reference)
    dg_word_diff(reference, text, dg_page_diff_marks, dg_page_text_n, out);
  else
    dg_page_text(out, text);
  dg_strbuf_add(out, "</div>");
}

/* Evenly spaced: nobody chose them. */
static void html_samples(const dg_train_summary *s, dg_strbuf *out) {
  const dg_train_measure *m = &s->measures[0];
  size_t n = m->gain.sentences, shown = n < SAMPLES ? n : SAMPLES;
  dg_strbuf_add(out, "<h2>Before and after</h2>\n<p class=dim>Every ");
  if (n / shown > 1)
    dg_strbuf_addf(out, "%zu%s ", n / shown, n / shown == 2 ? "nd" : n / shown == 3 ? "rd" : "th");
  dg_strbuf_add(out, "sentence of ");
  char name[512];
  dg_page_text(out, name_of(s, m, name, sizeof name));
  dg_strbuf_add(out, "; <del>missing</del> and <ins>too much</ins> against the reference.</p>\n");
  for (size_t k = 0; k < shown; k++) {
    size_t i = k * (n / shown);
    dg_strbuf_add(out, "<div class=seg>");
    html_line(out, "source", m->set->sources[i], NULL);
    html_line(out, "reference", m->set->references[i], NULL);
    html_line(out, "base", m->gain.before[i], m->set->references[i]);
    html_line(out, "adapter", m->gain.after[i], m->set->references[i]);
    dg_strbuf_add(out, "</div>\n");
  }
}

static void html_data(const dg_train_data *d, dg_strbuf *out) {
  dg_strbuf_add(out, "<h2>Data</h2>\n<table><tr><th>File</th><th>used for</th><th>read</th>"
                     "<th>used</th></tr>\n");
  for (size_t i = 0; i < d->count; i++) {
    const dg_train_file *f = &d->files[i];
    dg_strbuf_add(out, "<tr><td>");
    dg_page_text(out, f->path);
    dg_strbuf_addf(out, "</td><td>%s</td><td>%zu</td><td>%zu</td></tr>\n",
                   dg_train_role_name(f->role), f->read, f->text.count);
  }
  dg_strbuf_add(out, "</table>\n<ul>\n");
  for (size_t i = 0; i < d->count; i++)
    for (int k = DG_PROBLEM_NONE + 1; k < DG_PROBLEMS; k++)
      if (d->files[i].problems[k]) {
        dg_strbuf_add(out, "<li>");
        dg_page_text(out, d->files[i].path);
        dg_strbuf_addf(out, ": %zu pairs %s</li>\n", d->files[i].problems[k],
                       dg_problem_title((dg_problem)k));
      }
  dg_strbuf_add(out, "</ul>\n");
}

static void html_settings(const json_t *card, dg_strbuf *out) {
  const char *name;
  json_t *value;
  dg_strbuf_add(out, "<h2>Settings</h2>\n<p>");
  json_object_foreach(json_object_get(card, "settings"), name, value) {
    dg_page_text(out, name);
    dg_strbuf_add(out, " ");
    dg_page_text(out, json_string_value(value));
    dg_strbuf_add(out, "; ");
  }
  dg_strbuf_add(out, "</p>\n");
}

bool dg_train_report_write(const dg_train_summary *s, const char *path, dg_error *err) {
  const char *slash = strrchr(s->output, '/');
  dg_strbuf page = {0};
  dg_page_begin(&page, slash ? slash + 1 : s->output);
  char kept[128];
  dg_strbuf_addf(&page, "<p>%llu updates, %.1f epochs, %.1f minutes; the weights are %s.</p>\n",
                 (unsigned long long)s->result->updates, s->result->epochs, s->result->seconds / 60,
                 dg_training_kept(s->result, kept, sizeof kept));
  if (s->measure_count) html_verdict(s, &page);
  if (s->measure_count) html_gains(s, &page);
  html_curves(s->result, &page);
  if (s->measure_count) html_samples(s, &page);
  html_data(s->data, &page);
  html_settings(s->card, &page);
  bool ok = dg_output_whole(path, page.text, page.length, err);
  free(page.text);
  return ok;
}
