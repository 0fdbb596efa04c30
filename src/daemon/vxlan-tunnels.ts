// Kernel VXLAN for the tunnels between hosts that trust each other (docs/vxlan.md): keeps VxlanPaths informed and makes the kernel
// follow what it finds. Exists only where --trusted-subnets names some. Invariant: the plan given to the kernel holds the
// MACs of peers whose path is up, and the addresses of peers that are trusted, never more.

import type { Family } from '../base/address.ts';
import type { Cancel, Log, Timers } from '../base/capabilities.ts';
import { DEFAULT_VNI, type Mac, type PeerId } from '../base/ids.ts';
import type { HostNetwork, VxlanPlan } from '../host/host-network.ts';
import type { TableChange } from '../router/datapath.ts';
import type { FramePort } from '../router/pcap/frame-port.ts';
import { probeMacOf } from '../router/vxlan/probe-message.ts';
import type { PathView } from '../router/vxlan/vxlan-path.ts';
import { VxlanPaths, type VxlanPathsOptions } from '../router/vxlan/vxlan-paths.ts';
import { Reconciler } from './reconciler.ts';
import { Ticker } from './ticker.ts';

/** After the kernel refused, or the probe device vanished. */
const RETRY_MS = 10_000;
const REOPEN_MS = 1_000;

export interface VxlanTunnelsPorts extends Omit<VxlanPathsOptions, 'events'> {
  readonly host: Pick<HostNetwork, 'applyVxlan'>;
  readonly log: Log;
  readonly timers: Timers;
  /** Source address of our packets, canonical text; null: as the host's routes say. */
  readonly local: string | null;
  /** Opens a probe device: what it shows are probes, what is injected leaves by VXLAN. Not opened yet. */
  openProbe(ifname: string): FramePort;
  /** A peer has just answered. Must not call back. */
  proven(peer: PeerId): void;
}

export class VxlanTunnels {
  readonly #ports: VxlanTunnelsPorts;
  readonly #paths: VxlanPaths;
  readonly #reconciler: Reconciler;
  readonly #ticker: Ticker;
  readonly #macs = new Map<Mac, PeerId>();
  /** By the family of the underlay. */
  readonly #probes = new Map<Family, FramePort>();
  /** Whose paths the kernel has. */
  #carried: ReadonlySet<PeerId> = new Set();
  #cancelRetry: Cancel | null = null;
  #running = false;

