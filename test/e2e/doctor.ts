// `fabric doctor` on hosts where one thing after the other is broken: it finds exactly that, with the side that it lies on, and
// nothing on a healthy host. What needs no daemon is broken on a host that has none yet.
//
//   a ── underlay ── b        c: no daemon, then a wrong token, then a clock that is an hour ahead
//            └── c ── far (MTU 1280) ── d

import { type Test, test } from 'tap';
import type { Finding } from '../../src/doctor/finding.ts';
import type { Readings } from '../../src/doctor/readings.ts';
import { eventually } from '../lab/exec.ts';
import type { LabHost } from '../lab/host.ts';
import { Lab } from '../lab/lab.ts';

/** So small that a dozen containers fill it. */
const SMALL_RANGE = ['--range', '10.32.0.0/28', '--lease-prefix', '30', '--range6', 'off'];
const CONTAINERS_MAX = 16;
/** An address that a has beside its own, and c, too. */
const DISPUTED = '203.0.113.7';
const FAR = { router: '198.51.100.1', host: '198.51.100.2', router6: '2001:db8:9::1', host6: '2001:db8:9::2' };
const FAR_MTU = 1280;
const WIDE = 1500;
const HOUR = 3600;

interface Report {
  readonly ok: boolean;
  readonly findings: readonly Finding[];
  readonly readings: Readings;
}

async function doctor(host: LabHost, args: readonly string[] = []): Promise<Report> {
  const { status, stdout, stderr } = await host.fabric(['doctor', '--json', ...args], { mayFail: true });
  if (stdout === '') throw new Error(stderr);
  const report = JSON.parse(stdout) as Report;
  if (status !== (report.ok ? 0 : 1)) throw new Error(`exit code ${status} with ${report.findings.length} findings`);
  return report;
}

/** Exactly these, in whatever order. */
async function finds(t: Test, host: LabHost, codes: readonly string[], args: readonly string[] = []): Promise<Report> {
  const report = await doctor(host, args);
  const found = report.findings.map(({ code }) => code);
  t.same([...found].sort(), [...codes].sort(), `${host.name}: ${codes.join(', ') || 'nothing'}`);
  if (found.length !== codes.length) t.comment(JSON.stringify(report, null, 1));
  return report;
}

test('fabric doctor', async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const [a, b, c] = [await lab.host('a'), await lab.host('b'), await lab.host('c')];

  await t.test('on a host without a daemon', (t) => withoutDaemon(t, lab, c));

  await a.launch({ flags: SMALL_RANGE });
  const token = await a.token();
  await b.launch({ join: a, token });
  await Promise.all([a.waitReady(1), b.waitReady(1)]);
  // The underlay's own range, which is no fault: an internal network is in no route.
  await a.fabric(['network', 'create', 'apart', '--internal', '--range', '192.0.2.0/24']);

  await t.test('where all is well', async (t) => {
    const reports = await Promise.all([a, b].map((host) => finds(t, host, [])));
    const [peer] = reports[0]!.readings.peers;
    t.match(peer, { nickname: 'b', linked: true, tcpOutFault: null, tcpInFault: null, udpOut: true, udpIn: true });
    t.match(peer!.icmp, { verdict: 'passes', triedBytes: 1500 });
    t.ok(Math.abs(peer!.clockSkewMs!) < 1_000, 'one clock');
    const nobody = ['setpriv', '--reuid', '65534', '--clear-groups', '--', ...a.fabricCommand(['doctor', '--json'])];
    const { stdout } = await a.run(nobody, { mayFail: true });
    const [only, ...rest] = (JSON.parse(stdout) as Report).findings;
    t.same([only?.code, rest], ['not-permitted', []], 'who is not root is told so, and nothing wrong');
  });

  await t.test('UDP from b to a is dropped', async (t) => {
    await lab.drop(b, a, 'udp dport 6783');
    await Promise.all([finds(t, a, ['udp-in-blocked'], ['b']), finds(t, b, ['udp-out-blocked'], ['a'])]);
    await lab.heal();
  });

  // b has dialled a: the link that stands does not use this way.
  await t.test('TCP from a to b is dropped', async (t) => {
    await lab.drop(a, b, 'tcp dport 6783');
    await Promise.all([finds(t, a, ['tcp-out-blocked']), finds(t, b, ['tcp-in-blocked'])]);
    await lab.heal();
  });

  await t.test('a route, an address, an offload and a reverse path filter at once', (t) => ownFaults(t, a, c));
  await t.test('a path that loses packets above 1280 bytes', async (t) => {
    await lab.dropLongerThan(FAR_MTU);
    const { readings } = await finds(t, a, ['mtu-black-hole']);
    t.match(readings.peers[0]!.icmp, { verdict: 'lost', mtu: null });
    await lab.heal();
  });
  await t.test('a router that says what fits', (t) => smallerPath(t, lab, a, c));
  await t.test('a wrong token', (t) => wrongToken(t, lab, a, c));
  await t.test('a clock that is an hour ahead', async (t) => {
    const faketime = ['faketime', '--exclude-monotonic', '-f', `+${HOUR}s`];
    const launch = c.fabricCommand(['launch', '--detach', '--nickname', 'c', '--join', a.ip, '--token-file', '-']);
    await c.run([...faketime, ...launch], { input: token, timeoutMs: 60_000 });
    await eventually(
      'a sees c',
      async () => (await a.status()).peers.filter(({ state }) => state === 'alive').length === 2,
    );
    const { findings } = await finds(t, a, ['clock-skew'], ['c']);
    t.match(findings[0]!.what, /^the clock of c is 3(600|599|601) s ahead/);
  });
  await t.test('no address is left', (t) => exhausted(t, a, b));
});

