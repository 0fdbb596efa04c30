// A claim as the routes keep it: the record, and what each of its addresses is in the claim's network. That is worked out once,
// when the claim comes, because every change of its author's liveness and of what hosts own judges the claim again.

import { cidrHasIp, type IpAddress, parseIp } from '../base/address.ts';
import type { PeerId } from '../base/ids.ts';
import type { AttachmentRecord } from '../base/records.ts';
import type { RouteNetwork } from './routes.ts';

export interface RouteClaim {
  readonly author: PeerId;
  readonly record: AttachmentRecord;
  /** Each address of the record once; empty in a network that this host is not on. */
  readonly addresses: readonly ClaimAddress[];
  /** Those of them that are `free`. */
  readonly free: readonly string[];
}

export interface ClaimAddress {
  /** As the record has it. */
  readonly text: string;
  /** Null: it is no address. */
  readonly ip: IpAddress | null;
  /** `free`: outside the network's ranges, so that no lease says whose it is; `leased`: within them, or no address. */
  readonly kind: 'gateway' | 'link-local' | 'free' | 'leased';
}

export function routeClaim(author: PeerId, record: AttachmentRecord, network: RouteNetwork | undefined): RouteClaim {
  const texts = network === undefined ? [] : [...new Set(record.ips)];
  const addresses = texts.map((text) => claimAddress(network!, text));
  const free = addresses.filter(({ kind }) => kind === 'free').map(({ text }) => text);
  return { author, record, addresses, free };
}

/** What a bridge has learned is a guess beside what a host attached; then the later move counts. */
export function beats(one: RouteClaim, other: RouteClaim): boolean {
  const [learned, otherLearned] = [one.record.kind === 'foreign', other.record.kind === 'foreign'];
  if (learned !== otherLearned) return otherLearned;
  if (one.record.sequence !== other.record.sequence) return one.record.sequence > other.record.sequence;
  return one.author < other.author;
}

function claimAddress({ range, range6, gatewayIps }: RouteNetwork, text: string): ClaimAddress {
  const ip = parseIp(text);
  if (gatewayIps.includes(text)) return { text, ip, kind: 'gateway' };
  if (ip === null) return { text, ip, kind: 'leased' };
  if (ip.family === 6 && isLinkLocal(ip.value)) return { text, ip, kind: 'link-local' };
  const block = ip.family === 4 ? range : range6;
  return { text, ip, kind: block === null || !cidrHasIp(block, ip) ? 'free' : 'leased' };
}

function isLinkLocal(value: bigint): boolean {
  return value >> 118n === 0xfe80n >> 6n;
}
