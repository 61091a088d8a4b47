/* Public checkpoints in every layout (tests/goldens/import_checkpoint.py) give the same
 * numbers, and what is damaged or hostile gives one line of complaint. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <zip.h>

#include "mt/core/file.h"
#include "mt/core/mem.h"
#include "mt/core/rng.h"
#include "mt/import/checkpoint.h"
#include "mt/import/pickle.h"

#define DIR "tests/import/checkpoint/"

static char *scratch; /* a directory for files made here */

static int set_up(void **state) {
  (void)state;
  const char *tmp = getenv("TMPDIR");
  scratch = dg_format("%s/checkpoint", tmp ? tmp : "/tmp");
  mkdir(scratch, 0777);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  free(scratch);
  return 0;
}

static void put(const char *name, const void *bytes, size_t n) {
  char *path = dg_format("%s/%s", scratch, name);
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(bytes, 1, n, f), n);
  assert_int_equal(fclose(f), 0);
  free(path);
}

static void drop(const char *name) {
  char *path = dg_format("%s/%s", scratch, name);
  remove(path);
  free(path);
}

static dg_checkpoint *opened(const char *directory) {
  dg_error err;
  dg_checkpoint *c = dg_checkpoint_open(directory, &err);
  if (!c) fail_msg("%s", err.message);
  return c;
}

/* Opens and reads everything that is a number; false with the first error. */
static bool read_all(const char *directory, dg_error *err) {
  dg_checkpoint *c = dg_checkpoint_open(directory, err);
  bool ok = c != NULL;
  for (size_t i = 0; ok && i < dg_checkpoint_count(c); i++) {
    const dg_checkpoint_tensor *t = dg_checkpoint_at(c, i);
    if (t->dtype > DG_F64) continue;
    float *x = dg_malloc((t->count + 1) * sizeof *x);
    ok = dg_checkpoint_read(c, t, 0, t->count, x, err);
    free(x);
  }
  dg_checkpoint_close(c);
  return ok;
}

static void complains(const char *directory, const char *word) {
  dg_error err;
  if (read_all(directory, &err)) fail_msg("%s was taken; it should say \"%s\"", directory, word);
  if (!strstr(err.message, word)) fail_msg("\"%s\" lacks \"%s\"", err.message, word);
  assert_null(strchr(err.message, '\n'));
}

static void test_layouts(void **state) {
  (void)state;
  static const char *const layouts[] = {"safetensors", "shards", "bin", "bin_shards", "bin4"};
  dg_error err;
  dg_safetensors *expected = dg_safetensors_open(DIR "expected.safetensors", true, &err);
  if (!expected) fail_msg("%s", err.message);
  for (size_t l = 0; l < 5; l++) {
    char *path = dg_format(DIR "%s", layouts[l]);
    dg_checkpoint *c = opened(path);
    assert_int_equal(dg_checkpoint_count(c), dg_safetensors_count(expected) + 1);
    for (size_t i = 0; i < dg_safetensors_count(expected); i++) {
      const dg_st_tensor *want = dg_safetensors_at(expected, i);
      const dg_checkpoint_tensor *t = dg_checkpoint_find(c, want->name);
      if (!t) fail_msg("%s lacks %s", path, want->name);
      assert_int_equal(t->dims, want->dims);
      for (size_t d = 0; d < t->dims; d++) assert_int_equal(t->shape[d], want->shape[d]);
      assert_int_equal(t->count * sizeof(float), want->bytes);
      float *got = dg_malloc(want->bytes + 1);
      if (!dg_checkpoint_read(c, t, 0, t->count, got, &err)) fail_msg("%s", err.message);
      if (memcmp(got, want->data, want->bytes)) fail_msg("%s: %s differs", path, want->name);
      free(got);
    }
    const dg_checkpoint_tensor *ids = dg_checkpoint_find(c, "ids");
    assert_non_null(ids);
    assert_int_equal(ids->dtype, DG_I64);
    float none[4];
    assert_false(dg_checkpoint_read(c, ids, 0, ids->count, none, &err));
    assert_non_null(strstr(err.message, "tensor ids has type I64"));
    assert_null(dg_checkpoint_find(c, "step"));
    dg_checkpoint_close(c);
    free(path);
  }
  dg_safetensors_close(expected);
}

static void test_refused(void **state) {
  (void)state;
  complains(DIR "hostile", "asks for posix.system");
  complains(DIR "old", "PyTorch before 1.6");
  complains(DIR "no-such-place", "there is no model.safetensors");
}

/* --- pickles by hand ---------------------------------------------------------------------- */

#define GLOBAL(module, name) "c" module "\n" name "\n"
#define STORAGE(count)                                                                   \
  "(X\7\0\0\0storage" GLOBAL("torch", "FloatStorage") "X\1\0\0\0" "0X\3\0\0\0cpu" count \
  "tQ"
