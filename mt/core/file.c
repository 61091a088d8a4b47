#include "mt/core/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <zlib.h>

#include "mt/core/mem.h"

bool dg_same_file(const char *a, const char *b) {
  struct stat s, t;
  return !stat(a, &s) && !stat(b, &t) && S_ISREG(s.st_mode) && s.st_dev == t.st_dev &&
         s.st_ino == t.st_ino;
}

bool dg_map(const char *path, dg_mapping *out, dg_error *err) {
  *out = (dg_mapping){NULL, 0};
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe would wait for its writer */
  if (fd < 0) return dg_fail_errno(err, "%s", path);
  struct stat st;
  bool ok = false;
  if (fstat(fd, &st)) {
    dg_fail_errno(err, "%s", path);
  } else if (!S_ISREG(st.st_mode)) {
    dg_fail(err, DG_ERR_IO, "%s: not a regular file", path);
  } else if (st.st_size == 0) {
    dg_fail(err, DG_ERR_FORMAT, "%s: the file is empty", path);
  } else {
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED) {
      dg_fail_errno(err, "%s: cannot map", path);
    } else {
      *out = (dg_mapping){p, (size_t)st.st_size};
      ok = true;
    }
  }
  close(fd);
  return ok;
}

void dg_unmap(dg_mapping *m) {
  if (m->data) munmap((void *)(uintptr_t)m->data, m->size);
  *m = (dg_mapping){NULL, 0};
}

void dg_map_forget(const void *data, size_t n) {
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  uintptr_t begin = (uintptr_t)data / page * page;
  uintptr_t end = ((uintptr_t)data + n) / page * page;
  if (end > begin) madvise((void *)begin, end - begin, MADV_DONTNEED);
}

struct dg_output {
  FILE *file;
  char *path;      /* as it was given */
  char *place;     /* where that leads; NULL where nothing can be renamed */
  char *temporary; /* what is renamed to it, or will be */
  bool named;      /* the temporary is there; else the file has no name yet */
  mode_t mode;     /* of what is replaced; 0: there is nothing */
  int fd;          /* of the file, by which it gets a name */
  gzFile gz;
  FILE *spool; /* what a pipe gets at the commit, else NULL */
};

