// The address blocks of `fabric status` for people: what is in reserve stands in one line, IPv6 is counted in /64s.

import { expect, test } from 'vitest';
import { leaseCells, leaseSummary } from '../../src/cli/lease-table.ts';
import type { LeaseRow } from '../../src/daemon/status-types.ts';

function lease(cidr: string, state: LeaseRow['state'], used: number | null = 0, peer = 'me'): LeaseRow {
  const bits = cidr.includes(':') ? 128 : 32;
  const size = 2 ** (bits - Number(cidr.split('/')[1]));
  return { network: 'fabric', cidr, peer, epoch: 2, used, size, state, expiresAt: null };
}

const LEASES = [
  lease('10.32.0.0/24', 'active', 3),
  lease('10.32.1.0/24', 'spare'),
  lease('10.32.2.0/23', 'spare'),
  lease('10.40.0.0/13', 'foreign', null, 'other'),
  lease('fd00:1:2::/64', 'active', 3),
  lease('fd00:1:2:1::/64', 'spare'),
  lease('fd00:1:2:2::/63', 'spare'),
  lease('fd00:1:2:8000::/49', 'foreign', null, 'other'),
];
const nameOf = (peer: string): string => (peer === 'me' ? 'this host' : 'b');

test('spare blocks of a host and family are one row, all others stand for themselves', () => {
  expect(leaseCells(LEASES, nameOf)).toEqual([
    ['fabric', '10.32.0.0/24', 'this host', '2', '3', '256', 'active', '-'],
    ['fabric', '10.32.1.0/24 and 1 more', 'this host', '-', '0', '768', 'spare', '-'],
    ['fabric', '10.40.0.0/13', 'b', '2', '-', '524288', 'foreign', '-'],
    ['fabric', 'fd00:1:2::/64', 'this host', '2', '3', '1 /64', 'active', '-'],
    ['fabric', 'fd00:1:2:1::/64 and 1 more', 'this host', '-', '0', '3 /64s', 'spare', '-'],
    ['fabric', 'fd00:1:2:8000::/49', 'b', '2', '-', '32768 /64s', 'foreign', '-'],
  ]);
});

test('says until when a block is its owner’s, to the minute', () => {
  const row = { ...lease('10.40.0.0/13', 'foreign', null, 'other'), expiresAt: '2026-11-23T04:45:59.123Z' };
  expect(leaseCells([row], nameOf)[0]!.at(-1)).toBe('2026-11-23T04:45Z');
});

test('a block smaller than a /64 is counted in addresses', () => {
  expect(leaseCells([lease('fd00::/120', 'active', 1)], nameOf)[0]![5]).toBe('256');
});

test.each([
  ['nothing', [], 'none'],
  ['no reserve', LEASES.slice(0, 1), '1 active with 3 addresses in use'],
  [
    'both families',
    LEASES.filter(({ peer }) => peer === 'me'),
    '2 active with 6 addresses in use; in reserve 768 IPv4 addresses and 3 /64s of IPv6',
  ],
])('the overview of %s', (_, leases, text) => {
  expect(leaseSummary(leases)).toBe(text);
});
