// The lease channel between two hosts: a request for address space, the gift that answers it, or a refusal; and the binary
// form of a lease record, which the store uses too. The format is drawn in docs/leases.md; all numbers are in network
// order. Decoding accepts bytes from outside: null on anything malformed, never an exception.

import { type Cidr, type Family, formatCidr, parseCidr } from '../base/address.ts';
import { ByteReader, ByteWriter, toHex } from '../base/bytes.ts';
import { assert } from '../base/errors.ts';
import { type GiftId, type PeerId, parseVni, type Vni } from '../base/ids.ts';
import type { LeaseRecord } from '../base/records.ts';
import { idBytes, readCidr, readFamily, writeCidr } from './wire-fields.ts';

/**
 * What the asker needs: `share` a first part of the donor's free space, `block` one more lease block in good time, `any`
 * free address because it has none left, `exact` the block named in the request.
 */
export type Wish = 'share' | 'block' | 'any' | 'exact';
export type Refusal = 'none-free' | 'in-use' | 'not-owner' | 'paused' | 'limit';

/** A record of the donor's title with its own donor's identity key: hashes to the donor's id, so it proves itself. */
export interface ProofStep {
  readonly record: LeaseRecord;
  readonly donorKey: Uint8Array;
}

export type LeaseMessage =
  | {
      readonly kind: 'request';
      readonly giftId: GiftId;
      readonly family: Family;
      readonly wish: Wish;
      /** The block for `exact`, else null. */
      readonly exact: Cidr | null;
    }
  | { readonly kind: 'grant'; readonly record: LeaseRecord; readonly proof: readonly ProofStep[] }
  | { readonly kind: 'refuse'; readonly giftId: GiftId; readonly reason: Refusal };

export const LEASE_MESSAGE_BYTES_MAX = 16_384;
/** A longer history is not sent: the receiver then waits until gossip brings it. */
export const PROOF_STEPS_MAX = 32;

const FORMAT = 1;
const KINDS = { request: 1, grant: 2, refuse: 3 } as const;
const WISHES: readonly Wish[] = ['share', 'block', 'any', 'exact'];
const REFUSALS: readonly Refusal[] = ['none-free', 'in-use', 'not-owner', 'paused', 'limit'];
const KEY_BYTES = 32;

/** Throws when there are more than {@link PROOF_STEPS_MAX} steps. */
export function encodeLeaseMessage(network: Vni, message: LeaseMessage): Uint8Array {
  const writer = new ByteWriter(256).u8(FORMAT).u8(KINDS[message.kind]).u32(network);
  switch (message.kind) {
    case 'request':
      writer.bytes(idBytes(message.giftId)).u8(message.family).u8(WISHES.indexOf(message.wish));
      if (message.wish === 'exact') {
        assert(message.exact?.family === message.family, 'an exact request names a block of its family');
        writeCidr(writer, message.exact);
      }
      break;
    case 'grant':
      assert(message.proof.length <= PROOF_STEPS_MAX, 'a proof is bounded');
      writeRecord(writer, message.record);
      writer.u8(message.proof.length);
      for (const { record, donorKey } of message.proof) {
        writeRecord(writer, record);
        writer.bytes(donorKey);
      }
      break;
    case 'refuse':
      writer.bytes(idBytes(message.giftId)).u8(REFUSALS.indexOf(message.reason));
  }
  return writer.finish();
}

/** The network that a message is for, so that a daemon with several finds the right one; null when malformed. */
export function leaseMessageNetwork(bytes: Uint8Array): Vni | null {
  const reader = new ByteReader(bytes);
  const format = reader.u8();
  reader.u8();
  const network = parseVni(reader.u32());
  return reader.failed || format !== FORMAT ? null : network;
}

export function decodeLeaseMessage(bytes: Uint8Array): LeaseMessage | null {
  if (bytes.length > LEASE_MESSAGE_BYTES_MAX || leaseMessageNetwork(bytes) === null) return null;
  const reader = new ByteReader(bytes);
  reader.u8();
  const kind = reader.u8();
  reader.u32();
  const message =
    kind === KINDS.request
      ? readRequest(reader)
      : kind === KINDS.grant
        ? readGrant(reader)
        : kind === KINDS.refuse
          ? readRefusal(reader)
          : null;
  return message === null || reader.failed || reader.remaining > 0 ? null : message;
}

export function encodeLeaseRecord(record: LeaseRecord): Uint8Array {
  const writer = new ByteWriter(192).u8(FORMAT);
  writeRecord(writer, record);
  return writer.finish();
}

export function decodeLeaseRecord(bytes: Uint8Array): LeaseRecord | null {
  const reader = new ByteReader(bytes);
  const format = reader.u8();
  const record = readRecord(reader);
  return format !== FORMAT || record === null || reader.failed || reader.remaining > 0 ? null : record;
}

function readRequest(reader: ByteReader): LeaseMessage | null {
  const giftId = toHex(reader.bytes(16)) as GiftId;
  const family = readFamily(reader.u8());
  const wish = WISHES[reader.u8()];
  if (reader.failed || family === null || wish === undefined) return null;
  if (wish !== 'exact') return { kind: 'request', giftId, family, wish, exact: null };
  const exact = readCidr(reader);
  return exact?.family === family ? { kind: 'request', giftId, family, wish, exact } : null;
}

function readGrant(reader: ByteReader): LeaseMessage | null {
  const record = readRecord(reader);
  const count = reader.u8();
  if (record === null || count > PROOF_STEPS_MAX) return null;
  const proof: ProofStep[] = [];
  for (let i = 0; i < count; i++) {
    const step = readRecord(reader);
    const donorKey = reader.bytes(KEY_BYTES).slice();
    if (step === null || reader.failed) return null;
    proof.push({ record: step, donorKey });
  }
  return { kind: 'grant', record, proof };
}

function readRefusal(reader: ByteReader): LeaseMessage | null {
  const giftId = toHex(reader.bytes(16)) as GiftId;
  const reason = REFUSALS[reader.u8()];
  return reader.failed || reason === undefined ? null : { kind: 'refuse', giftId, reason };
}

function writeRecord(writer: ByteWriter, record: LeaseRecord): void {
  const cidr = parseCidr(record.cidr);
  assert(cidr !== null, 'a lease record has a canonical block');
  writer.u32(record.network);
  writeCidr(writer, cidr);
  writer.bytes(idBytes(record.owner)).u32(record.epoch);
  writer.bytes(idBytes(record.giftId)).bytes(idBytes(record.donor)).bytes16(record.signature);
}

function readRecord(reader: ByteReader): LeaseRecord | null {
  const network = parseVni(reader.u32());
  const cidr = readCidr(reader);
  const owner = toHex(reader.bytes(16)) as PeerId;
  const epoch = reader.u32();
  const giftId = toHex(reader.bytes(16)) as GiftId;
  const donor = toHex(reader.bytes(16)) as PeerId;
  const signature = reader.bytes16().slice();
  if (reader.failed || network === null || cidr === null) return null;
  return { network, cidr: formatCidr(cidr), owner, epoch, giftId, donor, signature };
}
