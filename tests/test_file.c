/* Files that appear whole or not at all, and lines of plain and gzipped text. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <zlib.h>

#include "mt/core/file.h"
#include "mt/core/lines.h"
#include "mt/core/mem.h"
#include "mt/core/rng.h"
#include "mt/core/utf8.h"

static char *dir; /* of this program alone */

static int set_up(void **state) {
  (void)state;
  const char *tmp = getenv("TMPDIR");
  dir = dg_format("%s/test_file-XXXXXX", tmp ? tmp : "/tmp");
  return mkdtemp(dir) ? 0 : -1;
}

static size_t files(void) { /* in the directory */
  DIR *d = opendir(dir);
  assert_non_null(d);
  size_t n = 0;
  for (struct dirent *e; (e = readdir(d));) n += *e->d_name != '.';
  closedir(d);
  return n;
}

static void empty(void) {
  DIR *d = opendir(dir);
  for (struct dirent *e; (e = readdir(d));)
    if (*e->d_name != '.') unlinkat(dirfd(d), e->d_name, 0);
  closedir(d);
}

static int tear_down(void **state) {
  (void)state;
  empty();
  rmdir(dir);
  free(dir);
  return 0;
}

static const char *at(const char *name) { /* a path; the four latest stay valid */
  static char paths[4][512];
  static unsigned next;
  char *p = paths[next++ % 4];
  snprintf(p, sizeof *paths, "%s/%s", dir, name);
  return p;
}

static const char *put(const char *name, const void *bytes, size_t n) {
  const char *path = at(name);
  unlink(path); /* file systems write a truncated file to disk when it is closed */
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(bytes, 1, n, f), n);
  assert_int_equal(fclose(f), 0);
  return path;
}

static void assert_holds(const char *path, const void *bytes, size_t n) {
  dg_mapping m;
  dg_error err;
  if (!dg_map(path, &m, &err)) fail_msg("%s", err.message);
  assert_int_equal(m.size, n);
  assert_memory_equal(m.data, bytes, n);
  dg_unmap(&m);
  assert_null(m.data);
}

/* --- output ----------------------------------------------------------------------------- */

static void test_output_appears_when_complete(void **state) {
  (void)state;
  dg_error err;
  const char *path = put("out", "old", 3);
  dg_output *o = dg_output_open(path, &err);
  assert_true(dg_output_write(o, "new ", 4, &err));
  assert_true(dg_output_printf(o, &err, "%d%s", 42, "\n"));
  assert_true(dg_output_write(o, "", 0, &err));
  assert_holds(path, "old", 3);
  assert_true(dg_output_commit(o, &err));
  assert_holds(path, "new 42\n", 7);
  assert_int_equal(files(), 1);

  o = dg_output_open(path, &err);
  assert_true(dg_output_write(o, "half", 4, &err));
  dg_output_abort(o);
  assert_holds(path, "new 42\n", 7);
  assert_int_equal(files(), 1);
  dg_output_abort(NULL);

  o = dg_output_open(at("never.gz"), &err);
  assert_true(dg_output_write(o, "half", 4, &err));
  dg_output_abort(o);
  assert_int_equal(files(), 1);

  assert_null(dg_output_open(at("absent/out"), &err));
  assert_int_equal(err.status, DG_ERR_IO);
  assert_non_null(strstr(err.message, "absent/out"));
  assert_null(dg_output_open(dir, &err)); /* a directory */
  empty();
}

/* A file that stands in the temporary's place, or a link there, is neither kept nor followed. */
static void test_output_through_a_link(void **state) {
  (void)state;
  dg_error err;
  char *link = dg_format("%s.tmp-%ld", at("out"), (long)getpid()),
       *packed = dg_format("%s.tmp-%ld", at("out.gz"), (long)getpid());
  const char *victim = put("victim", "mine", 4);
  assert_int_equal(symlink(victim, link), 0);
  assert_int_equal(symlink(victim, packed), 0);
  assert_true(dg_output_whole(at("out"), "new", 3, &err));
  assert_true(dg_output_whole(at("out.gz"), "new", 3, &err));
  assert_holds(at("victim"), "mine", 4);
  assert_holds(at("out"), "new", 3);
  struct stat st;
  assert_int_equal(lstat(at("out"), &st), 0);
  assert_true(S_ISREG(st.st_mode));
  free(link);
  free(packed);
  empty();
}

