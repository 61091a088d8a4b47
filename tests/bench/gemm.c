/* GFLOP/s of the matrix products by shape and instruction set, against BLAS and
 * against the ceiling: the same arithmetic on operands already packed and in the
 * first-level cache.   gemm [--threads N] [--quick] */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mt/core/mem.h"
#include "mt/core/rng.h"
#include "mt/kernels/gemm.h"
#include "mt/kernels/gemm_int16.h"
#include "mt/kernels/gemm_kernels.h"
#include "mt/kernels/isa.h"
#include "mt/kernels/qgemm.h"
#include "mt/kernels/qgemm_kernels.h"

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static float *matrix(size_t count, uint64_t seed) {
  float *x = dg_alloc_checked(count, sizeof *x, NULL);
  if (!x) abort();
  dg_rng r = {dg_rng_key(seed, 0), 0};
  for (size_t i = 0; i < count; i++) x[i] = (float)dg_rng_uniform(&r) - 0.5f;
  return x;
}

typedef struct shape {
  const char *name;
  bool ta, tb;
  size_t m, n, k;
} shape;

typedef struct ceiling {
  const dg_gemm_kernels *t;
  double took; /* seconds per 1e9 operations */
} ceiling;

static void one_tile(void *context, size_t task, int worker) {
  (void)worker;
  enum { WORDS = 128, TIMES = 200, ROUNDS = 100 };
  const ceiling *all = context;
  ceiling *mine = (ceiling *)context + task;
  size_t m = all->t->lanes / 2, n = 3 * all->t->lanes;
  float *a = dg_calloc(m * WORDS, sizeof *a), *b = dg_calloc(n * WORDS, sizeof *b);
  float *c = dg_calloc(m * n, sizeof *c);
  mine->took = 1e30;
  for (int r = 0; r < ROUNDS; r++) {
    double begun = now();
    for (int i = 0; i < TIMES; i++) all->t->multiply(m, n, WORDS, a, b, false, c, n);
    double took = (now() - begun) / (2e-9 * (double)(m * n * WORDS * all->t->per_word) * TIMES);
    if (took < mine->took) mine->took = took;
  }
  free(a);
  free(b);
  free(c);
}

/* The sum of what the threads reach at once, each with one tile. */
static double ceiling_rate(const dg_gemm_kernels *t, dg_threads *threads) {
  size_t count = (size_t)dg_threads_count(threads);
  ceiling *each = dg_calloc(count, sizeof *each);
  double sum = 0;
  each[0].t = t;
  dg_parallel(threads, count, one_tile, each);
  for (size_t i = 0; i < count; i++) sum += 1 / each[i].took;
  free(each);
  return sum;
}

/* How a product is made: by which kernels, and how B is held. */
typedef enum way {
  WAY_FLOATS,  /* as it is, by t */
  WAY_PACKED,  /* a weight (B, transposed) packed beforehand, by t */
  WAY_WIDENED, /* in 8 bits as stored, widened for t */
  WAY_INT16,   /* in 8 bits as stored, with 16-bit activations */
  WAY_ROUNDED, /* A and B rounded to 16-bit integers */
  WAY_EIGHT    /* in 8 bits packed beforehand, with 8-bit activations, by q */
} way;

typedef struct operands {
  way way;
  const dg_gemm_kernels *t;
  float *a, *b, *c, *scale;
  int8_t *q;
  dg_matrix held;
  dg_packed *packed;
  dg_qpacked *packed8;
} operands;

static void product(const operands *o, dg_threads *threads, const shape *s) {
  size_t lda = s->ta ? s->m : s->k, ldb = s->tb ? s->k : s->n;
  switch (o->way) {
    case WAY_FLOATS:
      dg_gemm_with(o->t, threads, s->ta, s->tb, s->m, s->n, s->k, o->a, lda, o->b, ldb,
                   s->ta ? 1 : 0, o->c, s->n);
      break;
    case WAY_PACKED: dg_gemm_packed(threads, s->m, o->a, s->k, o->packed, o->c, s->n); break;
    case WAY_WIDENED:
      dg_gemm_weight_with(o->t, threads, s->tb, s->m, s->n, s->k, o->a, lda, &o->held, ldb, 0, o->c,
                          s->n);
      break;
    case WAY_INT16:
    case WAY_ROUNDED:
      dg_gemm_int16(dg_int16_best(), threads, s->ta, s->tb, s->m, s->n, s->k, o->a, lda, &o->held,
                    ldb, s->ta ? 1 : 0, o->c, s->n);
      break;
    case WAY_EIGHT: dg_qgemm(threads, s->m, o->a, s->k, o->packed8, o->c, s->n); break;
  }
}

static double rate(way how, const dg_gemm_kernels *t, const dg_qgemm_kernels *q,
                   dg_threads *threads, const shape *s, double seconds) {
  size_t rows = s->tb ? s->n : s->k, cols = s->tb ? s->k : s->n;
  operands o = {.way = how, .t = t, .a = matrix(s->m * s->k, 1), .b = matrix(rows * cols, 2),
                .c = matrix(s->m * s->n, 3), .scale = matrix(rows, 4), .q = dg_malloc(rows * cols)};
  dg_quantize_rows(rows, cols, o.b, cols, o.q, o.scale);
  o.held = dg_matrix_fp32(o.b);
  if (how == WAY_WIDENED || how == WAY_INT16 || how == WAY_EIGHT)
    o.held = (dg_matrix){.block = {{DG_STORE_INT8, o.q, o.scale}}};
  if (how == WAY_PACKED && !(o.packed = dg_pack_with(t, s->n, s->k, &o.held, NULL))) abort();
  if (how == WAY_EIGHT && !(o.packed8 = dg_qpack_with(q, s->n, s->k, &o.held, NULL))) abort();
  double best = 1e30, start = now();
  for (int i = 0; i < 3 || now() - start < seconds; i++) {
    double begun = now();
    product(&o, threads, s);
    double took = now() - begun;
    if (took < best) best = took;
  }
  dg_pack_free(o.packed);
  dg_qpack_free(o.packed8);
  free(o.a), free(o.b), free(o.c), free(o.scale), free(o.q);
  return 2e-9 * (double)s->m * (double)s->n * (double)s->k / best;
}

