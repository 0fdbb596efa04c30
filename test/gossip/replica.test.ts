import { describe, expect, test } from 'vitest';
import { ByteWriter, utf8 } from '../../src/base/bytes.ts';
import type { ClusterId } from '../../src/base/ids.ts';
import { type AuthorState, signState } from '../../src/gossip/author-state.ts';
import { MemoryAuthorTable } from '../../src/gossip/author-table.ts';
import { LIFE_KEY } from '../../src/gossip/life-records.ts';
import { GOSSIP_LIMITS, type GossipLimits } from '../../src/gossip/limits.ts';
import { decodeMessage, openMessage, type StateItem, writeState } from '../../src/gossip/messages.ts';
import { FIRST_VERSION, nextVersion } from '../../src/gossip/own-map.ts';
import { Replica } from '../../src/gossip/replica.ts';
import { nodeCrypto } from '../../src/host/node-crypto.ts';
import { MemoryStore } from '../fakes/memory-store.ts';
import { RecordingLog } from '../fakes/recording-log.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';
import { CLUSTER, identity } from './gossip-sim.ts';

const US = identity(0);
const THEM = identity(1);

function replica(limits: Partial<GossipLimits> = {}, store = new MemoryStore()): Replica {
  return new Replica({
    self: US,
    clusterId: CLUSTER,
    crypto: nodeCrypto,
    store,
    log: new RecordingLog(),
    limits: { ...GOSSIP_LIMITS, ...limits },
    table: new MemoryAuthorTable(nodeCrypto),
    acceptAuthor: (author) => author !== identity(13).peer,
  });
}

/** The author's next state, signed with whatever key and for whatever cluster the test says. */
function state(
  records: Record<string, string | null>,
  how: { from?: AuthorState; author?: number; signer?: number; cluster?: ClusterId; version?: number } = {},
): AuthorState {
  const author = identity(how.author ?? 1);
  const base = how.from ?? { ...FIRST_VERSION, version: (how.version ?? 1) - 1 };
  const batch = new Map(Object.entries(records).map(([key, value]) => [key, value === null ? null : utf8(value)]));
  const { delta: _, ...next } = nextVersion(base, batch, { ...GOSSIP_LIMITS, tombstonesMin: 1 })!;
  const { sign } = identity(how.signer ?? how.author ?? 1);
  const unsigned = { ...next, author: author.peer, identityKey: author.identityKey };
  return signState(nodeCrypto, how.cluster ?? CLUSTER, sign, unsigned);
}

function item(of: AuthorState, base = 0): StateItem {
  const writer = openMessage('states');
  writeState(writer, of, base, true);
  const message = decodeMessage(writer.finish(), GOSSIP_LIMITS);
  if (typeof message === 'string' || message.type !== 'states') throw new Error('the test made no state');
  return message.items[0]!;
}

const FIRST = state({ a: '1', b: '1' });
const SECOND = state({ b: '2', c: '2' }, { from: FIRST });

