#include "tests/wide.h"

#pragma GCC diagnostic ignored "-Wpsabi" /* such vectors leave no file */

#define OPS_LANES 16
#define OPS_TABLE wide_ops
#include "mt/kernels/ops_template.h"
