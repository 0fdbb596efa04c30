import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readContainer, readContainerEvent, readNetwork, readNetworkIds } from '../../src/docker-plugin/docker-view.ts';
import { DockerWatch, MISSING_MS } from '../../src/docker-plugin/docker-watch.ts';
import { DockerWorld, endpointId, NETWORK_ID } from './world.ts';

/** Docker's API over lists that the test changes. */
function setUp() {
  const world = new DockerWorld();
  const docker = {
    networks: new Map<string, { options: object; endpoints: Map<string, string> }>(),
    /** By id of the container. */
    names: new Map<string, string>(),
    isUp: true,
    asked: [] as string[],
  };
  const names = new Map<string, readonly string[]>();
  let beforeRename = async (): Promise<void> => {};
  let wantsLook = 0;
  const get = async (path: string): Promise<unknown> => {
    docker.asked.push(path.split('?')[0]!);
    if (!docker.isUp) throw new Error('connect ENOENT');
    if (path.startsWith('/networks?')) return [...docker.networks.keys()].map((Id) => ({ Id }));
    const [, kind, id = ''] = path.split('/');
    if (kind === 'networks') {
      const network = docker.networks.get(id);
      if (network === undefined) return null;
      const Containers = Object.fromEntries([...network.endpoints].map(([key, EndpointID]) => [key, { EndpointID }]));
      return { Id: id, Options: network.options, Internal: false, IPAM: { Config: null }, Containers };
    }
    const name = docker.names.get(id);
    if (name === undefined) return null;
    const endpoints = [...docker.networks.values()].flatMap((network) => network.endpoints.get(id) ?? []);
    const Networks = Object.fromEntries(endpoints.map((EndpointID) => ['net', { EndpointID, Aliases: ['www', id] }]));
    return { Name: `/${name}`, Config: { Hostname: 'host-of-it' }, NetworkSettings: { Networks } };
  };
  const watch = new DockerWatch({
    get,
    networks: world.networks,
    networkIdOf: (name) => world.fabrics.get(name)?.id ?? null,
    timers: world.timers,
    log: world.log,
    endpoints: () => [...world.endpoints.values()],
    rename: async (id, name, aliases) => {
      await beforeRename();
      names.set(id, [name, ...aliases]);
    },
    remove: (endpoint) => world.driver.removeEndpoint(endpoint),
    lookAgain: () => wantsLook++,
  });
  const onRename = (before: () => Promise<void>): void => {
    beforeRename = before;
  };
  return { world, docker, names, watch, onRename, wantsLook: () => wantsLook };
}

describe('names', () => {
  test("a container's name, aliases and host name are its endpoint's, asked for once", async () => {
    const { world, docker, names, watch } = setUp();
    await world.network();
    await world.start(1);
    docker.names.set('c1', 'web');
    docker.networks.set(NETWORK_ID, { options: {}, endpoints: new Map([['c1', endpointId(1)]]) });
    await watch.look();
    expect(names.get(endpointId(1))).toEqual(['web', 'www', 'c1', 'host-of-it']);
    await watch.look();
    expect(docker.asked.filter((path) => path.startsWith('/containers'))).toEqual(['/containers/c1/json']);
    docker.names.set('c1', 'shop');
    watch.renamed('c1');
    await watch.look();
    expect(names.get(endpointId(1))?.[0]).toBe('shop');
  });

  test.each([
    ['renamed while its old name was on its way', async () => {}, 'shop'],
    [
      'whose name could not be announced',
      async () => {
        throw new Error('disk full');
      },
      'web',
    ],
  ])('of a container %s the next look asks again', async (_name, meanwhile, then) => {
    const { world, docker, names, watch, onRename } = setUp();
    await world.network();
    await world.start(1);
    docker.names.set('c1', 'web');
    docker.networks.set(NETWORK_ID, { options: {}, endpoints: new Map([['c1', endpointId(1)]]) });
    onRename(async () => {
      docker.names.set('c1', then);
      if (then !== 'web') watch.renamed('c1');
      await meanwhile();
    });
    await watch.look().catch(() => undefined);
    onRename(async () => {});
    await watch.look();
    expect(names.get(endpointId(1))?.[0]).toBe(then);
  });

  test('an endpoint that can not be removed, and one whose name nobody can be told, keep no other from its name', async () => {
    const { world, docker, names, watch, onRename } = setUp();
    await world.network();
    for (const number of [1, 2, 3]) await world.start(number);
    const listed = new Map([2, 3].map((number) => [`c${number}`, endpointId(number)]));
    docker.networks.set(NETWORK_ID, { options: {}, endpoints: listed });
    await watch.look();
    world.timers.advance(MISSING_MS);
    docker.names.set('c2', 'web').set('c3', 'shop');
    world.beforeRemove = () => Promise.reject(new Error('the kernel refuses'));
    let renames = 0;
    onRename(async () => {
      if (++renames === 1) throw new Error('disk full');
    });
    await expect(watch.look()).rejects.toThrow('the kernel refuses');
    expect([...names.values()].map(([name]) => name)).toEqual(['shop']);
  });

  test('an endpoint without a container has none yet', async () => {
    const { world, docker, names, watch } = setUp();
    await world.network();
    await world.start(1);
    docker.networks.set(NETWORK_ID, { options: {}, endpoints: new Map([[`ep-${endpointId(1)}`, endpointId(1)]]) });
    await watch.look();
    expect(names.size).toBe(0);
  });
});

