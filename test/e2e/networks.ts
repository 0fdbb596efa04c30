// Named networks on three hosts, two of them on the engine and one on pcap: two networks with one range side by side, where
// sniffers in every container show that no frame of one reaches the other; one with a gateway, which leads outside and to no
// other network, and serves names; a trace within it; and how networks come, are refused and go.

import { join } from 'node:path';
import { type Test, test } from 'tap';
import { countPackets, holdsText } from '../lab/capture-file.ts';
import type { LabContainer } from '../lab/container.ts';
import { dig } from '../lab/dig.ts';
import { eventually } from '../lab/exec.ts';
import type { LabHost } from '../lab/host.ts';
import { Lab } from '../lab/lab.ts';

const RANGE = '10.99.0.0/24';
const COLOURS = ['blue', 'green'] as const;
type Colour = (typeof COLOURS)[number];

/** What a ping of a colour carries, in hex and as it stands in a capture. */
const marker = (colour: Colour) => Buffer.from(colour.padEnd(8, '-')).toString('hex');
const text = (colour: Colour) => colour.padEnd(8, '-');

async function rowOf(host: LabHost, name: string) {
  return (await host.status()).networks.find((row) => row.name === name) ?? null;
}

async function addressIn(container: LabContainer, ifname: string): Promise<string> {
  const { stdout } = await container.run(['ip', '-4', '-br', 'addr', 'show', 'dev', ifname]);
  return / (\d+\.\d+\.\d+\.\d+)\//.exec(stdout)![1]!;
}

