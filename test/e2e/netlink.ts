// The addon and the netlink clients on the real kernel, in network namespaces of their own: every operation, read back both
// through our dumps and through `ip -j`, `bridge -j` and `nft -j` as independent oracles. Needs root.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Worker } from 'node:worker_threads';
import { type Test, test } from 'tap';
import { type Cidr, type IpAddress, parseCidr, parseIp } from '../../src/base/address.ts';
import { type Mac, macToBytes, parseMac } from '../../src/base/ids.ts';
import { NetworkNamespace, readOffloads, readSysctl, setOffloads, writeSysctl } from '../../src/host/native.ts';
import { hasErrno, isExists, isMissing, NetlinkError } from '../../src/host/netlink/errors.ts';
import { RtnetlinkMonitor } from '../../src/host/netlink/monitor.ts';
import { concatKey, ifnameKey, Nfnetlink } from '../../src/host/netlink/nfnetlink.ts';
import type { BridgePortFlags, Link, NetlinkEvent } from '../../src/host/netlink/objects.ts';
import { Rtnetlink } from '../../src/host/netlink/rtnetlink.ts';

interface Space {
  readonly name: string;
  readonly namespace: NetworkNamespace;
  readonly netlink: Rtnetlink;
}

let spaces = 0;

/** A network namespace with its client, gone with the test. */
function space(t: Test): Space {
  const name = `fabric-nl-${process.pid}-${spaces++}`;
  run('ip', 'netns', 'add', name);
  const namespace = NetworkNamespace.open(`/run/netns/${name}`);
  const netlink = Rtnetlink.open(namespace.fd);
  t.teardown(() => {
    netlink.close();
    namespace.close();
    run('ip', 'netns', 'delete', name);
  });
  return { name, namespace, netlink };
}

function run(program: string, ...args: readonly string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** The objects that `ip -j …` or `bridge -j …` shows inside the namespace. */
function shown({ name }: Space, program: 'ip' | 'bridge', ...args: readonly string[]): Record<string, unknown>[] {
  const text = run(program, '-n', name, '-j', '-d', ...args).trim();
  return text === '' ? [] : (JSON.parse(text) as Record<string, unknown>[]);
}

function mac(text: string): Mac {
  return parseMac(text)!;
}
function ip(text: string): IpAddress {
  return parseIp(text)!;
}
function cidr(text: string): Cidr {
  return parseCidr(text)!;
}

async function fails(t: Test, call: Promise<unknown>, errno: string, name?: string): Promise<void> {
  const error = await call.then(
    () => 'success',
    (reason: unknown) => reason,
  );
  t.ok(hasErrno(error, errno), name ?? errno, { found: String(error) });
}

async function upVeth({ netlink }: Space, name = 'a', peer = 'b'): Promise<Link> {
  const link = await netlink.createVeth({ name, up: true, peer: { name: peer } });
  await netlink.setLink(peer, { up: true });
  return link;
}

function openDescriptors(): readonly string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      // The descriptor of the listing itself.
      return [];
    }
  });
}

test('a namespace is opened only when it is one', async (t) => {
  const here = space(t);
  const again = NetworkNamespace.open(`/run/netns/${here.name}`);
  t.ok(again.equals(here.namespace.id));
  t.notOk(again.equals(NetworkNamespace.currentId()));
  const own = NetworkNamespace.open('/proc/self/ns/net');
  t.ok(own.equals(NetworkNamespace.currentId()));
  const byFd = NetworkNamespace.open(`/proc/${process.pid}/fd/${again.fd}`);
  t.ok(byFd.equals(here.namespace.id), 'through /proc/PID/fd/N');
  for (const handle of [again, own, byFd]) handle.close();
  t.throws(() => again.fd, /invariant/, 'a closed one is not used');

  const fifo = `${t.testdir()}/fifo`;
  run('mkfifo', fifo);
  for (const path of ['/proc/self/ns/mnt', '/etc/passwd', '/dev/null', fifo, '/run/netns/no-such', '/proc/self/ns']) {
    t.throws(() => NetworkNamespace.open(path), { code: 'namespace-invalid' }, path);
  }
});

