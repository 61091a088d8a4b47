/* An import has a few rows in memory, never a tensor: the peak is the same whether the
 * checkpoint is small or its tensors are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>
#include <zip.h>

#include "mt/core/file.h"
#include "mt/core/mem.h"
#include "mt/import/import.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

#define FROM "tests/import/base/m2m100/"
enum { VOCAB = 1309, SMALL = 4, WIDTH = 512, FFN = 8192 }; /* a matrix is 16 MB */

static char *scratch;

static char *in_scratch(const char *name) { return dg_format("%s/%s", scratch, name); }

static int set_up(void **state) {
  (void)state;
  const char *tmp = getenv("TMPDIR");
  scratch = dg_format("%s/import_memory-%ld", tmp ? tmp : "/tmp", (long)getpid());
  char *command = dg_format("rm -rf '%s' && mkdir '%s' && cp " FROM "*.json " FROM "*.model '%s'",
                            scratch, scratch, scratch);
  int status = system(command);
  free(command);
  return status;
}

static int tear_down(void **state) {
  (void)state;
  char *command = dg_format("rm -rf '%s'", scratch);
  int status = system(command);
  free(command);
  free(scratch);
  return status;
}

static void drop(const char *name) {
  char *path = in_scratch(name);
  unlink(path);
  free(path);
}

/* --- checkpoints of zeros ---------------------------------------------------------------- */

typedef struct maker {
  json_t *header; /* safetensors */
  size_t at;
  zip_t *zip;
  dg_strbuf pickle;
  size_t storages;
  float *zeros;
} maker;

static void add(maker *m, const char *name, size_t rows, size_t cols) {
  size_t bytes = rows * cols * 4;
  json_t *shape = rows == 1 ? json_pack("[I]", (json_int_t)cols)
                            : json_pack("[I,I]", (json_int_t)rows, (json_int_t)cols);
  json_object_set_new(m->header, name,
                      json_pack("{s:s,s:o,s:[I,I]}", "dtype", "F32", "shape", shape,
                                "data_offsets", (json_int_t)m->at, (json_int_t)(m->at + bytes)));
  m->at += bytes;
  char *entry = dg_format("archive/data/%zu", m->storages);
  zip_int64_t i = zip_file_add(m->zip, entry, zip_source_buffer(m->zip, m->zeros, bytes, 0), 0);
  assert_true(i >= 0);
  assert_int_equal(zip_set_file_compression(m->zip, (zip_uint64_t)i, ZIP_CM_STORE, 0), 0);
  free(entry);
  /* name: _rebuild_tensor_v2(storage, 0, shape, stride, False, OrderedDict()) */
  dg_strbuf *p = &m->pickle;
  const uint32_t n = (uint32_t)strlen(name), r = (uint32_t)rows, c = (uint32_t)cols;
  const uint32_t elements = r * c;
  char key[16];
  snprintf(key, sizeof key, "%zu", m->storages++);
  const uint32_t length = (uint32_t)strlen(key);
  dg_strbuf_addc(p, 'X');
  dg_strbuf_addn(p, (const char *)&n, 4);
  dg_strbuf_add(p, name);
  dg_strbuf_add(p, "ctorch._utils\n_rebuild_tensor_v2\n((X");
  dg_strbuf_addn(p, "\7\0\0\0storage", 11);
  dg_strbuf_add(p, "ctorch\nFloatStorage\nX");
  dg_strbuf_addn(p, (const char *)&length, 4);
  dg_strbuf_add(p, key);
  dg_strbuf_addn(p, "X\3\0\0\0cpuJ", 9);
  dg_strbuf_addn(p, (const char *)&elements, 4);
  dg_strbuf_addn(p, "tQK\0(J", 6);
  if (rows > 1) {
    dg_strbuf_addn(p, (const char *)&r, 4);
    dg_strbuf_addc(p, 'J');
  }
  dg_strbuf_addn(p, (const char *)&c, 4);
  dg_strbuf_add(p, "t(");
  if (rows > 1) {
    dg_strbuf_addc(p, 'J');
    dg_strbuf_addn(p, (const char *)&c, 4);
  }
  dg_strbuf_addn(p, "K\1t\x89" "ccollections\nOrderedDict\n)RtR", 33);
}

static void add_linear(maker *m, const char *path, const char *name, size_t out, size_t in) {
  char full[128];
  snprintf(full, sizeof full, "%s.%s.weight", path, name);
  add(m, full, out, in);
  snprintf(full, sizeof full, "%s.%s.bias", path, name);
  add(m, full, 1, out);
}

static void add_norm(maker *m, const char *path, size_t d) {
  char name[128];
  snprintf(name, sizeof name, "%s.weight", path);
  add(m, name, 1, d);
  snprintf(name, sizeof name, "%s.bias", path);
  add(m, name, 1, d);
}

