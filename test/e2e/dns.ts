// Names of containers, asked with dig from inside containers: the scenarios of Weave's DNS tests and those of our own issues. One
// cluster of two hosts, whose daemons come and go; an upstream name server of the lab's stands for the host's own.

import { join } from 'node:path';
import { type Test, test } from 'tap';
import { CHECKOUT } from '../lab/checkout.ts';
import type { LabContainer } from '../lab/container.ts';
import { type DigAnswer, dig, type Place } from '../lab/dig.ts';
import { eventually } from '../lab/exec.ts';
import type { LabHost } from '../lab/host.ts';
import { Lab } from '../lab/lab.ts';

const GATEWAY = '10.32.0.1';
const DOMAIN = 'fabric.internal';
const UPSTREAM = '127.0.0.1:5353';
/** Nothing listens there. */
const NOBODY = '127.0.0.1:9';
/** How long a name may outlive its container, or its host's being declared dead. */
const GONE_WITHIN_MS = 2_000;
const MANY = 200;

interface Scene {
  readonly lab: Lab;
  readonly one: LabHost;
  readonly two: LabHost;
  /** On the first host; called `web` with the alias `db.prod`. */
  readonly web: LabContainer;
  readonly client: LabContainer;
  readonly asked: () => readonly string[];
}

test('dns', async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const [one, two] = [await lab.host('one'), await lab.host('two')];
  const asked = await upstreamOn(lab, one);
  await one.launch({ flags: ['--dns-upstream', UPSTREAM] });
  // With pcap nothing of that host outlives its daemon, which is to die.
  const flags = ['--dns-upstream', UPSTREAM, '--datapath', 'pcap'];
  await two.launch({ join: one, token: await one.token(), flags });
  const web = await one.container('c-web', named('web', 'db.prod', 'Shop_1'));
  const client = await one.container('c-client', named('client'));
  const scene: Scene = { lab, one, two, web, client, asked };
  await t.test('one host: a container finds another by name', (t) => oneHost(t, scene));
  await t.test('negative answers', (t) => negative(t, scene));
  await t.test('reverse names', (t) => reverse(t, scene));
  await t.test('unqualified names, by what CNI says of search', (t) => unqualified(t, scene));
  await t.test('names added and removed', (t) => addAndRemove(t, scene));
  await t.test('many addresses: truncated by UDP, whole by TCP', (t) => large(t, scene));
  await t.test('other names: asked of the upstream server', (t) => upstream(t, scene));
  await t.test('TM32 nobody outside is served', (t) => strangers(t, scene));
  await t.test('across hosts, and several containers of one name', (t) => acrossHosts(t, scene));
  await t.test('a restart of the daemon, and a host that dies', (t) => restartAndDeath(t, scene));
  await t.test("an administrator's firewall that drops input", (t) => firewall(t, scene));
  await t.test('port 53 is taken; another domain, nearest first, an upstream that is dead', (t) => portTaken(t, scene));
  await t.test('switched off', (t) => switchedOff(t, scene));
});

/** As a runtime names a container. */
function named(...aliases: readonly string[]) {
  return { conf: { runtimeConfig: { aliases } } };
}

/** Starts it; returns what it was asked so far. */
async function upstreamOn(lab: Lab, host: LabHost): Promise<() => readonly string[]> {
  const program = join(CHECKOUT, 'dist/test/lab/upstream-name-server.js');
  const [ip, port] = UPSTREAM.split(':');
  const child = lab.spawn([...host.enter(), 'env', '-u', 'NODE_OPTIONS', process.execPath, program, ip!, port!]);
  let said = '';
  child.stdout!.on('data', (chunk: Buffer) => {
    said += chunk.toString('utf8');
  });
  await eventually('the upstream server listens', () => said.includes('listening'));
  return () => said.split('\n').filter((line) => line.includes(' '));
}

function ask(place: Place, ...args: readonly string[]): Promise<DigAnswer> {
  return dig(place, GATEWAY, args);
}

const of = (name: string): string => `${name}.${DOMAIN}`;