/* A path's last part, and the folder that it is in. */
static const char *name_in(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

static char *folder_of(const char *path) {
  size_t n = (size_t)(name_in(path) - path);
  return n ? dg_strndup(path, n) : dg_strdup(".");
}

/* Where a path leads through links, though there may be no file yet. */
static char *follow(const char *path) {
  char *place = dg_strdup(path), target[PATH_MAX];
  for (int links = 0; links < 40; links++) {
    ssize_t n = readlink(place, target, sizeof target - 1);
    if (n < 0) break;
    target[n] = 0;
    char *folder = folder_of(place);
    free(place);
    place = *target == '/' ? dg_strdup(target) : dg_format("%s/%s", folder, target);
    free(folder);
  }
  return place;
}

/* One name for a place: its folder as the system has it, and the last part. */
static char *name_place(const char *path) {
  char *place = follow(path), *folder = folder_of(place), *real = realpath(folder, NULL);
  char *name = dg_format("%s/%s", real ? real : folder, name_in(place));
  free(real);
  free(folder);
  free(place);
  return name;
}

bool dg_same_place(const char *a, const char *b) {
  char *first = name_place(a), *second = name_place(b);
  bool same = !strcmp(first, second) || dg_same_file(a, b);
  free(first);
  free(second);
  return same;
}

/* A device or pipe cannot be renamed over, nor what the shell has opened for us. */
static bool is_special(const char *path, const struct stat *st) {
  return !S_ISREG(st->st_mode) || !strncmp(path, "/dev/fd/", 8) || !strncmp(path, "/dev/std", 8) ||
         !strncmp(path, "/proc/", 6);
}

/* A file without a name, which a killed process leaves nothing of, where there are such; else
 * one that takes the place of a killed process's, or of a link to elsewhere. */
static int open_temporary(dg_output *o) {
  struct stat st; /* a name that is too long is told now, not when all is done */
  if (!*o->place) errno = ENOENT;
  if (!*o->place || (lstat(o->temporary, &st) && errno != ENOENT)) return -1;
  char *folder = folder_of(o->place);
  int fd = access("/proc/self/fd", F_OK) ? -1 : open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
  free(folder);
  if (fd >= 0) return fd;
  unlink(o->temporary);
  fd = open(o->temporary, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0666);
  o->named = fd >= 0;
  return fd;
}

static void output_free(dg_output *o) {
  if (o->spool) fclose(o->spool);
  if (o->fd >= 0) close(o->fd);
  free(o->path);
  free(o->place);
  free(o->temporary);
  free(o);
}

static dg_output *open_output(const char *path, bool random, dg_error *err) {
  dg_output *o = dg_calloc(1, sizeof *o);
  o->path = dg_strdup(path);
  o->fd = -1;
  struct stat st;
  bool standard = !strcmp(path, "-"), there = !standard && !stat(path, &st);
  char *place = standard ? NULL : follow(path);
  bool special = standard || (there && (is_special(path, &st) || is_special(place, &st)));
  bool packed = !random && dg_ends_with(path, ".gz");
  if (special) {
    free(place);
    if (standard) o->file = stdout;
    else if (packed) o->gz = gzopen(path, "wb6e");
    else o->file = fopen(path, "wbe");
    if (random) o->spool = tmpfile();
  } else {
    o->place = place;
    o->temporary = dg_format("%s.tmp-%ld", place, (long)getpid());
    o->mode = there ? st.st_mode & 07777 : 0;
    o->fd = open_temporary(o);
    int fd = o->fd < 0 ? -1 : fcntl(o->fd, F_DUPFD_CLOEXEC, 0);
    if (fd >= 0 && packed) o->gz = gzdopen(fd, "wb6");
    else if (fd >= 0) o->file = fdopen(fd, random ? "w+b" : "wb");
    if (fd >= 0 && !o->file && !o->gz) close(fd);
  }
  if ((o->file || o->gz) && (o->spool || !random || !special)) return o;
  dg_fail_errno(err, "%s: cannot create", path);
  if (o->file && !standard) fclose(o->file);
  if (o->named) unlink(o->temporary);
  output_free(o);
  return NULL;
}

dg_output *dg_output_open(const char *path, dg_error *err) {
  return open_output(path, false, err);
}

dg_output *dg_output_open_random(const char *path, dg_error *err) {
  return open_output(path, true, err);
}

dg_output *dg_output_open_scratch(const char *path, dg_error *err) {
  dg_output *o = dg_calloc(1, sizeof *o);
  o->fd = -1;
  o->path = dg_format("%s.scratch-%ld", path, (long)getpid());
  o->file = fopen(o->path, "w+bxe");
  if (o->file && !unlink(o->path)) return o;
  dg_fail_errno(err, "%s: cannot create", o->path);
  if (o->file) fclose(o->file);
  free(o->path);
  free(o);
  return NULL;
}

static int random_file(const dg_output *o) { return fileno(o->spool ? o->spool : o->file); }

bool dg_output_write_at(dg_output *o, uint64_t at, const void *bytes, size_t n, dg_error *err) {
  int fd = random_file(o);
  for (const char *p = bytes; n;) {
    ssize_t done = pwrite(fd, p, n, (off_t)at);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return dg_fail_errno(err, "%s: write failed", o->path);
    p += done;
    at += (uint64_t)done;
    n -= (size_t)done;
  }
  return true;
}

bool dg_output_read_at(dg_output *o, uint64_t at, void *bytes, size_t n, dg_error *err) {
  int fd = random_file(o);
  for (char *p = bytes; n;) {
    ssize_t done = pread(fd, p, n, (off_t)at);
    if (done < 0 && errno == EINTR) continue;
    if (!done) errno = EIO; /* it is shorter than what was written */
    if (done <= 0) return dg_fail_errno(err, "%s: reading back failed", o->path);
    p += done;
    at += (uint64_t)done;
    n -= (size_t)done;
  }
  return true;
}

void dg_output_empty(dg_output *o) {
  if (ftruncate(random_file(o), 0)) return; /* then it keeps what it has */
}

uint64_t dg_output_room(const dg_output *o) {
  struct statvfs s;
  return fstatvfs(random_file(o), &s) ? 0 : (uint64_t)s.f_bavail * s.f_frsize;
}

bool dg_output_write(dg_output *o, const void *bytes, size_t n, dg_error *err) {
  bool ok = true;
  if (!n) return true;
  if (o->gz) {
    const char *p = bytes;
    while (ok && n) {
      unsigned step = n > (1u << 30) ? (1u << 30) : (unsigned)n;
      ok = gzwrite(o->gz, p, step) == (int)step;
      p += step;
      n -= step;
    }
  } else {
    ok = fwrite(bytes, 1, n, o->file) == n;
  }
  return ok || dg_fail_errno(err, "%s: write failed", o->path);
}

bool dg_output_flush(dg_output *o, dg_error *err) {
  return o->place || !o->file || !fflush(o->file) ||
         dg_fail_errno(err, "%s: write failed", o->path);
}

bool dg_output_printf(dg_output *o, dg_error *err, const char *format, ...) {
  va_list args;
  va_start(args, format);
  char *text = NULL;
  int n = vasprintf(&text, format, args);
  va_end(args);
  if (n < 0) return dg_fail(err, DG_ERR_MEMORY, "%s: out of memory", o->path);
  bool ok = dg_output_write(o, text, (size_t)n, err);
  free(text);
  return ok;
}

/* The rename is durable only once the directory itself is on disk. */
static void sync_directory(const char *path) {
  char *folder = folder_of(path);
  int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0) {
    fsync(fd);
    close(fd);
  }
  free(folder);
}

