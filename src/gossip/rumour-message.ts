// What hosts tell each other of a third one's life, as bytes. A rumour names the version of the peer's own records that it is
// about: only the peer itself can write a newer one, so a newer version is its signed answer "I live" (SWIM's incarnation).
//
//   version 1 = 1 | flags 1 (1: complete) | { peer 16 | records' version 8 | verdict 1 }*

import { ByteReader, ByteWriter } from '../base/bytes.ts';
import { PEER_ID_BYTES, type PeerId } from '../base/ids.ts';

/** In the order in which one replaces the other at one version. `unknown`: the sender has no evidence itself. */
export const VERDICTS = ['unknown', 'suspect', 'dead', 'left'] as const;
export type Verdict = (typeof VERDICTS)[number];

export interface Rumour {
  readonly peer: PeerId;
  /** Of the peer's records, as the sender knows them. */
  readonly version: number;
  readonly verdict: Verdict;
}

export interface RumourMessage {
  /** True: the sender takes everybody else that it knows for alive. */
  readonly complete: boolean;
  readonly rumours: readonly Rumour[];
}

const FORMAT = 1;
const COMPLETE = 1;
const RUMOUR_BYTES = PEER_ID_BYTES + 9;
/** More in one message make it malformed: 512 KiB. */
export const RUMOURS_MAX = 16_384;

export function encodeRumours({ complete, rumours }: RumourMessage): Uint8Array {
  const writer = new ByteWriter(2 + rumours.length * RUMOUR_BYTES).u8(FORMAT).u8(complete ? COMPLETE : 0);
  for (const { peer, version, verdict } of rumours) {
    writer.id(peer).u64(version).u8(VERDICTS.indexOf(verdict));
  }
  return writer.finishMessage();
}

/** Null for anything malformed. */
export function decodeRumours(bytes: Uint8Array): RumourMessage | null {
  const reader = new ByteReader(bytes);
  const format = reader.u8();
  const flags = reader.u8();
  if (reader.failed || format !== FORMAT || reader.remaining % RUMOUR_BYTES !== 0) return null;
  if (reader.remaining > RUMOURS_MAX * RUMOUR_BYTES) return null;
  const rumours: Rumour[] = [];
  while (reader.remaining > 0) {
    const peer = reader.id(PEER_ID_BYTES) as PeerId;
    const version = reader.u64();
    const verdict = VERDICTS[reader.u8()];
    if (verdict === undefined || version > BigInt(Number.MAX_SAFE_INTEGER)) return null;
    rumours.push({ peer, version: Number(version), verdict });
  }
  return { complete: (flags & COMPLETE) !== 0, rumours };
}
