/* Message catalogues: as msgfmt writes them, in both byte orders, and damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "data/mo.h"
#include "mt/core/file.h"
#include "mt/core/mem.h"
#include "mt/core/rng.h"
#include "tests/guard.h"

/* --- a catalogue of our own ---------------------------------------------------------------- */

typedef struct text {
  const char *bytes;
  size_t size;
} text;
#define TEXT(s) {s, sizeof(s) - 1}

typedef struct entry {
  text id, translation;
} entry;

static const entry entries[] = {
    {TEXT(""), TEXT("Content-Type: text/plain; charset=UTF-8\n")},
    {TEXT("File"), TEXT("Ficheiro")},
    {TEXT("menu\4Open"), TEXT("Abrir")},
    {TEXT("%d file\0%d files"), TEXT("%d ficheiro\0%d ficheiros")},
    {TEXT("mail\4one\0many"), TEXT("a\0b\0c")},
    {TEXT("untranslated"), TEXT("")},
    {TEXT("ten forms\0of plural"), TEXT("1\0002\0003\0004\0005\0006\0007\0008\0009\00010")},
};
enum { ENTRIES = sizeof entries / sizeof *entries };
static const char want[] =
    "File|-|Ficheiro\nOpen|-|Abrir\n%d file|%d files|%d ficheiro|%d ficheiros\n"
    "one|many|a|b|c\nuntranslated|-|\nten forms|of plural|1|2|3|4|5|6|7|8\n";

static void put32(uint8_t *at, size_t value, bool big) {
  for (int i = 0; i < 4; i++) at[big ? 3 - i : i] = (uint8_t)(value >> 8 * i);
}

static uint8_t *make(bool big, size_t *size) {
  size_t at = 28 + 16 * ENTRIES;
  for (size_t i = 0; i < ENTRIES; i++)
    at += entries[i].id.size + entries[i].translation.size + 2;
  uint8_t *mo = dg_calloc(1, *size = at);
  put32(mo, 0x950412de, big);
  put32(mo + 8, ENTRIES, big);
  put32(mo + 12, 28, big);
  put32(mo + 16, 28 + 8 * ENTRIES, big);
  at = 28 + 16 * ENTRIES;
  for (size_t i = 0; i < 2 * ENTRIES; i++) {
    const text *t = i < ENTRIES ? &entries[i].id : &entries[i - ENTRIES].translation;
    put32(mo + 28 + 8 * i, t->size, big);
    put32(mo + 32 + 8 * i, at, big);
    memcpy(mo + at, t->bytes, t->size);
    at += t->size + 1;
  }
  return mo;
}

static void collect(void *context, const dg_mo_message *m) {
  dg_strbuf *b = context;
  dg_strbuf_addf(b, "%s|%s", m->id, m->plural ? m->plural : "-");
  assert_true(m->form_count <= 8);
  for (size_t i = 0; i < m->form_count; i++) dg_strbuf_addf(b, "|%s", m->forms[i]);
  dg_strbuf_addc(b, '\n');
}

/* Reads from memory that ends where the catalogue ends. */
static bool read_guarded(const void *bytes, size_t size, dg_strbuf *out, dg_error *err) {
  guarded g = guarded_new(size, true);
  if (size) memcpy(g.data, bytes, size);
  dg_strbuf_clear(out);
  dg_strbuf_add(out, "");
  bool ok = dg_mo_read(g.data, size, collect, out, err);
  guarded_free(&g);
  return ok;
}

static void test_both_byte_orders(void **state) {
  (void)state;
  for (int big = 0; big < 2; big++) {
    size_t n;
    uint8_t *mo = make(big, &n);
    dg_strbuf got = {0};
    dg_error err;
    if (!read_guarded(mo, n, &got, &err)) fail_msg("%s", err.message);
    assert_string_equal(got.text, want);
    put32(mo + 4, 1, big); /* revision 0.1 has more tables, which are not for us */
    assert_true(read_guarded(mo, n, &got, &err));
    assert_string_equal(got.text, want);
    put32(mo + 4, 0x10000, big);
    assert_true(read_guarded(mo, n, &got, &err));
    put32(mo + 4, 0x20000, big);
    assert_false(read_guarded(mo, n, &got, &err));
    assert_int_equal(err.status, DG_ERR_UNSUPPORTED);
    free(got.text);
    free(mo);
  }
}

