// Records of src/base/records.ts to and from the key and value under which gossip carries them (proto/records.proto). What
// comes in was written by another host: a decoder returns null on anything that is not canonical, complete and in bounds,
// never throws, and ignores fields that it does not know, so that newer versions can add some.

import { addressBits, formatCidr, parseCidr } from '../base/address.ts';
import { fromHex } from '../base/bytes.ts';
import { type Endpoint, makeEndpoint } from '../base/endpoint.ts';
import {
  type GiftId,
  type Mac,
  macFromBytes,
  macToBytes,
  PEER_ID_BYTES,
  type PeerId,
  parseBootId,
  parseClusterId,
  parseGiftId,
  parseMac,
  parsePeerId,
  parseVni,
  type Vni,
} from '../base/ids.ts';
import { type NatFacts, OBSERVED_MAX, RENDEZVOUS_MAX } from '../base/nat-facts.ts';
import type {
  AttachmentKind,
  AttachmentRecord,
  Genesis,
  LeaseRecord,
  NameRecord,
  NameTarget,
  PeerRecord,
  RemovalRecord,
} from '../base/records.ts';
import {
  bytesOf,
  cidrFrom,
  decode,
  encode,
  type Fields,
  hexOf,
  ipBytes,
  ipTextOf,
  isNumber,
  isText,
  listOf,
  prefixFields,
} from './record-fields.ts';
import { recordType } from './records-schema.ts';

const KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;
const BOOT_ID_BYTES = 8;
const MAC_BYTES = 6;
const NAME_CHARS_MAX = 253;
const NICKNAME_CHARS_MAX = 64;
const VERSION_CHARS_MAX = 64;
const ENDPOINTS_MAX = 16;
const NETWORKS_MAX = 1024;
const ATTACHMENT_IPS_MAX = 32;
/** Names of one container beside its first. */
export const ALIASES_MAX = 32;
/** Addresses of one added name: 1,000 fit into a value. */
export const NAME_TARGETS_MAX = 512;
/** Characters of an added name: with what stands before it, it has to fit into a key. */
export const ADDED_NAME_CHARS_MAX = 100;
/** The least an IPv6 link carries (RFC 8200 §5) below, what 16 bits hold above. */
const MTU_MIN = 576;
const MTU_MAX = 65_535;
const ATTACHMENT_KINDS: readonly AttachmentKind[] = ['container', 'host', 'foreign'];

const TYPES = {
  peer: recordType('Peer'),
  lease: recordType('Lease'),
  removal: recordType('Removal'),
  attachment: recordType('Attachment'),
  name: recordType('Name'),
  genesis: recordType('Genesis'),
};

/** Key of an author's one PeerRecord. */
export const PEER_KEY = 'peer';
/** Key of what an author shows of an operator's certificate; the value is src/base/attestation.ts'. */
export const CERTIFICATE_KEY = 'certificate';
/** Keys of an author's leases, for {@link Gossip.entries}. */
export const LEASE_PREFIX = 'lease/';
/** Keys of the removals that operators ordered at an author. */
const REMOVAL_PREFIX = 'gone/';
/** Keys of an author's attachments. */
export const ATTACHMENT_PREFIX = 'at/';
/** Keys of the names that an author's operator added. */
export const NAME_PREFIX = 'name/';
/** Keys of what an author publishes for the voting about leases; the values are src/ipam/reclaim's. */
export const VOTE_PREFIX = 'vote/';

/** An author may publish several records of one block, of different epochs: what it got and what it gave. */
export function leaseKey({ network, cidr, epoch }: Pick<LeaseRecord, 'network' | 'cidr' | 'epoch'>): string {
  return `${LEASE_PREFIX}${network}/${epoch}/${cidr}`;
}

export function attachmentKey(network: Vni, mac: Mac): string {
  return `${ATTACHMENT_PREFIX}${network}/${mac}`;
}

export function voteKey(network: Vni, entry: string): string {
  return `${VOTE_PREFIX}${network}/${entry}`;
}

export function parseVoteKey(key: string): { network: Vni; entry: string } | null {
  const match = /^vote\/(\d{1,8})\/(state|\d{1,6})$/.exec(key);
  const network = parseVni(Number(match?.[1]));
  const entry = match?.[2];
  return network !== null && entry !== undefined && voteKey(network, entry) === key ? { network, entry } : null;
}

export function removalKey(peer: PeerId): string {
  return `${REMOVAL_PREFIX}${peer}`;
}

export function isRemovalKey(key: string): boolean {
  return key.startsWith(REMOVAL_PREFIX);
}

export function parseLeaseKey(key: string): Pick<LeaseRecord, 'network' | 'cidr' | 'epoch'> | null {
  const match = /^lease\/(\d{1,8})\/(\d{1,16})\/(.+)$/.exec(key);
  const network = parseVni(Number(match?.[1]));
  const epoch = Number(match?.[2]);
  const cidr = parseCidr(match?.[3] ?? '');
  if (network === null || cidr === null || !Number.isSafeInteger(epoch) || epoch < 1) return null;
  const parsed = { network, cidr: formatCidr(cidr), epoch };
  return leaseKey(parsed) === key ? parsed : null;
}