describe('a state from a neighbour', () => {
  test('full, then as a delta, then known', () => {
    const ours = replica();
    expect(ours.offer(item(FIRST)).kind).toBe('installed');
    expect(ours.offer(item(SECOND, 1)).kind).toBe('installed');
    expect(ours.table.get(THEM.peer)?.packed).toEqual(SECOND.packed);
    expect(ours.offer(item(SECOND, 1)).kind).toBe('known');
    expect(ours.offer(item(SECOND)).kind).toBe('known');
    expect(ours.offer(item(FIRST)).kind).toBe('known');
  });

  test.each<[string, StateItem, object]>([
    ['signed by somebody else', item(state({ a: '1' }, { signer: 2 })), { kind: 'invalid', reason: 'bad-signature' }],
    [
      'signed for another cluster',
      item(state({ a: '1' }, { cluster: 'd2'.repeat(16) as ClusterId })),
      { kind: 'invalid', reason: 'bad-signature' },
    ],
    [
      'with a key that is not the author’s',
      { ...item(FIRST), identityKey: identity(2).identityKey },
      { kind: 'invalid', reason: 'bad-identity' },
    ],
    ['of another version', { ...item(FIRST), version: 9 }, { kind: 'invalid', reason: 'bad-signature' }],
    ['with entries above its version', { ...item(SECOND), version: 1 }, { kind: 'invalid', reason: 'bad-map' }],
    ['with changed entries', { ...item(FIRST), entries: SECOND.packed }, { kind: 'invalid', reason: 'bad-map' }],
    ['with cut entries', { ...item(FIRST), entries: FIRST.packed.subarray(1) }, { kind: 'invalid', reason: 'bad-map' }],
    ['a delta on what we lack', item(SECOND, 1), { kind: 'retry', reason: 'gap' }],
    ['of an author that is not admitted', item(state({ a: '1' }, { author: 13 })), { kind: 'refused' }],
  ])('TM17 %s is not installed', (_name, offered, verdict) => {
    const ours = replica();
    expect(ours.offer(offered)).toMatchObject(verdict);
    expect(ours.table.size).toBe(0);
  });

  test('a delta on other content of the same version asks for the full map', () => {
    const ours = replica();
    ours.offer(item(state({ a: 'other' })));
    expect(ours.offer(item(SECOND, 1))).toEqual({ kind: 'retry', reason: 'delta-mismatch' });
    expect(ours.offer(item(SECOND)).kind).toBe('installed');
  });

  test('of two contents of one version the same one wins everywhere', () => {
    const [x, y] = [state({ a: 'x' }), state({ a: 'y' })];
    const [xThenY, yThenX] = [replica(), replica()];
    for (const offered of [x, y]) xThenY.offer(item(offered));
    for (const offered of [y, x]) yThenX.offer(item(offered));
    expect(xThenY.table.root()).toEqual(yThenX.table.root());
  });

  test('a floor that rose past us makes the full map necessary, and deleted keys vanish', () => {
    let theirs = FIRST;
    for (let i = 0; i < 6; i++) {
      theirs = state({ [`t${i}`]: 'x' }, { from: theirs });
      theirs = state({ [`t${i}`]: null }, { from: theirs });
    }
    expect(theirs.floor).toBeGreaterThan(1);
    const ours = replica();
    ours.offer(item(FIRST));
    expect(item(theirs, 1).base).toBe(0);
    expect(ours.offer(item(theirs, 1)).kind).toBe('installed');
    expect(ours.table.get(THEM.peer)?.packed).toEqual(theirs.packed);
  });

  test('TM19 a mad version of one author harms nobody else', () => {
    const ours = replica();
    ours.offer(item(state({ a: '1' }, { author: 2 })));
    expect(ours.offer(item(state({ a: '1' }, { version: Number.MAX_SAFE_INTEGER }))).kind).toBe('installed');
    expect(ours.offer(item(state({ a: '2' }, { author: 2, version: 2 }))).kind).toBe('installed');
    expect(ours.write(new Map([['mine', utf8('1')]]))).not.toBeNull();
    expect(ours.own?.version).toBe(1);
  });

  test.each<[string, Partial<GossipLimits>, object]>([
    ['a map too large', { mapBytesMax: 20 }, { kind: 'invalid', reason: 'bad-map' }],
    ['too many records', { entriesMax: 1 }, { kind: 'invalid', reason: 'bad-map' }],
    ['too many authors', { authorsMax: 0 }, { kind: 'refused', reason: 'authors-max' }],
    ['all maps together too large', { totalBytesMax: 10 }, { kind: 'refused', reason: 'total-bytes-max' }],
  ])('TM18 %s is refused', (_name, limits, verdict) => {
    const ours = replica(limits);
    expect(ours.offer(item(FIRST))).toMatchObject(verdict);
    expect(ours.table.bytes).toBe(0);
  });
});

