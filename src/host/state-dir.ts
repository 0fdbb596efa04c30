// The state directory of one host: its lock, its identity file and its database, which belong together. Nothing but the lock
// exists before admission. Afterwards each of the two files vouches for the other: a missing, empty, damaged or foreign
// one is reported (`state-damaged`) and never silently replaced.
//
//   fabric.lock     held by the daemon as long as it lives (SQLite's lock on an empty database: it dies with the process)
//   identity.json   who we are, cluster, token, genesis        fabric.db   everything else
//
// Admission writes the database first, unsealed, then the identity, then seals the database. A crash in between leaves an
// unsealed empty database without identity, which stands for "never admitted" and is the only thing ever removed.

import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import Database from 'better-sqlite3';
import type { Crypto, Store } from '../base/capabilities.ts';
import { assert, FabricError } from '../base/errors.ts';
import { type HostIdentity, readIdentityFile, writeIdentityFile } from './identity-file.ts';
import { openDatabase } from './sqlite-objects.ts';
import { SqliteStore } from './sqlite-store.ts';

const IDENTITY_FILE = 'identity.json';
const DATABASE_FILE = 'fabric.db';

/** f_type of file systems whose locks and fsync can't be relied on (statfs(2)). */
const NETWORK_FILE_SYSTEMS: ReadonlyMap<number, string> = new Map([
  [0x6969, 'NFS'],
  [0xff534d42, 'CIFS'],
  [0xfe534d42, 'SMB2'],
  [0x517b, 'SMB'],
  [0x01021997, '9p'],
]);

export interface StateDirOptions {
  readonly path: string;
  readonly crypto: Crypto;
  /** f_type of the directory's file system; default: statfs(2). */
  readonly fileSystemType?: (path: string) => number;
}

/** What a member of a cluster resumes with. */
export interface MemberState {
  readonly identity: HostIdentity;
  readonly store: Store;
}

export class StateDir {
  readonly path: string;
  readonly #crypto: Crypto;
  readonly #lock: Database.Database;
  #store: SqliteStore | null = null;

  private constructor(path: string, crypto: Crypto, lock: Database.Database) {
    this.path = path;
    this.#crypto = crypto;
    this.#lock = lock;
  }

  /** Makes the directory (0700) where there is none and locks it. Throws `state-locked` or `state-damaged`. */
  static open(options: StateDirOptions): StateDir {
    const path = resolve(options.path);
    makeDirectory(path);
    const type = (options.fileSystemType ?? ((where) => statfsSync(where).type))(path);
    const network = NETWORK_FILE_SYSTEMS.get(type >>> 0);
    if (network !== undefined) {
      throw new FabricError('state-damaged', {
        what: `the state directory ${path} is on a network file system`,
        why: `${network} does not keep locks and power-cut promises that addresses depend on`,
        fix: 'Give --state-dir a directory on a local disk',
      });
    }
    return new StateDir(path, options.crypto, takeLock(path));
  }

  /** False once {@link erase} has done its work, and where no host was ever admitted. */
  static holdsState(path: string): boolean {
    return [IDENTITY_FILE, DATABASE_FILE].some((name) => existsSync(join(path, name)));
  }

