// What the voters decide, one slot after the other: who votes from now on, or that the blocks of a host that is gone belong to
// another one. A decision carries the signatures by which a majority accepted it in one ballot, with the keys that hash to the
// voters' ids, so that everyone who knows the decisions before it can check it. Decoding takes bytes from outside.

import { type Cidr, formatCidr } from '../../base/address.ts';
import { ByteReader, ByteWriter, toHex, utf8 } from '../../base/bytes.ts';
import type { Crypto } from '../../base/capabilities.ts';
import { type PeerId, parseVni, type Vni } from '../../base/ids.ts';
import { peerIdOf } from '../../base/membership.ts';
import { idBytes, readCidr, writeCidr } from '../wire-fields.ts';

/** More voters cost messages and bring nothing: of seven any three may be gone. */
export const VOTERS_MAX = 7;
/** Below this nothing is reclaimed: of two voters neither can tell a dead one from a cut-off one. */
export const VOTERS_MIN = 3;
/** Blocks of one decision; what a host owns beyond them is reclaimed by the next one. */
export const TITLES_MAX = 256;

/** A block of a network as its owner has it: by the record of this epoch. */
export interface Title {
  readonly network: Vni;
  readonly cidr: Cidr;
  readonly epoch: number;
}

export type Value =
  /** Closes a slot in which an attempt was given up. */
  | { readonly kind: 'none' }
  /** Ascending; `leaseMs` is for how long they promise. */
  | { readonly kind: 'voters'; readonly voters: readonly PeerId[]; readonly leaseMs: number }
  | { readonly kind: 'reclaim'; readonly owner: PeerId; readonly heir: PeerId; readonly titles: readonly Title[] };

export interface Ballot {
  readonly round: number;
  readonly proposer: PeerId;
}

export interface Vote {
  /** Ed25519 public key of the voter, 32 bytes. */
  readonly key: Uint8Array;
  readonly signature: Uint8Array;
}

export interface Decision {
  readonly slot: number;
  readonly ballot: Ballot;
  readonly value: Value;
  readonly votes: readonly Vote[];
}

const LABEL = utf8('fabric decision v1\0');
const FORMAT = 1;
const KINDS = ['none', 'voters', 'reclaim'] as const;
const KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;

export function majorityOf(voters: number): number {
  return Math.floor(voters / 2) + 1;
}

/** So many voters together are part of every majority. */
export function blockingOf(voters: number): number {
  return voters - majorityOf(voters) + 1;
}

/** Negative when `a` is the lower ballot. */
export function compareBallots(a: Ballot, b: Ballot): number {
  if (a.round !== b.round) return a.round - b.round;
  return a.proposer < b.proposer ? -1 : a.proposer > b.proposer ? 1 : 0;
}

/** What a voter signs when it accepts: label | network 4 | slot 4 | ballot 20 | value. */
export function votingBytes(network: Vni, { slot, ballot, value }: Omit<Decision, 'votes'>): Uint8Array {
  const writer = new ByteWriter(256).bytes(LABEL).u32(network).u32(slot);
  writeBallot(writer, ballot);
  writeValue(writer, value);
  return writer.finish();
}

/** True when a majority of `voters` accepted it. */
export function isDecided(
  decision: Decision,
  facts: { network: Vni; voters: readonly PeerId[]; crypto: Crypto },
): boolean {
  const { network, voters, crypto } = facts;
  const bytes = votingBytes(network, decision);
  const valid = new Set<PeerId>();
  for (const { key, signature } of decision.votes) {
    const peer = peerIdOf(key, crypto);
    if (voters.includes(peer) && crypto.ed25519Verify(key, bytes, signature)) valid.add(peer);
  }
  return valid.size >= majorityOf(voters.length);
}

/** True for a list that may follow: one voter more or less, at most {@link VOTERS_MAX}, never again below {@link VOTERS_MIN}. */
export function mayFollow(voters: readonly PeerId[], next: readonly PeerId[]): boolean {
  if (next.length > VOTERS_MAX || next.length < Math.min(voters.length, VOTERS_MIN)) return false;
  const added = next.filter((peer) => !voters.includes(peer));
  const gone = voters.filter((peer) => !next.includes(peer));
  return added.length + gone.length === 1;
}

