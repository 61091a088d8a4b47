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

bool dg_fail_errno(dg_error *err, const char *format, ...) {
  int saved = errno;
  if (!err) return false;
  va_list args;
  va_start(args, format);
  err->status = DG_ERR_IO;
  int n = vsnprintf(err->message, sizeof err->message, format, args);
  va_end(args);
  if (n >= 0 && (size_t)n < sizeof err->message)
    snprintf(err->message + n, sizeof err->message - (size_t)n, ": %s", strerror(saved));
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
  if (n >= 0 && (size_t)n < sizeof err->message)
    snprintf(err->message + n, sizeof err->message - (size_t)n, ": %s", inner);
  return false;
}
