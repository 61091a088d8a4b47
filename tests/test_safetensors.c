/* The container of all model files: what is written is what is read, and no
 * damage, by accident or by design, passes or crashes. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "mt/core/file.h"
#include "mt/core/mem.h"
#include "mt/core/rng.h"
#include "mt/core/safetensors.h"
#include "tests/sign.h"

static char *path; /* the file under test */

static int set_up(void **state) {
  (void)state;
  const char *tmp = getenv("TMPDIR");
  path = dg_format("%s/test_safetensors-%ld", tmp ? tmp : "/tmp", (long)getpid());
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  unlink(path);
  free(path);
  return 0;
}

static void put(const void *bytes, size_t n) {
  unlink(path); /* file systems write a truncated file to disk when it is closed */
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(bytes, 1, n, f), n);
  assert_int_equal(fclose(f), 0);
}

static uint8_t *get(size_t *n) {
  dg_mapping m;
  assert_true(dg_map(path, &m, NULL));
  uint8_t *bytes = dg_malloc(m.size);
  memcpy(bytes, m.data, m.size);
  *n = m.size;
  dg_unmap(&m);
  return bytes;
}

/* --- what is written is read ------------------------------------------------------------- */

static const float floats[6] = {1, -2.5f, 3e-38f, 4, 0, -0.0f};
static const int8_t bytes[5] = {-128, -1, 0, 1, 127};
static const double doubles[1] = {0.1};
static const int64_t longs[3] = {INT64_MIN, -1, INT64_MAX};
static const uint16_t halves[4] = {0x3F80, 0xBF80, 1, 2};

static dg_st_writer *sample(void) {
  dg_st_writer *w = dg_st_writer_new();
  dg_st_writer_metadata(w, "format", "test");
  dg_st_writer_metadata(w, "zeros", "00000000000000000000000000000000");
  dg_st_writer_metadata(w, "text", "\"quoted\" \\ \xC3\xA9\n");
  size_t matrix[] = {2, 3}, cube[] = {1, 2, 1, 2}, five = 5, three = 3, none = 0;
  dg_st_writer_add(w, "bytes", DG_I8, 1, &five, bytes);
  dg_st_writer_add(w, "matrix", DG_F32, 2, matrix, floats);
  dg_st_writer_add(w, "scalar", DG_F64, 0, NULL, doubles);
  dg_st_writer_add(w, "cube", DG_BF16_T, 4, cube, halves);
  dg_st_writer_add(w, "longs", DG_I64, 1, &three, longs);
  dg_st_writer_add(w, "empty", DG_F32, 1, &none, floats);
  return w;
}

static void write_sample(char hash[DG_HASH_TEXT]) {
  dg_error err;
  dg_st_writer *w = sample();
  if (!dg_st_writer_write(w, path, hash, &err)) fail_msg("%s", err.message);
  dg_st_writer_free(w);
}

static void check_tensor(const dg_safetensors *s, const char *name, dg_dtype dtype, size_t dims,
                         const size_t *shape, const void *data, size_t size) {
  const dg_st_tensor *t = dg_safetensors_find(s, name);
  assert_non_null(t);
  assert_int_equal(t->dtype, dtype);
  assert_int_equal(t->dims, dims);
  for (size_t i = 0; i < dims; i++) assert_int_equal(t->shape[i], shape[i]);
  assert_int_equal(t->bytes, size);
  if (size) assert_memory_equal(t->data, data, size);
  assert_int_equal((uintptr_t)t->data % dg_dtype_size(dtype), 0);
}

