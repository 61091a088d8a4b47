/* Dev scores, and the weights that they choose. */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "mt/core/mem.h"
#include "mt/train/evaluate.h"
#include "mt/train/state.h"

static void swap_weights(dg_trainer *t, float *others) {
  for (size_t i = 0; others && i < t->params->total; i++) {
    float x = others[i];
    others[i] = t->params->values[i];
    t->params->values[i] = x;
  }
}

static double metric_of(const dg_trainer *t, const dg_dev_score *s) {
  return t->o->metric == DG_METRIC_LOSS   ? -s->loss
         : t->o->metric == DG_METRIC_BLEU ? s->bleu
                                          : s->chrf;
}

/* Told to stop it gives up; but where others wait for its scores it ends. */
static bool score(dg_trainer *t, dg_error *err) {
  const dg_train_task *k = t->task;
  dg_network translating = k->network;
  dg_packed_model *weights = NULL;
  dg_translate_options how = dg_translate_defaults();
  how.beam = (size_t)t->o->eval_beam;
  how.stop = t->ranks->size == 1 ? k->stop : NULL, how.context = k->context;
  bool ok = true;
  for (size_t i = 0; ok && i < k->dev_count; i++) {
    dg_dev_score *s = &t->scores[i];
    *s = (dg_dev_score){0};
    ok = dg_evaluate_loss(&k->network, k->dev_examples, &k->dev_sets[i].direction,
                          (size_t)t->o->micro_tokens, t->arena, &s->loss, err);
    if (ok && !weights && k->dev_sets[i].sentences)
      ok = (weights = dg_evaluate_pack(&translating, err)) != NULL;
    ok = ok && dg_evaluate_text(&translating, k->base, &k->dev_sets[i], &how, s, err);
    s->loss = dg_trainer_loss(s->loss, 1);
  }
  dg_packed_model_free(weights);
  return ok;
}

static bool score_all(dg_trainer *t, dg_dev_score *mean, dg_error *err) {
  const dg_train_task *k = t->task;
  *mean = (dg_dev_score){0};
  if ((!t->ranks->rank && !score(t, err)) ||
      !dg_ranks_share(t->ranks, t->scores, k->dev_count * sizeof *t->scores, err))
    return false;
  for (size_t i = 0; i < k->dev_count; i++) {
    mean->loss += t->scores[i].loss / (double)k->dev_count;
    mean->bleu += t->scores[i].bleu / (double)k->dev_count;
    mean->chrf += t->scores[i].chrf / (double)k->dev_count;
  }
  return true;
}

uint64_t dg_trainer_dev_text(const dg_train_task *k, const dg_train_options *o) {
  if (!k->dev_count) return 0;
  uint64_t h = dg_examples_hash(k->dev_examples);
  for (size_t i = 0; i < k->dev_count; i++) {
    const dg_dev_set *s = &k->dev_sets[i];
    const uint64_t made_of[] = {s->sentences, s->sentences ? (uint64_t)o->eval_beam : 0,
                                s->direction.reversed};
    h = XXH3_64bits_withSeed(s->name, strlen(s->name), h);
    h = XXH3_64bits_withSeed(made_of, sizeof made_of, h);
    for (size_t n = 0; n < s->sentences; n++) {
      h = XXH3_64bits_withSeed(s->sources[n], strlen(s->sources[n]), h);
      h = XXH3_64bits_withSeed(s->references[n], strlen(s->references[n]), h);
    }
  }
  return h >> 1 | 1; /* never negative, as JSON's integers */
}

static bool score_weights(dg_trainer *t, float *weights, dg_dev_score *mean, dg_dev_score *scores,
                          dg_error *err) {
  swap_weights(t, weights);
  bool ok = score_all(t, mean, err);
  swap_weights(t, weights);
  if (ok) memcpy(scores, t->scores, t->task->dev_count * sizeof *scores);
  else if (err && err->status == DG_ERR_INTERRUPTED) /* the checkpoint is as it should be */
    dg_fail(err, DG_ERR_INTERRUPTED, "stopped while scoring; the same command goes on from %s",
            t->task->checkpoint_path);
  return ok;
}

