// Kernel VXLAN between hosts that trust each other, in the clear, beside encrypted tunnels to one that is not trusted; and what
// a stranger, a blocked port, a changed mind and a deleted device do to it.
//
//   a, b  --trusted-subnets 192.0.2.11/32,192.0.2.12/32      plain between them
//   c     trusts nobody                                      encrypted
//   s     runs no fabric, throws datagrams

import { randomBytes } from 'node:crypto';
import { type Test, test } from 'tap';
import { concatBytes } from '../../src/base/bytes.ts';
import type { Mac } from '../../src/base/ids.ts';
import type { TunnelRow } from '../../src/daemon/status-types.ts';
import { countPackets, holdsText, packetsIn } from '../lab/capture-file.ts';
import type { LabContainer } from '../lab/container.ts';
import { eventually } from '../lab/exec.ts';
import type { LabHost } from '../lab/host.ts';
import { type KernelState, kernelState } from '../lab/kernel-state.ts';
import { Lab } from '../lab/lab.ts';
import { Traffic } from '../lab/traffic.ts';
import { MDNS_GROUPS, MDNS_PORT, UDP_PORT } from '../lab/traffic-agent.ts';
import { udp4 } from '../router/frames.ts';

const MARKER = `marker-${randomBytes(12).toString('hex')}`;
const TRUST = '192.0.2.11/32,192.0.2.12/32';
const VXLAN_PORT = 8472;
/** Every probe that is answered keeps a path up; three lost ones end it: 2.2 s, then 1.5 s. */
const FALL_MS = 6_000;
const RETURN_MS = 15_000;

interface Scene {
  readonly lab: Lab;
  readonly a: LabHost;
  readonly b: LabHost;
  readonly c: LabHost;
  readonly stranger: LabHost;
  /** One on each host of the cluster. */
  readonly containers: readonly [LabContainer, LabContainer, LabContainer];
  readonly traffic: readonly [Traffic, Traffic, Traffic];
  /** Of host a before its first launch. */
  readonly before: KernelState;
}

test('three hosts, two of which trust each other', async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const scene = await launch(lab);
  await t.test('TM15 is plain where both trust, and encrypted elsewhere', (t) => choice(t, scene));
  await t.test('shows its frames on the wire between those two only', (t) => wire(t, scene));
  await t.test('carries each broadcast and multicast exactly once', (t) => floods(t, scene));
  await t.test('lets nobody else in', (t) => strangers(t, scene));
  await t.test('heals what others delete', (t) => deletions(t, scene));
  await t.test('is left when UDP 8472 is blocked, and comes back', (t) => blocked(t, scene));
  await t.test('follows trust that is withdrawn and given again', (t) => trust(t, scene));
  await t.test('leaves nothing behind', (t) => footprint(t, scene));
});

async function launch(lab: Lab): Promise<Scene> {
  const [a, b, c] = [await lab.host('a'), await lab.host('b'), await lab.host('c')];
  const stranger = await lab.host('stranger');
  const before = await kernelState(a);
  await a.launch({ flags: ['--trusted-subnets', TRUST] });
  const token = await a.token();
  await b.launch({ join: a, token, flags: ['--datapath', 'vxlan', '--trusted-subnets', TRUST] });
  await c.launch({ join: a, token });
  for (const host of [a, b, c]) await host.waitReady(2);
  const containers = [await a.container('ca'), await b.container('cb'), await c.container('cc')] as const;
  const [ca, cb, cc] = containers;
  const start = (place: LabContainer) => Traffic.start(lab, place, { httpBody: place.name });
  const traffic = [await start(ca), await start(cb), await start(cc)] as const;
  return { lab, a, b, c, stranger, containers, traffic, before };
}

async function tunnelOf(host: LabHost, peer: LabHost): Promise<TunnelRow | undefined> {
  return (await host.status()).tunnels.find(({ nickname }) => nickname === peer.name);
}

