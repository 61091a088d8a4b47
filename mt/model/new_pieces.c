#include "mt/model/new_pieces.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "mt/core/mem.h"

void dg_new_pieces_free(dg_new_pieces *p) {
  if (p->target != p->source) dg_tokenizer_free(p->target);
  dg_tokenizer_free(p->source);
  dg_piece_list_free(&p->list);
  free(p->languages);
  *p = (dg_new_pieces){0};
}

static bool has_language(const dg_new_pieces *p, const char *language) {
  for (size_t i = 0; i < p->language_count; i++)
    if (!strcmp(p->languages[i], language)) return true;
  return false;
}

void dg_new_pieces_for(dg_new_pieces *p, const char *language) {
  if (has_language(p, language)) return;
  p->languages = dg_realloc(p->languages, (p->language_count + 1) * sizeof *p->languages);
  snprintf(p->languages[p->language_count++], DG_LANG_MAX, "%s", language);
}

bool dg_new_pieces_extend(dg_new_pieces *p, const dg_base *b, dg_error *err) {
  int32_t first = dg_first_extra(&b->model->config);
  p->source = dg_tokenizer_extend(b->tokenizer, &p->list, first, err);
  p->target = b->target_tokenizer == b->tokenizer
                  ? p->source
                  : dg_tokenizer_extend(b->target_tokenizer, &p->list, first, err);
  return p->source && p->target;
}

static void add_piece(dg_new_pieces *p, const char *text, double score) {
  size_t n = p->list.count++;
  p->list.texts = dg_realloc(p->list.texts, (n + 1) * sizeof *p->list.texts);
  p->list.scores = dg_realloc(p->list.scores, (n + 1) * sizeof *p->list.scores);
  p->list.texts[n] = dg_strdup(text);
  p->list.scores[n] = (float)score;
}

void dg_new_pieces_add(dg_new_pieces *to, const dg_new_pieces *from) {
  for (size_t i = 0; i < from->list.count; i++)
    add_piece(to, from->list.texts[i], (double)from->list.scores[i]);
  for (size_t i = 0; i < from->language_count; i++) dg_new_pieces_for(to, from->languages[i]);
}

bool dg_new_pieces_equal(const dg_new_pieces *a, const dg_new_pieces *b) {
  if (a->list.count != b->list.count) return false;
  for (size_t i = 0; i < a->list.count; i++)
    if (strcmp(a->list.texts[i], b->list.texts[i])) return false;
  return true;
}

json_t *dg_new_pieces_json(const dg_new_pieces *p) {
  json_t *list = json_array(), *languages = json_array();
  for (size_t i = 0; i < p->list.count; i++)
    json_array_append_new(list, json_pack("[s,f]", p->list.texts[i], (double)p->list.scores[i]));
  for (size_t i = 0; i < p->language_count; i++)
    json_array_append_new(languages, json_string(p->languages[i]));
  return json_pack("{s:o,s:o}", "languages", languages, "list", list);
}

bool dg_new_pieces_read(dg_new_pieces *p, const json_t *j, const dg_base *b, dg_error *err) {
  const json_t *list = json_object_get(j, "list"), *languages = json_object_get(j, "languages");
  bool ok = json_array_size(list) && json_array_size(languages);
  for (size_t i = 0; ok && i < json_array_size(list); i++) {
    const char *text;
    double score;
    ok = !json_unpack(json_array_get(list, i), "[s,F]", &text, &score) && isfinite(score);
    if (ok) add_piece(p, text, score);
  }
  for (size_t i = 0; ok && i < json_array_size(languages); i++) {
    const char *code = json_string_value(json_array_get(languages, i));
    char canonical[DG_LANG_MAX];
    ok = code && dg_lang_canonical(code, canonical, NULL);
    if (ok) dg_new_pieces_for(p, canonical);
  }
  if (!ok) return dg_fail(err, DG_ERR_FORMAT, "its list of new pieces is damaged");
  return dg_new_pieces_extend(p, b, err);
}

dg_tokenizer *dg_new_pieces_tokenizer(const dg_new_pieces *p, const dg_base *b,
                                      const char *language, dg_side side) {
  bool source = side == DG_SIDE_SOURCE;
  if (p && p->list.count && has_language(p, language)) return source ? p->source : p->target;
  return source ? b->tokenizer : b->target_tokenizer;
}
