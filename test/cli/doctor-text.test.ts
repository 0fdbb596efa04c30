// What people read of a reading.

import { expect, test } from 'vitest';
import { doctorText } from '../../src/cli/doctor-text.ts';
import { HEALTHY, PEER } from '../doctor/healthy-readings.ts';

test.each([
  [0, 2, 'clock 0 ms (± 2)'],
  [13, 13.2, 'clock +13 ms (± 14)'],
  [-9_999, 5, 'clock -9999 ms (± 5)'],
  [-7_200_003, 5, 'clock -7200 s (± 1)'],
])('a clock that is off by %d ms is told in a readable unit', (clockSkewMs, clockErrorMs, told) => {
  expect(doctorText([], { ...HEALTHY, peers: [{ ...PEER, clockSkewMs, clockErrorMs }] })).toContain(told);
});

test.each([
  [63, 63, false],
  [64, 64, false],
  [64, 999, true],
  [1, 999, false],
])('of %d examined peers of %d the rest is told: %s', (examined, known, told) => {
  const { status, port } = HEALTHY.daemon!;
  const row = status.peers[0]!;
  const text = doctorText([], {
    ...HEALTHY,
    daemon: { port, status: { ...status, peers: Array.from({ length: known }, () => row) } },
    peers: Array.from({ length: examined }, () => PEER),
  });
  expect(text.includes('examined    64 of 999 peers')).toBe(told);
});
