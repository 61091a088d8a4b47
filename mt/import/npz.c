#include "mt/import/npz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zip.h>

#include "mt/core/mem.h"
#include "mt/import/number.h"

enum { ARRAYS_MOST = 1 << 16, HEADER_MOST = 1 << 14, RATIO_MOST = 1100 /* deflate's own */ };

typedef struct record {
  dg_npz_array array;
  char *name;
  zip_uint64_t index;
  size_t offset; /* of the numbers in the entry */
} record;

struct dg_npz {
  char *path;
  zip_t *zip;
  zip_uint64_t bytes; /* of the file */
  record *records;
  size_t count, capacity;
  const dg_npz_array *kept; /* whose numbers `values` are */
  float *values;
};

static bool read_exactly(zip_file_t *f, void *out, size_t n, dg_error *err) {
  for (uint8_t *to = out; n;) {
    zip_int64_t got = zip_fread(f, to, n);
    if (got <= 0) return dg_fail(err, DG_ERR_FORMAT, "it is cut off or damaged");
    to += got;
    n -= (size_t)got;
  }
  return true;
}

/* --- headers ---------------------------------------------------------------------------------- */

/* What follows 'KEY': in the header, a Python dictionary as numpy prints it. */
static const char *value_of(const char *header, const char *key) {
  char quoted[32];
  snprintf(quoted, sizeof quoted, "'%s':", key);
  const char *at = strstr(header, quoted);
  if (!at) return NULL;
  at += strlen(quoted);
  return at + strspn(at, " ");
}

static bool read_type(const char *at, dg_dtype *out, dg_error *err) {
  static const struct {
    const char *name;
    dg_dtype type;
  } known[] = {{"'<f4'", DG_F32}, {"'<f2'", DG_F16}, {"'<f8'", DG_F64}, {"'|i1'", DG_I8},
               {"'|u1'", DG_U8},  {"'<i1'", DG_I8},  {"'<i4'", DG_I32}, {"'<i8'", DG_I64}};
  for (size_t i = 0; at && i < sizeof known / sizeof *known; i++)
    if (!strncmp(at, known[i].name, strlen(known[i].name))) {
      *out = known[i].type;
      return true;
    }
  return dg_fail(err, DG_ERR_UNSUPPORTED,
                 "its type %.10s is not read: little-endian numbers are, objects (pickles) never",
                 at ? at : "(none)");
}

static bool read_shape(const char *at, dg_npz_array *a, dg_error *err) {
  a->count = 1;
  if (!at || *at++ != '(') return dg_fail(err, DG_ERR_FORMAT, "its header states no shape");
  for (;;) {
    at += strspn(at, " ,");
    if (*at == ')') return true;
    char *end;
    unsigned long long n = strtoull(at, &end, 10);
    if (end == at || *at == '-' || a->dims == DG_ST_DIMS)
      return dg_fail(err, DG_ERR_FORMAT, "its shape is none of 0 to %d dimensions", DG_ST_DIMS);
    a->shape[a->dims++] = (size_t)n;
    if (__builtin_mul_overflow(a->count, (size_t)n, &a->count))
      return dg_fail(err, DG_ERR_FORMAT, "it is larger than any file");
    at = end;
  }
}

