#include "mt/train/vocabulary.h"

#include <stdlib.h>
#include <string.h>

#include "data/clean.h"
#include "mt/core/mem.h"

enum { EXAMPLES = 8 };
static const double many = 3; /* tokens a word; the shipped base's own languages take 1.7 to 2.3 */

/* One side after the other of the training texts. */
typedef struct reader {
  const dg_train_text *texts;
  size_t count;
  const dg_new_pieces *pieces;
  size_t side, next; /* side: 2 * text, or one more for the second */
} reader;

static const char *language_of(const reader *r, size_t side) {
  const dg_language_pair *p = r->texts[side / 2].languages;
  return side % 2 ? p->target : p->source;
}

static bool wanted(const reader *r, size_t side) {
  const char *language = language_of(r, side);
  for (size_t i = 0; i < r->pieces->language_count; i++)
    if (!strcmp(r->pieces->languages[i], language)) return true;
  return false;
}

static int next_sentence(void *context, const char **text, size_t *n, dg_error *err) {
  (void)err;
  reader *r = context;
  while (r->side < 2 * r->count) {
    const dg_parallel_text *t = r->texts[r->side / 2].pairs;
    if (r->next < t->count && wanted(r, r->side)) {
      const dg_pair *p = &t->pairs[r->next++];
      *text = r->side % 2 ? p->target : p->source;
      *n = strlen(*text);
      return 1;
    }
    r->side++;
    r->next = 0;
  }
  return 0;
}

/* Tokens a word of the text, with the base's pieces and with the new ones, where there are. */
static bool measure(const dg_trainee *t, reader r, double out[2], dg_error *err) {
  const dg_new_pieces *p = r.pieces;
  double tokens[2] = {0}, words = 0;
  dg_tokens list = {0};
  const char *text;
  size_t n;
  bool ok = true;
  while (ok && next_sentence(&r, &text, &n, err) > 0) {
    bool second = r.side % 2;
    const dg_tokenizer *ways[2] = {second ? t->base->target_tokenizer : t->base->tokenizer,
                                   second ? p->target : p->source};
    words += (double)dg_word_count(text);
    for (int k = 0; ok && k < 2 && ways[k]; k++) {
      ok = dg_tokenizer_encode(ways[k], text, n, &list, err);
      tokens[k] += (double)list.count;
    }
  }
  dg_tokens_free(&list);
  for (int k = 0; k < 2; k++) out[k] = words > 0 ? tokens[k] / words : 0;
  return ok;
}

static void tell(dg_trainee *t) {
  const dg_new_pieces *p = &t->file->pieces;
  dg_strbuf languages = {0}, examples = {0};
  for (size_t i = 0; i < p->language_count; i++)
    dg_strbuf_addf(&languages, "%s%s", i ? ", " : "", p->languages[i]);
  for (size_t i = 0; i < p->list.count && i < EXAMPLES; i++)
    dg_strbuf_addf(&examples, "%s%s", i ? " " : "", p->list.texts[i]);
  dg_strbuf_addf(&t->told,
                 "%zu new pieces for %s (%s ...): %.2f tokens a word, %.2f with the base's alone\n",
                 p->list.count, languages.text, examples.text, t->tokens_per_word[1],
                 t->tokens_per_word[0]);
  free(languages.text);
  free(examples.text);
}

/* Whether the base and the adapters below leave room for more. */
static bool may_learn(const dg_trainee *t) {
  const dg_model_config *c = &t->base->model->config;
  return !dg_adapter_stacked_pieces(&t->stack) && dg_target_vocab(c) == dg_first_extra(c);
}

/* Says that the base has few pieces for a new language, if so. */
static bool advise(dg_trainee *t, const reader *r, dg_error *err) {
  bool ok = true;
  if (!may_learn(t)) return true;
  for (size_t i = 0; ok && t->file && i < t->file->language_count; i++) {
    if (!dg_trainee_is_new(t, t->file->languages[i].code)) continue;
    dg_new_pieces one = {0};
    double tokens[2];
    dg_new_pieces_for(&one, t->file->languages[i].code);
    ok = measure(t, (reader){r->texts, r->count, &one, 0, 0}, tokens, err);
    if (ok && tokens[0] > many)
      dg_strbuf_addf(&t->told,
                     "the base cuts a word of %s into %.2f pieces: --new-pieces 500 may help\n",
                     one.languages[0], tokens[0]);
    dg_new_pieces_free(&one);
  }
  return ok;
}

