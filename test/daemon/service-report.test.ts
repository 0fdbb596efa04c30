// What a service manager hears, and when, by a clock that the test moves.

import { describe, expect, test } from 'vitest';
import { ServiceReport, whenReady } from '../../src/daemon/service-report.ts';
import type { Problem } from '../../src/daemon/status-types.ts';
import { ManualTimers } from '../fakes/manual-timers.ts';
import { RecordingLog } from '../fakes/recording-log.ts';

const PROBLEM: Problem = { code: 'tunnel-failed', what: 'no tunnel to two', why: 'no answer', fix: 'x' };
const WATCHDOG_MS = 400;

function makeWorld({ watchdogMs = null as number | null } = {}) {
  const timers = new ManualTimers();
  const world = {
    timers,
    log: new RecordingLog(),
    said: [] as string[],
    unreadiness: 'joining' as string | null,
    problems: [] as Problem[],
    deaf: false,
    /** The manager takes what is said once this is over. */
    busy: Promise.resolve(),
  };
  const glance = {
    health: () => ({ ok: world.problems.length === 0, problems: world.problems, notices: [] }),
    unreadiness: () => world.unreadiness,
  };
  const tell = async (lines: Readonly<Record<string, string>>): Promise<void> => {
    if (world.deaf) throw new Error('ECONNREFUSED');
    await world.busy;
    world.said.push(
      Object.entries(lines)
        .map(([name, value]) => `${name}=${value}`)
        .join(' '),
    );
  };
  const report = new ServiceReport({ timers, log: world.log, glance, watchdogMs, tell });
  /** Lets so much time pass; what was said meanwhile. */
  const elapse = async (ms: number): Promise<readonly string[]> => {
    timers.advance(ms);
    for (let turn = 0; turn < 100; turn++) await Promise.resolve();
    return world.said.splice(0);
  };
  return { world, glance, report, elapse };
}

describe('the report to a service manager', () => {
  test('READY comes once, within 100 ms of the first readiness', async () => {
    const { world, report, elapse } = makeWorld();
    report.start();
    expect(await elapse(5_000)).toEqual(['STATUS=not ready: joining']);
    world.unreadiness = null;
    expect(await elapse(100)).toEqual(['READY=1 STATUS=healthy']);
    world.unreadiness = 'the datapath does not work';
    expect(await elapse(5_000)).toEqual(['STATUS=not ready: the datapath does not work']);
    world.unreadiness = null;
    expect(await elapse(5_000)).toEqual(['STATUS=healthy']);
  });

  test('the status is said when it changes, with the first problem', async () => {
    const { world, report, elapse } = makeWorld();
    world.unreadiness = null;
    report.start();
    await elapse(0);
    expect(await elapse(60_000)).toEqual([]);
    world.problems = [PROBLEM];
    expect(await elapse(60_000)).toEqual(['STATUS=NOT HEALTHY: no tunnel to two: no answer']);
  });

  test('signs of life come twice in the time of a watchdog, once it is ready', async () => {
    const { world, report, elapse } = makeWorld({ watchdogMs: WATCHDOG_MS });
    report.start();
    expect(await elapse(WATCHDOG_MS)).toEqual(['STATUS=not ready: joining']);
    world.unreadiness = null;
    expect(await elapse(100)).toEqual(['READY=1 STATUS=healthy WATCHDOG=1']);
    expect(await elapse(2 * WATCHDOG_MS)).toEqual(['WATCHDOG=1', 'WATCHDOG=1', 'WATCHDOG=1', 'WATCHDOG=1']);
  });

  test('after STOPPING nothing more is said', async () => {
    const { report, elapse } = makeWorld({ watchdogMs: WATCHDOG_MS });
    report.start();
    await elapse(0);
    void report.stopping();
    expect(await elapse(60_000)).toEqual(['STOPPING=1 STATUS=stopping']);
  });

  test('who ends waits until STOPPING has been taken', async () => {
    const { world, report, elapse } = makeWorld();
    let isFree = (): void => {};
    world.busy = new Promise((resolve) => {
      isFree = resolve;
    });
    report.start();
    let isOver = false;
    const stopped = report.stopping().then(() => {
      isOver = true;
    });
    await elapse(0);
    expect(isOver).toBe(false);
    isFree();
    await stopped;
    expect(world.said.at(-1)).toBe('STOPPING=1 STATUS=stopping');
  });

  test('a manager that does not listen is logged, and heard again when it does', async () => {
    const { world, report, elapse } = makeWorld();
    world.deaf = true;
    report.start();
    await elapse(0);
    expect(JSON.stringify(world.log)).toContain('ECONNREFUSED');
    world.deaf = false;
    world.unreadiness = null;
    expect(await elapse(100)).toEqual(['READY=1 STATUS=healthy']);
  });
});

describe('what waits for readiness', () => {
  test('happens once, as soon as a container can be attached', () => {
    const { world, glance } = makeWorld();
    let times = 0;
    whenReady({ timers: world.timers, glance }, () => times++);
    world.timers.advance(5_000);
    expect(times).toBe(0);
    world.unreadiness = null;
    world.timers.advance(100);
    expect(times).toBe(1);
    world.timers.advance(5_000);
    expect(times).toBe(1);
    expect(world.timers.pending).toBe(0);
  });

  test('does not happen any more once nobody waits', () => {
    const { world, glance } = makeWorld();
    let times = 0;
    const cancel = whenReady({ timers: world.timers, glance }, () => times++);
    world.timers.advance(1_000);
    cancel();
    world.unreadiness = null;
    world.timers.advance(1_000);
    expect(times).toBe(0);
  });
});
