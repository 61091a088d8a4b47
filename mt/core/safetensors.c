#include "mt/core/safetensors.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "mt/core/file.h"
#include "mt/core/mem.h"

enum { LENGTH_BYTES = 8, ALIGNMENT = 64, HEADER_MOST = 100 << 20, CHUNK = 1 << 20 };
static const char hash_key[] = "dragoman.hash";
static const char zero_hash[] = "00000000000000000000000000000000";

static const struct {
  const char *name;
  size_t size;
} dtypes[] = {
    [DG_F32] = {"F32", 4}, [DG_F16] = {"F16", 2},  [DG_BF16_T] = {"BF16", 2}, [DG_F64] = {"F64", 8},
    [DG_I8] = {"I8", 1},   [DG_U8] = {"U8", 1},    [DG_I16] = {"I16", 2},     [DG_I32] = {"I32", 4},
    [DG_I64] = {"I64", 8}, [DG_BOOL] = {"BOOL", 1}};
enum { DTYPES = sizeof dtypes / sizeof *dtypes };

size_t dg_dtype_size(dg_dtype t) { return dtypes[t].size; }
const char *dg_dtype_name(dg_dtype t) { return dtypes[t].name; }

struct dg_safetensors {
  char *path;
  dg_mapping map;
  json_t *header, *metadata;
  dg_st_tensor *tensors; /* in file order */
  size_t count, header_end;
  char hash[DG_HASH_TEXT];
};

/* --- reading ------------------------------------------------------------------------ */

static bool refuse(const dg_safetensors *s, dg_error *err, const char *what) {
  return dg_fail(err, DG_ERR_FORMAT, "%s: %s: it is truncated, altered or no safetensors file",
                 s->path, what);
}

static bool read_size(const json_t *j, size_t *out) {
  if (!json_is_integer(j) || json_integer_value(j) < 0) return false;
  *out = (size_t)json_integer_value(j);
  return true;
}

static bool misplaced(const dg_safetensors *s, const char *name, dg_error *err, const char *format,
                      ...) __attribute__((format(printf, 4, 5)));
static bool misplaced(const dg_safetensors *s, const char *name, dg_error *err, const char *format,
                      ...) {
  char what[200];
  va_list args;
  va_start(args, format);
  vsnprintf(what, sizeof what, format, args);
  va_end(args);
  return dg_fail(err, DG_ERR_FORMAT, "%s: tensor %.80s %s: the file is truncated or altered",
                 s->path, name, what);
}

static bool read_tensor(const dg_safetensors *s, const char *name, const json_t *j,
                        size_t data_size, dg_st_tensor *t, size_t *begin, dg_error *err) {
  *t = (dg_st_tensor){.name = name};
  const char *dtype = json_string_value(json_object_get(j, "dtype"));
  const json_t *shape = json_object_get(j, "shape"), *offsets = json_object_get(j, "data_offsets");
  size_t d = 0, end;
  if (!dtype || !json_is_array(shape) || json_array_size(offsets) != 2 ||
      !read_size(json_array_get(offsets, 0), begin) || !read_size(json_array_get(offsets, 1), &end))
    return misplaced(s, name, err, "lacks a type, a shape or its two offsets");
  while (d < DTYPES && strcmp(dtypes[d].name, dtype)) d++;
  if (d == DTYPES || json_array_size(shape) > DG_ST_DIMS)
    return dg_fail(err, DG_ERR_UNSUPPORTED,
                   "%s: tensor %.80s has type %.20s and %zu dimensions; this program reads none "
                   "such",
                   s->path, name, dtype, json_array_size(shape));
  t->dtype = (dg_dtype)d;
  t->dims = json_array_size(shape);
  t->bytes = dtypes[d].size;
  for (size_t i = 0; i < t->dims; i++)
    if (!read_size(json_array_get(shape, i), &t->shape[i]) ||
        __builtin_mul_overflow(t->bytes, t->shape[i], &t->bytes))
      return misplaced(s, name, err, "has a dimension %zu that no file can hold", i);
  if (*begin > end || end > data_size)
    return misplaced(s, name, err, "is at bytes %zu to %zu of %zu", *begin, end, data_size);
  if (t->bytes != end - *begin)
    return misplaced(s, name, err, "needs %zu bytes and has %zu, at %zu", t->bytes, end - *begin,
                     *begin);
  return true;
}

typedef struct placed {
  dg_st_tensor tensor;
  size_t begin;
} placed;

