#include "mt/import/checkpoint.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zip.h>

#include "mt/core/file.h"
#include "mt/core/mem.h"
#include "mt/import/number.h"
#include "mt/import/pickle.h"

enum { PICKLE_MOST = 4 << 20, SHARDS_MOST = 1024, CHUNK = 1 << 14 };

/* One file: safetensors, or a zip with its pickle. */
typedef struct shard {
  char *path;
  dg_safetensors *safetensors;
  zip_t *zip;
  zip_uint64_t bytes; /* of the zip file */
  dg_pickle pickle;
  char *archive; /* all names in the zip begin with "archive/" */
} shard;

typedef struct record {
  dg_checkpoint_tensor tensor;
  shard *shard;
  const void *data;               /* safetensors */
  const dg_pickle_tensor *pickle; /* zip */
} record;

/* A zip entry can only be read onwards: the one that is being read. */
typedef struct cursor {
  const record *record;
  char *name;
  zip_file_t *file;
  size_t at;      /* elements of the storage behind it */
  uint8_t *whole; /* of a tensor that is not row by row */
} cursor;

struct dg_checkpoint {
  shard *shards[SHARDS_MOST];
  size_t shard_count;
  record *records; /* sorted by name */
  size_t count, capacity;
  cursor cursor;
};

/* --- zip files of torch.save ------------------------------------------------------------- */

/* An entry's index and size; torch stores entries uncompressed: what one claims to hold, the file
 * would hold. */
static bool find_entry(const shard *s, const char *name, zip_uint64_t *index, zip_uint64_t *size,
                       dg_error *err) {
  zip_stat_t st;
  zip_int64_t i = zip_name_locate(s->zip, name, ZIP_FL_ENC_RAW);
  const zip_uint64_t need = ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD;
  if (i < 0 || zip_stat_index(s->zip, (zip_uint64_t)i, 0, &st) || (st.valid & need) != need)
    return dg_fail(err, DG_ERR_FORMAT, "%s: it has no entry %.100s", s->path, name);
  if (st.comp_method != ZIP_CM_STORE)
    return dg_fail(err, DG_ERR_UNSUPPORTED, "%s: %.100s is compressed, which torch.save never does",
                   s->path, name);
  if (st.size != st.comp_size || st.size > s->bytes)
    return dg_fail(err, DG_ERR_FORMAT, "%s: %.100s claims to hold more than the file", s->path,
                   name);
  *index = (zip_uint64_t)i;
  *size = st.size;
  return true;
}

static zip_file_t *open_entry(const shard *s, zip_uint64_t index, const char *name, dg_error *err) {
  zip_file_t *f = zip_fopen_index(s->zip, index, 0);
  if (!f)
    dg_fail(err, DG_ERR_FORMAT, "%s: %.100s: %s", s->path, name, zip_strerror(s->zip));
  return f;
}

static bool read_exactly(const shard *s, zip_file_t *f, const char *name, void *out, size_t n,
                         dg_error *err) {
  for (uint8_t *to = out; n;) {
    zip_int64_t got = zip_fread(f, to, n);
    if (got <= 0)
      return dg_fail(err, DG_ERR_FORMAT, "%s: %.100s is cut off or damaged", s->path, name);
    to += got;
    n -= (size_t)got;
  }
  return true;
}

static bool read_entry(const shard *s, const char *name, size_t most, uint8_t **out, size_t *n,
                       dg_error *err) {
  zip_uint64_t index, size;
  if (!find_entry(s, name, &index, &size, err)) return false;
  if (size > most)
    return dg_fail(err, DG_ERR_UNSUPPORTED, "%s: %.100s has %llu bytes; %zu are the most", s->path,
                   name, (unsigned long long)size, most);
  zip_file_t *f = open_entry(s, index, name, err);
  if (!f) return false;
  *n = (size_t)size;
  *out = dg_malloc(*n + 1);
  bool ok = read_exactly(s, f, name, *out, *n, err);
  zip_fclose(f);
  if (!ok) {
    free(*out);
    *out = NULL;
  }
  return ok;
}

/* All names begin with the name torch.save was given: that of the one data.pkl. */
static bool find_archive(shard *s, dg_error *err) {
  static const char wanted[] = "/data.pkl";
  zip_int64_t entries = zip_get_num_entries(s->zip, 0);
  for (zip_int64_t i = 0; i < entries; i++) {
    const char *name = zip_get_name(s->zip, (zip_uint64_t)i, ZIP_FL_ENC_RAW);
    const char *end = name ? strchr(name, '/') : NULL;
    if (!end || strcmp(end, wanted)) continue;
    s->archive = dg_strndup(name, (size_t)(end - name));
    return true;
  }
  return dg_fail(err, DG_ERR_FORMAT, "%s: a zip without data.pkl: torch.save did not write it",
                 s->path);
}

