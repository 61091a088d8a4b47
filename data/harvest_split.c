#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "data/harvested.h"
#include "data/key_set.h"
#include "mt/core/file.h"
#include "mt/core/rng.h"

enum { TRAIN, DEV, TEST };
static const char *const split_names[] = {"train", "dev", "test"};

static uint64_t text_hash(const char *s, uint64_t seed) {
  return XXH3_64bits_withSeed(s, strlen(s), seed);
}

/* The splits of all documents; [package][document]. */
typedef uint8_t **split_table;

typedef struct document {
  uint64_t order;
  uint32_t package, number;
  uint32_t *eligible; /* [languages]: pairs long enough to test with */
} document;

static int by_document_order(const void *a, const void *b) {
  const document *x = a, *y = b;
  if (x->order != y->order) return x->order < y->order ? -1 : 1;
  if (x->package != y->package) return x->package < y->package ? -1 : 1;
  return x->number < y->number ? -1 : x->number > y->number;
}

static document *list_documents(const harvest_job *j, size_t *count, size_t *totals) {
  size_t languages = j->config->language_count, n = 0;
  *count = 0;
  for (size_t p = 0; p < j->config->package_count; p++) *count += j->packages[p].document_count;
  document *all = dg_calloc(*count + 1, sizeof *all);
  for (size_t p = 0; p < j->config->package_count; p++) {
    const harvested *h = &j->packages[p];
    document *mine = all + n;
    n += h->document_count;
    for (size_t d = 0; d < h->document_count; d++)
      mine[d] = (document){
          text_hash(h->documents[d].name,
                    text_hash(h->documents[d].family, (uint64_t)j->config->options.seed)),
          (uint32_t)p, (uint32_t)d, dg_calloc(languages, sizeof *mine->eligible)};
    for (size_t i = 0; i < h->count; i++) {
      const record *r = &h->records[i];
      if (r->words < j->config->options.test_words) continue;
      mine[r->document].eligible[r->language]++;
      totals[r->language]++;
    }
  }
  if (*count) qsort(all, *count, sizeof *all, by_document_order);
  return all;
}

/* Translations of one document stand side by side and go together. */
static size_t same_document(const document *all, size_t count, size_t first) {
  size_t n = 1;
  while (first + n < count && all[first + n].order == all[first].order) n++;
  return n;
}

static size_t eligible(const document *d, size_t n, size_t language) {
  size_t sum = 0;
  for (size_t i = 0; i < n; i++) sum += d[i].eligible[language];
  return sum;
}

/* Documents go to test, then dev, in the order of their hashes until each
 * language has what it asks for, languages with the least text first: they have
 * the fewest documents to choose from, and what they take serves the others too.
 * A document far larger than the need would starve training and is passed over. */
static split_table choose_documents(const harvest_job *j) {
  const dg_harvest_options *o = &j->config->options;
  size_t languages = j->config->language_count, count;
  size_t *totals = dg_calloc(languages, sizeof *totals),
         *order = dg_calloc(languages, sizeof *order);
  document *all = list_documents(j, &count, totals);
  split_table table = dg_calloc(j->config->package_count, sizeof *table);
  for (size_t p = 0; p < j->config->package_count; p++)
    table[p] = dg_calloc(j->packages[p].document_count + 1, 1);
  for (size_t l = 0; l < languages; l++) { /* insertion sort by total */
    size_t at = l;
    for (; at && totals[order[at - 1]] > totals[l]; at--) order[at] = order[at - 1];
    order[at] = l;
  }
  for (int split = TEST; split >= DEV; split--) {
    double share = split == TEST ? o->test_share : o->dev_share;
    double most = split == TEST ? o->test_pairs : o->dev_pairs;
    for (size_t k = 0; k < languages; k++) {
      size_t l = order[k], have = 0;
      double need = share * (double)totals[l] < most ? share * (double)totals[l] : most;
      for (size_t d = 0; d < count; d++)
        if (table[all[d].package][all[d].number] == split) have += all[d].eligible[l];
      /* Many small documents first: a test set from few of them measures those. */
      const double largest[] = {0.1 * need, 0.3 * need, 1.5 * need - (double)have};
      for (size_t pass = 0; pass < 3; pass++)
        for (size_t d = 0, n; d < count && (double)have < need; d += n) {
          n = same_document(all, count, d);
          size_t size = eligible(all + d, n, l);
          if (table[all[d].package][all[d].number] != TRAIN || !size ||
              (double)size > largest[pass] + 1)
            continue;
          for (size_t i = d; i < d + n; i++) table[all[i].package][all[i].number] = (uint8_t)split;
          have += size;
        }
    }
  }
  for (size_t d = 0; d < count; d++) free(all[d].eligible);
  free(all);
  free(totals);
  free(order);
  return table;
}