  constructor(ports: VxlanTunnelsPorts) {
    this.#ports = ports;
    this.#paths = new VxlanPaths({
      ...ports,
      events: {
        send: (frame, remote) => this.#send(frame, remote),
        proven: (peer) => ports.proven(peer),
        changed: (peer, up, reason) => this.#changed(peer, up, reason),
        wake: (withinMs) => this.#ticker.wake(withinMs),
      },
    });
    this.#reconciler = new Reconciler(
      () => this.#apply(),
      (reason) => this.#refused(reason),
    );
    this.#ticker = new Ticker(
      ports.timers,
      () => this.#paths.tick(),
      (error) => ports.log.error('plain paths could not be looked after', { reason: error.message }),
    );
  }

  /** Makes devices and rules; what the kernel refuses is a reason in {@link view}, no error: tunnels then stay encrypted. */
  start(): void {
    this.#running = true;
    this.#reconciler.request();
    this.#ticker.wake();
  }

  /** Peers turn to the encrypted way; then nothing of VXLAN is left in the kernel. */
  async stop(): Promise<void> {
    if (!this.#running) return;
    this.#paths.close();
    this.#running = false;
    this.#ticker.stop();
    this.#cancelRetry?.();
    await this.#reconciler.stop();
    this.#closeProbes();
    await this.#ports.host.applyVxlan(null);
    this.#carried = new Set();
  }

  /** The forwarding tables changed: where MACs are is their word. */
  applyTables(changes: readonly TableChange[]): void {
    for (const change of changes) {
      if (change.network !== DEFAULT_VNI || (change.kind !== 'mac' && change.kind !== 'mac-gone')) continue;
      const before = this.#macs.get(change.mac);
      if (change.kind === 'mac' && change.to !== 'local') this.#macs.set(change.mac, change.to);
      else this.#macs.delete(change.mac);
      const after = this.#macs.get(change.mac);
      if (before !== after && (this.#isUp(before) || this.#isUp(after))) this.#request();
    }
  }

  /** See {@link VxlanPaths.learn}. */
  learn(...news: Parameters<VxlanPaths['learn']>): void {
    this.#paths.learn(...news);
  }

  /** See {@link VxlanPaths.restarted}. */
  restarted(peer: PeerId): void {
    this.#paths.restarted(peer);
  }

  /** See {@link VxlanPaths.rekey}. */
  rekey(psk: Uint8Array): void {
    this.#paths.rekey(psk);
  }

  forget(peer: PeerId): void {
    this.#paths.forget(peer);
  }

  /** Of frames that cross now: a path that has just come up, or fallen, counts once the kernel follows it. */
  view(peer: PeerId): PathView | null {
    const view = this.#paths.view(peer);
    if (this.#carried.has(peer)) return { state: 'up', reason: null };
    return view?.state === 'up' ? { state: 'trying', reason: 'its forwarding entries are being made' } : view;
  }

  drops(): Readonly<Record<string, number>> {
    return this.#paths.drops();
  }

  #isUp(peer: PeerId | undefined): boolean {
    return peer !== undefined && this.#paths.view(peer)?.state === 'up';
  }

  #changed(peer: PeerId, up: boolean, reason: string | null): void {
    this.#ports.log.info(up ? 'plain VXLAN to a peer' : 'no plain VXLAN to a peer', { peer, reason });
    this.#request();
  }

  #request(): void {
    if (this.#running) this.#reconciler.request();
  }

  async #apply(): Promise<void> {
    if (this.#cancelRetry !== null) return;
    const carried = new Set(this.#paths.remotes().keys());
    const { probes } = await this.#ports.host.applyVxlan(this.#plan());
    this.#carried = carried;
    for (const [family, name] of probes) this.#openProbe(family, name);
  }

  #plan(): VxlanPlan {
    const { trusted, local, self } = this.#ports;
    const allowed = this.#paths.allowed();
    const remotes = this.#paths.remotes();
    const paths = new Map<Mac, string>();
    for (const [mac, peer] of this.#macs) {
      const remote = remotes.get(peer);
      if (remote !== undefined) paths.set(mac, remote);
    }
    return {
      families: [...new Set(trusted.map(({ family }) => family))].sort(),
      local,
      probeMac: probeMacOf(self),
      peers: [...allowed].map(([peer, ip]) => ({ ip, probeMac: probeMacOf(peer) })),
      paths,
    };
  }

  #openProbe(family: Family, name: string): void {
    if (!this.#running || this.#probes.has(family)) return;
    const port = this.#ports.openProbe(name);
    port.open({
      frame: (bytes) => this.#paths.receive(bytes),
      failed: (reason) => this.#probeFailed(family, reason),
    });
    this.#probes.set(family, port);
  }

  /** Somebody deleted the device: the host network makes it anew, and asks go unanswered until it is open again. */
  #probeFailed(family: Family, reason: string): void {
    this.#ports.log.warn('the probe device of VXLAN failed', { family, reason });
    this.#probes.delete(family);
    this.#ports.timers.after(REOPEN_MS, () => this.#request());
  }

  #send(frame: Uint8Array, remote: string): void {
    this.#probes.get(remote.includes(':') ? 6 : 4)?.inject(frame);
  }

  #refused(reason: string): void {
    this.#ports.log.warn('kernel VXLAN does not work', { reason });
    this.#carried = new Set(); // what it refuses leaves nothing there
    this.#closeProbes();
    this.#cancelRetry = this.#ports.timers.after(RETRY_MS, () => {
      this.#cancelRetry = null;
      this.#paths.setFault(null);
      this.#request();
    });
    this.#paths.setFault(`kernel VXLAN does not work on this host: ${reason}`);
  }

  #closeProbes(): void {
    for (const port of this.#probes.values()) port.close();
    this.#probes.clear();
  }
}