test('veth pairs', async (t) => {
  const host = space(t);
  const container = space(t);
  const created = await host.netlink.createVeth({
    name: 'vethA',
    mac: mac('02:00:00:00:00:01'),
    mtu: 1418,
    alias: 'fabric container 1',
    addressGeneration: false,
    up: true,
    txQueues: 2,
    rxQueues: 3,
    peer: {
      name: 'eth0',
      mac: mac('02:00:00:00:00:02'),
      mtu: 1418,
      arp: false,
      namespaceFd: container.namespace.fd,
    },
  });
  t.match(created, {
    name: 'vethA',
    mac: '02:00:00:00:00:01',
    mtu: 1418,
    alias: 'fabric container 1',
    up: true,
    arp: true,
    kind: 'veth',
    master: null,
    addressGeneration: false,
    txQueues: 2,
    rxQueues: 3,
  });
  await container.netlink.setLink('eth0', { up: true });
  const peer = await container.netlink.getLink('eth0');
  t.match(peer, {
    mac: '02:00:00:00:00:02',
    mtu: 1418,
    up: true,
    carrier: true,
    arp: false,
    loopback: false,
  });
  t.equal(created.peerIndex, peer?.index);
  t.type(created.peerNamespaceId, 'number', 'the peer is in another namespace');
  const [oracle] = shown(host, 'ip', 'link', 'show', 'vethA');
  t.match(oracle, {
    ifindex: created.index,
    address: '02:00:00:00:00:01',
    mtu: 1418,
    ifalias: 'fabric container 1',
    num_tx_queues: 2,
    num_rx_queues: 3,
    inet6_addr_gen_mode: 'none',
    flags: ['BROADCAST', 'MULTICAST', 'UP', 'LOWER_UP'],
  });
  t.match(shown(container, 'ip', 'link', 'show', 'eth0')[0], {
    flags: ['BROADCAST', 'MULTICAST', 'NOARP', 'UP', 'LOWER_UP'],
  });
  t.same(await host.netlink.listAddresses({ index: created.index }), [], 'no link-local address was generated');

  const taken = host.netlink.createVeth({ name: 'other', peer: { name: 'eth0', namespaceFd: container.namespace.fd } });
  await fails(t, taken, 'EEXIST', 'the name is taken on the other side');
  t.equal(await host.netlink.getLink('other'), null, 'and nothing is left');
  await t.rejects(host.netlink.createVeth({ name: 'half', alias: 'x'.repeat(256), peer: { name: 'p' } }), NetlinkError);
  t.equal(await host.netlink.getLink('half'), null, 'nothing is left of a creation that failed half-way');

  await host.netlink.deleteLink(created.index);
  t.equal(await container.netlink.getLink('eth0'), null, 'both ends are gone');
});

test('settings of a link', async (t) => {
  const here = space(t);
  const other = space(t);
  const { netlink } = here;
  const { index } = await netlink.createVeth({ name: 'a', peer: { name: 'b' } });

  await netlink.setLink('a', { name: 'renamed', mtu: 1300, alias: 'one', mac: mac('02:00:00:00:00:aa'), arp: false });
  t.match(await netlink.getLink(index), {
    name: 'renamed',
    mtu: 1300,
    alias: 'one',
    mac: '02:00:00:00:00:aa',
    arp: false,
  });
  await netlink.setLink('renamed', { addressGeneration: false, up: true });
  await netlink.setLink('b', { up: true });
  await netlink.setLink(index, { alias: '', arp: true });
  t.match(await netlink.getLink('renamed'), {
    index,
    up: true,
    carrier: true,
    arp: true,
    alias: '',
    addressGeneration: false,
  });
  t.same(await netlink.listAddresses({ index }), []);
  await netlink.setLink(index, { up: false });
  t.equal((await netlink.getLink(index))?.up, false);

  await netlink.setLink('b', { namespaceFd: other.namespace.fd });
  t.equal(await netlink.getLink('b'), null);
  t.match(await other.netlink.getLink('b'), { kind: 'veth', peerIndex: index });

  await fails(t, netlink.setLink('nobody', { mtu: 1400 }), 'ENODEV');
  await fails(t, netlink.setLink('nobody', { name: 'somebody' }), 'ENODEV');
  const tooBig = await netlink.setLink(index, { mtu: 1_000_000 }).catch((error: unknown) => error);
  t.ok(hasErrno(tooBig, 'EINVAL'));
  t.match(
    String(tooBig),
    /can't set mtu of the link \d+: EINVAL, mtu greater than device maximum/,
    "the kernel's words",
  );
});

