#if defined(__x86_64__)
#include "mt/kernels/ops_tables.h"

#define OPS_TABLE dg_ops_avx512
#include "mt/kernels/ops_template.h"
#else
typedef int dg_not_this_machine; /* an empty translation unit is not C */
#endif
