/* The kernels' templates with vectors of 512 bits in plain C: what they make of such vectors is
 * tested on every machine, but for the instructions themselves. */
#ifndef DG_TESTS_WIDE_H
#define DG_TESTS_WIDE_H

#include "mt/kernels/gemm_kernels.h"
#include "mt/kernels/ops.h"
#include "mt/kernels/qgemm_kernels.h"

extern const dg_gemm_kernels wide_gemm, wide_gemm_bf16;
extern const dg_qgemm_kernels wide_qgemm; /* as with VNNI */
extern const dg_ops wide_ops;

#endif
