// What the two handshake messages say inside their encryption (docs/wire-format.md): type-length-value fields, so that newer
// versions can add some. Invariant: unknown fields are skipped, known ones occur at most once and have sane values, or the
// payload is malformed; parsing never throws.

import { formatIp, ipFromBytes, ipToBytes, parseIp } from '../base/address.ts';
import { ByteReader, ByteWriter } from '../base/bytes.ts';
import type { AeadCipher } from '../base/capabilities.ts';
import { type Endpoint, makeEndpoint } from '../base/endpoint.ts';
import { assert } from '../base/errors.ts';
import { TAI64N_BYTES } from './tai64n.ts';

/** From the format. */
const Field = { timestamp: 1, membership: 2, mtu: 3, ciphers: 4, capabilities: 5, observed: 6 } as const;
const CIPHER_CODES: Readonly<Record<AeadCipher, number>> = { 'aes-256-gcm': 1, 'chacha20-poly1305': 2 };
const MTU_MIN = 576;
const PORT_BYTES = 2;
/** Bits of the capabilities. */
export const Capability = {
  /** Probes are answered: the path's MTU can be found out. */
  answersProbes: 1,
  /** Its datapath takes what is relayed, and relays for others. */
  relays: 2,
} as const;
/** All of this version. */
export const CAPABILITIES = Capability.answersProbes | Capability.relays;

/** Our limits: an initiation must fit an IPv6 path of 1,280 bytes, cookies and all. */
export const MEMBERSHIP_BYTES_MAX = 1000;
const CIPHERS_MAX = 8;

export interface InitiationPayload {
  /** TAI64N, 12 bytes. */
  readonly timestamp: Uint8Array;
  /** Signed by the cluster; opaque here. At most {@link MEMBERSHIP_BYTES_MAX} bytes. */
  readonly membership: Uint8Array;
  /** The largest outer IP packet that the sender takes, in bytes. */
  readonly mtu: number;
  /** Best first; not empty. */
  readonly ciphers: readonly AeadCipher[];
  /** Bit set; a bit that the receiver does not know has no meaning. */
  readonly capabilities: number;
  /** Where it is sent to. Null: to a relay; or the sender's version does not say. */
  readonly observed: Endpoint | null;
}

export interface ResponsePayload {
  readonly mtu: number;
  readonly cipher: AeadCipher;
  readonly capabilities: number;
  /** Where the initiation came from. Null: by a relay; or the sender's version does not say. */
  readonly observed: Endpoint | null;
}

export function encodeInitiationPayload(payload: InitiationPayload): Uint8Array {
  if (payload.membership.length > MEMBERSHIP_BYTES_MAX) {
    throw new RangeError(`membership of ${payload.membership.length} bytes`);
  }
  const writer = new ByteWriter(64 + payload.membership.length);
  writer.u8(Field.timestamp).bytes16(payload.timestamp);
  writer.u8(Field.membership).bytes16(payload.membership);
  return common(writer, payload, payload.ciphers);
}

export function encodeResponsePayload(payload: ResponsePayload): Uint8Array {
  return common(new ByteWriter(64), payload, [payload.cipher]);
}

/** Views into `bytes`, not copies. Null when malformed; ciphers unknown here are left out. */
export function parseInitiationPayload(bytes: Uint8Array): InitiationPayload | null {
  const fields = readFields(bytes);
  if (fields === null) return null;
  const { timestamp, membership, mtu, ciphers, capabilities, observed } = fields;
  if (timestamp?.length !== TAI64N_BYTES || membership === undefined || mtu === null || ciphers === null) return null;
  if (membership.length === 0 || membership.length > MEMBERSHIP_BYTES_MAX) return null;
  return { timestamp, membership, mtu, ciphers, capabilities, observed };
}