async function oneHost(t: Test, { web, client, one }: Scene): Promise<void> {
  const answer = await ask(client, of('web'));
  t.same(answer.data, [web.ip]);
  t.ok(answer.flags.includes('aa'), 'authoritative');
  t.same((await ask(client, of('web'), 'AAAA')).data, [web.ip6]);
  t.same((await ask(client, of('WeB'))).data, [web.ip], 'case does not matter');
  t.match((await ask(client, of('WeB'))).text, `WeB.${DOMAIN}.`, 'and comes back as it was asked');
  t.same((await ask(client, of('db.prod'))).data, [web.ip], 'an alias below a subdomain');
  t.same((await ask(client, of('shop_1'))).data, [web.ip], 'an alias as a runtime makes it');
  t.same((await ask(client, of('web'), '+tcp')).data, [web.ip], 'by TCP');
  const gateway6 = (await one.run(['ip', '-6', '-o', 'address', 'show', 'dev', 'fabric0', 'scope', 'global'])).stdout;
  const server6 = /inet6 ([0-9a-f:]+)\/128/.exec(gateway6)![1]!;
  t.same((await dig(client, server6, [of('web')])).data, [web.ip], 'over IPv6');
  const { dns, nameServer } = await one.status();
  t.match(
    dns.find(({ name }) => name === of('web')),
    { ips: [`${web.ip}/12`, `${web.ip6}/48`], network: 'fabric' },
  );
  t.match(nameServer, { state: 'serving', domain: DOMAIN, addresses: [GATEWAY, server6], upstreams: [UPSTREAM] });
}

async function negative(t: Test, { client }: Scene): Promise<void> {
  const missing = await ask(client, of('nobody'));
  t.equal(missing.status, 'NXDOMAIN');
  t.same(missing.authority, [`${DOMAIN}. SOA`]);
  const noData = await ask(client, of('web'), 'MX');
  t.same([noData.status, noData.data, noData.authority], ['NOERROR', [], [`${DOMAIN}. SOA`]]);
  const between = await ask(client, of('prod'));
  t.same([between.status, between.data], ['NOERROR', []], 'what has names below it is there (RFC 8020)');
  t.equal((await ask(client, DOMAIN, 'SOA')).data.length, 1);
  t.equal((await ask(client, of('web'), 'AXFR')).data.length, 0, 'no transfers');
}

async function reverse(t: Test, { client, web }: Scene): Promise<void> {
  t.same(
    (await ask(client, '-x', web.ip)).data.toSorted(),
    [of('db.prod'), of('shop_1'), of('web')].map((n) => `${n}.`),
  );
  t.equal((await ask(client, '-x', web.ip6)).data.length, 3);
  const nobody = await ask(client, '-x', '10.47.1.2');
  t.equal(nobody.status, 'NXDOMAIN');
  t.same(nobody.authority, ['47.10.in-addr.arpa. SOA']);
}

async function unqualified(t: Test, { client, web }: Scene): Promise<void> {
  const dns = client.result?.dns;
  t.same(dns, { nameservers: [GATEWAY], search: [DOMAIN] }, 'the CNI result says it');
  t.same((await ask(client, '+search', `+domain=${dns?.search?.[0]}`, 'web')).data, [web.ip]);
}

async function addAndRemove(t: Test, { one, two, client, web }: Scene): Promise<void> {
  await one.fabric(['dns', 'add', 'printer', '192.0.2.77', '2001:db8::77']);
  await one.fabric(['dns', 'add', of('Front'), web.ip]);
  t.same((await ask(client, of('printer'))).data, ['192.0.2.77']);
  t.same((await ask(client, of('printer'), 'AAAA')).data, ['2001:db8::77']);
  t.same((await ask(client, of('front'))).data, [web.ip]);
  t.match((await one.fabric(['dns', 'ls'])).stdout, of('printer'));
  t.equal((await one.fabric(['dns', 'lookup', 'front'])).stdout, `${web.ip}\n`);
  await eventually('the other host knows it', async () => {
    return (await two.fabric(['dns', 'lookup', 'printer'], { mayFail: true })).stdout.startsWith('192.0.2.77\n');
  });
  const foreign = await two.fabric(['dns', 'rm', 'printer'], { mayFail: true });
  t.equal(foreign.status, 1);
  t.match(foreign.stderr, 'was not added on this host');
  await one.fabric(['dns', 'rm', 'printer', '192.0.2.77']);
  t.same((await ask(client, of('printer'))).data, []);
  await one.fabric(['dns', 'rm', 'printer']);
  t.equal((await ask(client, of('printer'), 'AAAA')).status, 'NXDOMAIN');
  const free = await one.fabric(['dns', 'add', 'free', '10.32.200.200'], { mayFail: true });
  t.match(free.stderr, 'no container has 10.32.200.200 now');
}

