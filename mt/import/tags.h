/* Languages of a checkpoint: what its tags say, or, where it has none, its name. */
#ifndef DG_IMPORT_TAGS_H
#define DG_IMPORT_TAGS_H

#include "mt/import/family.h"
#include "mt/import/pieces.h"
#include "mt/model/weights.h"

typedef struct dg_languages {
  dg_language *list;
  size_t count, capacity;
} dg_languages;

/* The code in __gl__, <2gl>, >>glg<<, gl_ES or glg_Latn, which need not be one. */
bool dg_tag_code(dg_family family, const char *tag, char out[DG_LANG_MAX]);

/* Whatever the family calls it, its tag is named by its code, "<2gl>". Of two tags for one
 * language the first has the code, the other keeps its own name. False when the id is
 * outside the vocabulary. */
bool dg_languages_add_tag(dg_languages *l, dg_pieces *p, size_t size, size_t id,
                          dg_family family, const char *tag, dg_side side);

/* A language on a side; one that was on the other is on both. */
void dg_languages_add(dg_languages *l, const char *canonical, dg_side side);
/* Codes with commas between, as a user names them. */
bool dg_languages_add_codes(dg_languages *l, const char *codes, dg_side side, dg_error *err);
/* As OPUS-MT names models: "en", "en_el_es_fi", "ROMANCE", "zle", "mul". What is no list of
 * languages becomes "mul" on the source side; on the target side nothing is added. */
void dg_languages_add_group(dg_languages *l, const char *name, dg_side side);
size_t dg_languages_count(const dg_languages *l, dg_side side);

#endif
