/* Random numbers that are a pure function of (key, counter): any part of a run
 * can be replayed, which makes resumption exact and lets the backward pass
 * regenerate a dropout mask instead of storing it. */
#ifndef DG_CORE_RNG_H
#define DG_CORE_RNG_H

#include <math.h>
#include <stdint.h>

/* The finaliser of SplitMix64 (Steele, Lea & Flood 2014). */
static inline uint64_t dg_hash64(uint64_t x) {
  x += UINT64_C(0x9E3779B97F4A7C15);
  x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
  x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
  return x ^ x >> 31;
}

typedef struct dg_rng {
  uint64_t key, counter;
} dg_rng;

/* Independent streams come from different keys. */
static inline uint64_t dg_rng_key(uint64_t seed, uint64_t stream) {
  return dg_hash64(dg_hash64(seed) ^ stream);
}

static inline uint64_t dg_rng_next(dg_rng *r) {
  return dg_hash64(r->key + dg_hash64(r->counter++));
}

/* Uniform in [0,1). */
static inline double dg_rng_uniform(dg_rng *r) { return (double)(dg_rng_next(r) >> 11) * 0x1p-53; }

/* Uniform in [0,n), n > 0; the bias of 2^-64 n does not matter here. */
static inline uint64_t dg_rng_below(dg_rng *r, uint64_t n) {
  return (uint64_t)(((unsigned __int128)dg_rng_next(r) * n) >> 64);
}

/* Standard normal (Box & Muller 1958). */
static inline double dg_rng_normal(dg_rng *r) {
  double u = 1.0 - dg_rng_uniform(r), v = dg_rng_uniform(r);
  return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

#endif
