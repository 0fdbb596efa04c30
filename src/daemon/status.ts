// Builds `fabric status --json` from the live parts. Reads only; every call is a fresh picture.

import { cidrHasIp, formatCidr, parseIp } from '../base/address.ts';
import { formatEndpoint } from '../base/endpoint.ts';
import type { PeerId, Vni } from '../base/ids.ts';
import type { PeerRecord } from '../base/records.ts';
import type { Mesh } from '../host/mesh/mesh.ts';
import type { PeerCounters } from '../router/datapath.ts';
import type { TunnelStatus } from '../router/tunnel-options.ts';
import type { PathView } from '../router/vxlan/vxlan-path.ts';
import type { ReservationEntry } from './address-reservations.ts';
import { type AttachmentEntry, networkOfEntry } from './attachment-store.ts';
import type { Member } from './member.ts';
import type { Network } from './network.ts';
import { wantsVxlan } from './open-vxlan.ts';
import type { Settings } from './settings.ts';
import {
  type AttachmentRow,
  type CertificateFacts,
  type DnsRow,
  type DockerFacts,
  type Health,
  type HttpFacts,
  type LeaseRow,
  type NetworkRow,
  type PeerRow,
  type ReservationRow,
  type RouteRow,
  STATUS_API_VERSION,
  type Status,
  type TargetRow,
  type TokenFacts,
  type TunnelRow,
} from './status-types.ts';

export interface StatusFacts {
  readonly self: PeerId | '';
  readonly clusterId: string | null;
  readonly settings: Settings;
  readonly uptimeMs: number;
  readonly version: string;
  readonly mtu: number | null;
  readonly member: Member | null;
  readonly mesh: Mesh | null;
  readonly health: Health;
  readonly http: HttpFacts;
  readonly nowMs: number;
  readonly docker: DockerFacts;
  readonly certificate: CertificateFacts | null;
}

export function buildStatus(facts: StatusFacts): Status {
  const { member, mesh, settings, health, http } = facts;
  return {
    apiVersion: STATUS_API_VERSION,
    health,
    self: {
      id: facts.self,
      nickname: settings.nickname,
      version: facts.version,
      clusterId: facts.clusterId,
      uptimeMs: Math.round(facts.uptimeMs),
      addresses: member === null ? [] : hostAddresses(member),
    },
    token: member === null ? null : tokenFacts(member),
    certificate: facts.certificate,
    datapath: datapathFacts(facts),
    networks: member === null ? [] : networkRows(member, facts.self),
    peers: member === null ? [] : peerRows(member, mesh, facts),
    tunnels: member === null ? [] : tunnelRows(member),
    routes: member === null ? [] : routeRows(member),
    leases: member === null ? [] : leaseRows(member),
    attachments: member === null ? [] : attachmentRows(member),
    reservations: member === null ? [] : reservationRows(member),
    dns: member === null ? [] : dnsRows(member),
    nameServer: nameServerFacts(facts),
    docker: facts.docker,
    http,
    targets: targetRows(mesh),
  };
}

function tokenFacts({ admission }: Member): TokenFacts {
  const { generation, graceEndsMs } = admission.rotations.facts();
  return { generation, graceEndsAt: graceEndsMs === null ? null : new Date(graceEndsMs).toISOString() };
}

function datapathFacts({ member, mtu, settings }: StatusFacts): Status['datapath'] {
  const { framesIn = 0, framesOut = 0, drops = {} } = member?.slot.stats() ?? {};
  const handshakes = Object.entries(member?.tunnels.drops() ?? {})
    .filter(([, count]) => count > 0)
    .map(([reason, count]) => [`handshake-${reason}`, count]);
  return {
    name: member?.slot.name ?? 'pcap',
    reason: member?.slot.fallbackReason ?? null,
    lacks: member?.slot.lacks ?? [],
    mtu,
    encryption: wantsVxlan(settings) ? 'except-trusted' : 'required',
    framesIn,
    framesOut,
    drops: { ...drops, ...vxlanDrops(member), ...examineDrops(member), ...Object.fromEntries(handshakes) },
  };
}

function examineDrops(member: Member | null): Readonly<Record<string, number>> {
  const drops = Object.entries(member?.examiner.drops ?? {}).filter(([, count]) => count > 0);
  return Object.fromEntries(drops.map(([reason, count]) => [`examine-${reason}`, count]));
}