static void test_round_trip(void **state) {
  (void)state;
  char hash[DG_HASH_TEXT], again[DG_HASH_TEXT];
  write_sample(hash);
  dg_error err;
  dg_safetensors *s = dg_safetensors_open(path, false, &err);
  if (!s) fail_msg("%s", err.message);
  assert_int_equal(dg_safetensors_count(s), 6);
  check_tensor(s, "bytes", DG_I8, 1, (size_t[]){5}, bytes, 5);
  check_tensor(s, "matrix", DG_F32, 2, (size_t[]){2, 3}, floats, 24);
  check_tensor(s, "scalar", DG_F64, 0, NULL, doubles, 8);
  check_tensor(s, "cube", DG_BF16_T, 4, (size_t[]){1, 2, 1, 2}, halves, 8);
  check_tensor(s, "longs", DG_I64, 1, (size_t[]){3}, longs, 24);
  check_tensor(s, "empty", DG_F32, 1, (size_t[]){0}, NULL, 0);
  assert_null(dg_safetensors_find(s, "absent"));
  assert_null(dg_safetensors_find(s, "__metadata__"));
  assert_string_equal(dg_safetensors_metadata(s, "format"), "test");
  assert_string_equal(dg_safetensors_metadata(s, "text"), "\"quoted\" \\ \xC3\xA9\n");
  assert_null(dg_safetensors_metadata(s, "absent"));
  assert_string_equal(dg_safetensors_hash(s), hash);
  assert_string_equal(dg_safetensors_path(s), path);
  dg_safetensors_close(s);
  dg_safetensors_close(NULL);

  /* The hash is of the file with its digits read as zeros, and names its content. */
  size_t n, m;
  uint8_t *first = get(&n), *signed_again = get(&m);
  sign_again(signed_again, n);
  assert_memory_equal(first, signed_again, n);
  write_sample(again);
  uint8_t *second = get(&m);
  assert_int_equal(n, m);
  assert_memory_equal(first, second, n);
  assert_string_equal(hash, again);
  free(first);
  free(second);
  free(signed_again);

  dg_st_writer *w = sample();
  dg_st_writer_metadata(w, "format", "other");
  assert_true(dg_st_writer_write(w, path, again, &err));
  assert_string_not_equal(hash, again);
  assert_false(dg_st_writer_write(w, "model.gz", again, &err));
  assert_int_equal(err.status, DG_ERR_USAGE);
  assert_false(dg_st_writer_write(w, "/nonexistent/model", again, &err));
  assert_int_equal(err.status, DG_ERR_IO);
  dg_st_writer_free(w);
}

/* In any order, in parts, and into a pipe: the same bytes. */
static void test_parts(void **state) {
  (void)state;
  const size_t two[2] = {3, 2}, five = 5;
  char hash[DG_HASH_TEXT], parts[DG_HASH_TEXT];
  dg_error err;
  for (int split = 0; split < 2; split++) {
    dg_st_writer *w = dg_st_writer_new();
    dg_st_writer_add(w, "bytes", DG_I8, 1, &five, split ? NULL : bytes);
    dg_st_writer_add(w, "matrix", DG_F32, 2, two, split ? NULL : floats);
    if (!dg_st_writer_begin(w, path, &err)) fail_msg("%s", err.message);
    if (split) {
      assert_false(dg_st_writer_put(w, "bytes", 3, bytes, 3, &err));
      assert_false(dg_st_writer_put(w, "other", 0, bytes, 1, &err));
      assert_true(dg_st_writer_put(w, "bytes", 2, bytes + 2, 3, &err));
      assert_true(dg_st_writer_put(w, "matrix", 8, floats + 2, 16, &err));
      assert_true(dg_st_writer_put(w, "matrix", 0, floats, 8, &err));
      assert_false(dg_st_writer_commit(w, parts, &err));
      assert_non_null(strstr(err.message, "tensor bytes was not written whole"));
      assert_true(dg_st_writer_put(w, "bytes", 0, bytes, 2, &err));
    }
    if (!dg_st_writer_commit(w, split ? parts : hash, &err)) fail_msg("%s", err.message);
    dg_st_writer_free(w);
  }
  assert_string_equal(hash, parts);
  size_t n;
  uint8_t *want = get(&n), got[1024];
  unlink(path);
  dg_st_writer *w = dg_st_writer_new(); /* begun and left: no file, no temporary */
  dg_st_writer_add(w, "bytes", DG_I8, 1, &five, bytes);
  assert_true(dg_st_writer_begin(w, path, &err));
  char *temporary = dg_format("%s.tmp-%ld", path, (long)getpid());
  dg_st_writer_free(w);
  assert_int_not_equal(access(temporary, F_OK), 0);
  assert_int_not_equal(access(path, F_OK), 0);
  free(temporary);
  assert_int_equal(mkfifo(path, 0600), 0);
  int fd = open(path, O_RDONLY | O_NONBLOCK);
  w = dg_st_writer_new();
  dg_st_writer_add(w, "bytes", DG_I8, 1, &five, bytes);
  dg_st_writer_add(w, "matrix", DG_F32, 2, two, floats);
  if (!dg_st_writer_write(w, path, parts, &err)) fail_msg("%s", err.message);
  dg_st_writer_free(w);
  assert_true(n < sizeof got);
  assert_int_equal(read(fd, got, sizeof got), n);
  assert_memory_equal(got, want, n);
  close(fd);
  free(want);
}

