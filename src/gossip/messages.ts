// Gossip messages as bytes. A reconciliation descends from the root digest over buckets and heads to deltas; a push starts
// with the deltas. `proto` carries them as opaque bytes: this codec is ours because the core must stay allocation-lean and
// its bounds must be visible. A decoder returns null on anything malformed and never throws.
//
//   version 1 = 1 | type 1 | body
//   1 root     digest 8 | authors 4                                  "this is all I have"
//   2 buckets  bitmap 32 | digest 8 of each set bucket               answer to a root that differs
//   3 heads    head* | bitmap 32                                     all my heads in the set buckets
//   4 have     flags 1 (1: fresh news) | head*                       "ask me for these"
//   5 want     {author 16 | base v | flags 1 (1: graft)}*            base: what I have, 0 for the full map
//   6 states   {flags 1 (1: pushed) | author 16 | version v | version - base v | floor v | signature 64
//              | identity key 32 only if base is 0 | length v | entries (wire-entries.ts)}*
//   7 prune    author 16 *                                           "your pushes of these come too late"
//
//   head = author 16 | version v | fingerprint 8; v is a varint; `*` repeats as far as the message reaches

import { ByteReader, ByteWriter } from '../base/bytes.ts';
import { PEER_ID_BYTES, type PeerId } from '../base/ids.ts';
import { type AuthorState, FINGERPRINT_BYTES, type Head, IDENTITY_KEY_BYTES, SIGNATURE_BYTES } from './author-state.ts';
import { BUCKETS } from './digest-tree.ts';
import type { GossipLimits } from './limits.ts';
import { readEntries, writeEntries } from './wire-entries.ts';

export const GOSSIP_VERSION = 1;

export interface HeadRef {
  readonly author: PeerId;
  readonly version: number;
  readonly fingerprint: Uint8Array;
}

export interface Want {
  readonly author: PeerId;
  /** The version that the asker has; 0 asks for the full map. */
  readonly base: number;
  /** True: push this author's changes to the asker from now on. */
  readonly graft: boolean;
}

/** A received state, not yet verified. Its signature and key are views into the message. */
export interface StateItem extends Head {
  readonly pushed: boolean;
  readonly base: number;
  /** Present exactly if `base` is 0. */
  readonly identityKey: Uint8Array | null;
  /** In the form of a packed map; a copy. */
  readonly entries: Uint8Array;
}

export type GossipMessage =
  | { readonly type: 'root'; readonly digest: Uint8Array; readonly authors: number }
  | { readonly type: 'buckets'; readonly digests: Uint8Array }
  | { readonly type: 'heads'; readonly buckets: Bitmap; readonly heads: readonly HeadRef[] }
  | { readonly type: 'have'; readonly fresh: boolean; readonly heads: readonly HeadRef[] }
  | { readonly type: 'want'; readonly wants: readonly Want[] }
  | { readonly type: 'states'; readonly items: readonly StateItem[] }
  | { readonly type: 'prune'; readonly authors: readonly PeerId[] };

export type MessageType = GossipMessage['type'];

/** One bit per bucket, bucket 0 in the lowest bit of the first byte. */
export type Bitmap = Uint8Array;
export const BITMAP_BYTES = BUCKETS / 8;

export function hasBit(bitmap: Bitmap, bucket: number): boolean {
  return (bitmap[bucket >> 3]! & (1 << (bucket & 7))) !== 0;
}

export function setBit(bitmap: Bitmap, bucket: number): void {
  bitmap[bucket >> 3]! |= 1 << (bucket & 7);
}

const TYPES: readonly MessageType[] = ['root', 'buckets', 'heads', 'have', 'want', 'states', 'prune'];
const FLAG = 1;

/** Opens a message; the caller appends its items with the functions below and calls `finishMessage()`. */
export function openMessage(type: MessageType): ByteWriter {
  return new ByteWriter().u8(GOSSIP_VERSION).u8(TYPES.indexOf(type) + 1);
}

export function encodeRoot(digest: Uint8Array, authors: number): Uint8Array {
  return openMessage('root').bytes(digest).u32(authors).finishMessage();
}

/** `digests` holds all buckets; empty ones (all zero) are left out on the wire. */
export function encodeBuckets(digests: Uint8Array): Uint8Array {
  const bitmap = new Uint8Array(BITMAP_BYTES);
  const present: Uint8Array[] = [];
  for (let bucket = 0; bucket < BUCKETS; bucket++) {
    const digest = digests.subarray(bucket * FINGERPRINT_BYTES, (bucket + 1) * FINGERPRINT_BYTES);
    if (digest.every((byte) => byte === 0)) continue;
    setBit(bitmap, bucket);
    present.push(digest);
  }
  const writer = openMessage('buckets').bytes(bitmap);
  for (const digest of present) writer.bytes(digest);
  return writer.finishMessage();
}

export function writeHead(writer: ByteWriter, head: HeadRef): void {
  writer.id(head.author).varint(head.version).bytes(head.fingerprint);
}

