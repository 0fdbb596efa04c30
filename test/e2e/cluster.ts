// Three hosts with two containers each on one segment: every kind of traffic between containers, hosts and the outside, and
// what an eavesdropper on the underlay sees of it: nothing but port 6783, and never the marker that every payload carries.
//
//   a1 a2 ─ host a ─┐                       host a ─ uplink ─ outside (knows no route to the overlay)
//   b1 b2 ─ host b ─┼─ underlay, captured
//   c1 c2 ─ host c ─┘

import { randomBytes } from 'node:crypto';
import { statSync } from 'node:fs';
import { type Test, test } from 'tap';
import { holdsText, packetsIn } from '../lab/capture-file.ts';
import type { LabContainer } from '../lab/container.ts';
import { eventually } from '../lab/exec.ts';
import type { LabHost } from '../lab/host.ts';
import { inParallel } from '../lab/in-parallel.ts';
import { Lab } from '../lab/lab.ts';
import { PingLog } from '../lab/ping-log.ts';
import { Traffic } from '../lab/traffic.ts';
import { MDNS_GROUPS, MDNS_PORT, UDP_PORT } from '../lab/traffic-agent.ts';

const MARKER = `marker-${randomBytes(12).toString('hex')}`;
const STREAM_BYTES = 200_000_000;
const HOSTS = ['a', 'b', 'c'];
const GATEWAY = '10.32.0.1';
/** Of the default range 10.32.0.0/12. */
const SUBNET_BROADCAST = '10.47.255.255';
const UPLINK = { ip: '198.51.100.1', ip6: '2001:db8:2::1' };
const OUTSIDE = { ip: '198.51.100.2', ip6: '2001:db8:2::2' };

const MOVES = 10;
/** A neighbour that remembers a MAC that is gone asks anew after a second at the earliest. */
const MOVE_MS_MAX = 1_000;

interface Scene {
  readonly lab: Lab;
  readonly hosts: readonly LabHost[];
  readonly outside: LabHost;
  readonly containers: readonly LabContainer[];
  /** One per container, in the same order. */
  readonly traffic: readonly Traffic[];
}

test('three hosts with two containers each', async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const hosts: LabHost[] = [];
  for (const name of HOSTS) hosts.push(await lab.host(name));
  const outside = await uplinkOf(lab, hosts[0]!);
  const capture = await lab.capture('underlay');
  const scene = { ...(await launch(t, lab, hosts)), outside };

  await t.test('every pair of containers pings over IPv4 and IPv6', (t) => pings(t, scene));
  await t.test('a ping of 10000 bytes arrives in pieces', (t) => largePings(t, scene));
  await t.test('200 MB over TCP arrive unchanged', (t) => stream(t, scene));
  await t.test('UDP and HTTP on port 80', (t) => datagramsAndHttp(t, scene));
  await t.test('TM24 broadcast and mDNS reach every other container exactly once', (t) => floods(t, scene));
  await t.test('containers and hosts reach each other', (t) => hostAccess(t, scene));
  await t.test('a container reaches the outside as its host', (t) => masquerade(t, scene));
  await t.test('containers that are made anew on another host are reached there at once', (t) => moves(t, scene));
  await t.test('every host is healthy and names the others', (t) => healthy(t, scene));
  await t.test('TM31 no secret stands in arguments, environment, log or status', (t) => noSecret(t, scene));
  const plain = lab.mix.encrypted ? {} : { skip: 'plain VXLAN was asked for' };
  await t.test('TM14 the underlay shows ciphertext on port 6783 and nothing else', plain, async (t) => {
    const onBridge = await bridgeCapture(scene);
    t.ok(await holdsText(onBridge, MARKER), 'the marker is seen on the bridge: this check can fail');
    await onlyCiphertext(t, await capture.stop());
  });
});

