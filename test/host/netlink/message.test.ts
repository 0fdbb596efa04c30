// The message codec: layout, alignment, nesting, limits, and a round trip of random attribute trees against a naive oracle.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { toHex } from '../../../src/base/bytes.ts';
import {
  ATTRIBUTE_BYTES_MAX,
  Attributes,
  eachAttribute,
  isDump,
  MessageWriter,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  parseMessages,
  parseOutcome,
  setSequence,
} from '../../../src/host/netlink/message.ts';

describe('writing', () => {
  test('a message with attributes of each kind', () => {
    const bytes = new MessageWriter(0x10, 0x05)
      .u8(1)
      .u8(2)
      .u16be(3)
      .attributeU8(1, 0xff)
      .attributeU16(2, 0x1234)
      .attributeU32(3, 0x12345678)
      .attributeText(4, 'abc')
      .nested(5, (inner) => inner.attribute(6, new Uint8Array([9])))
      .finish();
    expect(toHex(bytes)).toBe(
      ['40000000100005000000000000000000', '01020003', '05000100ff000000', '0600020034120000', '0800030078563412']
        .concat(['0800040061626300', '0c000580', '0500060009000000'])
        .join(''),
    );
    setSequence(bytes, 0xdeadbeef);
    expect(parseMessages(bytes)[0]).toMatchObject({ type: 0x10, flags: 5, sequence: 0xdeadbeef });
  });

  test('grows beyond its first buffer', () => {
    const value = new Uint8Array(1000).fill(7);
    const bytes = new MessageWriter(1, 0).attribute(1, value).attribute(2, value).finish();
    expect(new Attributes(parseMessages(bytes)[0]!.payload).bytes(2)).toEqual(value);
  });

  test('refuses what the length field can not hold', () => {
    const half = new Uint8Array(40_000);
    expect(() => new MessageWriter(1, 0).attribute(1, new Uint8Array(ATTRIBUTE_BYTES_MAX + 1))).toThrow(RangeError);
    expect(() => new MessageWriter(1, 0).nested(1, (inner) => inner.attribute(1, half).attribute(2, half))).toThrow(
      RangeError,
    );
  });

  test.each([
    ['a dump', NLM_F_REQUEST | NLM_F_DUMP, true],
    ['a request with one of the bits', NLM_F_REQUEST | 0x100, false],
    ['a plain request', NLM_F_REQUEST | NLM_F_ACK, false],
  ])('%s is known', (_name, flags, expected) => {
    expect(isDump(new MessageWriter(18, flags).finish())).toBe(expected);
  });
});

describe('reading', () => {
  const two = new Uint8Array([
    ...new MessageWriter(1, 0).attributeU8(1, 1).finish(),
    ...new MessageWriter(2, 0).attributeU32(1, 2).finish(),
  ]);

  test.each([
    ['both', two, [1, 2]],
    ['one, the second truncated', two.subarray(0, two.length - 1), [1]],
    ['none of nothing', new Uint8Array(0), []],
    ['none of half a header', two.subarray(0, 15), []],
    ['none with a length below a header', new Uint8Array(16), []],
    ['none with a length above the input', new Uint8Array(16).fill(0xff), []],
  ])('finds %s', (_name, bytes, types) => {
    expect(parseMessages(bytes).map(({ type }) => type)).toEqual(types);
  });

  test('attributes that are absent, too short or repeated', () => {
    const attributes = new Attributes(new Uint8Array([6, 0, 1, 0, 7, 8, 0, 0, 5, 0, 2, 0, 1, 0, 0, 0, 5, 0, 2, 0, 3]));
    expect([attributes.u32(1), attributes.u16(1), attributes.u16(2), attributes.u8(2), attributes.u8(9)]).toEqual([
      null,
      0x0807,
      null,
      3,
      null,
    ]);
    expect(attributes.nested(9).has(1)).toBe(false);
    expect(attributes.text(9)).toBeNull();
  });

  test('text ends at the first zero', () => {
    const attributes = new Attributes(new MessageWriter(0, 0).attributeText(1, 'eth0').finish(), 16);
    expect(attributes.text(1)).toBe('eth0');
  });

  test.each([
    ['an ack', NLMSG_ERROR, 0, [0, 0, 0, 0], { errno: 0, words: '' }],
    ['an error', NLMSG_ERROR, 0, [0xef, 0xff, 0xff, 0xff], { errno: 17, words: '' }],
    ['the end of a dump', NLMSG_DONE, 0, [0, 0, 0, 0], { errno: 0, words: '' }],
    ['an end without a number', NLMSG_DONE, 0, [], { errno: 0, words: '' }],
    [
      'an end with words',
      NLMSG_DONE,
      0x200,
      [0xfc, 0xff, 0xff, 0xff, 7, 0, 1, 0, 65, 66, 0],
      { errno: 4, words: 'AB' },
    ],
  ])('%s', (_name, type, flags, payload, expected) => {
    expect(parseOutcome({ type, flags, sequence: 1, portId: 1, payload: new Uint8Array(payload) })).toEqual(expected);
  });
});

interface Node {
  readonly type: number;
  readonly value: Uint8Array | readonly Node[];
}

const tree = fc.letrec<{ nodes: Node[]; node: Node }>((tie) => ({
  nodes: fc.array(tie('node'), { maxLength: 4 }) as fc.Arbitrary<Node[]>,
  node: fc.record({
    type: fc.integer({ min: 1, max: 0x3fff }),
    value: fc.oneof({ depthSize: 'small' }, fc.uint8Array({ maxLength: 9 }), tie('nodes')),
  }) as fc.Arbitrary<Node>,
}));

test('any tree of attributes comes back', () => {
  const write = (writer: MessageWriter, nodes: readonly Node[]) => {
    for (const { type, value } of nodes) {
      if (value instanceof Uint8Array) writer.attribute(type, value);
      else writer.nested(type, (inner) => write(inner, value));
    }
  };
  const check = (bytes: Uint8Array, nodes: readonly Node[]) => {
    const found = eachAttribute(bytes);
    expect(found.map(([type]) => type)).toEqual(nodes.map(({ type }) => type));
    nodes.forEach(({ value }, at) => {
      if (value instanceof Uint8Array) expect(toHex(found[at]![1])).toBe(toHex(value));
      else check(found[at]![1], value);
    });
  };
  fc.assert(
    fc.property(tree.nodes, (nodes) => {
      const writer = new MessageWriter(1, 0);
      write(writer, nodes);
      check(parseMessages(writer.finish())[0]!.payload, nodes);
    }),
  );
});
