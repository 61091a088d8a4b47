#include "mt/train/ranks.h"

#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

static int number(const char *variable) {
  const char *text = getenv(variable);
  return text ? atoi(text) : 0;
}

int dg_ranks_threads(const dg_ranks *r) {
  if (r->size <= 1) return 0;
  cpu_set_t mine; /* mpirun may have bound us to some */
  int bound = sched_getaffinity(0, sizeof mine, &mine) ? 1 : CPU_COUNT(&mine);
  int share = (int)sysconf(_SC_NPROCESSORS_ONLN) / r->local;
  int threads = bound < share ? bound : share;
  return threads > 0 ? threads : 1;
}

#ifdef DG_MPI
#include <mpi.h>
#include <time.h>

bool dg_ranks_possible(void) { return true; }

bool dg_ranks_join(dg_ranks *r, dg_error *err) {
  *r = (dg_ranks){.size = 1, .local = 1};
  if (number("OMPI_COMM_WORLD_SIZE") <= 1) return true;
  if (MPI_Init(NULL, NULL) != MPI_SUCCESS ||
      MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN) != MPI_SUCCESS ||
      MPI_Comm_size(MPI_COMM_WORLD, &r->size) != MPI_SUCCESS ||
      MPI_Comm_rank(MPI_COMM_WORLD, &r->rank) != MPI_SUCCESS)
    return dg_fail(err, DG_ERR_UNSUPPORTED, "MPI could not be started");
  int local = number("OMPI_COMM_WORLD_LOCAL_SIZE");
  r->local = local > 0 ? local : r->size;
  return true;
}

void dg_ranks_leave(dg_ranks *r) {
  if (r->size > 1 && !r->lost) MPI_Finalize();
}

/* Sleeps between looks, as rank 0 may be scoring for minutes. mpirun ends the others when one
 * dies: told to stop, and still waiting, rank 0 knows it. The others wait for rank 0, who may be
 * scoring when all are told to stop, until mpirun ends them. */
static bool wait_for(dg_ranks *r, int began, MPI_Request *request, dg_error *err) {
  enum { PATIENCE = 300 }; /* milliseconds */
  int done = 0, waited = 0;
  for (long pause = 1000; began == MPI_SUCCESS; pause = pause < 1000000 ? 2 * pause : pause) {
    if (MPI_Test(request, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS) break;
    if (done) return true;
    nanosleep(&(struct timespec){.tv_nsec = pause}, NULL);
    if (pause >= 1000000 && !r->rank && r->stop && r->stop(r->context) && ++waited > PATIENCE)
      break;
  }
  r->lost = true;
  return dg_fail(err, DG_ERR_INTERRUPTED, "another process of this run was lost");
}

bool dg_ranks_sum(dg_ranks *r, float *x, size_t n, dg_error *err) {
  enum { MOST = 1 << 28 }; /* MPI counts in an int */
  for (size_t at = 0; r->size > 1 && at < n; at += MOST) {
    MPI_Request request;
    int count = (int)(n - at < MOST ? n - at : MOST);
    if (!wait_for(r, MPI_Iallreduce(MPI_IN_PLACE, x + at, count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD,
                                    &request),
                  &request, err))
      return false;
  }
  return true;
}

bool dg_ranks_share(dg_ranks *r, void *bytes, size_t n, dg_error *err) {
  if (r->size <= 1) return true;
  MPI_Request request;
  return wait_for(r, MPI_Ibcast(bytes, (int)n, MPI_BYTE, 0, MPI_COMM_WORLD, &request), &request,
                  err);
}

#else

bool dg_ranks_possible(void) { return false; }

bool dg_ranks_join(dg_ranks *r, dg_error *err) {
  *r = (dg_ranks){.size = 1, .local = 1};
  return number("OMPI_COMM_WORLD_SIZE") <= 1 ||
         dg_fail(err, DG_ERR_UNSUPPORTED, "this build cannot train in several processes: build it "
                                          "with `make MPI=1` (it needs libopenmpi-dev)");
}
void dg_ranks_leave(dg_ranks *r) { (void)r; }
bool dg_ranks_sum(dg_ranks *r, float *x, size_t n, dg_error *err) {
  (void)r, (void)x, (void)n, (void)err;
  return true;
}
bool dg_ranks_share(dg_ranks *r, void *bytes, size_t n, dg_error *err) {
  (void)r, (void)bytes, (void)n, (void)err;
  return true;
}
#endif
