// Named networks over hosts with real leases: how they become known, that names may collide and ids never do, and how they go.

import { describe, expect, test } from 'vitest';
import { parseCidr } from '../../src/base/address.ts';
import { DEFAULT_VNI, type Mac, NETWORK_IDS_VNI } from '../../src/base/ids.ts';
import { NetworksWorld } from './networks-world.ts';

const MAC = '02:00:00:00:00:01' as Mac;
const OTHER = '02:00:00:00:00:02' as Mac;
const RANGE = parseCidr('10.99.0.0/24')!;

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    return (error as { code: string }).code;
  }
  return 'none';
}

describe('a network', () => {
  test('is known on every host under one id, with a range that is nobody else’s', async () => {
    const world = new NetworksWorld(3);
    const [a, b, c] = world.hosts;
    const blue = await a!.create('blue');
    const red = await c!.create('red');
    world.settle();
    for (const host of world.hosts) {
      expect(host.names()).toEqual(blue.id < red.id ? ['fabric', 'blue', 'red'] : ['fabric', 'red', 'blue']);
      expect(host.network('blue').id).toBe(blue.id);
      expect(host.network('red').facts.gateway).toBe(red.facts.gateway);
    }
    expect(new Set([DEFAULT_VNI, blue.id, red.id]).size).toBe(3);
    expect(blue.facts.v4.range).not.toEqual(red.facts.v4.range);
    expect(b!.network('blue').bridge).toBe(`fabn${blue.id}`);
  });

  test('has leases of its own, which a host asks for when its first container joins', async () => {
    const world = new NetworksWorld(2);
    const [a, b] = world.hosts;
    const blue = await a!.create('blue', { range: RANGE });
    world.settle();
    const ownLeases = () => b!.leases.filter(({ network, owner }) => network === blue.id && owner === b!.peer).length;
    expect(ownLeases()).toBe(0);
    const near = await a!.join(blue, MAC);
    const far = await b!.join(b!.network('blue'), OTHER);
    expect(ownLeases()).toBeGreaterThan(0);
    expect(near).toMatch(/^10\.99\.0\./);
    expect(far).toMatch(/^10\.99\.0\./);
    expect(far).not.toBe(near);
    world.settle();
    const routes = a!.network('blue').routes.list();
    expect(routes.map(({ peer, state }) => [peer, state])).toEqual([
      [a!.peer, 'active'],
      [b!.peer, 'active'],
    ]);
    expect(a!.networks.main.routes.list()).toEqual([]);
  });

  test('is leased from before its first container where Docker has a network of it', async () => {
    const world = new NetworksWorld(2);
    const [a, b] = world.hosts;
    const blue = await a!.create('blue', { range: RANGE });
    world.settle();
    b!.dockers.set(blue.id, ['3f'.repeat(32)]);
    world.settle();
    expect(b!.leases.some(({ network, owner }) => network === blue.id && owner === b!.peer)).toBe(true);
  });

  test('of a name that is taken, a bad name or the default one’s is refused', async () => {
    const world = new NetworksWorld(2);
    const [a, b] = world.hosts;
    await a!.create('blue');
    world.settle();
    expect(await codeOf(b!.create('blue'))).toBe('network-exists');
    for (const name of ['fabric', '', 'a.b', 'x'.repeat(64), '-x', 'a b'])
      expect(await codeOf(b!.create(name))).toBe('usage');
  });

  test('with a gateway has its range alone; an internal one may share it', async () => {
    const world = new NetworksWorld(2);
    const [a, b] = world.hosts;
    await a!.create('blue', { range: RANGE });
    world.settle();
    expect(await codeOf(b!.create('green', { range: parseCidr('10.99.0.0/16')! }))).toBe('range-overlap');
    expect(await codeOf(b!.create('green', { range: parseCidr('10.40.0.0/16')! }))).toBe('range-overlap');
    b!.kernel.overlaps = ['192.168.0.0/16 dev eth1'];
    expect(await codeOf(b!.create('green', { range: parseCidr('192.168.7.0/24')! }))).toBe('range-overlap');
    const green = await b!.create('green', { range: RANGE, internal: true });
    expect(green.facts.internal).toBe(true);
    const black = await b!.create('black', { range: parseCidr('10.32.0.0/12')!, internal: true });
    expect(black.facts.v4.range).toEqual(world.hosts[0]!.networks.main.facts.v4.range);
  });

  test('with a range that nobody can lease of is refused, and leaves nothing behind', async () => {
    const [a] = new NetworksWorld(1).hosts;
    const small = a!.create('small', { range: parseCidr('10.99.0.0/30')! });
    await expect(small).rejects.toMatchObject({ code: 'usage', explanation: { fix: expect.stringContaining('/29') } });
    expect(() => a!.networks.remove('small')).toThrow(/no network small/);
    expect((await a!.create('small', { range: RANGE })).facts.v4.range).toEqual(RANGE);
  });

  test('that is not known has no messages, claims or leases, and nothing breaks', async () => {
    const world = new NetworksWorld(2);
    const [a, b] = world.hosts;
    const blue = await a!.create('blue');
    b!.networks.claim(a!.peer, {
      network: blue.id,
      mac: MAC,
      ips: ['10.99.0.7'],
      sequence: 0,
      name: '',
      kind: 'container',
    });
    b!.networks.withdraw(a!.peer, blue.id, MAC);
    b!.spaces.receive(a!.peer, Uint8Array.of(1, 1, 0, 0, 0, 9));
    b!.spaces.receive(a!.peer, new Uint8Array(0));
    expect(b!.spaces.strays).toBe(2);
    expect(() => b!.network('blue')).toThrow(/no network blue/);
  });
});

