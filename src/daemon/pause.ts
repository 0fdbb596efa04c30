// Waiting as a promise over the Timers capability, for the edges of the daemon that are written with async functions.

import type { Timers } from '../base/capabilities.ts';

/** Resolves after `ms`. Never rejects; nothing cancels it. */
export function pause(timers: Timers, ms: number): Promise<void> {
  return new Promise((resolve) => {
    timers.after(ms, resolve);
  });
}
