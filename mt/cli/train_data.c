#include "mt/cli/train_data.h"

#include <stdlib.h>

#include "data/split.h"

enum { DEV_SHARE = 10, DEV_LEAST = 20, DEV_MOST = 500 };

static void reverse(dg_parallel_text *p) {
  for (size_t i = 0; i < p->count; i++)
    p->pairs[i] = (dg_pair){p->pairs[i].target, p->pairs[i].source};
}

const char *dg_train_role_name(dg_train_role role) {
  static const char *const names[] = {"train", "dev", "test"};
  return names[role];
}

static bool read_files(dg_train_data *d, const dg_train_data_options *o, dg_error *err) {
  const dg_list *lists[] = {o->train, o->dev, o->test};
  d->train_count = o->train->count;
  bool split = !o->dev->count;
  d->dev_count = split ? 1 : o->dev->count;
  d->files = dg_calloc(d->train_count + d->dev_count + o->test->count, sizeof *d->files);
  for (int role = DG_ROLE_TRAIN; role <= DG_ROLE_TEST; role++) {
    if (role == DG_ROLE_DEV && split) /* filled later */
      d->files[d->count++] = (dg_train_file){.path = d->files[0].path, .role = DG_ROLE_DEV,
                                              .apart = true};
    for (size_t i = 0; i < lists[role]->count; i++) {
      dg_train_file *f = &d->files[d->count++];
      *f = (dg_train_file){.role = (dg_train_role)role, .path = lists[role]->items[i]};
      if (!dg_parallel_read(&f->text, f->path, err)) return false;
      if (!f->text.count) return dg_fail(err, DG_ERR_USAGE, "%s holds no pair", f->path);
      if (o->reversed) reverse(&f->text);
      f->read = f->text.count;
    }
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

static void report(const dg_train_file *f, const dg_check *c, bool keep, const dg_cli *cli) {
  for (int k = DG_PROBLEM_NONE + 1; k < DG_PROBLEMS; k++) {
    if (!c->counts[k]) continue;
    const dg_pair *p = &f->text.pairs[c->first[k]];
    int n = shown(p->source), m = shown(p->target);
    dg_cli_say(cli, "%s: %zu pair%s %s, %s; the first is %zu: \"%.*s%s\" = \"%.*s%s\"\n", f->path,
               c->counts[k], c->counts[k] == 1 ? "" : "s", dg_problem_title((dg_problem)k),
               keep ? "kept" : "left out", c->first[k] + 1, n, p->source, p->source[n] ? "..." : "", m,
               p->target, p->target[m] ? "..." : "");
  }
}

/* A file that is wrong from end to end is a mistake, not something to filter. */
static bool hopeless(const dg_train_file *f, const dg_check *c, dg_error *err) {
  if (2 * c->counts[DG_PROBLEM_SWAPPED] > f->read)
    return !dg_fail(err, DG_ERR_USAGE,
                    "%s: %zu of %zu pairs have their sides swapped: put --reversed on or off (or "
                    "train on them as they are with --keep-problems)",
                    f->path, c->counts[DG_PROBLEM_SWAPPED], f->read);
  if (2 * c->counts[DG_PROBLEM_SCRIPT] > f->read)
    return !dg_fail(err, DG_ERR_USAGE,
                    "%s: %zu of %zu pairs are not in the script of their languages, as pair %zu: "
                    "are -s and -t right? (--keep-problems trains on them as they are)",
                    f->path, c->counts[DG_PROBLEM_SCRIPT], f->read, c->first[DG_PROBLEM_SCRIPT] + 1);
  return false;
}

static bool check_files(dg_train_data *d, const dg_train_data_options *o, const dg_cli *cli,
                        dg_error *err) {
  dg_key_set seen = {0};
  for (size_t i = d->train_count; i < d->count; i++)
    for (size_t k = 0; k < d->files[i].text.count; k++)
      dg_hold_out(&d->held_out, &d->files[i].text.pairs[k]);
  bool ok = true;
  for (size_t i = 0; ok && i < d->train_count; i++) {
    dg_train_file *f = &d->files[i];
    dg_check c;
    dg_check_pairs(&f->text, o->source, o->target, &seen, &d->held_out, &c);
    report(f, &c, o->keep_problems, cli);
    ok = o->keep_problems || !hopeless(f, &c, err);
    for (int k = DG_PROBLEM_NONE + 1; k < DG_PROBLEMS; k++) f->problems[k] = c.counts[k];
    if (!o->keep_problems) dg_parallel_remove(&f->text, c.problems);
    dg_check_free(&c);
  }
  dg_key_set_free(&seen);
  return ok;
}

json_t *dg_train_problems_json(const dg_train_file *f) {
  json_t *j = json_object();
  for (int k = DG_PROBLEM_NONE + 1; k < DG_PROBLEMS; k++)
    if (f->problems[k])
      json_object_set_new(j, dg_problem_name((dg_problem)k), json_integer((json_int_t)f->problems[k]));
  return j;
}

/* --- dev text ------------------------------------------------------------------------------- */

static bool split_one(dg_train_file *f, size_t wanted, uint64_t seed, dg_train_file *dev,
                      unsigned char *parts, dg_error *err) {
  if (!dg_split_choose(&f->text, wanted, 0, seed, parts, err))
    return dg_error_context(err, "%s: setting dev text apart (or name some with --dev)", f->path);
  for (size_t i = 0; i < f->text.count; i++)
    if (parts[i] == DG_PART_DEV)
      dg_parallel_add(&dev->text, f->text.pairs[i].source, f->text.pairs[i].target);
  return true;
}

/* Each file gives its share. What says the same as a dev pair on either side, in whatever
 * file, is not trained on. */
static bool split_files(dg_train_data *d, const dg_train_data_options *o, const dg_cli *cli,
                        dg_error *err) {
  size_t total = 0;
  for (size_t i = 0; i < d->train_count; i++) total += d->files[i].text.count;
  size_t wanted = total / DEV_SHARE;
  wanted = wanted < DEV_LEAST ? DEV_LEAST : wanted > DEV_MOST ? DEV_MOST : wanted;
  dg_train_file *dev = &d->files[d->train_count];
  unsigned char **parts = dg_calloc(d->train_count, sizeof *parts);
  bool ok = true;
  size_t before = 0, left = 0;
  for (size_t i = 0; ok && i < d->train_count; i++) {
    dg_train_file *f = &d->files[i];
    parts[i] = dg_calloc(f->text.count + 1, 1);
    size_t upto = before + f->text.count, share = total ? wanted * upto / total - wanted * before / total : 1;
    before = upto;
    ok = split_one(f, share, o->seed, dev, parts[i], err);
  }
  for (size_t i = 0; i < dev->text.count; i++) dg_hold_out(&d->held_out, &dev->text.pairs[i]);
  for (size_t i = 0; ok && i < d->train_count; i++) {
    dg_train_file *f = &d->files[i];
    for (size_t k = 0; k < f->text.count; k++)
      parts[i][k] = parts[i][k] != DG_PART_TRAIN || dg_held_out(&d->held_out, &f->text.pairs[k]);
    dg_parallel_remove(&f->text, parts[i]);
    left += f->text.count;
  }
  dev->read = dev->text.count;
  if (ok)
    dg_cli_say(cli, "%zu pairs set apart as dev text, and %zu that say the same left out\n", dev->read,
               total - left - dev->read);
  for (size_t i = 0; i < d->train_count; i++) free(parts[i]);
  free(parts);
  return ok;
}

bool dg_train_data_read(dg_train_data *d, const dg_train_data_options *o, const dg_cli *cli,
                        dg_error *err) {
  return read_files(d, o, err) && check_files(d, o, cli, err) &&
         (o->dev->count || split_files(d, o, cli, err));
}

void dg_train_data_join(dg_train_data *d, dg_train_data *more) {
  dg_train_data all = {.train_count = d->train_count + more->train_count,
                       .dev_count = d->dev_count + more->dev_count};
  all.files = dg_calloc(d->count + more->count, sizeof *all.files);
  for (int role = DG_ROLE_TRAIN; role <= DG_ROLE_TEST; role++)
    for (int k = 0; k < 2; k++) {
      const dg_train_data *from = k ? more : d;
      for (size_t i = 0; i < from->count; i++)
        if ((int)from->files[i].role == role) all.files[all.count++] = from->files[i];
    }
  for (size_t i = all.train_count; i < all.count; i++)
    for (size_t k = 0; k < all.files[i].text.count; k++)
      dg_hold_out(&all.held_out, &all.files[i].text.pairs[k]);
  free(d->files);
  free(more->files);
  dg_key_set_free(&d->held_out);
  dg_key_set_free(&more->held_out);
  *d = all;
  *more = (dg_train_data){0};
}

void dg_train_data_free(dg_train_data *d) {
  for (size_t i = 0; i < d->count; i++) dg_parallel_free(&d->files[i].text);
  free(d->files);
  dg_key_set_free(&d->held_out);
  *d = (dg_train_data){0};
}
