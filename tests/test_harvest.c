/* Harvesting packages made here: the same bytes each time, no test sentence anywhere
 * in training text, and a manifest that says where all came from. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <xxhash.h>

#include "data/harvest.h"
#include "mt/core/file.h"
#include "mt/core/lines.h"
#include "mt/core/rng.h"

enum { PACKAGES = 3, DOCUMENTS = 7, MESSAGES = 14, LANGUAGES = 3 };
static const char *const packages[] = {"alpha-data", "beta", "gamma-l10n", "nonesuch"};
static const char *const archives[] = {"alpha-data_1%3a2.0-1_all.deb", "beta_0.10_amd64.deb",
                                       "gamma-l10n_7~rc1+ds_all.deb"};
static const char *const versions[] = {"1:2.0-1", "0.10", "7~rc1+ds"};
/* All of them, and those a corpus has room for. */
#define LICENCES "LGPL-2.1+, GPL-2, MIT, "
#define LONGEST "Permission is granted to all, with a name of over forty bytes"
#define OTHERS ", Modifi\uFFFDe, Artistic or GPL-1+ with an exception" /* one is not UTF-8 */
static const char *const licences[] = {LICENCES LONGEST OTHERS,
                                       LICENCES LONGEST OTHERS,
                                       "GPL-2, Apache-2.0"};
#define BRIEFS "LGPL-2.1+, MIT, Artistic or GPL-1+ with an exception"
static const char *const briefs[] = {BRIEFS, BRIEFS, "GPL-2, Apache-2.0"};
static const char *const languages[] = {"gl", "pt-BR", "ru"};
static const char *const locales[] = {"gl", "pt_BR", "ru", "de"}; /* the last is not asked for */
static const char *const splits[] = {"train", "dev", "test"};

static char *dir;
static bool able; /* to make packages */

static void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void shell(const char *format, ...) {
  va_list args;
  va_start(args, format);
  char *command = NULL;
  assert_true(vasprintf(&command, format, args) > 0);
  va_end(args);
  if (system(command)) fail_msg("%s", command);
  free(command);
}

/* --- packages ------------------------------------------------------------------------------ */

/* A sentence and its translation follow from a number; language -1 is English. */
static void add_sentence(dg_strbuf *out, uint64_t number, int language) {
  static const char *const words[4][10] = {
      {"open", "the", "file", "with", "this", "printer", "before", "saving", "your", "work"},
      {"abra", "o", "ficheiro", "con", "esta", "impresora", "antes", "gardar", "seu", "traballo"},
      {"abra", "o", "arquivo", "com", "esta", "impressora", "antes", "salvar", "seu", "trabalho"},
      {"откройте", "этот", "файл", "через", "данный", "принтер", "перед", "записью", "вашей",
       "работы"}};
  dg_rng r = {dg_rng_key(8, number), 0};
  size_t n = number % 4 ? 5 + dg_rng_below(&r, 6) : 2; /* some are labels */
  const char *const *w = words[language == 3 ? 1 : language + 1];
  for (size_t i = 0; i < n; i++) dg_strbuf_addf(out, "%s%s", i ? " " : "", w[dg_rng_below(&r, 10)]);
}

static void write_catalogue(const char *root, size_t package, size_t document, int language) {
  dg_strbuf po = {0};
  dg_strbuf_add(&po, "msgid \"\"\nmsgstr \"Content-Type: text/plain; charset=UTF-8\\n\"\n");
  for (size_t i = 0; i < MESSAGES; i++) {
    /* Half of them stand in other documents and packages too. A context keeps msgfmt
     * from calling two a repetition. */
    dg_rng r = {dg_rng_key(package * 100 + document, i), 0};
    uint64_t number = i % 2 ? dg_rng_below(&r, 60) : 1000 + dg_rng_below(&r, 100000);
    dg_strbuf_addf(&po, "\nmsgctxt \"%zu\"\nmsgid \"", i);
    add_sentence(&po, number, -1);
    dg_strbuf_add(&po, "\"\nmsgstr \"");
    add_sentence(&po, number, language);
    dg_strbuf_add(&po, "\"\n");
  }
  char *path = dg_format("%s/x.po", dir);
  FILE *f = fopen(path, "w");
  assert_true(fputs(po.text, f) >= 0);
  assert_int_equal(fclose(f), 0);
  shell(
      "d='%s/usr/share/locale/%s/LC_MESSAGES'; mkdir -p \"$d\" && msgfmt -o \"$d/doc%zu.mo\" '%s'",
      root, locales[language], document, path);
  unlink(path);
  free(path);
  free(po.text);
}

