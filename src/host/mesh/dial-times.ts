// The times of redialling and their one formula. All are our tuning: peers need not agree on them.

import type { Random } from '../../base/capabilities.ts';

export interface DialTimes {
  /** Pause after the first fruitless round over all addresses of a host; doubles with each further round. */
  readonly baseMs: number;
  /** Pause between two addresses of one round. */
  readonly addressMs: number;
  /** The longest pause between rounds. */
  readonly capMs: number;
  /** The longest pause while we have no link at all and an operator waits for a target. */
  readonly joinMs: number;
  /** The longest pause when there is only one other host. */
  readonly lonelyMs: number;
  /** After so many fruitless rounds a known peer counts as gone: 6 are about half a minute. */
  readonly goneRounds: number;
  /** One random peer of all that are gone is dialled per this time. */
  readonly rareMs: number;
  /** Head start of the smaller peer id where both sides would dial. */
  readonly headStartMs: number;
  /** Spread of dials that become due together. */
  readonly jitterMs: number;
}

export const DIAL_TIMES: DialTimes = {
  baseMs: 500,
  addressMs: 50,
  capMs: 30_000,
  joinMs: 5_000,
  lonelyMs: 3_000,
  goneRounds: 6,
  rareMs: 30_000,
  headStartMs: 400,
  jitterMs: 100,
};

/** How far a destination has got. */
export interface Backoff {
  /** Which of its addresses comes next. */
  index: number;
  /** Fruitless rounds since the last link. */
  round: number;
  nextMs: number;
}

/** base * 2^(round - 1), at most the cap, of which a random half to whole is waited: redials of many hosts spread. */
export function retryDelayMs({
  entry,
  capMs,
  times,
  random,
}: {
  readonly entry: Backoff;
  readonly capMs: number | undefined;
  readonly times: DialTimes;
  readonly random: Random;
}): number {
  if (entry.index > 0) return times.addressMs;
  const doubled = times.baseMs * 2 ** Math.min(20, Math.max(0, entry.round - 1));
  return Math.min(doubled, capMs ?? times.capMs) * (0.5 + random.fraction() / 2);
}
