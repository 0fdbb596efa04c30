// What health says of a host.

import { describe, expect, test } from 'vitest';
import { HealthJudge } from '../../src/daemon/health.ts';
import { ManualClock } from '../fakes/manual-clock.ts';

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
      files: { own: null, fault: null },
      docker: { state: 'off', networks: 0, waiting: 0, reason: null, counters: {} },
      uptimeMs: 100,
    });
    expect([ok, problems.map((problem) => problem.code)]).toEqual([false, [code]]);
  });
});
