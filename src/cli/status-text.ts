// `fabric status` for people: healthy or not first, then what is wrong and what to do, then the counts; and one table per
// section.

import type { Status, StatusSection } from '../daemon/status-types.ts';
import { LEASE_HEADER, leaseCells, leaseSummary } from './lease-table.ts';
import { bytes, duration, printable, table } from './table.ts';

export function overview(status: Status): string {
  const lines: string[] = [];
  const { health, self, datapath } = status;
  lines.push(health.ok ? 'healthy' : `NOT HEALTHY: ${plural(health.problems.length, 'problem')}`);
  for (const problem of health.problems) {
    lines.push(
      '',
      `  ${printable(problem.what)}`,
      `    why: ${printable(problem.why)}`,
      `    do:  ${printable(problem.fix)}`,
    );
  }
  lines.push(
    '',
    `host      ${printable(self.nickname)}  ${self.id}  fabric ${self.version}, up ${duration(self.uptimeMs)}`,
    `cluster   ${self.clusterId ?? 'not joined yet'}`,
    `datapath  ${datapath.name}, encryption ${datapath.encryption}, overlay MTU ${datapath.mtu ?? 'unknown'}`,
    ...(datapath.lacks.length === 0 ? [] : [`          without ${datapath.lacks.map(printable).join(', ')}`]),
    ...(datapath.reason === null ? [] : [`          because ${printable(datapath.reason)}`]),
  );
  for (const network of status.networks) {
    const ranges = [network.range, network.range6].filter((range) => range !== null).join(' and ');
    lines.push(`network   ${network.name}  ${ranges}, gateway ${network.gateway}, bridge ${network.bridge}`);
  }
  lines.push('', ...counts(status));
  return lines.join('\n');
}

function counts(status: Status): string[] {
  const tally = (states: readonly string[]) => {
    const by = new Map<string, number>();
    for (const state of states) by.set(state, (by.get(state) ?? 0) + 1);
    return [...by].map(([state, count]) => `${count} ${state}`).join(', ') || 'none';
  };
  const local = status.routes.filter((route) => route.local).length;
  return [
    `peers        ${tally(status.peers.map((peer) => peer.state))}`,
    `tunnels      ${tally(status.tunnels.map((tunnel) => tunnel.state))}`,
    `routes       ${status.routes.length} (${local} local)`,
    `leases       ${leaseSummary(status.leases.filter((lease) => lease.peer === status.self.id))}`,
    `attachments  ${status.attachments.length}`,
    `names        ${namesSummary(status)}`,
    ...unreachableTargets(status),
  ];
}

function namesSummary({ dns, nameServer }: Status): string {
  const known = new Set(dns.map(({ name }) => name)).size;
  if (nameServer.state === 'serving')
    return `${known} under ${nameServer.domain}, served on ${nameServer.addresses[0]}`;
  return `${known} under ${nameServer.domain}, not served: ${printable(nameServer.reason ?? nameServer.state)}`;
}

/** Before this host has joined its cluster they are the problem itself, which stands above. */
function unreachableTargets({ self, targets }: Status): string[] {
  if (self.clusterId === null) return [];
  return targets.flatMap(({ error }) => (error === null ? [] : [`dialling     ${printable(error)}`]));
}

export function sectionText(status: Status, section: StatusSection): string {
  const nicknames = new Map([...status.peers, status.self].map(({ id, nickname }) => [id, nickname]));
  const nameOf = (id: string) => nicknames.get(id) ?? id;
  switch (section) {
    case 'peers':
      return table(
        ['NICKNAME', 'STATE', 'ENDPOINT', 'LAST SEEN', 'ID'],
        status.peers.map((peer) => [peer.nickname, peer.state, peer.endpoint ?? '-', age(peer.lastSeenMs), peer.id]),
      );
    case 'tunnels':
      return table(
        ['PEER', 'STATE', 'ENDPOINT', 'DATAPATH', 'CIPHER', 'PATH MTU', 'RTT', 'SENT', 'RECEIVED', 'DROPS', 'REASON'],
        status.tunnels.map((tunnel) => [
          tunnel.nickname,
          tunnel.state,
          tunnel.endpoint ?? '-',
          tunnel.datapath,
          tunnel.cipher ?? '-',
          String(tunnel.mtu ?? '-'),
          tunnel.rttMs === null ? '-' : `${tunnel.rttMs.toFixed(1)} ms`,
          bytes(tunnel.txBytes),
          bytes(tunnel.rxBytes),
          String(Object.values(tunnel.drops).reduce((total, count) => total + count, 0)),
          tunnel.reason ?? '',
        ]),
      );
    case 'routes':
      return table(
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
      );
    case 'leases':
      return table(
        LEASE_HEADER,
        leaseCells(status.leases, (peer) => (peer === status.self.id ? 'this host' : nameOf(peer))),
      );
    case 'attachments':
      return table(
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
      );
    case 'dns':
      return table(
        ['NAME', 'ADDRESSES', 'HOST', 'NETWORK'],
        status.dns.map((row) => [row.name, row.ips.join(' '), nameOf(row.peer), row.network]),
      );
  }
}

function age(ms: number | null): string {
  if (ms === null) return 'never';
  return ms < 1000 ? 'now' : `${duration(ms)} ago`;
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
