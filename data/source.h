/* Where packages keep parallel text: one reader for each kind of place. */
#ifndef DG_DATA_SOURCE_H
#define DG_DATA_SOURCE_H

#include <stdbool.h>
#include <stddef.h>

/* Who takes what a reader finds. `locale` is spelled as the package spells it;
 * `document` names the text without its language, the same for all of them.
 * Neither side is clean yet; strings last as long as the call. */
typedef struct dg_pair_sink {
  void *context;
  bool (*wants)(void *context, const char *locale); /* asked before a text is read */
  void (*pair)(void *context, const char *locale, const char *document, const char *english,
               const char *translation);
} dg_pair_sink;

typedef struct dg_source {
  const char *name; /* as `source = NAME` of a configuration */
  bool accelerators; /* its strings may have keyboard accelerators in them */
  /* The packages with the English of `package`, ended by NULL; the first names
   * the family whose documents are the same. NULL: the package is none of this
   * source's. Without the function every package has its English inside. */
  const char *const *(*english)(const char *package);
  /* Visits the pairs of an unpacked package, always in the same order. What is
   * damaged gives what it can; nothing outside the two directories is read. */
  void (*read)(const char *root, const char *english_root, const dg_pair_sink *sink);
} dg_source;

/* All of them; a NULL ends the list. The first is read unless told otherwise. */
extern const dg_source *const dg_sources[];
const dg_source *dg_source_find(const char *name); /* or NULL */

extern const dg_source dg_source_mo, dg_source_mozilla, dg_source_help, dg_source_libreoffice,
    dg_source_man, dg_source_html;

/* Paths, relative to the directory, of the regular files below it, each
 * directory's in the order of their names. Links are not followed. */
char **dg_list_files(const char *directory, size_t *count);
void dg_free_files(char **paths, size_t count);

#endif
