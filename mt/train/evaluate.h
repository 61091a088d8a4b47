/* Scoring a network on dev sets: loss without dropout, BLEU and chrF by search. */
#ifndef DG_TRAIN_EVALUATE_H
#define DG_TRAIN_EVALUATE_H

#include "mt/decode/translator.h"
#include "mt/model/packed.h"
#include "mt/train/trainer.h"

/* Dev sets over texts that outlive them; grows as sets are added. */
typedef struct dg_dev_list {
  dg_dev_set *sets;
  const char ***texts; /* the arrays behind sources and references */
  size_t count, capacity, text_count, text_capacity;
} dg_dev_list;
/* `limit` sentences at most, spread over the text, are translated. */
dg_dev_set *dg_dev_list_add(dg_dev_list *l, const char *source, const char *target,
                            dg_direction direction, const dg_parallel_text *text, size_t limit);
void dg_dev_list_free(dg_dev_list *l);

bool dg_evaluate_loss(const dg_network *n, const dg_examples *e, const dg_direction *d,
                      size_t micro_tokens, dg_arena *arena, double *loss, dg_error *err);

/* Makes of a network one that computes as `translate` does, for the functions below. The caller
 * frees its weights, which serve every network of that model. */
dg_packed_model *dg_evaluate_pack(dg_network *n, dg_error *err);

/* Fills bleu and chrf. */
bool dg_evaluate_text(const dg_network *n, const dg_base *b, const dg_dev_set *set,
                      const dg_translate_options *how, dg_dev_score *score, dg_error *err);

/* The best translation of each sentence of the set, "" for none; dg_evaluated_free. */
char **dg_evaluate_translate(const dg_network *n, const dg_base *b, const dg_dev_set *set,
                             const dg_translate_options *how, dg_error *err);
void dg_evaluated_free(char **texts, size_t count);

#endif
