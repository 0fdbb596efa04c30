import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import protobuf from 'protobufjs';
import { describe, expect, test } from 'vitest';
import { fromHex, toHex } from '../../../src/base/bytes.ts';
import type { BootId, Vni } from '../../../src/base/ids.ts';
import {
  decodeEnvelope,
  type Envelope,
  encodeEnvelope,
  type Hello,
  MESH_SCHEMA,
} from '../../../src/host/mesh/envelope.ts';
import { SeededRandom } from '../../fakes/seeded-random.ts';

const hello: Hello = {
  protocolMin: 1,
  protocolMax: 2,
  version: '0.1.0',
  nickname: 'alpha',
  bootId: '0102030405060708' as BootId,
  genesis: Uint8Array.of(9, 8, 7),
  endpoints: [
    { ip: '192.0.2.1', port: 6783 },
    { ip: '2001:db8::1', port: 1 },
  ],
  port: 6783,
  networks: [0 as Vni, 77 as Vni],
};

const samples: readonly Envelope[] = [
  { kind: 'hello', hello },
  { kind: 'hello', hello: { ...hello, genesis: new Uint8Array(0), endpoints: [], networks: [], nickname: '' } },
  { kind: 'welcome' },
  { kind: 'ping', sequence: 0 },
  { kind: 'pong', sequence: 4_294_967_295 },
  { kind: 'goodbye', reason: 'duplicate', detail: '' },
  { kind: 'clone', detail: 'boot 0000000000000002 at 192.0.2.9:6783' },
  { kind: 'gossip', bytes: Uint8Array.of(1, 2, 3) },
  { kind: 'lease', bytes: new Uint8Array(0) },
];