async function large(t: Test, { one, client }: Scene): Promise<void> {
  const ips = Array.from({ length: MANY }, (_, i) => `198.51.100.${i}`);
  await one.fabric(['dns', 'add', 'many', ...ips]);
  const plain = await ask(client, of('many'), '+noedns', '+ignore');
  t.ok(plain.flags.includes('tc'));
  t.ok(plain.data.length > 10 && plain.data.length < 32, `${plain.data.length} fit into 512 octets`);
  const edns = await ask(client, of('many'), '+bufsize=4096', '+ignore');
  t.ok(
    edns.flags.includes('tc') && edns.data.length > plain.data.length,
    'EDNS makes room, and 1,232 octets are the limit',
  );
  const whole = await ask(client, of('many'));
  t.same(whole.data.toSorted(), ips.toSorted(), 'dig comes again by TCP and gets all');
  await one.fabric(['dns', 'rm', 'many']);
}

async function upstream(t: Test, { client, asked }: Scene): Promise<void> {
  t.same((await ask(client, 'www.example.test')).data, ['203.0.113.80']);
  t.same((await ask(client, 'WWW.example.test')).data, ['203.0.113.80']);
  t.same(asked(), ['udp www.example.test'], 'the second answer came from the cache');
  const denied = await ask(client, 'nobody.example.test');
  t.same([denied.status, denied.authority], ['NXDOMAIN', ['example.test. SOA']]);
  const big = await ask(client, 'large.example.test');
  t.equal(big.data.length, 300, 'truncated upstream: asked again by TCP, on both sides');
  const startMs = performance.now();
  t.equal((await ask(client, 'silent.example.test')).status, 'SERVFAIL');
  t.ok(performance.now() - startMs < 5_000, 'before a resolver gives up');
  t.notOk(
    asked().some((line) => line.endsWith(DOMAIN)),
    'our own names are never asked of others',
  );
}

async function strangers(t: Test, { one, two, web }: Scene): Promise<void> {
  const refused = await ask(one, '-b', one.ip, of('web'));
  t.same([refused.status, refused.data], ['REFUSED', []], 'an address of the host that is on no network of ours');
  t.same((await ask(one, of('web'))).data, [web.ip], 'the host itself is served');
  await two.run(['ip', 'route', 'add', '10.32.0.1/32', 'via', one.ip, 'dev', 'eth0', 'table', '99']);
  await two.run(['ip', 'rule', 'add', 'priority', '1', 'to', '10.32.0.1', 'ipproto', 'udp', 'lookup', '99']);
  // The gateway's address of that host itself is local and goes first; only then can a packet leave for it.
  await two.run(['ip', 'rule', 'add', 'priority', '2', 'lookup', 'local']);
  await two.run(['ip', 'rule', 'delete', 'priority', '0']);
  const answer = await dig(two, GATEWAY, ['-b', two.ip, '+time=1', of('web')]);
  t.equal(answer.status, '', 'from the underlay not even that');
  const { stdout } = await one.run(['nft', 'list', 'chain', 'inet', 'fabric', 'input']);
  t.match(stdout, new RegExp(`ip daddr ${GATEWAY} .*counter packets [1-9]`), 'the packet filter drops it');
  await two.run(['ip', 'rule', 'add', 'priority', '0', 'lookup', 'local']);
  await two.run(['ip', 'rule', 'delete', 'priority', '1']);
  await two.run(['ip', 'rule', 'delete', 'priority', '2']);
  await two.run(['ip', 'route', 'flush', 'table', '99']);
}

async function acrossHosts(t: Test, { one, two, client, web }: Scene): Promise<void> {
  const other = await two.container('c-web2', named('web'));
  const gone = await two.container('c-gone', named('gone'));
  await eventually('the other host answers for both', async () => (await ask(other, of('web'))).data.length === 2);
  await eventually('and the first host', async () => (await ask(client, of('web'))).data.length === 2);
  const firsts: (string | undefined)[] = [];
  for (let i = 0; i < 4; i++) firsts.push((await ask(client, of('web'))).data[0]);
  t.ok(firsts[0] === firsts[2] && firsts[1] === firsts[3] && firsts[0] !== firsts[1], 'each in turn');
  t.same((await ask(client, of('gone'))).data, [gone.ip]);
  await one.fabric(['dns', 'add', 'handle', gone.ip]);
  await gone.remove();
  const tookMs = await eventually(
    'the name goes with its container',
    async () => (await ask(client, of('gone'))).status === 'NXDOMAIN',
    { timeoutMs: GONE_WITHIN_MS },
  );
  t.comment(`gone after ${Math.round(tookMs)} ms`);
  t.equal((await ask(client, of('handle'))).status, 'NXDOMAIN', 'so does what was added to it');
  await one.fabric(['dns', 'rm', 'handle']);
  t.same((await ask(client, '-x', web.ip)).status, 'NOERROR');
}