static bool check_byte_order(const shard *s, dg_error *err) {
  char *name = dg_format("%s/byteorder", s->archive);
  uint8_t *text = NULL;
  size_t n = 0;
  bool ok = true;
  if (zip_name_locate(s->zip, name, ZIP_FL_ENC_RAW) >= 0) { /* since PyTorch 2.1 */
    ok = read_entry(s, name, 64, &text, &n, err);
    if (ok && (n != 6 || memcmp(text, "little", 6)))
      ok = dg_fail(err, DG_ERR_UNSUPPORTED, "%s: its numbers are not little-endian", s->path);
    free(text);
  }
  free(name);
  return ok;
}

static bool open_zip(shard *s, dg_error *err) {
  int code;
  struct stat st;
  if (access(s->path, R_OK) || stat(s->path, &st)) return dg_fail_errno(err, "%s", s->path);
  s->bytes = (zip_uint64_t)st.st_size;
  s->zip = zip_open(s->path, ZIP_RDONLY, &code);
  if (!s->zip)
    return dg_fail(err, DG_ERR_FORMAT,
                   "%s is no zip file, or a truncated one; PyTorch before 1.6 wrote another kind: "
                   "load and save it with a newer one",
                   s->path);
  if (!find_archive(s, err) || !check_byte_order(s, err)) return false;
  char *name = dg_format("%s/data.pkl", s->archive);
  uint8_t *bytes;
  size_t n;
  bool ok = read_entry(s, name, PICKLE_MOST, &bytes, &n, err);
  free(name);
  if (!ok) return false;
  ok = dg_pickle_read(bytes, n, &s->pickle, err) || dg_error_context(err, "%s", s->path);
  free(bytes);
  return ok;
}

/* --- opening ---------------------------------------------------------------------------- */

static void close_cursor(cursor *u) {
  if (u->file) zip_fclose(u->file);
  free(u->name);
  free(u->whole);
  *u = (cursor){0};
}

static void free_shard(shard *s) {
  dg_safetensors_close(s->safetensors);
  if (s->zip) zip_discard(s->zip);
  dg_pickle_free(&s->pickle);
  free(s->archive);
  free(s->path);
  free(s);
}

static bool add_record(dg_checkpoint *c, record r, dg_error *err) {
  size_t count = 1;
  for (size_t i = 0; i < r.tensor.dims; i++)
    if (__builtin_mul_overflow(count, r.tensor.shape[i], &count))
      return dg_fail(err, DG_ERR_FORMAT, "%s: tensor %.80s is larger than any file",
                     r.shard->path, r.tensor.name);
  r.tensor.count = count;
  DG_GROW(c->records, c->capacity, c->count + 1);
  c->records[c->count++] = r;
  return true;
}

/* Adds the file's tensors; with an index, only those it says are in there. */
static bool add_shard(dg_checkpoint *c, char *path, const json_t *map, const char *file,
                      dg_error *err) {
  shard *s = dg_calloc(1, sizeof *s);
  s->path = path;
  c->shards[c->shard_count++] = s;
  bool ok;
  if (dg_ends_with(path, ".safetensors"))
    ok = (s->safetensors = dg_safetensors_open(path, true, err)) != NULL;
  else
    ok = open_zip(s, err);
  size_t n = !ok ? 0 : s->safetensors ? dg_safetensors_count(s->safetensors) : s->pickle.count;
  for (size_t i = 0; i < n && ok; i++) {
    record r = {.shard = s};
    if (s->safetensors) {
      const dg_st_tensor *t = dg_safetensors_at(s->safetensors, i);
      r.tensor = (dg_checkpoint_tensor){.name = t->name, .dtype = t->dtype, .dims = t->dims};
      memcpy(r.tensor.shape, t->shape, sizeof t->shape);
      r.data = t->data;
    } else {
      const dg_pickle_tensor *t = r.pickle = &s->pickle.tensors[i];
      r.tensor = (dg_checkpoint_tensor){.name = t->name, .dtype = t->dtype, .dims = t->dims};
      memcpy(r.tensor.shape, t->shape, sizeof t->shape);
    }
    const char *stated = map ? json_string_value(json_object_get(map, r.tensor.name)) : NULL;
    if (!map || (stated && !strcmp(stated, file))) ok = add_record(c, r, err);
  }
  return ok;
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const record *)a)->tensor.name, ((const record *)b)->tensor.name);
}

static bool sort(dg_checkpoint *c, const char *path, dg_error *err) {
  if (!c->count) return dg_fail(err, DG_ERR_FORMAT, "%s holds no tensors", path);
  qsort(c->records, c->count, sizeof *c->records, by_name);
  for (size_t i = 1; i < c->count; i++)
    if (!by_name(&c->records[i - 1], &c->records[i]))
      return dg_fail(err, DG_ERR_FORMAT, "%s: tensor %.80s is there twice", path,
                     c->records[i].tensor.name);
  return true;
}

