#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/harvested.h"
#include "data/source.h"
#include "tokenizer/lang.h"

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

void dg_harvest_family(void *context, size_t task, int worker) {
  const harvest_job *j = context;
  family *f = &j->families[task];
  (void)worker;
  dg_make_root(f->root);
  for (size_t i = 0; f->packages[i]; i++) {
    const dg_origin *origin = dg_manifest_find(&j->config->manifest, f->packages[i]);
    if (origin || !j->config->manifest.count)
      dg_archive_unpack(&f->archives[i], j->cache, f->packages[i], origin, f->root);
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

void dg_harvest_package(void *context, size_t task, int worker) {
  const harvest_job *j = context;
  harvested *h = &j->packages[task];
  (void)worker;
  h->verdicts = dg_calloc(j->config->language_count, sizeof *h->verdicts);
  char *root = dg_format("%s/.unpack-%s", j->directory, h->name);
  if (dg_make_root(root) && dg_archive_unpack(&h->archive, j->cache, h->name,
                                               dg_manifest_find(&j->config->manifest, h->name), root))
    for (size_t i = 0; i < j->config->source_count; i++)
      read_source(j, h, j->config->sources[i], root);
  dg_remove_root(root);
  free(root);
}

static const dg_archive *find_papers(harvest_job *j, const char *package, const char *root) {
  for (size_t i = 0; i < j->papers_count; i++)
    if (!strcmp(j->papers[i].package, package)) return &j->papers[i].archive;
  DG_GROW(j->papers, j->papers_capacity, j->papers_count + 1);
  papers *p = &j->papers[j->papers_count++];
  *p = (papers){.package = package};
  if (dg_make_root(root))
    dg_archive_unpack(&p->archive, j->cache, package,
                      dg_manifest_find(&j->config->manifest, package), root);
  dg_remove_root(root);
  return &p->archive;
}

static void take_papers(harvest_job *j, dg_archive *a, const char *root) {
  const dg_archive *found = *a->papers ? find_papers(j, a->papers, root) : NULL;
  if (found && found->unpacked) dg_archive_take_licence(a, found);
}

void dg_harvest_licences(harvest_job *j) {
  char *root = dg_format("%s/.papers", j->directory);
  for (size_t p = 0; p < j->config->package_count; p++) take_papers(j, &j->packages[p].archive, root);
  for (size_t f = 0; f < j->family_count; f++)
    for (size_t i = 0; j->families[f].packages[i]; i++)
      take_papers(j, &j->families[f].archives[i], root);
  free(root);
}