/* What a link leads to is written, in the mode that it had. */
static void test_output_named_by_a_link(void **state) {
  (void)state;
  dg_error err;
  struct stat st;
  chmod(put("real", "old", 3), 0640);
  assert_int_equal(symlink("real", at("link")), 0);
  assert_int_equal(symlink("nowhere", at("loose")), 0);
  assert_true(dg_output_whole(at("link"), "new", 3, &err));
  assert_true(dg_output_whole(at("loose"), "made", 4, &err));
  assert_holds(at("real"), "new", 3);
  assert_holds(at("nowhere"), "made", 4);
  assert_int_equal(lstat(at("link"), &st), 0);
  assert_true(S_ISLNK(st.st_mode));
  assert_int_equal(stat(at("real"), &st), 0);
  assert_int_equal(st.st_mode & 07777, 0640);
  assert_int_equal(files(), 4);
  empty();
}

/* What cannot be named in the end is not begun. */
static void test_output_of_a_long_name(void **state) {
  (void)state;
  dg_error err;
  char name[252];
  memset(name, 'n', sizeof name - 1);
  name[sizeof name - 1] = 0;
  assert_null(dg_output_open(at(name), &err));
  assert_int_equal(err.status, DG_ERR_IO);
  assert_null(dg_output_open("", &err));
  empty();
}

/* Who holds a lock removes what killed holders left, and nothing else. */
static void test_lock_sweeps(void **state) {
  (void)state;
  dg_error err;
  put("out.tmp-123", "half", 4);
  put("out.tmp-12a", "other", 5);
  put("another.tmp-123", "other", 5);
  put("out", "whole", 5);
  dg_lock *l = dg_lock_new(at("out"), &err);
  assert_non_null(l);
  assert_int_equal(files(), 4); /* the lock is one */
  assert_int_not_equal(access(at("out.tmp-123"), F_OK), 0);
  dg_lock_free(l);
  assert_int_equal(files(), 3);
  empty();
}

/* What is renamed into place is complete even if the program dies first. */
static void test_output_of_a_killed_program(void **state) {
  (void)state;
  const char *path = put("out", "old", 3);
  pid_t child = fork();
  if (!child) {
    dg_output *o = dg_output_open(path, NULL);
    for (int i = 0; i < 100000; i++) dg_output_printf(o, NULL, "line %d\n", i);
    raise(SIGKILL);
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFSIGNALED(status));
  assert_holds(path, "old", 3);
  int nameless = open(dir, O_TMPFILE | O_RDWR, 0600);
  if (nameless >= 0) assert_int_equal(files(), 1); /* it leaves nothing where there are such */
  close(nameless);
  empty();
}

/* Writes n bytes that do not compress; true if all went well. */
static bool write_much(const char *path, size_t n, dg_error *err) {
  dg_rng r = {dg_rng_key(1, n), 0};
  dg_output *o = dg_output_open(path, err);
  if (!o) return false;
  for (size_t done = 0; done < n; done += 8) {
    uint64_t x = dg_rng_next(&r);
    if (!dg_output_write(o, &x, n - done < 8 ? n - done : 8, err)) {
      dg_output_abort(o);
      return false;
    }
  }
  return dg_output_commit(o, err);
}

