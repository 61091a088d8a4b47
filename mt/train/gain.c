#include "mt/train/gain.h"

#include "mt/train/evaluate.h"

static bool compare(const dg_gain *g, const dg_dev_set *set, dg_scorer *m, dg_threads *threads,
                    dg_comparison out[2], dg_error *err) {
  if (!m) return false;
  const dg_references refs = {&set->references, 1};
  const char *const *const texts[2] = {(const char *const *)g->before,
                                       (const char *const *)g->after};
  bool ok = dg_compare(m, texts, 2, &refs, g->sentences, DG_PAIRED_BOOTSTRAP, DG_BOOTSTRAP_TRIALS,
                       DG_TRIALS_SEED, threads, out, err);
  /* No difference is no surprise, whatever sacreBLEU's rule makes of samples that have none. */
  if (ok && out[1].gain == 0) out[1].p_value = 1;
  dg_scorer_free(m);
  return ok;
}

bool dg_gain_measure(const dg_network *before, const dg_dev_set *before_set,
                     const dg_network *after, const dg_dev_set *after_set, const dg_base *base,
                     const dg_translate_options *how, dg_gain *out, dg_error *err) {
  *out = (dg_gain){.sentences = after_set->sentences};
  return (out->before = dg_evaluate_translate(before, base, before_set, how, err)) &&
         (out->after = dg_evaluate_translate(after, base, after_set, how, err)) &&
         compare(out, after_set, dg_scorer_bleu(NULL, err), after->threads, out->bleu, err) &&
         compare(out, after_set, dg_scorer_chrf(NULL, err), after->threads, out->chrf, err);
}

void dg_gain_free(dg_gain *g) {
  dg_evaluated_free(g->before, g->sentences);
  dg_evaluated_free(g->after, g->sentences);
  *g = (dg_gain){0};
}

dg_gain_verdict dg_gain_judge(const dg_gain *g) {
  const dg_comparison *bleu = &g->bleu[1], *chrf = &g->chrf[1];
  if (chrf->gain < 0 || (bleu->gain < 0 && dg_is_significant(bleu))) return DG_GAIN_LOSS;
  return !(chrf->gain > 0) ? DG_GAIN_NONE : dg_is_gain(chrf) ? DG_GAIN_REAL : DG_GAIN_CHANCE;
}
