// The page of one row of `fabric status`: everything that is known of one peer, tunnel, route, lease, attachment or name, and of a
// peer what belongs to it in the other sections.

import { throughNat } from '../../base/nat-place.ts';
import type { PeerRow, Status, StatusSection, TunnelRow } from '../../daemon/status-types.ts';
import { bytes, printable } from '../table.ts';
import { age, dropsOf, milliseconds, sectionTable } from './section-table.ts';
import { ANY, select } from './selection.ts';

/** Of what belongs to a peer. */
const ROWS_MAX = 10;

type Line = readonly [label: string, value: string | null];

/** The first row of the section; the caller has selected it. */
export function detailPage(status: Status, section: StatusSection): string {
  switch (section) {
    case 'peers':
      return peerPage(status, status.peers[0]!);
    case 'tunnels':
      return lines(tunnelLines(status.tunnels[0]!));
    case 'routes':
    case 'leases':
    case 'attachments':
    case 'dns':
      return lines(Object.entries(status[section][0]!).map(([field, value]) => fieldLine(status, field, value)));
  }
}

function peerPage(status: Status, peer: PeerRow): string {
  const tunnel = status.tunnels.find((row) => row.peer === peer.id);
  const theirs = (section: 'routes' | 'leases' | 'dns', title: string): string => {
    const table = sectionTable(select(status, section, { ...ANY, peer: peer.id }), section, { limit: ROWS_MAX });
    return `\n${title}\n${table.replaceAll(/^/gm, '  ')}`;
  };
  return [
    lines([
      ['host', peer.nickname],
      ['id', peer.id],
      ['state', peer.state],
      ['endpoint', peer.endpoint],
      ['last seen', age(peer.lastSeenMs)],
    ]),
    '\ntunnel',
    tunnel === undefined ? '  none' : lines(tunnelLines(tunnel)).replaceAll(/^/gm, '  '),
    theirs('leases', 'addresses that it owns'),
    theirs('routes', 'what lives there'),
    theirs('dns', 'names there'),
  ].join('\n');
}

function tunnelLines(tunnel: TunnelRow): readonly Line[] {
  const drops = Object.entries(tunnel.drops).map(([reason, count]) => `${count} ${reason}`);
  return [
    ['peer', `${tunnel.nickname}  ${tunnel.peer}`],
    ['state', tunnel.state],
    ['not better because', tunnel.reason],
    ['endpoint', tunnel.endpoint],
    ['path', throughNat(tunnel.nat)],
    ['datapath', `${tunnel.datapath}, ${tunnel.encrypted ? `encrypted, ${tunnel.cipher ?? 'no session'}` : 'plain'}`],
    ['path MTU', tunnel.mtu === null ? null : `${tunnel.mtu} bytes`],
    ['handshake', milliseconds(tunnel.rttMs)],
    ['sent', `${bytes(tunnel.txBytes)} in ${tunnel.txFrames} frames`],
    ['received', `${bytes(tunnel.rxBytes)} in ${tunnel.rxFrames} frames`],
    ['dropped', drops.length === 0 ? '0' : `${dropsOf(tunnel)}: ${drops.join(', ')} (docs/drops.md)`],
  ];
}

/** Without those that are null. */
function lines(all: readonly Line[]): string {
  const known = all.filter(([, value]) => value !== null && value !== '');
  const width = Math.max(...known.map(([label]) => label.length));
  return known.map(([label, value]) => `${label.padEnd(width)}  ${printable(value ?? '')}`).join('\n');
}

/** Of a row without a page of its own. A host is named as people know it, and by its id. */
function fieldLine({ peers, self }: Status, field: string, value: unknown): Line {
  if (field !== 'peer') return [words(field), shown(value)];
  const host = [self, ...peers].find(({ id }) => id === value);
  return ['host', host === undefined ? shown(value) : `${host.nickname}  ${host.id}`];
}

/** `hostIfname` as `host ifname`. */
function words(field: string): string {
  return field.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

function shown(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  return Array.isArray(value) ? value.join(' ') : String(value);
}
