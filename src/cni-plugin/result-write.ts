// The success result of an ADD in the shape of each cniVersion. interfaces[0] is the bridge, then the host's veth, then the
// container's interface: portmap, bandwidth, firewall and tuning chained behind us need exactly this order. A prevResult
// is passed through: its elements come first and unchanged, ours follow with their indices shifted.

import { parseIp } from '../base/address.ts';
import type { AttachedAddress, Attachment, NameService, WantedRoute } from './backend.ts';
import type { Dns } from './container-wishes.ts';
import type { CniResult } from './result-read.ts';
import { formatRoute } from './routes.ts';
import { atLeast, type CniVersion } from './version.ts';

type Json = Readonly<Record<string, unknown>>;

export interface ResultParts {
  readonly version: CniVersion;
  readonly attachment: Attachment;
  /** CNI_NETNS as the runtime gave it. */
  readonly sandbox: string;
  /** What the configuration and the runtime say. */
  readonly dns: Dns;
  /** Our own name server, for what neither they nor a plugin before us say. */
  readonly names: NameService | null;
  readonly prevResult: CniResult | null;
}

/** The result as one line of JSON. */
export function formatResult(parts: ResultParts): string {
  const result = atLeast(parts.version, '0.3.0') ? listResult(parts) : familyResult(parts);
  return `${JSON.stringify(result)}\n`;
}

export interface IpamResultParts {
  readonly version: CniVersion;
  readonly addresses: readonly AttachedAddress[];
  readonly routes: readonly WantedRoute[];
  readonly dns: Dns;
}

/** The abbreviated result of an IPAM plugin: no interfaces, and no index of one (specification §Add Success). */
export function formatIpamResult({ version, addresses, routes, dns }: IpamResultParts): string {
  const listed = routes.map((route) => formatRoute(version, route));
  const result = atLeast(version, '0.3.0')
    ? {
        cniVersion: version,
        ips: addresses.map((address) => formatAddress(version, address)),
        routes: listed,
        dns: formatDns(dns, NO_DNS),
      }
    : byFamily({ version, addresses, routes, dns });
  return `${JSON.stringify(result)}\n`;
}

/** 0.3.0 and newer. */
function listResult({ version, attachment, sandbox, dns, names, prevResult }: ResultParts): Json {
  const before = prevResult?.interfaces ?? [];
  const containerIndex = before.length + 2;
  return {
    ...passedThrough(prevResult),
    cniVersion: version,
    interfaces: [...before.map(({ raw }) => raw), ...ourInterfaces(version, attachment, sandbox)],
    ips: [...(prevResult?.ips ?? []).map(({ raw }) => raw), ...ourIps(version, attachment, containerIndex)],
    routes: [...(prevResult?.routes ?? []).map(({ raw }) => raw), ...ourRoutes(version, attachment)],
    dns: formatDns(dns, withOurs(prevResult?.dns ?? NO_DNS, dns, names)),
  };
}

function ourInterfaces(version: CniVersion, { bridge, host, ifname, mac, mtu }: Attachment, sandbox: string): Json[] {
  const link = atLeast(version, '1.1.0') ? { mtu } : {};
  return [
    { name: bridge.name, mac: bridge.mac },
    { name: host.name, mac: host.mac, ...link },
    { name: ifname, mac, ...link, sandbox },
  ];
}

function ourIps(version: CniVersion, attachment: Attachment, containerIndex: number): Json[] {
  return attachment.addresses.map((address) => ({ interface: containerIndex, ...formatAddress(version, address) }));
}

function ourRoutes(version: CniVersion, { routes }: Attachment): readonly Json[] {
  return routes.map((route) => formatRoute(version, route));
}

function formatAddress(version: CniVersion, { address, gateway }: AttachedAddress): Json {
  return {
    ...(atLeast(version, '1.0.0') ? {} : { version: familyOf(address) === 4 ? '4' : '6' }),
    address,
    ...(gateway === null ? {} : { gateway }),
  };
}

function familyResult({ version, attachment, dns, names }: ResultParts): Json {
  const fallback = withOurs(NO_DNS, dns, names);
  return byFamily({ version, addresses: attachment.addresses, routes: attachment.routes, dns, fallback });
}

/** 0.1.0 and 0.2.0 know neither interfaces nor chains, and one address per family. */
function byFamily({
  version,
  addresses,
  routes,
  dns,
  fallback = NO_DNS,
}: IpamResultParts & { readonly fallback?: Dns }): Json {
  const family = (wanted: 4 | 6): Json | undefined => {
    const first = addresses.find(({ address }) => familyOf(address) === wanted);
    if (first === undefined) return undefined;
    const its = routes.filter(({ dst }) => familyOf(dst) === wanted).map((route) => formatRoute(version, route));
    const gateway = first.gateway === null ? {} : { gateway: first.gateway };
    return { ip: first.address, ...gateway, ...(its.length > 0 ? { routes: its } : {}) };
  };
  // JSON.stringify leaves out what is undefined.
  return { cniVersion: version, ip4: family(4), ip6: family(6), dns: formatDns(dns, fallback) };
}

/** Members of prevResult that are none of ours to write, under the names that they came with. */
function passedThrough(prevResult: CniResult | null): Json {
  const written = ['cniversion', 'interfaces', 'ips', 'routes', 'dns'];
  const members = Object.entries(prevResult?.fields.raw ?? {});
  return Object.fromEntries(members.filter(([key]) => !written.includes(key.toLowerCase())));
}

const NO_DNS: Dns = { nameservers: [], domain: '', search: [], options: [] };

/**
 * Our name server and domain stand where nobody else has named a server: with another server our domain would lead nowhere, and a
 * search list of somebody's own is left alone.
 */
function withOurs(previous: Dns, asked: Dns, names: NameService | null): Dns {
  if (names === null || previous.nameservers.length > 0 || asked.nameservers.length > 0) return previous;
  return {
    ...previous,
    nameservers: names.nameservers,
    search: previous.search.length > 0 ? previous.search : names.search,
  };
}

/** Empty members are left out; what `dns` does not say, `fallback` may. */
function formatDns(dns: Dns, fallback: Dns): Json {
  const pick = (key: 'nameservers' | 'search' | 'options') => {
    const values = dns[key].length > 0 ? dns[key] : fallback[key];
    return values.length > 0 ? { [key]: values } : {};
  };
  const domain = dns.domain !== '' ? dns.domain : fallback.domain;
  return { ...pick('nameservers'), ...(domain === '' ? {} : { domain }), ...pick('search'), ...pick('options') };
}

function familyOf(address: string): 4 | 6 | null {
  return parseIp(address.split('/')[0] ?? '')?.family ?? null;
}
