#include "mt/cli/training.h"

#include <stdio.h>
#include <stdlib.h>

static const char **keep(dg_dev_list *l, const dg_parallel_text *text, size_t n, bool target) {
  const char **list = dg_malloc((n + 1) * sizeof *list);
  for (size_t i = 0; i < n; i++)
    list[i] = target ? text->pairs[i].target : text->pairs[i].source;
  DG_GROW(l->texts, l->text_capacity, l->text_count + 1);
  return l->texts[l->text_count++] = list;
}

void dg_dev_list_add(dg_dev_list *l, const char *source, const char *target, dg_direction direction,
                     const dg_parallel_text *text, size_t limit) {
  size_t n = text->count < limit ? text->count : limit;
  DG_GROW(l->sets, l->capacity, l->count + 1);
  dg_dev_set *s = &l->sets[l->count++];
  *s = (dg_dev_set){.direction = direction, .sentences = n};
  snprintf(s->name, sizeof s->name, "%s-%s", source, target);
  s->sources = keep(l, text, n, direction.reversed);
  s->references = keep(l, text, n, !direction.reversed);
}

void dg_dev_list_free(dg_dev_list *l) {
  for (size_t i = 0; i < l->text_count; i++) free(l->texts[i]);
  free(l->texts);
  free(l->sets);
  *l = (dg_dev_list){0};
}

static void print_json(const dg_training_log *log, const dg_train_report *r) {
  printf("{\"update\": %llu, \"epochs\": %.3f, \"loss\": %.4f, \"learning_rate\": %.6g, "
         "\"tokens_per_second\": %.0f",
         (unsigned long long)r->update, r->epochs, r->loss, r->learning_rate,
         r->tokens_per_second);
  if (r->scores) {
    printf(", \"dev\": {");
    for (size_t i = 0; i < log->dev->count; i++)
      printf("%s\"%s\": {\"loss\": %.4f, \"bleu\": %.2f, \"chrf\": %.2f}", i ? ", " : "",
             log->dev->sets[i].name, r->scores[i].loss, r->scores[i].bleu, r->scores[i].chrf);
    printf("}, \"best\": %s", r->improved ? "true" : "false");
  }
  puts("}");
  fflush(stdout);
}

void dg_training_show(dg_training_log *log, const dg_train_report *r) {
  if (log->cli->json) {
    print_json(log, r);
    return;
  }
  if (!r->scores) {
    char note[96];
    snprintf(note, sizeof note, "loss %.3f, %.0f tokens/s, epoch %.2f", r->loss,
             r->tokens_per_second, r->epochs);
    dg_progress_show(&log->progress, (double)r->update, (double)log->max_updates, "updates", note);
    return;
  }
  dg_progress_end(&log->progress);
  if (log->cli->quiet) return;
  printf("update %6llu  epoch %6.2f  %5.0f min  loss %.3f  %6.0f tokens/s | dev loss %.4f  BLEU "
         "%5.2f  chrF %5.2f%s\n",
         (unsigned long long)r->update, r->epochs, r->seconds / 60, r->loss, r->tokens_per_second,
         r->mean.loss, r->mean.bleu, r->mean.chrf, r->improved ? "  best" : "");
  for (size_t i = 0; log->dev->count > 1 && i < log->dev->count; i++)
    printf("  %-12s loss %.4f  BLEU %5.2f  chrF %5.2f\n", log->dev->sets[i].name,
           r->scores[i].loss, r->scores[i].bleu, r->scores[i].chrf);
  fflush(stdout);
}

const char *dg_training_end(dg_train_end end) {
  switch (end) {
    case DG_TRAIN_PATIENCE: return "the dev score stopped improving";
    case DG_TRAIN_TIME: return "max_minutes is over; the same command goes on";
    default: return "all updates made";
  }
}
