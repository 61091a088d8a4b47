#include "mt/core/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool dg_fail(dg_error *err, dg_status status, const char *format, ...) {
  if (!err) return false;
  va_list args;
  va_start(args, format);
  err->status = status;
  vsnprintf(err->message, sizeof err->message, format, args);
  va_end(args);
  return false;
}

/* Adds ": TEXT" behind the first n bytes, cut to what fits. */
static void append(dg_error *err, int n, const char *text) {
  if (n < 0 || (size_t)n + 3 > sizeof err->message) return;
  char *at = err->message + n;
  size_t room = sizeof err->message - (size_t)n - 3, length = strlen(text);
  memcpy(at, ": ", 2);
  if (length > room) length = room;
  memcpy(at + 2, text, length);
  at[2 + length] = 0;
}

bool dg_fail_errno(dg_error *err, const char *format, ...) {
  int saved = errno;
  if (!err) return false;
  va_list args;
  va_start(args, format);
  err->status = DG_ERR_IO;
  int n = vsnprintf(err->message, sizeof err->message, format, args);
  va_end(args);
  append(err, n, strerror(saved));
  return false;
}

bool dg_error_context(dg_error *err, const char *format, ...) {
  if (!err) return false;
  char inner[sizeof err->message];
  memcpy(inner, err->message, sizeof inner);
  va_list args;
  va_start(args, format);
  int n = vsnprintf(err->message, sizeof err->message, format, args);
  va_end(args);
  append(err, n, inner);
  return false;
}
