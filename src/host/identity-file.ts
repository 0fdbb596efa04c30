// Who this host is and which cluster it belongs to, in a checksummed file beside the database. It exists only after
// admission, is written atomically (temporary file, fsync, rename, fsync of the directory) with mode 0600, and what can't be
// read back whole is `state-damaged`: a host never takes a new identity because it could not read the old one.

import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, statSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { concatBytes, equalBytes, fromHex, toHex, utf8 } from '../base/bytes.ts';
import type { Crypto, Random } from '../base/capabilities.ts';
import { FabricError } from '../base/errors.ts';
import type { PeerId } from '../base/ids.ts';
import type { KeyringState } from '../base/keyring.ts';
import { peerIdOf } from '../base/membership.ts';
import { formatToken, parseToken } from '../base/token.ts';
import { fsyncDirectory } from './sqlite-store.ts';

/** The host's own key pairs: made once, of randomness only (machine ids collide on clones). */
export interface HostKeys {
  readonly peer: PeerId;
  /** Ed25519 seed, 32 bytes. */
  readonly identitySeed: Uint8Array;
  readonly identityKey: Uint8Array;
  /** X25519 private key of the tunnels' Noise handshake, 32 bytes. */
  readonly staticSecret: Uint8Array;
  readonly staticKey: Uint8Array;
}

/** What is durable once a host belongs to a cluster. */
export interface HostIdentity extends KeyringState {
  readonly keys: HostKeys;
  /** The cluster's signed genesis record as its codec wrote it. */
  readonly genesis: Uint8Array;
}

/** 1 held one token. */
const VERSION = 2;
/** A genesis is a few hundred bytes; a larger file is not ours. */
const FILE_BYTES_MAX = 64 * 1024;
const CHECKSUM_LABEL = utf8('fabric identity file 1');

export function generateHostKeys(random: Random, crypto: Crypto): HostKeys {
  return hostKeysOf(random.bytes(32), random.bytes(32), crypto);
}

/** Null when there is no such file; throws `state-damaged` when there is one that can't be trusted. */
export function readIdentityFile(path: string, crypto: Crypto): HostIdentity | null {
  const size = statSync(path, { throwIfNoEntry: false })?.size;
  if (size === undefined) return null;
  if (size === 0) throw damaged(path, 'the file is empty');
  if (size > FILE_BYTES_MAX) throw damaged(path, `it has ${size} bytes`);
  return decode(readFileSync(path, 'utf8'), path, crypto);
}

