// The rtnetlink client on the real kernel, in network namespaces of its own: every operation, read back both through our dumps
// and through `ip -j` and `bridge -j` as independent oracles. Needs root.

import { test } from 'tap';
import { hasErrno, isExists, isMissing, NetlinkError } from '../../src/host/netlink/errors.ts';
import type { BridgePortFlags } from '../../src/host/netlink/objects.ts';
import { Rtnetlink } from '../../src/host/netlink/rtnetlink.ts';
import { cidr, fails, ip, mac, run, shown, space, upVeth } from '../host/netlink/space.ts';

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
    gsoIpv4BytesMax: 100_000,
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
    // The kernel that tests run on has the limit.
    gsoIpv4BytesMax: 100_000,
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
