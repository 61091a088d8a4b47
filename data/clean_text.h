/* Cleaning a whole text. */
#ifndef DG_DATA_CLEAN_TEXT_H
#define DG_DATA_CLEAN_TEXT_H

#include "data/clean.h"
#include "data/key_set.h"
#include "data/parallel.h"

/* Adds the sentences of both sides to what others must have nothing in common with: as they stand
 * and as cleaning would leave them, for the others may be either. Codes are canonical BCP-47. */
void dg_clean_hold_out(dg_key_set *held_out, const dg_parallel_text *p, const char *source,
                       const char *target);

/* Writes as TSV what dg_clean_pair keeps, each pair once, without what is held out; counts every
 * verdict. */
bool dg_clean_write(const dg_parallel_text *p, const char *source, const char *target,
                    const dg_key_set *held_out, const char *path,
                    size_t verdicts[DG_CLEAN_VERDICTS], dg_error *err);

#endif