async function uplinkOf(lab: Lab, host: LabHost): Promise<LabHost> {
  await lab.inSwitch(['ip', 'link', 'add', 'uplink', 'type', 'bridge', 'mcast_snooping', '0']);
  await lab.inSwitch(['ip', 'link', 'set', 'uplink', 'up']);
  const outside = await lab.host('outside');
  await outside.run(['ip', 'link', 'set', 'eth0', 'down']);
  for (const [place, { ip, ip6 }] of [
    [host, UPLINK],
    [outside, OUTSIDE],
  ] as const) {
    await lab.connect(place, { ifname: 'wan0', bridge: 'uplink' });
    await place.run(['ip', 'address', 'add', `${ip}/24`, 'dev', 'wan0']);
    await place.run(['ip', 'address', 'add', `${ip6}/64`, 'dev', 'wan0', 'nodad']);
  }
  return outside;
}

async function launch(t: Test, lab: Lab, hosts: readonly LabHost[]): Promise<Omit<Scene, 'outside'>> {
  const first = hosts[0]!;
  await first.launch();
  const token = await first.token();
  for (const host of hosts.slice(1)) {
    const startMs = performance.now();
    await host.launch({ join: first, token });
    t.comment(`${host.name} joined in ${(performance.now() - startMs).toFixed(0)} ms`);
  }
  for (const host of hosts) await host.waitReady(hosts.length - 1);
  const containers: LabContainer[] = [];
  for (const host of hosts) for (const n of [1, 2]) containers.push(await host.container(`${host.name}${n}`));
  const traffic = await Promise.all(
    containers.map((place) => Traffic.start(lab, place, { httpBody: `${place.name} ${MARKER}` })),
  );
  return { lab, hosts, containers, traffic };
}

async function pings(t: Test, { containers }: Scene): Promise<void> {
  const startMs = performance.now();
  const unreached = await inParallel(containers, 3, async (from) => {
    const failed: string[] = [];
    for (const to of containers) {
      if (to === from) continue;
      for (const address of [to.ip, to.ip6])
        if (!(await from.pings(address))) failed.push(`${from.name} to ${to.name} ${address}`);
    }
    return failed;
  });
  t.same(unreached.flat(), [], `60 pings in ${(performance.now() - startMs).toFixed(0)} ms`);
}

async function largePings(t: Test, { containers }: Scene): Promise<void> {
  const [from, , to] = containers as [LabContainer, LabContainer, LabContainer];
  for (const address of [to.ip, to.ip6]) t.ok(await from.pings(address, ['-s', '10000']), address);
}

async function stream(t: Test, { traffic, containers }: Scene): Promise<void> {
  const { sent, received, ms } = await traffic[0]!.push(containers[2]!.ip, { bytes: STREAM_BYTES, marker: MARKER });
  t.equal(received, sent, `SHA-256 ${sent.slice(0, 16)}…`);
  t.comment(`${((STREAM_BYTES * 8) / ms / 1e6).toFixed(2)} Gbit/s`);
  const second = await traffic[4]!.push(containers[3]!.ip6, { bytes: STREAM_BYTES / 20, marker: MARKER });
  t.equal(second.received, second.sent, '10 MB over IPv6');
}

async function datagramsAndHttp(t: Test, { traffic, containers }: Scene): Promise<void> {
  const [from] = traffic as [Traffic];
  for (const [index, to] of containers.entries()) {
    if (index === 0) continue;
    for (const address of [to.ip, to.ip6]) {
      const text = `${MARKER} to ${address}`;
      await from.send(address, UDP_PORT, text);
      await eventually(`${to.name} has the datagram`, async () => (await traffic[index]!.count(text)) === 1);
      t.equal(await from.get(address), `${to.name} ${MARKER}`, `http://${address}`);
    }
  }
}

