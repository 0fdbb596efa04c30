import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import protobuf from 'protobufjs';
import { describe, expect, test } from 'vitest';
import { formatCidr, formatIp, parseCidr } from '../../src/base/address.ts';
import { toHex } from '../../src/base/bytes.ts';
import type { BootId, ClusterId, GiftId, Mac, PeerId, Vni } from '../../src/base/ids.ts';
import { NOT_BEHIND_NAT } from '../../src/base/nat-facts.ts';
import type { AttachmentRecord, Genesis, LeaseRecord, NameRecord, PeerRecord } from '../../src/base/records.ts';
import {
  attachmentKey,
  decodeAttachment,
  decodeGenesis,
  decodeLease,
  decodeName,
  decodePeer,
  encodeAttachment,
  encodeGenesis,
  encodeLease,
  encodeName,
  encodePeer,
  leaseKey,
  NAME_TARGETS_MAX,
  nameKey,
  parseAttachmentKey,
  parseLeaseKey,
  parseNameKey,
} from '../../src/gossip/record-codec.ts';
import { RECORDS_PACKAGE, recordType } from '../../src/gossip/records-schema.ts';

const PEER: PeerRecord = {
  nickname: 'alpha',
  version: '0.1.0',
  protocolMin: 1,
  protocolMax: 2,
  bootId: '0102030405060708' as BootId,
  identityKey: new Uint8Array(32).fill(1),
  staticKey: new Uint8Array(32).fill(2),
  endpoints: [
    { ip: '192.0.2.1', port: 6783 },
    { ip: '2001:db8::1', port: 6783 },
  ],
  nat: {
    observed: [{ ip: '203.0.113.7', port: 40_001 }],
    symmetric: true,
    rendezvous: ['04'.repeat(16) as PeerId],
  },
  networks: [0 as Vni, 7 as Vni],
};

const LEASE: LeaseRecord = {
  network: 0 as Vni,
  cidr: '10.32.1.0/24',
  owner: '01'.repeat(16) as PeerId,
  epoch: 2 ** 53 - 1,
  giftId: '02'.repeat(16) as GiftId,
  donor: '03'.repeat(16) as PeerId,
  signature: new Uint8Array(64).fill(4),
};

const ATTACHMENT: AttachmentRecord = {
  network: 7 as Vni,
  mac: '02:00:5e:10:00:01' as Mac,
  ips: ['10.32.0.5', 'fe80::1'],
  sequence: 3,
  name: 'web-1',
  kind: 'container',
};

const GENESIS: Genesis = {
  genesisId: '0a'.repeat(16),
  clusterId: '0b'.repeat(16) as ClusterId,
  creator: '0c'.repeat(16) as PeerId,
  creatorKey: new Uint8Array(32).fill(0x0d),
  range: '10.32.0.0/12',
  range6: 'fd00:1:2::/48',
  leasePrefix: 24,
  leasePrefix6: 64,
  mtu: 1418,
  signature: new Uint8Array(64).fill(5),
};

describe('the schema', () => {
  test('equals proto/records.proto', () => {
    const parsed = protobuf.parse(readFileSync(new URL('../../proto/records.proto', import.meta.url), 'utf8')).root;
    for (const name of ['Peer', 'Lease', 'Removal', 'Network', 'NetworkRemoval', 'Attachment', 'Genesis'] as const) {
      const written = parsed.resolveAll().lookupType(`${RECORDS_PACKAGE}.${name}`);
      const built = recordType(name);
      expect(shape(built)).toEqual(shape(written));
      for (const field of written.fieldsArray) {
        if (field.resolvedType instanceof protobuf.Type) {
          expect(shape(built.fields[field.name]!.resolvedType as protobuf.Type)).toEqual(shape(field.resolvedType));
        } else if (field.resolvedType instanceof protobuf.Enum) {
          expect((built.fields[field.name]!.resolvedType as protobuf.Enum).values).toEqual(field.resolvedType.values);
        }
      }
    }
  });
});

function shape(type: protobuf.Type): unknown[] {
  return type.fieldsArray.map(({ name, id, type: of, repeated, packed }) => ({ name, id, of, repeated, packed }));
}

