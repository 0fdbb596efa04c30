// Docker on a host of the lab: Debian's dockerd, started by hand in the host's mount namespace, with an image made locally.

import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { type ExecOptions, eventually, type Result } from './exec.ts';
import type { LabHost } from './host.ts';
import type { Lab } from './lab.ts';

/** Debian's by their paths: a machine may have other programs of these names in front of them. */
export const DOCKER = '/usr/bin/docker';
const DAEMON = '/usr/sbin/dockerd';
/** On the host. */
export const DOCKER_PLUGIN_SOCKET = '/run/docker/plugins/fabric.sock';
/** For `skip` of a test; false when all is there. */
export const NO_DOCKER =
  existsSync(DAEMON) && existsSync(DOCKER) ? false : 'docker.io is not installed: FABRIC_SETUP=full npm run setup';
/** No systemd here, nothing of the machine's own Docker, no look outside. */
const DOCKERD = [DAEMON, '--storage-driver', 'vfs', '--exec-opt', 'native.cgroupdriver=cgroupfs'];

/** Resolves when it answers; ended with the lab. */
export async function startDocker(lab: Lab, host: LabHost): Promise<ChildProcess> {
  const daemon = lab.spawn([...host.enter(), ...DOCKERD]);
  let said = '';
  daemon.stderr!.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString('utf8')).slice(-8_000);
  });
  await eventually(
    'Docker answers',
    async () => {
      if (daemon.exitCode !== null) throw new Error(`dockerd ended with ${daemon.exitCode}: ${said}`);
      return (await docker(host, ['version'], { mayFail: true })).status === 0;
    },
    { timeoutMs: 40_000 },
  );
  return daemon;
}

export function docker(host: LabHost, args: readonly string[], options: ExecOptions = {}): Promise<Result> {
  return host.run([DOCKER, ...args], { timeoutMs: 60_000, ...options });
}
