// Keeps the name server's sockets open on the gateways' addresses, which come and go with networks. A port that another program
// holds must not keep a host from its cluster: it is tried again until it is free, and meanwhile status names the holder.

import type { Cancel, Log, Timers } from '../base/capabilities.ts';
import type { Upstreams } from '../dns/forwarder.ts';
import type { Asker, NameService } from '../dns/name-service.ts';
import { PortHolders } from './port-holders.ts';
import { Reconciler } from './reconciler.ts';

/** Between two tries at a port that is taken. */
export const RETRY_MS = 2_000;

/** Who asks is known by the socket; which of our addresses is asked, by whose socket it is. */
export type SocketHandler = (
  message: Uint8Array,
  asker: Omit<Asker, 'server'>,
  reply: (answer: Uint8Array) => void,
) => void;

/** The door to the sockets: real ones in src/host/dns. */
export interface NameSockets {
  /** Rejects when that address can't be had, and then nothing is open. `failed`: what was open broke. */
  open(ip: string, handler: SocketHandler, failed: (reason: string) => void): Promise<{ close(): Promise<void> }>;
  /** Who holds port 53 there, in words; null: nobody. */
  holderOf(ip: string): Promise<string | null>;
  readonly exchange: Upstreams['exchange'];
  /** The host's own name servers, best first. */
  hostServers: Upstreams['servers'];
}

export interface NameServerPorts {
  readonly sockets: Pick<NameSockets, 'open' | 'holderOf'>;
  readonly service: Pick<NameService, 'handle'>;
  /** Canonical text. */
  addresses(): readonly string[];
  readonly timers: Timers;
  readonly log: Log;
}

export class NameServer {
  readonly #ports: NameServerPorts;
  readonly #open = new Map<string, { close(): Promise<void> }>();
  readonly #faults = new Map<string, string>();
  readonly #holders: PortHolders;
  readonly #opener: Reconciler;
  #retry: Cancel = () => undefined;
  #started = false;

  constructor(ports: NameServerPorts) {
    this.#ports = ports;
    this.#holders = new PortHolders((ip) => ports.sockets.holderOf(ip));
    this.#opener = new Reconciler(
      () => this.#settle(),
      (reason) => ports.log.error('the name server could not be opened', { reason }),
    );
  }

  /** Resolves after the first try, whatever came of it. */
  async start(): Promise<void> {
    this.#started = true;
    await this.#opener.run();
  }

  /** Resolves after the first try; before {@link start} nothing is opened. */
  async addressesChanged(): Promise<void> {
    if (this.#started) await this.#opener.run();
  }

  async stop(): Promise<void> {
    this.#retry();
    await this.#opener.stop();
    await Promise.all([...this.#open.values()].map((socket) => socket.close()));
    this.#open.clear();
  }

  /** Where it is asked now. */
  get serving(): readonly string[] {
    return this.#ports.addresses().filter((ip) => this.#open.has(ip));
  }

  /** Why it is not asked on all of its addresses, in words; null when it is. */
  get fault(): string | null {
    return this.#opener.fault ?? ([...this.#faults.values()].join('; ') || null);
  }

  /** Opens what is missing, closes what is no address of ours any more. */
  async #settle(): Promise<void> {
    const wanted = new Set(this.#ports.addresses());
    for (const ip of this.#faults.keys()) {
      if (wanted.has(ip)) continue;
      this.#faults.delete(ip);
      this.#holders.forget(ip);
    }
    for (const [ip, socket] of [...this.#open]) {
      if (wanted.has(ip)) continue;
      this.#open.delete(ip);
      await socket.close();
    }
    for (const ip of wanted) if (!this.#open.has(ip)) await this.#openOne(ip);
    this.#retry();
    if (this.#open.size < wanted.size) {
      this.#retry = this.#ports.timers.after(RETRY_MS, () => this.#opener.request());
    }
  }

  async #openOne(ip: string): Promise<void> {
    const { sockets, service, log } = this.#ports;
    try {
      const handler: SocketHandler = (message, asker, reply) =>
        service.handle(message, { ...asker, server: ip }, reply);
      this.#open.set(ip, await sockets.open(ip, handler, (reason) => this.#broke(ip, reason)));
      this.#holders.forget(ip);
      if (this.#faults.delete(ip)) log.info('names are served now', { ip });
    } catch (error) {
      const isTaken = (error as NodeJS.ErrnoException).code === 'EADDRINUSE';
      const holder = isTaken ? await this.#holders.holderOf(ip) : null;
      const reason = holder === null ? (error as Error).message : `port 53 of ${ip} is held by ${holder}`;
      if (this.#faults.get(ip) !== reason) log.warn('names are not served', { ip, reason });
      this.#faults.set(ip, reason);
    }
  }

  #broke(ip: string, reason: string): void {
    const socket = this.#open.get(ip);
    if (socket === undefined) return;
    this.#open.delete(ip);
    this.#faults.set(ip, reason);
    this.#ports.log.error('the name server broke, opening it again', { ip, reason });
    void socket.close();
    this.#opener.request();
  }
}