/* --- damage by accident --------------------------------------------------------------------- */

static bool opens(bool foreign, dg_error *err) {
  dg_safetensors *s = dg_safetensors_open(path, foreign, err);
  if (s) { /* touch all of it */
    volatile uint8_t sum = 0;
    for (size_t i = 0; i < dg_safetensors_count(s); i++) {
      const dg_st_tensor *t = dg_safetensors_at(s, i);
      for (size_t k = 0; k < t->bytes; k++) sum = (uint8_t)(sum + ((const uint8_t *)t->data)[k]);
    }
  }
  dg_safetensors_close(s);
  return s != NULL;
}

static void assert_refused(bool foreign, const char *what, size_t at) {
  dg_error err = {0};
  if (opens(foreign, &err)) fail_msg("%s %zu passed", what, at);
  if (err.status == DG_OK || !strstr(err.message, path)) fail_msg("%s", err.message);
}

static void test_truncation(void **state) {
  (void)state;
  write_sample(NULL);
  size_t n;
  uint8_t *all = get(&n);
  for (size_t size = n; size-- > 0;)
    for (int foreign = 0; foreign < 2; foreign++) {
      assert_int_equal(truncate(path, (off_t)size), 0);
      assert_refused(foreign, "truncation to", size);
    }
  uint8_t *more = dg_calloc(1, n + 1);
  memcpy(more, all, n);
  put(more, n + 1);
  assert_refused(false, "a byte more than", n);
  sign_again(more, n + 1);
  put(more, n + 1);
  assert_refused(true, "a byte more than", n);
  free(more);
  free(all);
}

static void test_every_bit(void **state) {
  (void)state;
  write_sample(NULL);
  size_t n;
  uint8_t *all = get(&n);
  dg_error err;
  for (size_t bit = 0; bit < 8 * n; bit++) {
    all[bit / 8] ^= (uint8_t)(1u << bit % 8);
    put(all, n);
    assert_refused(false, "flip of bit", bit);
    /* With the right hash again a flip may pass, if it makes sense; or be refused. */
    uint8_t *copy = dg_malloc(n);
    memcpy(copy, all, n);
    sign_again(copy, n);
    put(copy, n);
    opens(false, &err);
    opens(true, &err);
    free(copy);
    all[bit / 8] ^= (uint8_t)(1u << bit % 8);
  }
  put(all, n);
  assert_true(opens(false, &err));
  free(all);
}

/* --- damage by design ------------------------------------------------------------------------ */

/* A file of this header and that many bytes of data. */
static void put_header(const char *json, size_t data) {
  size_t n = strlen(json);
  uint8_t *file = dg_calloc(1, 8 + n + data);
  for (int i = 0; i < 8; i++) file[i] = (uint8_t)(n >> 8 * i);
  memcpy(file + 8, json, n);
  put(file, 8 + n + data);
  free(file);
}

static void foreign(bool good, const char *json, size_t data) {
  dg_error err = {0};
  put_header(json, data);
  if (opens(true, &err) != good) fail_msg("%s: %s", json, good ? err.message : "passed");
  assert_false(opens(false, &err)); /* it has no hash of ours */
}

