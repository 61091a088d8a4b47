/* CTranslate2 directories and Argos packages. */
#include <stdlib.h>
#include <string.h>

#include "mt/core/mem.h"
#include "mt/import/ct2_model.h"

static void close_model(void *context) {
  dg_ct2_model *m = context;
  dg_ct2_close(m->ct2);
  dg_package_close(m->package);
  json_decref(m->config);
  free(m);
}

static char *in_folder(const dg_ct2_model *m, const char *name) {
  return dg_format("%s%s", m->folder, name);
}

static bool read_json(const dg_ct2_model *m, const char *name, json_t **out, dg_error *err) {
  dg_mapping map;
  if (!dg_package_map(m->package, name, &map, err)) return false;
  json_error_t where;
  *out = json_loadb((const char *)map.data, map.size, 0, &where);
  if (json_is_object(*out)) return true;
  char *path = dg_package_path(m->package, name);
  dg_fail(err, DG_ERR_FORMAT, "%s: %s", path, *out ? "no object" : where.text);
  free(path);
  return false;
}

static bool read_binary(dg_ct2_model *m, dg_error *err) {
  char *file = in_folder(m, "model.bin"), *config = in_folder(m, "config.json");
  dg_mapping map;
  bool ok = dg_package_map(m->package, file, &map, err);
  if (ok) {
    char *path = dg_package_path(m->package, file);
    ok = (m->ct2 = dg_ct2_open(map.data, map.size, err)) && dg_ct2_check(m->ct2, dg_ct2_known, err);
    if (ok && dg_ct2_version(m->ct2) >= 6) ok = read_json(m, config, &m->config, err);
    ok = ok && dg_ct2_shape(m, err);
    if (!ok) dg_error_context(err, "%s", path);
    free(path);
  }
  free(file);
  free(config);
  return ok;
}

bool dg_source_ctranslate2(dg_source *s, const char *path, const dg_import_options *o,
                           dg_error *err) {
  dg_ct2_model *m = dg_calloc(1, sizeof *m);
  s->weights = m, s->rows = dg_ct2_weights, s->close = close_model;
  m->package = dg_package_open(path, "metadata.json", err);
  if (!m->package) return false;
  bool argos = dg_package_has(m->package, "metadata.json") &&
               dg_package_has(m->package, "model/model.bin");
  m->folder = argos ? "model/" : "";
  s->format = argos ? "argos" : "ctranslate2";
  json_t *metadata = NULL;
  bool ok = (!argos || read_json(m, "metadata.json", &metadata, err)) && read_binary(m, err);
  const char *prefix = json_string_value(json_object_get(metadata, "target_prefix"));
  if (ok && prefix && *prefix)
    ok = dg_fail(err, DG_ERR_UNSUPPORTED, "\"target_prefix\": \"%.40s\": packages with one are not "
                 "imported", prefix);
  s->config.model = m->shape;
  ok = ok && dg_ct2_tokenizers(m, s, err) && dg_model_config_check(&s->config.model, err);
  if (ok && s->languages.count < 2 && s->config.family != DG_FAMILY_MARIAN &&
      s->config.family != DG_FAMILY_T5)
    ok = dg_fail(err, DG_ERR_FORMAT, "its vocabulary has no language tags");
  ok = ok && dg_source_set_sides(s, o, json_string_value(json_object_get(metadata, "from_code")),
                                 json_string_value(json_object_get(metadata, "to_code")), err);
  if (!ok && err && !strstr(err->message, path)) dg_error_context(err, "%s", path);
  json_decref(metadata);
  return ok;
}
