#include "mt/model/weights.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "mt/core/file.h"
#include "mt/core/mem.h"
#include "mt/core/utf8.h"

const char *const dg_storage_names[] = {"fp32", "bf16", "int8", NULL};

bool dg_storage_find(const char *name, dg_storage *out) {
  for (int i = 0; dg_storage_names[i]; i++)
    if (!strcmp(dg_storage_names[i], name)) {
      *out = (dg_storage)i;
      return true;
    }
  return false;
}

static const char version[] = "1";
enum { LANGUAGES_MOST = 4096, PART = 1 << 18 /* floats */ };

static uint16_t to_bf16(float x) { /* nearest even; a finite x stays finite */
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  uint32_t rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
  if ((rounded & 0x7F80) == 0x7F80) rounded--;
  return (uint16_t)rounded;
}

/* Small and delicate: vectors, biases by distance, tags of new languages. */
static bool stays_fp32(const dg_tensor *t) {
  return t->rows == 1 || dg_ends_with(t->name, ".relative") || !strcmp(t->name, "extra");
}

static const float *first_non_finite(const float *x, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (!isfinite(x[i])) return x + i;
  return NULL;
}

/* Row by row q = round(127 x / max|x|). */
static void quantize_row(const float *x, size_t n, int8_t *q, float *scale) {
  float top = 0;
  for (size_t i = 0; i < n; i++) top = fmaxf(top, fabsf(x[i]));
  *scale = top / 127;
  if (*scale * 127 > FLT_MAX) *scale = nextafterf(*scale, 0);
  if (*scale < FLT_MIN) *scale = 0; /* below it the quotient is no longer exact enough */
  for (size_t i = 0; i < n; i++) q[i] = (int8_t)(*scale > 0 ? lrintf(x[i] / *scale) : 0);
}

static void scale_name(const dg_tensor *t, char out[sizeof t->name + 8]) {
  snprintf(out, sizeof t->name + 8, "%s.scale", t->name);
}

static void declare(dg_st_writer *w, const dg_tensor *t, dg_storage storage) {
  const size_t shape[2] = {t->rows, t->cols};
  bool vector = t->rows == 1;
  if (storage == DG_STORE_FP32 || stays_fp32(t)) {
    dg_st_writer_add(w, t->name, DG_F32, vector ? 1 : 2, vector ? &shape[1] : shape, NULL);
  } else if (storage == DG_STORE_BF16) {
    dg_st_writer_add(w, t->name, DG_BF16_T, 2, shape, NULL);
  } else {
    char name[sizeof t->name + 8];
    scale_name(t, name);
    dg_st_writer_add(w, t->name, DG_I8, 2, shape, NULL);
    dg_st_writer_add(w, name, DG_F32, 1, &t->rows, NULL);
  }
}

/* Some rows in their stored form. `packed` has room for them as floats. */
static bool put_rows(dg_st_writer *w, const dg_tensor *t, dg_storage storage, size_t first,
                     size_t count, const float *x, void *packed, float *scales, dg_error *err) {
  size_t n = count * t->cols, at = first * t->cols;
  if (first_non_finite(x, n))
    return dg_fail(err, DG_ERR_UNSUPPORTED,
                   "tensor %s holds a NaN or infinity (a training that diverged, or damage): "
                   "nothing was written",
                   t->name);
  if (storage == DG_STORE_FP32 || stays_fp32(t))
    return dg_st_writer_put(w, t->name, 4 * at, x, 4 * n, err);
  if (storage == DG_STORE_BF16) {
    uint16_t *out = packed;
    for (size_t i = 0; i < n; i++) out[i] = to_bf16(x[i]);
    return dg_st_writer_put(w, t->name, 2 * at, out, 2 * n, err);
  }
  char name[sizeof t->name + 8];
  scale_name(t, name);
  int8_t *out = packed;
  for (size_t r = 0; r < count; r++)
    quantize_row(x + r * t->cols, t->cols, out + r * t->cols, &scales[r]);
  return dg_st_writer_put(w, t->name, at, out, n, err) &&
         dg_st_writer_put(w, name, 4 * first, scales, 4 * count, err);
}

static bool put_tensor(dg_st_writer *w, const dg_tensor *t, dg_storage storage, dg_rows_fn *rows,
                       void *context, dg_error *err) {
  size_t most = t->cols < PART ? PART / t->cols : 1;
  if (most > t->rows) most = t->rows;
  float *x = dg_malloc(most * t->cols * sizeof *x), *scales = dg_malloc(most * sizeof *scales);
  void *packed = dg_malloc(most * t->cols * sizeof *x);
  bool ok = true;
  for (size_t first = 0, n; first < t->rows && ok; first += n) {
    n = t->rows - first < most ? t->rows - first : most;
    ok = rows(context, t, first, n, x, err) &&
         put_rows(w, t, storage, first, n, x, packed, scales, err);
  }
  free(x);
  free(scales);
  free(packed);
  return ok;
}

