#include "data/harvest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data/harvested.h"
#include "data/source.h"
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

static bool is_listed(const dg_harvest_config *c, const char *package) {
  for (size_t i = 0; i < c->package_count; i++)
    if (!strcmp(c->packages[i], package)) return true;
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
    if (is_listed(c, value)) return twice(name, value, err);
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

bool dg_harvest_as(dg_harvest_config *c, const char *manifest, dg_error *err) {
  if (!dg_manifest_read(&c->manifest, manifest, err)) return false;
  for (size_t i = 0; i < c->manifest.count; i++) {
    const dg_origin *o = &c->manifest.items[i];
    if (o->pairs && !is_listed(c, o->package))
      return dg_fail(err, DG_ERR_USAGE,
                     "%s has pairs of package %s, which the configuration does not list: it is of "
                     "another one", manifest, o->package);
  }
  size_t kept = 0;
  for (size_t i = 0; i < c->package_count; i++)
    if (dg_manifest_find(&c->manifest, c->packages[i]))
      c->packages[kept++] = c->packages[i];
    else
      free(c->packages[i]);
  c->package_count = kept;
  return true;
}

void dg_harvest_free(dg_harvest_config *c) {
  for (size_t i = 0; i < c->package_count; i++) free(c->packages[i]);
  free(c->packages);
  free(c->languages);
  dg_manifest_free(&c->manifest);
  *c = (dg_harvest_config){0};
}

/* --- the whole ----------------------------------------------------------------------------- */

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

static char *what_is_missing(const missing *m, const char *package, const dg_origin *origin,
                             const dg_archive *a) {
  const char *cache = m->job->cache;
  if (a->differs)
    return dg_format("%s/%s is not the file that the manifest means: it is damaged, or of another "
                     "architecture", cache, a->file);
  if (a->file)
    return dg_format("%s/%s cannot be unpacked; if it is damaged remove it, and it is downloaded "
                     "anew", cache, a->file);
  if (origin)
    return dg_format("package %s %s is not in %s, nor can apt-get download it; put its archive there "
                     "from https://snapshot.debian.org/binary/%s/", package, origin->version, cache,
                     package);
  return dg_format("package %s is not in %s, nor can apt-get download it; put its archive there",
                   package, cache);
}

static void tell_missing(missing *m, const char *package, const dg_archive *a) {
  const dg_manifest *manifest = &m->job->config->manifest;
  const dg_origin *origin = dg_manifest_find(manifest, package);
  if (a->unpacked || (manifest->count && !origin)) return;
  dg_strbuf_addf(&m->names, "%s%s", m->count++ ? ", " : "", package);
  char *what = what_is_missing(m, package, origin, a);
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
  for (size_t i = 0; j->config->manifest.count && i < j->papers_count; i++)
    tell_missing(&m, j->papers[i].package, &j->papers[i].archive);
  bool ok = !m.count || j->config->skip_missing ||
            dg_fail(err, DG_ERR_IO,
                    "nothing written, for %zu package%s missing or damaged (%.200s%s): mend that%s",
                    m.count, m.count > 1 ? "s are" : " is", m.names.text,
                    m.names.length > 200 ? "..." : "",
                    j->config->manifest.count ? "" : " or go on without (--skip-missing)");
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
  dg_parallel(threads, j.family_count, dg_harvest_family, &j);
  dg_parallel(threads, c->package_count, dg_harvest_package, &j);
  dg_harvest_licences(&j);
  bool ok = all_there(&j, note, context, err) && dg_harvest_write(&j, counts, err);
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
  for (size_t i = 0; i < j.papers_count; i++) dg_archive_free(&j.papers[i].archive);
  free(j.papers);
  free(j.families);
  free(j.packages);
  free(full[0]);
  free(full[1]);
  return ok;
}