static int by_place(const void *a, const void *b) {
  const placed *x = a, *y = b;
  if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
  return x->tensor.bytes < y->tensor.bytes ? -1 : x->tensor.bytes > y->tensor.bytes;
}

static bool read_header(dg_safetensors *s, dg_error *err) {
  if (s->map.size < LENGTH_BYTES) return refuse(s, err, "too short for a header");
  uint64_t length = 0;
  for (int i = LENGTH_BYTES; i-- > 0;) length = length << 8 | s->map.data[i];
  if (length > HEADER_MOST || length > s->map.size - LENGTH_BYTES)
    return refuse(s, err, "its header is longer than the file");
  const char *text = (const char *)s->map.data + LENGTH_BYTES;
  const uint8_t *data = s->map.data + LENGTH_BYTES + length;
  size_t data_size = s->map.size - LENGTH_BYTES - (size_t)length, at = 0, n = 0;
  s->header_end = LENGTH_BYTES + (size_t)length;
  s->header = json_loadb(text, (size_t)length, JSON_REJECT_DUPLICATES, NULL);
  if (!json_is_object(s->header)) return refuse(s, err, "its header is not a JSON object");
  s->metadata = json_object_get(s->header, "__metadata__");
  if (s->metadata && !json_is_object(s->metadata))
    return refuse(s, err, "its metadata is not a JSON object");
  placed *list = dg_calloc(json_object_size(s->header) + 1, sizeof *list);
  const char *name;
  json_t *j;
  bool ok = true;
  json_object_foreach(s->header, name, j) {
    if (!strcmp(name, "__metadata__")) continue;
    placed *p = &list[n++];
    if (!(ok = read_tensor(s, name, j, data_size, &p->tensor, &p->begin, err))) break;
    p->tensor.data = data + p->begin;
  }
  if (ok) {
    qsort(list, n, sizeof *list, by_place);
    s->tensors = dg_calloc(n + 1, sizeof *s->tensors);
    for (size_t i = 0; i < n && ok; i++) {
      if (list[i].begin != at)
        ok = misplaced(s, list[i].tensor.name, err, "begins at byte %zu, not %zu", list[i].begin,
                       at);
      at = list[i].begin + list[i].tensor.bytes;
      s->tensors[s->count++] = list[i].tensor;
    }
    if (ok && at != data_size) ok = refuse(s, err, "bytes are left over at its end");
  }
  free(list);
  return ok;
}

/* Of a large file the pages that were read go: they would stay beside what is made of them. */
static void hash_part(XXH3_state_t *state, const uint8_t *bytes, size_t n) {
  enum { PART = 1 << 26 };
  for (; n > PART; bytes += PART, n -= PART) {
    XXH3_128bits_update(state, bytes, PART);
    dg_map_forget(bytes, PART);
  }
  XXH3_128bits_update(state, bytes, n);
}

static bool check_hash(dg_safetensors *s, bool foreign, dg_error *err) {
  const char *stated = dg_safetensors_metadata(s, hash_key);
  if (!stated) {
    if (foreign) return true;
    return dg_fail(err, DG_ERR_FORMAT, "%s was not written by dragoman (no content hash)", s->path);
  }
  /* The digits stand where the header's text has them; find them there. */
  const uint8_t *digits = strlen(stated) == DG_HASH_TEXT - 1
                              ? memmem(s->map.data, s->header_end, stated, DG_HASH_TEXT - 1)
                              : NULL;
  if (!digits) return refuse(s, err, "its content hash is malformed");
  XXH3_state_t *state = XXH3_createState();
  size_t before = (size_t)(digits - s->map.data), after = before + DG_HASH_TEXT - 1;
  XXH3_128bits_reset(state);
  XXH3_128bits_update(state, s->map.data, before);
  XXH3_128bits_update(state, zero_hash, DG_HASH_TEXT - 1);
  hash_part(state, s->map.data + after, s->map.size - after);
  dg_hash_state(state, s->hash);
  XXH3_freeState(state);
  if (strcmp(s->hash, stated))
    return dg_fail(err, DG_ERR_FORMAT,
                   "%s: its bytes do not match its content hash: it was damaged or altered; copy "
                   "it again",
                   s->path);
  return true;
}

dg_safetensors *dg_safetensors_peek(const char *path, dg_error *err) {
  dg_safetensors *s = dg_calloc(1, sizeof *s);
  s->path = dg_strdup(path);
  if (dg_map(path, &s->map, err) && read_header(s, err)) return s;
  dg_safetensors_close(s);
  return NULL;
}

