#include <stdlib.h>
#include <string.h>

#include "mt/core/mem.h"
#include "mt/model/base.h"

enum { NEAREST = 6 };

/* Whether `code` is the bare `language` with a script and nothing else. */
static bool is_in_a_script(const char *code, const char *language) {
  size_t n = strlen(language);
  return !strncmp(code, language, n) && code[n] == '-' && strlen(code + n + 1) == 4;
}

static void add_code(dg_strbuf *b, const char *code) {
  char name[128];
  dg_lang_name(code, name, sizeof name);
  dg_strbuf_addf(b, "%s%s (%s)", b->length ? ", " : "", code, name);
}

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

/* Edits that make one code of the other (Levenshtein 1966); another script or region of
 * the same language is nearer than any other. */
static size_t distance(const char *a, const char *b) {
  size_t language = strcspn(a, "-");
  if (language == strcspn(b, "-") && !strncmp(a, b, language)) return 0;
  size_t row[DG_LANG_MAX + 1], n = strlen(b);
  for (size_t k = 0; k <= n; k++) row[k] = k;
  for (size_t i = 0; a[i]; i++) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t k = 0; k < n; k++) {
      size_t changed = diagonal + (a[i] != b[k]);
      diagonal = row[k + 1];
      row[k + 1] = smaller(changed, smaller(row[k], row[k + 1]) + 1);
    }
  }
  return row[n] + 1;
}

static bool stands(const dg_language *l, dg_side side) {
  return side == DG_SIDE_BOTH || l->side == DG_SIDE_BOTH || l->side == side;
}

/* Their number; the nearest are added to `out`. */
static size_t list_nearest(const dg_base *b, const char *code, dg_side side, dg_strbuf *out) {
  size_t last = 0;
  const dg_language *listed[NEAREST];
  size_t count = 0, all = 0;
  for (size_t i = 0; i < b->language_count; i++) all += stands(&b->languages[i], side);
  for (size_t far = 0; far <= 2 * DG_LANG_MAX && count < NEAREST; far++) {
    if (far && !last && count) break; /* it is another form of the language that is meant */
    for (size_t i = 0; i < b->language_count && count < NEAREST; i++)
      if (stands(&b->languages[i], side) && distance(code, b->languages[i].code) == far) {
        listed[count++] = &b->languages[i];
        last = far;
      }
  }
  for (size_t i = 0; i < count; i++) add_code(out, listed[i]->code);
  return all;
}

const dg_language *dg_base_language(const dg_base *b, const char *code, dg_side side,
                                    dg_error *err) {
  char canonical[DG_LANG_MAX];
  if (!dg_lang_canonical(code, canonical, err)) return NULL;
  const dg_language *other = NULL, *any = NULL;
  dg_strbuf list = {0};
  size_t others = 0;
  for (size_t i = 0; i < b->language_count; i++) {
    const dg_language *l = &b->languages[i];
    if (!stands(l, side)) continue;
    if (side == DG_SIDE_SOURCE && !strcmp(l->code, "mul")) any = l;
    if (!strcmp(l->code, canonical)) {
      free(list.text);
      return l;
    }
    if (!is_in_a_script(l->code, canonical)) continue;
    other = l;
    others++;
    add_code(&list, l->code);
  }
  if (others > 1)
    dg_fail(err, DG_ERR_USAGE, "the base has %s in several scripts: say which: %s", canonical,
            list.text);
  if (!others && !any) {
    static const char *const cannot[] = {"know the language", "translate from", "translate into"};
    size_t codes = list_nearest(b, canonical, side, &list);
    dg_fail(err, DG_ERR_USAGE,
            "the base does not %s %s; of %zu codes it does, spelled most alike: %s; a new language "
            "is added with `dragoman train --like RELATIVE`",
            cannot[side], canonical, codes, list.text ? list.text : "none");
  }
  free(list.text);
  return others == 1 ? other : others ? NULL : any;
}
