#include "data/harvest.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "data/archive.h"
#include "data/key_set.h"
#include "data/source.h"
#include "mt/core/file.h"
#include "mt/core/rng.h"
#include "tokenizer/lang.h"

#define MEMBER(field) \
  offsetof(dg_harvest_options, field), sizeof(((dg_harvest_options *)0)->field)

const dg_option dg_harvest_options_table[] = {
    {"label_share", DG_OPTION_FLOAT, MEMBER(label_share), "0.25", 0, 1, NULL,
     "share of the short pairs kept for training"},
    {"phrase_share", DG_OPTION_FLOAT, MEMBER(phrase_share), "1", 0, 1, NULL,
     "share of the longer pairs kept whose English does not end as a sentence"},
    {"whole_pairs", DG_OPTION_INT, MEMBER(whole_pairs), "0", 0, 1e9, NULL,
     "a language with no more training pairs keeps them all"},
    {"label_words", DG_OPTION_INT, MEMBER(label_words), "5", 0, 100, NULL,
     "English words below which a pair is a label"},
    {"dev_share", DG_OPTION_FLOAT, MEMBER(dev_share), "0.05", 0, 0.5, NULL,
     "dev pairs a language has at most, as a share of its own"},
    {"test_share", DG_OPTION_FLOAT, MEMBER(test_share), "0.1", 0, 0.5, NULL,
     "test pairs a language has at most, as a share of its own"},
    {"dev_pairs", DG_OPTION_INT, MEMBER(dev_pairs), "500", 0, 1e6, NULL, "largest dev set"},
    {"test_pairs", DG_OPTION_INT, MEMBER(test_pairs), "1000", 0, 1e6, NULL, "largest test set"},
    {"test_words", DG_OPTION_INT, MEMBER(test_words), "5", 0, 100, NULL,
     "English words a dev or test pair has at least"},
    {"seed", DG_OPTION_INT, MEMBER(seed), "1", 0, 2147483647, NULL, "of the split"},
    {NULL, DG_OPTION_INT, 0, 0, NULL, 0, 0, NULL, NULL},
};

/* --- configuration ------------------------------------------------------------------------ */

static bool unknown_source(const char *name, dg_error *err) {
  dg_strbuf known = {0};
  for (const dg_source *const *s = dg_sources; *s; s++) dg_strbuf_addf(&known, " %s", (*s)->name);
  dg_fail(err, DG_ERR_USAGE, "source = %s is unknown; there are:%s", name, known.text);
  free(known.text);
  return false;
}

/* Of two the second would empty the files of the first, or unpack where it reads. */
static bool twice(const char *name, const char *value, dg_error *err) {
  return dg_fail(err, DG_ERR_USAGE, "%s = %s is there twice", name, value);
}

static bool set_entry(void *context, const char *name, const char *value, dg_error *err) {
  dg_harvest_config *c = context;
  if (!strcmp(name, "package")) {
    if (!dg_is_package(value))
      return dg_fail(err, DG_ERR_USAGE, "\"%s\" is not a package name", value);
    for (size_t i = 0; i < c->package_count; i++)
      if (!strcmp(c->packages[i], value)) return twice(name, value, err);
    DG_GROW(c->packages, c->package_capacity, c->package_count + 1);
    c->packages[c->package_count++] = dg_strdup(value);
    return true;
  }
  if (!strcmp(name, "source")) {
    const dg_source *source = dg_source_find(value);
    if (!source) return unknown_source(value, err);
    for (size_t i = 0; i < c->source_count; i++)
      if (c->sources[i] == source) return twice(name, value, err);
    c->sources[c->source_count++] = source;
    return true;
  }
  if (!strcmp(name, "language")) {
    char code[DG_LANG_MAX];
    if (!dg_lang_canonical(value, code, err)) return false;
    if (strlen(code) >= DG_HARVEST_CODE || !strcmp(code, "en"))
      return dg_fail(err, DG_ERR_USAGE, "language = %s cannot be paired with English", value);
    for (size_t i = 0; i < c->language_count; i++)
      if (!strcmp(c->languages[i], code)) return twice(name, value, err);
    DG_GROW(c->languages, c->language_capacity, c->language_count + 1);
    snprintf(c->languages[c->language_count++], DG_HARVEST_CODE, "%.*s", DG_HARVEST_CODE - 1, code);
    return true;
  }
  return dg_options_set(dg_harvest_options_table, &c->options, name, value, err);
}

