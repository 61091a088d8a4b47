#include "mt/train/data.h"

#include <stdlib.h>
#include <string.h>

#include "data/split.h"

enum { DEV_SHARE = 10, DEV_LEAST = 20, DEV_MOST = 500 };

static void reverse(dg_parallel_text *p) {
  for (size_t i = 0; i < p->count; i++)
    p->pairs[i] = (dg_pair){p->pairs[i].target, p->pairs[i].source};
}

const char *dg_train_role_name(dg_train_role role) {
  static const char *const names[] = {"train", "dev", "test", "mono"};
  return names[role];
}

/* What every step needs. */
typedef struct reader {
  dg_train_data *d;
  const dg_train_data_options *pairs;
  size_t count;
  bool keep;
  uint64_t seed;
  dg_strbuf *told;
} reader;

static dg_train_file *add_file(dg_train_data *d, dg_train_role role, size_t pair,
                               const char *path) {
  d->files = dg_realloc(d->files, (d->count + 1) * sizeof *d->files);
  dg_train_file *f = &d->files[d->count++];
  *f = (dg_train_file){.path = path, .role = role, .pair = pair};
  if (role == DG_ROLE_TRAIN) d->train_count++;
  if (role == DG_ROLE_DEV) d->dev_count++;
  return f;
}

static bool read_file(const reader *r, dg_train_file *f, dg_error *err) {
  if (!dg_parallel_read(&f->text, f->path, err)) return false;
  if (!f->text.count) return dg_fail(err, DG_ERR_USAGE, "%s holds no pair: lines are SOURCE<TAB>TARGET", f->path);
  if (r->pairs[f->pair].reversed) reverse(&f->text);
  f->read = f->text.count;
  return true;
}

static bool read_files(const reader *r, dg_error *err) {
  for (int role = DG_ROLE_TRAIN; role <= DG_ROLE_TEST; role++)
    for (size_t p = 0; p < r->count; p++) {
      const dg_train_data_options *o = &r->pairs[p];
      const dg_list *list = (const dg_list *[]){o->train, o->dev, o->test}[role];
      if (role == DG_ROLE_DEV && !list->count) /* filled later */
        add_file(r->d, DG_ROLE_DEV, p, o->train->items[0])->apart = true;
      for (size_t i = 0; i < list->count; i++)
        if (!read_file(r, add_file(r->d, (dg_train_role)role, p, list->items[i]), err))
          return false;
    }
  return true;
}

/* --- problems ------------------------------------------------------------------------------- */

/* The beginning of a text, for an example on one line. */
static int shown(const char *text) {
  enum { BYTES = 60 };
  int n = 0;
  while (n < BYTES && text[n]) n++;
  while (text[n] && n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80) n--;
  return n;
}

static void tell(const dg_train_file *f, const dg_check *c, bool keep, dg_strbuf *told) {
  for (int k = DG_PROBLEM_NONE + 1; k < DG_PROBLEMS; k++) {
    if (!c->counts[k]) continue;
    const dg_pair *p = &f->text.pairs[c->first[k]];
    int n = shown(p->source), m = shown(p->target);
    dg_strbuf_addf(told, "%s: %zu pair%s %s, %s; the first is %zu: \"%.*s%s\" = \"%.*s%s\"\n",
                   f->path, c->counts[k], c->counts[k] == 1 ? "" : "s",
                   dg_problem_title((dg_problem)k), keep ? "kept" : "left out", c->first[k] + 1, n,
                   p->source, p->source[n] ? "..." : "", m, p->target, p->target[m] ? "..." : "");
  }
}

/* A file that is wrong from end to end is a mistake, not something to filter. */
static bool hopeless(const dg_train_file *f, const dg_check *c, dg_error *err) {
  if (2 * c->counts[DG_PROBLEM_SWAPPED] > f->read)
    return !dg_fail(err, DG_ERR_USAGE,
                    "%s: %zu of %zu pairs have their sides swapped: put --reversed on or off, in "
                    "--pair swap SRC and TGT (or train on them as they are with --keep-problems)",
                    f->path, c->counts[DG_PROBLEM_SWAPPED], f->read);
  if (2 * c->counts[DG_PROBLEM_SCRIPT] > f->read)
    return !dg_fail(err, DG_ERR_USAGE,
                    "%s: %zu of %zu pairs are not in the script of their languages, as pair %zu: "
                    "are -s and -t right? (--keep-problems trains on them as they are)",
                    f->path, c->counts[DG_PROBLEM_SCRIPT], f->read,
                    c->first[DG_PROBLEM_SCRIPT] + 1);
  if (2 * c->counts[DG_PROBLEM_FOREIGN] > f->read) {
    char names[2][DG_LANG_MAX] = {"an unknown language", "an unknown language"};
    for (int k = 0; k < 2; k++)
      if (*c->looks[k].code) dg_lang_name(c->looks[k].code, names[k], sizeof names[k]);
    return !dg_fail(err, DG_ERR_USAGE,
                    "%s: its sides look like %s and %s: are -s and -t right? (--keep-problems "
                    "trains on it as it is)",
                    f->path, names[0], names[1]);
  }
  return false;
}