describe('what Docker forgot', () => {
  test('an endpoint goes when it was missing for a while, and not before', async () => {
    const { world, docker, watch, wantsLook } = setUp();
    await world.network();
    await world.start(1);
    docker.networks.set(NETWORK_ID, { options: {}, endpoints: new Map() });
    await watch.look();
    await watch.look();
    expect(world.endpoints.size).toBe(1);
    expect(wantsLook()).toBe(0);
    world.timers.advance(MISSING_MS);
    expect(wantsLook()).toBe(1);
    await watch.look();
    expect(world.endpoints.size).toBe(0);
  });

  test('an endpoint that is listed late stays, and a wait begins anew', async () => {
    const { world, docker, watch } = setUp();
    await world.network();
    await world.start(1);
    const listed = new Map<string, string>();
    docker.networks.set(NETWORK_ID, { options: {}, endpoints: listed });
    await watch.look();
    listed.set('c1', endpointId(1));
    world.timers.advance(MISSING_MS);
    await watch.look();
    listed.clear();
    await watch.look();
    expect(world.endpoints.size).toBe(1);
  });

  test('while Docker does not answer everything stays', async () => {
    const { world, docker, watch } = setUp();
    await world.network();
    await world.start(1);
    docker.networks.set(NETWORK_ID, { options: {}, endpoints: new Map() });
    await watch.look();
    docker.isUp = false;
    world.timers.advance(10 * MISSING_MS);
    await expect(watch.look()).rejects.toThrow(/ENOENT/);
    expect(world.endpoints.size).toBe(1);
  });

  test('a network is forgotten likewise', async () => {
    const { world, watch } = setUp();
    await world.network();
    await watch.look();
    expect(world.networks.has(NETWORK_ID)).toBe(true);
    world.timers.advance(MISSING_MS);
    await watch.look();
    expect(world.networks.has(NETWORK_ID)).toBe(false);
    watch.stop();
    expect(world.timers.pending).toBe(0);
  });
});

test('a network that we forgot is learned from Docker', async () => {
  const { world, docker, watch } = setUp();
  docker.networks.set(NETWORK_ID, { options: { network: 'blue' }, endpoints: new Map() });
  docker.networks.set('cd'.repeat(32), { options: {}, endpoints: new Map() });
  await watch.look();
  expect(world.networks.all().map(({ network }) => network)).toEqual(['blue', 'fabric']);
});

test('nonsense instead of an answer is an expected error, never another', () => {
  const readers = [readNetworkIds, readNetwork, readContainer, readContainerEvent];
  const odd = fc.jsonValue({ maxDepth: 4 });
  const likely = fc.oneof(
    odd,
    fc.record({ Id: odd, Options: odd, IPAM: odd, Containers: fc.oneof(odd, fc.dictionary(fc.string(), odd)) }),
    fc.record({ Name: odd, Config: odd, NetworkSettings: fc.record({ Networks: fc.dictionary(fc.string(), odd) }) }),
    fc.record({ Type: fc.constant('container'), Action: fc.constantFrom('rename', 'destroy'), Actor: odd }),
  );
  fc.assert(
    fc.property(fc.constantFrom(...readers), likely, (read, value) => {
      try {
        read(value);
      } catch (error) {
        expect(error).toMatchObject({ name: 'FabricError', code: 'usage' });
      }
    }),
  );
});

test('nonsense instead of a call is answered with Err', async () => {
  const odd = fc.jsonValue({ maxDepth: 3 });
  const body = fc.oneof(
    odd,
    fc.record({ NetworkID: fc.oneof(odd, fc.constant(NETWORK_ID)), EndpointID: odd, Interface: odd, Options: odd }),
    fc.record({ PoolID: fc.oneof(odd, fc.constant('fabric,10.32.0.0/12')), Address: odd, Options: odd, V6: odd }),
  );
  const { world } = setUp();
  await world.network();
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...world.plugin.methods()), body, async (method, value) => {
      const { Err } = await world.call(method, value);
      expect(String(Err ?? 'fabric: ')).toMatch(/^fabric: /);
      // A bug is logged with its stack.
      expect(world.log.lines.filter(({ fields }) => String(fields.reason).includes('\n    at '))).toEqual([]);
    }),
  );
});
