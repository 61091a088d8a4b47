/* Processes that train together: MPI, where the build has it (make MPI=1). */
#ifndef DG_TRAIN_RANKS_H
#define DG_TRAIN_RANKS_H

#include <stdbool.h>
#include <stddef.h>

#include "mt/core/error.h"

/* This process among them; size 1 when it is alone, and then all below does nothing. */
typedef struct dg_ranks {
  int rank, size;
  int local;                     /* processes on this machine */
  bool (*stop)(void *context);   /* a wait for the others ends soon after it says so */
  void *context;
  bool lost; /* some never came: no more can be said to any */
} dg_ranks;

/* Joins those mpirun started with this one. Refused, if there are any, by a build without
 * MPI: they would all write the same file. */
bool dg_ranks_join(dg_ranks *r, dg_error *err);
void dg_ranks_leave(dg_ranks *r);
bool dg_ranks_possible(void); /* whether this build has MPI */

/* x[n] becomes the sum over all processes, in all of them. */
bool dg_ranks_sum(dg_ranks *r, float *x, size_t n, dg_error *err);
/* Bytes of rank 0 go to all. */
bool dg_ranks_share(dg_ranks *r, void *bytes, size_t n, dg_error *err);
/* Threads that suit one of several processes on a machine; 0 when alone: any. */
int dg_ranks_threads(const dg_ranks *r);

#endif
