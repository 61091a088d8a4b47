/* Setting dev and test sentences apart. */
#ifndef DG_DATA_SPLIT_H
#define DG_DATA_SPLIT_H

#include <stdint.h>

#include "data/parallel.h"

typedef enum dg_part { DG_PART_TRAIN, DG_PART_DEV, DG_PART_TEST, DG_PART_NONE } dg_part;

/* Fills parts[pairs]. Sentences (by the source side's dg_sentence_key) are chosen by
 * hash: the lowest `test` distinct ones go to test, the next `dev` to dev, whatever the
 * order of the pairs. A dev or test sentence keeps one pair; its others go nowhere, nor does
 * what has a sentence of either side in common with dev or test, or with test, if it would
 * be dev. A corpus of which less than half would be left to train on is refused. */
bool dg_split_choose(const dg_parallel_text *p, size_t dev, size_t test, uint64_t seed,
                     unsigned char *parts, dg_error *err);

/* PREFIX.{train,dev,test}.tsv; the caller frees it. */
char *dg_split_path(const char *prefix, dg_part part);
/* Writes these three, so chosen. */
bool dg_split_write(const dg_parallel_text *p, const char *prefix, size_t dev, size_t test,
                    uint64_t seed, size_t counts[3], dg_error *err);

/* Writes `count` pairs (all, if there are fewer) of at least `least_words` source words
 * as TSV, in file order. The sentences are those whose keys hash lowest, so a larger sample
 * of the same text holds the smaller ones. *written says how many. */
bool dg_sample_write(const dg_parallel_text *p, const char *path, size_t count,
                     size_t least_words, uint64_t seed, size_t *written, dg_error *err);

#endif
