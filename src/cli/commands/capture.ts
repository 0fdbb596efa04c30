// `fabric capture [PEER|CONTAINER] [filter…]`: decrypted frames of the overlay as pcapng, to a file or to standard output. What is
// captured where, the daemon's status says; the capture itself needs CAP_NET_RAW, runs in this process and ends with it.

import { closeSync, fstatSync, openSync } from 'node:fs';
import { FabricError } from '../../base/errors.ts';
import type { Status } from '../../daemon/status-types.ts';
import { type CaptureEnd, type CaptureResult, FrameCapture } from '../../host/capture/frame-capture.ts';
import { networkInterfaces } from '../../host/linux/names.ts';
import { Rtnetlink } from '../../host/netlink/rtnetlink.ts';
import { SystemClock } from '../../host/system-clock.ts';
import { captureTarget } from '../capture-target.ts';
import { DaemonClient } from '../client.ts';
import { usageError } from '../exit.ts';

interface Options {
  readonly runDir: string;
  readonly network?: string;
  readonly write?: string;
  readonly count: string;
  readonly bytes: string;
  readonly seconds: string;
  readonly snap: string;
}

const STDOUT = 1;

export async function capture(words: readonly string[], options: Options): Promise<void> {
  const status = await new DaemonClient(options.runDir).get<Status>('/v1/status');
  const target = captureTarget(words, status, options.network ?? null);
  const wish = {
    interfaces: target.hostIfname === null ? await overlayPorts(target.bridge) : [target.hostIfname],
    filter: target.filter,
    snapBytes: positive('--snap', options.snap),
    framesMax: positive('--count', options.count),
    bytesMax: positive('--bytes', options.bytes),
    durationMsMax: positive('--seconds', options.seconds) * 1000,
  };
  const file = options.write === undefined || options.write === '-' ? null : options.write;
  if (file === null) requireReader();
  let fd = STDOUT;
  const openStream = (): number => {
    if (file !== null) fd = create(file);
    return fd;
  };
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => stop.abort());
  const result = await new FrameCapture(wish, openStream, new SystemClock()).run(stop.signal, () => {
    process.stderr.write(`capturing ${target.description} on ${wish.interfaces.join(', ')}\n`);
  });
  if (fd !== STDOUT) closeSync(fd);
  process.stderr.write(`${summary(result)}\n`);
}

/** Of one network: the datapath's port, and those of plain VXLAN where there are any. */
async function overlayPorts(bridge: string): Promise<readonly string[]> {
  const { portNear, vxlan } = networkInterfaces(bridge);
  const netlink = Rtnetlink.open();
  try {
    const names = [vxlan[4].port, vxlan[6].port];
    const links = await Promise.all(names.map((name) => netlink.getLink(name)));
    return [portNear, ...names.filter((_, i) => links[i] !== null)];
  } finally {
    netlink.close();
  }
}

/** Of standard output. */
function requireReader(): void {
  if (process.stdout.isTTY) {
    throw usageError('a terminal can not show a capture', 'Pipe it (fabric capture | tcpdump -r -), or: --write FILE');
  }
  fstatSync(STDOUT); // closed: better said now
}

function create(file: string): number {
  try {
    return openSync(file, 'w', 0o600);
  } catch (error) {
    const why = (error as Error).message;
    throw new FabricError(
      'usage',
      { what: `${file} can't be written`, why, fix: 'Name another file' },
      { cause: error },
    );
  }
}

const ENDS: Readonly<Record<CaptureEnd, string>> = {
  stopped: 'stopped',
  frames: 'ended at --count',
  bytes: 'ended at --bytes',
  time: 'ended at --seconds',
  'reader-gone': 'ended: nobody reads it any more',
  'interface-gone': 'ended: the interface is gone',
};

function summary({ end, frames, bytes, dropped }: CaptureResult): string {
  return `${ENDS[end]}: ${frames} frames, ${bytes} bytes, ${dropped} dropped`;
}

function positive(flag: string, text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw usageError(`${flag} ${text} is not a positive number`);
}