async function becomes(host: LabHost, peer: LabHost, plain: boolean, timeoutMs: number): Promise<void> {
  await eventually(
    `${host.name} is ${plain ? 'plain' : 'encrypted'} to ${peer.name}`,
    async () => (await tunnelOf(host, peer))?.encrypted === !plain,
    { timeoutMs },
  );
}

async function bothBecome({ a, b }: Scene, plain: boolean, timeoutMs: number): Promise<void> {
  await Promise.all([becomes(a, b, plain, timeoutMs), becomes(b, a, plain, timeoutMs)]);
}

async function choice(t: Test, scene: Scene): Promise<void> {
  const { a, b, c, containers } = scene;
  for (const from of containers) {
    for (const to of containers) if (to !== from) t.ok(await from.pings(to.ip), `${from.name} to ${to.name}`);
  }
  await bothBecome(scene, true, 5_000);
  for (const [host, peer] of [
    [a, b],
    [b, a],
  ] as const) {
    const plain = await tunnelOf(host, peer);
    t.match(plain, { state: 'established', encrypted: false, datapath: 'vxlan', cipher: null, reason: null });
    const other = await tunnelOf(host, c);
    t.match(other, { encrypted: true, datapath: 'engine', reason: /192\.0\.2\.13 lies in none of --trusted-subnets/ });
    t.equal((await host.status()).datapath.encryption, 'except-trusted');
  }
  const distrustful = await c.status();
  t.equal(distrustful.datapath.encryption, 'required');
  t.ok(distrustful.tunnels.every(({ encrypted, reason }) => encrypted && reason === null));
}

async function wire(t: Test, { lab, c, containers, traffic }: Scene): Promise<void> {
  const [, cb, cc] = containers;
  const betweenTrusted = await lab.capture('trusted');
  const stream = await traffic[0].push(cb.ip, { bytes: 20_000_000, marker: MARKER });
  t.equal(stream.received, stream.sent, '20 MB arrive unchanged over IPv4');
  const stream6 = await traffic[1].push(containers[0].ip6, { bytes: 5_000_000, marker: MARKER });
  t.equal(stream6.received, stream6.sent, '5 MB over IPv6 the other way');
  t.ok(await containers[0].pings(cb.ip, ['-M', 'do', '-s', '1390']), 'a packet of exactly the MTU');
  const plain = await betweenTrusted.stop();
  t.ok(await holdsText(plain, MARKER), 'in the clear');
  const packets = await countPackets(plain, `udp dst port ${VXLAN_PORT}`);
  t.ok(packets > 100, `${packets} packets of VXLAN`);
  const fragments = await countPackets(plain, 'ip[6:2] & 0x3fff != 0');
  t.equal(fragments, 0, 'none of them a fragment');

  const elsewhere = await lab.capture('untrusted');
  const secret = `secret-${MARKER}`;
  for (const [from, to] of [
    [0, cc],
    [1, cc],
  ] as const) {
    const sent = await traffic[from].push(to.ip, { bytes: 2_000_000, marker: secret });
    t.equal(sent.received, sent.sent);
  }
  const cipher = await elsewhere.stop();
  t.notOk(await holdsText(cipher, secret), 'ciphertext to the host that is not trusted');
  t.same(await packetsIn(cipher, `udp port ${VXLAN_PORT} and host ${c.ip}`), [], 'no VXLAN from or to it');
}

