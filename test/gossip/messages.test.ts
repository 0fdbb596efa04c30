import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { toHex, utf8 } from '../../src/base/bytes.ts';
import { type AuthorState, signState } from '../../src/gossip/author-state.ts';
import { MemoryAuthorTable } from '../../src/gossip/author-table.ts';
import { GOSSIP_LIMITS } from '../../src/gossip/limits.ts';
import { decodeMessage, type GossipMessage } from '../../src/gossip/messages.ts';
import { Outbox } from '../../src/gossip/outbox.ts';
import { FIRST_VERSION, nextVersion } from '../../src/gossip/own-map.ts';
import { nodeCrypto } from '../../src/host/node-crypto.ts';
import { CLUSTER, identity } from './gossip-sim.ts';

function stateOf(number: number, records: Record<string, string>, from?: AuthorState): AuthorState {
  const { peer, identityKey, sign } = identity(number);
  const batch = new Map(Object.entries(records).map(([key, value]) => [key, utf8(value)]));
  const { delta: _, ...next } = nextVersion(from ?? FIRST_VERSION, batch, GOSSIP_LIMITS)!;
  return signState(nodeCrypto, CLUSTER, sign, { ...next, author: peer, identityKey });
}

function outboxWith(...states: readonly AuthorState[]): { outbox: Outbox; table: MemoryAuthorTable } {
  const table = new MemoryAuthorTable(nodeCrypto);
  for (const state of states) table.set(state);
  return { outbox: new Outbox(table, GOSSIP_LIMITS), table };
}

function take(outbox: Outbox): { message: GossipMessage; bytes: Uint8Array } {
  const { bytes } = outbox.next()!;
  const message = decodeMessage(bytes, GOSSIP_LIMITS);
  if (typeof message === 'string') throw new Error(message);
  return { message, bytes };
}

const ONE = stateOf(1, { peer: 'one' });
const TWO = stateOf(2, { peer: 'two' });

describe('golden bytes', () => {
  test('a root', () => {
    const { outbox, table } = outboxWith(ONE);
    outbox.root();
    expect(toHex(take(outbox).bytes)).toBe(`0101${toHex(table.root())}00000001`);
  });

  test('an announcement of news', () => {
    const { outbox } = outboxWith(ONE);
    outbox.announceLater(ONE.author);
    expect(outbox.pauseOver()).toBe(true);
    expect(outbox.next()).toBeNull();
    expect(outbox.pauseOver()).toBe(false);
    expect(toHex(take(outbox).bytes)).toBe(`010401${ONE.author}01${toHex(ONE.fingerprint)}`);
  });

  test('a full state', () => {
    const { outbox } = outboxWith(ONE);
    outbox.push(ONE.author, 0);
    expect(toHex(take(outbox).bytes)).toBe(
      `010601${ONE.author}010100${toHex(ONE.signature)}${toHex(ONE.identityKey)}0a` +
        `04${toHex(utf8('peer'))}0004${toHex(utf8('one'))}`,
    );
  });

  test('a delta of version 300 on 298: a changed record and a deleted one', () => {
    let state = stateOf(1, { b: 'old' });
    for (let version = 2; version <= 298; version++) state = stateOf(1, { peer: `${version}` }, state);
    const changed = stateOf(1, { a: 'x' }, state);
    const { peer, sign, identityKey } = identity(1);
    const next = nextVersion(changed, new Map([['b', null]]), GOSSIP_LIMITS)!;
    const last = signState(nodeCrypto, CLUSTER, sign, { ...next, author: peer, identityKey });
    const { outbox } = outboxWith(last);
    outbox.push(peer, 298);
    expect(toHex(take(outbox).bytes)).toBe(`010601${peer}ac020200${toHex(last.signature)}0901610102780162${'0000'}`);
  });

  test('a want with graft', () => {
    const { outbox } = outboxWith();
    outbox.want({ author: ONE.author, base: 258, graft: true });
    expect(toHex(take(outbox).bytes)).toBe(`0105${ONE.author}820201`);
  });
});