bool dg_harvest_read(dg_harvest_config *c, const char *path, dg_error *err) {
  *c = (dg_harvest_config){0};
  dg_options_defaults(dg_harvest_options_table, &c->options);
  bool ok = dg_config_read(path, set_entry, c, err);
  if (ok && (!c->language_count || !c->package_count))
    ok = dg_fail(err, DG_ERR_USAGE, "%s names no %s", path,
                 c->package_count ? "language" : "package");
  if (ok && !c->source_count) c->sources[c->source_count++] = dg_sources[0];
  if (!ok) dg_harvest_free(c);
  return ok;
}

void dg_harvest_free(dg_harvest_config *c) {
  for (size_t i = 0; i < c->package_count; i++) free(c->packages[i]);
  free(c->packages);
  free(c->languages);
  *c = (dg_harvest_config){0};
}

/* --- what a package gives ------------------------------------------------------------------- */

typedef struct record {
  size_t english, target; /* offsets into text */
  uint32_t document;
  uint16_t language;
  uint8_t words;
} record;

typedef struct document_name {
  char *name;
  const char *family; /* documents of one name in one family are one */
  char *column;       /* the name as a corpus has it: of a file it may be anything */
} document_name;

typedef struct harvested {
  const char *name;
  dg_archive archive;
  dg_strbuf text;
  record *records;
  size_t count, capacity;
  document_name *documents;
  size_t document_count, document_capacity;
  size_t (*verdicts)[DG_CLEAN_VERDICTS]; /* [languages] */
} harvested;

enum { FAMILY_MOST = 64 };

typedef struct family {
  const char *const *packages;
  char *root;
  dg_archive archives[FAMILY_MOST];
} family;

typedef struct harvest_job {
  const dg_harvest_config *config;
  const char *cache, *directory;
  harvested *packages;
  family *families;
  size_t family_count;
} harvest_job;

/* Takes the pairs of one source in one package. */
typedef struct collector {
  const dg_harvest_config *config;
  harvested *h;
  const dg_source *source;
  const char *family; /* of its documents */
  char locale[DG_LANG_MAX];
  size_t language, document; /* of the last pair */
  dg_strbuf source_text, target_text;
} collector;

static size_t marks(const char *s, char mark) {
  size_t n = 0;
  for (const char *p = s; *p; p++)
    if (*p == mark && (isalnum((unsigned char)p[1]) || (unsigned char)p[1] >= 0x80)) n++;
  return n;
}

/* Toolkits do not say which accelerator mark they use; a lone one on both sides does. */
static dg_accelerator detect_accelerator(const char *source, const char *target) {
  static const char all[] = {'&', '_', '~'};
  for (size_t i = 0; i < sizeof all; i++) {
    if (marks(source, all[i]) != 1 || marks(target, all[i]) != 1) continue;
    const char *p = strchr(source, all[i]);
    bool at_word = p == source || p[-1] == ' ' || p[-1] == '(';
    if (at_word || dg_word_count(source) <= 3) return (dg_accelerator)all[i];
  }
  return DG_ACCELERATOR_NONE;
}

/* Finds the configured language a locale means; false when there is none. */
static bool wants(void *context, const char *locale) {
  collector *c = context;
  char code[DG_LANG_MAX];
  if (!dg_lang_canonical(locale, code, NULL)) return false;
  for (size_t i = 0; i < c->config->language_count; i++)
    if (!strcmp(c->config->languages[i], code)) {
      c->language = i;
      snprintf(c->locale, sizeof c->locale, "%s", locale);
      return true;
    }
  return false;
}

/* Pairs of a document come together: most often it is the last one. */
static uint32_t document_number(collector *c, const char *name) {
  harvested *h = c->h;
  for (size_t i = 0; i <= h->document_count; i++) {
    size_t k = i ? i - 1 : c->document;
    if (k < h->document_count && !strcmp(h->documents[k].name, name) &&
        !strcmp(h->documents[k].family, c->family))
      return (uint32_t)(c->document = k);
  }
  DG_GROW(h->documents, h->document_capacity, h->document_count + 1);
  h->documents[h->document_count] =
      (document_name){dg_strdup(name), c->family, dg_as_column(name)};
  return (uint32_t)(c->document = h->document_count++);
}

