/* Reading parallel text in all its forms, and what is said of files that are wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <zlib.h>

#include "data/parallel.h"
#include "mt/core/mem.h"

static char *dir;
static const char *const names[] = {"a.en", "a.gl", "a.en.gz", "a.gl.gz", "a.tsv", "a.tsv.gz",
                                    "odd,name.tsv"};

static char *at(const char *name) { return dg_format("%s/%s", dir, name); }

static int set_up(void **state) {
  (void)state;
  const char *tmp = getenv("TMPDIR");
  dir = dg_format("%s/test_parallel-XXXXXX", tmp ? tmp : "/tmp");
  return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char *path = at(names[i]);
    unlink(path);
    free(path);
  }
  rmdir(dir);
  free(dir);
  return 0;
}

static void put(const char *name, const char *bytes, size_t n) {
  char *path = at(name);
  bool packed = strlen(name) > 3 && !strcmp(name + strlen(name) - 3, ".gz");
  gzFile gz = gzopen(path, packed ? "wb" : "wbT"); /* T: as it is */
  assert_non_null(gz);
  if (n) assert_int_equal(gzwrite(gz, bytes, (unsigned)n), n);
  assert_int_equal(gzclose(gz), Z_OK);
  free(path);
}
#define PUT(name, text) put(name, text, sizeof(text) - 1)

/* "DIR/a,DIR/b" of "a,b". */
static char *specification(const char *list) {
  const char *comma = strchr(list, ',');
  if (!comma) return at(list);
  return dg_format("%s/%.*s,%s/%s", dir, (int)(comma - list), list, dir, comma + 1);
}

/* All pairs read, as "source=target|", with what was there before in front. */
static void reads(const char *list, const char *want) {
  dg_parallel_text p = {0};
  dg_error err;
  dg_parallel_add(&p, "before", "antes");
  char *spec = specification(list);
  if (!dg_parallel_read(&p, spec, &err)) fail_msg("%s", err.message);
  dg_strbuf all = {0};
  assert_string_equal(p.pairs[0].source, "before");
  dg_strbuf_add(&all, "");
  for (size_t i = 1; i < p.count; i++)
    dg_strbuf_addf(&all, "%s=%s|", p.pairs[i].source, p.pairs[i].target);
  assert_string_equal(all.text, want);
  free(all.text);
  free(spec);
  dg_parallel_free(&p);
  assert_int_equal(p.count, 0);
}

/* Refused, the message having each of the words. */
static void refuses(const char *list, const char *a, const char *b) {
  dg_parallel_text p = {0};
  dg_error err = {0};
  char *spec = strchr(list, '/') || !*list ? dg_strdup(list) : specification(list);
  if (dg_parallel_read(&p, spec, &err)) fail_msg("%s passed", list);
  if (!strstr(err.message, a) || !strstr(err.message, b)) fail_msg("%s", err.message);
  dg_parallel_free(&p);
  free(spec);
}

static void test_forms(void **state) {
  (void)state;
  static const char tsv[] =
      "\xEF\xBB\xBFone\tun\r\ntwo\tdous\tsome licence\t\n\t\nthree\t\n\tcatro\nlast one\tderradeiro";
  static const char want[] = "one=un|two=dous|=|three=|=catro|last one=derradeiro|";
  put("a.tsv", tsv, sizeof tsv - 1);
  put("a.tsv.gz", tsv, sizeof tsv - 1);
  put("odd,name.tsv", tsv, sizeof tsv - 1);
  reads("a.tsv", want);
  reads("a.tsv.gz", want);
  char *odd = at("odd,name.tsv"); /* a file that is there is not two */
  dg_parallel_text p = {0};
  assert_true(dg_parallel_read(&p, odd, NULL));
  assert_int_equal(p.count, 6);
  dg_parallel_free(&p);
  free(odd);
  static const char *const pairs[] = {"a.en,a.gl", "a.en.gz,a.gl.gz", "a.en,a.gl.gz",
                                      "a.en.gz,a.gl"};
  for (int k = 0; k < 2; k++) {
    PUT(k ? "a.en.gz" : "a.en", "one\r\ntwo\tcolumns\n\nlast");
    PUT(k ? "a.gl.gz" : "a.gl", "\xEF\xBB\xBFun\ndous\n\nderradeiro\n");
  }
  for (int i = 0; i < 4; i++) reads(pairs[i], "one=un|two\tcolumns=dous|=|last=derradeiro|");
  for (int i = 0; i < 6; i++) put(names[i], "", 0);
  reads("a.tsv", "");
  reads("a.tsv.gz", "");
  reads("a.en,a.gl.gz", "");
}

