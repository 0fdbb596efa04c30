// Would a chain at the input hook let a port through? A rough reading of what `nft -j list table` prints: any accepting rule of the
// table that may match counts, also what this reading does not understand, so that only clear cases are told. Pure.

import { isObject, type NftListing } from '../linux/nft.ts';

type Statement = Readonly<Record<string, unknown>>;

/** False when no rule in the listing could accept a new packet for that port from another host. */
export function mayAccept(listing: NftListing, protocol: 'tcp' | 'udp', port: number): boolean {
  return listing.some(({ rule }) => {
    const statements = isObject(rule) && Array.isArray(rule.expr) ? rule.expr.filter(isObject) : [];
    return accepts(statements) && statements.every((statement) => mayMatch(statement, protocol, port));
  });
}

function accepts(statements: readonly Statement[]): boolean {
  return statements.some(
    (statement) => 'accept' in statement || (isObject(statement.vmap) && mapAccepts(statement.vmap)),
  );
}

/** A verdict map on the connection's state that accepts new packets, or one on anything else. */
function mapAccepts({ key, data }: Statement): boolean {
  const text = JSON.stringify(data ?? null);
  if (!text.includes('"accept"')) return false;
  return !isConntrackState(key) || /"new",\{"accept"/.test(text);
}

function mayMatch(statement: Statement, protocol: 'tcp' | 'udp', port: number): boolean {
  const { match } = statement;
  if (!isObject(match) || match.op === '!=') return true;
  const { left, right } = match;
  if (isConntrackState(left)) return includes(right, (value) => value === 'new');
  if (!isObject(left)) return true;
  if (isObject(left.meta)) {
    const { key } = left.meta;
    if (key === 'iifname' || key === 'iif') return !includes(right, (value) => value === 'lo');
    if (key === 'l4proto') return includes(right, (value) => value === protocol);
  }
  if (isObject(left.payload)) {
    const { protocol: header, field } = left.payload;
    if (field === 'dport')
      return (header === protocol || header === 'th') && includes(right, (value) => value === port);
    if (header === 'icmp' || header === 'icmpv6' || header === 'tcp' || header === 'udp') return header === protocol;
    if (field === 'protocol' || field === 'nexthdr') return includes(right, (value) => value === protocol);
  }
  return true;
}

function isConntrackState(key: unknown): boolean {
  return isObject(key) && isObject(key.ct) && key.ct.key === 'state';
}

/** A value, a list, a set, or a range of numbers; a named set may hold anything. */
function includes(right: unknown, accept: (value: unknown) => boolean): boolean {
  if (Array.isArray(right)) return right.some((value) => includes(value, accept));
  if (isObject(right)) {
    if (Array.isArray(right.set)) return includes(right.set, accept);
    const [first, last] = Array.isArray(right.range) ? right.range : [];
    if (typeof first !== 'number' || typeof last !== 'number') return true;
    for (let value = first; value <= last; value++) if (accept(value)) return true;
    return false;
  }
  return accept(right) || (typeof right === 'string' && right.startsWith('@'));
}