#define A "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}"
#define B(from, to) "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[" from "," to "]}"

static void test_places(void **state) {
  (void)state;
  foreign(true, "{" A "}", 8);
  foreign(true, "{" A "," B("8", "16") "}", 16);
  foreign(true, "{" B("8", "16") "," A "}   \n", 16);
  foreign(true, "{}", 0);
  foreign(true, "{\"__metadata__\":{}}", 0);
  foreign(false, "{" A "," B("4", "12") "}", 12);             /* overlap */
  foreign(false, "{" A "," B("0", "8") "}", 8);               /* the same bytes twice */
  foreign(false, "{" A "," B("12", "20") "}", 20);            /* a gap */
  foreign(false, "{" A "}", 9);                               /* bytes left over */
  foreign(false, "{}", 1);
  foreign(false, "{" A "}", 7);                               /* too few */
  foreign(false, "{" B("4", "12") "}", 12);                   /* a gap at the start */
  foreign(false, "{" B("8", "0") "}", 8);                     /* backwards */
  foreign(false, "{" B("0", "4") "}", 4);                     /* not its shape's size */
  foreign(false, "{" B("-8", "0") "}", 8);
  foreign(false, "{" B("0", "8.0") "}", 8);
  foreign(false, "{" B("0", "18446744073709551616") "}", 8);
  foreign(false, "{" B("9223372036854775800", "9223372036854775807") "}", 8);
  foreign(false, "{" B("\"0\"", "\"8\"") "}", 8);
}

#define T(fields) "{\"a\":{" fields "}}"
#define AT ",\"data_offsets\":[0,8]"

static void test_hostile_json(void **state) {
  (void)state;
  static const char *const bad[] = {
      "", " ", "[]", "null", "1", "\"a\"", "{", "}", "{\"a\"", "{\"a\":}", "{\"a\":1}",
      "{\"a\":null}", "{\"a\":[]}", "{\"a\":{}}", "{" A "}x", "{" A "," A "}",
      "{\"__metadata__\":1," A "}", "{\"__metadata__\":[]," A "}", "{" A ",}", "\xEF\xBB\xBF{" A "}",
      "{\"\xFF\":{\"dtype\":\"F32\",\"shape\":[2]" AT "}}",
      "{\"a\\u0000b\":{\"dtype\":\"F32\",\"shape\":[2]" AT "}}",
      T("\"dtype\":\"F31\",\"shape\":[2]" AT), T("\"dtype\":\"\",\"shape\":[2]" AT),
      T("\"dtype\":4,\"shape\":[2]" AT), T("\"shape\":[2]" AT), T("\"dtype\":\"F32\"" AT),
      T("\"dtype\":\"F32\",\"shape\":2" AT), T("\"dtype\":\"F32\",\"shape\":{}" AT),
      T("\"dtype\":\"F32\",\"shape\":[-2]" AT), T("\"dtype\":\"F32\",\"shape\":[2.0]" AT),
      T("\"dtype\":\"F32\",\"shape\":[\"2\"]" AT), T("\"dtype\":\"F32\",\"shape\":[null]" AT),
      T("\"dtype\":\"F32\",\"shape\":[1,1,1,1,2]" AT),
      /* Products that wrap around to the right size. */
      T("\"dtype\":\"F32\",\"shape\":[4611686018427387906]" AT),
      T("\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,2]" AT),
      T("\"dtype\":\"F32\",\"shape\":[9223372036854775807,2]" AT),
      T("\"dtype\":\"F32\",\"shape\":[2]"), T("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":8"),
      T("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8]"),
      T("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4,8]"),
      T("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[null,8]"),
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) foreign(false, bad[i], 8);
  foreign(true, T("\"dtype\":\"F64\",\"shape\":[]" AT), 8);
  foreign(true, T("\"dtype\":\"U8\",\"shape\":[2,1,4,1]" AT), 8);

  /* A hundred thousand brackets, and a name as long as an error message twice over. */
  dg_strbuf deep = {0};
  dg_strbuf_add(&deep, "{\"a\":");
  for (int i = 0; i < 100000; i++) dg_strbuf_addc(&deep, i % 2 ? '[' : '{');
  foreign(false, deep.text, 8);
  dg_strbuf_clear(&deep);
  dg_strbuf_add(&deep, "{\"a\":");
  for (int i = 0; i < 100000; i++) dg_strbuf_addc(&deep, '[');
  foreign(false, deep.text, 8);
  dg_strbuf_clear(&deep);
  dg_strbuf_add(&deep, "{\"");
  for (int i = 0; i < 1200; i++) dg_strbuf_addc(&deep, 'n');
  dg_strbuf_add(&deep, "\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}");
  foreign(false, deep.text, 8);
  free(deep.text);
}

static void test_header_length(void **state) {
  (void)state;
  static const uint64_t lengths[] = {0, 1, 73, 75, 1 << 20, 100 << 20, (100 << 20) + 1,
                                     UINT64_C(1) << 32, INT64_MAX, UINT64_MAX - 7, UINT64_MAX};
  char json[] = "{" A "}";
  uint8_t file[8 + sizeof json - 1 + 8];
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
    memset(file, 0, sizeof file);
    memcpy(file + 8, json, sizeof json - 1);
    if (lengths[i] == sizeof json - 1) continue;
    for (int k = 0; k < 8; k++) file[k] = (uint8_t)(lengths[i] >> 8 * k);
    put(file, sizeof file);
    assert_refused(true, "header length", i);
  }
}