describe('the store', () => {
  test('keeps others in batches and ourselves at once', () => {
    const store = new MemoryStore();
    const ours = replica({}, store);
    ours.write(new Map([['mine', utf8('1')]]));
    expect(store.commits).toBe(1);
    for (let author = 1; author <= 10; author++) ours.offer(item(state({ a: '1' }, { author })));
    expect(store.commits).toBe(1);
    ours.saveSome();
    expect(store.commits).toBe(2);
    expect(ours.hasUnsaved).toBe(false);
    const again = replica({}, new MemoryStore(store.snapshot()));
    expect(again.table.root()).toEqual(ours.table.root());
  });

  test('is not written because another says that it lives, and has that with the next change', () => {
    const ours = replica();
    ours.offer(item(FIRST));
    ours.saveSome();
    const lives = state({ [LIFE_KEY]: '1' }, { from: FIRST });
    expect(ours.offer(item(lives, FIRST.version)).kind).toBe('installed');
    expect(ours.hasUnsaved).toBe(false);
    expect(ours.offer(item(state({ b: '2' }, { from: lives }), lives.version)).kind).toBe('installed');
    expect(ours.hasUnsaved).toBe(true);
  });

  test.each([
    ['whole', 0],
    ['with another change', FIRST.version],
  ])('is written when another says that it lives %s', (_how, base) => {
    const ours = replica();
    ours.offer(item(FIRST));
    ours.saveSome();
    const records = base === 0 ? { [LIFE_KEY]: '1' } : { [LIFE_KEY]: '1', b: null };
    expect(ours.offer(item(state(records, { from: FIRST }), base)).kind).toBe('installed');
    expect(ours.hasUnsaved).toBe(true);
  });

  test('a damaged state of another is dropped, reported and counted', () => {
    const store = new MemoryStore();
    const ours = replica({}, store);
    ours.offer(item(FIRST));
    ours.offer(item(state({ a: '1' }, { author: 2 })));
    ours.saveSome();
    damage(store, { space: 'gossip-states', key: THEM.peer, at: 115 });
    const again = replica({}, store);
    expect(again.damagedAtStart).toBe(1);
    expect(again.table.size).toBe(1);
    expect(store.get('gossip-states', THEM.peer)).toBeUndefined();
  });
});

