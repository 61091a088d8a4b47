#include "mt/train/state.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mt/core/mem.h"

enum { POINT_NUMBERS = sizeof(dg_train_point) / sizeof(double) };

static json_t *score_json(const dg_dev_score *s) {
  return json_pack("{s:f,s:f,s:f}", "loss", s->loss, "bleu", s->bleu, "chrf", s->chrf);
}

static bool score_from(const json_t *j, dg_dev_score *s) {
  return j && !json_unpack((json_t *)j, "{s:F,s:F,s:F}", "loss", &s->loss, "bleu", &s->bleu,
                           "chrf", &s->chrf);
}

static json_t *scores_json(const dg_dev_score *s, size_t n) {
  json_t *list = json_array();
  for (size_t i = 0; i < n; i++) json_array_append_new(list, score_json(&s[i]));
  return list;
}

static bool scores_from(const json_t *list, dg_dev_score *s, size_t n) {
  if (json_array_size(list) != n) return false;
  for (size_t i = 0; i < n; i++)
    if (!score_from(json_array_get(list, i), &s[i])) return false;
  return true;
}

bool dg_checkpoint_save(const dg_trainer *t, double seconds, dg_error *err) {
  size_t words = dg_sampler_words(t->sampler), n = t->params->total;
  uint64_t *position = dg_malloc(words * sizeof *position);
  dg_sampler_save(t->sampler, position);
  json_t *state = json_pack(
      "{s:I,s:I,s:I,s:I,s:I,s:b,s:b,s:b,s:f,s:f,s:I,s:f,s:o,s:o,s:o,s:o,s:I}", "update",
      (json_int_t)t->update,
      "adam_steps", (json_int_t)t->optimizer.steps, "best_update", (json_int_t)t->best_update,
      "bad_evaluations", (json_int_t)t->bad_evaluations, "skipped", (json_int_t)t->skipped,
      "have_best", t->have_best, "have_start", t->have_start, "replaces", t->replaces, "seconds",
      seconds,
      "point_loss", t->point_loss, "point_labels", (json_int_t)t->point_labels, "norm", t->norm,
      "start", score_json(&t->start), "best", score_json(&t->best_score), "start_scores",
      scores_json(t->start_scores, t->task->dev_count), "best_scores",
      scores_json(t->best_scores, t->task->dev_count), "dev_text", (json_int_t)t->dev_text);
  if (t->mean)
    json_object_set_new(state, "mean",
                        json_pack("{s:I,s:I,s:o,s:o}", "of", (json_int_t)t->mean_of, "update",
                                  (json_int_t)t->mean_update, "score", score_json(&t->mean_score),
                                  "scores", scores_json(t->mean_scores, t->task->dev_count)));
  char *text = json_dumps(state, JSON_COMPACT | JSON_REAL_PRECISION(17));
  json_decref(state);
  dg_st_writer *w = dg_st_writer_new();
  dg_st_writer_metadata(w, "format", "dragoman.checkpoint");
  dg_st_writer_metadata(w, "version", "1");
  dg_st_writer_metadata(w, "identity", t->task->identity);
  dg_st_writer_metadata(w, "state", text);
  dg_st_writer_add(w, "position", DG_I64, 1, &words, position);
  dg_st_writer_add(w, "weights", DG_F32, 1, &n, t->params->values);
  dg_st_writer_add(w, "adam.m", DG_F32, 1, &n, t->optimizer.m);
  dg_st_writer_add(w, "adam.v", DG_F32, 1, &n, t->optimizer.v);
  if (t->average) dg_st_writer_add(w, "average", DG_F32, 1, &n, t->average);
  if (t->have_best) dg_st_writer_add(w, "best", DG_F32, 1, &n, t->best);
  if (t->mean) dg_st_writer_add(w, "mean", DG_F32, 1, &n, t->mean);
  size_t runners_up[2] = {t->runner_up_count, n};
  if (t->runner_up_count) {
    dg_st_writer_add(w, "runners_up", DG_F32, 2, runners_up, t->runners_up);
    dg_st_writer_add(w, "runner_up_metrics", DG_F64, 1, runners_up, t->runner_up_metrics);
  }
  size_t points[2] = {t->history_count, POINT_NUMBERS};
  if (t->history_count) dg_st_writer_add(w, "history", DG_F64, 2, points, t->history);
  bool ok = dg_st_writer_write(w, t->task->checkpoint_path, NULL, err);
  dg_st_writer_free(w);
  free(text);
  free(position);
  return ok;
}