bool dg_weights_in_memory(void *context, const dg_tensor *t, size_t first, size_t count,
                          float *out, dg_error *err) {
  (void)context, (void)err;
  dg_matrix m = {.block = {t->held}};
  dg_matrix_rows(&m, t->cols, first, count, out);
  return true;
}

bool dg_weights_write(dg_st_writer *w, const dg_params *p, dg_rows_fn *rows, void *context,
                      const char *path, dg_storage storage, char hash[DG_HASH_TEXT],
                      dg_error *err) {
  for (size_t i = 0; i < p->count; i++) declare(w, &p->tensors[i], storage);
  if (!dg_st_writer_begin(w, path, err)) return false;
  for (size_t i = 0; i < p->count; i++)
    if (!put_tensor(w, &p->tensors[i], storage, rows, context, err))
      return dg_error_context(err, "%s", path);
  return dg_st_writer_commit(w, hash, err);
}

static bool bad_tensor(const char *name, const char *what, dg_error *err) {
  return dg_fail(err, DG_ERR_FORMAT, "tensor %s %s", name, what);
}

static bool bad_shape(const dg_tensor *want, const dg_st_tensor *found, dg_error *err) {
  dg_strbuf shape = {0};
  dg_strbuf_add(&shape, found->dims ? "" : "a single number");
  for (size_t i = 0; i < found->dims; i++)
    dg_strbuf_addf(&shape, "%s%zu", i ? " x " : "", found->shape[i]);
  dg_fail(err, DG_ERR_FORMAT, "tensor %s is %s, not %zu x %zu as the configuration says",
          want->name, shape.text, want->rows, want->cols);
  free(shape.text);
  return false;
}

static bool check_finite(const dg_tensor *t, const dg_matrix *m, dg_error *err) {
  bool integers = m->block[0].type == DG_STORE_INT8; /* then a row's scale tells */
  size_t rows = integers ? 1 : t->rows, cols = integers ? t->rows : t->cols;
  dg_matrix looked = integers ? dg_matrix_fp32(m->block[0].scale) : *m;
  float *row = dg_malloc(cols * sizeof *row);
  const float *bad = NULL;
  size_t r = 0;
  for (; r < rows && !bad; r++) {
    dg_matrix_rows(&looked, cols, r, 1, row);
    for (size_t c = 0; integers && c < cols; c++) row[c] *= 128; /* the largest that a file may hold */
    bad = first_non_finite(row, cols);
  }
  size_t at = bad ? (r - 1) * cols + (size_t)(bad - row) : 0;
  free(row);
  return !bad || dg_fail(err, DG_ERR_FORMAT, "tensor %s holds a NaN or infinity at element %zu",
                         t->name, integers ? at * t->cols : at);
}

static bool find_tensor(const dg_safetensors *s, dg_tensor *t, dg_error *err) {
  const dg_st_tensor *x = dg_safetensors_find(s, t->name);
  if (!x) return bad_tensor(t->name, "is missing", err);
  bool vector = x->dims == 1 && t->rows == 1 && x->shape[0] == t->cols;
  bool matrix = x->dims == 2 && x->shape[0] == t->rows && x->shape[1] == t->cols;
  if (!vector && !matrix) return bad_shape(t, x, err);
  dg_matrix m = {.block = {{.data = x->data}}};
  switch (x->dtype) {
    case DG_F32: m.block[0].type = DG_STORE_FP32; break;
    case DG_BF16_T: m.block[0].type = DG_STORE_BF16; break;
    case DG_I8: {
      char name[sizeof t->name + 8];
      scale_name(t, name);
      const dg_st_tensor *scale = dg_safetensors_find(s, name);
      if (!scale || scale->dtype != DG_F32 || scale->dims != 1 || scale->shape[0] != t->rows)
        return bad_tensor(name, "is missing or not one F32 a row", err);
      m.block[0].type = DG_STORE_INT8;
      m.block[0].scale = scale->data;
      break;
    }
    default:
      return dg_fail(err, DG_ERR_FORMAT, "tensor %s has type %s; weights are F32, BF16 or I8",
                     t->name, dg_dtype_name(x->dtype));
  }
  t->held = m.block[0];
  return check_finite(t, &m, err);
}

bool dg_weights_find(const dg_safetensors *s, dg_params *p, dg_error *err) {
  for (size_t i = 0; i < p->count; i++)
    if (!find_tensor(s, &p->tensors[i], err)) return false;
  return true;
}

