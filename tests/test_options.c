/* Tables of settings: what they accept, what they print, the files that set them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "mt/core/options.h"
#include "mt/model/config.h"
#include "mt/train/trainer.h"

typedef enum colour { RED, DARK_GREEN, BLUE } colour;
static const char *const colours[] = {"red", "dark_green", "blue", NULL};

typedef struct thing {
  int count, whole;
  double share, wide;
  bool flag;
  char name[8];
  colour colour;
} thing;

#define MEMBER(field) offsetof(thing, field), sizeof(((thing *)0)->field)
static const dg_option table[] = {
    {"count", DG_OPTION_INT, MEMBER(count), "3", -5, 100, NULL, "how many"},
    {"whole_number", DG_OPTION_INT, MEMBER(whole), "0", -1e300, 1e300, NULL, "any int"},
    {"share", DG_OPTION_FLOAT, MEMBER(share), "0.5", 0, 1, NULL, "a part"},
    {"wide", DG_OPTION_FLOAT, MEMBER(wide), "1e-8", -1e308, 1e308, NULL, "any number"},
    {"flag", DG_OPTION_BOOL, MEMBER(flag), "true", 0, 0, NULL, "on or off"},
    {"name", DG_OPTION_STRING, MEMBER(name), "", 0, 0, NULL, "a word"},
    {"colour", DG_OPTION_ENUM, MEMBER(colour), "dark-green", 0, 0, colours, "one of"},
    {NULL, DG_OPTION_INT, 0, 0, NULL, 0, 0, NULL, NULL},
};

static thing fresh(void) {
  thing t;
  memset(&t, 0x55, sizeof t);
  dg_options_defaults(table, &t);
  return t;
}

static void set(thing *t, const char *name, const char *value) {
  dg_error err;
  if (!dg_options_set(table, t, name, value, &err)) fail_msg("%s", err.message);
}

/* Refused with both words in the message, and nothing changes. */
static void refuse(const char *name, const char *value, const char *word) {
  thing t = fresh(), before;
  memcpy(&before, &t, sizeof t); /* padding too */
  dg_error err = {0};
  if (dg_options_set(table, &t, name, value, &err)) fail_msg("%s = \"%s\" passed", name, value);
  assert_int_equal(err.status, DG_ERR_USAGE);
  if (!strstr(err.message, name) || !strstr(err.message, word)) fail_msg("%s", err.message);
  assert_memory_equal(&t, &before, sizeof t);
}

static void test_defaults_and_values(void **state) {
  (void)state;
  thing t = fresh();
  assert_int_equal(t.count, 3);
  assert_true(t.share == 0.5 && t.wide == 1e-8 && t.flag);
  assert_string_equal(t.name, "");
  assert_int_equal(t.colour, DARK_GREEN);

  set(&t, "count", "-5");
  assert_int_equal(t.count, -5);
  set(&t, "count", "1e2");
  assert_int_equal(t.count, 100);
  set(&t, "whole-number", "-2147483647");
  assert_int_equal(t.whole, -2147483647);
  set(&t, "whole_number", "2147483647");
  assert_int_equal(t.whole, 2147483647);
  set(&t, "share", "1");
  assert_true(t.share == 1);
  set(&t, "wide", "-1.25e-3");
  assert_true(t.wide == -1.25e-3);
  static const char *const no[] = {"false", "no", "0", "off", "NO", "False"};
  static const char *const yes[] = {"true", "yes", "1", "on", "YES", "True"};
  for (int i = 0; i < 6; i++) {
    set(&t, "flag", no[i]);
    assert_false(t.flag);
    set(&t, "flag", yes[i]);
    assert_true(t.flag);
  }
  set(&t, "name", "seven77");
  assert_string_equal(t.name, "seven77");
  set(&t, "name", "");
  assert_string_equal(t.name, "");
  set(&t, "colour", "dark_green");
  assert_int_equal(t.colour, DARK_GREEN);
  set(&t, "colour", "blue");
  assert_int_equal(t.colour, BLUE);
}

static void test_refusals(void **state) {
  (void)state;
  refuse("count", "-6", "-5 to 100");
  refuse("count", "101", "-5 to 100");
  refuse("count", "2.5", "whole");
  refuse("count", "", "number");
  refuse("count", "3x", "3x");
  refuse("count", "3 4", "3 4");
  refuse("count", "nan", "number");
  refuse("count", "inf", "number");
  refuse("whole_number", "2147483648", "whole");
  refuse("whole_number", "-1e18", "whole");
  refuse("wide", "1e999", "number");
  refuse("wide", "-inf", "number");
  refuse("share", "1.0000001", "0 to 1");
  refuse("share", "-1e-9", "0 to 1");
  refuse("share", "0,5", "0,5");
  refuse("flag", "maybe", "maybe");
  refuse("flag", "", "true");
  refuse("flag", "2", "2");
  refuse("name", "eight888", "7");
  refuse("colour", "Blue", "red, dark_green, blue");
  refuse("colour", "dark", "dark_green");
  refuse("colour", "", "red");
  refuse("nonesuch", "1", "option");
  refuse("coun", "1", "option");
  refuse("counts", "1", "option");
  assert_null(dg_options_find(table, ""));
  assert_ptr_equal(dg_options_find(table, "whole-number"), &table[1]);
  thing t = fresh();
  assert_false(dg_options_set(table, &t, "count", "x", NULL)); /* no error wanted */
}

