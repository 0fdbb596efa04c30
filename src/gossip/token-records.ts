// Records of token rotations, to and from the key and value under which gossip carries them: that a token took the place of the one
// before, and its secret sealed to members. Both are read whatever became of the author, because hosts that return late learn
// the token from them. Form and bounds are checked here, what they mean by src/daemon/rotations.ts.

import { fromHex } from '../base/bytes.ts';
import { PEER_ID_BYTES, parsePeerId, parseTokenId, type TokenId } from '../base/ids.ts';
import type { RotationRecord, Seal, SealsRecord } from '../base/records.ts';
import { SEALED_SECRET_BYTES } from '../base/sealed-secret.ts';
import { bytesOf, decode, encode, type Fields, hexOf, isNumber, listOf } from './record-fields.ts';
import { recordType } from './records-schema.ts';

const ROTATION = recordType('Rotation');
const SEALS = recordType('Seals');
export const ROTATION_PREFIX = 'rotation/';
export const SEALS_PREFIX = 'seal/';
const KEY_BYTES = 32;
const GENERATION_MAX = 0xffff_ffff;
/** Members of one record: with 70 bytes each it fits into a value. */
export const SEALS_MAX = 200;
/** Revoked hosts in all: with 18 bytes each they fit into a value. */
export const REVOKED_MAX = 800;

export function isTokenKey(key: string): boolean {
  return key.startsWith(ROTATION_PREFIX) || key.startsWith(SEALS_PREFIX);
}

export function rotationKey({ generation, id }: Pick<RotationRecord, 'generation' | 'id'>): string {
  return `${ROTATION_PREFIX}${generation}/${id}`;
}

export function sealsKey({ generation, id, part }: Pick<SealsRecord, 'generation' | 'id' | 'part'>): string {
  return `${SEALS_PREFIX}${generation}/${id}/${part}`;
}

/** The value under {@link rotationKey}. */
export function encodeRotation({ graceMs, excluded }: RotationRecord): Uint8Array {
  return encode(ROTATION, { graceS: Math.ceil(graceMs / 1000), excluded: excluded.map((peer) => fromHex(peer)) });
}

export function decodeRotation(key: string, value: Uint8Array): RotationRecord | null {
  const place = parseKey(key, ROTATION_PREFIX);
  const fields = decode(ROTATION, value);
  if (place === null || place.part !== null || fields === null || !isNumber(fields.graceS)) return null;
  const excluded = listOf(fields.excluded, REVOKED_MAX, (id) => parsePeerId(hexOf(id, PEER_ID_BYTES)));
  if (excluded === null) return null;
  return { generation: place.generation, id: place.id, graceMs: fields.graceS * 1000, excluded };
}

/** The value under {@link sealsKey}. */
export function encodeSeals({ ephemeralKey, seals }: SealsRecord): Uint8Array {
  return encode(SEALS, {
    ephemeralKey,
    seals: seals.map(({ member, sealed }) => ({ member: fromHex(member), sealed })),
  });
}

export function decodeSeals(key: string, value: Uint8Array): SealsRecord | null {
  const place = parseKey(key, SEALS_PREFIX);
  const fields = decode(SEALS, value);
  if (place === null || place.part === null || fields === null) return null;
  const ephemeralKey = bytesOf(fields.ephemeralKey, KEY_BYTES);
  const seals = listOf(fields.seals, SEALS_MAX, sealOf);
  if (ephemeralKey === null || seals === null) return null;
  return { generation: place.generation, id: place.id, part: place.part, ephemeralKey, seals };
}

function sealOf(value: unknown): Seal | null {
  const { member: id, sealed: bytes } = value as Fields;
  const member = parsePeerId(hexOf(id, PEER_ID_BYTES));
  const sealed = bytesOf(bytes, SEALED_SECRET_BYTES);
  return member === null || sealed === null ? null : { member, sealed };
}

/** Null unless it is exactly as written here. */
function parseKey(key: string, prefix: string): { generation: number; id: TokenId; part: number | null } | null {
  if (!key.startsWith(prefix)) return null;
  const match = /^([1-9]\d{0,9})\/([0-9a-f]{16})(?:\/(0|[1-9]\d{0,4}))?$/.exec(key.slice(prefix.length));
  const generation = Number(match?.[1]);
  const id = parseTokenId(match?.[2] ?? '');
  if (id === null || generation > GENERATION_MAX) return null;
  return { generation, id, part: match?.[3] === undefined ? null : Number(match[3]) };
}
