#include "mt/kernels/matrix.h"

#include "mt/kernels/widen.h"

dg_matrix dg_matrix_fp32(const float *rows) {
  return (dg_matrix){.block = {{DG_STORE_FP32, rows, NULL}}};
}

const float *dg_matrix_floats(const dg_matrix *m) {
  bool whole = !m->block_rows && !m->chosen && m->block[0].type == DG_STORE_FP32;
  return whole ? m->block[0].data : NULL;
}

void dg_matrix_rows(const dg_matrix *m, size_t cols, size_t first, size_t count, float *out) {
  for (size_t r = 0; r < count; r++) dg_widen_row(m, cols, first + r, 0, cols, out + r * cols);
}
