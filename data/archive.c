#include "data/archive.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mt/core/file.h"
#include "mt/core/mem.h"
#include "mt/core/utf8.h"

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

/* Of two archives of one package; a version's are in the order of their names. */
static bool is_later(const char *archive, const char *than) {
  char a[96], b[96];
  version_of(archive, a);
  version_of(than, b);
  return strcmp(a, b) ? run("/", (const char *[]){"dpkg", "--compare-versions", a, "gt", b, NULL})
                      : strcmp(archive, than) > 0;
}

static bool is_version(const char *archive, const char *version) {
  char its[96];
  version_of(archive, its);
  return !strcmp(its, version);
}

/* The cached archive NAME_VERSION_ARCH.deb; of several the latest, as dpkg sees it, or, when a
 * version is given, of those with it. */
static char *cached(const char *cache, const char *name, const char *version) {
  DIR *d = opendir(cache);
  char *best = NULL;
  size_t n = strlen(name);
  struct dirent *e;
  while (d && (e = readdir(d))) {
    if (strncmp(e->d_name, name, n) || e->d_name[n] != '_' || !dg_ends_with(e->d_name, ".deb") ||
        (version && !is_version(e->d_name, version)) || (best && !is_later(e->d_name, best)))
      continue;
    free(best);
    best = dg_strdup(e->d_name);
  }
  if (d) closedir(d);
  return best;
}

/* --- licences ------------------------------------------------------------------------------ */

typedef struct name {
  const char *text; /* in the copyright file */
  size_t length;
} name;

typedef struct names {
  name *items; /* each once, in the order they were met */
  size_t count, capacity;
} names;

static void add_name(names *all, const char *text, size_t length) {
  if (!length) return;
  for (size_t i = 0; i < all->count; i++)
    if (all->items[i].length == length && !memcmp(all->items[i].text, text, length)) return;
  DG_GROW(all->items, all->capacity, all->count + 1);
  all->items[all->count++] = (name){text, length};
}

/* What a machine-readable copyright file says in "License:" fields. */
static void licence_fields(const char *text, const char *end, names *out) {
  static const char field[] = "License:";
  for (const char *p = text, *next; p < end; p = next) {
    const char *newline = memchr(p, '\n', (size_t)(end - p));
    next = newline ? newline + 1 : end;
    size_t length = (size_t)((newline ? newline : end) - p), skip = sizeof field - 1;
    if (length < skip || strncasecmp(p, field, skip)) continue;
    while (skip < length && strchr(" \t", p[skip])) skip++;
    while (length > skip && strchr(" \t\r", p[length - 1])) length--;
    add_name(out, p + skip, length - skip);
  }
}

/* Which of Debian's copies of the common licences any other names. */
static void common_licences(const char *text, const char *end, names *out) {
  static const char common[] = "/usr/share/common-licenses/";
  for (const char *p = text; (p = memmem(p, (size_t)(end - p), common, sizeof common - 1));) {
    size_t length = 0;
    p += sizeof common - 1;
    while (p + length < end && (isalnum((unsigned char)p[length]) || strchr("-.+", p[length])))
      length++;
    while (length && p[length - 1] == '.') length--;
    add_name(out, p, length);
  }
}

/* UTF-8 without control characters. */
static bool is_plain(const char *text, size_t n) {
  for (size_t i = 0; i < n; i++)
    if ((unsigned char)text[i] < ' ' || text[i] == 0x7f) return false;
  return dg_utf8_valid_prefix(text, n) == n;
}

char *dg_as_column(const char *text) {
  char *column = dg_utf8_repair(text);
  for (char *s = column; *s; s++)
    if ((unsigned char)*s < ' ' || *s == 0x7f) *s = ' ';
  return column;
}

/* The column of a corpus: the names that fit and are no part of those before. */
static void brief_licence(const names *all, char out[DG_BRIEF_LICENCE]) {
  size_t n = 0;
  for (size_t i = 0; i < all->count; i++) {
    const name *x = &all->items[i];
    if (x->length > 40 || !is_plain(x->text, x->length) ||
        (n && memmem(out, n, x->text, x->length)))
      continue;
    if (n + x->length + 3 >= DG_BRIEF_LICENCE) break;
    n += (size_t)snprintf(out + n, DG_BRIEF_LICENCE - n, "%s%.*s", n ? ", " : "", (int)x->length,
                          x->text);
  }
  out[n] = 0;
}

