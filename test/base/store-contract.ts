// What every Store promises (src/base/capabilities.ts): the suite that each implementation runs. `open` gives an empty store;
// `reopen` gives the store as a power cut at this moment would leave it.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { utf8 } from '../../src/base/bytes.ts';
import type { Store } from '../../src/base/capabilities.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';

export interface StoreUnderTest {
  readonly store: Store;
  powerCut(): Store;
  close(): void;
}

export function describeStore(name: string, open: () => StoreUnderTest): void {
  describe(`store contract: ${name}`, () => {
    let subject: StoreUnderTest;
    beforeEach(() => {
      subject = open();
    });
    afterEach(() => subject.close());

    test('an absent key is undefined, an empty space has no entries, deleting nothing is no error', () => {
      expect(subject.store.get('a', 'x')).toBeUndefined();
      expect(subject.store.entries('a')).toEqual([]);
      subject.store.delete('a', 'x');
    });

    test('values are replaced and deleted, spaces are apart', () => {
      const { store } = subject;
      store.put('a', 'x', utf8('1'));
      store.put('b', 'x', utf8('2'));
      store.put('a', 'x', utf8('3'));
      expect(store.get('a', 'x')).toEqual(utf8('3'));
      store.delete('a', 'x');
      expect(store.get('a', 'x')).toBeUndefined();
      expect(store.get('b', 'x')).toEqual(utf8('2'));
    });

    test('entries ascend by code unit, whatever the script', () => {
      const keys = ['', 'B', 'a', 'a\u0000', 'é', '\ue000', '\u{1f600}', 'a/b', '10', '9'];
      for (const key of keys) subject.store.put('s', key, utf8(key));
      expect(subject.store.entries('s').map(([key]) => key)).toEqual([...keys].sort());
    });

    test('keeps no reference to what it was given nor lends what it holds', () => {
      const value = utf8('abc');
      subject.store.put('a', 'x', value);
      value.fill(0);
      subject.store.get('a', 'x')!.fill(0);
      subject.store.entries('a')[0]![1].fill(0);
      expect(subject.store.get('a', 'x')).toEqual(utf8('abc'));
    });

    test('values of any size come back, empty ones too', () => {
      for (const size of [0, 1, 4_095, 4_096, 100_000]) {
        const value = new SeededRandom(size).bytes(size);
        subject.store.put('a', String(size), value);
        expect(subject.store.get('a', String(size))).toEqual(value);
      }
    });

    test('a transaction returns its result and sees its own writes', () => {
      const result = subject.store.transaction(() => {
        subject.store.put('a', 'x', utf8('1'));
        return subject.store.get('a', 'x');
      });
      expect(result).toEqual(utf8('1'));
    });

    test('a transaction that throws leaves nothing and the store goes on', () => {
      const { store } = subject;
      store.put('a', 'x', utf8('1'));
      const failing = (): void =>
        store.transaction(() => {
          store.put('a', 'x', utf8('2'));
          store.delete('a', 'x');
          store.put('b', 'y', utf8('3'));
          throw new Error('midway');
        });
      expect(failing).toThrow('midway');
      expect(store.get('a', 'x')).toEqual(utf8('1'));
      expect(store.entries('b')).toEqual([]);
      store.transaction(() => store.put('b', 'y', utf8('4')));
      expect(store.get('b', 'y')).toEqual(utf8('4'));
    });

    test('transactions do not nest', () => {
      expect(() => subject.store.transaction(() => subject.store.transaction(() => 0))).toThrow('do not nest');
    });

    test('what was committed survives a power cut, what was not is gone whole', () => {
      const { store } = subject;
      const random = new SeededRandom(11);
      const expected = new Map<string, number>();
      for (let step = 0; step < 60; step++) {
        const fails = random.below(4) === 0;
        try {
          store.transaction(() => {
            for (let n = 0; n < 3; n++) store.put('s', `k${random.below(8)}/${n}`, utf8(String(step)));
            if (fails) throw new Error('midway');
          });
          for (const [key, value] of store.entries('s')) expected.set(key, Number(new TextDecoder().decode(value)));
        } catch (error) {
          if (!fails) throw error;
        }
      }
      const after = subject.powerCut().entries('s');
      expect(new Map(after.map(([key, value]) => [key, Number(new TextDecoder().decode(value))]))).toEqual(expected);
    });

    test('what was not synced is durable with the next write that is, and kept without any', () => {
      const { store } = subject;
      store.unsynced(() => {
        store.put('s', 'first', utf8('1'));
        store.transaction(() => store.put('s', 'second', utf8('2')));
      });
      expect(store.get('s', 'second')).toEqual(utf8('2'));
      expect(() =>
        store.unsynced(() => {
          throw new Error('midway');
        }),
      ).toThrow('midway');
      store.put('t', 'synced', utf8('3'));
      const after = subject.powerCut();
      expect(after.entries('s').map(([key]) => key)).toEqual(['first', 'second']);
      expect(after.get('t', 'synced')).toEqual(utf8('3'));
    });
  });
}