/* The languages that are new to the base or, when it knows all, the targets. */
static void add_languages(const dg_trainee *t, const reader *r, dg_new_pieces *p) {
  for (size_t i = 0; i < t->file->language_count; i++)
    if (dg_trainee_is_new(t, t->file->languages[i].code))
      dg_new_pieces_for(p, t->file->languages[i].code);
  for (size_t i = 0; !p->language_count && i < r->count; i++)
    dg_new_pieces_for(p, r->texts[i].languages->target);
}

/* Without any where none were asked for and the base's kind of tokenizer takes none. */
static bool learn_pieces(const dg_trainee *t, reader r, bool given, dg_piece_list *out,
                         dg_error *err) {
  while (r.side < 2 * r.count && !wanted(&r, r.side)) r.side++;
  const dg_tokenizer *base = r.side % 2 ? t->base->target_tokenizer : t->base->tokenizer;
  if (!dg_piece_list_learn(base, (size_t)t->config.new_pieces, next_sentence, &r, out, err))
    return (!given && err->status == DG_ERR_UNSUPPORTED) || dg_error_context(err, "--new-pieces");
  return out->count || !given ||
         dg_fail(err, DG_ERR_USAGE,
                 "--new-pieces: there is none that occurs twice and is not the base's: leave it "
                 "out");
}

bool dg_train_pieces(dg_trainee *t, const dg_train_text *texts, size_t count, dg_error *err) {
  reader r = {.texts = texts, .count = count};
  bool given = dg_trainee_given(t, "new_pieces");
  if (!given && !t->from && !may_learn(t)) t->config.new_pieces = 0;
  if (!t->config.new_pieces) return given || advise(t, &r, err);
  if (!t->file)
    return dg_fail(err, DG_ERR_USAGE, "method full trains the base alone: no --new-pieces");
  dg_new_pieces *p = &t->file->pieces;
  add_languages(t, &r, p);
  r.pieces = p;
  if (t->from && t->from->pieces.list.count) dg_new_pieces_add(p, &t->from->pieces);
  else if (!learn_pieces(t, r, given, &p->list, err)) return false;
  t->config.new_pieces = (int)p->list.count;
  if (!t->config.new_pieces) return true;
  if (!dg_new_pieces_extend(p, t->base, err) || !measure(t, r, t->tokens_per_word, err))
    return false;
  tell(t);
  return true;
}

/* --- pieces of the base --------------------------------------------------------------------- */

typedef struct piece_count {
  int32_t id;
  size_t count;
} piece_count;

static int by_count(const void *x, const void *y) {
  const piece_count *a = x, *b = y;
  if (a->count != b->count) return a->count > b->count ? -1 : 1;
  return a->id < b->id ? -1 : 1;
}

/* Those of the base, the most frequent first; new ones only in the sum. */
static bool count_pieces(const dg_trainee *t, reader r, piece_count *counts, size_t pieces,
                         size_t *sum, dg_error *err) {
  dg_tokens list = {0};
  const char *text;
  size_t n;
  bool ok = true;
  for (size_t i = 0; i < pieces; i++) counts[i] = (piece_count){.id = (int32_t)i};
  while (ok && next_sentence(&r, &text, &n, err) > 0) {
    dg_side side = r.side % 2 ? DG_SIDE_TARGET : DG_SIDE_SOURCE;
    if (t->config.embedding_side == (r.side % 2 ? DG_EMBED_SOURCE : DG_EMBED_TARGET)) continue;
    const dg_tokenizer *cut = dg_trainee_tokenizer(t, true, language_of(&r, r.side), side);
    ok = dg_tokenizer_encode(cut, text, n, &list, err);
    for (size_t i = 0; ok && i < list.count; i++)
      if ((size_t)list.items[i].id < pieces) counts[list.items[i].id].count++;
    *sum += ok ? list.count : 0;
  }
  dg_tokens_free(&list);
  qsort(counts, pieces, sizeof *counts, by_count);
  return ok;
}

