import { expect, test } from 'vitest';
import { parseCidr, parseIp } from '../../src/base/address.ts';
import { DEFAULT_VNI, type PeerId, type Vni } from '../../src/base/ids.ts';
import { type LeaseFacts, leaseProblems, type NetworkLeases } from '../../src/daemon/lease-problems.ts';

const GONE = 'aa'.repeat(16) as PeerId;
const DAY_MS = 86_400_000;

const NAMED = 7 as Vni;

function network(id: Vni, { lost = 0, expiresAt = null }: { lost?: number; expiresAt?: number | null }): NetworkLeases {
  const reservation = (n: number) => ({ ip: parseIp(`10.32.0.${n + 2}`)!, owner: `c${n}`, conflict: n < lost });
  const row = { network: id, cidr: parseCidr('10.40.0.0/13')!, peer: GONE, epoch: 1, used: null, size: 1 };
  return {
    id,
    ipam: {
      reservations: () => [0, 1, 2, 3, 4, 5].map(reservation),
      leases: () => [{ ...row, state: 'foreign', expiresAt }],
    },
  };
}

const calm = [network(DEFAULT_VNI, {})];
const voted = [network(DEFAULT_VNI, { expiresAt: 1 })];

function problems(networks: readonly NetworkLeases[], facts: Partial<LeaseFacts>) {
  return leaseProblems(networks, { leaseMs: 0, peers: [], uptimeMs: 5, labelOf: () => 'blue', ...facts });
}

function peer(state: 'alive' | 'dead', lastSeenMs: number | null) {
  return { id: GONE, nickname: 'four', state, lastSeenMs };
}

test.each([
  ['nothing is wrong', calm, { peers: [peer('alive', 0)] }, []],
  ['a host has lost addresses', [network(DEFAULT_VNI, { lost: 5 })], {}, ['address-lost']],
  ['a host has lost addresses of a named network', [...calm, network(NAMED, { lost: 1 })], {}, ['address-lost']],
  ['a host is dead for an hour', calm, { peers: [peer('dead', DAY_MS / 24)] }, []],
  ['a host is dead for a day', calm, { peers: [peer('dead', DAY_MS)] }, ['owner-gone']],
  ['a host was not seen in a day', calm, { peers: [peer('dead', null)], uptimeMs: DAY_MS }, ['owner-gone']],
  ['the voters see to it', voted, { leaseMs: DAY_MS, peers: [peer('dead', DAY_MS)] }, []],
  ['the voters never will', calm, { leaseMs: DAY_MS, peers: [peer('dead', DAY_MS)] }, ['owner-gone']],
  [
    'the voters have not for three leases',
    voted,
    { leaseMs: DAY_MS, peers: [peer('dead', 3 * DAY_MS)] },
    ['owner-gone'],
  ],
])('%s', (_name, networks, facts, codes) => {
  expect(problems(networks, facts).map(({ code }) => code)).toEqual(codes);
});

test('names what was lost, and the command that helps', () => {
  const [problem] = problems([network(DEFAULT_VNI, { lost: 3 }), network(NAMED, { lost: 3 })], {});
  expect(problem?.why).toBe(
    '10.32.0.2 of c0, 10.32.0.3 of c1, 10.32.0.4 of c2, 10.32.0.2 of c0 in blue, 10.32.0.3 of c1 in blue and 1 more',
  );
  const [gone] = problems([...calm, network(NAMED, {})], { peers: [peer('dead', DAY_MS)] });
  expect([gone?.why, gone?.fix]).toEqual([
    '10.40.0.0/13, 10.40.0.0/13 in blue',
    expect.stringContaining("'fabric rmpeer four'"),
  ]);
});
