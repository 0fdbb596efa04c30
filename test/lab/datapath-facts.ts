// What both sides of a pair of datapaths know beforehand: hosts, containers, keys. See datapath-pair.ts.

import type { Mac, PeerId } from '../../src/base/ids.ts';
import type { EngineLack } from '../../src/router/engine/engine-datapath.ts';

export type Side = 'a' | 'b';
export const SIDES: readonly Side[] = ['a', 'b'];
export const OTHER = { a: 'b', b: 'a' } as const;

/** Where a datapath runs: at a side, or between them (DatapathPair.addRelay). */
export type Place = Side | 'relay';

export type Underlay = 'underlay4' | 'underlay6';

export const HOST = {
  a: { peer: 'a'.repeat(32) as PeerId, underlay4: '192.0.2.1', underlay6: '2001:db8::1', index: 11 },
  b: { peer: 'b'.repeat(32) as PeerId, underlay4: '192.0.2.2', underlay6: '2001:db8::2', index: 22 },
};
/** The relay has a link, a session and an index of that to each side. */
export const RELAY = {
  peer: 'c'.repeat(32) as PeerId,
  legs: {
    a: { side: '198.51.100.1', relay: '198.51.100.2', index: 33 },
    b: { side: '203.0.113.1', relay: '203.0.113.2', index: 44 },
  },
};
export const CONTAINER = {
  a: { mac: '02:00:00:00:00:0a' as Mac, ip4: '10.32.0.10', ip6: 'fd00::a' },
  b: { mac: '02:00:00:00:00:0b' as Mac, ip4: '10.32.0.11', ip6: 'fd00::b' },
};
export const OVERLAY_MTU = 1398;
export const TUNNEL_PORT = 6783;
export const GATEWAY_MAC = '02:fa:b1:1c:00:01' as Mac;
/** The interface that the datapath owns. */
export const PORT_NAME = 'port0';

/** Receiver index of the keys of a generation. */
export function indexOf(side: Side, generation: number): number {
  return HOST[side].index + 100 * generation;
}

/** A key of its own for each direction and generation. */
export function sessionKey(from: Side, generation: number): Uint8Array {
  const bytes = Buffer.alloc(32, from === 'a' ? 1 : 2);
  bytes.writeUInt32BE(generation);
  return new Uint8Array(bytes);
}

/** Of the session between a side and the relay, for what that end sends. */
export function legKey(side: Side, from: 'side' | 'relay'): Uint8Array {
  const bytes = new Uint8Array(32).fill(side === 'a' ? 3 : 4);
  bytes[0] = from === 'side' ? 1 : 2;
  return bytes;
}

/** Of the engine: as installed, or with a sanitizer (native/sanitized.mk). */
export type EngineBuild = 'release' | 'tsan' | 'asan';

export interface DatapathChoice {
  readonly name: 'pcap' | 'engine';
  /** Of the engine. */
  readonly without?: readonly EngineLack[];
  readonly build?: EngineBuild;
  /** A run directory in which the engine is found later: it outlives the process that started it. */
  readonly runDir?: string;
  readonly sessionLifeMs?: number;
  readonly threads?: 1 | 2;
  /** As if every container had gone. */
  readonly emptyTables?: true;
}

/** A line of JSON to the host process; each is answered by one. */
export interface HostCommand {
  readonly stats?: true;
  /** Answers with the local indexes of the sessions that were confirmed. */
  readonly confirmed?: true;
  readonly pathMtu?: number;
  /** The other side is reached by the relay from now on, or directly again, with the path MTU of that. */
  readonly relayed?: boolean;
  /** Sends the other side so many datagrams of a handshake's type; as short as there are none when told so. */
  readonly handshakes?: number;
  readonly short?: true;
  /** The keys of a generation: added, then used, then removed. Generation 0 is in use from the start. */
  readonly addKeys?: number;
  readonly useKeys?: number;
  readonly removeKeys?: number;
  /** Adds as many other MACs and addresses to the tables, the flood list anew, and takes them away again. */
  readonly churn?: number;
  readonly stop?: true;
}