static bool damaged(const dg_safetensors *s, dg_error *err) {
  return dg_fail(err, DG_ERR_FORMAT, "%s: its state is damaged: remove it to start anew",
                 dg_safetensors_path(s));
}

static bool read_array(const dg_safetensors *s, const char *name, dg_dtype type, size_t n,
                       void *out, dg_error *err) {
  const dg_st_tensor *x = dg_safetensors_find(s, name);
  if (!x || x->dtype != type || x->dims != 1 || x->shape[0] != n)
    return dg_fail(err, DG_ERR_FORMAT,
                   "%s: tensor %s is not the %zu numbers of this run: remove the checkpoint to "
                   "start anew",
                   dg_safetensors_path(s), name, n);
  memcpy(out, x->data, x->bytes);
  return true;
}

static bool read_history(dg_trainer *t, const dg_safetensors *s, dg_error *err) {
  const dg_st_tensor *x = dg_safetensors_find(s, "history");
  if (!x) return true;
  if (x->dtype != DG_F64 || x->dims != 2 || x->shape[1] != POINT_NUMBERS)
    return dg_fail(err, DG_ERR_FORMAT, "%s: its history is damaged: remove it to start anew",
                   dg_safetensors_path(s));
  DG_GROW(t->history, t->history_capacity, x->shape[0] + 1);
  memcpy(t->history, x->data, x->bytes);
  t->history_count = x->shape[0];
  return true;
}

static bool read_runners_up(dg_trainer *t, const dg_safetensors *s, dg_error *err) {
  const dg_st_tensor *x = dg_safetensors_find(s, "runners_up");
  if (!x) return true;
  size_t most = (size_t)t->o->average_best - 1;
  if (x->dtype != DG_F32 || x->dims != 2 || x->shape[0] > most || x->shape[1] != t->params->total)
    return dg_fail(err, DG_ERR_FORMAT, "%s: its weights to average are damaged: remove it to start "
                   "anew", dg_safetensors_path(s));
  memcpy(t->runners_up, x->data, x->bytes);
  t->runner_up_count = x->shape[0];
  return read_array(s, "runner_up_metrics", DG_F64, t->runner_up_count, t->runner_up_metrics, err);
}

static bool read_mean(dg_trainer *t, const dg_safetensors *s, const json_t *mean, dg_error *err) {
  json_int_t of, update;
  if (!mean) return true;
  if (json_unpack((json_t *)mean, "{s:I,s:I}", "of", &of, "update", &update) || of < 2 ||
      !score_from(json_object_get(mean, "score"), &t->mean_score) ||
      !(t->new_dev_text ||
        scores_from(json_object_get(mean, "scores"), t->mean_scores, t->task->dev_count)))
    return damaged(s, err);
  t->mean_of = (size_t)of;
  t->mean_update = (uint64_t)update;
  t->mean = dg_alloc_checked(t->params->total, sizeof(float), err);
  return t->mean && read_array(s, "mean", DG_F32, t->params->total, t->mean, err);
}