test('bridges and their ports', async (t) => {
  const here = space(t);
  const { netlink } = here;
  const bridge = await netlink.createBridge({
    name: 'fabric0',
    mac: mac('02:fa:b0:00:00:01'),
    mtu: 1418,
    alias: 'fabric',
    addressGeneration: false,
    up: true,
    ageingMs: 120_000,
    forwardDelayMs: 0,
    stp: false,
    vlanFiltering: false,
    multicastSnooping: false,
    groupForwardMask: 0x4000,
  });
  const options = {
    ageingMs: 120_000,
    forwardDelayMs: 0,
    stp: false,
    vlanFiltering: false,
    multicastSnooping: false,
    groupForwardMask: 0x4000,
  };
  t.match(bridge, { kind: 'bridge', mac: '02:fa:b0:00:00:01', mtu: 1418, alias: 'fabric', up: true, bridge: options });
  t.match(shown(here, 'ip', 'link', 'show', 'fabric0')[0], {
    linkinfo: {
      info_data: { forward_delay: 0, ageing_time: 12000, stp_state: 0, vlan_filtering: 0, mcast_snooping: 0 },
    },
  });
  await netlink.setBridge(bridge.index, { multicastSnooping: true, ageingMs: 300_000 });
  t.match((await netlink.getLink('fabric0'))?.bridge, { ...options, multicastSnooping: true, ageingMs: 300_000 });

  const port = await netlink.createVeth({ name: 'p', master: bridge.index, up: true, peer: { name: 'q' } });
  t.equal(port.master, bridge.index);
  t.equal((await netlink.getLink('fabric0'))?.mtu, 1418, 'a port of 1500 leaves the MTU that was set');
  const defaults: BridgePortFlags = {
    learning: true,
    unicastFlood: true,
    multicastFlood: true,
    broadcastFlood: true,
    isolated: false,
    locked: false,
    hairpin: false,
    neighSuppress: false,
  };
  t.same(port.port, defaults);
  const flags = Object.keys(defaults) as (keyof BridgePortFlags)[];
  for (const flag of flags) {
    await netlink.setBridgePort(port.index, { [flag]: !defaults[flag] });
    const expected = { ...defaults, [flag]: !defaults[flag] };
    t.same((await netlink.getLink('p'))?.port, expected, `${flag} alone`);
    await netlink.setBridgePort(port.index, defaults);
  }
  await netlink.setBridgePort(port.index, { learning: false, unicastFlood: false, locked: true, isolated: true });
  t.match(shown(here, 'bridge', 'link', 'show', 'dev', 'p')[0], {
    learning: false,
    flood: false,
    locked: true,
    isolated: true,
    mcast_flood: true,
    bcast_flood: true,
    hairpin: false,
    neigh_suppress: false,
  });
  t.same(
    (await netlink.listLinks({ master: bridge.index })).map(({ name }) => name),
    ['p'],
  );
  t.same(
    (await netlink.listLinks({ kind: 'bridge' })).map(({ name }) => name),
    ['fabric0'],
  );
  t.same((await netlink.listLinks()).map(({ name }) => name).sort(), ['fabric0', 'lo', 'p', 'q'], 'all links');
  await netlink.setLink('p', { master: null });
  t.match(await netlink.getLink('p'), { master: null, port: null });
  await fails(t, netlink.createBridge({ name: 'fabric0' }), 'EEXIST');
  await fails(t, netlink.createBridge({ name: 'br1', groupForwardMask: 1 }), 'EINVAL');
  t.equal(await netlink.getLink('br1'), null);
});

