import { expect, test } from 'vitest';
import type { AttachmentRecord } from '../../src/base/records.ts';
import { HOST_OWNER, HostPlace } from '../../src/daemon/host-place.ts';
import { systemTimers } from '../../src/host/system-timers.ts';
import { MemoryStore } from '../fakes/memory-store.ts';
import { RecordingLog } from '../fakes/recording-log.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';
import { FakeHostNetwork } from './fake-host-network.ts';

function setUp({ store = new MemoryStore(), hasIpv6 = true } = {}) {
  const host = new FakeHostNetwork();
  const claims = new Map<string, AttachmentRecord>();
  const released: string[] = [];
  let allocate: (family: 4 | 6) => Promise<string> = async (family) => (family === 4 ? '10.32.0.2' : 'fd00::2');
  const place = new HostPlace({
    timers: systemTimers,
    store,
    random: new SeededRandom(1),
    log: new RecordingLog(),
    host,
    hasIpv6,
    nickname: 'a',
    retryMs: 0,
    allocate: ({ family }) => allocate(family),
    publish: async (record) => void claims.set(record.mac, record),
    withdraw: async (mac) => void claims.delete(mac),
    releaseLost: (owner) => released.push(owner),
  });
  return {
    store,
    host,
    claims,
    place,
    released,
    onAllocate: (replacement: typeof allocate) => (allocate = replacement),
  };
}

test('an exposed host announces its addresses with its link-local one', async () => {
  const { place, host, claims } = setUp();
  expect(await place.expose()).toEqual(['10.32.0.2', 'fd00::2']);
  expect(host.exposed).toMatchObject({ ip: '10.32.0.2', ip6: 'fd00::2', mac: place.mac });
  expect(claims.get(place.mac)).toMatchObject({
    kind: 'host',
    name: 'a',
    ips: ['10.32.0.2', 'fd00::2', expect.stringMatching(/^fe80::/)],
  });
});

test('a network without IPv6 gives one address', async () => {
  expect(await setUp({ hasIpv6: false }).place.expose()).toEqual(['10.32.0.2']);
});

test('the MAC outlives the process and is locally administered', () => {
  const first = setUp();
  expect(Number.parseInt(first.place.mac.slice(0, 2), 16) & 3).toBe(2);
  expect(setUp({ store: first.store }).place.mac).toBe(first.place.mac);
});

test('hide withdraws the claim and leaves no obstacle behind', async () => {
  const { place, host, claims, onAllocate } = setUp();
  await place.expose();
  await place.hide();
  expect([host.exposed, claims.size, place.ips]).toEqual([null, 0, []]);
  onAllocate(() => Promise.reject(new Error('no addresses left')));
  await place.exposeAtStart(20);
  expect(place.obstacle).toBe('no addresses left');
  await place.hide();
  expect(place.obstacle).toBeNull();
});

test('an expose that fails at start is tried again until it succeeds', async () => {
  const { place, host, onAllocate } = setUp({ hasIpv6: false });
  let tries = 0;
  onAllocate(async () => {
    if (++tries < 3) throw new Error('no donor answers');
    return '10.32.0.2';
  });
  await place.exposeAtStart(10_000);
  expect([tries, place.obstacle, host.exposed?.ip]).toEqual([3, null, '10.32.0.2']);
});

test('a stopped daemon tries no more', async () => {
  const { place, onAllocate } = setUp();
  let tries = 0;
  onAllocate(async () => {
    tries++;
    place.stop();
    throw new Error('no donor answers');
  });
  await place.exposeAtStart(10_000);
  expect(tries).toBe(1);
});

test('an address from a daemon before is no obstacle while it is waited for; an expose that fails is', async () => {
  const { place, host, onAllocate } = setUp();
  host.exposed = { mac: place.mac, ip: '10.32.0.2', ip6: null };
  let fail: (error: Error) => void = () => undefined;
  onAllocate(() => new Promise((_, reject) => (fail = reject)));
  await place.exposeAtStart(0);
  expect(place.obstacle).toBeNull();
  fail(new Error('it is a clone'));
  await new Promise((resolve) => setImmediate(resolve));
  expect(place.obstacle).toBe('it is a clone');
  place.stop();
});

test('a launch does not wait longer for the address than it was told to', async () => {
  const { place, onAllocate } = setUp();
  onAllocate(() => new Promise(() => undefined));
  await place.exposeAtStart(0);
  expect(place.obstacle).toBe('the host waits for its address');
});

test.each([
  ['while it waits for its address', 'allocate'],
  ['while the kernel is set up', 'kernel'],
])('a host hidden %s stays hidden', async (_when, step) => {
  const { place, host, claims, onAllocate } = setUp({ hasIpv6: false });
  let go: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => {
    go = resolve;
  });
  if (step === 'allocate') onAllocate(() => gate.then(() => '10.32.0.2'));
  else host.before.exposeHost = () => gate;
  const exposing = place.expose();
  await new Promise((resolve) => setImmediate(resolve));
  await place.hide();
  go();
  expect(await exposing).toEqual([]);
  expect([host.exposed, claims.size, place.ips]).toEqual([null, 0, []]);
});

test('a host whose address belongs to another one gets another address; a hidden one none', async () => {
  const { place, host, claims, released, onAllocate } = setUp({ hasIpv6: false });
  await place.expose();
  onAllocate(async () => '10.32.9.9');
  place.renumber();
  expect(place.obstacle).toMatch(/belongs to another host/);
  await place.exposeAtStart(20);
  expect([released, place.ips, place.obstacle]).toEqual([[HOST_OWNER], ['10.32.9.9'], null]);
  expect(claims.get(place.mac)?.ips[0]).toBe('10.32.9.9');
  await place.hide();
  place.renumber();
  expect([host.exposed, place.obstacle]).toEqual([null, null]);
});

test('an address that is lost while the next one is waited for stays reserved no longer', async () => {
  const { place, host, released, onAllocate } = setUp({ hasIpv6: false });
  let give: (ip: string) => void = () => undefined;
  let asked = 0;
  onAllocate(() => {
    asked++;
    return new Promise((resolve) => (give = resolve));
  });
  await place.exposeAtStart(0);
  place.renumber();
  expect([released, asked]).toEqual([[HOST_OWNER], 1]);
  give('10.32.9.9');
  await place.exposeAtStart(20);
  expect([host.exposed?.ip, place.obstacle]).toEqual(['10.32.9.9', null]);
});
