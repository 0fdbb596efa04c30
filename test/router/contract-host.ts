// What the datapath contract needs of a test bed, and the parts that all test beds share: recorded events, an outsider on the
// underlay that speaks for a peer, and waiting for real sockets without sleeping.

import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import type { AeadCipher } from '../../src/base/capabilities.ts';
import type { Endpoint } from '../../src/base/endpoint.ts';
import { DEFAULT_VNI, type Mac, type PeerId } from '../../src/base/ids.ts';
import type { Datapath, DatapathEvents, DatapathOptions } from '../../src/router/datapath.ts';
import type { ManualClock } from '../fakes/manual-clock.ts';
import { WireSpeaker } from './wire-speaker.ts';

export const SELF = '0'.repeat(32) as PeerId;
export const PEER = '1'.repeat(32) as PeerId;
export const OTHER = '2'.repeat(32) as PeerId;
export const LOCAL_MAC = '02:00:00:00:00:0a' as Mac;
export const PEER_MAC = '02:00:00:00:00:0b' as Mac;
export const OTHER_MAC = '02:00:00:00:00:0c' as Mac;
export const GATEWAY_MAC = '02:fa:b1:1c:00:01' as Mac;
export const MTU = 1400;

/** Options of every datapath under test, but for the address, which the test bed chooses on loopback. */
export const CONTRACT_OPTIONS: Omit<DatapathOptions, 'listen' | 'portName'> = {
  self: SELF,
  network: DEFAULT_VNI,
  mtu: MTU,
  pathMtu: 1500,
  gatewayMac: GATEWAY_MAC,
  gatewayIps: ['10.0.0.254', 'fd00::1'],
};

/** A started datapath and its port, in the test's hands. */
export interface ContractHost {
  readonly datapath: Datapath;
  /** Where its UDP socket is reached. */
  readonly endpoint: Endpoint;
  readonly events: RecordedEvents;
  /** A frame enters from the bridge; resolves when the datapath has looked at it. */
  enter(frame: Uint8Array): Promise<void>;
  /** Resolves when all calls so far have taken effect and `stats` shows what they and the datagrams before did. */
  settled(): Promise<void>;
  /** Frames that left into the bridge so far. */
  readonly left: readonly Uint8Array[];
  /** Makes the port of a further network; the test tells the datapath of it, and deletes it when the datapath has let it go. */
  openPort(): Promise<ContractPort>;
}

/** The port of a further network, in the test's hands. */
export interface ContractPort {
  readonly portName: string;
  enter(frame: Uint8Array): Promise<void>;
  readonly left: readonly Uint8Array[];
  delete(): Promise<void>;
}

export interface ContractBed {
  /** Every datapath's time. */
  readonly clock: ManualClock;
  /** Shorter frames never come out of this bed's port: Linux refuses a frame without a whole Ethernet header. */
  readonly frameBytesMin: number;
  /** False: the port takes frames with partial checksums, which the kernel completes where a receiver needs it. */
  readonly completesChecksums: boolean;
  /** A started datapath; the bed stops it at the end. */
  host(): Promise<ContractHost>;
}

export type RecordedEvents = DatapathEvents & { readonly said: unknown[][] };

export function recordEvents(): RecordedEvents {
  const said: unknown[][] = [];
  const record =
    (name: string) =>
    (...facts: unknown[]): void => {
      said.push([name, ...facts]);
    };
  return {
    said,
    handshake: record('handshake'),
    sessionWanted: record('sessionWanted'),
    relayWanted: record('relayWanted'),
    sessionConfirmed: record('sessionConfirmed'),
    roamed: record('roamed'),
    probeAnswered: record('probeAnswered'),
    sessionExhausted: record('sessionExhausted'),
    learned: record('learned'),
    failed: record('failed'),
  };
}

/** Events of one name, without the name. */
export function eventsOf(host: ContractHost, name: keyof DatapathEvents): unknown[][] {
  return host.events.said.filter(([event]) => event === name).map(([, ...facts]) => facts);
}

