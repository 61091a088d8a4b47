/* Before a loop of a constant count whose sums are to live in registers: GCC may leave them in
 * memory without it, and Clang with it. Private to mt/kernels. */
#ifndef DG_KERNELS_UNROLL_H
#define DG_KERNELS_UNROLL_H

#if defined(__clang__)
#define UNROLL
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif

#endif
