import { expect, test } from 'vitest';
import { run } from './voting-run.ts';

test.each([4, 5, 6])('random faults in a cluster that reclaims by vote: %i hosts', { timeout: 60_000 }, (hosts) => {
  let reclaims = 0;
  for (let seed = hosts; seed < hosts + 2; seed++) reclaims += run(seed, { hosts }).reclaims;
  expect(reclaims).toBeGreaterThan(0); // else nothing was tried
});

test('random faults in a cluster with a named network of the same range', { timeout: 60_000 }, () => {
  expect(run(1, { hosts: 5, namedRange: '10.32.0.0/20' }).reclaimedNetworks).toBe(2);
});
