#include "mt/kernels/space.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

#include "mt/core/mem.h"

enum { CACHE_LINE = 64 };

/* Kept by each thread that calls for products: mapping it anew every time would cost as much as
 * a small product. */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;

static void prepare(void) {
  if (pthread_key_create(&key, free)) abort();
}

float *dg_gemm_space(size_t floats) {
  pthread_once(&once, prepare);
  size_t bytes = floats * sizeof(float) + 2 * CACHE_LINE;
  size_t *held = pthread_getspecific(key); /* its size, then the space */
  if (!held || *held < bytes) {
    free(held);
    pthread_setspecific(key, NULL);
    held = dg_malloc(bytes);
    *held = bytes;
    if (pthread_setspecific(key, held)) abort();
  }
  return (float *)(((uintptr_t)held + 2 * CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
}
