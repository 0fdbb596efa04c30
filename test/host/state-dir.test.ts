import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { toHex, utf8 } from '../../src/base/bytes.ts';
import { FabricError } from '../../src/base/errors.ts';
import { formatToken, generateToken } from '../../src/base/token.ts';
import {
  generateHostKeys,
  type HostIdentity,
  readIdentityFile,
  writeIdentityFile,
} from '../../src/host/identity-file.ts';
import { nodeCrypto } from '../../src/host/node-crypto.ts';
import { SqliteStore } from '../../src/host/sqlite-store.ts';
import { StateDir } from '../../src/host/state-dir.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';
import { temporaryDirectory } from '../fakes/temporary-directory.ts';

function identityOf(seed: number): HostIdentity {
  const random = new SeededRandom(seed);
  const keys = generateHostKeys(random, nodeCrypto);
  return {
    keys,
    token: generateToken(random),
    older: [],
    graceEndsMs: null,
    untold: false,
    genesis: random.bytes(300),
  };
}

function open(path: string): StateDir {
  return StateDir.open({ path, crypto: nodeCrypto });
}

/** A state directory that was admitted, used and closed. */
function memberDirectory(seed = 1): string {
  const path = join(temporaryDirectory(), 'state');
  const state = open(path);
  state.admit(identityOf(seed)).put('a', 'x', utf8('1'));
  state.close();
  return path;
}

function refusal(path: string): FabricError | null {
  const state = open(path);
  try {
    state.resume();
    return null;
  } catch (error) {
    if (error instanceof FabricError) return error;
    throw error;
  } finally {
    state.close();
  }
}

describe('state directory', () => {
  test('a fresh one holds nothing but the lock until admission', () => {
    const path = join(temporaryDirectory(), 'deep', 'state');
    const state = open(path);
    expect(statSync(path).mode & 0o777).toBe(0o700);
    expect(state.resume()).toBeNull();
    expect(existsSync(join(path, 'identity.json'))).toBe(false);
    expect(existsSync(join(path, 'fabric.db'))).toBe(false);
    state.close();
  });

  test('an admitted host resumes with identity and data, all 0600', () => {
    const path = memberDirectory();
    const state = open(path);
    const member = state.resume()!;
    expect(member.identity).toEqual(identityOf(1));
    expect(member.store.get('a', 'x')).toEqual(utf8('1'));
    for (const file of ['identity.json', 'fabric.db']) expect(statSync(join(path, file)).mode & 0o777).toBe(0o600);
    state.close();
  });

  test('too open a directory is closed again', () => {
    const path = memberDirectory();
    chmodSync(path, 0o755);
    open(path).close();
    expect(statSync(path).mode & 0o777).toBe(0o700);
  });

  test('a second daemon is refused, and let in after the first has closed', () => {
    const path = memberDirectory();
    const first = open(path);
    expect(() => open(path)).toThrow(/is in use: another fabric daemon has locked it \(pid \d+\)/);
    first.close();
    open(path).close();
  });

  test('the lock dies with its process', async () => {
    const path = memberDirectory();
    const script = `
      const Database = require('better-sqlite3');
      const lock = new Database(${JSON.stringify(join(path, 'fabric.lock'))});
      lock.exec('BEGIN EXCLUSIVE');
      process.stdout.write('locked');
      setInterval(() => lock.open, 1000);`;
    const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(child.stdout, 'data');
    expect(() => open(path)).toThrow('is in use');
    child.kill('SIGKILL');
    await once(child, 'exit');
    open(path).close();
  });

  test('NFS is refused', () => {
    const path = temporaryDirectory();
    expect(() => StateDir.open({ path, crypto: nodeCrypto, fileSystemType: () => 0x6969 })).toThrow('NFS');
  });

  test.each<[string, (path: string) => void, string]>([
    ['a missing database', (path) => rmSync(join(path, 'fabric.db')), 'the file is missing'],
    ['an empty database', (path) => truncateSync(join(path, 'fabric.db'), 0), 'the file is empty'],
    ['a damaged database', (path) => writeFileSync(join(path, 'fabric.db'), 'x'.repeat(9_000)), 'not a database'],
    ['a missing identity', (path) => rmSync(join(path, 'identity.json')), 'identity.json is missing'],
    ['an empty identity', (path) => truncateSync(join(path, 'identity.json'), 0), 'the file is empty'],
    ['an identity cut short', (path) => truncateSync(join(path, 'identity.json'), 200), 'not complete JSON'],
    ['a huge identity', (path) => writeFileSync(join(path, 'identity.json'), 'x'.repeat(100_000)), '100000 bytes'],
    [
      "another host's identity",
      (path) => writeIdentityFile(join(path, 'identity.json'), identityOf(2), nodeCrypto),
      'of peer',
    ],
    [
      "another host's database",
      (path) => renameSync(join(memberDirectory(3), 'fabric.db'), join(path, 'fabric.db')),
      'of peer',
    ],
  ])('%s is reported, and nothing is replaced', (_, damage, why) => {
    const path = memberDirectory();
    damage(path);
    const files = ['identity.json', 'fabric.db'].map((name) => join(path, name));
    const before = files.map((file) => (existsSync(file) ? readFileSync(file) : null));
    const error = refusal(path);
    expect(error?.code).toBe('state-damaged');
    expect(error?.message).toContain(why);
    expect(files.map((file) => (existsSync(file) ? readFileSync(file) : null))).toEqual(before);
  });

  test('a crash in mid-admission leaves a host that was never admitted', () => {
    const path = temporaryDirectory();
    const half = SqliteStore.create(join(path, 'fabric.db'));
    half.writeMeta('peer', identityOf(1).keys.peer);
    half.close();
    expect(refusal(path)).toBeNull();
    expect(existsSync(join(path, 'fabric.db'))).toBe(false);
    const state = open(path);
    state.admit(identityOf(2));
    state.close();
    expect(refusal(path)).toBeNull();
  });

  test('erase removes damaged state too', () => {
    const path = memberDirectory();
    truncateSync(join(path, 'fabric.db'), 10);
    const state = open(path);
    expect(StateDir.holdsState(path)).toBe(true);
    state.erase();
    expect(StateDir.holdsState(path)).toBe(false);
    expect(state.resume()).toBeNull();
    state.close();
  });

  test('a rotated token is kept, another identity is a bug', () => {
    const path = memberDirectory();
    const state = open(path);
    const { identity } = state.resume()!;
    const token = { ...identity.token, generation: 2, secret: new Uint8Array(32).fill(9) };
    const rotated = { ...identity, token, older: [identity.token], graceEndsMs: 1_900_000_000_000, untold: true };
    state.updateIdentity(rotated);
    expect(readIdentityFile(join(path, 'identity.json'), nodeCrypto)).toEqual(rotated);
    expect(() => state.updateIdentity(identityOf(4))).toThrow('invariant broken');
    state.close();
  });
});