static void get(const thing *t, const char *name, dg_strbuf *out) {
  dg_strbuf_clear(out);
  dg_options_get(dg_options_find(table, name), t, out);
}

/* Any double survives being printed and read. */
static void test_text_round_trip(void **state) {
  (void)state;
  static const double values[] = {0.1,   1.0 / 3, 1e-8, 123456789.123, -0.0, 5e-300, 1e22,
                                  0.998, 2e-5,    1,    0.30000000000000004, 1e308};
  thing t = fresh();
  dg_strbuf text = {0};
  for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
    t.wide = values[i];
    get(&t, "wide", &text);
    t.wide = 7;
    set(&t, "wide", text.text);
    assert_memory_equal(&t.wide, &values[i], sizeof t.wide);
  }
  t.wide = 0.1;
  get(&t, "wide", &text);
  assert_string_equal(text.text, "0.1");
  t.count = -4;
  get(&t, "count", &text);
  assert_string_equal(text.text, "-4");
  get(&t, "flag", &text);
  assert_string_equal(text.text, "true");
  get(&t, "colour", &text);
  assert_string_equal(text.text, "dark_green");
  free(text.text);
}

static void test_json_round_trip(void **state) {
  (void)state;
  thing t = fresh(), back;
  set(&t, "count", "-2");
  set(&t, "share", "0.3333333333333333");
  set(&t, "flag", "off");
  set(&t, "name", "\xC3\xA9\"\\\t");
  set(&t, "colour", "red");
  json_t *j = dg_options_to_json(table, &t);
  assert_int_equal(json_object_size(j), 7);
  assert_string_equal(json_string_value(json_object_get(j, "colour")), "red");
  char *text = json_dumps(j, 0);
  json_decref(j);
  j = json_loads(text, 0, NULL);
  free(text);
  dg_error err;
  memset(&back, 0xAA, sizeof back);
  if (!dg_options_from_json(table, &back, j, &err)) fail_msg("%s", err.message);
  assert_true(back.count == -2 && back.share == 0.3333333333333333 && !back.flag);
  assert_true(back.whole == t.whole && back.wide == t.wide);
  assert_string_equal(back.name, t.name);
  assert_int_equal(back.colour, RED);

  json_object_clear(j);
  json_object_set_new(j, "count", json_string("9"));
  back.flag = false; /* a key that is missing has its default */
  assert_true(dg_options_from_json(table, &back, j, &err));
  assert_true(back.count == 9 && back.flag && back.colour == DARK_GREEN);
  json_object_set_new(j, "count", json_string("900"));
  assert_false(dg_options_from_json(table, &back, j, &err));
  assert_non_null(strstr(err.message, "900"));
  json_object_set_new(j, "count", json_integer(9));
  assert_false(dg_options_from_json(table, &back, j, &err));
  assert_int_equal(err.status, DG_ERR_FORMAT);
  json_object_clear(j);
  json_object_set_new(j, "novel", json_string("1"));
  assert_false(dg_options_from_json(table, &back, j, &err));
  assert_non_null(strstr(err.message, "novel"));
  json_decref(j);
  assert_false(dg_options_from_json(table, &back, NULL, &err));
  j = json_array();
  assert_false(dg_options_from_json(table, &back, j, &err));
  json_decref(j);
}

/* The engine's own tables: defaults in range, names and members apart, help for each. */
static void check_table(const dg_option *o, size_t size) {
  void *a = dg_calloc(1, size), *b = dg_calloc(1, size);
  dg_options_defaults(o, a);
  json_t *j = dg_options_to_json(o, a);
  dg_error err;
  if (!dg_options_from_json(o, b, j, &err)) fail_msg("%s", err.message);
  assert_memory_equal(a, b, size);
  json_decref(j);
  dg_strbuf help = {0};
  dg_options_help(o, NULL, &help);
  size_t lines = 0, count = 0;
  for (const char *p = help.text; *p; p++) lines += *p == '\n';
  for (const dg_option *x = o; x->name; x++, count++) {
    assert_true(x->offset + x->size <= size);
    assert_true(*x->help);
    assert_ptr_equal(dg_options_find(o, x->name), x);
    for (const dg_option *y = o; y < x; y++)
      assert_true(y->offset + y->size <= x->offset || x->offset + x->size <= y->offset);
  }
  assert_int_equal(lines, count);
  free(help.text);
  free(a);
  free(b);
}

static bool is_colour(const char *name) { return !strcmp(name, "colour"); }

