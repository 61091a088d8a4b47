/* Adapter files. An adapter names its base, and the adapters it was trained on top of, by
 * content hash. */
#ifndef DG_MODEL_ADAPTER_FILE_H
#define DG_MODEL_ADAPTER_FILE_H

#include "mt/model/base.h"
#include "mt/model/new_pieces.h"

enum { DG_PAIRS_MAX = 256 };

typedef struct dg_language_pair {
  char source[DG_LANG_MAX], target[DG_LANG_MAX]; /* canonical */
} dg_language_pair;

typedef struct dg_adapter_file {
  dg_adapter *adapter;
  dg_language_pair pairs[DG_PAIRS_MAX]; /* that it was trained for, at least one */
  size_t pair_count;
  dg_language *languages; /* its own new languages; tag = dg_first_tag + row of `extra` */
  size_t language_count;
  dg_new_pieces pieces; /* as many as the adapter has rows for */
  char over[DG_ADAPTERS_MAX][DG_HASH_TEXT]; /* of the adapters it was trained on top of */
  size_t over_count;
  char base_hash[DG_HASH_TEXT], hash[DG_HASH_TEXT];
  json_t *card;
} dg_adapter_file;

/* Refuses an adapter made for another base. */
dg_adapter_file *dg_adapter_file_load(const char *path, const dg_base *base, dg_error *err);
bool dg_adapter_file_save(const dg_adapter_file *f, const char *path, dg_storage storage,
                          char hash[DG_HASH_TEXT], dg_error *err);
void dg_adapter_file_free(dg_adapter_file *f);
/* The declaration of an adapter file. */
bool dg_adapter_file_config(const dg_safetensors *s, dg_adapter_config *c, dg_error *err);
/* Adds a pair unless it is there. */
bool dg_adapter_file_add_pair(dg_adapter_file *f, const char *source, const char *target,
                              dg_error *err);
/* The base's language that one of the adapter's own, a canonical code, began as, by its card;
 * or NULL. */
const char *dg_adapter_file_relative(const dg_adapter_file *f, const char *code);

/* Adapters stacked in order. */
typedef struct dg_adapter_stacked {
  dg_adapter_file *files[DG_ADAPTERS_MAX];
  size_t count, extra_tokens; /* of all */
} dg_adapter_stacked;

/* Puts an adapter on top; its languages' tags go on after those below. Refuses one that was
 * trained on top of others than are there, and a second that brings pieces. */
bool dg_adapter_stacked_add(dg_adapter_stacked *s, const char *path, const dg_base *base,
                            dg_error *err);
/* Whether an adapter with this content hash is among them. */
bool dg_adapter_stacked_holds(const dg_adapter_stacked *s, const char *hash);
void dg_adapter_stacked_free(dg_adapter_stacked *s);
void dg_adapter_stacked_use(const dg_adapter_stacked *s, dg_network *n);
/* The pieces of the one that brings some, or NULL. */
const dg_new_pieces *dg_adapter_stacked_pieces(const dg_adapter_stacked *s);
/* The base as it reads one language and writes another with these adapters: its tokenizers
 * may be an adapter's. A view, valid as long as both. */
dg_base dg_adapter_stacked_base(const dg_adapter_stacked *s, const dg_base *base,
                                const char *source, const char *target);
/* A language's tag: that of the topmost adapter which has it as a new one, or the base's. */
bool dg_adapter_stacked_tag(const dg_adapter_stacked *s, const dg_base *base, const char *code,
                            dg_side side, char canonical[DG_LANG_MAX], int32_t *tag,
                            dg_error *err);
/* The pair of the topmost adapter that fits what is known, canonical codes or NULL; or NULL. */
const dg_language_pair *dg_adapter_stacked_pair(const dg_adapter_stacked *s, const char *source,
                                                const char *target);
/* The same for codes in any spelling, with an error when one is none. */
bool dg_adapter_stacked_choose(const dg_adapter_stacked *s, const char *source,
                               const char *target, const dg_language_pair **pair, dg_error *err);
/* What the base alone speaks in place of a language that only an adapter knows, as its card
 * says; or NULL. */
const dg_language *dg_adapter_stacked_relative(const dg_adapter_stacked *s, const dg_base *base,
                                               const char *code, dg_side side);

#endif
