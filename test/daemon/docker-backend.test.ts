import { describe, expect, test } from 'vitest';
import { parseCidr } from '../../src/base/address.ts';
import type { Mac } from '../../src/base/ids.ts';
import { dockerBackend } from '../../src/daemon/docker-backend.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';
import { BLUE_VNI, never, request, setUp } from './attachments-world.ts';
import { dockerMember, factsOf } from './docker-member.ts';

const ID = 'ab'.repeat(32);
const RANGE = parseCidr('10.32.0.0/12')!;
const BLUE_RANGE = parseCidr('10.128.0.0/16')!;

function host(world = setUp()) {
  const { member, facts } = dockerMember(world);
  return { ...world, facts, docker: dockerBackend(member, new SeededRandom(1)) };
}

async function endpoint({ docker }: ReturnType<typeof host>, mac: Mac | null = null) {
  const ip = await docker.addresses.reserve({ network: 'fabric', pool: RANGE, wanted: null }, never);
  return docker.endpoints.create({ id: ID, network: 'fabric', ifname: 'fabdab', ips: [ip], mac }, never);
}

describe('endpoints', () => {
  test('are attachments with the address that Docker was given, in no namespace of ours', async () => {
    const world = host();
    const made = await endpoint(world, '02:00:00:00:12:34' as Mac);
    expect(made).toEqual({
      id: ID,
      network: 'fabric',
      ifname: 'fabdab',
      mac: '02:00:00:00:12:34',
      ips: ['10.32.0.2'],
      state: 'ready',
    });
    expect(world.docker.endpoints.find(ID)).toEqual(made);
    expect(world.claims.get(made.mac)?.ips).toContain('10.32.0.2');
    expect(world.leftOver()).toMatchObject({ namespaces: 0, ports: 1, addresses: 1 });
  });

  test('their addresses outlive them, and are free when the book says so', async () => {
    const world = host();
    await endpoint(world);
    await world.docker.endpoints.remove(ID);
    await world.docker.endpoints.remove(ID);
    expect(world.leftOver()).toMatchObject({ entries: 0, claims: 0, ports: 0, addresses: 1 });
    expect(world.docker.addresses.all()).toEqual([{ network: 'fabric', ip: '10.32.0.2' }]);
    await world.docker.addresses.release({ network: 'fabric', ip: '10.32.0.2' });
    expect(world.leftOver().addresses).toBe(0);
  });

  test('one that could not be made leaves its address to Docker and nothing else', async () => {
    const world = host();
    world.host.before.addContainer = () => Promise.reject(new Error('the kernel says no'));
    await expect(endpoint(world)).rejects.toThrow(/the kernel says no/);
    expect(world.leftOver()).toMatchObject({ entries: 0, claims: 0, ports: 0, addresses: 1 });
  });

  test('is begun, and not ready, while its interface is made', async () => {
    const world = host();
    let seen: unknown = null;
    world.host.before.addContainer = () => {
      seen = world.docker.endpoints.find(ID);
    };
    await endpoint(world);
    expect(seen).toMatchObject({ ips: ['10.32.0.2'], state: 'making' });
  });

  test("CNI's containers are none of Docker's", async () => {
    const world = host();
    await world.attachments.attach(request(), never);
    expect(world.docker.endpoints.all()).toEqual([]);
    expect(world.docker.addresses.all()).toEqual([]);
  });

  test('names change, and are announced with the claim', async () => {
    const world = host();
    const { mac } = await endpoint(world);
    await world.docker.rename(ID, 'web', ['www']);
    expect(world.claims.get(mac)).toMatchObject({ name: 'web', aliases: ['www'] });
    await world.docker.rename('cd'.repeat(32), 'web', []);
  });
});

