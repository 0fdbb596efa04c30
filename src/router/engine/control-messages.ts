// The messages between daemon and engine (docs/engine-control.md): length 4, type 1, payload; numbers in network order.
// native/engine/commands.cc is the other side; test/router/engine/control-golden.json pins the bytes of both. Invariant: what
// the engine says is checked as if it came from a stranger, because the engine is the part that hostile bytes reach.

import { ipToBytes, parseIp } from '../../base/address.ts';
import type { Endpoint } from '../../base/endpoint.ts';
import { assert } from '../../base/errors.ts';
import { type Mac, macToBytes, type PeerId, type Vni } from '../../base/ids.ts';
import type { LastingSession, RelayCounters, SessionKeys, TableChange } from '../datapath.ts';
import type { DropReason } from '../frame-drops.ts';
import { isRelayPath, type TunnelPath } from '../tunnel-path.ts';
import { CIPHER_NUMBERS, ControlReader, RELAY_FAMILY } from './control-reader.ts';

/** Type and payload. Longer lists of table changes go in several messages. */
export const MESSAGE_MAX = 1 << 20;
export const LENGTH_BYTES = 4;
/**
 * Of the messages and their meaning. Whatever the version, an engine's first message is `hello` and begins with it, and `stop`
 * ends the engine.
 */
export const PROTOCOL_VERSION = 4;

/** To the engine. */
const Down = {
  addSession: 1,
  useSession: 2,
  removeSession: 3,
  setPath: 4,
  setPathMtu: 5,
  applyTables: 6,
  sendRaw: 7,
  sendKeepalive: 8,
  removePeer: 9,
  stop: 10,
  report: 11,
  setClock: 12,
  beginTables: 13,
  endTables: 14,
  sendProbe: 15,
} as const;

const SESSION_FLAGS = ['adoptable', 'initiator', 'confirmed', 'exhausted'] as const;
const SESSION_ROLES = ['next', 'current', 'previous'] as const;
const HELLO = 12;
const CHANGES = {
  mac: 1,
  'mac-gone': 2,
  neighbour: 3,
  'neighbour-gone': 4,
  flood: 5,
  network: 6,
  'network-gone': 7,
} as const;

/** What the machine gave the engine at its start. */
export const ENGINE_FEATURES = [
  'vnet',
  'checksum',
  'tso',
  'uso',
  'udp-segment',
  'udp-gro',
  'seccomp',
  'mlock',
] as const;
export type EngineFeature = (typeof ENGINE_FEATURES)[number];

export interface PeerReport {
  readonly peer: PeerId;
  readonly txFrames: number;
  readonly txBytes: number;
  readonly rxFrames: number;
  readonly rxBytes: number;
  /** CLOCK_BOOTTIME; null: never. */
  readonly lastDataSentMs: number | null;
  readonly lastDataReceivedMs: number | null;
  readonly lastReceivedMs: number | null;
  readonly drops: Readonly<Partial<Record<DropReason, number>>>;
}

/** From the engine. */
export type EngineMessage =
  | {
      readonly kind: 'ready';
      readonly udpPort: number;
      readonly features: readonly EngineFeature[];
      readonly aead: string;
    }
  | { readonly kind: 'handshake'; readonly from: TunnelPath; readonly datagram: Uint8Array }
  | { readonly kind: 'session-wanted'; readonly peer: PeerId }
  | { readonly kind: 'relay-wanted'; readonly peer: PeerId }
  | { readonly kind: 'session-confirmed'; readonly localIndex: number }
  | { readonly kind: 'roamed'; readonly peer: PeerId; readonly endpoint: Endpoint }
  | { readonly kind: 'probe-answered'; readonly peer: PeerId; readonly bytes: number }
  | { readonly kind: 'session-exhausted'; readonly localIndex: number }
  | { readonly kind: 'learned'; readonly network: Vni; readonly mac: Mac; readonly ip: string | null }
  | { readonly kind: 'failed'; readonly code: string; readonly why: string }
  | { readonly kind: 'peer-stats'; readonly report: PeerReport }
  | {
      readonly kind: 'engine-stats';
      readonly framesIn: number;
      readonly framesOut: number;
      readonly relayed: RelayCounters;
      readonly drops: Readonly<Partial<Record<DropReason, number>>>;
    }
  | { readonly kind: 'reported' }
  | { readonly kind: 'hello'; readonly protocol: number; readonly settings: string }
  | { readonly kind: 'session'; readonly session: LastingSession; readonly adoptable: boolean };

