// What health says of a host, and in words that other parts gave it.

import { describe, expect, test } from 'vitest';
import { HealthJudge, withNicknames } from '../../src/daemon/health.ts';
import { ManualClock } from '../fakes/manual-clock.ts';

const TWO = 'bf57bc5d6cc71da61df475a688ae8c79';
const UNKNOWN = '0123456789abcdef0123456789abcdef';
const nicknameOf = (peer: string) => (peer === TWO ? 'two' : undefined);

describe('a host that takes no containers yet is not healthy', () => {
  test.each([
    ['before it was admitted', false, 'joining'],
    ['while its network is set up', true, 'starting'],
  ])('%s', (_name, joined, code) => {
    const { ok, problems } = new HealthJudge(new ManualClock()).judge({
      member: null,
      joined,
      mesh: null,
      http: { state: 'off', address: null, reason: null },
      docker: { state: 'off', networks: 0, waiting: 0, reason: null, counters: {} },
      uptimeMs: 100,
    });
    expect([ok, problems.map((problem) => problem.code)]).toEqual([false, [code]]);
  });
});

test.each([
  [
    'every id of a known host becomes its nickname',
    `${TWO} gave none; ${TWO} owns 10.32.0.8/31`,
    'two gave none; two owns 10.32.0.8/31',
  ],
  ['an unknown id stays', `${UNKNOWN} did not answer`, `${UNKNOWN} did not answer`],
  ['what is longer than an id is none', `${TWO}00`, `${TWO}00`],
  ['other words stay', 'this host owns 10.32.0.0/29', 'this host owns 10.32.0.0/29'],
])('%s', (_, text, told) => {
  expect(withNicknames(text, nicknameOf)).toBe(told);
});
