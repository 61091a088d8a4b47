/* What a harvest has in hand between its steps. Private to data/. */
#ifndef DG_DATA_HARVESTED_H
#define DG_DATA_HARVESTED_H

#include "data/archive.h"
#include "data/harvest.h"

/* A pair. */
typedef struct record {
  size_t english, target; /* offsets into text */
  uint32_t document;
  uint16_t language;
  uint8_t words;
} record;

typedef struct document_name {
  char *name;
  const char *family; /* documents of one name in one family are one */
  char *column;       /* the name as a corpus has it: of a file it may be anything */
} document_name;

/* What a package gives. */
typedef struct harvested {
  const char *name;
  dg_archive archive;
  dg_strbuf text;
  record *records;
  size_t count, capacity;
  document_name *documents;
  size_t document_count, document_capacity;
  size_t (*verdicts)[DG_CLEAN_VERDICTS]; /* [languages] */
} harvested;

enum { FAMILY_MOST = 64 };

/* English that other packages translate: unpacked once, for all of them. */
typedef struct family {
  const char *const *packages;
  char *root;
  dg_archive archives[FAMILY_MOST];
} family;

/* Of other packages, whose documentation they hold. */
typedef struct papers {
  const char *package;
  dg_archive archive;
} papers;

typedef struct harvest_job {
  const dg_harvest_config *config;
  const char *cache, *directory;
  harvested *packages;
  family *families;
  size_t family_count;
  papers *papers;
  size_t papers_count, papers_capacity;
} harvest_job;

/* Tasks of dg_parallel, of a harvest_job: unpacks a family; takes a package's pairs. */
void dg_harvest_family(void *context, size_t task, int worker);
void dg_harvest_package(void *context, size_t task, int worker);
/* Finds licences that stand in the documentation of another package. */
void dg_harvest_licences(harvest_job *j);

/* Chooses what is trained on, dev and test, and writes a file for each of a language, and the
 * manifest: all or none. */
bool dg_harvest_write(const harvest_job *j, dg_harvest_counts *counts, dg_error *err);

#endif