export function writeWant(writer: ByteWriter, { author, base, graft }: Want): void {
  writer
    .id(author)
    .varint(base)
    .u8(graft ? FLAG : 0);
}

export function writeAuthor(writer: ByteWriter, author: PeerId): void {
  writer.id(author);
}

/** What a holder of `base` lacks of `state`; the full map when `base` is 0 or lies below the floor. */
export function writeState(writer: ByteWriter, state: AuthorState, base: number, pushed: boolean): void {
  const usable = base >= state.floor && base < state.version ? base : 0;
  const { author, version, floor, signature, identityKey, packed } = state;
  const entries = writeEntries(packed, { version, since: usable });
  writer.u8(pushed ? FLAG : 0).id(author);
  writer
    .varint(version)
    .varint(version - usable)
    .varint(floor)
    .bytes(signature);
  if (usable === 0) writer.bytes(identityKey);
  writer.varint(entries.length).bytes(entries);
}

/** Why a message was not understood: both are counted, neither harms the link. */
export type DecodeFailure = 'oversized' | 'malformed' | 'unknown-version' | 'unknown-type';

export function decodeMessage(bytes: Uint8Array, limits: GossipLimits): GossipMessage | DecodeFailure {
  if (bytes.length > limits.messageBytesMax) return 'oversized';
  const reader = new ByteReader(bytes);
  const version = reader.u8();
  const type = TYPES[reader.u8() - 1];
  if (reader.failed) return 'malformed';
  if (version !== GOSSIP_VERSION) return 'unknown-version';
  if (type === undefined) return 'unknown-type';
  const message = decodeBody(type, reader, limits);
  return message === null || reader.failed || reader.remaining > 0 ? 'malformed' : message;
}

function decodeBody(type: MessageType, reader: ByteReader, limits: GossipLimits): GossipMessage | null {
  switch (type) {
    case 'root':
      return { type, digest: reader.bytes(FINGERPRINT_BYTES), authors: reader.u32() };
    case 'buckets':
      return { type, digests: readBuckets(reader) };
    case 'heads': {
      const heads = readAll(reader, limits.itemsMax, readHead, BITMAP_BYTES);
      return heads === null ? null : { type, heads, buckets: reader.bytes(BITMAP_BYTES) };
    }
    case 'have': {
      const fresh = (reader.u8() & FLAG) !== 0;
      const heads = readAll(reader, limits.itemsMax, readHead);
      return heads === null ? null : { type, fresh, heads };
    }
    case 'want': {
      const wants = readAll(reader, limits.itemsMax, readWant);
      return wants === null ? null : { type, wants };
    }
    case 'states': {
      const items = readAll(reader, limits.statesMax, readState);
      return items === null ? null : { type, items };
    }
    case 'prune': {
      const authors = readAll(reader, limits.itemsMax, readAuthor);
      return authors === null ? null : { type, authors };
    }
  }
}

/** Up to `tailBytes` before the end; null as soon as one item is malformed or there are too many. */
function readAll<T>(
  reader: ByteReader,
  countMax: number,
  read: (reader: ByteReader) => T | null,
  tailBytes = 0,
): readonly T[] | null {
  const items: T[] = [];
  while (reader.remaining > tailBytes) {
    const item = items.length < countMax ? read(reader) : null;
    if (item === null || reader.failed) return null;
    items.push(item);
  }
  return items;
}

function readBuckets(reader: ByteReader): Uint8Array {
  const digests = new Uint8Array(BUCKETS * FINGERPRINT_BYTES);
  const bitmap = reader.bytes(BITMAP_BYTES);
  if (reader.failed) return digests;
  for (let bucket = 0; bucket < BUCKETS; bucket++) {
    if (hasBit(bitmap, bucket)) digests.set(reader.bytes(FINGERPRINT_BYTES), bucket * FINGERPRINT_BYTES);
  }
  return digests;
}

function readAuthor(reader: ByteReader): PeerId {
  return reader.id(PEER_ID_BYTES) as PeerId;
}

function readHead(reader: ByteReader): HeadRef {
  return { author: readAuthor(reader), version: reader.varint(), fingerprint: reader.bytes(FINGERPRINT_BYTES) };
}

function readWant(reader: ByteReader): Want {
  return { author: readAuthor(reader), base: reader.varint(), graft: (reader.u8() & FLAG) !== 0 };
}

function readState(reader: ByteReader): StateItem | null {
  const pushed = (reader.u8() & FLAG) !== 0;
  const author = readAuthor(reader);
  const version = reader.varint();
  const base = version - reader.varint();
  const floor = reader.varint();
  const signature = reader.bytes(SIGNATURE_BYTES);
  const identityKey = base === 0 ? reader.bytes(IDENTITY_KEY_BYTES) : null;
  const entries = readEntries(reader.bytes(reader.varint()), version);
  const plausible = floor <= version && base >= 0 && base < version && (base === 0 || base >= floor);
  if (entries === null || !plausible) return null;
  return { pushed, author, version, floor, base, signature, identityKey, entries };
}
