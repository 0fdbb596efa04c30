// Keeps the memory that session keys lie in out of swap. All memory is locked where the limit (RLIMIT_MEMLOCK) can be lifted,
// else, within the limit, the heap, which grows to hold the keys of a thousand sessions first. Called once, before threads.
#pragma once

namespace fabric::engine {

// False when nothing could be locked: frames go on, and keys may be swapped.
bool lock_memory();

}  // namespace fabric::engine
