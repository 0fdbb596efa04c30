import { describe, expect, test } from 'vitest';
import { DEFAULT_VNI, type Vni } from '../../src/base/ids.ts';
import { DockerNetworks } from '../../src/docker-plugin/docker-networks.ts';
import { ANSWER_MS_MAX } from '../../src/docker-plugin/docker-plugin.ts';
import { HOLD_MS } from '../../src/docker-plugin/held-addresses.ts';
import { BLUE, DockerWorld, endpointId, NETWORK_ID } from './world.ts';

const turn = () => new Promise((resolve) => setImmediate(resolve));
const ids = { NetworkID: NETWORK_ID, EndpointID: endpointId(1) };
const generic = (options: object) => ({ 'com.docker.network.generic': options });

describe('pools', () => {
  test.each([
    ['nothing chosen', { AddressSpace: 'fabric' }, { PoolID: 'fabric,10.32.0.0/12', Pool: '0.0.0.0/0' }],
    ['a subnet', { Pool: '10.40.0.0/16' }, { PoolID: 'fabric,10.40.0.0/16', Pool: '10.40.0.0/16' }],
    ['all of it', { Pool: '10.32.0.0/12' }, { PoolID: 'fabric,10.32.0.0/12', Pool: '10.32.0.0/12' }],
    [
      'a part to choose from',
      { Pool: '10.40.0.0/16', SubPool: '10.40.7.0/24' },
      { PoolID: 'fabric,10.40.0.0/16,10.40.7.0/24', Pool: '10.40.0.0/16' },
    ],
    ['IPv6', { V6: true }, { PoolID: 'fabric,fd00::/48', Pool: 'fd00::/48' }],
    ['a network by name', { Options: { network: 'blue' } }, { PoolID: 'blue,10.32.0.0/12' }],
  ])('%s', async (_name, body, answer) => {
    expect(await new DockerWorld().call('IpamDriver.RequestPool', body)).toMatchObject(answer);
  });

  test("the gateway is the network's, with its prefix length, whatever the subnet", async () => {
    const { Data } = await new DockerWorld().call('IpamDriver.RequestPool', { Pool: '10.40.0.0/16' });
    expect(Data).toEqual({ 'com.docker.network.gateway': '10.32.0.1/12' });
  });

  test.each([
    ['outside of the range', { Pool: '192.168.0.0/24' }, /--subnet 192.168.0.0\/24 is not within 10.32.0.0\/12/],
    ['larger than the range', { Pool: '10.0.0.0/8' }, /not within/],
    ['no block', { Pool: '10.32.0.1/12' }, /not within/],
    ['a part outside of the subnet', { Pool: '10.40.0.0/16', SubPool: '10.41.0.0/24' }, /--ip-range/],
    ['a network that is not there', { Options: { network: 'red' } }, /there is no network red/],
    ['IPv6 where there is none', { V6: true, Options: { network: 'blue' } }, /blue has no IPv6/],
    ['a pool of another kind', { Pool: 7 }, /Pool is not a text/],
  ])('refused: %s', async (_name, body, message) => {
    expect(await new DockerWorld().call('IpamDriver.RequestPool', body)).toMatchObject({
      Err: expect.stringMatching(message),
      Error: expect.stringMatching(message),
    });
  });
});

