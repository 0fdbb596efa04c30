// One table per section of `fabric status`. While it is watched, the table of tunnels shows what flows, busiest first.

import { throughNat } from '../../base/nat-place.ts';
import type { Status, StatusSection, TunnelRow } from '../../daemon/status-types.ts';
import { LEASE_HEADER, leaseCells } from '../lease-table.ts';
import { bitRate, bytes, duration, table } from '../table.ts';
import type { Rates } from './rates.ts';

export interface TableOptions {
  /** Rows that are shown; the rest are counted. Null: all. */
  readonly limit: number | null;
  /** Null when nobody watches. */
  readonly rates: Rates | null;
}

export function sectionTable(status: Status, section: StatusSection, options: Partial<TableOptions> = {}): string {
  const { limit = null, rates = null } = options;
  const [header, rows] = cellsOf(status, section, rates);
  const shown = limit === null ? rows : rows.slice(0, limit);
  const more = rows.length - shown.length;
  return table(header, shown) + (more > 0 ? `\n… and ${more} more` : '');
}

type Cells = readonly [header: readonly string[], rows: readonly (readonly string[])[]];

function cellsOf(status: Status, section: StatusSection, rates: Rates | null): Cells {
  const nicknames = new Map([...status.peers, status.self].map(({ id, nickname }) => [id, nickname]));
  const nameOf = (id: string): string => nicknames.get(id) ?? id;
  const hostOf = (id: string): string => (id === status.self.id ? 'this host' : nameOf(id));
  switch (section) {
    case 'peers':
      return [
        ['NICKNAME', 'STATE', 'ENDPOINT', 'LAST SEEN', 'ID'],
        status.peers.map((peer) => [peer.nickname, peer.state, peer.endpoint ?? '-', age(peer.lastSeenMs), peer.id]),
      ];
    case 'tunnels':
      return rates === null ? tunnelCells(status.tunnels) : watchedTunnelCells(status.tunnels, rates);
    case 'routes':
      return [
        ['NETWORK', 'MAC', 'ADDRESSES', 'HOST', 'SEQ', 'STATE', 'REASON'],
        status.routes.map((route) => [
          route.network,
          route.mac,
          route.ips.filter((ip) => !ip.startsWith('fe80:')).join(' '), // each MAC has its own: noise
          route.local ? 'this host' : nameOf(route.peer),
          String(route.sequence),
          route.state,
          route.reason ?? '',
        ]),
      ];
    case 'leases':
      return [LEASE_HEADER, leaseCells(status.leases, hostOf)];
    case 'attachments':
      return [
        ['NETWORK', 'CONTAINER', 'INTERFACE', 'ADDRESSES', 'MAC', 'HOST INTERFACE', 'NAME', 'STATE'],
        status.attachments.map((row) => [
          row.network,
          row.containerId,
          row.ifname,
          row.ips.join(' '),
          row.mac,
          row.hostIfname,
          row.name || '-',
          row.state,
        ]),
      ];
    case 'dns':
      return [
        ['NAME', 'ADDRESSES', 'HOST', 'NETWORK'],
        status.dns.map((row) => [row.name, row.ips.join(' '), nameOf(row.peer), row.network]),
      ];
  }
}

function tunnelCells(tunnels: readonly TunnelRow[]): Cells {
  return [
    ['PEER', 'STATE', 'ENDPOINT', 'DATAPATH', 'CIPHER', 'PATH MTU', 'RTT', 'SENT', 'RECEIVED', 'DROPS', 'REASON'],
    tunnels.map((tunnel) => [
      tunnel.nickname,
      tunnel.state,
      place(tunnel),
      tunnel.datapath,
      tunnel.cipher ?? '-',
      String(tunnel.mtu ?? '-'),
      milliseconds(tunnel.rttMs),
      bytes(tunnel.txBytes),
      bytes(tunnel.rxBytes),
      String(dropsOf(tunnel)),
      tunnel.reason ?? '',
    ]),
  ];
}

function watchedTunnelCells(tunnels: readonly TunnelRow[], { ofPeer }: Rates): Cells {
  const flow = ({ peer }: TunnelRow): number => (ofPeer.get(peer)?.txBytes ?? 0) + (ofPeer.get(peer)?.rxBytes ?? 0);
  return [
    ['PEER', 'STATE', 'DATAPATH', 'OUT', 'IN', 'FRAMES/S', 'DROPS/S', 'REASON'],
    [...tunnels]
      .sort((a, b) => flow(b) - flow(a))
      .map((tunnel) => {
        const rate = ofPeer.get(tunnel.peer);
        return [
          tunnel.nickname,
          tunnel.state,
          tunnel.datapath,
          bitRate(rate?.txBytes ?? 0),
          bitRate(rate?.rxBytes ?? 0),
          String(Math.round((rate?.txFrames ?? 0) + (rate?.rxFrames ?? 0))),
          String(Math.round(rate?.drops ?? 0)),
          tunnel.reason ?? '',
        ];
      }),
  ];
}

function place({ endpoint, nat }: TunnelRow): string {
  if (endpoint === null) return '-';
  return throughNat(nat) === null ? endpoint : `${endpoint} through NAT`;
}

export function dropsOf({ drops }: Pick<TunnelRow, 'drops'>): number {
  return Object.values(drops).reduce((total, count) => total + count, 0);
}

export function milliseconds(ms: number | null): string {
  return ms === null ? '-' : `${ms.toFixed(1)} ms`;
}

/** `now`, `5 min ago`, `never`. */
export function age(ms: number | null): string {
  if (ms === null) return 'never';
  return ms < 1000 ? 'now' : `${duration(ms)} ago`;
}
