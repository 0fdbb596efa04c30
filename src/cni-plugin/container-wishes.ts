// What a runtime wishes for one container, from the three ways that have grown over time: CNI_ARGS, `args.cni` and
// `runtimeConfig` (CONVENTIONS.md of CNI). Addresses add up; of MACs the newest way counts, CNI_ARGS < args.cni.mac <
// runtimeConfig.mac. portMappings, bandwidth and cgroupPath belong to plugins chained behind us and are left alone.

import { addressBits, formatIp, parseInterfaceAddress, parseIp } from '../base/address.ts';
import { isMulticastMac, type Mac, parseMac } from '../base/ids.ts';
import type { AddressWishes, WantedRoute } from './backend.ts';
import { addressOf, type CniArgs } from './cni-args.ts';
import { CNI_CODE, CniError } from './cni-error.ts';
import { readRanges } from './ip-ranges.ts';
import type { JsonFields } from './json-fields.ts';
import type { NetworkConfig } from './network-config.ts';
import { readRoutes } from './routes.ts';

export interface Dns {
  readonly nameservers: readonly string[];
  readonly domain: string;
  readonly search: readonly string[];
  readonly options: readonly string[];
}

export interface ContainerWishes {
  /** `ips`: canonical text, with prefix length where it was given; without repeats. */
  readonly addresses: AddressWishes;
  readonly mac: Mac | null;
  /** For people and DNS; empty when nothing usable was given. */
  readonly name: string;
  /** Further names, for DNS. */
  readonly aliases: readonly string[];
  /** `ipam.routes` of the configuration. */
  readonly routes: readonly WantedRoute[];
  readonly defaultRoute: boolean;
  readonly dns: Dns;
}

/** Ours: more addresses on one interface than anyone wants, few enough for one netlink batch. */
const IPS_MAX = 32;
const NAME_MAX = 253;
/** Names beyond are left out: they must not keep a container from starting. */
const ALIASES_MAX = 32;

/** Throws CniError 7. With a foreign IPAM plugin, ranges are its own business. */
export function readWishes(config: NetworkConfig, args: CniArgs): ContainerWishes {
  const { fields, ipamPlugin } = config;
  const runtime = fields.object('runtimeConfig');
  const cniArgs = fields.object('args')?.object('cni') ?? null;
  const ipam = fields.object('ipam');
  const [name = '', ...aliases] = containerNames(args, runtime, config.name);
  return {
    addresses: {
      ips: wantedIps(args, cniArgs, runtime),
      ranges: ipamPlugin === null ? readRanges(ipam, runtime) : [],
    },
    mac: macOf(runtime) ?? macOf(cniArgs) ?? usableMac(args.mac, 'CNI_ARGS MAC'),
    name,
    aliases: aliases.slice(0, ALIASES_MAX),
    routes: ipam === null ? [] : readRoutes(ipam),
    defaultRoute: fields.boolean('defaultRoute') ?? true,
    dns: wantedDns(fields.object('dns'), runtime?.object('dns') ?? null),
  };
}

export function readDns(fields: JsonFields | null): Dns {
  return {
    nameservers: fields?.strings('nameservers') ?? [],
    domain: fields?.string('domain') ?? '',
    search: fields?.strings('search') ?? [],
    options: fields?.strings('options') ?? [],
  };
}

/** Canonical text of an address with or without prefix length; null when it is neither. */
export function canonicalAddress(text: string): string | null {
  const bare = parseIp(text);
  if (bare !== null) return formatIp(bare);
  const withPrefix = parseInterfaceAddress(text);
  return withPrefix === null ? null : `${formatIp(withPrefix.ip)}/${withPrefix.prefix}`;
}

function wantedIps(args: CniArgs, cniArgs: JsonFields | null, runtime: JsonFields | null): readonly string[] {
  const given = [
    ...(args.ip === null ? [] : [args.ip]),
    ...(cniArgs?.strings('ips') ?? []),
    ...(runtime?.strings('ips') ?? []),
  ];
  const wanted = new Map<string, string>();
  for (const text of given) {
    const canonical = canonicalAddress(text);
    const address = addressOf(text);
    if (canonical === null || address === null) {
      throw new CniError(CNI_CODE.config, `requested address is none: ${JSON.stringify(text)}`);
    }
    const key = formatIp(address);
    // Of one address with and without prefix length, the one with it says more; a host prefix says nothing.
    const plain = canonical === `${key}/${addressBits(address.family)}` ? key : canonical;
    if (!wanted.has(key) || plain.includes('/')) wanted.set(key, plain);
  }
  if (wanted.size > IPS_MAX) throw new CniError(CNI_CODE.config, `more than ${IPS_MAX} addresses requested`);
  return [...wanted.values()];
}

function macOf(fields: JsonFields | null): Mac | null {
  const text = fields?.string('mac') ?? '';
  if (text === '') return null;
  const mac = parseMac(text);
  const place = `${fields?.place ?? ''}.mac`;
  if (mac === null) throw new CniError(CNI_CODE.config, `${place} is no MAC address`, JSON.stringify(text));
  return usableMac(mac, place);
}

function usableMac(mac: Mac | null, place: string): Mac | null {
  if (mac === null || (!isMulticastMac(mac) && mac !== '00:00:00:00:00:00')) return mac;
  throw new CniError(CNI_CODE.config, `${place} is no address of one interface`, mac);
}

/**
 * The pod's name, the same with its namespace, then the aliases. What is no name is passed over: it must not keep a container
 * from starting.
 */
function containerNames(
  { podName, podNamespace }: CniArgs,
  runtime: JsonFields | null,
  network: string,
): readonly string[] {
  const usable = (name: string): boolean => name.length <= NAME_MAX && /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(name);
  const qualified = podName === '' || podNamespace === '' ? '' : `${podName}.${podNamespace}`;
  return [...new Set([podName, qualified, ...aliases(runtime, network)].filter(usable))];
}

/** CONVENTIONS.md has a list of names; podman sends `{network: [names]}`, by CNI network name. */
function aliases(runtime: JsonFields | null, network: string): readonly string[] {
  const value = runtime?.value('aliases');
  if (runtime === null || value === undefined) return [];
  if (Array.isArray(value)) return runtime.strings('aliases');
  return runtime.object('aliases')?.strings(network) ?? [];
}

/** runtimeConfig.dns (`servers`, `searches`) replaces the parts of `dns` that it gives. */
function wantedDns(config: JsonFields | null, runtime: JsonFields | null): Dns {
  const fixed = readDns(config);
  const either = (dynamic: readonly string[], otherwise: readonly string[]) =>
    dynamic.length > 0 ? dynamic : otherwise;
  return {
    nameservers: either(runtime?.strings('servers') ?? [], fixed.nameservers),
    domain: fixed.domain,
    search: either(runtime?.strings('searches') ?? [], fixed.search),
    options: either(runtime?.strings('options') ?? [], fixed.options),
  };
}
