/* Building parallel corpora from Debian packages alone: the packages a
 * configuration names are downloaded, unpacked and read; what is found is
 * cleaned, deduplicated and split. The same packages give the same bytes. */
#ifndef DG_DATA_HARVEST_H
#define DG_DATA_HARVEST_H

#include "data/clean.h"
#include "data/manifest.h"
#include "data/source.h"
#include "mt/core/options.h"
#include "mt/core/threads.h"

enum { DG_HARVEST_CODE = 24, DG_HARVEST_SOURCES = 8 };

typedef struct dg_harvest_options {
  /* The weight of labels (under label_words words) and of phrases (that do not end as
   * sentences do) in training text: how many of them are kept. A language with at most
   * whole_pairs pairs keeps all. */
  double label_share, phrase_share;
  int label_words, whole_pairs;
  int dev_pairs, test_pairs;    /* at most, a language; of at least test_words words */
  double dev_share, test_share; /* and at most, of the pairs of such length it has */
  int test_words, seed;
} dg_harvest_options;
extern const dg_option dg_harvest_options_table[];

/* `language = CODE`, `package = NAME` and `source = NAME` lines, and the options
 * above. Without a source, message catalogues alone are read. */
typedef struct dg_harvest_config {
  dg_harvest_options options;
  char (*languages)[DG_HARVEST_CODE]; /* canonical; English is always the other side */
  size_t language_count, language_capacity;
  char **packages;
  size_t package_count, package_capacity;
  const dg_source *sources[DG_HARVEST_SOURCES];
  size_t source_count;
  /* No keys of the file: */
  bool skip_missing;    /* go on without packages that cannot be had */
  dg_manifest manifest; /* where it names any: those archives and no others */
} dg_harvest_config;
bool dg_harvest_read(dg_harvest_config *c, const char *path, dg_error *err);
/* Makes the corpus of a manifest anew: its packages in their versions. What the configuration
 * lists beside them gave that corpus nothing, and is left out. */
bool dg_harvest_as(dg_harvest_config *c, const char *manifest, dg_error *err);
void dg_harvest_free(dg_harvest_config *c);

/* Per language: pairs by verdict, and what the splits hold. Held back is what stands in dev or
 * test of some language. */
typedef struct dg_harvest_counts {
  size_t verdicts[DG_CLEAN_VERDICTS];
  size_t train, dev, test;
} dg_harvest_counts;

/* Writes DIR/{train,dev,test}.LANG.tsv.gz (columns English, translation,
 * document, package, version, licences in brief) and DIR/manifest.tsv, which has all
 * licences. Packages are kept in `cache`; each that is missing or damaged is told to
 * `note`, and then nothing is written, unless those are to be skipped. Those that hold
 * the English of a listed one need not be listed. */
bool dg_harvest(const dg_harvest_config *c, const char *cache, const char *directory,
                dg_threads *threads, void (*note)(void *context, const char *message),
                void *context, dg_harvest_counts *counts, dg_error *err);

#endif