/** A later flood from the same container overtakes no earlier one: once it is there, copies of the earlier would be, too. */
async function floods(t: Test, { lab, traffic }: Scene): Promise<void> {
  const capture = await lab.capture('floods');
  for (const { name, to, port } of [
    { name: 'broadcast', to: '255.255.255.255', port: UDP_PORT },
    { name: 'multicast', to: MDNS_GROUPS[4], port: MDNS_PORT },
    { name: 'multicast of IPv6', to: MDNS_GROUPS[6], port: MDNS_PORT },
  ]) {
    for (const from of traffic) {
      const [text, fence] = [`${name} from ${from.place.name}`, `fence of ${name} from ${from.place.name}`];
      await from.send(to, port, text);
      await from.send(to, port, fence);
      const others = traffic.filter((one) => one !== from);
      await eventually(`${name} of ${from.place.name} is everywhere`, async () => {
        const counts = await Promise.all(others.map((one) => one.count(fence)));
        return counts.every((count) => count > 0);
      });
      t.same(await Promise.all(others.map((one) => one.count(text))), [1, 1], `${name} from ${from.place.name}`);
      t.ok((await from.count(text)) <= 1, 'its own copy at most: nothing comes back');
    }
  }
  t.notOk(await holdsText(await capture.stop(), 'multicast from'), 'all of them encrypted');
}

/** A VXLAN packet (RFC 7348 §5) of the default network. */
function vxlan(frame: Uint8Array): Uint8Array {
  return concatBytes(Uint8Array.of(0x08, 0, 0, 0, 0, 0, 0, 0), frame);
}

async function strangers(t: Test, { lab, a, b, c, stranger, containers, traffic }: Scene): Promise<void> {
  const [ca, cb] = containers;
  const forged = (text: string, to = cb.mac) => vxlan(udp4({ from: ca.mac as Mac, to: to as Mac }, ca.ip, cb.ip, text));
  const fromStranger = await Traffic.start(lab, stranger, { httpBody: '' });
  const fromUntrusted = await Traffic.start(lab, c, { httpBody: '', ifname: 'host0' });
  const fromTrusted = await Traffic.start(lab, a, { httpBody: '', ifname: 'host0' });
  await fromStranger.throw(b.ip, VXLAN_PORT, [forged('from a stranger')]);
  await fromUntrusted.throw(b.ip, VXLAN_PORT, [forged('from a member that is not trusted')]);
  // What the trusted host forwards would come in its name: containers behind it, and what else it masquerades.
  await traffic[0].throw(b.ip, VXLAN_PORT, [forged('from a container of the trusted host')]);
  await traffic[1].throw(b.ip, VXLAN_PORT, [forged('from a container of the host itself')]);
  await fromTrusted.throw(b.ip, VXLAN_PORT, [forged('broadcast of the trusted host', 'ff:ff:ff:ff:ff:ff')]);
  await fromTrusted.throw(b.ip, VXLAN_PORT, [forged('from the trusted host itself')]);
  await eventually('the last one is there: this check can fail', async () => {
    return (await traffic[1].count('from the trusted host itself')) === 1;
  });
  const others = (await traffic[1].received()).filter(({ text }) => /^(from a|broadcast of)/.test(text));
  t.same(others, [], 'none of the others');
  const { stdout } = await b.run(['nft', 'list', 'chain', 'inet', 'fabric', 'vxlan']);
  t.match(stdout, /packets [2-9]\d* bytes \d+ drop comment "VXLAN from a stranger"/, 'counted');
}

async function deletions(t: Test, scene: Scene): Promise<void> {
  const { a, containers } = scene;
  const [ca, cb] = containers;
  const entries = async () => (await a.run(['bridge', 'fdb', 'show', 'dev', 'fabric0v'], { mayFail: true })).stdout;
  const whole = (text: string) => text.includes(`${cb.mac} dst 192.0.2.12 self`) && text.includes(`${cb.mac} master`);
  t.ok(whole(await entries()), "the container's MAC leads to its host");
  for (const command of [
    ['bridge', 'fdb', 'delete', cb.mac, 'dev', 'fabric0v', 'master'],
    ['bridge', 'fdb', 'delete', cb.mac, 'dev', 'fabric0v', 'self'],
    ['ip', 'link', 'delete', 'fabric0v'],
    ['ip', 'link', 'delete', 'fabric0x'],
    ['nft', 'flush', 'set', 'inet', 'fabric', 'vxlan_peers'],
  ]) {
    await a.run(command);
    await eventually(`${command.join(' ')} is undone`, async () => {
      const { stdout } = await a.run(['nft', 'list', 'set', 'inet', 'fabric', 'vxlan_peers']);
      const probe = await a.run(['ip', 'link', 'show', 'fabric0x', 'up'], { mayFail: true });
      return whole(await entries()) && stdout.includes('192.0.2.12') && probe.status === 0;
    });
    t.ok(await ca.pings(cb.ip), `${command.join(' ')}: and frames cross`);
  }
  await bothBecome(scene, true, RETURN_MS);
}

