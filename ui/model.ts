// What the map shows, made of a status: hosts with their tunnel and containers, and the blocks of the address range. Pure, so that
// it is tested without a browser. A host keeps its place as long as it is there; a new one takes the first that is free.

import type { Rates } from '../src/cli/status/rates.ts';
import type { LeaseRow, Status, TunnelRow } from '../src/daemon/status-types.ts';

export interface Container {
  readonly mac: string;
  /** Without prefix lengths. */
  readonly ips: readonly string[];
  readonly names: readonly string[];
}

export interface HostNode {
  readonly id: string;
  readonly nickname: string;
  readonly isSelf: boolean;
  readonly state: 'alive' | 'suspect' | 'dead';
  readonly endpoint: string | null;
  readonly tunnel: TunnelRow | null;
  /** Both directions, bytes a second. */
  readonly flow: number;
  readonly containers: readonly Container[];
  /** Addresses of IPv4 that it owns. */
  readonly addresses: number;
  readonly x: number;
  readonly y: number;
}

export interface Block {
  /** Parts of the range, 0 to 1. */
  readonly from: number;
  readonly to: number;
  readonly lease: LeaseRow;
}

export interface MapModel {
  readonly hosts: readonly HostNode[];
  readonly byId: ReadonlyMap<string, HostNode>;
  readonly blocks: readonly Block[];
}

/** Between neighbours. */
export const SPACING = 90;
const GOLDEN_ANGLE = Math.PI * (3 - Math.sqrt(5));

/** Remembers who stands where. */
export class Places {
  readonly #taken = new Map<string, number>();
  #free: number[] = [];
  #next = 1; // 0 is this host, in the middle

  /** Keeps those that are named, lets the others go, and finds a place for who is new. */
  keep(self: string, ids: readonly string[]): void {
    const wanted = new Set(ids);
    for (const [id, place] of this.#taken) {
      if (wanted.has(id)) continue;
      this.#taken.delete(id);
      if (place > 0) this.#free.push(place);
    }
    this.#free.sort((a, b) => b - a);
    this.#taken.set(self, 0);
    for (const id of ids) if (!this.#taken.has(id)) this.#taken.set(id, this.#free.pop() ?? this.#next++);
  }

  /** As the seeds of a sunflower stand: evenly, however many there are. */
  of(id: string): { readonly x: number; readonly y: number } {
    const place = this.#taken.get(id) ?? 0;
    const radius = place === 0 ? 0 : SPACING * Math.sqrt(place + 0.7);
    return { x: radius * Math.cos(place * GOLDEN_ANGLE), y: radius * Math.sin(place * GOLDEN_ANGLE) };
  }
}

export function buildModel(status: Status, rates: Rates | null, places: Places): MapModel {
  const { self } = status;
  const peers = status.peers.map((peer) => ({ ...peer, isSelf: false }));
  const own = { id: self.id, nickname: self.nickname, endpoint: null, state: 'alive' as const, isSelf: true };
  places.keep(
    self.id,
    peers.map(({ id }) => id),
  );
  const tunnels = new Map(status.tunnels.map((tunnel) => [tunnel.peer, tunnel]));
  const containers = containersByHost(status);
  const addresses = addressesByHost(status.leases);
  const hosts = [own, ...peers].map(({ id, nickname, endpoint, state, isSelf }): HostNode => {
    const rate = rates?.ofPeer.get(id);
    return {
      id,
      nickname,
      isSelf,
      state,
      endpoint,
      tunnel: tunnels.get(id) ?? null,
      flow: (rate?.txBytes ?? 0) + (rate?.rxBytes ?? 0),
      containers: containers.get(id) ?? [],
      addresses: addresses.get(id) ?? 0,
      ...places.of(id),
    };
  });
  return { hosts, byId: new Map(hosts.map((host) => [host.id, host])), blocks: blocksOf(status) };
}

function containersByHost(status: Status): ReadonlyMap<string, readonly Container[]> {
  // Internal networks may have the same addresses.
  const keyOf = (network: string, ip: string): string => `${network} ${ip}`;
  const namesByIp = new Map<string, string[]>();
  for (const { network, name, ips } of status.dns) {
    for (const key of ips.map((ip) => keyOf(network, bare(ip)))) {
      const names = namesByIp.get(key);
      if (names === undefined) namesByIp.set(key, [name]);
      else if (!names.includes(name)) names.push(name);
    }
  }
  const byHost = new Map<string, Container[]>();
  for (const { network, peer, mac, ips, state } of status.routes) {
    if (state !== 'active' && state !== 'stale') continue;
    const shown = ips.map(bare).filter((ip) => !ip.startsWith('fe80:'));
    const container = {
      mac,
      ips: shown,
      names: [...new Set(shown.flatMap((ip) => namesByIp.get(keyOf(network, ip)) ?? []))],
    };
    const there = byHost.get(peer);
    if (there === undefined) byHost.set(peer, [container]);
    else there.push(container);
  }
  return byHost;
}

function addressesByHost(leases: readonly LeaseRow[]): ReadonlyMap<string, number> {
  const sums = new Map<string, number>();
  for (const { peer, cidr, size } of leases) {
    if (!cidr.includes(':')) sums.set(peer, (sums.get(peer) ?? 0) + size);
  }
  return sums;
}

function blocksOf({ networks, leases }: Status): readonly Block[] {
  const range = networks[0]?.range;
  if (range === undefined) return [];
  const [start, size] = [ipv4Of(range), 2 ** (32 - Number(range.split('/')[1]))];
  return leases
    .filter(({ cidr, network }) => !cidr.includes(':') && network === networks[0]?.name)
    .map((lease) => {
      const from = (ipv4Of(lease.cidr) - start) / size;
      return { from, to: from + lease.size / size, lease };
    });
}

function ipv4Of(cidr: string): number {
  return bare(cidr)
    .split('.')
    .reduce((value, byte) => value * 256 + Number(byte), 0);
}

function bare(cidr: string): string {
  return cidr.split('/')[0]!;
}

/** Hosts that a text finds: by nickname, id, endpoint, or by an address, MAC or name of a container; at most `limit`. */
export function search({ hosts }: MapModel, text: string, limit: number): readonly { host: HostNode; why: string }[] {
  const wanted = text.trim().toLowerCase();
  if (wanted === '') return [];
  const found: { host: HostNode; why: string }[] = [];
  for (const host of hosts) {
    const why = reasonFor(host, wanted);
    if (why !== null) found.push({ host, why });
    if (found.length === limit) break;
  }
  return found;
}

function reasonFor(host: HostNode, wanted: string): string | null {
  if (host.nickname.toLowerCase().includes(wanted)) return host.nickname;
  if (host.id.startsWith(wanted) || host.endpoint?.startsWith(wanted)) return host.nickname;
  for (const { mac, ips, names } of host.containers) {
    const hit = [...names, ...ips, mac].find((handle) => handle.toLowerCase().includes(wanted));
    if (hit !== undefined) return `${host.nickname}: ${hit}`;
  }
  return null;
}
