#include "tests/pairs.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mt/core/rng.h"

static char *dir, **paths;
static size_t path_count, path_capacity;

int pairs_set_up(void **state) {
  (void)state;
  const char *tmp = getenv("TMPDIR");
  dir = dg_format("%s/pairs-XXXXXX", tmp ? tmp : "/tmp");
  return mkdtemp(dir) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *s, int type, struct FTW *where) {
  (void)s;
  (void)type;
  (void)where;
  return remove(path);
}

int pairs_tear_down(void **state) {
  (void)state;
  nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
  for (size_t i = 0; i < path_count; i++) free(paths[i]);
  free(paths);
  free(dir);
  paths = NULL;
  path_count = path_capacity = 0;
  return 0;
}

const char *pairs_path(const char *inside) {
  DG_GROW(paths, path_capacity, path_count + 1);
  char *path = paths[path_count++] = dg_format("%s/%s", dir, inside);
  for (char *p = path + strlen(dir) + 1; (p = strchr(p, '/')); *p++ = '/') {
    *p = 0;
    if (mkdir(path, 0777) && errno != EEXIST) abort();
  }
  return path;
}

void pairs_write(const char *inside, const void *bytes, size_t size) {
  FILE *f = fopen(pairs_path(inside), "wb");
  if (!f || fwrite(bytes, 1, size, f) != size || fclose(f)) abort();
}

static bool wants(void *context, const char *locale) {
  (void)context;
  return !strcmp(locale, "gl") || !strcmp(locale, "pt-BR");
}

static void add(void *context, const char *locale, const char *document, const char *english,
                const char *translation) {
  dg_strbuf_addf(context, "%s|%s|%s|%s\n", locale, document, english, translation);
}

dg_pair_sink pairs_sink(dg_strbuf *out) {
  dg_strbuf_add(out, "");
  return (dg_pair_sink){out, wants, add};
}

char *pairs_read(const dg_source *source, const char *root, const char *english_root) {
  dg_strbuf out = {0};
  dg_pair_sink sink = pairs_sink(&out);
  source->read(root, english_root, &sink);
  return out.text;
}

static void read_copy(const char *text, size_t size, void (*read)(const char *bytes, size_t size)) {
  char *copy = dg_malloc(size ? size : 1);
  memcpy(copy, text, size);
  read(copy, size);
  free(copy);
}

void pairs_torment(const char *text, size_t size, int rounds,
                   void (*read)(const char *bytes, size_t size)) {
  static const char nasty[] = "{}<>&\"'\\;*[]=.-#|\n\t /!\0\xC3\xFF";
  char *copy = dg_malloc(size + 16);
  for (size_t n = 0; n <= size; n++) read_copy(text, n, read);
  for (int round = 0; round < rounds; round++) {
    dg_rng r = {dg_rng_key(1, (uint64_t)round), 0};
    size_t n = size;
    memcpy(copy, text, size);
    for (uint64_t k = 1 + dg_rng_below(&r, 6); k; k--) {
      size_t at = (size_t)dg_rng_below(&r, n);
      char c = nasty[dg_rng_below(&r, sizeof nasty - 1)];
      switch (dg_rng_below(&r, 3)) {
        case 0: copy[at] = c; break;
        case 1: /* a character more */
          memmove(copy + at + 1, copy + at, n - at);
          copy[at] = c;
          n++;
          break;
        default: { /* some characters less */
          size_t gone = (size_t)dg_rng_below(&r, 9);
          if (gone > n - at || gone >= n) break;
          memmove(copy + at, copy + at + gone, n - at - gone);
          n -= gone;
        }
      }
    }
    read_copy(copy, n, read);
  }
  free(copy);
}
