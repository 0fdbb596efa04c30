// A lab host on which systemd is process 1: namespaces of processes, mounts and control groups of its own around a systemd that knows
// the given units and nothing else. No generator, no unit of the distribution, no udev, sysctl or tmpfiles of a boot: whatever it
// does, it does to services of the test. It ends with its process 1.

import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually, type Result } from './exec.ts';
import { LabHost } from './host.ts';
import type { Lab } from './lab.ts';

/** Why a test that needs systemd is skipped, or false. */
export const NO_SYSTEMD = existsSync('/usr/lib/systemd/systemd')
  ? false
  : 'systemd is not installed: FABRIC_SETUP=full npm run setup';

/** Behind it stands the process that holds the host's namespaces. */
const GROUP_PREFIX = 'fabric-lab-';
/** Within the host. */
const UNITS = '/run/units';
/** What services wait for in vain without them. */
const TARGETS = ['basic', 'multi-user', 'network-online', 'shutdown', 'sysinit'];
/** The shell moves itself to the control group before the namespace of groups is made, whose root that is then. */
const ENTER = 'echo $$ > "$0/cgroup.procs"; exec "$@"';
const BOOT = `
umount -l /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t proc proc /proc
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=fabric-lab SYSTEMD_UNIT_PATH=${UNITS} \
  SYSTEMD_GENERATOR_PATH=/nowhere SYSTEMD_ENVIRONMENT_GENERATOR_PATH=/nowhere \
  /usr/lib/systemd/systemd --system --unit=multi-user.target --log-target=console --log-level=warning \
  --default-standard-output=null
`;

export class SystemdHost {
  /** The same host, entered by its systemd. */
  readonly host: LabHost;
  readonly #group: string;

  private constructor(host: LabHost, group: string) {
    this.host = host;
    this.#group = group;
  }

  /** On a host of the lab that nothing runs on yet. Returns when systemd has reached its target. */
  static async start(lab: Lab, outer: LabHost): Promise<SystemdHost> {
    const hierarchy = unifiedHierarchy();
    removeStaleGroups(hierarchy);
    const group = join(hierarchy, `${GROUP_PREFIX}${outer.pid}`);
    mkdirSync(group);
    const units = join(outer.runDirectory, 'units');
    mkdirSync(units);
    for (const name of TARGETS) writeFileSync(join(units, `${name}.target`), `[Unit]\nDescription=${name}\n`);
    const unshare = ['unshare', '--pid', '--mount', '--cgroup', '--fork', '--kill-child', '--', 'sh', '-ec', BOOT];
    const child = lab.spawn([...outer.enter(), 'sh', '-ec', ENTER, group, ...unshare]);
    let said = '';
    child.stderr!.on('data', (chunk: Buffer) => {
      said += chunk.toString('utf8');
    });
    let pid = 0;
    await eventually('systemd is process 1', () => {
      if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}: ${said}`);
      pid = processesOf(join(group, 'init.scope')).find((one) => nameOf(one) === 'systemd') ?? 0;
      return pid !== 0;
    });
    const { name, directory, ip, ip6 } = outer;
    const systemd = new SystemdHost(new LabHost({ name, pid, directory, ip, ip6, launchFlags: [] }), group);
    await eventually('it has started all there is', async () => {
      return (await systemd.systemctl(['is-system-running'], true)).stdout === 'running\n';
    });
    return systemd;
  }

  /** Where units lie, for `fabric setup systemd` and drop-ins. */
  get unitDirectory(): string {
    return UNITS;
  }

  systemctl(args: readonly string[], mayFail = false): Promise<Result> {
    return this.host.run(['systemctl', '--no-pager', ...args], { mayFail, timeoutMs: 60_000 });
  }

  /** A property of a unit, as `systemctl show` says it. */
  async property(unit: string, name: string): Promise<string> {
    return (await this.systemctl(['show', '--value', '--property', name, unit])).stdout.trim();
  }

  /** Once the lab is gone: the control groups, which nothing is in any more. */
  removeGroups(): void {
    removeTree(this.#group);
  }
}

/** Where control groups of version 2 are mounted: alone, or beside those of version 1. */
function unifiedHierarchy(): string {
  const line = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .find((one) => one.includes(' - cgroup2 '));
  if (line === undefined) throw new Error('no cgroup2 is mounted on this machine');
  return line.split(' ')[4]!;
}

/** Of a test that was killed: its processes are gone with it, its control groups are not. */
function removeStaleGroups(hierarchy: string): void {
  for (const name of readdirSync(hierarchy)) {
    const isStale = name.startsWith(GROUP_PREFIX) && !existsSync(`/proc/${name.slice(GROUP_PREFIX.length)}`);
    if (isStale) removeTree(join(hierarchy, name));
  }
}

function processesOf(group: string): readonly number[] {
  if (!existsSync(group)) return [];
  return readFileSync(join(group, 'cgroup.procs'), 'utf8').trim().split('\n').map(Number).filter(Boolean);
}

function nameOf(pid: number): string {
  return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
}

function removeTree(group: string): void {
  for (const entry of readdirSync(group, { withFileTypes: true })) {
    if (entry.isDirectory()) removeTree(join(group, entry.name));
  }
  rmdirSync(group);
}