async function restartAndDeath(t: Test, { one, two, client, web }: Scene): Promise<void> {
  await one.fabric(['dns', 'add', 'kept', '192.0.2.78']);
  await one.fabric(['stop']);
  await one.fabric(['launch', '--detach']);
  t.same((await ask(client, of('kept'))).data, ['192.0.2.78']);
  t.ok((await ask(client, of('web'))).data.includes(web.ip), 'names stand after a restart');
  await one.waitReady(1);
  await eventually('both again', async () => (await ask(client, of('web'))).data.length === 2);
  await two.kill('KILL');
  await eventually('the other host is declared dead', async () =>
    (await one.status()).peers.every(({ state }) => state === 'dead'),
  );
  const tookMs = await eventually('its names are gone', async () => (await ask(client, of('web'))).data.length === 1, {
    timeoutMs: GONE_WITHIN_MS,
  });
  t.comment(`gone ${Math.round(tookMs)} ms after its host was declared dead`);
  t.same((await ask(client, of('web'))).data, [web.ip]);
  await two.fabric(['launch', '--detach']);
  await eventually('it returns with its names', async () => (await ask(client, of('web'))).data.length === 2);
}

async function firewall(t: Test, { one, client, web }: Scene): Promise<void> {
  await one.run([
    'nft',
    'add table inet admin; add chain inet admin input { type filter hook input priority 10; policy drop; };' +
      'add rule inet admin input iifname { "eth0", "lo" } accept',
  ]);
  await eventually('the name server is let through', async () => {
    return (await ask(client, '+time=1', of('web'))).data.includes(web.ip);
  });
  t.same((await ask(client, '+tcp', of('web'))).data.length, 2);
  const { stdout } = await one.run(['nft', 'list', 'chain', 'inet', 'admin', 'input']);
  const ours = stdout.split('\n').filter((line) => line.includes('fabric0'));
  t.ok(
    ours.length === 4 && ours.every((line) => / daddr [0-9a-f.:]+ (udp|tcp) dport 53 /.test(line)),
    'and nothing else',
  );
  t.notOk(await client.pings(GATEWAY), 'what the administrator drops stays dropped');
  await one.run(['nft', 'delete', 'table', 'inet', 'admin']);
}

async function portTaken(t: Test, { lab, one, client, web }: Scene): Promise<void> {
  const boundTo53 = async () => (await one.run(['ss', '-Hlun', 'sport', '=', ':53'])).stdout;
  await one.fabric(['stop']);
  t.equal(await boundTo53(), '', 'a daemon that has stopped holds no port');
  lab.spawn([...one.enter(), 'socat', '-u', 'UDP4-RECV:53', 'STDOUT']);
  await eventually('the port is taken', async () => (await boundTo53()) !== '');
  const names = ['--dns-domain', 'cluster.example', '--dns-order', 'nearest'];
  await one.fabric(['launch', '--detach', ...names, '--dns-upstream', NOBODY, '--dns-upstream', UPSTREAM]);
  const { health, nameServer } = await one.status();
  t.equal(nameServer.state, 'failed');
  const holder = /held by socat \(process (\d+)\) on UDP 0\.0\.0\.0:53/.exec(nameServer.reason ?? '')?.[1];
  t.ok(holder, nameServer.reason ?? 'no reason');
  t.ok(health.problems.some(({ code }) => code === 'name-server'));
  await one.run(['kill', '-KILL', holder ?? '']);
  await eventually(
    'it is served once the port is free',
    async () => (await one.status()).nameServer.state === 'serving',
  );
  t.same((await ask(client, 'db.prod.cluster.example')).data, [web.ip], 'with the other domain');
  t.same((await ask(client, 'www.example.test')).data, ['203.0.113.80'], 'a dead upstream gives way to the next');
  await one.waitReady(1);
  await eventually('both', async () => (await ask(client, 'web.cluster.example')).data.length === 2);
  for (let i = 0; i < 3; i++) t.equal((await ask(client, 'web.cluster.example')).data[0], web.ip, 'the near one first');
}

async function switchedOff(t: Test, { one, client }: Scene): Promise<void> {
  await one.fabric(['stop']);
  await one.fabric(['launch', '--detach', '--no-dns']);
  t.equal((await ask(client, '+time=1', 'web.cluster.example')).status, '', 'nobody answers');
  const plain = await one.container('c-plain');
  t.same(plain.result?.dns, {}, 'and no container is told of a server');
  t.equal((await one.status()).nameServer.state, 'off');
}
