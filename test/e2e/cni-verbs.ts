// The reference plugins' own scenarios with our plugin, daemon and the kernel: many first ADDs at once, several interfaces,
// requested addresses, ranges, MACs, CHECK, DEL of what is gone, exhaustion. Everything runs on two small hosts; at the end
// nothing is left.

import { type Test, test } from 'tap';
import type { CniResult, LabContainer } from '../lab/container.ts';
import type { LabHost } from '../lab/host.ts';
import { inParallel } from '../lab/in-parallel.ts';
import { kernelState } from '../lab/kernel-state.ts';
import { Lab } from '../lab/lab.ts';

const CONF = { cniVersion: '1.1.0', name: 'fabric', type: 'fabric' };

interface CniFailure {
  readonly code: number;
  readonly msg: string;
}

test('the verbs with the kernel', async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const host = await lab.host('a');
  await host.launch();
  const clean = await kernelState(host);

  await t.test('L5 the first ADDs on a host come all at once', async (t) => {
    const containers = await inParallel([...Array(12).keys()], 4, (index) => host.namespace(`first${index}`));
    await Promise.all(containers.map((container) => container.tryAdd()));
    const results = containers.map(({ result }) => result);
    t.ok(
      results.every((result) => result !== null),
      'all succeed',
    );
    t.equal(new Set(containers.flatMap(({ ip, ip6, mac }) => [ip, ip6, mac])).size, 36, 'with addresses of their own');
    t.ok(await containers[0]!.pings(containers[11]!.ip), 'and talk');
    await Promise.all(containers.map((container) => container.cni('DEL')));
  });

  await t.test('A5 A6 K4 P1 several interfaces in one container', async (t) => {
    const container = await host.namespace('many');
    const first = await add(container, CONF);
    const repeated = await container.cni('ADD', { stdin: CONF, mayFail: true });
    t.match(JSON.parse(repeated.stdout), { code: 101 }, 'the same interface twice is an error');
    const second = await add(container, CONF, 'eth1');
    t.same(second.routes ?? [], [], 'the second one adds no default route, there is one');
    const { stdout } = await container.run(['ip', '-j', 'route', 'show', 'default']);
    t.match(JSON.parse(stdout), [{ dev: 'eth0', gateway: '10.32.0.1' }], 'and the first keeps it');
    for (const [ifname, prevResult] of [
      ['eth0', first],
      ['eth1', second],
    ] as const) {
      const { stdout: said } = await container.cni('CHECK', { ifname, stdin: { ...CONF, prevResult } });
      t.equal(said, '', `CHECK of ${ifname} prints nothing`);
    }
    await container.cni('DEL', { stdin: CONF });
    t.ok(await container.pings('10.32.0.1', ['-I', 'eth1']), 'DEL of one leaves the other');
    await container.cni('DEL', { stdin: CONF, ifname: 'eth1' });
  });

  await t.test('C1 C2 C5 C6 C9 O6 what a runtime wishes, as the kernel shows it', async (t) => {
    const container = await host.namespace('wishes');
    const runtimeConfig = {
      ips: ['10.33.0.7/12'],
      mac: '02:00:00:00:0a:0b',
      ipRanges: [[{ subnet: '10.34.5.0/24', rangeStart: '10.34.5.9', rangeEnd: '10.34.5.9' }]],
      dns: { servers: ['192.0.2.53'], searches: ['example'] },
    };
    const result = await add(container, { ...CONF, runtimeConfig });
    t.same(
      result.ips.map(({ address }) => address),
      ['10.33.0.7/12', '10.34.5.9/12'],
    );
    t.same(result.dns, { nameservers: ['192.0.2.53'], search: ['example'] });
    const { stdout } = await container.run(['ip', '-j', '-4', 'address', 'show', 'eth0']);
    const [link] = JSON.parse(stdout) as readonly { addr_info: readonly { local: string; prefixlen: number }[] }[];
    t.same(link!.addr_info.map(({ local, prefixlen }) => `${local}/${prefixlen}`).sort(), [
      '10.33.0.7/12',
      '10.34.5.9/12',
    ]);
    t.match((await container.run(['ip', 'link', 'show', 'eth0'])).stdout, '02:00:00:00:0a:0b');
    await container.cni('DEL', { stdin: CONF });
    const args = 'IgnoreUnknown=1;IP=10.33.0.8;MAC=02:00:00:00:0a:0c;K8S_POD_NAME=pod';
    const byArgs = await container.cni('ADD', { stdin: CONF, args });
    t.match(byArgs.stdout, /10\.33\.0\.8\/12/);
    t.match((await host.status()).attachments, [{ name: 'pod', mac: '02:00:00:00:0a:0c', ips: ['10.33.0.8/12'] }]);
    await container.cni('DEL', { stdin: CONF });
    const strict = await container.cni('ADD', { stdin: CONF, args: 'FOO=1', mayFail: true });
    t.match(JSON.parse(strict.stdout), { code: 4 }, 'an unknown argument is an error');

    const route = { dst: '192.0.2.0/24', gw: '10.32.0.9', mtu: 1300, advmss: 1260, priority: 7, table: 100, scope: 0 };
    const routed = { ...CONF, cniVersion: '1.1.0', ipam: { routes: [route] } };
    const prevResult = await add(container, routed);
    t.match(prevResult, { routes: [route] }, 'a route is set as it is told');
    const shown = await container.run(['ip', 'route', 'show', 'table', '100']);
    t.match(shown.stdout, /192\.0\.2\.0\/24 via 10\.32\.0\.9 dev eth0 .*metric 7 mtu 1300 advmss 1260/);
    await container.cni('CHECK', { stdin: { ...routed, prevResult } });
    await container.cni('DEL', { stdin: routed });
  });

  await t.test('P2 P4 C1 addresses that are asked for', async (t) => {
    const [one, two] = [await host.namespace('asks'), await host.namespace('asks-too')];
    const asking = (...ips: readonly string[]) => ({ ...CONF, runtimeConfig: { ips } });
    const ip6 = (await host.status()).networks[0]!.range6!.replace('::/48', '::1:7');
    const { ips } = await add(one, asking('10.35.0.7', ip6));
    t.same(
      ips.map(({ address }) => address),
      ['10.35.0.7/12', `${ip6}/48`],
    );
    const refused = await two.cni('ADD', { stdin: asking('10.35.0.8', '10.35.0.7'), mayFail: true });
    t.match(JSON.parse(refused.stdout), { code: 104 }, 'one of them is in use');
    t.match(await add(two, asking('10.35.0.8')), { ips: [{ address: '10.35.0.8/12' }] }, 'the other was released');
    for (const container of [one, two]) await container.cni('DEL', { stdin: CONF });
  });

  await t.test('P3 P4 C5 several sets of ranges', async (t) => {
    const single = (subnet: string, ip: string) => ({ subnet, rangeStart: ip, rangeEnd: ip });
    const ranges = [
      [single('10.36.0.0/24', '10.36.0.9'), single('10.36.1.0/24', '10.36.1.4')],
      [single('10.37.0.0/24', '10.37.0.1'), single('10.37.0.0/24', '10.37.0.3')],
    ];
    const conf = { ...CONF, ipam: { ranges } };
    const containers = await inParallel([...Array(3).keys()], 3, (index) => host.namespace(`ranges${index}`));
    const had = async (container: LabContainer) => (await add(container, conf)).ips.map(({ address }) => address);
    t.same(await had(containers[0]!), ['10.36.0.9/12', '10.37.0.1/12'], 'one address out of each');
    t.same(await had(containers[1]!), ['10.36.1.4/12', '10.37.0.3/12'], 'of the next range of each');
    const refused = await containers[2]!.cni('ADD', { stdin: conf, mayFail: true });
    t.match(JSON.parse(refused.stdout), { code: 103 }, 'until all are full');
    t.equal((await held(host)).length, 2, 'which leaves nothing behind');
    for (const container of containers) await container.cni('DEL', { stdin: conf });
  });

  await t.test('P6 C2 MACs are stable', async (t) => {
    const bridgeMac = async () => {
      const { stdout } = await host.run(['ip', '-j', 'link', 'show', 'fabric0']);
      return (JSON.parse(stdout) as readonly { readonly address: string }[])[0]!.address;
    };
    const before = await bridgeMac();
    const [low, next] = [await host.namespace('low'), await host.namespace('next')];
    const lowest = { ...CONF, runtimeConfig: { mac: '02:00:00:00:00:01' } };
    const { interfaces } = await add(low, lowest);
    t.match(interfaces, [{ name: 'fabric0', mac: before }, {}, { name: 'eth0', mac: '02:00:00:00:00:01' }]);
    await add(next, CONF);
    t.equal(await bridgeMac(), before, 'a bridge takes the lowest MAC of its ports, if nobody gives it one');
    t.ok(await next.pings('10.32.0.1'));
    t.match((await next.run(['ip', 'neigh', 'show', '10.32.0.1'])).stdout, before, "and it is the gateway's");
    await low.cni('DEL', { stdin: lowest });
    const again = await add(low, lowest);
    t.match(again.interfaces, [{ mac: before }, { name: interfaces[1]!.name }, { mac: '02:00:00:00:00:01' }]);
    for (const container of [low, next]) await container.cni('DEL', { stdin: CONF });
    t.equal(await bridgeMac(), before);
  });

  await t.test('A1 D1 D2 D3 D4 D5 D6 P5 DEL of what is not there (any more)', async (t) => {
    const container = await host.namespace('gone');
    await container.cni('DEL', { stdin: CONF });
    await container.run(['ip', 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'theirs']);
    const refused = await container.cni('ADD', { stdin: CONF, mayFail: true });
    t.match(JSON.parse(refused.stdout), { code: 102 }, 'an interface of others is no room for ours');
    t.match((await container.run(['ip', 'link', 'show', 'eth0'])).stdout, 'eth0@theirs', 'and stays');
    await container.run(['ip', 'link', 'delete', 'eth0']);
    await add(container, CONF);
    await container.run(['ip', 'link', 'delete', 'eth0']);
    await container.cni('DEL', { stdin: CONF });
    await add(container, CONF);
    t.equal((await container.cni('DEL', { stdin: CONF, netns: '' })).stdout, '', 'without a namespace');
    await container.cni('DEL', { stdin: CONF, netns: '/run/netns/never-there' });
    t.same(await held(host), [], 'no address is held');
  });

  await t.test('R3 DEL before every ADD, as nerdctl does', async (t) => {
    const container = await host.namespace('nerd');
    for (let round = 0; round < 3; round++) {
      await container.cni('DEL', { stdin: CONF });
      t.ok((await add(container, CONF)).ips.length > 0, 'ADD');
    }
    t.equal((await held(host)).length, 1, 'one attachment is left');
    await container.cni('DEL', { stdin: CONF });
  });

  t.same(await held(host), []);
  t.same(await kernelState(host), clean, 'the kernel is as it was');
  await t.test('T1 D6 P7 a network that is full', async (t) => exhaustion(t, await lab.host('small')));
});

