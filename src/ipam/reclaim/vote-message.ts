// What voters and owners tell each other on the lease channel, beside requests and gifts of space: renewals and promises,
// ballots and votes, decisions. The format is drawn in docs/leases.md. Decoding takes bytes from outside: null on anything
// malformed, never an exception.

import { ByteReader, ByteWriter, toHex } from '../../base/bytes.ts';
import type { PeerId, Vni } from '../../base/ids.ts';
import { idBytes } from '../wire-fields.ts';
import type { Accepted } from './acceptor.ts';
import {
  type Ballot,
  type Decision,
  decodeDecision,
  encodeDecision,
  readBallot,
  readTitles,
  readValue,
  type Title,
  type Value,
  type Vote,
  writeBallot,
  writeTitles,
  writeValue,
} from './decision.ts';

/** Why a voter does not promise or does not vote. */
export const VOTE_REFUSALS = [
  'not-voter',
  'behind',
  'changing',
  'closed',
  'unheard',
  'outbid',
  'silent',
  'alive',
  'not-enrolled',
  'abstains',
] as const;
export type VoteRefusal = (typeof VOTE_REFUSALS)[number];

export type VoteMessage =
  /** Owner to voter: I am here, know so many decisions, and all I own stands in this version of my published records. */
  | { readonly kind: 'renew'; readonly number: number; readonly length: number; readonly version: number }
  /** Voter to owner: from when I got it I don't vote against you for so long. */
  | { readonly kind: 'promise'; readonly number: number; readonly leaseMs: number }
  | { readonly kind: 'no-promise'; readonly number: number; readonly why: VoteRefusal; readonly length: number }
  /** Proposer to voter; `poll`: only asked, nothing is promised. */
  | {
      readonly kind: 'prepare';
      readonly poll: boolean;
      readonly slot: number;
      readonly ballot: Ballot;
      readonly target: PeerId | null;
    }
  | {
      readonly kind: 'prepared';
      readonly poll: boolean;
      readonly slot: number;
      readonly ballot: Ballot;
      readonly accepted: Accepted | null;
      /** What the target owns as far as the voter knows. */
      readonly titles: readonly Title[];
    }
  /** `round`: the highest that the voter has answered. */
  | {
      readonly kind: 'no-vote';
      readonly slot: number;
      readonly ballot: Ballot;
      readonly why: VoteRefusal;
      readonly round: number;
    }
  | { readonly kind: 'accept'; readonly slot: number; readonly ballot: Ballot; readonly value: Value }
  | { readonly kind: 'accepted'; readonly slot: number; readonly ballot: Ballot; readonly vote: Vote }
  | { readonly kind: 'decided'; readonly decision: Decision }
  /** I know so many decisions: send me the next ones. */
  | { readonly kind: 'fetch'; readonly length: number };

const FORMAT = 1;
/** Kinds below are those of lease-message.ts. */
export const VOTE_KIND_FIRST = 16;
const KINDS = [
  'renew',
  'promise',
  'no-promise',
  'prepare',
  'prepared',
  'no-vote',
  'accept',
  'accepted',
  'decided',
  'fetch',
] as const;
const NOBODY = '0'.repeat(32) as PeerId;

export function isVoteMessage(bytes: Uint8Array): boolean {
  return bytes.length > 1 && bytes[1]! >= VOTE_KIND_FIRST;
}