async function withoutDaemon(t: Test, lab: Lab, c: LabHost): Promise<void> {
  await finds(t, c, ['daemon-absent']);
  lab.spawn([...c.enter(), 'socat', '-u', 'UDP4-RECV:6783,bind=127.0.0.1', 'STDOUT']);
  await c.run(['ip', 'route', 'add', '10.44.0.0/16', 'dev', 'eth0']);
  const chain = 'add chain inet wall input { type filter hook input priority 0; policy drop; }';
  const rules = [
    'iif lo accept',
    'ct state established accept',
    'tcp dport 22 accept',
    'meta l4proto { icmp, icmpv6 } accept',
  ];
  const lines = ['add table inet wall', chain, ...rules.map((rule) => `add rule inet wall input ${rule}`)];
  await c.run(['nft', lines.join('; ')]);
  await eventually('the port is held', async () => (await c.run(['ss', '-Hlun', 'sport = 6783'])).stdout !== '');
  const expected = ['port-taken', 'route-overlap', 'input-filtered', 'input-filtered'];
  const { findings } = await finds(t, c, expected);
  const held = /^by socat \(process (\d+)\) on 127\.0\.0\.1:6783/.exec(why(findings, 'port-taken'));
  t.ok(held, why(findings, 'port-taken'));
  t.match(findings.find(({ code }) => code === 'route-overlap')?.what, /10\.44\.0\.0\/16 dev eth0/);
  await c.run(['kill', held![1]!]);
  await c.run(['nft', 'delete table inet wall']);
  await c.run(['ip', 'route', 'delete', '10.44.0.0/16']);
  await t.test('a peer can not be examined there', async (t) => {
    const { status, stderr } = await c.fabric(['doctor', 'b'], { mayFail: true });
    t.equal(status, 3);
    t.match(stderr, /b can not be examined/);
  });
}

function why(findings: readonly Finding[], code: string): string {
  return findings.find((finding) => finding.code === code)?.why ?? '';
}

async function ownFaults(t: Test, a: LabHost, c: LabHost): Promise<void> {
  for (const host of [a, c]) await host.run(['ip', 'address', 'add', `${DISPUTED}/32`, 'dev', 'eth0']);
  await a.run(['ip', 'route', 'add', '10.32.0.8/30', 'dev', 'eth0']);
  await a.run(['ethtool', '-K', 'eth0', 'gso', 'off']);
  await a.run(['sysctl', '-qw', 'net.ipv4.conf.host0.rp_filter=1']);
  const { findings } = await finds(t, a, ['route-overlap', 'address-duplicate', 'offload-off', 'rp-filter']);
  const { stdout } = await c.run(['ip', '-j', 'link', 'show', 'dev', 'eth0']);
  const [link] = JSON.parse(stdout) as readonly { readonly address: string }[];
  const duplicate = findings.find(({ code }) => code === 'address-duplicate');
  t.match(duplicate, { what: `${DISPUTED} (eth0)`, why: link!.address });
  for (const { fix } of findings.filter(({ code }) => code !== 'address-duplicate')) {
    await a.run(fix.split(' ')); // what it says mends it
  }
  for (const host of [a, c]) await host.run(['ip', 'address', 'del', `${DISPUTED}/32`, 'dev', 'eth0']);
  await finds(t, a, []);
}