test('addresses', async (t) => {
  const here = space(t);
  const { netlink } = here;
  const { index } = await upVeth(here);
  await netlink.addAddress({ index, ip: ip('10.32.0.5'), prefix: 12, noPrefixRoute: true });
  await netlink.addAddress({ index, ip: ip('169.254.0.1'), prefix: 32, scope: 'link' });
  await netlink.addAddress({ index, ip: ip('fd00::5'), prefix: 64, noDad: true, noPrefixRoute: true });
  await netlink.addAddress({ index, ip: ip('fe80::1'), prefix: 64, noDad: true, scope: 'link' });

  const ours = (await netlink.listAddresses({ index })).filter(({ noDad, ip }) => noDad || ip.family === 4);
  t.match(ours, [
    { ip: ip('169.254.0.1'), prefix: 32, scope: 'link', noPrefixRoute: false },
    { ip: ip('10.32.0.5'), prefix: 12, scope: 'global', noPrefixRoute: true, permanent: true },
    { ip: ip('fd00::5'), prefix: 64, noDad: true, noPrefixRoute: true, tentative: false, scope: 'global' },
    { ip: ip('fe80::1'), prefix: 64, noDad: true, scope: 'link' },
  ]);
  t.match(shown(here, 'ip', 'address', 'show', 'dev', 'a')[0], {
    addr_info: [
      { local: '169.254.0.1', prefixlen: 32, scope: 'link' },
      { local: '10.32.0.5', prefixlen: 12, noprefixroute: true, scope: 'global' },
    ],
  });
  t.equal((await netlink.listAddresses({ index, family: 4 })).length, 2);
  t.ok((await netlink.listAddresses()).length >= 4, 'of all links');
  t.same(await netlink.listAddresses({ index: 4711 }), [], 'of a link that is not there');

  const again = await netlink.addAddress({ index, ip: ip('10.32.0.5'), prefix: 12 }).catch((error: unknown) => error);
  t.ok(isExists(again));
  await netlink.replaceAddress({ index, ip: ip('fd00::5'), prefix: 64, noDad: true, noPrefixRoute: true });
  await netlink.replaceAddress({ index, ip: ip('fd00::6'), prefix: 64, noDad: true });
  await netlink.deleteAddress({ index, ip: ip('10.32.0.5'), prefix: 12 });
  const missing = await netlink
    .deleteAddress({ index, ip: ip('10.32.0.5'), prefix: 12 })
    .catch((error: unknown) => error);
  t.ok(isMissing(missing));
  t.ok(hasErrno(missing, 'EADDRNOTAVAIL'));
});

test('routes', async (t) => {
  const here = space(t);
  const { netlink } = here;
  const { index } = await upVeth(here);
  await netlink.addAddress({ index, ip: ip('10.0.0.2'), prefix: 24 });
  await netlink.addAddress({ index, ip: ip('fd00::2'), prefix: 64, noDad: true });

  await netlink.addRoute({ dst: cidr('0.0.0.0/0'), gateway: ip('10.0.0.1'), metric: 50, mtu: 1400 });
  await netlink.addRoute({ dst: cidr('10.32.0.7/32'), index, preferredSource: ip('10.0.0.2') });
  await netlink.addRoute({ dst: cidr('192.0.2.0/24'), index, gateway: ip('203.0.113.1'), onlink: true, table: 1000 });
  await netlink.addRoute({ dst: cidr('198.51.100.0/24'), type: 'blackhole' });
  await netlink.addRoute({ dst: cidr('203.0.113.0/24'), index, gateway: ip('fd00::1') });
  await netlink.addRoute({ dst: cidr('::/0'), gateway: ip('fd00::1') });
  await netlink.addRoute({ dst: cidr('fd01::7/128'), index, metric: 7, protocol: 4 });

  const ours = await netlink.listRoutes({ protocol: 0x66 });
  const byTable = [...ours].sort((a, b) => a.table - b.table);
  t.match(byTable, [
    { dst: cidr('0.0.0.0/0'), gateway: ip('10.0.0.1'), metric: 50, table: 254, mtu: 1400, scope: 'global' },
    { dst: cidr('10.32.0.7/32'), gateway: null, metric: 0, mtu: null, scope: 'link', preferredSource: ip('10.0.0.2') },
    { dst: cidr('198.51.100.0/24'), type: 'blackhole' },
    { dst: cidr('203.0.113.0/24'), gateway: ip('fd00::1') },
    { dst: cidr('::/0'), gateway: ip('fd00::1'), metric: 1024 },
    { dst: cidr('192.0.2.0/24'), gateway: ip('203.0.113.1'), table: 1000, onlink: true },
  ]);
  t.match(shown(here, 'ip', 'route', 'show', 'default'), [
    { dst: 'default', gateway: '10.0.0.1', dev: 'a', protocol: '102', metric: 50, metrics: [{ mtu: 1400 }] },
  ]);
  t.match(shown(here, 'ip', 'route', 'show', '10.32.0.7'), [{ dst: '10.32.0.7', prefsrc: '10.0.0.2', scope: 'link' }]);
  t.match(shown(here, 'ip', 'route', 'show', 'table', '1000'), [{ dst: '192.0.2.0/24', flags: ['onlink'] }]);
  t.match(shown(here, 'ip', '-6', 'route', 'show', 'fd01::7'), [{ dst: 'fd01::7', metric: 7, protocol: 'static' }]);
  t.equal((await netlink.listRoutes({ table: 1000 })).length, 1);
  t.same(await netlink.listRoutes({ table: 1001 }), [], 'a table that is not there');
  t.same(await netlink.listRoutes({ index: 4711 }), [], 'a link that is not there');
  t.ok((await netlink.listRoutes({ family: 6 })).every(({ dst }) => dst.family === 6));
  t.same(await netlink.listRoutes({ family: 4, index: 1 }), [], 'none through a loopback that is down');

  const twice = await netlink.addRoute({ dst: cidr('10.32.0.7/32'), index }).catch((error: unknown) => error);
  t.ok(isExists(twice));
  await netlink.replaceRoute({ dst: cidr('10.32.0.7/32'), index, mtu: 1300 });
  t.equal((await netlink.listRoutes({ index, family: 4 })).find(({ mtu }) => mtu === 1300)?.dst.prefix, 32);
  const foreign = await netlink.deleteRoute({ dst: cidr('fd01::7/128') }).catch((error: unknown) => error);
  t.ok(hasErrno(foreign, 'ESRCH'), "another's route is not deleted by default");
  await netlink.deleteRoute({ dst: cidr('fd01::7/128'), protocol: null });
  for (const { dst, table } of ours) await netlink.deleteRoute({ dst, table });
  t.same(await netlink.listRoutes({ protocol: 0x66 }), []);
  const unreachable = netlink.addRoute({ dst: cidr('192.0.2.0/24'), gateway: ip('203.0.113.9') });
  t.match(String(await unreachable.catch(String)), /ENETUNREACH, Nexthop has invalid gateway/);
  run(
    'ip',
    '-n',
    here.name,
    'route',
    'add',
    '192.0.2.0/24',
    'nexthop',
    'via',
    '10.0.0.3',
    'nexthop',
    'via',
    '10.0.0.4',
  );
  const [multipath] = await netlink.listRoutes({ family: 4, protocol: 3 });
  t.same(multipath?.nextHops, [
    { index, gateway: ip('10.0.0.3') },
    { index, gateway: ip('10.0.0.4') },
  ]);
});

