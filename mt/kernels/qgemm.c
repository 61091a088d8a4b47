#include "mt/kernels/qgemm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "mt/core/mem.h"
#include "mt/kernels/blocks.h"
#include "mt/kernels/gemm_kernels.h"
#include "mt/kernels/isa.h"
#include "mt/kernels/qgemm_kernels.h"

enum { SMALL = 1 << 19 }; /* multiplications not worth waking a thread for */

static const dg_qgemm_kernels *kernels(void) {
#if defined(__x86_64__)
  if (dg_isa_vnni()) return &dg_qgemm_avx512_vnni;
  if (dg_isa_level() >= DG_ISA_AVX2) return &dg_qgemm_avx2;
#endif
  return &dg_qgemm_generic;
}

/* What multiplies a row into [-127,127], and what multiplies it back. */
static float row_scale(size_t n, const float *x, float *scale) {
  uint32_t top = 0; /* magnitudes order as their bits do, and integers vectorise */
  for (size_t p = 0; p < n; p++) {
    uint32_t u;
    memcpy(&u, x + p, sizeof u);
    u &= 0x7fffffff;
    top = u > top ? u : top;
  }
  float largest;
  memcpy(&largest, &top, sizeof largest);
  *scale = isfinite(largest) ? largest / 127 : NAN;
  if (isfinite(largest) && largest >= 1e-30f) return 127 / largest;
  if (isfinite(largest)) *scale = 0;
  return 0;
}

static void quantize(size_t n, const float *x, float inverse, int8_t *q) {
  const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
  if (inverse == 0) {              /* and x may hold NaN */
    memset(q, 0, n);
    return;
  }
  for (size_t p = 0; p < n; p++) {
    float scaled = x[p] * inverse, t = scaled + magic;
    int32_t u;
    memcpy(&u, &t, sizeof u);
    q[p] = (int8_t)u;
  }
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

dg_qpacked *dg_qpack_with(const dg_qgemm_kernels *t, size_t out, size_t in, const int8_t *q,
                          const float *scale, dg_error *err) {
  if (in > DG_QGEMM_IN_MAX) {
    dg_fail(err, DG_ERR_UNSUPPORTED, "8-bit weight with %zu inputs a row; at most %d are possible",
            in, DG_QGEMM_IN_MAX);
    return NULL;
  }
  const int8_t *bad = in && out ? memchr(q, -128, out * in) : NULL;
  if (bad) {
    dg_fail(err, DG_ERR_FORMAT, "8-bit weight has -128 at row %zu; values must be -127 to 127",
            (size_t)(bad - q) / in);
    return NULL;
  }
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
  for (size_t j = 0; j < out; j++, q += in) {
    size_t first = j / t->columns * t->columns, step = least(t->columns, wide - first);
    int32_t *to = p->w + first * words + (j - first), sum = 0;
    for (size_t k = 0; k < in; k += 4, to += step) memcpy(to, q + k, least(4, in - k));
    for (size_t k = 0; k < in; k++) sum += q[k];
    p->excess[j] = sum * t->offset;
    p->scale[j] = scale[j];
  }
  return p;
}

dg_qpacked *dg_qpack_new(size_t out, size_t in, const int8_t *q, const float *scale,
                         dg_error *err) {
  return dg_qpack_with(kernels(), out, in, q, scale, err);
}

void dg_qpack_free(dg_qpacked *w) {
  if (!w) return;
  free(w->w);
  free(w->excess);
  free(w->scale);
  free(w);
}

size_t dg_qpack_bytes(const dg_qpacked *w) {
  return round_up(w->out, w->t->lanes) * (w->words + 2) * sizeof(int32_t) + sizeof *w;
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
  size_t first = task * t->rows, in = p->w->in;
  for (size_t i = first; i < least(p->m, first + t->rows); i++) {
    const float *x = p->x + i * p->ldx;
    int32_t *to = p->words + first * p->w->words + (i - first);
    float inverse = row_scale(in, x, &p->scale[i]);
    for (size_t k = 0; k < in; k += 256) {
      int8_t q[256] = {0};
      size_t n = least(256, in - k);
      quantize(n, x + k, inverse, q);
      for (size_t e = 0; e < n; e++) q[e] = (int8_t)(q[e] ^ t->offset); /* +128, modulo 256 */
      for (size_t e = 0; e < n; e += 4, to += t->rows) memcpy(to, q + e, 4);
    }
  }
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
