import { describe, expect, test } from 'vitest';
import { CNI_OPERATIONS_MAX, CniRoute } from '../../src/daemon/cni-route.ts';
import { addEnv, CONFIG, FakeBackend } from '../cni-plugin/fake-backend.ts';
import { ManualClock } from '../fakes/manual-clock.ts';
import { RecordingLog } from '../fakes/recording-log.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';

const PID = 4711;
const HOST_LOCAL = { ...CONFIG, ipam: { type: 'host-local' } };
const GRANT = '{"cniVersion":"1.0.0","ips":[{"address":"10.32.9.7/24"}]}';

function setUp(beforeAdd: () => Promise<void> = async () => {}) {
  const backend = new FakeBackend();
  const log = new RecordingLog();
  const served: string[] = [];
  const route = new CniRoute({
    backend,
    random: new SeededRandom(1),
    clock: new ManualClock(),
    log,
    served: ({ verb, ok }) => served.push(`${verb} ${ok}`),
    beforeAdd,
  });
  const caller = new AbortController();
  return { backend, log, route, served, caller, connection: { peerPid: PID, closed: caller.signal } };
}

function body(changes: Readonly<Record<string, string>> = {}, config: object = CONFIG): Record<string, unknown> {
  return { env: addEnv(changes), stdin: btoa(JSON.stringify(config)), pid: PID, fd: 3, dev: '4', ino: '99' };
}

function report(continuation: string | undefined, stdout = '', exitCode = 0): Record<string, unknown> {
  return { continuation, exitCode, stdout: btoa(stdout), stderr: '' };
}

/** Lets every promise that can go on do so. */
async function settle(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve();
}

describe('the CNI route', () => {
  test('serves a call with the namespace of the peer', async () => {
    const { backend, route, connection } = setUp();
    const answer = await route.handle(body(), connection);
    expect(answer).toMatchObject({ exitCode: 0, stderr: '' });
    expect(backend.requests[0]?.namespace).toEqual({ pid: PID, fd: 3, dev: 4n, ino: 99n, path: '/run/netns/c1' });
    expect(route.counters).toMatchObject({ succeeded: 1, failed: 0 });
    expect(route.running).toBe(0);
  });

  test('a CNI error is an answer, logged once', async () => {
    const { log, route, connection } = setUp();
    expect(await route.handle(body({ CNI_IFNAME: 'a/b' }), connection)).toMatchObject({ exitCode: 1 });
    expect(log.lines.map(({ level, event }) => [level, event])).toEqual([['warn', 'CNI call failed']]);
  });

  test('refuses a pid that is not the peer: no process lends out the namespaces of another', async () => {
    const { backend, route, connection } = setUp();
    await expect(route.handle({ ...body(), pid: PID + 1 }, connection)).rejects.toMatchObject({
      code: 'namespace-invalid',
    });
    expect(backend.requests).toEqual([]);
    expect(route.counters.wrongPeer).toBe(1);
  });

  test('refuses what is no request', async () => {
    const { route, connection } = setUp();
    await expect(route.handle({ env: 1 }, connection)).rejects.toMatchObject({ code: 'usage' });
    await expect(route.handleExec(undefined, connection)).rejects.toMatchObject({ code: 'usage' });
    expect(route.counters.malformed).toBe(2);
  });

  test('works off deferred DELs before an ADD, and only then', async () => {
    const events: string[] = [];
    const { backend, route, connection } = setUp(
      async () => void events.push(`pending before ${backend.requests.length}`),
    );
    await route.handle(body(), connection);
    await route.handle(body({ CNI_COMMAND: 'DEL' }), connection);
    expect(events).toEqual(['pending before 0']);
  });

  test('an ADD fails when the deferred DELs can not be read', async () => {
    const { backend, route, connection } = setUp(() => Promise.reject(new Error('EIO')));
    expect(await route.handle(body(), connection)).toMatchObject({ exitCode: 1 });
    expect(backend.requests).toEqual([]);
  });

  test('L9 a hang-up in mid-ADD rolls back, and a DEL of it waits for that', async () => {
    const { backend, route, connection, caller } = setUp();
    let release = (): void => {};
    backend.attachGate = new Promise((resolve) => {
      release = resolve;
    });
    const add = route.handle(body(), connection);
    await settle();
    expect(backend.attached.size).toBe(1);
    caller.abort();
    const del = route.handle(body({ CNI_COMMAND: 'DEL' }), { peerPid: PID, closed: new AbortController().signal });
    await settle();
    expect(backend.detached).toEqual([]);
    release();
    expect(await add).toMatchObject({ exitCode: 1 });
    expect(await del).toMatchObject({ exitCode: 0 });
    expect(backend.attached.size).toBe(0);
    expect(route.counters.cancelled).toBe(1);
  });

  test('other containers do not wait', async () => {
    const { backend, route, connection } = setUp();
    backend.attachGate = new Promise(() => {});
    void route.handle(body(), connection);
    await settle();
    expect(await route.handle(body({ CNI_COMMAND: 'DEL', CNI_CONTAINERID: 'c2' }), connection)).toMatchObject({
      exitCode: 0,
    });
  });

  test('L4 beyond the limit a runtime is told to try again', async () => {
    const { backend, route, connection } = setUp();
    backend.attachGate = new Promise(() => {});
    for (let i = 0; i < CNI_OPERATIONS_MAX; i++) void route.handle(body({ CNI_CONTAINERID: `c${i}` }), connection);
    const answer = await route.handle(body({ CNI_CONTAINERID: 'one-more' }), connection);
    expect(JSON.parse(answer.stdout)).toMatchObject({ code: 11 });
    expect(route.counters.refusedBusy).toBe(1);
  });
});

