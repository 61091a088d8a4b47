#include "mt/cli/training.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- the table ------------------------------------------------------------------------------ */

static void write_point(FILE *f, const dg_train_point *p) {
  fprintf(f, "%.0f\t%.3f\t%.2f\t%.6g\t%.4f\t%.4g\t%.0f", p->update, p->epochs, p->seconds / 60,
          p->learning_rate, p->loss, p->gradient_norm, p->tokens_per_second);
  if (p->scored > 0)
    fprintf(f, "\t%.4f\t%.2f\t%.2f\t%.0f\n", p->dev_loss, p->dev_bleu, p->dev_chrf, p->best);
  else
    fputs("\t\t\t\t\n", f);
}

bool dg_training_log_open(dg_training_log *log, dg_error *err) {
  if (!log->path) return true;
  if (!strcmp(log->path, "-"))
    return dg_fail(err, DG_ERR_USAGE, "--log writes a file, not to standard output (--json does)");
  FILE *f = fopen(log->path, "a");
  if (!f) return dg_fail_errno(err, "%s", log->path);
  fclose(f);
  return true;
}

/* The first point of a run that goes on brings those before it: the file begins anew, and
 * has each point once. */
static void add_to_table(dg_training_log *log, const dg_train_report *r) {
  if (!log->path || r->passing) return;
  size_t first = r->history_count - 1;
  if (!log->table) {
    log->table = fopen(log->path, "w");
    first = 0;
    if (log->table)
      fputs("update\tepochs\tminutes\tlearning_rate\tloss\tgradient_norm\ttokens_per_second\t"
            "dev_loss\tdev_bleu\tdev_chrf\tbest\n",
            log->table);
  }
  for (size_t i = first; log->table && i < r->history_count; i++)
    write_point(log->table, &r->history[i]);
  if (!log->table || fflush(log->table) || ferror(log->table)) {
    dg_cli_say(log->cli, "%s: cannot be written, training goes on without it\n", log->path);
    log->path = NULL;
  }
}

/* --- the screen ----------------------------------------------------------------------------- */

static void print_json(const dg_training_log *log, const dg_train_report *r) {
  const dg_train_point *p = &r->now;
  printf("{\"update\": %.0f, \"epochs\": %.3f, \"loss\": %.4f, \"learning_rate\": %.6g, "
         "\"tokens_per_second\": %.0f",
         p->update, p->epochs, p->loss, p->learning_rate, p->tokens_per_second);
  if (r->scores) {
    printf(", \"dev\": {");
    for (size_t i = 0; i < log->dev->count; i++)
      printf("%s\"%s\": {\"loss\": %.4f, \"bleu\": %.2f, \"chrf\": %.2f}", i ? ", " : "",
             log->dev->sets[i].name, r->scores[i].loss, r->scores[i].bleu, r->scores[i].chrf);
    printf("}, \"best\": %s", p->best > 0 ? "true" : "false");
  }
  puts("}");
  fflush(stdout);
}

/* Said once, when a minute has shown how fast it goes. */
static void estimate(dg_training_log *log, const dg_train_point *p) {
  if (!log->begun) {
    log->begun = true;
    log->first_update = p->update;
    log->first_seconds = p->seconds;
  }
  double made = p->update - log->first_update, spent = p->seconds - log->first_seconds;
  double left = (double)log->max_updates - p->update;
  if (log->estimated || spent < 60 || made < 1 || left < 1) return;
  log->estimated = true;
  dg_progress_end(&log->progress);
  double minutes = spent / made * left / 60;
  dg_cli_say(log->cli, "%.2g updates a second: the %.0f to come will take %.0f %s%s\n",
             made / spent, left, minutes < 90 ? ceil(minutes) : round(minutes / 60),
             minutes < 90 ? "minutes" : "hours",
             log->patient ? ", less if the dev score stops improving" : "");
}

static void show_progress(dg_training_log *log, const dg_train_point *p) {
  char note[160];
  int n = snprintf(note, sizeof note, "loss %.3f, %.0f tokens/s, epoch %.2f", p->loss,
                   p->tokens_per_second, p->epochs);
  if (log->best_chrf > 0)
    snprintf(note + n, sizeof note - (size_t)n, ", best chrF %.2f at %.0f", log->best_chrf,
             log->best_update);
  else if (log->best_loss > 0)
    snprintf(note + n, sizeof note - (size_t)n, ", best dev loss %.3f at %.0f", log->best_loss,
             log->best_update);
  dg_progress_show(&log->progress, p->update, (double)log->max_updates, "updates", note);
}

void dg_training_show(dg_training_log *log, const dg_train_report *r) {
  const dg_train_point *p = &r->now;
  add_to_table(log, r);
  if (log->cli->json) {
    if (!r->passing) print_json(log, r);
    return;
  }
  for (size_t i = 0; !log->begun && i < r->history_count; i++) /* what came before a restart */
    if (r->history[i].best > 0) {
      log->best_update = r->history[i].update;
      log->best_loss = r->history[i].dev_loss;
      log->best_chrf = r->history[i].dev_chrf;
    }
  if (p->best > 0)
    log->best_update = p->update, log->best_loss = p->dev_loss, log->best_chrf = p->dev_chrf;
  estimate(log, p);
  if (!r->scores) {
    show_progress(log, p);
    return;
  }
  dg_progress_end(&log->progress);
  if (log->cli->quiet) return;
  printf("update %6.0f  epoch %6.2f  %5.0f min  loss %.3f  %6.0f tokens/s | dev loss %.4f  BLEU "
         "%5.2f  chrF %5.2f%s\n",
         p->update, p->epochs, p->seconds / 60, p->loss, p->tokens_per_second, p->dev_loss,
         p->dev_bleu, p->dev_chrf, p->best > 0 ? "  best" : "");
  for (size_t i = 0; log->dev->count > 1 && i < log->dev->count; i++)
    printf("  %-12s loss %.4f  BLEU %5.2f  chrF %5.2f\n", log->dev->sets[i].name,
           r->scores[i].loss, r->scores[i].bleu, r->scores[i].chrf);
  fflush(stdout);
}

dg_training_log dg_training_log_new(const dg_cli *cli, const dg_dev_list *dev,
                                    const dg_train_options *o, const char *path) {
  return (dg_training_log){.cli = cli, .dev = dev, .max_updates = (uint64_t)o->max_updates,
                           .patient = o->patience > 0 && dev->count, .path = path,
                           .progress = dg_progress_begin(cli, "training")};
}

void dg_training_log_close(dg_training_log *log) {
  dg_progress_end(&log->progress);
  if (log->table) fclose(log->table);
  log->table = NULL;
}

const char *dg_training_kept(const dg_train_result *r, char *out, size_t size) {
  char of[64] = "";
  if (r->averaged) snprintf(of, sizeof of, "the mean of the best %zu, the very ", r->averaged);
  snprintf(out, size, "%sbest at update %llu", of, (unsigned long long)r->best_update);
  return out;
}

const char *dg_training_end(dg_train_end end) {
  switch (end) {
    case DG_TRAIN_PATIENCE: return "the dev score stopped improving";
    case DG_TRAIN_TIME: return "max_minutes is over; the same command goes on";
    default: return "all updates made";
  }
}
