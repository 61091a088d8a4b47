#include "data/harvest.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xxhash.h>

#include "data/mo.h"
#include "mt/core/file.h"
#include "mt/core/rng.h"
#include "tokenizer/lang.h"

#define MEMBER(field) \
  offsetof(dg_harvest_options, field), sizeof(((dg_harvest_options *)0)->field)

const dg_option dg_harvest_options_table[] = {
    {"label_share", DG_OPTION_FLOAT, MEMBER(label_share), "0.25", 0, 1, NULL,
     "share of the short pairs kept for training"},
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

static bool set_entry(void *context, const char *name, const char *value, dg_error *err) {
  dg_harvest_config *c = context;
  if (!strcmp(name, "package")) {
    for (const char *p = value; *p; p++)
      if (!isalnum((unsigned char)*p) && !strchr("+-.", *p))
        return dg_fail(err, DG_ERR_USAGE, "\"%s\" is not a package name", value);
    DG_GROW(c->packages, c->package_capacity, c->package_count + 1);
    c->packages[c->package_count++] = dg_strdup(value);
    return true;
  }
  if (!strcmp(name, "language")) {
    char code[DG_LANG_MAX];
    if (!dg_lang_canonical(value, code, err)) return false;
    if (strlen(code) >= DG_HARVEST_CODE || !strcmp(code, "en"))
      return dg_fail(err, DG_ERR_USAGE, "language = %s cannot be paired with English", value);
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
  if (!ok) dg_harvest_free(c);
  return ok;
}

void dg_harvest_free(dg_harvest_config *c) {
  for (size_t i = 0; i < c->package_count; i++) free(c->packages[i]);
  free(c->packages);
  free(c->languages);
  *c = (dg_harvest_config){0};
}

/* --- packages ------------------------------------------------------------------------------ */

/* Runs a program in a directory with its output discarded; true if it succeeds. */
static bool run(const char *directory, const char *const argv[]) {
  pid_t child = fork();
  if (child < 0) return false;
  if (!child) {
    int null = open("/dev/null", O_RDWR);
    if (null >= 0) {
      dup2(null, STDIN_FILENO);
      dup2(null, STDOUT_FILENO);
      dup2(null, STDERR_FILENO);
    }
    if (chdir(directory)) _exit(127);
    execvp(argv[0], (char *const *)(uintptr_t)argv); /* it does not write to them */
    _exit(127);
  }
  int status;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return false;
  return WIFEXITED(status) && !WEXITSTATUS(status);
}

/* The cached archive NAME_VERSION_ARCH.deb; the latest by name if there are several. */
static char *cached(const char *cache, const char *name) {
  DIR *d = opendir(cache);
  char *best = NULL;
  size_t n = strlen(name);
  struct dirent *e;
  while (d && (e = readdir(d))) {
    size_t length = strlen(e->d_name);
    if (strncmp(e->d_name, name, n) || e->d_name[n] != '_' || length < 4 ||
        strcmp(e->d_name + length - 4, ".deb"))
      continue;
    if (best && strcmp(best, e->d_name) >= 0) continue;
    free(best);
    best = dg_strdup(e->d_name);
  }
  if (d) closedir(d);
  return best;
}

static void version_of(const char *archive, char out[96]) {
  size_t n = 0;
  const char *p = strchr(archive, '_');
  for (p = p ? p + 1 : archive; *p && *p != '_' && n + 1 < 96; p++) {
    if (!strncmp(p, "%3a", 3)) {
      out[n++] = ':';
      p += 2;
    } else {
      out[n++] = *p;
    }
  }
  out[n] = 0;
}

/* The licences a machine-readable copyright file names, the first few. */
static void licence_of(const char *root, const char *package, char out[96]) {
  char *path = dg_format("%s/usr/share/doc/%s/copyright", root, package);
  dg_lines *r = access(path, R_OK) ? NULL : dg_lines_open(path, NULL);
  char *line;
  size_t length;
  snprintf(out, 96, "see copyright file");
  size_t n = 0;
  while (r && dg_lines_next(r, &line, &length, NULL) > 0) {
    if (strncasecmp(line, "License:", 8)) continue;
    char *name = line + 8 + strspn(line + 8, " \t");
    if (!*name || strchr(name, '\t') || strlen(name) > 40 || (n && strstr(out, name))) continue;
    if (n + strlen(name) + 3 >= 60) break;
    n += (size_t)snprintf(out + n, 96 - n, "%s%s", n ? ", " : "", name);
  }
  dg_lines_close(r);
  free(path);
}

static void archive_hash(const char *path, char out[33]) {
  dg_mapping map;
  out[0] = 0;
  if (!dg_map(path, &map, NULL)) return;
  XXH128_canonical_t c;
  XXH128_canonicalFromHash(&c, XXH3_128bits(map.data, map.size));
  for (size_t i = 0; i < 16; i++) snprintf(out + 2 * i, 3, "%02x", c.digest[i]);
  dg_unmap(&map);
}

/* --- what a package gives ------------------------------------------------------------------- */

typedef struct record {
  size_t english, target; /* offsets into text */
  uint32_t document;
  uint16_t language;
  uint8_t words;
} record;

typedef struct harvested {
  const char *name;
  char version[96], licence[96], hash[33];
  bool missing;
  dg_strbuf text;
  record *records;
  size_t count, capacity;
  char **documents;
  size_t document_count, document_capacity;
  size_t (*verdicts)[DG_CLEAN_VERDICTS]; /* [languages] */
} harvested;

typedef struct harvest_job {
  const dg_harvest_config *config;
  const char *cache, *directory;
  harvested *packages;
} harvest_job;

typedef struct catalogue_reader {
  const dg_harvest_config *config;
  harvested *h;
  size_t language;
  uint32_t document;
  dg_strbuf source, target;
} catalogue_reader;

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

static void add_pair(catalogue_reader *r, const char *source, const char *target) {
  harvested *h = r->h;
  dg_clean_verdict v =
      dg_clean_pair(source, target, "en", r->config->languages[r->language],
                    detect_accelerator(source, target), &r->source, &r->target);
  h->verdicts[r->language][v]++;
  if (v != DG_CLEAN_KEPT) return;
  size_t words = dg_word_count(r->source.text);
  DG_GROW(h->records, h->capacity, h->count + 1);
  record *x = &h->records[h->count++];
  *x = (record){.english = h->text.length, .document = r->document,
                .language = (uint16_t)r->language, .words = (uint8_t)(words < 255 ? words : 255)};
  dg_strbuf_addn(&h->text, r->source.text, r->source.length + 1);
  x->target = h->text.length;
  dg_strbuf_addn(&h->text, r->target.text, r->target.length + 1);
}

/* The last form of a plural stands for many in every language; form 0 is the
 * singular for certain only where there are two. */
static void visit(void *context, const dg_mo_message *m) {
  catalogue_reader *r = context;
  if (!m->form_count || !*m->forms[0]) return;
  if (!m->plural) {
    add_pair(r, m->id, m->forms[0]);
    return;
  }
  if (m->form_count == 2) add_pair(r, m->id, m->forms[0]);
  add_pair(r, m->plural, m->forms[m->form_count - 1]);
}

static uint32_t document_number(harvested *h, const char *name) {
  for (size_t i = 0; i < h->document_count; i++)
    if (!strcmp(h->documents[i], name)) return (uint32_t)i;
  DG_GROW(h->documents, h->document_capacity, h->document_count + 1);
  h->documents[h->document_count] = dg_strdup(name);
  return (uint32_t)h->document_count++;
}

static void read_catalogue(const harvest_job *j, harvested *h, const char *path,
                           const char *locale, const char *file) {
  char code[DG_LANG_MAX];
  if (!dg_lang_canonical(locale, code, NULL)) return;
  size_t language = 0;
  while (language < j->config->language_count && strcmp(j->config->languages[language], code))
    language++;
  if (language == j->config->language_count) return;
  dg_mapping map;
  if (!dg_map(path, &map, NULL)) return;
  catalogue_reader r = {.config = j->config, .h = h, .language = language,
                        .document = document_number(h, file)};
  dg_mo_read(map.data, map.size, visit, &r, NULL); /* a damaged one gives what it can */
  dg_unmap(&map);
  free(r.source.text);
  free(r.target.text);
}

static int by_name(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Visits files below a directory in the order of their names. */
static void walk(const harvest_job *j, harvested *h, const char *directory, int depth) {
  DIR *d = opendir(directory);
  char **names = NULL;
  size_t n = 0, capacity = 0;
  struct dirent *e;
  while (d && (e = readdir(d))) {
    if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
    DG_GROW(names, capacity, n + 1);
    names[n++] = dg_strdup(e->d_name);
  }
  if (d) closedir(d);
  if (n) qsort(names, n, sizeof *names, by_name);
  for (size_t i = 0; i < n; i++) {
    char *path = dg_format("%s/%s", directory, names[i]);
    struct stat s;
    size_t length = strlen(names[i]);
    if (!lstat(path, &s)) {
      if (S_ISDIR(s.st_mode) && depth < 40) walk(j, h, path, depth + 1);
      if (S_ISREG(s.st_mode) && length > 3 && !strcmp(names[i] + length - 3, ".mo")) {
        char *locale = strstr(path, "/LC_MESSAGES/");
        if (locale) {
          *locale = 0;
          char *slash = strrchr(path, '/'), *code = dg_strdup(slash + 1);
          *locale = '/';
          read_catalogue(j, h, path, code, names[i]);
          free(code);
        }
      }
    }
    free(path);
    free(names[i]);
  }
  free(names);
}

static void harvest_package(void *context, size_t task, int worker) {
  const harvest_job *j = context;
  harvested *h = &j->packages[task];
  (void)worker;
  h->verdicts = dg_calloc(j->config->language_count, sizeof *h->verdicts);
  char *archive = cached(j->cache, h->name);
  if (!archive) {
    run(j->cache, (const char *[]){"apt-get", "download", "-q", h->name, NULL});
    archive = cached(j->cache, h->name);
  }
  char *root = dg_format("%s/.unpack-%s", j->directory, h->name);
  char *path = archive ? dg_format("%s/%s", j->cache, archive) : NULL;
  h->missing = !archive || (mkdir(root, 0777) && errno != EEXIST) ||
               !run("/", (const char *[]){"dpkg-deb", "-x", path, root, NULL});
  if (!h->missing) {
    version_of(archive, h->version);
    licence_of(root, h->name, h->licence);
    archive_hash(path, h->hash);
    walk(j, h, root, 0);
  }
  run("/", (const char *[]){"rm", "-rf", root, NULL});
  free(path);
  free(root);
  free(archive);
}

/* --- split ------------------------------------------------------------------------------------ */

enum { TRAIN, DEV, TEST };
static const char *const split_names[] = {"train", "dev", "test"};

/* A set of 64-bit keys. */
typedef struct key_set {
  uint64_t *keys;
  size_t size, used;
} key_set;

static bool set_add(key_set *s, uint64_t key) { /* false: it was there */
  if (!key) key = 1;
  if (2 * (s->used + 1) > s->size) {
    key_set bigger = {.size = s->size ? 2 * s->size : 1 << 16};
    bigger.keys = dg_calloc(bigger.size, sizeof *bigger.keys);
    for (size_t i = 0; i < s->size; i++)
      if (s->keys[i]) set_add(&bigger, s->keys[i]);
    free(s->keys);
    *s = bigger;
  }
  size_t i = (size_t)key & (s->size - 1);
  for (; s->keys[i]; i = (i + 1) & (s->size - 1))
    if (s->keys[i] == key) return false;
  s->keys[i] = key;
  s->used++;
  return true;
}

static bool set_has(const key_set *s, uint64_t key) {
  if (!key) key = 1;
  if (!s->size) return false;
  for (size_t i = (size_t)key & (s->size - 1); s->keys[i]; i = (i + 1) & (s->size - 1))
    if (s->keys[i] == key) return true;
  return false;
}

static uint64_t text_hash(const char *s, uint64_t seed) { return XXH3_64bits_withSeed(s, strlen(s), seed); }

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
          text_hash(h->documents[d], text_hash(h->name, (uint64_t)j->config->options.seed)),
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

/* Documents go to test, then dev, in the order of their hashes until each
 * language has what it asks for, languages with the least text first: they have
 * the fewest documents to choose from, and what they take serves the others too.
 * A document far larger than the need would starve training and is passed over. */
static split_table choose_documents(const harvest_job *j) {
  const dg_harvest_options *o = &j->config->options;
  size_t languages = j->config->language_count, count;
  size_t *totals = dg_calloc(languages, sizeof *totals), *order = dg_calloc(languages, sizeof *order);
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
        for (size_t d = 0; d < count && (double)have < need; d++) {
          uint8_t *place = &table[all[d].package][all[d].number];
          size_t size = all[d].eligible[l];
          if (*place != TRAIN || !size || (double)size > largest[pass] + 1) continue;
          *place = (uint8_t)split;
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
  key_set held[3]; /* English keys of dev and of test documents, any language */
} writer;

static bool write_record(dg_output *out, const harvested *h, const record *x, dg_error *err) {
  return dg_output_printf(out, err, "%s\t%s\t%s\t%s\t%s\t%s\n", h->text.text + x->english,
                          h->text.text + x->target, h->documents[x->document], h->name, h->version,
                          h->licence);
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

static bool write_language(writer *w, size_t language, dg_error *err) {
  const harvest_job *j = w->job;
  const dg_harvest_options *o = &j->config->options;
  dg_harvest_counts *n = &w->counts[language];
  choice *chosen[3] = {NULL, NULL, NULL};
  size_t count[3] = {0}, capacity[3] = {0};
  key_set seen = {0};
  for (size_t p = 0; p < j->config->package_count; p++) {
    const harvested *h = &j->packages[p];
    for (size_t v = 0; v < DG_CLEAN_VERDICTS && h->verdicts; v++)
      n->verdicts[v] += h->verdicts[language][v];
    for (size_t i = 0; i < h->count; i++) {
      const record *x = &h->records[i];
      if (x->language != language) continue;
      const char *english = h->text.text + x->english, *target = h->text.text + x->target;
      if (!set_add(&seen, text_hash(target, text_hash(english, 0)))) {
        n->verdicts[DG_CLEAN_KEPT]--;
        n->verdicts[DG_CLEAN_DUPLICATE]++;
        continue;
      }
      int split = w->splits[p][x->document];
      uint64_t key = dg_sentence_key(english), order = dg_hash64(key ^ (uint64_t)o->seed);
      if ((split != TEST && set_has(&w->held[TEST], key)) ||
          (split == TRAIN && set_has(&w->held[DEV], key))) {
        n->held_back++;
        continue;
      }
      if (split == TRAIN
              ? x->words < o->label_words && (double)(order >> 11) * 0x1p-53 >= o->label_share
              : x->words < o->test_words)
        continue;
      DG_GROW(chosen[split], capacity[split], count[split] + 1);
      chosen[split][count[split]++] = (choice){order, (uint32_t)p, i};
    }
  }
  free(seen.keys);
  bool ok = true;
  for (int split = TRAIN; split <= TEST; split++) {
    size_t limit = split == TRAIN ? count[TRAIN]
                                  : (size_t)(split == DEV ? o->dev_pairs : o->test_pairs);
    if (split != TRAIN && count[split]) { /* one translation of an English string is enough */
      qsort(chosen[split], count[split], sizeof **chosen, by_order);
      size_t kept = 0;
      for (size_t i = 0; i < count[split]; i++)
        if (!kept || chosen[split][kept - 1].order != chosen[split][i].order)
          chosen[split][kept++] = chosen[split][i];
      count[split] = kept;
    }
    if (count[split] > limit) count[split] = limit;
    if (split != TRAIN && count[split]) qsort(chosen[split], count[split], sizeof **chosen, by_place);
    char *path = dg_format("%s/%s.%s.tsv.gz", j->directory, split_names[split],
                           j->config->languages[language]);
    dg_output *out = ok ? dg_output_open(path, err) : NULL;
    ok = out != NULL;
    for (size_t i = 0; ok && i < count[split]; i++) {
      const harvested *h = &j->packages[chosen[split][i].package];
      ok = write_record(out, h, &h->records[chosen[split][i].record], err);
    }
    if (ok) ok = dg_output_commit(out, err);
    else dg_output_abort(out);
    free(path);
    free(chosen[split]);
  }
  n->train = count[TRAIN];
  n->dev = count[DEV];
  n->test = count[TEST];
  return ok;
}

static bool write_manifest(const harvest_job *j, dg_error *err) {
  char *path = dg_format("%s/manifest.tsv", j->directory);
  dg_output *out = dg_output_open(path, err);
  bool ok = out && dg_output_printf(out, err, "package\tversion\txxh3-128\tlicence\tpairs\n");
  for (size_t p = 0; ok && p < j->config->package_count; p++) {
    const harvested *h = &j->packages[p];
    if (!h->missing && h->count)
      ok = dg_output_printf(out, err, "%s\t%s\t%s\t%s\t%zu\n", h->name, h->version, h->hash,
                            h->licence, h->count);
  }
  if (ok) ok = dg_output_commit(out, err);
  else dg_output_abort(out);
  free(path);
  return ok;
}

static bool split_and_write(const harvest_job *j, dg_harvest_counts *counts, dg_error *err) {
  writer w = {.job = j, .counts = counts, .splits = choose_documents(j)};
  for (size_t p = 0; p < j->config->package_count; p++) {
    const harvested *h = &j->packages[p];
    for (size_t i = 0; i < h->count; i++) {
      int split = w.splits[p][h->records[i].document];
      if (split != TRAIN)
        set_add(&w.held[split], dg_sentence_key(h->text.text + h->records[i].english));
    }
  }
  bool ok = true;
  for (size_t l = 0; ok && l < j->config->language_count; l++) ok = write_language(&w, l, err);
  for (size_t p = 0; p < j->config->package_count; p++) free(w.splits[p]);
  free(w.splits);
  free(w.held[DEV].keys);
  free(w.held[TEST].keys);
  return ok && write_manifest(j, err);
}

bool dg_harvest(const dg_harvest_config *c, const char *cache, const char *directory,
                dg_threads *threads, void (*note)(void *context, const char *message),
                void *context, dg_harvest_counts *counts, dg_error *err) {
  const char *made[] = {cache, directory};
  for (int i = 0; i < 2; i++)
    if (mkdir(made[i], 0777) && errno != EEXIST)
      return dg_fail_errno(err, "cannot make the directory %s", made[i]);
  char *full[2] = {realpath(cache, NULL), realpath(directory, NULL)};
  harvest_job j = {c, full[0], full[1], dg_calloc(c->package_count, sizeof(harvested))};
  for (size_t p = 0; p < c->package_count; p++) j.packages[p].name = c->packages[p];
  memset(counts, 0, c->language_count * sizeof *counts);
  dg_parallel(threads, c->package_count, harvest_package, &j);
  for (size_t p = 0; p < c->package_count; p++)
    if (j.packages[p].missing) {
      char *message = dg_format("package %s cannot be had; left out", c->packages[p]);
      if (note) note(context, message);
      free(message);
    }
  bool ok = split_and_write(&j, counts, err);
  for (size_t p = 0; p < c->package_count; p++) {
    harvested *h = &j.packages[p];
    free(h->text.text);
    free(h->records);
    for (size_t i = 0; i < h->document_count; i++) free(h->documents[i]);
    free(h->documents);
    free(h->verdicts);
  }
  free(j.packages);
  free(full[0]);
  free(full[1]);
  return ok;
}
