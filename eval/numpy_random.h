/* numpy.random.default_rng(seed), as far as sacreBLEU draws from it: PCG64 (O'Neill 2014)
 * seeded by SeedSequence, bounded integers by Lemire's method. */
#ifndef DG_EVAL_NUMPY_RANDOM_H
#define DG_EVAL_NUMPY_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct dg_numpy_random {
  unsigned __int128 state, increment;
  uint32_t kept; /* the half of a 64-bit draw not yet given out */
  bool has_kept;
} dg_numpy_random;

dg_numpy_random dg_numpy_random_new(uint64_t seed);
uint32_t dg_numpy_random_32(dg_numpy_random *r);

/* The n next of rng.choice(below, replace=True); below from 1 to 2^32. */
void dg_numpy_random_choice(dg_numpy_random *r, uint64_t below, uint32_t *out, size_t n);

/* Steps over `draws` 64-bit draws; before any 32-bit one was made. */
void dg_numpy_random_skip(dg_numpy_random *r, uint64_t draws);

#endif
