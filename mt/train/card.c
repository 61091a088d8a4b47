#include "mt/train/card.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double rounded(double x, double unit) { return round(x / unit) * unit; }

static json_t *scores(const dg_dev_score *s, bool translated) {
  json_t *j = json_pack("{s:f}", "loss", rounded(s->loss, 1e-4));
  if (translated) {
    json_object_set_new(j, "bleu", json_real(rounded(s->bleu, 1e-2)));
    json_object_set_new(j, "chrf", json_real(rounded(s->chrf, 1e-2)));
  }
  return j;
}

json_t *dg_card_new(const char *kind, const dg_train_options *o, const dg_train_task *task,
                    const dg_train_result *r, const char *start, const dg_card_data *data,
                    size_t data_count, const char *notes) {
  json_t *dev = json_array(), *files = json_array();
  for (size_t i = 0; i < task->dev_count; i++) {
    const dg_dev_set *d = &task->dev_sets[i];
    json_t *j = json_pack("{s:s,s:I,s:o}", "direction", d->name, "sentences",
                          (json_int_t)d->sentences, "score",
                          scores(&r->best_scores[i], d->sentences > 0));
    if (r->start_scores)
      json_object_set_new(j, start, scores(&r->start_scores[i], d->sentences > 0));
    json_array_append_new(dev, j);
  }
  for (size_t i = 0; i < data_count; i++) {
    json_t *j = json_pack("{s:s,s:s,s:s,s:o,s:I,s:I}", "role", data[i].role, "source",
                          data[i].source, "target", data[i].target, "file",
                          dg_card_file(data[i].file), "pairs", (json_int_t)data[i].pairs,
                          "left_out", (json_int_t)data[i].skipped);
    if (json_object_size(data[i].problems)) json_object_set(j, "problems", data[i].problems);
    json_array_append_new(files, j);
  }
  json_t *card =
      json_pack("{s:s,s:s,s:o,s:o,s:I,s:I,s:f,s:f,s:I,s:o}", "kind", kind, "made_with",
                "dragoman " DRAGOMAN_VERSION, "data", files, "dev", dev, "updates",
                (json_int_t)r->updates, "best_update", (json_int_t)r->best_update, "epochs",
                rounded(r->epochs, 1e-2), "minutes", rounded(r->seconds / 60, 0.1),
                "trained_parameters", (json_int_t)dg_params_count(task->trained), "settings",
                dg_options_to_json(dg_train_options_table, o));
  if (r->averaged) json_object_set_new(card, "averaged", json_integer((json_int_t)r->averaged));
  if (notes) json_object_set_new(card, "notes", json_string(notes));
  char date[16];
  time_t now = time(NULL);
  strftime(date, sizeof date, "%Y-%m-%d", gmtime(&now));
  json_object_set_new(card, "date", json_string(date));
  return card;
}

static json_t *hundredths(double x) { return json_real(round(100 * x) / 100); }

static json_t *compared(const dg_comparison c[2]) {
  return json_pack("{s:o,s:o,s:f}", "base", hundredths(c[0].score), "adapter",
                   hundredths(c[1].score), "p", round(c[1].p_value * 1e4) / 1e4);
}

void dg_card_measures(json_t *card, const dg_train_measure *measures, size_t count) {
  if (!count) return;
  json_t *list = json_array();
  for (size_t i = 0; i < count; i++) {
    const dg_train_measure *m = &measures[i];
    json_array_append_new(
        list, json_pack("{s:s,s:o,s:s,s:I,s:i,s:o,s:o}", "role", dg_train_role_name(m->file->role),
                        "file", dg_card_file(m->file->path), "direction", m->set->name,
                        "sentences", (json_int_t)m->gain.sentences, "beam", m->beam, "bleu",
                        compared(m->gain.bleu), "chrf", compared(m->gain.chrf)));
  }
  json_object_set_new(card, "measured", list);
  char *test = dg_format("paired bootstrap, %d samples, seed %d", DG_BOOTSTRAP_TRIALS, DG_TRIALS_SEED);
  json_object_set_new(card, "signatures", json_pack("{s:s,s:s,s:s}", "bleu", dg_bleu_signature(),
                                                    "chrf", dg_chrf_signature(), "p", test));
  free(test);
}
