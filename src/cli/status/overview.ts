// The one screen of `fabric status`, for somebody who is tired: healthy or not first, then what is wrong and what to do, then which
// host this is and what it sees, and at last every tunnel that could be better, with the reason.

import type { CertificateFacts, Problem, Status, TokenFacts, TunnelRow } from '../../daemon/status-types.ts';
import { leaseSummary } from '../lease-table.ts';
import { bitRate, duration, printable } from '../table.ts';
import type { Rates } from './rates.ts';

/** Tunnels that are named; the rest are counted. */
const NAMED_MAX = 5;

/** `rates`: null when nobody watches. */
export function overview(status: Status, rates: Rates | null = null): string {
  const { health } = status;
  return [
    verdict(status),
    ...health.problems.flatMap((problem) => explained(problem)),
    ...health.notices.flatMap((notice) => explained(notice)),
    '',
    ...facts(status),
    '',
    ...counts(status),
    ...(rates === null ? [] : [traffic(rates)]),
    ...notBest(status),
  ].join('\n');
}

function verdict({ health: { ok, problems, notices } }: Status): string {
  const noted = notices.length === 0 ? '' : `, ${plural(notices.length, 'thing')} to know`;
  return ok ? `healthy${noted}` : `NOT HEALTHY: ${plural(problems.length, 'problem')}${noted}`;
}

function explained({ what, why, fix }: Problem): readonly string[] {
  return ['', `  ${printable(what)}`, `    why: ${printable(why)}`, `    do:  ${printable(fix)}`];
}

function facts({ self, token, certificate, datapath, networks, http }: Status): readonly string[] {
  const web = http.state === 'failed' ? `not served: ${printable(http.reason ?? '')}` : (http.address ?? 'off');
  return [
    `host      ${printable(self.nickname)}  ${self.id}  fabric ${self.version}, up ${duration(self.uptimeMs)}`,
    `cluster   ${self.clusterId ?? 'not joined yet'}`,
    ...(self.clusterId === null
      ? []
      : [`address   ${self.addresses.join(' and ') || 'none on the overlay: see fabric expose'}`]),
    ...(token === null ? [] : [tokenLine(token)]),
    ...(certificate === null ? [] : [certificateLine(certificate)]),
    `datapath  ${datapath.name}, encryption ${datapath.encryption}, overlay MTU ${datapath.mtu ?? 'unknown'}`,
    ...(datapath.lacks.length === 0 ? [] : [`          without ${datapath.lacks.map(printable).join(', ')}`]),
    ...(datapath.reason === null ? [] : [`          because ${printable(datapath.reason)}`]),
    ...networks.map((network) => {
      const ranges = [network.range, network.range6].filter((range) => range !== null).join(' and ');
      const way = network.gateway === null ? 'internal' : `gateway ${network.gateway}`;
      const place = network.up ? `bridge ${network.bridge}` : 'nothing of it here';
      return `network   ${printable(network.name)}  ${ranges}, ${way}, ${place}`;
    }),
    `http      ${web}`,
  ];
}

function tokenLine({ generation, graceEndsAt }: TokenFacts): string {
  const grace = graceEndsAt === null ? '' : `; the one before lets in new hosts until ${graceEndsAt}`;
  return `token     generation ${generation}${grace}`;
}

function certificateLine({ name, expiresAt, demanded }: CertificateFacts): string {
  const own = name === null ? 'none that can be shown' : `${printable(name)}, until ${expiresAt}`;
  return `certificate  ${own}${demanded ? '' : '; none is demanded of others'}`;
}

function counts(status: Status): readonly string[] {
  const local = status.routes.filter((route) => route.local).length;
  return [
    `peers        ${tally(status.peers)}`,
    `tunnels      ${tally(status.tunnels)}`,
    `routes       ${status.routes.length} (${local} local)`,
    `leases       ${leaseSummary(status.leases.filter((lease) => lease.peer === status.self.id))}`,
    `attachments  ${status.attachments.length}`,
    `names        ${namesSummary(status)}`,
    ...unreachableTargets(status),
  ];
}

function tally(rows: readonly { readonly state: string }[]): string {
  const by = new Map<string, number>();
  for (const { state } of rows) by.set(state, (by.get(state) ?? 0) + 1);
  return [...by].map(([state, count]) => `${count} ${state}`).join(', ') || 'none';
}

function namesSummary({ dns, nameServer }: Status): string {
  const known = new Set(dns.map(({ name, network }) => `${network} ${name}`)).size;
  if (nameServer.state === 'serving') {
    const servers = nameServer.addresses.filter((ip) => !ip.includes(':'));
    return `${known} under ${nameServer.domain}, served on ${servers.join(' and ')}`;
  }
  return `${known} under ${nameServer.domain}, not served: ${printable(nameServer.reason ?? nameServer.state)}`;
}

/** Before this host has joined its cluster they are the problem itself, which stands above. */
function unreachableTargets({ self, targets }: Status): readonly string[] {
  if (self.clusterId === null) return [];
  return targets.flatMap(({ error }) => (error === null ? [] : [`dialling     ${printable(error)}`]));
}

function traffic({ total }: Rates): string {
  const { txBytes, rxBytes, txFrames, rxFrames, drops } = total;
  const frames = `${Math.round(txFrames + rxFrames)} frames/s`;
  return `traffic      ${bitRate(txBytes)} out, ${bitRate(rxBytes)} in, ${frames}, ${Math.round(drops)} drops/s`;
}

/** Of hosts that live: those that do not are named above. */
function notBest({ tunnels, peers }: Status): readonly string[] {
  const alive = new Set(peers.filter(({ state }) => state === 'alive').map(({ id }) => id));
  const worse = tunnels.filter(({ peer, reason }) => alive.has(peer) && reason !== null);
  if (worse.length === 0) return [];
  const named = worse.slice(0, NAMED_MAX);
  const width = Math.max(...named.map(({ nickname }) => printable(nickname).length));
  const line = ({ nickname, reason }: TunnelRow): string => {
    return `  ${printable(nickname).padEnd(width)}  ${printable(reason ?? '')}`;
  };
  const more = worse.length - named.length;
  return [
    '',
    'not on their best path',
    ...named.map(line),
    ...(more > 0 ? [`  and ${more} more: fabric status tunnels`] : []),
  ];
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
