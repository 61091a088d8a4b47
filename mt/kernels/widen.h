/* Stored numbers to fp32; compiled once per instruction set. Private to mt/kernels. */
#ifndef DG_KERNELS_WIDEN_H
#define DG_KERNELS_WIDEN_H

#include <string.h>

#include "mt/kernels/matrix.h"

static inline void dg_widen(dg_storage type, float scale, size_t n, const void *x, float *out) {
  if (type == DG_STORE_FP32) {
    memcpy(out, x, n * sizeof *out);
  } else if (type == DG_STORE_BF16) {
    for (size_t i = 0; i < n; i++) {
      uint16_t h;
      memcpy(&h, (const char *)x + sizeof h * i, sizeof h);
      uint32_t bits = (uint32_t)h << 16;
      memcpy(out + i, &bits, sizeof bits);
    }
  } else {
    const int8_t *q = x;
    for (size_t i = 0; i < n; i++) out[i] = scale * (float)q[i];
  }
}

static inline size_t dg_storage_size(dg_storage type) {
  return type == DG_STORE_FP32 ? 4 : type == DG_STORE_BF16 ? 2 : 1;
}

typedef struct dg_stored_row {
  dg_storage type;
  float scale;
  const char *at;
} dg_stored_row;

/* A row from its column `first` on. */
static inline dg_stored_row dg_find_row(const dg_matrix *m, size_t cols, size_t row,
                                        size_t first) {
  if (m->chosen) row = (size_t)m->chosen[row];
  const dg_matrix_block *b = m->block;
  if (m->block_rows) b += row / m->block_rows, row %= m->block_rows;
  dg_stored_row r = {b->type, 1, NULL};
  r.at = (const char *)b->data + (row * cols + first) * dg_storage_size(b->type);
  if (b->scale) memcpy(&r.scale, (const char *)b->scale + sizeof r.scale * row, sizeof r.scale);
  return r;
}

/* Columns [first,first+n) of a row. */
static inline void dg_widen_row(const dg_matrix *m, size_t cols, size_t row, size_t first,
                                size_t n, float *out) {
  dg_stored_row r = dg_find_row(m, cols, row, first);
  dg_widen(r.type, r.scale, n, r.at, out);
}

#endif