export function parseAttachmentKey(key: string): { network: Vni; mac: Mac } | null {
  const match = /^at\/(\d{1,8})\/(.+)$/.exec(key);
  const network = parseVni(Number(match?.[1]));
  const mac = parseMac(match?.[2] ?? '');
  return network !== null && mac !== null && attachmentKey(network, mac) === key ? { network, mac } : null;
}

export function nameKey({ network, name }: Pick<NameRecord, 'network' | 'name'>): string {
  return `${NAME_PREFIX}${network}/${name}`;
}

export function parseNameKey(key: string): Pick<NameRecord, 'network' | 'name'> | null {
  const match = /^name\/(\d{1,8})\/([a-z0-9_.-]+)$/.exec(key);
  const network = parseVni(Number(match?.[1]));
  const name = match?.[2] ?? '';
  if (network === null || name.length > ADDED_NAME_CHARS_MAX) return null;
  return nameKey({ network, name }) === key ? { network, name } : null;
}

export function encodePeer(record: PeerRecord): Uint8Array {
  return encode(TYPES.peer, {
    ...record,
    bootId: fromHex(record.bootId),
    endpoints: record.endpoints.map(endpointFields),
    nat: record.nat === undefined ? undefined : natFields(record.nat),
  });
}

/** That `identityKey` is the author's is for the caller to compare. */
export function decodePeer(value: Uint8Array): PeerRecord | null {
  const fields = decode(TYPES.peer, value);
  if (fields === null) return null;
  const { nickname, version, protocolMin, protocolMax } = fields;
  const bootId = parseBootId(hexOf(fields.bootId, BOOT_ID_BYTES));
  const identityKey = bytesOf(fields.identityKey, KEY_BYTES);
  const staticKey = bytesOf(fields.staticKey, KEY_BYTES);
  const endpoints = listOf(fields.endpoints, ENDPOINTS_MAX, endpointOf);
  const networks = listOf(fields.networks, NETWORKS_MAX, (value) => (isNumber(value) ? parseVni(value) : null));
  if (!isText(nickname, NICKNAME_CHARS_MAX) || !isText(version, VERSION_CHARS_MAX)) return null;
  if (!isNumber(protocolMin) || !isNumber(protocolMax) || protocolMin > protocolMax) return null;
  const nat = natOf(fields.nat);
  if (bootId === null || identityKey === null || staticKey === null || endpoints === null || networks === null) {
    return null;
  }
  if (nat === null) return null;
  const who = { nickname, version, protocolMin, protocolMax, bootId, identityKey, staticKey };
  return { ...who, endpoints, ...(nat === undefined ? {} : { nat }), networks };
}

/** The value under {@link leaseKey}. */
export function encodeLease(record: LeaseRecord): Uint8Array {
  return encode(TYPES.lease, {
    owner: fromHex(record.owner),
    giftId: fromHex(record.giftId),
    donor: fromHex(record.donor),
    signature: record.signature,
  });
}

/** The signature's length is checked, the signature itself is for who knows the donor's key. */
export function decodeLease(key: string, value: Uint8Array): LeaseRecord | null {
  const place = parseLeaseKey(key);
  const fields = decode(TYPES.lease, value);
  if (place === null || fields === null) return null;
  const owner = parsePeerId(hexOf(fields.owner, PEER_ID_BYTES));
  const donor = parsePeerId(hexOf(fields.donor, PEER_ID_BYTES));
  const giftId: GiftId | null = parseGiftId(hexOf(fields.giftId, PEER_ID_BYTES));
  const signature = bytesOf(fields.signature, SIGNATURE_BYTES);
  if (owner === null || donor === null || giftId === null || signature === null) return null;
  return { ...place, owner, giftId, donor, signature };
}

/** The value under {@link removalKey}. */
export function encodeRemoval({ nickname, revoked }: RemovalRecord): Uint8Array {
  return encode(TYPES.removal, { nickname, revoked });
}

export function decodeRemoval(key: string, value: Uint8Array): RemovalRecord | null {
  const peer = isRemovalKey(key) ? parsePeerId(key.slice(REMOVAL_PREFIX.length)) : null;
  const fields = decode(TYPES.removal, value);
  if (peer === null || fields === null || !isText(fields.nickname, NICKNAME_CHARS_MAX)) return null;
  return { peer, nickname: fields.nickname, revoked: fields.revoked === true };
}

/** The value under {@link attachmentKey}. */
export function encodeAttachment(record: AttachmentRecord): Uint8Array {
  return encode(TYPES.attachment, {
    ips: record.ips.map(ipBytes),
    sequence: record.sequence,
    name: record.name,
    kind: ATTACHMENT_KINDS.indexOf(record.kind),
    aliases: record.aliases,
  });
}

