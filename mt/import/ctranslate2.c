#include "mt/import/ctranslate2.h"

#include <stdlib.h>
#include <string.h>

#include "mt/core/mem.h"
#include "mt/import/number.h"

enum { OLDEST = 2, NEWEST = 6, VARIABLES_MOST = 1 << 17 };
enum { OLD_INT16_SCALE = 1000 }; /* of files that state none */

typedef struct alias {
  char *name, *of;
} alias;

struct dg_ct2 {
  uint32_t version;
  char *spec;
  dg_ct2_variable *variables; /* sorted by name */
  size_t count, capacity;
  alias *aliases; /* sorted by name */
  size_t alias_count, alias_capacity;
};

typedef struct reader {
  const uint8_t *begin, *at, *end;
  dg_error *err;
} reader;

static bool cut_off(const reader *r) {
  return dg_fail(r->err, DG_ERR_FORMAT, "it is cut off at byte %zu", (size_t)(r->at - r->begin));
}

/* Numbers are little-endian. */
static bool take(reader *r, size_t bytes, uint32_t *out) {
  *out = 0;
  if ((size_t)(r->end - r->at) < bytes) return cut_off(r);
  for (size_t i = bytes; i-- > 0;) *out = *out << 8 | r->at[i];
  r->at += bytes;
  return true;
}

/* A length that counts the NUL at the end. */
static bool take_string(reader *r, char **out) {
  uint32_t n;
  if (!take(r, 2, &n)) return false;
  if ((size_t)(r->end - r->at) < n) return cut_off(r);
  if (!n || r->at[n - 1] || memchr(r->at, 0, n - 1))
    return dg_fail(r->err, DG_ERR_FORMAT, "there is no name at byte %zu",
                   (size_t)(r->at - r->begin));
  *out = dg_strndup((const char *)r->at, n - 1);
  r->at += n;
  return true;
}

static bool find_dtype(uint32_t version, uint32_t code, dg_dtype *out) {
  static const dg_dtype types[] = {DG_F32, DG_I8, DG_I16, DG_I32, DG_F16, DG_BF16_T};
  static const dg_dtype by_size[] = {DG_BOOL, DG_I8, DG_I16, DG_BOOL, DG_F32};
  if (version >= 4) {
    if (code >= sizeof types / sizeof *types) return false;
    *out = types[code];
  } else {
    if (code >= sizeof by_size / sizeof *by_size || by_size[code] == DG_BOOL) return false;
    *out = by_size[code];
  }
  return true;
}

static bool read_variable(dg_ct2 *m, reader *r) {
  DG_GROW(m->variables, m->capacity, m->count + 1);
  dg_ct2_variable *v = &m->variables[m->count++];
  *v = (dg_ct2_variable){.count = 1};
  uint32_t rank, extent, type, bytes;
  if (!take_string(r, &v->name) || !take(r, 1, &rank)) return false;
  if (rank > DG_ST_DIMS)
    return dg_fail(r->err, DG_ERR_UNSUPPORTED, "%.80s has %u dimensions", v->name, rank);
  v->dims = rank;
  for (size_t i = 0; i < rank; i++) {
    if (!take(r, 4, &extent)) return false;
    v->shape[i] = extent;
    if (__builtin_mul_overflow(v->count, v->shape[i], &v->count))
      return dg_fail(r->err, DG_ERR_FORMAT, "%.80s is larger than any file", v->name);
  }
  if (!take(r, 1, &type) || !take(r, 4, &bytes)) return false;
  if (!find_dtype(m->version, type, &v->dtype))
    return dg_fail(r->err, DG_ERR_UNSUPPORTED, "%.80s has the unknown type %u", v->name, type);
  size_t size = bytes, expected; /* before version 4 it counts numbers */
  if (m->version < 4) size *= dg_dtype_size(v->dtype);
  if (__builtin_mul_overflow(v->count, dg_dtype_size(v->dtype), &expected) || size != expected)
    return dg_fail(r->err, DG_ERR_FORMAT, "%.80s has %zu bytes, which is not what its shape says",
                   v->name, size);
  if ((size_t)(r->end - r->at) < size)
    return dg_fail(r->err, DG_ERR_FORMAT, "it is cut off in %.80s", v->name);
  v->data = r->at;
  r->at += size;
  return true;
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const dg_ct2_variable *)a)->name, ((const dg_ct2_variable *)b)->name);
}

static int by_alias(const void *a, const void *b) {
  return strcmp(((const alias *)a)->name, ((const alias *)b)->name);
}

static bool read_aliases(dg_ct2 *m, reader *r) {
  uint32_t count;
  if (!take(r, 4, &count)) return false;
  for (uint32_t i = 0; i < count; i++) {
    DG_GROW(m->aliases, m->alias_capacity, m->alias_count + 1);
    alias *a = &m->aliases[m->alias_count++];
    *a = (alias){0};
    if (!take_string(r, &a->name) || !take_string(r, &a->of)) return false;
  }
  if (m->alias_count) qsort(m->aliases, m->alias_count, sizeof *m->aliases, by_alias);
  return true;
}