test('neighbours and forwarding entries', async (t) => {
  const here = space(t);
  const { netlink } = here;
  const bridge = await netlink.createBridge({ name: 'br', up: true });
  const p = await netlink.createVeth({ name: 'p', master: bridge.index, up: true, peer: { name: 'pp' } });
  const q = await netlink.createVeth({ name: 'q', master: bridge.index, up: true, peer: { name: 'qq' } });
  const { index } = bridge;

  await netlink.setNeighbour({ index, ip: ip('10.32.0.5'), mac: mac('02:00:00:00:00:05') });
  await netlink.setNeighbour({ index, ip: ip('10.32.0.5'), mac: mac('02:00:00:00:00:06') });
  await netlink.setNeighbour({ index, ip: ip('fd00::5'), mac: mac('02:00:00:00:00:05') });
  const neighbours = (await netlink.listNeighbours({ index })).filter(({ permanent }) => permanent);
  t.match(neighbours, [
    { ip: ip('10.32.0.5'), mac: '02:00:00:00:00:06', permanent: true },
    { ip: ip('fd00::5'), mac: '02:00:00:00:00:05', permanent: true },
  ]);
  t.match(shown(here, 'ip', '-4', 'neigh', 'show', 'dev', 'br'), [
    { dst: '10.32.0.5', lladdr: '02:00:00:00:00:06', state: ['PERMANENT'] },
  ]);
  const permanent4 = async () => (await netlink.listNeighbours({ family: 4 })).filter(({ permanent }) => permanent);
  t.equal((await permanent4()).length, 1);
  await netlink.deleteNeighbour({ index, ip: ip('10.32.0.5') });
  t.same(await permanent4(), []);
  t.ok(isMissing(await netlink.deleteNeighbour({ index, ip: ip('10.32.0.5') }).catch((error: unknown) => error)));

  const address = mac('02:00:00:00:00:77');
  await netlink.setFdbEntry({ index: p.index, mac: address });
  t.match(
    (await netlink.listFdb({ port: p.index })).filter((entry) => entry.mac === address),
    [{ index: p.index, master: bridge.index, state: 'static', vlan: null }],
  );
  t.match(
    shown(here, 'bridge', 'fdb', 'show', 'br', 'br').filter((entry) => entry.mac === address),
    [{ ifname: 'p', state: 'static' }],
  );
  await netlink.setFdbEntry({ index: q.index, mac: address });
  const moved = (await netlink.listFdb({ bridge: bridge.index })).filter((entry) => entry.mac === address);
  t.match(moved, [{ index: q.index, state: 'static' }], 'it moved to the other port');
  t.equal(moved.length, 1);
  await netlink.deleteFdbEntry({ index: q.index, mac: address });
  t.ok(isMissing(await netlink.deleteFdbEntry({ index: q.index, mac: address }).catch((error: unknown) => error)));
  await netlink.setFdbEntry({ index: p.index, mac: address, where: 'self' });
  t.match(
    (await netlink.listFdb({ port: p.index })).filter((entry) => entry.mac === address),
    [{ master: null, state: 'permanent' }],
  );
  await netlink.deleteFdbEntry({ index: p.index, mac: address, where: 'self' });
  t.ok((await netlink.listFdb()).every((entry) => entry.mac !== address));
});

