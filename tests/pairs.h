/* For tests of data/: trees of files to read, and what was found in them as text. */
#ifndef DG_TESTS_PAIRS_H
#define DG_TESTS_PAIRS_H

#include "data/source.h"
#include "mt/core/mem.h"

/* A scratch directory with `english` and `package` in it; pairs_tear_down removes it. */
int pairs_set_up(void **state);
int pairs_tear_down(void **state);
/* A path inside it, whose directories are made; valid until the tear-down. */
const char *pairs_path(const char *inside);
void pairs_write(const char *inside, const void *bytes, size_t size);

/* Collects "locale|document|english|translation\n" of the locales gl and pt-BR. */
dg_pair_sink pairs_sink(dg_strbuf *out);
/* What a source finds, to be freed; "" if nothing. */
char *pairs_read(const dg_source *source, const char *root, const char *english_root);

/* Calls `read` with every beginning of the text and with `rounds` damaged copies,
 * each in memory of exactly its size. */
void pairs_torment(const char *text, size_t size, int rounds,
                   void (*read)(const char *bytes, size_t size));

#endif
