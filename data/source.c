#include "data/source.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "mt/core/mem.h"

const dg_source *const dg_sources[] = {&dg_source_mo,          &dg_source_mozilla,
                                       &dg_source_help,        &dg_source_libreoffice,
                                       &dg_source_man,         &dg_source_html,
                                       NULL};

const dg_source *dg_source_find(const char *name) {
  for (const dg_source *const *s = dg_sources; *s; s++)
    if (!strcmp((*s)->name, name)) return *s;
  return NULL;
}

static int by_name(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

enum { DEPTH_MOST = 40 };

typedef struct listing {
  char **paths;
  size_t count, capacity;
} listing;

static void add(listing *l, char *path) {
  DG_GROW(l->paths, l->capacity, l->count + 1);
  l->paths[l->count++] = path;
}

/* `inside` is the part of the path below the root, "" or ending in a slash. */
static void walk(listing *out, const char *root, const char *inside, int depth) {
  char *directory = dg_format("%s/%s", root, inside);
  listing names = {0};
  DIR *d = opendir(directory);
  struct dirent *e;
  while (d && (e = readdir(d)))
    if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) add(&names, dg_strdup(e->d_name));
  if (d) closedir(d);
  if (names.count) qsort(names.paths, names.count, sizeof *names.paths, by_name);
  for (size_t i = 0; i < names.count; i++) {
    char *path = dg_format("%s%s", directory, names.paths[i]);
    struct stat s;
    bool there = !lstat(path, &s);
    if (there && S_ISREG(s.st_mode)) add(out, dg_format("%s%s", inside, names.paths[i]));
    if (there && S_ISDIR(s.st_mode) && depth < DEPTH_MOST) {
      char *below = dg_format("%s%s/", inside, names.paths[i]);
      walk(out, root, below, depth + 1);
      free(below);
    }
    free(path);
  }
  dg_free_files(names.paths, names.count);
  free(directory);
}

char **dg_list_files(const char *directory, size_t *count) {
  listing l = {0};
  walk(&l, directory, "", 0);
  *count = l.count;
  return l.paths;
}

void dg_free_files(char **paths, size_t count) {
  for (size_t i = 0; i < count; i++) free(paths[i]);
  free(paths);
}
