#include "mt/cli/models.h"

#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mt/core/mem.h"

static char *existing(char *path) {
  if (!access(path, R_OK)) return path;
  free(path);
  return NULL;
}

char *dg_find_model(const char *name, dg_error *err) {
  if (!access(name, F_OK) || strchr(name, '/')) return dg_strdup(name);
  char program[PATH_MAX] = "", *places[3] = {NULL};
  size_t count = 0;
  const char *chosen = getenv("DRAGOMAN_MODELS");
  if (chosen && *chosen) places[count++] = dg_strdup(chosen);
  ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
  if (n > 0) {
    program[n] = 0;
    const char *home = dirname(program);
    places[count++] = dg_format("%s/../share/dragoman", home);
    places[count++] = dg_format("%s/../data/models", home);
  }
  static const char *const suffixes[] = {"", ".safetensors"};
  char *found = NULL;
  dg_strbuf list = {0};
  for (size_t i = 0; i < count; i++) {
    for (size_t k = 0; k < 2 && !found; k++)
      found = existing(dg_format("%s/%s%s", places[i], name, suffixes[k]));
    dg_strbuf_addf(&list, "%s%s", i ? ", " : "", places[i]);
    free(places[i]);
  }
  if (!found)
    dg_fail(err, DG_ERR_USAGE,
            "there is no model \"%s\" here or in %s: give its path, or set DRAGOMAN_MODELS", name,
            list.text ? list.text : "");
  free(list.text);
  return found;
}