/* All of them, on one line, whatever the encoding. */
static char *whole_licence(const names *all) {
  dg_strbuf b = {0};
  for (size_t i = 0; i < all->count; i++) {
    if (i) dg_strbuf_add(&b, ", ");
    dg_strbuf_addn(&b, all->items[i].text, all->items[i].length);
  }
  for (size_t i = 0; i < b.length; i++)
    if (!b.text[i]) b.text[i] = ' ';
  char *whole = dg_as_column(b.text);
  free(b.text);
  return whole;
}

/* Links of a package lead nowhere else. */
static bool is_inside(const char *root, const char *path) {
  char *whole = realpath(root, NULL), *real = realpath(path, NULL);
  size_t n = whole ? strlen(whole) : 0;
  bool inside = whole && real && !strncmp(real, whole, n) && real[n] == '/';
  free(whole);
  free(real);
  return inside;
}

static void licence_of(const char *root, const char *package, dg_archive *a) {
  static const char unknown[] = "see copyright file";
  char *path = dg_format("%s/usr/share/doc/%s/copyright", root, package);
  dg_mapping map = {NULL, 0};
  names fields = {0}, common = {0};
  if (is_inside(root, path) && dg_map(path, &map, NULL)) {
    const char *text = (const char *)map.data, *end = text + map.size;
    licence_fields(text, end, &fields);
    common_licences(text, end, &common);
  }
  brief_licence(&fields, a->brief);
  if (!*a->brief) brief_licence(&common, a->brief);
  if (!*a->brief) snprintf(a->brief, DG_BRIEF_LICENCE, "%s", unknown);
  const names *all = fields.count ? &fields : &common;
  a->licence = all->count ? whole_licence(all) : dg_strdup(unknown);
  free(fields.items);
  free(common.items);
  dg_unmap(&map);
  free(path);
}

bool dg_is_package(const char *s) {
  size_t n = 0;
  while (isalnum((unsigned char)s[n]) || (n && s[n] && strchr("+-.", s[n]))) n++;
  return n && !s[n];
}

static void archive_hash(const char *path, char out[DG_HASH_TEXT]) {
  dg_mapping map;
  out[0] = 0;
  if (!dg_map(path, &map, NULL)) return;
  dg_hash_bytes(map.data, map.size, out);
  dg_unmap(&map);
}

/* --- unpacking ----------------------------------------------------------------------------- */

/* A package's archive, from the cache or downloaded; NULL when it cannot be had. */
static char *fetch(const char *cache, const char *package, const char *version) {
  char *file = cached(cache, package, version);
  if (file) return file;
  char *wanted = version ? dg_format("%s=%s", package, version) : dg_strdup(package);
  run(cache, (const char *[]){"apt-get", "download", "-q", "--", wanted, NULL});
  free(wanted);
  return cached(cache, package, version);
}

bool dg_make_root(const char *root) {
  dg_remove_root(root);
  return !mkdir(root, 0777);
}

void dg_remove_root(const char *root) { run("/", (const char *[]){"rm", "-rf", root, NULL}); }

static void identify(dg_archive *a, const char *package, const char *root) {
  version_of(a->file, a->version);
  licence_of(root, package, a);
  char *link = dg_format("%s/usr/share/doc/%s", root, package);
  ssize_t n = readlink(link, a->papers, sizeof a->papers - 1);
  a->papers[n > 0 ? n : 0] = 0;
  if (!dg_is_package(a->papers)) *a->papers = 0;
  free(link);
}

bool dg_archive_unpack(dg_archive *a, const char *cache, const char *package,
                       const dg_origin *origin, const char *root) {
  *a = (dg_archive){.file = fetch(cache, package, origin ? origin->version : NULL)};
  if (!a->file) return false;
  char *path = dg_format("%s/%s", cache, a->file);
  archive_hash(path, a->hash);
  a->differs = origin && strcmp(a->hash, origin->hash);
  a->unpacked = !a->differs && run("/", (const char *[]){"dpkg-deb", "-x", path, root, NULL});
  if (a->unpacked) identify(a, package, root);
  free(path);
  return a->unpacked;
}

void dg_archive_take_licence(dg_archive *a, const dg_archive *papers) {
  free(a->licence);
  a->licence = dg_strdup(papers->licence);
  memcpy(a->brief, papers->brief, sizeof a->brief);
}

void dg_archive_free(dg_archive *a) {
  free(a->file);
  free(a->licence);
}
