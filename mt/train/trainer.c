#include "mt/train/trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "mt/core/file.h"
#include "mt/core/mem.h"
#include "mt/train/state.h"

enum { POINT_EVERY = 25 };

double dg_trainer_loss(double loss, size_t labels) {
  return isfinite(loss) ? loss : 1e9 * (double)labels;
}

static double seconds_since(const struct timespec *t) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)(now.tv_sec - t->tv_sec) + (double)(now.tv_nsec - t->tv_nsec) * 1e-9;
}

static double trained_seconds(const dg_trainer *t) { return t->seconds + seconds_since(&t->begun); }

bool dg_trainer_save(dg_trainer *t, dg_error *err) {
  bool ok = t->ranks->rank || dg_checkpoint_save(t, trained_seconds(t), err);
  clock_gettime(CLOCK_MONOTONIC, &t->checkpointed);
  return ok;
}

dg_train_point dg_trainer_point(const dg_trainer *t) {
  double elapsed = seconds_since(&t->pointed), labels = (double)t->point_labels;
  return (dg_train_point){
      .update = (double)t->update,
      .epochs = dg_sampler_epochs(t->sampler),
      .seconds = trained_seconds(t),
      .learning_rate = dg_trainer_learning_rate(t),
      .loss = labels > 0 ? t->point_loss / labels : 0,
      .gradient_norm = t->norm,
      .tokens_per_second = elapsed > 0 ? (labels - (double)t->untimed_labels) / elapsed : 0,
  };
}

void dg_trainer_restart_clocks(dg_trainer *t) {
  clock_gettime(CLOCK_MONOTONIC, &t->pointed);
  t->untimed_labels = t->point_labels;
  t->reported = t->pointed;
}

dg_train_report dg_trainer_report(dg_trainer *t, const dg_train_point *now, bool passing,
                                  const dg_dev_score *scores) {
  if (!passing) {
    DG_GROW(t->history, t->history_capacity, t->history_count + 1);
    t->history[t->history_count++] = *now;
    t->point_loss = 0;
    t->point_labels = 0;
    dg_trainer_restart_clocks(t);
  }
  clock_gettime(CLOCK_MONOTONIC, &t->reported);
  dg_train_report r = {*now, t->history, t->history_count, passing, scores};
  if (t->task->report && !t->ranks->rank) t->task->report(t->task->context, &r);
  return r;
}

/* --- the loop ------------------------------------------------------------------------------- */

static bool stop_here(dg_trainer *t, dg_error *err) {
  return dg_trainer_save(t, err) &&
         dg_fail(err, DG_ERR_INTERRUPTED,
                 "stopped at update %llu; the same command goes on from %s",
                 (unsigned long long)t->update, t->task->checkpoint_path);
}

/* Some process was lost: a run goes on from here. */
static bool give_up(dg_trainer *t, dg_error *err) {
  if (!t->ranks->lost) return false;
  dg_error why = *err;
  if (!dg_trainer_save(t, err)) return false;
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
  if (!t->update && score_due(t) && !dg_trainer_save(t, err)) return false;
  for (;;) {
    bool stop, late;
    if (score_due(t) && !dg_trainer_evaluate(t, err)) {
      bool stopped = t->ranks->size == 1 && err && err->status == DG_ERR_INTERRUPTED;
      return stopped ? stop_here(t, err) : give_up(t, err);
    }
    if (t->update >= (uint64_t)o->max_updates) break;
    if (!agree(t, &stop, &late, err)) return give_up(t, err);
    if (late || (o->patience && t->bad_evaluations >= (uint64_t)o->patience)) {
      *end = late ? DG_TRAIN_TIME : DG_TRAIN_PATIENCE;
      return dg_trainer_save(t, err);
    }
    if (stop) return stop_here(t, err);
    if (!dg_trainer_step(t, err)) return undo(t) && give_up(t, err);
    bool point_due = t->update % POINT_EVERY == 0 || t->update % (uint64_t)o->eval_every == 0 ||
                     t->update == (uint64_t)o->max_updates;
    if (!score_due(t) && (point_due || seconds_since(&t->reported) > sign_of_life)) {
      dg_train_point now = dg_trainer_point(t);
      dg_trainer_report(t, &now, !point_due, NULL);
    }
    if (seconds_since(&t->checkpointed) >= 60.0 * o->checkpoint_minutes && !dg_trainer_save(t, err))
      return false;
  }
  *end = DG_TRAIN_FINISHED;
  return dg_trainer_save(t, err); /* a longer run goes on from here */
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
  t->dev_text = dg_trainer_dev_text(k, o);
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
            (!t->new_dev_text || dg_trainer_score_anew(t, start, err));
  free(start);
  clock_gettime(CLOCK_MONOTONIC, &t->begun);
  t->checkpointed = t->begun;
  dg_trainer_restart_clocks(t);
  return ok;
}

/* Puts the best weights in place; what the result has is no longer the trainer's. */
static void take_result(dg_trainer *t, dg_train_result *result) {
  size_t n = t->params->total;
  if (!t->have_best) { /* no dev set: the last weights are the best there are */
    memcpy(t->best, t->average ? t->average : t->params->values, n * sizeof(float));
    t->best_update = t->update;
  }
  bool mean = t->mean && !dg_trainer_beats_mean(t, &t->best_score);
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
            loop(&t, &result->end, err) && dg_trainer_average(&t, err);
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
