/* The one error type. A function that can fail takes a `dg_error *` as its
 * last argument and returns false or NULL; the message is one line that names
 * the file, the place and the remedy. Only mt/cli prints or exits. */
#ifndef DG_CORE_ERROR_H
#define DG_CORE_ERROR_H

#include <stdbool.h>

typedef enum dg_status {
  DG_OK = 0,
  DG_ERR_USAGE,       /* the caller asked for something that makes no sense */
  DG_ERR_IO,          /* the system refused to read, write, map or rename   */
  DG_ERR_FORMAT,      /* the bytes read are not what they claim to be       */
  DG_ERR_UNSUPPORTED, /* well-formed, but not something this build can do   */
  DG_ERR_MEMORY,      /* a size taken from a file or a user does not fit    */
  DG_ERR_INTERRUPTED  /* SIGINT/SIGTERM; the state on disk is resumable     */
} dg_status;

typedef struct dg_error {
  dg_status status;
  char message[512];
} dg_error;

/* Records the error (err may be NULL) and returns false, so that a caller can
 * write `return dg_fail(err, DG_ERR_IO, "%s: ...", path);`. */
bool dg_fail(dg_error *err, dg_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Like dg_fail, with ": strerror(errno)" appended. */
bool dg_fail_errno(dg_error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Prefixes an error already recorded with where it was met ("file.po: ..."). */
bool dg_error_context(dg_error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
