#include "mt/import/exchange.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mt/core/file.h"
#include "mt/core/mem.h"
#include "mt/core/utf8.h"
#include "mt/import/exchange_sites.h"

bool dg_exchange_family(const json_t *card, dg_family *out) {
  const char *name = json_string_value(json_object_get(card, "imported_from"));
  for (int i = DG_FAMILY_M2M100; name && i <= DG_FAMILY_T5; i++)
    if (!strcmp(dg_family_name((dg_family)i), name)) {
      *out = (dg_family)i;
      return true;
    }
  return false;
}

static json_t *load_config(const char *directory, dg_error *err) {
  char *path = dg_format("%s/adapter_config.json", directory);
  json_error_t where;
  json_t *j = json_load_file(path, JSON_REJECT_DUPLICATES, &where);
  if (!json_is_object(j)) {
    dg_fail(err, access(path, F_OK) ? DG_ERR_IO : DG_ERR_FORMAT, "%s: %s", path,
            j ? "no object" : where.text);
    json_decref(j);
    j = NULL;
  }
  free(path);
  return j;
}

dg_adapter *dg_exchange_read(const char *directory, dg_family family,
                             const dg_model_config *model, dg_error *err) {
  const dg_site_model m = {family, model};
  json_t *config = load_config(directory, err);
  dg_checkpoint *c = config ? dg_checkpoint_open_adapter(directory, err) : NULL;
  dg_adapter *a = NULL;
  if (c) {
    bool peft = json_object_get(config, "peft_type");
    a = peft ? dg_peft_read(&m, config, c, err) : dg_hub_read(&m, config, c, err);
    for (size_t i = 0; a && i < a->params.total; i++)
      if (!isfinite(a->params.values[i])) {
        dg_fail(err, DG_ERR_FORMAT, "its weights hold a NaN or infinity");
        dg_adapter_free(a);
        a = NULL;
      }
    if (!a) dg_error_context(err, "%s", directory);
  }
  dg_checkpoint_close(c);
  json_decref(config);
  return a;
}

static bool write_json(const char *path, const json_t *j, dg_error *err) {
  char *json = json_dumps(j, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
  char *text = dg_format("%s\n", json);
  bool ok = dg_output_whole(path, text, strlen(text), err);
  free(text);
  free(json);
  return ok;
}

bool dg_exchange_write(const dg_adapter *a, dg_family family, dg_exchange layout,
                       const char *base_name, const char *path, dg_error *err) {
  const dg_site_model m = {family, &a->model};
  bool peft = layout == DG_EXCHANGE_PEFT;
  const char *wanted = peft ? "lora" : "bottleneck";
  if (strcmp(a->config.method, wanted))
    return dg_fail(err, DG_ERR_UNSUPPORTED,
                   "the adapter's method is %s, and %s has a place for %s alone", a->config.method,
                   peft ? "PEFT" : "AdapterHub", wanted);
  if (a->config.new_pieces)
    return dg_fail(err, DG_ERR_UNSUPPORTED,
                   "the adapter has %d new pieces, which %s has no place for",
                   a->config.new_pieces, peft ? "PEFT" : "AdapterHub");
  if (a->config.embeddings)
    return dg_fail(err, DG_ERR_UNSUPPORTED,
                   "the adapter changes %d embeddings of the base, which %s has no place for",
                   a->config.embeddings, peft ? "PEFT" : "AdapterHub");
  if (a->extra_tokens)
    return dg_fail(err, DG_ERR_UNSUPPORTED,
                   "the adapter has %zu tokens of its own (a new language's tag), which %s has no "
                   "place for",
                   a->extra_tokens, peft ? "PEFT" : "AdapterHub");
  if (!access(path, F_OK))
    return dg_fail(err, DG_ERR_USAGE, "%s exists already: name a new directory", path);
  char *directory = dg_strdup(path);
  for (size_t n = strlen(directory); n > 1 && directory[n - 1] == '/'; n--) directory[n - 1] = 0;
  char *making = dg_format("%s.tmp-%ld", directory, (long)getpid());
  char *weights =
      dg_format("%s/%s", making, peft ? "adapter_model.safetensors" : "adapter.safetensors");
  char *settings = dg_format("%s/adapter_config.json", making);
  dg_st_writer *w = dg_st_writer_new();
  dg_st_writer_metadata(w, "format", "pt");
  char *base = dg_utf8_repair(base_name);
  json_t *config = peft ? dg_peft_write(&m, a, base, w) : dg_hub_write(&m, a, base, w);
  free(base);
  bool ok = !mkdir(making, 0777) || dg_fail_errno(err, "%s", making);
  ok = ok && dg_st_writer_write(w, weights, NULL, err) && write_json(settings, config, err);
  ok = ok && (!rename(making, directory) || dg_fail_errno(err, "%s", directory));
  if (!ok) {
    unlink(weights);
    unlink(settings);
    rmdir(making);
  }
  dg_st_writer_free(w);
  json_decref(config);
  free(directory);
  free(making);
  free(weights);
  free(settings);
  return ok;
}
