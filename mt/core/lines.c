#include "mt/core/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "mt/core/mem.h"
#include "mt/core/utf8.h"

enum { STEP = 1 << 16, GRACE = 50 /* ms that a line in the making may take */ };

/* gzread() waits until its buffer is full, where a pipe or terminal has lines to be answered: so
 * what is packed is unpacked here. */
typedef enum unpacking { UNKNOWN, PLAIN, BETWEEN_MEMBERS, INSIDE_MEMBER } unpacking;

struct dg_lines {
  int fd;
  char *path, *buffer;
  size_t start, end, capacity, number;
  bool at_end, marked;
  unpacking state;
  bool input_ended;
  z_stream z; /* what is read of a packed file, and not unpacked yet */
  uint8_t *input;
};

dg_lines *dg_lines_open(const char *path, dg_error *err) {
  bool standard = !strcmp(path, "-");
  struct stat st;
  if (!standard && !stat(path, &st) && S_ISDIR(st.st_mode)) {
    dg_fail(err, DG_ERR_IO, "%s: is a directory", path);
    return NULL;
  }
  int fd = standard ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0) : open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    dg_fail_errno(err, "%s: cannot open", path);
    return NULL;
  }
  dg_lines *r = dg_calloc(1, sizeof *r);
  r->fd = fd;
  r->path = dg_strdup(standard ? "standard input" : path);
  return r;
}

static bool read_some(dg_lines *r, void *to, size_t most, size_t *n, dg_error *err) {
  ssize_t got = read(r->fd, to, most);
  *n = got > 0 ? (size_t)got : 0;
  if (!got) r->input_ended = true;
  if (got < 0 && errno == EINTR) return dg_fail(err, DG_ERR_INTERRUPTED, "interrupted");
  return got >= 0 || dg_fail_errno(err, "%s: read failed", r->path);
}

/* More of a packed file behind what is left of it. */
static bool read_packed(dg_lines *r, dg_error *err) {
  size_t n;
  memmove(r->input, r->z.next_in, r->z.avail_in);
  r->z.next_in = r->input;
  if (!read_some(r, r->input + r->z.avail_in, STEP - r->z.avail_in, &n, err)) return false;
  r->z.avail_in += (uInt)n;
  return true;
}

/* Whether a gzip member begins here; reads no more than it takes to tell. */
static bool at_member(dg_lines *r, bool *yes, dg_error *err) {
  while (r->z.avail_in < 2 && !r->input_ended && (!r->z.avail_in || *r->z.next_in == 0x1f))
    if (!read_packed(r, err)) return false;
  *yes = r->z.avail_in >= 2 && r->z.next_in[0] == 0x1f && r->z.next_in[1] == 0x8b;
  return true;
}

static bool begin(dg_lines *r, dg_error *err) {
  if (!r->input) r->z.next_in = r->input = dg_malloc(STEP);
  bool packed;
  if (!at_member(r, &packed, err)) return false;
  r->state = packed ? BETWEEN_MEMBERS : PLAIN;
  if (packed && inflateInit2(&r->z, 15 + 16) != Z_OK)
    return dg_fail(err, DG_ERR_MEMORY, "%s: out of memory", r->path);
  return true;
}

/* Behind the last member zeros may stand, as tape archives have them. */
static bool skip_padding(dg_lines *r, size_t *n, dg_error *err) {
  *n = 0;
  for (;;) {
    for (; r->z.avail_in; r->z.avail_in--)
      if (*r->z.next_in++)
        return dg_fail(err, DG_ERR_FORMAT,
                       "%s: after line %zu what follows the gzip data is none: pack it, too",
                       r->path, r->number);
    if (r->input_ended) break;
    if (!read_packed(r, err)) return false;
  }
  r->at_end = true;
  return true;
}

static bool unpack(dg_lines *r, uint8_t *to, size_t most, size_t *n, dg_error *err) {
  r->z.next_out = to;
  r->z.avail_out = (uInt)most;
  while (r->z.avail_out == most) {
    if (r->state == BETWEEN_MEMBERS) {
      bool more;
      if (!at_member(r, &more, err)) return false;
      if (!more) return skip_padding(r, n, err);
      r->state = INSIDE_MEMBER;
    }
    if (!r->z.avail_in && !r->input_ended && !read_packed(r, err)) return false;
    int status = inflate(&r->z, Z_NO_FLUSH);
    if (status == Z_STREAM_END) {
      inflateReset(&r->z);
      r->state = BETWEEN_MEMBERS;
    } else if (status == Z_BUF_ERROR && r->input_ended) {
      return dg_fail(err, DG_ERR_FORMAT, "%s: gzip data ends too early after line %zu", r->path,
                     r->number);
    } else if (status != Z_OK && status != Z_BUF_ERROR) {
      return dg_fail(err, DG_ERR_FORMAT, "%s: damaged gzip data after line %zu: %s", r->path,
                     r->number, r->z.msg ? r->z.msg : "no reason given");
    }
  }
  *n = most - r->z.avail_out;
  return true;
}

