#include "mt/train/trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "mt/core/file.h"
#include "mt/core/mem.h"
#include "mt/core/rng.h"
#include "mt/train/checkpoint.h"
#include "mt/train/evaluate.h"

enum { POINT_EVERY = 25 };
static const double diverged = 1e9; /* a loss that is no number: JSON has none such */

static double number_or(double loss, double otherwise) { return isfinite(loss) ? loss : otherwise; }

static double seconds_since(const struct timespec *t) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)(now.tv_sec - t->tv_sec) + (double)(now.tv_nsec - t->tv_nsec) * 1e-9;
}

static double trained_seconds(const dg_trainer *t) { return t->seconds + seconds_since(&t->begun); }

static bool save_checkpoint(dg_trainer *t, dg_error *err) {
  bool ok = t->ranks->rank || dg_checkpoint_save(t, trained_seconds(t), err);
  clock_gettime(CLOCK_MONOTONIC, &t->checkpointed);
  return ok;
}

/* --- steps ------------------------------------------------------------------------- */

static size_t total_targets(const dg_trainer *t, const dg_sampled *pairs, size_t count,
                            dg_batch_buffer *b) {
  size_t labels = 0;
  dg_batch_clear(b);
  /* As the dropout masks, what varies a pair follows from the update alone. */
  dg_noise noise = {t->o->subword_alpha, t->o->word_dropout, 0};
  for (size_t i = 0; i < count; i++) {
    noise.seed = dg_rng_key(dg_rng_key((uint64_t)t->o->seed, t->update), i);
    dg_batch_add(b, t->task->examples, &t->task->directions[pairs[i].direction], pairs[i].pair,
                 &noise);
  }
  for (size_t i = 0; i < dg_batch_targets(b); i++) labels += b->labels[i] >= 0;
  return labels;
}

typedef struct average_job {
  float *average, decay;
  const float *weights;
  size_t total;
} average_job;

enum { AVERAGE_BLOCK = 1 << 15 };

static void average_block(void *context, size_t task, int worker) {
  (void)worker;
  const average_job *j = context;
  size_t first = task * AVERAGE_BLOCK, end = first + AVERAGE_BLOCK;
  if (end > j->total) end = j->total;
  for (size_t i = first; i < end; i++)
    j->average[i] += (1 - j->decay) * (j->weights[i] - j->average[i]);
}

static void update_average(dg_trainer *t) {
  if (!t->average) return;
  double n = (double)t->update, decay = (1 + n) / (10 + n); /* short memory at the start */
  average_job j = {t->average, (float)(decay < t->o->ema ? decay : t->o->ema), t->params->values,
                   t->params->total};
  dg_parallel(t->threads, (j.total + AVERAGE_BLOCK - 1) / AVERAGE_BLOCK, average_block, &j);
}

static double learning_rate(const dg_trainer *t) {
  const dg_train_options *o = t->o;
  return dg_schedule(o->schedule, o->learning_rate, (uint64_t)o->warmup, (uint64_t)o->max_updates,
                     (uint64_t)o->cooldown, t->update);
}

static size_t all_targets(const dg_batch *b) {
  return b->target_offsets[b->sequences] - b->target_offsets[0];
}

static size_t longest(const dg_batch *b) {
  size_t most = 0;
  for (size_t i = 0; i < b->sequences; i++) {
    size_t n = b->target_offsets[i + 1] - b->target_offsets[i];
    if (n > most) most = n;
  }
  return most;
}

static bool fits(const dg_trainer *t, const dg_batch *b, size_t first, size_t end, size_t most) {
  size_t targets = b->target_offsets[end] - b->target_offsets[first];
  size_t sources = b->source_offsets[end] - b->source_offsets[first];
  size_t passes = t->o->rdrop > 0 ? 2 : 1;
  return targets <= most && sources <= 2 * most &&
         passes * (targets * t->target_bytes + sources * t->source_bytes) >> 20 <=
             (size_t)t->o->memory;
}

