#include "mt/import/tags.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mt/core/mem.h"

static bool ends(const char *tag, size_t n, const char *open, const char *close) {
  size_t a = strlen(open), b = strlen(close);
  return n > a + b && !strncmp(tag, open, a) && !strcmp(tag + n - b, close);
}

bool dg_tag_code(dg_family family, const char *tag, char out[DG_LANG_MAX]) {
  char code[DG_LANG_MAX];
  size_t n = strlen(tag), open = 0, close = 0;
  if (family == DG_FAMILY_MARIAN) {
    if (!ends(tag, n, ">>", "<<")) return false;
    open = close = 2;
  } else if (ends(tag, n, "__", "__")) {
    open = close = 2;
  } else if (ends(tag, n, "<2", ">")) {
    open = 2, close = 1;
  } else if (family == DG_FAMILY_T5 || *tag < 'a' || *tag > 'z' || !strchr(tag, '_')) {
    return false;
  }
  n -= open + close;
  if (n >= sizeof code) return false;
  memcpy(code, tag + open, n);
  code[n] = 0;
  /* mBART's countries tell nothing (ar_AR, en_XX): it has each language once. */
  if (family == DG_FAMILY_MBART) code[strcspn(code, "_")] = 0;
  return dg_lang_canonical(code, out, NULL);
}

static dg_language *find(const dg_languages *l, const char *canonical) {
  for (size_t i = 0; i < l->count; i++)
    if (!strcmp(l->list[i].code, canonical)) return &l->list[i];
  return NULL;
}

void dg_languages_add(dg_languages *l, const char *canonical, dg_side side) {
  dg_language *known = find(l, canonical);
  if (known) {
    if (known->side != side) known->side = DG_SIDE_BOTH;
    return;
  }
  DG_GROW(l->list, l->capacity, l->count + 1);
  l->list[l->count] = (dg_language){.tag = -1, .side = side};
  snprintf(l->list[l->count++].code, DG_LANG_MAX, "%s", canonical);
}

bool dg_languages_add_tag(dg_languages *l, dg_pieces *p, size_t size, size_t id,
                          dg_family family, const char *tag, dg_side side) {
  char code[DG_LANG_MAX] = "", name[DG_LANG_MAX + 4];
  bool language = dg_tag_code(family, tag, code) && !find(l, code);
  snprintf(name, sizeof name, "<2%s>", code);
  if (!dg_pieces_name(p, size, id, language ? name : tag)) return false;
  if (language) dg_languages_add(l, code, side);
  return true;
}

/* Each part of a list; false at the first that is no code. */
static bool each_code(dg_languages *l, const char *list, const char *separators, dg_side side,
                      dg_error *err) {
  for (const char *at = list; *at;) {
    size_t n = strcspn(at, separators);
    char code[DG_LANG_MAX], canonical[DG_LANG_MAX];
    snprintf(code, sizeof code, "%.*s", (int)(n < sizeof code ? n : sizeof code - 1), at);
    if (!dg_lang_canonical(code, canonical, err)) return false;
    if (l) dg_languages_add(l, canonical, side);
    at += n;
    at += strspn(at, separators);
  }
  return true;
}

bool dg_languages_add_codes(dg_languages *l, const char *codes, dg_side side, dg_error *err) {
  return each_code(l, codes, ",+ ", side, err);
}

/* ISO 639-5 groups that OPUS-MT has models for: their codes look like those of languages. */
static bool is_group(const char *name) {
  static const char groups[] =
      " aav afa alv art bat ber bnt cau ccs cel cmc cpf cpp cus dra euq fiu gem gmq gmw grk iir "
      "inc ine ira itc jpx kar map mkh mul nai nic omq phi poz pqe roa sai sal sem sgn sit sla ssa "
      "sth taw trk tup urj wen xgn zhx zle zls zlw ";
  char item[8];
  return strlen(name) == 3 && snprintf(item, sizeof item, " %s ", name) && strstr(groups, item);
}

void dg_languages_add_group(dg_languages *l, const char *name, dg_side side) {
  char whole[DG_LANG_MAX];
  bool lower = !name[strcspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")] || strlen(name) < 4;
  if (*name && lower && !is_group(name)) {
    if (dg_lang_canonical(name, whole, NULL)) {
      dg_languages_add(l, whole, side);
      return;
    }
    if (each_code(NULL, name, "_+", side, NULL)) {
      each_code(l, name, "_+", side, NULL);
      return;
    }
  }
  if (side == DG_SIDE_SOURCE) dg_languages_add(l, "mul", side);
}

size_t dg_languages_count(const dg_languages *l, dg_side side) {
  size_t n = 0;
  for (size_t i = 0; i < l->count; i++)
    n += l->list[i].side == side || l->list[i].side == DG_SIDE_BOTH;
  return n;
}
