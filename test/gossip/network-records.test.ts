// Records of networks: what goes out comes back, and nothing that is not canonical or in bounds is taken.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Vni } from '../../src/base/ids.ts';
import type { NetworkRecord } from '../../src/base/records.ts';
import {
  decodeNetwork,
  decodeNetworkRemoval,
  encodeNetwork,
  encodeNetworkRemoval,
  isNetworkKey,
  isNetworkRemovalKey,
  networkKey,
  networkRemovalKey,
} from '../../src/gossip/network-records.ts';

const BLUE: NetworkRecord = {
  network: 7 as Vni,
  name: 'blue',
  range: '10.99.0.0/24',
  range6: 'fd00:7::/48',
  leasePrefix: 28,
  leasePrefix6: 64,
  internal: true,
};

test('a network and its removal come back as they were', () => {
  const variants = [BLUE, { ...BLUE, range6: null, internal: false }];
  for (const record of variants)
    expect(decodeNetwork(networkKey(record.network), encodeNetwork(record))).toEqual(record);
  expect(decodeNetworkRemoval(networkRemovalKey(BLUE.network), encodeNetworkRemoval())).toBe(BLUE.network);
  expect([networkKey(BLUE.network), networkRemovalKey(BLUE.network)].map(isNetworkKey)).toEqual([true, true]);
  expect([networkKey(BLUE.network), networkRemovalKey(BLUE.network)].map(isNetworkRemovalKey)).toEqual([false, true]);
});

test.each(['net/0', 'net/07', 'net/16777214', 'net/16777215', 'net/x', 'net/', 'net-gone/7', 'net/7/'])(
  'a network under the key %s is refused',
  (key) => {
    expect(decodeNetwork(key, encodeNetwork(BLUE))).toBeNull();
  },
);

test.each([
  ['the name of the default network', { name: 'fabric' }],
  ['a name with a dot, which stands before an id', { name: 'blue.7' }],
  ['no name', { name: '' }],
  ['a name with a control character', { name: 'blue\u0007' }],
  ['a long name', { name: 'x'.repeat(64) }],
  ['blocks larger than the range', { leasePrefix: 23 }],
  ['blocks of no prefix length', { leasePrefix: 33 }],
  ['IPv6 blocks larger than the range', { leasePrefix6: 47 }],
])('%s is refused', (_what, change) => {
  expect(decodeNetwork(networkKey(BLUE.network), encodeNetwork({ ...BLUE, ...change }))).toBeNull();
});

test('bytes of any kind do not throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      decodeNetwork(networkKey(BLUE.network), bytes);
      decodeNetworkRemoval(networkRemovalKey(BLUE.network), bytes);
    }),
  );
});
