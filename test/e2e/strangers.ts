// Hosts that do not belong: one with the cluster's id and another secret, one with another cluster's token, a member of a cluster
// of its own, and one of a version that speaks no protocol of ours. They are refused with a reason on both sides, both sides live
// on, they are never among the peers, and whatever they throw at UDP 6783 (garbage, forged data, replays of what they overheard) is
// counted and delivered to nobody.

import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { formatToken, generateToken, parseToken } from '../../src/base/token.ts';
import type { Status } from '../../src/daemon/status-types.ts';
import { PROTOCOL, VERSION } from '../../src/daemon/version.ts';
import { nodeCrypto } from '../../src/host/node-crypto.ts';
import { nodeRandom } from '../../src/host/node-random.ts';
import { DATA_DATAGRAM_MIN, DatagramType, WIRE_VERSION } from '../../src/router/wire-format.ts';
import { udpPayloads } from '../lab/capture-file.ts';
import { CHECKOUT } from '../lab/checkout.ts';
import { end, eventually, type Result } from '../lab/exec.ts';
import { FUTURE_VERSION } from '../lab/future-host.ts';
import type { LabHost } from '../lab/host.ts';
import { type Capture, Lab } from '../lab/lab.ts';
import { Traffic } from '../lab/traffic.ts';
import { UDP_PORT } from '../lab/traffic-agent.ts';

const MESH_PORT = 6783;
const BROADCAST = '255.255.255.255';
/** Datagrams thrown before the victim is asked whether it has counted them: fewer than its socket's buffer holds. */
const VOLLEY = 40;

test('strangers', async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const [a, b] = [await lab.host('a'), await lab.host('b')];
  await a.launch();
  const token = await a.token();
  const capture = await lab.capture('overheard');
  await b.launch({ join: a, token });

  const [stranger, lost] = [await lab.host('stranger'), await lab.host('lost')];
  const other = formatToken(generateToken(nodeRandom), nodeCrypto);
  const detached = lost.fabric(['launch', '--detach', '--join', a.ip, '--token-file', '-'], {
    input: other,
    mayFail: true,
    timeoutMs: 15_000,
  });
  await t.test('TM12 a token with the wrong secret', (t) =>
    wrongToken(t, lab, { a, stranger, token: wrongSecret(token) }),
  );
  await t.test("another cluster's token", async (t) => {
    givenUp(t, a, await detached);
    t.equal((await lost.fabric(['status'], { mayFail: true })).status, 3, 'no daemon is left');
    await wrongToken(t, lab, { a, stranger: lost, token: other, code: 'cluster-mismatch' });
  });
  await t.test('a member of another cluster', async (t) => anotherCluster(t, a, await lab.host('foreign')));
  await t.test('a host of a later protocol: both sides name both versions', async (t) => {
    await laterProtocol(t, lab, { a, future: await lab.host('future'), token });
  });
  await t.test('TM1 TM3 TM16 datagrams of a stranger reach no container', (t) =>
    datagrams(t, lab, { a, b, stranger, capture }),
  );
  await t.test('the members know each other alone', async (t) => {
    t.same(nicknames(await a.status()), ['b']);
    t.same(nicknames(await b.status()), ['a']);
    const met = (await logOf(a)).filter(({ event }) => event === 'peer alive' || event === 'link up');
    t.same([...new Set(met.map(({ peer }) => peer))], [(await b.status()).self.id], 'a never met anybody else');
    t.ok((await a.status()).health.ok && (await b.status()).health.ok, 'and both are healthy');
  });
  await t.test('refusals do not fill the log', async (t) => {
    const lines = (await logOf(a)).filter(({ code }) => code !== undefined);
    const told = lines.map(({ event, code }) => `${code}: ${event}`);
    t.same(told, [...new Set(told)], 'each refusal is told once, however often they try');
  });
  await t.test('with the right token the same host gets in', async (t) => {
    await stranger.fabric(['stop']);
    await stranger.launch({ join: a, token });
    await stranger.waitReady(2);
    t.same(nicknames(await a.status()), ['b', 'stranger']);
  });
});

function wrongSecret(token: string): string {
  const { clusterId, generation } = parseToken(token, nodeCrypto);
  return formatToken({ clusterId, generation, secret: randomBytes(32) }, nodeCrypto);
}

interface Attempt {
  readonly a: LabHost;
  readonly stranger: LabHost;
  readonly token: string;
  readonly code?: string;
}

