#include "mt/kernels/qgemm.h"

#include <stdlib.h>
#include <string.h>

#include "mt/core/mem.h"
#include "mt/kernels/blocks.h"
#include "mt/kernels/isa.h"
#include "mt/kernels/qgemm_kernels.h"
#include "mt/kernels/quantize.h"
#include "mt/kernels/space.h"
#include "mt/kernels/widen.h"

enum { SMALL = 1 << 19 }; /* multiplications not worth waking a thread for */

static const dg_qgemm_kernels *kernels(void) {
#if defined(__x86_64__)
  if (dg_isa_vnni()) return &dg_qgemm_avx512_vnni;
  if (dg_isa_level() >= DG_ISA_AVX2) return &dg_qgemm_avx2;
#endif
  return &dg_qgemm_generic;
}

void dg_quantize_rows(size_t rows, size_t in, const float *x, size_t ldx, int8_t *q,
                      float *scale) {
  for (size_t i = 0; i < rows; i++)
    quantize(in, x + i * ldx, row_scale(in, x + i * ldx, scale + i), q + i * in);
}

struct dg_qpacked {
  const dg_qgemm_kernels *t;
  size_t out, in, words;
  int32_t *w, *excess;
  float *scale;
};

bool dg_qpack_fits(size_t out, size_t in, const dg_matrix *w) {
  if (in > DG_QGEMM_IN_MAX) return false;
  for (size_t j = 0; j < out; j++) {
    dg_stored_row row = dg_find_row(w, in, j, 0);
    if (row.type != DG_STORE_INT8 || (in && memchr(row.at, -128, in))) return false;
  }
  return true;
}

dg_qpacked *dg_qpack_with(const dg_qgemm_kernels *t, size_t out, size_t in, const dg_matrix *w,
                          dg_error *err) {
  size_t wide = round_up(out, t->lanes), words = ceiling(in, 4);
  dg_qpacked *p = dg_calloc(1, sizeof *p);
  *p = (dg_qpacked){.t = t, .out = out, .in = in, .words = words};
  p->w = dg_alloc_checked(wide * words, sizeof *p->w, err);
  p->excess = dg_alloc_checked(wide, sizeof *p->excess, err);
  p->scale = dg_alloc_checked(wide, sizeof *p->scale, err);
  if (!p->w || !p->excess || !p->scale) {
    dg_qpack_free(p);
    return NULL;
  }
  memset(p->w, 0, wide * words * sizeof *p->w);
  memset(p->excess, 0, wide * sizeof *p->excess);
  memset(p->scale, 0, wide * sizeof *p->scale);
  for (size_t j = 0; j < out; j++) {
    size_t first = j / t->columns * t->columns, step = least(t->columns, wide - first);
    int32_t *to = p->w + first * words + (j - first), sum = 0;
    dg_stored_row row = dg_find_row(w, in, j, 0);
    for (size_t k = 0; k < in; k += 4, to += step) memcpy(to, row.at + k, least(4, in - k));
    for (size_t k = 0; k < in; k++) sum += ((const int8_t *)row.at)[k];
    p->excess[j] = sum * t->offset;
    p->scale[j] = row.scale;
  }
  return p;
}

dg_qpacked *dg_qpack_new(size_t out, size_t in, const dg_matrix *w, dg_error *err) {
  return dg_qpack_with(kernels(), out, in, w, err);
}

void dg_qpack_free(dg_qpacked *w) {
  if (!w) return;
  free(w->w);
  free(w->excess);
  free(w->scale);
  free(w);
}

typedef struct product {
  const dg_qpacked *w;
  size_t m, ldx, ldy, rows, columns, across;
  const float *x;
  float *y, *scale; /* scale[m] of x's rows */
  int32_t *words;   /* x as words, in panels */
} product;

/* One panel of x. */
static void quantize_task(void *context, size_t task, int worker) {
  (void)worker;
  const product *p = context;
  const dg_qgemm_kernels *t = p->w->t;
  size_t first = task * t->rows;
  t->quantize(least(t->rows, p->m - first), p->w->in, p->x + first * p->ldx, p->ldx,
              p->words + first * p->w->words, p->scale + first);
}

static void multiply_task(void *context, size_t task, int worker) {
  (void)worker;
  const product *p = context;
  const dg_qpacked *w = p->w;
  size_t i = task / p->across * p->rows, j = task % p->across * p->columns;
  w->t->multiply(least(p->rows, p->m - i), least(p->columns, w->out - j), w->words,
                 p->words + i * w->words, p->scale + i, w->w + j * w->words, w->excess + j,
                 w->scale + j, p->y + i * p->ldy + j, p->ldy);
}

void dg_qgemm(dg_threads *threads, size_t rows, const float *x, size_t ldx, const dg_qpacked *w,
              float *y, size_t ldy) {
  if (!rows || !w->out) return;
  const dg_qgemm_kernels *t = w->t;
  if (rows * w->out * w->in < SMALL) threads = NULL;
  size_t held = round_up(rows, t->rows), wanted = 4 * (size_t)dg_threads_count(threads);
  product p = {.w = w, .m = rows, .ldx = ldx, .ldy = ldy, .x = x, .y = y};
  p.scale = dg_gemm_space(held * (w->words + 1));
  p.words = (int32_t *)(void *)(p.scale + held);
  dg_parallel(rows * w->in < SMALL / 8 ? NULL : threads, held / t->rows, quantize_task, &p);
  p.rows = least(held, 192); /* a multiple of every panel height */
  size_t down = ceiling(rows, p.rows);
  p.columns = threads ? round_up(ceiling(w->out, ceiling(wanted, down)), t->columns) : w->out;
  p.across = ceiling(w->out, p.columns);
  dg_parallel(threads, down * p.across, multiply_task, &p);
}