static bool take_embeddings(dg_trainee *t, dg_error *err) {
  const dg_adapter *from = t->from->adapter;
  size_t count = (size_t)from->config.embeddings;
  if (t->config.embeddings != from->config.embeddings ||
      t->config.embedding_side != from->config.embedding_side)
    return dg_fail(err, DG_ERR_USAGE,
                   "--init %s changes %zu embeddings of its own choice: leave out --embeddings and "
                   "--embedding-side",
                   t->init, count);
  t->changed = memcpy(dg_malloc(count * sizeof *t->changed), from->changes.ids,
                      count * sizeof *t->changed);
  dg_strbuf_addf(&t->told, "%zu pieces of the base have embeddings that learn, those of %s\n",
                 count, t->init);
  return true;
}

/* Whether a target is a source, too. */
static bool goes_back(const dg_adapter_file *f) {
  for (size_t i = 0; i < f->pair_count; i++)
    for (size_t k = 0; k < f->pair_count; k++)
      if (!strcmp(f->pairs[i].source, f->pairs[k].target)) return true;
  return false;
}

/* The languages of the side asked for or, when none is, those that are new or, when the base
 * knows all, the targets; where they stand. */
static void choose_side(dg_trainee *t, const reader *r, dg_new_pieces *languages) {
  dg_embedding_side asked = t->config.embedding_side;
  if (asked == DG_EMBED_AUTO) {
    bool source, target;
    dg_trainee_new_sides(t, &source, &target);
    if (!source && !target) target = true, source = goes_back(t->file);
    add_languages(t, r, languages);
    t->config.embedding_side = !source ? DG_EMBED_TARGET : target ? DG_EMBED_BOTH : DG_EMBED_SOURCE;
    return;
  }
  for (size_t side = 0; side < 2 * r->count; side++)
    if (asked == DG_EMBED_BOTH || side % 2 == (asked == DG_EMBED_TARGET))
      dg_new_pieces_for(languages, language_of(r, side));
}

static void take_frequent(dg_trainee *t, const piece_count *counts, size_t pieces, size_t sum) {
  size_t asked = (size_t)t->config.embeddings, taken = 0, covered = 0;
  t->changed = dg_malloc(asked * sizeof *t->changed);
  for (; taken < asked && taken < pieces && counts[taken].count > 1; taken++) {
    t->changed[taken] = counts[taken].id;
    covered += counts[taken].count;
  }
  t->config.embeddings = (int)taken;
  if (taken)
    dg_strbuf_addf(&t->told,
                   "%zu pieces of the base, %.0f%% of the text, have embeddings that learn\n",
                   taken, 100 * (double)covered / (double)sum);
}

bool dg_train_embeddings(dg_trainee *t, const dg_train_text *texts, size_t count, dg_error *err) {
  if (t->from && t->from->adapter->config.embeddings) return take_embeddings(t, err);
  if (!t->config.embeddings) return true;
  if (!t->file)
    return dg_fail(err, DG_ERR_USAGE, "method full trains all embeddings: no --embeddings");
  dg_new_pieces languages = {0};
  reader r = {.texts = texts, .count = count, .pieces = &languages};
  choose_side(t, &r, &languages);
  bool given = dg_trainee_given(t, "embeddings"), ok = true;
  if (t->base->tokenizer == t->base->target_tokenizer ||
      t->config.embedding_side != DG_EMBED_BOTH) {
    size_t pieces = (size_t)dg_first_extra(&t->base->model->config);
    piece_count *counts = dg_calloc(pieces, sizeof *counts);
    size_t sum = 0;
    ok = count_pieces(t, r, counts, pieces, &sum, err);
    if (ok) take_frequent(t, counts, pieces, sum);
    free(counts);
    if (ok && given && !t->config.embeddings)
      ok = dg_fail(err, DG_ERR_USAGE,
                   "--embeddings: no piece of the base occurs twice in the text: leave it out");
  } else {
    t->config.embeddings = 0;
    if (given)
      ok = dg_fail(err, DG_ERR_USAGE,
                   "--embeddings: the base's sources and targets have different pieces: choose one "
                   "with --embedding-side");
  }
  dg_new_pieces_free(&languages);
  return ok;
}
