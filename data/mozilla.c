#include "data/mozilla.h"

#include <stdlib.h>
#include <string.h>
#include <zip.h>

#include "data/messages.h"
#include "mt/core/file.h"
#include "mt/core/mem.h"
#include "mt/core/utf8.h"

enum { ENTRY_MOST = 4 << 20, ENTRIES_MOST = 100000 };

typedef struct message {
  char *key; /* "document\1id" */
  char *text;
  size_t order;
} message;

/* The messages of one language. */
typedef struct messages {
  message *list;
  size_t count, capacity;
  const char *document; /* being read */
} messages;

/* Keys, sizes and addresses are no language. */
static bool is_text(const char *id) {
  static const char *const ends[] = {"accesskey", "commandkey", ".key",   ".style",  ".width",
                                     ".height",   "Accesskey",  "AccessKey", ".size", "URL", NULL};
  for (const char *const *e = ends; *e; e++)
    if (dg_ends_with(id, *e)) return false;
  return true;
}

static void keep(void *context, const char *id, const char *text) {
  messages *m = context;
  size_t n = strlen(text);
  /* "#1 tab;#1 tabs" holds a plural's forms, as many as the language has. */
  if (!is_text(id) || dg_utf8_valid_prefix(text, n) != n ||
      (strchr(text, ';') && strstr(text, "#1")))
    return;
  DG_GROW(m->list, m->capacity, m->count + 1);
  m->list[m->count] =
      (message){dg_format("%s\1%s", m->document, id), dg_strndup(text, n), m->count};
  m->count++;
}

/* "browser/localization/gl/toolkit/about.ftl" is "toolkit/about.ftl" in "gl"; so is
 * "chrome/gl/locale/gl/global/x.properties" "global/x.properties". */
static const char *document_of(const char *path, const char **locale, size_t *n) {
  static const char *const marks[] = {"localization/", "locale/"};
  for (int i = 0; i < 2; i++) {
    const char *at = strstr(path, marks[i]);
    if (!at || (at > path && at[-1] != '/')) continue;
    *locale = at + strlen(marks[i]);
    const char *slash = strchr(*locale, '/');
    if (!slash) return NULL;
    *n = (size_t)(slash - *locale);
    return slash + 1;
  }
  return NULL;
}

static void read_entry(zip_t *z, zip_uint64_t i, const char *name, messages *out) {
  zip_stat_t s;
  if (zip_stat_index(z, i, 0, &s) || !(s.valid & ZIP_STAT_SIZE) || s.size > ENTRY_MOST) return;
  zip_file_t *f = zip_fopen_index(z, i, 0);
  if (!f) return;
  char *text = dg_malloc((size_t)s.size + 1);
  zip_int64_t n = zip_fread(f, text, s.size);
  zip_fclose(f);
  if (n > 0) {
    text[n] = 0;
    if (dg_ends_with(name, ".ftl")) dg_fluent_read(text, (size_t)n, keep, out);
    else if (dg_ends_with(name, ".properties")) dg_properties_read(text, (size_t)n, keep, out);
    else if (dg_ends_with(name, ".dtd")) dg_dtd_read(text, (size_t)n, keep, out);
  }
  free(text);
}

typedef struct entry {
  zip_uint64_t index;
  const char *name, *document;
} entry;

static int by_entry(const void *a, const void *b) {
  const entry *x = a, *y = b;
  int c = strcmp(x->document, y->document);
  return c ? c : strcmp(x->name, y->name);
}

/* The archive's messages in one locale; "" takes the first locale but English that
 * the sink wants, and writes it to `locale`. */
