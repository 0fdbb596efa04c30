// When a network is up on a host: from its first container to its last, in kernel, datapath and records, one change at a time.

import { expect, test } from 'vitest';
import type { Mac } from '../../src/base/ids.ts';
import { NETWORKS_HERE_MAX } from '../../src/daemon/network-presence.ts';
import { NetworksWorld } from './networks-world.ts';

const MAC = '02:00:00:00:00:01' as Mac;
const OTHER = '02:00:00:00:00:02' as Mac;

async function setUp() {
  const world = new NetworksWorld(1);
  const [host] = world.hosts;
  const blue = await host!.create('blue');
  return { world, host: host!, blue };
}

test('the first container brings bridge and tables, the last one takes them away', async () => {
  const { host, blue } = await setUp();
  expect(host.presence.members()).toEqual([0]);
  const ip = await host.join(blue, MAC);
  await host.join(blue, OTHER);
  expect(host.kernel.calls).toEqual([`addNetwork fabn${blue.id}`]);
  expect(host.presence.members()).toEqual([0, blue.id]);
  const { gatewayMac, gatewayIps } = blue.facts;
  expect(host.told.slice(0, 4)).toEqual([
    { kind: 'network', network: blue.id, portName: `port${blue.id}`, gatewayMac, gatewayIps },
    { kind: 'mac', network: blue.id, mac: MAC, to: 'local' },
    { kind: 'neighbour', network: blue.id, ip, mac: MAC },
    { kind: 'flood', network: blue.id, peers: [] },
  ]);
  await host.leave(MAC);
  expect(host.presence.isUp(blue.id)).toBe(true);
  await host.leave(OTHER);
  expect(host.presence.members()).toEqual([0]);
  expect(host.told.at(-1)).toEqual({ kind: 'network-gone', network: blue.id });
  expect(host.kernel.calls.at(-1)).toBe(`removeNetwork ${blue.id}`);
  await host.join(blue, MAC);
  expect(host.kernel.calls.at(-1)).toBe(`addNetwork fabn${blue.id}`);
});

test('a container that comes while the last one leaves finds its network', async () => {
  const { host, blue } = await setUp();
  await host.join(blue, MAC);
  let arriving: Promise<void> | null = null;
  host.kernel.before.removeNetwork = () => {
    host.claims.set(OTHER, {
      ...host.claims.get(MAC)!,
      mac: OTHER,
      network: blue.id,
      ips: [],
      sequence: 0,
      name: '',
      kind: 'container',
    });
    arriving = host.presence.enter(blue.id);
  };
  await host.leave(MAC);
  await arriving;
  expect(host.presence.isUp(blue.id)).toBe(true);
  expect(host.kernel.networks.has(blue.id)).toBe(true);
});

test('a kernel that refuses leaves the network down, and says why', async () => {
  const { host, blue } = await setUp();
  host.kernel.before.addNetwork = () => {
    throw new Error('no bridges today');
  };
  await expect(host.presence.enter(blue.id)).rejects.toThrow('no bridges today');
  expect(host.presence.isUp(blue.id)).toBe(false);
  expect(host.told).toEqual([]);
  delete host.kernel.before.addNetwork;
  await host.presence.enter(blue.id);
  expect(host.presence.isUp(blue.id)).toBe(true);
});

test('after a restart those with containers are up before the datapath is told of tables', async () => {
  const { host, blue } = await setUp();
  await host.join(blue, MAC);
  host.restart();
  expect(host.presence.restore([blue.id, blue.id, 0 as typeof blue.id]).map(({ bridge }) => bridge)).toEqual([
    blue.bridge,
  ]);
  expect(host.presence.tables()[0]).toMatchObject({ kind: 'network', network: blue.id });
  expect(host.presence.floodLists().map(({ network }) => network)).toEqual([0, blue.id]);
});

test('a host is in a bounded number of networks', async () => {
  const { host } = await setUp();
  for (let i = 0; i <= NETWORKS_HERE_MAX; i++) {
    const { id } = await host.create(`n${i}`);
    const entering = host.presence.enter(id);
    if (i === NETWORKS_HERE_MAX) await expect(entering).rejects.toMatchObject({ code: 'limit' });
    else await entering;
  }
});
