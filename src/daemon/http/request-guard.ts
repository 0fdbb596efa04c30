// Who may read from the HTTP port. A browser on this host would fetch from it for any page that asks, so a request has to name
// this host by an address in its Host header (a rebound DNS name is none: a name that an attacker controls never passes) and
// must not come from a page of another origin. Nothing can be changed here, so that only GET is answered.

import { formatIp, parseIp } from '../../base/address.ts';

export interface Asked {
  readonly method: string;
  readonly host: string | undefined;
  readonly origin: string | undefined;
  /** Fetch metadata, which browsers alone send (https://www.w3.org/TR/fetch-metadata/). */
  readonly site: string | undefined;
  readonly destination: string | undefined;
  /** The address of ours that the connection came to. */
  readonly localAddress: string;
}

export interface Refusal {
  readonly status: 403 | 405;
  /** Counted by it. */
  readonly reason: 'method' | 'host' | 'origin' | 'site';
  readonly why: string;
}

/** Null when it may be answered. */
export function refusalOf({ method, host, origin, site, destination, localAddress }: Asked): Refusal | null {
  if (method !== 'GET') return { status: 405, reason: 'method', why: 'this port is for reading: GET only' };
  if (host === undefined || !namesUs(host, localAddress)) {
    return { status: 403, reason: 'host', why: 'the Host header names another host: use an address of this one' };
  }
  if (origin !== undefined && origin !== `http://${host}`) {
    return { status: 403, reason: 'origin', why: 'pages of other origins may not read here' };
  }
  // A link that a person follows is no leak: the other page does not see what comes.
  const isForeign = site === 'cross-site' || site === 'same-site';
  if (isForeign && destination !== 'document') {
    return { status: 403, reason: 'site', why: 'pages of other sites may not read here' };
  }
  return null;
}

/** By that very address, or on loopback by any name of it; at any port, as behind `ssh -L`. */
function namesUs(host: string, localAddress: string): boolean {
  const name = /^(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::\d{1,5})?$/i.exec(host)?.[1];
  if (name === undefined) return false;
  const local = canonical(localAddress);
  const named = canonical(name.replace(/^\[(.*)\]$/, '$1'));
  if (named === null) return name.toLowerCase() === 'localhost' && isLoopback(local);
  return named === local || (isLoopback(named) && isLoopback(local));
}

/** Null for a name. IPv4 within IPv6, as a dual-stack socket says it, is IPv4. */
function canonical(text: string): string | null {
  const ip = parseIp(text.replace(/^::ffff:(?=\d+\.)/i, ''));
  return ip === null ? null : formatIp(ip);
}

function isLoopback(ip: string | null): boolean {
  return ip === '::1' || ip?.startsWith('127.') === true;
}
