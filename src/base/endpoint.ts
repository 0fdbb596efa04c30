// A UDP or TCP endpoint of the underlay: an address and a port, as text `192.0.2.1:6783` or `[2001:db8::1]:6783`.

import { formatIp, type IpAddress, parseIp } from './address.ts';

export interface Endpoint {
  /** Canonical text (RFC 5952), so that equal endpoints have equal strings. */
  readonly ip: string;
  readonly port: number;
}

export const MESH_PORT_DEFAULT = 6783;

/** IPv4-mapped IPv6 becomes IPv4, because dual-stack sockets report it so. Null on anything that is no address. */
export function makeEndpoint(address: string, port: number): Endpoint | null {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  const ip: IpAddress | null = parseIp(mapped?.[1] ?? address);
  if (ip === null || !Number.isInteger(port) || port < 1 || port > 65535) return null;
  return { ip: formatIp(ip), port };
}

export function formatEndpoint(endpoint: Endpoint): string {
  return endpoint.ip.includes(':') ? `[${endpoint.ip}]:${endpoint.port}` : `${endpoint.ip}:${endpoint.port}`;
}

export function equalEndpoints(a: Endpoint, b: Endpoint): boolean {
  return a.port === b.port && a.ip === b.ip;
}

/**
 * `HOST`, `HOST:PORT`, `[V6]`, `[V6]:PORT` or a bare IPv6 address; HOST may be a name. Null when malformed.
 * The result is not an {@link Endpoint} yet: the host may need resolving.
 */
export function parseHostPort(text: string, portDefault = MESH_PORT_DEFAULT): { host: string; port: number } | null {
  const match = /^\[([^\]]+)\](?::(\d{1,5}))?$/.exec(text) ?? /^([^:]+)(?::(\d{1,5}))?$/.exec(text);
  if (match === null) return parseIp(text)?.family === 6 ? { host: text, port: portDefault } : null;
  const host = match[1]!;
  const port = match[2] === undefined ? portDefault : Number(match[2]);
  if (port < 1 || port > 65535 || !/^[A-Za-z0-9._:-]+$/.test(host)) return null;
  return { host, port };
}