test('elements of nftables sets', async (t) => {
  const here = space(t);
  const set = '{ type ifname . ether_addr . ipv4_addr\n }';
  run('ip', 'netns', 'exec', here.name, 'nft', `table bridge fabric { \nset spoof ${set}\n }`);
  const nfnetlink = Nfnetlink.open(here.namespace.fd);
  t.teardown(() => nfnetlink.close());
  const key = (n: number) =>
    concatKey(ifnameKey(`veth${n}`), macToBytes(mac('02:00:00:00:00:05')), new Uint8Array([10, 32, n >> 8, n & 255]));
  const change = { family: 'bridge', table: 'fabric', set: 'spoof' } as const;
  const elements = () => {
    const text = run('ip', 'netns', 'exec', here.name, 'nft', '-j', 'list', 'set', 'bridge', 'fabric', 'spoof');
    return (JSON.parse(text) as { nftables: { set?: { elem?: unknown[] } }[] }).nftables.flatMap(
      (x) => x.set?.elem ?? [],
    );
  };

  await nfnetlink.setElements({ ...change, operation: 'add', elements: [key(1), key(2)] });
  await nfnetlink.setElements({ ...change, operation: 'add', elements: [key(2)] });
  t.same(elements(), [
    { concat: ['veth1', '02:00:00:00:00:05', '10.32.0.1'] },
    { concat: ['veth2', '02:00:00:00:00:05', '10.32.0.2'] },
  ]);
  const absent = nfnetlink.setElements({ ...change, operation: 'delete', elements: [key(1), key(3)] });
  t.ok(isMissing(await absent.catch((error: unknown) => error)));
  t.equal(elements().length, 2, 'a failed transaction changes nothing');
  await nfnetlink.setElementsAll([
    { ...change, operation: 'delete', elements: [key(1)] },
    { ...change, operation: 'add', elements: [key(4)] },
    { ...change, operation: 'add', elements: [] },
  ]);
  t.equal(elements().length, 2);
  await fails(t, nfnetlink.setElements({ ...change, set: 'none', operation: 'add', elements: [key(1)] }), 'ENOENT');
  await t.rejects(nfnetlink.setElements({ ...change, operation: 'add', elements: [key(1).subarray(0, 8)] }), {
    code: 'netlink',
  });
  const many = Array.from({ length: 3000 }, (_, n) => key(n));
  await nfnetlink.setElements({ ...change, operation: 'add', elements: many });
  t.equal(elements().length, 3000);
  await nfnetlink.setElements({ ...change, operation: 'delete', elements: many });
  t.equal(elements().length, 0);
  const endless = Array.from({ length: 20_000 }, (_, n) => key(n));
  await fails(t, nfnetlink.setElements({ ...change, operation: 'add', elements: endless }), 'EMSGSIZE');
});

test('sysctls and offloads inside a namespace', async (t) => {
  const here = space(t);
  await upVeth(here, 'eth0.7', 'b');
  const fd = here.namespace.fd;
  const path = 'net/ipv6/conf/eth0.7/accept_ra';
  await writeSysctl(path, '0', fd);
  t.equal(await readSysctl(path, fd), '0');
  await writeSysctl(path, '2', fd);
  t.equal(run('ip', 'netns', 'exec', here.name, 'cat', `/proc/sys/${path}`), '2\n');
  await t.rejects(readSysctl(path), { code: 'ENOENT' }, 'our own namespace has no such interface');
  await t.rejects(writeSysctl(path, 'nonsense', fd), { code: 'EINVAL', syscall: 'write' });
  await t.rejects(readSysctl('net/../kernel/hostname', fd), /invariant/);

  const before = await readOffloads('b', fd);
  t.same(before, { txChecksum: true, tso: true, gso: true, gro: false });
  await setOffloads('b', { txChecksum: false, tso: false, gso: false, gro: false }, fd);
  t.same(await readOffloads('b', fd), { txChecksum: false, tso: false, gso: false, gro: false });
  t.same(await readOffloads('eth0.7', fd), before, 'the other end keeps its own');
  await setOffloads('b', { txChecksum: true, tso: true }, fd);
  t.match(await readOffloads('b', fd), { txChecksum: true, tso: true, gso: false });
  await t.rejects(setOffloads('nobody', { gro: false }, fd), { code: 'ENODEV' });
});

