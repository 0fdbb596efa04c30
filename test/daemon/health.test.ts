// What health says of a host.

import { describe, expect, test } from 'vitest';
import type { PeerId } from '../../src/base/ids.ts';
import { type HealthFacts, HealthJudge, namesakes } from '../../src/daemon/health.ts';
import type { Member } from '../../src/daemon/member.ts';
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
    nickname: 'a',
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

describe('a host with a namesake', () => {
  const [self, other] = ['aa', 'bb'].map((byte) => byte.repeat(16) as PeerId) as [PeerId, PeerId];
  test.each<[string, string, boolean, boolean]>([
    ['that lives says so', 'a', true, true],
    ['that is dead does not: it may be its former self', 'a', false, false],
    ['has another name', 'b', true, false],
  ])('%s', (_name, nickname, isAlive, isTold) => {
    const peers = [
      [self, { nickname: 'a' }],
      [other, { nickname }],
    ];
    const member = { attachments: { self }, directory: { peers: () => peers }, isAlive: () => isAlive };
    const found = namesakes(member as unknown as Member, 'a');
    expect(found.map(({ code, why }) => [code, why.startsWith(other)])).toEqual(
      isTold ? [['nickname-shared', true]] : [],
    );
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
