#include "mt/model/adapter_file.h"

#include <stdlib.h>
#include <string.h>

#include "mt/core/mem.h"

static bool read_width(const char *text, size_t *width) {
  char *end;
  long w = strtol(text, &end, 10);
  *width = (size_t)w;
  return w > 0 && !*end;
}

static bool read_adapter(const dg_safetensors *s, const dg_base *base, dg_adapter_file *f,
                         dg_error *err) {
  const char *width_text = dg_safetensors_metadata(s, "width");
  const char *source = dg_safetensors_metadata(s, "source");
  const char *target = dg_safetensors_metadata(s, "target");
  size_t width;
  if (!width_text || !source || !target || !read_width(width_text, &width))
    return dg_fail(err, DG_ERR_FORMAT, "its metadata is incomplete");
  f->card = dg_weights_json(s, "card", JSON_OBJECT, err);
  json_t *languages = f->card ? dg_weights_json(s, "languages", JSON_ARRAY, err) : NULL;
  const char **codes = languages ? dg_weights_codes(languages, &f->language_count, err) : NULL;
  bool ok = codes && dg_lang_canonical(source, f->source, err) &&
            dg_lang_canonical(target, f->target, err);
  f->languages = dg_calloc(f->language_count + 1, sizeof *f->languages);
  for (size_t i = 0; ok && i < f->language_count; i++) {
    f->languages[i].tag = base->model->config.vocab_size + (int32_t)i;
    ok = dg_lang_canonical(codes[i], f->languages[i].code, err);
  }
  if (ok) {
    f->adapter = dg_adapter_new(&base->model->config, width, f->language_count, err);
    ok = f->adapter && dg_weights_read(s, &f->adapter->params, err);
  }
  free(codes);
  json_decref(languages);
  return ok;
}

dg_adapter_file *dg_adapter_file_load(const char *path, const dg_base *base, dg_error *err) {
  dg_safetensors *s = dg_safetensors_open(path, false, err);
  if (!s) return NULL;
  dg_adapter_file *f = dg_calloc(1, sizeof *f);
  const char *made_for = dg_safetensors_metadata(s, "base_hash");
  bool ok = dg_weights_check(s, "dragoman.adapter", "an adapter", err);
  if (ok && !made_for) ok = dg_fail(err, DG_ERR_FORMAT, "its metadata is incomplete");
  if (ok && strcmp(made_for, base->hash)) {
    ok = dg_fail(err, DG_ERR_USAGE,
                 "%s was trained on the base %.32s, not on this one, %s: name its own base, or "
                 "train it again",
                 path, made_for, base->hash);
  } else {
    ok = ok && read_adapter(s, base, f, err);
    if (!ok) dg_weights_blame(err, path);
  }
  if (ok) {
    memcpy(f->base_hash, base->hash, sizeof f->base_hash);
    memcpy(f->hash, dg_safetensors_hash(s), sizeof f->hash);
  } else {
    dg_adapter_file_free(f);
    f = NULL;
  }
  dg_safetensors_close(s);
  return f;
}

bool dg_adapter_file_save(const dg_adapter_file *f, const char *path, dg_storage storage,
                          char hash[DG_HASH_TEXT], dg_error *err) {
  dg_st_writer *w = dg_st_writer_new();
  char width[24];
  snprintf(width, sizeof width, "%zu", f->adapter->width);
  dg_weights_begin(w, "dragoman.adapter");
  dg_st_writer_metadata(w, "base_hash", f->base_hash);
  dg_st_writer_metadata(w, "width", width);
  dg_st_writer_metadata(w, "source", f->source);
  dg_st_writer_metadata(w, "target", f->target);
  dg_weights_add_languages(w, f->languages, f->language_count);
  dg_weights_add_json(w, "card", f->card);
  bool ok = dg_weights_write(w, &f->adapter->params, dg_weights_in_memory, NULL, path, storage,
                             hash, err);
  dg_st_writer_free(w);
  return ok;
}

void dg_adapter_file_free(dg_adapter_file *f) {
  if (!f) return;
  dg_adapter_free(f->adapter);
  free(f->languages);
  json_decref(f->card);
  free(f);
}