describe('the outbox', () => {
  test('merges two pushes of one author into one delta from the older base', () => {
    const newer = stateOf(1, { a: '1' }, stateOf(1, { b: '2' }, ONE));
    const { outbox } = outboxWith(newer);
    outbox.push(ONE.author, 2);
    outbox.push(ONE.author, 1);
    const { message } = take(outbox);
    expect(message).toMatchObject({ type: 'states', items: [{ base: 1, version: 3, pushed: true }] });
    expect(outbox.next()).toBeNull();
  });

  test('pushes may wait while answers go; who is pushed and asks gets one answer, from the older base', () => {
    const newer = stateOf(1, { a: '1' }, stateOf(1, { b: '2' }, ONE));
    const { outbox } = outboxWith(newer, TWO);
    outbox.push(ONE.author, 1);
    expect(outbox.next('wait')).toBeNull();
    expect(outbox.pushes).toBe(1);
    outbox.state(ONE.author, 2);
    outbox.push(ONE.author, 2);
    outbox.push(TWO.author, 0);
    const answer = decodeMessage(outbox.next('wait')!.bytes, GOSSIP_LIMITS);
    expect(answer).toMatchObject({ type: 'states', items: [{ base: 1, version: 3, pushed: false }] });
    expect(take(outbox).message).toMatchObject({ items: [{ author: TWO.author, pushed: true }] });
    expect(outbox.pushes).toBe(0);
  });

  test('sends the whole map to who is below the floor', () => {
    const { outbox } = outboxWith({ ...stateOf(1, { a: '1' }, stateOf(1, { b: '2' }, ONE)), floor: 2 });
    outbox.state(ONE.author, 1);
    expect(take(outbox).message).toMatchObject({ items: [{ base: 0, identityKey: ONE.identityKey }] });
  });

  test('says nothing of what the neighbour turned out to know', () => {
    const { outbox } = outboxWith(ONE);
    outbox.push(ONE.author, 0);
    outbox.have(ONE.author);
    outbox.announceLater(ONE.author);
    outbox.known(ONE.author);
    expect(outbox.pauseOver()).toBe(false);
    expect(outbox.next()).toBeNull();
  });

  test('announces the version that came a whole pause ago, not one that is still on its way', () => {
    const newer = stateOf(1, { a: '1' }, ONE);
    const { outbox, table } = outboxWith(ONE);
    outbox.announceLater(ONE.author);
    outbox.pauseOver();
    table.set(newer);
    outbox.announceLater(ONE.author);
    expect(outbox.pauseOver()).toBe(true);
    expect(take(outbox).message).toMatchObject({ type: 'have', fresh: true, heads: [{ version: 1 }] });
    outbox.pauseOver();
    expect(take(outbox).message).toMatchObject({ heads: [{ version: 2, fingerprint: newer.fingerprint }] });
  });

  test('lists all heads of a bucket', () => {
    const { outbox } = outboxWith(ONE, TWO);
    const bucket = Number.parseInt(TWO.author.slice(0, 2), 16);
    outbox.heads(bucket);
    const { message } = take(outbox);
    expect(message.type === 'heads' && message.heads.map((head) => head.author)).toEqual([TWO.author]);
  });

  test('splits what exceeds a message', () => {
    const states = Array.from({ length: 20 }, (_, i) => stateOf(i, { big: 'x'.repeat(10_000) }));
    const { outbox } = outboxWith(...states);
    for (const { author } of states) outbox.state(author, 0);
    const sizes: number[] = [];
    for (let next = outbox.next(); next !== null; next = outbox.next()) sizes.push(next.bytes.length);
    expect(sizes.length).toBeGreaterThan(2);
    expect(Math.max(...sizes)).toBeLessThan(2 * GOSSIP_LIMITS.messageBytesTarget);
  });
});

describe('decodeMessage', () => {
  const valid = validMessages();

  test.each<[string, number[], string]>([
    ['nothing', [], 'malformed'],
    ['another version', [2, 1], 'unknown-version'],
    ['a type of the future', [1, 99], 'unknown-type'],
    ['type 0', [1, 0], 'unknown-type'],
    ['a root too short', [1, 1, 0, 0], 'malformed'],
    ['a root too long', [1, 1, ...new Array(13).fill(0)], 'malformed'],
    ['a state of version 0', [1, 6, 0, ...new Array(16 + 3 + 64 + 32 + 1).fill(0)], 'malformed'],
    [
      'a state whose base is below 0',
      [1, 6, 0, ...new Array(16).fill(0), 1, 2, 0, ...new Array(65).fill(0)],
      'malformed',
    ],
    [
      'a version beyond 2^53',
      [1, 4, 0, ...new Array(16).fill(0), ...new Array(7).fill(255), 16, ...new Array(8).fill(0)],
      'malformed',
    ],
  ])('%s', (_name, bytes, failure) => {
    expect(decodeMessage(Uint8Array.from(bytes), GOSSIP_LIMITS)).toBe(failure);
  });

  test('TM18 a message above the limit is dropped unread', () => {
    expect(decodeMessage(new Uint8Array(101), { ...GOSSIP_LIMITS, messageBytesMax: 100 })).toBe('oversized');
  });

  test('more items than allowed are malformed', () => {
    const { outbox } = outboxWith(ONE, TWO);
    outbox.have(ONE.author);
    outbox.have(TWO.author);
    expect(decodeMessage(outbox.next()!.bytes, { ...GOSSIP_LIMITS, itemsMax: 1 })).toBe('malformed');
  });

  test('every prefix of a valid message is refused or a shorter list, without throwing', () => {
    for (const bytes of valid) {
      for (let length = 0; length < bytes.length; length++) decodeMessage(bytes.subarray(0, length), GOSSIP_LIMITS);
    }
  });

  test('TM18 arbitrary bytes and changed messages never throw', () => {
    const body = fc.tuple(fc.constantFrom(...valid), fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 300 }), body), (input) => {
        const bytes = input instanceof Uint8Array ? input : input[0].slice();
        if (!(input instanceof Uint8Array)) for (const [at, value] of input[1]) bytes[at % bytes.length] = value;
        decodeMessage(bytes, GOSSIP_LIMITS);
      }),
      { numRuns: 1000 },
    );
  });
});

function validMessages(): Uint8Array[] {
  const { outbox } = outboxWith(ONE, TWO);
  outbox.root();
  outbox.buckets();
  outbox.heads(Number.parseInt(ONE.author.slice(0, 2), 16));
  outbox.push(TWO.author, 0);
  outbox.have(ONE.author);
  outbox.want({ author: TWO.author, base: 7, graft: true });
  outbox.prune(ONE.author);
  const messages: Uint8Array[] = [];
  for (let next = outbox.next(); next !== null; next = outbox.next()) messages.push(next.bytes);
  return messages;
}
