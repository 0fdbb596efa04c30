// The Store capability on SQLite: one file, WAL, synchronous=FULL, so that what a transaction wrote survives a power cut
// once it returned. The file carries an application id and a schema version that only migrates forward; it is checked
// at open, and whatever is wrong with it becomes `state-damaged`: it is never replaced or repaired behind the operator.

import { closeSync, fsyncSync, openSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import Database from 'better-sqlite3';
import type { Store } from '../base/capabilities.ts';
import { assert, type Explanation, FabricError } from '../base/errors.ts';
import { openDatabase, prepare, readPragma } from './sqlite-objects.ts';

/** `fabr`: tells our database from any other SQLite file. */
const APPLICATION_ID = 0x66616272;
/** Written to find out whether writing works. */
const PROBE_KEY = 'write-probe';
/** For a backup that reads the file just now; a second daemon is kept out by the state directory's lock. */
const BUSY_TIMEOUT_MS = 1_000;

/** Step n takes a file from schema version n to n + 1. Steps are only ever appended. */
export const MIGRATIONS: readonly string[] = [
  `CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
   CREATE TABLE entries (
     space TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL,
     PRIMARY KEY (space, key)
   ) STRICT, WITHOUT ROWID;`,
  // The tables stay. A version that does not know the rows of src/gossip/own-rows.ts would publish under numbers that are used.
  'SELECT 1',
];

export class SqliteStore implements Store {
  readonly path: string;
  readonly #database: Database.Database;
  readonly #get: Database.Statement<[string, string], { value: Buffer }>;
  readonly #put: Database.Statement<[string, string, Uint8Array]>;
  readonly #delete: Database.Statement<[string, string]>;
  readonly #entries: Database.Statement<[string], { key: string; value: Buffer }>;
  readonly #anyEntry: Database.Statement<[]>;
  readonly #getMeta: Database.Statement<[string], { value: string }>;
  readonly #putMeta: Database.Statement<[string, string]>;
  #inTransaction = false;
  /** Of the last write, while none has succeeded since. */
  #fault: Explanation | null = null;

  private constructor(path: string, database: Database.Database) {
    this.path = path;
    this.#database = database;
    this.#get = prepare(database, 'SELECT value FROM entries WHERE space = ? AND key = ?');
    this.#put = prepare(database, 'INSERT OR REPLACE INTO entries (space, key, value) VALUES (?, ?, ?)');
    this.#delete = prepare(database, 'DELETE FROM entries WHERE space = ? AND key = ?');
    this.#entries = prepare(database, 'SELECT key, value FROM entries WHERE space = ?');
    this.#anyEntry = prepare(database, 'SELECT 1 FROM entries LIMIT 1');
    this.#getMeta = prepare(database, 'SELECT value FROM meta WHERE key = ?');
    this.#putMeta = prepare(database, 'INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)');
  }

  /** Makes a new database, mode 0600, durable together with its directory entry; the file must not exist. */
  static create(path: string, migrations: readonly string[] = MIGRATIONS): SqliteStore {
    return guarded(path, () => {
      closeSync(openSync(path, 'wx', 0o600));
      const database = openDatabase(path, { fileMustExist: true, timeout: BUSY_TIMEOUT_MS });
      try {
        configure(database);
        database.exec(`PRAGMA application_id = ${APPLICATION_ID}`);
        migrate(database, path, migrations);
        fsyncDirectory(dirname(path));
        return new SqliteStore(path, database);
      } catch (error) {
        database.close();
        throw error;
      }
    });
  }

  /** Opens an existing database, checks its integrity and migrates it. Throws `state-damaged` or `version-mismatch`. */
  static open(path: string, migrations: readonly string[] = MIGRATIONS): SqliteStore {
    return guarded(path, () => {
      const size = statSync(path, { throwIfNoEntry: false })?.size;
      if (size === undefined) throw damaged(path, 'the file is missing');
      if (size === 0) throw damaged(path, 'the file is empty');
      const database = openDatabase(path, { fileMustExist: true, timeout: BUSY_TIMEOUT_MS });
      try {
        check(database, path); // before anything is written: it may not be ours
        configure(database);
        migrate(database, path, migrations);
        return new SqliteStore(path, database);
      } catch (error) {
        database.close();
        throw error;
      }
    });
  }

  get(space: string, key: string): Uint8Array | undefined {
    return guarded(this.path, () => {
      const row = this.#get.get(space, key);
      return row === undefined ? undefined : new Uint8Array(row.value);
    });
  }

  put(space: string, key: string, value: Uint8Array): void {
    this.#written(() => this.#put.run(space, key, value));
  }

  delete(space: string, key: string): void {
    this.#written(() => this.#delete.run(space, key));
  }

  entries(space: string): readonly (readonly [key: string, value: Uint8Array])[] {
    const rows = guarded(this.path, () => this.#entries.all(space));
    // SQLite orders by UTF-8 bytes, the contract by UTF-16 code unit.
    return rows
      .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
      .map(({ key, value }) => [key, new Uint8Array(value)] as const);
  }

  transaction<T>(work: () => T): T {
    assert(!this.#inTransaction, 'transactions do not nest');
    this.#inTransaction = true;
    try {
      guarded(this.path, () => this.#database.exec('BEGIN IMMEDIATE'));
      const result = work();
      this.#written(() => this.#database.exec('COMMIT'));
      return result;
    } catch (error) {
      // SQLite has already rolled back by itself after some failures, e.g. a full disk.
      if (this.#database.inTransaction) this.#database.exec('ROLLBACK');
      throw error;
    } finally {
      this.#inTransaction = false;
    }
  }

  /** In WAL mode a commit with synchronous=NORMAL is appended only; the next FULL one syncs the log with all before it. */
  unsynced<T>(work: () => T): T {
    assert(!this.#inTransaction, 'a transaction is synced as a whole or not at all');
    guarded(this.path, () => this.#database.exec('PRAGMA synchronous = NORMAL'));
    try {
      return work();
    } finally {
      guarded(this.path, () => this.#database.exec('PRAGMA synchronous = FULL'));
    }
  }

  /** Facts about the database itself, e.g. whose it is; outside the spaces. */
  readMeta(key: string): string | undefined {
    return guarded(this.path, () => this.#getMeta.get(key))?.value;
  }

  writeMeta(key: string, value: string): void {
    this.#written(() => this.#putMeta.run(key, value));
  }

  /** After a write that failed it tries another one at each call, so that it ends with what caused it. */
  writeFault(): Explanation | null {
    if (this.#fault === null || this.#inTransaction) return this.#fault;
    try {
      this.writeMeta(PROBE_KEY, '');
    } catch (error) {
      if (!(error instanceof FabricError)) throw error;
    }
    return this.#fault;
  }

  #written(write: () => void): void {
    try {
      guarded(this.path, write);
      if (!this.#database.inTransaction) this.#fault = null;
    } catch (error) {
      if (error instanceof FabricError) this.#fault = error.explanation;
      throw error;
    }
  }

  /** True when no space holds anything. */
  isEmpty(): boolean {
    return guarded(this.path, () => this.#anyEntry.get()) === undefined;
  }

  /** Folds the WAL into the file. Idempotent. */
  close(): void {
    this.#database.close();
  }
}

function configure(database: Database.Database): void {
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF');
}

function check(database: Database.Database, path: string): void {
  if (readPragma(database, 'application_id') !== APPLICATION_ID) {
    throw damaged(path, 'it is not a database of fabric');
  }
  const verdict = readPragma(database, 'quick_check(1)');
  if (verdict !== 'ok') throw damaged(path, String(verdict));
}

function migrate(database: Database.Database, path: string, migrations: readonly string[]): void {
  const version = Number(readPragma(database, 'user_version'));
  if (version > migrations.length) {
    throw new FabricError('version-mismatch', {
      what: `the state in ${path} was written by a newer fabric`,
      why: `its schema version is ${version}, this one knows ${migrations.length}`,
      fix: 'Start the newer version again, or give this host a fresh state directory',
    });
  }
  for (let step = version; step < migrations.length; step++) {
    try {
      database.exec(`BEGIN IMMEDIATE; ${migrations[step]!}; PRAGMA user_version = ${step + 1}; COMMIT`);
    } catch (error) {
      if (database.inTransaction) database.exec('ROLLBACK');
      throw error;
    }
  }
}

function damaged(path: string, why: string, cause?: unknown): FabricError {
  return new FabricError(
    'state-damaged',
    {
      what: `the state database ${path} is damaged`,
      why,
      fix: "Restore the state directory from a backup, or remove this host with 'fabric reset --force' and join again",
    },
    { cause },
  );
}

/** SQLite's and the file system's errors in our words; everything else passes. */
function guarded<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof Database.SqliteError)) throw error;
    if (error.code === 'SQLITE_FULL') {
      const what = `the state database ${path} can't be written`;
      throw new FabricError('limit', { what, why: 'the disk is full', fix: 'Free some space' }, { cause: error });
    }
    if (error.code.startsWith('SQLITE_BUSY')) {
      const what = `the state database ${path} is in use`;
      const fix = 'End the other program that has it open';
      throw new FabricError('state-locked', { what, why: error.message, fix }, { cause: error });
    }
    throw damaged(path, error.message, error);
  }
}

export function fsyncDirectory(path: string): void {
  const descriptor = openSync(path, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