#define VALUE(count, offset, shape, stride)                                                 \
  GLOBAL("torch._utils", "_rebuild_tensor_v2")                                             \
  "(" STORAGE(count) offset shape stride "\x89" GLOBAL("collections", "OrderedDict") ")RtR"
/* A dictionary with the tensor "w". */
#define TENSOR(count, offset, shape, stride) \
  "\x80\2}X\1\0\0\0w" VALUE(count, offset, shape, stride) "s."

static void test_pickles(void **state) {
  (void)state;
  static const struct {
    const char *bytes;
    size_t n;
    const char *message; /* NULL: one tensor */
  } cases[] = {
#define CASE(bytes, message) {bytes, sizeof bytes - 1, message}
      CASE(TENSOR("K\6", "K\0", "K\2K\3\x86", "K\3K\1\x86"), NULL),
      CASE(TENSOR("K\6", "K\5", ")", ")"), NULL),
      CASE(TENSOR("K\6", "K\1", "K\2K\3\x86", "K\3K\1\x86"), "outside its storage"),
      CASE(TENSOR("K\6", "K\0", "K\2K\3\x86", "K\4K\1\x86"), "outside its storage"),
      CASE(TENSOR("K\6", "K\6", ")", ")"), "outside its storage"),
      CASE(TENSOR("K\6", "K\0", "K\7\x85", "K\0\x85"), "outside its storage"),
      CASE(TENSOR("K\6", "K\0", "K\2K\3\x86", "K\1\x85"), "outside its storage"),
      CASE(TENSOR("K\6", "J\xff\xff\xff\xff", "K\1\x85", "K\1\x85"), "lacks its storage"),
      CASE(TENSOR("K\6", "K\0", "J\xff\xff\xff\xff\x85", "K\1\x85"), "outside its storage"),
      CASE(TENSOR("J\xff\xff\xff\xff", "K\0", "K\1\x85", "K\1\x85"), "not to a storage"),
      CASE(TENSOR("\x8a\x8\xff\xff\xff\xff\xff\xff\xff\x7f", "K\0",
                  "\x8a\x8\xff\xff\xff\xff\xff\xff\xff\x7f" "K\4\x86", "K\4K\1\x86"),
           "outside its storage"),
      CASE(TENSOR("K\6", "K\0", "(K\1K\1K\1K\1K\1t", "(K\1K\1K\1K\1K\1t"), "5 dimensions"),
      CASE("\x80\2" GLOBAL("builtins", "eval") "X\1\0\0\0" "1\x85R.", "builtins.eval"),
      CASE("\x80\4\x8c\2os\x8c\6system\x93.", "os.system"),
      CASE("\x80\2" GLOBAL("torch", "FloatStorage\x1b[2J") ".", "torch.FloatStorage?[2J"),
      CASE("\x80\2" GLOBAL("collections", "OrderedDict") "K\1\x85R.", "calls what"),
      CASE("\x80\2" GLOBAL("torch", "FloatStorage") ")R.", "calls what"),
      CASE("\x80\2)\x81.", "opcode 0x81"),
      CASE("\x80\2(cos\nsystem\no.", "os.system"),
      CASE("\x80\2(ios\nsystem\n.", "opcode 0x69"),
      CASE("\x80\2P0\n.", "opcode 0x50"),
      CASE("\x80\2\x82\1.", "opcode 0x82"),
      CASE("\x80\2}K\1b.", "state of an object"),
      CASE("\x80\2).", "no dictionary"),
      CASE("\x80\2}}.", "no dictionary"),
      CASE("\x80\2.", "no dictionary"),
      CASE("\x80\2}", "ends too early"),
      CASE("", "ends too early"),
      CASE("\x80\1}.", "protocol"),
      CASE("\x80\2X\xff\xff\xff\xff" "abc", "ends too early"),
      CASE("\x80\2}r\xff\xff\xff\xff.", "more values than"),
      CASE("\x80\2j\xff\xff\xff\xff.", "never stored"),
      CASE("\x80\2h\0.", "never stored"),
      CASE("\x80\2(q\0.", "nothing to remember"),
      CASE("\x80\2}(K\1u.", "no dictionary"),
      CASE("\x80\2K\1K\2s.", "no dictionary"),
      CASE("\x80\2(s.", "stack is empty"),
      CASE("\x80\2}K\1a.", "no list"),
      CASE("\x80\2t.", "no mark"),
      CASE("\x80\2u.", "no mark"),
      CASE("\x80\2\x87.", "stack is empty"),
      CASE("\x80\2Q.", "stack is empty"),
      CASE("\x80\2R.", "no arguments"),
      CASE("\x80\2)R.", "no arguments"),
      CASE("\x80\2\x8a\xff.", "64 bits"),
      CASE("\x80\2X\2\0\0\0a\0.", "a NUL"),
#undef CASE
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    /* A copy of its own, so that a read past its end is noticed. */
    uint8_t *bytes = dg_malloc(cases[i].n + 1);
    bytes = dg_realloc(memcpy(bytes, cases[i].bytes, cases[i].n), cases[i].n ? cases[i].n : 1);
    dg_pickle p;
    dg_error err;
    bool ok = dg_pickle_read(bytes, cases[i].n, &p, &err);
    if (!cases[i].message) {
      if (!ok) fail_msg("case %zu: %s", i, err.message);
      assert_int_equal(p.count, 1);
      assert_string_equal(p.tensors[0].name, "w");
    } else {
      if (ok) fail_msg("case %zu was taken; it should say \"%s\"", i, cases[i].message);
      if (!strstr(err.message, cases[i].message))
        fail_msg("case %zu: \"%s\" lacks \"%s\"", i, err.message, cases[i].message);
    }
    dg_pickle_free(&p);
    free(bytes);
  }
}

