// What our own zones say to a question: names under the domain, and reverse names of the network's addresses. Authoritative:
// NXDOMAIN when nothing is there, NODATA when only another type is, each with the SOA that says how long to believe it
// (RFC 2308 §2, RFC 8020). Null: not ours to answer.

import { type Cidr, cidrHasIp, formatIp, type IpAddress } from '../base/address.ts';
import type { Vni } from '../base/ids.ts';
import { isWithin, parseReverseName, reverseZone } from './domain-names.ts';
import type { Query } from './query.ts';
import type { Answer, OwnRecord, SoaRecord } from './response.ts';
import { RCODE, TYPE } from './wire.ts';
import type { Zone } from './zone.ts';

/** Names go with their containers: nobody may hold on to one, nor to its absence, for longer than this. */
export const RECORD_TTL_S = 1;
/** Of the SOA, for secondaries; there are none. */
const SOA_TIMES = { refresh: 3600, retry: 600, expire: 86_400 } as const;

/** A network whose names are served, to those on it. */
export interface ServedNetwork {
  readonly id: Vni;
  readonly zone: Zone;
  readonly range: Cidr;
  readonly range6: Cidr | null;
  /** Where the server is asked; canonical text. They are the addresses of the domain itself. None in an internal network. */
  readonly servers: readonly string[];
}

/**
 * What `network` says; where that has no such name, what the other networks say that the asker is in. Those are looked up only then.
 */
export function answerFromAll(
  network: ServedNetwork,
  others: () => readonly ServedNetwork[],
  query: Pick<Query, 'name' | 'type'>,
): Answer | null {
  const own = answerFromZones(network, query);
  if (own !== null && own.rcode !== RCODE.nxDomain) return own;
  const elsewhere = others().map((other) => answerFromZones(other, query));
  return (
    elsewhere.find((answer) => answer?.rcode === RCODE.noError) ??
    own ??
    elsewhere.find((answer) => answer !== null) ??
    null
  );
}

export function answerFromZones(network: ServedNetwork, { name, type }: Pick<Query, 'name' | 'type'>): Answer | null {
  const { domain } = network.zone;
  if (name === domain) return apexAnswer(network, type);
  if (isWithin(name, domain)) return nameAnswer(network, name.slice(0, -domain.length - 1), type);
  return reverseAnswer(network, name, type);
}

function apexAnswer(network: ServedNetwork, type: number): Answer {
  const { domain } = network.zone;
  const soa = soaOf(network, domain);
  const records = network.servers.flatMap((ip) => addressRecord(ip, type));
  if (type === TYPE.NS || type === TYPE.ANY) records.push({ type: 'NS', ttlS: RECORD_TTL_S, data: domain });
  const soaAsked = type === TYPE.SOA || type === TYPE.ANY;
  return {
    ...positive(records, soaAsked ? soa : null),
    ...(soaAsked ? { soaAsked } : records.length === 0 ? { soa } : {}),
  };
}

function nameAnswer(network: ServedNetwork, name: string, type: number): Answer {
  const { zone } = network;
  const families = ([4, 6] as const).filter((family) => isAskedFor(family, type));
  const records = families.flatMap((family) => zone.addresses(name, family)).flatMap((ip) => addressRecord(ip, type));
  if (records.length > 0) return positive(records, null);
  return negative(zone.exists(name) ? RCODE.noError : RCODE.nxDomain, soaOf(network, zone.domain));
}

function reverseAnswer(network: ServedNetwork, name: string, type: number): Answer | null {
  const { zone, servers } = network;
  const reverse = parseReverseName(name);
  if (reverse === null) return null;
  const text = formatIp(reverse.ip);
  const block = blockAround(network, reverse.ip);
  const known = servers.includes(text) ? [zone.domain] : zone.namesOf(text).map((each) => `${each}.${zone.domain}`);
  // An address from elsewhere is ours to name only while a container here has it.
  if (block === null && (known.length === 0 || !reverse.whole)) return null;
  const cut = reverseZone(
    reverse.ip,
    block ?? { family: reverse.ip.family, base: 0n, prefix: reverse.ip.family === 4 ? 32 : 128 },
  );
  if (!isWithin(name, cut)) return null;
  const soa = soaOf(network, cut);
  if (name === cut && type === TYPE.SOA) return { ...positive([], soa), soaAsked: true };
  if (!reverse.whole) return negative(RCODE.noError, soa);
  if (known.length === 0) return negative(RCODE.nxDomain, soa);
  if (type !== TYPE.PTR && type !== TYPE.ANY) return negative(RCODE.noError, soa);
  return positive(
    known.map((data) => ({ type: 'PTR', ttlS: RECORD_TTL_S, data })),
    null,
  );
}

function blockAround({ range, range6 }: ServedNetwork, ip: IpAddress): Cidr | null {
  const block = ip.family === 4 ? range : range6;
  return block !== null && cidrHasIp(block, ip) ? block : null;
}

function isAskedFor(family: 4 | 6, type: number): boolean {
  return type === TYPE.ANY || type === (family === 4 ? TYPE.A : TYPE.AAAA);
}

function addressRecord(ip: string, type: number): OwnRecord[] {
  const family = ip.includes(':') ? 6 : 4;
  return isAskedFor(family, type) ? [{ type: family === 4 ? 'A' : 'AAAA', ttlS: RECORD_TTL_S, data: ip }] : [];
}

function positive(records: readonly OwnRecord[], soa: SoaRecord | null): Answer {
  return { rcode: RCODE.noError, authoritative: true, records, soa };
}

function negative(rcode: number, soa: SoaRecord): Answer {
  return { rcode, authoritative: true, records: [], soa };
}

function soaOf({ zone }: ServedNetwork, cut: string): SoaRecord {
  const serial = zone.serial % 0x1_0000_0000;
  const data = { mname: zone.domain, rname: `hostmaster.${zone.domain}`, serial, ...SOA_TIMES, minimum: RECORD_TTL_S };
  return { zone: cut, ttlS: RECORD_TTL_S, data };
}
