#include "mt/core/threads.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "mt/core/mem.h"

/* Kernels are short (tens of microseconds), so a worker spins briefly for the
 * next one before it sleeps. */
enum { SPINS = 4000 };

typedef struct worker {
  struct dg_threads *pool;
  pthread_t thread;
  int index;
} worker;

struct dg_threads {
  int count;
  worker *workers; /* count - 1 of them */
  pthread_mutex_t lock;
  pthread_cond_t wake;
  _Atomic unsigned generation; /* bumped for every dg_parallel call */
  _Atomic size_t next;
  _Atomic int running;
  size_t tasks;
  dg_task_fn *fn;
  void *context;
  bool stop;
};

static inline void pause_cpu(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#endif
}

static void work(dg_threads *t, int index) {
  size_t i;
  while ((i = atomic_fetch_add(&t->next, 1)) < t->tasks) t->fn(t->context, i, index);
}

static void *worker_main(void *arg) {
  worker *w = arg;
  dg_threads *t = w->pool;
  unsigned seen = 0;
  for (;;) {
    for (int i = 0; i < SPINS && atomic_load(&t->generation) == seen; i++) pause_cpu();
    if (atomic_load(&t->generation) == seen) {
      pthread_mutex_lock(&t->lock);
      while (atomic_load(&t->generation) == seen) pthread_cond_wait(&t->wake, &t->lock);
      pthread_mutex_unlock(&t->lock);
    }
    seen = atomic_load(&t->generation);
    if (t->stop) return NULL;
    work(t, w->index);
    atomic_fetch_sub(&t->running, 1);
  }
}

dg_threads *dg_threads_new(int count) {
  if (count <= 0) {
    cpu_set_t set;
    count = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
  }
  dg_threads *t = dg_calloc(1, sizeof *t);
  pthread_mutex_init(&t->lock, NULL);
  pthread_cond_init(&t->wake, NULL);
  t->workers = dg_calloc((size_t)count, sizeof *t->workers);
  t->count = 1;
  for (int i = 1; i < count; i++) {
    worker *w = &t->workers[i - 1];
    *w = (worker){.pool = t, .index = i};
    if (pthread_create(&w->thread, NULL, worker_main, w)) break; /* run with fewer */
    t->count++;
  }
  return t;
}

static void start(dg_threads *t) {
  pthread_mutex_lock(&t->lock);
  atomic_fetch_add(&t->generation, 1);
  pthread_cond_broadcast(&t->wake);
  pthread_mutex_unlock(&t->lock);
}

void dg_threads_free(dg_threads *t) {
  if (!t) return;
  t->stop = true;
  start(t);
  for (int i = 1; i < t->count; i++) pthread_join(t->workers[i - 1].thread, NULL);
  pthread_mutex_destroy(&t->lock);
  pthread_cond_destroy(&t->wake);
  free(t->workers);
  free(t);
}

int dg_threads_count(const dg_threads *t) { return t ? t->count : 1; }

void dg_parallel(dg_threads *t, size_t tasks, dg_task_fn *fn, void *context) {
  if (!t || t->count == 1 || tasks <= 1) {
    for (size_t i = 0; i < tasks; i++) fn(context, i, 0);
    return;
  }
  t->fn = fn;
  t->context = context;
  t->tasks = tasks;
  atomic_store(&t->next, 0);
  atomic_store(&t->running, t->count - 1);
  start(t);
  work(t, 0);
  for (int i = 0; atomic_load(&t->running); i++) {
    if (i < SPINS)
      pause_cpu();
    else
      sched_yield();
  }
}