/* {"weight_map": {tensor: file, ...}} */
static bool open_index(dg_checkpoint *c, const char *directory, const char *path, dg_error *err) {
  json_error_t where;
  json_t *index = json_load_file(path, JSON_REJECT_DUPLICATES, &where);
  const json_t *map = json_object_get(index, "weight_map");
  const char *name;
  json_t *value;
  bool ok = json_is_object(map);
  if (!ok)
    dg_fail(err, DG_ERR_FORMAT, "%s: it has no \"weight_map\" (%s)", path,
            index ? "the JSON is well-formed" : where.text);
  json_t *seen = json_object();
  if (ok) json_object_foreach((json_t *)(uintptr_t)map, name, value) {
    const char *file = json_string_value(value);
    if (!file || !*file || strchr(file, '/'))
      ok = dg_fail(err, DG_ERR_FORMAT, "%s: the file of %.80s is no plain file name", path, name);
    else if (!json_object_get(seen, file)) {
      json_object_set_new(seen, file, json_true());
      ok = c->shard_count < SHARDS_MOST ||
           dg_fail(err, DG_ERR_UNSUPPORTED, "%s names more than %d files", path, SHARDS_MOST);
      ok = ok && add_shard(c, dg_format("%s/%s", directory, file), map, file, err);
    }
    if (!ok) break;
  }
  ok = ok && sort(c, path, err);
  if (ok) json_object_foreach((json_t *)(uintptr_t)map, name, value) {
    if (dg_checkpoint_find(c, name)) continue;
    ok = dg_fail(err, DG_ERR_FORMAT, "%s says that %.80s is in %.80s, but it is not there", path,
                 name, json_string_value(value));
    break;
  }
  json_decref(seen);
  json_decref(index);
  return ok;
}

static dg_checkpoint *open_first(const char *directory, const char *const names[4],
                                 dg_error *err) {
  dg_checkpoint *c = dg_calloc(1, sizeof *c);
  bool ok = false;
  size_t i = 0;
  for (; i < 4; i++) {
    char *path = dg_format("%s/%s", directory, names[i]);
    if (access(path, F_OK)) {
      free(path);
      continue;
    }
    if (dg_ends_with(path, ".json")) {
      ok = open_index(c, directory, path, err);
      free(path);
    } else {
      ok = add_shard(c, path, NULL, NULL, err) && sort(c, path, err);
    }
    break;
  }
  if (i == 4)
    dg_fail(err, DG_ERR_IO, "%s: there is no %s, %s, %s or %s in it", directory, names[0], names[1],
            names[2], names[3]);
  if (ok) return c;
  dg_checkpoint_close(c);
  return NULL;
}

dg_checkpoint *dg_checkpoint_open(const char *directory, dg_error *err) {
  static const char *const names[] = {"model.safetensors", "model.safetensors.index.json",
                                      "pytorch_model.bin", "pytorch_model.bin.index.json"};
  return open_first(directory, names, err);
}

dg_checkpoint *dg_checkpoint_open_adapter(const char *directory, dg_error *err) {
  static const char *const names[] = {"adapter_model.safetensors", "adapter_model.bin",
                                      "adapter.safetensors", "pytorch_adapter.bin"};
  return open_first(directory, names, err);
}

void dg_checkpoint_close(dg_checkpoint *c) {
  if (!c) return;
  close_cursor(&c->cursor);
  for (size_t i = 0; i < c->shard_count; i++) free_shard(c->shards[i]);
  free(c->records);
  free(c);
}

size_t dg_checkpoint_count(const dg_checkpoint *c) { return c->count; }

const dg_checkpoint_tensor *dg_checkpoint_at(const dg_checkpoint *c, size_t i) {
  return &c->records[i].tensor;
}

const dg_checkpoint_tensor *dg_checkpoint_find(const dg_checkpoint *c, const char *name) {
  record key = {.tensor = {.name = name}};
  const record *r =
      c->count ? bsearch(&key, c->records, c->count, sizeof *c->records, by_name) : NULL;
  return r ? &r->tensor : NULL;
}

/* --- reading ----------------------------------------------------------------------------- */

static void convert(dg_dtype type, const uint8_t *from, size_t n, float *out) {
  size_t size = dg_dtype_size(type);
  for (size_t i = 0; i < n; i++) out[i] = dg_number(type, from + i * size);
}

static bool row_major(const dg_pickle_tensor *t) {
  size_t want = 1;
  for (size_t i = t->dims; i-- > 0; want *= t->shape[i])
    if (t->shape[i] > 1 && t->stride[i] != want) return false;
  return true;
}

