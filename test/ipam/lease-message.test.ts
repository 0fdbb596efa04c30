import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseCidr } from '../../src/base/address.ts';
import { fromHex, toHex } from '../../src/base/bytes.ts';
import type { GiftId, PeerId, Vni } from '../../src/base/ids.ts';
import type { LeaseRecord } from '../../src/base/records.ts';
import {
  decodeLeaseMessage,
  decodeLeaseRecord,
  encodeLeaseMessage,
  encodeLeaseRecord,
  type LeaseMessage,
  leaseMessageNetwork,
} from '../../src/ipam/lease-message.ts';
import { Cluster } from './sim-cluster.ts';

const NETWORK = 5 as Vni;
const giftId = '000102030405060708090a0b0c0d0e0f' as GiftId;
const record: LeaseRecord = {
  network: NETWORK,
  cidr: '10.40.0.0/13',
  owner: '11'.repeat(16) as PeerId,
  epoch: 2,
  giftId,
  donor: '22'.repeat(16) as PeerId,
  signature: new Uint8Array(64).fill(0x33),
};
const record6: LeaseRecord = { ...record, cidr: 'fd00:1:0:8000::/49', epoch: 4_294_967_295 };

const messages: readonly (readonly [string, LeaseMessage])[] = [
  ['share', { kind: 'request', giftId, family: 4, wish: 'share', exact: null }],
  ['any', { kind: 'request', giftId, family: 6, wish: 'any', exact: null }],
  ['exact', { kind: 'request', giftId, family: 4, wish: 'exact', exact: parseCidr('10.40.0.9/32')! }],
  ['grant', { kind: 'grant', record, proof: [] }],
  ['grant with proof', { kind: 'grant', record, proof: [{ record: record6, donorKey: new Uint8Array(32).fill(7) }] }],
  ['refusal', { kind: 'refuse', giftId, reason: 'in-use' }],
];

describe('lease messages', () => {
  test.each(messages)('round trip: %s', (_name, message) => {
    const bytes = encodeLeaseMessage(NETWORK, message);
    expect(decodeLeaseMessage(bytes)).toEqual(message);
    expect(leaseMessageNetwork(bytes)).toBe(NETWORK);
  });

  test.each(messages)('every truncation and every trailing byte is refused: %s', (_name, message) => {
    const bytes = encodeLeaseMessage(NETWORK, message);
    for (let length = 0; length < bytes.length; length++)
      expect(decodeLeaseMessage(bytes.subarray(0, length))).toBeNull();
    expect(decodeLeaseMessage(new Uint8Array([...bytes, 0]))).toBeNull();
  });

  test.each([
    ['request', messages[2]![1], '010100000005000102030405060708090a0b0c0d0e0f04030420' + '0a280009'],
    ['refusal', messages[5]![1], '010300000005000102030405060708090a0b0c0d0e0f01'],
    [
      'grant',
      messages[3]![1],
      `010200000005${'00000005'}${'040d0a280000'}${'11'.repeat(16)}00000002${giftId}${'22'.repeat(16)}0040${'33'.repeat(64)}00`,
    ],
  ] as const)('golden bytes: %s', (_name, message, hex) => {
    expect(toHex(encodeLeaseMessage(NETWORK, message))).toBe(hex);
    expect(decodeLeaseMessage(fromHex(hex)!)).toEqual(message);
  });

  test('stored records survive', () => {
    for (const each of [record, record6]) expect(decodeLeaseRecord(encodeLeaseRecord(each))).toEqual(each);
    expect(decodeLeaseRecord(encodeLeaseMessage(NETWORK, messages[0]![1]))).toBeNull();
  });

  test('no bytes make the decoder throw, and what it accepts encodes to the same bytes', () => {
    const seeds = messages.map(([, message]) => encodeLeaseMessage(NETWORK, message));
    const flipped = fc
      .tuple(fc.constantFrom(...seeds), fc.array(fc.tuple(fc.nat(300), fc.nat(255)), { maxLength: 4 }))
      .map(([seed, flips]) => {
        const bytes = seed.slice();
        for (const [at, value] of flips) bytes[at % bytes.length] = value;
        return bytes;
      });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 400 }), flipped), (bytes) => {
        const message = decodeLeaseMessage(bytes);
        const network = leaseMessageNetwork(bytes);
        if (message !== null && network !== null) expect(encodeLeaseMessage(network, message)).toEqual(bytes);
      }),
      { numRuns: 3000, seed: 1 },
    );
  });

  test('no message makes a host throw, give twice or break an invariant', () => {
    const cluster = new Cluster({ seed: 3, hosts: 3, range: '10.32.0.0/20', range6: 'fd00:1::/48', leasePrefix: 24 });
    for (const host of [1, 2]) cluster.start(host);
    const recorded: Uint8Array[] = [];
    for (let i = 0; i < 400 && cluster.inFlight.length > 0; i++) {
      const { payload } = cluster.inFlight[0]!;
      if (payload.kind === 'lease') recorded.push(payload.bytes);
      cluster.deliverOnly(() => true);
    }
    fc.assert(
      fc.property(
        fc.constantFrom(...recorded),
        fc.array(fc.tuple(fc.nat(600), fc.nat(255)), { maxLength: 3 }),
        fc.nat(2),
        fc.nat(2),
        (seed, flips, to, from) => {
          const bytes = seed.slice();
          for (const [at, value] of flips) bytes[at % bytes.length] = value;
          cluster.hosts[to]!.ipam!.receive(cluster.hosts[from]!.id, bytes);
        },
      ),
      { numRuns: 1500, seed: 2 },
    );
    cluster.heal();
    cluster.checkSettled();
  });
});
