import { expect, test } from 'vitest';
import { moveTimes, quantile } from './move-times.ts';

/** test/e2e/sim.ts has a hundred hosts, at length. */
test('a container that moves is reached at its new place at once by all hosts of a LAN', {
  timeout: 60_000,
}, async () => {
  const times = await moveTimes({ hosts: 12, moves: 12, seed: 1 });
  expect(times?.arrivalMs).toHaveLength(12 * 11);
  expect(quantile(times?.arrivalMs ?? [], 0.99)).toBeLessThanOrEqual(50);
});