/** A later flood from the same container overtakes no earlier one: once it is there, copies of the earlier would be, too. */
async function floods(t: Test, { traffic }: Scene): Promise<void> {
  const kinds = [
    { name: 'broadcast', to: '255.255.255.255', port: UDP_PORT },
    { name: 'subnet broadcast', to: SUBNET_BROADCAST, port: UDP_PORT },
    { name: 'mDNS over IPv4', to: MDNS_GROUPS[4], port: MDNS_PORT },
    { name: 'mDNS over IPv6', to: MDNS_GROUPS[6], port: MDNS_PORT },
  ];
  for (const { name, to, port } of kinds) {
    for (const from of traffic) {
      const [text, fence] = [`${MARKER} ${name} from ${from.place.name}`, `fence, ${name} from ${from.place.name}`];
      await from.send(to, port, text);
      await from.send(to, port, fence);
      const others = traffic.filter((one) => one !== from);
      await eventually(`${name} of ${from.place.name} is everywhere`, async () => {
        const counts = await Promise.all(others.map((one) => one.count(fence)));
        return counts.every((count) => count > 0);
      });
      const counts = await Promise.all(others.map((one) => one.count(text)));
      t.same(counts, [1, 1, 1, 1, 1], `${name} from ${from.place.name}`);
    }
  }
}

async function hostAccess(t: Test, { lab, hosts, containers, traffic }: Scene): Promise<void> {
  const overlayOf = await Promise.all(hosts.map((host) => overlayAddresses(host)));
  const hostTraffic = await Promise.all(
    hosts.map((host) => Traffic.start(lab, host, { ifname: 'host0', httpBody: `host ${host.name} ${MARKER}` })),
  );
  const [a1] = containers as [LabContainer];
  t.ok(await a1.pings(GATEWAY), 'a container reaches the gateway');
  for (const [index, host] of hosts.entries()) {
    for (const address of overlayOf[index]!) {
      t.ok(await a1.pings(address), `a1 pings host ${host.name}, ${address}`);
      t.equal(await traffic[0]!.get(address), `host ${host.name} ${MARKER}`, `a1 gets HTTP of host ${host.name}`);
    }
    for (const to of containers) {
      for (const address of [to.ip, to.ip6])
        t.equal(await hostTraffic[index]!.get(address), `${to.name} ${MARKER}`, `host ${host.name} to ${to.name}`);
    }
  }
  const reply = await hosts[1]!.run(['ping', '-c', '1', '-W', '2', overlayOf[0]![0]!], { mayFail: true });
  t.equal(reply.status, 0, 'a host reaches another host over the overlay');
}

/** The addresses of a host on the overlay, IPv4 first. */
async function overlayAddresses(host: LabHost): Promise<readonly string[]> {
  const { stdout } = await host.run(['ip', '-j', 'address', 'show', 'dev', 'host0', 'scope', 'global']);
  const [{ addr_info: infos }] = JSON.parse(stdout) as [{ addr_info: { local?: string }[] }];
  return infos.flatMap(({ local }) => local ?? []); // what the scope leaves out is an empty object
}

async function masquerade(t: Test, { lab, outside, containers, traffic }: Scene): Promise<void> {
  const server = await Traffic.start(lab, outside, { ifname: 'wan0', httpBody: 'the outside' });
  for (const { to, uplink, of } of [
    { to: OUTSIDE.ip, uplink: UPLINK.ip, of: containers[0]!.ip },
    { to: OUTSIDE.ip6, uplink: UPLINK.ip6, of: containers[0]!.ip6 },
  ]) {
    t.equal(await traffic[0]!.get(to), 'the outside', `HTTP of ${to}`);
    await traffic[0]!.send(to, UDP_PORT, `${of} calls`);
    await eventually('the datagram is outside', async () => (await server.count(`${of} calls`)) === 1);
    const from = (await server.received()).find(({ text }) => text === `${of} calls`)!.from;
    t.equal(from, uplink, `${of} appears as its host`);
  }
}

/**
 * Containers of host b end and are made anew on host c with their addresses, every other one with its MAC, too. A container pings
 * all the time: one of host a; one of host c, when neighbours on that bridge have to hear of a new MAC.
 */
