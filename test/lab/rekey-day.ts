// A simulated day of two hosts that shake hands again and again over real datapaths: real Tunnels and X25519, the engine's
// process or pcap's UDP and AEAD, time injected. Frames enter at both ends before, during and after each handshake; some
// handshakes are lost, some begin at both ends at once. Prints one line of JSON (RekeyDay). For a network namespace of its own,
// as root. Arguments: datapath of each host, simulated minutes, seed.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { toHex, utf8 } from '../../src/base/bytes.ts';
import type { X25519Key } from '../../src/base/capabilities.ts';
import { DEFAULT_VNI, type Mac, type PeerId } from '../../src/base/ids.ts';
import { nodeCrypto } from '../../src/host/node-crypto.ts';
import type { TunnelDatapath } from '../../src/router/tunnel-options.ts';
import { Tunnels } from '../../src/router/tunnels.ts';
import { MemoryStore } from '../fakes/memory-store.ts';
import { RecordingLog } from '../fakes/recording-log.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';
import { type ContractBed, type ContractHost, until } from '../router/contract-host.ts';
import { EngineBed } from '../router/engine/engine-bed.ts';
import { ethernet } from '../router/frames.ts';
import { PcapBed } from '../router/pcap/pcap-bed.ts';
import { SECRET } from '../router/tunnel-harness.ts';
import { type Place, WireObserver } from './wire-observer.ts';

export type DatapathKind = 'engine' | 'pcap';

export interface RekeyDay {
  readonly simulatedMinutes: number;
  /** Frames in, at both ends together, and those that came out at the other end exactly once. */
  readonly entered: number;
  readonly delivered: number;
  readonly repeated: number;
  /** Sending keys that were used, of both ends. */
  readonly keys: number;
  readonly reusedNonces: readonly string[];
  readonly datagrams: number;
  readonly handshakes: number;
  readonly lostHandshakes: number;
  /** How often both ends were made to initiate at once. */
  readonly crossed: number;
  readonly drops: readonly Readonly<Record<string, number>>[];
}

const STEP_MS = 1000;
const HANDSHAKE_LOSS = 0.2;
const CROSSING = 1 / 300;
/** Local experimental EtherType (IEEE 802). */
const ETHER_TYPE = 0x88b5;
const NUMBER_AT = 14;
const PAYLOAD_BYTES = 60;
const IDS = ['a'.repeat(32) as PeerId, 'b'.repeat(32) as PeerId] as const;
const MACS = ['02:00:00:00:00:0a' as Mac, '02:00:00:00:00:0b' as Mac] as const;

class Host {
  readonly place: Place;
  readonly bed: ContractHost;
  readonly staticPrivate: X25519Key;
  readonly staticPublic: Uint8Array;
  readonly tunnels: Tunnels;
  readonly random: SeededRandom;
  entered = 0;
  sentHandshakes = 0;
  heardHandshakes = 0;
  /** What came out, by number. */
  readonly delivered = new Set<number>();
  repeated = 0;
  #using: number | null = null;
  #looked = 0;

  constructor(place: Place, bed: ContractHost, clock: ContractBed['clock'], random: SeededRandom) {
    this.place = place;
    this.bed = bed;
    this.random = random;
    this.staticPrivate = nodeCrypto.x25519Key(random.bytes(32));
    this.staticPublic = this.staticPrivate.publicKey;
    this.tunnels = new Tunnels({
      self: { peer: IDS[place], staticPrivate: this.staticPrivate, staticPublic: this.staticPublic },
      membership: () => utf8(`${IDS[place]} ${toHex(this.staticPublic)}`),
      secrets: () => [SECRET],
      verifyMembership: (bytes) => {
        const [peer, key] = new TextDecoder().decode(bytes).split(' ');
        return { peer: peer as PeerId, staticKey: Uint8Array.from(Buffer.from(key ?? '', 'hex')) };
      },
      crypto: nodeCrypto,
      clock,
      random,
      store: new MemoryStore(),
      log: new RecordingLog(),
      datapath: this.#watched(),
      ciphers: ['aes-256-gcm', 'chacha20-poly1305'],
      mtu: 1500,
      events: { peerSeen: () => undefined, placed: () => undefined, wake: () => undefined },
    });
    this.tunnels.begin({ sessions: [], peers: [] });
  }

  get established(): boolean {
    return this.#using !== null;
  }

  meet(other: Host, observer: WireObserver): void {
    this.tunnels.setPeer(IDS[other.place], {
      staticKey: other.staticPublic,
      endpoints: [observer.endpoint(this.place)],
    });
    const network = DEFAULT_VNI;
    this.bed.datapath.applyTables([
      { kind: 'mac', network, mac: MACS[this.place], to: 'local' },
      { kind: 'mac', network, mac: MACS[other.place], to: IDS[other.place] },
      { kind: 'flood', network, peers: [IDS[other.place]] },
    ]);
  }

  async enter(): Promise<void> {
    const payload = Buffer.alloc(PAYLOAD_BYTES);
    payload.writeUInt32BE(this.entered++);
    await this.bed.enter(ethernet({ from: MACS[this.place], to: MACS[1 - this.place]! }, ETHER_TYPE, payload));
  }

  tick(): void {
    this.tunnels.tick(this.bed.datapath.stats().peers);
  }

