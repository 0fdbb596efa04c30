// A host with neighbours for end-to-end tests of LinuxHostNetwork, as test/e2e/host-network.ts draws it: a router that leads
// outside, a foreign host, containers; and everything of the kernel that a reset must leave as it was, as comparable text.

import { readFileSync } from 'node:fs';
import { parseCidr } from '../../../src/base/address.ts';
import { DEFAULT_VNI } from '../../../src/base/ids.ts';
import type { ContainerInterfaceConfig, OverlayNetworkConfig } from '../../../src/host/host-network.ts';
import type { LinuxHostNetwork } from '../../../src/host/linux/linux-host-network.ts';
import { ALL_NODES_MAC, icmp6Frame, injectCommand, mac, routerAdvertisement } from './test-frames.ts';
import { attempt, run, TestNamespace } from './test-namespaces.ts';

export const GATEWAY_MAC = mac('02:fa:b0:00:00:01');
export const NETWORK: OverlayNetworkConfig = {
  network: DEFAULT_VNI,
  internal: false,
  bridge: 'fabric0',
  range: parseCidr('10.32.0.0/12')!,
  range6: parseCidr('fd00:1::/48')!,
  gateway: '10.32.0.1',
  gateway6: 'fd00:1::1',
  gatewayMac: GATEWAY_MAC,
  mtu: 1418,
};
export const HOST = { mac: mac('02:00:00:00:01:02'), ip: '10.32.0.2', ip6: 'fd00:1::2' };
export const OUTSIDE = { ip: '203.0.113.1', ip6: '2001:db8:ff::1' };
export const FOREIGN = '198.51.100.2';
export const EVENTUALLY_MS = 10_000;

export interface Container {
  readonly namespace: TestNamespace;
  readonly config: Omit<ContainerInterfaceConfig, 'namespaceFd'>;
}

export function makeNeighbours(): { readonly router: TestNamespace; readonly foreign: TestNamespace } {
  const router = new TestNamespace('router');
  router.plug('up0');
  // A router says so in its neighbour advertisements; else the host drops its default route (RFC 4861 §7.2.5).
  router.run('sysctl', '-qw', 'net.ipv6.conf.all.forwarding=1');
  router.run('ip', 'addr', 'add', '192.0.2.1/24', 'dev', 'eth0');
  router.run('ip', '-6', 'addr', 'add', '2001:db8:1::1/64', 'dev', 'eth0', 'nodad');
  router.run('ip', 'addr', 'add', OUTSIDE.ip, 'dev', 'lo');
  router.run('ip', '-6', 'addr', 'add', OUTSIDE.ip6, 'dev', 'lo');
  // The ways back that a careless LAN might have: only masquerade and the host's rules keep containers apart.
  router.run('ip', 'route', 'add', '198.51.100.0/24', 'via', '192.0.2.2');
  run('ip', ['addr', 'add', '192.0.2.2/24', 'dev', 'up0']);
  run('ip', ['route', 'add', 'default', 'via', '192.0.2.1']);
  const foreign = new TestNamespace('foreign');
  foreign.plug('f0');
  run('ip', ['addr', 'add', '198.51.100.1/24', 'dev', 'f0']);
  foreign.run('ip', 'addr', 'add', `${FOREIGN}/24`, 'dev', 'eth0');
  foreign.run('ip', 'route', 'add', 'default', 'via', '198.51.100.1');
  // Link-local addresses are usable after duplicate address detection.
  const deadline = Date.now() + EVENTUALLY_MS;
  while (router.run('ip', '-6', 'addr').includes('tentative') || run('ip', ['-6', 'addr']).includes('tentative')) {
    if (Date.now() > deadline) throw new Error('duplicate address detection does not end');
  }
  while (!run('ip', ['-6', 'route', 'show', 'default']).includes('ra')) advertise(router);
  while (run('ip', ['-6', 'addr']).includes('tentative')) if (Date.now() > deadline) throw new Error('no address');
  router.run('ip', 'route', 'add', '10.32.0.0/12', 'via', '192.0.2.2');
  return { router, foreign };
}

export function advertise(router: TestNamespace): void {
  const from = /inet6 (fe80::[0-9a-f:]+)/.exec(router.run('ip', '-6', 'addr', 'show', 'dev', 'eth0'))![1]!;
  const packet = { source: mac(router.macOf('eth0')), destination: ALL_NODES_MAC, from, to: 'ff02::1' };
  router.run(...injectCommand('eth0', [icmp6Frame(packet, routerAdvertisement('2001:db8:1::'))]));
}

export function makeContainer(number: number): Container {
  const namespace = new TestNamespace(`c${number}`);
  const config = {
    network: DEFAULT_VNI,
    ifname: 'eth0',
    hostIfname: `fbc${number}`,
    mac: mac(`02:00:00:00:00:1${number}`),
    ips: [`10.32.0.1${number}`, `fd00:1::1${number}`],
    foreign: [],
    defaultRoute: true,
    routes: [],
  };
  return { namespace, config };
}

export async function attach(host: LinuxHostNetwork, { namespace, config }: Container) {
  return (await namespace.withDescriptor((namespaceFd) => host.addContainer({ ...config, namespaceFd }))).routes;
}

export function check(host: LinuxHostNetwork, { namespace, config }: Container): Promise<readonly string[]> {
  return namespace.withDescriptor((namespaceFd) => host.checkContainer({ ...config, namespaceFd }));
}

export function linkLocal({ namespace }: Container): string {
  return /inet6 (fe80::[0-9a-f:]+)/.exec(namespace.run('ip', '-6', 'addr', 'show', 'dev', 'eth0'))![1]!;
}

export function netns({ namespace }: Container): readonly string[] {
  return ['netns', 'exec', namespace.name];
}

export function pings(address: string): boolean {
  return attempt('ping', ['-n', '-c', '1', '-W', '1', address]).status === 0;
}

/** Everything that reset must leave as it was. Counters, expiry times and handles differ by themselves. */
export function hostState(): Readonly<Record<string, string>> {
  const still = (text: string): string => text.replace(/ expires \d+sec| valid_lft \d+sec| preferred_lft \d+sec/g, '');
  return {
    links: still(run('ip', ['-d', 'addr'])).replace(/ (hello|tcn|topology_change|gc)_timer +[\d.]+/g, ''),
    routes: still(run('ip', ['route', 'show', 'table', 'all'])),
    routes6: still(run('ip', ['-6', 'route', 'show', 'table', 'all'])),
    rules: rulesOfHost(),
    sysctls: run('sh', ['-c', 'grep -r . /proc/sys/net/ipv4/conf /proc/sys/net/ipv6/conf 2>/dev/null | sort']),
  };
}

export function rulesOfHost(): string {
  return run('nft', ['-s', 'list', 'ruleset']);
}

export function sysctl(path: string): string {
  return readFileSync(`/proc/sys/${path}`, 'utf8').trim();
}

export function setBrNetfilter(value: string): void {
  for (const family of ['iptables', 'ip6tables', 'arptables']) {
    attempt('sysctl', ['-qw', `net.bridge.bridge-nf-call-${family}=${value}`]);
  }
}

export async function eventually(holds: () => boolean): Promise<void> {
  const deadline = Date.now() + EVENTUALLY_MS;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error('it did not come true in time');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
