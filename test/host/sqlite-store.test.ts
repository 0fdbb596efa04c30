import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { describe, expect, test } from 'vitest';
import { utf8 } from '../../src/base/bytes.ts';
import { FabricError } from '../../src/base/errors.ts';
import { MIGRATIONS, SqliteStore } from '../../src/host/sqlite-store.ts';
import { describeStore } from '../base/store-contract.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';
import { temporaryDirectory } from '../fakes/temporary-directory.ts';

/** What a power cut leaves: both files as the disk holds them, the WAL perhaps torn. */
function copyAsAfterPowerCut(from: string, to: string, walLength?: number): void {
  copyFileSync(from, to);
  if (!existsSync(`${from}-wal`)) return;
  copyFileSync(`${from}-wal`, `${to}-wal`);
  if (walLength !== undefined) truncateSync(`${to}-wal`, walLength);
}

describeStore('SqliteStore', () => {
  const directory = mkdtempSync(join(tmpdir(), 'fabric-store-'));
  const store = SqliteStore.create(join(directory, 'fabric.db'));
  const copies: SqliteStore[] = [];
  return {
    store,
    powerCut() {
      const path = join(directory, `copy${copies.length}.db`);
      copyAsAfterPowerCut(store.path, path);
      copies.push(SqliteStore.open(path));
      return copies.at(-1)!;
    },
    close() {
      for (const one of [store, ...copies]) one.close();
      rmSync(directory, { recursive: true });
    },
  };
});

function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof FabricError) return error.code;
    throw error;
  }
  return 'no error';
}

describe('SqliteStore file', () => {
  test('is 0600, as are its companions, and survives close and open', () => {
    const path = join(temporaryDirectory(), 'fabric.db');
    const store = SqliteStore.create(path);
    store.put('a', 'x', utf8('1'));
    for (const suffix of ['', '-wal', '-shm']) expect(statSync(path + suffix).mode & 0o777).toBe(0o600);
    store.close();
    const again = SqliteStore.open(path);
    expect(again.get('a', 'x')).toEqual(utf8('1'));
    again.close();
  });

  test('a torn WAL keeps a prefix of whole transactions', () => {
    const directory = temporaryDirectory();
    const store = SqliteStore.create(join(directory, 'fabric.db'));
    for (let step = 1; step <= 40; step++) {
      store.transaction(() => {
        for (const key of ['a', 'b', 'c']) store.put(key, key, utf8(`${step}${'.'.repeat(step * 50)}`));
      });
    }
    const walSize = statSync(`${store.path}-wal`).size;
    const random = new SeededRandom(3);
    for (let cut = 0; cut < 25; cut++) {
      const path = join(directory, `cut${cut}.db`);
      copyAsAfterPowerCut(store.path, path, random.below(walSize));
      try {
        const torn = SqliteStore.open(path);
        const values = ['a', 'b', 'c'].map((key) => torn.get(key, key));
        expect(values[1]).toEqual(values[0]);
        expect(values[2]).toEqual(values[0]);
        torn.close();
      } catch (error) {
        // Cut before the schema itself was durable: there is no database yet, and that is said.
        expect(error).toBeInstanceOf(FabricError);
      }
    }
    store.close();
  });

  test.each<[string, (path: string) => void]>([
    ['missing', (path) => rmSync(path)],
    ['empty', (path) => truncateSync(path, 0)],
    ['cut short', (path) => truncateSync(path, 5_000)],
    ['overwritten with text', (path) => writeFileSync(path, 'not a database '.repeat(1_000))],
    ['overwritten in its header', (path) => overwrite(path, 0, 100)],
    ['overwritten in a page', (path) => overwrite(path, 4_096, 2_000)],
    ['another program’s database', (path) => makeForeign(path)],
  ])('a database that is %s is reported and left alone', (_, damage) => {
    const path = join(temporaryDirectory(), 'fabric.db');
    const store = SqliteStore.create(path);
    for (let n = 0; n < 200; n++) store.put('space', `key${n}`, new Uint8Array(200).fill(n));
    store.close();
    damage(path);
    const before = existsSync(path) ? readFileSync(path) : null;
    expect(codeOf(() => SqliteStore.open(path))).toBe('state-damaged');
    expect(existsSync(path) ? readFileSync(path) : null).toEqual(before);
  });

  test('create never touches an existing file', () => {
    const path = join(temporaryDirectory(), 'fabric.db');
    writeFileSync(path, 'precious');
    expect(() => SqliteStore.create(path)).toThrow('EEXIST');
    expect(readFileSync(path, 'utf8')).toBe('precious');
  });

  test('migrates forward and refuses what a newer version wrote', () => {
    const path = join(temporaryDirectory(), 'fabric.db');
    const store = SqliteStore.create(path);
    store.put('a', 'x', utf8('1'));
    store.close();
    const newer = [...MIGRATIONS, 'CREATE TABLE extra (x INTEGER) STRICT'];
    const migrated = SqliteStore.open(path, newer);
    expect(migrated.get('a', 'x')).toEqual(utf8('1'));
    migrated.close();
    expect(codeOf(() => SqliteStore.open(path))).toBe('version-mismatch');
    SqliteStore.open(path, newer).close();
  });

  test('a migration that fails changes nothing', () => {
    const path = join(temporaryDirectory(), 'fabric.db');
    SqliteStore.create(path).close();
    expect(codeOf(() => SqliteStore.open(path, [...MIGRATIONS, 'CREATE TABLE t (x) STRICT; nonsense']))).toBe(
      'state-damaged',
    );
    SqliteStore.open(path).close();
  });
});

function overwrite(path: string, offset: number, length: number): void {
  const bytes = readFileSync(path);
  bytes.fill(0x5a, offset, offset + length);
  writeFileSync(path, bytes);
}

function makeForeign(path: string): void {
  rmSync(path);
  const foreign = new Database(path);
  foreign.exec('CREATE TABLE bookmarks (url TEXT)');
  foreign.close();
}