static void test_mismatch(void **state) {
  (void)state;
  PUT("a.en", "1\n2\n3\n");
  PUT("a.gl", "1\n2\n");
  refuses("a.en,a.gl", "a.gl ends after line 2", "a.en goes on");
  PUT("a.gl", "1\n2\n3\n4");
  refuses("a.en,a.gl", "a.en ends after line 3", "a.gl goes on");
  PUT("a.gl", "");
  refuses("a.en,a.gl", "a.gl ends after line 0", "a.en goes on");
  refuses("a.gl,a.en", "a.gl ends after line 0", "a.en goes on");
  PUT("a.gl.gz", "1\n2\n3\n\n");
  refuses("a.en,a.gl.gz", "a.en ends after line 3", "a.gl.gz goes on");
  PUT("a.tsv", "1\t1\n\n3\t3\n");
  refuses("a.tsv", "a.tsv:2: ", "TAB");
  PUT("a.tsv", "1\t1\n2\t2\n3 3");
  refuses("a.tsv", "a.tsv:3: ", "a,b");
}

static void test_bad_bytes(void **state) {
  (void)state;
  PUT("a.tsv", "good\tbo\nbad\tmalo \xE9!\n");
  refuses("a.tsv", "a.tsv", "line 2, byte 10");
  PUT("a.tsv.gz", "\xC0\x80\tx\n");
  refuses("a.tsv.gz", "a.tsv.gz", "line 1, byte 1");
  PUT("a.tsv", "a\tb\nc\0d\te\n");
  refuses("a.tsv", "a.tsv: line 2", "NUL");
  PUT("a.en", "one\ntwo\nthree\n");
  PUT("a.gl", "un\ndous\ntr\xED\n");
  refuses("a.en,a.gl", "a.gl", "line 3, byte 3");
  refuses("a.gl,a.en", "a.gl", "line 3, byte 3");
  PUT("a.gl", "un\ndo\0us\ntres\n");
  refuses("a.en,a.gl", "a.gl: line 2", "NUL");
  /* A gzipped file cut short is not a shorter corpus. */
  dg_strbuf text = {0};
  for (int i = 0; i < 3000; i++) dg_strbuf_addf(&text, "%d\t%d\n", i * 7919 % 9973, i);
  put("a.tsv.gz", text.text, text.length);
  free(text.text);
  char *path = at("a.tsv.gz");
  assert_int_equal(truncate(path, 4000), 0);
  free(path);
  refuses("a.tsv.gz", "a.tsv.gz", "gzip");
}

static void test_names(void **state) {
  (void)state;
  PUT("a.en", "one\n");
  refuses("absent.tsv", "absent.tsv", "");
  refuses("a.en,absent.gl", "absent.gl", "");
  refuses("absent.en,a.en", "absent.en", "");
  refuses("/nonexistent/a,/nonexistent/b,/nonexistent/c", "two files", "");
  refuses("/nonexistent/a,", "two files", "");
  refuses(",/nonexistent/a", "two files", "");
  refuses("", "", "");
}

/* Strings stay where they are however many follow, and however long they are. */
static void test_much(void **state) {
  (void)state;
  enum { COUNT = 30000 };
  dg_parallel_text p = {0};
  char *large = dg_malloc(3000001);
  memset(large, 'x', 3000000);
  large[3000000] = 0;
  dg_parallel_add(&p, large, "large");
  const char *first = p.pairs[0].source;
  for (int i = 1; i < COUNT; i++) {
    char source[60], target[60];
    snprintf(source, sizeof source, "this is the sentence number %d", i);
    snprintf(target, sizeof target, "%d", i);
    dg_parallel_add(&p, source, target);
  }
  assert_int_equal(p.count, COUNT);
  assert_ptr_equal(first, p.pairs[0].source);
  assert_string_equal(p.pairs[0].source, large);
  for (size_t i = 1; i < COUNT; i++) {
    assert_int_equal(strtoul(p.pairs[i].target, NULL, 10), i);
    assert_int_equal(strtoul(p.pairs[i].source + 28, NULL, 10), i);
  }
  dg_parallel_free(&p);
  dg_parallel_free(&p);
  free(large);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_forms),     cmocka_unit_test(test_mismatch),
      cmocka_unit_test(test_bad_bytes), cmocka_unit_test(test_names),
      cmocka_unit_test(test_much),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
