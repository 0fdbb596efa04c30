// Launch, stop and reset leave a host as it was, whatever it is for besides: a host that learns its IPv6 default route from
// router advertisements, a router, a firewall that drops what is forwarded (as Docker's does), with br_netfilter on and off.
// While fabric runs, its containers reach each other, the other host and the outside; foreign traffic passes or not as before.

import { type Test, test } from 'tap';
import type { LabContainer } from '../lab/container.ts';
import { end, eventually } from '../lab/exec.ts';
import type { LabHost } from '../lab/host.ts';
import { type KernelState, kernelState } from '../lab/kernel-state.ts';
import { Lab } from '../lab/lab.ts';
import { startRouterAdvertiser } from '../lab/router-advertiser.ts';

/** A host on the internet, behind the hosts' uplink. */
const OUTSIDE = { gateway: '198.51.100.1', address: '203.0.113.9' };

interface Row {
  readonly what: string;
  readonly forwarding: boolean;
  /** iptables -P FORWARD DROP, as Docker sets it. */
  readonly drop: boolean;
  readonly brNetfilter: boolean;
}

const ROWS: readonly Row[] = [
  { what: 'no router, no firewall', forwarding: false, drop: false, brNetfilter: false },
  { what: 'a router', forwarding: true, drop: false, brNetfilter: true },
  { what: 'FORWARD drops, br_netfilter on', forwarding: true, drop: true, brNetfilter: true },
  { what: 'FORWARD drops, br_netfilter off', forwarding: true, drop: true, brNetfilter: false },
];

test('launch, stop and reset leave the host as it was', async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  await lab.inSwitch(['ip', 'link', 'add', 'outside', 'up', 'type', 'bridge']);
  await lab.inSwitch(['ip', 'address', 'add', `${OUTSIDE.gateway}/24`, 'dev', 'outside']);
  await lab.inSwitch(['ip', 'address', 'add', `${OUTSIDE.address}/32`, 'dev', 'lo']);
  await lab.inSwitch(['ip', 'link', 'set', 'lo', 'up']);
  const first = await lab.host('first');
  await first.launch();
  const remote = await first.container('remote');
  for (const [index, row] of ROWS.entries()) {
    const host = await lab.host(`h${index}`);
    await lab.connect(host, { ifname: 'up0', bridge: 'outside' });
    await host.run(['ip', 'address', 'add', `198.51.100.${10 + index}/24`, 'dev', 'up0']);
    await host.run(['ip', 'route', 'add', 'default', 'via', OUTSIDE.gateway]);
    await t.test(row.what, (subtest) => checkRow(subtest, { row, host, first, remote }));
  }
});

async function checkRow(
  t: Test,
  { row, host, first, remote }: { row: Row; host: LabHost; first: LabHost; remote: LabContainer },
): Promise<void> {
  await prepare(host, row);
  const [left, right] = [await foreignHost(host, 1), await foreignHost(host, 2)];
  const passes = row.forwarding && !row.drop;
  const checkForeign = async (when: string): Promise<void> => {
    const word = passes ? 'passes' : 'is dropped';
    // What is expected to be dropped is not waited for long.
    const seconds = passes ? 2 : 0.3;
    const pings = [right.ip, right.ip6].map(async (address) => {
      const passed = await reaches(left.container, address, seconds);
      t.equal(passed, passes, `${when}: foreign traffic to ${address} ${word}`);
    });
    await Promise.all(pings);
  };
  if (passes) await eventually('the router routes', () => reaches(left.container, right.ip6, 0.3));
  await checkForeign('before');
  const before = await kernelState(host);

  await host.launch({ join: first, token: await first.token() });
  await checkForeign('launched');
  const one = await host.container('one');
  const two = await host.container('two');
  for (const address of [two.ip, two.ip6])
    t.ok(await one.pings(address), `a container reaches its neighbour ${address}`);
  for (const address of [remote.ip, remote.ip6]) t.ok(await one.pings(address), `and one of another host ${address}`);
  t.ok(await one.pings(OUTSIDE.address), 'and the outside');

  await host.fabric(['stop']);
  await checkForeign('stopped');
  t.ok(await one.pings(two.ip), 'stopped: containers of one host still talk');
  await host.launch();
  await one.remove();
  await two.remove();
  await host.fabric(['reset', '--yes']);
  await checkForeign('reset');
  sameKernel(t, await kernelState(host), before);
}

