#include "mt/cli/train_pieces.h"

#include <stdlib.h>
#include <string.h>

enum { EXAMPLES = 8 };
static const double many = 3; /* tokens a word; the shipped base's own languages take 1.7 to 2.3 */

/* One side after the other of the training files. */
typedef struct reader {
  const dg_train_data *data;
  const dg_language_pair *const *ways;
  const dg_new_pieces *pieces;
  size_t side, next; /* side: 2 * file, or one more for the second */
} reader;

static bool wanted(const reader *r, size_t side) {
  const dg_language_pair *p = r->ways[r->data->files[side / 2].pair];
  const char *language = side % 2 ? p->target : p->source;
  for (size_t i = 0; i < r->pieces->language_count; i++)
    if (!strcmp(r->pieces->languages[i], language)) return true;
  return false;
}

static int next_sentence(void *context, const char **text, size_t *n, dg_error *err) {
  (void)err;
  reader *r = context;
  while (r->side < 2 * r->data->train_count) {
    const dg_parallel_text *t = &r->data->files[r->side / 2].text;
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

static size_t words_of(const char *text) {
  size_t words = 0;
  for (const char *s = text; *(s += strspn(s, " \t")); s += strcspn(s, " \t")) words++;
  return words;
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
    words += (double)words_of(text);
    for (int k = 0; ok && k < 2 && ways[k]; k++) {
      ok = dg_tokenizer_encode(ways[k], text, n, &list, err);
      tokens[k] += (double)list.count;
    }
  }
  dg_tokens_free(&list);
  for (int k = 0; k < 2; k++) out[k] = words > 0 ? tokens[k] / words : 0;
  return ok;
}

static void tell(const dg_trainee *t, const dg_cli *cli) {
  const dg_new_pieces *p = &t->file->pieces;
  dg_strbuf languages = {0}, examples = {0};
  for (size_t i = 0; i < p->language_count; i++)
    dg_strbuf_addf(&languages, "%s%s", i ? ", " : "", p->languages[i]);
  for (size_t i = 0; i < p->list.count && i < EXAMPLES; i++)
    dg_strbuf_addf(&examples, "%s%s", i ? " " : "", p->list.texts[i]);
  dg_cli_say(cli,
             "%zu new pieces for %s (%s ...): %.2f tokens a word, %.2f with the base's alone\n",
             p->list.count, languages.text, examples.text, t->tokens_per_word[1],
             t->tokens_per_word[0]);
  free(languages.text);
  free(examples.text);
}

/* Says that the base has few pieces for a new language, if so. */
static bool advise(const dg_trainee *t, const dg_train_data *data,
                   const dg_language_pair *const *ways, const dg_cli *cli, dg_error *err) {
  bool ok = true;
  for (size_t i = 0; ok && t->file && i < t->file->language_count; i++) {
    if (!t->relatives[i]) continue;
    dg_new_pieces one = {0};
    double tokens[2];
    dg_new_pieces_for(&one, t->file->languages[i].code);
    ok = measure(t, (reader){.data = data, .ways = ways, .pieces = &one}, tokens, err);
    if (ok && tokens[0] > many && !dg_adapter_stacked_pieces(&t->stack))
      dg_cli_say(cli,
                 "the base cuts a word of %s into %.2f pieces: --new-pieces 500 may help\n",
                 one.languages[0], tokens[0]);
    dg_new_pieces_free(&one);
  }
  return ok;
}

bool dg_train_pieces(dg_trainee *t, const dg_train_data *data, const dg_language_pair *const *ways,
                     const dg_cli *cli, dg_error *err) {
  if (!t->config.new_pieces) return advise(t, data, ways, cli, err);
  if (!t->file)
    return dg_fail(err, DG_ERR_USAGE, "method full trains the base alone: no --new-pieces");
  dg_new_pieces *p = &t->file->pieces;
  for (size_t i = 0; i < t->file->language_count; i++)
    if (t->relatives && t->relatives[i]) dg_new_pieces_for(p, t->file->languages[i].code);
  for (size_t i = 0; !p->language_count && i < data->train_count; i++)
    dg_new_pieces_for(p, ways[data->files[i].pair]->target);
  reader r = {.data = data, .ways = ways, .pieces = p};
  if (t->from && t->from->pieces.list.count) {
    dg_new_pieces_add(p, &t->from->pieces);
  } else {
    reader all = r;
    while (all.side < 2 * data->train_count && !wanted(&all, all.side)) all.side++;
    const dg_tokenizer *base = all.side % 2 ? t->base->target_tokenizer : t->base->tokenizer;
    size_t most = (size_t)t->config.new_pieces;
    if (!dg_piece_list_learn(base, most, next_sentence, &all, &p->list, err))
      return dg_error_context(err, "--new-pieces");
    if (!p->list.count)
      return dg_fail(err, DG_ERR_USAGE,
                     "--new-pieces: there is none that occurs twice and is not the base's: leave "
                     "it out");
  }
  t->config.new_pieces = (int)p->list.count;
  if (!dg_new_pieces_extend(p, t->base, err) || !measure(t, r, t->tokens_per_word, err))
    return false;
  tell(t, cli);
  return true;
}
