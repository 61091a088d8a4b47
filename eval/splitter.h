/* The tokenizers of sacreBLEU: text to words apart, by name. */
#ifndef DG_EVAL_SPLITTER_H
#define DG_EVAL_SPLITTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mt/core/error.h"
#include "mt/core/mem.h"

typedef struct dg_splitter dg_splitter;

/* none, 13a, intl, char, zh, ja-mecab, ko-mecab, spm, flores101, flores200 or spBLEU-1K.
 * `model` is the sentencepiece model or the MeCab dictionary's directory; NULL: where
 * sacreBLEU or the system keeps it. Immutable, for many threads. */
dg_splitter *dg_splitter_new(const char *name, const char *model, dg_error *err);
void dg_splitter_free(dg_splitter *s);
const char *dg_splitter_signature(const dg_splitter *s);

/* Buffers that a run works in; zero-initialise, one a thread. */
typedef struct dg_split_buffers {
  dg_strbuf a, b;
} dg_split_buffers;
void dg_split_buffers_free(dg_split_buffers *b);

/* The words of text[0,n), white space between them; the text lies in `b` until its
 * next use. */
bool dg_splitter_run(const dg_splitter *s, const char *text, size_t n, dg_split_buffers *b,
                     const char **out, size_t *length, dg_error *err);

/* Steps that Tercom's normalisation shares with these. Each rewrites b->a. */
void dg_split_pad(dg_split_buffers *b); /* with a space at both ends */
/* A space on both sides of each such character, or nothing in its place. */
void dg_split_each(dg_split_buffers *b, bool (*which)(uint32_t), bool remove);
void dg_split_replace(dg_split_buffers *b, const char *from, const char *to);
void dg_split_entities(dg_split_buffers *b); /* &quot; &amp; &lt; &gt;, one after another */
void dg_split_symbols(dg_split_buffers *b);  /* ASCII symbols set apart */
void dg_split_points(dg_split_buffers *b);   /* points, commas, dashes by the digits about them */

#endif
