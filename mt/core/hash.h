/* Content hashes, XXH3-128, as text: they tell damage and mix-ups, not forgery. */
#ifndef DG_CORE_HASH_H
#define DG_CORE_HASH_H

#include <stddef.h>

enum { DG_HASH_TEXT = 33 }; /* 32 hexadecimal digits and a zero */

struct XXH3_state_s;

void dg_hash_bytes(const void *bytes, size_t size, char out[DG_HASH_TEXT]);
void dg_hash_state(const struct XXH3_state_s *state, char out[DG_HASH_TEXT]);

#endif
