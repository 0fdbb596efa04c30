// The identifiers of fabric, branded so that one kind can't be passed for another.
// Every parser here accepts outside input: it returns null on anything malformed and never throws.

declare const brand: unique symbol;
type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/** A host's identity: the first 16 bytes of SHA-256 over its Ed25519 public key, as 32 lower-case hex digits. */
export type PeerId = Brand<string, 'PeerId'>;
/** A cluster's random id, 16 bytes as 32 lower-case hex digits; part of the token, public. */
export type ClusterId = Brand<string, 'ClusterId'>;
/** The random id that a daemon draws at each start, 8 bytes as 16 hex digits: tells a restart from a clone. */
export type BootId = Brand<string, 'BootId'>;
/** The random id of one gift of address space, 16 bytes as 32 hex digits: makes repeats idempotent. */
export type GiftId = Brand<string, 'GiftId'>;
/** Names one token, also beside another of its generation; derived from the secret, tells nothing of it; 8 bytes as 16 hex digits. */
export type TokenId = Brand<string, 'TokenId'>;
/** A MAC address, six lower-case hex octets joined by colons. */
export type Mac = Brand<string, 'Mac'>;
/** A virtual network identifier, 0 to 2^24 - 1; 0 is the default network, called `fabric`. */
export type Vni = Brand<number, 'Vni'>;

export const PEER_ID_BYTES = 16;
export const DEFAULT_VNI = 0 as Vni;
export const DEFAULT_NETWORK_NAME = 'fabric';
const VNI_MAX = 0xff_ffff;
/** The space that ids of networks are leased from: no network has this id, nor the last one, which probes of VXLAN bear. */
export const NETWORK_IDS_VNI = 0xff_fffe as Vni;
/** In a name of a network that shares its name with another, the id stands behind a dot. */
const NETWORK_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_-]{0,62}$/;

export function parseTokenId(text: string): TokenId | null {
  return /^[0-9a-f]{16}$/.test(text) ? (text as TokenId) : null;
}

export function parsePeerId(text: string): PeerId | null {
  return /^[0-9a-f]{32}$/.test(text) ? (text as PeerId) : null;
}

export function parseClusterId(text: string): ClusterId | null {
  return /^[0-9a-f]{32}$/.test(text) ? (text as ClusterId) : null;
}

export function parseBootId(text: string): BootId | null {
  return /^[0-9a-f]{16}$/.test(text) ? (text as BootId) : null;
}

export function parseGiftId(text: string): GiftId | null {
  return /^[0-9a-f]{32}$/.test(text) ? (text as GiftId) : null;
}

/** Accepts upper or lower case, colons or dashes between the octets. */
export function parseMac(text: string): Mac | null {
  const normal = text.toLowerCase().replaceAll('-', ':');
  return /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(normal) ? (normal as Mac) : null;
}

export function parseVni(value: number): Vni | null {
  return Number.isInteger(value) && value >= 0 && value <= VNI_MAX ? (value as Vni) : null;
}

/** As people may call a network beside the default one: also a name on a command line, in a CNI configuration and in a file name. */
export function isNetworkName(text: string): boolean {
  return NETWORK_NAME.test(text) && text !== DEFAULT_NETWORK_NAME;
}

/** The group bit (IEEE 802 I/G) says multicast; broadcast is one of them. */
export function isMulticastMac(mac: Mac): boolean {
  return (Number.parseInt(mac.slice(0, 2), 16) & 1) === 1;
}

/** Reads six bytes at `offset`; the caller guarantees that they are there. */
export function macFromBytes(bytes: Uint8Array, offset = 0): Mac {
  let text = hexByte(bytes[offset]!);
  for (let i = 1; i < 6; i++) text += `:${hexByte(bytes[offset + i]!)}`;
  return text as Mac;
}

/** Six bytes, freshly allocated. */
export function macToBytes(mac: Mac): Uint8Array {
  const bytes = new Uint8Array(6);
  for (let i = 0; i < 6; i++) bytes[i] = Number.parseInt(mac.slice(i * 3, i * 3 + 2), 16);
  return bytes;
}

const HEX = Array.from({ length: 256 }, (_, value) => value.toString(16).padStart(2, '0'));
function hexByte(value: number): string {
  return HEX[value]!;
}