test('a monitor tells what changes', async (t) => {
  const here = space(t);
  const events: NetlinkEvent[] = [];
  const monitor = RtnetlinkMonitor.open(
    ['links', 'addresses', 'routes', 'neighbours'],
    (event) => events.push(event),
    here.namespace.fd,
  );
  t.teardown(() => monitor.close());
  const seen = async (name: string, matches: (event: NetlinkEvent) => boolean) => {
    for (let i = 0; i < 100 && !events.some(matches); i++) await wait(10);
    t.ok(events.some(matches), name);
  };
  const { netlink } = here;
  const bridge = await netlink.createBridge({ name: 'br', up: true });
  const port = await netlink.createVeth({ name: 'p', master: bridge.index, up: true, peer: { name: 'q' } });
  const address = mac('02:00:00:00:00:77');
  await netlink.addAddress({ index: bridge.index, ip: ip('10.32.0.1'), prefix: 32 });
  await netlink.addRoute({ dst: cidr('10.32.0.9/32'), index: bridge.index });
  await netlink.setNeighbour({ index: bridge.index, ip: ip('10.32.0.9'), mac: address });
  await netlink.setFdbEntry({ index: port.index, mac: address });
  await netlink.deleteLink('p');

  await seen('new link', (e) => e.kind === 'link' && !e.deleted && e.link.name === 'p');
  await seen('new port', (e) => e.kind === 'bridge-port' && !e.deleted && e.master === bridge.index);
  await seen('address', (e) => e.kind === 'address' && e.address.ip.value === ip('10.32.0.1').value);
  await seen('route', (e) => e.kind === 'route' && e.route.dst.base === ip('10.32.0.9').value);
  await seen('neighbour', (e) => e.kind === 'neighbour' && e.neighbour.mac === address);
  await seen('forwarding entry', (e) => e.kind === 'fdb' && !e.deleted && e.entry.mac === address);
  await seen('forwarding entry gone', (e) => e.kind === 'fdb' && e.deleted && e.entry.mac === address);
  await seen('link gone', (e) => e.kind === 'link' && e.deleted && e.link.index === port.index);

  events.length = 0;
  monitor.close();
  monitor.close();
  await netlink.setLink('br', { alias: 'x' });
  await wait(20);
  t.same(events, [], 'nothing after close');
});

test('a monitor that was too slow hears of it', async (t) => {
  const here = space(t);
  const { netlink } = here;
  const { index } = await upVeth(here);
  const kinds = new Set<string>();
  const monitor = RtnetlinkMonitor.open(['routes'], (event) => kinds.add(event.kind), here.namespace.fd);
  t.teardown(() => monitor.close());
  const lines = Array.from({ length: 20_000 }, (_, n) => `route add 10.${n >> 8}.${n & 255}.1/32 dev a`).join('\n');
  // Runs synchronously: our event loop stands still while 20,000 messages arrive.
  execFileSync('ip', ['-n', here.name, '-batch', '-'], { input: lines });
  for (let i = 0; i < 100 && !kinds.has('overrun'); i++) await wait(10);
  t.ok(kinds.has('overrun'));
  t.equal((await netlink.listRoutes({ family: 4, index, protocol: 3 })).length, 20_000, 'a large dump is whole');
});

test('many calls at once, in order, and errors where they belong', async (t) => {
  const here = space(t);
  const { netlink } = here;
  const { index } = await upVeth(here);
  const calls = Array.from({ length: 100 }, (_, n) =>
    n % 10 === 9
      ? netlink.deleteRoute({ dst: cidr('192.0.2.1/32') }).then(
          () => 'deleted',
          (error: unknown) => (hasErrno(error, 'ESRCH') ? 'ESRCH' : String(error)),
        )
      : netlink.addRoute({ dst: cidr(`10.32.0.${n}/32`), index }).then(() => 'added'),
  );
  const listed = netlink.listRoutes({ family: 4, index, protocol: 0x66 });
  t.same(
    await Promise.all(calls),
    calls.map((_, n) => (n % 10 === 9 ? 'ESRCH' : 'added')),
  );
  t.equal((await listed).length, 90, 'a later list sees all');

  const clients = Array.from({ length: 100 }, () => Rtnetlink.open(here.namespace.fd));
  const lists = await Promise.all(clients.map((client) => client.listLinks()));
  t.ok(lists.every((links) => links.length === 3));
  const pending = clients.map((client) => client.getLink('a'));
  for (const client of clients) client.close();
  t.ok(
    await Promise.all(
      pending.map((call) =>
        call.then(
          () => true,
          (error) => hasErrno(error, 'ECANCELED') || hasErrno(error, 'EBADF'),
        ),
      ),
    ),
  );
  await fails(t, clients[0]!.getLink('a'), 'ECANCELED');
});