static bool step(dg_trainer *t, dg_error *err) {
  const dg_train_options *o = t->o;
  size_t count;
  dg_sampler_save(t->sampler, t->position);
  const dg_sampled *pairs = dg_sampler_next(t->sampler, &count);
  t->update++;
  size_t labels = total_targets(t, pairs, count, &t->batch);
  dg_loss_options lo = {
      .label_smoothing = (float)o->label_smoothing,
      .dropout = (float)o->dropout,
      .attention_dropout = (float)o->attention_dropout,
      .activation_dropout = (float)o->activation_dropout,
      .adapter_dropout = (float)o->adapter_dropout,
      .rdrop = (float)o->rdrop,
      .dropout_key = dg_rng_key((uint64_t)o->seed ^ UINT64_C(0x64726f70), t->update),
      .gradient_scale = 1.0f / (float)(labels ? labels : 1),
  };
  dg_batch all = t->batch.batch;
  if (t->candidates)
    lo.classes =
        dg_candidates_draw(t->candidates, all.labels, dg_batch_targets(&t->batch),
                           dg_rng_key((uint64_t)o->seed ^ UINT64_C(0x70617274), t->update));
  dg_loss_memory(&t->task->network, &all, &t->source_bytes, &t->target_bytes);
  dg_params_zero_grads(t->params);
  dg_loss loss = {0};
  /* Runs of sequences that fit the budgets, at least one in each; with several processes a run
   * for each. What is dropped goes by the whole update, so that it is the same in all. */
  size_t most = (size_t)o->micro_tokens,
         share = all_targets(&all) / (size_t)t->ranks->size + longest(&all);
  if (t->ranks->size > 1 && share < most) most = share;
  for (size_t first = 0, micro = 0; first < all.sequences; micro++) {
    size_t end = first + 1;
    while (end < all.sequences && fits(t, &all, first, end + 1, most)) end++;
    uint32_t s0 = all.source_offsets[first], t0 = all.target_offsets[first];
    dg_batch part = {end - first, all.source + s0, all.input + t0, all.labels + t0,
                     all.source_offsets + first, all.target_offsets + first, NULL, &all};
    first = end;
    if (micro % (size_t)t->ranks->size != (size_t)t->ranks->rank) continue;
    if (t->encoder_cache) {
      part.begun =
          dg_encoder_cache_states(t->encoder_cache, pairs + (first - part.sequences), &part, err);
      if (!part.begun) return false;
    }
    if (!dg_loss_backward(&t->task->network, &part, &lo, t->arena, &loss, err)) return false;
  }
  float counted[2] = {(float)loss.smoothed, (float)loss.labels};
  if (!dg_ranks_sum(t->ranks, t->params->grads, t->params->total, err) ||
      !dg_ranks_sum(t->ranks, counted, 2, err))
    return false;
  double norm = dg_optimizer_update(&t->optimizer, learning_rate(t));
  t->skipped = isfinite(norm) ? 0 : t->skipped + 1;
  t->norm = isfinite(norm) ? norm : 0;
  if (t->skipped > 100)
    return dg_fail(err, DG_ERR_UNSUPPORTED,
                   "training diverged: 100 updates in a row had no finite gradient; lower "
                   "learning_rate");
  update_average(t);
  bool several = t->ranks->size > 1;
  size_t counted_labels = several ? (size_t)counted[1] : loss.labels;
  t->point_loss += number_or(several ? (double)counted[0] : loss.smoothed,
                          diverged * (double)counted_labels);
  t->point_labels += counted_labels;
  return true;
}

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

