/* Parallel regions: every task once, workers told apart, regions kept apart. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "mt/core/mem.h"
#include "mt/core/threads.h"

enum { WORKERS_MOST = 16 };

static void test_counts(void **state) {
  (void)state;
  assert_int_equal(dg_threads_count(NULL), 1);
  dg_threads_free(NULL);
  dg_threads *t = dg_threads_new(0);
  assert_true(dg_threads_count(t) >= 1);
  dg_threads_free(t);
  for (int n = 1; n <= 5; n++) { /* also: freed before a worker has ever looked */
    t = dg_threads_new(n);
    assert_int_equal(dg_threads_count(t), n);
    dg_threads_free(t);
  }
}

typedef struct region {
  uint32_t number; /* 0 once dg_parallel has returned */
  size_t tasks, wrong;
  uint64_t sums[WORKERS_MOST];
  uint8_t *runs; /* [tasks], may be NULL */
} region;

static void add_task(void *context, size_t task, int worker) {
  region *r = context;
  /* Tasks are different bytes, workers different sums: nothing here races. */
  if (!r->number || task >= r->tasks || worker < 0 || worker >= WORKERS_MOST) abort();
  if (r->number % 64 == 0) usleep(20); /* lets others in, and wakes them at odd moments */
  r->sums[worker] += task + r->number;
  if (r->runs) r->runs[task]++;
}

static uint64_t total(const region *r) {
  uint64_t sum = 0;
  for (int i = 0; i < WORKERS_MOST; i++) sum += r->sums[i];
  return sum;
}

/* A worker that wakes late finds the next region, or none; never a dead one's context. */
static void test_many_tiny_regions(void **state) {
  (void)state;
  for (int workers = 1; workers <= 8; workers += workers < 4 ? 1 : 4) {
    dg_threads *t = dg_threads_new(workers);
    for (uint32_t number = 1; number <= 30000; number++) {
      uint8_t runs[9] = {0};
      region *r = dg_calloc(1, sizeof *r);
      *r = (region){.number = number, .tasks = number % 10, .runs = runs};
      dg_parallel(t, r->tasks, add_task, r);
      size_t n = r->tasks;
      assert_int_equal(total(r), n * number + (n ? n * (n - 1) / 2 : 0));
      for (size_t i = 0; i < n; i++) assert_int_equal(runs[i], 1);
      *r = (region){0};
      free(r);
    }
    dg_threads_free(t);
  }
}

static void order_task(void *context, size_t task, int worker) {
  region *r = context;
  r->wrong += task != r->tasks || worker != 0;
  r->tasks++;
}

static void test_no_pool_runs_in_order(void **state) {
  (void)state;
  region r = {0};
  dg_parallel(NULL, 1000, order_task, &r);
  assert_int_equal(r.tasks, 1000);
  dg_threads *t = dg_threads_new(1);
  dg_parallel(t, 1000, order_task, (r.tasks = 0, &r));
  assert_int_equal(r.tasks, 1000);
  dg_parallel(t, 0, order_task, &r);
  dg_parallel(NULL, 0, order_task, &r);
  assert_int_equal(r.tasks, 1000);
  assert_int_equal(r.wrong, 0);
  dg_threads_free(t);
}

typedef struct identity {
  atomic_int busy[WORKERS_MOST];
  _Atomic(uintptr_t) thread[WORKERS_MOST];
  atomic_size_t wrong, helped;
  int workers;
} identity;

static void identity_task(void *context, size_t task, int worker) {
  identity *d = context;
  (void)task;
  if (worker < 0 || worker >= d->workers) abort();
  if (atomic_exchange(&d->busy[worker], 1)) d->wrong++;
  uintptr_t none = 0, self = (uintptr_t)pthread_self();
  if (!atomic_compare_exchange_strong(&d->thread[worker], &none, self) && none != self) d->wrong++;
  for (volatile int i = 0; i < 2000; i++) continue;
  d->helped += worker != 0;
  atomic_store(&d->busy[worker], 0);
}

/* Scratch space is indexed by worker: two threads must never share a number. */
static void test_workers_are_unique(void **state) {
  (void)state;
  identity *d = dg_calloc(1, sizeof *d);
  d->workers = 6;
  dg_threads *t = dg_threads_new(d->workers);
  for (int i = 0; i < 300 || (!d->helped && i < 100000); i++)
    dg_parallel(t, 50, identity_task, d);
  assert_int_equal(d->wrong, 0);
  assert_true(d->helped > 0);
  assert_true(d->thread[0] == (uintptr_t)pthread_self());
  for (int i = 0; i < d->workers; i++)
    for (int k = 0; k < i; k++) assert_true(!d->thread[i] || d->thread[i] != d->thread[k]);
  dg_threads_free(t);
  free(d);
}

typedef struct nest {
  dg_threads *inner;
  uint64_t sums[12];
} nest;

static void nest_task(void *context, size_t task, int worker) {
  nest *n = context;
  region r = {.number = 1, .tasks = 20};
  (void)worker;
  dg_parallel(NULL, 10, add_task, &r);
  if (task % 12 == 0) dg_parallel(n->inner, 20, add_task, &r); /* one caller at a time */
  n->sums[task % 12] += total(&r);
}

/* Not on the same pool; on another, or on none. */
static void test_nested(void **state) {
  (void)state;
  nest n = {.inner = dg_threads_new(3)};
  dg_threads *t = dg_threads_new(3);
  for (int i = 0; i < 500; i++) dg_parallel(t, 12, nest_task, &n);
  for (int i = 0; i < 12; i++) assert_int_equal(n.sums[i], 500 * (i ? 55 : 55 + 210));
  dg_threads_free(t);
  dg_threads_free(n.inner);
}

/* More tasks than the pool counts at a time. */
static void test_many_tasks(void **state) {
  (void)state;
  size_t n = ((size_t)1 << 24) + 3;
  dg_threads *t = dg_threads_new(3);
  region r = {.number = 1, .tasks = n, .runs = dg_calloc(n, 1)};
  dg_parallel(t, n, add_task, &r);
  assert_int_equal(total(&r), n + n * (n - 1) / 2);
  for (size_t i = 0; i < n; i++)
    if (r.runs[i] != 1) fail_msg("task %zu ran %d times", i, r.runs[i]);
  free(r.runs);
  dg_threads_free(t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_counts),
      cmocka_unit_test(test_many_tiny_regions),
      cmocka_unit_test(test_no_pool_runs_in_order),
      cmocka_unit_test(test_workers_are_unique),
      cmocka_unit_test(test_nested),
      cmocka_unit_test(test_many_tasks),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