/** The result holds the keys: the caller zeroes it once it is sent. */
export function encodeAddSession(keys: SessionKeys): Buffer {
  const body = Buffer.concat([
    peerBytes(keys.peer),
    u32(keys.localIndex),
    u32(keys.remoteIndex),
    Buffer.of(CIPHER_NUMBERS[keys.cipher]),
    factsBytes(keys.facts),
  ]);
  // Not by concatenation of pooled parts: the keys are in this memory only.
  const bytes = Buffer.alloc(LENGTH_BYTES + 1 + body.length + keys.sendKey.length + keys.receiveKey.length);
  bytes.writeUInt32BE(bytes.length - LENGTH_BYTES);
  bytes[LENGTH_BYTES] = Down.addSession;
  body.copy(bytes, LENGTH_BYTES + 1);
  bytes.set(keys.sendKey, bytes.length - keys.sendKey.length - keys.receiveKey.length);
  bytes.set(keys.receiveKey, bytes.length - keys.receiveKey.length);
  return bytes;
}

export function encodeUseSession(localIndex: number): Buffer {
  return message(Down.useSession, u32(localIndex));
}

export function encodeRemoveSession(localIndex: number): Buffer {
  return message(Down.removeSession, u32(localIndex));
}

export function encodeSetPath(peer: PeerId, path: TunnelPath | null): Buffer {
  return message(Down.setPath, peerBytes(peer), path === null ? Buffer.of(0) : pathBytes(path));
}

export function encodeSetPathMtu(peer: PeerId, bytes: number): Buffer {
  return message(Down.setPathMtu, peerBytes(peer), u32(bytes));
}

/** As many messages as it takes. */
export function encodeApplyTables(changes: readonly TableChange[]): readonly Buffer[] {
  const messages: Buffer[] = [];
  let parts: Buffer[] = [];
  let size = 1;
  for (const change of changes) {
    const bytes = changeBytes(change);
    if (size + bytes.length > MESSAGE_MAX) {
      messages.push(message(Down.applyTables, ...parts));
      parts = [];
      size = 1;
    }
    parts.push(bytes);
    size += bytes.length;
  }
  if (parts.length > 0) messages.push(message(Down.applyTables, ...parts));
  return messages;
}

export function encodeSendRaw(datagram: Uint8Array, to: TunnelPath): Buffer {
  return message(Down.sendRaw, pathBytes(to), datagram);
}

export function encodeSendKeepalive(peer: PeerId): Buffer {
  return message(Down.sendKeepalive, peerBytes(peer));
}

export function encodeSendProbe(peer: PeerId, bytes: number): Buffer {
  return message(Down.sendProbe, peerBytes(peer), u32(bytes));
}

export function encodeRemovePeer(peer: PeerId): Buffer {
  return message(Down.removePeer, peerBytes(peer));
}

export function encodeStop(): Buffer {
  return message(Down.stop);
}

export function encodeReport(): Buffer {
  return message(Down.report);
}

/** Stops the engine's clock at this time, CLOCK_BOOTTIME. */
export function encodeSetClock(nowMs: number): Buffer {
  return message(Down.setClock, u64(Math.round(nowMs * 1000)));
}

/** The changes between the two are all there is: they take the place of the tables in one step. */
export function encodeBeginTables(): Buffer {
  return message(Down.beginTables);
}

export function encodeEndTables(): Buffer {
  return message(Down.endTables);
}

/** The protocol version that any version's `hello` begins with; null when `payload` is none. */
export function protocolOf(payload: Uint8Array): number | null {
  const reader = new ControlReader(payload);
  return reader.u8() === HELLO && payload.length > 2 ? reader.u16() : null;
}

/** `payload` is type and what follows. Null when it is malformed. */
export function decodeEngineMessage(payload: Uint8Array): EngineMessage | null {
  const reader = new ControlReader(payload);
  const decoded = decode(reader.u8(), reader);
  return reader.finished ? decoded : null;
}

function decode(type: number, reader: ControlReader): EngineMessage | null {
  switch (type) {
    case 1:
      return { kind: 'ready', udpPort: reader.u16(), features: reader.flags(ENGINE_FEATURES), aead: reader.text() };
    case 2: {
      const from = reader.path();
      return from === null ? null : { kind: 'handshake', from, datagram: reader.rest() };
    }
    case 3:
      return { kind: 'session-wanted', peer: reader.peer() };
    case 4:
      return { kind: 'session-confirmed', localIndex: reader.u32() };
    case 5: {
      const peer = reader.peer();
      const endpoint = reader.endpoint();
      return endpoint === null ? null : { kind: 'roamed', peer, endpoint };
    }
    case 6:
      return { kind: 'session-exhausted', localIndex: reader.u32() };
    case 7:
      return { kind: 'learned', network: reader.u32() as Vni, mac: reader.mac(), ip: reader.ip() };
    case 8:
      return { kind: 'failed', code: reader.text(), why: reader.text() };
    case 9:
      return { kind: 'peer-stats', report: readReport(reader) };
    case 10:
      return {
        kind: 'engine-stats',
        framesIn: reader.u64(),
        framesOut: reader.u64(),
        relayed: readRelayed(reader),
        drops: reader.drops(),
      };
    case 11:
      return { kind: 'reported' };
    case HELLO:
      return { kind: 'hello', protocol: reader.u16(), settings: reader.text() };
    case 13:
      return readSession(reader);
    case 14:
      return { kind: 'probe-answered', peer: reader.peer(), bytes: reader.u32() };
    case 15:
      return { kind: 'relay-wanted', peer: reader.peer() };
    default:
      return null;
  }
}