describe('round trips', () => {
  test('of each record', () => {
    expect(decodePeer(encodePeer(PEER))).toEqual(PEER);
    expect(decodeLease(leaseKey(LEASE), encodeLease(LEASE))).toEqual(LEASE);
    const at = attachmentKey(ATTACHMENT.network, ATTACHMENT.mac);
    for (const kind of ['container', 'host', 'foreign'] as const) {
      expect(decodeAttachment(at, encodeAttachment({ ...ATTACHMENT, kind }))).toEqual({ ...ATTACHMENT, kind });
    }
    expect(decodeGenesis(encodeGenesis(GENESIS))).toEqual(GENESIS);
    expect(decodeGenesis(encodeGenesis({ ...GENESIS, range6: null }))).toEqual({ ...GENESIS, range6: null });
  });

  test('golden bytes of an attachment', () => {
    expect(toHex(encodeAttachment({ ...ATTACHMENT, ips: ['10.32.0.5'], kind: 'foreign' }))).toBe(
      `0a04${'0a200005'}1003${'1a05'}${'7765622d31'}2002`,
    );
  });

  test('fields of a newer version are ignored', () => {
    const key = attachmentKey(ATTACHMENT.network, ATTACHMENT.mac);
    const newer = Uint8Array.of(...encodeAttachment(ATTACHMENT), 0xa2, 0x06, 3, 1, 2, 3);
    expect(decodeAttachment(key, newer)).toEqual(ATTACHMENT);
  });

  test('random attachments and leases', () => {
    const ip = fc.oneof(
      fc.bigInt(0n, 2n ** 32n - 1n).map((value) => formatIp({ family: 4, value })),
      fc.bigInt(0n, 2n ** 128n - 1n).map((value) => formatIp({ family: 6, value })),
    );
    const network = fc.nat(0xff_ffff) as fc.Arbitrary<Vni>;
    const mac = fc
      .uint8Array({ minLength: 6, maxLength: 6 })
      .map((bytes) => toHex(bytes).match(/../g)!.join(':') as Mac);
    const record = fc.record({
      network,
      mac,
      ips: fc.array(ip, { maxLength: 5 }),
      sequence: fc.nat(2 ** 32 - 1),
      name: fc.stringMatching(/^[a-z0-9.-]{0,60}$/),
      kind: fc.constantFrom('container', 'host', 'foreign') as fc.Arbitrary<AttachmentRecord['kind']>,
    });
    fc.assert(
      fc.property(record, (attachment) => {
        const key = attachmentKey(attachment.network, attachment.mac);
        expect(decodeAttachment(key, encodeAttachment(attachment))).toEqual(attachment);
      }),
    );
  });
});

describe('keys', () => {
  test.each(['lease/0/1/10.32.1.0/24', 'lease/16777215/9007199254740991/fd00::/64'])('%s is a lease', (key) => {
    const parsed = parseLeaseKey(key)!;
    expect(leaseKey({ ...parsed, cidr: formatCidr(parseCidr(parsed.cidr)!) })).toBe(key);
  });

  test.each([
    'lease/0/1/10.32.1.1/24',
    'lease/00/1/10.32.1.0/24',
    'lease/16777216/1/10.32.1.0/24',
    'lease/0/1/FD00::/64',
    'lease/0/1/10.32.1.0/024',
    'lease//1/10.32.1.0/24',
    'lease/0/0/10.32.1.0/24',
    'lease/0/01/10.32.1.0/24',
    'lease/0/9007199254740992/10.32.1.0/24',
    'lease/0/10.32.1.0/24',
    'peer',
    '',
  ])('%s is no lease', (key) => {
    expect(parseLeaseKey(key)).toBeNull();
    expect(decodeLease(key, encodeLease(LEASE))).toBeNull();
  });

  test.each(['at/0/02-00-5e-10-00-01', 'at/0/02:00:5E:10:00:01', 'at/x/02:00:5e:10:00:01', 'at/0/02:00:5e:10:00'])(
    '%s is no attachment',
    (key) => {
      expect(parseAttachmentKey(key)).toBeNull();
      expect(decodeAttachment(key, encodeAttachment(ATTACHMENT))).toBeNull();
    },
  );
});

const NAME: NameRecord = {
  network: 0 as Vni,
  name: 'db.prod',
  targets: [
    { ip: '192.0.2.1', mac: null },
    { ip: 'fd00::5', mac: ATTACHMENT.mac },
  ],
};