static void make_package(size_t p) {
  char *root = dg_format("%s/root", dir);
  shell("mkdir -p '%s/DEBIAN' '%s/usr/share/doc/%s'", root, root, packages[p]);
  shell("printf 'Package: %s\\nVersion: %s\\nArchitecture: all\\nMaintainer: a <a@b>\\n"
        "Description: test\\n' >'%s/DEBIAN/control'",
        packages[p], versions[p], root);
  if (p == 1) /* its papers are another's */
    shell("rmdir '%s/usr/share/doc/%s' && ln -s %s '%s/usr/share/doc/%s'", root, packages[p],
          packages[0], root, packages[p]);
  if (p != 1) {
    const char *names = p ? "Copies are in '/usr/share/common-licenses/GPL-2' and in\\n"
                            "/usr/share/common-licenses/Apache-2.0.\\n"
                          : "License: LGPL-2.1+\\n text\\nLicense: GPL-2\\nLicense: MIT\\n"
                            "License: MIT\\nLicense: " LONGEST "\\nLicense: Modifi\\351e\\n"
                            "License: Artistic or GPL-1+ with an exception\\n";
    shell("printf \"Format: x\\n%s\" >'%s/usr/share/doc/%s/copyright'", names, root, packages[p]);
  }
  for (size_t d = 0; d < DOCUMENTS; d++)
    for (int l = 0; l <= LANGUAGES; l++)
      if (l || d) write_catalogue(root, p, d, l); /* Galician has one document less */
  /* What is damaged, or no catalogue, or a way out of the package. */
  shell("cd '%s/usr/share/locale/gl/LC_MESSAGES' && head -c 90 doc1.mo >broken.mo && "
        "echo text >text.mo && : >empty.mo && ln -s /etc/passwd link.mo && "
        "ln -s /usr/share ../tree && mkdir -p ../../../odd && cp doc1.mo ../../../odd/doc1.mo",
        root);
  shell("dpkg-deb --root-owner-group --build '%s' '%s/cache/%s' >/dev/null 2>&1", root, dir,
        archives[p]);
  shell("rm -rf '%s'", root);
  free(root);
}

static int set_up(void **state) {
  (void)state;
  const char *tmp = getenv("TMPDIR");
  dir = dg_format("%s/test_harvest-XXXXXX", tmp ? tmp : "/tmp");
  if (!mkdtemp(dir)) return -1;
  able = !system("dpkg-deb --version >/dev/null 2>&1 && msgfmt --version >/dev/null 2>&1");
  /* Nothing is fetched from the network. */
  shell("mkdir '%s/bin' '%s/cache' && printf '#!/bin/sh\\nexit 1\\n' >'%s/bin/apt-get' && "
        "chmod +x '%s/bin/apt-get'", dir, dir, dir, dir);
  char *path = dg_format("%s/bin:%s", dir, getenv("PATH"));
  setenv("PATH", path, 1);
  free(path);
  for (size_t p = 0; able && p < PACKAGES; p++) make_package(p);
  /* Earlier ones, whatever the order of their names. */
  static const char *const older[] = {"beta_0.9", "beta_0.10~rc1", "alpha-data_9.0-1",
                                      "gamma-l10n_7~rc1"};
  for (size_t i = 0; i < sizeof older / sizeof *older; i++)
    shell("echo older >'%s/cache/%s_amd64.deb'", dir, older[i]);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  shell("rm -rf '%s'", dir);
  free(dir);
  return 0;
}

static void need_tools(void) {
  if (able) return;
  print_message("# skip: dpkg-deb or msgfmt is not there (Debian packages dpkg, gettext)\n");
  skip();
}

/* --- running -------------------------------------------------------------------------------- */

