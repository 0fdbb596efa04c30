// Between two hosts: `fabric trace` follows a frame to where it gets, or dies; `fabric capture` shows exactly the frames of a ping,
// decrypted, of a peer, a container or the whole overlay, through a filter, bounded, as pcapng that tcpdump (and tshark, where it is)
// reads, ends when it should and leaves nothing.

import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import type { Trace } from '../../src/daemon/trace.ts';
import { countPackets, packetsIn } from '../lab/capture-file.ts';
import type { LabContainer } from '../lab/container.ts';
import { eventually, exec } from '../lab/exec.ts';
import type { LabHost } from '../lab/host.ts';
import { Lab } from '../lab/lab.ts';

const PINGS = 7;
const ECHO = 'icmp[icmptype] == icmp-echo';
const REPLY = 'icmp[icmptype] == icmp-echoreply';
const NO_TSHARK = existsSync('/usr/bin/tshark') ? false : 'tshark is not installed: FABRIC_SETUP=full npm run setup';

interface Running {
  /** In the host's namespace; 0 behind a pipe. */
  readonly pid: number;
  said(): string;
  /** Its exit code and standard output. */
  readonly ended: Promise<{ readonly code: number | null; readonly output: string }>;
}

/** Says its process id first: the process that we start is another one, outside of the namespaces. */
const ALONE = 'echo "process $$" >&2; exec "$@"';

/** Returns once it captures. `script` runs the command, which is its arguments. */
async function start(lab: Lab, host: LabHost, args: readonly string[], script = ALONE): Promise<Running> {
  const command = host.fabricCommand(['capture', ...args]);
  const child = lab.spawn([...host.enter(), 'sh', '-c', script, 'sh', ...command]);
  let text = '';
  let output = '';
  child.stderr!.on('data', (chunk: Buffer) => {
    text += chunk.toString('utf8');
  });
  child.stdout!.on('data', (chunk: Buffer) => {
    output += chunk.toString('utf8');
  });
  const ended = new Promise<{ code: number | null; output: string }>((resolve) => {
    child.once('close', (code) => resolve({ code, output: output.trim() }));
  });
  await eventually('it captures', () => {
    if (text.includes('capturing ')) return true;
    if (child.exitCode !== null) throw new Error(`capture ended with ${child.exitCode}: ${text}`);
    return false;
  });
  return { pid: Number(/^process (\d+)$/m.exec(text)?.[1] ?? 0), said: () => text, ended };
}

async function pings(from: LabContainer, to: string): Promise<void> {
  await from.run(['ping', '-q', '-c', String(PINGS), '-i', '0.02', '-W', '2', to]);
}

test('fabric trace and capture', async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const [a, b] = [await lab.host('a'), await lab.host('b')];
  await a.launch();
  await b.launch({ join: a, token: await a.token() });
  await a.waitReady(1);
  const [one, two, near] = [await a.container('one'), await b.container('two'), await a.container('near')];
  t.ok(await one.pings(two.ip), 'the containers meet');
  const file = (name: string) => join(lab.directory, `${name}.pcapng`);

  await t.test('a trace to another host, to a neighbour, and one that dies', (t) =>
    traces(t, lab, { a, b, one, two, near }),
  );
  await t.test('of a peer, a container and with a filter, at the same time', async (t) => {
    const runs = [
      await start(lab, a, ['b', '--write', file('peer')]),
      await start(lab, a, [near.ip, '--write', file('container')]),
      await start(lab, a, ['--network', 'fabric', ECHO, 'and', 'dst', two.ip, '--write', file('filter')]),
    ];
    await pings(one, two.ip);
    await pings(near, one.ip);
    for (const { pid, ended, said } of runs) {
      await a.run(['kill', '-INT', String(pid)]);
      t.equal((await ended).code, 0, 'SIGINT ends it in good order');
      t.match(said(), /stopped: \d+ frames, \d+ bytes, 0 dropped/);
    }
    const between = `host ${one.ip} and host ${two.ip}`;
    t.equal(await countPackets(file('peer'), `${ECHO} and ${between}`), PINGS, 'each request to the peer once');
    t.equal(await countPackets(file('peer'), `${REPLY} and ${between}`), PINGS, 'each reply once');
    t.equal(await countPackets(file('peer'), `host ${near.ip}`), 0, 'nothing of local containers');
    t.equal(await countPackets(file('container'), ECHO), PINGS, "the container's own");
    t.equal(await countPackets(file('container'), `icmp and host ${two.ip}`), 0, 'nothing of others');
    t.equal((await packetsIn(file('filter'), '')).length, PINGS, 'the filter lets through exactly what it says');
    t.equal((await packetsIn(file('filter'), ECHO)).length, PINGS);
  });

  await t.test('is read by tshark, with its interface and its losses', { skip: NO_TSHARK }, async (t) => {
    const fields = ['-T', 'fields', '-e', 'frame.interface_name', '-e', 'ip.dst', '-e', 'icmp.type'];
    const { stdout } = await exec(['tshark', '-r', file('filter'), ...fields]);
    t.same(new Set(stdout.trim().split('\n')), new Set([`fabric0p\t${two.ip}\t8`]));
  });

  await t.test('through a pipe, until it has enough', async (t) => {
    const reading = await start(lab, a, ['--count', '3', ECHO], '"$@" | tcpdump -n -r - | wc -l');
    await pings(one, two.ip);
    t.equal((await reading.ended).output, '3');
    t.match(reading.said(), /ended at --count: 3 frames/);
  });

  await t.test('until its reader goes, or the interface', async (t) => {
    const reading = await start(lab, a, [], '"$@" | head -c 1 | wc -c');
    await pings(one, two.ip);
    t.equal((await reading.ended).output, '1');
    t.match(reading.said(), /nobody reads it any more/);
    const lasting = await start(lab, b, ['--write', file('reset')]);
    await b.fabric(['reset', '--yes', '--force']);
    t.equal((await lasting.ended).code, 0);
    t.match(lasting.said(), /ended: the interface is gone/);
    await packetsIn(file('reset'), ''); // whole to the end
  });

  await t.test('refuses what can not be', (t) => refusals(t, lab, a));
  await t.test('and leaves no process', () => gone(a));
});

