import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { PeerId } from '../../src/base/ids.ts';
import { knowsOthers, SyncGate } from '../../src/daemon/sync-gate.ts';
import { systemTimers } from '../../src/host/system-timers.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function setUp(isGreeting = () => false) {
  const opened = vi.fn();
  return { opened, gate: new SyncGate(systemTimers, isGreeting, opened) };
}

const SELF = 'a'.repeat(32) as PeerId;
const OTHER = 'b'.repeat(32) as PeerId;

test.each([
  ['nobody', [], [], false],
  ['ourselves alone', [SELF], [SELF, SELF], false],
  ['a host that gossip kept', [SELF, OTHER], [SELF], true],
  ['the owner of a block that gossip has not kept yet', [], [SELF, OTHER], true],
])('a state that names %s', (_, peers, blockOwners, expected) => {
  expect(knowsOthers(SELF, { peers, blockOwners })).toBe(expected);
});

describe('the gate before the first allocation', () => {
  test('is open at once for a host without peers', () => {
    const { gate, opened } = setUp();
    gate.start({ hasPeers: false });
    expect(gate.isOpen).toBe(true);
    expect(opened).toHaveBeenCalledTimes(1);
  });

  test('opens a moment after the first link', async () => {
    const { gate } = setUp();
    gate.start({ hasPeers: true });
    gate.linkUp({ isPartial: false });
    vi.advanceTimersByTime(399);
    expect(gate.isOpen).toBe(false);
    vi.advanceTimersByTime(1);
    await gate.opened;
    expect(gate.isOpen).toBe(true);
  });

  test('opens later where hosts are linked to a few: word of a clone goes through others, and so does the answer', () => {
    const { gate } = setUp();
    gate.start({ hasPeers: true });
    gate.linkUp({ isPartial: true });
    vi.advanceTimersByTime(1_999);
    expect(gate.isOpen).toBe(false);
    vi.advanceTimersByTime(1);
    expect(gate.isOpen).toBe(true);
  });

  test('opens when no peer answers', () => {
    const { gate, opened } = setUp();
    gate.start({ hasPeers: true });
    vi.advanceTimersByTime(2_000);
    expect(gate.isOpen).toBe(true);
    gate.linkUp({ isPartial: false });
    vi.advanceTimersByTime(2_000);
    expect(opened).toHaveBeenCalledTimes(1);
  });

  test('waits for a peer that has answered and not decided: it may know of a clone', () => {
    let greeting = true;
    const { gate } = setUp(() => greeting);
    gate.start({ hasPeers: true });
    vi.advanceTimersByTime(4_000);
    expect(gate.isOpen).toBe(false);
    greeting = false;
    vi.advanceTimersByTime(200);
    expect(gate.isOpen).toBe(true);
  });

  test('waits for it also when another one has linked: that one may know of no clone', () => {
    let greeting = true;
    const { gate } = setUp(() => greeting);
    gate.start({ hasPeers: true });
    gate.linkUp({ isPartial: false });
    vi.advanceTimersByTime(3_000);
    expect(gate.isOpen).toBe(false);
    greeting = false;
    vi.advanceTimersByTime(200);
    expect(gate.isOpen).toBe(true);
  });

  test('greetings without an end hold nobody up for ever', () => {
    const { gate } = setUp(() => true);
    gate.start({ hasPeers: true });
    vi.advanceTimersByTime(9_999);
    expect(gate.isOpen).toBe(false);
    vi.advanceTimersByTime(1);
    expect(gate.isOpen).toBe(true);
  });

  test('a link before the start counts', () => {
    const { gate } = setUp();
    gate.linkUp({ isPartial: false });
    gate.start({ hasPeers: true });
    vi.advanceTimersByTime(400);
    expect(gate.isOpen).toBe(true);
  });
});