bool dg_trainer_score_anew(dg_trainer *t, float *start, dg_error *err) {
  size_t count = t->task->dev_count;
  t->bad_evaluations = t->runner_up_count = 0;
  t->have_start = t->have_start && count && start, t->have_best = t->have_best && count;
  if (!count) {
    free(t->mean);
    t->mean = NULL;
  }
  if ((t->have_start && !score_weights(t, start, &t->start, t->start_scores, err)) ||
      (t->have_best && !score_weights(t, t->best, &t->best_score, t->best_scores, err)) ||
      (t->mean && !score_weights(t, t->mean, &t->mean_score, t->mean_scores, err)))
    return false;
  if (!t->have_start || !t->have_best || metric_of(t, &t->best_score) > metric_of(t, &t->start))
    return true;
  t->best_update = 0;
  t->best_score = t->start;
  memcpy(t->best_scores, t->start_scores, count * sizeof *t->scores);
  memcpy(t->best, start, t->params->total * sizeof *start);
  return true;
}

/* Keeps the weights in place among those to average, if they are good enough. */
static void keep_runner_up(dg_trainer *t, const float *weights, double metric) {
  size_t most = (size_t)t->o->average_best - 1, n = t->params->total, at = t->runner_up_count;
  while (at > 0 && metric > t->runner_up_metrics[at - 1]) at--;
  if (at >= most) return;
  if (t->runner_up_count < most) t->runner_up_count++;
  size_t moved = t->runner_up_count - 1 - at;
  memmove(t->runners_up + (at + 1) * n, t->runners_up + at * n, moved * n * sizeof(float));
  memmove(t->runner_up_metrics + at + 1, t->runner_up_metrics + at, moved * sizeof(double));
  memcpy(t->runners_up + at * n, weights, n * sizeof(float));
  t->runner_up_metrics[at] = metric;
}

bool dg_trainer_beats_mean(const dg_trainer *t, const dg_dev_score *s) {
  return !t->mean || metric_of(t, s) > metric_of(t, &t->mean_score);
}

bool dg_trainer_average(dg_trainer *t, dg_error *err) {
  size_t n = t->params->total, of = 1 + t->runner_up_count;
  if (of == 1 || !t->best_update || (t->mean && t->mean_update == t->update)) return true;
  float *mean = dg_alloc_checked(n, sizeof *mean, err);
  if (!mean) return false;
  for (size_t i = 0; i < n; i++) {
    double sum = t->best[i];
    for (size_t k = 0; k + 1 < of; k++) sum += t->runners_up[k * n + i];
    mean[i] = (float)(sum / (double)of);
  }
  dg_dev_score score;
  dg_dev_score *scores = dg_calloc(t->task->dev_count + 1, sizeof *scores);
  bool ok = score_weights(t, mean, &score, scores, err);
  if (!ok || metric_of(t, &score) <= metric_of(t, &t->best_score) || !dg_trainer_beats_mean(t, &score)) {
    free(mean);
    free(scores);
    return ok;
  }
  free(t->mean);
  free(t->mean_scores);
  t->mean = mean, t->mean_scores = scores;
  t->mean_of = of, t->mean_update = t->update, t->mean_score = score;
  return dg_trainer_save(t, err);
}

bool dg_trainer_evaluate(dg_trainer *t, dg_error *err) {
  const dg_train_task *k = t->task;
  if (!k->dev_count) return true;
  size_t bytes = k->dev_count * sizeof *t->scores;
  dg_train_point now = dg_trainer_point(t);
  dg_dev_score mean;
  swap_weights(t, t->average);
  bool ok = score_all(t, &mean, err);
  if (ok) {
    if (!t->update) {
      t->start = mean;
      memcpy(t->start_scores, t->scores, bytes);
      t->have_start = true;
    }
    bool improved = !t->have_best || metric_of(t, &mean) > metric_of(t, &t->best_score);
    if (improved) {
      if (t->have_best && t->best_update) /* the untouched weights are not averaged */
        keep_runner_up(t, t->best, metric_of(t, &t->best_score));
      t->have_best = true;
      t->best_score = mean;
      t->best_update = t->update;
      t->bad_evaluations = 0;
      memcpy(t->best_scores, t->scores, bytes);
      memcpy(t->best, t->params->values, t->params->total * sizeof(float));
    } else {
      keep_runner_up(t, t->params->values, metric_of(t, &mean));
      t->bad_evaluations++;
    }
    now.scored = 1, now.best = improved;
    now.dev_loss = mean.loss, now.dev_bleu = mean.bleu, now.dev_chrf = mean.chrf;
    dg_train_report r = dg_trainer_report(t, &now, false, t->scores);
    if (improved && dg_trainer_beats_mean(t, &mean) && k->best && !t->replaces && !t->ranks->rank)
      ok = k->best(k->context, &r, err);
  }
  swap_weights(t, t->average);
  dg_trainer_restart_clocks(t);
  return ok;
}
