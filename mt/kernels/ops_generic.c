#include "mt/kernels/ops_tables.h"

#define OPS_TABLE dg_ops_generic
#include "mt/kernels/ops_template.h"
