// Makes persistent TAPs: netlink can't, the ioctl can, and iproute2 speaks it. Once per start of a datapath, never per container.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { FabricError } from '../../base/errors.ts';

const TIMEOUT_MS = 10_000;

/** With a virtio-net header, which who attaches may still do without. Rejects with `kernel-feature-missing`. */
export async function createTap(name: string): Promise<void> {
  try {
    await promisify(execFile)('ip', ['tuntap', 'add', 'dev', name, 'mode', 'tap', 'vnet_hdr'], { timeout: TIMEOUT_MS });
  } catch (error) {
    const hasNoProgram = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw new FabricError(
      'kernel-feature-missing',
      {
        what: `can't make the interface ${name} of kind tap`,
        why: hasNoProgram
          ? 'the program ip is not there'
          : error instanceof Error
            ? error.message.trim()
            : String(error),
        fix: hasNoProgram ? 'Install iproute2' : 'Load the module: modprobe tun, or launch with --datapath pcap',
      },
      { cause: error },
    );
  }
}
