// The `engine` datapath: the Datapath contract over a native process that moves the frames (native/engine). This side turns
// calls into control messages, keeps the counters that the engine reports, and says so when the engine is gone. No JavaScript
// runs per frame. With a place in the run directory the engine outlives this process, and the next one takes it over when it is
// of the same protocol version and settings. Invariant: commands reach the engine in the order of the calls.

import { rmSync } from 'node:fs';
import type { Log } from '../../base/capabilities.ts';
import { assert, type ErrorCode, FabricError } from '../../base/errors.ts';
import type { PeerId } from '../../base/ids.ts';
import {
  type Datapath,
  type DatapathEvents,
  type DatapathOptions,
  type DatapathStats,
  type Lasting,
  type LastingSession,
  NOTHING_RELAYED,
  type PeerCounters,
  type SessionKeys,
  type TableChange,
} from '../datapath.ts';
import { portInUse } from '../port-in-use.ts';
import type { TunnelPath } from '../tunnel-path.ts';
import {
  ENGINE_FEATURES,
  type EngineMessage,
  encodeAddSession,
  encodeApplyTables,
  encodeBeginTables,
  encodeEndTables,
  encodeRemovePeer,
  encodeRemoveSession,
  encodeReport,
  encodeSendKeepalive,
  encodeSendProbe,
  encodeSendRaw,
  encodeSetClock,
  encodeSetPath,
  encodeSetPathMtu,
  encodeUseSession,
  PROTOCOL_VERSION,
} from './control-messages.ts';
import { EngineProcess, type EngineProcessEvents } from './engine-process.ts';
import { type EnginePlace, findLeftEngine, withinHelloTime } from './left-engine.ts';

/** Opening a TAP and a socket takes milliseconds; a machine that swaps may take longer. */
const READY_MAX_MS = 10_000;

/** What the engine may name as the reason. */
const CODES: readonly ErrorCode[] = ['port-in-use', 'usage', 'kernel-feature-missing', 'internal'];

/** What a test takes away, so that the slower path is taken (docs/engine-control.md). */
export const ENGINE_LACKS = ['vnet', 'udp-segment', 'udp-segment-later', 'udp-gro', 'ipsec-mb', 'seccomp'] as const;
export type EngineLack = (typeof ENGINE_LACKS)[number];

export interface EngineCapabilities {
  readonly log: Log;
  /** Path of the native program. */
  readonly executable: string;
  readonly without?: readonly EngineLack[];
  /** Where it is found later; absent: the engine ends with this process. */
  readonly place?: EnginePlace;
  /** The longest superframe of TCP over IPv4 that the bridge's ports take whole. Default 65,535. */
  readonly tcp4SuperframeBytes?: number;
  /** How many threads move frames, 1 or 2. Default: as many as the machine has CPUs for (docs/engine.md). */
  readonly threads?: 1 | 2;
  /** For tests: how old keys get, and how long an engine goes on alone. Default 180,000. */
  readonly sessionLifeMs?: number;
}

/** Why an engine that was found is not taken over. */
class Unsuitable extends Error {}

export class EngineDatapath implements Datapath {
  readonly name = 'engine';
  readonly #options: DatapathOptions;
  readonly #capabilities: EngineCapabilities;
  #events: DatapathEvents | null = null;
  #process: EngineProcess | null = null;
  #starting: { resolve(): void; reject(error: Error): void } | null = null;
  #stopped: Promise<void> | null = null;
  #reports: (() => void)[] = [];
  #adoptable: LastingSession[] = [];
  /** An engine that fails meanwhile is replaced. */
  #adopting = false;
  readonly #peers = new Map<PeerId, PeerCounters>();
  #totals: Omit<DatapathStats, 'peers'> = { drops: {}, framesIn: 0, framesOut: 0, relayed: NOTHING_RELAYED };
  #lacks: readonly string[] = [];
  /** The bound UDP port. */
  udpPort = 0;

  constructor(options: DatapathOptions, capabilities: EngineCapabilities) {
    this.#options = options;
    this.#capabilities = capabilities;
  }

  /** Of the native process; for diagnosis and its CPU time. */
  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /** As the machine showed it, by name (docs/status.md): each costs speed, or a line of defence. */
  get lacks(): readonly string[] {
    return this.#lacks;
  }

  async start(events: DatapathEvents): Promise<void> {
    assert(this.#process === null && this.#stopped === null, 'a datapath is started once');
    this.#events = events;
    if (await this.#adopt()) return;
    await this.#begin((ended) => {
      const { executable, place } = this.#capabilities;
      const words = this.#arguments();
      const args = place === undefined ? words : [...words, '--control', place.socketPath];
      return EngineProcess.spawn({ executable, args, logPath: place?.logPath ?? null }, ended);
    });
  }

