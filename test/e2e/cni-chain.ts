// Debian's reference plugins chained behind ours, as libcni runs a list: portmap (with snat), bandwidth, firewall, tuning. Their
// result is ours with what they add; a published port answers from another host, the rate is what was asked for, CHECK of the
// whole chain holds although tuning changed the link, and DEL in reverse order leaves the kernel as it was.

import { existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { eventually } from '../lab/exec.ts';
import { httpGet } from '../lab/http-get.ts';
import { kernelState } from '../lab/kernel-state.ts';
import { Lab } from '../lab/lab.ts';
import { PluginChain, REFERENCE_PLUGINS } from '../lab/plugin-chain.ts';

const NOT_INSTALLED = existsSync(`${REFERENCE_PLUGINS}/portmap`)
  ? false
  : 'containernetworking-plugins is not installed: FABRIC_SETUP=full npm run setup';
const RATE_BITS = 8_000_000;
const MTU = 1300;
/** portmap 1.1.1 looks for its snat rule with the container's address where iptables shows the prefix: it never finds it. */
const CHECKABLE = ['fabric', 'bandwidth', 'firewall', 'tuning'];
/** Counts what comes from our bridge for the host's loopback, before our own rules see it. */
const LOOPBACK_PROBE = `table inet probe {
  chain prerouting {
    type filter hook prerouting priority -400;
    iifname "fabric0" ip daddr 127.0.0.0/8 counter
  }
}
`;
const CHAIN = new PluginChain({
  name: 'fabric',
  version: '1.0.0',
  plugins: [
    { type: 'fabric', runtimeConfig: { mac: '02:00:00:00:07:07' } },
    {
      type: 'portmap',
      snat: true,
      runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }] },
    },
    {
      type: 'bandwidth',
      runtimeConfig: {
        bandwidth: { ingressRate: RATE_BITS, ingressBurst: RATE_BITS, egressRate: RATE_BITS, egressBurst: RATE_BITS },
      },
    },
    { type: 'firewall' },
    { type: 'tuning', mtu: MTU, sysctl: { 'net.core.somaxconn': '500' } },
  ],
});

test('TM29 C3 C4 K3 O5 R5 chained behind us: portmap, bandwidth, firewall, tuning', {
  skip: NOT_INSTALLED,
}, async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const a = await lab.host('a');
  const b = await lab.host('b');
  await a.launch();
  await b.launch({ join: a, token: await a.token() });
  await a.waitReady(1);
  const before = await kernelState(a);
  const web = await a.namespace('web');
  const result = await CHAIN.add(web);
  const [bridge, host, container] = result.interfaces;
  t.match(
    [bridge, host, container],
    [{ name: 'fabric0' }, { name: /^fab/ }, { name: 'eth0', sandbox: /web$/ }],
    'our interfaces come first',
  );
  t.equal(container!.mac, '02:00:00:00:07:07', 'with the MAC that the runtime asked for');

  const www = mkdtempSync(join(lab.directory, 'www-'));
  writeFileSync(join(www, 'index.html'), 'hello\n');
  const server = ['busybox', 'httpd', '-f', '-p', '80', '-h', www];
  lab.spawn([...web.enter(), ...server]);
  const remote = await b.container('remote');
  await eventually('it answers on the overlay', async () => {
    return (await remote.run(httpGet(web.ip, 80), { mayFail: true })).stdout.includes('200 OK');
  });
  const published = await b.run(httpGet(a.ip, 8080), { mayFail: true });
  t.match(published.stdout, /200 OK/, 'portmap: its published port answers another host');
  const local = await a.run(httpGet('127.0.0.1', 8080), { mayFail: true });
  t.match(local.stdout, /200 OK/, "portmap's snat: and its own host on 127.0.0.1");
  const routeLocalnet = await a.run(['sysctl', '-n', 'net.ipv4.conf.fabric0.route_localnet']);
  t.equal(routeLocalnet.stdout.trim(), '1', 'for which it set route_localnet on our bridge');
  lab.spawn([...a.enter(), 'busybox', 'httpd', '-f', '-p', '127.0.0.1:9090', '-h', www]);
  await eventually('a service of the host listens on its loopback', async () => {
    return (await a.run(httpGet('127.0.0.1', 9090), { mayFail: true })).stdout.includes('200 OK');
  });
  await a.run(['nft', '-f', '-'], { input: LOOPBACK_PROBE });
  await web.run(['ip', 'route', 'add', '127.0.0.1/32', 'via', '10.32.0.1', 'table', '9']);
  await web.run(['sysctl', '-qw', 'net.ipv4.conf.all.route_localnet=1']);
  await web.run(['ip', 'rule', 'add', 'to', '127.0.0.1', 'lookup', '9', 'pref', '0']);
  await web.run(['ip', 'rule', 'delete', 'lookup', 'local']);
  await web.run(['ip', 'rule', 'add', 'lookup', 'local', 'pref', '10']);
  const loopback = async () => (await web.run(httpGet('127.0.0.1', 9090), { mayFail: true })).status === 0;
  t.notOk(await loopback(), 'but no container gets there');
  const { stdout: counted } = await a.run(['nft', 'list', 'table', 'inet', 'probe']);
  t.match(counted, /counter packets [1-9]/, 'although its packets come as far as the host');
  await a.run(['nft', 'delete', 'table', 'inet', 'probe']);
  const daemon = String(await a.daemonPid());
  await a.run(['kill', '-STOP', daemon]); // it would put the rule back
  await a.run(['nft', 'flush', 'chain', 'inet', 'fabric', 'prerouting']);
  t.ok(await loopback(), 'and would come further without our rule');
  await a.run(['kill', '-CONT', daemon]);
  await eventually('which is there again', async () => !(await loopback()));
  const { stdout: qdisc } = await a.run(['tc', 'qdisc', 'show', 'dev', host!.name]);
  t.match(qdisc, /qdisc tbf .* rate 8Mbit/, 'bandwidth shapes our host interface');
  t.match((await web.run(['ip', 'link', 'show', 'eth0'])).stdout, new RegExp(`mtu ${MTU} `), 'tuning changed the link');
  await CHAIN.check(web, CHECKABLE);
  t.pass('CHECK of the chain, with what later plugins changed');

  await CHAIN.delete(web);
  await CHAIN.delete(web);
  t.same((await a.status()).attachments, [], 'DEL in reverse order, repeated too');
  await remote.remove();
  const after = await kernelState(a);
  for (const part of ['links', 'addresses', 'routes', 'fdb']) t.same(after[part], before[part], `as before: ${part}`);
});
