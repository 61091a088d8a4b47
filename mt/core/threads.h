/* A fixed pool of worker threads. Work is cut into numbered tasks whose
 * results must not depend on which worker runs them. */
#ifndef DG_CORE_THREADS_H
#define DG_CORE_THREADS_H

#include <stddef.h>

typedef struct dg_threads dg_threads;

/* count <= 0: one thread per CPU this process may use. */
dg_threads *dg_threads_new(int count);
void dg_threads_free(dg_threads *t);
int dg_threads_count(const dg_threads *t); /* 1 for NULL */

/* Calls fn(context, task, worker) for every task in [0,tasks), the caller being
 * worker 0, and returns when all are done. A NULL pool runs them in order.
 * Not re-entrant: fn must not call it on the same pool. */
typedef void dg_task_fn(void *context, size_t task, int worker);
void dg_parallel(dg_threads *t, size_t tasks, dg_task_fn *fn, void *context);

#endif