typedef struct writer {
  const harvest_job *job;
  dg_harvest_counts *counts;
  split_table splits;
  dg_key_set held[3]; /* English keys of dev and of test documents, any language */
  dg_output **outputs; /* splits of languages, then the manifest: a new test set beside old
                        * training text would have some of it in common */
  size_t output_count;
} writer;

static bool write_record(dg_output *out, const harvested *h, const record *x, dg_error *err) {
  return dg_output_printf(out, err, "%s\t%s\t%s\t%s\t%s\t%s\n", h->text.text + x->english,
                          h->text.text + x->target, h->documents[x->document].column, h->name,
                          h->archive.version, h->archive.brief);
}

/* Dev and test sets keep the pairs whose keys hash lowest, so that adding a
 * package changes as little as possible. */
typedef struct choice {
  uint64_t order;
  uint32_t package;
  size_t record;
} choice;

static int by_order(const void *a, const void *b) {
  const choice *x = a, *y = b;
  if (x->order != y->order) return x->order < y->order ? -1 : 1;
  if (x->package != y->package) return x->package < y->package ? -1 : 1;
  return x->record < y->record ? -1 : x->record > y->record;
}

static int by_place(const void *a, const void *b) {
  const choice *x = a, *y = b;
  if (x->package != y->package) return x->package < y->package ? -1 : 1;
  return x->record < y->record ? -1 : x->record > y->record;
}

static bool ends_sentence(const char *s) {
  size_t n = strlen(s);
  while (n && strchr(")\"'>", s[n - 1])) { /* and what closes a tag or quotation */
    if (s[n - 1] == '>')
      while (n && s[n - 1] != '<') n--;
    if (n) n--;
  }
  return n && strchr(".!?:", s[n - 1]);
}

/* Keeps all sentences, and of labels and phrases their share: the same English in every
 * language. */
static size_t thin_out(const harvest_job *j, choice *list, size_t count) {
  const dg_harvest_options *o = &j->config->options;
  size_t kept = 0;
  for (size_t i = 0; i < count; i++) {
    const harvested *h = &j->packages[list[i].package];
    const record *x = &h->records[list[i].record];
    double share = x->words < o->label_words                      ? o->label_share
                   : ends_sentence(h->text.text + x->english) ? 1
                                                                  : o->phrase_share;
    if ((double)(list[i].order >> 11) * 0x1p-53 < share) list[kept++] = list[i];
  }
  return kept;
}

typedef struct choices {
  choice *list;
  size_t count, capacity;
} choices;

/* A language's pairs by the split of their documents, without what stands in other splits. */
static void choose_pairs(writer *w, size_t language, choices chosen[3]) {
  const harvest_job *j = w->job;
  const dg_harvest_options *o = &j->config->options;
  dg_harvest_counts *n = &w->counts[language];
  dg_key_set seen = {0};
  for (size_t p = 0; p < j->config->package_count; p++) {
    const harvested *h = &j->packages[p];
    for (size_t v = 0; v < DG_CLEAN_VERDICTS && h->verdicts; v++)
      n->verdicts[v] += h->verdicts[language][v];
    for (size_t i = 0; i < h->count; i++) {
      const record *x = &h->records[i];
      if (x->language != language) continue;
      const char *english = h->text.text + x->english, *target = h->text.text + x->target;
      int split = w->splits[p][x->document];
      uint64_t key = dg_sentence_key(english), order = dg_hash64(key ^ (uint64_t)o->seed);
      if ((split != TEST && dg_key_set_has(&w->held[TEST], key)) ||
          (split == TRAIN && dg_key_set_has(&w->held[DEV], key))) {
        n->verdicts[DG_CLEAN_KEPT]--;
        n->verdicts[DG_CLEAN_HELD_BACK]++;
        continue;
      }
      /* Only now: what is held back here may stand in the part that holds it. */
      if (!dg_key_set_add(&seen, text_hash(target, text_hash(english, 0)))) {
        n->verdicts[DG_CLEAN_KEPT]--;
        n->verdicts[DG_CLEAN_DUPLICATE]++;
        continue;
      }
      if (split != TRAIN && x->words < o->test_words) continue;
      choices *c = &chosen[split];
      DG_GROW(c->list, c->capacity, c->count + 1);
      c->list[c->count++] = (choice){order, (uint32_t)p, i};
    }
  }
  dg_key_set_free(&seen);
}

/* At most so many of a dev or test split, one translation of an English string each. */
static void limit_choice(choices *c, size_t limit) {
  if (!c->count) return;
  qsort(c->list, c->count, sizeof *c->list, by_order);
  size_t kept = 0;
  for (size_t i = 0; i < c->count; i++)
    if (!kept || c->list[kept - 1].order != c->list[i].order) c->list[kept++] = c->list[i];
  c->count = kept < limit ? kept : limit;
  if (c->count) qsort(c->list, c->count, sizeof *c->list, by_place);
}