static bool put_in_place(dg_output *o) {
  if (o->mode && fchmod(o->fd, o->mode)) return false;
  if (!o->named) {
    char self[40];
    snprintf(self, sizeof self, "/proc/self/fd/%d", o->fd);
    unlink(o->temporary);
    if (linkat(AT_FDCWD, self, AT_FDCWD, o->temporary, AT_SYMLINK_FOLLOW)) return false;
    o->named = true;
  }
  if (rename(o->temporary, o->place)) return false;
  o->named = false;
  sync_directory(o->place);
  return true;
}

static bool unspool(dg_output *o) {
  char chunk[1 << 14];
  size_t n;
  rewind(o->spool);
  while ((n = fread(chunk, 1, sizeof chunk, o->spool)))
    if (fwrite(chunk, 1, n, o->file) != n) return false;
  return !ferror(o->spool);
}

/* Writes what is left and closes; all of it is on the disk before it has the name. */
static bool finish(dg_output *o) {
  errno = 0;
  bool ok = !o->spool || unspool(o);
  if (o->gz) {
    ok = gzclose(o->gz) == Z_OK;
  } else if (o->file == stdout) {
    ok = !fflush(stdout) && !ferror(stdout) && ok;
  } else {
    ok = !fflush(o->file) && !ferror(o->file) && ok;
    ok = !fclose(o->file) && ok;
  }
  return ok && (!o->place || !fsync(o->fd) || errno == EINVAL); /* EINVAL: not a syncable file */
}

static const dg_output *say_failed(const dg_output *o, dg_error *err) {
  dg_fail_errno(err, "%s: write failed", o->path);
  return o;
}

bool dg_output_commit_all(dg_output *const *list, size_t n, dg_error *err) {
  const dg_output *failed = NULL;
  for (size_t i = 0; i < n; i++)
    if (list[i] && !finish(list[i]) && !failed) failed = say_failed(list[i], err);
  for (size_t i = 0; i < n && !failed; i++)
    if (list[i] && list[i]->place && !put_in_place(list[i])) failed = say_failed(list[i], err);
  for (size_t i = 0; i < n; i++) {
    if (list[i] && list[i]->named) unlink(list[i]->temporary);
    if (list[i]) output_free(list[i]);
  }
  return !failed;
}

bool dg_output_commit(dg_output *o, dg_error *err) { return dg_output_commit_all(&o, 1, err); }

void dg_output_abort(dg_output *o) {
  if (!o) return;
  if (o->gz)
    gzclose(o->gz);
  else if (o->file != stdout)
    fclose(o->file);
  if (o->named) unlink(o->temporary);
  output_free(o);
}

bool dg_output_whole(const char *path, const void *bytes, size_t n, dg_error *err) {
  dg_output *o = dg_output_open(path, err);
  if (o && dg_output_write(o, bytes, n, err)) return dg_output_commit(o, err);
  dg_output_abort(o);
  return false;
}

struct dg_lock {
  char *path;
  int fd;
};

/* Temporaries of PATH that killed processes have left, where files without a name cannot be. */
static void sweep(const char *path) {
  char *folder = folder_of(path), *prefix = dg_format("%s.tmp-", name_in(path));
  size_t n = strlen(prefix);
  DIR *d = opendir(folder);
  for (struct dirent *e; d && (e = readdir(d));) {
    const char *pid = e->d_name + n;
    if (!strncmp(e->d_name, prefix, n) && *pid && strspn(pid, "0123456789") == strlen(pid))
      unlinkat(dirfd(d), e->d_name, 0);
  }
  if (d) closedir(d);
  free(prefix);
  free(folder);
}

dg_lock *dg_lock_new(const char *path, dg_error *err) {
  dg_lock *l = dg_malloc(sizeof *l);
  *l = (dg_lock){dg_format("%s.lock", path), -1};
  for (;;) {
    l->fd = open(l->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (l->fd < 0) {
      dg_fail_errno(err, "%s: cannot create", l->path);
      break;
    }
    struct stat held, named;
    bool alone = !flock(l->fd, LOCK_EX | LOCK_NB);
    if (!alone && errno == EWOULDBLOCK) {
      dg_fail(err, DG_ERR_USAGE, "%s: another process is at work on %s: let it end or choose "
              "another output", l->path, path);
      break;
    }
    /* Its last holder may have removed it in between. */
    if (!fstat(l->fd, &held) && !stat(l->path, &named) && held.st_ino == named.st_ino) {
      if (alone) sweep(path);
      return l;
    }
    close(l->fd);
  }
  if (l->fd >= 0) close(l->fd);
  free(l->path);
  free(l);
  return NULL;
}

void dg_lock_free(dg_lock *l) {
  if (!l) return;
  unlink(l->path);
  close(l->fd);
  free(l->path);
  free(l);
}