  /** Hands what the datapath said to the tunnels, and looks at what came out of the port. */
  handle(): void {
    for (const [event, ...facts] of this.bed.events.said.splice(0)) {
      if (event === 'handshake') {
        this.heardHandshakes++;
        this.tunnels.handleDatagram(...(facts as Parameters<Tunnels['handleDatagram']>));
      } else if (event === 'sessionWanted') this.tunnels.sessionWanted(facts[0] as PeerId);
      else if (event === 'sessionConfirmed') this.tunnels.sessionConfirmed(facts[0] as number);
      else if (event === 'roamed') this.tunnels.roamed(...(facts as Parameters<Tunnels['roamed']>));
      else if (event === 'probeAnswered')
        this.tunnels.probeAnswered(...(facts as Parameters<Tunnels['probeAnswered']>));
      else assert.fail(`the datapath said ${event}`);
    }
    const { left } = this.bed;
    for (; this.#looked < left.length; this.#looked++) {
      const frame = Buffer.from(left[this.#looked]!);
      if (frame.readUInt16BE(NUMBER_AT - 2) !== ETHER_TYPE) continue;
      const number = frame.readUInt32BE(NUMBER_AT);
      if (this.delivered.has(number)) this.repeated++;
      this.delivered.add(number);
    }
  }

  /** The datapath, noting which session is in use and how many handshakes were sent. */
  #watched(): TunnelDatapath {
    const { datapath } = this.bed;
    return {
      addSession: (keys) => datapath.addSession(keys),
      useSession: (localIndex) => {
        this.#using = localIndex;
        datapath.useSession(localIndex);
      },
      removeSession: (localIndex) => {
        if (this.#using === localIndex) this.#using = null;
        datapath.removeSession(localIndex);
      },
      setPath: (peer, path) => datapath.setPath(peer, path),
      setPathMtu: (peer, bytes) => datapath.setPathMtu(peer, bytes),
      sendRaw: (datagram, to) => {
        this.sentHandshakes++;
        datapath.sendRaw(datagram, to);
      },
      sendKeepalive: (peer) => datapath.sendKeepalive(peer),
      sendProbe: (peer, bytes) => datapath.sendProbe(peer, bytes),
      removePeer: (peer) => datapath.removePeer(peer),
    };
  }
}

/** Until every handshake was heard or lost and, when sessions live, every frame is out at the other end. */
async function quiet(hosts: readonly [Host, Host], observer: WireObserver): Promise<void> {
  await until('everything arrives', async () => {
    for (const host of hosts) {
      await host.bed.settled();
      host.handle();
    }
    const [a, b] = hosts;
    const passed = observer.handshakes - observer.lostHandshakes;
    const handshakesDone =
      observer.handshakes === a.sentHandshakes + b.sentHandshakes && passed === a.heardHandshakes + b.heardHandshakes;
    const framesOut = b.delivered.size === a.entered && a.delivered.size === b.entered;
    return handshakesDone && (framesOut || !a.established || !b.established);
  });
}

async function live(kinds: readonly DatapathKind[], minutes: number, seed: number): Promise<RekeyDay> {
  const random = new SeededRandom(seed);
  const engines = new EngineBed([]);
  const beds = { engine: engines, pcap: new PcapBed(engines.clock) };
  const bedOf = (kind: DatapathKind): Promise<ContractHost> => beds[kind].host();
  const observer = await WireObserver.open(() => random.fraction() < HANDSHAKE_LOSS);
  const [first, second] = [await bedOf(kinds[0]!), await bedOf(kinds[1]!)];
  observer.connect([first.endpoint, second.endpoint]);
  const { clock } = engines;
  const hosts = [new Host(0, first, clock, random.split()), new Host(1, second, clock, random.split())] as const;
  const [a, b] = hosts;
  a.meet(b, observer);
  b.meet(a, observer);
  let crossed = 0;
  try {
    for (let ms = 0; ms < minutes * 60_000; ms += STEP_MS) {
      clock.advance(STEP_MS);
      for (const host of hosts) await host.enter();
      if (random.fraction() < CROSSING && a.established && b.established) {
        crossed++;
        a.tunnels.renew(IDS[1]);
        b.tunnels.renew(IDS[0]);
      }
      for (const host of hosts) host.tick();
      for (const host of hosts) await host.enter();
      await quiet(hosts, observer);
    }
    const stats = hosts.map(({ bed }) => bed.datapath.stats());
    return {
      simulatedMinutes: minutes,
      entered: a.entered + b.entered,
      delivered: a.delivered.size + b.delivered.size,
      repeated: a.repeated + b.repeated,
      keys: observer.keys,
      reusedNonces: observer.reused,
      datagrams: observer.data,
      handshakes: observer.handshakes,
      lostHandshakes: observer.lostHandshakes,
      crossed,
      drops: stats.flatMap(({ drops, peers }) => [drops, ...peers.map((peer) => peer.drops)]),
    };
  } finally {
    observer.close();
    for (const bed of Object.values(beds)) await bed.close();
  }
}

const [first, second, minutes, seed] = process.argv.slice(2);
execFileSync('ip', ['link', 'set', 'lo', 'up']);
const day = await live([first, second] as DatapathKind[], Number(minutes), Number(seed));
process.stdout.write(`${JSON.stringify(day)}\n`);
