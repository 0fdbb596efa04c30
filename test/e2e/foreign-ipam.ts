// Addresses from Debian's own IPAM plugins on our overlay, and our addresses under Debian's interface plugins: host-local and
// static inside and outside of the network's range on two hosts, duplicates refused, dhcp with a server on the segment, and
// "ipam": {"type": "fabric"} behind bridge and macvlan. Everything goes when it is deleted.

import { existsSync } from 'node:fs';
import { type Test, test } from 'tap';
import { eventually } from '../lab/exec.ts';
import type { LabHost } from '../lab/host.ts';
import { Lab } from '../lab/lab.ts';

const PLUGINS = '/usr/lib/cni';
const NOT_INSTALLED = existsSync(`${PLUGINS}/host-local`)
  ? false
  : 'containernetworking-plugins is not installed: FABRIC_SETUP=full npm run setup';

test('C11 foreign IPAM plugins', { skip: NOT_INSTALLED }, async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const a = await lab.host('a');
  const b = await lab.host('b');
  await a.launch();
  await b.launch({ join: a, token: await a.token() });
  await a.waitReady(1);
  const conf = (ipam: Record<string, unknown>) => ({ conf: { ipam } });

  await t.test('host-local inside of the range: reserved in the leases, with its prefix', async (t) => {
    const ipam = { type: 'host-local', subnet: '10.47.9.0/24', routes: [{ dst: '0.0.0.0/0' }] };
    const one = await a.container('in1', conf(ipam));
    t.match(one.result!.ips, [{ address: '10.47.9.2/24', gateway: '10.32.0.1' }]);
    const ours = await b.container('ours');
    t.ok(await eventually('a container of the other host reaches it', () => ours.pings(one.ip)));
    t.ok(await one.pings(ours.ip), 'and it reaches the whole network by the gateway');
    t.equal((await one.cni('CHECK', { stdin: { ...ipamConf(ipam), prevResult: one.result } })).status, 0, 'CHECK');
    // host-local on the other host knows nothing of the first: it chooses the same address, and the mesh refuses it.
    const two = await b.namespace('in2', conf(ipam));
    const refused = await two.cni('ADD', { mayFail: true });
    t.match(JSON.parse(refused.stdout), { code: 104 }, 'the same address on another host is refused as in use');
    t.same(await stored(b), [], 'and host-local has it back');
    await one.remove();
    await ours.remove();
    t.same(await stored(a), [], 'DEL gives it back to host-local');
  });

  await t.test('host-local outside of the range: claimed in the mesh', async (t) => {
    const range = (start: string) => ({
      type: 'host-local',
      ranges: [[{ subnet: '198.51.100.0/24', rangeStart: start }]],
    });
    const one = await a.container('out1', conf(range('198.51.100.10')));
    const two = await b.container('out2', conf(range('198.51.100.20')));
    t.match([one.ip, two.ip], ['198.51.100.10', '198.51.100.20']);
    await eventually('they talk across hosts', () => two.pings(one.ip));
    const same = await b.namespace('out3', conf({ type: 'static', addresses: [{ address: '198.51.100.10/24' }] }));
    const { stdout } = await same.cni('ADD', { mayFail: true });
    t.match(
      JSON.parse(stdout),
      { code: 104, details: /a \(.*\) holds it/ },
      'a duplicate is refused, and says whose it is',
    );
    const routes = (await b.status()).routes.filter(({ ips }) => ips.includes('198.51.100.10/32'));
    t.match(routes, [{ state: 'active' }], 'status shows the claim');
    const hijack = await a.namespace('out4', conf({ type: 'static', addresses: [{ address: `${b.ip}/24` }] }));
    const wrong = await hijack.cni('ADD', { mayFail: true });
    t.match(
      JSON.parse(wrong.stdout),
      { code: 110 },
      "an address of the underlay is refused: it leads to this host's uplink",
    );
    await one.remove();
    await two.remove();
    await eventually('the claims are gone', async () => {
      return (await b.status()).routes.every(({ ips }) => !ips.some((ip) => ip.startsWith('198.51.100.')));
    });
  });

  await t.test('dhcp: the plugin talks through the interface before it has an address', (t) => dhcp(t, lab, a));

  await t.test('C12 our addresses behind bridge and macvlan', async (t) => {
    await a.run(['ip', 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'up1']);
    for (const link of ['up0', 'up1']) await a.run(['ip', 'link', 'set', link, 'up']);
    for (const [type, more] of [
      ['bridge', { bridge: 'br9' }],
      ['macvlan', { master: 'up0' }],
    ] as const) {
      const config = { cniVersion: '1.0.0', name: `lan-${type}`, type, ...more, ipam: { type: 'fabric' } };
      const plugin = `${PLUGINS}/${type}`;
      const one = await a.namespace(`${type}1`);
      const added = JSON.parse((await one.cni('ADD', { plugin, stdin: config })).stdout) as {
        ips: readonly { address: string }[];
      };
      const ip = added.ips[0]!.address;
      t.match(ip, /^10\.\d+\.\d+\.\d+\/12$/, `${type} has an address of ours`);
      t.match((await one.run(['ip', '-4', 'address', 'show', 'eth0'])).stdout, ip, 'and gave it to the container');
      t.match((await a.status()).reservations, [{ containerId: one.id, ips: [ip, /\/48$/] }], 'status shows it');
      t.equal((await one.cni('CHECK', { plugin, stdin: { ...config, prevResult: added } })).status, 0, 'CHECK');
      await one.cni('DEL', { plugin, stdin: config });
      t.same((await a.status()).reservations, [], 'DEL frees it');
    }
    for (const link of ['br9', 'up0']) await a.run(['ip', 'link', 'delete', link]);
  });
});