describe('two hosts that cannot hear each other', () => {
  async function divided() {
    const world = new NetworksWorld(3);
    const [a, b, c] = world.hosts;
    await b!.create('first'); // b has a block of ids from now on
    world.settle();
    world.linked = (one, other) => (one === b) === (other === b);
    const here = await a!.create('blue', { range: RANGE });
    const there = await b!.create('blue', { range: RANGE });
    return { world, a: a!, b: b!, c: c!, here, there };
  }

  test('make two networks of one name: ids differ, the lower one has the name, on every host', async () => {
    const { world, a, b, here, there } = await divided();
    expect(here.id).not.toBe(there.id);
    expect([a.network('blue').id, b.network('blue').id]).toEqual([here.id, there.id]);
    world.linked = () => true;
    world.settle();
    const [low, high] = [Math.min(here.id, there.id), Math.max(here.id, there.id)];
    for (const host of world.hosts) {
      expect(host.network('blue').id).toBe(low);
      expect(host.network(`blue.${high}`).id).toBe(high);
    }
  });

  test('keep their containers apart, and no host leads to both of one range', async () => {
    const { world, a, b, c, here, there } = await divided();
    await a.join(here, MAC);
    await b.join(there, OTHER);
    world.linked = () => true;
    world.settle();
    for (const host of world.hosts) {
      expect(
        host.networks
          .get(here.id)!
          .routes.list()
          .map(({ mac }) => mac),
      ).toEqual([MAC]);
      expect(
        host.networks
          .get(there.id)!
          .routes.list()
          .map(({ mac }) => mac),
      ).toEqual([OTHER]);
    }
    await c.presence.enter(here.id);
    expect(await codeOf(c.presence.enter(there.id))).toBe('range-overlap');
  });

  test('never take one id, however often they try, nor one that a removed network had', async () => {
    const { world, a, b } = await divided();
    const ids = new Set<number>();
    for (let i = 0; i < 20; i++) {
      for (const host of [a, b]) {
        const { id } = await host.create(`n${i}`, { range: RANGE, internal: true });
        expect(ids.has(id)).toBe(false);
        ids.add(id);
        host.networks.remove(`n${i}`);
      }
    }
    world.linked = () => true;
    world.settle();
    expect(ids.size).toBe(40);
    expect(world.hosts.map((host) => host.names().filter((name) => name.startsWith('n')))).toEqual([[], [], []]);
  });
});

