import { describe, expect, test } from 'vitest';
import { FabricError } from '../../src/base/errors.ts';
import { ANSWER_MS_MAX, DockerPlugin } from '../../src/docker-plugin/docker-plugin.ts';
import { HOLD_MS } from '../../src/docker-plugin/held-addresses.ts';
import { ManualTimers } from '../fakes/manual-timers.ts';
import { RecordingLog } from '../fakes/recording-log.ts';
import { DockerWorld, endpointId, NETWORK_ID } from './world.ts';

const turn = () => new Promise((resolve) => setImmediate(resolve));
const ids = { NetworkID: NETWORK_ID, EndpointID: endpointId(1) };

describe('what Docker asks first', () => {
  test('both drivers, of local scope, are there before this host is a member', async () => {
    const plugin = new DockerPlugin({ timers: new ManualTimers(), log: new RecordingLog() });
    expect(await plugin.call('Plugin.Activate', undefined)).toEqual({ Implements: ['NetworkDriver', 'IpamDriver'] });
    expect(await plugin.call('NetworkDriver.GetCapabilities', null)).toMatchObject({ Scope: 'local' });
    expect(await plugin.call('IpamDriver.GetCapabilities', {})).toMatchObject({ RequiresMACAddress: false });
    expect(await plugin.call('NetworkDriver.Leave', ids)).toEqual({});
    expect(await plugin.call('IpamDriver.RequestPool', {})).toMatchObject({ Err: expect.stringMatching(/not ready/) });
  });

  test('what Docker repeats without its body: done where something ends, else an error that says why', async () => {
    const world = new DockerWorld();
    for (const ends of ['NetworkDriver.Leave', 'NetworkDriver.DeleteEndpoint', 'IpamDriver.ReleaseAddress']) {
      expect(await world.call(ends, undefined)).toEqual({});
    }
    for (const begins of ['IpamDriver.RequestAddress', 'NetworkDriver.CreateEndpoint', 'NetworkDriver.Join']) {
      expect(await world.call(begins, {})).toMatchObject({ Err: expect.stringMatching(/Start the container again/) });
    }
  });

  test('a method that is not there, or a body that is none, is an error and no crash', async () => {
    const world = new DockerWorld();
    expect(await world.call('NetworkDriver.Teleport')).toMatchObject({ Err: expect.stringContaining('has no') });
    expect(await world.call('NetworkDriver.Join', [1])).toMatchObject({ Err: expect.stringContaining('an object') });
    expect(world.plugin.counters).toMatchObject({ calls: 2, errors: 2, late: 0 });
  });
});

describe('every call is answered in time', () => {
  test('a slow reservation is an error, and works when it is asked for again', async () => {
    const world = new DockerWorld();
    let arrive = (): void => undefined;
    world.beforeReserve = () => new Promise((resolve) => (arrive = resolve));
    const slow = world.call('IpamDriver.RequestAddress', { PoolID: 'fabric,10.32.0.0/12' });
    await turn();
    world.timers.advance(ANSWER_MS_MAX);
    expect((await slow).Err).toMatch(/takes longer than 70 ms\. Try again/);
    arrive();
    world.beforeReserve = async () => {};
    expect(await world.call('IpamDriver.RequestAddress', { PoolID: 'fabric,10.32.0.0/12' })).toHaveProperty('Address');
    expect(world.plugin.counters).toMatchObject({ calls: 2, errors: 1, late: 1 });
    expect(world.plugin.counters).toMatchObject({ slowestMs: ANSWER_MS_MAX, medianMs: 0, p99Ms: ANSWER_MS_MAX });
  });

  test('an endpoint is answered before its interface is there, which Join waits for', async () => {
    const world = new DockerWorld();
    await world.network();
    let arrive = (): void => undefined;
    let cancelled: AbortSignal | null = null;
    world.beforeCreate = (signal) => {
      cancelled = signal;
      return new Promise((resolve) => (arrive = resolve));
    };
    const body = { ...ids, Interface: { Address: '10.32.0.9/12' } };
    const early = world.call('NetworkDriver.CreateEndpoint', body);
    await turn();
    world.timers.advance(ANSWER_MS_MAX);
    expect(await early).toEqual({ Interface: { MacAddress: '02:00:00:00:00:07' } });
    expect(cancelled!.aborted).toBe(false);
    const join = world.call('NetworkDriver.Join', ids);
    await turn();
    arrive();
    expect(await join).toMatchObject({ Gateway: '10.32.0.1' });
  });

  test('what fails behind the answer is told by Join', async () => {
    const world = new DockerWorld();
    await world.network();
    let fail = (_error: Error): void => undefined;
    world.beforeCreate = () => new Promise((_resolve, reject) => (fail = reject));
    const early = world.call('NetworkDriver.CreateEndpoint', { ...ids, Interface: { Address: '10.32.0.9/12' } });
    await turn();
    world.timers.advance(ANSWER_MS_MAX);
    await early;
    const join = world.call('NetworkDriver.Join', ids);
    await turn();
    fail(new FabricError('limit', { what: 'the bridge is full' }));
    expect((await join).Err).toMatch(/the bridge is full/);
    expect(world.log.lines.map(({ event }) => event)).toContain('what a call of Docker began has failed');
  });

  test('a removal goes on behind the answer', async () => {
    const world = new DockerWorld();
    await world.network();
    const ip = await world.start(1);
    let arrive = (): void => undefined;
    world.beforeRemove = () => new Promise((resolve) => (arrive = resolve));
    const removal = world.call('NetworkDriver.DeleteEndpoint', ids);
    await turn();
    world.timers.advance(ANSWER_MS_MAX);
    expect(await removal).toEqual({});
    await world.call('IpamDriver.ReleaseAddress', { PoolID: 'fabric,10.32.0.0/12', Address: ip });
    arrive();
    await turn();
    expect(world.endpoints.size).toBe(0);
    world.timers.advance(2 * HOLD_MS);
    expect(world.held).toEqual([]);
  });
});