static void test_damage(void **state) {
  (void)state;
  for (int big = 0; big < 2; big++) {
    size_t n;
    uint8_t *mo = make(big, &n);
    dg_strbuf got = {0};
    dg_error err;
    for (size_t size = 0; size < n; size++)
      if (read_guarded(mo, size, &got, &err)) fail_msg("cut to %zu of %zu it passed", size, n);
    size_t refused = 0;
    for (size_t bit = 0; bit < 8 * n; bit++) {
      mo[bit / 8] ^= (uint8_t)(1u << bit % 8);
      refused += !read_guarded(mo, n, &got, &err);
      mo[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_true(refused > 8 * ENTRIES * 16 / 2);
    /* Every number of head and tables set to what might overflow. */
    static const uint32_t odd[] = {0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFF8, 0x1FFFFFFF,
                                   0x20000000};
    for (size_t at = 0; at < 28 + 16 * ENTRIES; at += 4)
      for (size_t i = 0; i < 10; i++) {
        uint8_t saved[4];
        memcpy(saved, mo + at, 4);
        put32(mo + at, i < 8 ? odd[i] : i == 8 ? n : n - 1, big);
        read_guarded(mo, n, &got, &err);
        memcpy(mo + at, saved, 4);
      }
    dg_rng r = {dg_rng_key(2, 2), 0};
    for (int i = 0; i < 3000; i++) { /* many wounds at once */
      uint8_t *copy = dg_malloc(n);
      memcpy(copy, mo, n);
      for (size_t k = dg_rng_below(&r, 12); k > 0; k--)
        copy[4 + dg_rng_below(&r, n - 4)] = (uint8_t)dg_rng_next(&r);
      read_guarded(copy, n, &got, &err);
      free(copy);
    }
    mo[n - 1] = 'x'; /* the last string has no end */
    assert_false(read_guarded(mo, n, &got, &err));
    free(got.text);
    free(mo);
  }
  dg_strbuf got = {0};
  dg_error err;
  assert_false(read_guarded("", 0, &got, &err));
  assert_false(read_guarded("this is no catalogue, whatever its name", 39, &got, &err));
  assert_int_equal(err.status, DG_ERR_FORMAT);
  free(got.text);
}

/* --- msgfmt as an oracle ---------------------------------------------------------------------- */

static const char po[] =
    "msgid \"\"\nmsgstr \"\"\n\"Content-Type: text/plain; charset=UTF-8\\n\"\n"
    "\"Plural-Forms: nplurals=3; plural=(n==1 ? 0 : n<5 ? 1 : 2);\\n\"\n\n"
    "msgid \"plain\"\nmsgstr \"liso \xC3\xA9\"\n\n"
    "#, fuzzy\nmsgid \"guessed\"\nmsgstr \"adivi\xC3\xB1" "ado\"\n\n"
    "msgid \"empty\"\nmsgstr \"\"\n\n"
    "msgctxt \"verb\"\nmsgid \"open\"\nmsgstr \"abrir\"\n\n"
    "msgctxt \"adjective\"\nmsgid \"open\"\nmsgstr \"aberto\"\n\n"
    "msgid \"%d thing\"\nmsgid_plural \"%d things\"\nmsgstr[0] \"%d cousa\"\n"
    "msgstr[1] \"%d cousas\"\nmsgstr[2] \"%d de cousas\"\n\n"
    "msgctxt \"few\"\nmsgid \"%d ox\"\nmsgid_plural \"%d oxen\"\nmsgstr[0] \"%d boi\"\n"
    "msgstr[1] \"%d bois\"\nmsgstr[2] \"\"\n\n"
    "msgid \"two\\nlines\\t\\\"quoted\\\"\\n\"\nmsgstr \"d\xC3\xBA" "as\\nli\xC3\xB1" "as\\t\\\"si\\\"\\n\"\n\n"
    "#~ msgid \"obsolete\"\n#~ msgstr \"vello\"\n";

/* msgfmt sorts by the bytes of context and id. */
static const char po_want[] =
    "%d thing|%d things|%d cousa|%d cousas|%d de cousas\nopen|-|aberto\n"
    "%d ox|%d oxen|%d boi|%d bois|\nplain|-|liso \xC3\xA9\n"
    "two\nlines\t\"quoted\"\n|-|d\xC3\xBA" "as\nli\xC3\xB1" "as\t\"si\"\n\nopen|-|abrir\n";

static void test_msgfmt(void **state) {
  (void)state;
  if (system("msgfmt --version >/dev/null 2>&1")) {
    print_message("# skip: msgfmt is not there (Debian package gettext)\n");
    skip();
  }
  const char *tmp = getenv("TMPDIR");
  char *source = dg_format("%s/test_mo-%ld.po", tmp ? tmp : "/tmp", (long)getpid());
  char *path = dg_format("%s/test_mo-%ld.mo", tmp ? tmp : "/tmp", (long)getpid());
  FILE *f = fopen(source, "wb");
  assert_int_equal(fwrite(po, 1, sizeof po - 1, f), sizeof po - 1);
  assert_int_equal(fclose(f), 0);
  static const char *const ways[] = {"", "--endianness=big", "--endianness=little", "--no-hash",
                                     "--alignment=16"};
  for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
    char *command = dg_format("msgfmt %s -o '%s' '%s'", ways[i], path, source);
    assert_int_equal(system(command), 0);
    free(command);
    dg_mapping m;
    dg_strbuf got = {0};
    dg_error err;
    assert_true(dg_map(path, &m, &err));
    if (!read_guarded(m.data, m.size, &got, &err)) fail_msg("%s", err.message);
    assert_string_equal(got.text, po_want);
    free(got.text);
    dg_unmap(&m);
  }
  unlink(source);
  unlink(path);
  free(source);
  free(path);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_both_byte_orders),
      cmocka_unit_test(test_damage),
      cmocka_unit_test(test_msgfmt),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