static void add_pair(void *context, const char *locale, const char *document, const char *source,
                     const char *target) {
  collector *c = context;
  harvested *h = c->h;
  if (strcmp(locale, c->locale) && !wants(c, locale)) return;
  dg_accelerator mark =
      c->source->accelerators ? detect_accelerator(source, target) : DG_ACCELERATOR_NONE;
  dg_clean_verdict v = dg_clean_pair(source, target, "en", c->config->languages[c->language], mark,
                                     &c->source_text, &c->target_text);
  h->verdicts[c->language][v]++;
  if (v != DG_CLEAN_KEPT) return;
  size_t words = dg_word_count(c->source_text.text);
  DG_GROW(h->records, h->capacity, h->count + 1);
  record *x = &h->records[h->count++];
  *x = (record){.english = h->text.length, .document = document_number(c, document),
                .language = (uint16_t)c->language, .words = (uint8_t)(words < 255 ? words : 255)};
  dg_strbuf_addn(&h->text, c->source_text.text, c->source_text.length + 1);
  x->target = h->text.length;
  dg_strbuf_addn(&h->text, c->target_text.text, c->target_text.length + 1);
}

/* English that other packages translate: unpacked once, for all of them. */
static void unpack_family(void *context, size_t task, int worker) {
  const harvest_job *j = context;
  family *f = &j->families[task];
  (void)worker;
  dg_make_root(f->root);
  for (size_t i = 0; f->packages[i]; i++)
    dg_archive_unpack(&f->archives[i], j->cache, f->packages[i], f->root);
}

static void read_source(const harvest_job *j, harvested *h, const dg_source *source,
                        const char *root) {
  collector c = {.config = j->config, .h = h, .source = source, .family = h->name};
  const char *english_root = root;
  if (source->english) {
    const char *const *packages = source->english(h->name);
    size_t i = 0;
    if (!packages) return;
    while (strcmp(j->families[i].packages[0], packages[0])) i++;
    c.family = packages[0];
    english_root = j->families[i].root;
  }
  dg_pair_sink sink = {&c, wants, add_pair};
  source->read(root, english_root, &sink);
  free(c.source_text.text);
  free(c.target_text.text);
}

static void harvest_package(void *context, size_t task, int worker) {
  const harvest_job *j = context;
  harvested *h = &j->packages[task];
  (void)worker;
  h->verdicts = dg_calloc(j->config->language_count, sizeof *h->verdicts);
  char *root = dg_format("%s/.unpack-%s", j->directory, h->name);
  if (dg_make_root(root) && dg_archive_unpack(&h->archive, j->cache, h->name, root))
    for (size_t i = 0; i < j->config->source_count; i++)
      read_source(j, h, j->config->sources[i], root);
  dg_remove_root(root);
  free(root);
}

/* Licences that stand in the documentation of another package. */
static void find_licences(const harvest_job *j) {
  char *root = dg_format("%s/.papers", j->directory), *last = NULL;
  dg_archive papers = {0};
  for (size_t p = 0; p < j->config->package_count + j->family_count * FAMILY_MOST; p++) {
    size_t f = p - j->config->package_count;
    dg_archive *a = p < j->config->package_count
                        ? &j->packages[p].archive
                        : &j->families[f / FAMILY_MOST].archives[f % FAMILY_MOST];
    if (!*a->papers) continue;
    if (!last || strcmp(last, a->papers)) {
      last = a->papers;
      dg_archive_free(&papers);
      papers = (dg_archive){0};
      if (dg_make_root(root)) dg_archive_unpack(&papers, j->cache, last, root);
      dg_remove_root(root);
    }
    if (papers.unpacked) dg_archive_take_licence(a, &papers);
  }
  dg_archive_free(&papers);
  free(root);
}

/* --- split ------------------------------------------------------------------------------------ */

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

/* Packages that gave nothing but the English side stand last, with no pairs. */
static bool write_manifest(writer *w, dg_error *err) {
  const harvest_job *j = w->job;
  char *path = dg_format("%s/manifest.tsv", j->directory);
  dg_output *out = w->outputs[w->output_count++] = dg_output_open(path, err);
  free(path);
  bool ok = out && dg_output_printf(out, err, "package\tversion\txxh3-128\tlicence\tpairs\n");
  for (size_t p = 0; ok && p < j->config->package_count; p++) {
    const harvested *h = &j->packages[p];
    if (h->count) ok = write_origin(out, h->name, &h->archive, h->count, err);
  }
  for (size_t f = 0; ok && f < j->family_count; f++)
    for (size_t i = 0; ok && j->families[f].packages[i]; i++)
      if (j->families[f].archives[i].unpacked)
        ok = write_origin(out, j->families[f].packages[i], &j->families[f].archives[i], 0, err);
  return ok;
}