/* \x93NUMPY, version, length of the header, the header. */
static bool read_header(zip_file_t *f, const zip_stat_t *st, record *r, dg_error *err) {
  uint8_t fixed[12] = {0};
  if (!read_exactly(f, fixed, 10, err)) return false;
  if (memcmp(fixed, "\x93NUMPY", 6)) return dg_fail(err, DG_ERR_FORMAT, "it is no NumPy array");
  bool wide = fixed[6] >= 2;
  if (wide && !read_exactly(f, fixed + 10, 2, err)) return false;
  size_t n = (size_t)fixed[8] | (size_t)fixed[9] << 8;
  if (wide) n |= (size_t)fixed[10] << 16 | (size_t)fixed[11] << 24;
  if (n > HEADER_MOST) return dg_fail(err, DG_ERR_FORMAT, "its header has %zu bytes", n);
  char *header = dg_malloc(n + 1);
  bool ok = read_exactly(f, header, n, err);
  if (ok) {
    header[n] = 0;
    const char *order = value_of(header, "fortran_order");
    ok = read_type(value_of(header, "descr"), &r->array.dtype, err) &&
         read_shape(value_of(header, "shape"), &r->array, err);
    if (ok && r->array.dims > 1 && (!order || strncmp(order, "False", 5)))
      ok = dg_fail(err, DG_ERR_UNSUPPORTED, "it is in Fortran's order");
    r->offset = (wide ? 12 : 10) + n;
    size_t bytes;
    if (ok && (__builtin_mul_overflow(r->array.count, dg_dtype_size(r->array.dtype), &bytes) ||
               st->size < r->offset || st->size - r->offset != bytes))
      ok = dg_fail(err, DG_ERR_FORMAT, "it has %llu bytes, which is not what its shape says",
                   (unsigned long long)st->size);
  }
  free(header);
  return ok;
}

static bool add_array(dg_npz *z, zip_uint64_t index, dg_error *err) {
  zip_stat_t st;
  const zip_uint64_t need = ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_NAME;
  if (zip_stat_index(z->zip, index, ZIP_FL_ENC_RAW, &st) || (st.valid & need) != need)
    return dg_fail(err, DG_ERR_FORMAT, "entry %llu is damaged", (unsigned long long)index);
  size_t n = strlen(st.name);
  if (n < 5 || strcmp(st.name + n - 4, ".npy")) return true; /* none of numpy's */
  if (st.size / RATIO_MOST > st.comp_size || st.comp_size > z->bytes)
    return dg_fail(err, DG_ERR_FORMAT, "%.80s claims to hold more than it can", st.name);
  DG_GROW(z->records, z->capacity, z->count + 1);
  record *r = &z->records[z->count++];
  *r = (record){.index = index, .name = dg_strndup(st.name, n - 4)};
  r->array.name = r->name;
  zip_file_t *f = zip_fopen_index(z->zip, index, 0);
  bool ok = f ? read_header(f, &st, r, err)
              : dg_fail(err, DG_ERR_FORMAT, "%s", zip_strerror(z->zip));
  if (f) zip_fclose(f);
  return ok || dg_error_context(err, "%.80s", r->name);
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const record *)a)->name, ((const record *)b)->name);
}

dg_npz *dg_npz_open(const char *path, dg_error *err) {
  dg_npz *z = dg_calloc(1, sizeof *z);
  z->path = dg_strdup(path);
  int code;
  struct stat st;
  bool ok = (!access(path, R_OK) && !stat(path, &st)) || dg_fail_errno(err, "%s", path);
  if (ok) {
    z->bytes = (zip_uint64_t)st.st_size;
    z->zip = zip_open(path, ZIP_RDONLY, &code);
    zip_int64_t entries = z->zip ? zip_get_num_entries(z->zip, 0) : 0;
    ok = z->zip || dg_fail(err, DG_ERR_FORMAT, "it is no zip file, or a truncated one");
    if (entries > ARRAYS_MOST) ok = dg_fail(err, DG_ERR_FORMAT, "it has too many entries");
    for (zip_int64_t i = 0; i < entries && ok; i++) ok = add_array(z, (zip_uint64_t)i, err);
    if (ok && !z->count) ok = dg_fail(err, DG_ERR_FORMAT, "it holds no arrays");
    if (ok) qsort(z->records, z->count, sizeof *z->records, by_name);
    for (size_t i = 1; i < z->count && ok; i++)
      if (!by_name(&z->records[i - 1], &z->records[i]))
        ok = dg_fail(err, DG_ERR_FORMAT, "%.80s is there twice", z->records[i].name);
    if (!ok) dg_error_context(err, "%s", path);
  }
  if (ok) return z;
  dg_npz_close(z);
  return NULL;
}