/* The last place in the storage that the tensor reaches, counted from its first. */
static size_t reach(const dg_pickle_tensor *t) {
  size_t last = 0;
  for (size_t i = 0; i < t->dims; i++) last += (t->shape[i] - 1) * t->stride[i];
  return last;
}

static void gather(const dg_pickle_tensor *t, const uint8_t *from, size_t first, size_t n,
                   float *out) {
  size_t size = dg_dtype_size(t->dtype);
  for (size_t i = 0; i < n; i++) {
    size_t place = 0, rest = first + i;
    for (size_t d = t->dims; d-- > 0; rest /= t->shape[d])
      place += rest % t->shape[d] * t->stride[d];
    out[i] = dg_number(t->dtype, from + place * size);
  }
}

static bool open_cursor(cursor *u, const record *r, dg_error *err) {
  const dg_pickle_tensor *t = r->pickle;
  close_cursor(u);
  u->record = r;
  u->name = dg_format("%s/data/%s", r->shard->archive, t->storage);
  zip_uint64_t index, size;
  if (!find_entry(r->shard, u->name, &index, &size, err)) return false;
  if (size / dg_dtype_size(t->dtype) != t->storage_count || size % dg_dtype_size(t->dtype))
    return dg_fail(err, DG_ERR_FORMAT, "%s: %.100s has %llu bytes, not the %zu numbers of %s that "
                   "tensor %.80s needs",
                   r->shard->path, u->name, (unsigned long long)size, t->storage_count,
                   dg_dtype_name(t->dtype), t->name);
  u->file = open_entry(r->shard, index, u->name, err);
  return u->file != NULL;
}

/* The storage's elements up to `end`, converted into `out` unless it is NULL. */
static bool advance(cursor *u, size_t end, float *out, dg_error *err) {
  const dg_pickle_tensor *t = u->record->pickle;
  size_t size = dg_dtype_size(t->dtype);
  uint8_t chunk[CHUNK];
  for (size_t part; u->at < end; u->at += part) {
    part = end - u->at < CHUNK / size ? end - u->at : CHUNK / size;
    if (!read_exactly(u->record->shard, u->file, u->name, chunk, part * size, err)) return false;
    if (!out) continue;
    convert(t->dtype, chunk, part, out);
    out += part;
  }
  return true;
}

/* What is left of a storage is read too: libzip compares the checksum at its end. */
static bool finish(cursor *u, dg_error *err) {
  uint8_t byte;
  return advance(u, u->record->pickle->storage_count, NULL, err) &&
         (!zip_fread(u->file, &byte, 1) ||
          dg_fail(err, DG_ERR_FORMAT, "%s: %.100s is damaged: its checksum is wrong",
                  u->record->shard->path, u->name));
}

static bool read_whole(cursor *u, dg_error *err) {
  const dg_pickle_tensor *t = u->record->pickle;
  size_t size = dg_dtype_size(t->dtype), n = reach(t) + 1;
  u->whole = dg_alloc_checked(n, size, err);
  if (!u->whole || !advance(u, t->offset, NULL, err) ||
      !read_exactly(u->record->shard, u->file, u->name, u->whole, n * size, err))
    return false;
  u->at += n;
  return finish(u, err);
}

static bool read_zip(cursor *u, const record *r, size_t first, size_t n, float *out,
                     dg_error *err) {
  const dg_pickle_tensor *t = r->pickle;
  bool rows = row_major(t), last = first + n == r->tensor.count;
  if (u->record != r || (rows && u->at > t->offset + first)) {
    if (!open_cursor(u, r, err) || (!rows && !read_whole(u, err))) return false;
  }
  if (!rows) gather(t, u->whole, first, n, out);
  else if (!advance(u, t->offset + first, NULL, err) ||
           !advance(u, t->offset + first + n, out, err) || (last && !finish(u, err)))
    return false;
  if (last) close_cursor(u);
  return true;
}

bool dg_checkpoint_read(dg_checkpoint *c, const dg_checkpoint_tensor *t, size_t first, size_t n,
                        float *out, dg_error *err) {
  const record *r = (const record *)((const char *)t - offsetof(record, tensor));
  if (t->dtype != DG_F32 && t->dtype != DG_F16 && t->dtype != DG_BF16_T && t->dtype != DG_F64)
    return dg_fail(err, DG_ERR_UNSUPPORTED,
                   "%s: tensor %.80s has type %s; weights are F32, F16, BF16 or F64",
                   r->shard->path, t->name, dg_dtype_name(t->dtype));
  if (!n) return true;
  if (r->pickle) {
    if (read_zip(&c->cursor, r, first, n, out, err)) return true;
    close_cursor(&c->cursor);
    return false;
  }
  size_t size = dg_dtype_size(t->dtype);
  const uint8_t *from = (const uint8_t *)r->data + first * size;
  convert(t->dtype, from, n, out);
  dg_map_forget(from, n * size);
  return true;
}
