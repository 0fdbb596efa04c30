// The body of a relay datagram (docs/wire-format.md): whom it is for, whom it is from, and a whole datagram between those two, which
// the relay cannot read. And what a host does with one: pure, so that every datapath in TypeScript decides alike. Invariants: a
// datagram never goes back to whom it came from, and each host that passes it on takes one off its hop limit.
//
//   A ── session A–B: { relay | to C | from A | datagram A–C } ──▶ B ── session B–C: { the same, hop limit - 1 } ──▶ C

import { fromHex, toHex } from '../base/bytes.ts';
import { assert } from '../base/errors.ts';
import { PEER_ID_BYTES, type PeerId } from '../base/ids.ts';
import type { DropReason } from './frame-drops.ts';
import { relayOf, type TunnelPath } from './tunnel-path.ts';
import {
  DatagramType,
  datagramType,
  HOP_LIMIT,
  INNER_BYTES,
  InnerKind,
  innerHeader,
  SEAL_BYTES,
  writeInnerHeader,
} from './wire-format.ts';

/** Both peers' ids, in front of the datagram inside. */
const RELAY_HEADER_BYTES = 2 * PEER_ID_BYTES;
/** What a relay adds to a datagram: a second seal, and who it is for and from. */
export const RELAY_OVERHEAD_BYTES = SEAL_BYTES + RELAY_HEADER_BYTES;

export interface RelayedDatagram {
  readonly destination: PeerId;
  readonly source: PeerId;
  readonly hopLimit: number;
  /** A handshake or data datagram between the two: a view into what was parsed. */
  readonly datagram: Uint8Array;
}

/** Inner header and body, ready to be sealed for the relay, or for the next host. Freshly allocated. */
export function relayPlain({ destination, source, hopLimit, datagram }: RelayedDatagram): Uint8Array {
  const plain = new Uint8Array(INNER_BYTES + RELAY_HEADER_BYTES + datagram.length);
  writeInnerHeader(plain, 0, { ...innerHeader(InnerKind.relay, 0), hopLimit });
  plain.set(peerIdBytes(destination), INNER_BYTES);
  plain.set(peerIdBytes(source), INNER_BYTES + PEER_ID_BYTES);
  plain.set(datagram, INNER_BYTES + RELAY_HEADER_BYTES);
  return plain;
}

/** `body` is what stands behind the inner header. Null when it holds no datagram of ours. */
export function readRelayed(body: Uint8Array, hopLimit: number): RelayedDatagram | null {
  const datagram = body.subarray(RELAY_HEADER_BYTES);
  const type = datagramType(datagram);
  if (type < DatagramType.initiation || type > DatagramType.data || hopLimit > HOP_LIMIT) return null;
  return {
    destination: toHex(body.subarray(0, PEER_ID_BYTES)) as PeerId,
    source: toHex(body.subarray(PEER_ID_BYTES, RELAY_HEADER_BYTES)) as PeerId,
    hopLimit,
    datagram,
  };
}

/** Where a relayed datagram came from. */
export interface RelayArrival {
  readonly self: PeerId;
  /** On whose session it came. */
  readonly from: PeerId;
  /** That datagram came by a relay itself. */
  readonly nested: boolean;
}

/** Whether it is ours, is to be passed on, or why it goes no further. */
export function decideRelayed(
  { destination, source, hopLimit }: Omit<RelayedDatagram, 'datagram'>,
  { self, from, nested }: RelayArrival,
): 'deliver' | 'forward' | DropReason {
  if (nested) return 'relay-nested';
  if (source === self || (hopLimit === HOP_LIMIT && source !== from)) return 'relay-source';
  if (destination === self) return 'deliver';
  if (hopLimit === 0) return 'hop-limit';
  return destination === from ? 'relay-unreachable' : 'forward';
}

/**
 * To whom what is passed on goes, and as what: to its destination, or to the relay by which this host itself reaches that. Null:
 * there it came from. `path`: this host's to the destination.
 */
export function passOn<T extends Pick<RelayedDatagram, 'destination' | 'hopLimit'>>(
  relayed: T,
  { from, path }: { readonly from: PeerId; readonly path: TunnelPath | null },
): { readonly to: PeerId; readonly relayed: T } | null {
  const to = relayOf(path) ?? relayed.destination;
  return to === from ? null : { to, relayed: { ...relayed, hopLimit: relayed.hopLimit - 1 } };
}

function peerIdBytes(peer: PeerId): Uint8Array {
  const bytes = fromHex(peer);
  assert(bytes?.length === PEER_ID_BYTES, 'a peer id is 16 bytes in hex');
  return bytes;
}
