// The forwarding rules (docs/wire-format.md, "Forwarding"): a frame and where it came from, against the tables, give a
// verdict. Pure functions: the same question has the same answer in every datapath, in tests and in `fabric trace`.
// Invariants: what came from the overlay goes to the port or nowhere (split horizon); the anycast gateway never crosses; a MAC
// or an address that the tables give to one place is never believed from another.
//
//   port ──▶ decideFromPort ──▶ peer | flood | answer | too-large | drop
//   peer ──▶ decideFromPeer ──▶ port | drop

import type { PeerId } from '../base/ids.ts';
import type { ForwardingTable, MacEntry, Verdict } from './forwarding-table.ts';
import { EtherType, type FrameView } from './frame.ts';
import type { DropReason } from './frame-drops.ts';
import { answerArp, answerSolicitation } from './neighbour-answer.ts';
import { type NeighbourMessage, readNeighbourMessage } from './neighbour-message.ts';

const TO_PORT: Verdict = { kind: 'port' };
const TOO_LARGE: Verdict = { kind: 'too-large' };
const DROPS = new Map<DropReason, Verdict>();

/**
 * A frame that entered from the bridge. `source` is the table's entry for its source MAC (the caller needs it too, to notice
 * strangers); `mtu` is the overlay MTU.
 */
export function decideFromPort(
  frame: FrameView,
  source: MacEntry | undefined,
  table: ForwardingTable,
  mtu: number,
): Verdict {
  const refused = refusedAnywhere(frame, table);
  if (refused !== null) return drop(refused);
  if (source !== undefined && source.owner !== 'local') return drop('source-elsewhere');
  if (mayBeNeighbourMessage(frame)) {
    const message = readNeighbourMessage(frame);
    if (message !== null) {
      const verdict = decideNeighbourMessage(frame, message, table);
      if (verdict !== null) return verdict;
    }
  }
  if (frame.packetBytes > mtu) return TOO_LARGE;
  if (frame.toGroup) return table.flood;
  return table.lookup(frame.destinationHigh, frame.destinationLow)?.verdict ?? table.unknownUnicast;
}

/** A frame that `peer` sent and whose datagram was authenticated. */
export function decideFromPeer(frame: FrameView, peer: PeerId, table: ForwardingTable, mtu: number): Verdict {
  const refused = refusedAnywhere(frame, table);
  if (refused !== null) return drop(refused);
  const source = table.lookup(frame.sourceHigh, frame.sourceLow);
  if (source !== undefined && source.owner !== peer) return drop('source-elsewhere');
  if (mayBeNeighbourMessage(frame)) {
    const message = readNeighbourMessage(frame);
    const reason = message === null ? null : refusedNeighbourMessage(message, table);
    if (reason !== null) return drop(reason);
  }
  if (frame.packetBytes > mtu) return drop('frame-too-large');
  if (frame.toGroup) return TO_PORT;
  const destination = table.lookup(frame.destinationHigh, frame.destinationLow);
  return destination === undefined || destination.owner === 'local' ? TO_PORT : drop('destination-elsewhere');
}

/** True when a frame from the port is news for `learned`: its source MAC is in no table, or the tables have it elsewhere. */
export function isNews(source: MacEntry | undefined, verdict: Verdict): boolean {
  if (verdict.kind === 'drop') return verdict.reason === 'source-elsewhere';
  return source === undefined;
}

/** The address that a frame from an unknown MAC shows to be its own, for `learned`. */
export function addressOfStranger(frame: FrameView): string | null {
  const message = mayBeNeighbourMessage(frame) ? readNeighbourMessage(frame) : null;
  return message?.claim?.mac === frame.source ? message.claim.ip : null;
}

function refusedAnywhere(frame: FrameView, table: ForwardingTable): DropReason | null {
  if (frame.toReservedGroup) return 'reserved-group';
  if (frame.sourceInvalid) return 'source-invalid';
  const { gatewayHigh, gatewayLow } = table;
  if (frame.sourceHigh === gatewayHigh && frame.sourceLow === gatewayLow) return 'gateway-mac';
  if (frame.destinationHigh === gatewayHigh && frame.destinationLow === gatewayLow) return 'gateway-mac';
  return null;
}

/** Cheap: spares the TCP and UDP of both families the walk through their headers. */
function mayBeNeighbourMessage(frame: FrameView): boolean {
  if (frame.etherType === EtherType.arp) return true;
  if (frame.etherType !== EtherType.ipv6) return false;
  const next = frame.bytes[frame.l3Offset + 6];
  return next !== 6 && next !== 17;
}

/** What holds in both directions: gateways are local, bindings in the table are true, routers are not containers. */
function refusedNeighbourMessage(message: NeighbourMessage, table: ForwardingTable): DropReason | null {
  if (message.kind === 'router') return 'router-advertisement';
  if (message.kind === 'redirect') return 'redirect';
  if (table.isGatewayIp(message.target)) return 'gateway-neighbour';
  if (message.sender !== null && table.isGatewayIp(message.sender)) return 'gateway-neighbour';
  if (message.claim === null) return null;
  if (table.isGatewayIp(message.claim.ip)) return 'gateway-neighbour';
  const known = table.neighbour(message.claim.ip);
  return known !== undefined && known !== message.claim.mac ? 'neighbour-spoof' : null;
}

/** Null: carry it like any other frame. */
function decideNeighbourMessage(frame: FrameView, message: NeighbourMessage, table: ForwardingTable): Verdict | null {
  const reason = refusedNeighbourMessage(message, table);
  if (reason !== null) return drop(reason);
  // Probes and announcements are for everybody who may object; a unicast question wants to know whether its target lives.
  if (message.kind !== 'question' || !frame.toGroup) return null;
  if (message.sender === null || message.sender === message.target) return null;
  const mac = table.neighbour(message.target);
  if (mac === undefined) return null;
  const owner = table.lookupMac(mac)?.owner;
  if (owner === undefined) return null;
  if (owner === 'local') return drop('neighbour-local');
  const answer = message.family === 4 ? answerArp(frame, mac) : answerSolicitation(frame, message.target, mac);
  return { kind: 'answer', frame: answer };
}

function drop(reason: DropReason): Verdict {
  let verdict = DROPS.get(reason);
  if (verdict === undefined) {
    verdict = { kind: 'drop', reason };
    DROPS.set(reason, verdict);
  }
  return verdict;
}
