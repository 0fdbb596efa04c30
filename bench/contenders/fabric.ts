// fabric between two hosts of the lab, containers attached by the CNI plugin. Each datapath is a contender of its own. The
// daemons run in the foreground under `node --trace-gc`, so that the run can count their garbage collections.

import { join } from 'node:path';
import type { Status } from '../../src/daemon/status-types.ts';
import { CHECKOUT } from '../../test/lab/checkout.ts';
import type { LabContainer } from '../../test/lab/container.ts';
import { eventually } from '../../test/lab/exec.ts';
import type { LabHost } from '../../test/lab/host.ts';
import type { Lab } from '../../test/lab/lab.ts';
import { DAEMON_PROCESS, ENGINE_PROCESS } from '../../test/lab/processes.ts';
import type { Contender } from '../contender.ts';
import type { TrafficName } from '../traffic.ts';

const READY_MAX_MS = 20_000;
/** A line of --trace-gc: `[7:0x5f] 412 ms: Scavenge 12.1 (15.2) -> …`; young and old generation. */
const COLLECTION = / ms: (Scavenge|Mark-Compact|Mark-sweep|Minor)/g;

export interface FabricOptions {
  /** Value of `--datapath`. */
  readonly datapath: string;
  readonly title: string;
  /** Key in the JSON; the datapath's name by default. */
  readonly name?: string;
  /** More flags of `fabric launch`. */
  readonly flags?: readonly string[];
  /** Processes that carry the traffic; daemon and engine by default. */
  readonly carriers?: readonly string[];
  /** All by default. */
  readonly metrics?: readonly TrafficName[];
  /** Resolves when traffic takes the way that is to be measured; by default it does from the start. */
  readonly ready?: (pair: Pair) => Promise<void>;
}

export interface Pair {
  readonly hosts: readonly LabHost[];
  readonly client: LabContainer;
  readonly server: LabContainer;
}

export function fabric(options: FabricOptions): Contender {
  const { datapath, title, name = datapath, flags = [], metrics } = options;
  return {
    name,
    title,
    ...(metrics === undefined ? {} : { metrics }),
    async open(lab) {
      const launchFlags = ['--datapath', datapath, ...flags];
      const first = await lab.host(`${name.slice(0, 6)}-a`);
      const second = await lab.host(`${name.slice(0, 6)}-b`);
      const ofFirst = await launch(lab, first, launchFlags);
      const join = ['--join', first.ip, '--token-file', '-'];
      const ofSecond = await launch(lab, second, [...launchFlags, ...join], await first.token());
      const server = await first.container('server');
      const client = await second.container('client');
      const hosts = [first, second];
      await options.ready?.({ hosts, client, server });
      return {
        client,
        server,
        serverIp: server.ip,
        hosts,
        daemons: hosts,
        carriers: options.carriers ?? [DAEMON_PROCESS, ENGINE_PROCESS],
        collections: () => ofFirst() + ofSecond(),
      };
    },
  };
}

/** Resolves when the daemon answers as a member; returns its count of garbage collections so far. */
async function launch(lab: Lab, host: LabHost, flags: readonly string[], token?: string): Promise<() => number> {
  const program = [process.execPath, '--trace-gc', join(CHECKOUT, 'bin/fabric'), 'launch', '--nickname', host.name];
  const command = [...host.enter(), 'env', '-u', 'NODE_OPTIONS', ...program, ...flags];
  const child = lab.spawn(command, { stdin: 'pipe' });
  let collections = 0;
  let last = '';
  child.stdout!.on('data', (chunk: Buffer) => {
    collections += chunk.toString('latin1').match(COLLECTION)?.length ?? 0;
  });
  child.stderr!.on('data', (chunk: Buffer) => {
    last = chunk.toString('utf8');
  });
  child.stdin!.end(token === undefined ? '' : `${token}\n`);
  await eventually(
    `${host.name} is a member`,
    async () => {
      if (child.exitCode !== null) throw new Error(`fabric launch on ${host.name} ended: ${last}`);
      const { status, stdout } = await host.fabric(['status', '--json'], { mayFail: true });
      if (status !== 0) return false;
      const { health, networks } = JSON.parse(stdout) as Status;
      return health.ok && networks.length > 0;
    },
    { timeoutMs: READY_MAX_MS },
  );
  return () => collections;
}
