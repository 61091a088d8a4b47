#include "mt/import/package.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zip.h>

#include "mt/core/mem.h"

/* A model is hardly larger unpacked than packed; text is a few times. */
enum { CHUNK = 1 << 16, RATIO_MOST = 200, SMALL = 1 << 24 };

struct dg_package {
  char *path;
  zip_t *zip;         /* NULL: a directory */
  zip_uint64_t bytes; /* of the zip file */
  char *folder; /* in the zip, with its slash */
  dg_mapping *maps;
  size_t count, capacity;
};

static bool find_folder(dg_package *p, const char *landmark, dg_error *err) {
  zip_int64_t entries = zip_get_num_entries(p->zip, 0);
  for (zip_int64_t i = 0; i < entries; i++) {
    const char *name = zip_get_name(p->zip, (zip_uint64_t)i, ZIP_FL_ENC_RAW);
    const char *slash = name ? strchr(name, '/') : NULL;
    if (!name || strcmp(slash ? slash + 1 : name, landmark)) continue;
    p->folder = dg_strndup(name, slash ? (size_t)(slash + 1 - name) : 0);
    return true;
  }
  return dg_fail(err, DG_ERR_FORMAT, "%s: there is no %s in the zip", p->path, landmark);
}

dg_package *dg_package_open(const char *path, const char *landmark, dg_error *err) {
  dg_package *p = dg_calloc(1, sizeof *p);
  p->path = dg_strdup(path);
  struct stat st;
  int code;
  bool ok = !stat(path, &st) || dg_fail_errno(err, "%s", path);
  if (ok && !S_ISDIR(st.st_mode)) {
    p->bytes = (zip_uint64_t)st.st_size;
    p->zip = zip_open(path, ZIP_RDONLY, &code);
    ok = p->zip ? find_folder(p, landmark, err)
                : dg_fail(err, DG_ERR_FORMAT,
                          "%s is no zip file, or a truncated one: of a checkpoint give the "
                          "directory",
                          path);
  }
  if (ok) return p;
  dg_package_close(p);
  return NULL;
}

void dg_package_close(dg_package *p) {
  if (!p) return;
  for (size_t i = 0; i < p->count; i++) dg_unmap(&p->maps[i]);
  free(p->maps);
  if (p->zip) zip_discard(p->zip);
  free(p->folder);
  free(p->path);
  free(p);
}

char *dg_package_path(const dg_package *p, const char *name) {
  return dg_format("%s/%s%s", p->path, p->zip ? p->folder : "", name);
}

static zip_int64_t locate(const dg_package *p, const char *name) {
  char *entry = dg_format("%s%s", p->folder, name);
  zip_int64_t i = zip_name_locate(p->zip, entry, ZIP_FL_ENC_RAW);
  free(entry);
  return i;
}

bool dg_package_has(const dg_package *p, const char *name) {
  if (p->zip) return locate(p, name) >= 0;
  char *path = dg_package_path(p, name);
  bool there = !access(path, F_OK);
  free(path);
  return there;
}

/* An open file that no name leads to. */
static int nameless(dg_error *err) {
  const char *tmp = getenv("TMPDIR");
  char *path = dg_format("%s/dragoman-XXXXXX", tmp && *tmp ? tmp : "/tmp");
  int fd = mkostemp(path, O_CLOEXEC);
  if (fd < 0) dg_fail_errno(err, "%s", path);
  else unlink(path);
  free(path);
  return fd;
}

static bool write_all(int fd, const uint8_t *bytes, size_t n, dg_error *err) {
  while (n) {
    ssize_t put = write(fd, bytes, n);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return dg_fail_errno(err, "unpacking into TMPDIR");
    bytes += put;
    n -= (size_t)put;
  }
  return true;
}

/* Unpacks what the entry claims to hold, not a byte more; libzip compares the checksum. */
static bool unpack(zip_file_t *f, size_t size, int fd, dg_error *err) {
  uint8_t *chunk = dg_malloc(CHUNK);
  bool ok = true;
  size_t done = 0;
  for (zip_int64_t got = 1; got > 0 && ok;) {
    got = zip_fread(f, chunk, CHUNK);
    if (got < 0 || (size_t)got > size - done)
      ok = dg_fail(err, DG_ERR_FORMAT, "it is cut off or damaged");
    else if (got > 0) ok = write_all(fd, chunk, (size_t)got, err);
    if (ok) done += (size_t)got;
  }
  free(chunk);
  return ok && (done == size || dg_fail(err, DG_ERR_FORMAT, "it is cut off or damaged"));
}

static bool map_entry(dg_package *p, const char *name, dg_mapping *out, dg_error *err) {
  zip_stat_t st;
  zip_int64_t i = locate(p, name);
  const zip_uint64_t need = ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE;
  if (i < 0 || zip_stat_index(p->zip, (zip_uint64_t)i, 0, &st) || (st.valid & need) != need)
    return dg_fail(err, DG_ERR_FORMAT, "it is not in the zip");
  if (st.comp_size > p->bytes)
    return dg_fail(err, DG_ERR_FORMAT, "it claims to hold more than the file");
  if (st.size > SMALL && st.size / RATIO_MOST > st.comp_size)
    return dg_fail(err, DG_ERR_UNSUPPORTED,
                   "%llu bytes packed into %llu: no model is as empty as that",
                   (unsigned long long)st.size, (unsigned long long)st.comp_size);
  if (!st.size) return dg_fail(err, DG_ERR_FORMAT, "it is empty");
  zip_file_t *f = zip_fopen_index(p->zip, (zip_uint64_t)i, 0);
  if (!f) return dg_fail(err, DG_ERR_FORMAT, "%s", zip_strerror(p->zip));
  int fd = nameless(err);
  bool ok = fd >= 0 && unpack(f, (size_t)st.size, fd, err);
  zip_fclose(f);
  if (ok) {
    void *data = mmap(NULL, (size_t)st.size, PROT_READ, MAP_PRIVATE, fd, 0);
    ok = data != MAP_FAILED || dg_fail_errno(err, "mapping");
    if (ok) *out = (dg_mapping){data, (size_t)st.size};
  }
  if (fd >= 0) close(fd);
  return ok;
}

bool dg_package_map(dg_package *p, const char *name, dg_mapping *out, dg_error *err) {
  char *path = dg_package_path(p, name);
  bool ok = p->zip ? map_entry(p, name, out, err) || dg_error_context(err, "%s", path)
                   : dg_map(path, out, err);
  free(path);
  if (!ok) return false;
  DG_GROW(p->maps, p->capacity, p->count + 1);
  p->maps[p->count++] = *out;
  return true;
}