test('three hosts, two networks with one range', async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const [a, b, c] = [await lab.host('a'), await lab.host('b'), await lab.host('c')];
  const hosts = [a, b, c];
  await a.launch({ flags: ['--datapath', 'engine'] });
  const token = await a.token();
  await Promise.all([
    b.launch({ join: a, token, flags: ['--datapath', 'engine'] }),
    c.launch({ join: a, token, flags: ['--datapath', 'pcap'] }),
  ]);
  await Promise.all(hosts.map((host) => host.waitReady(2)));

  const internal = ['--internal', '--range', RANGE, '--range6', 'off'];
  await Promise.all([
    a.fabric(['network', 'create', 'blue', ...internal]),
    b.fabric(['network', 'create', 'green', ...internal]),
    c.fabric(['network', 'create', 'red']),
  ]);
  const refused = await c.fabric(['network', 'create', 'pink', '--range', '10.32.0.0/16'], { mayFail: true });
  t.match(refused.stderr, /the network fabric has it/, 'a network with a gateway has a range of its own');
  const namesOn = async (host: LabHost) => (await host.status()).networks.map(({ name }) => name);
  const knows = (host: LabHost) =>
    eventually(`${host.name} knows all`, async () => (await namesOn(host)).sort().join() === 'blue,fabric,green,red');
  await Promise.all(hosts.map(knows));
  const ids = (await a.status()).networks.map(({ id }) => id);
  t.equal(new Set(ids).size, 4, 'each has an id of its own');
  const again = await b.fabric(['network', 'create', 'blue'], { mayFail: true });
  t.match(again.stderr, /there is a network blue already/, 'a name is taken on every host');

  const members = new Map<string, LabContainer>();
  const member = (colour: Colour, host: LabHost): LabContainer => members.get(`${colour} ${host.name}`)!;
  const addressOf = (host: LabHost): string => `10.99.0.${10 + hosts.indexOf(host)}`;
  const joinNetwork = async (colour: Colour, host: LabHost): Promise<void> => {
    const container = await host.namespace(`${colour}-${host.name}`);
    const target = `netns:${container.name}`;
    await host.fabric(['attach', target, '--network', colour, '--ip', `${addressOf(host)}/24`]);
    members.set(`${colour} ${host.name}`, container);
  };
  await Promise.all([a, b].flatMap((host) => COLOURS.map((colour) => joinNetwork(colour, host))));
  for (const host of [a, b]) {
    const row = await rowOf(host, 'blue');
    t.equal(row!.up, true, `${host.name} is in blue`);
    t.match(
      (await host.run(['ip', '-br', 'link'])).stdout,
      new RegExp(`${row!.bridge} .*UP`),
      'with a bridge of its own',
    );
  }
  t.equal((await rowOf(c, 'blue'))!.up, false, 'c is not, as long as no container of it is');
  await eventually('blue reaches across', () => member('blue', a).pings(addressOf(b)));
  await member('blue', a).run(['ping', '-b', '-c', '2', '-i', '0.2', '-W', '0.3', '10.99.0.255'], { mayFail: true });
  t.equal(
    (await c.status()).tunnels.every(({ drops }) => !('network-unknown' in drops)),
    true,
    'no copy goes to c',
  );
  await Promise.all(COLOURS.map((colour) => joinNetwork(colour, c)));

  const sniffers = new Map<LabContainer, string>();
  const sniff = async (container: LabContainer): Promise<void> => {
    const file = join(lab.directory, `${container.name}.pcap`);
    const command = ['tcpdump', '-i', 'eth0', '-U', '--immediate-mode', '-w', file];
    const child = lab.spawn([...container.enter(), ...command]);
    let said = '';
    child.stderr!.on('data', (chunk: Buffer) => {
      said += chunk.toString('utf8');
    });
    await eventually('tcpdump listens', () => said.includes('listening on'));
    sniffers.set(container, file);
  };
  await Promise.all([...members.values()].map(sniff));
  const talk = async (colour: Colour, from: LabHost): Promise<void> => {
    for (const to of hosts.filter((host) => host !== from)) {
      const ping = () => member(colour, from).pings(addressOf(to), ['-p', marker(colour)]);
      await eventually(`${colour}: ${from.name} reaches ${to.name}`, ping);
    }
    // To all of the network, and a question for an address that nobody has.
    for (const to of ['10.99.0.255', '10.99.0.200']) {
      const ping = ['ping', '-b', '-c', '2', '-i', '0.2', '-W', '0.3', '-p', marker(colour), to];
      await member(colour, from).run(ping, { mayFail: true });
    }
  };
  const captured = join(lab.directory, 'blue.pcapng');
  const bounds = ['--count', '4', '--seconds', '20', '--write', captured];
  const capture = lab.spawn([...a.enter(), ...a.fabricCommand(['capture', 'icmp', '--network', 'blue', ...bounds])]);
  let heard = '';
  capture.stderr!.on('data', (chunk: Buffer) => {
    heard += chunk.toString('utf8');
  });
  await eventually('fabric capture listens', () => heard.includes('capturing'));
  await Promise.all(COLOURS.flatMap((colour) => hosts.map((from) => talk(colour, from))));
  await eventually('fabric capture has its frames', () => heard.includes('ended at --count'));
  t.ok(await holdsText(captured, text('blue')), "a capture of a network has that network's frames");
  t.notOk(await holdsText(captured, text('green')), 'and no others');
  const macs = new Map<LabContainer, string>();
  for (const container of members.values()) {
    macs.set(container, (await container.run(['cat', '/sys/class/net/eth0/address'])).stdout.trim());
  }
  for (const colour of COLOURS) {
    const other = colour === 'blue' ? 'green' : 'blue';
    for (const host of hosts) {
      const file = sniffers.get(member(colour, host))!;
      await eventually(`${colour} on ${host.name} heard its own`, () => holdsText(file, text(colour)));
      t.notOk(await holdsText(file, text(other)), `${colour} on ${host.name} heard nothing of ${other}`);
      const strangers = hosts.map((from) => `ether host ${macs.get(member(other, from))}`).join(' or ');
      t.equal(await countPackets(file, strangers), 0, 'and has seen none of its MACs');
    }
  }

  const conf = { name: 'red', network: 'red' };
  const named = (alias: string) => ({ conf: { ...conf, runtimeConfig: { aliases: [alias] } } });
  const [red, plain, redFar] = await Promise.all([
    c.container('red', named('near')),
    c.container('plain', { conf: { runtimeConfig: { aliases: ['plain'] } } }),
    a.container('red-far', named('far')),
  ]);
  await plain.cni('ADD', { stdin: { cniVersion: '1.0.0', type: 'fabric', ...conf }, ifname: 'eth1' });
  t.ok(await redFar.pings(await addressIn(plain, 'eth1')), 'a container may be in two networks');
  const far = ['far.fabric.internal'];
  t.same((await dig(plain, '10.32.0.1', far)).data, [redFar.ip], 'and finds the names of both');
  await plain.cni('DEL', { stdin: { cniVersion: '1.0.0', type: 'fabric', ...conf }, ifname: 'eth1' });
  await eventually('red reaches across', () => red.pings(redFar.ip));
  t.ok(await red.pings(redFar.ip6), 'over IPv6, too');
  t.ok(await red.pings(a.ip), 'and outside, by its gateway');
  t.notOk(await red.pings(plain.ip, ['-W', '1']), 'but not to a container of another network on its own host');
  t.notOk(await plain.pings(red.ip, ['-W', '1']), 'nor back');
  const gateway = (await rowOf(c, 'red'))!.gateway!;
  t.ok(await red.pings(gateway), 'its gateway answers');
  t.same(red.result!.dns, { nameservers: [gateway], search: ['fabric.internal'] }, 'names are served there');
  await names(t, { red, redFar, plain, gateway });
  t.equal((await a.fabric(['dns', 'lookup', 'near', '--network', 'red'])).stdout, `${red.ip}\n${red.ip6}\n`);
  const lookup = await a.fabric(['dns', 'lookup', 'near'], { mayFail: true });
  t.match(lookup.stderr, /no container is called near/, 'not in the default network');
  const trace = await a.fabric(['trace', redFar.mac, 'near', '--network', 'red']);
  t.match(trace.stdout, /remote-port .* eth0 of near .*\n\nit gets there\n$/, 'a trace within it');
  const { stdout: events } = await a.fabric(['events', '--once', '--kind', 'lease-active']);
  t.match(events, /addresses are given out of 10\.\d+\.\d+\.0\/24 now in the network red/, 'its leases are events');
  t.notOk(await plain.pings(gateway, ['-W', '1']), 'to its own network only');
  const lost = await member('blue', c).run(['ip', 'route', 'get', a.ip], { mayFail: true });
  t.not(lost.status, 0, 'an internal network leads nowhere else');

  const { routes, leases, attachments } = await c.status();
  t.ok(
    routes.some((row) => row.network === 'red' && row.ips.some((ip) => ip.startsWith(`${redFar.ip}/`))),
    'routes',
  );
  t.ok(
    leases.some((row) => row.network === 'green'),
    'and leases name their network',
  );
  t.same(
    [...new Set(attachments.map((row) => row.network))].sort(),
    ['blue', 'fabric', 'green', 'red'],
    'attachments too',
  );

  await a.kill();
  t.ok(await member('blue', b).pings(addressOf(a)), 'blue goes on while the daemon of a is gone');
  await a.launch();
  await a.waitReady(2);
  t.equal((await rowOf(a, 'blue'))!.up, true, 'the next daemon finds it');
  t.ok(await member('blue', a).pings(addressOf(c)), 'and blue goes on');
  t.ok(await redFar.pings(red.ip), 'as red does');

  const inUse = await b.fabric(['network', 'rm', 'blue'], { mayFail: true });
  t.match(inUse.stderr, /they are on a, c, b, this host/, 'one in use is not removed');
  const unsaid = await a.fabric(['detach', 'netns:blue-a'], { mayFail: true });
  t.match(
    unsaid.stderr,
    /no eth0 that fabric attach made in the network fabric.*it has eth0 in blue/s,
    'nor detached unsaid',
  );
  const { bridge } = (await rowOf(c, 'blue'))!;
  await Promise.all(hosts.map((host) => host.fabric(['detach', `netns:blue-${host.name}`, '--network', 'blue'])));
  await eventually('its bridge is gone', async () => {
    return (await c.run(['ip', 'link', 'show', bridge], { mayFail: true })).status !== 0;
  });
  await eventually('and so are its rules', async () => {
    return !new RegExp(`${bridge}\\D`).test((await c.run(['nft', 'list', 'ruleset'])).stdout);
  });
  await eventually('nobody has a part in it', async () => (await rowOf(b, 'blue'))!.hosts.length === 0);
  await b.fabric(['network', 'rm', 'blue']);
  const forgets = (host: LabHost) =>
    eventually(`${host.name} forgets blue`, async () => !(await namesOn(host)).includes('blue'));
  await Promise.all(hosts.map(forgets));
  await a.fabric(['network', 'create', 'blue', '--internal', '--range', RANGE]);
  t.notOk(ids.includes((await rowOf(a, 'blue'))!.id), 'a network of that name has another id');
  t.ok(await member('green', a).pings(addressOf(b)), 'green never noticed');

  await c.fabric(['reset', '--yes', '--force']);
  t.notMatch((await c.run(['ip', 'link'])).stdout, /fabn|fabric/, 'a reset takes all networks along');
  t.ok(await member('green', a).pings(addressOf(b)), 'others go on');
});

interface RedScene {
  readonly red: LabContainer;
  /** On another host, called `far`. */
  readonly redFar: LabContainer;
  /** In the default network only. */
  readonly plain: LabContainer;
  readonly gateway: string;
}

async function names(t: Test, { red, redFar, plain, gateway }: RedScene): Promise<void> {
  const far = 'far.fabric.internal';
  await eventually('a name of another host is known', async () => (await dig(red, gateway, [far])).data.length > 0);
  t.same((await dig(red, gateway, [far])).data, [redFar.ip]);
  t.same((await dig(red, gateway, [far, 'AAAA'])).data, [redFar.ip6]);
  t.same((await dig(red, gateway, ['-x', redFar.ip])).data, [`${far}.`], 'and the name of its address');
  t.equal((await dig(red, gateway, ['plain.fabric.internal'])).status, 'NXDOMAIN', 'no name of another network');
  t.equal((await dig(plain, '10.32.0.1', [far])).status, 'NXDOMAIN', 'nor the other way round');
  t.equal((await dig(red, '10.32.0.1', [far, '+time=1'])).status, '', 'the gateway of another network does not answer');
}