test('nothing leaks and our own namespace stays', async (t) => {
  const before = NetworkNamespace.currentId();
  const ownLinks = run('ip', '-j', 'link');
  const here = space(t);
  await upVeth(here);
  const settled = openDescriptors().length;
  for (let i = 0; i < 200; i++) {
    const namespace = NetworkNamespace.open(`/run/netns/${here.name}`);
    const client = Rtnetlink.open(namespace.fd);
    const nfnetlink = Nfnetlink.open(namespace.fd);
    const monitor = RtnetlinkMonitor.open(['links'], () => {}, namespace.fd);
    const [link] = await Promise.all([client.getLink('a'), readSysctl('net/ipv4/ip_forward', namespace.fd)]);
    if (link === null) t.fail('the link is there');
    for (const resource of [client, nfnetlink, monitor, namespace]) resource.close();
  }
  await wait(20);
  t.equal(openDescriptors().length, settled, 'file descriptors');
  t.same(NetworkNamespace.currentId(), before);
  for (const task of readdirSync('/proc/self/task')) {
    t.equal(readlinkSync(`/proc/self/task/${task}/ns/net`), `net:[${before.ino}]`, `thread ${task}`);
  }
  t.equal(run('ip', '-j', 'link'), ownLinks, 'our own links are as before');
});

test('what nobody closes is closed with its object, and memory does not grow', async (t) => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const here = space(t);
  await upVeth(here);
  const settle = async () => {
    for (let i = 0; i < 5; i++) {
      collect();
      await wait(5);
    }
  };
  const round = async (clients: number) => {
    for (let i = 0; i < clients; i++) {
      const client = Rtnetlink.open(here.namespace.fd);
      await Promise.all([client.listLinks(), client.getLink('a'), readOffloads('a', here.namespace.fd)]);
    }
    await settle();
  };
  await round(300);
  const descriptors = openDescriptors().length;
  const residentBytes = process.memoryUsage.rss();
  for (let i = 0; i < 5; i++) await round(300);
  t.ok(openDescriptors().length <= descriptors + 5, 'descriptors', { found: openDescriptors() });
  const grownMiB = (process.memoryUsage.rss() - residentBytes) / 2 ** 20;
  t.ok(grownMiB < 16, `resident memory grew by ${grownMiB.toFixed(1)} MiB over 1,500 clients`);
});

test('an environment that ends takes its monitors and exchanges along', async (t) => {
  const here = space(t);
  const monitor = new URL('../../src/host/netlink/monitor.js', import.meta.url).href;
  const client = new URL('../../src/host/netlink/rtnetlink.js', import.meta.url).href;
  const busy = (fd: number, then: string) => `
    Promise.all([import('${monitor}'), import('${client}')]).then(([{ RtnetlinkMonitor }, { Rtnetlink }]) => {
      RtnetlinkMonitor.open(['links', 'routes'], () => {}, ${fd});
      const netlinks = Array.from({ length: 8 }, () => Rtnetlink.open(${fd}));
      for (let i = 0; i < 200; i++) void netlinks[i % 8].listLinks();
      setImmediate(() => ${then});
    });`;
  const child = spawn(process.execPath, ['--eval', busy(3, 'process.exit(7)')], {
    stdio: ['ignore', 'ignore', 'inherit', here.namespace.fd],
  });
  t.same(await once(child, 'exit'), [7, null], 'process.exit with exchanges under way');

  const before = openDescriptors().filter((path) => path.startsWith('socket:')).length;
  for (let i = 0; i < 3; i++) {
    const worker = new Worker(busy(here.namespace.fd, "require('node:worker_threads').parentPort.postMessage(1)"), {
      eval: true,
    });
    await once(worker, 'message');
    await worker.terminate();
  }
  t.equal(openDescriptors().filter((path) => path.startsWith('socket:')).length, before);
});