static dg_train_point point(const dg_trainer *t) {
  double elapsed = seconds_since(&t->pointed), labels = (double)t->point_labels;
  return (dg_train_point){
      .update = (double)t->update,
      .epochs = dg_sampler_epochs(t->sampler),
      .seconds = trained_seconds(t),
      .learning_rate = learning_rate(t),
      .loss = labels > 0 ? t->point_loss / labels : 0,
      .gradient_norm = t->norm,
      .tokens_per_second = elapsed > 0 ? (labels - (double)t->untimed_labels) / elapsed : 0,
  };
}

static void restart_clocks(dg_trainer *t) {
  clock_gettime(CLOCK_MONOTONIC, &t->pointed);
  t->untimed_labels = t->point_labels;
  t->reported = t->pointed;
}

static dg_train_report report(dg_trainer *t, const dg_train_point *now, bool passing,
                              const dg_dev_score *scores) {
  if (!passing) {
    DG_GROW(t->history, t->history_capacity, t->history_count + 1);
    t->history[t->history_count++] = *now;
    t->point_loss = 0;
    t->point_labels = 0;
    restart_clocks(t);
  }
  clock_gettime(CLOCK_MONOTONIC, &t->reported);
  dg_train_report r = {*now, t->history, t->history_count, passing, scores};
  if (t->task->report && !t->ranks->rank) t->task->report(t->task->context, &r);
  return r;
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
    s->loss = number_or(s->loss, diverged);
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

/* What dev scores must have in common to be compared; never negative, as JSON's integers. */
static uint64_t dev_text(const dg_train_task *k, const dg_train_options *o) {
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
  return h >> 1 | 1;
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

/* By another dev text than until now the comparison begins anew, between the best weights and
 * those at the start. */
static bool score_anew(dg_trainer *t, float *start, dg_error *err) {
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

static bool beats_mean(const dg_trainer *t, const dg_dev_score *s) {
  return !t->mean || metric_of(t, s) > metric_of(t, &t->mean_score);
}

/* At a run's end: the mean of the best weights, if it scores better than the very best, and than
 * the one of an earlier end. */
static bool average_best(dg_trainer *t, dg_error *err) {
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
  if (!ok || metric_of(t, &score) <= metric_of(t, &t->best_score) || !beats_mean(t, &score)) {
    free(mean);
    free(scores);
    return ok;
  }
  free(t->mean);
  free(t->mean_scores);
  t->mean = mean, t->mean_scores = scores;
  t->mean_of = of, t->mean_update = t->update, t->mean_score = score;
  return save_checkpoint(t, err);
}

static bool evaluate(dg_trainer *t, dg_error *err) {
  const dg_train_task *k = t->task;
  if (!k->dev_count) return true;
  size_t bytes = k->dev_count * sizeof *t->scores;
  dg_train_point now = point(t);
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
    dg_train_report r = report(t, &now, false, t->scores);
    if (improved && beats_mean(t, &mean) && k->best && !t->replaces && !t->ranks->rank)
      ok = k->best(k->context, &r, err);
  }
  swap_weights(t, t->average);
  restart_clocks(t);
  return ok;
}

static bool stop_here(dg_trainer *t, dg_error *err) {
  return save_checkpoint(t, err) &&
         dg_fail(err, DG_ERR_INTERRUPTED,
                 "stopped at update %llu; the same command goes on from %s",
                 (unsigned long long)t->update, t->task->checkpoint_path);
}

/* Some process was lost: a run goes on from here. */
static bool give_up(dg_trainer *t, dg_error *err) {
  if (!t->ranks->lost) return false;
  dg_error why = *err;
  if (!save_checkpoint(t, err)) return false;
  return dg_fail(err, DG_ERR_INTERRUPTED, "%s after update %llu; the same command goes on from %s",
                 why.message, (unsigned long long)t->update, t->task->checkpoint_path);
}

/* An update that could not be made did not happen. */
static bool undo(dg_trainer *t) {
  t->update--;
  return dg_sampler_restore(t->sampler, t->position, NULL);
}

/* Whether one of the processes was told to stop, or rank 0 ran out of time: all do the same. */
static bool agree(dg_trainer *t, bool *stop, bool *late, dg_error *err) {
  const dg_train_task *k = t->task;
  const dg_train_options *o = t->o;
  *late = o->max_minutes && t->update > t->first_update && !t->ranks->rank &&
          seconds_since(&t->begun) >= 60.0 * o->max_minutes;
  *stop = !*late && k->stop && k->stop(k->context);
  if (t->ranks->size == 1) return true;
  float flags[2] = {*stop, *late};
  bool ok = dg_ranks_sum(t->ranks, flags, 2, err);
  *stop = flags[0] > 0, *late = flags[1] > 0;
  return ok;
}

/* Whether this update's weights are to be scored and were not: a score may be cut off. */
static bool score_due(const dg_trainer *t) {
  const dg_train_task *k = t->task;
  if (!k->dev_count) return false;
  if (!t->update) return k->evaluate_start && !t->have_start;
  const dg_train_point *last = t->history_count ? &t->history[t->history_count - 1] : NULL;
  if (last && last->scored > 0 && last->update == (double)t->update) return false;
  return t->update % (uint64_t)t->o->eval_every == 0 || t->update == (uint64_t)t->o->max_updates;
}

static bool loop(dg_trainer *t, dg_train_end *end, dg_error *err) {
  const dg_train_options *o = t->o;
  const double sign_of_life = 5; /* seconds */
  t->first_update = t->update;
  /* What `best` writes is known for this run's own, and may be what it began from. */
  if (!t->update && score_due(t) && !save_checkpoint(t, err)) return false;
  for (;;) {
    bool stop, late;
    if (score_due(t) && !evaluate(t, err)) {
      bool stopped = t->ranks->size == 1 && err && err->status == DG_ERR_INTERRUPTED;
      return stopped ? stop_here(t, err) : give_up(t, err);
    }
    if (t->update >= (uint64_t)o->max_updates) break;
    if (!agree(t, &stop, &late, err)) return give_up(t, err);
    if (late || (o->patience && t->bad_evaluations >= (uint64_t)o->patience)) {
      *end = late ? DG_TRAIN_TIME : DG_TRAIN_PATIENCE;
      return save_checkpoint(t, err);
    }
    if (stop) return stop_here(t, err);
    if (!step(t, err)) return undo(t) && give_up(t, err);
    bool point_due = t->update % POINT_EVERY == 0 || t->update % (uint64_t)o->eval_every == 0 ||
                     t->update == (uint64_t)o->max_updates;
    if (!score_due(t) && (point_due || seconds_since(&t->reported) > sign_of_life)) {
      dg_train_point now = point(t);
      report(t, &now, !point_due, NULL);
    }
    if (seconds_since(&t->checkpointed) >= 60.0 * o->checkpoint_minutes && !save_checkpoint(t, err))
      return false;
  }
  *end = DG_TRAIN_FINISHED;
  return save_checkpoint(t, err); /* a longer run goes on from here */
}

/* All begin from the same place with the same text, or nothing they do together makes sense. */
static bool begin_together(dg_trainer *t, dg_error *err) {
  uint64_t mine[2] = {t->update, XXH3_64bits(t->task->identity, strlen(t->task->identity))};
  uint64_t first[2] = {mine[0], mine[1]};
  if (!dg_ranks_share(t->ranks, first, sizeof first, err)) return false;
  float differ = memcmp(first, mine, sizeof first) != 0;
  if (!dg_ranks_sum(t->ranks, &differ, 1, err)) return false;
  return t->ranks->size == 1 || differ == 0 ||
         dg_fail(err, DG_ERR_USAGE,
                 "the processes differ in their text, settings or checkpoint %s: "
                 "they must read the same files",
                 t->task->checkpoint_path);
}

static bool check_task(const dg_train_task *task, const dg_train_options *o, dg_error *err) {
  size_t pairs = 0;
  for (size_t i = 0; i < task->direction_count; i++)
    pairs += dg_examples_count(task->examples, task->directions[i].corpus);
  if (!pairs)
    return dg_fail(err, DG_ERR_USAGE, "no usable training pairs: all are empty or longer than %zu "
                   "tokens (max_tokens, or what the base can read)",
                   dg_examples_most(task->examples));
  for (size_t i = 0; i < task->dev_count; i++) {
    const dg_dev_set *s = &task->dev_sets[i];
    if (!dg_examples_count(task->dev_examples, s->direction.corpus))
      return dg_fail(err, DG_ERR_USAGE,
                     "no usable dev pairs for %s: all are empty or longer than %zu tokens", s->name,
                     dg_examples_most(task->dev_examples));
    if (o->metric != DG_METRIC_LOSS && !s->sentences)
      return dg_fail(err, DG_ERR_USAGE,
                     "metric %s is of translations, and eval_sentences is 0: choose "
                     "metric loss, or translate some",
                     o->metric == DG_METRIC_BLEU ? "bleu" : "chrf");
  }
  return true;
}

/* What feeds the updates. */
static bool set_up_text(dg_trainer *t, dg_error *err) {
  const dg_train_task *k = t->task;
  const dg_train_options *o = t->o;
  if (o->subword_alpha > 0 && !dg_examples_sample(k->examples, o->subword_alpha, err)) return false;
  t->sampler = dg_sampler_new(k->examples, k->directions, k->direction_count, o->temperature,
                              (size_t)o->batch_tokens, (uint64_t)o->seed);
  t->position = dg_calloc(dg_sampler_words(t->sampler), sizeof *t->position);
  /* A base that learns has texts of so many pieces that only those of an update count. */
  const dg_linear *output = &k->network.model->output;
  bool learns = output->weight_grad;
  if (learns ? o->sampled_pieces > 0 : o->sampled_pieces)
    t->candidates = dg_candidates_new(k->examples, k->directions, learns ? 0 : k->direction_count,
                                      output->out, o->sampled_pieces);
  if (o->subword_alpha <= 0 && o->word_dropout <= 0)
    t->encoder_cache = dg_encoder_cache_new(&k->network, k->examples, k->directions,
                                            k->direction_count, k->checkpoint_path,
                                            o->encoder_cache);
  t->dev_text = dev_text(k, o);
  return true;
}

/* What is kept of weights and scores. */
static bool set_up_state(dg_trainer *t, dg_error *err) {
  const dg_train_options *o = t->o;
  size_t n = t->params->total, sets = t->task->dev_count + 1;
  t->arena = dg_arena_new(64 << 20);
  t->scores = dg_calloc(sets, sizeof *t->scores);
  t->start_scores = dg_calloc(sets, sizeof *t->scores);
  t->best_scores = dg_calloc(sets, sizeof *t->scores);
  t->mean_scores = dg_calloc(sets, sizeof *t->scores);
  dg_optimizer_options oo = {o->optimizer, o->beta1, o->beta2, o->eps, o->weight_decay,
                             o->muon_momentum, o->clip};
  t->best = dg_alloc_checked(n, sizeof(float), err);
  if (!t->best || !dg_optimizer_init(&t->optimizer, &oo, t->params, t->threads, err)) return false;
  if (o->ema > 0) {
    t->average = dg_alloc_checked(n, sizeof(float), err);
    if (!t->average) return false;
    memcpy(t->average, t->params->values, n * sizeof(float));
  }
  if (o->average_best <= 1) return true;
  t->runners_up = dg_alloc_checked(n * (size_t)(o->average_best - 1), sizeof(float), err);
  return t->runners_up != NULL;
}

/* Goes on from the checkpoint if there is one; scores of another dev text are made anew, that of the
 * start with the weights as they are now. */
static bool restore(dg_trainer *t, dg_error *err) {
  const dg_train_task *k = t->task;
  size_t n = t->params->total;
  float *start = NULL;
  if (k->evaluate_start && !access(k->checkpoint_path, F_OK)) {
    start = dg_alloc_checked(n, sizeof *start, err);
    if (!start) return false;
    memcpy(start, t->params->values, n * sizeof *start);
  }
  bool ok = dg_checkpoint_load(t, err) && begin_together(t, err) &&
            (!t->new_dev_text || score_anew(t, start, err));
  free(start);
  clock_gettime(CLOCK_MONOTONIC, &t->begun);
  t->checkpointed = t->begun;
  restart_clocks(t);
  return ok;
}

/* Puts the best weights in place; what the result has is no longer the trainer's. */
static void take_result(dg_trainer *t, dg_train_result *result) {
  size_t n = t->params->total;
  if (!t->have_best) { /* no dev set: the last weights are the best there are */
    memcpy(t->best, t->average ? t->average : t->params->values, n * sizeof(float));
    t->best_update = t->update;
  }
  bool mean = t->mean && !beats_mean(t, &t->best_score);
  memcpy(t->params->values, mean ? t->mean : t->best, n * sizeof(float));
  result->updates = t->update;
  result->best_update = t->best_update;
  result->averaged = mean ? t->mean_of : 0;
  result->seconds = trained_seconds(t);
  result->epochs = dg_sampler_epochs(t->sampler);
  result->start = t->start;
  dg_dev_score **scores = mean ? &t->mean_scores : &t->best_scores;
  result->best = mean ? t->mean_score : t->best_score;
  result->best_scores = *scores;
  *scores = NULL;
  if (t->have_start) {
    result->start_scores = t->start_scores;
    t->start_scores = NULL;
  }
  result->history = t->history;
  result->history_count = t->history_count;
  t->history = NULL;
}

static void release(dg_trainer *t) {
  free(t->position);
  dg_sampler_free(t->sampler);
  dg_candidates_free(t->candidates);
  dg_encoder_cache_free(t->encoder_cache);
  dg_batch_free(&t->batch);
  dg_arena_free(t->arena);
  dg_optimizer_free(&t->optimizer);
  free(t->average);
  free(t->best);
  free(t->runners_up);
  free(t->mean);
  free(t->history);
  free(t->scores);
  free(t->start_scores);
  free(t->best_scores);
  free(t->mean_scores);
}

bool dg_train(const dg_train_task *task, const dg_train_options *o, dg_train_result *result,
              dg_error *err) {
  dg_trainer t = {.task = task, .o = o, .params = task->trained, .threads = task->network.threads,
                  .replaces = task->replaces, .alone = {.size = 1}};
  *result = (dg_train_result){0};
  t.ranks = task->ranks ? task->ranks : &t.alone;
  if (!check_task(task, o, err)) return false;
  dg_lock *lock = NULL; /* two runs would take turns in spoiling one checkpoint */
  bool locks = !t.ranks->rank && !task->locked;
  bool ok = set_up_text(&t, err) && set_up_state(&t, err) &&
            (!locks || (lock = dg_lock_new(task->checkpoint_path, err))) && restore(&t, err) &&
            loop(&t, &result->end, err) && average_best(&t, err);
  if (ok) take_result(&t, result);
  dg_lock_free(lock);
  release(&t);
  return ok;
}

dg_train_result dg_train_so_far(const dg_train_report *r) {
  const dg_train_point *p = &r->now;
  return (dg_train_result){.updates = (uint64_t)p->update, .best_update = (uint64_t)p->update,
                           .seconds = p->seconds, .epochs = p->epochs,
                           .best = {p->dev_loss, p->dev_bleu, p->dev_chrf},
                           .best_scores = (dg_dev_score *)r->scores};
}

void dg_train_result_free(dg_train_result *r) {
  free(r->start_scores);
  free(r->best_scores);
  free(r->history);
  *r = (dg_train_result){0};
}