/** The echo of the addon alone: peers of the lab share one link. */
async function smallerPath(t: Test, lab: Lab, a: LabHost, c: LabHost): Promise<void> {
  const d = await lab.host('d');
  await lab.inSwitch(['ip', 'link', 'add', 'far', 'type', 'bridge', 'mcast_snooping', '0']);
  await lab.inSwitch(['ip', 'link', 'set', 'far', 'up']);
  for (const host of [c, d]) await lab.connect(host, { ifname: 'eth1', mtu: FAR_MTU, bridge: 'far' });
  const commands = (lines: readonly string[]) => `${lines.join('\n')}\n`;
  const address = (ip: string, ip6: string) => [
    `address add ${ip}/24 dev eth1`,
    `address add ${ip6}/64 dev eth1 nodad`,
  ];
  await c.run(['ip', '-batch', '-'], { input: commands(address(FAR.router, FAR.router6)) });
  await c.run(['sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1']);
  const back = [`route add ${a.ip}/32 via ${FAR.router}`, `route add ${a.ip6}/128 via ${FAR.router6}`];
  await d.run(['ip', '-batch', '-'], { input: commands([...address(FAR.host, FAR.host6), ...back]) });
  const there = [`route add ${FAR.host}/32 via ${c.ip}`, `route add ${FAR.host6}/128 via ${c.ip6}`];
  await a.run(['ip', '-batch', '-'], { input: commands(there) });
  const path = new URL('../../src/host/doctor/path.js', import.meta.url).href;
  const tries = JSON.stringify([
    [FAR.host, WIDE],
    [FAR.host, FAR_MTU],
    [FAR.host6, WIDE],
    [a.ip6, WIDE],
  ]);
  const code = `import { readPath } from '${path}';
    for (const [ip, bytes] of ${tries}) console.log(JSON.stringify(await readPath(ip, bytes)));`;
  const { stdout } = await a.run(['env', '-u', 'NODE_OPTIONS', process.execPath, '--input-type=module', '-e', code]);
  const read = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { verdict: string; mtu: number | null });
  t.match(read[0], { verdict: 'too-big', mtu: FAR_MTU }, 'IPv4: too big, and what fits');
  t.match(read[1], { verdict: 'passes' }, 'IPv4: what fits passes');
  t.match(read[2], { verdict: 'too-big', mtu: FAR_MTU }, 'IPv6: too big, and what fits');
  t.match(read[3], { verdict: 'passes' }, 'IPv6: what fits passes');
}

async function exhausted(t: Test, a: LabHost, b: LabHost): Promise<void> {
  const filled = await Promise.all(
    [a, b].map(async (host) => {
      for (let i = 0; i < CONTAINERS_MAX; i++) {
        const container = await host.namespace(`full${i}`);
        if (!(await container.tryAdd())) return true;
      }
      return false;
    }),
  );
  t.same(filled, [true, true], 'no address is left');
  await a.namespace('late');
  const { stderr } = await a.fabric(['attach', 'netns:late'], { mayFail: true });
  t.match(
    stderr,
    /^ {2}why: (c .*, )?b has no free address to give/m,
    'who attaches is told so, with hosts as people know them',
  );
  const { findings } = await finds(t, a, ['address-exhausted'], ['b']);
  t.match(findings[0]?.fix, /Stop unused containers/);
}

async function wrongToken(t: Test, lab: Lab, a: LabHost, c: LabHost): Promise<void> {
  const other = (await c.fabric(['token', '--generate'])).stdout.trim();
  const [good, bad] = [await a.token(), other];
  // The cluster of the one, the secret of the other.
  t.not(good, bad);
  const daemon = lab.spawn([...c.enter(), ...c.fabricCommand(['launch', '--join', a.ip, '--token', bad])]);
  await eventually('its join was refused', async () => {
    const { stdout } = await c.fabric(['status', '--json'], { mayFail: true });
    return stdout.includes('cluster-mismatch') || stdout.includes('token-refused');
  });
  const { findings } = await doctor(c);
  t.same(
    findings.map(({ code }) => code),
    ['cluster-mismatch'],
  );
  await c.fabric(['stop']);
  await eventually('it has ended', () => daemon.exitCode !== null || daemon.signalCode !== null);
}
