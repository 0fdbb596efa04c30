// Tries a path to another host: a TCP connection, and ICMP echoes of a full and of a small packet that no router may cut. Each try
// is bounded in time.

import { connect } from 'node:net';
import type { PathReading } from '../../doctor/readings.ts';
import { echo, errnoName } from '../native.ts';

/** What every IPv4 host takes whole (RFC 791 §3.1); IPv6 carries more. */
const SMALL_BYTES = 576;
const ECHO_MS = 500;
/** A lost packet is not yet a path that loses them. */
const LARGE_TRIES = 2;

/** Null when the other side accepted, else why not, in words. The connection is closed at once. */
export function tcpFault(ip: string, port: number, timeoutMs: number): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = connect({ host: ip, port });
    const end = (fault: string | null): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(fault);
    };
    const timer = setTimeout(() => end(`no answer from port ${port} within ${timeoutMs / 1000} s`), timeoutMs);
    socket.once('connect', () => end(null));
    socket.on('error', (error) => end(wordsOf(errnoName(error), port)));
  });
}

function wordsOf(errno: string | null, port: number): string {
  switch (errno) {
    case 'ECONNREFUSED':
      return `port ${port} refuses connections: nobody listens, or a firewall rejects them`;
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return 'there is no way to that address';
    default:
      return `the connection failed: ${errno ?? 'unknown'}`;
  }
}

/** How large packets the path carries, as ICMP says; `unknown` where nothing answers pings. */
export async function readPath(ip: string, triedBytes: number): Promise<PathReading> {
  const none: PathReading = { rttMs: null, triedBytes, verdict: 'unknown', mtu: null };
  for (let i = 0; i < LARGE_TRIES; i++) {
    const large = await echo(ip, triedBytes, ECHO_MS);
    if (large.outcome === 'reply') return { ...none, rttMs: large.rttMs, verdict: 'passes' };
    if (large.outcome === 'too-big') return { ...none, verdict: 'too-big', mtu: large.mtu };
    if (large.outcome === 'unreachable') return none;
  }
  const small = await echo(ip, SMALL_BYTES, ECHO_MS);
  return small.outcome === 'reply' ? { ...none, rttMs: small.rttMs, verdict: 'lost' } : none;
}
