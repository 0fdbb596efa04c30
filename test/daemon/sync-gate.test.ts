import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { SyncGate } from '../../src/daemon/sync-gate.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function setUp() {
  const opened = vi.fn();
  return { opened, gate: new SyncGate(opened) };
}

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
    gate.linkUp();
    vi.advanceTimersByTime(399);
    expect(gate.isOpen).toBe(false);
    vi.advanceTimersByTime(1);
    await gate.opened;
    expect(gate.isOpen).toBe(true);
  });

  test('opens when no peer answers', () => {
    const { gate, opened } = setUp();
    gate.start({ hasPeers: true });
    vi.advanceTimersByTime(2_000);
    expect(gate.isOpen).toBe(true);
    gate.linkUp();
    vi.advanceTimersByTime(2_000);
    expect(opened).toHaveBeenCalledTimes(1);
  });

  test('a link before the start counts', () => {
    const { gate } = setUp();
    gate.linkUp();
    gate.start({ hasPeers: true });
    vi.advanceTimersByTime(400);
    expect(gate.isOpen).toBe(true);
  });
});