export function encodeDecision({ slot, ballot, value, votes }: Decision): Uint8Array {
  const writer = new ByteWriter(1024).u8(FORMAT).u32(slot);
  writeBallot(writer, ballot);
  writeValue(writer, value);
  writer.u8(votes.length);
  for (const { key, signature } of votes) writer.bytes(key).bytes(signature);
  return writer.finish();
}

export function decodeDecision(bytes: Uint8Array): Decision | null {
  const reader = new ByteReader(bytes);
  const decision = readDecision(reader);
  return decision === null || reader.remaining > 0 ? null : decision;
}

function readDecision(reader: ByteReader): Decision | null {
  const format = reader.u8();
  const slot = reader.u32();
  const ballot = readBallot(reader);
  const value = readValue(reader);
  const count = reader.u8();
  if (format !== FORMAT || value === null || count > VOTERS_MAX) return null;
  const votes: Vote[] = [];
  for (let i = 0; i < count; i++) {
    votes.push({ key: reader.bytes(KEY_BYTES).slice(), signature: reader.bytes(SIGNATURE_BYTES).slice() });
  }
  return reader.failed ? null : { slot, ballot, value, votes };
}

export function writeBallot(writer: ByteWriter, { round, proposer }: Ballot): void {
  writer.u32(round).bytes(idBytes(proposer));
}

export function readBallot(reader: ByteReader): Ballot {
  return { round: reader.u32(), proposer: toHex(reader.bytes(16)) as PeerId };
}

export function writeValue(writer: ByteWriter, value: Value): void {
  writer.u8(KINDS.indexOf(value.kind));
  if (value.kind === 'voters') {
    writer.u32(value.leaseMs).u8(value.voters.length);
    for (const voter of value.voters) writer.bytes(idBytes(voter));
  } else if (value.kind === 'reclaim') {
    writer.bytes(idBytes(value.owner)).bytes(idBytes(value.heir));
    writeTitles(writer, value.titles);
  }
}

/** Null on what no voter may propose. */
export function readValue(reader: ByteReader): Value | null {
  const kind = KINDS[reader.u8()];
  if (kind === 'none') return reader.failed ? null : { kind };
  if (kind === 'voters') {
    const leaseMs = reader.u32();
    const count = reader.u8();
    if (count > VOTERS_MAX) return null;
    const voters = Array.from({ length: count }, () => toHex(reader.bytes(16)) as PeerId);
    const ascending = voters.every((voter, i) => i === 0 || voters[i - 1]! < voter);
    return reader.failed || !ascending ? null : { kind, voters, leaseMs };
  }
  if (kind !== 'reclaim') return null;
  const owner = toHex(reader.bytes(16)) as PeerId;
  const heir = toHex(reader.bytes(16)) as PeerId;
  const titles = readTitles(reader);
  return reader.failed || titles === null || owner === heir ? null : { kind, owner, heir, titles };
}

export function writeTitles(writer: ByteWriter, titles: readonly Title[]): void {
  writer.u16(titles.length);
  for (const { network, cidr, epoch } of titles) {
    writer.u32(network);
    writeCidr(writer, cidr);
    writer.u32(epoch);
  }
}

export function readTitles(reader: ByteReader): readonly Title[] | null {
  const count = reader.u16();
  if (count > TITLES_MAX) return null;
  const titles: Title[] = [];
  for (let i = 0; i < count; i++) {
    const network = parseVni(reader.u32());
    const cidr = readCidr(reader);
    const epoch = reader.u32();
    if (network === null || cidr === null || reader.failed) return null;
    titles.push({ network, cidr, epoch });
  }
  return titles;
}

/** Equal texts for equal values. */
export function describeValue(value: Value): string {
  if (value.kind === 'none') return 'none';
  if (value.kind === 'voters') return `voters ${value.voters.join(' ')} for ${value.leaseMs} ms`;
  const titles = value.titles.map(({ network, cidr, epoch }) => `${network}:${formatCidr(cidr)}@${epoch}`);
  return `reclaim ${value.owner} for ${value.heir}: ${titles.join(' ')}`;
}
