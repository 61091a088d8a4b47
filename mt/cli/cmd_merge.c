#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mt/cli/cli.h"
#include "mt/cli/models.h"
#include "mt/model/merge.h"

typedef struct merging {
  const char *base, *output;
  dg_list weights; /* as words */
  dg_storage storage;
  const dg_list *adapters;
} merging;

/* The file of a model that is read, so not the one to write. */
static char *find(const merging *m, const char *name, dg_error *err) {
  char *path = dg_find_model(name, err);
  if (path && dg_cli_spares(m->output, path, err)) return path;
  free(path);
  return NULL;
}

static bool merge(const merging *m, dg_error *err) {
  size_t count = m->adapters->count;
  dg_adapter_file **files = dg_calloc(count, sizeof *files);
  double *weights = dg_calloc(count, sizeof *weights);
  char *path = find(m, m->base, err);
  dg_base *base = path ? dg_base_load(path, err) : NULL;
  bool ok = base != NULL;
  free(path);
  for (size_t i = 0; ok && i < count; i++) {
    weights[i] = m->weights.count ? strtod(m->weights.items[i], NULL) : 1;
    path = find(m, m->adapters->items[i], err);
    ok = path && (files[i] = dg_adapter_file_load(path, base, err));
    free(path);
  }
  dg_adapter_file *mean = NULL;
  if (ok)
    mean = dg_adapter_merge((const dg_adapter_file *const *)files, m->adapters->items, weights,
                            count, err);
  ok = mean && dg_adapter_file_save(mean, m->output, m->storage, NULL, err);
  dg_adapter_file_free(mean);
  for (size_t i = 0; i < count; i++) dg_adapter_file_free(files[i]);
  dg_base_free(base);
  free(files);
  free(weights);
  return ok;
}

static int check(const dg_cli *c, merging *m, const char *storage) {
  if (m->adapters->count < 2) return dg_cli_usage(c, "name two adapters or more");
  if (!m->output) return dg_cli_usage(c, "say with -o where the mean goes");
  if (m->weights.count && m->weights.count != m->adapters->count)
    return dg_cli_usage(c, "%zu weights for %zu adapters", m->weights.count, m->adapters->count);
  for (size_t i = 0; i < m->weights.count; i++) {
    char *end;
    double x = strtod(m->weights.items[i], &end);
    if (end == m->weights.items[i] || *end || !(x > -1e9 && x < 1e9))
      return dg_cli_usage(c, "-w \"%s\" is not a number", m->weights.items[i]);
  }
  if (dg_storage_find(storage, &m->storage)) return DG_CLI_GO;
  return dg_cli_usage(c, "--storage is fp32, bf16 or int8, not \"%s\"", storage);
}

int dg_cmd_merge(int argc, char **argv) {
  merging m = {.base = "base"};
  const char *storage = "bf16";
  const dg_flag flags[] = {
      {"base", 'b', DG_FLAG_TEXT, &m.base, "BASE", "path or name of their base (base)"},
      {"weights", 'w', DG_FLAG_LIST, &m.weights, "X...",
       "of the adapters, in their order (all alike)"},
      {"output", 'o', DG_FLAG_TEXT, &m.output, "ADAPTER", "the mean to write"},
      {"storage", 0, DG_FLAG_TEXT, &storage, "TYPE", "of the file: fp32, bf16 or int8 (bf16)"},
      {NULL, 0, DG_FLAG_BOOL, NULL, NULL, NULL},
  };
  dg_cli cli = {
      .usage = "merge -b BASE ADAPTER ADAPTER... [-w X...] -o ADAPTER",
      .summary =
          "Averages adapters of one base and one declaration, tensor by tensor: runs with other\n"
          "seeds or data, or related languages as a beginning for a new one (`train --init`).\n"
          "Weights are divided by their sum.",
      .examples = "  dragoman merge -b base.safetensors 1.safetensors 2.safetensors -o gl.safetensors\n"
                  "  dragoman merge -b nllb.safetensors ast.safetensors an.safetensors -w 0.7 0.3 \\\n"
                  "      -o iberian.safetensors\n",
      .flags = flags,
      .no_json = true,
  };
  int code = dg_cli_parse(&cli, argc, argv);
  m.adapters = &cli.rest;
  if (code == DG_CLI_GO) code = check(&cli, &m, storage);
  if (code == DG_CLI_GO) {
    dg_error err;
    code = merge(&m, &err) ? DG_EXIT_OK : dg_cli_fail(&err);
  }
  dg_cli_free(&cli);
  return code;
}