/** Lets the event loop turn until the condition holds; fails after a generous number of turns, never sleeps. */
export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + 5000;
  while (!(await condition())) {
    if (performance.now() > deadlineMs) assert.fail(`waited in vain until ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

let keySeed = 1;
let nextIndex = 1000;

/** One session between a datapath and an {@link Outsider}, in both directions. */
export interface OutsiderSession {
  /** In datagrams to the datapath. */
  readonly localIndex: number;
  /** In datagrams from it. */
  readonly remoteIndex: number;
  readonly speaker: WireSpeaker;
}

/** A UDP socket on loopback that plays a peer, an attacker, or both. */
export class Outsider {
  readonly endpoint: Endpoint;
  readonly heard: Buffer[] = [];
  readonly #socket: Socket;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.endpoint = { ip: '127.0.0.1', port: socket.address().port };
    socket.on('message', (datagram) => this.heard.push(datagram));
  }

  static async open(): Promise<Outsider> {
    const socket = createSocket('udp4');
    await new Promise<void>((bound) => socket.bind(0, '127.0.0.1', () => bound()));
    return new Outsider(socket);
  }

  /** Resolves when the kernel has it. */
  async send(datagram: Uint8Array, to: ContractHost): Promise<void> {
    await to.settled();
    await new Promise<void>((sent, failed) =>
      this.#socket.send(datagram, to.endpoint.port, to.endpoint.ip, (error) =>
        error === null ? sent() : failed(error),
      ),
    );
  }

  close(): void {
    this.#socket.close();
  }
}

/** Gives the datapath a session with a peer that is played by whoever holds the result. Not used for sending yet. */
export function addSession(host: ContractHost, peer: PeerId, cipher: AeadCipher = 'aes-256-gcm'): OutsiderSession {
  const toUs = new Uint8Array(32).fill(keySeed++);
  const fromUs = new Uint8Array(32).fill(keySeed++);
  const localIndex = nextIndex++;
  const remoteIndex = nextIndex++;
  const speaker = new WireSpeaker({ cipher, sendKey: toUs, receiveKey: fromUs, remoteIndex: localIndex });
  host.datapath.addSession({
    peer,
    localIndex,
    remoteIndex,
    cipher,
    sendKey: fromUs.slice(),
    receiveKey: toUs.slice(),
  });
  return { localIndex, remoteIndex, speaker };
}

/** The same, with tables, endpoint and the session in use. */
export function connect(host: ContractHost, outsider: Outsider, cipher?: AeadCipher): OutsiderSession {
  const session = addSession(host, PEER, cipher);
  host.datapath.setPath(PEER, outsider.endpoint);
  host.datapath.useSession(session.localIndex);
  applyBasics(host);
  return session;
}

/** One local MAC, one at PEER, and PEER in the flood list. */
export function applyBasics(host: ContractHost): void {
  host.datapath.applyTables([
    { kind: 'mac', network: DEFAULT_VNI, mac: LOCAL_MAC, to: 'local' },
    { kind: 'mac', network: DEFAULT_VNI, mac: PEER_MAC, to: PEER },
    { kind: 'neighbour', network: DEFAULT_VNI, ip: '10.0.0.11', mac: PEER_MAC },
    { kind: 'neighbour', network: DEFAULT_VNI, ip: 'fd00::b', mac: PEER_MAC },
    { kind: 'flood', network: DEFAULT_VNI, peers: [PEER] },
  ]);
}

/** Drops of a peer, or those of no peer. */
export async function dropsOf(host: ContractHost, peer?: PeerId): Promise<Readonly<Record<string, number>>> {
  await host.settled();
  const stats = host.datapath.stats();
  if (peer === undefined) return stats.drops;
  return stats.peers.find((counters) => counters.peer === peer)?.drops ?? {};
}

export interface ContractCase {
  readonly name: string;
  run(bed: ContractBed): Promise<void>;
}

/** Kinds of the wire format, repeated here on purpose. */
export const KIND = { keepalive: 0, frame: 1, segment: 2, fragment: 3, relay: 4, probe: 5, probeAnswer: 6 } as const;

/** A case with one host and one outsider that is its peer. */
export function withPeer(
  name: string,
  run: (on: { bed: ContractBed; host: ContractHost; peer: Outsider; session: OutsiderSession }) => Promise<void>,
): ContractCase {
  return {
    name,
    async run(bed) {
      const host = await bed.host();
      const peer = await Outsider.open();
      try {
        await run({ bed, host, peer, session: connect(host, peer) });
      } finally {
        peer.close();
      }
    },
  };
}