describe('the end of a network', () => {
  test('is refused while a container is in it anywhere, and then final', async () => {
    const world = new NetworksWorld(2);
    const [a, b] = world.hosts;
    const blue = await a!.create('blue');
    world.settle();
    await b!.join(b!.network('blue'), MAC);
    world.settle();
    expect(() => a!.networks.remove('blue')).toThrow(/has containers/);
    expect(() => b!.networks.remove('blue')).toThrow(/h1, this host/);
    await b!.leave(MAC);
    world.settle();
    a!.networks.remove('blue');
    world.settle();
    expect(b!.names()).toEqual(['fabric']);
    const again = await a!.create('blue');
    expect(again.id).not.toBe(blue.id);
    for (const host of world.hosts) host.restart();
    world.settle();
    expect(b!.network('blue').id).toBe(again.id);
  });

  test('is refused while Docker on this host has a network of it, though no container is in it', async () => {
    const world = new NetworksWorld(2);
    const [a, b] = world.hosts;
    const blue = await a!.create('blue');
    world.settle();
    b!.dockers.set(blue.id, ['3f'.repeat(32)]);
    expect(() => b!.networks.remove('blue')).toThrow(
      expect.objectContaining({ code: 'network-in-use', message: expect.stringMatching(/Docker.*3f3f3f3f3f3f\b/) }),
    );
    b!.dockers.clear();
    b!.networks.remove('blue');
    expect(b!.names()).toEqual(['fabric']);
  });

  test('waits on a host that attached a container while it was cut off', async () => {
    const world = new NetworksWorld(2);
    const [a, b] = world.hosts;
    const blue = await a!.create('blue');
    world.settle();
    await b!.join(b!.network('blue'), MAC);
    world.linked = () => false;
    await b!.leave(MAC);
    a!.hear(b!);
    await b!.join(b!.network('blue'), OTHER);
    a!.networks.remove('blue');
    world.linked = () => true;
    world.settle();
    expect(b!.networks.stateOf(blue.id)).toBe('removed');
    expect(() => b!.network('blue')).toThrow(/no network blue/);
    b!.restart();
    expect(b!.networks.get(blue.id)?.id).toBe(blue.id);
    await b!.leave(OTHER);
    expect(b!.names()).toEqual(['fabric']);
  });

  test('of the host that made it changes nothing: who inherits its ids gives none of them again', async () => {
    const world = new NetworksWorld(2);
    const [a, b] = world.hosts;
    const made = new Set<number>();
    for (let i = 0; i < 3; i++) made.add((await a!.create(`n${i}`)).id);
    world.settle();
    const given = a!.spaces.surrender(b!.peer);
    expect(given.some(({ network }) => network === NETWORK_IDS_VNI)).toBe(true);
    world.settle();
    expect(given.every((record) => a!.spaces.isConfirmed(record))).toBe(true);
    for (let i = 0; i < 5; i++) expect(made.has((await b!.create(`m${i}`)).id)).toBe(false);
    expect(b!.names()).toHaveLength(9);
  });

  test('is the same for one id that two records claim: neither crosses', async () => {
    const world = new NetworksWorld(2);
    const [a, b] = world.hosts;
    const blue = await a!.create('blue');
    await a!.join(blue, MAC);
    const [record] = a!.made;
    a!.networks.made(b!.peer, { ...record!, name: 'forged' });
    expect(a!.networks.stateOf(blue.id)).toBe('disputed');
    expect(a!.presence.isUp(blue.id)).toBe(false);
    expect(a!.told.at(-1)).toEqual({ kind: 'network-gone', network: blue.id });
    expect(() => a!.network('blue')).toThrow(/two networks claim its id/);
  });
});

describe('a MAC that another host has', () => {
  test.each(['is let go', 'is kept'] as const)('is waited for, a second at most: it %s', async (end) => {
    const world = new NetworksWorld(2);
    const [a, b] = world.hosts;
    await a!.join(a!.networks.main, MAC);
    b!.hear(a!);
    let isOver = false;
    const waiting = b!.networks.main.macReleased(MAC).then(() => {
      isOver = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(isOver).toBe(false);
    if (end === 'is let go') {
      await a!.leave(MAC);
      b!.hear(a!);
    } else world.timers.advance(1_000);
    await waiting;
    expect(b!.networks.nextSequence({ network: DEFAULT_VNI, mac: MAC })).toBe(1);
  });

  test('that nobody has is waited for by nobody', async () => {
    const [a] = new NetworksWorld(1).hosts;
    await a!.networks.main.macReleased(MAC);
    expect(a!.networks.nextSequence({ network: DEFAULT_VNI, mac: MAC })).toBe(0);
  });
});
