// The books of a fabric pair: every frame that entered a datapath was delivered on the other host, or counted as dropped, there
// or here, by fabric (docs/drops.md) or by the kernel where a socket's buffer was full. What is left over vanished without a
// trace, and the run's figures with it.
//
//   on each host     framesIn + rxFrames = txFrames + framesOut + drops of frames
//   between them     txFrames = rxFrames + drops of datagrams + what full socket buffers cost
//
// The kernel counts a full buffer once for up to 128 datagrams that came as one (UDP GSO, GRO), so the last term has bounds.

import type { Status } from '../../src/daemon/status-types.ts';
import type { LabHost } from './host.ts';

/** Sums over both hosts since their start. */
export interface Balance {
  readonly framesIn: number;
  readonly framesOut: number;
  readonly txFrames: number;
  readonly rxFrames: number;
  readonly frameDrops: number;
  readonly datagramDrops: number;
  /** How often the kernel found no room in a socket's buffer. */
  readonly socketDrops: number;
}

export interface Difference {
  /** Frames that are nowhere; not 0 is a bug. */
  readonly unaccounted: number;
  /** Frames that full socket buffers cost. */
  readonly lostInSockets: number;
}

/** Reasons for frames that are lost before the datapath sees them, and so are not in `framesIn` either. */
const BEFORE_ENTERING: ReadonlySet<string> = new Set(['overload', 'capture-overrun']);
/** Reasons for what carries no frame of a container: handshakes, and the probes of plain VXLAN, whose frames the kernel counts. */
const NO_FRAMES = /^(handshake|vxlan)-/;
/** Reasons for datagrams of a session, which are no received frames yet (docs/drops.md). */
const OF_DATAGRAMS =
  /^(datagram-|session-unknown$|receive-failed$|authentication-failed$|replayed$|too-old$|inner-malformed$|kind-unsupported$|network-unknown$|hop-limit$|fragment-)/;
/** UDP_MAX_SEGMENTS of the kernel: what one UDP GSO send holds crosses a veth, and fills or misses a buffer, as one. */
export const DATAGRAMS_PER_DROP_MAX = 128;
const UDP_PORT = 6783;
/** The daemon hears the engine's counters every 100 ms. */
const REPORT_MS = 250;
const READINGS_MAX = 20;

/** Reads until nothing moves any more: frames under way are neither delivered nor dropped. */
export async function readBalance(hosts: readonly LabHost[]): Promise<Balance> {
  let last = await readOnce(hosts);
  for (let reading = 1; reading < READINGS_MAX; reading++) {
    await new Promise((resolve) => setTimeout(resolve, REPORT_MS));
    const next = await readOnce(hosts);
    if (JSON.stringify(next) === JSON.stringify(last)) return next;
    last = next;
  }
  return last;
}

/** What became of the frames between two readings. */
export function compareBalances(before: Balance, after: Balance): Difference {
  const moved = (key: keyof Balance) => after[key] - before[key];
  const onHosts = moved('framesIn') + moved('rxFrames') - moved('txFrames') - moved('framesOut') - moved('frameDrops');
  const between = moved('txFrames') - moved('rxFrames') - moved('datagramDrops');
  const lostInSockets = Math.min(Math.max(between, 0), moved('socketDrops') * DATAGRAMS_PER_DROP_MAX);
  return { unaccounted: onHosts === 0 ? between - lostInSockets : onHosts, lostInSockets };
}

async function readOnce(hosts: readonly LabHost[]): Promise<Balance> {
  const books = await Promise.all(
    hosts.map(async (host) => {
      const status = await host.status();
      return balanceOf(status, (await host.run(['cat', '/proc/net/udp', '/proc/net/udp6'])).stdout);
    }),
  );
  return books.reduce(add);
}

function add(one: Balance, other: Balance): Balance {
  const sums = Object.entries(one).map(([key, value]) => [key, value + other[key as keyof Balance]]);
  return Object.fromEntries(sums) as Balance;
}

/** Of one host; `sockets` is /proc/net/udp, with or without udp6. */
export function balanceOf({ datapath, tunnels }: Pick<Status, 'datapath' | 'tunnels'>, sockets: string): Balance {
  const drops = [datapath.drops, ...tunnels.map((tunnel) => tunnel.drops)]
    .flatMap((counts) => Object.entries(counts))
    .filter(([reason]) => !BEFORE_ENTERING.has(reason) && !NO_FRAMES.test(reason));
  const sum = (counts: readonly (readonly [string, number])[]) => counts.reduce((total, [, count]) => total + count, 0);
  return {
    framesIn: datapath.framesIn,
    framesOut: datapath.framesOut,
    txFrames: tunnels.reduce((total, { txFrames }) => total + txFrames, 0),
    rxFrames: tunnels.reduce((total, { rxFrames }) => total + rxFrames, 0),
    frameDrops: sum(drops.filter(([reason]) => !OF_DATAGRAMS.test(reason))),
    datagramDrops: sum(drops.filter(([reason]) => OF_DATAGRAMS.test(reason))),
    socketDrops: socketDropsOf(sockets),
  };
}

/** /proc/net/udp: `sl local_address …  drops`; the port is behind the colon, in hexadecimal. */
function socketDropsOf(sockets: string): number {
  const port = UDP_PORT.toString(16).toUpperCase().padStart(4, '0');
  return sockets
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[1]?.endsWith(`:${port}`))
    .reduce((sum, fields) => sum + Number(fields.at(-1)), 0);
}