static bool split_and_write(const harvest_job *j, dg_harvest_counts *counts, dg_error *err) {
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

static void find_families(harvest_job *j) {
  const dg_harvest_config *c = j->config;
  size_t capacity = 0;
  for (size_t p = 0; p < c->package_count; p++)
    for (size_t i = 0; i < c->source_count; i++) {
      const dg_source *s = c->sources[i];
      const char *const *packages = s->english ? s->english(c->packages[p]) : NULL;
      size_t f = 0;
      if (!packages) continue;
      while (f < j->family_count && strcmp(j->families[f].packages[0], packages[0])) f++;
      if (f < j->family_count) continue;
      DG_GROW(j->families, capacity, j->family_count + 1);
      j->families[j->family_count++] = (family){
          .packages = packages, .root = dg_format("%s/.english-%s", j->directory, packages[0])};
    }
}

typedef struct missing {
  const harvest_job *job;
  void (*note)(void *context, const char *message);
  void *context;
  size_t count;
  dg_strbuf names;
} missing;

static void tell_missing(missing *m, const char *package, const dg_archive *a) {
  if (a->unpacked) return;
  dg_strbuf_addf(&m->names, "%s%s", m->count++ ? ", " : "", package);
  char *what =
      a->file
          ? dg_format("%s/%s cannot be unpacked; if it is damaged remove it, and it is downloaded "
                      "anew", m->job->cache, a->file)
          : dg_format("package %s is not in %s, nor can apt-get download it; put its archive there",
                      package, m->job->cache);
  char *message = dg_format("%s%s", what, m->job->config->skip_missing ? ": left out" : "");
  if (m->note) m->note(m->context, message);
  free(what);
  free(message);
}

static bool all_there(const harvest_job *j, void (*note)(void *context, const char *message),
                      void *context, dg_error *err) {
  missing m = {.job = j, .note = note, .context = context};
  for (size_t p = 0; p < j->config->package_count; p++)
    tell_missing(&m, j->packages[p].name, &j->packages[p].archive);
  for (size_t f = 0; f < j->family_count; f++)
    for (size_t i = 0; j->families[f].packages[i]; i++)
      tell_missing(&m, j->families[f].packages[i], &j->families[f].archives[i]);
  bool ok = !m.count || j->config->skip_missing ||
            dg_fail(err, DG_ERR_IO,
                    "nothing written, for %zu package%s missing or damaged (%.200s%s): mend that or "
                    "go on without (--skip-missing)", m.count, m.count > 1 ? "s are" : " is",
                    m.names.text, m.names.length > 200 ? "..." : "");
  free(m.names.text);
  return ok;
}

bool dg_harvest(const dg_harvest_config *c, const char *cache, const char *directory,
                dg_threads *threads, void (*note)(void *context, const char *message),
                void *context, dg_harvest_counts *counts, dg_error *err) {
  const char *made[] = {cache, directory};
  for (int i = 0; i < 2; i++)
    if (mkdir(made[i], 0777) && errno != EEXIST)
      return dg_fail_errno(err, "cannot make the directory %s", made[i]);
  char *full[2] = {realpath(cache, NULL), realpath(directory, NULL)};
  harvest_job j = {.config = c, .cache = full[0], .directory = full[1],
                   .packages = dg_calloc(c->package_count, sizeof(harvested))};
  for (size_t p = 0; p < c->package_count; p++) j.packages[p].name = c->packages[p];
  memset(counts, 0, c->language_count * sizeof *counts);
  find_families(&j);
  dg_parallel(threads, j.family_count, unpack_family, &j);
  dg_parallel(threads, c->package_count, harvest_package, &j);
  find_licences(&j);
  bool ok = all_there(&j, note, context, err) && split_and_write(&j, counts, err);
  for (size_t p = 0; p < c->package_count; p++) {
    harvested *h = &j.packages[p];
    free(h->text.text);
    free(h->records);
    for (size_t i = 0; i < h->document_count; i++) {
      free(h->documents[i].name);
      free(h->documents[i].column);
    }
    free(h->documents);
    free(h->verdicts);
    dg_archive_free(&h->archive);
  }
  for (size_t f = 0; f < j.family_count; f++) {
    for (size_t i = 0; j.families[f].packages[i]; i++) dg_archive_free(&j.families[f].archives[i]);
    dg_remove_root(j.families[f].root);
    free(j.families[f].root);
  }
  free(j.families);
  free(j.packages);
  free(full[0]);
  free(full[1]);
  return ok;
}
