// A network is made by several writes on one host: wherever its daemon dies among them, the whole cluster has the network or nobody has.

import { expect, test } from 'vitest';
import { randomSchedule } from './random-schedule.ts';
import { simulate } from './simulation.ts';

const WRITES = [1, 2, 3, 4, 5, 6];

test.each(WRITES.flatMap((write) => [[write, 'before-commit'] as const, [write, 'after-commit'] as const]))(
  'the daemon dies at write %d of a new network, %s',
  { timeout: 60_000 },
  async (write, when) => {
    const quiet = randomSchedule({ seed: 2, hosts: 3, durationMs: 8_000, faults: [] });
    const steps = quiet.steps.filter(({ action }) => action.kind === 'launch');
    const { violation, operations } = await simulate(
      {
        ...quiet,
        steps: [
          ...steps,
          // The first takes the share of ids, so that the second one's writes are its own.
          { atMs: 3_000, action: { kind: 'create-network', host: 1, network: 'first' } },
          { atMs: 4_000, action: { kind: 'cut-at-write', host: 1, write, when } },
          { atMs: 4_001, action: { kind: 'create-network', host: 1, network: 'second' } },
          { atMs: 6_000, action: { kind: 'launch', host: 1 } },
        ],
      },
      { convergeMaxMs: 10_000 },
    );
    expect(operations.get('network create ok')).toBeGreaterThan(0);
    expect(violation).toBeNull();
  },
);
