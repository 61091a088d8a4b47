#include "mt/core/hash.h"

#include <stdio.h>
#include <xxhash.h>

static void as_text(XXH128_hash_t hash, char out[DG_HASH_TEXT]) {
  XXH128_canonical_t digest;
  XXH128_canonicalFromHash(&digest, hash);
  for (size_t i = 0; i < sizeof digest.digest; i++)
    snprintf(out + 2 * i, 3, "%02x", digest.digest[i]);
}

void dg_hash_bytes(const void *bytes, size_t size, char out[DG_HASH_TEXT]) {
  as_text(XXH3_128bits(bytes, size), out);
}

void dg_hash_state(const struct XXH3_state_s *state, char out[DG_HASH_TEXT]) {
  as_text(XXH3_128bits_digest(state), out);
}
