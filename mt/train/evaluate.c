#include "mt/train/evaluate.h"

#include <stdio.h>
#include <stdlib.h>

#include "eval/metrics.h"

/* Spread over the text, which may be several, one after the other. */
static const char **keep(dg_dev_list *l, const dg_parallel_text *text, size_t n, bool target) {
  const char **list = dg_malloc((n + 1) * sizeof *list);
  for (size_t i = 0; i < n; i++) {
    const dg_pair *p = &text->pairs[i * text->count / n];
    list[i] = target ? p->target : p->source;
  }
  DG_GROW(l->texts, l->text_capacity, l->text_count + 1);
  return l->texts[l->text_count++] = list;
}

dg_dev_set *dg_dev_list_add(dg_dev_list *l, const char *source, const char *target,
                            dg_direction direction, const dg_parallel_text *text, size_t limit) {
  size_t n = text->count < limit ? text->count : limit;
  DG_GROW(l->sets, l->capacity, l->count + 1);
  dg_dev_set *s = &l->sets[l->count++];
  *s = (dg_dev_set){.direction = direction, .sentences = n};
  snprintf(s->name, sizeof s->name, "%s-%s", source, target);
  snprintf(s->source, sizeof s->source, "%s", source);
  s->sources = keep(l, text, n, direction.reversed);
  s->references = keep(l, text, n, !direction.reversed);
  return s;
}

void dg_dev_list_free(dg_dev_list *l) {
  for (size_t i = 0; i < l->text_count; i++) free(l->texts[i]);
  free(l->texts);
  free(l->sets);
  *l = (dg_dev_list){0};
}

bool dg_evaluate_loss(const dg_network *n, const dg_examples *e, const dg_direction *d,
                      size_t micro_tokens, dg_arena *arena, double *loss, dg_error *err) {
  dg_batch_buffer b = {0};
  dg_loss total = {0};
  dg_loss_options o = {0};
  size_t count = dg_examples_count(e, d->corpus);
  bool ok = true;
  for (size_t i = 0; i < count && ok;) {
    dg_batch_clear(&b);
    while (i < count && (!b.sequences || (dg_batch_targets(&b) < micro_tokens &&
                                          dg_batch_sources(&b) < 2 * micro_tokens)))
      dg_batch_add(&b, e, d, i++, NULL);
    ok = dg_loss_forward(n, &b.batch, &o, arena, &total, err);
  }
  dg_batch_free(&b);
  *loss = total.labels ? total.nll / (double)total.labels : 0;
  return ok;
}

dg_packed_model *dg_evaluate_pack(dg_network *n, dg_error *err) {
  if (n->precision == DG_ROUNDED) n->precision = DG_INT8;
  dg_packed_model *weights = dg_packed_model_new(n->model, n->precision, err);
  n->packed = weights;
  return weights;
}

char **dg_evaluate_translate(const dg_network *n, const dg_base *b, const dg_dev_set *set,
                             const dg_translate_options *how, dg_error *err) {
  dg_translate_options o = *how;
  o.source_language = set->source;
  dg_translation *out = dg_calloc(set->sentences + 1, sizeof *out);
  char **texts = NULL;
  dg_base speaking = *b;
  if (set->tokenizers[0]) speaking.tokenizer = set->tokenizers[0];
  if (set->tokenizers[1]) speaking.target_tokenizer = set->tokenizers[1];
  if (dg_translate(n, &speaking, set->direction.source_tag, set->direction.target_tag, &o,
                   set->sources, set->sentences, out, err)) {
    texts = dg_calloc(set->sentences + 1, sizeof *texts);
    for (size_t i = 0; i < set->sentences; i++)
      texts[i] = dg_strdup(out[i].count ? out[i].texts[0] : "");
  }
  dg_translations_free(out, set->sentences);
  free(out);
  return texts;
}

void dg_evaluated_free(char **texts, size_t count) {
  for (size_t i = 0; texts && i < count; i++) free(texts[i]);
  free(texts);
}

bool dg_evaluate_text(const dg_network *n, const dg_base *b, const dg_dev_set *set,
                      const dg_translate_options *how, dg_dev_score *score, dg_error *err) {
  score->bleu = score->chrf = 0;
  if (!set->sentences) return true;
  char **texts = dg_evaluate_translate(n, b, set, how, err);
  const char *const *hypotheses = (const char *const *)texts;
  dg_bleu_score bleu;
  dg_chrf_score chrf;
  bool ok = texts && dg_bleu_corpus(hypotheses, set->references, set->sentences, &bleu, err) &&
            dg_chrf_corpus(hypotheses, set->references, set->sentences, &chrf, err);
  if (ok) score->bleu = bleu.score, score->chrf = chrf.score;
  dg_evaluated_free(texts, set->sentences);
  return ok;
}