async function wrongToken(t: Test, lab: Lab, { a, stranger, token, code = 'token-refused' }: Attempt): Promise<void> {
  const launch = stranger.fabricCommand(['launch', '--join', a.ip]);
  lab.spawn([...stranger.enter(), 'env', `FABRIC_TOKEN=${token}`, ...launch]);
  await eventually('the joiner says why it is refused', async () => {
    const { status, stdout } = await stranger.fabric(['status', '--json'], { mayFail: true });
    return status === 0 && (JSON.parse(stdout) as Status).health.problems.some((problem) => problem.code === code);
  });
  const { health, self, peers, targets } = await stranger.status();
  const problem = health.problems.find((one) => one.code === code)!;
  t.comment(`joiner: ${problem.what}: ${problem.why}. ${problem.fix}`);
  t.match(problem.what, a.ip, 'it names the host that it asked');
  t.match(problem.fix, 'fabric token', 'it says what to do');
  t.same({ clusterId: self.clusterId, peers }, { clusterId: null, peers: [] }, 'it has joined nothing');
  t.equal(targets[0]?.host, `${a.ip}:${MESH_PORT}`);
  await eventually('the member says whom it refused', async () => (await refusals(a, stranger)).length > 0);
  const [refused] = await refusals(a, stranger);
  t.equal(refused!.code, code, `member: ${refused!.event}: ${refused!.why}`);
  t.ok((await a.status()).health.ok, 'the member is healthy');
  t.notOk((await stranger.run(['ls', '/var/lib/fabric'])).stdout.includes('.db'), 'the joiner has kept nothing');
}

/** With --detach nobody watches it try: the command says why and ends, long before it would give up a host that does not answer. */
function givenUp(t: Test, a: LabHost, { status, stderr }: Result): void {
  t.equal(status, 1);
  t.match(
    stderr,
    new RegExp(`^fabric: can't join ${a.ip}:6783\n  why: it belongs to cluster .*\n  do:  Use the token`),
  );
}

async function anotherCluster(t: Test, a: LabHost, foreign: LabHost): Promise<void> {
  await foreign.launch();
  for (const [from, to] of [
    [foreign, a],
    [a, foreign],
  ] as const) {
    await from.fabric(['connect', to.ip]);
    await eventually(`${from.name} says that ${to.name} is of another cluster`, async () => {
      const target = (await from.status()).targets.find(({ host }) => host === `${to.ip}:${MESH_PORT}`);
      return /belongs to cluster/.test(target?.error ?? '');
    });
    await eventually(`${to.name} says whom it refused`, async () => (await refusals(to, from)).length > 0);
    await from.fabric(['forget', to.ip]);
  }
  t.same(nicknames(await foreign.status()), [], 'the foreign host has no peer');
  t.ok((await foreign.status()).health.ok, 'it is healthy');
  t.same(nicknames(await a.status()), ['b'], 'nor has ours another one');
}

interface Refused {
  readonly code: string;
  readonly why: string;
}

async function laterProtocol(
  t: Test,
  lab: Lab,
  { a, future, token }: { a: LabHost; future: LabHost; token: string },
): Promise<void> {
  const program = [process.execPath, join(CHECKOUT, 'dist/test/lab/future-host.js'), a.ip];
  const child = lab.spawn([...future.enter(), 'env', '-u', 'NODE_OPTIONS', `FABRIC_TOKEN=${token}`, ...program]);
  let said = '';
  child.stdout!.on('data', (chunk: Buffer) => {
    said += chunk.toString('utf8');
  });
  const ours = `fabric ${VERSION} (protocol ${PROTOCOL.protocolMin} to ${PROTOCOL.protocolMax})`;
  const later = PROTOCOL.protocolMax + 1;
  const theirs = `fabric ${FUTURE_VERSION} (protocol ${later} to ${later})`;
  await eventually('the later host says why it does not join', () => said.includes('\n'));
  const { code, why } = JSON.parse(said.slice(0, said.indexOf('\n'))) as Refused;
  t.same({ code, why }, { code: 'version-mismatch', why: `it runs ${ours}, this host ${theirs}` });
  await eventually('ours says whom it refused', async () => (await refusals(a, future)).length > 0);
  const [refused] = await refusals(a, future);
  t.match(refused, { code: 'version-mismatch', why: `it runs ${theirs}, this host ${ours}` });

  await a.fabric(['connect', future.ip]);
  await eventually('dialled, it is refused with the same words', async () => {
    const target = (await a.status()).targets.find(({ host }) => host === `${future.ip}:${MESH_PORT}`);
    return target?.error?.includes(`it runs ${theirs}, this host ${ours}`) === true;
  });
  await a.fabric(['forget', future.ip]);
  await end(child);
  t.notMatch(said, /linked|admitted/, 'the later host has become no member');
  t.ok((await a.status()).health.ok, 'ours is healthy');
}

interface Eavesdropped {
  readonly a: LabHost;
  readonly b: LabHost;
  readonly stranger: LabHost;
  /** Of all that the two ever said. */
  readonly capture: Capture;
}