describe('delegation through the shim', () => {
  test('an order, a report, the result', async () => {
    const { route, connection } = setUp();
    const order = await route.handle(body({}, HOST_LOCAL), connection);
    expect(order.exec).toMatchObject({ plugin: 'host-local', env: { CNI_COMMAND: 'ADD' } });
    const answer = await route.handleExec(report(order.exec?.continuation, GRANT), connection);
    expect(JSON.parse(answer.stdout)).toMatchObject({ ips: [{ address: '10.32.9.7/24' }] });
    expect(answer.exec).toBeUndefined();
  });

  test('a failed attach orders the DEL before it answers', async () => {
    const { backend, route, connection } = setUp();
    backend.failAddressed = new Error('no');
    const order = await route.handle(body({}, HOST_LOCAL), connection);
    const second = await route.handleExec(report(order.exec?.continuation, GRANT), connection);
    expect(second.exec?.env).toEqual({ CNI_COMMAND: 'DEL' });
    expect(await route.handleExec(report(second.exec?.continuation), connection)).toMatchObject({ exitCode: 1 });
  });

  test('a report works once, from the same process, with the right continuation', async () => {
    const { route, connection } = setUp();
    const order = await route.handle(body({}, HOST_LOCAL), connection);
    const good = report(order.exec?.continuation, GRANT);
    await expect(route.handleExec(report('other'), connection)).rejects.toMatchObject({ code: 'usage' });
    await expect(route.handleExec(good, { ...connection, peerPid: 1 })).rejects.toMatchObject({ code: 'usage' });
    expect(await route.handleExec(good, connection)).toMatchObject({ exitCode: 0 });
    await expect(route.handleExec(good, connection)).rejects.toMatchObject({ code: 'usage' });
    expect(route.counters.unknownContinuation).toBe(3);
  });

  test('a caller that hangs up while the plugin runs ends the operation', async () => {
    const { backend, route, connection, caller } = setUp();
    const order = await route.handle(body({}, HOST_LOCAL), connection);
    caller.abort();
    await settle();
    expect(route.running).toBe(0);
    expect(backend.attached.size).toBe(0);
    await expect(route.handleExec(report(order.exec?.continuation), connection)).rejects.toMatchObject({
      code: 'usage',
    });
  });
});
