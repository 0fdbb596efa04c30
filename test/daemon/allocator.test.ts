import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { parseIp } from '../../src/base/address.ts';
import { FabricError } from '../../src/base/errors.ts';
import { Allocator } from '../../src/daemon/allocator.ts';
import { systemTimers } from '../../src/host/system-timers.ts';
import type { AllocationRequest, AllocationResult } from '../../src/ipam/types.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(() => {
  vi.useRealTimers();
});

const WAIT: AllocationResult = { status: 'wait', why: 'asking b' };
const ok = (text: string): AllocationResult => ({ status: 'ok', ip: parseIp(text)! });

/** Answers from `state.answer`, whatever that is now. */
function setUp(answer: AllocationResult) {
  const state = { answer, asked: [] as AllocationRequest[], error: null as FabricError | null };
  const allocator = new Allocator(systemTimers, (request) => {
    state.asked.push(request);
    if (state.error !== null) throw state.error;
    return state.answer;
  });
  return { state, allocator };
}

const v4 = { owner: 'c1', family: 4, wanted: null } as const;

test('an address that is there is answered at once, as canonical text', async () => {
  const { allocator, state } = setUp(ok('FD00:0:0::5'));
  expect(await allocator.allocate({ owner: 'c1', family: 6, wanted: 'fd00:0::5' })).toBe('fd00::5');
  expect(state.asked).toEqual([{ owner: 'c1', family: 6, wanted: parseIp('fd00::5') }]);
});

test('who waits asks again each time that leases changed, until it has an answer', async () => {
  const { allocator, state } = setUp(WAIT);
  const first = allocator.allocate(v4);
  const second = allocator.allocate({ ...v4, owner: 'c2' });
  allocator.changed();
  expect(state.asked).toHaveLength(4);
  state.answer = ok('10.32.0.9');
  allocator.changed();
  expect(await Promise.all([first, second])).toEqual(['10.32.0.9', '10.32.0.9']);
  allocator.changed();
  expect(state.asked).toHaveLength(6);
});

test('a refusal is passed on, also after a wait', async () => {
  const { allocator, state } = setUp(WAIT);
  const waiting = allocator.allocate(v4);
  state.answer = { status: 'failed', error: new FabricError('address-exhausted', { what: 'none left' }) };
  allocator.changed();
  await expect(waiting).rejects.toMatchObject({ code: 'address-exhausted' });
  await expect(allocator.allocate(v4)).rejects.toMatchObject({ code: 'address-exhausted' });
});

test('a wait ends after ten seconds with its last reason, and is over for good', async () => {
  const { allocator, state } = setUp(WAIT);
  const waiting = expect(allocator.allocate(v4)).rejects.toMatchObject({
    code: 'timeout',
    explanation: { what: 'no IPv4 address within 10 s', why: 'asking c' },
  });
  state.answer = { status: 'wait', why: 'asking c' };
  allocator.changed();
  vi.advanceTimersByTime(10_000);
  await waiting;
  allocator.changed();
  expect(state.asked).toHaveLength(2);
});

test('a store that fails while callers wait fails those callers and nothing else', async () => {
  const { allocator, state } = setUp(WAIT);
  const first = allocator.allocate(v4);
  const second = allocator.allocate({ ...v4, owner: 'c2' });
  state.error = new FabricError('limit', { what: 'the disk is full' });
  allocator.changed();
  await expect(first).rejects.toMatchObject({ code: 'limit' });
  await expect(second).rejects.toMatchObject({ code: 'limit' });
});

test('a daemon that stops lets nobody wait', async () => {
  const { allocator } = setUp(WAIT);
  const before = allocator.allocate(v4);
  allocator.stop(new FabricError('daemon-unreachable', { what: 'the daemon stops' }));
  await expect(before).rejects.toMatchObject({ code: 'daemon-unreachable' });
  await expect(allocator.allocate(v4)).rejects.toMatchObject({ code: 'daemon-unreachable' });
});
