// An operator's words that shut out or split, because the host where they are said has not heard of the others: docs/keys.md and
// docs/leases.md say what becomes of them, and that they want an operator's hand. Who draws a schedule does not know yet that a later
// fault takes that host away; here such a word is left out, or becomes one that every host may say at any time.

import type { Action, Step } from './schedule.ts';

export interface HearingTimes {
  readonly hosts: number;
  /** What a rotation has instead of none. */
  readonly graceMs: number;
  /** So long after a host joined everybody has heard of it who was there. */
  readonly settledMs: number;
  /** So long after its return a host has heard of everything. */
  readonly relinkedMs: number;
}

/** From these on a host hears nothing, until it is resumed or launched. */
const ABSENCES: ReadonlySet<Action['kind']> = new Set(['crash', 'cut-power', 'cut-at-write', 'pause', 'leave', 'stop']);

/**
 * The steps, in order of their times, without what is no word of the cluster:
 * a removal by a host that is paused, or was just now, and so may not know that another one took the removed host's blocks, or was given
 * some, is left out (one that restarts waits for a peer by itself);
 * a revocation, or a rotation without a grace, by a host that may not have heard of one that joined is `rmpeer`, or has a grace.
 */
export function withoutUnheardWords(steps: readonly Step[], times: HearingTimes): readonly Step[] {
  return steps.flatMap((step) => {
    const { atMs, action } = step;
    if (action.kind === 'rotate') {
      const isFit = action.graceMs > 0 || hasHeardOfAll(steps, action.host, atMs, times);
      return isFit ? [step] : [{ atMs, action: { ...action, graceMs: times.graceMs } }];
    }
    if (action.kind !== 'revoke' && action.kind !== 'rmpeer') return [step];
    if (pausedUntilMs(steps, action.host, atMs) + times.relinkedMs > atMs) return [];
    const isFit = action.kind === 'rmpeer' || hasHeardOfAll(steps, action.host, atMs, times);
    return isFit ? [step] : [{ atMs, action: { ...action, kind: 'rmpeer' } }];
  });
}

function pausedUntilMs(steps: readonly Step[], host: number, atMs: number): number {
  let untilMs = Number.NEGATIVE_INFINITY;
  for (const { atMs: stepMs, action } of steps) {
    if (stepMs > atMs) break;
    if (action.kind === 'pause' && action.host === host) untilMs = Number.POSITIVE_INFINITY;
    if (action.kind === 'resume' && action.host === host) untilMs = stepMs;
  }
  return untilMs;
}

/** Who joined while the host was away, or right before, is heard of once it is linked again. */
function hasHeardOfAll(steps: readonly Step[], host: number, atMs: number, times: HearingTimes): boolean {
  const newcomers = new Set(Array.from({ length: times.hosts }, (_, one) => one));
  const joinedMs: number[] = [];
  /** A newcomer whose disk is full holds the token of then, and joins by it once its admission can be durable. */
  const fullDisks = new Set<number>();
  const waiting = new Set<number>();
  let goneMs = 0;
  let backMs = 0;
  for (const { atMs: stepMs, action } of steps) {
    if (stepMs > atMs) break;
    if (action.kind === 'lose-disk' || action.kind === 'leave') newcomers.add(action.host);
    if (action.kind === 'fill-disk') fullDisks.add(action.host);
    if (action.kind === 'free-disk') {
      fullDisks.delete(action.host);
      if (waiting.delete(action.host)) joinedMs.push(stepMs + times.relinkedMs);
    }
    if (action.kind === 'launch' && newcomers.delete(action.host)) {
      if (fullDisks.has(action.host)) waiting.add(action.host);
      else joinedMs.push(stepMs);
    }
    if (!('host' in action) || action.host !== host) continue;
    if (ABSENCES.has(action.kind)) {
      if (stepMs > backMs + times.relinkedMs) goneMs = stepMs;
      backMs = Number.POSITIVE_INFINITY;
    } else if (action.kind === 'resume' || action.kind === 'launch') backMs = stepMs;
  }
  if (waiting.size > 0) return false;
  return joinedMs.every((ms) => {
    const isMissed = ms > goneMs - times.settledMs && ms <= backMs;
    return atMs >= (isMissed ? backMs + times.relinkedMs : ms + times.settledMs);
  });
}
