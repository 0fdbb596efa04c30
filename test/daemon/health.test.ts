// What health says of a host.

import { describe, expect, test } from 'vitest';
import type { PeerId } from '../../src/base/ids.ts';
import { type HealthFacts, HealthJudge, namesakes, OUTDATED_MS, tokenProblems } from '../../src/daemon/health.ts';
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

describe('a host that was away for two rotations says so', () => {
  const [self, twin, gone] = ['aa', 'bb', 'cc'].map((byte) => byte.repeat(16) as PeerId) as [PeerId, PeerId, PeerId];
  test.each<[string, number | null, PeerId[], PeerId[], string | null]>([
    ['alone', 0, [], [], 'no host of the cluster lets this one in'],
    [
      'with another one that was',
      OUTDATED_MS,
      [twin],
      [twin],
      'hosts that have the current token do not let this one in',
    ],
    ['not while the token may be on its way', OUTDATED_MS - 1, [twin], [twin], null],
    ['not while it misses nobody', OUTDATED_MS, [twin], [twin, gone], null],
    ['not when it has learned the token', null, [twin], [twin], null],
  ])('%s', (_name, outdatedMs, linked, alive, what) => {
    const member = {
      attachments: { self },
      admission: { rotations: { facts: () => ({ outdatedMs }) } },
      directory: { peers: () => [self, twin, gone].map((peer) => [peer, {}]) },
      isAlive: (peer: PeerId) => alive.includes(peer),
    } as unknown as Member;
    const problems = tokenProblems(member, { linkedPeers: () => linked } as unknown as Mesh);
    expect(problems.map((problem) => problem.what)).toEqual(what === null ? [] : [what]);
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
