import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ByteWriter, utf8 } from '../../src/base/bytes.ts';
import { GOSSIP_LIMITS } from '../../src/gossip/limits.ts';
import { FIRST_VERSION, type MapVersion, nextVersion } from '../../src/gossip/own-map.ts';
import {
  applyDelta,
  changesBetween,
  EMPTY_MAP,
  entriesOf,
  inspectMap,
  lookUp,
  packEntry,
  unknownTo,
} from '../../src/gossip/packed-map.ts';
import { readEntries, writeEntries } from '../../src/gossip/wire-entries.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';

const LIMITS = { ...GOSSIP_LIMITS, tombstonesMin: 3 };
const BOUNDS = { version: 100, floor: 10, entriesMax: 4, valueBytesMax: 8 };

type Row = readonly [key: string, version: number, value: string | null];

function pack(...rows: readonly Row[]): Uint8Array {
  const writer = new ByteWriter();
  for (const [key, version, value] of rows) packEntry(writer, key, version, value === null ? null : utf8(value));
  return writer.finish();
}

describe('inspectMap', () => {
  test.each<[string, Uint8Array, object | null]>([
    ['the empty map', EMPTY_MAP, { live: 0, tombstones: 0 }],
    ['entries in order', pack(['a', 1, 'x'], ['b', 100, null]), { live: 1, tombstones: 1 }],
    ['an empty value', pack(['a', 1, '']), { live: 1, tombstones: 0 }],
    ['keys out of order', pack(['b', 1, 'x'], ['a', 1, 'x']), null],
    ['a key twice', pack(['a', 1, 'x'], ['a', 2, 'x']), null],
    ['an empty key', pack(['', 1, 'x']), null],
    ['a key with a space', pack(['a b', 1, 'x']), null],
    ['a key of 129 bytes', pack(['k'.repeat(129), 1, 'x']), null],
    ['version 0', pack(['a', 0, 'x']), null],
    ['a version above the head', pack(['a', 101, 'x']), null],
    ['a tombstone at the floor', pack(['a', 10, null]), null],
    ['a live entry below the floor', pack(['a', 9, 'x']), { live: 1, tombstones: 0 }],
    ['a value too long', pack(['a', 1, '123456789']), null],
    ['too many entries', pack(['a', 1, ''], ['b', 1, ''], ['c', 1, ''], ['d', 1, ''], ['e', 1, '']), null],
    ['a cut entry', pack(['a', 1, 'xyz']).subarray(0, 12), null],
    ['trailing bytes', Uint8Array.of(...pack(['a', 1, 'x']), 0), null],
  ])('%s', (_name, packed, shape) => {
    expect(inspectMap(packed, BOUNDS)).toEqual(shape);
  });

  test('arbitrary bytes never throw, and what passes can be walked', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        const shape = inspectMap(bytes, { ...BOUNDS, version: Number.MAX_SAFE_INTEGER, valueBytesMax: 1000 });
        if (shape !== null) expect([...entriesOf(bytes)]).toHaveLength(shape.live + shape.tombstones);
      }),
    );
  });
});

test('a batch that changes nothing makes no version', () => {
  const state = nextVersion(FIRST_VERSION, new Map([['a', utf8('1')]]), LIMITS)!;
  expect(nextVersion(state, new Map([['a', utf8('1')]]), LIMITS)).toBeNull();
  expect(nextVersion(state, new Map([['b', null]]), LIMITS)).toBeNull();
});

test.each<[string, string, Uint8Array]>([
  ['an empty key', '', utf8('x')],
  ['a key that is no ASCII', 'é', utf8('x')],
  ['a value too long', 'a', new Uint8Array(GOSSIP_LIMITS.valueBytesMax + 1)],
])('%s is refused as a limit', (_name, key, value) => {
  expect(() => nextVersion(FIRST_VERSION, new Map([[key, value]]), LIMITS)).toThrow(
    expect.objectContaining({ code: 'limit' }),
  );
});

test('more records than one host may publish are refused as a limit', () => {
  const batch = new Map(Array.from({ length: 5 }, (_, i) => [`k${i}`, utf8('x')] as const));
  const limits = { ...LIMITS, entriesMax: 4 };
  expect(() => nextVersion(FIRST_VERSION, batch, limits)).toThrow(expect.objectContaining({ code: 'limit' }));
});