export function decodeAttachment(key: string, value: Uint8Array): AttachmentRecord | null {
  const place = parseAttachmentKey(key);
  const fields = decode(TYPES.attachment, value);
  if (place === null || fields === null) return null;
  const ips = listOf(fields.ips, ATTACHMENT_IPS_MAX, ipTextOf);
  const kind = ATTACHMENT_KINDS[Number(fields.kind)];
  const aliases = listOf(fields.aliases, ALIASES_MAX, (text) => (isText(text, NAME_CHARS_MAX) ? text : null));
  const { sequence, name } = fields;
  if (ips === null || kind === undefined || !isNumber(sequence) || !isText(name, NAME_CHARS_MAX)) return null;
  if (aliases === null) return null;
  return { ...place, ips, sequence, name, ...(aliases.length === 0 ? {} : { aliases }), kind };
}

/** The value under {@link nameKey}. */
export function encodeName({ targets }: NameRecord): Uint8Array {
  return encode(TYPES.name, {
    targets: targets.map(({ ip, mac }) => ({ ip: ipBytes(ip), mac: mac === null ? undefined : macToBytes(mac) })),
  });
}

export function decodeName(key: string, value: Uint8Array): NameRecord | null {
  const place = parseNameKey(key);
  const targets = listOf(decode(TYPES.name, value)?.targets, NAME_TARGETS_MAX, nameTargetOf);
  return place === null || targets === null ? null : { ...place, targets };
}

export function encodeGenesis(genesis: Genesis): Uint8Array {
  return encode(TYPES.genesis, {
    ...genesis,
    genesisId: fromHex(genesis.genesisId),
    clusterId: fromHex(genesis.clusterId),
    creator: fromHex(genesis.creator),
    range: prefixFields(genesis.range),
    range6: genesis.range6 === null ? undefined : prefixFields(genesis.range6),
  });
}

/** Form and bounds only: signature, key and creator are checked by who admits (genesisSigningBytes). */
export function decodeGenesis(bytes: Uint8Array): Genesis | null {
  const fields = decode(TYPES.genesis, bytes);
  if (fields === null) return null;
  const genesisId = hexOf(fields.genesisId, PEER_ID_BYTES);
  const clusterId = parseClusterId(hexOf(fields.clusterId, PEER_ID_BYTES));
  const creator = parsePeerId(hexOf(fields.creator, PEER_ID_BYTES));
  const creatorKey = bytesOf(fields.creatorKey, KEY_BYTES);
  const signature = bytesOf(fields.signature, SIGNATURE_BYTES);
  const range = cidrFrom(fields.range, 4);
  const range6 = fields.range6 === null ? null : cidrFrom(fields.range6, 6);
  const { leasePrefix, leasePrefix6, mtu } = fields;
  if (genesisId === '' || clusterId === null || creator === null || creatorKey === null || signature === null) {
    return null;
  }
  if (range === null || (fields.range6 !== null && range6 === null)) return null;
  if (!isNumber(leasePrefix) || leasePrefix < range.prefix || leasePrefix > addressBits(4)) return null;
  if (!isNumber(leasePrefix6) || leasePrefix6 < (range6?.prefix ?? 0) || leasePrefix6 > addressBits(6)) return null;
  if (!isNumber(mtu) || mtu < MTU_MIN || mtu > MTU_MAX) return null;
  return {
    genesisId,
    clusterId,
    creator,
    creatorKey,
    range: formatCidr(range),
    range6: range6 === null ? null : formatCidr(range6),
    leasePrefix,
    leasePrefix6,
    mtu,
    signature,
  };
}

function nameTargetOf(value: unknown): NameTarget | null {
  const { ip, mac } = value as Fields;
  const text = ipTextOf(ip);
  if (text === null || !(mac instanceof Uint8Array)) return null;
  if (mac.length === 0) return { ip: text, mac: null };
  return mac.length === MAC_BYTES ? { ip: text, mac: macFromBytes(mac) } : null;
}

function natFields({ observed, symmetric, rendezvous }: NatFacts): Fields {
  return { observed: observed.map(endpointFields), symmetric, rendezvous: rendezvous.map((peer) => fromHex(peer)) };
}

/** Undefined when it is absent, null when it is not of the form. */
function natOf(value: unknown): NatFacts | null | undefined {
  if (value === null) return undefined;
  const { observed: seen, symmetric, rendezvous: ids } = value as Fields;
  const observed = listOf(seen, OBSERVED_MAX, endpointOf);
  const rendezvous = listOf(ids, RENDEZVOUS_MAX, (id) => parsePeerId(hexOf(id, PEER_ID_BYTES)));
  return observed === null || rendezvous === null ? null : { observed, symmetric: symmetric === true, rendezvous };
}

function endpointFields({ ip, port }: Endpoint): Fields {
  return { ip: ipBytes(ip), port };
}

function endpointOf(value: unknown): Endpoint | null {
  const { ip, port } = value as Fields;
  const text = ipTextOf(ip);
  return text === null || !isNumber(port) ? null : makeEndpoint(text, port);
}
