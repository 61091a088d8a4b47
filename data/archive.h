/* Debian packages as files: found or downloaded, unpacked, and what they say of themselves. */
#ifndef DG_DATA_ARCHIVE_H
#define DG_DATA_ARCHIVE_H

#include <stdbool.h>

#include "data/manifest.h"
#include "mt/core/hash.h"

enum { DG_BRIEF_LICENCE = 60 };

/* Zero-initialise; release with dg_archive_free. */
typedef struct dg_archive {
  char *file; /* its name in the cache, or NULL: it cannot be had */
  bool unpacked, differs; /* it is not the one that was asked for */
  char version[96], hash[DG_HASH_TEXT]; /* of the file */
  char *licence;                        /* all that its copyright file names, or where to look */
  char brief[DG_BRIEF_LICENCE];         /* those that go with every pair */
  char papers[96]; /* the package whose documentation is this one's, "" if it has its own */
} dg_archive;

/* What a package says, as UTF-8 without control characters; the caller frees it. */
char *dg_as_column(const char *text);
/* Whether it is spelled as package names are. */
bool dg_is_package(const char *s);

/* An empty directory, whatever an earlier run left there. */
bool dg_make_root(const char *root);
void dg_remove_root(const char *root);

/* Unpacks a package into a directory that is there. The archive NAME_VERSION_ARCH.deb of
 * the cache, of several the latest, is taken, else what apt-get downloads to it; given an origin,
 * that version with those bytes alone. False when that cannot be had (no file) or is damaged. */
bool dg_archive_unpack(dg_archive *a, const char *cache, const char *package,
                       const dg_origin *origin, const char *root);
/* The licences of `a` are those of `papers`. */
void dg_archive_take_licence(dg_archive *a, const dg_archive *papers);
void dg_archive_free(dg_archive *a);

#endif
