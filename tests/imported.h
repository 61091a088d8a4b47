/* For tests of mt/import: bases made of the checkpoints in tests/import, beside what the
 * programs of other projects make of these (tests/goldens/import_*.py). */
#ifndef DG_TESTS_IMPORTED_H
#define DG_TESTS_IMPORTED_H

#include "mt/import/import.h"

enum { IMPORTED_IDS = 1024 };

/* The base; on failure NULL, or the test fails. */
dg_base *imported_try(const char *path, const dg_import_options *o, dg_error *err);
dg_base *imported(const char *path, const dg_import_options *o);

/* Calls `row` with the fields, parted by tabs, of each line of DIRECTORY/FILE. */
enum { IMPORTED_FIELDS = 8 };
typedef void imported_row(const dg_base *b, char **fields, void *context);
size_t imported_rows(const dg_base *b, const char *directory, const char *file, size_t fields,
                     imported_row *row, void *context);

size_t imported_numbers(const char *text, int32_t *out);
size_t imported_encode(const dg_tokenizer *t, const char *text, int32_t *ids);
/* Fails unless these are the ids written out in `want`, made of the text. */
void imported_same(const char *what, const char *text, const int32_t *got, size_t n,
                   const char *want);

/* DIRECTORY/ids.tsv: of 200 sentences in 25 languages and 15 scripts, the ids as source and
 * as target, with all around them or without (ctranslate2's). */
void imported_ids(const dg_base *b, const char *directory);
void imported_pieces(const dg_base *b, const char *directory);

/* DIRECTORY/expected.safetensors: encodings and logits, and gradients of an adapter. Of the
 * logits `outputs` are compared. Freezes the model. */
void imported_outputs(dg_model *m, const char *directory, size_t outputs);

#endif
