// Holds the datapath of this host: makes the one that is chosen, starts it, and makes a new one when it failed (its port was
// deleted, its process died). The control side talks to the slot and never notices; sessions end with a datapath, so tunnels
// shake hands anew, but those that one kept while no daemon ran are told to them.

import type { Cancel, Log, Timers } from '../base/capabilities.ts';
import type { PeerId } from '../base/ids.ts';
import {
  type Datapath,
  type DatapathEvents,
  type DatapathName,
  type DatapathStats,
  type LastingSession,
  NOTHING_RELAYED,
  type SessionKeys,
  type TableChange,
} from '../router/datapath.ts';
import type { TunnelDatapath } from '../router/tunnel-options.ts';
import type { TunnelPath } from '../router/tunnel-path.ts';
import type { DatapathChoice, HostDatapath } from './datapath-choice.ts';

const RETRY_FIRST_MS = 200;
const RETRY_MAX_MS = 10_000;
const NO_STATS: DatapathStats = { peers: [], drops: {}, framesIn: 0, framesOut: 0, relayed: NOTHING_RELAYED };

export interface DatapathSlotPorts {
  readonly log: Log;
  readonly timers: Timers;
  readonly choice: DatapathChoice;
  /** Makes port and datapath, not started. */
  make(name: HostDatapath): Promise<Datapath>;
  readonly events: Omit<DatapathEvents, 'failed'>;
  /** All tables as of now, for a fresh datapath. */
  tables(): readonly TableChange[];
  /** A datapath works: `sessions` and `peers` are what it kept since the daemon before this one. */
  started(left: { readonly sessions: readonly LastingSession[]; readonly peers: readonly PeerId[] }): void;
  /** Sessions of the old datapath are gone. */
  replaced(): void;
}

export class DatapathSlot implements TunnelDatapath {
  readonly #ports: DatapathSlotPorts;
  #current: Datapath | null = null;
  #stopped = false;
  #retryMs = RETRY_FIRST_MS;
  #cancel: Cancel | null = null;
  /** Why there is no working datapath, in words; null when there is one. */
  failure: string | null = 'not started yet';

  constructor(ports: DatapathSlotPorts) {
    this.#ports = ports;
  }

  /** Rejects with the FabricError of the first start, unless another datapath may take over; later ones are retried for ever. */
  async start(): Promise<void> {
    const { choice, log } = this.#ports;
    try {
      await this.#startChosen();
    } catch (error) {
      if (!choice.startFailed(error)) throw error;
      log.error('falling back to another datapath', { datapath: choice.name, reason: choice.reason });
      await this.#startChosen();
    }
  }

  /** What works now goes on when this daemon ends, if {@link release} ends it. */
  get outlivesUs(): boolean {
    return this.#current?.lasting !== undefined;
  }

  /** Instead of {@link stop}: a datapath that can goes on alone. */
  async release(): Promise<void> {
    const lasting = this.#current?.lasting;
    if (lasting === undefined) return this.stop();
    this.#stopped = true;
    this.#current = null;
    await lasting.release();
  }

  /** Of the datapath that works; null when none does. */
  get name(): DatapathName | null {
    return this.#current?.name ?? null;
  }

  /** Of the process beside this one that moves the frames; null when there is none. */
  get pid(): number | null {
    return this.#current?.pid ?? null;
  }

  /** Why it is another datapath than the best one, in words; null when it is the best, or was asked for. */
  get fallbackReason(): string | null {
    return this.#ports.choice.reason;
  }

  /** Features of the machine that the datapath does without, by name. */
  get lacks(): readonly string[] {
    return this.#current?.lacks ?? [];
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel?.();
    await this.#current?.stop();
    this.#current = null;
  }

  stats(): DatapathStats {
    return this.#current?.stats() ?? NO_STATS;
  }

  applyTables(changes: readonly TableChange[]): void {
    this.#current?.applyTables(changes);
  }

  /** Resolves when what was said so far has taken effect, also when nothing works. */
  async settle(): Promise<void> {
    await this.#current?.settle();
  }

  addSession(keys: SessionKeys): void {
    this.#current?.addSession(keys);
  }

  useSession(localIndex: number): void {
    this.#current?.useSession(localIndex);
  }

  removeSession(localIndex: number): void {
    this.#current?.removeSession(localIndex);
  }

  setPath(peer: PeerId, path: TunnelPath | null): void {
    this.#current?.setPath(peer, path);
  }

  setPathMtu(peer: PeerId, bytes: number): void {
    this.#current?.setPathMtu(peer, bytes);
  }

  sendRaw(datagram: Uint8Array, to: TunnelPath): void {
    this.#current?.sendRaw(datagram, to);
  }

  sendKeepalive(peer: PeerId): void {
    this.#current?.sendKeepalive(peer);
  }

  sendProbe(peer: PeerId, bytes: number): void {
    this.#current?.sendProbe(peer, bytes);
  }

  removePeer(peer: PeerId): void {
    this.#current?.removePeer(peer);
  }

  async #startChosen(): Promise<void> {
    const datapath = await this.#ports.make(this.#ports.choice.name);
    await datapath.start({ ...this.#ports.events, failed: (reason) => this.#failed(reason) });
    if (this.#stopped) return datapath.stop();
    this.#current = datapath;
    this.failure = null;
    this.#ports.choice.started();
    const { lasting } = datapath;
    if (lasting === undefined) datapath.applyTables(this.#ports.tables());
    else lasting.replaceTables(this.#ports.tables());
    const peers = datapath.stats().peers.map(({ peer }) => peer);
    this.#ports.started({ sessions: lasting?.adoptable() ?? [], peers });
  }

  #failed(reason: string): void {
    this.#current = null;
    this.failure = reason;
    this.#ports.choice.failed(reason);
    this.#ports.log.error('datapath failed', { reason, next: this.#ports.choice.name });
    this.#ports.replaced();
    this.#retryLater();
  }

  #retryLater(): void {
    if (this.#stopped) return;
    this.#cancel = this.#ports.timers.after(this.#retryMs, () => void this.#retry());
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MAX_MS);
  }

  async #retry(): Promise<void> {
    try {
      await this.start();
      this.#retryMs = RETRY_FIRST_MS;
      this.#ports.log.info('datapath works again');
    } catch (error) {
      this.failure = (error as Error).message;
      this.#ports.log.error('datapath does not start', { reason: this.failure });
      this.#retryLater();
    }
  }
}
