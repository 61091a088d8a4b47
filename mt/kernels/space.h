/* Where operands are packed. Private to mt/kernels. */
#ifndef DG_KERNELS_SPACE_H
#define DG_KERNELS_SPACE_H

#include <stddef.h>

/* Room for that many floats at the start of a cache line, valid until this thread's next product. */
float *dg_gemm_space(size_t floats);

#endif