int main(int argc, char **argv) {
  int count = 0;
  double seconds = 0.3;
  for (int i = 1; i < argc; i++) {
    if (!strcmp(argv[i], "--threads") && i + 1 < argc) count = atoi(argv[++i]);
    if (!strcmp(argv[i], "--quick")) seconds = 0.02;
  }
  static const shape shapes[] = {
      {"forward", false, true, 4000, 256, 256},      {"forward", false, true, 4000, 768, 256},
      {"forward", false, true, 4000, 1024, 256},     {"forward", false, true, 4000, 256, 1024},
      {"forward", false, true, 4000, 1024, 1024},    {"forward", false, true, 512, 16000, 256},
      {"input grad", false, false, 4000, 256, 256},  {"input grad", false, false, 4000, 1024, 256},
      {"input grad", false, false, 4000, 256, 1024}, {"input grad", false, false, 512, 256, 16000},
      {"weight grad", true, false, 256, 256, 4000},  {"weight grad", true, false, 1024, 256, 4000},
      {"weight grad", true, false, 256, 1024, 4000}, {"weight grad", true, false, 16000, 256, 512},
      {"decode", false, true, 1, 256, 256},          {"decode", false, true, 8, 256, 256},
      {"decode", false, true, 64, 256, 256},         {"decode", false, true, 8, 1024, 256},
      {"decode", false, true, 1, 16000, 256},        {"decode", false, true, 8, 16000, 256},
      {"decode", false, true, 64, 16000, 256},       {"decode", false, true, 4, 1024, 1024},
      {"decode", false, true, 1, 256000, 1024},      {"decode", false, true, 4, 256000, 1024},
      {"decode", false, true, 64, 256000, 1024},
  };
  const dg_gemm_kernels *tables[4] = {NULL};
  const char *names[4] = {"BLAS"};
  int columns = 1;
#if defined(__x86_64__)
  const dg_gemm_kernels *ours[] = {&dg_gemm_avx2, &dg_gemm_avx512, &dg_gemm_avx512_bf16};
  for (int i = DG_ISA_AVX2; i <= (int)dg_isa_level(); i++, columns++) {
    tables[columns] = ours[i - 1];
    names[columns] = dg_isa_name((dg_isa)i);
  }
#endif
  dg_threads *threads = dg_threads_new(count);
  printf("GFLOP/s, %d thread%s\n%-12s %6s %6s %6s", dg_threads_count(threads),
         dg_threads_count(threads) > 1 ? "s" : "", "product", "m", "n", "k");
  for (int i = 0; i < columns; i++) printf(" %12s", names[i]);
  printf("\n%-33s %12s", "ceiling", "");
  for (int i = 1; i < columns; i++) printf(" %12.1f", ceiling_rate(tables[i], threads));
  printf("\n");
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
    const shape *s = &shapes[i];
    printf("%-12s %6zu %6zu %6zu", s->name, s->m, s->n, s->k);
    for (int j = 0; j < columns; j++)
      printf(" %12.1f", rate(WAY_FLOATS, tables[j], NULL, threads, s, seconds));
    printf("\n");
    if (dg_int16_best() && strcmp(s->name, "decode")) {
      printf("%-33s %.1f\n", "  both rounded to 16 bits",
             rate(WAY_ROUNDED, NULL, NULL, threads, s, seconds));
      if (!s->ta)
        printf("%-33s widened to fp32 %.1f, 16-bit activations %.1f\n", "  held in 8 bits",
               rate(WAY_WIDENED, tables[1], NULL, threads, s, seconds),
               rate(WAY_INT16, NULL, NULL, threads, s, seconds));
    }
    if (!strcmp(s->name, "decode")) {
      printf("%-33s %12s", "  with the weight packed before", "");
      for (int j = 1; j < columns; j++)
        printf(" %12.1f", rate(WAY_PACKED, tables[j], NULL, threads, s, seconds));
      printf("\n%-33s %12s", "  with the weight held in 8 bits", "");
      for (int j = 1; j < columns; j++)
        printf(" %12.1f", rate(WAY_WIDENED, tables[j], NULL, threads, s, seconds));
      printf("\n%-33s generic %.1f", "  8-bit weight",
             rate(WAY_EIGHT, NULL, &dg_qgemm_generic, threads, s, seconds));
#if defined(__x86_64__)
      if (dg_isa_level() >= DG_ISA_AVX2)
        printf(", avx2 %.1f", rate(WAY_EIGHT, NULL, &dg_qgemm_avx2, threads, s, seconds));
      if (dg_isa_vnni())
        printf(", avx512_vnni %.1f",
               rate(WAY_EIGHT, NULL, &dg_qgemm_avx512_vnni, threads, s, seconds));
#endif
      printf("\n");
    }
    fflush(stdout);
  }
  dg_threads_free(threads);
  return 0;
}