async function blocked(t: Test, scene: Scene): Promise<void> {
  const { lab, a, b, containers } = scene;
  const [ca, cb] = containers;
  const pings = lab.spawn([...ca.enter(), 'ping', '-D', '-i', '0.1', cb.ip]);
  let said = '';
  pings.stdout!.on('data', (chunk: Buffer) => {
    said += chunk.toString('utf8');
  });
  await lab.drop(a, b, `udp dport ${VXLAN_PORT}`);
  await lab.drop(b, a, `udp dport ${VXLAN_PORT}`);
  await bothBecome(scene, false, FALL_MS);
  t.match(
    (await tunnelOf(a, b))?.reason,
    /not plain VXLAN: the path to 192\.0\.2\.12 carries nothing any more: UDP 8472 is blocked/,
  );
  t.ok(await ca.pings(cb.ip), 'frames cross, encrypted');
  await lab.heal();
  await bothBecome(scene, true, RETURN_MS);
  pings.kill('SIGINT');
  const times = [...said.matchAll(/^\[([\d.]+)\] .*icmp_seq/gm)].map((match) => Number(match[1]));
  const silence = Math.max(...times.slice(1).map((time, i) => time - times[i]!));
  t.ok(silence < FALL_MS / 1000, `longest silence ${silence.toFixed(1)} s`);
}

async function trust(t: Test, scene: Scene): Promise<void> {
  const { a, b, containers } = scene;
  const [ca, cb] = containers;
  await b.fabric(['stop']);
  const refused = await b.fabric(['launch', '--detach', '--trusted-subnets', 'off'], { mayFail: true });
  t.equal(refused.status, 2, '--datapath vxlan, which is remembered, contradicts it');
  await b.launch({ flags: ['--datapath', 'auto', '--trusted-subnets', 'off'] });
  await becomes(a, b, false, FALL_MS);
  t.ok(await ca.pings(cb.ip), 'withdrawn at b: frames cross, encrypted');
  await eventually('a says why', async () => /does not trust this one/.test((await tunnelOf(a, b))?.reason ?? ''));
  t.equal((await b.run(['ss', '-Hlun', 'sport', '=', `:${VXLAN_PORT}`])).stdout, '', 'b listens on UDP 8472 no more');

  await b.fabric(['stop']);
  await b.launch({ flags: ['--trusted-subnets', '192.0.2.11/32'] });
  await a.waitReady(2);
  t.ok(await ca.pings(cb.ip), 'given again: frames cross');
  await bothBecome(scene, true, RETURN_MS);
  t.ok(await ca.pings(cb.ip), 'and plain again');
}

async function footprint(t: Test, { a, containers, before }: Scene): Promise<void> {
  const [ca] = containers;
  await a.fabric(['stop']);
  const { stdout } = await a.run(['ip', '-o', 'link', 'show', 'type', 'vxlan']);
  t.equal(stdout, '', 'stopped: nobody watches the path, so nothing is plain');
  await a.launch();
  await becomes(a, containers[1].host, true, RETURN_MS);
  await ca.remove();
  await a.fabric(['reset', '--yes']);
  const now = await kernelState(a);
  for (const [part, lines] of Object.entries(before)) t.same(now[part], lines, `after reset as before: ${part}`);
}