describe('values that are refused', () => {
  test.each<[string, Partial<PeerRecord>]>([
    ['a nickname with a control character', { nickname: 'a\u001b[2J' }],
    ['a nickname too long', { nickname: 'x'.repeat(65) }],
    ['a short boot id', { bootId: '0102' as BootId }],
    ['a short identity key', { identityKey: new Uint8Array(31) }],
    ['a long static key', { staticKey: new Uint8Array(33) }],
    ['port 0', { endpoints: [{ ip: '192.0.2.1', port: 0 }] }],
    ['a port above 65535', { endpoints: [{ ip: '192.0.2.1', port: 65536 }] }],
    ['too many endpoints', { endpoints: new Array(17).fill(PEER.endpoints[0]) }],
    ['too many observed endpoints', { nat: { ...NOT_BEHIND_NAT, observed: new Array(5).fill(PEER.endpoints[0]) } }],
    ['an observed port of 0', { nat: { ...NOT_BEHIND_NAT, observed: [{ ip: '192.0.2.1', port: 0 }] } }],
    ['a short id of a rendezvous', { nat: { ...NOT_BEHIND_NAT, rendezvous: ['01' as PeerId] } }],
    ['a network above 24 bits', { networks: [0x100_0000 as Vni] }],
    ['a maximum below the minimum', { protocolMin: 3 }],
  ])('peer: %s', (_name, change) => {
    expect(decodePeer(encodePeer({ ...PEER, ...change }))).toBeNull();
  });

  test.each<[string, Partial<LeaseRecord>]>([
    ['epoch 0', { epoch: 0 }],
    ['an epoch beyond 2^53', { epoch: 2 ** 53 }],
    ['a short owner', { owner: '01' as PeerId }],
    ['a short signature', { signature: new Uint8Array(63) }],
  ])('lease: %s', (_name, change) => {
    const lease = { ...LEASE, ...change };
    expect(decodeLease(leaseKey(lease), encodeLease(lease))).toBeNull();
  });

  test.each<[string, Partial<AttachmentRecord>]>([
    ['a name with a newline', { name: 'a\nb' }],
    ['a name too long', { name: 'x'.repeat(254) }],
    ['too many addresses', { ips: new Array(33).fill('10.32.0.1') }],
  ])('attachment: %s', (_name, change) => {
    const key = attachmentKey(ATTACHMENT.network, ATTACHMENT.mac);
    expect(decodeAttachment(key, encodeAttachment({ ...ATTACHMENT, ...change }))).toBeNull();
  });

  test.each<[string, readonly string[]]>([
    ['too many aliases', new Array(33).fill('a')],
    ['an alias with a control character', ['a\u0000']],
  ])('attachment: %s', (_name, aliases) => {
    const key = attachmentKey(ATTACHMENT.network, ATTACHMENT.mac);
    expect(decodeAttachment(key, encodeAttachment({ ...ATTACHMENT, aliases }))).toBeNull();
  });

  test.each(['name/0/', 'name/0/Web', 'name/00/web', 'name/0/a b', 'name/16777216/web', `name/0/${'x'.repeat(101)}`])(
    '%s is no name',
    (key) => {
      expect(parseNameKey(key)).toBeNull();
      expect(decodeName(key, encodeName(NAME))).toBeNull();
    },
  );

  test('name: too many addresses', () => {
    const targets = Array.from({ length: NAME_TARGETS_MAX + 1 }, () => NAME.targets[0]!);
    expect(decodeName(nameKey(NAME), encodeName({ ...NAME, targets }))).toBeNull();
  });

  test('name: a MAC or an address of the wrong length', () => {
    const [ip, mac] = [Uint8Array.of(0x0a, 3, 10, 32, 0), Uint8Array.of(0x0a, 9, 0x0a, 4, 10, 32, 0, 1, 0x12, 1, 2)];
    for (const bytes of [ip, mac]) expect(decodeName(nameKey(NAME), bytes)).toBeNull();
  });

  test('attachment: a kind of the future', () => {
    expect(decodeAttachment(attachmentKey(ATTACHMENT.network, ATTACHMENT.mac), Uint8Array.of(0x20, 9))).toBeNull();
  });

  test.each<[string, Partial<Genesis>]>([
    ['a range of the wrong family', { range: 'fd00::/48' }],
    ['an IPv6 range of the wrong family', { range6: '10.0.0.0/8' }],
    ['lease blocks larger than the range', { leasePrefix: 11 }],
    ['lease blocks longer than an address', { leasePrefix: 33 }],
    ['IPv6 blocks larger than the range', { leasePrefix6: 47 }],
    ['an MTU too small', { mtu: 500 }],
    ['a short creator key', { creatorKey: new Uint8Array(31) }],
    ['a short genesis id', { genesisId: '0a' }],
  ])('genesis: %s', (_name, change) => {
    expect(decodeGenesis(encodeGenesis({ ...GENESIS, ...change }))).toBeNull();
  });
});

test('names and aliases come back as they were', () => {
  expect(decodeName(nameKey(NAME), encodeName(NAME))).toEqual(NAME);
  const aliased = { ...ATTACHMENT, aliases: ['db', 'db.prod'] };
  expect(decodeAttachment(attachmentKey(aliased.network, aliased.mac), encodeAttachment(aliased))).toEqual(aliased);
});

test('arbitrary and changed bytes never throw', () => {
  const at = attachmentKey(ATTACHMENT.network, ATTACHMENT.mac);
  const lease = leaseKey(LEASE);
  const seeds = [
    encodePeer(PEER),
    encodeLease(LEASE),
    encodeAttachment(ATTACHMENT),
    encodeGenesis(GENESIS),
    encodeName(NAME),
  ];
  const changed = fc
    .tuple(fc.constantFrom(...seeds), fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }))
    .map(([seed, edits]) => {
      const bytes = seed.slice();
      for (const [at, value] of edits) bytes[at % bytes.length] = value;
      return bytes;
    });
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), changed), (bytes) => {
      decodePeer(bytes);
      decodeGenesis(bytes);
      decodeLease(lease, bytes);
      decodeAttachment(at, bytes);
      decodeName(nameKey(NAME), bytes);
    }),
    { numRuns: 2000 },
  );
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (key) => {
      parseLeaseKey(key);
      parseAttachmentKey(`at/${key}`);
      parseLeaseKey(`lease/${key}`);
      parseNameKey(`name/${key}`);
    }),
  );
});