static bool read_config(dg_harvest_config *c, const char *text, dg_error *err) {
  char *path = dg_format("%s/conf", dir);
  FILE *f = fopen(path, "w");
  assert_true(fputs(text, f) >= 0);
  assert_int_equal(fclose(f), 0);
  bool ok = dg_harvest_read(c, path, err);
  free(path);
  return ok;
}

static const char settings[] =
    "# languages\nlanguage = gl\nlanguage = por_BR\nlanguage = ru_RU\n"
    "test-share = 0.2\ndev_share = 0.1\nlabel_share = 0.5\n";
static const char forwards[] =
    "package = alpha-data\npackage = beta\npackage = gamma-l10n\npackage = nonesuch\n";
static const char backwards[] =
    "package = nonesuch\npackage = gamma-l10n\npackage = beta\npackage = alpha-data\n";

static void take_note(void *context, const char *message) {
  dg_strbuf_addf(context, "%s\n", message);
}

static dg_harvest_counts counts[LANGUAGES];

static bool try(const char *name, const char *order, const char *more, int threads, bool skip,
                dg_strbuf *notes, dg_error *err) {
  dg_harvest_config c;
  char *text = dg_format("%s%s%s", settings, order, more), *cache = dg_format("%s/cache", dir);
  char *out = dg_format("%s/%s", dir, name);
  if (!read_config(&c, text, err)) fail_msg("%s", err->message);
  assert_int_equal(c.language_count, LANGUAGES);
  assert_string_equal(c.languages[1], "pt-BR");
  c.skip_missing = skip;
  dg_threads *t = threads > 1 ? dg_threads_new(threads) : NULL;
  bool ok = dg_harvest(&c, cache, out, t, take_note, notes, counts, err);
  dg_threads_free(t);
  dg_harvest_free(&c);
  free(text);
  free(cache);
  free(out);
  return ok;
}

static void harvest_in(const char *order, const char *name, const char *more, int threads) {
  dg_error err;
  dg_strbuf notes = {0};
  if (!try(name, order, more, threads, true, &notes, &err)) fail_msg("%s", err.message);
  assert_non_null(notes.text);
  assert_int_equal(strncmp(notes.text, "package nonesuch is not in ", 27), 0);
  assert_ptr_equal(strstr(notes.text, ": left out\n"), notes.text + notes.length - 11);
  free(notes.text);
}

static void harvest(const char *name, const char *more, int threads) {
  harvest_in(forwards, name, more, threads);
}

enum { ENGLISH, TRANSLATION, DOCUMENT, PACKAGE, VERSION, LICENCE, COLUMNS };

typedef struct rows {
  char **line;   /* [count], cut into columns */
  char *(*column)[COLUMNS];
  uint64_t *key; /* of the English */
  size_t count, capacity, column_capacity, key_capacity;
} rows;

static rows read_rows(const char *name, int split, int language) {
  char *path = dg_format("%s/%s/%s.%s.tsv.gz", dir, name, splits[split], languages[language]);
  rows r = {0};
  dg_error err;
  dg_lines *in = dg_lines_open(path, &err);
  if (!in) fail_msg("%s", err.message);
  char *line;
  size_t n;
  while (dg_lines_next(in, &line, &n, &err) > 0) {
    DG_GROW(r.line, r.capacity, r.count + 1);
    DG_GROW(r.column, r.column_capacity, r.count + 1);
    DG_GROW(r.key, r.key_capacity, r.count + 1);
    char *rest = r.line[r.count] = dg_strndup(line, n);
    for (int k = 0; k < COLUMNS; k++) assert_non_null(r.column[r.count][k] = strsep(&rest, "\t"));
    assert_null(rest);
    r.key[r.count] = dg_sentence_key(r.column[r.count][ENGLISH]);
    r.count++;
  }
  dg_lines_close(in);
  free(path);
  return r;
}

static void rows_free(rows *r) {
  for (size_t i = 0; i < r->count; i++) free(r->line[i]);
  free(r->line);
  free(r->column);
  free(r->key);
}

static bool shares(const rows *a, const rows *b) { /* an English sentence */
  for (size_t i = 0; i < a->count; i++)
    for (size_t k = 0; k < b->count; k++)
      if (a->key[i] == b->key[k]) return true;
  return false;
}