static bool read_model(dg_ct2 *m, reader *r) {
  uint32_t revision, count; /* of the specification: nothing goes by it */
  if (!take(r, 4, &m->version)) return false;
  if (m->version < OLDEST || m->version > NEWEST)
    return dg_fail(r->err, DG_ERR_UNSUPPORTED,
                   "binary version %u of CTranslate2, or no model.bin at all; versions %d to %d "
                   "are read",
                   m->version, OLDEST, NEWEST);
  if (!take_string(r, &m->spec) || !take(r, 4, &revision) || !take(r, 4, &count)) return false;
  if (count > VARIABLES_MOST)
    return dg_fail(r->err, DG_ERR_FORMAT, "it claims %u variables; %d are the most", count,
                   VARIABLES_MOST);
  for (uint32_t i = 0; i < count; i++)
    if (!read_variable(m, r)) return false;
  if (m->count) qsort(m->variables, m->count, sizeof *m->variables, by_name);
  for (size_t i = 1; i < m->count; i++)
    if (!by_name(&m->variables[i - 1], &m->variables[i]))
      return dg_fail(r->err, DG_ERR_FORMAT, "%.80s is there twice", m->variables[i].name);
  if (m->version >= 3 && !read_aliases(m, r)) return false;
  return r->at == r->end || dg_fail(r->err, DG_ERR_FORMAT, "%zu bytes follow its end",
                                    (size_t)(r->end - r->at));
}

dg_ct2 *dg_ct2_open(const uint8_t *bytes, size_t size, dg_error *err) {
  dg_ct2 *m = dg_calloc(1, sizeof *m);
  reader r = {bytes, bytes, bytes + size, err};
  if (read_model(m, &r)) return m;
  dg_ct2_close(m);
  return NULL;
}

void dg_ct2_close(dg_ct2 *m) {
  if (!m) return;
  for (size_t i = 0; i < m->count; i++) free(m->variables[i].name);
  for (size_t i = 0; i < m->alias_count; i++) {
    free(m->aliases[i].name);
    free(m->aliases[i].of);
  }
  free(m->variables);
  free(m->aliases);
  free(m->spec);
  free(m);
}

uint32_t dg_ct2_version(const dg_ct2 *m) { return m->version; }
const char *dg_ct2_spec(const dg_ct2 *m) { return m->spec; }

static const dg_ct2_variable *find_variable(const dg_ct2 *m, const char *name) {
  dg_ct2_variable key = {.name = (char *)(uintptr_t)name};
  return m->count ? bsearch(&key, m->variables, m->count, sizeof *m->variables, by_name) : NULL;
}

const dg_ct2_variable *dg_ct2_find(const dg_ct2 *m, const char *name) {
  const dg_ct2_variable *v = find_variable(m, name);
  if (v || !m->alias_count) return v;
  alias key = {.name = (char *)(uintptr_t)name};
  const alias *a = bsearch(&key, m->aliases, m->alias_count, sizeof *m->aliases, by_alias);
  return a ? find_variable(m, a->of) : NULL;
}

bool dg_ct2_check(const dg_ct2 *m, bool (*passes)(const char *name, dg_error *err), dg_error *err) {
  for (size_t i = 0; i < m->count; i++)
    if (!passes(m->variables[i].name, err)) return false;
  return true;
}

static double number_at(const dg_ct2_variable *v, size_t i) {
  const uint8_t *p = v->data + i * dg_dtype_size(v->dtype);
  int16_t h;
  int32_t n;
  switch (v->dtype) {
    case DG_I8: return (int8_t)*p;
    case DG_I16: memcpy(&h, p, sizeof h); return h;
    case DG_I32: memcpy(&n, p, sizeof n); return n;
    default: return (double)dg_number(v->dtype, p);
  }
}

double dg_ct2_number(const dg_ct2 *m, const char *name, double absent) {
  const dg_ct2_variable *v = dg_ct2_find(m, name);
  return v && v->count == 1 ? number_at(v, 0) : absent;
}

bool dg_ct2_rows(const dg_ct2 *m, const dg_ct2_variable *v, size_t first, size_t count, float *out,
                 dg_error *err) {
  size_t cols = v->dims > 1 ? v->shape[v->dims - 1] : 1;
  bool whole = v->dtype == DG_I8 || v->dtype == DG_I16;
  const dg_ct2_variable *scale = NULL;
  if (whole) {
    char *name = dg_format("%s_scale", v->name);
    scale = find_variable(m, name);
    free(name);
    size_t rows = cols ? v->count / cols : 0;
    bool fits = scale && scale->dtype == DG_F32 && (scale->count == 1 || scale->count == rows);
    if (!fits && (scale || v->dtype == DG_I8))
      return dg_fail(err, DG_ERR_FORMAT, "%.80s has no scale a row", v->name);
  } else if (v->dtype == DG_I32) {
    return dg_fail(err, DG_ERR_FORMAT, "%.80s has type I32, which is none of weights", v->name);
  }
  for (size_t r = 0; r < count; r++) {
    size_t row = first + r;
    double k = !whole ? 1
               : scale ? number_at(scale, scale->count == 1 ? 0 : row)
                       : OLD_INT16_SCALE;
    for (size_t c = 0; c < cols; c++) {
      double x = number_at(v, row * cols + c);
      out[r * cols + c] = (float)(whole ? x / k : x);
    }
  }
  return true;
}