describe('our own state in the store', () => {
  test.each([
    ['gossip-own-head', 'head', 0],
    ['gossip-own-head', 'head', 8],
    ['gossip-own-head', 'head', 20],
    ['gossip-own-head', 'head', 90],
    ['gossip-own', 'mine', 2],
    ['gossip-own', 'mine', 20],
  ])('damaged in %s/%s at byte %i is an error, never replaced', (space, key, at) => {
    const store = new MemoryStore();
    replica({}, store).write(new Map([['mine', utf8('a longer record of ours')]]));
    damage(store, { space, key, at });
    expect(() => replica({}, store)).toThrow(expect.objectContaining({ code: 'state-damaged' }));
    expect(store.get('gossip-own-head', 'head')).toBeDefined();
  });

  test('without one of its entries is an error', () => {
    const store = new MemoryStore();
    replica({}, store).write(new Map(['a', 'b'].map((key) => [key, utf8('1')])));
    store.delete('gossip-own', 'b');
    expect(() => replica({}, store)).toThrow(expect.objectContaining({ code: 'state-damaged' }));
  });

  test('one change writes two rows, with ten records and with a thousand', () => {
    const store = new CountingStore();
    const ours = replica({}, store);
    for (const count of [10, 1_000]) {
      ours.write(new Map(Array.from({ length: count }, (_, n) => [`record/${n}`, utf8(`of ${count}`)])));
      store.rows = 0;
      store.bytes = 0;
      ours.write(new Map([['record/5', utf8('changed')]]));
      expect(store.rows).toBe(2);
      expect(store.bytes).toBeLessThan(200);
    }
  });

  test('deleting for ever writes three rows a deletion on average, and keeps no more tombstones than records', () => {
    const store = new CountingStore();
    const ours = replica({}, store);
    const records = 100;
    ours.write(new Map(Array.from({ length: records }, (_, n) => [`stays/${n}`, utf8('1')])));
    store.rows = 0;
    const deletions = 300;
    for (let n = 0; n < deletions; n++) {
      ours.write(new Map([[`goes/${n}`, utf8('1')]]));
      ours.write(new Map([[`goes/${n}`, null]]));
    }
    expect(store.rows - 2 * deletions).toBeLessThanOrEqual(3 * deletions);
    expect(store.entries('gossip-own').length).toBeLessThanOrEqual(2 * records + 2);
  });

  test('after any changes a restart finds the state that was there, killed or cut off', () => {
    const random = new SeededRandom(24);
    let store = new MemoryStore();
    let ours = replica({ tombstonesMin: 3 }, store);
    for (let step = 0; step < 120; step++) {
      const changes = Array.from({ length: 1 + random.below(3) }, () => {
        const value = random.below(3) === 0 ? null : utf8(`${random.below(4)}`);
        return [`key${random.below(20)}`, value] as const;
      });
      ours.write(new Map(changes));
      if (random.below(4) !== 0) continue;
      store.cutPower();
      store = new MemoryStore(store.snapshot());
      const again = replica({ tombstonesMin: 3 }, store);
      expect(again.own).toEqual(ours.own);
      ours = again;
    }
    expect(ours.own?.floor).toBeGreaterThan(0);
  });

  test('a newer one that a neighbour has takes the place of all rows', () => {
    const store = new MemoryStore();
    replica({}, store).write(new Map([['old', utf8('1')]]));
    const newer = state({ a: '1' }, { from: state({ b: '1' }, { author: 0 }), author: 0 });
    expect(replica({}, store).offer(item(newer)).kind).toBe('installed');
    expect(replica({}, new MemoryStore(store.snapshot())).own?.packed).toEqual(newer.packed);
  });

  test('as versions of the database before 2 have it, in one piece, is read and kept in rows from then on', () => {
    const store = new MemoryStore();
    const whole = state({ a: '1', b: '2' }, { author: 0 });
    store.put('gossip-states', US.peer, wholeState(whole));
    const ours = replica({}, store);
    expect(ours.own).toEqual(whole);
    expect(store.get('gossip-states', US.peer)).toBeUndefined();
    ours.write(new Map([['c', utf8('3')]]));
    expect(replica({}, new MemoryStore(store.snapshot())).own).toEqual(ours.own);
  });

  test('damaged in one piece is an error, never replaced', () => {
    const store = new MemoryStore();
    store.put('gossip-states', US.peer, wholeState(state({ a: '1' }, { author: 0 })));
    damage(store, { space: 'gossip-states', key: US.peer, at: 20 });
    expect(() => replica({}, store)).toThrow(expect.objectContaining({ code: 'state-damaged' }));
    expect(store.get('gossip-states', US.peer)).toBeDefined();
  });
});

/** Counts what is written. */
class CountingStore extends MemoryStore {
  rows = 0;
  bytes = 0;

  override put(space: string, key: string, value: Uint8Array): void {
    this.rows++;
    this.bytes += value.length;
    super.put(space, key, value);
  }

  override delete(space: string, key: string): void {
    this.rows++;
    super.delete(space, key);
  }
}

/** A state of one's own as version 1 of the database keeps it. */
function wholeState({ version, floor, signature, identityKey, packed }: AuthorState): Uint8Array {
  const writer = new ByteWriter().u64(version).u64(floor);
  return writer.bytes(signature).bytes(identityKey).bytes(packed).finish();
}

function damage(store: MemoryStore, { space, key, at }: { space: string; key: string; at: number }): void {
  const value = store.get(space, key)!;
  value[at]! ^= 0x40;
  store.put(space, key, value);
}