bool dg_train_file_check(dg_train_file *f, const char *source, const char *target, bool keep,
                         dg_key_set *seen, const dg_key_set *held_out, dg_strbuf *told,
                         dg_error *err) {
  /* So that scores stay comparable. */
  bool stay = keep || f->role == DG_ROLE_DEV || f->role == DG_ROLE_TEST;
  dg_check c;
  dg_check_pairs(&f->text, source, target, seen, held_out, &c);
  tell(f, &c, stay, told);
  bool ok = keep || f->role == DG_ROLE_MONO || !hopeless(f, &c, err);
  for (int k = DG_PROBLEM_NONE + 1; k < DG_PROBLEMS; k++) f->problems[k] = c.counts[k];
  memcpy(f->looks, c.looks, sizeof f->looks);
  if (!stay) dg_parallel_remove(&f->text, c.problems);
  dg_check_free(&c);
  return ok;
}

/* Test text, then dev text, then what is trained on: each must have nothing of those before. */
static bool check_files(const reader *r, dg_error *err) {
  dg_train_data *d = r->d;
  bool ok = true;
  for (int role = DG_ROLE_TEST; role >= DG_ROLE_TRAIN; role--) {
    dg_key_set seen = {0};
    for (size_t i = 0; ok && i < d->count; i++) {
      dg_train_file *f = &d->files[i];
      const dg_train_data_options *o = &r->pairs[f->pair];
      if ((int)f->role == role)
        ok = dg_train_file_check(f, o->source, o->target, r->keep, &seen, &d->held_out, r->told,
                                 err);
    }
    for (size_t i = 0; role != DG_ROLE_TRAIN && i < d->count; i++)
      for (size_t k = 0; (int)d->files[i].role == role && k < d->files[i].text.count; k++)
        dg_hold_out(&d->held_out, &d->files[i].text.pairs[k]);
    dg_key_set_free(&seen);
  }
  return ok;
}

json_t *dg_train_problems_json(const dg_train_file *f) {
  json_t *j = json_object();
  for (int k = DG_PROBLEM_NONE + 1; k < DG_PROBLEMS; k++)
    if (f->problems[k])
      json_object_set_new(j, dg_problem_name((dg_problem)k),
                          json_integer((json_int_t)f->problems[k]));
  return j;
}

/* --- dev text ------------------------------------------------------------------------------- */

/* Moves a file's share to the dev text. */
static bool split_file(const reader *r, dg_train_file *f, size_t wanted, dg_train_file *dev,
                       dg_error *err) {
  unsigned char *parts = dg_calloc(f->text.count + 1, 1);
  bool ok = dg_split_choose(&f->text, wanted, 0, r->seed, parts, err);
  for (size_t i = 0; ok && i < f->text.count; i++)
    if (parts[i] == DG_PART_DEV) {
      const dg_pair *p = &f->text.pairs[i];
      dg_parallel_add(&dev->text, p->source, p->target);
      dg_hold_out(&r->d->held_out, p);
      f->read--; /* it is the dev text's now */
    }
  if (ok) dg_parallel_remove(&f->text, parts);
  free(parts);
  return ok || dg_error_context(err, "%s: setting dev text apart (or name some with --dev)",
                                f->path);
}

/* Each file of a pair gives its share. */
static bool split_pair(const reader *r, dg_train_file *dev, dg_error *err) {
  dg_train_data *d = r->d;
  size_t total = 0, before = 0;
  for (size_t i = 0; i < d->train_count; i++)
    if (d->files[i].pair == dev->pair) total += d->files[i].text.count;
  size_t wanted = total / DEV_SHARE;
  wanted = wanted < DEV_LEAST ? DEV_LEAST : wanted > DEV_MOST ? DEV_MOST : wanted;
  for (size_t i = 0; i < d->train_count; i++) {
    dg_train_file *f = &d->files[i];
    if (f->pair != dev->pair) continue;
    size_t upto = before + f->text.count;
    size_t share = total ? wanted * upto / total - wanted * before / total : 1;
    before = upto;
    if (!split_file(r, f, share, dev, err)) return false;
  }
  dev->read = dev->text.count;
  return true;
}

size_t dg_train_data_pairs(const dg_train_data *d) {
  size_t pairs = 0;
  for (size_t i = 0; i < d->train_count; i++) pairs += d->files[i].text.count;
  return pairs;
}

/* What says the same as a dev pair on either side, in whatever file, is not trained on. */
static bool split_files(const reader *r, dg_error *err) {
  dg_train_data *d = r->d;
  size_t before = dg_train_data_pairs(d), apart = 0;
  for (size_t i = d->train_count; i < d->train_count + d->dev_count; i++)
    if (d->files[i].apart) {
      if (!split_pair(r, &d->files[i], err)) return false;
      apart += d->files[i].read;
    }
  if (!apart) return true;
  for (size_t i = 0; i < d->train_count; i++) {
    dg_parallel_text *t = &d->files[i].text;
    unsigned char *same = dg_calloc(t->count + 1, 1);
    for (size_t k = 0; k < t->count; k++) same[k] = dg_held_out(&d->held_out, &t->pairs[k]);
    dg_parallel_remove(t, same);
    free(same);
  }
  dg_strbuf_addf(r->told, "%zu pairs set apart as dev text, and %zu that say the same left out\n",
                 apart, before - dg_train_data_pairs(d) - apart);
  return true;
}

bool dg_train_data_read(dg_train_data *d, const dg_train_data_options *pairs, size_t count,
                        bool keep_problems, uint64_t seed, dg_strbuf *told, dg_error *err) {
  reader r = {d, pairs, count, keep_problems, seed, told};
  return read_files(&r, err) && check_files(&r, err) && split_files(&r, err);
}

void dg_train_data_free(dg_train_data *d) {
  for (size_t i = 0; i < d->count; i++) dg_parallel_free(&d->files[i].text);
  free(d->files);
  dg_key_set_free(&d->held_out);
  *d = (dg_train_data){0};
}
