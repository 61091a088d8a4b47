#include "mt/train/gain.h"

#include <stdlib.h>

#include "mt/core/mem.h"
#include "mt/train/evaluate.h"

enum { TRIALS = 1000, SEED = 12345 }; /* as sacreBLEU */

static bool compare(const dg_gain *g, const dg_dev_set *set, dg_scorer *m, dg_threads *threads,
                    dg_comparison out[2], dg_error *err) {
  if (!m) return false;
  dg_references refs = {&set->references, 1};
  const char *const *texts[2] = {(const char *const *)g->before, (const char *const *)g->after};
  double *statistics[2] = {NULL, NULL};
  bool ok = true;
  for (int k = 0; ok && k < 2; k++) {
    statistics[k] = dg_alloc_checked(g->sentences * dg_scorer_width(m), sizeof(double), err);
    ok = statistics[k] &&
         dg_scorer_measure(m, texts[k], &refs, g->sentences, threads, statistics[k], err);
  }
  ok = ok && dg_compare(m, (const double *const *)statistics, 2, g->sentences, DG_PAIRED_BOOTSTRAP,
                        TRIALS, SEED, threads, out, err);
  /* No difference is no surprise, whatever sacreBLEU's rule makes of samples that have none. */
  if (ok && !(out[0].score < out[1].score || out[0].score > out[1].score)) out[1].p_value = 1;
  free(statistics[0]);
  free(statistics[1]);
  dg_scorer_free(m);
  return ok;
}

bool dg_gain_measure(const dg_network *before, const dg_dev_set *before_set,
                     const dg_network *after, const dg_dev_set *after_set, const dg_base *base,
                     int beam, dg_gain *out, dg_error *err) {
  *out = (dg_gain){.sentences = after_set->sentences};
  return (out->before = dg_evaluate_translate(before, base, before_set, beam, err)) &&
         (out->after = dg_evaluate_translate(after, base, after_set, beam, err)) &&
         compare(out, after_set, dg_scorer_bleu(NULL, err), after->threads, out->bleu, err) &&
         compare(out, after_set, dg_scorer_chrf(NULL, err), after->threads, out->chrf, err);
}

void dg_gain_free(dg_gain *g) {
  dg_evaluated_free(g->before, g->sentences);
  dg_evaluated_free(g->after, g->sentences);
  *g = (dg_gain){0};
}

bool dg_gain_is_real(const dg_gain *g) {
  return g->chrf[1].score > g->chrf[0].score && g->chrf[1].p_value < 0.05;
}