static bool same_directories(const char *a, const char *b) {
  char *command = dg_format("cd '%s' && diff -r '%s' '%s' >/dev/null", dir, a, b);
  bool same = !system(command);
  free(command);
  return same;
}

static void test_same_bytes(void **state) {
  (void)state;
  need_tools();
  harvest("one", "", 1);
  harvest("two", "", 4);
  assert_true(same_directories("one", "two"));
  harvest("one", "", 1); /* over what is there */
  assert_true(same_directories("one", "two"));
  harvest("other", "seed = 2\n", 2);
  assert_false(same_directories("one", "other"));
  char *path = dg_format("%s/one", dir);
  DIR *d = opendir(path);
  size_t files = 0, entries = 0;
  for (struct dirent *e; (e = readdir(d)); entries++) files += *e->d_name != '.';
  closedir(d);
  free(path);
  assert_int_equal(files, 3 * LANGUAGES + 1);
  assert_int_equal(entries, files + 2); /* nothing unpacked is left behind */
}

static void test_splits(void **state) {
  (void)state;
  need_tools();
  for (int seed = 1; seed < 4; seed++) {
    char *more = dg_format("seed = %d\n", seed);
    harvest("splits", more, 2);
    free(more);
    rows r[3][LANGUAGES];
    size_t held_back = 0;
    for (int l = 0; l < LANGUAGES; l++) {
      for (int s = 0; s < 3; s++) r[s][l] = read_rows("splits", s, l);
      assert_int_equal(r[0][l].count, counts[l].train);
      assert_int_equal(r[1][l].count, counts[l].dev);
      assert_int_equal(r[2][l].count, counts[l].test);
      assert_true(counts[l].train > counts[l].test && counts[l].test > 3 && counts[l].dev > 0);
      assert_true(counts[l].train + counts[l].dev + counts[l].test <=
                  counts[l].verdicts[DG_CLEAN_KEPT]);
      assert_true(counts[l].verdicts[DG_CLEAN_DUPLICATE] > 0);
      size_t all = 0, documents = (size_t)DOCUMENTS - !l;
      for (int v = 0; v < DG_CLEAN_VERDICTS; v++) all += counts[l].verdicts[v];
      assert_in_range(all, PACKAGES * MESSAGES * documents, PACKAGES * MESSAGES * documents * 2);
      held_back += counts[l].verdicts[DG_CLEAN_HELD_BACK];
    }
    assert_true(held_back > 0); /* there was something to keep apart */
    for (int l = 0; l < LANGUAGES; l++)
      for (int k = 0; k < LANGUAGES; k++) {
        assert_false(shares(&r[2][l], &r[0][k])); /* in whatever language */
        assert_false(shares(&r[1][l], &r[0][k]));
        assert_false(shares(&r[2][l], &r[1][k]));
      }
    for (int l = 0; l < LANGUAGES; l++)
      for (int s = 0; s < 3; s++)
        for (size_t i = 0; i < r[s][l].count; i++) {
          char *const *x = r[s][l].column[i];
          for (size_t k = 0; k < i; k++) { /* no pair twice; no test sentence twice */
            assert_false(!strcmp(x[ENGLISH], r[s][l].column[k][ENGLISH]) &&
                         !strcmp(x[TRANSLATION], r[s][l].column[k][TRANSLATION]));
            assert_false(s && r[s][l].key[i] == r[s][l].key[k]);
          }
          if (s) assert_true(dg_word_count(x[ENGLISH]) >= 5);
          size_t p = 0;
          while (p < PACKAGES && strcmp(packages[p], x[PACKAGE])) p++;
          assert_true(p < PACKAGES);
          assert_string_equal(x[VERSION], versions[p]);
          assert_string_equal(x[LICENCE], briefs[p]);
          assert_non_null(strstr(x[DOCUMENT], "doc"));
          /* A document belongs to one split, in all languages. */
          for (int t = 0; t < s; t++)
            for (int m = 0; m < LANGUAGES; m++)
              for (size_t k = 0; k < r[t][m].count; k++)
                assert_false(!strcmp(x[PACKAGE], r[t][m].column[k][PACKAGE]) &&
                             !strcmp(x[DOCUMENT], r[t][m].column[k][DOCUMENT]));
        }
    for (int l = 0; l < LANGUAGES; l++)
      for (int s = 0; s < 3; s++) rows_free(&r[s][l]);
  }
}