static void add_stack(maker *m, const char *side, size_t d, size_t ffn) {
  static const char *const attentions[] = {"self_attn", "encoder_attn"};
  char layer[64], path[100], name[100];
  snprintf(layer, sizeof layer, "model.%s.layers.0", side);
  for (int i = 0; i <= (*side == 'd'); i++) {
    snprintf(path, sizeof path, "%s.%s", layer, attentions[i]);
    add_linear(m, path, "q_proj", d, d);
    add_linear(m, path, "k_proj", d, d);
    add_linear(m, path, "v_proj", d, d);
    add_linear(m, path, "out_proj", d, d);
    snprintf(name, sizeof name, "%s.%s_layer_norm", layer, attentions[i]);
    add_norm(m, name, d);
  }
  add_linear(m, layer, "fc1", ffn, d);
  add_linear(m, layer, "fc2", d, ffn);
  snprintf(name, sizeof name, "%s.final_layer_norm", layer);
  add_norm(m, name, d);
}
static void make(size_t d, size_t ffn, bool as_zip) {
  char *config = in_scratch("config.json"), *bin = in_scratch("pytorch_model.bin");
  json_t *j = json_load_file(FROM "config.json", 0, NULL);
  json_object_set_new(j, "d_model", json_integer((json_int_t)d));
  json_object_set_new(j, "encoder_ffn_dim", json_integer((json_int_t)ffn));
  json_object_set_new(j, "decoder_ffn_dim", json_integer((json_int_t)ffn));
  assert_int_equal(json_dump_file(j, config, 0), 0);
  json_decref(j);
  maker m = {.header = json_object(), .zeros = dg_calloc(d * (ffn > VOCAB ? ffn : VOCAB), 4)};
  m.zip = zip_open(bin, ZIP_CREATE | ZIP_TRUNCATE, NULL);
  assert_non_null(m.zip);
  dg_strbuf_addn(&m.pickle, "\x80\2}(", 4);
  add(&m, "model.shared.weight", VOCAB, d);
  for (int side = 0; side < 2; side++) {
    const char *name = side ? "decoder" : "encoder";
    char path[64];
    add_stack(&m, name, d, ffn);
    snprintf(path, sizeof path, "model.%s.layer_norm", name);
    add_norm(&m, path, d);
  }
  dg_strbuf_add(&m.pickle, "u.");
  if (as_zip) {
    zip_source_t *s = zip_source_buffer(m.zip, m.pickle.text, m.pickle.length, 0);
    zip_int64_t i = zip_file_add(m.zip, "archive/data.pkl", s, 0);
    assert_true(i >= 0);
    assert_int_equal(zip_set_file_compression(m.zip, (zip_uint64_t)i, ZIP_CM_STORE, 0), 0);
    assert_int_equal(zip_close(m.zip), 0);
    drop("model.safetensors");
  } else {
    zip_discard(m.zip);
    drop("pytorch_model.bin");
    char *path = in_scratch("model.safetensors"), *text = json_dumps(m.header, JSON_COMPACT);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    uint64_t length = strlen(text);
    assert_int_equal(fwrite(&length, 1, 8, f), 8);
    assert_int_equal(fwrite(text, 1, length, f), length);
    assert_int_equal(fflush(f), 0);
    assert_int_equal(ftruncate(fileno(f), (off_t)(8 + length + m.at)), 0);
    fclose(f);
    free(path);
    free(text);
  }
  json_decref(m.header);
  free(m.pickle.text);
  free(m.zeros);
  free(config);
  free(bin);
}

/* --- what it took ------------------------------------------------------------------------- */

/* The peak of the program when it imports, in KB. */
static long peak(const char *storage) {
  const char *build = getenv("DRAGOMAN_BUILD");
  char *program = dg_format("%s/dragoman", build ? build : "build"), *out = in_scratch("base");
  fflush(NULL);
  pid_t child = fork();
  if (!child) {
    execl(program, program, "import", "--quiet", scratch, "-o", out, "--quantize", storage,
          (char *)NULL);
    _exit(127);
  }
  int status;
  struct rusage usage;
  assert_int_equal(wait4(child, &status, 0, &usage), child);
  assert_int_equal(status, 0);
  free(program);
  free(out);
  return usage.ru_maxrss;
}

static void test_peak(void **state) {
  (void)state;
#ifdef SANITIZED
  print_message("# skip: a sanitizer keeps freed memory\n");
  skip();
#endif
  static const char *const storages[] = {"fp32", "bf16", "int8"};
  for (int zip = 0; zip < 2; zip++) {
    make(SMALL, SMALL, zip);
    const long least = peak("fp32");
    make(WIDTH, FFN, zip);
    for (int i = 0; i < 3; i++) {
      long more = peak(storages[i]) - least;
      print_message("# %s, %s: %ld KB more\n", zip ? "zip" : "safetensors", storages[i], more);
      if (more > 8 << 10) fail_msg("the peak grew by %ld KB for matrices of 16 MB", more);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_peak)};
  return cmocka_run_group_tests_name("import_memory", tests, set_up, tear_down);
}
