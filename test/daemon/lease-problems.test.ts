import { expect, test } from 'vitest';
import { parseCidr, parseIp } from '../../src/base/address.ts';
import type { PeerId } from '../../src/base/ids.ts';
import { leaseProblems } from '../../src/daemon/lease-problems.ts';
import type { Ipam } from '../../src/ipam/ipam.ts';

const GONE = 'aa'.repeat(16) as PeerId;
const DAY_MS = 86_400_000;

function ipam({ lost = 0, voters = 1 }): Pick<Ipam, 'reservations' | 'leases' | 'stats'> {
  const reservation = (n: number) => ({ ip: parseIp(`10.32.0.${n + 2}`)!, owner: `c${n}`, conflict: n < lost });
  const row = { network: 0, cidr: parseCidr('10.40.0.0/13')!, peer: GONE, epoch: 1, used: null, size: 1 };
  return {
    reservations: () => [0, 1, 2, 3, 4, 5].map(reservation),
    leases: () => [{ ...row, network: 0 as never, state: 'foreign', expiresAt: null }],
    stats: () => ({ voters }) as ReturnType<Ipam['stats']>,
  };
}

function peer(state: 'alive' | 'dead', lastSeenMs: number | null) {
  return { id: GONE, nickname: 'four', state, lastSeenMs };
}

test.each([
  ['nothing is wrong', ipam({}), { peers: [peer('alive', 0)], uptimeMs: 5 }, []],
  ['a host has lost addresses', ipam({ lost: 5 }), { peers: [], uptimeMs: 5 }, ['address-lost']],
  ['a host is dead for an hour', ipam({}), { peers: [peer('dead', DAY_MS / 24)], uptimeMs: 5 }, []],
  ['a host is dead for a day', ipam({}), { peers: [peer('dead', DAY_MS)], uptimeMs: 5 }, ['owner-gone']],
  ['a host was not seen in a day', ipam({}), { peers: [peer('dead', null)], uptimeMs: DAY_MS }, ['owner-gone']],
  ['the voters see to it', ipam({ voters: 3 }), { peers: [peer('dead', DAY_MS)], uptimeMs: 5 }, []],
])('%s', (_name, leases, facts, codes) => {
  expect(leaseProblems(leases, facts).map(({ code }) => code)).toEqual(codes);
});

test('names what was lost, and the command that helps', () => {
  const [problem] = leaseProblems(ipam({ lost: 5 }), { peers: [], uptimeMs: 0 });
  expect(problem?.why).toBe('10.32.0.2 of c0, 10.32.0.3 of c1, 10.32.0.4 of c2, 10.32.0.5 of c3 and 1 more');
  const [gone] = leaseProblems(ipam({}), { peers: [peer('dead', DAY_MS)], uptimeMs: 0 });
  expect([gone?.why, gone?.fix]).toEqual(['10.40.0.0/13', expect.stringContaining("'fabric rmpeer four'")]);
});
