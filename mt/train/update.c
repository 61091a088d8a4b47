/* An update: its sentences, the loss and its gradient, the weights. */
#include <math.h>

#include "mt/core/rng.h"
#include "mt/train/state.h"

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

double dg_trainer_learning_rate(const dg_trainer *t) {
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

bool dg_trainer_step(dg_trainer *t, dg_error *err) {
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
  double norm = dg_optimizer_update(&t->optimizer, dg_trainer_learning_rate(t));
  t->skipped = isfinite(norm) ? 0 : t->skipped + 1;
  t->norm = isfinite(norm) ? norm : 0;
  if (t->skipped > 100)
    return dg_fail(err, DG_ERR_UNSUPPORTED,
                   "training diverged: 100 updates in a row had no finite gradient; lower "
                   "learning_rate");
  update_average(t);
  bool several = t->ranks->size > 1;
  size_t counted_labels = several ? (size_t)counted[1] : loss.labels;
  t->point_loss += dg_trainer_loss(several ? (double)counted[0] : loss.smoothed, counted_labels);
  t->point_labels += counted_labels;
  return true;
}
