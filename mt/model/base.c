#include "mt/model/base.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "mt/core/mem.h"

static const char version[] = "1";
enum { LANGUAGES_MOST = 4096, POSITION_FLOATS_MOST = 1 << 28, PART = 1 << 18 /* floats */ };

/* --- tensors on disk ----------------------------------------------------------------- */

static uint16_t to_bf16(float x) { /* nearest even; a finite x stays finite */
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  uint32_t rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
  if ((rounded & 0x7F80) == 0x7F80) rounded--;
  return (uint16_t)rounded;
}

static float from_bf16(uint16_t h) {
  uint32_t bits = (uint32_t)h << 16;
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
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

static bool rows_in_memory(void *context, const dg_tensor *t, size_t first, size_t count,
                           float *out, dg_error *err) {
  (void)context, (void)err;
  memcpy(out, t->value + first * t->cols, count * t->cols * sizeof *out);
  return true;
}

static bool write_params(dg_st_writer *w, const dg_params *p, dg_rows_fn *rows, void *context,
                         const char *path, dg_storage storage, char hash[DG_HASH_TEXT],
                         dg_error *err) {
  for (size_t i = 0; i < p->count; i++) declare(w, &p->tensors[i], storage);
  if (!dg_st_writer_begin(w, path, err)) return false;
  for (size_t i = 0; i < p->count; i++)
    if (!put_tensor(w, &p->tensors[i], storage, rows, context, err))
      return dg_error_context(err, "%s", path);
  return dg_st_writer_commit(w, hash, err);
}

/* What follows says what is wrong with a file; dg_base_load and dg_adapter_file_load
 * put its name in front. */

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

static bool read_tensor(const dg_safetensors *s, dg_tensor *t, dg_error *err) {
  const dg_st_tensor *x = dg_safetensors_find(s, t->name);
  if (!x) return bad_tensor(t->name, "is missing", err);
  bool vector = x->dims == 1 && t->rows == 1 && x->shape[0] == t->cols;
  bool matrix = x->dims == 2 && x->shape[0] == t->rows && x->shape[1] == t->cols;
  if (!vector && !matrix) return bad_shape(t, x, err);
  size_t n = t->rows * t->cols;
  const uint8_t *raw = x->data;
  switch (x->dtype) {
    case DG_F32: memcpy(t->value, raw, n * sizeof(float)); break;
    case DG_BF16_T:
      for (size_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, raw + 2 * i, sizeof h);
        t->value[i] = from_bf16(h);
      }
      break;
    case DG_I8: {
      char name[sizeof t->name + 8];
      scale_name(t, name);
      const dg_st_tensor *scale = dg_safetensors_find(s, name);
      if (!scale || scale->dtype != DG_F32 || scale->dims != 1 || scale->shape[0] != t->rows)
        return bad_tensor(name, "is missing or not one F32 a row", err);
      for (size_t r = 0; r < t->rows; r++) {
        float k;
        memcpy(&k, (const uint8_t *)scale->data + 4 * r, sizeof k);
        for (size_t c = 0; c < t->cols; c++)
          t->value[r * t->cols + c] = k * (float)(int8_t)raw[r * t->cols + c];
      }
      break;
    }
    default:
      return dg_fail(err, DG_ERR_FORMAT, "tensor %s has type %s; weights are F32, BF16 or I8",
                     t->name, dg_dtype_name(x->dtype));
  }
  const float *bad = first_non_finite(t->value, n);
  if (bad)
    return dg_fail(err, DG_ERR_FORMAT, "tensor %s holds a NaN or infinity at element %zu", t->name,
                   (size_t)(bad - t->value));
  return true;
}

static bool read_params(const dg_safetensors *s, dg_params *p, dg_error *err) {
  for (size_t i = 0; i < p->count; i++)
    if (!read_tensor(s, &p->tensors[i], err)) return false;
  return true;
}

static json_t *read_json(const dg_safetensors *s, const char *key, json_type type, dg_error *err) {
  const char *text = dg_safetensors_metadata(s, key);
  json_t *j = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
  if (j && json_typeof(j) == type) return j;
  json_decref(j);
  dg_fail(err, DG_ERR_FORMAT, "metadata \"%s\" is missing or damaged", key);
  return NULL;
}

