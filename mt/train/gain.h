/* What training gained on a text: translations before and after, and whether the difference
 * of their scores is chance. */
#ifndef DG_TRAIN_GAIN_H
#define DG_TRAIN_GAIN_H

#include "eval/significance.h"
#include "mt/decode/translator.h"
#include "mt/train/trainer.h"

typedef struct dg_gain {
  size_t sentences;
  char **before, **after;
  dg_comparison bleu[2], chrf[2]; /* before, after: paired bootstrap */
} dg_gain;

/* Translates the sentences of both sets, which have the same text but perhaps other tags,
 * with their networks. Release with dg_gain_free either way. */
bool dg_gain_measure(const dg_network *before, const dg_dev_set *before_set,
                     const dg_network *after, const dg_dev_set *after_set, const dg_base *base,
                     const dg_translate_options *how, dg_gain *out, dg_error *err);
void dg_gain_free(dg_gain *g);

/* From worst to best. */
typedef enum dg_gain_verdict {
  DG_GAIN_LOSS,   /* chrF fell, or BLEU by more than chance (p < 0.05) */
  DG_GAIN_NONE,   /* chrF is what it was */
  DG_GAIN_CHANCE, /* chrF rose, which may be chance */
  DG_GAIN_REAL,
} dg_gain_verdict;
dg_gain_verdict dg_gain_judge(const dg_gain *g);

#endif
