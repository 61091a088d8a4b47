#include "eval/numpy_random.h"

/* --- SeedSequence --------------------------------------------------------------------------- */

enum { POOL = 4 };

static uint32_t mix_in(uint32_t value, uint32_t *constant, uint32_t multiplier) {
  value ^= *constant;
  *constant *= multiplier;
  value *= *constant;
  return value ^ value >> 16;
}

static uint32_t join(uint32_t x, uint32_t y) {
  uint32_t r = x * 0xCA01F9DDu - y * 0x4973F715u;
  return r ^ r >> 16;
}

static void seed_words(uint64_t seed, uint64_t out[4]) {
  const uint32_t entropy[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
  uint32_t pool[POOL], constant = 0x43B0D7E5u;
  size_t given = entropy[1] ? 2 : 1;
  for (size_t i = 0; i < POOL; i++)
    pool[i] = mix_in(i < given ? entropy[i] : 0, &constant, 0x931E8875u);
  for (size_t from = 0; from < POOL; from++)
    for (size_t to = 0; to < POOL; to++)
      if (from != to) pool[to] = join(pool[to], mix_in(pool[from], &constant, 0x931E8875u));
  constant = 0x8B51F9DDu;
  for (size_t i = 0; i < 8; i++) {
    uint64_t word = mix_in(pool[i % POOL], &constant, 0x58F38DEDu);
    out[i / 2] = i % 2 ? out[i / 2] | word << 32 : word;
  }
}

/* --- PCG64 ----------------------------------------------------------------------------------- */

static const unsigned __int128 multiplier =
    (unsigned __int128)UINT64_C(2549297995355413924) << 64 | UINT64_C(4865540595714422341);

static void step(dg_numpy_random *r) { r->state = r->state * multiplier + r->increment; }

static uint64_t next_64(dg_numpy_random *r) {
  step(r);
  uint64_t high = (uint64_t)(r->state >> 64), x = high ^ (uint64_t)r->state;
  unsigned turn = (unsigned)(high >> 58);
  return x >> turn | x << (-turn & 63);
}

dg_numpy_random dg_numpy_random_new(uint64_t seed) {
  uint64_t w[4];
  seed_words(seed, w);
  dg_numpy_random r = {.increment = ((unsigned __int128)w[2] << 64 | w[3]) << 1 | 1};
  step(&r);
  r.state += (unsigned __int128)w[0] << 64 | w[1];
  step(&r);
  return r;
}

uint32_t dg_numpy_random_32(dg_numpy_random *r) {
  r->has_kept = !r->has_kept;
  if (!r->has_kept) return r->kept;
  uint64_t x = next_64(r);
  r->kept = (uint32_t)(x >> 32);
  return (uint32_t)x;
}

void dg_numpy_random_choice(dg_numpy_random *r, uint64_t below, uint32_t *out, size_t n) {
  uint32_t reject = below <= UINT32_MAX ? (uint32_t)((UINT64_C(1) << 32) % below) : 0;
  for (size_t i = 0; i < n; i++) {
    uint64_t m = 0;
    if (below > 1) /* of one, numpy draws nothing */
      do m = dg_numpy_random_32(r) * below;
      while ((uint32_t)m < reject);
    out[i] = (uint32_t)(m >> 32);
  }
}

void dg_numpy_random_skip(dg_numpy_random *r, uint64_t draws) {
  unsigned __int128 times = 1, plus = 0, m = multiplier, p = r->increment;
  for (; draws; draws >>= 1) { /* squares of the step (Brown 1994) */
    if (draws & 1) {
      times *= m;
      plus = plus * m + p;
    }
    p = (m + 1) * p;
    m *= m;
  }
  r->state = times * r->state + plus;
}
