import { describe, expect, test } from 'vitest';
import type { ClusterId } from '../../src/base/ids.ts';
import { linkLocalOf } from '../../src/base/link-local.ts';
import { createGenesis, mtuFor, networkFacts, readGenesis, refuseContradictions } from '../../src/daemon/genesis.ts';
import { checkLaunchFlags, type LaunchFlags } from '../../src/daemon/launch-options.ts';
import { encodeGenesis } from '../../src/gossip/record-codec.ts';
import { generateHostKeys } from '../../src/host/identity-file.ts';
import { nodeCrypto } from '../../src/host/node-crypto.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';

const clusterId = '50d29b384ad967ffbb493979ea75db4f' as ClusterId;
const keys = generateHostKeys(new SeededRandom(1), nodeCrypto);
const options = (flags: Partial<LaunchFlags> = {}) =>
  checkLaunchFlags({ stateDir: '/s', runDir: '/r', ...flags }, null);
const create = (flags: Partial<LaunchFlags> = {}, seed = 2) =>
  createGenesis({ options: options(flags), clusterId, keys, mtu: 1418 }, new SeededRandom(seed), nodeCrypto);

describe('createGenesis', () => {
  test('defaults: the range of the design and a ULA made of the cluster id', () => {
    expect(create()).toMatchObject({
      clusterId,
      creator: keys.peer,
      range: '10.32.0.0/12',
      range6: 'fd50:d29b:384a::/48',
      leasePrefix: 24,
      leasePrefix6: 64,
      mtu: 1418,
    });
  });

  test('flags replace them; a small range gets blocks that sixteen hosts can share', () => {
    expect(create({ range: '10.9.0.0/24', range6: 'off', mtu: '1300' })).toMatchObject({
      range: '10.9.0.0/24',
      range6: null,
      leasePrefix: 28,
      mtu: 1300,
    });
  });

  test('two creations from one token have different ids', () => {
    expect(create({}, 2).genesisId).not.toBe(create({}, 3).genesisId);
  });
});

describe('the overlay MTU of a new cluster', () => {
  test.each<[string, readonly string[], number]>([
    ['IPv4', ['192.0.2.1'], 1418],
    ['both families', ['2001:db8::1', '192.0.2.1'], 1418],
    ['IPv6 alone', ['2001:db8::1', '2001:db8::2'], 1398],
    ['an unknown underlay', [], 1418],
  ])('on %s lets a full frame go in one datagram', (_name, ips, mtu) => {
    expect(
      mtuFor(
        1500,
        ips.map((ip) => ({ ip, port: 6783 })),
      ),
    ).toBe(mtu);
  });
});

describe('readGenesis', () => {
  test('gives back what was made', () => {
    expect(readGenesis(encodeGenesis(create()), clusterId, nodeCrypto)).toEqual(create());
  });

  test.each([
    ['another range', { range: '10.0.0.0/8' }],
    ['another MTU', { mtu: 9000 }],
    ['another creator', { creator: 'ab'.repeat(16) as typeof keys.peer }],
    ['a key that is not the creator’s', { creatorKey: new Uint8Array(32) }],
    ['no signature', { signature: new Uint8Array(64) }],
  ])('%s is not believed', (_name, change) => {
    expect(readGenesis(encodeGenesis({ ...create(), ...change }), clusterId, nodeCrypto)).toBeNull();
  });

  test('bytes that are none, and another cluster’s, are not believed', () => {
    expect(readGenesis(new Uint8Array(0), clusterId, nodeCrypto)).toBeNull();
    expect(readGenesis(new Uint8Array(40).fill(255), clusterId, nodeCrypto)).toBeNull();
    expect(readGenesis(encodeGenesis(create()), 'ff'.repeat(16) as ClusterId, nodeCrypto)).toBeNull();
  });
});

describe('networkFacts', () => {
  test('every host derives the same gateway and anycast MAC', () => {
    const facts = networkFacts(create(), nodeCrypto);
    expect(facts).toMatchObject({ gateway: '10.32.0.1', gateway6: 'fd50:d29b:384a::1' });
    expect(facts.gatewayIps).toEqual(['10.32.0.1', 'fd50:d29b:384a::1', linkLocalOf(facts.gatewayMac)]);
    expect(Number.parseInt(facts.gatewayMac.slice(0, 2), 16) & 3).toBe(2);
    expect(networkFacts(create(), nodeCrypto).gatewayMac).toBe(facts.gatewayMac);
    expect(networkFacts(create({}, 9), nodeCrypto).gatewayMac).not.toBe(facts.gatewayMac);
  });

  test('without IPv6 there is one gateway', () => {
    const facts = networkFacts(create({ range6: 'off' }), nodeCrypto);
    expect([facts.v6, facts.gateway6]).toEqual([null, null]);
    expect(facts.gatewayIps).toEqual(['10.32.0.1', linkLocalOf(facts.gatewayMac)]);
  });

  test('ranges that no creator makes are damage', () => {
    const genesis = { ...create(), range: '10.0.0.0/31' };
    expect(() => networkFacts(genesis, nodeCrypto)).toThrow(expect.objectContaining({ code: 'state-damaged' }));
  });
});

describe('refuseContradictions', () => {
  test('no flags, and flags that say what holds anyway, pass', () => {
    const genesis = create();
    refuseContradictions(options(), genesis);
    const same = { range: genesis.range, range6: genesis.range6!, leasePrefix: '24', mtu: '1418' };
    refuseContradictions(options(same), genesis);
    refuseContradictions(options({ range6: 'off' }), create({ range6: 'off' }));
  });

  test.each<[Partial<LaunchFlags>, string, string]>([
    [{ range: '10.64.0.0/12' }, '10.64.0.0/12', '10.32.0.0/12'],
    [{ range6: 'off' }, 'off', 'fd50:d29b:384a::/48'],
    [{ range6: 'fd00::/48' }, 'fd00::/48', 'fd50:d29b:384a::/48'],
    [{ leasePrefix: '25' }, '25', '24'],
    [{ mtu: '1400' }, '1400', '1418'],
  ])('%o is refused with both values', (flags, asked, fixed) => {
    const refuse = () => refuseContradictions(options(flags), create());
    expect(refuse).toThrow(expect.objectContaining({ code: 'state-contradiction' }));
    expect(refuse).toThrow(asked);
    expect(refuse).toThrow(fixed);
  });
});