  /** The state of an admitted host; null when this host belongs to no cluster yet. Throws `state-damaged`. */
  resume(): MemberState | null {
    assert(this.#store === null, 'state is opened once');
    const identity = readIdentityFile(this.#identityPath, this.#crypto);
    if (identity === null) {
      this.#removeUnsealedDatabase();
      return null;
    }
    const store = SqliteStore.open(this.#databasePath);
    try {
      this.#matchOrThrow(store, identity);
    } catch (error) {
      store.close();
      throw error;
    }
    if (store.readMeta('sealed') === undefined) store.writeMeta('sealed', '1');
    this.#store = store;
    return { identity, store };
  }

  /** Makes the admission durable: identity and an empty database. The host must have none. */
  admit(identity: HostIdentity): Store {
    assert(this.#store === null, 'state is opened once');
    assert(readIdentityFile(this.#identityPath, this.#crypto) === null, 'an identity is never replaced by another');
    this.#removeUnsealedDatabase();
    const store = SqliteStore.create(this.#databasePath);
    store.writeMeta('peer', identity.keys.peer);
    store.writeMeta('cluster', identity.token.clusterId);
    writeIdentityFile(this.#identityPath, identity, this.#crypto);
    store.writeMeta('sealed', '1');
    this.#store = store;
    return store;
  }

  /** A rotated token, e.g.; keys and cluster stay what they are. */
  updateIdentity(identity: HostIdentity): void {
    const current = readIdentityFile(this.#identityPath, this.#crypto);
    const same = current?.keys.peer === identity.keys.peer && current.token.clusterId === identity.token.clusterId;
    assert(same, 'an identity is never replaced by another');
    writeIdentityFile(this.#identityPath, identity, this.#crypto);
  }

  /** Removes all state, also damaged state (`fabric reset`); the lock stays held until close(). */
  erase(): void {
    this.#store?.close();
    this.#store = null;
    for (const suffix of ['', '-wal', '-shm']) rmSync(this.#databasePath + suffix, { force: true });
    for (const suffix of ['', '.new']) rmSync(this.#identityPath + suffix, { force: true });
  }

  /** Closes the database and lets the lock go. Idempotent. */
  close(): void {
    this.#store?.close();
    this.#store = null;
    if (!this.#lock.open) return;
    rmSync(join(this.path, 'fabric.pid'), { force: true });
    this.#lock.close();
  }

  get #identityPath(): string {
    return join(this.path, IDENTITY_FILE);
  }

  get #databasePath(): string {
    return join(this.path, DATABASE_FILE);
  }

  #matchOrThrow(store: SqliteStore, identity: HostIdentity): void {
    const owner = `${store.readMeta('peer')} in cluster ${store.readMeta('cluster')}`;
    const expected = `${identity.keys.peer} in cluster ${identity.token.clusterId}`;
    if (owner === expected) return;
    throw new FabricError('state-damaged', {
      what: `the state directory ${this.path} is mixed of two hosts`,
      why: `identity.json is of peer ${expected}, fabric.db of peer ${owner}`,
      fix: 'Restore both files of one host from a backup',
    });
  }

  #removeUnsealedDatabase(): void {
    if (statSync(this.#databasePath, { throwIfNoEntry: false }) === undefined) return;
    if (!isUnsealed(this.#databasePath)) {
      throw new FabricError('state-damaged', {
        what: `the state directory ${this.path} is damaged`,
        why: 'identity.json is missing beside fabric.db',
        fix: "Restore identity.json from a backup, or remove this host with 'fabric reset --force' and join again",
      });
    }
    for (const suffix of ['', '-wal', '-shm']) rmSync(this.#databasePath + suffix, { force: true });
  }
}

/** True for what a crash in mid-admission leaves: no identity was ever durable beside it, so nothing depends on it. */
function isUnsealed(databasePath: string): boolean {
  if (statSync(databasePath).size === 0) return true;
  const store = SqliteStore.open(databasePath);
  try {
    return store.readMeta('sealed') === undefined && store.isEmpty();
  } finally {
    store.close();
  }
}

function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    chmodSync(path, 0o700);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const fix = 'Run as root, or name a directory of your own with --state-dir';
    throw new FabricError('usage', { what: `the state directory ${path} can't be made`, why, fix }, { cause: error });
  }
}

function takeLock(directory: string): Database.Database {
  const path = join(directory, 'fabric.lock');
  const pidPath = join(directory, 'fabric.pid');
  // Only where it is missing: closing any other descriptor of the file would let this process's lock go (POSIX).
  if (statSync(path, { throwIfNoEntry: false }) === undefined) closeSync(openSync(path, 'a', 0o600));
  const lock = openDatabase(path, { timeout: 0 });
  try {
    lock.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    lock.close();
    if (!(error instanceof Database.SqliteError)) throw error;
    if (!error.code.startsWith('SQLITE_BUSY')) {
      const fix = `Remove ${path}: it carries nothing but the lock`;
      throw new FabricError('state-damaged', { what: `the lock ${path} is damaged`, why: error.message, fix });
    }
    throw new FabricError('state-locked', {
      what: `the state directory ${directory} is in use`,
      why: `another fabric daemon has locked it${readPid(pidPath)}`,
      fix: "It runs already: fabric status. To launch it with other flags, end it first ('fabric stop'; SIGTERM keeps traffic going); a second one needs a --state-dir of its own",
    });
  }
  writeFileSync(pidPath, `${process.pid}\n`, { mode: 0o600 });
  return lock;
}

/** For the message only; the lock is what counts. */
function readPid(path: string): string {
  if (statSync(path, { throwIfNoEntry: false }) === undefined) return '';
  const text = readFileSync(path, 'utf8').trim();
  return /^\d{1,10}$/.test(text) ? ` (pid ${text})` : '';
}