/** Every datagram thrown is counted as dropped, one by one; so none of them was delivered. */
async function datagrams(t: Test, lab: Lab, { a, b, stranger, capture }: Eavesdropped): Promise<void> {
  const [inA, inB] = [await a.container('victim'), await b.container('talker')];
  const victim = await Traffic.start(lab, inA, { httpBody: '' });
  const talker = await Traffic.start(lab, inB, { httpBody: '' });
  const text = `said once ${randomBytes(8).toString('hex')}`;
  await talker.send(BROADCAST, UDP_PORT, text);
  await eventually('the broadcast is there', async () => (await victim.count(text)) === 1);
  const overheard = udpPayloads(await capture.stop(), { from: b.ip, to: a.ip });
  const types = new Set(overheard.map((datagram) => datagram[0]! & 0x0f));
  t.comment(`overheard ${overheard.length} datagrams of types ${[...types]}`);
  t.ok(types.has(DatagramType.data), 'data was overheard');
  t.ok(types.has(DatagramType.initiation) || types.has(DatagramType.response), 'and a handshake');

  const thrower = await Traffic.start(lab, stranger, { httpBody: '' });
  for (const { what, payloads } of [
    { what: 'replayed as they were', payloads: overheard },
    { what: 'replayed with one bit changed', payloads: overheard.map(withOneBitChanged) },
    { what: 'replayed with a later counter', payloads: overheard.map(withLaterCounter) },
    { what: 'of every type and version with random bytes', payloads: forgeries() },
    { what: 'of random bytes', payloads: Array.from({ length: VOLLEY }, (_, i) => randomBytes(1 + i * 36)) },
  ]) {
    let sent = 0;
    const before = dropsOf(await a.status());
    for (let from = 0; from < payloads.length; from += VOLLEY) {
      const volley = payloads.slice(from, from + VOLLEY);
      await thrower.throw(a.ip, MESH_PORT, volley);
      sent += volley.length;
      await eventually(`${sent} ${what} are counted`, async () => dropsOf(await a.status()) - before >= sent);
    }
    t.equal(dropsOf(await a.status()) - before, sent, `${sent} ${what}: all counted as dropped`);
  }
  t.comment(`drops: ${JSON.stringify(securityDrops(await a.status()))}`);
  t.equal(await victim.count(text), 1, 'what was said once was heard once');
  t.equal((await victim.received()).length, 1, 'and nothing else');
  t.ok(await inA.pings(inB.ip), 'the tunnel still works');
  t.equal((await a.status()).tunnels[0]!.endpoint, `${b.ip}:${MESH_PORT}`, 'and has not moved to the stranger');
}

function withOneBitChanged(datagram: Buffer): Buffer {
  const changed = Buffer.from(datagram);
  changed[changed.length - 1]! ^= 1;
  return changed;
}

function withLaterCounter(datagram: Buffer): Buffer {
  const changed = Buffer.from(datagram);
  changed.writeUInt32BE(changed.readUInt32BE(12) + 1000, 12);
  return changed;
}

function forgeries(): Buffer[] {
  const made: Buffer[] = [];
  for (const version of [0, WIRE_VERSION, WIRE_VERSION + 1]) {
    for (let type = 0; type < 8; type++) {
      for (const length of [1, 15, DATA_DATAGRAM_MIN, 148, 1400]) {
        const datagram = Buffer.concat([Buffer.of((version << 4) | type, 0, 0, 0), randomBytes(length)]);
        made.push(datagram.subarray(0, length));
      }
    }
  }
  return made;
}

function nicknames(status: Status): readonly string[] {
  return status.peers.map(({ nickname }) => nickname);
}

/** What a datagram from outside can be dropped for. */
const FROM_OUTSIDE = /^(datagram|session|authentication|handshake|replayed|too-old)/;

function securityDrops({ datapath, tunnels }: Status): Readonly<Record<string, number>> {
  const sums: Record<string, number> = {};
  for (const drops of [datapath.drops, ...tunnels.map((tunnel) => tunnel.drops)]) {
    for (const [reason, count] of Object.entries(drops))
      if (FROM_OUTSIDE.test(reason)) sums[reason] = (sums[reason] ?? 0) + count;
  }
  return sums;
}

function dropsOf(status: Status): number {
  return Object.values(securityDrops(status)).reduce((sum, count) => sum + count, 0);
}

interface LogLine {
  readonly event: string;
  readonly peer?: string;
  readonly host?: string;
  readonly code?: string;
  readonly why?: string;
}

async function logOf(host: LabHost): Promise<readonly LogLine[]> {
  const { stdout } = await host.run(['cat', '/var/lib/fabric/fabric.log']);
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as LogLine);
}

async function refusals(host: LabHost, stranger: LabHost): Promise<readonly LogLine[]> {
  return (await logOf(host)).filter(({ host: from, code }) => code !== undefined && from?.includes(stranger.ip));
}