void dg_npz_close(dg_npz *z) {
  if (!z) return;
  if (z->zip) zip_discard(z->zip);
  for (size_t i = 0; i < z->count; i++) free(z->records[i].name);
  free(z->records);
  free(z->values);
  free(z->path);
  free(z);
}

const dg_npz_array *dg_npz_find(const dg_npz *z, const char *name) {
  record key = {.name = (char *)(uintptr_t)name};
  const record *r =
      z->count ? bsearch(&key, z->records, z->count, sizeof *z->records, by_name) : NULL;
  return r ? &r->array : NULL;
}

/* --- reading ---------------------------------------------------------------------------------- */

/* The entry at its first number. */
static zip_file_t *open_numbers(dg_npz *z, const dg_npz_array *a, dg_error *err) {
  const record *r = (const record *)((const char *)a - offsetof(record, array));
  uint8_t header[HEADER_MOST + 12];
  zip_file_t *f = zip_fopen_index(z->zip, r->index, 0);
  if (!f) dg_fail(err, DG_ERR_FORMAT, "%s", zip_strerror(z->zip));
  if (!f || read_exactly(f, header, r->offset, err)) return f;
  zip_fclose(f);
  return NULL;
}

/* At an entry's end libzip compares the checksum. */
static bool at_end(zip_file_t *f, dg_error *err) {
  uint8_t beyond;
  return !zip_fread(f, &beyond, 1) ||
         dg_fail(err, DG_ERR_FORMAT, "it is damaged: its checksum is wrong");
}

static bool read_numbers(zip_file_t *f, const dg_npz_array *a, float *out, dg_error *err) {
  uint8_t chunk[1 << 14];
  size_t size = dg_dtype_size(a->dtype), part;
  for (size_t left = a->count; left; left -= part) {
    part = left < sizeof chunk / size ? left : sizeof chunk / size;
    if (!read_exactly(f, chunk, part * size, err)) return false;
    for (size_t i = 0; i < part; i++) *out++ = dg_number(a->dtype, chunk + i * size);
  }
  return at_end(f, err);
}

const float *dg_npz_read(dg_npz *z, const dg_npz_array *a, dg_error *err) {
  if (z->kept == a) return z->values;
  free(z->values);
  z->values = NULL, z->kept = NULL;
  if (a->dtype != DG_F32 && a->dtype != DG_F16 && a->dtype != DG_F64) {
    dg_fail(err, DG_ERR_UNSUPPORTED, "%s: %.80s has type %s; weights are F32, F16 or F64", z->path,
            a->name, dg_dtype_name(a->dtype));
    return NULL;
  }
  float *values = dg_alloc_checked(a->count + 1, sizeof *values, err);
  zip_file_t *f = values ? open_numbers(z, a, err) : NULL;
  bool ok = f && read_numbers(f, a, values, err);
  if (f) zip_fclose(f);
  z->values = values; /* freed with it, read or not */
  if (ok) z->kept = a;
  else dg_error_context(err, "%s: %.80s", z->path, a->name);
  return ok ? values : NULL;
}

char *dg_npz_text(dg_npz *z, const dg_npz_array *a, dg_error *err) {
  if (dg_dtype_size(a->dtype) != 1) {
    dg_fail(err, DG_ERR_FORMAT, "%s: %.80s is no text", z->path, a->name);
    return NULL;
  }
  char *text = dg_alloc_checked(a->count + 1, 1, err);
  zip_file_t *f = text ? open_numbers(z, a, err) : NULL;
  bool ok = f && read_exactly(f, text, a->count, err) && at_end(f, err);
  if (f) zip_fclose(f);
  if (ok) {
    text[a->count] = 0;
    return text;
  }
  dg_error_context(err, "%s: %.80s", z->path, a->name);
  free(text);
  return NULL;
}
