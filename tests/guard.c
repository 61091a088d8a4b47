#include "tests/guard.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

guarded guarded_new(size_t bytes, bool at_end) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE), inner = (bytes + page - 1) / page * page;
  char *map = mmap(NULL, inner + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (map == MAP_FAILED) abort();
  if (inner && mprotect(map + page, inner, PROT_READ | PROT_WRITE)) abort();
  return (guarded){map + page + (at_end ? inner - bytes : 0), map, inner + 2 * page};
}

void guarded_free(guarded *g) {
  munmap(g->map, g->map_bytes);
  *g = (guarded){0};
}