function readSession(reader: ControlReader): EngineMessage {
  const peer = reader.peer();
  const [localIndex, remoteIndex, cipher] = [reader.u32(), reader.u32(), reader.cipher()];
  const flags = reader.flags(SESSION_FLAGS, reader.u8());
  const session: LastingSession = {
    peer,
    localIndex,
    remoteIndex,
    cipher,
    initiator: flags.includes('initiator'),
    confirmed: flags.includes('confirmed'),
    exhausted: flags.includes('exhausted'),
    createdMs: reader.timeMs() ?? 0,
    pathMtu: reader.u32(),
    capabilities: reader.u32(),
    role: reader.choice(SESSION_ROLES),
    path: reader.path(),
  };
  return { kind: 'session', session, adoptable: flags.includes('adoptable') };
}

function readReport(reader: ControlReader): PeerReport {
  return {
    peer: reader.peer(),
    txFrames: reader.u64(),
    txBytes: reader.u64(),
    rxFrames: reader.u64(),
    rxBytes: reader.u64(),
    lastDataSentMs: reader.timeMs(),
    lastDataReceivedMs: reader.timeMs(),
    lastReceivedMs: reader.timeMs(),
    drops: reader.drops(),
  };
}

function readRelayed(reader: ControlReader): RelayCounters {
  return {
    forwardedDatagrams: reader.u64(),
    forwardedBytes: reader.u64(),
    sentDatagrams: reader.u64(),
    sentBytes: reader.u64(),
    receivedDatagrams: reader.u64(),
    receivedBytes: reader.u64(),
  };
}

function message(type: number, ...parts: readonly Uint8Array[]): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(LENGTH_BYTES), Buffer.of(type), ...parts]);
  bytes.writeUInt32BE(bytes.length - LENGTH_BYTES);
  assert(bytes.length - LENGTH_BYTES <= MESSAGE_MAX, 'a control message stays below its limit');
  return bytes;
}

function changeBytes(change: TableChange): Buffer {
  const head = Buffer.concat([Buffer.of(CHANGES[change.kind]), u32(change.network)]);
  switch (change.kind) {
    case 'mac': {
      const owner = change.to === 'local' ? [Buffer.of(0)] : [Buffer.of(1), peerBytes(change.to)];
      return Buffer.concat([head, macToBytes(change.mac), ...owner]);
    }
    case 'mac-gone':
      return Buffer.concat([head, macToBytes(change.mac)]);
    case 'neighbour':
      return Buffer.concat([head, ipBytes(change.ip), macToBytes(change.mac)]);
    case 'neighbour-gone':
      return Buffer.concat([head, ipBytes(change.ip)]);
    case 'flood':
      return Buffer.concat([head, u32(change.peers.length), ...change.peers.map(peerBytes)]);
    case 'network': {
      const { portName, gatewayMac, gatewayIps } = change;
      const addresses = [Buffer.of(gatewayIps.length), ...gatewayIps.map(ipBytes)];
      return Buffer.concat([head, textBytes(portName), macToBytes(gatewayMac), ...addresses]);
    }
    case 'network-gone':
      return head;
  }
}

/** Flags, creation in µs, path MTU, capabilities; without facts the engine takes the time of its coming. */
function factsBytes(facts: SessionKeys['facts']): Buffer {
  if (facts === undefined) return Buffer.alloc(17);
  const flags = 1 | (facts.initiator ? 2 : 0);
  const createdUs = u64(Math.round(facts.createdMs * 1000));
  return Buffer.concat([Buffer.of(flags), createdUs, u32(facts.pathMtu), u32(facts.capabilities)]);
}

function peerBytes(peer: PeerId): Buffer {
  return Buffer.from(peer, 'hex');
}

function ipBytes(text: string): Buffer {
  const ip = parseIp(text);
  assert(ip !== null, 'addresses of the control side are canonical');
  return Buffer.concat([Buffer.of(ip.family), ipToBytes(ip)]);
}

function pathBytes(path: TunnelPath): Buffer {
  if (isRelayPath(path)) return Buffer.concat([Buffer.of(RELAY_FAMILY), peerBytes(path.relay), peerBytes(path.peer)]);
  return Buffer.concat([ipBytes(path.ip), u32(path.port).subarray(2)]);
}

function textBytes(text: string): Buffer {
  const bytes = Buffer.from(text, 'utf8');
  return Buffer.concat([u32(bytes.length).subarray(2), bytes]);
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function u64(value: number): Buffer {
  return Buffer.concat([u32(Math.floor(value / 0x1_0000_0000)), u32(value % 0x1_0000_0000)]);
}
