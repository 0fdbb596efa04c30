// See locked_memory.h.
#include "locked_memory.h"

#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <cstdlib>

namespace fabric::engine {
namespace {

// Each session has a key schedule per direction, of at most 2 KiB. The usual limit is 8 MiB.
constexpr int kKeyHeapBytes = 4 << 20;
// What glibc takes from the kernel one by one, by default.
constexpr int kMmapThresholdBytes = 128 * 1024;

// Also all that comes later, which would fail beyond the limit.
bool lock_all() {
  const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
  return setrlimit(RLIMIT_MEMLOCK, &unlimited) == 0 && mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0;
}

// The heap is never given back from now on, so what is locked stays in use.
void grow_heap() {
  mallopt(M_TRIM_THRESHOLD, INT_MAX);
  mallopt(M_MMAP_THRESHOLD, 2 * kKeyHeapBytes);
  void* volatile reserve = malloc(kKeyHeapBytes);
  free(reserve);
  mallopt(M_MMAP_THRESHOLD, kMmapThresholdBytes);
}

bool lock_heap() {
  FILE* maps = fopen("/proc/self/maps", "re");
  if (maps == nullptr) return false;
  bool locked = false;
  char line[512];
  while (fgets(line, sizeof line, maps) != nullptr) {
    unsigned long start = 0;
    unsigned long end = 0;
    if (strstr(line, "[heap]") == nullptr || sscanf(line, "%lx-%lx", &start, &end) != 2) continue;
    locked = mlock2(reinterpret_cast<void*>(start), end - start, MLOCK_ONFAULT) == 0;
    if (!locked) break;
  }
  fclose(maps);
  return locked;
}

}  // namespace

bool lock_memory() {
  if (lock_all()) return true;
  grow_heap();
  return lock_heap();
}

}  // namespace fabric::engine
