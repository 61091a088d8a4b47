#include "mt/core/threads.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "mt/core/mem.h"

/* Kernels are short (tens of microseconds), so a worker spins briefly for the
 * next one before it sleeps. */
enum { SPINS = 4000 };

/* A region is one dg_parallel call. Its number and the tasks nobody has claimed
 * yet share one word, so that a worker who wakes late, or stops between
 * looking and claiming, cannot take a task of another region: the word has changed. */
enum { COUNT_BITS = 24 };
#define COUNT_MASK ((UINT64_C(1) << COUNT_BITS) - 1)

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
  _Atomic uint64_t unclaimed; /* region << COUNT_BITS | tasks left to claim */
  _Atomic size_t finished;    /* tasks of this region that workers have finished */
  _Atomic int sleepers;
  _Atomic bool stop;
  /* Written only between regions; read only by who has claimed a task. */
  size_t end; /* one past its last task */
  dg_task_fn *fn;
  void *context;
};

static inline void pause_cpu(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#endif
}

/* Runs what tasks it can claim and returns how many; *region is where it looked. */
static size_t work(dg_threads *t, int index, uint64_t *region) {
  size_t done = 0;
  uint64_t word = atomic_load(&t->unclaimed);
  while (word & COUNT_MASK)
    if (atomic_compare_exchange_weak(&t->unclaimed, &word, word - 1)) {
      t->fn(t->context, t->end - (size_t)(word & COUNT_MASK), index);
      done++;
      word = atomic_load(&t->unclaimed);
    }
  *region = word >> COUNT_BITS;
  return done;
}

static bool news(dg_threads *t, uint64_t seen) {
  return atomic_load(&t->unclaimed) >> COUNT_BITS != seen;
}

static void *worker_main(void *arg) {
  worker *w = arg;
  dg_threads *t = w->pool;
  uint64_t seen = 0;
  for (;;) {
    for (int i = 0; i < SPINS && !news(t, seen); i++) pause_cpu();
    if (!news(t, seen)) {
      pthread_mutex_lock(&t->lock);
      atomic_fetch_add(&t->sleepers, 1);
      while (!news(t, seen)) pthread_cond_wait(&t->wake, &t->lock);
      atomic_fetch_sub(&t->sleepers, 1);
      pthread_mutex_unlock(&t->lock);
    }
    if (atomic_load(&t->stop)) return NULL;
    /* A region with claimed tasks is not over before they are counted here. */
    size_t done = work(t, w->index, &seen);
    if (done) atomic_fetch_add(&t->finished, done);
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

/* Publishes a region. Either it is seen by a worker going to sleep, or the sleeper by us. */
static void start(dg_threads *t, size_t tasks) {
  uint64_t region = (atomic_load(&t->unclaimed) >> COUNT_BITS) + 1;
  atomic_store(&t->unclaimed, region << COUNT_BITS | tasks);
  if (!atomic_load(&t->sleepers)) return;
  pthread_mutex_lock(&t->lock);
  pthread_cond_broadcast(&t->wake);
  pthread_mutex_unlock(&t->lock);
}

void dg_threads_free(dg_threads *t) {
  if (!t) return;
  atomic_store(&t->stop, true);
  start(t, 0);
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
  for (size_t first = 0; first < tasks; first = t->end) {
    t->end = tasks - first < COUNT_MASK ? tasks : first + COUNT_MASK;
    atomic_store(&t->finished, 0);
    start(t, t->end - first);
    uint64_t region;
    size_t others = t->end - first - work(t, 0, &region);
    for (int i = 0; atomic_load(&t->finished) != others; i++) {
      if (i < SPINS)
        pause_cpu();
      else
        sched_yield();
    }
  }
}