/* Older checkpoints do not name their dev text, only its scores. */
static bool read_scores(dg_trainer *t, const json_t *state) {
  const json_t *dev = json_object_get(state, "dev_text");
  const json_t *start = json_object_get(state, "start_scores");
  const json_t *best = json_object_get(state, "best_scores");
  size_t n = t->task->dev_count;
  t->new_dev_text = json_array_size(best) != n ||
                    (dev && (uint64_t)json_integer_value(dev) != t->dev_text);
  return t->new_dev_text ||
         (scores_from(start, t->start_scores, n) && scores_from(best, t->best_scores, n));
}

static bool read_state(dg_trainer *t, const dg_safetensors *s, dg_error *err) {
  const char *format = dg_safetensors_metadata(s, "format");
  const char *identity = dg_safetensors_metadata(s, "identity");
  const char *text = dg_safetensors_metadata(s, "state");
  if (!format || strcmp(format, "dragoman.checkpoint") || !text || !identity)
    return dg_fail(err, DG_ERR_FORMAT, "%s is not a checkpoint: move it away",
                   dg_safetensors_path(s));
  if (!dg_train_same_run(identity, t->task->identity))
    return dg_fail(err, DG_ERR_USAGE,
                   "%s is of a run with other settings or data: remove it to start anew, or "
                   "choose another output",
                   dg_safetensors_path(s));
  json_t *j = json_loads(text, 0, NULL);
  json_int_t update, steps, best_update, bad, skipped, labels;
  int have_best, have_start;
  bool ok = j && !json_unpack(j, "{s:I,s:I,s:I,s:I,s:I,s:b,s:b,s:F,s:F,s:I}", "update", &update,
                              "adam_steps", &steps, "best_update", &best_update,
                              "bad_evaluations", &bad, "skipped", &skipped, "have_best",
                              &have_best, "have_start", &have_start, "seconds", &t->seconds,
                              "point_loss", &t->point_loss, "point_labels", &labels) &&
            score_from(json_object_get(j, "start"), &t->start) &&
            score_from(json_object_get(j, "best"), &t->best_score) &&
            read_scores(t, j);
  if (!ok || update < 0 || steps < 0) {
    json_decref(j);
    return damaged(s, err);
  }
  t->update = (uint64_t)update;
  t->optimizer.steps = (uint64_t)steps;
  t->best_update = (uint64_t)best_update;
  t->bad_evaluations = (uint64_t)bad;
  t->skipped = (uint64_t)skipped;
  t->point_labels = (size_t)labels;
  t->have_best = have_best;
  t->have_start = have_start;
  t->replaces = json_is_true(json_object_get(j, "replaces"));
  t->norm = json_number_value(json_object_get(j, "norm"));
  size_t words = dg_sampler_words(t->sampler), n = t->params->total;
  uint64_t *position = dg_malloc(words * sizeof *position);
  ok = read_array(s, "position", DG_I64, words, position, err) &&
       (dg_sampler_restore(t->sampler, position, err) ||
        dg_error_context(err, "%s", dg_safetensors_path(s))) &&
       read_array(s, "weights", DG_F32, n, t->params->values, err) &&
       read_array(s, "adam.m", DG_F32, n, t->optimizer.m, err) &&
       read_array(s, "adam.v", DG_F32, n, t->optimizer.v, err) &&
       (!t->average || read_array(s, "average", DG_F32, n, t->average, err)) &&
       (!t->have_best || read_array(s, "best", DG_F32, n, t->best, err)) &&
       read_runners_up(t, s, err) && read_mean(t, s, json_object_get(j, "mean"), err) &&
       read_history(t, s, err);
  json_decref(j);
  free(position);
  return ok;
}

bool dg_checkpoint_load(dg_trainer *t, dg_error *err) {
  if (access(t->task->checkpoint_path, F_OK)) return true;
  dg_safetensors *s = dg_safetensors_open(t->task->checkpoint_path, false, err);
  if (!s) return dg_error_context(err, "cannot resume (remove the checkpoint to start anew)");
  bool ok = read_state(t, s, err);
  dg_safetensors_close(s);
  return ok;
}