describe('a named network', () => {
  test('has its own range and gateway, and one that is not there is refused', () => {
    const { docker, facts } = host();
    const blue = { id: BLUE_VNI, name: 'blue', range: BLUE_RANGE, range6: null, gateway: '10.128.0.1', gateway6: null };
    expect(docker.network('blue')).toEqual({ ...blue, isInternal: false });
    facts.set('blue', factsOf(BLUE_VNI, '10.128.0.0/16', true));
    expect(docker.network('blue').isInternal).toBe(true);
    expect(docker.networkIdOf('blue')).toBe(BLUE_VNI);
    expect(docker.networkIdOf('red')).toBeNull();
    expect(() => docker.network('red')).toThrow(expect.objectContaining({ code: 'network-unknown' }));
  });

  test('its endpoints and addresses are its own, and go without one of the default network', async () => {
    const world = host();
    const { addresses, endpoints } = world.docker;
    const beside = await endpoint(world);
    const ip = await addresses.reserve({ network: 'blue', pool: BLUE_RANGE, wanted: null }, never);
    const id = 'cd'.repeat(32);
    const made = await endpoints.create({ id, network: 'blue', ifname: 'fabdcd', ips: [ip], mac: null }, never);
    expect(made).toMatchObject({ network: 'blue', ips: [ip] });
    expect(ip).toMatch(/^10\.128\.0\./);
    expect(world.claims.get(made.mac)?.network).toBe(BLUE_VNI);
    expect(world.entries.countOf(BLUE_VNI)).toBe(1);
    await addresses.release({ network: 'fabric', ip });
    expect(addresses.all()).toContainEqual({ network: 'blue', ip });
    await endpoints.remove(id);
    await addresses.release({ network: 'blue', ip });
    expect(endpoints.all()).toEqual([beside]);
    expect(addresses.all()).toEqual([{ network: 'fabric', ip: beside.ips[0] }]);
    expect(world.leftOver()).toMatchObject({ entries: 1, claims: 1, ports: 1, addresses: 1 });
  });

  test('after a restart its endpoints and addresses are found again', async () => {
    const world = host();
    const ip = await world.docker.addresses.reserve({ network: 'blue', pool: BLUE_RANGE, wanted: null }, never);
    await world.docker.endpoints.create({ id: ID, network: 'blue', ifname: 'fabdab', ips: [ip], mac: null }, never);
    const after = host(setUp({ snapshot: world.store.snapshot(), host: world.host }));
    after.reservations.reconcile();
    await after.attachments.reconcile({ starting: true });
    expect(after.docker.endpoints.find(ID)).toMatchObject({ network: 'blue', ips: [ip], state: 'ready' });
    expect(after.docker.addresses.all()).toEqual([{ network: 'blue', ip }]);
    expect(after.claims.size).toBe(1);
  });

  test('an endpoint is begun, with its addresses, while its network comes up on this host', async () => {
    const world = host();
    const ip = await world.docker.addresses.reserve({ network: 'blue', pool: BLUE_RANGE, wanted: null }, never);
    const seen: unknown[] = [];
    world.world.enter = async (network) => void seen.push(network, world.docker.endpoints.find(ID));
    await world.docker.endpoints.create({ id: ID, network: 'blue', ifname: 'fabdab', ips: [ip], mac: null }, never);
    expect(seen).toEqual([BLUE_VNI, expect.objectContaining({ ips: [ip], state: 'making' })]);
  });

  test('whose bridge can not be made leaves its address to Docker and nothing else', async () => {
    const world = host();
    const ip = await world.docker.addresses.reserve({ network: 'blue', pool: BLUE_RANGE, wanted: null }, never);
    world.world.enter = () => Promise.reject(new Error('the kernel says no'));
    const made = world.docker.endpoints.create(
      { id: ID, network: 'blue', ifname: 'fabd', ips: [ip], mac: null },
      never,
    );
    await expect(made).rejects.toThrow(/the kernel says no/);
    expect(world.leftOver()).toMatchObject({ entries: 0, claims: 0, ports: 0, addresses: 1 });
  });

  test('that is gone gives no address', async () => {
    const { docker, facts } = host();
    facts.delete('blue');
    const asked = docker.addresses.reserve({ network: 'blue', pool: BLUE_RANGE, wanted: null }, never);
    await expect(asked).rejects.toMatchObject({ code: 'network-unknown' });
  });
});

test("after a boot Docker's addresses are kept, and a reservation of CNI's is not", async () => {
  const world = host();
  await world.docker.addresses.reserve({ network: 'fabric', pool: RANGE, wanted: '10.32.0.9' }, never);
  const addresses = { ips: [], ranges: [] };
  const key = { network: 'fabric', containerId: 'c1', ifname: 'eth0' };
  await world.reservations.reserve({ ...key, owner: 'cni:fabric', namespace: null, addresses }, never);
  const after = host(setUp({ snapshot: world.store.snapshot(), kernelBootId: 'boot-2' }));
  after.reservations.reconcile();
  expect(after.reservations.all().map(({ owner, ips }) => [owner, ips])).toEqual([['docker', ['10.32.0.9']]]);
});

test.each([
  ['all of the range: any address, out of whole blocks', '10.32.0.0/12', undefined],
  ['a small subnet: not its first and last address', '10.40.0.0/30', ['10.40.0.1/32', '10.40.0.2/32']],
  ['a pair of addresses', '10.40.0.0/31', ['10.40.0.0/31']],
])('addresses are chosen from %s', async (_name, pool, within) => {
  const world = host();
  const wishes: unknown[] = [];
  const { allocate } = world.world;
  world.world.allocate = (wish) => {
    wishes.push(wish.within?.map(({ base, prefix }) => `10.40.0.${base & 255n}/${prefix}`));
    return allocate(wish);
  };
  await world.docker.addresses.reserve({ network: 'fabric', pool: parseCidr(pool)!, wanted: null }, never);
  expect(wishes).toEqual([within]);
});