describe('addresses', () => {
  const PoolID = 'fabric,10.40.0.0/16';

  test('carry the prefix length of the whole network', async () => {
    const world = new DockerWorld();
    expect(await world.call('IpamDriver.RequestAddress', { PoolID: 'fabric,10.32.0.0/12' })).toEqual({
      Address: '10.32.0.2/12',
    });
    expect(await world.call('IpamDriver.RequestAddress', { PoolID, Address: '10.40.0.9' })).toEqual({
      Address: '10.40.0.9/12',
    });
    expect(await world.call('IpamDriver.RequestAddress', { PoolID: 'fabric,fd00::/48' })).toEqual({
      Address: 'fd00::3/48',
    });
  });

  test('the gateway is not allocated, and no other can be chosen', async () => {
    const world = new DockerWorld();
    const Options = { RequestAddressType: 'com.docker.network.gateway' };
    expect(await world.call('IpamDriver.RequestAddress', { PoolID, Options })).toEqual({ Address: '10.32.0.1/12' });
    const other = await world.call('IpamDriver.RequestAddress', { PoolID, Options, Address: '10.40.0.1' });
    expect(other.Err).toMatch(/can't be the gateway/);
    expect(world.held).toEqual([]);
  });

  test.each([
    ['outside of the subnet', { PoolID, Address: '10.41.0.9' }, /not within 10.40.0.0\/16/],
    ['that is none', { PoolID, Address: '10.40.0.900' }, /no IP address/],
    ['of a pool that is not ours', { PoolID: 'LocalDefault/172.18.0.0/16' }, /no address pool of fabric/],
  ])('refused: one %s', async (_name, body, message) => {
    expect((await new DockerWorld().call('IpamDriver.RequestAddress', body)).Err).toMatch(message);
  });

  test('one that no endpoint ever takes is free after a while', async () => {
    const world = new DockerWorld();
    await world.call('IpamDriver.RequestAddress', { PoolID: 'fabric,10.32.0.0/12' });
    world.timers.advance(HOLD_MS - 1);
    expect(world.held.length).toBe(1);
    world.timers.advance(1);
    expect(world.held).toEqual([]);
    expect(world.timers.pending).toBe(0);
  });
});

describe('networks', () => {
  test('are durable, and which fabric network one is was said at its creation', async () => {
    const world = new DockerWorld();
    await world.network(NETWORK_ID, generic({ network: 'blue' }));
    expect(world.networks.get(NETWORK_ID)).toMatchObject({ network: 'blue', isInternal: false });
    expect(world.store.entries('docker-networks').length).toBe(1);
    await world.call('NetworkDriver.DeleteNetwork', { NetworkID: NETWORK_ID });
    expect(world.changed).toEqual([BLUE.id, BLUE.id]);
    expect(world.store.entries('docker-networks')).toEqual([]);
  });

  test.each([
    ['an unknown option', { Options: generic({ netwrok: 'blue' }) }, /knows no option netwrok/],
    ['a network that is not there', { Options: generic({ network: 'red' }) }, /no network red/],
    [
      "a subnet of Docker's own choice",
      { IPv4Data: [{ Pool: '172.18.0.0/16' }] },
      /172.18.0.0\/16 is not within 10.32.0.0\/12.*--ipam-driver fabric/,
    ],
    [
      'addresses of another network',
      { Options: generic({ network: 'fabric' }), IPv4Data: [{ Pool: '0.0.0.0/0', Gateway: '10.128.0.1/16' }] },
      /not those of the network fabric: their gateway is 10.128.0.1\/16.*--ipam-opt network=fabric/,
    ],
    ['no id', { NetworkID: '' }, /NetworkID is not an id/],
    ['an id that would be a path', { NetworkID: '../../../../../../etc' }, /NetworkID is not an id/],
  ])('refused: %s', async (_name, change, message) => {
    const world = new DockerWorld();
    const body = { NetworkID: NETWORK_ID, Options: generic({}), IPv4Data: [], ...change };
    expect((await world.call('NetworkDriver.CreateNetwork', body)).Err).toMatch(message);
    expect(world.networks.all()).toEqual([]);
  });

  test("one of versions before named networks is the default network's", () => {
    const world = new DockerWorld();
    const old = { id: NETWORK_ID, network: 'fabric', isInternal: false, auxiliary: [] };
    world.store.put('docker-networks', NETWORK_ID, new TextEncoder().encode(JSON.stringify(old)));
    const again = new DockerNetworks(world.store, () => undefined);
    expect(again.get(NETWORK_ID)).toEqual({ ...old, vni: DEFAULT_VNI });
    expect(again.of(DEFAULT_VNI)).toEqual([NETWORK_ID]);
  });

  test('one whose name means another fabric network by now takes no container, and lets go of what it had', async () => {
    const world = new DockerWorld();
    await world.network(NETWORK_ID, generic({ network: 'blue' }));
    const PoolID = 'blue,10.32.0.0/12';
    const { Address } = await world.call('IpamDriver.RequestAddress', { PoolID });
    world.fabrics.set('blue', { ...BLUE, id: 9 as Vni });
    const refused = await world.call('NetworkDriver.CreateEndpoint', { ...ids, Interface: { Address } });
    expect(refused.Err).toMatch(/not the one that this Docker network was made for.*id 7, and blue has the id 9/);
    world.fabrics.delete('blue');
    expect((await world.call('NetworkDriver.CreateEndpoint', { ...ids, Interface: {} })).Err).toMatch(
      /no network blue/,
    );
    const ip = String(Address).split('/')[0];
    expect(await world.call('IpamDriver.ReleaseAddress', { PoolID, Address: ip })).toEqual({});
    expect(await world.call('NetworkDriver.DeleteNetwork', { NetworkID: NETWORK_ID })).toEqual({});
    await turn();
    expect(world.held).toEqual([]);
  });

  test("what the last Docker network of a fabric network gave back is free at once, and nobody else's", async () => {
    const world = new DockerWorld();
    const second = 'cd'.repeat(32);
    await world.network();
    await world.network(second);
    const ip = await world.start(1);
    await world.stop(1, ip);
    await world.call('IpamDriver.RequestAddress', { PoolID: 'fabric,10.32.0.0/12', Address: '10.32.0.9' });
    await world.call('NetworkDriver.DeleteNetwork', { NetworkID: second });
    expect(world.held.map((held) => held.ip)).toEqual([ip, '10.32.0.9']);
    await world.call('NetworkDriver.DeleteNetwork', { NetworkID: NETWORK_ID });
    await turn();
    expect(world.held.map((held) => held.ip)).toEqual(['10.32.0.9']);
  });

  test('an auxiliary address is kept as long as its network', async () => {
    const world = new DockerWorld();
    await world.call('IpamDriver.RequestAddress', { PoolID: 'fabric,10.32.0.0/12', Address: '10.32.0.9' });
    const IPv4Data = [{ Pool: '10.32.0.0/12', AuxAddresses: { router: '10.32.0.9/12' } }];
    await world.call('NetworkDriver.CreateNetwork', { NetworkID: NETWORK_ID, IPv4Data });
    world.timers.advance(10 * HOLD_MS);
    expect(world.held.map(({ ip }) => ip)).toEqual(['10.32.0.9']);
  });
});

describe('endpoints', () => {
  test("answer with what Docker did not say, and lead into the container by the network's gateway", async () => {
    const world = new DockerWorld();
    await world.network();
    const Interface = { Address: '10.32.0.9/12', AddressIPv6: 'fd00::9/48' };
    expect(await world.call('NetworkDriver.CreateEndpoint', { ...ids, Interface })).toEqual({
      Interface: { MacAddress: '02:00:00:00:00:07' },
    });
    expect(world.endpoints.get(endpointId(1))).toMatchObject({
      ips: ['10.32.0.9', 'fd00::9'],
      ifname: 'fabd01010101010',
    });
    expect(await world.call('NetworkDriver.Join', { ...ids, SandboxKey: '/nowhere' })).toEqual({
      InterfaceName: { SrcName: 'fabd01010101010', DstPrefix: 'eth' },
      Gateway: '10.32.0.1',
      GatewayIPv6: 'fd00::1',
    });
  });

  test('a MAC and no address: the address is ours to choose', async () => {
    const world = new DockerWorld();
    await world.network();
    const Interface = { MacAddress: '02:42:0A:00:00:01' };
    expect(await world.call('NetworkDriver.CreateEndpoint', { ...ids, Interface })).toEqual({
      Interface: { Address: '10.32.0.2/12' },
    });
    expect(world.endpoints.get(endpointId(1))?.mac).toBe('02:42:0a:00:00:01');
  });

  test.each([
    ["Docker's", generic({}), { 'com.docker.network.internal': true }],
    ["fabric's", generic({ network: 'blue' }), {}],
  ])("an internal network of %s has no gateway and wants none of Docker's", async (_whose, options, more) => {
    const world = new DockerWorld();
    world.fabrics.set('blue', { ...BLUE, isInternal: true });
    await world.network(NETWORK_ID, { ...options, ...more });
    await world.call('NetworkDriver.CreateEndpoint', { ...ids, Interface: { Address: '10.32.0.9/12' } });
    const joined = await world.call('NetworkDriver.Join', ids);
    expect(joined).toMatchObject({ DisableGatewayService: true });
    expect(joined).not.toHaveProperty('Gateway');
  });

  test.each([
    ['on a network that is not known', { NetworkID: 'cd'.repeat(32) }, /not known to fabric/],
    ['with a multicast MAC', { Interface: { MacAddress: '01:00:5e:00:00:01' } }, /no MAC of a container/],
    ['outside of the range', { Interface: { Address: '172.18.0.2/16' } }, /is outside/],
    ['with a malformed address', { Interface: { Address: '10.32.0.9/40' } }, /no IP address/],
  ])('refused: one %s', async (_name, change, message) => {
    const world = new DockerWorld();
    await world.network();
    const body = { ...ids, Interface: { Address: '10.32.0.9/12' }, ...change };
    expect((await world.call('NetworkDriver.CreateEndpoint', body)).Err).toMatch(message);
    expect(world.endpoints.size).toBe(0);
  });

  test("another endpoint's address is refused", async () => {
    const world = new DockerWorld();
    await world.network();
    await world.start(1, '10.32.0.9');
    await expect(world.start(2, '10.32.0.9')).rejects.toThrow(/10.32.0.9 is in use/);
    const Interface = { Address: '10.32.0.9/12' };
    const second = await world.call('NetworkDriver.CreateEndpoint', { ...ids, EndpointID: endpointId(2), Interface });
    expect(second.Err).toMatch(/10.32.0.9 is in use/);
  });

  test("asked for again with the same wishes, the answer is the same; with others it is another endpoint's business", async () => {
    const world = new DockerWorld();
    await world.network();
    const body = { ...ids, Interface: { Address: '10.32.0.9/12' } };
    const first = await world.call('NetworkDriver.CreateEndpoint', body);
    expect(await world.call('NetworkDriver.CreateEndpoint', body)).toEqual(first);
    expect(await world.call('NetworkDriver.EndpointOperInfo', ids)).toEqual({
      Value: { 'fabric.mac': '02:00:00:00:00:07', 'fabric.ips': '10.32.0.9' },
    });
  });

  test('what is gone or was never there is deleted without an error', async () => {
    const world = new DockerWorld();
    await world.network();
    expect(await world.call('NetworkDriver.DeleteEndpoint', ids)).toEqual({});
    expect((await world.call('NetworkDriver.Join', ids)).Err).toMatch(/fabric has no endpoint/);
  });

  test('published ports are refused in words, none are not', async () => {
    const world = new DockerWorld();
    await world.network();
    const publish = (ports: unknown) =>
      world.call('NetworkDriver.ProgramExternalConnectivity', {
        ...ids,
        Options: { 'com.docker.network.portmap': ports },
      });
    expect(await publish(null)).toEqual({});
    expect(await publish([])).toEqual({});
    expect((await publish([{ Proto: 6, Port: 80, HostPort: 8080 }])).Err).toMatch(/publishes no ports/);
  });
});

describe('restarts', () => {
  /** A container `c1` that Docker has stopped, though its interface is still there. */
  async function leavingSlowly() {
    const world = new DockerWorld();
    await world.network();
    const ip = await world.start(1);
    world.containers.set(endpointId(1), 'c1');
    let removed = (): void => undefined;
    world.beforeRemove = () => new Promise((resolve) => (removed = resolve));
    const stopping = world.stop(1, ip);
    await turn();
    world.timers.advance(ANSWER_MS_MAX);
    await stopping;
    return { world, ip, removed: () => removed() };
  }

  test('a container that restarts has its address again, and another one meanwhile does not', async () => {
    const world = new DockerWorld();
    await world.network();
    const ip = await world.start(1);
    await world.stop(1, ip);
    world.timers.advance(500);
    expect(await world.start(2)).toBe(ip);
    expect(await world.start(3)).not.toBe(ip);
  });

  test('it has it also while the interface of the last time is still being removed, and nobody else has it then', async () => {
    const { world, ip, removed } = await leavingSlowly();
    expect(await world.start(2)).toBe(ip);
    removed();
    await turn();
    expect(await world.start(3)).not.toBe(ip);
  });

  test('it has it also when we saw first that its interface is gone, and are removing the endpoint', async () => {
    const world = new DockerWorld();
    await world.network();
    const ip = await world.start(1);
    world.endpoints.set(endpointId(1), { ...world.endpoints.get(endpointId(1))!, state: 'leaving' });
    await world.stop(1, ip);
    expect(await world.start(2)).toBe(ip);
  });

  test('what is still being removed keeps its address', async () => {
    const world = new DockerWorld();
    await world.network();
    const ip = await world.start(1);
    world.endpoints.set(endpointId(1), { ...world.endpoints.get(endpointId(1))!, state: 'leaving' });
    await world.call('IpamDriver.ReleaseAddress', { PoolID: 'fabric,10.32.0.0/12', Address: ip });
    world.timers.advance(3 * HOLD_MS);
    expect(world.held.map((held) => held.ip)).toEqual([ip]);
    world.endpoints.clear();
    world.timers.advance(2 * HOLD_MS);
    expect(world.held).toEqual([]);
  });

  test('nobody else has it before Docker has given it back: two would have it then', async () => {
    const world = new DockerWorld();
    await world.network();
    const ip = await world.start(1);
    await world.call('NetworkDriver.DeleteEndpoint', { NetworkID: NETWORK_ID, EndpointID: endpointId(1) });
    const PoolID = 'fabric,10.32.0.0/12';
    const { Address: second } = await world.call('IpamDriver.RequestAddress', { PoolID, Address: '' });
    await world.call('IpamDriver.ReleaseAddress', { PoolID, Address: ip });
    const { Address: third } = await world.call('IpamDriver.RequestAddress', { PoolID, Address: '' });
    expect(second).not.toBe(third);
  });

  test('side by side: who stopped first starts first', async () => {
    const world = new DockerWorld();
    await world.network();
    const first = await world.start(1);
    const second = await world.start(2);
    await world.stop(1, first);
    world.timers.advance(100);
    await world.stop(2, second);
    world.timers.advance(100);
    expect([await world.start(3), await world.start(4)]).toEqual([first, second]);
  });

  test('one that stopped some seconds ago does not keep the address of one that restarts now from it', async () => {
    const world = new DockerWorld();
    await world.network();
    const stopped = await world.start(1);
    const restarted = await world.start(2);
    await world.stop(1, stopped);
    world.timers.advance(4_000);
    await world.stop(2, restarted);
    world.timers.advance(200);
    expect(await world.start(3)).toBe(restarted);
  });

  test('one that never came up, a moment ago, does not keep an address from one that did', async () => {
    const world = new DockerWorld();
    await world.network();
    const restarted = await world.start(1);
    world.containers.set(endpointId(1), 'c1');
    const failed = await world.start(2);
    await world.stop(2, failed);
    world.timers.advance(100);
    await world.stop(1, restarted);
    expect(await world.start(3)).toBe(restarted);
    expect(await world.start(4)).toBe(failed);
  });

  test('a container that is removed leaves nothing for others to find again', async () => {
    const world = new DockerWorld();
    await world.network();
    const removed = await world.start(1);
    world.containers.set(endpointId(1), 'c1');
    await world.stop(1, removed);
    world.addresses.containerGone('c1');
    expect(await world.start(2)).not.toBe(removed);
  });

  test('neither does one that is removed while its interface still is', async () => {
    const { world, ip, removed } = await leavingSlowly();
    world.addresses.containerGone('c1');
    removed();
    await turn();
    expect(await world.start(2)).not.toBe(ip);
  });

  test('with the network gone, what is still being removed keeps its address until that is over', async () => {
    const { world, ip, removed } = await leavingSlowly();
    await world.call('NetworkDriver.DeleteNetwork', { NetworkID: NETWORK_ID });
    expect(world.held.map((held) => held.ip)).toEqual([ip]);
    removed();
    await turn();
    world.timers.advance(2 * HOLD_MS);
    expect(world.held).toEqual([]);
  });

  test('the address of an endpoint that vanished without a word of Docker is found, and is free after a while', async () => {
    const world = new DockerWorld();
    await world.network();
    await world.start(1);
    world.timers.advance(2 * HOLD_MS);
    world.endpoints.clear();
    world.addresses.look();
    expect(world.held.length).toBe(1);
    world.timers.advance(HOLD_MS);
    expect(world.held).toEqual([]);
  });

  test('an address that was given back is free after a while; of a live endpoint it never is', async () => {
    const world = new DockerWorld();
    await world.network();
    const live = await world.start(1);
    const gone = await world.start(2);
    await world.call('IpamDriver.ReleaseAddress', { PoolID: 'fabric,10.32.0.0/12', Address: live });
    await world.stop(2, gone);
    world.timers.advance(2 * HOLD_MS);
    expect(world.held.map(({ ip }) => ip)).toEqual([live]);
    expect(await world.start(3)).not.toBe(live);
  });
});