dg_safetensors *dg_safetensors_open(const char *path, bool foreign, dg_error *err) {
  dg_safetensors *s = dg_safetensors_peek(path, err);
  if (!s || check_hash(s, foreign, err)) return s;
  dg_safetensors_close(s);
  return NULL;
}

void dg_safetensors_close(dg_safetensors *s) {
  if (!s) return;
  json_decref(s->header);
  free(s->tensors);
  if (s->map.data) dg_unmap(&s->map);
  free(s->path);
  free(s);
}

const char *dg_safetensors_path(const dg_safetensors *s) { return s->path; }
const char *dg_safetensors_hash(const dg_safetensors *s) { return s->hash; }
size_t dg_safetensors_count(const dg_safetensors *s) { return s->count; }
const dg_st_tensor *dg_safetensors_at(const dg_safetensors *s, size_t i) { return &s->tensors[i]; }

const char *dg_safetensors_metadata(const dg_safetensors *s, const char *key) {
  return json_string_value(json_object_get(s->metadata, key));
}

const dg_st_tensor *dg_safetensors_find(const dg_safetensors *s, const char *name) {
  for (size_t i = 0; i < s->count; i++)
    if (!strcmp(s->tensors[i].name, name)) return &s->tensors[i];
  return NULL;
}

/* --- writing ------------------------------------------------------------------------ */

typedef struct pending {
  dg_st_tensor tensor;
  char *name;
  size_t begin, done; /* its place in the file; bytes of it that are there */
} pending;

struct dg_st_writer {
  json_t *metadata;
  pending *list;
  size_t count, capacity;
  dg_output *output;
  size_t size, digits; /* of the file; where the hash's digits stand */
};

dg_st_writer *dg_st_writer_new(void) {
  dg_st_writer *w = dg_calloc(1, sizeof *w);
  w->metadata = json_object();
  /* First of all entries (jansson keeps their order), so that its digits are the first
   * zeros in the file. */
  json_object_set_new(w->metadata, hash_key, json_string(zero_hash));
  return w;
}

void dg_st_writer_free(dg_st_writer *w) {
  if (!w) return;
  for (size_t i = 0; i < w->count; i++) free(w->list[i].name);
  free(w->list);
  json_decref(w->metadata);
  dg_output_abort(w->output);
  free(w);
}

void dg_st_writer_metadata(dg_st_writer *w, const char *key, const char *value) {
  json_object_set_new(w->metadata, key, json_string(value));
}

void dg_st_writer_add(dg_st_writer *w, const char *name, dg_dtype dtype, size_t dims,
                      const size_t *shape, const void *data) {
  DG_GROW(w->list, w->capacity, w->count + 1);
  pending *p = &w->list[w->count++];
  p->name = dg_strdup(name);
  p->tensor = (dg_st_tensor){.name = p->name, .dtype = dtype, .dims = dims, .data = data};
  p->tensor.bytes = dtypes[dtype].size;
  for (size_t i = 0; i < dims; i++) {
    p->tensor.shape[i] = shape[i];
    p->tensor.bytes *= shape[i];
  }
}

/* Largest elements first keeps every tensor aligned to its own element size. */
static int by_alignment(const void *a, const void *b) {
  const pending *x = a, *y = b;
  size_t p = dtypes[x->tensor.dtype].size, q = dtypes[y->tensor.dtype].size;
  if (p != q) return p > q ? -1 : 1;
  return strcmp(x->name, y->name);
}