/* Reads more bytes behind the unconsumed ones; false on error. */
static bool refill(dg_lines *r, dg_error *err) {
  if (r->start) {
    memmove(r->buffer, r->buffer + r->start, r->end - r->start);
    r->end -= r->start;
    r->start = 0;
  }
  DG_GROW(r->buffer, r->capacity, r->end + STEP + 1);
  char *to = r->buffer + r->end;
  size_t n = 0;
  if (r->state == UNKNOWN && !begin(r, err)) return false;
  if (r->state != PLAIN) {
    if (!unpack(r, (uint8_t *)to, STEP, &n, err)) return false;
  } else if (r->z.avail_in) { /* what was looked at first */
    memcpy(to, r->z.next_in, n = r->z.avail_in);
    r->z.avail_in = 0;
  } else if (!r->input_ended && !read_some(r, to, STEP, &n, err)) {
    return false;
  }
  if (!n) r->at_end = true;
  r->end += n;
  return true;
}

int dg_lines_next(dg_lines *r, char **line, size_t *length, dg_error *err) {
  size_t scanned = 0;
  char *newline = NULL;
  for (;;) {
    if (r->end > r->start + scanned)
      newline = memchr(r->buffer + r->start + scanned, '\n', r->end - r->start - scanned);
    if (newline || r->at_end) break;
    scanned = r->end - r->start;
    if (!refill(r, err)) return -1;
  }
  if (!newline && r->start == r->end) return 0;
  char *s = r->buffer + r->start;
  size_t n = newline ? (size_t)(newline - s) : r->end - r->start;
  r->start += n + (newline ? 1 : 0);
  r->number++;
  if (n && s[n - 1] == '\r') n--;
  s[n] = 0;
  if (r->number == 1 && n >= 3 && !memcmp(s, "\xEF\xBB\xBF", 3)) {
    s += 3;
    n -= 3;
    r->marked = true;
  }
  size_t valid = dg_utf8_valid_prefix(s, n);
  if (valid < n) {
    dg_fail(err, DG_ERR_FORMAT,
            "%s: line %zu, byte %zu: not valid UTF-8; convert the file (for example with iconv)",
            r->path, r->number, valid + 1);
    return -1;
  }
  const char *nul = memchr(s, 0, n); /* readers of strings would lose what follows */
  if (nul) {
    dg_fail(err, DG_ERR_FORMAT, "%s: line %zu, byte %zu: a NUL byte: this is no text file", r->path,
            r->number, (size_t)(nul - s) + 1);
    return -1;
  }
  *line = s;
  *length = n;
  return 1;
}

size_t dg_lines_number(const dg_lines *r) { return r->number; }
bool dg_lines_marked(const dg_lines *r) { return r->marked; }

bool dg_lines_waits(const dg_lines *r) {
  bool whole = r->end > r->start && memchr(r->buffer + r->start, '\n', r->end - r->start);
  struct pollfd p = {.fd = r->fd, .events = POLLIN};
  return !whole && !r->at_end && !r->input_ended && !r->z.avail_in && poll(&p, 1, GRACE) <= 0;
}

void dg_lines_close(dg_lines *r) {
  if (!r) return;
  if (r->state > PLAIN) inflateEnd(&r->z);
  close(r->fd);
  free(r->path);
  free(r->buffer);
  free(r->input);
  free(r);
}

char *dg_read_text(const char *path, dg_error *err) {
  dg_lines *r = dg_lines_open(path, err);
  if (!r) return NULL;
  dg_strbuf text = {0};
  dg_strbuf_add(&text, "");
  char *line;
  size_t n;
  int got;
  while ((got = dg_lines_next(r, &line, &n, err)) > 0) {
    dg_strbuf_addn(&text, line, n);
    dg_strbuf_addc(&text, '\n');
  }
  dg_lines_close(r);
  while (text.length && strchr(" \t\r\n", text.text[text.length - 1])) text.text[--text.length] = 0;
  if (!got) return text.text;
  free(text.text);
  return NULL;
}
