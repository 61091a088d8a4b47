/* MeCab, a morphological analyser, where its library and a dictionary are installed. */
#ifndef DG_EVAL_MECAB_H
#define DG_EVAL_MECAB_H

#include <stdbool.h>
#include <stddef.h>

#include "mt/core/error.h"
#include "mt/core/mem.h"

typedef struct dg_mecab dg_mecab;

/* For ja-mecab or ko-mecab, with the dictionary that sacreBLEU takes for it: in `directory`,
 * or NULL: where systems keep it. Immutable, for many threads. */
dg_mecab *dg_mecab_open(const char *tokenizer, const char *directory, dg_error *err);
void dg_mecab_free(dg_mecab *m);
const char *dg_mecab_version(const dg_mecab *m);
/* Appends the words of text[0,n) with spaces between. */
bool dg_mecab_words(const dg_mecab *m, const char *text, size_t n, dg_strbuf *out, dg_error *err);

#endif
