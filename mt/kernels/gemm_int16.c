#include "mt/kernels/gemm_int16.h"

#include <string.h>

#include "mt/kernels/gemm_kernels.h"
#include "mt/kernels/isa.h"
#include "mt/kernels/widen.h"

/* Blocks of the right operand are as wide as a shared cache holds; of the left one ROWS stay in
 * the second-level cache. */
enum { COLUMNS = 2016, ROWS = 96, SMALL = 1 << 18 };

static size_t least(size_t x, size_t y) { return x < y ? x : y; }
static size_t ceiling(size_t x, size_t y) { return (x + y - 1) / y; }
static size_t round_up(size_t x, size_t to) { return ceiling(x, to) * to; }

const dg_int16_kernels *dg_int16_best(void) {
#if defined(__x86_64__)
  /* 512-bit units multiply as many numbers in fp32, or twice as many in bfloat16. */
  if (dg_isa_level() == DG_ISA_AVX2) return &dg_int16_avx2;
#endif
  return NULL;
}

bool dg_int16_fits(const dg_matrix *b) {
  for (size_t i = 0; i < DG_MATRIX_BLOCKS; i++)
    if (b->block[i].data && b->block[i].type != DG_STORE_INT8) return false;
  return b->block[0].data;
}

static const int8_t *row_of(const dg_matrix *b, size_t cols, size_t row, size_t first,
                            float *scale) {
  dg_stored_row r = dg_find_row(b, cols, row, first);
  *scale = r.scale;
  return (const int8_t *)r.at;
}

typedef struct product {
  const dg_int16_kernels *t;
  bool tb, add;
  size_t m, n, k, steps, lda, ldc, cols; /* n and k are those of the current block */
  const float *a;
  const dg_matrix *b;
  size_t row, column; /* of b, where the current block begins */
  float *c, *by, *left_scale, *right_scale;
  int32_t *left, *right;
  size_t rows, columns, across; /* the share of a task, and tasks in a row of them */
} product;

static void left_task(void *context, size_t task, int worker) {
  (void)worker;
  const product *p = context;
  size_t i = task * ROWS;
  p->t->pack_left(least(ROWS, p->m - i), p->k, p->a + i * p->lda, p->lda, p->tb ? NULL : p->by,
                  p->left + i * p->steps, p->left_scale + i);
}

static void right_task(void *context, size_t task, int worker) {
  (void)worker;
  const product *p = context;
  size_t j = task * p->columns, end = least(p->n, j + p->columns);
  const int8_t *rows[DG_INT16_K];
  float unused;
  if (!p->tb) {
    for (size_t r = 0; r < p->k; r++)
      rows[r] = row_of(p->b, p->cols, p->row + r, p->column + j, &unused);
    p->t->pack_rows(end - j, p->k, rows, p->right + j * p->steps);
    for (; j < end; j++) p->right_scale[j] = 1;
    return;
  }
  for (size_t n; j < end; j += n) {
    n = least(p->t->columns, end - j);
    for (size_t r = 0; r < n; r++)
      rows[r] = row_of(p->b, p->cols, p->row + j + r, p->column, &p->right_scale[j + r]);
    p->t->pack_columns(n, p->k, rows, p->right + j * p->steps);
  }
}

static void multiply_task(void *context, size_t task, int worker) {
  (void)worker;
  const product *p = context;
  size_t i = task / p->across * p->rows, j = task % p->across * p->columns;
  p->t->multiply(least(p->rows, p->m - i), least(p->columns, p->n - j), p->steps,
                 p->left + i * p->steps, p->left_scale + i, p->right + j * p->steps,
                 p->right_scale + j, p->add, p->c + i * p->ldc + j, p->ldc);
}

/* C (+)= A * the current block of B, in a few tasks for each thread. */
static void multiply(dg_threads *threads, product *p) {
  size_t count = (size_t)dg_threads_count(threads), wanted = count > 1 ? 4 * count : 1;
  p->columns = round_up(ceiling(p->n, wanted), p->t->columns);
  dg_parallel(threads, ceiling(p->n, p->columns), right_task, p);
  p->rows = least(ROWS, round_up(p->m, p->t->rows));
  size_t down = ceiling(p->m, p->rows);
  p->columns = round_up(ceiling(p->n, ceiling(wanted, down)), p->t->columns);
  p->across = ceiling(p->n, p->columns);
  dg_parallel(threads, down * p->across, multiply_task, p);
}

void dg_gemm_int16(const dg_int16_kernels *t, dg_threads *threads, bool transpose_b, size_t m,
                   size_t n, size_t k, const float *a, size_t lda, const dg_matrix *b, size_t cols,
                   float beta, float *c, size_t ldc) {
  if (!m || !n) return;
  if (m * n * k < SMALL) threads = NULL;
  size_t step = k ? round_up(ceiling(k, ceiling(k, DG_INT16_K)), 2) : 0;
  size_t held = round_up(m, t->rows), wide = least(round_up(n, t->lanes), COLUMNS);
  product p = {.t = t, .tb = transpose_b, .m = m, .lda = lda, .b = b, .cols = cols, .ldc = ldc};
  p.left_scale = dg_gemm_space((held + wide) * (step / 2 + 1) + step);
  p.right_scale = p.left_scale + held;
  p.by = p.right_scale + wide;
  p.left = (int32_t *)(void *)(p.by + step);
  p.right = p.left + held * (step / 2);
  for (size_t i = 0; !k && beta == 0 && i < m; i++) memset(c + i * ldc, 0, n * sizeof *c);
  for (size_t q = 0; q < k; q += step) {
    p.k = least(step, k - q);
    p.steps = ceiling(p.k, 2);
    p.a = a + q;
    p.add = beta != 0 || q;
    for (size_t r = 0; !transpose_b && r < p.k; r++) row_of(b, cols, q + r, 0, &p.by[r]);
    dg_parallel(threads, ceiling(m, ROWS), left_task, &p);
    for (size_t j = 0; j < n; j += COLUMNS) {
      p.n = least(COLUMNS, n - j);
      p.row = transpose_b ? j : q, p.column = transpose_b ? q : j;
      p.c = c + j;
      multiply(threads, &p);
    }
  }
}
