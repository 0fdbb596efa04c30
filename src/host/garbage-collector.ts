// How V8 collects the daemon's young garbage: on the thread that made it. A daemon that mostly waits has a young generation of about a
// megabyte, next to nothing of which survives: one thread has done with it in half a millisecond. V8's helpers take longer to wake up
// than that, and where the engine keeps all cores busy the daemon would stand still until they had their turn (v8_flags.parallel_scavenge).

import { setFlagsFromString } from 'node:v8';

/** V8 reads it at each collection, so that it counts from the next one on. */
export const ONE_THREAD_FLAG = '--no-parallel-scavenge';

/** Of this process. Idempotent. */
export function collectOnOneThread(): void {
  setFlagsFromString(ONE_THREAD_FLAG);
}
