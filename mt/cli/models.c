#include "mt/cli/models.h"

#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mt/core/file.h"
#include "mt/core/mem.h"

static bool is_file(const char *path) {
  struct stat st;
  return !stat(path, &st) && S_ISREG(st.st_mode);
}

static char *existing(char *path) {
  if (is_file(path)) return path;
  free(path);
  return NULL;
}

char *dg_find_model(const char *name, dg_error *err) {
  if (is_file(name) || strchr(name, '/')) return dg_strdup(name);
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

static bool stack(dg_loaded *l, const dg_model_choice *c, const char *path, dg_error *err) {
  if (!dg_cli_spares(c->output, path, err) ||
      !dg_adapter_stacked_add(&l->adapters, path, l->base, err))
    return false;
  dg_strbuf_addf(&l->adapter_paths, "%s%s", l->adapters.count > 1 ? " + " : "", path);
  return true;
}

/* Without -a, SRC-TGT.safetensors beside the base is what the pair's adapter is called. */
static bool stack_beside(dg_loaded *l, const dg_model_choice *c, const dg_cli *cli, dg_error *err) {
  char source[DG_LANG_MAX], target[DG_LANG_MAX];
  if (!dg_lang_canonical(c->source ? c->source : "en", source, err) ||
      !dg_lang_canonical(c->target, target, err))
    return false;
  const char *slash = strrchr(l->base_path, '/');
  char *path = existing(dg_format("%.*s%s-%s.safetensors",
                                  slash ? (int)(slash - l->base_path + 1) : 0, l->base_path, source,
                                  target));
  if (path && dg_same_file(path, l->base_path)) free(path), path = NULL;
  if (!path) return true;
  bool ok = stack(l, c, path, err);
  if (ok) dg_cli_say(cli, "dragoman: with the adapter %s (-a none: without)\n", path);
  else dg_error_context(err, "nobody named an adapter (-a none: without one), and this is beside the "
                             "base");
  free(path);
  return ok;
}

static bool stack_all(dg_loaded *l, const dg_model_choice *c, const dg_cli *cli, dg_error *err) {
  const dg_list *names = &c->adapters;
  if (!names->count) return !c->target || stack_beside(l, c, cli, err);
  if (names->count == 1 && !strcmp(names->items[0], "none")) return true;
  bool ok = true;
  for (size_t i = 0; ok && i < names->count; i++) {
    char *path = dg_find_model(names->items[i], err);
    ok = path && stack(l, c, path, err);
    free(path);
  }
  return ok;
}

static bool choose_pair(dg_loaded *l, const dg_model_choice *c, const dg_cli *cli, dg_error *err) {
  const dg_language_pair *pair = NULL;
  if (!dg_adapter_stacked_choose(&l->adapters, c->source, c->target, &pair, err)) return false;
  const char *source = c->source ? c->source : pair ? pair->source : "en";
  const char *target = c->target ? c->target : pair ? pair->target : NULL;
  if (!target) return dg_fail(err, DG_ERR_USAGE, "say with -t into which language");
  if (!dg_lang_canonical(source, l->source, err) || !dg_lang_canonical(target, l->target, err))
    return false;
  if (l->adapters.count && !dg_adapter_stacked_pair(&l->adapters, l->source, l->target)) {
    pair = &l->adapters.files[l->adapters.count - 1]->pairs[0];
    dg_cli_say(cli, "dragoman: warning: the adapter was trained for %s-%s, not %s-%s\n",
               pair->source, pair->target, l->source, l->target);
  }
  return true;
}

bool dg_loaded_open(dg_loaded *l, const dg_model_choice *c, const dg_cli *cli, dg_error *err) {
  *l = (dg_loaded){0};
  if (!(l->base_path = dg_find_model(c->base ? c->base : "base", err)) ||
      !dg_cli_spares(c->output, l->base_path, err) ||
      !(l->base = dg_base_load(l->base_path, err)) || !stack_all(l, c, cli, err) ||
      !choose_pair(l, c, cli, err))
    return false;
  l->threads = dg_threads_new(cli->threads);
  l->packed = dg_packed_model_new(l->base->model, DG_INT8, err);
  return l->packed != NULL;
}

void dg_loaded_free(dg_loaded *l) {
  dg_packed_model_free(l->packed);
  dg_threads_free(l->threads);
  dg_adapter_stacked_free(&l->adapters);
  dg_base_free(l->base);
  free(l->base_path);
  free(l->adapter_paths.text);
  *l = (dg_loaded){0};
}

dg_network dg_loaded_network(const dg_loaded *l, bool adapted) {
  dg_network n = {.model = l->base->model,
                  .packed = l->packed,
                  .threads = l->threads,
                  .precision = DG_INT8};
  if (adapted) dg_adapter_stacked_use(&l->adapters, &n);
  return n;
}

dg_base dg_loaded_base(const dg_loaded *l, bool adapted) {
  return adapted ? dg_adapter_stacked_base(&l->adapters, l->base, l->source, l->target) : *l->base;
}

bool dg_loaded_tags(const dg_loaded *l, int32_t *from, int32_t *to, dg_error *err) {
  char code[DG_LANG_MAX];
  return dg_adapter_stacked_tag(&l->adapters, l->base, l->source, DG_SIDE_SOURCE, code, from,
                                err) &&
         dg_adapter_stacked_tag(&l->adapters, l->base, l->target, DG_SIDE_TARGET, code, to, err);
}
