import { describe, expect, test } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import type { ClusterId, GiftId, PeerId, Vni } from '../../src/base/ids.ts';
import { genesisSigningBytes, leaseSigningBytes } from '../../src/base/record-signing.ts';
import type { Genesis, LeaseRecord } from '../../src/base/records.ts';

const LEASE: LeaseRecord = {
  network: 7 as Vni,
  cidr: '10.32.1.0/24',
  owner: '01'.repeat(16) as PeerId,
  epoch: 3,
  giftId: '02'.repeat(16) as GiftId,
  donor: '03'.repeat(16) as PeerId,
  signature: new Uint8Array(64),
};

const GENESIS: Genesis = {
  genesisId: '0a'.repeat(16),
  clusterId: '0b'.repeat(16) as ClusterId,
  creator: '0c'.repeat(16) as PeerId,
  creatorKey: new Uint8Array(32).fill(0x0d),
  range: '10.32.0.0/12',
  range6: 'fd00::/48',
  leasePrefix: 24,
  leasePrefix6: 64,
  mtu: 1418,
  signature: new Uint8Array(64),
};

describe('signing bytes', () => {
  test('a lease has these golden bytes', () => {
    expect(toHex(leaseSigningBytes(LEASE))).toBe(
      `666162726963206c6561736520763100${'00000007'}${'01'.repeat(16)}${'0000000000000003'}${'02'.repeat(16)}` +
        `${'03'.repeat(16)}000c31302e33322e312e302f3234`,
    );
  });

  test('a genesis has these golden bytes', () => {
    expect(toHex(genesisSigningBytes(GENESIS))).toBe(
      `6661627269632067656e6573697320763100${'0a'.repeat(16)}${'0b'.repeat(16)}${'0c'.repeat(16)}${'0d'.repeat(32)}` +
        '1840058a000c31302e33322e302e302f31320009666430303a3a2f3438',
    );
  });

  test.each<[string, Partial<LeaseRecord>]>([
    ['network', { network: 8 as Vni }],
    ['cidr', { cidr: '10.32.2.0/24' }],
    ['owner', { owner: '04'.repeat(16) as PeerId }],
    ['epoch', { epoch: 4 }],
    ['giftId', { giftId: '04'.repeat(16) as GiftId }],
    ['donor', { donor: '04'.repeat(16) as PeerId }],
  ])('another %s is other bytes', (_field, change) => {
    expect(leaseSigningBytes({ ...LEASE, ...change })).not.toEqual(leaseSigningBytes(LEASE));
  });

  test('no IPv6 range is not the same as some range', () => {
    expect(genesisSigningBytes({ ...GENESIS, range6: null })).not.toEqual(genesisSigningBytes(GENESIS));
  });

  test('a malformed identifier is a bug and throws', () => {
    expect(() => leaseSigningBytes({ ...LEASE, owner: 'xy' as PeerId })).toThrow('invariant');
  });
});
