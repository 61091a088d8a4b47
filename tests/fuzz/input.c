#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "mt/core/file.h"
#include "mt/core/mem.h"
#include "mt/import/import.h"
#include "tests/fuzz/fuzz.h"

static void remove_directory(void) {
  char command[300];
  snprintf(command, sizeof command, "rm -rf '%s'", fuzz_directory());
  if (system(command)) perror(command);
}

const char *fuzz_directory(void) {
  static char directory[256];
  if (!*directory) {
    const char *tmp = getenv("TMPDIR");
    snprintf(directory, sizeof directory, "%s/fuzz-XXXXXX", tmp ? tmp : "/dev/shm");
    if (!mkdtemp(directory)) abort();
    atexit(remove_directory);
  }
  return directory;
}

const char *fuzz_file(const char *name, const uint8_t *data, size_t size) {
  static char path[400];
  snprintf(path, sizeof path, "%s/%s", fuzz_directory(), name);
  FILE *f = fopen(path, "wb");
  if (!f || fwrite(data, 1, size, f) != size || fclose(f)) abort();
  return path;
}

void fuzz_copy(const char *from, const char *name) {
  dg_mapping map;
  if (!dg_map(from, &map, NULL)) abort();
  fuzz_file(name, map.data, map.size);
  dg_unmap(&map);
}

static bool at_once(void *context) {
  (void)context;
  return true;
}

void fuzz_import(const char *path, bool weights) {
  char base[300];
  snprintf(base, sizeof base, "%s/base", fuzz_directory());
  const dg_import_options o = {.source = "en", .target = "gl", .stop = weights ? NULL : at_once};
  dg_error err;
  dg_import_report report;
  if (dg_import(path, base, &o, &report, &err)) remove(base);
}