/** Null when malformed or when the chosen cipher is not exactly one that we know. */
export function parseResponsePayload(bytes: Uint8Array): ResponsePayload | null {
  const fields = readFields(bytes);
  if (fields === null || fields.mtu === null || fields.ciphers?.length !== 1) return null;
  const { mtu, capabilities, observed } = fields;
  return { mtu, cipher: fields.ciphers[0]!, capabilities, observed };
}

function common(
  writer: ByteWriter,
  { mtu, capabilities, observed }: Pick<InitiationPayload, 'mtu' | 'capabilities' | 'observed'>,
  ciphers: readonly AeadCipher[],
): Uint8Array {
  writer.u8(Field.mtu).u16(2).u16(mtu);
  writer.u8(Field.ciphers).bytes16(Uint8Array.from(ciphers, (cipher) => CIPHER_CODES[cipher]));
  writer.u8(Field.capabilities).u16(4).u32(capabilities);
  if (observed === null) return writer.finish();
  const ip = parseIp(observed.ip);
  assert(ip !== null, 'an endpoint holds a canonical address');
  const bytes = ipToBytes(ip);
  return writer
    .u8(Field.observed)
    .u16(bytes.length + PORT_BYTES)
    .bytes(bytes)
    .u16(observed.port)
    .finish();
}

interface Fields {
  readonly timestamp: Uint8Array | undefined;
  readonly membership: Uint8Array | undefined;
  readonly mtu: number | null;
  readonly ciphers: readonly AeadCipher[] | null;
  readonly capabilities: number;
  readonly observed: Endpoint | null;
}

/** The loop is bounded by the bytes: a field takes at least three. */
function readFields(bytes: Uint8Array): Fields | null {
  const reader = new ByteReader(bytes);
  const found = new Map<number, Uint8Array>();
  while (reader.remaining > 0 && !reader.failed) {
    const type = reader.u8();
    const value = reader.bytes16();
    const known = type >= Field.timestamp && type <= Field.observed;
    if (known && found.has(type)) return null;
    if (known) found.set(type, value);
  }
  if (reader.failed) return null;
  const mtu = readMtu(found.get(Field.mtu));
  const capabilities = readCapabilities(found.get(Field.capabilities));
  const observed = found.get(Field.observed);
  const observedEndpoint = observed === undefined ? null : readEndpoint(observed);
  if (capabilities === null || (observed !== undefined && observedEndpoint === null)) return null;
  return {
    timestamp: found.get(Field.timestamp),
    membership: found.get(Field.membership),
    mtu,
    ciphers: readCiphers(found.get(Field.ciphers)),
    capabilities,
    observed: observedEndpoint,
  };
}

function readMtu(value: Uint8Array | undefined): number | null {
  if (value?.length !== 2) return null;
  const mtu = new ByteReader(value).u16();
  return mtu < MTU_MIN ? null : mtu;
}

/** An address of 4 or 16 bytes, and a port. */
function readEndpoint(value: Uint8Array): Endpoint | null {
  const addressBytes = Math.max(0, value.length - PORT_BYTES);
  const ip = ipFromBytes(value.subarray(0, addressBytes));
  return ip === null ? null : makeEndpoint(formatIp(ip), new ByteReader(value.subarray(addressBytes)).u16());
}

/** Absent means none; bytes beyond the first four belong to newer versions. */
function readCapabilities(value: Uint8Array | undefined): number | null {
  if (value === undefined) return 0;
  return value.length < 4 ? null : new ByteReader(value).u32();
}

/** Null when the field is absent, empty or too long; what is left may be empty when all are unknown. */
function readCiphers(value: Uint8Array | undefined): readonly AeadCipher[] | null {
  if (value === undefined || value.length === 0 || value.length > CIPHERS_MAX) return null;
  const ciphers: AeadCipher[] = [];
  for (const code of value) {
    if (code === CIPHER_CODES['aes-256-gcm']) ciphers.push('aes-256-gcm');
    else if (code === CIPHER_CODES['chacha20-poly1305']) ciphers.push('chacha20-poly1305');
  }
  return ciphers;
}
