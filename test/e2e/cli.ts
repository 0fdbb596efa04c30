// The fabric command as its user meets it: every mistake gets an exit code and a sentence that helps, every verb does what
// its name says, and none of it needs anything but the local socket.

import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { end, eventually, exec, type Result } from '../lab/exec.ts';
import type { LabHost } from '../lab/host.ts';
import { Lab } from '../lab/lab.ts';

const DONE = 0;
const FAILED = 1;
const USAGE = 2;
const UNREACHABLE = 3;

/** Rows of: arguments, exit code, what the error says. */
type Row = readonly [args: readonly string[], status: number, says: RegExp];

const TOKEN_OF_NOBODY = 'fabric1-nonsense';

const WITHOUT_DAEMON: readonly Row[] = [
  [['status'], UNREACHABLE, /no fabric daemon answers.*\n.*why.*\n.*fabric launch/],
  [['ps'], UNREACHABLE, /no fabric daemon answers/],
  [['token'], UNREACHABLE, /no fabric daemon answers/],
  [['connect', '192.0.2.1'], UNREACHABLE, /no fabric daemon answers/],
  [['expose'], UNREACHABLE, /no fabric daemon answers/],
  [['hide'], UNREACHABLE, /no fabric daemon answers/],
  [['stop'], UNREACHABLE, /no fabric daemon answers/],
  [['attach', 'netns:nothing'], FAILED, /netns:nothing can't be opened/],
  [['attach', 'nonsense'], USAGE, /pid:N, netns:NAME/],
  [['attach', 'pid:4194304'], FAILED, /can't be opened.*\n.*\n.*ps lists them/],
  [['attach', 'docker:nobody'], FAILED, /was not found running.*\n.*why.*\n.*docker ps/],
  [
    ['attach', 'podman:nobody'],
    FAILED,
    /^fabric: the podman container nobody was not found running\n.*why.*\n.*podman ps/,
  ],
  [['status', 'nonsense'], USAGE, /no status section nonsense/],
  [['status', '--limit', 'x'], USAGE, /--limit x/],
  [['status', '--wait', '--timeout', 'soon'], USAGE, /--timeout soon.*\n.*30s or 2m/],
  [['status', '--wait', '--timeout', '1s'], FAILED, /not healthy after 1 s/],
  [['status', '--peer', 'x'], USAGE, /chosen in a section/],
  [['events'], UNREACHABLE, /no fabric daemon answers/],
  [['events', '--limit', '0'], USAGE, /--limit 0/],
  [['events', '--kind', 'x'], USAGE, /--kind x is unknown/],
  [['lunch'], USAGE, /unknown command 'lunch'.*\n.*launch/],
  [['--run-dir', '/x', 'status'], USAGE, /unknown option '--run-dir'\n.*after the verb/],
  [['status', '--jsn'], USAGE, /unknown option '--jsn'[\s\S]*fabric status --help/],
  [['launch', '--join', '192.0.2.1'], USAGE, /--join needs the cluster's token/],
  [['launch', '--join', '192.0.2.1', '--token', TOKEN_OF_NOBODY], FAILED, /token.*malformed|not a token/],
  [['launch', '--join', '192.0.2.1', '--token-file', '/nonexistent'], USAGE, /nonexistent can't be read/],
  [['launch', '--join', 'a b'], USAGE, /--join a b is no host/],
  [['launch', '--init', '--join', '192.0.2.1'], USAGE, /contradict/],
  [['launch', '--token', TOKEN_OF_NOBODY], USAGE, /without --join/],
  [['launch', '--range', '10.1.2.3/8'], USAGE, /--range 10.1.2.3\/8 is no CIDR block/],
  [['launch', '--range', '10.0.0.0/31'], USAGE, /between \/4 and \/29/],
  [['launch', '--range6', '10.0.0.0/8'], USAGE, /no IPv6 block/],
  [['launch', '--mtu', '500'], USAGE, /--mtu 500 is not a number from/],
  [['launch', '--port', '0'], USAGE, /--port 0/],
  [['launch', '--bridge', 'a/b'], USAGE, /--bridge a\/b/],
  [['launch', '--nickname', 'a b'], USAGE, /--nickname "a b"/],
  [['launch', '--log-level', 'loud'], USAGE, /--log-level loud/],
  [['launch', '--datapath', 'magic'], USAGE, /--datapath magic is unknown/],
  [['launch', '--datapath', 'vxlan'], USAGE, /--datapath vxlan needs --trusted-subnets/],
  [['launch', '--http', '0.0.0.0:6784'], USAGE, /--http 0\.0\.0\.0:6784 would be open to everybody/],
  [['launch', '--http', 'x'], USAGE, /--http x is no address with a port/],
  [['launch', '--trusted-subnets', '192.0.2.1'], USAGE, /--trusted-subnets "192.0.2.1" is no CIDR block/],
  [['launch', '--ca', 'x'], USAGE, /--ca needs --cert and --key/],
  [['launch', '--cert', 'x'], USAGE, /--cert needs --key/],
  [['launch', '--cert', '/nonexistent', '--key', 'x'], FAILED, /nonexistent can't be read/],
  [['revoke'], USAGE, /missing required argument/],
  ...['network create', 'doctor', 'trace', 'capture'].map((verb): Row => {
    return [[...verb.split(' '), 'x', '--flag'], USAGE, /unknown option '--flag'/];
  }),
  [['network', 'x'], USAGE, /unknown command 'x'\n.*fabric network --help/],
  [['trace', 'x'], USAGE, /missing required argument 'to'\n.*fabric trace --help/],
  [['completion', 'csh'], USAGE, /'csh' is invalid.*bash, zsh, fish/],
  [['token', 'rotate', '--grace', 'soon'], USAGE, /no time/],
  [['launch', '--dns-domain', 'a b'], USAGE, /can't be the domain of containers/],
  [['dns', 'add', 'web'], USAGE, /missing required argument 'ip'/],
];

async function check(t: Test, host: LabHost, [args, status, says]: Row): Promise<void> {
  const result = await host.fabric(args, { mayFail: true });
  const name = `fabric ${args.join(' ')}`;
  t.equal(result.status, status, `${name}: exit code ${status}`);
  t.match(result.stderr, says, `${name}: says why`);
  t.notMatch(result.stderr, /^ {4}at /m, `${name}: shows no stack`);
}

test('mistakes on the command line', async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  // Each with a state directory of its own: two launches in one would tell each other so.
  const [host, other] = [await lab.host('a'), await lab.host('b')];
  const rows = [...WITHOUT_DAEMON];
  const work = async (place: LabHost): Promise<void> => {
    for (let row = rows.pop(); row !== undefined; row = rows.pop()) await check(t, place, row);
  };
  await Promise.all([work(host), work(other)]);
  for (const args of [[], ['--help'], ['launch', '--help']]) {
    const { status, stdout } = await host.fabric(args, { mayFail: true });
    t.equal(status, DONE, `fabric ${args.join(' ')}`);
    t.match(stdout, /fabric launch/, 'teaches');
  }
  t.match((await host.fabric(['--version'])).stdout, /^fabric \d+\.\d+\.\d+\n$/);
  t.match(
    (await host.fabric(['token', '--generate'])).stdout,
    /^fabric1-\S+\n$/,
    'a token and a newline, nothing else',
  );
});

/** Another user who may read every file, so that only what fabric asks for is missing. */
const AS_NOBODY = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups'].concat([
  '--inh-caps',
  '+dac_read_search',
  '--ambient-caps',
  '+dac_read_search',
]);

test('what stands in the way on the host', async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const host = await lab.host('a');
  const fails = async (what: string, result: Result, says: RegExp): Promise<void> => {
    t.equal(result.status, FAILED, `${what}: exit code 1`);
    t.match(result.stderr, says, `${what}: says why`);
    t.equal((await host.fabric(['status'], { mayFail: true })).status, UNREACHABLE, `${what}: no daemon is left`);
  };
  const launch = (...flags: readonly string[]) => host.fabric(['launch', '--detach', ...flags], { mayFail: true });

  const nobody = await host.run([...AS_NOBODY, ...host.fabricCommand(['launch'])], { mayFail: true });
  await fails('not root', nobody, /needs root.*\n.*\n.*sudo/);
  const unsetup = await host.run([...AS_NOBODY, ...host.fabricCommand(['setup', 'cni'])], { mayFail: true });
  await fails('set-up without root', unsetup, /^fabric: EACCES.*\/opt\/cni\/bin.*\n.*sudo\)\n$/);
  const powerless = ['setpriv', '--bounding-set', '-net_admin', '--inh-caps', '-net_admin'];
  const unable = await host.run([...powerless, ...host.fabricCommand(['launch', '--detach'])], { mayFail: true });
  await fails('root without CAP_NET_ADMIN', unable, /CAP_NET_ADMIN/);

  await host.run(['ip', 'route', 'add', 'blackhole', '10.40.1.0/24']);
  await fails(
    'range of a route',
    await launch(),
    /10\.32\.0\.0\/12 overlaps a route.*\n.*10\.40\.1\.0\/24.*\n.*--range/,
  );
  await host.run(['ip', 'route', 'delete', 'blackhole', '10.40.1.0/24']);
  for (const kind of ['TCP', 'UDP']) {
    const enter = ['nsenter', '-t', String(host.pid), '-n', '--'];
    const holder = lab.spawn([...enter, 'socat', '-u', `${kind}6-LISTEN:6783`, 'STDOUT']);
    await eventually('the port is taken', async () => {
      return (await host.run(['ss', '-Hln', 'sport', '=', ':6783'])).stdout !== '';
    });
    await fails(`${kind} port in use`, await launch(), /6783[\s\S]*in use[\s\S]*--port/);
    await end(holder);
  }

  t.match(await launch(), { status: DONE, stderr: '' }, 'nothing in the way');
  const unread = await host.run([...AS_NOBODY, ...host.fabricCommand(['status'])], { mayFail: true });
  t.equal(unread.status, FAILED);
  t.match(unread.stderr, /open to root only/, 'the socket is for root');
  const second = await host.fabric(['launch', '--run-dir', '/run/other'], { mayFail: true });
  t.equal(second.status, FAILED);
  t.match(second.stderr, /in use.*\n.*another fabric daemon/, 'a second daemon on the same state');
  await host.fabric(['stop']);
  await check(t, host, [
    ['launch', '--detach', '--listen', '203.0.113.9'],
    USAGE,
    /no interface of this host has that/,
  ]);
  const contradictions: readonly Row[] = [
    [['launch', '--range', '10.96.0.0/12'], FAILED, /10\.96\.0\.0\/12.*10\.32\.0\.0\/12/],
    [['launch', '--lease-prefix', '26'], FAILED, /26.*24/],
    [['launch', '--token', (await host.fabric(['token', '--generate'])).stdout.trim()], FAILED, /belongs to/],
  ];
  for (const row of contradictions) await check(t, host, row);
  t.match(
    await launch(),
    { status: DONE, stderr: '' },
    'and resumes with no flags: one that did not work is not remembered',
  );

  const joiner = await lab.host('b');
  const token = await host.token();
  await check(t, joiner, [
    ['launch', '--detach', '--join', joiner.ip, '--token', token],
    FAILED,
    /told to join itself.*\n.*192\.0\.2\.12:6783 is this very host/,
  ]);
  lab.spawn([...joiner.enter(), ...joiner.fabricCommand(['launch', '--join', '192.0.2.99', '--token', token])]);
  await eventually('status says why a host has not joined', async () => {
    const { status, stdout } = await joiner.fabric(['status', '--json'], { mayFail: true });
    return status === DONE && /can't join 192\.0\.2\.99/.test(stdout);
  });
  t.match((await joiner.fabric(['status'])).stdout, /can't join 192\.0\.2\.99/, 'in the table for people, too');
  t.same((await joiner.status()).peers, [], 'and it is nobody’s peer');
  await joiner.fabric(['connect', host.ip]);
  await joiner.waitReady(1);
});

test('attach, detach, ps, expose, hide, stop, reset', async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const host = await lab.host('a');
  await host.launch();
  const one = await host.namespace('one');
  const two = await host.namespace('two');

  const { stdout } = await host.fabric(['attach', 'netns:one']);
  const [ip, ip6] = stdout.trim().split('\n');
  t.match(ip, /^10\.32\.\d+\.\d+\/12$/, 'attach prints the IPv4 address');
  t.match(ip6, /^fd\S+\/48$/, 'and the IPv6 one');
  t.match((await one.run(['ip', 'address', 'show', 'eth0'])).stdout, ip!, 'which is on eth0');
  t.match((await one.run(['ip', 'route'])).stdout, /default via 10\.32\.0\.1/, 'with a default route');
  await check(t, host, [['attach', 'netns:one'], FAILED, /already has eth0/]);
  await host.fabric(['attach', '/run/netns/two', '--ip', '10.32.0.77', '--ifname', 'net1', '--name', 'db']);
  t.ok(await one.pings('10.32.0.77'), 'two attached namespaces talk');
  await check(t, host, [['attach', 'netns:one', '--ifname', 'eth1', '--ip', '10.32.0.77'], FAILED, /in use/]);
  await check(t, host, [['attach', 'netns:one', '--ifname', 'eth1', '--ip', '192.0.2.7'], FAILED, /192\.0\.2\.7/]);
  t.match((await host.fabric(['ps'])).stdout, /netns-\d+ +eth0 .*one.*\n.*netns-\d+ +net1 .*10\.32\.0\.77.*db/);

  t.match((await host.fabric(['network', 'ls'])).stdout, /^fabric +0 .* 1 +fabric0 +active$/m, 'this host counts');
  await host.fabric(['hide']);
  t.match((await host.fabric(['status'])).stdout, /^address +none on the overlay/m, 'status says so');
  t.equal((await host.run(['ip', 'link', 'show', 'host0'], { mayFail: true })).status, FAILED, 'hidden');
  await host.fabric(['stop']);
  await check(t, host, [['stop'], UNREACHABLE, /no fabric daemon answers/]);
  await host.launch();
  t.notMatch(await host.run(['cat', '/var/lib/fabric/fabric.log']), /engine of before/, 'a stopped engine is no news');
  t.equal((await host.run(['ip', 'link', 'show', 'host0'], { mayFail: true })).status, FAILED, 'still hidden');
  t.not((await host.run(['ip', 'route', 'get', '10.32.9.9'], { mayFail: true })).status, DONE, 'no way to the overlay');
  const [exposed] = (await host.fabric(['expose'])).stdout.trim().split('\n');
  t.match((await host.run(['ip', 'route', 'get', '10.32.9.9'])).stdout, `host0 src ${exposed}`, 'exposed: on host0');
  t.ok(await one.pings(exposed!), 'where containers reach it');

  await host.fabric(['detach', 'netns:one']);
  t.equal((await one.run(['ip', 'link', 'show', 'eth0'], { mayFail: true })).status, FAILED, 'detached');
  await check(t, host, [['detach', 'netns:one'], FAILED, /no eth0 that fabric attach made/]);
  await check(t, host, [['reset', '--yes'], USAGE, /attached: db 10\.32\.0\.77.*(\n.*)*--force/]);
  t.equal((await two.run(['ip', 'link', 'show', 'net1'])).status, DONE, 'a refused reset changes nothing');
  await check(t, host, [['reset', '--force'], USAGE, /--yes/]);
  await host.fabric(['reset', '--yes', '--force']);
  t.equal((await two.run(['ip', 'link', 'show', 'net1'], { mayFail: true })).status, FAILED, 'cut off');
  t.match((await host.launch()).stdout, /created a NEW cluster/, 'after reset a launch begins anew');
});

test('a full disk is told, survived, and keeps nobody from leaving', async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const host = await lab.host('a');
  await host.run(['mount', '-t', 'tmpfs', '-o', 'size=400k', 'none', '/var/lib/fabric']);
  await host.launch();
  await host.namespace('one');
  await host.namespace('two');
  const fill = () => host.run(['sh', '-c', 'cat /dev/zero > /var/lib/fabric/fill'], { mayFail: true });
  await fill();
  await check(t, host, [['attach', 'netns:one'], FAILED, /can't be written.*\n.*disk is full/]);
  const { problems } = (await host.status()).health;
  t.match(problems, [{ code: 'state-unwritable', why: /disk is full/, fix: /df/ }], 'status says what keeps it');
  await host.run(['rm', '/var/lib/fabric/fill']);
  t.ok((await host.status()).health.ok, 'and no longer once there is space');
  await host.fabric(['attach', 'netns:one']);
  await fill();
  await check(t, host, [['attach', 'netns:two'], FAILED, /can't be written/]);
  await check(t, host, [['reset', '--yes', '--force'], DONE, /attached: one/]);
  t.equal((await host.run(['ip', 'link', 'show', 'fabric0'], { mayFail: true })).status, FAILED, 'nothing is left');
});

test('whoever reads the output may be slow, or go', async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const host = await lab.host('a');
  // What answers on that socket is this test, with a status of a large cluster.
  const routes = Array.from({ length: 10_000 }, (_, i) => ({ network: 'fabric', mac: `02:00:00:00:00:${i}`, ips: [] }));
  const runDir = mkdtempSync(join(tmpdir(), 'fabric-reader-'));
  const server = createServer((_, response) => response.end(JSON.stringify({ routes })));
  t.teardown(() => {
    server.close();
    rmSync(runDir, { recursive: true });
  });
  await new Promise<void>((resolve) => server.listen(`${runDir}/fabric.sock`, resolve));
  const piped = (args: readonly string[], reader: string): readonly string[] => {
    return ['sh', '-c', `"$@" 2>&1 | ${reader}`, 'sh', ...host.fabricCommand(args)];
  };
  const status = ['status', '--json', '--run-dir', runDir];
  t.same(JSON.parse((await exec(piped(status, 'cat'))).stdout), { routes }, 'a pipe carries all of a large status');
  t.match(await exec(piped(status, 'head -n 1')), { status: DONE, stdout: '{\n' }, 'and nobody is told of its end');

  lab.spawn([...host.enter(), ...piped(['launch'], 'head -n 1')]);
  await host.fabric(['status', '--wait']);
  await host.fabric(['hide']);
  t.equal((await host.fabric(['status'])).status, DONE, 'a daemon outlives who reads its log');
});
