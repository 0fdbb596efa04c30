import { expect, test } from 'vitest';
import { FAULT_KINDS, randomSchedule } from './random-schedule.ts';
import type { Action, Step } from './schedule.ts';
import { withoutUnheardWords } from './unheard-words.ts';

const TIMES = { hosts: 3, graceMs: 60_000, settledMs: 3_000, relinkedMs: 5_000 };
const REVOKE = { kind: 'revoke', host: 1, machine: 2 } as const;
const RMPEER = { ...REVOKE, kind: 'rmpeer' } as const;
const ROTATE = { kind: 'rotate', host: 1, graceMs: 0 } as const;
const PAUSE: Action = { kind: 'pause', host: 1 };
const RESUME: Action = { kind: 'resume', host: 1 };
const FILL: Action = { kind: 'fill-disk', host: 2 };
const FREE: Action = { kind: 'free-disk', host: 2 };
const CRASH: Action = { kind: 'crash', host: 1 };
const LAUNCH: Action = { kind: 'launch', host: 1 };
/** With a machine 2 that joins anew at 22 s. */
const JOINS: readonly Step[] = [
  ...[0, 1, 2].map((host) => at(0, { kind: 'launch', host })),
  at(20_000, { kind: 'lose-disk', host: 2 }),
  at(22_000, { kind: 'launch', host: 2 }),
];

function at(atMs: number, action: Action): Step {
  return { atMs, action };
}

/** What becomes of `word` at 32 s. */
function said(word: Action, others: readonly Step[]): Action | undefined {
  const steps = [...JOINS, ...others].sort((a, b) => a.atMs - b.atMs);
  return withoutUnheardWords([...steps, at(32_000, word)], TIMES).slice(steps.length)[0]?.action;
}

test.each([
  ['there all the time', []],
  ['paused and crashed long ago', [at(10_000, PAUSE), at(12_000, RESUME), at(15_000, CRASH), at(16_000, LAUNCH)]],
  ['back for a while', [at(19_000, CRASH), at(26_000, LAUNCH)]],
  ['there when one joined late, by a disk that was full', [at(21_000, FILL), at(23_000, FREE)]],
])('%s: it has heard of everybody, and says what it wants', (_, others) => {
  for (const word of [REVOKE, RMPEER, ROTATE]) expect(said(word, others)).toEqual(word);
});

test.each([
  ['still paused', [at(19_000, PAUSE)]],
  ['paused until just now', [at(19_000, PAUSE), at(28_000, RESUME)]],
])('%s: it removes nobody', (_, others) => {
  for (const word of [REVOKE, RMPEER]) expect(said(word, others)).toBeUndefined();
});

test.each([
  ['one joined while it was off', [at(19_000, CRASH), at(28_000, LAUNCH)]],
  ['one joined right before it went', [at(23_000, CRASH), at(28_000, LAUNCH)]],
  ['one waits to join with a full disk', [at(21_000, FILL)]],
  ['one could join just now, its disk was full', [at(21_000, FILL), at(29_000, FREE)]],
  ['one joined just now', [at(29_000, { kind: 'leave', host: 0 }), at(31_000, { kind: 'launch', host: 0 })]],
] as const)('%s: it shuts out nobody', (_, others) => {
  expect(said(REVOKE, others)).toEqual(RMPEER);
  expect(said(RMPEER, others)).toEqual(RMPEER);
  expect(said(ROTATE, others)).toEqual({ ...ROTATE, graceMs: 60_000 });
});

test('no random schedule has a removal by a host that is paused', () => {
  for (let seed = 1; seed <= 300; seed++) {
    const paused = new Set<number>();
    for (const { action } of randomSchedule({ seed, hosts: 6, durationMs: 60_000, faults: FAULT_KINDS }).steps) {
      if (action.kind === 'pause') paused.add(action.host);
      if (action.kind === 'resume') paused.delete(action.host);
      if (action.kind === 'revoke' || action.kind === 'rmpeer') expect(paused).not.toContain(action.host);
    }
  }
});