interface Scene {
  readonly a: LabHost;
  readonly b: LabHost;
  readonly one: LabContainer;
  readonly two: LabContainer;
  readonly near: LabContainer;
}

async function trace(host: LabHost, from: string, to: string): Promise<Trace> {
  const { status, stdout, stderr } = await host.fabric(['trace', from, to, '--json'], { mayFail: true });
  if (stdout === '') throw new Error(stderr);
  const found = JSON.parse(stdout) as Trace;
  if (status !== (found.reached ? 0 : 1)) throw new Error(`exit code ${status} of a trace that is ${found.reached}`);
  return found;
}

async function traces(t: Test, lab: Lab, { a, b, one, two, near }: Scene): Promise<void> {
  const remote = ['container', 'port', 'bridge', 'table', 'datapath', 'tunnel', 'underlay', 'probe', 'remote-port'];
  const there = await trace(a, one.ip, two.ip);
  t.same(
    there.hops.map(({ kind }) => kind),
    remote,
  );
  t.ok(there.reached);
  const [, , bridge, table, , tunnel, underlay, probe, port] = there.hops;
  t.match(bridge!.because, /floods to fabric0p$/);
  t.match(table!.because, /^claimed by b, sequence 0, in the table for \d+ s$/);
  t.match(tunnel!.because, /^aes-256-gcm, established for \d+ s, path MTU 1500 bytes$/);
  t.same([underlay!.what, underlay!.because], [`UDP to ${b.ip}:6783`, 'route 192.0.2.0/24 dev eth0, MTU 1500']);
  t.ok(probe!.ms! > 0 && probe!.ms! < 500, `a round trip of ${probe!.ms} ms`);
  t.match(port!.what, /^fab\S+ on b: eth0 of /);
  const local = await trace(a, one.mac, near.ip6);
  t.match(local, { reached: true, hops: { length: 5 } });
  t.match(local.hops[2]!.because, /^static entry: .* is behind fab/);

  await one.run(['ip', 'link', 'set', 'eth0', 'down']);
  const unplugged = await trace(a, one.ip, two.ip);
  t.match(unplugged.hops.at(-1), { kind: 'port', fault: /has no carrier/ });
  await one.run(['ip', 'link', 'set', 'eth0', 'up']);
  await lab.drop(b, a, 'udp dport 6783');
  const cut = await trace(a, 'host', two.ip);
  t.match(cut.hops.at(-1), { kind: 'probe', fault: /no answer/ });
  await lab.heal();
  for (const [from, to, words] of [
    [two.ip, one.ip, /is not on this host/],
    [one.ip, '10.47.1.1', /nobody on the overlay is called 10\.47\.1\.1/],
  ] as const) {
    const { stderr, status } = await a.fabric(['trace', from, to], { mayFail: true });
    t.not(status, 0);
    t.match(stderr, words);
  }
}

async function refusals(t: Test, lab: Lab, a: LabHost): Promise<void> {
  const file = join(lab.directory, 'none.pcapng');
  writeFileSync(file, 'what was there before');
  const cases = [
    {
      story: 'a filter that is none',
      args: ['ether', 'bunny'],
      status: 2,
      words: /filter is not understood: ether bunny/,
    },
    { story: 'another network', args: ['--network', 'blue'], status: 1, words: /no network blue/ },
    {
      story: 'a place that is none',
      args: ['--write', '/nonexistent/x'],
      status: 2,
      words: /x can't be written\n +why: ENOENT/,
    },
    { story: 'a bound that is none', args: ['--count', '0'], status: 2, words: /--count 0 is not a positive number/ },
  ];
  const results = await Promise.all(
    cases.map(({ args }) => a.fabric(['capture', '--write', file, ...args], { mayFail: true })),
  );
  for (const [i, { story, status, words }] of cases.entries()) {
    t.equal(results[i]!.status, status, story);
    t.match(results[i]!.stderr, words);
  }
  t.equal(readFileSync(file, 'utf8'), 'what was there before', 'and no file is touched');
  const piped = await a.fabric(['capture', 'ether', 'bunny'], { mayFail: true });
  t.same([piped.status, piped.stdout], [2, ''], 'nor does a reader get the beginning of a capture');
  t.equal(statSync(join(lab.directory, 'peer.pcapng')).mode & 0o777, 0o600, 'a capture is for its owner alone');
}

async function gone(host: LabHost): Promise<void> {
  await eventually('no capture is left', async () => {
    const { stdout } = await host.run(['sh', '-c', 'pgrep -fc "bin/fabric [c]apture" || true']);
    return Number(stdout.trim()) === 0;
  });
}