static void read_archive(const char *path, char locale[64], const dg_pair_sink *sink,
                         messages *out) {
  zip_t *z = zip_open(path, ZIP_RDONLY, NULL);
  if (!z) return;
  zip_int64_t total = zip_get_num_entries(z, 0);
  entry *list = NULL;
  size_t count = 0, capacity = 0;
  for (zip_int64_t i = 0; i < total && i < ENTRIES_MOST; i++) {
    const char *name = zip_get_name(z, (zip_uint64_t)i, ZIP_FL_ENC_RAW), *code;
    size_t n;
    if (!name || !(dg_ends_with(name, ".ftl") || dg_ends_with(name, ".properties") ||
                   dg_ends_with(name, ".dtd")))
      continue;
    const char *document = document_of(name, &code, &n);
    if (!document || n >= 64 || !*document) continue;
    if (!*locale) {
      char found[64];
      snprintf(found, sizeof found, "%.*s", (int)n, code);
      if (!strcmp(found, "en-US") || !sink->wants(sink->context, found)) continue;
      memcpy(locale, found, sizeof found);
    }
    if (strlen(locale) != n || strncmp(code, locale, n)) continue;
    DG_GROW(list, capacity, count + 1);
    list[count++] = (entry){(zip_uint64_t)i, name, document};
  }
  if (count) qsort(list, count, sizeof *list, by_entry);
  for (size_t i = 0; i < count; i++) {
    out->document = list[i].document;
    read_entry(z, list[i].index, list[i].name, out);
  }
  free(list);
  zip_discard(z);
}

static int by_key(const void *a, const void *b) {
  const message *x = a, *y = b;
  int c = strcmp(x->key, y->key);
  return c ? c : x->order < y->order ? -1 : x->order > y->order;
}

static int find_key(const void *a, const void *b) {
  return strcmp(a, ((const message *)b)->key);
}

static void messages_free(messages *m) {
  for (size_t i = 0; i < m->count; i++) {
    free(m->list[i].key);
    free(m->list[i].text);
  }
  free(m->list);
  *m = (messages){0};
}

/* Sorted; of a key that several archives have, the first stays. */
static void sort_messages(messages *m) {
  if (!m->count) return;
  qsort(m->list, m->count, sizeof *m->list, by_key);
  size_t kept = 1;
  for (size_t i = 1; i < m->count; i++) {
    if (strcmp(m->list[i].key, m->list[kept - 1].key)) {
      m->list[kept++] = m->list[i];
    } else {
      free(m->list[i].key);
      free(m->list[i].text);
    }
  }
  m->count = kept;
}

static bool is_archive(const char *path) {
  return dg_ends_with(path, ".xpi") || dg_ends_with(path, ".ja");
}

static void pair_up(const messages *english, const messages *other, const char *locale,
                    const dg_pair_sink *sink) {
  for (size_t i = 0; i < other->count; i++) {
    const message *m = &other->list[i];
    const message *e = english->count ? bsearch(m->key, english->list, english->count,
                                                sizeof *english->list, find_key)
                                      : NULL;
    if (!e) continue;
    char *document = dg_strndup(m->key, strcspn(m->key, "\1"));
    sink->pair(sink->context, locale, document, e->text, m->text);
    free(document);
  }
}

void dg_mozilla_read(const char *root, const char *english_root, const dg_pair_sink *sink) {
  size_t originals, packs;
  char **from = dg_list_files(english_root, &originals), **to = dg_list_files(root, &packs);
  messages english = {0};
  char en_us[64] = "en-US";
  for (size_t i = 0; i < originals; i++) {
    if (!is_archive(from[i])) continue;
    char *path = dg_format("%s/%s", english_root, from[i]);
    read_archive(path, en_us, sink, &english);
    free(path);
  }
  sort_messages(&english);
  for (size_t i = 0; i < packs; i++) {
    if (!is_archive(to[i])) continue;
    char *path = dg_format("%s/%s", root, to[i]), locale[64] = "";
    messages other = {0};
    read_archive(path, locale, sink, &other);
    sort_messages(&other);
    pair_up(&english, &other, locale, sink);
    messages_free(&other);
    free(path);
  }
  messages_free(&english);
  dg_free_files(from, originals);
  dg_free_files(to, packs);
}

static const char *const *english_of(const char *package) {
  static const char *const firefox[] = {"firefox-esr", NULL};
  static const char *const thunderbird[] = {"thunderbird", NULL};
  if (!strncmp(package, "firefox-esr-l10n-", 17)) return firefox;
  if (!strncmp(package, "thunderbird-l10n-", 17)) return thunderbird;
  return NULL;
}

const dg_source dg_source_mozilla = {"mozilla", false, english_of, dg_mozilla_read};
