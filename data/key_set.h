/* A set of 64-bit hashes: which sentences were seen. */
#ifndef DG_DATA_KEY_SET_H
#define DG_DATA_KEY_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero-initialise; release with dg_key_set_free. */
typedef struct dg_key_set {
  uint64_t *keys; /* [size], a power of two; 0 is empty */
  size_t size, used;
} dg_key_set;

bool dg_key_set_add(dg_key_set *s, uint64_t key); /* false: it was there */
bool dg_key_set_has(const dg_key_set *s, uint64_t key);
void dg_key_set_free(dg_key_set *s);

#endif