describe('identity file', () => {
  test('every changed byte is noticed or harmless', () => {
    const path = join(temporaryDirectory(), 'identity.json');
    const identity = identityOf(5);
    writeIdentityFile(path, identity, nodeCrypto);
    const good = readFileSync(path);
    for (let at = 0; at < good.length; at += 3) {
      const bad = Buffer.from(good);
      bad[at]! ^= 0x01;
      writeFileSync(path, bad);
      try {
        expect(readIdentityFile(path, nodeCrypto)).toEqual(identity);
      } catch (error) {
        expect(error).toBeInstanceOf(FabricError);
        expect((error as FabricError).code).toMatch(/state-damaged|version-mismatch/);
      }
    }
  });

  test('keys are random and the peer id follows from them', () => {
    const random = new SeededRandom(1);
    const peers = Array.from({ length: 20 }, () => generateHostKeys(random, nodeCrypto).peer);
    expect(new Set(peers).size).toBe(20);
  });

  test('one of version 1, which held one token, is read', () => {
    const path = join(temporaryDirectory(), 'identity.json');
    const identity = identityOf(7);
    const { keys, token, genesis } = identity;
    const fields = {
      version: 1,
      peer: keys.peer,
      clusterId: token.clusterId,
      identitySeed: toHex(keys.identitySeed),
      staticSecret: toHex(keys.staticSecret),
      token: formatToken(token, nodeCrypto),
      genesis: toHex(genesis),
    };
    const lines = Object.values(fields).map((value) => `\n${value}`);
    const checksum = toHex(nodeCrypto.sha256(utf8(`fabric identity file 1${lines.join('')}`)));
    writeFileSync(path, JSON.stringify({ ...fields, checksum }));
    expect(readIdentityFile(path, nodeCrypto)).toEqual(identity);
    writeFileSync(
      path,
      JSON.stringify({ ...fields, checksum: checksum.replace(/^./, (digit) => (digit === '0' ? '1' : '0')) }),
    );
    expect(() => readIdentityFile(path, nodeCrypto)).toThrow('checksum');
  });

  test('a left-over temporary file is no obstacle', () => {
    const directory = temporaryDirectory();
    mkdirSync(join(directory, 'x'));
    const path = join(directory, 'identity.json');
    writeFileSync(`${path}.new`, 'torn');
    writeIdentityFile(path, identityOf(6), nodeCrypto);
    expect(readIdentityFile(path, nodeCrypto)).toEqual(identityOf(6));
    expect(existsSync(`${path}.new`)).toBe(false);
  });
});
