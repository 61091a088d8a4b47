/* The tiny models of tests/model/ (made by tests/goldens/model.py) as networks. */
#ifndef DG_TESTS_GOLDEN_H
#define DG_TESTS_GOLDEN_H

#include "mt/core/safetensors.h"
#include "mt/model/loss.h"

typedef struct golden {
  dg_safetensors *file;
  dg_model *model;
  dg_adapter *adapters[DG_ADAPTERS_MAX];
  dg_network network; /* in fp32, one thread */
  dg_batch batch;
  dg_loss_options options;
  dg_arena *arena;
  size_t tokens, logits; /* target tokens; logits of all of them */
  int32_t *source, *input; /* of the batch */
} golden;

enum { GOLDEN_COUNT = 16 };
extern const char *const golden_names[GOLDEN_COUNT];

golden golden_open(const char *name);
void golden_close(golden *g);
/* A tensor of the file, of this many elements; fails the test when there is none. */
const void *golden_data(const golden *g, dg_dtype dtype, size_t count, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* An adapter, all zeros, for the golden's model; the caller puts it where it is used. */
dg_adapter *golden_adapter(const golden *g, const char *method, int width, size_t extra);

/* Fails unless got is within `tolerance` of want everywhere, relative to the
 * largest of want or to `least`, whichever is larger. */
void golden_close_to(const char *what, const float *got, const float *want, size_t n,
                     double tolerance, double least);
double golden_largest(const float *x, size_t n);

#endif