function vxlanDrops(member: Member | null): Readonly<Record<string, number>> {
  const drops = Object.entries(member?.vxlan?.drops() ?? {}).filter(([, count]) => count > 0);
  return Object.fromEntries(drops.map(([reason, count]) => [`vxlan-${reason}`, count]));
}

function hostAddresses({ place, facts: { v4, v6 } }: Member): string[] {
  return place.ips.map((ip) => `${ip}/${(ip.includes(':') ? v6! : v4).range.prefix}`);
}

function networkRows(member: Member, self: PeerId | ''): NetworkRow[] {
  const { networks, networkPresence, directory } = member;
  return networks.all().map(({ id, facts, bridge }) => {
    const isElsewhere = ([peer, record]: readonly [PeerId, PeerRecord]): boolean =>
      peer !== self && record.networks.includes(id);
    const elsewhere = directory
      .peers()
      .filter(isElsewhere)
      .map(([peer]) => peer);
    const known = networks.registry.get(id);
    return {
      name: networks.labelOf(id),
      id,
      range: formatCidr(facts.v4.range),
      range6: facts.v6 === null ? null : formatCidr(facts.v6.range),
      gateway: facts.internal ? null : facts.gateway,
      domain: facts.internal ? null : member.names.zones.domain,
      bridge,
      internal: facts.internal,
      state: networks.stateOf(id),
      up: networkPresence.isUp(id),
      hosts: self !== '' && networkPresence.isUp(id) ? [self, ...elsewhere] : elsewhere,
      creator: known?.creator ?? null,
    };
  });
}

function peerRows(member: Member, mesh: Mesh | null, { self, nowMs }: StatusFacts): PeerRow[] {
  return member.directory
    .peers()
    .filter(([id]) => id !== self)
    .map(([id, record]) => {
      const link = mesh?.link(id) ?? null;
      const endpoint = link?.endpoint ?? record.endpoints[0] ?? null;
      return {
        id,
        nickname: record.nickname,
        endpoint: endpoint === null ? null : formatEndpoint(endpoint),
        state: member.neighbourhood.liveness.view(id)?.state ?? 'alive',
        lastSeenMs:
          link !== null ? Math.max(0, Math.round(nowMs - link.heardMs)) : member.neighbourhood.liveness.lastSeenMs(id),
      };
    })
    .sort((a, b) => (a.nickname < b.nickname ? -1 : a.nickname > b.nickname ? 1 : a.id < b.id ? -1 : 1));
}

/** Cheap enough for each scrape: a row per known host. */
export function tunnelRows(member: Member): TunnelRow[] {
  const stats = new Map<PeerId, PeerCounters>(member.slot.stats().peers.map((counters) => [counters.peer, counters]));
  return member.tunnels.statuses().map((tunnel) => {
    const counters = stats.get(tunnel.peer);
    const plain = member.vxlan?.view(tunnel.peer) ?? null;
    const isPlain = plain?.state === 'up';
    return {
      peer: tunnel.peer,
      nickname: member.directory.nameOf(tunnel.peer),
      endpoint: tunnel.endpoint === null ? null : formatEndpoint(tunnel.endpoint),
      relay: tunnel.relay,
      nat: tunnel.nat,
      state: isPlain ? 'established' : tunnel.state,
      encrypted: !isPlain,
      datapath: isPlain ? 'vxlan' : (member.slot.name ?? 'pcap'),
      cipher: isPlain ? null : tunnel.cipher,
      mtu: tunnel.pathMtu,
      rttMs: tunnel.handshakeRttMs,
      txBytes: counters?.txBytes ?? 0,
      rxBytes: counters?.rxBytes ?? 0,
      txFrames: counters?.txFrames ?? 0,
      rxFrames: counters?.rxFrames ?? 0,
      drops: counters?.drops ?? {},
      reason: tunnelReason(member, tunnel, plain),
    };
  });
}

/** Of a tunnel that could be plain: why it is not. */
function tunnelReason(member: Member, tunnel: TunnelStatus, plain: PathView | null): string | null {
  if (plain?.state === 'up') return null;
  if (tunnel.relay !== null && tunnel.state === 'established') {
    const relay = member.directory.nameOf(tunnel.relay);
    return tunnel.reason === null ? `by relay ${relay}` : `by relay ${relay}: ${tunnel.reason}`;
  }
  if (tunnel.reason !== null) return tunnel.reason;
  if (!member.isAlive(tunnel.peer)) return 'its host does not answer';
  if (member.slot.fallbackReason !== null) return member.slot.fallbackReason;
  return plain?.reason == null || tunnel.state !== 'established' ? null : `not plain VXLAN: ${plain.reason}`;
}

