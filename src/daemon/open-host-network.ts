// Makes the kernel side of this host; what it must remember over restarts lies in the state directory.

import { join } from 'node:path';
import type { Log } from '../base/capabilities.ts';
import { LinuxHostNetwork } from '../host/linux/linux-host-network.ts';

const QUIET: Log = { debug() {}, info() {}, warn() {}, error() {} };

export async function openHostNetwork(stateDir: string, log: Log = QUIET): Promise<LinuxHostNetwork> {
  return new LinuxHostNetwork({ log, statePath: join(stateDir, 'host-network.json') });
}