test('random histories: every delta above the floor leads to the same bytes, and a plain Map is the oracle', () => {
  for (let seed = 1; seed <= 8; seed++) {
    const random = new SeededRandom(seed);
    const oracle = new Map<string, string>();
    const history: MapVersion[] = [FIRST_VERSION];
    for (let step = 0; step < 45; step++) {
      const batch = new Map<string, Uint8Array | null>();
      for (let i = 0; i <= random.below(3); i++) {
        const key = `key/${random.below(15)}`;
        const value = random.fraction() < 0.55 ? null : `${random.below(5)}`;
        batch.set(key, value === null ? null : utf8(value));
        if (value === null) oracle.delete(key);
        else oracle.set(key, value);
      }
      const current = history[history.length - 1]!;
      const next = nextVersion(current, batch, LIMITS);
      if (next === null) continue;
      expect(next.version).toBe(current.version + 1);
      expect(next.floor).toBeGreaterThanOrEqual(current.floor);
      expect(inspectMap(next.packed, { ...LIMITS, ...next })).toEqual(next.shape);
      expect(applyDelta(current.packed, next.delta, next.floor)).toEqual(next.packed);
      expect(next.shape.tombstones).toBeLessThanOrEqual(Math.max(LIMITS.tombstonesMin, next.shape.live));
      const live = [...entriesOf(next.packed)].filter((entry) => entry.value !== null);
      expect(live.map(({ key, value }) => [key, new TextDecoder().decode(value!)])).toEqual(
        [...oracle].sort(([a], [b]) => (a < b ? -1 : 1)),
      );
      for (const old of history) {
        if (old.version < next.floor) continue;
        expect(applyDelta(old.packed, deltaOf(next, old.version), next.floor)).toEqual(next.packed);
        expectChanges(old.packed, next.packed);
      }
      history.push(next);
    }
    expect(history[history.length - 1]!.floor).toBeGreaterThan(0);
  }
});

/** What a holder of `since` lacks, by way of the wire. */
function deltaOf({ packed, version }: MapVersion, since: number): Uint8Array {
  return readEntries(writeEntries(packed, { version, since }), version)!;
}

function expectChanges(before: Uint8Array, after: Uint8Array): void {
  const records = new Map<string, Uint8Array>();
  for (const { key, value } of entriesOf(before)) if (value !== null) records.set(key, value);
  for (const { key, value } of changesBetween(before, after)) {
    if (value === null) records.delete(key);
    else records.set(key, value);
  }
  for (const [key, value] of records) expect(lookUp(after, key)).toEqual(value);
  expect(records.size).toBe([...entriesOf(after)].filter((entry) => entry.value !== null).length);
}

test('random forks: what one branch changed and the other does not know, but for deletions below its floor', () => {
  const random = new SeededRandom(11);
  const write = (from: MapVersion, count: number): { readonly map: MapVersion; readonly changed: Set<string> } => {
    let map = from;
    const changed = new Set<string>();
    for (let i = 0; i < count; i++) {
      const key = `k${random.below(8)}`;
      const value = random.fraction() < 0.4 ? null : utf8(`${random.below(3)}`);
      const next = nextVersion(map, new Map([[key, value]]), LIMITS);
      if (next === null) continue;
      map = next;
      changed.add(key);
    }
    return { map, changed };
  };
  let found = 0;
  for (let round = 0; round < 500; round++) {
    const { map: common } = write(FIRST_VERSION, random.below(12));
    const [ours, theirs] = [write(common, random.below(6)), write(common, random.below(6))];
    const said = unknownTo(theirs.map, ours.map.packed);
    for (const { key, value } of said) {
      expect(ours.changed).toContain(key);
      expect(value).toEqual(lookUp(ours.map.packed, key));
    }
    // Nobody else touched it: it is said, unless the other one could have deleted it.
    for (const key of ours.changed) {
      const value = lookUp(ours.map.packed, key);
      const isPlain = !theirs.changed.has(key) && theirs.map.floor === common.floor && value !== null;
      const differs = isPlain && String(value) !== String(lookUp(common.packed, key));
      if (differs) expect(said.map((change) => change.key)).toContain(key);
      if (differs) found++;
    }
    expect(unknownTo(ours.map, common.packed)).toEqual([]);
  }
  expect(found).toBeGreaterThan(250);
});
