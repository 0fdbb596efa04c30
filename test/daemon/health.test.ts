// What health says of a host.

import { describe, expect, test } from 'vitest';
import { type HealthFacts, HealthJudge } from '../../src/daemon/health.ts';
import type { Health } from '../../src/daemon/status-types.ts';
import type { TargetStatus } from '../../src/host/mesh/dialler.ts';
import type { Mesh } from '../../src/host/mesh/mesh.ts';
import { ManualClock } from '../fakes/manual-clock.ts';

function healthOf(facts: Partial<HealthFacts>): Health {
  return new HealthJudge(new ManualClock()).judge({
    member: null,
    joined: false,
    mesh: null,
    http: { state: 'off', address: null, reason: null },
    files: { own: null, fault: null },
    docker: { state: 'off', networks: 0, waiting: 0, reason: null, counters: {} },
    uptimeMs: 100,
    ...facts,
  });
}

/** A mesh that was told to join these. */
function meshWith(...targets: readonly Partial<TargetStatus>[]): Mesh {
  const rows = targets.map((target) => ({ host: '192.0.2.13', port: 6783, lastError: null, ...target }));
  return { targets: () => rows } as unknown as Mesh;
}

describe('a host that was told to join itself says so', () => {
  test.each<[string, Partial<TargetStatus>[], string]>([
    ['by its only --join', [{ state: 'self' }], 'join-self'],
    [
      'by one of two, and waits for the other',
      [{ state: 'self' }, { state: 'waiting', host: '192.0.2.11' }],
      'joining',
    ],
    ['not before it has met itself', [{ state: 'dialling' }], 'joining'],
  ])('%s', (_name, targets, code) => {
    const { problems } = healthOf({ mesh: meshWith(...targets) });
    expect(problems.map((problem) => problem.code)).toEqual([code]);
    if (code === 'join-self') expect(problems[0]!.why).toBe('192.0.2.13:6783 is this very host');
  });
});

describe('a host that takes no containers yet is not healthy', () => {
  test.each([
    ['before it was admitted', false, 'joining'],
    ['while its network is set up', true, 'starting'],
  ])('%s', (_name, joined, code) => {
    const { ok, problems } = healthOf({ joined });
    expect([ok, problems.map((problem) => problem.code)]).toEqual([false, [code]]);
  });
});