/* A million tuples in one another, and a million marks. */
static void test_depth(void **state) {
  (void)state;
  enum { DEPTH = 1000000 };
  uint8_t *bytes = dg_malloc(DEPTH + 4);
  memcpy(bytes, "\x80\2)", 3);
  dg_pickle p;
  dg_error err;
  for (int marks = 0; marks < 2; marks++) {
    memset(bytes + 3, marks ? '(' : 0x85, DEPTH);
    bytes[DEPTH + 3] = '.';
    assert_false(dg_pickle_read(bytes, DEPTH + 4, &p, &err));
    assert_non_null(strstr(err.message, "no dictionary"));
  }
  free(bytes);
}

/* A name of 2 MB that half a million entries share: a copy for each would be a terabyte. */
static void test_long_names(void **state) {
  (void)state;
  enum { LENGTH = 2 << 20, ENTRIES = 400000 };
  static const char tensor[] = VALUE("K\2", "K\0", "K\2\x85", "K\1\x85");
  const uint32_t length = LENGTH;
  for (int storage = 0; storage < 2; storage++) {
    dg_strbuf b = {0};
    char *name = dg_malloc(LENGTH);
    memset(name, 'n', LENGTH);
    dg_strbuf_addn(&b, "\x80\2}(X", 5);
    dg_strbuf_addn(&b, (const char *)&length, 4);
    dg_strbuf_addn(&b, name, LENGTH);
    dg_strbuf_addn(&b, "q\0", 2);
    if (storage) { /* ("storage", FloatStorage, name, "cpu", 2) */
      static const char named[] = "(X\7\0\0\0storage" GLOBAL("torch", "FloatStorage")
          "h\0X\3\0\0\0cpuK\2tQ";
      dg_strbuf_addn(&b, named, sizeof named - 1);
    } else {
      dg_strbuf_addn(&b, tensor, sizeof tensor - 1);
      dg_strbuf_addn(&b, "q\1", 2);
      for (size_t i = 0; i < ENTRIES; i++) dg_strbuf_addn(&b, "h\0h\1", 4);
    }
    dg_strbuf_addn(&b, "u.", 2);
    dg_pickle p;
    dg_error err;
    assert_false(dg_pickle_read((const uint8_t *)b.text, b.length, &p, &err));
    if (!strstr(err.message, "name has no end")) fail_msg("%s", err.message);
    free(name);
    free(b.text);
  }
}

static size_t pickle_of(const char *path, uint8_t **out) {
  zip_t *z = zip_open(path, ZIP_RDONLY, NULL);
  assert_non_null(z);
  zip_stat_t s;
  assert_int_equal(zip_stat(z, "pytorch_model/data.pkl", 0, &s), 0);
  zip_file_t *f = zip_fopen_index(z, s.index, 0);
  *out = dg_malloc(s.size);
  assert_int_equal(zip_fread(f, *out, s.size), s.size);
  zip_fclose(f);
  zip_discard(z);
  return s.size;
}

