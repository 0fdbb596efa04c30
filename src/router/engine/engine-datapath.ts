// The `engine` datapath: the Datapath contract over a native process that moves the frames (native/engine). This side turns
// calls into control messages, keeps the counters that the engine reports, and says so when the engine is gone. No JavaScript
// runs per frame. Invariant: commands reach the engine in the order of the calls.

import type { Log } from '../../base/capabilities.ts';
import type { Endpoint } from '../../base/endpoint.ts';
import { assert, type ErrorCode, FabricError } from '../../base/errors.ts';
import type { PeerId } from '../../base/ids.ts';
import type {
  Datapath,
  DatapathEvents,
  DatapathOptions,
  DatapathStats,
  PeerCounters,
  SessionKeys,
  TableChange,
} from '../datapath.ts';
import {
  type EngineMessage,
  encodeAddSession,
  encodeApplyTables,
  encodeRemovePeer,
  encodeRemoveSession,
  encodeReport,
  encodeSendKeepalive,
  encodeSendRaw,
  encodeSetClock,
  encodeSetEndpoint,
  encodeSetPathMtu,
  encodeStop,
  encodeUseSession,
} from './control-messages.ts';
import { EngineProcess } from './engine-process.ts';

/** Opening a TAP and a socket takes milliseconds; a machine that swaps may take longer. */
const READY_MAX_MS = 10_000;

/** What the engine may name as the reason. */
const CODES: readonly ErrorCode[] = ['port-in-use', 'usage', 'kernel-feature-missing', 'internal'];

/** What a test takes away, so that the slower path is taken. */
export type EngineLack = 'vnet' | 'udp-offloads' | 'ipsec-mb' | 'seccomp';

export interface EngineCapabilities {
  readonly log: Log;
  /** Path of the native program. */
  readonly executable: string;
  readonly without?: readonly EngineLack[];
}

export class EngineDatapath implements Datapath {
  readonly name = 'engine';
  readonly #options: DatapathOptions;
  readonly #capabilities: EngineCapabilities;
  #events: DatapathEvents | null = null;
  #process: EngineProcess | null = null;
  #starting: { resolve(): void; reject(error: Error): void } | null = null;
  #stopped: Promise<void> | null = null;
  #reports: (() => void)[] = [];
  readonly #peers = new Map<PeerId, PeerCounters>();
  #totals: Omit<DatapathStats, 'peers'> = { drops: {}, framesIn: 0, framesOut: 0 };
  /** The bound UDP port. */
  udpPort = 0;

  constructor(options: DatapathOptions, capabilities: EngineCapabilities) {
    this.#options = options;
    this.#capabilities = capabilities;
  }

  /** Of the native process; for diagnosis. */
  get pid(): number | undefined {
    return this.#process?.pid;
  }

  async start(events: DatapathEvents): Promise<void> {
    assert(this.#process === null && this.#stopped === null, 'a datapath is started once');
    this.#events = events;
    let timer: NodeJS.Timeout | undefined;
    const ready = new Promise<void>((resolve, reject) => {
      this.#starting = { resolve, reject };
      timer = setTimeout(() => reject(engineFault('internal', 'it says nothing')), READY_MAX_MS);
    });
    this.#process = new EngineProcess(this.#capabilities.executable, this.#arguments(), {
      message: (message) => this.#hear(message),
      ended: (reason) => this.#fail('internal', reason),
    });
    try {
      await ready;
    } catch (error) {
      await this.stop();
      throw error;
    } finally {
      clearTimeout(timer);
      this.#starting = null;
    }
  }

  stop(): Promise<void> {
    this.#events = null;
    this.#stopped ??= this.#process?.stop(encodeStop()) ?? Promise.resolve();
    for (const resolve of this.#reports.splice(0)) resolve();
    return this.#stopped;
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

  setEndpoint(peer: PeerId, endpoint: Endpoint | null): void {
    this.#process?.send(encodeSetEndpoint(peer, endpoint));
  }

  setPathMtu(peer: PeerId, bytes: number): void {
    this.#process?.send(encodeSetPathMtu(peer, bytes));
  }

  applyTables(changes: readonly TableChange[]): void {
    for (const message of encodeApplyTables(changes)) this.#process?.send(message);
  }

  sendRaw(datagram: Uint8Array, to: Endpoint): void {
    this.#process?.send(encodeSendRaw(datagram, to));
  }

  sendKeepalive(peer: PeerId): void {
    this.#process?.send(encodeSendKeepalive(peer));
  }

  removePeer(peer: PeerId): void {
    this.#peers.delete(peer);
    this.#process?.send(encodeRemovePeer(peer));
  }

  /** As the engine last reported: at most 100 ms old. */
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
    const { portName, listen, network, mtu, pathMtu, gatewayMac, gatewayIps } = this.#options;
    const facts = Object.entries({
      'port-name': portName,
      listen: listen.ip,
      'udp-port': listen.port,
      network,
      mtu,
      'path-mtu': pathMtu,
      'gateway-mac': gatewayMac,
    }).flatMap(([name, value]) => [`--${name}`, `${value}`]);
    const gateways = gatewayIps.flatMap((ip) => ['--gateway-ip', ip]);
    return [...facts, ...gateways, ...(this.#capabilities.without ?? []).flatMap((lack) => ['--without', lack])];
  }

  #hear(message: EngineMessage): void {
    const events = this.#events;
    switch (message.kind) {
      case 'ready':
        this.udpPort = message.udpPort;
        this.#capabilities.log.info('engine started', {
          pid: this.pid,
          cipher: message.aead,
          features: message.features.join(' '),
        });
        this.#starting?.resolve();
        return;
      case 'handshake':
        events?.handshake(message.datagram, message.from);
        return;
      case 'session-wanted':
        events?.sessionWanted(message.peer);
        return;
      case 'session-confirmed':
        events?.sessionConfirmed(message.localIndex);
        return;
      case 'roamed':
        events?.roamed(message.peer, message.endpoint);
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
        this.#totals = { drops: message.drops, framesIn: message.framesIn, framesOut: message.framesOut };
        return;
      case 'reported':
        this.#reports.shift()?.();
    }
  }

  /** Before it is ready, the start fails; later, the datapath does. */
  #fail(code: ErrorCode, why: string): void {
    if (this.#starting !== null) {
      this.#starting.reject(engineFault(code, why));
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

function engineFault(code: ErrorCode, why: string): FabricError {
  return new FabricError(code, {
    what: "the engine doesn't start",
    why,
    fix: 'launch with --datapath pcap to run without it',
  });
}