async function moves(t: Test, { lab, hosts, containers }: Scene): Promise<void> {
  const [, b, c] = hosts as [LabHost, LabHost, LabHost];
  const tookMs: number[] = [];
  for (let number = 0; number < MOVES; number++) {
    const keepsMac = number % 2 === 0;
    const before = await b.container(`old${number}`);
    const runtimeConfig = { ips: [before.ip, before.ip6], ...(keepsMac ? { mac: before.mac } : {}) };
    const after = await c.namespace(`new${number}`, { conf: { runtimeConfig } });
    const pings = new PingLog(lab, containers[keepsMac ? 0 : 4]!, before.ip, { everyMs: 2 });
    await eventually('the old place answers', () => pings.answeredMs.length > 0, { everyMs: 5 });
    await before.remove();
    const startMs = Date.now();
    t.ok(await after.tryAdd(), `${before.ip} is on host c`);
    const answer = (): number | undefined => pings.answeredMs.find((atMs) => atMs > startMs);
    await eventually('the new place answers', () => answer() !== undefined, { everyMs: 5 });
    tookMs.push(answer()! - startMs);
    await pings.stop();
    await after.remove();
  }
  tookMs.sort((one, other) => one - other);
  const [median, max] = [tookMs[MOVES >> 1]!, tookMs[MOVES - 1]!];
  t.comment(`from the call of ADD to the first answer: median ${median.toFixed(0)} ms, max ${max.toFixed(0)} ms`);
  t.ok(max < MOVE_MS_MAX, 'no neighbour had to find out by itself');
}

async function healthy(t: Test, { lab, hosts }: Scene): Promise<void> {
  for (const host of hosts) {
    const { health, peers, tunnels, datapath } = await host.status();
    t.same(health, { ok: true, problems: [], notices: [] }, `${host.name} is healthy`);
    t.same(
      peers.map(({ nickname, state }) => `${nickname} ${state}`),
      HOSTS.filter((name) => name !== host.name).map((name) => `${name} alive`),
    );
    t.ok(
      tunnels.every(({ state, encrypted }) => state === 'established' && encrypted === lab.mix.encrypted),
      'its tunnels are up',
    );
    t.comment(
      `${host.name} dropped ${JSON.stringify({ ...datapath.drops, peers: tunnels.map(({ drops }) => drops) })}`,
    );
  }
}

/** The token is known to who asks for it as root, and to nobody else. */
async function noSecret(t: Test, { hosts }: Scene): Promise<void> {
  const secret = (await hosts[0]!.token()).slice('fabric1-'.length);
  const parts = [secret.slice(30, 60), secret.slice(60)];
  for (const host of hosts) {
    const { stdout: processes } = await host.run(['sh', '-c', 'cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ']);
    t.match(processes, /fabric/, `${host.name}: its processes are seen`);
    const { stdout: log } = await host.run(['cat', '/var/lib/fabric/fabric.log']);
    t.match(log, /\S/, 'it has a log');
    const status = JSON.stringify(await host.status());
    for (const part of parts) t.notOk(`${processes}${log}${status}`.includes(part), 'no part of the secret');
  }
}

/** The file of a capture on the first host's bridge while its container asks another host's. */
async function bridgeCapture({ lab, hosts, containers, traffic }: Scene): Promise<string> {
  const capture = await lab.captureIn(hosts[0]!, 'fabric0', 'bridge');
  await traffic[0]!.get(containers[2]!.ip);
  return capture.stop();
}

async function onlyCiphertext(t: Test, file: string): Promise<void> {
  const foreign = await packetsIn(file, '(tcp or udp) and not port 6783');
  t.same(foreign, [], 'no TCP or UDP but port 6783');
  t.notOk(await holdsText(file, MARKER), 'the marker is nowhere');
  const { size } = statSync(file);
  t.ok(size > STREAM_BYTES, `${size} bytes were captured: the stream is among them`);
}
