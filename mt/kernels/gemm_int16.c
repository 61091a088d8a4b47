#include "mt/kernels/gemm_int16.h"

#include <string.h>

#include "mt/kernels/blocks.h"
#include "mt/kernels/isa.h"
#include "mt/kernels/space.h"
#include "mt/kernels/widen.h"

/* Blocks of the right operand are as wide as a shared cache holds; of the left one ROWS stay in
 * the second-level cache. */
enum { COLUMNS = 2016, ROWS = 96, SMALL = 1 << 18 };

const dg_int16_kernels *dg_int16_best(void) {
#if defined(__x86_64__)
  /* 512-bit units multiply as many numbers in fp32, or twice as many in bfloat16. */
  if (dg_isa_level() == DG_ISA_AVX2) return &dg_int16_avx2;
#endif
  return NULL;
}

bool dg_int16_fits(const dg_matrix *b) {
  dg_storage type = b->block[0].type;
  for (size_t i = 1; i < DG_MATRIX_BLOCKS; i++)
    if (b->block[i].data && b->block[i].type != type) return false;
  return b->block[0].data && (type == DG_STORE_INT8 || type == DG_STORE_FP32);
}

static const void *row_of(const dg_matrix *b, size_t cols, size_t row, size_t first,
                          float *scale) {
  dg_stored_row r = dg_find_row(b, cols, row, first);
  *scale = r.scale;
  return r.at;
}

typedef struct product {
  const dg_int16_kernels *t;
  bool ta, tb, eight, add; /* eight: the right operand is held in 8 bits */
  size_t m, n, k, steps, lda, ldc, cols; /* n and k are those of the current block */
  const float *a;
  const dg_matrix *b;
  size_t row, column; /* of b, where the current block begins */
  float most, *c, *by, *left_scale, *right_scale;
  int32_t *left, *right;
  size_t rows, columns, across; /* the share of a task, and tasks in a row of them */
} product;

static void left_task(void *context, size_t task, int worker) {
  (void)worker;
  const product *p = context;
  size_t i = task * ROWS, n = least(ROWS, p->m - i);
  const void *lines[DG_INT16_K];
  for (size_t r = 0; r < (p->ta ? p->k : n); r++)
    lines[r] = p->ta ? p->a + r * p->lda + i : p->a + (i + r) * p->lda;
  int32_t *words = p->left + i * p->steps;
  if (p->ta) p->t->pack_across(false, n, p->k, lines, p->most, words, p->left_scale + i);
  else
    p->t->pack_lines(false, n, p->k, lines, p->eight && !p->tb ? p->by : NULL, p->most, words,
                     p->left_scale + i);
}

/* Lines that lie across the rows of b. */
static void right_across(const product *p, size_t j, size_t n) {
  const void *rows[DG_INT16_K];
  float unused;
  for (size_t r = 0; r < p->k; r++)
    rows[r] = row_of(p->b, p->cols, p->row + r, p->column + j, &unused);
  int32_t *words = p->right + j * p->steps;
  if (!p->eight) {
    p->t->pack_across(true, n, p->k, rows, p->most, words, p->right_scale + j);
    return;
  }
  p->t->pack_across8(n, p->k, rows, words);
  for (size_t i = 0; i < n; i++) p->right_scale[j + i] = 1;
}

static void right_task(void *context, size_t task, int worker) {
  (void)worker;
  const product *p = context;
  size_t j = task * p->columns, end = least(p->n, j + p->columns);
  const void *lines[DG_INT16_K];
  if (!p->tb) right_across(p, j, end - j);
  for (size_t n; p->tb && j < end; j += n) {
    float *scale = p->right_scale + j;
    n = least(p->t->columns, end - j);
    for (size_t r = 0; r < n; r++)
      lines[r] = row_of(p->b, p->cols, p->row + j + r, p->column, &scale[r]);
    int32_t *words = p->right + j * p->steps;
    if (p->eight) p->t->pack_lines8(n, p->k, lines, words);
    else
      p->t->pack_lines(true, n, p->k, lines, NULL, p->most, words, scale);
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

void dg_gemm_int16(const dg_int16_kernels *t, dg_threads *threads, bool transpose_a,
                   bool transpose_b, size_t m, size_t n, size_t k, const float *a, size_t lda,
                   const dg_matrix *b, size_t cols, float beta, float *c, size_t ldc) {
  if (!m || !n) return;
  if (m * n * k < SMALL) threads = NULL;
  product p = {.t = t, .ta = transpose_a, .tb = transpose_b, .m = m, .lda = lda, .b = b,
               .cols = cols, .ldc = ldc, .eight = b->block[0].type == DG_STORE_INT8};
  size_t longest = p.eight ? DG_INT16_K : DG_INT16_BOTH_K;
  p.most = p.eight ? DG_INT16_MOST : DG_INT16_BOTH_MOST;
  size_t step = k ? round_up(ceiling(k, ceiling(k, longest)), 2) : 0;
  size_t held = round_up(round_up(m, t->lanes), t->rows),
         wide = least(round_up(n, t->lanes), COLUMNS);
  p.left_scale = dg_gemm_space((held + wide) * (step / 2 + 1) + step);
  p.right_scale = p.left_scale + held;
  p.by = p.right_scale + wide;
  p.left = (int32_t *)(void *)(p.by + step);
  p.right = p.left + held * (step / 2);
  for (size_t i = 0; !k && beta == 0 && i < m; i++) memset(c + i * ldc, 0, n * sizeof *c);
  for (size_t q = 0; q < k; q += step) {
    p.k = least(step, k - q);
    p.steps = ceiling(p.k, 2);
    p.a = a + (transpose_a ? q * lda : q);
    p.add = beta != 0 || q;
    for (size_t r = 0; p.eight && !transpose_b && r < p.k; r++)
      row_of(b, cols, q + r, 0, &p.by[r]);
    dg_parallel(threads, ceiling(m, ROWS), left_task, &p);
    for (size_t j = 0; j < n; j += COLUMNS) {
      p.n = least(COLUMNS, n - j);
      p.row = transpose_b ? j : q, p.column = transpose_b ? q : j;
      p.c = c + j;
      multiply(threads, &p);
    }
  }
}
