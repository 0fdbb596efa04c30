// Debian's podman with its CNI backend on a lab host: our plugin in /opt/cni/bin, portmap chained behind it, an image imported from
// a tar.

import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CNI_PLUGIN } from './checkout.ts';
import type { Result } from './exec.ts';
import type { LabHost } from './host.ts';
import type { Lab } from './lab.ts';

const PODMAN = '/usr/bin/podman';
/** Why a test that needs podman is skipped, or false. */
export const NO_PODMAN =
  existsSync(PODMAN) && existsSync('/usr/lib/cni/portmap')
    ? false
    : 'podman or containernetworking-plugins is not installed: FABRIC_SETUP=full npm run setup';

const CONFLIST = {
  cniVersion: '0.4.0',
  name: 'fabric',
  plugins: [
    { type: 'fabric', capabilities: { ips: true, mac: true, aliases: true } },
    { type: 'portmap', capabilities: { portMappings: true } },
  ],
};
/** No systemd here; the limits of this machine's processes may be lower than podman's defaults. */
const CONTAINERS_CONF = `
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
runtime = "runc"
[network]
network_backend = "cni"
cni_plugin_dirs = ["/opt/cni/bin", "/usr/lib/cni"]
network_config_dir = "/etc/cni/net.d"
`;
const DIRECTORIES = ['--root', '/var/lib/containers', '--runroot', '/run/containers', '--storage-driver', 'vfs'];

/** One call of podman. */
export type Podman = (args: readonly string[], options?: { readonly mayFail?: boolean }) => Promise<Result>;

export async function setUpPodman(lab: Lab, host: LabHost): Promise<Podman> {
  await host.run(['cp', CNI_PLUGIN, '/opt/cni/bin/fabric']);
  await host.run(['tee', '/etc/cni/net.d/10-fabric.conflist'], { input: JSON.stringify(CONFLIST) });
  const conf = join(lab.directory, `containers-${host.name}.conf`);
  writeFileSync(conf, CONTAINERS_CONF);
  return (args, { mayFail = false } = {}) =>
    host.run(['env', `CONTAINERS_CONF=${conf}`, PODMAN, ...DIRECTORIES, ...args], { mayFail, timeoutMs: 60_000 });
}