static void test_own_tables(void **state) {
  (void)state;
  check_table(table, sizeof(thing));
  check_table(dg_model_config_options, sizeof(dg_model_config));
  check_table(dg_train_options_table, sizeof(dg_train_options));
  dg_strbuf help = {0};
  dg_options_help(table, NULL, &help);
  assert_non_null(strstr(help.text, "--whole-number "));
  assert_non_null(strstr(help.text, "one of: red, dark_green, blue (dark-green)\n"));
  assert_non_null(strstr(help.text, "a word\n")); /* no default, no brackets */
  free(help.text);
  help = (dg_strbuf){0};
  dg_options_help(table, is_colour, &help);
  assert_non_null(strstr(help.text, "one of: red, dark_green, blue (chosen)\n"));
  free(help.text);
}

/* --- files ------------------------------------------------------------------------------- */

typedef struct entries {
  thing thing;
  dg_strbuf seen;
} entries;

static bool record(void *context, const char *name, const char *value, dg_error *err) {
  entries *e = context;
  dg_strbuf_addf(&e->seen, "[%s|%s]", name, value);
  return dg_options_set(table, &e->thing, name, value, err);
}

static bool any(void *context, const char *name, const char *value, dg_error *err) {
  (void)err;
  dg_strbuf_addf(&((entries *)context)->seen, "[%s|%s]", name, value);
  return true;
}

static bool read_config(const char *bytes, size_t n, dg_config_entry *fn, entries *e,
                        dg_error *err) {
  const char *tmp = getenv("TMPDIR");
  char *path = dg_format("%s/test_options-%ld.conf", tmp ? tmp : "/tmp", (long)getpid());
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(bytes, 1, n, f), n);
  assert_int_equal(fclose(f), 0);
  *e = (entries){.thing = fresh()};
  dg_strbuf_add(&e->seen, "");
  bool ok = dg_config_read(path, fn, e, err);
  if (!ok) { /* the file's name is in front */
    assert_memory_equal(err->message, path, strlen(path));
    memmove(err->message, err->message + strlen(path), strlen(err->message + strlen(path)) + 1);
  }
  remove(path);
  free(path);
  return ok;
}

static void test_config(void **state) {
  (void)state;
  static const char text[] =
      "\xEF\xBB\xBF# a comment\r\n\n  count = 7 \t# why\r\ncolour=blue\n   \nname = a#b\n"
      "\twhole-number\t=\t12\n name =\n#flag = no\nwide = 1 # x # y";
  entries e;
  dg_error err;
  if (!read_config(text, sizeof text - 1, record, &e, &err)) fail_msg("%s", err.message);
  assert_string_equal(e.seen.text,
                      "[count|7][colour|blue][name|a#b][whole-number|12][name|][wide|1]");
  assert_true(e.thing.count == 7 && e.thing.colour == BLUE && e.thing.whole == 12 && e.thing.flag);
  free(e.seen.text);
  assert_true(read_config("a = b = c\n= x\n", 14, any, &e, &err));
  assert_string_equal(e.seen.text, "[a|b = c][|x]");
  free(e.seen.text);
  assert_true(read_config("", 0, any, &e, &err));
  assert_string_equal(e.seen.text, "");
  free(e.seen.text);
}

static void refuse_config(const char *bytes, size_t n, const char *seen, const char *message) {
  entries e;
  dg_error err = {0};
  if (read_config(bytes, n, record, &e, &err)) fail_msg("\"%s\" passed", bytes);
  if (strncmp(err.message, message, strlen(message)))
    fail_msg("\"%s\", not \"%s\"", err.message, message);
  assert_string_equal(e.seen.text, seen);
  free(e.seen.text);
}

static void test_config_refusals(void **state) {
  (void)state;
#define REFUSE(text, seen, message) refuse_config(text, sizeof(text) - 1, seen, message)
  REFUSE("count = 1\n\ncount\n", "[count|1]", ":3: \"count\"");
  REFUSE("# x\ncount = 1000", "[count|1000]", ":2: count = 1000 is out of range");
  REFUSE("\n\n\nother = 1\nflag = x\n", "[other|1]", ":4: there is no option \"other\"");
  REFUSE("flag = on\nflag = x\0y\n", "[flag|on]", ": line 2, byte 9: ");
  REFUSE("flag = on\r\nname = \xFF\n", "[flag|on]", ": line 2, byte 8: ");
#undef REFUSE
  dg_error err = {0};
  entries e = {0};
  assert_false(dg_config_read("/nonexistent/dragoman.conf", record, &e, &err));
  assert_int_equal(err.status, DG_ERR_IO);
  assert_non_null(strstr(err.message, "/nonexistent/dragoman.conf"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_defaults_and_values), cmocka_unit_test(test_refusals),
      cmocka_unit_test(test_text_round_trip),     cmocka_unit_test(test_json_round_trip),
      cmocka_unit_test(test_own_tables),          cmocka_unit_test(test_config),
      cmocka_unit_test(test_config_refusals),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