const ipamConf = (ipam: Record<string, unknown>) => ({ cniVersion: '1.0.0', name: 'fabric', type: 'fabric', ipam });

/** Addresses that host-local holds on a host for the network of this name. */
async function stored(host: LabHost): Promise<readonly string[]> {
  const { stdout } = await host.run(['ls', '/var/lib/cni/networks/fabric'], { mayFail: true });
  return stdout.split('\n').filter((name) => /^\d/.test(name));
}

/** busybox's udhcpd on a device of the operator's in our bridge, Debian's dhcp daemon, and a container that asks. */
async function dhcp(t: Test, lab: Lab, host: LabHost): Promise<void> {
  await host.run(['ip', 'netns', 'add', 'server']);
  await host.run(['ip', 'link', 'add', 'srv0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', 'server']);
  await host.run(['ip', 'link', 'set', 'srv0', 'master', 'fabric0', 'up']);
  const inServer = ['ip', 'netns', 'exec', 'server'];
  await host.run([...inServer, 'ip', 'address', 'add', '203.0.113.1/24', 'dev', 'eth0']);
  await host.run([...inServer, 'ip', 'link', 'set', 'eth0', 'up']);
  const settings = ['interface eth0', 'start 203.0.113.50', 'end 203.0.113.59', 'option subnet 255.255.255.0'];
  const more = ['option router 203.0.113.1', 'lease_file /run/udhcpd.leases', 'pidfile /run/udhcpd.pid'];
  await host.run(['tee', '/run/udhcpd.conf'], { input: `${[...settings, ...more].join('\n')}\n` });
  await host.run(['touch', '/run/udhcpd.leases']);
  lab.spawn([...host.enter(), ...inServer, 'busybox', 'udhcpd', '-f', '/run/udhcpd.conf']);
  lab.spawn([...host.enter(), `${PLUGINS}/dhcp`, 'daemon']);
  await eventually('the dhcp daemon listens', async () => {
    return (await host.run(['test', '-S', '/run/cni/dhcp.sock'], { mayFail: true })).status === 0;
  });
  const one = await host.container('asks', { conf: { ipam: { type: 'dhcp' } } });
  t.match(one.result!.ips, [{ address: /^203\.0\.113\.5\d\/24$/, gateway: '203.0.113.1' }], 'it has an address');
  t.ok(await one.pings('203.0.113.1'), 'and reaches the router that the server named');
  await one.remove();
  t.same((await host.status()).attachments, [], 'DEL frees it');
  await host.run(['ip', 'link', 'delete', 'srv0']);
}
