// Makes a failing schedule small: leaves out parts of its steps, halves first, then ever smaller ones, and keeps what still fails
// (delta debugging, Zeller and Hildebrandt 2002). The bound on tries keeps it to minutes.

import type { Schedule } from './schedule.ts';

const TRIES_MAX = 200;

/** Whether two violations say the same but for names and numbers: without that, a schedule shrinks to another failure. */
export function isAlike(one: string, other: string): boolean {
  const [words, theirs] = [one, other].map((text) => text.replaceAll(/\w*\d\w*/g, '#'));
  return words === theirs;
}

/** The smallest schedule found that still fails; the given one when none is smaller. */
export async function shrink(
  schedule: Schedule,
  fails: (schedule: Schedule) => Promise<boolean>,
  triesMax = TRIES_MAX,
): Promise<Schedule> {
  let best = schedule;
  let tries = 0;
  for (let size = Math.ceil(best.steps.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < best.steps.length && tries < triesMax; ) {
      const steps = [...best.steps.slice(0, from), ...best.steps.slice(from + size)];
      const candidate = { ...best, steps };
      tries++;
      if (await fails(candidate)) best = candidate;
      else from += size;
    }
  }
  return best;
}