describe('mesh envelope', () => {
  test('the descriptors are those of proto/mesh.proto', () => {
    const parsed = protobuf.parse(readFileSync('proto/mesh.proto', 'utf8')).root.resolveAll();
    const types = ['Envelope', 'Endpoint', 'Hello', 'Welcome', 'Ping', 'Pong', 'Goodbye', 'Clone'];
    const shape = (root: protobuf.NamespaceBase): unknown =>
      types.map((name) => {
        const type = root.lookupType(`fabric.mesh.v1.${name}`);
        const fields = type.fieldsArray.map(({ id, name: field, type: kind, repeated }) => ({
          id,
          field,
          kind,
          repeated,
        }));
        return { name, fields, oneofs: type.oneofsArray.map((one) => one.oneof) };
      });
    expect(shape(MESH_SCHEMA)).toEqual(shape(parsed));
    expect(parsed.lookupService('fabric.mesh.v1.Mesh').methods.Link).toMatchObject({
      requestStream: true,
      responseStream: true,
    });
  });

  test.each(samples.map((sample) => [sample.kind, sample] as const))('%s comes back as it went', (_, sample) => {
    const decoded = decodeEnvelope(encodeEnvelope(sample));
    expect(decoded).toEqual('bytes' in sample ? { ...sample, bytes: expect.anything() } : sample);
    if (decoded !== null && 'bytes' in decoded && 'bytes' in sample)
      expect([...decoded.bytes]).toEqual([...sample.bytes]);
  });

  test('golden bytes', () => {
    expect(toHex(encodeEnvelope({ kind: 'ping', sequence: 7 }))).toBe('1a020807');
    expect(toHex(encodeEnvelope({ kind: 'gossip', bytes: Uint8Array.of(255) }))).toBe('3201ff');
    expect(toHex(encodeEnvelope({ kind: 'welcome' }))).toBe('1200');
  });

  test.each(['gossip', 'lease', 'life', 'examine'] as const)('%s is written and read as protobufjs does', (kind) => {
    const type = MESH_SCHEMA.lookupType('fabric.mesh.v1.Envelope');
    for (const length of [0, 1, 127, 128, 5_000]) {
      const bytes = new SeededRandom(length).bytes(length);
      const encoded = encodeEnvelope({ kind, bytes });
      expect(toHex(encoded)).toBe(toHex(type.encode({ [kind]: bytes }).finish()));
      expect(decodeEnvelope(encoded)).toEqual({ kind, bytes });
    }
  });

  test.each(['ping', 'pong'] as const)('%s is written and read as protobufjs does', (kind) => {
    const type = MESH_SCHEMA.lookupType('fabric.mesh.v1.Envelope');
    for (const sequence of [0, 1, 127, 128, 16_384, 2 ** 31, 2 ** 32 - 1]) {
      const encoded = encodeEnvelope({ kind, sequence });
      expect(toHex(encoded)).toBe(toHex(type.encode({ [kind]: { sequence } }).finish()));
      expect(decodeEnvelope(encoded)).toEqual({ kind, sequence });
      for (let end = 1; end < encoded.length; end++) expect(decodeEnvelope(encoded.subarray(0, end))).toBeNull();
    }
  });

  test.each<[string, string, number]>([
    ['no sequence', '1a00', 0],
    ['a field that is not known', '1a0408071001', 7],
    ['a sequence in more bytes than it takes', '1a03088700', 7],
  ])('a ping with %s goes the long way', (_name, hex, sequence) => {
    expect(decodeEnvelope(fromHex(hex)!)).toEqual({ kind: 'ping', sequence });
  });

  test('what is cut or has more behind it goes the long way', () => {
    const encoded = encodeEnvelope({ kind: 'gossip', bytes: Uint8Array.of(1, 2, 3) });
    expect(decodeEnvelope(encoded.subarray(0, -1))).toBeNull();
    const unknownField = Uint8Array.of(0xf8, 0x01, 0x07);
    expect(decodeEnvelope(Buffer.concat([encoded, unknownField]))).toMatchObject({ kind: 'gossip' });
  });

  test('bytes of a Buffer are copied by slice, so that what is kept of a message does not keep all of it', () => {
    const encoded = Buffer.from(encodeEnvelope({ kind: 'gossip', bytes: Uint8Array.of(1, 2, 3) }));
    const decoded = decodeEnvelope(encoded) as { bytes: Uint8Array };
    expect(decoded.bytes.buffer).toBe(encoded.buffer);
    expect(decoded.bytes.slice().buffer).not.toBe(encoded.buffer);
  });

  test.each<[string, Partial<Hello>]>([
    ['no protocol', { protocolMin: 0 }],
    ['protocols upside down', { protocolMin: 3 }],
    ['a long version', { version: 'x'.repeat(300) }],
    ['a short boot id', { bootId: '0102' as BootId }],
    ['a huge genesis', { genesis: new Uint8Array(5_000) }],
    ['port 0', { port: 0 }],
    ['a network out of range', { networks: [0x1_000_000 as Vni] }],
  ])('a hello with %s is refused', (_, change) => {
    expect(decodeEnvelope(encodeEnvelope({ kind: 'hello', hello: { ...hello, ...change } }))).toBeNull();
  });

  test('an unknown kind from a newer version is null', () => {
    expect(decodeEnvelope(Uint8Array.of(0xfa, 0x01, 0x01, 0x00))).toBeNull();
    expect(decodeEnvelope(new Uint8Array(0))).toBeNull();
  });

  test('foreign text is made fit for a log line', () => {
    const decoded = decodeEnvelope(encodeEnvelope({ kind: 'goodbye', reason: 'refused', detail: 'a\nb\u001b[31m' }));
    expect(decoded).toEqual({ kind: 'goodbye', reason: 'refused', detail: 'a?b?[31m' });
  });

  test('fuzz: any bytes and any damaged message decode to something or null', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void decodeEnvelope(bytes)));
    const random = new SeededRandom(5);
    const good = encodeEnvelope({ kind: 'hello', hello });
    for (let round = 0; round < 2_000; round++) {
      const bad = good.slice(0, random.below(good.length) + 1);
      bad[random.below(bad.length)] = random.below(256);
      decodeEnvelope(bad);
    }
  });
});