/** A range with room for few: STATUS and ADD say so, until somebody goes. */
async function exhaustion(t: Test, host: LabHost): Promise<void> {
  await host.launch({ flags: ['--range', '10.99.0.0/29', '--range6', 'off'] });
  const containers: LabContainer[] = [];
  let failure: CniFailure | null = null;
  while (failure === null && containers.length < 8) {
    const container = await host.namespace(`full${containers.length}`, { conf: CONF });
    containers.push(container);
    const { status, stdout } = await container.cni('ADD', { mayFail: true });
    if (status !== 0) failure = JSON.parse(stdout) as CniFailure;
  }
  t.match(failure, { code: 103 }, 'ADD');
  t.equal(containers.length, 5, 'of eight addresses four are for containers: network, gateway, host, broadcast');
  const asked = await containers[0]!.cni('STATUS', { mayFail: true });
  t.match(JSON.parse(asked.stdout), { code: 50, details: /no free IPv4 address/ }, 'STATUS');
  await containers[0]!.cni('DEL');
  t.equal((await containers[0]!.cni('STATUS')).stdout, '', 'after a DEL all is well');
  t.ok(await containers[4]!.tryAdd(), 'and its address is given out again');
}

async function add(
  container: LabContainer,
  stdin: Record<string, unknown>,
  ifname = 'eth0',
): Promise<CniResult & { readonly dns?: object }> {
  return JSON.parse((await container.cni('ADD', { stdin, ifname })).stdout) as CniResult;
}

async function held(host: LabHost): Promise<readonly string[]> {
  return (await host.status()).attachments.map(({ containerId }) => containerId);
}
