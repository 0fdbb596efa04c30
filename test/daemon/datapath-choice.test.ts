import { describe, expect, test } from 'vitest';
import { FabricError } from '../../src/base/errors.ts';
import { DatapathChoice, ENGINE_FAILURES_MAX, ENGINE_FAILURES_WINDOW_MS } from '../../src/daemon/datapath-choice.ts';
import { ManualClock } from '../fakes/manual-clock.ts';

const noTap = new FabricError('kernel-feature-missing', { what: "the engine doesn't start", why: 'no /dev/net/tun' });

function fail(choice: DatapathChoice, times: number): void {
  for (let i = 0; i < times; i++) choice.failed('killed');
}

describe('auto', () => {
  test('is the engine, and pcap once the engine did not start', () => {
    const choice = new DatapathChoice('auto', new ManualClock());
    expect([choice.name, choice.reason]).toEqual(['engine', null]);
    expect(choice.startFailed(noTap)).toBe(true);
    expect([choice.name, choice.reason]).toEqual(['pcap', 'the engine does not start: no /dev/net/tun']);
  });

  test.each(['port-in-use', 'usage'] as const)('does not fall back for %s, which pcap would meet too', (code) => {
    const choice = new DatapathChoice('auto', new ManualClock());
    expect(choice.startFailed(new FabricError(code, { what: 'no' }))).toBe(false);
    expect(choice.name).toBe('engine');
  });

  test('restarts an engine that fails, until it fails too often', () => {
    const choice = new DatapathChoice('auto', new ManualClock());
    choice.started();
    fail(choice, ENGINE_FAILURES_MAX);
    expect(choice.name).toBe('engine');
    fail(choice, 1);
    expect([choice.name, choice.reason]).toEqual(['pcap', 'the engine failed 4 times within a minute, last: killed']);
  });

  test('forgets failures that are older than the window', () => {
    const clock = new ManualClock();
    const choice = new DatapathChoice('auto', clock);
    choice.started();
    for (let i = 0; i < 20; i++) {
      clock.advance(ENGINE_FAILURES_WINDOW_MS / ENGINE_FAILURES_MAX + 1);
      choice.failed('killed');
    }
    expect(choice.name).toBe('engine');
  });

  test('counts a restart that fails as a failure, not as the end', () => {
    const choice = new DatapathChoice('auto', new ManualClock());
    choice.started();
    expect(choice.startFailed(noTap)).toBe(false);
    expect(choice.name).toBe('engine');
    fail(choice, ENGINE_FAILURES_MAX - 1);
    expect(choice.startFailed(noTap)).toBe(true);
    expect(choice.name).toBe('pcap');
  });

  test('stays with pcap, whatever becomes of it', () => {
    const choice = new DatapathChoice('auto', new ManualClock());
    choice.startFailed(noTap);
    fail(choice, 10);
    expect(choice.startFailed(new Error('no port'))).toBe(false);
    expect([choice.name, choice.reason]).toEqual(['pcap', 'the engine does not start: no /dev/net/tun']);
  });
});

describe.each(['engine', 'pcap'] as const)('%s', (wish) => {
  test('asked for, it stays', () => {
    const choice = new DatapathChoice(wish, new ManualClock());
    expect(choice.startFailed(noTap)).toBe(false);
    choice.started();
    fail(choice, 10);
    expect([choice.name, choice.reason]).toEqual([wish, null]);
  });
});
