// Who holds a port that we wanted: the kernel's tables name the socket's inode, /proc/PID/fd whose it is. For people; a process that
// this one can't see stays unnamed.

import { readdir, readFile, readlink } from 'node:fs/promises';
import { formatIp, ipFromBytes } from '../../base/address.ts';

const PROCESSES_MAX = 65_536;
const DESCRIPTORS_MAX = 4096;
const TCP_LISTEN = '0A';
/** Of one protocol and family: as many as people want to read of. */
const HOLDERS_MAX = 8;

type Protocol = 'TCP' | 'UDP';

/** `dnsmasq (process 123) on UDP 0.0.0.0:53`; null when no socket of `protocols` stands in the way any more. */
export async function describePortHolder(
  ip: string,
  port: number,
  protocols: readonly Protocol[] = ['UDP', 'TCP'],
): Promise<string | null> {
  const holders = await portHolders(port, (row, protocol) => {
    return protocols.includes(protocol) && standsInTheWay(row, ip, protocol);
  });
  return holders[0] === undefined ? null : describe(holders[0]);
}

/** Whatever holds that port on any address: by UDP, or listening by TCP. */
export async function allPortHolders(port: number): Promise<readonly PortHolding[]> {
  return portHolders(port, ({ state }, protocol) => protocol === 'UDP' || state === TCP_LISTEN);
}

export interface PortHolding {
  readonly protocol: Protocol;
  /** `ADDRESS:PORT`. */
  readonly socket: string;
  /** `dnsmasq (process 123)`. */
  readonly program: string;
}

function describe({ protocol, socket, program }: PortHolding): string {
  return `${program} on ${protocol} ${socket}`;
}

async function portHolders(
  port: number,
  accept: (row: PortRow, protocol: Protocol) => boolean,
): Promise<readonly PortHolding[]> {
  const holders: PortHolding[] = [];
  for (const [file, protocol] of [
    ['udp', 'UDP'],
    ['tcp', 'TCP'],
    ['udp6', 'UDP'],
    ['tcp6', 'TCP'],
  ] as const) {
    const table = await readFile(`/proc/net/${file}`, 'utf8').catch(absent);
    for (const row of portRows(table ?? '', port)
      .filter((each) => accept(each, protocol))
      .slice(0, HOLDERS_MAX)) {
      const address = row.ip.includes(':') ? `[${row.ip}]` : row.ip;
      holders.push({ protocol, socket: `${address}:${port}`, program: await nameOfHolder(row.inode) });
    }
  }
  return holders;
}

export interface PortRow {
  readonly ip: string;
  readonly state: string;
  readonly inode: string;
}

/** The rows of /proc/net/{udp,tcp}{,6} with that local port. */
export function portRows(table: string, port: number): readonly PortRow[] {
  const wanted = port.toString(16).toUpperCase().padStart(4, '0');
  return table.split('\n').flatMap((line) => {
    const fields = line.trim().split(/\s+/);
    const [address, localPort] = (fields[1] ?? '').split(':');
    if (address === undefined || localPort !== wanted || !/^(?:[0-9A-F]{8}|[0-9A-F]{32})$/.test(address)) return [];
    return [{ ip: ipOfKernel(address), state: fields[3] ?? '', inode: fields[9] ?? '' }];
  });
}

function standsInTheWay({ ip, state }: PortRow, wanted: string, protocol: Protocol): boolean {
  if (protocol === 'TCP' && state !== TCP_LISTEN) return false;
  return ip === wanted || ip === '::' || (ip === '0.0.0.0' && !wanted.includes(':'));
}

/** Words of four bytes, each in the machine's order: little-endian on all that Node runs on but s390x, where it reads wrong. */
function ipOfKernel(hex: string): string {
  const bytes = Buffer.from(hex, 'hex');
  return formatIp(ipFromBytes(bytes.swap32())!);
}

async function nameOfHolder(inode: string): Promise<string> {
  const target = `socket:[${inode}]`;
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).slice(0, PROCESSES_MAX);
  for (const pid of pids) {
    const descriptors = await readdir(`/proc/${pid}/fd`).catch(absent);
    for (const fd of (descriptors ?? []).slice(0, DESCRIPTORS_MAX)) {
      if ((await readlink(`/proc/${pid}/fd/${fd}`).catch(absent)) !== target) continue;
      const name = await readFile(`/proc/${pid}/comm`, 'utf8').catch(absent);
      return `${name?.trim() ?? 'a process'} (process ${pid})`;
    }
  }
  return 'a process that this one can not see';
}

/** Processes and their descriptors come and go while we look; anything else is a bug. */
function absent(error: NodeJS.ErrnoException): null {
  if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM', 'ENOTDIR', 'EINVAL'].includes(error.code ?? '')) return null;
  throw error;
}
