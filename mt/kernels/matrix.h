/* A weight matrix as it is held: in fp32, or as its file stores it, to be widened a panel at a
 * time where a product reads it. */
#ifndef DG_KERNELS_MATRIX_H
#define DG_KERNELS_MATRIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum dg_storage { DG_STORE_FP32, DG_STORE_BF16, DG_STORE_INT8 } dg_storage;

/* Row-major, without gaps. */
typedef struct dg_matrix_block {
  dg_storage type;
  const void *data;
  const float *scale; /* DG_STORE_INT8: one a row, which multiplies its integers */
} dg_matrix_block;

enum { DG_MATRIX_BLOCKS = 3 };

/* One block or, where projections of the same input need not be adjacent, up to three one below
 * the other. Borrows all. */
typedef struct dg_matrix {
  dg_matrix_block block[DG_MATRIX_BLOCKS];
  size_t block_rows;     /* rows of each block; 0: there is but one */
  const int32_t *chosen; /* row r is the stored row chosen[r]; NULL: all in order */
} dg_matrix;

dg_matrix dg_matrix_fp32(const float *rows);
/* The whole of it in fp32, or NULL when it is not held so. */
const float *dg_matrix_floats(const dg_matrix *m);
/* Rows [first,first+count), each `cols` wide, in fp32. */
void dg_matrix_rows(const dg_matrix *m, size_t cols, size_t first, size_t count, float *out);

#endif