  stop(): Promise<void> {
    this.#events = null;
    this.#stopped ??= this.#stopProcess();
    for (const resolve of this.#reports.splice(0)) resolve();
    return this.#stopped;
  }

  /** Its socket goes with it: an engine that was told to end is not missed at the next start. */
  async #stopProcess(): Promise<void> {
    await this.#process?.stop();
    const { place } = this.#capabilities;
    if (this.#process !== null && place !== undefined) rmSync(place.socketPath, { force: true });
  }

  /** What an engine with a place can do. */
  get lasting(): Lasting | undefined {
    if (this.#capabilities.place === undefined) return undefined;
    return {
      adoptable: () => this.#adoptable,
      replaceTables: (changes) => {
        this.#process?.send(encodeBeginTables());
        this.applyTables(changes);
        this.#process?.send(encodeEndTables());
      },
      release: () => {
        this.#events = null;
        this.#stopped ??= this.#process?.release() ?? Promise.resolve();
        return this.#stopped;
      },
    };
  }

  addSession(keys: SessionKeys): void {
    const message = encodeAddSession(keys);
    keys.sendKey.fill(0);
    keys.receiveKey.fill(0);
    this.#process?.send(message, true);
  }

  useSession(localIndex: number): void {
    this.#process?.send(encodeUseSession(localIndex));
  }

  removeSession(localIndex: number): void {
    this.#process?.send(encodeRemoveSession(localIndex));
  }

  setPath(peer: PeerId, path: TunnelPath | null): void {
    this.#process?.send(encodeSetPath(peer, path));
  }

  setPathMtu(peer: PeerId, bytes: number): void {
    this.#process?.send(encodeSetPathMtu(peer, bytes));
  }

  applyTables(changes: readonly TableChange[]): void {
    for (const message of encodeApplyTables(changes)) this.#process?.send(message);
  }

  sendRaw(datagram: Uint8Array, to: TunnelPath): void {
    this.#process?.send(encodeSendRaw(datagram, to));
  }

  sendKeepalive(peer: PeerId): void {
    this.#process?.send(encodeSendKeepalive(peer));
  }

  sendProbe(peer: PeerId, bytes: number): void {
    this.#process?.send(encodeSendProbe(peer, bytes));
  }

  removePeer(peer: PeerId): void {
    this.#peers.delete(peer);
    this.#process?.send(encodeRemovePeer(peer));
  }

  /** As the engine last reported: at most 100 ms old, 1 s where no frame moved. */
  stats(): DatapathStats {
    return { peers: [...this.#peers.values()], ...this.#totals };
  }

  /** Resolves when {@link stats} shows all that happened before, and every earlier call has taken effect; or it is stopped. */
  settle(): Promise<void> {
    if (this.#stopped !== null) return Promise.resolve();
    return new Promise((resolve) => {
      this.#reports.push(resolve);
      this.#process?.send(encodeReport());
    });
  }

  /** For tests of what takes minutes: the engine's time stands still until the next call. */
  setClock(nowMs: number): void {
    this.#process?.send(encodeSetClock(nowMs));
  }

  #arguments(): readonly string[] {
    const { self, portName, listen, network, mtu, pathMtu, gatewayMac, gatewayIps } = this.#options;
    const facts = Object.entries({
      peer: self,
      'port-name': portName,
      listen: listen.ip,
      'udp-port': listen.port,
      network,
      mtu,
      'path-mtu': pathMtu,
      'gateway-mac': gatewayMac,
    }).flatMap(([name, value]) => [`--${name}`, `${value}`]);
    const gateways = gatewayIps.flatMap((ip) => ['--gateway-ip', ip]);
    const { without = [], sessionLifeMs, tcp4SuperframeBytes, threads } = this.#capabilities;
    const lacks = without.flatMap((lack) => ['--without', lack]);
    const more = Object.entries({
      'session-life-ms': sessionLifeMs,
      'tcp4-superframe': tcp4SuperframeBytes,
      threads,
    }).flatMap(([name, value]) => (value === undefined ? [] : [`--${name}`, `${value}`]));
    return [...facts, ...gateways, ...lacks, ...more];
  }

  /** True when an engine that was left behind is ours now; one that does not suit has been ended. */
  async #adopt(): Promise<boolean> {
    const { place, log } = this.#capabilities;
    if (place === undefined) return false;
    const left = await findLeftEngine(place);
    if (left.socket === null) {
      if (left.gone !== null) log.warn('the engine of before is gone', { reason: left.gone });
      return false;
    }
    this.#adopting = true;
    try {
      const found = this.#begin((events) =>
        EngineProcess.adopt(left.socket, { ...left, logPath: place.logPath }, events),
      );
      await withinHelloTime(found, left);
      return true;
    } catch (error) {
      if (!(error instanceof Unsuitable)) throw error;
      log.info('engine replaced', { pid: left.pid, reason: error.message });
      await this.#process?.stop();
      this.#process = null;
      this.#adoptable = [];
      this.#peers.clear();
      return false;
    } finally {
      this.#adopting = false;
    }
  }

  /** Until it is ready. */
  async #begin(open: (events: EngineProcessEvents) => EngineProcess): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const ready = new Promise<void>((resolve, reject) => {
      this.#starting = { resolve, reject };
      timer = setTimeout(() => reject(engineFault('internal', 'it says nothing')), READY_MAX_MS);
    });
    this.#process = open({
      message: (message) => this.#hear(message),
      ended: (reason) => this.#fail('internal', reason),
    });
    try {
      await ready;
    } catch (error) {
      if (!(error instanceof Unsuitable)) await this.stop();
      throw error;
    } finally {
      clearTimeout(timer);
      this.#starting = null;
    }
  }

  #suits({ protocol, settings }: { readonly protocol: number; readonly settings: string }): void {
    const wanted = this.#arguments().join(' ');
    if (protocol !== PROTOCOL_VERSION) {
      this.#starting?.reject(new Unsuitable(`it speaks version ${protocol}, this daemon version ${PROTOCOL_VERSION}`));
    } else if (settings !== wanted) {
      this.#starting?.reject(new Unsuitable(`it was started with other settings: ${settings}`));
    }
  }

  #hear(message: EngineMessage): void {
    const events = this.#events;
    switch (message.kind) {
      case 'ready': {
        const { udpPort, aead, features } = message;
        this.udpPort = udpPort;
        this.#lacks = [...ENGINE_FEATURES.filter((feature) => !features.includes(feature)), ...lackOf(aead)];
        const event = this.#starting === null ? 'engine lost a feature' : 'engine ready';
        this.#capabilities.log.info(event, {
          pid: this.pid,
          sessions: this.#adoptable.length,
          cipher: aead,
          features: features.join(' '),
        });
        this.#starting?.resolve();
        return;
      }
      case 'handshake':
        events?.handshake(message.datagram, message.from);
        return;
      case 'session-wanted':
        events?.sessionWanted(message.peer);
        return;
      case 'relay-wanted':
        events?.relayWanted(message.peer);
        return;
      case 'session-confirmed':
        events?.sessionConfirmed(message.localIndex);
        return;
      case 'roamed':
        events?.roamed(message.peer, message.endpoint);
        return;
      case 'probe-answered':
        events?.probeAnswered(message.peer, message.bytes);
        return;
      case 'session-exhausted':
        events?.sessionExhausted(message.localIndex);
        return;
      case 'learned':
        events?.learned(message.network, message.mac, message.ip);
        return;
      case 'failed':
        this.#fail(CODES.find((code) => code === message.code) ?? 'internal', message.why);
        return;
      case 'peer-stats':
        this.#peers.set(message.report.peer, message.report);
        return;
      case 'engine-stats':
        this.#totals = {
          drops: message.drops,
          framesIn: message.framesIn,
          framesOut: message.framesOut,
          relayed: message.relayed,
        };
        return;
      case 'reported':
        this.#reports.shift()?.();
        return;
      case 'hello':
        this.#suits(message);
        return;
      case 'session':
        if (message.adoptable) this.#adoptable.push(message.session);
        else this.removeSession(message.session.localIndex);
    }
  }

  /** Before it is ready, the start fails; later, the datapath does. */
  #fail(code: ErrorCode, why: string): void {
    if (this.#starting !== null) {
      const fault = code === 'port-in-use' ? portInUse(this.#options.listen) : engineFault(code, why);
      this.#starting.reject(this.#adopting ? new Unsuitable(why) : fault);
      return;
    }
    const events = this.#events;
    if (events === null) return;
    this.#capabilities.log.error('datapath stopped', {
      datapath: this.name,
      port: this.#options.portName,
      reason: why,
    });
    void this.stop().then(() => events.failed(`the engine: ${why}`));
  }
}

function lackOf(aead: string): readonly string[] {
  return aead.startsWith('ipsec-mb') ? [] : ['ipsec-mb'];
}

function engineFault(code: ErrorCode, why: string): FabricError {
  return new FabricError(code, {
    what: "the engine doesn't start",
    why,
    fix: 'launch with --datapath pcap to run without it',
  });
}
