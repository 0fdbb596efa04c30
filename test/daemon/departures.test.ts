import { describe, expect, test } from 'vitest';
import type { Mac } from '../../src/base/ids.ts';
import { key, never, request, setUp, turn } from './attachments-world.ts';

const NOTHING = { entries: 0, claims: 0, addresses: 0, ports: 0, namespaces: 0 };

describe('a detach answers before the kernel has freed the interface; until then', () => {
  const OTHER = { pid: 1, fd: 2, dev: 3n, ino: 5n, path: '/run/netns/c2' };
  const other = { containerId: 'c2', namespace: OTHER };

  async function departing() {
    const world = setUp();
    await world.attachments.attach(request({ addresses: { ips: ['10.32.0.9'], ranges: [] } }), never);
    let free: () => void = () => undefined;
    world.host.gone = () => new Promise((resolve) => (free = resolve));
    await world.attachments.detach(key);
    expect(world.leftOver()).toEqual(NOTHING);
    return { ...world, free: () => free() };
  }

  test.each([
    ['an attach in that namespace', { containerId: 'c2' }],
    ['an attach of the same interface elsewhere', { namespace: OTHER }],
    ['an attach that asks for its address', { ...other, addresses: { ips: ['10.32.0.9'], ranges: [] } }],
  ])('%s waits', async (_name, change) => {
    const { attachments, host, free } = await departing();
    const attached = attachments.attach(request(change), never);
    await turn();
    expect(host.calls.filter((call) => call.startsWith('addContainer'))).toHaveLength(1);
    free();
    await attached;
  });

  test('a reserved address waits for the removal itself, too, also for one that fails', async () => {
    const { attachments, host } = setUp();
    const reserved = { addresses: { ips: ['10.32.0.9'], ranges: [], reserved: true } };
    await attachments.attach(request(reserved), never);
    let fail: (error: Error) => void = () => undefined;
    host.before.removeContainer = () => new Promise((_, reject) => (fail = reject));
    const detached = attachments.detach(key);
    await turn();
    const attached = attachments.attach(request({ ...other, ...reserved }), never);
    await turn();
    expect(host.calls.filter((call) => call.startsWith('addContainer'))).toHaveLength(1);
    fail(new Error('the kernel refuses'));
    await expect(detached).rejects.toThrow('the kernel refuses');
    await expect(attached).resolves.toMatchObject({ containerId: 'c2' });
  });

  test('a MAC waits for the removal itself', async () => {
    const { attachments, host } = setUp();
    const mac = '02:00:00:00:00:99' as Mac;
    await attachments.attach(request({ mac }), never);
    let removed: () => void = () => undefined;
    host.before.removeContainer = () => new Promise((resolve) => (removed = resolve));
    const detached = attachments.detach(key);
    await turn();
    const attached = attachments.attach(request({ ...other, mac }), never);
    await turn();
    removed();
    await detached;
    await expect(attached).resolves.toMatchObject({ containerId: 'c2', mac });
  });

  test('any other attach does not wait', async () => {
    const { attachments } = await departing();
    await expect(attachments.attach(request(other), never)).resolves.toMatchObject({ containerId: 'c2' });
  });

  test('a start is not over', async () => {
    const before = setUp();
    await before.attachments.attach(request(), never);
    const { attachments, host } = setUp({ snapshot: before.store.snapshot() });
    let free: () => void = () => undefined;
    host.gone = () => new Promise((resolve) => (free = resolve));
    let isOver = false;
    const started = attachments.reconcile({ starting: true }).then(() => {
      isOver = true;
    });
    await turn();
    expect(isOver).toBe(false);
    free();
    await started;
  });
});

test('of two that come with the same reserved address at once one is refused', async () => {
  const { attachments, leftOver } = setUp();
  const addresses = { ips: ['10.32.0.9'], ranges: [], reserved: true };
  const ends = await Promise.allSettled(
    ['c1', 'c2'].map((containerId) => attachments.attach(request({ containerId, addresses }), never)),
  );
  expect(ends.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  expect(ends.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { code: 'address-in-use' } });
  expect(leftOver()).toMatchObject({ entries: 1, claims: 1, ports: 1 });
});
