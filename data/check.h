/* What is wrong with the pairs somebody wants to train on, pair by pair. */
#ifndef DG_DATA_CHECK_H
#define DG_DATA_CHECK_H

#include "data/key_set.h"
#include "data/parallel.h"
#include "tokenizer/identify.h"

typedef enum dg_problem {
  DG_PROBLEM_NONE,
  DG_PROBLEM_EMPTY,     /* nothing on one side */
  DG_PROBLEM_COPY,      /* three words or more, the same on both sides */
  DG_PROBLEM_DUPLICATE, /* the same pair came before */
  DG_PROBLEM_LEAK,      /* one of its sentences is held out, for dev or test */
  DG_PROBLEM_SCRIPT,    /* a side is mostly not in its language's script */
  DG_PROBLEM_SWAPPED,   /* each side looks like the other's language */
  DG_PROBLEM_LANGUAGE,  /* both sides look like the same language */
  DG_PROBLEM_FOREIGN,   /* a side is in a third language */
  DG_PROBLEM_LENGTH,    /* one side is far longer than usual beside the other */
  DG_PROBLEMS
} dg_problem;
const char *dg_problem_name(dg_problem p);  /* "duplicate", for machines */
const char *dg_problem_title(dg_problem p); /* "duplicates", for people */

typedef struct dg_check {
  unsigned char *problems;   /* [pairs]: a dg_problem each, the first that applies */
  size_t counts[DG_PROBLEMS];
  size_t first[DG_PROBLEMS]; /* the first pair that has it */
  dg_lang_share looks[2];    /* what most of a column is in, where that can be told; or "" */
} dg_check;

/* Judges the pairs of one file; codes are canonical BCP-47. `seen` holds the pairs of the
 * files before and gets these too; `held_out` may be NULL. Scripts
 * are ICU's. Languages are told apart by letter trigrams of the two columns themselves, so
 * only where most pairs are right, and only from 200 pairs on; and by dg_lang_identify, where it
 * knows the language there should be and a tenth of a column or more is in another. Release with
 * dg_check_free. */
void dg_check_pairs(const dg_parallel_text *p, const char *source, const char *target,
                    dg_key_set *seen, const dg_key_set *held_out, dg_check *out);
void dg_check_free(dg_check *c);

/* Adds both sides of a pair to what must not be trained on, and asks whether one of its
 * sides is there: sentences count as the same by dg_sentence_key. */
void dg_hold_out(dg_key_set *held_out, const dg_pair *p);
bool dg_held_out(const dg_key_set *held_out, const dg_pair *p);

/* Takes pairs out of the text, in place: those i for which leave[i] is not 0. */
void dg_parallel_remove(dg_parallel_text *p, const unsigned char *leave);

#endif