static void test_hash_key(void **state) {
  (void)state;
  static const char *const hashes[] = {"\"\"", "\"x\"", "1", "null", "{}",
                                       "\"0123456789abcdef0123456789abcdef0\"",
                                       "\"00000000000000000000000000000000\"",
                                       "\"\\u0030000000000000000000000000000000\""};
  for (size_t i = 0; i < sizeof hashes / sizeof *hashes; i++) {
    char json[300];
    snprintf(json, sizeof json, "{\"__metadata__\":{\"dragoman.hash\":%s}," A "}", hashes[i]);
    put_header(json, 8);
    assert_refused(false, "hash", i);
  }
  dg_error err = {0};
  put_header("{" A "}", 8);
  assert_false(opens(false, &err));
  assert_non_null(strstr(err.message, "not written by dragoman"));
  unlink(path);
  assert_false(opens(true, &err));
  assert_int_equal(err.status, DG_ERR_IO);
}

/* Random headers made of the right words in the wrong order. */
static void test_fuzz(void **state) {
  (void)state;
  static const char *const words[] = {"{",  "}",     "[",       "]",      ":",  ",",
                                      "0",  "8",     "\"a\"",   "\"b\"",  "-1", "\"F32\"",
                                      "16", "1e300", "\"dtype\"", "\"shape\"", "\"data_offsets\"",
                                      "\"__metadata__\"", "\"dragoman.hash\"", A, "null", "true",
                                      B("8", "16"), "\"0123456789abcdef0123456789abcdef\""};
  dg_rng r = {dg_rng_key(9, 9), 0};
  dg_error err;
  for (int i = 0; i < 5000; i++) {
    dg_strbuf json = {0};
    dg_strbuf_add(&json, "{");
    for (size_t n = dg_rng_below(&r, 12); n > 0; n--)
      dg_strbuf_add(&json, words[dg_rng_below(&r, sizeof words / sizeof *words)]);
    dg_strbuf_add(&json, "}");
    put_header(json.text, 8 * dg_rng_below(&r, 4));
    opens(true, &err);
    free(json.text);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_round_trip),    cmocka_unit_test(test_truncation),
      cmocka_unit_test(test_every_bit),     cmocka_unit_test(test_places),
      cmocka_unit_test(test_hostile_json),  cmocka_unit_test(test_header_length),
      cmocka_unit_test(test_hash_key),      cmocka_unit_test(test_fuzz),
      cmocka_unit_test(test_parts),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
