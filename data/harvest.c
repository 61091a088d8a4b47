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
    for (const char *p = value; *p; p++)
      if (!isalnum((unsigned char)*p) && !strchr("+-.", *p))
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

/* The cached archive NAME_VERSION_ARCH.deb; of several the latest, digits read as numbers. */
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
    if (best && strverscmp(best, e->d_name) >= 0) continue;
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

/* Adds a licence to the first few; false when no more fit. */
static bool add_licence(char out[96], size_t *n, const char *name, size_t length) {
  if (!length || length > 40 || memchr(name, '\t', length) || (*n && memmem(out, *n, name, length)))
    return true;
  if (*n + length + 3 >= 60) return false;
  *n += (size_t)snprintf(out + *n, 96 - *n, "%s%.*s", *n ? ", " : "", (int)length, name);
  return true;
}

/* What a copyright file, in whatever encoding, names: in "License:" fields if it is
 * machine-readable, else Debian's copies of the common licences. */
static void licence_of(const char *root, const char *package, char out[96]) {
  static const char field[] = "License:", common[] = "/usr/share/common-licenses/";
  char *path = dg_format("%s/usr/share/doc/%s/copyright", root, package);
  dg_mapping map = {0};
  size_t n = 0;
  bool there = !access(path, R_OK) && dg_map(path, &map, NULL);
  const char *text = (const char *)map.data, *end = text + map.size;
  for (const char *p = text, *next; there && p < end; p = next) {
    const char *newline = memchr(p, '\n', (size_t)(end - p));
    next = newline ? newline + 1 : end;
    size_t length = (size_t)((newline ? newline : end) - p), skip = sizeof field - 1;
    if (length < skip || strncasecmp(p, field, skip)) continue;
    while (skip < length && strchr(" \t", p[skip])) skip++;
    while (length > skip && strchr(" \t\r", p[length - 1])) length--;
    if (!add_licence(out, &n, p + skip, length - skip)) break;
  }
  for (const char *p = n || !there ? NULL : text;
       p && (p = memmem(p, (size_t)(end - p), common, sizeof common - 1));) {
    size_t length = 0;
    p += sizeof common - 1;
    while (p + length < end && (isalnum((unsigned char)p[length]) || strchr("-.+", p[length]))) length++;
    while (length && p[length - 1] == '.') length--;
    if (!add_licence(out, &n, p, length)) break;
  }
  if (there) dg_unmap(&map);
  if (!n) snprintf(out, 96, "see copyright file");
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

typedef struct identity {
  char version[96], licence[96], hash[33];
  char papers[96]; /* the package whose documentation is this one's, "" if it has its own */
} identity;

typedef struct document_name {
  char *name;
  const char *family; /* documents of one name in one family are one */
} document_name;

typedef struct harvested {
  const char *name;
  identity identity;
  bool missing;
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
  bool found[FAMILY_MOST];
  identity identities[FAMILY_MOST];
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
  h->documents[h->document_count] = (document_name){dg_strdup(name), c->family};
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

/* --- unpacking ----------------------------------------------------------------------------- */

/* A package's archive, from the cache or downloaded; NULL when it cannot be had. */
static char *fetch(const harvest_job *j, const char *package) {
  char *archive = cached(j->cache, package);
  if (archive) return archive;
  run(j->cache, (const char *[]){"apt-get", "download", "-q", package, NULL});
  return cached(j->cache, package);
}

static bool unpack(const harvest_job *j, const char *archive, const char *root) {
  char *path = dg_format("%s/%s", j->cache, archive);
  bool ok = (!mkdir(root, 0777) || errno == EEXIST) &&
            run("/", (const char *[]){"dpkg-deb", "-x", path, root, NULL});
  free(path);
  return ok;
}

static void remove_tree(const char *root) {
  run("/", (const char *[]){"rm", "-rf", root, NULL});
}

static void identify(const harvest_job *j, const char *package, const char *archive,
                     const char *root, identity *id) {
  char *path = dg_format("%s/%s", j->cache, archive);
  version_of(archive, id->version);
  licence_of(root, package, id->licence);
  char *link = dg_format("%s/usr/share/doc/%s", root, package);
  ssize_t n = readlink(link, id->papers, sizeof id->papers - 1);
  id->papers[n > 0 && !memchr(id->papers, '/', (size_t)n) ? n : 0] = 0;
  free(link);
  archive_hash(path, id->hash);
  free(path);
}

/* English that other packages translate: unpacked once, for all of them. */
static void unpack_family(void *context, size_t task, int worker) {
  const harvest_job *j = context;
  family *f = &j->families[task];
  (void)worker;
  for (size_t i = 0; f->packages[i]; i++) {
    char *archive = fetch(j, f->packages[i]);
    f->found[i] = archive && unpack(j, archive, f->root);
    if (f->found[i]) identify(j, f->packages[i], archive, f->root, &f->identities[i]);
    free(archive);
  }
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
  char *archive = fetch(j, h->name), *root = dg_format("%s/.unpack-%s", j->directory, h->name);
  h->missing = !archive || !unpack(j, archive, root);
  if (!h->missing) {
    identify(j, h->name, archive, root, &h->identity);
    for (size_t i = 0; i < j->config->source_count; i++)
      read_source(j, h, j->config->sources[i], root);
  }
  remove_tree(root);
  free(root);
  free(archive);
}

/* Licences that stand in the documentation of another package. */
static void find_licences(const harvest_job *j) {
  char *root = dg_format("%s/.papers", j->directory);
  const identity *last = NULL;
  for (size_t p = 0; p < j->config->package_count + j->family_count * FAMILY_MOST; p++) {
    size_t f = p - j->config->package_count;
    identity *id = p < j->config->package_count
                       ? &j->packages[p].identity
                       : &j->families[f / FAMILY_MOST].identities[f % FAMILY_MOST];
    if (!*id->papers) continue;
    if (last && !strcmp(last->papers, id->papers)) {
      memcpy(id->licence, last->licence, sizeof id->licence);
      continue;
    }
    char *archive = fetch(j, id->papers);
    if (archive && unpack(j, archive, root)) licence_of(root, id->papers, id->licence);
    if (archive) remove_tree(root);
    free(archive);
    last = id;
  }
  free(root);
}

/* --- split ------------------------------------------------------------------------------------ */

enum { TRAIN, DEV, TEST };
static const char *const split_names[] = {"train", "dev", "test"};

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
} writer;

static bool write_record(dg_output *out, const harvested *h, const record *x, dg_error *err) {
  return dg_output_printf(out, err, "%s\t%s\t%s\t%s\t%s\t%s\n", h->text.text + x->english,
                          h->text.text + x->target, h->documents[x->document].name, h->name,
                          h->identity.version, h->identity.licence);
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

static bool write_language(writer *w, size_t language, dg_error *err) {
  const harvest_job *j = w->job;
  const dg_harvest_options *o = &j->config->options;
  dg_harvest_counts *n = &w->counts[language];
  choice *chosen[3] = {NULL, NULL, NULL};
  size_t count[3] = {0}, capacity[3] = {0};
  dg_key_set seen = {0};
  for (size_t p = 0; p < j->config->package_count; p++) {
    const harvested *h = &j->packages[p];
    for (size_t v = 0; v < DG_CLEAN_VERDICTS && h->verdicts; v++)
      n->verdicts[v] += h->verdicts[language][v];
    for (size_t i = 0; i < h->count; i++) {
      const record *x = &h->records[i];
      if (x->language != language) continue;
      const char *english = h->text.text + x->english, *target = h->text.text + x->target;
      if (!dg_key_set_add(&seen, text_hash(target, text_hash(english, 0)))) {
        n->verdicts[DG_CLEAN_KEPT]--;
        n->verdicts[DG_CLEAN_DUPLICATE]++;
        continue;
      }
      int split = w->splits[p][x->document];
      uint64_t key = dg_sentence_key(english), order = dg_hash64(key ^ (uint64_t)o->seed);
      if ((split != TEST && dg_key_set_has(&w->held[TEST], key)) ||
          (split == TRAIN && dg_key_set_has(&w->held[DEV], key))) {
        n->verdicts[DG_CLEAN_KEPT]--;
        n->verdicts[DG_CLEAN_HELD_BACK]++;
        continue;
      }
      if (split != TRAIN && x->words < o->test_words) continue;
      DG_GROW(chosen[split], capacity[split], count[split] + 1);
      chosen[split][count[split]++] = (choice){order, (uint32_t)p, i};
    }
  }
  dg_key_set_free(&seen);
  if (count[TRAIN] > (size_t)o->whole_pairs)
    count[TRAIN] = thin_out(j, chosen[TRAIN], count[TRAIN]);
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

static bool write_origin(dg_output *out, const char *package, const identity *id, size_t pairs,
                         dg_error *err) {
  return dg_output_printf(out, err, "%s\t%s\t%s\t%s\t%zu\n", package, id->version, id->hash,
                          id->licence, pairs);
}

/* Packages that gave nothing but the English side stand last, with no pairs. */
static bool write_manifest(const harvest_job *j, dg_error *err) {
  char *path = dg_format("%s/manifest.tsv", j->directory);
  dg_output *out = dg_output_open(path, err);
  bool ok = out && dg_output_printf(out, err, "package\tversion\txxh3-128\tlicence\tpairs\n");
  for (size_t p = 0; ok && p < j->config->package_count; p++) {
    const harvested *h = &j->packages[p];
    if (!h->missing && h->count) ok = write_origin(out, h->name, &h->identity, h->count, err);
  }
  for (size_t f = 0; ok && f < j->family_count; f++)
    for (size_t i = 0; ok && j->families[f].packages[i]; i++)
      if (j->families[f].found[i])
        ok = write_origin(out, j->families[f].packages[i], &j->families[f].identities[i], 0, err);
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
        dg_key_set_add(&w.held[split], dg_sentence_key(h->text.text + h->records[i].english));
    }
  }
  bool ok = true;
  for (size_t l = 0; ok && l < j->config->language_count; l++) ok = write_language(&w, l, err);
  for (size_t p = 0; p < j->config->package_count; p++) free(w.splits[p]);
  free(w.splits);
  dg_key_set_free(&w.held[DEV]);
  dg_key_set_free(&w.held[TEST]);
  return ok && write_manifest(j, err);
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

static void tell_missing(const harvest_job *j, void (*note)(void *context, const char *message),
                         void *context) {
  dg_strbuf b = {0};
  for (size_t p = 0; note && p < j->config->package_count; p++)
    if (j->packages[p].missing) {
      dg_strbuf_clear(&b);
      dg_strbuf_addf(&b, "package %s cannot be had; left out", j->packages[p].name);
      note(context, b.text);
    }
  for (size_t f = 0; note && f < j->family_count; f++)
    for (size_t i = 0; j->families[f].packages[i]; i++)
      if (!j->families[f].found[i]) {
        dg_strbuf_clear(&b);
        dg_strbuf_addf(&b, "package %s cannot be had; what translates it is left out",
                       j->families[f].packages[i]);
        note(context, b.text);
      }
  free(b.text);
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
  tell_missing(&j, note, context);
  bool ok = split_and_write(&j, counts, err);
  for (size_t p = 0; p < c->package_count; p++) {
    harvested *h = &j.packages[p];
    free(h->text.text);
    free(h->records);
    for (size_t i = 0; i < h->document_count; i++) free(h->documents[i].name);
    free(h->documents);
    free(h->verdicts);
  }
  for (size_t f = 0; f < j.family_count; f++) {
    remove_tree(j.families[f].root);
    free(j.families[f].root);
  }
  free(j.families);
  free(j.packages);
  free(full[0]);
  free(full[1]);
  return ok;
}