export function encodeVoteMessage(network: Vni, message: VoteMessage): Uint8Array {
  const writer = new ByteWriter(128)
    .u8(FORMAT)
    .u8(VOTE_KIND_FIRST + KINDS.indexOf(message.kind))
    .u32(network);
  switch (message.kind) {
    case 'renew':
      writer.u32(message.number).u32(message.length).u64(message.version);
      break;
    case 'promise':
      writer.u32(message.number).u32(message.leaseMs);
      break;
    case 'no-promise':
      writer.u32(message.number).u8(VOTE_REFUSALS.indexOf(message.why)).u32(message.length);
      break;
    case 'prepare':
      writer.u8(message.poll ? 1 : 0).u32(message.slot);
      writeBallot(writer, message.ballot);
      writer.bytes(idBytes(message.target ?? NOBODY));
      break;
    case 'prepared':
      writer.u8(message.poll ? 1 : 0).u32(message.slot);
      writeBallot(writer, message.ballot);
      writeAccepted(writer, message.accepted);
      writeTitles(writer, message.titles);
      break;
    case 'no-vote':
      writer.u32(message.slot);
      writeBallot(writer, message.ballot);
      writer.u8(VOTE_REFUSALS.indexOf(message.why)).u32(message.round);
      break;
    case 'accept':
      writer.u32(message.slot);
      writeBallot(writer, message.ballot);
      writeValue(writer, message.value);
      break;
    case 'accepted':
      writer.u32(message.slot);
      writeBallot(writer, message.ballot);
      writer.bytes(message.vote.key).bytes(message.vote.signature);
      break;
    case 'decided':
      writer.bytes16(encodeDecision(message.decision));
      break;
    case 'fetch':
      writer.u32(message.length);
  }
  return writer.finish();
}

export function decodeVoteMessage(bytes: Uint8Array): VoteMessage | null {
  const reader = new ByteReader(bytes);
  const format = reader.u8();
  const kind = KINDS[reader.u8() - VOTE_KIND_FIRST];
  reader.u32();
  if (format !== FORMAT || kind === undefined || reader.failed) return null;
  const message = readBody(reader, kind);
  return message === null || reader.failed || reader.remaining > 0 ? null : message;
}

function readBody(reader: ByteReader, kind: VoteMessage['kind']): VoteMessage | null {
  switch (kind) {
    case 'renew': {
      const [number, length, version] = [reader.u32(), reader.u32(), Number(reader.u64())];
      return Number.isSafeInteger(version) ? { kind, number, length, version } : null;
    }
    case 'promise':
      return { kind, number: reader.u32(), leaseMs: reader.u32() };
    case 'no-promise': {
      const number = reader.u32();
      const why = VOTE_REFUSALS[reader.u8()];
      return why === undefined ? null : { kind, number, why, length: reader.u32() };
    }
    case 'prepare': {
      const poll = readFlag(reader);
      const slot = reader.u32();
      const ballot = readBallot(reader);
      const target = toHex(reader.bytes(16)) as PeerId;
      return poll === null ? null : { kind, poll, slot, ballot, target: target === NOBODY ? null : target };
    }
    case 'prepared': {
      const poll = readFlag(reader);
      const slot = reader.u32();
      const ballot = readBallot(reader);
      const accepted = readAccepted(reader);
      const titles = readTitles(reader);
      if (poll === null || accepted === undefined || titles === null) return null;
      return { kind, poll, slot, ballot, accepted, titles };
    }
    case 'no-vote': {
      const slot = reader.u32();
      const ballot = readBallot(reader);
      const why = VOTE_REFUSALS[reader.u8()];
      return why === undefined ? null : { kind, slot, ballot, why, round: reader.u32() };
    }
    case 'accept': {
      const slot = reader.u32();
      const ballot = readBallot(reader);
      const value = readValue(reader);
      return value === null ? null : { kind, slot, ballot, value };
    }
    case 'accepted': {
      const slot = reader.u32();
      const ballot = readBallot(reader);
      return { kind, slot, ballot, vote: { key: reader.bytes(32).slice(), signature: reader.bytes(64).slice() } };
    }
    case 'decided': {
      const decision = decodeDecision(reader.bytes16());
      return decision === null ? null : { kind, decision };
    }
    case 'fetch':
      return { kind, length: reader.u32() };
  }
}

function readFlag(reader: ByteReader): boolean | null {
  const value = reader.u8();
  return value > 1 ? null : value === 1;
}

function writeAccepted(writer: ByteWriter, accepted: Accepted | null): void {
  writer.u8(accepted === null ? 0 : 1);
  if (accepted === null) return;
  writeBallot(writer, accepted.ballot);
  writeValue(writer, accepted.value);
}

/** Undefined when malformed. */
function readAccepted(reader: ByteReader): Accepted | null | undefined {
  const flag = readFlag(reader);
  if (flag !== true) return flag === null ? undefined : null;
  const ballot = readBallot(reader);
  const value = readValue(reader);
  return value === null ? undefined : { ballot, value };
}