/** Durable when it returns; replaces an older one atomically. */
export function writeIdentityFile(path: string, identity: HostIdentity, crypto: Crypto): void {
  const temporary = `${path}.new`;
  rmSync(temporary, { force: true });
  const descriptor = openSync(temporary, 'wx', 0o600);
  try {
    writeSync(descriptor, encode(identity, crypto));
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  renameSync(temporary, path);
  fsyncDirectory(dirname(path));
}

function hostKeysOf(identitySeed: Uint8Array, staticSecret: Uint8Array, crypto: Crypto): HostKeys {
  const identityKey = crypto.ed25519Public(identitySeed);
  const staticKey = crypto.x25519Key(staticSecret).publicKey;
  return { peer: peerIdOf(identityKey, crypto), identitySeed, identityKey, staticSecret, staticKey };
}

interface Fields {
  readonly version: number;
  readonly peer: string;
  readonly clusterId: string;
  readonly identitySeed: string;
  readonly staticSecret: string;
  readonly token: string;
  readonly genesis: string;
  /** Since version 2. */
  readonly older: readonly string[];
  readonly graceEndsMs: number | null;
  readonly untold: boolean;
}

function encode(identity: HostIdentity, crypto: Crypto): string {
  const fields: Fields = {
    version: VERSION,
    peer: identity.keys.peer,
    clusterId: identity.token.clusterId,
    identitySeed: toHex(identity.keys.identitySeed),
    staticSecret: toHex(identity.keys.staticSecret),
    token: formatToken(identity.token, crypto),
    genesis: toHex(identity.genesis),
    older: identity.older.map((token) => formatToken(token, crypto)),
    graceEndsMs: identity.graceEndsMs,
    untold: identity.untold,
  };
  return `${JSON.stringify({ ...fields, checksum: toHex(checksum(fields, crypto)) }, null, 2)}\n`;
}

function decode(text: string, path: string, crypto: Crypto): HostIdentity {
  const { fields, sum } = parseFields(text, path);
  if (fields.version > VERSION) {
    throw new FabricError('version-mismatch', {
      what: `the identity file ${path} was written by a newer fabric`,
      why: `its version is ${fields.version}, this one knows ${VERSION}`,
      fix: 'Start the newer version again',
    });
  }
  if (!equalBytes(checksum(fields, crypto), sum)) throw damaged(path, 'its checksum does not match its content');
  const identitySeed = fromHex(fields.identitySeed);
  const staticSecret = fromHex(fields.staticSecret);
  const genesis = fromHex(fields.genesis);
  if (identitySeed?.length !== 32 || staticSecret?.length !== 32 || genesis === null) {
    throw damaged(path, 'a field is malformed');
  }
  const keys = hostKeysOf(identitySeed, staticSecret, crypto);
  const token = parseToken(fields.token, crypto);
  const older = fields.older.map((text) => parseToken(text, crypto));
  const isForeign = [token, ...older].some(({ clusterId }) => clusterId !== fields.clusterId);
  if (keys.peer !== fields.peer || isForeign) throw damaged(path, 'its fields contradict');
  const { graceEndsMs, untold } = fields;
  return { keys, token, older, graceEndsMs, untold, genesis };
}

function parseFields(text: string, path: string): { fields: Fields; sum: Uint8Array } {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw damaged(path, 'it is not complete JSON'); // the parser's own message would quote secrets
  }
  if (typeof parsed !== 'object' || parsed === null) throw damaged(path, 'it is not an object');
  const entries = new Map<string, unknown>(Object.entries(parsed));
  const textOf = (name: string): string => {
    const value = entries.get(name);
    if (typeof value !== 'string') throw damaged(path, `its field ${name} is missing`);
    return value;
  };
  const version = entries.get('version');
  if (typeof version !== 'number') throw damaged(path, 'its field version is missing');
  const sum = fromHex(textOf('checksum'));
  if (sum === null) throw damaged(path, 'its checksum is malformed');
  const fields: Fields = {
    version,
    peer: textOf('peer'),
    clusterId: textOf('clusterId'),
    identitySeed: textOf('identitySeed'),
    staticSecret: textOf('staticSecret'),
    token: textOf('token'),
    genesis: textOf('genesis'),
    older: version < 2 ? [] : textsOf(entries.get('older'), path),
    graceEndsMs: version < 2 ? null : timeOf(entries.get('graceEndsMs'), path),
    untold: entries.get('untold') === true,
  };
  return { fields, sum };
}

function textsOf(value: unknown, path: string): readonly string[] {
  if (!Array.isArray(value) || !value.every((item) => typeof item === 'string')) {
    throw damaged(path, 'its field older is malformed');
  }
  return value;
}

function timeOf(value: unknown, path: string): number | null {
  if (value === null || Number.isFinite(value)) return value as number | null;
  throw damaged(path, 'its field graceEndsMs is malformed');
}

/** Over the values in a fixed order, so that the layout of the JSON does not matter. */
function checksum(fields: Fields, crypto: Crypto): Uint8Array {
  const { version, peer, clusterId, identitySeed, staticSecret, token, genesis } = fields;
  const values = [String(version), peer, clusterId, identitySeed, staticSecret, token, genesis];
  if (version >= 2) values.push(String(fields.graceEndsMs), String(fields.untold), ...fields.older);
  return crypto.sha256(concatBytes(CHECKSUM_LABEL, ...values.map((value) => utf8(`\n${value}`))));
}

function damaged(path: string, why: string): FabricError {
  return new FabricError('state-damaged', {
    what: `the identity file ${path} is damaged`,
    why,
    fix: "Restore the state directory from a backup, or remove this host with 'fabric reset --force' and join again",
  });
}