static int by_key(const void *a, const void *b) {
  const uint64_t *x = a, *y = b;
  return *x < *y ? -1 : *x > *y;
}

/* What is tested with does not follow from the order of the packages. */
static void test_order(void **state) {
  (void)state;
  need_tools();
  harvest_in(forwards, "forwards", "", 2);
  harvest_in(backwards, "backwards", "", 2);
  for (int l = 0; l < LANGUAGES; l++)
    for (int s = 1; s < 3; s++) {
      rows a = read_rows("forwards", s, l), b = read_rows("backwards", s, l);
      assert_int_equal(a.count, b.count);
      qsort(a.key, a.count, sizeof *a.key, by_key);
      qsort(b.key, b.count, sizeof *b.key, by_key);
      assert_memory_equal(a.key, b.key, a.count * sizeof *a.key);
      rows_free(&a);
      rows_free(&b);
    }
}

static void test_missing(void **state) {
  (void)state;
  need_tools();
  harvest("there", "", 1);
  shell("cp -R '%s/there' '%s/before'", dir, dir);
  shell("head -c 300 '%s/cache/%s' >'%s/cache/nonesuch_1_all.deb'", dir, archives[1], dir);
  dg_error err = {0};
  dg_strbuf notes = {0};
  bool ok = try("there", "package = nonesuch\npackage = nowhere\npackage = beta\n", "", 1, false,
                &notes, &err);
  shell("rm '%s/cache/nonesuch_1_all.deb'", dir);
  assert_false(ok);
  assert_int_equal(err.status, DG_ERR_IO);
  assert_non_null(strstr(err.message, "(nonesuch, nowhere)"));
  assert_non_null(strstr(err.message, "--skip-missing"));
  assert_non_null(strstr(notes.text, "/cache/nonesuch_1_all.deb cannot be unpacked"));
  assert_non_null(strstr(notes.text, "package nowhere is not in "));
  assert_null(strstr(notes.text, "left out"));
  free(notes.text);
  assert_true(same_directories("there", "before"));
}

/* What a run that was killed left behind. */
static void test_leavings(void **state) {
  (void)state;
  need_tools();
  harvest("clear", "", 1);
  char *root = dg_format("%s/left/.unpack-beta", dir);
  shell("mkdir -p '%s'", root);
  write_catalogue(root, 77, 1, 0);
  free(root);
  harvest("left", "", 1);
  assert_true(same_directories("clear", "left"));
}

static void test_limits(void **state) {
  (void)state;
  need_tools();
  harvest("few", "dev_pairs = 7\ntest_pairs = 8\nlabel_share = 0\n", 1);
  for (int l = 0; l < LANGUAGES; l++) {
    assert_true(counts[l].dev <= 7 && counts[l].test <= 8 && counts[l].test > 0);
    rows r = read_rows("few", 0, l);
    for (size_t i = 0; i < r.count; i++) assert_true(dg_word_count(r.column[i][ENGLISH]) >= 5);
    rows_free(&r);
  }
  /* None of these sentences ends in a full stop. */
  harvest("light", "label_share = 0\nphrase_share = 0\n", 1);
  for (int l = 0; l < LANGUAGES; l++) assert_int_equal(counts[l].train, 0);
  harvest("half", "label_share = 1\nphrase_share = 0.5\n", 1);
  size_t half[LANGUAGES];
  for (int l = 0; l < LANGUAGES; l++) half[l] = counts[l].train;
  harvest("heavy", "label_share = 1\nphrase_share = 1\n", 1);
  for (int l = 0; l < LANGUAGES; l++)
    assert_true(half[l] > counts[l].train / 4 && half[l] < counts[l].train);
  harvest("whole", "label_share = 0\nphrase_share = 0\nwhole_pairs = 1000\n", 1);
  assert_true(same_directories("heavy", "whole")); /* small languages are not thinned out */
  harvest("none", "dev_share = 0\ntest_share = 0\nlabel_share = 1\n", 1);
  for (int l = 0; l < LANGUAGES; l++) {
    assert_int_equal(counts[l].dev + counts[l].test + counts[l].verdicts[DG_CLEAN_HELD_BACK], 0);
    assert_int_equal(counts[l].train, counts[l].verdicts[DG_CLEAN_KEPT]);
  }
}

