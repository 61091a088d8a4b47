/* The tables ops_*.c define. */
#ifndef DG_KERNELS_OPS_TABLES_H
#define DG_KERNELS_OPS_TABLES_H

#include "mt/kernels/ops.h"

extern const dg_ops dg_ops_generic;
#if defined(__x86_64__)
extern const dg_ops dg_ops_avx2, dg_ops_avx512;
#endif

#endif
