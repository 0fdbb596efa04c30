// The part of `fabric launch` that is about names: --dns, --no-dns, --dns-domain, --dns-upstream, --dns-order; checked, and
// merged with what this host remembers. Null means "not given".

import { type Endpoint, makeEndpoint, parseHostPort } from '../base/endpoint.ts';
import { FabricError } from '../base/errors.ts';
import { parseDomainName } from '../dns/domain-names.ts';

export const DOMAIN_DEFAULT = 'fabric.internal';
const NAME_PORT = 53;
const UPSTREAMS_MAX = 8;
/** Names of containers need room in front of it. */
const DOMAIN_CHARS_MAX = 100;

/** How the addresses of one name are sorted: each in turn first, or those that are near first. */
export type NameOrder = 'rotate' | 'nearest';
const ORDERS: readonly NameOrder[] = ['rotate', 'nearest'];

export interface DnsSettings {
  readonly enabled: boolean;
  /** Lower case, without a trailing dot. Names in gossip are relative, so hosts may differ; they had better not. */
  readonly domain: string;
  /** Who is asked what is not ours; null: the host's own name servers. */
  readonly upstreams: readonly Endpoint[] | null;
  readonly order: NameOrder;
}

export interface DnsOptions {
  readonly enabled: boolean | null;
  readonly domain: string | null;
  /** `host`: back to the host's own. */
  readonly upstreams: readonly Endpoint[] | 'host' | null;
  readonly order: NameOrder | null;
}

export interface DnsFlags {
  readonly dns?: boolean;
  readonly dnsDomain?: string;
  readonly dnsUpstream?: readonly string[];
  readonly dnsOrder?: string;
}

/** Throws FabricError `usage`. */
export function checkDnsFlags({ dns, dnsDomain, dnsUpstream = [], dnsOrder }: DnsFlags): DnsOptions {
  return {
    enabled: dns ?? null,
    domain: dnsDomain === undefined ? null : checkDomain(dnsDomain),
    upstreams: dnsUpstream.length === 0 ? null : checkUpstreams(dnsUpstream),
    order: dnsOrder === undefined ? null : checkOrder(dnsOrder),
  };
}

export function mergeDnsSettings(options: DnsOptions, remembered: DnsSettings | undefined): DnsSettings {
  const { upstreams } = options;
  return {
    enabled: options.enabled ?? remembered?.enabled ?? true,
    domain: options.domain ?? remembered?.domain ?? DOMAIN_DEFAULT,
    upstreams: upstreams === 'host' ? null : (upstreams ?? remembered?.upstreams ?? null),
    order: options.order ?? remembered?.order ?? 'rotate',
  };
}

function checkDomain(text: string): string {
  const domain = parseDomainName(text);
  if (domain !== null && domain.length <= DOMAIN_CHARS_MAX && !domain.endsWith('.arpa')) return domain;
  throw new FabricError('usage', {
    what: `--dns-domain ${JSON.stringify(text)} can't be the domain of containers`,
    fix: `Give a name of at most ${DOMAIN_CHARS_MAX} characters that is nobody else's, such as ${DOMAIN_DEFAULT}`,
  });
}

function checkUpstreams(texts: readonly string[]): readonly Endpoint[] | 'host' {
  if (texts.length === 1 && texts[0] === 'host') return 'host';
  if (texts.length > UPSTREAMS_MAX) {
    throw new FabricError('usage', { what: `--dns-upstream is given more than ${UPSTREAMS_MAX} times` });
  }
  return texts.map((text) => {
    const target = parseHostPort(text, NAME_PORT);
    const server = target === null ? null : makeEndpoint(target.host, target.port);
    if (server !== null) return server;
    throw new FabricError('usage', {
      what: `--dns-upstream ${text} is no address of a name server`,
      fix: "Give an address, ADDRESS:PORT or [IPV6]:PORT, or 'host' alone for the host's own name servers",
    });
  });
}

function checkOrder(text: string): NameOrder {
  const order = ORDERS.find((known) => known === text);
  if (order !== undefined) return order;
  throw new FabricError('usage', { what: `--dns-order ${text} is unknown`, fix: `Use ${ORDERS.join(' or ')}` });
}