bool dg_weights_read(const dg_safetensors *s, dg_params *p, dg_error *err) {
  for (size_t i = 0; i < p->count; i++) {
    dg_tensor *t = &p->tensors[i];
    bool ok = find_tensor(s, t, err);
    dg_matrix m = {.block = {t->held}};
    if (ok) dg_matrix_rows(&m, t->cols, 0, t->rows, t->value);
    t->held = dg_matrix_fp32(t->value).block[0];
    if (!ok) return false;
  }
  return true;
}

json_t *dg_weights_json(const dg_safetensors *s, const char *key, json_type type, dg_error *err) {
  const char *text = dg_safetensors_metadata(s, key);
  json_t *j = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
  if (j && json_typeof(j) == type) return j;
  json_decref(j);
  dg_fail(err, DG_ERR_FORMAT, "metadata \"%s\" is missing or damaged", key);
  return NULL;
}

json_t *dg_card_file(const char *path) {
  const char *slash = strrchr(path, '/');
  char *name = dg_utf8_repair(slash && slash[1] ? slash + 1 : path);
  json_t *j = json_string(name);
  free(name);
  return j;
}

void dg_weights_add_json(dg_st_writer *w, const char *key, const json_t *j) {
  char *text = json_dumps(j, JSON_COMPACT);
  dg_st_writer_metadata(w, key, text ? text : "null");
  free(text);
}

static const char *const side_names[] = {"both", "source", "target"};

void dg_weights_add_languages(dg_st_writer *w, const dg_language *languages, size_t count) {
  json_t *list = json_array();
  for (size_t i = 0; i < count; i++) json_array_append_new(list, json_string(languages[i].code));
  dg_weights_add_json(w, "languages", list);
  json_decref(list);
  json_t *sides = json_object(); /* of languages that may not stand on both */
  for (size_t i = 0; i < count; i++)
    if (languages[i].side != DG_SIDE_BOTH)
      json_object_set_new(sides, languages[i].code, json_string(side_names[languages[i].side]));
  if (json_object_size(sides)) dg_weights_add_json(w, "sides", sides);
  json_decref(sides);
}

bool dg_weights_check(const dg_safetensors *s, const char *format, const char *what,
                      dg_error *err) {
  const char *found = dg_safetensors_metadata(s, "format");
  const char *found_version = dg_safetensors_metadata(s, "version");
  if (!found || strcmp(found, format))
    return dg_fail(err, DG_ERR_FORMAT, "not %s but %.40s: `dragoman info` tells more", what,
                   found ? found : "some other safetensors file");
  if (!found_version || strcmp(found_version, version))
    return dg_fail(err, DG_ERR_UNSUPPORTED, "format version %.20s; this program reads version %s",
                   found_version ? found_version : "unstated", version);
  return true;
}

void dg_weights_blame(dg_error *err, const char *path) {
  if (err && err->status == DG_ERR_USAGE) err->status = DG_ERR_FORMAT;
  dg_error_context(err, "%s", path);
}

void dg_weights_begin(dg_st_writer *w, const char *format) {
  dg_st_writer_metadata(w, "format", format);
  dg_st_writer_metadata(w, "version", version);
}

bool dg_weights_missing(const char *name, dg_error *err) {
  return bad_tensor(name, "is missing", err);
}

static bool read_side(const json_t *side, dg_side *out) {
  const char *name = side ? json_string_value(side) : side_names[DG_SIDE_BOTH];
  for (int i = 0; name && i < 3; i++)
    if (!strcmp(name, side_names[i])) {
      *out = (dg_side)i;
      return true;
    }
  return false;
}

dg_language *dg_weights_languages(const dg_safetensors *s, size_t *count, dg_error *err) {
  json_t *list = dg_weights_json(s, "languages", JSON_ARRAY, err), *sides = NULL;
  if (!list) return NULL;
  size_t read = 0;
  *count = json_array_size(list);
  bool ok = *count <= LANGUAGES_MOST;
  if (dg_safetensors_metadata(s, "sides"))
    ok = (sides = dg_weights_json(s, "sides", JSON_OBJECT, NULL)) && ok;
  dg_language *languages = dg_calloc(*count + 1, sizeof *languages);
  for (size_t i = 0; i < *count && ok; i++) {
    const char *code = json_string_value(json_array_get(list, i));
    if (!code || !read_side(json_object_get(sides, code), &languages[i].side)) ok = false;
    else if (!dg_lang_canonical(code, languages[i].code, err)) break;
    else read++;
  }
  if (!ok) dg_fail(err, DG_ERR_FORMAT, "its list of languages is damaged");
  ok = ok && read == *count;
  json_decref(list);
  json_decref(sides);
  if (ok) return languages;
  free(languages);
  return NULL;
}