/* The header as it will stand in the file, hash digits zero, blanks up to alignment. */
static char *header_text(dg_st_writer *w, size_t *length, size_t *digits) {
  json_t *header = json_object();
  json_object_set(header, "__metadata__", w->metadata);
  size_t at = 0;
  for (size_t i = 0; i < w->count; i++) {
    const dg_st_tensor *t = &w->list[i].tensor;
    json_t *shape = json_array();
    for (size_t k = 0; k < t->dims; k++)
      json_array_append_new(shape, json_integer((json_int_t)t->shape[k]));
    json_object_set_new(
        header, t->name,
        json_pack("{s:s,s:o,s:[I,I]}", "dtype", dtypes[t->dtype].name, "shape", shape,
                  "data_offsets", (json_int_t)at, (json_int_t)(at + t->bytes)));
    at += t->bytes;
  }
  char *text = json_dumps(header, JSON_COMPACT);
  json_decref(header);
  size_t n = strlen(text);
  *length = (n + LENGTH_BYTES + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT - LENGTH_BYTES;
  text = dg_realloc(text, *length + 1);
  memset(text + n, ' ', *length - n);
  text[*length] = 0;
  *digits = (size_t)(strstr(text, zero_hash) - text);
  return text;
}

void dg_st_writer_copy(dg_st_writer *w, const dg_safetensors *s) {
  const char *key;
  json_t *value;
  json_object_foreach(s->metadata, key, value) if (strcmp(key, hash_key))
      json_object_set(w->metadata, key, value);
  for (size_t i = 0; i < dg_safetensors_count(s); i++) {
    const dg_st_tensor *t = dg_safetensors_at(s, i);
    dg_st_writer_add(w, t->name, t->dtype, t->dims, t->shape, t->data);
  }
}

bool dg_st_writer_begin(dg_st_writer *w, const char *path, dg_error *err) {
  if (dg_ends_with(path, ".gz"))
    return dg_fail(err, DG_ERR_USAGE, "%s: a model cannot be gzipped: choose a name without .gz",
                   path);
  if (w->count) qsort(w->list, w->count, sizeof *w->list, by_alignment);
  size_t length;
  char *header = header_text(w, &length, &w->digits);
  uint8_t prefix[LENGTH_BYTES];
  for (int i = 0; i < LENGTH_BYTES; i++) prefix[i] = (uint8_t)(length >> (8 * i));
  w->digits += LENGTH_BYTES;
  w->size = LENGTH_BYTES + length;
  for (size_t i = 0; i < w->count; i++) {
    w->list[i].begin = w->size;
    w->list[i].done = 0;
    w->size += w->list[i].tensor.bytes;
  }
  dg_output_abort(w->output);
  w->output = dg_output_open_random(path, err);
  bool ok = w->output && dg_output_write_at(w->output, 0, prefix, sizeof prefix, err) &&
            dg_output_write_at(w->output, LENGTH_BYTES, header, length, err);
  free(header);
  for (size_t i = 0; i < w->count && ok; i++) {
    const dg_st_tensor *t = &w->list[i].tensor;
    ok = !t->data || dg_st_writer_put(w, t->name, 0, t->data, t->bytes, err);
  }
  return ok;
}

bool dg_st_writer_put(dg_st_writer *w, const char *name, size_t at, const void *bytes, size_t n,
                      dg_error *err) {
  for (size_t i = 0; i < w->count; i++) {
    pending *p = &w->list[i];
    if (strcmp(p->name, name)) continue;
    if (at > p->tensor.bytes || n > p->tensor.bytes - at) break;
    p->done += n;
    return dg_output_write_at(w->output, p->begin + at, bytes, n, err);
  }
  return dg_fail(err, DG_ERR_FORMAT, "no tensor %s of %zu bytes was declared", name, at + n);
}

/* Of the file as it is, its digits still zeros: parts came in any order. */
static bool hash_output(dg_st_writer *w, char text[DG_HASH_TEXT], dg_error *err) {
  XXH3_state_t *state = XXH3_createState();
  XXH3_128bits_reset(state);
  uint8_t *chunk = dg_malloc(CHUNK);
  bool ok = true;
  for (size_t at = 0, n; at < w->size && ok; at += n) {
    n = w->size - at < CHUNK ? w->size - at : CHUNK;
    ok = dg_output_read_at(w->output, at, chunk, n, err);
    if (ok) XXH3_128bits_update(state, chunk, n);
  }
  free(chunk);
  if (ok) dg_hash_state(state, text);
  XXH3_freeState(state);
  return ok;
}

bool dg_st_writer_commit(dg_st_writer *w, char hash[DG_HASH_TEXT], dg_error *err) {
  for (size_t i = 0; i < w->count; i++)
    if (w->list[i].done != w->list[i].tensor.bytes)
      return dg_fail(err, DG_ERR_FORMAT, "tensor %s was not written whole", w->list[i].name);
  char text[DG_HASH_TEXT];
  if (!hash_output(w, text, err) ||
      !dg_output_write_at(w->output, w->digits, text, DG_HASH_TEXT - 1, err))
    return false;
  if (hash) memcpy(hash, text, DG_HASH_TEXT);
  dg_output *output = w->output;
  w->output = NULL;
  return dg_output_commit(output, err);
}

bool dg_st_writer_write(dg_st_writer *w, const char *path, char hash[DG_HASH_TEXT], dg_error *err) {
  return dg_st_writer_begin(w, path, err) && dg_st_writer_commit(w, hash, err);
}