function routeRows(member: Member): RouteRow[] {
  return member.networks.all().flatMap((network) =>
    network.routes.list().map((route) => ({
      network: member.networks.labelOf(network.id),
      mac: route.mac,
      ips: route.ips.map((ip) => `${ip}/${prefixOf(network, ip)}`),
      peer: route.peer,
      local: route.local,
      sequence: route.sequence,
      state: route.state,
      reason: route.reason,
    })),
  );
}

/** Of an address outside of the network only its own host knows more than the address. */
function prefixOf({ facts: { v4, v6 } }: Pick<Network, 'facts'>, text: string): number {
  const ip = parseIp(text);
  if (ip === null) return 0;
  if (ip.family === 4) return cidrHasIp(v4.range, ip) ? v4.range.prefix : 32;
  if (text.startsWith('fe80:')) return 64;
  return v6 !== null && cidrHasIp(v6.range, ip) ? v6.range.prefix : 128;
}

/** With the prefix length of the network that it is in. */
function inNetwork(member: Member, entry: { readonly vni?: Vni }, ip: string): string {
  return `${ip}/${prefixOf(member.networks.get(networkOfEntry(entry)) ?? member.networks.main, ip)}`;
}

function foreignPrefix({ foreign = [] }: AttachmentEntry, ip: string): number | undefined {
  return foreign.find((address) => address.ip === ip)?.prefix;
}

function leaseRows(member: Member): LeaseRow[] {
  return member.spaces.leases().map((lease) => ({
    network: member.networks.labelOf(lease.network),
    cidr: formatCidr(lease.cidr),
    peer: lease.peer,
    epoch: lease.epoch,
    used: lease.used,
    size: lease.size,
    state: lease.state,
    expiresAt: lease.expiresAt === null ? null : new Date(lease.expiresAt).toISOString(),
  }));
}

function attachmentRows(member: Member): AttachmentRow[] {
  return member.attachmentEntries.all().map((entry) => ({
    network: entry.key.network,
    containerId: entry.key.containerId,
    ifname: entry.key.ifname,
    mac: entry.mac,
    ips: entry.ips.map((ip) => {
      const prefix = foreignPrefix(entry, ip);
      return prefix === undefined ? inNetwork(member, entry, ip) : `${ip}/${prefix}`;
    }),
    name: entry.name,
    hostIfname: entry.hostIfname,
    state: entry.state,
    ...holderOf(entry),
  }));
}

function reservationRows(member: Member): ReservationRow[] {
  return member.reservations.all().map(({ key, ips, ...entry }) => ({
    ...key,
    ips: ips.map((ip) => inNetwork(member, entry, ip)),
    ...holderOf(entry),
  }));
}

/** Who asked, and for which namespace. */
function holderOf(entry: Omit<ReservationEntry, 'key' | 'ips' | 'kernelBootId'>) {
  const { owner, namespacePath, namespaceDev, namespaceIno } = entry;
  return { owner, namespacePath, namespaceId: namespaceIno === '' ? '' : `${namespaceDev}:${namespaceIno}` };
}

function dnsRows(member: Member): DnsRow[] {
  return member.names.rows().map(({ name, ips, author, network }) => ({
    name,
    ips: ips.map((ip) => inNetwork(member, { vni: network }, ip)),
    peer: author,
    network: member.networks.labelOf(network),
  }));
}

function nameServerFacts({ member, settings }: StatusFacts): Status['nameServer'] {
  if (member === null) {
    const reason = 'this host has not joined yet';
    return { state: 'off', domain: settings.dns.domain, addresses: [], upstreams: [], reason, counters: {} };
  }
  const { state, domain, serving, upstreams, fault, loop, counters } = member.names.status();
  const reason = state === 'off' ? 'it was switched off with --no-dns' : (fault ?? loop);
  return {
    state,
    domain,
    addresses: serving,
    upstreams,
    reason,
    counters: { ...counters, unusableNames: member.names.zones.unusable },
  };
}

function targetRows(mesh: Mesh | null): TargetRow[] {
  return (mesh?.targets() ?? []).map(({ host, port, state, lastError }) => ({
    host: `${host.includes(':') ? `[${host}]` : host}:${port}`,
    state,
    error: lastError === null ? null : `${lastError.what}: ${lastError.why}`,
  }));
}
