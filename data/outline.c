#include "data/outline.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zlib.h>

enum { FILE_MOST = 16 << 20 };

void dg_outline_add(dg_outline *o, uint64_t key, const char *text) {
  DG_GROW(o->list, o->capacity, o->count + 1);
  o->list[o->count++] = (dg_paragraph){key, o->text.length};
  dg_strbuf_addn(&o->text, text, strlen(text) + 1);
}

const char *dg_outline_text(const dg_outline *o, size_t i) {
  return o->text.text + o->list[i].text;
}

void dg_outline_free(dg_outline *o) {
  free(o->list);
  free(o->text.text);
  *o = (dg_outline){0};
}

uint64_t dg_outline_key(uint64_t parent, const char *name) {
  return XXH3_64bits_withSeed(name, strlen(name), parent);
}

static bool same_keys(const dg_outline *a, const dg_outline *b, bool longer) {
  if (longer ? a->count > b->count : a->count != b->count) return false;
  for (size_t i = 0; i < a->count; i++)
    if (a->list[i].key != b->list[i].key) return false;
  return true;
}

typedef struct place {
  uint64_t key;
  size_t at;
} place;

static int by_key(const void *a, const void *b) {
  const place *x = a, *y = b;
  if (x->key != y->key) return x->key < y->key ? -1 : 1;
  return (x->at > y->at) - (x->at < y->at);
}

static place *index_of(const dg_outline *o) {
  place *list = dg_calloc(o->count + 1, sizeof *list);
  for (size_t i = 0; i < o->count; i++) list[i] = (place){o->list[i].key, i};
  if (o->count) qsort(list, o->count, sizeof *list, by_key);
  return list;
}

/* The paragraph with an id; of several the next one from where the last was, for ids mostly come
 * in the same order. n: there is none. */
static size_t find_id(const place *list, size_t n, uint64_t id, size_t from) {
  const place wanted[] = {{id, from}, {id, 0}};
  for (int i = 0; i < 2; i++) {
    size_t low = 0, high = n;
    while (low < high) {
      size_t middle = low + (high - low) / 2;
      if (by_key(&list[middle], &wanted[i]) < 0) low = middle + 1;
      else high = middle;
    }
    if (low < n && list[low].key == id) return list[low].at;
  }
  return n;
}

static void pair(const dg_outline *english, size_t k, const dg_outline *other, size_t i,
                 const char *locale, const char *document, const dg_pair_sink *sink) {
  sink->pair(sink->context, locale, document, dg_outline_text(english, k),
             dg_outline_text(other, i));
}

bool dg_outline_align(const dg_outline *english, const dg_outline *other, dg_alignment how,
                      const char *locale, const char *document, const dg_pair_sink *sink) {
  size_t n = english->count;
  if (how != DG_ALIGN_IDS) {
    if (!same_keys(english, other, how == DG_ALIGN_SIGNED)) return false;
    for (size_t i = 0; i < n; i++) pair(english, i, other, i, locale, document, sink);
    return true;
  }
  place *list = index_of(english);
  for (size_t i = 0, next = 0; i < other->count; i++) {
    size_t k = find_id(list, n, other->list[i].key, next);
    if (k == n) continue;
    next = k + 1;
    pair(english, k, other, i, locale, document, sink);
  }
  free(list);
  return true;
}

/* --- files ---------------------------------------------------------------------------------- */

typedef struct placed {
  char *path, *locale, *document;
} placed;

static int by_document(const void *a, const void *b) {
  const placed *x = a, *y = b;
  int c = strcmp(x->document, y->document);
  if (!c) c = strcmp(x->locale, y->locale);
  return c ? c : strcmp(x->path, y->path);
}

/* The originals, or the translations someone wants. */
static placed *find(const dg_document_kind *kind, const char *root, bool originals,
                    const dg_pair_sink *sink, size_t *count) {
  size_t n, capacity = 0;
  char **paths = dg_list_files(root, &n);
  placed *list = NULL;
  dg_strbuf locale = {0}, document = {0};
  *count = 0;
  for (size_t i = 0; i < n; i++) {
    dg_strbuf_clear(&locale);
    dg_strbuf_clear(&document);
    if (!kind->place(paths[i], &locale, &document)) continue;
    if (originals ? strcmp(locale.text, "en") : !sink->wants(sink->context, locale.text)) continue;
    DG_GROW(list, capacity, *count + 1);
    list[(*count)++] = (placed){dg_format("%s/%s", root, paths[i]), dg_strdup(locale.text),
                                dg_strdup(document.text)};
  }
  free(locale.text);
  free(document.text);
  dg_free_files(paths, n);
  if (*count) qsort(list, *count, sizeof *list, by_document);
  return list;
}

static void placed_free(placed *list, size_t n) {
  for (size_t i = 0; i < n; i++) {
    free(list[i].path);
    free(list[i].locale);
    free(list[i].document);
  }
  free(list);
}

/* A gzipped file may swell to no more than any other may be large. */
static bool outline_file(const dg_document_kind *kind, const char *path, dg_outline *o) {
  gzFile f = gzopen(path, "rb");
  if (!f) return false;
  dg_strbuf b = {0};
  char *step = dg_malloc(1 << 16);
  int n;
  while ((n = gzread(f, step, 1 << 16)) > 0 && b.length <= FILE_MOST)
    dg_strbuf_addn(&b, step, (size_t)n);
  gzclose(f);
  free(step);
  bool ok = n == 0 && b.length && kind->outline(b.text, b.length, o);
  free(b.text);
  return ok;
}

void dg_read_documents(const dg_document_kind *kind, const char *root, const char *english_root,
                       const dg_pair_sink *sink) {
  size_t originals, translations, at = 0;
  placed *from = find(kind, english_root, true, sink, &originals);
  placed *to = find(kind, root, false, sink, &translations);
  for (size_t i = 0; i < originals; i++) {
    if (i && !strcmp(from[i].document, from[i - 1].document)) continue;
    dg_outline english = {0};
    bool read = false, good = false;
    while (at < translations && strcmp(to[at].document, from[i].document) < 0) at++;
    for (; at < translations && !strcmp(to[at].document, from[i].document); at++) {
      dg_outline other = {0};
      if (!read) good = outline_file(kind, from[i].path, &english);
      read = true;
      if (good && outline_file(kind, to[at].path, &other))
        dg_outline_align(&english, &other, kind->alignment, to[at].locale, to[at].document, sink);
      dg_outline_free(&other);
    }
    dg_outline_free(&english);
  }
  placed_free(from, originals);
  placed_free(to, translations);
}
