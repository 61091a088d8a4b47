/* Which instruction set the kernels use: the best this CPU and operating system
 * offer, or what DRAGOMAN_ISA names (generic, avx2, avx512, avx512_bf16). */
#ifndef DG_KERNELS_ISA_H
#define DG_KERNELS_ISA_H

#include "mt/core/error.h"

typedef enum dg_isa { DG_ISA_GENERIC, DG_ISA_AVX2, DG_ISA_AVX512, DG_ISA_AVX512_BF16 } dg_isa;

/* The level in use. An unknown or unsupported DRAGOMAN_ISA is reported by
 * dg_isa_check, which the command line calls first; dg_isa_level then
 * falls back to what the CPU has. */
dg_isa dg_isa_level(void);
bool dg_isa_check(dg_error *err);
/* Whether AVX-512 VNNI may be used: the level is avx512 or above and the CPU has it. */
bool dg_isa_vnni(void);
const char *dg_isa_name(dg_isa isa);

#endif