static void write_json(dg_st_writer *w, const char *key, const json_t *j) {
  char *text = json_dumps(j, JSON_COMPACT);
  dg_st_writer_metadata(w, key, text ? text : "null");
  free(text);
}

static void write_languages(dg_st_writer *w, const dg_language *languages, size_t count) {
  json_t *list = json_array();
  for (size_t i = 0; i < count; i++) json_array_append_new(list, json_string(languages[i].code));
  write_json(w, "languages", list);
  json_decref(list);
}

static bool check_format(const dg_safetensors *s, const char *format, const char *what,
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

/* Names the file; what the file said wrong is no mistake of the caller's. */
static void blame(dg_error *err, const char *path) {
  if (err && err->status == DG_ERR_USAGE) err->status = DG_ERR_FORMAT;
  dg_error_context(err, "%s", path);
}

/* --- bases ----------------------------------------------------------------------------- */

static void tag_piece(const dg_model_config *c, const char *code, char *out, size_t size) {
  const char *mark = strstr(c->tag_format, "%s");
  snprintf(out, size, "%.*s%s%s", (int)(mark - c->tag_format), c->tag_format, code, mark + 2);
}

static bool set_languages(dg_base *b, const char *const *codes, size_t count, dg_error *err) {
  b->languages = dg_calloc(count + 1, sizeof *b->languages);
  for (size_t i = 0; i < count; i++) {
    dg_language *l = &b->languages[b->language_count++];
    char piece[2 * DG_LANG_MAX];
    if (!dg_lang_canonical(codes[i], l->code, err)) return false;
    tag_piece(&b->model->config, l->code, piece, sizeof piece);
    l->tag = dg_tokenizer_id(b->tokenizer, piece);
    if (l->tag < 0 || l->tag >= b->model->config.vocab_size)
      return dg_fail(err, DG_ERR_FORMAT, "the tokenizer has no piece \"%s\" for language %s", piece,
                     l->code);
  }
  return true;
}

/* Every item of a format must be something the tokenizer knows. */
static bool check_items(const dg_base *b, const char *format, dg_error *err) {
  for (const char *p = format; *p;) {
    p += strspn(p, " ");
    size_t n = strcspn(p, " ");
    char item[DG_FORMAT_MAX];
    memcpy(item, p, n);
    item[n] = 0;
    p += n;
    if (!n || !strcmp(item, "X") || !strcmp(item, "<src>") || !strcmp(item, "<tgt>")) continue;
    if (dg_tokenizer_id(b->tokenizer, item) < 0)
      return dg_fail(err, DG_ERR_FORMAT, "the tokenizer has no piece \"%s\" of the format \"%s\"",
                     item, format);
  }
  return true;
}

dg_base *dg_base_new(dg_model *model, dg_tokenizer *tokenizer, const char *const *languages,
                     size_t language_count, json_t *card, dg_error *err) {
  dg_base *b = dg_calloc(1, sizeof *b);
  b->model = model;
  b->tokenizer = tokenizer;
  b->card = card ? card : json_object();
  bool ok = set_languages(b, languages, language_count, err) &&
            check_items(b, model->config.source_format, err) &&
            check_items(b, model->config.target_format, err);
  if (ok && dg_tokenizer_size(tokenizer) > model->config.vocab_size)
    ok = dg_fail(err, DG_ERR_FORMAT, "the tokenizer has %d pieces but the model's vocabulary %d",
                 dg_tokenizer_size(tokenizer), model->config.vocab_size);
  if (ok) return b;
  dg_base_free(b);
  return NULL;
}

void dg_base_free(dg_base *b) {
  if (!b) return;
  dg_model_free(b->model);
  dg_tokenizer_free(b->tokenizer);
  free(b->languages);
  json_decref(b->card);
  free(b);
}

bool dg_base_save(const dg_base *b, const char *path, dg_storage storage, char hash[DG_HASH_TEXT],
                  dg_error *err) {
  return dg_base_write(b, rows_in_memory, NULL, path, storage, hash, err);
}

bool dg_base_write(const dg_base *b, dg_rows_fn *rows, void *context, const char *path,
                   dg_storage storage, char hash[DG_HASH_TEXT], dg_error *err) {
  dg_st_writer *w = dg_st_writer_new();
  dg_st_writer_metadata(w, "format", "dragoman.base");
  dg_st_writer_metadata(w, "version", version);
  json_t *config = dg_options_to_json(dg_model_config_options, &b->model->config);
  write_json(w, "config", config);
  json_decref(config);
  write_languages(w, b->languages, b->language_count);
  write_json(w, "card", b->card);
  size_t size;
  const void *bytes = dg_tokenizer_bytes(b->tokenizer, &size);
  dg_st_writer_add(w, "tokenizer", DG_U8, 1, &size, bytes);
  bool ok = write_params(w, &b->model->params, rows, context, path, storage, hash, err);
  dg_st_writer_free(w);
  return ok;
}

/* Codes of a JSON array of strings; the array must outlive them. */
static const char **read_codes(const json_t *list, size_t *count, dg_error *err) {
  *count = json_array_size(list);
  bool ok = *count <= LANGUAGES_MOST;
  const char **codes = dg_calloc(*count + 1, sizeof *codes);
  for (size_t i = 0; i < *count && ok; i++)
    ok = (codes[i] = json_string_value(json_array_get(list, i))) != NULL;
  if (ok) return codes;
  free(codes);
  dg_fail(err, DG_ERR_FORMAT, "its list of languages is damaged");
  return NULL;
}

/* What the file holds bounds what its configuration may make us allocate. */
static bool plausible(const dg_safetensors *s, const dg_model_config *c, dg_error *err) {
  double bytes = 0, d = c->d_model, h = (double)c->heads * c->head_dim;
  for (size_t i = 0; i < dg_safetensors_count(s); i++)
    bytes += (double)dg_safetensors_at(s, i)->bytes;
  double layer = 4 * d * h + 2 * d * c->ffn_dim;
  double least = c->vocab_size * d + (c->encoder_layers + c->decoder_layers) * layer;
  if (least > bytes || c->max_positions * d > POSITION_FLOATS_MOST)
    return dg_fail(err, DG_ERR_FORMAT,
                   "its configuration asks for %.0f weights and %d positions; it holds %.0f bytes",
                   least, c->max_positions, bytes);
  return true;
}

static dg_base *read_base(const dg_safetensors *s, dg_error *err) {
  if (!check_format(s, "dragoman.base", "a base", err)) return NULL;
  dg_model *model = NULL;
  dg_tokenizer *tokenizer = NULL;
  dg_base *b = NULL;
  const char **codes = NULL;
  size_t count = 0;
  json_t *config = read_json(s, "config", JSON_OBJECT, err);
  json_t *languages = config ? read_json(s, "languages", JSON_ARRAY, err) : NULL;
  json_t *card = languages ? read_json(s, "card", JSON_OBJECT, err) : NULL;
  const dg_st_tensor *bytes = dg_safetensors_find(s, "tokenizer");
  dg_model_config c;
  if (!card || !dg_options_from_json(dg_model_config_options, &c, config, err) ||
      !dg_model_config_check(&c, err) || !plausible(s, &c, err))
    goto done;
  if (!bytes || bytes->dtype != DG_U8) {
    bad_tensor("tokenizer", "is missing", err);
    goto done;
  }
  if (!(codes = read_codes(languages, &count, err)) || !(model = dg_model_new(&c, err)) ||
      !read_params(s, &model->params, err) ||
      !(tokenizer = dg_tokenizer_load(bytes->data, bytes->bytes, err)))
    goto done;
  b = dg_base_new(model, tokenizer, codes, count, card, err);
  model = NULL, tokenizer = NULL, card = NULL;
  if (b) memcpy(b->hash, dg_safetensors_hash(s), sizeof b->hash);
done:
  free(codes);
  dg_model_free(model);
  dg_tokenizer_free(tokenizer);
  json_decref(config);
  json_decref(languages);
  json_decref(card);
  return b;
}

dg_base *dg_base_load(const char *path, dg_error *err) {
  dg_safetensors *s = dg_safetensors_open(path, false, err);
  if (!s) return NULL;
  dg_base *b = read_base(s, err);
  if (!b) blame(err, path);
  dg_safetensors_close(s);
  if (b && !dg_model_freeze(b->model, err)) {
    dg_base_free(b);
    b = NULL;
  }
  return b;
}

/* --- adapters --------------------------------------------------------------------------- */

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
  f->card = read_json(s, "card", JSON_OBJECT, err);
  json_t *languages = f->card ? read_json(s, "languages", JSON_ARRAY, err) : NULL;
  const char **codes = languages ? read_codes(languages, &f->language_count, err) : NULL;
  bool ok = codes && dg_lang_canonical(source, f->source, err) &&
            dg_lang_canonical(target, f->target, err);
  f->languages = dg_calloc(f->language_count + 1, sizeof *f->languages);
  for (size_t i = 0; ok && i < f->language_count; i++) {
    f->languages[i].tag = base->model->config.vocab_size + (int32_t)i;
    ok = dg_lang_canonical(codes[i], f->languages[i].code, err);
  }
  if (ok) {
    f->adapter = dg_adapter_new(&base->model->config, width, f->language_count, err);
    ok = f->adapter && read_params(s, &f->adapter->params, err);
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
  bool ok = check_format(s, "dragoman.adapter", "an adapter", err);
  if (ok && !made_for) ok = dg_fail(err, DG_ERR_FORMAT, "its metadata is incomplete");
  if (ok && strcmp(made_for, base->hash)) {
    ok = dg_fail(err, DG_ERR_USAGE,
                 "%s was trained on the base %.32s, not on this one, %s: name its own base, or "
                 "train it again",
                 path, made_for, base->hash);
  } else {
    ok = ok && read_adapter(s, base, f, err);
    if (!ok) blame(err, path);
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
  dg_st_writer_metadata(w, "format", "dragoman.adapter");
  dg_st_writer_metadata(w, "version", version);
  dg_st_writer_metadata(w, "base_hash", f->base_hash);
  dg_st_writer_metadata(w, "width", width);
  dg_st_writer_metadata(w, "source", f->source);
  dg_st_writer_metadata(w, "target", f->target);
  write_languages(w, f->languages, f->language_count);
  write_json(w, "card", f->card);
  bool ok = write_params(w, &f->adapter->params, rows_in_memory, NULL, path, storage, hash, err);
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

/* --- formats ----------------------------------------------------------------------------- */

static size_t format_ids(const dg_base *b, const char *format, int32_t source_tag,
                         int32_t target_tag, const int32_t *ids, size_t n, int32_t *out,
                         size_t capacity) {
  size_t count = 0, after = 0;
  const char *x = NULL;
  for (const char *p = format; *p;) { /* how much follows X must fit too */
    p += strspn(p, " ");
    size_t length = strcspn(p, " ");
    if (!length) break;
    if (length == 1 && *p == 'X') x = p;
    else if (x) after++;
    p += length;
  }
  for (const char *p = format; *p && count < capacity;) {
    p += strspn(p, " ");
    size_t length = strcspn(p, " ");
    if (!length) break;
    if (p == x) {
      if (!ids) return count;
      size_t room = capacity - count > after ? capacity - count - after : 0;
      if (n > room) n = room;
      memcpy(out + count, ids, n * sizeof *out);
      count += n;
    } else if (length == 5 && !strncmp(p, "<src>", 5)) {
      out[count++] = source_tag;
    } else if (length == 5 && !strncmp(p, "<tgt>", 5)) {
      out[count++] = target_tag;
    } else {
      char piece[DG_FORMAT_MAX];
      memcpy(piece, p, length);
      piece[length] = 0;
      out[count++] = dg_tokenizer_id(b->tokenizer, piece); /* there: dg_base_new looked */
    }
    p += length;
  }
  return count;
}

size_t dg_format_source(const dg_base *b, int32_t source_tag, int32_t target_tag,
                        const int32_t *ids, size_t n, int32_t *out, size_t capacity) {
  return format_ids(b, b->model->config.source_format, source_tag, target_tag, ids, n, out,
                    capacity);
}

size_t dg_format_target(const dg_base *b, int32_t source_tag, int32_t target_tag,
                        const int32_t *ids, size_t n, int32_t *out, size_t capacity) {
  return format_ids(b, b->model->config.target_format, source_tag, target_tag, ids, n, out,
                    capacity);
}