/* Pickles with a few bytes changed: any answer will do, as long as there is one. */
static void test_mutations(void **state) {
  (void)state;
  static const char *const files[] = {DIR "bin/pytorch_model.bin", DIR "bin4/pytorch_model.bin"};
  static const uint8_t opcodes[] =
      "\x80}])(t\x85\x86\x87suaebRQXJKMGN\x88\x89qrhj\x94\x93\x95\x8c.c";
  dg_rng r = {dg_rng_key(1, 0), 0};
  for (size_t k = 0; k < 2; k++) {
    uint8_t *bytes;
    size_t n = pickle_of(files[k], &bytes), taken = 0;
    for (int i = 0; i < 4000; i++) {
      size_t cut = dg_rng_below(&r, 8) ? n : dg_rng_below(&r, n);
      uint8_t *copy = memcpy(dg_malloc(cut + 1), bytes, cut);
      copy = dg_realloc(copy, cut ? cut : 1);
      for (uint64_t c = dg_rng_below(&r, 4); cut && c > 0; c--)
        copy[dg_rng_below(&r, cut)] = dg_rng_below(&r, 2)
                                          ? opcodes[dg_rng_below(&r, sizeof opcodes - 1)]
                                          : (uint8_t)dg_rng_below(&r, 256);
      dg_pickle p;
      dg_error err = {0};
      bool ok = dg_pickle_read(copy, cut, &p, &err);
      taken += ok;
      assert_true(ok || *err.message);
      dg_pickle_free(&p);
      free(copy);
    }
    assert_true(taken > 400 && taken < 3600);
    free(bytes);
  }
}

/* --- damaged files ------------------------------------------------------------------------ */

static void test_damage(void **state) {
  (void)state;
  static const char *const names[] = {"model.safetensors", "pytorch_model.bin"};
  static const char *const paths[] = {DIR "safetensors/model.safetensors",
                                      DIR "bin/pytorch_model.bin"};
  for (size_t k = 0; k < 2; k++) {
    dg_mapping map;
    dg_error err;
    assert_true(dg_map(paths[k], &map, &err));
    for (size_t n = 0; n < map.size; n += n < 2000 ? 61 : 997) {
      put(names[k], map.data, n);
      if (read_all(scratch, &err)) fail_msg("%s was taken with %zu bytes", names[k], n);
      assert_true(*err.message && !strchr(err.message, '\n'));
    }
    put(names[k], map.data, map.size);
    if (!read_all(scratch, &err)) fail_msg("%s", err.message);
    uint8_t *copy = memcpy(dg_malloc(map.size), map.data, map.size);
    copy[map.size / 2] ^= 1; /* in the middle of the numbers: a zip has a checksum of them */
    put(names[k], copy, map.size);
    if (k) complains(scratch, "damaged");
    free(copy);
    dg_unmap(&map);
    drop(names[k]);
  }
}

static void safetensors_says(const char *header, uint64_t length, const char *word) {
  dg_strbuf file = {0};
  for (int i = 0; i < 8; i++) dg_strbuf_addc(&file, (char)(length >> 8 * i));
  dg_strbuf_add(&file, header);
  dg_strbuf_addn(&file, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
  put("model.safetensors", file.text, file.length);
  complains(scratch, word);
  free(file.text);
  drop("model.safetensors");
}

static void test_hostile_safetensors(void **state) {
  (void)state;
  const char *overlap = "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                        "\"b\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[4,16]}}";
  safetensors_says(overlap, strlen(overlap), "tensor b begins at byte 4, not 8");
  safetensors_says(overlap, UINT64_C(1) << 63, "longer than the file");
  safetensors_says("{}", 2, "left over");
}

static void index_says(const char *map, const char *word) {
  char *json = dg_format("{\"weight_map\": %s}", map);
  put("model.safetensors.index.json", json, strlen(json));
  complains(scratch, word);
  free(json);
}

static void test_indexes(void **state) {
  (void)state;
  dg_mapping map;
  dg_error err;
  assert_true(dg_map(DIR "shards/model-00001-of-00002.safetensors", &map, &err));
  put("one.safetensors", map.data, map.size);
  dg_unmap(&map);
  index_says("{\"turned\": \"one.safetensors\", \"x\": \"two.safetensors\"}", "two.safetensors");
  index_says("{\"turned\": \"one.safetensors\", \"x\": \"one.safetensors\"}",
             "says that x is in one.safetensors");
  index_says("{\"turned\": \"../one.safetensors\"}", "no plain file name");
  index_says("{\"turned\": 3}", "no plain file name");
  index_says("{}", "holds no tensors");
  index_says("[]", "no \"weight_map\"");
  index_says("{", "no \"weight_map\"");
  const char *good = "{\"weight_map\": {\"turned\": \"one.safetensors\"}}";
  put("model.safetensors.index.json", good, strlen(good));
  dg_checkpoint *c = opened(scratch); /* what the index does not name is not there */
  assert_int_equal(dg_checkpoint_count(c), 1);
  dg_checkpoint_close(c);
  drop("model.safetensors.index.json");
  drop("one.safetensors");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_layouts),   cmocka_unit_test(test_refused),
      cmocka_unit_test(test_pickles),   cmocka_unit_test(test_depth),
      cmocka_unit_test(test_long_names),
      cmocka_unit_test(test_mutations), cmocka_unit_test(test_damage),
      cmocka_unit_test(test_hostile_safetensors), cmocka_unit_test(test_indexes),
  };
  return cmocka_run_group_tests_name("import_checkpoint", tests, set_up, tear_down);
}