static bool write_split(writer *w, size_t language, int split, const choices *c, dg_error *err) {
  const harvest_job *j = w->job;
  char *path = dg_format("%s/%s.%s.tsv.gz", j->directory, split_names[split],
                         j->config->languages[language]);
  dg_output *out = w->outputs[w->output_count++] = dg_output_open(path, err);
  free(path);
  bool ok = out != NULL;
  for (size_t i = 0; ok && i < c->count; i++) {
    const harvested *h = &j->packages[c->list[i].package];
    ok = write_record(out, h, &h->records[c->list[i].record], err);
  }
  return ok;
}

static bool write_language(writer *w, size_t language, dg_error *err) {
  const dg_harvest_options *o = &w->job->config->options;
  dg_harvest_counts *n = &w->counts[language];
  choices chosen[3] = {{0}};
  choose_pairs(w, language, chosen);
  if (chosen[TRAIN].count > (size_t)o->whole_pairs)
    chosen[TRAIN].count = thin_out(w->job, chosen[TRAIN].list, chosen[TRAIN].count);
  limit_choice(&chosen[DEV], (size_t)o->dev_pairs);
  limit_choice(&chosen[TEST], (size_t)o->test_pairs);
  n->train = chosen[TRAIN].count;
  n->dev = chosen[DEV].count;
  n->test = chosen[TEST].count;
  bool ok = true;
  for (int split = TRAIN; split <= TEST; split++) {
    ok = ok && write_split(w, language, split, &chosen[split], err);
    free(chosen[split].list);
  }
  return ok;
}

static bool write_origin(dg_output *out, const char *package, const dg_archive *a, size_t pairs,
                         dg_error *err) {
  return dg_output_printf(out, err, "%s\t%s\t%s\t%s\t%zu\n", package, a->version, a->hash,
                          a->licence, pairs);
}

static bool is_source(const harvest_job *j, const char *package) {
  for (size_t p = 0; p < j->config->package_count; p++)
    if (j->packages[p].count && !strcmp(j->packages[p].name, package)) return true;
  return false;
}

/* Packages that gave the English side alone, or licences, stand last, with no pairs. */
static bool write_manifest(writer *w, dg_error *err) {
  const harvest_job *j = w->job;
  char *path = dg_format("%s/manifest.tsv", j->directory);
  dg_output *out = w->outputs[w->output_count++] = dg_output_open(path, err);
  free(path);
  bool ok = out && dg_output_printf(out, err, DG_MANIFEST_COLUMNS "\n");
  for (size_t p = 0; ok && p < j->config->package_count; p++) {
    const harvested *h = &j->packages[p];
    if (h->count) ok = write_origin(out, h->name, &h->archive, h->count, err);
  }
  for (size_t f = 0; ok && f < j->family_count; f++)
    for (size_t i = 0; ok && j->families[f].packages[i]; i++)
      if (j->families[f].archives[i].unpacked)
        ok = write_origin(out, j->families[f].packages[i], &j->families[f].archives[i], 0, err);
  for (size_t i = 0; ok && i < j->papers_count; i++)
    if (j->papers[i].archive.unpacked && !is_source(j, j->papers[i].package))
      ok = write_origin(out, j->papers[i].package, &j->papers[i].archive, 0, err);
  return ok;
}

bool dg_harvest_write(const harvest_job *j, dg_harvest_counts *counts, dg_error *err) {
  size_t languages = j->config->language_count;
  writer w = {.job = j, .counts = counts, .splits = choose_documents(j),
              .outputs = dg_calloc(3 * languages + 1, sizeof *w.outputs)};
  for (size_t p = 0; p < j->config->package_count; p++) {
    const harvested *h = &j->packages[p];
    for (size_t i = 0; i < h->count; i++) {
      int split = w.splits[p][h->records[i].document];
      if (split != TRAIN)
        dg_key_set_add(&w.held[split], dg_sentence_key(h->text.text + h->records[i].english));
    }
  }
  bool ok = true;
  for (size_t l = 0; ok && l < languages; l++) ok = write_language(&w, l, err);
  ok = ok && write_manifest(&w, err);
  if (ok) ok = dg_output_commit_all(w.outputs, w.output_count, err);
  else
    for (size_t i = 0; i < w.output_count; i++) dg_output_abort(w.outputs[i]);
  free(w.outputs);
  for (size_t p = 0; p < j->config->package_count; p++) free(w.splits[p]);
  free(w.splits);
  dg_key_set_free(&w.held[DEV]);
  dg_key_set_free(&w.held[TEST]);
  return ok;
}
