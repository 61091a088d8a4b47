/* Arithmetic of blocks. Private to mt/kernels. */
#ifndef DG_KERNELS_BLOCKS_H
#define DG_KERNELS_BLOCKS_H

#include <stddef.h>

static inline size_t least(size_t x, size_t y) { return x < y ? x : y; }
static inline size_t ceiling(size_t x, size_t y) { return (x + y - 1) / y; }
static inline size_t round_up(size_t x, size_t to) { return ceiling(x, to) * to; }

#endif