static void test_manifest(void **state) {
  (void)state;
  need_tools();
  harvest("manifest", "", 2);
  dg_error err;
  char *path = dg_format("%s/manifest/manifest.tsv", dir), *line;
  dg_lines *in = dg_lines_open(path, &err);
  if (!in) fail_msg("%s", err.message);
  size_t n, pairs = 0, given = 0;
  assert_int_equal(dg_lines_next(in, &line, &n, &err), 1);
  assert_string_equal(line, "package\tversion\txxh3-128\tlicence\tpairs");
  for (size_t p = 0; p < PACKAGES; p++) {
    char *archive = dg_format("%s/cache/%s", dir, archives[p]), *hash = NULL;
    dg_mapping m;
    assert_true(dg_map(archive, &m, &err));
    XXH128_canonical_t c;
    XXH128_canonicalFromHash(&c, XXH3_128bits(m.data, m.size));
    dg_strbuf digits = {0};
    for (int i = 0; i < 16; i++) dg_strbuf_addf(&digits, "%02x", c.digest[i]);
    dg_unmap(&m);
    hash = dg_format("%s\t%s\t%s\t%s\t", packages[p], versions[p], digits.text, licences[p]);
    assert_int_equal(dg_lines_next(in, &line, &n, &err), 1);
    if (strncmp(line, hash, strlen(hash))) fail_msg("\"%s\" does not begin \"%s\"", line, hash);
    pairs += strtoul(line + strlen(hash), NULL, 10);
    free(digits.text);
    free(archive);
    free(hash);
  }
  assert_int_equal(dg_lines_next(in, &line, &n, &err), 0); /* not the one that was missing */
  dg_lines_close(in);
  free(path);
  for (int l = 0; l < LANGUAGES; l++)
    given += counts[l].verdicts[DG_CLEAN_KEPT] + counts[l].verdicts[DG_CLEAN_DUPLICATE] +
             counts[l].verdicts[DG_CLEAN_HELD_BACK];
  assert_int_equal(pairs, given);
}

/* --- a manifest's corpus -------------------------------------------------------------------- */

static bool try_as(const char *name, const char *manifest, const char *order, dg_strbuf *notes,
                   dg_error *err) {
  dg_harvest_config c;
  char *text = dg_format("%s%s", settings, order), *cache = dg_format("%s/cache", dir);
  char *out = dg_format("%s/%s", dir, name), *path = dg_format("%s/%s", dir, manifest);
  if (!read_config(&c, text, err)) fail_msg("%s", err->message);
  bool ok = dg_harvest_as(&c, path, err) &&
            dg_harvest(&c, cache, out, NULL, take_note, notes, counts, err);
  dg_harvest_free(&c);
  free(text);
  free(cache);
  free(out);
  free(path);
  return ok;
}

static void refuse_as(const char *manifest, const char *order, const char *said, const char *noted) {
  dg_error err = {0};
  dg_strbuf notes = {0};
  if (try_as("refused", manifest, order, &notes, &err)) fail_msg("%s passed", manifest);
  if (!strstr(err.message, said)) fail_msg("%s", err.message);
  if (noted && (!notes.text || !strstr(notes.text, noted))) fail_msg("%s", notes.text);
  free(notes.text);
  shell("! ls '%s/refused/'*.tsv* >/dev/null 2>&1", dir);
}

