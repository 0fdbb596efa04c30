import { describe, expect, test } from 'vitest';
import { SystemClock } from '../../src/host/system-clock.ts';

/** A machine that sleeps: its monotonic clock stands still meanwhile, its uptime goes on. */
class SleepyMachine {
  monotonic = 1_000;
  boot = 1_000;
  monotonicMs = (): number => this.monotonic;
  bootMs = (): number => Math.floor(this.boot / 10) * 10;
  wallMs = (): number => 42;

  run(ms: number): void {
    this.monotonic += ms;
    this.boot += ms;
  }

  sleep(ms: number): void {
    this.boot += ms;
  }
}

describe('system clock', () => {
  test('counts sleep', () => {
    const machine = new SleepyMachine();
    const clock = new SystemClock(machine);
    const start = clock.monotonicMs();
    machine.run(5_000);
    machine.sleep(60_000);
    machine.run(1_500);
    expect(clock.monotonicMs() - start).toBeCloseTo(66_500, -2);
  });

  test('never steps back and ignores the rounding of uptime', () => {
    const machine = new SleepyMachine();
    const clock = new SystemClock(machine);
    let last = clock.monotonicMs();
    for (let step = 0; step < 2_000; step++) {
      machine.run(7.3);
      const now = clock.monotonicMs();
      expect(now - last).toBeCloseTo(7.3, 5);
      last = now;
    }
  });

  test('the real one moves forward', () => {
    const clock = new SystemClock();
    const first = clock.monotonicMs();
    expect(clock.monotonicMs()).toBeGreaterThanOrEqual(first);
    expect(Math.abs(clock.wallMs() - Date.now())).toBeLessThan(1_000);
  });
});
