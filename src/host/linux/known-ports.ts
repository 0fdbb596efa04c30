// The container ports that this host has, found by interface, MAC and address: every netlink event asks whether it is about one
// of them, and a host may have a thousand. What is looked up lives, that is, its interface stands and nobody takes it away.

import type { Vni } from '../../base/ids.ts';
import type { PortIdentity } from './anti-spoof.ts';

/** A container port, from before it is made until it departs. */
export interface KnownPort {
  readonly network: Vni;
  readonly port: PortIdentity;
  /** Of its interface; null until that is made. */
  readonly index: number | null;
  /** Its interface stands. */
  readonly live: boolean;
}

/** What an event is compared with. */
export interface LivePorts {
  named(hostIfname: string): Pick<KnownPort, 'network'> | null;
  hasMac(mac: string): boolean;
  /** `ip` is canonical text. */
  hasIp(ip: string): boolean;
}

export class KnownPorts implements LivePorts {
  /** By host interface. Bounded by the 1023 ports of each bridge. */
  readonly #ports = new Map<string, KnownPort>();
  /** How many live ports have it: one address may be in several networks. */
  readonly #macs = new Map<string, number>();
  readonly #ips = new Map<string, number>();

  get(hostIfname: string): KnownPort | null {
    return this.#ports.get(hostIfname) ?? null;
  }

  has(hostIfname: string): boolean {
    return this.#ports.has(hostIfname);
  }

  /** In the place of one of the same name. */
  set(port: KnownPort): void {
    this.delete(port.port.hostIfname);
    this.#ports.set(port.port.hostIfname, port);
    this.#count(port, 1);
  }

  /** Of the same port, if it is known still. */
  update(hostIfname: string, change: Partial<Pick<KnownPort, 'index' | 'live'>>): void {
    const known = this.#ports.get(hostIfname);
    if (known !== undefined) this.set({ ...known, ...change });
  }

  delete(hostIfname: string): void {
    const known = this.#ports.get(hostIfname);
    if (known === undefined) return;
    this.#ports.delete(hostIfname);
    this.#count(known, -1);
  }

  clear(): void {
    this.#ports.clear();
    this.#macs.clear();
    this.#ips.clear();
  }

  all(): readonly KnownPort[] {
    return [...this.#ports.values()];
  }

  live(): readonly KnownPort[] {
    return this.all().filter(({ live }) => live);
  }

  named(hostIfname: string): KnownPort | null {
    const known = this.get(hostIfname);
    return known?.live === true ? known : null;
  }

  hasMac(mac: string): boolean {
    return this.#macs.has(mac);
  }

  hasIp(ip: string): boolean {
    return this.#ips.has(ip);
  }

  #count({ port, live }: KnownPort, by: 1 | -1): void {
    if (!live) return;
    addTo(this.#macs, port.mac, by);
    for (const ip of port.ips) addTo(this.#ips, ip, by);
  }
}

function addTo(counts: Map<string, number>, key: string, by: 1 | -1): void {
  const count = (counts.get(key) ?? 0) + by;
  if (count > 0) counts.set(key, count);
  else counts.delete(key);
}
