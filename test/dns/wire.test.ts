import dnsPacket from 'dns-packet';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readQuery } from '../../src/dns/query.ts';
import { questionKey, walkMessage } from '../../src/dns/wire.ts';
import { address, queryBytes, replyTo, soa } from './messages.ts';

describe('walkMessage', () => {
  test('sees what dns-packet wrote', () => {
    const asked = queryBytes('WWW.Example.test', { id: 0x1234, edns: {} });
    const reply = replyTo(asked, {
      answers: [address('www.example.test', '203.0.113.1', 99)],
      authorities: [soa('test')],
    });
    const message = walkMessage(reply)!;
    expect(message).toMatchObject({ id: 0x1234, name: 'www.example.test', type: 1, class: 1, rcode: 0, opcode: 0 });
    expect(message.records.map(({ section, type, ttl }) => [section, type, ttl])).toEqual([
      ['answer', 1, 99],
      ['authority', 6, 60],
    ]);
    const { dataOffset, dataBytes } = message.records[0]!;
    expect([...reply.subarray(dataOffset, dataOffset + dataBytes)]).toEqual([203, 0, 113, 1]);
  });

  test.each<[string, (bytes: Uint8Array) => Uint8Array]>([
    ['cut in the header', (bytes) => bytes.subarray(0, 11)],
    ['cut in the question', (bytes) => bytes.subarray(0, bytes.length - 1)],
    ['octets behind the end', (bytes) => Uint8Array.of(...bytes, 0)],
    ['two questions', (bytes) => bytes.with(5, 2)],
    ['no question', (bytes) => bytes.with(5, 0)],
    ['an answer that is not there', (bytes) => bytes.with(7, 1)],
    ['a pointer in the question', (bytes) => bytes.with(12, 0xc0)],
    ['a label of a kind that does not exist', (bytes) => bytes.with(12, 0x80)],
  ])('%s is malformed', (_name, damage) => {
    expect(walkMessage(damage(new Uint8Array(queryBytes('a.example.test'))))).toBeNull();
  });

  test('a name of 255 octets is one, of 256 none', () => {
    const labels = (last: number) => [63, 63, 63, last].map((length) => 'x'.repeat(length)).join('.');
    expect(walkMessage(queryBytes(labels(61)))?.name).toHaveLength(253);
    expect(walkMessage(queryBytes(labels(62)))).toBeNull();
  });

  test('a label with a dot is not mistaken for two labels, nor what stands for the dot for a dot', () => {
    const dotted = queryBytes('aXb.test');
    dotted[14] = '.'.charCodeAt(0);
    const two = walkMessage(queryBytes('a.b.test'))!;
    expect(walkMessage(dotted)!.name).toBe('a\\046b.test');
    expect(walkMessage(queryBytes('a\\046b.test'))!.name).toBe('a\\092046b.test');
    expect(walkMessage(queryBytes('mÿ b.test'))!.name).toBe('m\\195\\191\\032b.test');
    expect(two.name).toBe('a.b.test');
    expect(questionKey(walkMessage(dotted)!.question)).not.toBe(questionKey(two.question));
  });

  test('any bytes: never throws, and what it takes dns-packet takes with the same name', () => {
    const damaged = fc
      .tuple(fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }), fc.boolean())
      .map(([changes, withAnswers]) => {
        const asked = queryBytes('www.example.test', { edns: {} });
        const records = withAnswers ? [address('www.example.test', '203.0.113.1'), soa('test')] : [];
        const bytes = new Uint8Array(replyTo(asked, { answers: records }));
        for (const [at, value] of changes) bytes[at % bytes.length] = value;
        return bytes;
      });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 600 }), damaged), (bytes) => {
        const message = walkMessage(bytes);
        for (const { dataOffset, dataBytes } of message?.records ?? []) {
          expect(dataOffset + dataBytes).toBeLessThanOrEqual(bytes.length);
        }
        readQuery(bytes, 'udp');
        if (message === null || message.name.includes('\\') || message.records.length > 0) return;
        expect(dnsPacket.decode(Buffer.from(bytes)).questions[0]!.name.toLowerCase()).toBe(message.name);
      }),
      { numRuns: 3_000 },
    );
  });
});

test('questions that differ in case only have one key; those that differ in type have two', () => {
  const keyOf = (name: string, type = 'A') => questionKey(walkMessage(queryBytes(name, { type }))!.question);
  expect(keyOf('WwW.Example.TEST')).toBe(keyOf('www.example.test'));
  expect(keyOf('www.example.test', 'AAAA')).not.toBe(keyOf('www.example.test'));
  // HTTPS is type 65, an 'A' as an octet; 97 is an 'a'.
  expect(keyOf('x', 'UNKNOWN_65')).not.toBe(keyOf('x', 'UNKNOWN_97'));
});

describe('readQuery', () => {
  test.each<[string, Uint8Array, object]>([
    ['an answer is ignored', replyTo(queryBytes('x.test')), { kind: 'ignored' }],
    ['too short for an id is ignored', Uint8Array.of(1, 2, 0), { kind: 'ignored' }],
    ['what can not be read', queryBytes('x.test').subarray(0, 14), { kind: 'malformed', id: 7 }],
    ['another opcode', queryBytes('x.test', { flags: 0x2900 }), { kind: 'error', rcode: 4 }],
    ['another class', queryBytes('x.test', { class: 'CH' }), { kind: 'error', rcode: 5 }],
    ['a transfer', queryBytes('x.test', { type: 'AXFR' }), { kind: 'error', rcode: 5 }],
    ['a newer EDNS', queryBytes('x.test', { edns: { ednsVersion: 1 } }), { kind: 'error', rcode: 16 }],
  ])('%s', (_name, bytes, expected) => {
    expect(readQuery(bytes, 'udp')).toMatchObject(expected);
  });

  test.each([
    [null, 'udp', 512],
    [{ udpPayloadSize: 4096 }, 'udp', 1232],
    [{ udpPayloadSize: 1000 }, 'udp', 1000],
    [{ udpPayloadSize: 100 }, 'udp', 512],
    [null, 'tcp', 65_535],
  ] as const)('with %j by %s an answer has at most %i octets', (edns, transport, expected) => {
    const read = readQuery(queryBytes('x.test', { edns }), transport);
    expect(read).toMatchObject({ kind: 'query', query: { answerBytesMax: expected } });
  });
});