static void test_full_disk(void **state) {
  (void)state;
  struct rlimit before, limit;
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
  limit = before;
  limit.rlim_cur = 40000;
  signal(SIGXFSZ, SIG_IGN);
  static const char *const names[] = {"plain", "packed.gz"};
  /* 41000 fails at the end or in the commit, a million in a write. */
  static const size_t sizes[] = {39000, 41000, 1000000};
  for (int i = 0; i < 2; i++)
    for (int k = 0; k < 3; k++) {
      const char *path = put(names[i], "old", 3);
      dg_error err = {0};
      assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
      bool ok = write_much(path, sizes[k], &err);
      assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
      assert_int_equal(ok, k == 0);
      assert_int_equal(files(), 1);
      if (!ok) {
        assert_holds(path, "old", 3);
        assert_int_equal(err.status, DG_ERR_IO);
        if (!strstr(err.message, names[i]) || !strstr(err.message, strerror(EFBIG)))
          fail_msg("%s", err.message);
      }
      empty();
    }
  signal(SIGXFSZ, SIG_DFL);
}

/* Where one cannot be written the others do not appear. */
/* Its end closes nothing else: standard input is the file of number 0. */
static void test_scratch(void **state) {
  (void)state;
  dg_error err;
  char byte = 0, *path = dg_format("%s/scratch", dir);
  dg_output *o = dg_output_open_scratch(path, &err);
  if (!o) fail_msg("%s", err.message);
  assert_true(dg_output_write_at(o, 3, "x", 1, &err) && dg_output_read_at(o, 3, &byte, 1, &err));
  assert_int_equal(byte, 'x');
  int before = fcntl(0, F_GETFD);
  dg_output_abort(o);
  assert_int_equal(fcntl(0, F_GETFD), before);
  free(path);
}