static void test_as_manifest(void **state) {
  (void)state;
  need_tools();
  harvest("old", "", 1);
  /* Later versions of what it was made of, and one of what it had not. */
  shell("cd '%s/cache' && cp '%s' beta_0.11_amd64.deb && cp '%s' alpha-data_1%%3a3_all.deb && "
        "cp '%s' nonesuch_1_all.deb", dir, archives[0], archives[1], archives[2]);
  dg_error err = {0};
  dg_strbuf notes = {0};
  if (!try_as("anew", "old/manifest.tsv", forwards, &notes, &err)) fail_msg("%s", err.message);
  assert_int_equal(notes.length, 0);
  assert_true(same_directories("old", "anew"));
  shell("rm '%s/cache/nonesuch_1_all.deb'", dir);
  harvest("later", "", 1);
  assert_false(same_directories("old", "later"));
  shell("rm '%s/cache/beta_0.11_amd64.deb' '%s/cache/alpha-data_1%%3a3_all.deb'", dir, dir);

  refuse_as("old/manifest.tsv", "package = beta\n", "package alpha-data, which the configuration", NULL);
  shell("cd '%s' && sed 's/0[.]10/0.12/' old/manifest.tsv >version.tsv", dir);
  refuse_as("version.tsv", forwards, "(beta)", "package beta 0.12 is not in ");
  refuse_as("version.tsv", forwards, "mend that", "https://snapshot.debian.org/binary/beta/");
  shell("cd '%s' && awk -F'\t' -v OFS='\t' '$1 == \"beta\" { $3 = substr($3, 2) substr($3, 1, 1) } 1' "
        "old/manifest.tsv >hash.tsv", dir);
  refuse_as("hash.tsv", forwards, "(beta)", "is not the file that the manifest means");
  static const char *const bad[][2] = {
      {"s/^package/name/", ":1: "},       {"s/^beta/be ta/", ":3: "}, {"3s/\t/ /", ":3: "},
      {"4s/$/\tx/", ":4: "},             {"3s/[0-9]*$/x/", ":3: "},  {"3s/[0-9]*$//", ":3: "},
      {"$p;$s/7~rc1+ds/8/", ":5: "},      {"1!d", "names no package"}, {"3s/\t0[.]10/\t/", ":3: "}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    shell("cd '%s' && sed '%s' old/manifest.tsv >bad.tsv", dir, bad[i][0]);
    refuse_as("bad.tsv", forwards, bad[i][1], NULL);
  }
  refuse_as("nosuch.tsv", forwards, "nosuch.tsv", NULL);
}

static void test_refusals(void **state) {
  (void)state;
  static const struct {
    const char *text, *word;
  } bad[] = {{"language = gl\n", "package"},
             {"package = a\n", "language"},
             {"language = gl\npackage = ../a\n", ":2: "},
             {"language = gl\npackage = a b\n", ":2: "},
             {"language = gl\npackage = a;b\n", ":2: "},
             {"language = en\npackage = a\n", ":1: "},
             {"language = no such\npackage = a\n", ":1: "},
             {"language = gl\nlanguage\n", ":2: "},
             {"package = a\nlabel_share = 2\n", ":2: "},
             {"package = a\n\ncolour = red\n", ":3: "},
             {"language = gl\npackage = a\nlanguage = glg\n", ":3: language = glg is there twice"},
             {"package = a\npackage = b\npackage = a\n", ":3: package = a is there twice"},
             {"source = man\nsource = man\n", ":2: source = man is there twice"}};
  dg_harvest_config c;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    dg_error err = {0};
    if (read_config(&c, bad[i].text, &err)) fail_msg("\"%s\" passed", bad[i].text);
    if (!strstr(err.message, bad[i].word) || !strstr(err.message, "conf"))
      fail_msg("%s", err.message);
  }
  dg_error err = {0};
  if (!read_config(&c, "language = gl\npackage = a\n", &err)) fail_msg("%s", err.message);
  assert_false(
      dg_harvest(&c, "/nonexistent/cache", "/nonexistent/out", NULL, NULL, NULL, counts, &err));
  assert_int_equal(err.status, DG_ERR_IO);
  dg_harvest_free(&c);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_same_bytes), cmocka_unit_test(test_splits),
      cmocka_unit_test(test_order),      cmocka_unit_test(test_missing),
      cmocka_unit_test(test_leavings),   cmocka_unit_test(test_limits),
      cmocka_unit_test(test_manifest),   cmocka_unit_test(test_as_manifest),
      cmocka_unit_test(test_refusals),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