/** Part by part, so that a difference is readable. */
function sameKernel(t: Test, now: KernelState, before: KernelState): void {
  for (const [part, lines] of Object.entries(before)) t.same(now[part], lines, `after reset as before: ${part}`);
}

async function prepare(host: LabHost, { forwarding, drop, brNetfilter }: Row): Promise<void> {
  const value = forwarding ? '1' : '0';
  await host.run(['sysctl', '-qw', `net.ipv4.ip_forward=${value}`, `net.ipv6.conf.all.forwarding=${value}`]);
  const key = ['net.bridge.bridge-nf-call-iptables', 'net.bridge.bridge-nf-call-ip6tables'];
  await host.run(['sysctl', '-qw', ...key.map((one) => `${one}=${brNetfilter ? 1 : 0}`)]);
  if (!drop) return;
  await host.run(['iptables-nft', '-P', 'FORWARD', 'DROP']);
  await host.run(['ip6tables-nft', '-P', 'FORWARD', 'DROP']);
}

/** A machine behind the host, on a network of its own that has nothing to do with fabric. */
async function foreignHost(
  host: LabHost,
  number: number,
): Promise<{ container: LabContainer; ip: string; ip6: string }> {
  const container = await host.namespace(`foreign${number}`);
  const near = `lan${number}`;
  await host.run(['ip', 'link', 'add', near, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', container.name]);
  await host.run(['ip', 'address', 'add', `172.31.${number}.1/24`, 'dev', near]);
  await host.run(['ip', 'address', 'add', `fd31:${number}::1/64`, 'dev', near, 'nodad']);
  await host.run(['ip', 'link', 'set', near, 'up']);
  const [ip, ip6] = [`172.31.${number}.2`, `fd31:${number}::2`];
  await container.run(['ip', 'address', 'add', `${ip}/24`, 'dev', 'eth0']);
  await container.run(['ip', 'address', 'add', `${ip6}/64`, 'dev', 'eth0', 'nodad']);
  await container.run(['ip', 'link', 'set', 'eth0', 'up']);
  await container.run(['ip', 'route', 'add', 'default', 'via', `172.31.${number}.1`]);
  await container.run(['ip', 'route', 'add', 'default', 'via', `fd31:${number}::1`]);
  return { container, ip, ip6 };
}

async function reaches(container: LabContainer, address: string, seconds: number): Promise<boolean> {
  const { status } = await container.run(['ping', '-c', '1', '-W', String(seconds), address], { mayFail: true });
  return status === 0;
}

test('the IPv6 default route learned from router advertisements survives', async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const host = await lab.host('a');
  const advertiser = await startRouterAdvertiser(lab, { lifetimeS: 60 });
  const route = async (): Promise<{ gateway: string; lifetimeS: number } | null> => {
    const { stdout } = await host.run(['ip', '-6', 'route', 'show', 'default', 'proto', 'ra']);
    const found = /default via (\S+) .* expires (\d+)sec/.exec(stdout);
    return found === null ? null : { gateway: found[1]!, lifetimeS: Number(found[2]) };
  };
  await eventually('the host learns its default route', async () => (await route()) !== null);
  const gateway = (await route())!.gateway;
  const before = await kernelState(host);
  await host.launch();
  t.equal((await route())?.gateway, gateway, 'launched: the route is there');
  await end(advertiser);
  const renewing = await startRouterAdvertiser(lab, { lifetimeS: 1_800 });
  await eventually('launched: advertisements still count', async () => ((await route())?.lifetimeS ?? 0) > 60);
  const container = await host.container('c');
  t.notMatch((await container.run(['ip', '-6', 'route'])).stdout, /proto ra/, 'a container learns none');
  await host.fabric(['stop']);
  t.equal((await route())?.gateway, gateway, 'stopped: the route is there');
  await host.launch();
  await container.remove();
  await host.fabric(['reset', '--yes']);
  t.equal((await route())?.gateway, gateway, 'reset: the route is there');
  await end(renewing);
  await startRouterAdvertiser(lab, { lifetimeS: 9_000 });
  await eventually('reset: advertisements still count', async () => ((await route())?.lifetimeS ?? 0) > 1_800);
  sameKernel(t, await kernelState(host), before);
});