static void test_all_or_none(void **state) {
  (void)state;
  signal(SIGXFSZ, SIG_IGN);
  struct rlimit before, limit = {16, RLIM_INFINITY};
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
  dg_error err;
  for (int full = 1; full >= 0; full--) {
    dg_output *list[] = {dg_output_open(at("first"), &err), NULL,
                         dg_output_open(at("second"), &err)};
    assert_true(dg_output_write(list[0], "a", 1, &err));
    assert_true(dg_output_printf(list[2], &err, "%100s", "a"));
    if (full) assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    bool ok = dg_output_commit_all(list, 3, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(ok, !full);
    if (full && !strstr(err.message, "second: write failed")) fail_msg("%s", err.message);
    assert_int_equal(files(), full ? 0 : 2);
    empty();
  }
  signal(SIGXFSZ, SIG_DFL);
}

static void test_devices(void **state) {
  (void)state;
  dg_error err = {0};
  if (!access("/dev/full", W_OK)) {
    assert_false(write_much("/dev/full", 100, &err));
    if (!strstr(err.message, strerror(ENOSPC))) fail_msg("%s", err.message);
    assert_false(write_much("/dev/full", 1000000, &err));
    struct stat s;
    assert_int_equal(stat("/dev/full", &s), 0);
    assert_true(S_ISCHR(s.st_mode)); /* written to, not renamed over */
  }
  assert_true(write_much("/dev/null", 100, &err));
  assert_int_equal(mkfifo(at("pipe"), 0600), 0);
  int fd = open(at("pipe"), O_RDONLY | O_NONBLOCK);
  dg_output *o = dg_output_open(at("pipe"), &err);
  assert_true(dg_output_write(o, "through", 7, &err));
  assert_true(dg_output_commit(o, &err));
  char got[8] = {0};
  assert_int_equal(read(fd, got, 8), 7);
  assert_string_equal(got, "through");
  close(fd);
  assert_int_equal(files(), 1);
  empty();
}

static void test_standard_output(void **state) {
  (void)state;
  int ends[2], saved = dup(STDOUT_FILENO);
  fflush(stdout);
  assert_int_equal(pipe(ends), 0);
  dup2(ends[1], STDOUT_FILENO);
  dg_error err;
  dg_output *o = dg_output_open("-", &err);
  bool ok = dg_output_printf(o, &err, "hello") && dg_output_commit(o, &err);
  o = dg_output_open("-", &err);
  dg_output_abort(o);
  bool open_still = fputs("!", stdout) >= 0 && !fflush(stdout);
  dup2(saved, STDOUT_FILENO);
  close(saved);
  close(ends[1]);
  char got[8] = {0};
  assert_int_equal(read(ends[0], got, 8), 6);
  close(ends[0]);
  assert_true(ok && open_still);
  assert_string_equal(got, "hello!");
}

/* --- gzip --------------------------------------------------------------------------------- */

static char *unzip(const char *path, size_t *n) {
  gzFile gz = gzopen(path, "rb");
  assert_non_null(gz);
  assert_false(gzdirect(gz)); /* it is gzip */
  char *bytes = dg_malloc(1 << 21);
  int got = gzread(gz, bytes, 1 << 21);
  assert_true(got >= 0);
  assert_int_equal(gzclose(gz), Z_OK);
  *n = (size_t)got;
  return bytes;
}

static void test_gzip_output(void **state) {
  (void)state;
  dg_error err;
  const char *path = at("text.gz");
  dg_output *o = dg_output_open(path, &err);
  for (int i = 0; i < 20000; i++) assert_true(dg_output_printf(o, &err, "line %d\n", i));
  assert_true(dg_output_commit(o, &err));
  struct stat s;
  assert_int_equal(stat(path, &s), 0);
  assert_true(s.st_size < 100000);
  size_t n;
  char *text = unzip(path, &n);
  assert_int_equal(n, 208890);
  assert_memory_equal(text + n - 11, "line 19999\n", 11);
  free(text);
  /* The same text gives the same bytes: no name and no time inside. */
  dg_mapping a, b;
  o = dg_output_open(at("other.gz"), &err);
  for (int i = 0; i < 20000; i++) assert_true(dg_output_printf(o, &err, "line %d\n", i));
  assert_true(dg_output_commit(o, &err));
  assert_true(dg_map(path, &a, &err) && dg_map(at("other.gz"), &b, &err));
  assert_int_equal(a.size, b.size);
  assert_memory_equal(a.data, b.data, a.size);
  uint32_t time;
  memcpy(&time, a.data + 4, 4);
  assert_int_equal(time, 0);
  dg_unmap(&a);
  dg_unmap(&b);
  o = dg_output_open(at("empty.gz"), &err);
  assert_true(dg_output_commit(o, &err));
  free(unzip(at("empty.gz"), &n));
  assert_int_equal(n, 0);
  assert_int_equal(files(), 3);
  empty();
}

/* --- lines --------------------------------------------------------------------------------- */

/* All lines joined by '|', or the error. */
static char *lines_of(const char *path) {
  dg_error err = {0};
  dg_lines *r = dg_lines_open(path, &err);
  if (!r) return dg_strdup(err.message);
  dg_strbuf all = {0};
  dg_strbuf_add(&all, "");
  char *line;
  size_t n, number = 0;
  int got;
  while ((got = dg_lines_next(r, &line, &n, &err)) > 0) {
    assert_int_equal(dg_lines_number(r), ++number);
    assert_int_equal(line[n], 0);
    dg_strbuf_addn(&all, line, n);
    dg_strbuf_addc(&all, '|');
  }
  dg_lines_close(r);
  if (got < 0) {
    assert_int_equal(err.status, DG_ERR_FORMAT);
    dg_strbuf_clear(&all);
    dg_strbuf_add(&all, err.message);
  }
  return all.text;
}

static void zip(const char *path, const char *bytes, size_t n) {
  gzFile gz = gzopen(path, "wb");
  assert_int_equal(gzwrite(gz, bytes, (unsigned)n), n);
  assert_int_equal(gzclose(gz), Z_OK);
}

/* Plain and gzipped alike. */
static void check_lines(const char *bytes, size_t n, const char *want) {
  for (int packed = 0; packed < 2; packed++) {
    const char *path = at(packed ? "lines.gz" : "lines");
    if (packed)
      zip(path, bytes, n);
    else
      put("lines", bytes, n);
    char *got = lines_of(path);
    if (strcmp(got, want) && !strstr(got, want)) fail_msg("\"%s\", not \"%s\"", got, want);
    if (!strchr(want, ':')) assert_string_equal(got, want);
    free(got);
  }
}

#define LINES(bytes, want) check_lines(bytes, sizeof(bytes) - 1, want)

static void test_line_ends(void **state) {
  (void)state;
  LINES("a\nb\n", "a|b|");
  LINES("a\nb", "a|b|");
  LINES("a\r\nb\r\n", "a|b|");
  LINES("a\r\nb\nc\r\n", "a|b|c|");
  LINES("a\r\r\nb\rc\n", "a\r|b\rc|");
  LINES("\n\r\n\n", "|||");
  LINES("\n", "|");
  LINES("\xEF\xBB\xBF"
        "a\nb\n",
        "a|b|");
  LINES("\xEF\xBB\xBF\r\nb", "|b|");
  LINES("a\n\xEF\xBB\xBF"
        "b\n",
        "a|\xEF\xBB\xBF"
        "b|"); /* only at the start of the file is it a mark */
  LINES("\xEF\xBB\xBF\xEF\xBB\xBF"
        "a\n",
        "\xEF\xBB\xBF"
        "a|");
  char *got = lines_of(put("none", "", 0));
  assert_string_equal(got, "");
  free(got);
  empty();
}

/* Well-formed UTF-8 (Unicode 15, table 3-7) passes, everything else is named. */
static void test_utf8(void **state) {
  (void)state;
  LINES("\xC2\x80\xDF\xBF\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF\xF0\x90\x80\x80"
        "\xF4\x8F\xBF\xBF\n",
        "\xC2\x80\xDF\xBF\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF\xF0\x90\x80\x80"
        "\xF4\x8F\xBF\xBF|");
  LINES("good\nbad \xFFx\n", ": line 2, byte 5: ");
  LINES("good\n\0\n", ": line 2, byte 1: ");
  LINES("good\r\nba\0d\r\n", ": line 2, byte 3: ");
  static const char *const bad[] = {"\x80",         "\xC0\x80",         "\xC1\xBF",
                                    "\xE0\x9F\xBF", "\xED\xA0\x80",     "\xED\xBF\xBF",
                                    "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80",
                                    "\xE2\x82",     "\xE2\x82x",        "\xF0\x9F\x98",
                                    "\xC3",         "\xC3\xC3\xA9",     "\xFE"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    char text[16];
    int n = snprintf(text, sizeof text, "ab%s", bad[i]);
    assert_int_equal(dg_utf8_valid_prefix(text, (size_t)n), 2);
    check_lines(text, (size_t)n, ": line 1, byte 3: ");
  }
  assert_int_equal(dg_utf8_valid_prefix("\xC3\xA9", 1), 0); /* cut short */
  static const char *const repaired[][2] = {
      {"", ""}, {"caf\u00E9", "caf\u00E9"}, {"caf\xE9", "caf\uFFFD"}, {"\xFF\xC3z", "\uFFFD\uFFFDz"}};
  for (size_t i = 0; i < 4; i++) {
    char *s = dg_utf8_repair(repaired[i][0]);
    assert_string_equal(s, repaired[i][1]);
    free(s);
  }
  assert_int_equal(dg_utf8_valid_prefix("a\0b", 3), 3);
  assert_int_equal(dg_utf8_valid_prefix("", 0), 0);
  empty();
}

/* Lines longer than any buffer, and line ends on every boundary of it. */
static void test_long_lines(void **state) {
  (void)state;
  dg_rng r = {dg_rng_key(5, 6), 0};
  dg_strbuf text = {0}, want = {0};
  static const size_t lengths[] = {65534, 65535, 65536, 65537, 131071, 131072, 1000000, 0, 1};
  for (size_t i = 0; i < 60; i++) {
    size_t n = i < 9 ? lengths[i] : dg_rng_below(&r, 9000);
    for (size_t k = 0; k < n; k++) {
      char c = (char)('a' + dg_rng_below(&r, 26));
      dg_strbuf_addc(&text, c);
      dg_strbuf_addc(&want, c);
    }
    dg_strbuf_add(&text, i % 2 ? "\r\n" : "\n");
    dg_strbuf_addc(&want, '|');
  }
  for (size_t cut = 0; cut < 3; cut++) { /* the last line has no end */
    check_lines(text.text, text.length - cut, want.text);
  }
  free(text.text);
  free(want.text);
  empty();
}

/* Members one after another are one text; nothing else may follow them. */
static void test_gzip_members(void **state) {
  (void)state;
  const char *path = at("members.gz");
  zip(path, "a\nb", 3);
  for (int i = 0; i < 2; i++) {
    gzFile gz = gzopen(path, "ab");
    if (i) assert_int_equal(gzwrite(gz, "c\nd\n", 4), 4);
    assert_int_equal(gzclose(gz), Z_OK); /* the first has nothing in it */
  }
  char *got = lines_of(path);
  assert_string_equal(got, "a|bc|d|");
  free(got);
  static const char *const after[] = {"\0\0\0", "\0x\n"};
  for (int i = 0; i < 2; i++) { /* zeros pad it */
    FILE *f = fopen(path, "ab");
    assert_int_equal(fwrite(after[i], 1, 3, f), 3);
    assert_int_equal(fclose(f), 0);
    got = lines_of(path);
    if (!i) assert_string_equal(got, "a|bc|d|");
    else assert_non_null(strstr(got, "after line 3 what follows the gzip data is none"));
    free(got);
  }
  empty();
}

/* A line that a pipe has is read at once, whatever may follow; packed text, too. */
static void test_pipe(void **state) {
  (void)state;
  zip(at("small.gz"), "packed\n", 7);
  dg_mapping m;
  dg_error err;
  assert_true(dg_map(at("small.gz"), &m, &err));
  int saved = dup(STDIN_FILENO), one[2];
  char *first;
  size_t length;
  assert_int_equal(pipe(one), 0); /* of a single byte, too */
  assert_int_equal(dup2(one[0], STDIN_FILENO), STDIN_FILENO);
  dg_lines *short_one = dg_lines_open("-", &err);
  assert_int_equal(write(one[1], "\n", 1), 1);
  assert_int_equal(dg_lines_next(short_one, &first, &length, &err), 1);
  assert_int_equal(length, 0);
  dg_lines_close(short_one);
  close(one[0]);
  close(one[1]);
  for (int packed = 0; packed < 2; packed++) {
    int ends[2];
    char *line;
    size_t n;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
    dg_lines *r = dg_lines_open("-", &err);
    assert_non_null(r);
    assert_true(dg_lines_waits(r));
    size_t size = packed ? m.size : 10;
    assert_int_equal(write(ends[1], packed ? (const char *)m.data : "one\ntwo\nha", size), size);
    assert_int_equal(dg_lines_next(r, &line, &n, &err), 1);
    assert_string_equal(line, packed ? "packed" : "one");
    if (!packed) {
      assert_false(dg_lines_waits(r));
      assert_int_equal(dg_lines_next(r, &line, &n, &err), 1);
      assert_string_equal(line, "two");
      assert_true(dg_lines_waits(r)); /* for the rest of a line */
      assert_int_equal(write(ends[1], "lf\n", 3), 3);
      assert_int_equal(dg_lines_next(r, &line, &n, &err), 1);
      assert_string_equal(line, "half");
    }
    assert_true(dg_lines_waits(r));
    close(ends[1]);
    assert_int_equal(dg_lines_next(r, &line, &n, &err), 0);
    dg_lines_close(r);
    close(ends[0]);
  }
  dup2(saved, STDIN_FILENO);
  close(saved);
  dg_unmap(&m);
  empty();
}

static void test_damaged_gzip(void **state) {
  (void)state;
  dg_strbuf text = {0};
  dg_rng r = {dg_rng_key(7, 8), 0};
  for (int i = 0; i < 40; i++) dg_strbuf_addf(&text, "%x\n", (unsigned)dg_rng_next(&r));
  zip(at("whole.gz"), text.text, text.length);
  dg_mapping m;
  dg_error err;
  assert_true(dg_map(at("whole.gz"), &m, &err));
  char *bytes = dg_malloc(m.size), *want = lines_of(at("whole.gz"));
  memcpy(bytes, m.data, m.size);
  size_t size = m.size;
  dg_unmap(&m);
  for (size_t n = 3; n < size; n++) { /* of fewer bytes nobody can say that they are gzip */
    char *got = lines_of(put("cut.gz", bytes, n));
    if (!strstr(got, "cut.gz: ") || !strstr(got, "gzip")) fail_msg("%zu bytes: %s", n, got);
    free(got);
  }
  size_t missed = 0;
  for (size_t bit = 0; bit < 8 * size; bit++) {
    bytes[bit / 8] ^= (char)(1 << bit % 8);
    char *got = lines_of(put("flip.gz", bytes, size));
    bool harmless = !strcmp(got, want);
    if (!harmless && !strstr(got, "flip.gz: ")) fail_msg("bit %zu: %s", bit, got);
    /* Only the header's time, system and the like, and what fills the last byte. */
    if (harmless && bit >= 80 && bit / 8 != size - 9) fail_msg("bit %zu passed", bit);
    missed += harmless;
    free(got);
    bytes[bit / 8] ^= (char)(1 << bit % 8);
  }
  assert_true(missed < 70);
  free(bytes);
  free(want);
  free(text.text);
  empty();
}

static void test_no_lines(void **state) {
  (void)state;
  dg_error err = {0};
  assert_null(dg_lines_open(at("absent"), &err));
  assert_int_equal(err.status, DG_ERR_IO);
  assert_non_null(strstr(err.message, "absent"));
  assert_null(dg_lines_open(dir, &err));
  assert_non_null(strstr(err.message, "directory"));
  dg_lines_close(NULL);
  dg_mapping m;
  assert_false(dg_map(at("absent"), &m, &err));
  assert_null(m.data);
  assert_false(dg_map(dir, &m, &err));
  assert_false(dg_map(put("none", "", 0), &m, &err));
  assert_non_null(strstr(err.message, "none"));
  assert_int_equal(mkfifo(at("pipe"), 0600), 0); /* no one writes to it */
  assert_false(dg_map(at("pipe"), &m, &err));
  assert_non_null(strstr(err.message, "pipe"));
  empty();
}

static void test_standard_input(void **state) {
  (void)state;
  int ends[2], saved = dup(STDIN_FILENO);
  assert_int_equal(pipe(ends), 0);
  dup2(ends[0], STDIN_FILENO);
  assert_int_equal(write(ends[1], "one\ntwo \xFF", 9), 9);
  close(ends[1]);
  char *got = lines_of("-");
  if (saved >= 0) dup2(saved, STDIN_FILENO);
  close(saved);
  close(ends[0]);
  assert_non_null(strstr(got, "standard input: line 2, byte 5"));
  free(got);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_output_appears_when_complete),
      cmocka_unit_test(test_output_of_a_killed_program),
      cmocka_unit_test(test_output_through_a_link), cmocka_unit_test(test_output_named_by_a_link),
      cmocka_unit_test(test_output_of_a_long_name),
      cmocka_unit_test(test_lock_sweeps),
      cmocka_unit_test(test_full_disk),
      cmocka_unit_test(test_scratch),
      cmocka_unit_test(test_all_or_none),
      cmocka_unit_test(test_devices),
      cmocka_unit_test(test_standard_output),
      cmocka_unit_test(test_gzip_output),
      cmocka_unit_test(test_line_ends),
      cmocka_unit_test(test_utf8),
      cmocka_unit_test(test_long_lines),
      cmocka_unit_test(test_gzip_members),
      cmocka_unit_test(test_pipe),
      cmocka_unit_test(test_damaged_gzip),
      cmocka_unit_test(test_no_lines),
      cmocka_unit_test(test_standard_input),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
